// Every word of the page, in both languages: a file each.
import { en } from './words/en';
import { zh } from './words/zh';

export type Key = keyof typeof zh;

export const WORDS: Record<'zh' | 'en', Record<Key, string>> = { zh, en };

/** A refusal in the words of a language; none for a code that this page does not know, or without its values. */
export function refusal(words: Record<Key, string>, code: string, values: Record<string, unknown>): string | undefined {
  const text = (words as Record<string, string | undefined>)[`error_${code}`];
  if (text === undefined) return undefined;
  const said = fill(text, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, shown(words, name, value)])));
  return /\{\w+\}/.test(said) ? undefined : said;
}

/** Names of fields and roles have words of their own. */
function shown(words: Record<Key, string>, name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map((one) => shown(words, name, one)).join(', ');
  const kind = { field: 'field', role: 'role', roles: 'role' }[name];
  return (words as Record<string, string | undefined>)[`${kind}_${String(value)}`] ?? String(value);
}

/** Puts values into a text's {places}. */
export function fill(text: string, values: Record<string, string | number> = {}): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
