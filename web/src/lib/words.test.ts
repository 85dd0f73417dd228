import { expect, test } from 'vitest';
import { fill, refusal, WORDS, type Part, type Words } from './words';

const PARTS = Object.keys(WORDS.zh) as Part[];
const all = async (language: 'zh' | 'en') => Object.assign({}, ...(await Promise.all(PARTS.map((part) => WORDS[language][part]())))) as Required<Words>;
const [zh, en] = [await all('zh'), await all('en')];

test('both languages have the same keys, none of them empty, and no key stands in two parts', async () => {
  const seen = new Map<string, string>();
  for (const part of PARTS) {
    const [a, b] = [await WORDS.zh[part](), await WORDS.en[part]()];
    expect(Object.keys(b).sort()).toEqual(Object.keys(a).sort());
    for (const text of [...Object.values(a), ...Object.values(b)]) expect(text.trim()).not.toBe('');
    for (const key of Object.keys(a)) {
      expect(seen.get(key), `${key} of ${part}`).toBeUndefined();
      seen.set(key, part);
    }
  }
});

test('both languages have the same places for values', () => {
  const places = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const [key, text] of Object.entries(zh)) expect(places(en[key as keyof typeof en]), key).toEqual(places(text));
});

test('the Chinese texts are Chinese', () => {
  const latin = Object.entries(zh).filter(([key, text]) => key !== 'otherLanguage' && !/[\u4e00-\u9fff]/.test(text));
  expect(latin).toEqual([]);
});

/** Every file of the page, by its path. */
const SOURCES = import.meta.glob('/src/**/*.{svelte,ts}', { query: '?raw', import: 'default', eager: true }) as Record<string, string>;

/** The file that an import means. */
function fileOf(from: string, named: string): string | undefined {
  const { pathname } = new URL(named, `file://${from}`);
  return [pathname, `${pathname}.ts`].find((path) => path in SOURCES);
}

/** A file and all that it imports, except what it loads later. */
function filesOf(path: string, seen = new Set<string>()): Set<string> {
  if (seen.has(path)) return seen;
  seen.add(path);
  for (const [, named] of SOURCES[path]!.matchAll(/^\s*(?:import|export)\s(?!type)[^;]*?from '(\.[^']+)'/gm)) {
    const file = fileOf(path, named!);
    if (file) filesOf(file, seen);
  }
  return seen;
}

/** The keys that a file writes out: those made of codes cannot be seen here. */
const keysOf = (path: string) => [...SOURCES[path]!.matchAll(/\bt\('(\w+)'/g)].map(([, key]) => key!);
const known = async (parts: readonly Part[]) => new Set((await Promise.all(parts.map((part) => WORDS.zh[part]()))).flatMap((words) => Object.keys(words)));
const partsIn = (text = '') => [...text.matchAll(/'(\w+)'/g)].map(([, part]) => part as Part);

test('each page loads the words that it shows', async () => {
  const missing: string[] = [];
  let pages = 0;
  for (const [path, text] of Object.entries(SOURCES).filter(([path]) => /^\/src\/entries\/\w+\/index\.ts$/.test(path))) {
    const ofEntry: Part[] = ['common', ...partsIn(/^  words: \[(.*?)\]/m.exec(text)?.[1])];
    const early = await known(ofEntry);
    for (const line of text.split('\n').filter((line) => line.includes('{ name: '))) {
      const name = /name: '(\w+)'/.exec(line)?.[1];
      const file = fileOf(path, /import\('([^']+)'\)/.exec(line)?.[1] ?? '');
      expect(file, `a page stands on one line, with its import: ${line}`).toBeDefined();
      const all = await known([...ofEntry, ...partsIn(/ words: \[(.*?)\]/.exec(line)?.[1])]);
      for (const used of filesOf(file!)) {
        for (const key of keysOf(used)) if (!all.has(key)) missing.push(`${path} ${name}: ${key} of ${used}`);
      }
      if (!line.includes('inNav: false') && !early.has(`nav_${name}`)) missing.push(`${path}: nav_${name}`);
      pages++;
    }
  }
  expect(pages).toBeGreaterThan(7);
  const front = await known(['common', 'front']);
  for (const [, file] of SOURCES['/src/entries/entries.ts']!.matchAll(/import\('(\.\/front\/[^']+)'\)/g)) {
    for (const used of filesOf(fileOf('/src/entries/entries.ts', file!)!)) {
      for (const key of keysOf(used)) if (!front.has(key)) missing.push(`front: ${key} of ${used}`);
    }
  }
  const common = await known(['common']);
  for (const used of filesOf('/src/main.ts')) for (const key of keysOf(used)) if (!common.has(key)) missing.push(`frame: ${key} of ${used}`);
  expect(missing).toEqual([]);
});

test('values are put in, and a place without a value stays visible', () => {
  expect(fill('{n} of {m}', { n: 3 })).toBe('3 of {m}');
});

test('a refusal is said in the words of the page, with its values and the names of fields and roles', () => {
  const length = { field: 'name', characters: 70, min: 1, max: 64 };
  expect(refusal(zh, 'text_length', length)).toBe('“名称”有 70 个字符，应为 1 到 64 个。');
  expect(refusal(en, 'text_length', length)).toBe('Name has 70 characters; it must have 1 to 64.');
  expect(refusal(en, 'wrong_role', { roles: ['police', 'admin'], role: 'owner' })).toBe('This is for: Police, Administrator. You are: Owner.');
});

test('of a code that is not known, or that comes without its values, the page has no words', () => {
  expect(refusal(zh, 'of_tomorrow', {})).toBeUndefined();
  expect(refusal(zh, 'zones_full', {})).toBeUndefined();
});
