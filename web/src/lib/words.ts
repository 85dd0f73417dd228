// Every word of the page, in both languages. An entry loads its own parts, in the language that is shown.
import type { account } from './words/zh/account';
import type { belongings } from './words/zh/belongings';
import type { common } from './words/zh/common';
import type { desk } from './words/zh/desk';
import type { door } from './words/zh/door';
import type { front } from './words/zh/front';
import type { owner } from './words/zh/owner';
import type { people } from './words/zh/people';
import type { police } from './words/zh/police';
import type { registry } from './words/zh/registry';
import type { zones } from './words/zh/zones';
import type { zh } from './words/zh';

/** Everybody has `common`, for the frame, the map and tracks; and after the first page `refusals`, for the server's codes. */
interface Parts {
  common: typeof common;
  refusals: typeof zh;
  front: typeof front;
  owner: typeof owner;
  belongings: typeof belongings;
  zones: typeof zones;
  police: typeof police;
  desk: typeof desk;
  account: typeof account;
  people: typeof people;
  registry: typeof registry;
  door: typeof door;
}
export type Part = keyof Parts;
type KeysOf<P> = P extends Part ? keyof Parts[P] : never;
export type Key = KeysOf<Part>;
export type Words = Partial<Record<Key, string>>;

/** Where the words of a part are, in each language; none is loaded before it is asked for. */
export const WORDS: Record<'zh' | 'en', { [P in Part]: () => Promise<Record<keyof Parts[P], string>> }> = {
  zh: {
    common: async () => (await import('./words/zh/common')).common,
    refusals: async () => (await import('./words/zh')).zh,
    front: async () => (await import('./words/zh/front')).front,
    owner: async () => (await import('./words/zh/owner')).owner,
    belongings: async () => (await import('./words/zh/belongings')).belongings,
    zones: async () => (await import('./words/zh/zones')).zones,
    police: async () => (await import('./words/zh/police')).police,
    desk: async () => (await import('./words/zh/desk')).desk,
    account: async () => (await import('./words/zh/account')).account,
    people: async () => (await import('./words/zh/people')).people,
    registry: async () => (await import('./words/zh/registry')).registry,
    door: async () => (await import('./words/zh/door')).door,
  },
  en: {
    common: async () => (await import('./words/en/common')).common,
    refusals: async () => (await import('./words/en')).en,
    front: async () => (await import('./words/en/front')).front,
    owner: async () => (await import('./words/en/owner')).owner,
    belongings: async () => (await import('./words/en/belongings')).belongings,
    zones: async () => (await import('./words/en/zones')).zones,
    police: async () => (await import('./words/en/police')).police,
    desk: async () => (await import('./words/en/desk')).desk,
    account: async () => (await import('./words/en/account')).account,
    people: async () => (await import('./words/en/people')).people,
    registry: async () => (await import('./words/en/registry')).registry,
    door: async () => (await import('./words/en/door')).door,
  },
};

/** A refusal in the words of a language; none for a code that this page does not know, or without its values. */
export function refusal(words: Words, code: string, values: Record<string, unknown>): string | undefined {
  const text = (words as Record<string, string | undefined>)[`error_${code}`];
  if (text === undefined) return undefined;
  const said = fill(text, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, shown(words, name, value)])));
  return /\{\w+\}/.test(said) ? undefined : said;
}

/** Names of fields and roles have words of their own. */
function shown(words: Words, name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map((one) => shown(words, name, one)).join(', ');
  const kind = { field: 'field', role: 'role', roles: 'role', missing: 'check' }[name];
  return (words as Record<string, string | undefined>)[`${kind}_${String(value)}`] ?? String(value);
}

/** Puts values into a text's {places}. */
export function fill(text: string, values: Record<string, string | number> = {}): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
