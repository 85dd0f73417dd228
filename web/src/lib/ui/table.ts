// What a table shows of its rows: columns, order, a search within. Pure; `DataTable.svelte` draws it.
import type { Snippet } from 'svelte';

export interface Column<R> {
  name: string;
  label: string;
  /** For the order, the search and the file; shown where there is no `cell`. */
  text: (row: R) => string;
  /** The order, where it is not that of the text. */
  order?: (row: R) => number | string | null;
  cell?: Snippet<[R]>;
  /** Long: it is broken over lines. */
  isLong?: boolean;
}
export interface Sort {
  name: string;
  isDown: boolean;
}

/** Numbers within texts count as numbers, so that 9 comes before 10. */
const collator = new Intl.Collator('zh-CN', { numeric: true });

/** Rows without a value come last, whichever way. */
export function sorted<R>(rows: readonly R[], columns: readonly Column<R>[], sort: Sort | null): readonly R[] {
  const column = sort && columns.find((c) => c.name === sort.name);
  if (!sort || !column) return rows;
  const value = column.order ?? column.text;
  const sign = sort.isDown ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return Number(x === null) - Number(y === null);
    return sign * (typeof x === 'number' && typeof y === 'number' ? x - y : collator.compare(String(x), String(y)));
  });
}

/** Up, down, as it came. */
export function nextSort(sort: Sort | null, name: string): Sort | null {
  if (sort?.name !== name) return { name, isDown: false };
  return sort.isDown ? null : { name, isDown: true };
}

export function containing<R>(rows: readonly R[], columns: readonly Column<R>[], text: string): readonly R[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return rows;
  return rows.filter((row) => columns.some((c) => c.text(row).toLowerCase().includes(wanted)));
}
