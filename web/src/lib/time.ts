// Times are shown on Yiyang's clock, wherever the browser is.

export const ZONE = 'Asia/Shanghai';
/** China has kept UTC+8 without summer time since 1992. */
const OFFSET = '+08:00';
/** The same, as a Date tells it, min. */
const OFFSET_MIN = -480;
/** A position older than this is marked as old: parked trackers report every few minutes, ms. */
export const OLD_MS = 15 * 60_000;
export const DAY_MS = 86_400_000;

export type Language = 'zh' | 'en';

const locale = (language: Language) => (language === 'zh' ? 'zh-CN' : 'en-GB');

/** Date with its year, and time to the second; a month in letters reads the same in every country. */
export function dateTime(at: string | number | Date, language: Language): string {
  const month = language === 'zh' ? '2-digit' : 'short';
  const format = new Intl.DateTimeFormat(locale(language), {
    timeZone: ZONE,
    year: 'numeric',
    month,
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  });
  return format.format(new Date(at));
}

/** Whether the browser's own clock shows another time than Yiyang's. */
export const isElsewhere = (at: number) => new Date(at).getTimezoneOffset() !== OFFSET_MIN;

/** How long ago, in the largest unit that fits. */
export function age(at: string | number | Date, now: number, language: Language): string {
  const seconds = Math.max(0, Math.round((now - new Date(at).getTime()) / 1000));
  const words = new Intl.RelativeTimeFormat(locale(language), { numeric: 'always', style: 'short' });
  if (seconds < 60) return words.format(-seconds, 'second');
  if (seconds < 3600) return words.format(-Math.floor(seconds / 60), 'minute');
  if (seconds < 86_400) return words.format(-Math.floor(seconds / 3600), 'hour');
  return words.format(-Math.floor(seconds / 86_400), 'day');
}

/** The day in Yiyang, as a date input writes it. */
export function dayOf(at: number): string {
  return new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE }).format(new Date(at));
}

/** Minute in Yiyang, as a datetime-local input writes it. */
export function minuteOf(at: number): string {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE, dateStyle: 'short', timeStyle: 'short' });
  return format.format(new Date(at)).replace(' ', 'T');
}

/** Midnight to midnight of a day in Yiyang. */
export function daySpan(day: string): [Date, Date] {
  const from = new Date(`${day}T00:00:00${OFFSET}`);
  return [from, new Date(from.getTime() + DAY_MS)];
}

export const hoursOf = (from: Date, to: Date) => (to.getTime() - from.getTime()) / 3_600_000;

/** What a datetime-local input says, on Yiyang's clock; null if it is no time. */
export function fromMinute(text: string): Date | null {
  const at = new Date(`${text}:00${OFFSET}`);
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(text) && !Number.isNaN(at.getTime()) ? at : null;
}
