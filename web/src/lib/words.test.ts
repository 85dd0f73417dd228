import { expect, test } from 'vitest';
import { fill, WORDS } from './words';

test('both languages have the same keys, none of them empty', () => {
  expect(Object.keys(WORDS.en).sort()).toEqual(Object.keys(WORDS.zh).sort());
  for (const words of Object.values(WORDS)) for (const text of Object.values(words)) expect(text.trim()).not.toBe('');
});

test('both languages have the same places for values', () => {
  const places = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const [key, text] of Object.entries(WORDS.zh)) {
    expect(places(WORDS.en[key as keyof typeof WORDS.en]), key).toEqual(places(text));
  }
});

test('the Chinese texts are Chinese', () => {
  const latin = Object.entries(WORDS.zh).filter(([key, text]) => key !== 'otherLanguage' && !/[\u4e00-\u9fff]/.test(text));
  expect(latin).toEqual([]);
});

test('values are put in, and a place without a value stays visible', () => {
  expect(fill('{n} of {m}', { n: 3 })).toBe('3 of {m}');
});
