import { expect, test } from 'vitest';
import { fill, refusal, WORDS } from './words';

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

test('a refusal is said in the words of the page, with its values and the names of fields and roles', () => {
  const length = { field: 'name', characters: 70, min: 1, max: 64 };
  expect(refusal(WORDS.zh, 'text_length', length)).toBe('“名称”有 70 个字符，应为 1 到 64 个。');
  expect(refusal(WORDS.en, 'text_length', length)).toBe('Name has 70 characters; it must have 1 to 64.');
  expect(refusal(WORDS.en, 'wrong_role', { roles: ['police', 'admin'], role: 'owner' })).toBe('This is for: Police, Administrator. You are: Owner.');
});

test('of a code that is not known, or that comes without its values, the page has no words', () => {
  expect(refusal(WORDS.zh, 'of_tomorrow', {})).toBeUndefined();
  expect(refusal(WORDS.zh, 'zones_full', {})).toBeUndefined();
});
