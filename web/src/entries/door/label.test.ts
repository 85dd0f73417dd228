import { expect, test } from 'vitest';
import { e164, isE164, readLabel, readPlate } from './label';

test('a label is read, and nothing else is taken for one', () => {
  expect(readLabel(' RG1:yy000001:AB12CD34 ')).toEqual({ ident: 'yy000001', claim: 'AB12CD34' });
  for (const other of ['https://example.com', 'RG1:yy000001', 'RG1:a b:c', 'RG2:a:b', '']) expect(readLabel(other)).toBeNull();
});

test('a plate is read from its code, be it the plate, a text or an address, and nothing else is taken for one', () => {
  for (const [text, plate] of [
    ['湘H·T9055', '湘H·T9055'],
    [' 湘h t9055 ', '湘H T9055'],
    ['号牌号码：湘H12345；车辆类型：电动自行车', '湘H12345'],
    ['https://example.com/p?cphm=%E6%B9%98H12345&v=2', '湘H12345'],
    ['益阳 012345', '益阳 012345'],
    ['YY012345', 'YY012345'],
  ]) {
    expect(readPlate(text!), text).toBe(plate);
  }
  for (const other of ['https://example.com/shop', 'RG1:yy000001:AB12CD34', '湘', 'HELLO', '%', '', 'x'.repeat(9999)]) expect(readPlate(other), other).toBeNull();
});

test('a phone number is one in every spelling', () => {
  for (const typed of ['13800000001', '138 0000 0001', '+86 138-0000-0001', '008613800000001']) expect(e164(typed)).toBe('+8613800000001');
  expect(isE164(e164('12345'))).toBe(false);
});
