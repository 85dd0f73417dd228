// How much an owner's phone loads until the first page stands: HTML, scripts, styles and the words of one language, packed by
// gzip, without the map. Usage: node scripts/entry-size.mjs, after a build; it fails above the limit.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

/** The most it may be, bytes: two seconds of a slow phone's network (200 kbit/s). */
const BYTES_MAX = 40 * 1024;
const manifest = JSON.parse(readFileSync('dist/.vite/manifest.json', 'utf8'));
/** What is opened before the owner's first page stands; the language with the most bytes counts. */
const OPENED = ['index.html', 'src/entries/owner/index.ts', 'src/entries/owner/Vehicles.svelte'];
/** The other pages of the entry, which come while nobody waits. */
const LATER = ['src/entries/owner/Alerts.svelte', 'src/entries/owner/Track.svelte', 'src/entries/shared/Zones.svelte'];
const words = (language, parts) => ['common', ...parts].map((part) => `src/lib/words/${language}/${part}.ts`);

/** The files of a chunk and of all that it imports. */
function filesOf(name, files) {
  const chunk = manifest[name];
  if (!chunk) throw new Error(`the build has no ${name}`);
  for (const file of [chunk.file, ...(chunk.css ?? [])]) files.add(file);
  for (const imported of chunk.imports ?? []) filesOf(imported, files);
}
const bytes = (files) => [...files].reduce((sum, file) => sum + gzipSync(readFileSync(`dist/${file}`), { level: 9 }).length, 0);
function measure(names) {
  const files = new Set(['index.html']);
  for (const name of names) filesOf(name, files);
  return bytes(files);
}

const first = Math.max(...['zh', 'en'].map((language) => measure([...OPENED, ...words(language, ['owner'])])));
const whole = Math.max(...['zh', 'en'].map((language) => measure([...OPENED, ...LATER, ...words(language, ['owner', 'zones'])])));
console.log(`web.owner_entry_gzip: ${first} B`);
console.log(`web.owner_all_pages_gzip: ${whole} B`);
if (first > BYTES_MAX) {
  console.error(`the owner's entry has ${first} bytes; it may have ${BYTES_MAX}`);
  process.exit(1);
}
