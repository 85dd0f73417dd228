// Puts a `.br` and a `.gz` beside every text of the build: compressed once, as well as it goes.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

/** Texts and programs worth compressing; pictures and fonts are compressed already. */
const TEXT = /\.(html|js|mjs|css|svg|json|geojson|txt|webmanifest|wasm)$/;
/** Below this a packet of the network is not filled anyway, bytes. */
const BYTES_MIN = 1024;

function compress(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) compress(path);
    if (!entry.isFile() || !TEXT.test(entry.name)) continue;
    const text = readFileSync(path);
    if (text.length < BYTES_MIN) continue;
    const hint = { params: { [constants.BROTLI_PARAM_SIZE_HINT]: text.length } };
    writeFileSync(`${path}.br`, brotliCompressSync(text, hint));
    writeFileSync(`${path}.gz`, gzipSync(text, { level: 9 }));
  }
}

compress('dist');
