import { expect, test } from 'vitest';
import { age, dateTime, dayOf, daySpan, fromMinute, minuteOf } from './time';

const AT = Date.UTC(2026, 10, 23, 16, 30, 5); // half past midnight of the 24th in Yiyang

test('times show on the clock of Yiyang, in 24 hours', () => {
  expect(dateTime(AT, 'en')).toContain('00:30:05');
  expect(dateTime(AT, 'zh')).toContain('2026/11/24');
  expect(dateTime(AT, 'en')).toContain('24 Nov 2026');
});

test('a day is a day of Yiyang', () => {
  expect(dayOf(AT)).toBe('2026-11-24');
  const [from, to] = daySpan('2026-11-24');
  expect([from.toISOString(), to.toISOString()]).toEqual(['2026-11-23T16:00:00.000Z', '2026-11-24T16:00:00.000Z']);
});

test('what an input shows is what it means', () => {
  expect(minuteOf(AT)).toBe('2026-11-24T00:30');
  expect(fromMinute(minuteOf(AT))?.getTime()).toBe(AT - 5000);
});

test('what is no minute is refused', () => {
  for (const text of ['', 'tomorrow', '2026-13-01T00:00', '2026-11-24']) expect(fromMinute(text), text).toBeNull();
});

test('an age is told in the largest unit that fits, and never negative', () => {
  expect(age(AT, AT + 59_000, 'en')).toMatch(/59 sec/);
  expect(age(AT, AT + 3_599_000, 'en')).toMatch(/59 min/);
  expect(age(AT, AT + 90_000_000, 'en')).toMatch(/1 day/);
  expect(age(AT, AT - 5000, 'en')).toMatch(/0 sec/);
});
