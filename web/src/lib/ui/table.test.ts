import { expect, test } from 'vitest';
import { ApiError } from '../api';
import { toCsv } from './csv';
import { isTold, problemOf } from './field';
import { containing, nextSort, sorted, type Column } from './table';

interface Bike {
  plate: string;
  percent: number | null;
}
const bikes: Bike[] = [
  { plate: '湘H·T0010', percent: null },
  { plate: '湘H·T0009', percent: 80 },
  { plate: '湘H·T0100', percent: 9 },
];
const columns: Column<Bike>[] = [
  { name: 'plate', label: 'Plate', text: (b) => b.plate },
  { name: 'percent', label: '%', text: (b) => String(b.percent ?? '–'), order: (b) => b.percent },
];
const plates = (rows: readonly Bike[]) => rows.map((b) => b.plate.slice(-4));

test('a column is sorted by its numbers, up, down and as it came; what has no value comes last', () => {
  expect(plates(sorted(bikes, columns, { name: 'plate', isDown: false }))).toEqual(['0009', '0010', '0100'].map((n) => n.slice(-4)));
  expect(plates(sorted(bikes, columns, { name: 'percent', isDown: false }))).toEqual(['0100', '0009', '0010']);
  expect(plates(sorted(bikes, columns, { name: 'percent', isDown: true }))).toEqual(['0009', '0100', '0010']);
  expect(sorted(bikes, columns, null)).toBe(bikes);
  const [first, second] = [nextSort(null, 'plate'), nextSort({ name: 'plate', isDown: false }, 'plate')];
  expect([first, second, nextSort(second, 'plate')]).toEqual([{ name: 'plate', isDown: false }, { name: 'plate', isDown: true }, null]);
});

test('a search looks into every column', () => {
  expect(plates(containing(bikes, columns, 't01'))).toEqual(['0100']);
  expect(plates(containing(bikes, columns, '80'))).toEqual(['0009']);
});

test('a file keeps commas, quotes and lines, and no cell of it is a formula', () => {
  expect(toCsv([['a,b', 'say "x"', '=1+1'], ['-5', '@home', '-cmd']])).toBe('\ufeff"a,b","say ""x""",\'=1+1\r\n-5,\'@home,\'-cmd\r\n');
});

test('a refusal is told at the field that it names', () => {
  const failure = new ApiError(400, 'text_length', '', { field: 'phone' });
  expect([problemOf(failure, 'phone'), problemOf(failure, 'name'), isTold(failure, ['name', 'phone']), isTold(failure, ['name'])]).toEqual([true, false, true, false]);
});
