// Labels of trackers: the QR code as a drawing, and a page of labels to print. Pure.
import type { components } from '../../lib/types';

export type TrackerCredential = components['schemas']['TrackerCredential'];

/** The dark modules as the path of a drawing of `side` × `side` units; a run of a row is one rectangle. */
export function modulesPath({ side, modules_hex }: TrackerCredential['label']): string {
  const isDark = (n: number) => ((parseInt(modules_hex[n >> 2] ?? '0', 16) >> (3 - (n & 3))) & 1) === 1;
  let path = '';
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      if (!isDark(y * side + x)) continue;
      const from = x;
      while (x + 1 < side && isDark(y * side + x + 1)) x++;
      const width = x + 1 - from;
      path += `M${from} ${y}h${width}v1h-${width}z`;
    }
  }
  return path;
}

/** A code as it is read out and typed: groups of four. */
export const inGroups = (code: string): string => code.replace(/(.{4})(?=.)/g, '$1-');

/** What a cell of the CSV holds, a row a tracker. */
export const rowsOf = (credentials: readonly TrackerCredential[]): string[][] =>
  credentials.map((c) => [c.ident, c.password, c.topic, c.claim_code]);

const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** A page of labels for a printer, on its own: it needs no server. Passwords do not stand on it. */
export function labelsPage(title: string, credentials: readonly TrackerCredential[]): string {
  const label = (c: TrackerCredential) =>
    `<figure><svg viewBox="-4 -4 ${c.label.side + 8} ${c.label.side + 8}" shape-rendering="crispEdges"><path d="${modulesPath(c.label)}"/></svg>` +
    `<figcaption><b>${escaped(c.ident)}</b><br>${escaped(inGroups(c.claim_code))}</figcaption></figure>`;
  return `<!doctype html><html lang="zh"><meta charset="utf-8"><title>${escaped(title)}</title><style>
body{font:12px monospace;margin:0}main{display:flex;flex-wrap:wrap;gap:2mm}
figure{width:38mm;margin:0;padding:1mm;border:.2mm dashed #999;text-align:center;break-inside:avoid}svg{width:30mm;height:30mm}
</style><main>${credentials.map(label).join('\n')}</main></html>`;
}
