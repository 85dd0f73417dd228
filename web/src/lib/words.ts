// Every word of the page, in both languages: a file each.
import { en } from './words/en';
import { zh } from './words/zh';

export type Key = keyof typeof zh;

export const WORDS: Record<'zh' | 'en', Record<Key, string>> = { zh, en };

/** Puts values into a text's {places}. */
export function fill(text: string, values: Record<string, string | number> = {}): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
