// Writes dist/door-worker.js: the worker of scripts/door-worker.js with the files that the installer's page needs without a network.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const manifest = JSON.parse(readFileSync('dist/.vite/manifest.json', 'utf8'));
const WORDS = ['zh', 'en'].flatMap((language) => [`src/lib/words/${language}.ts`, ...['common', 'door', 'front', 'account'].map((part) => `src/lib/words/${language}/${part}.ts`)]);
const NEEDED = [
  'index.html', ...Object.keys(manifest).filter((name) => name.startsWith('src/entries/door/')),
  'src/entries/shared/Account.svelte', 'src/entries/front/Login.svelte', ...WORDS,
];

const files = new Set(['/icon.svg', '/manifest.webmanifest']);
/** A chunk, and all that it imports at once. */
function take(name) {
  const chunk = manifest[name];
  if (!chunk) throw new Error(`the build has no ${name}`);
  for (const file of [chunk.file, ...(chunk.css ?? [])]) files.add(`/${file}`);
  for (const imported of chunk.imports ?? []) take(imported);
}
NEEDED.forEach(take);
files.delete('/index.html');
const list = [...files].sort();
const version = createHash('sha256').update(readFileSync('dist/index.html')).update(list.join('\n')).digest('hex').slice(0, 16);
const put = (text, place, value) => {
  if (!text.includes(place)) throw new Error(`the worker has no place for ${place}`);
  return text.replace(place, value);
};
const worker = put(readFileSync('scripts/door-worker.js', 'utf8'), 'const FILES = []', `const FILES = ${JSON.stringify(list)}`);
writeFileSync('dist/door-worker.js', put(worker, 'rideguard-door-VERSION', `rideguard-door-${version}`));
