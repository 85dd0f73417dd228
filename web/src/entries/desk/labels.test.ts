import { expect, test } from 'vitest';
import { inGroups, labelsPage, modulesPath, rowsOf, type TrackerCredential } from './labels';

const credential: TrackerCredential = {
  id: '7', ident: 'yy000001', topic: 'v1/9/yy000001/up', password: 'not-on-labels', claim_code: '0a1b2c3d4e5f',
  // 3 × 3: 110 / 001 / 111, filled up to two bytes.
  label: { side: 3, modules_hex: 'c780' },
};

test('runs of dark modules become rectangles', () => {
  expect(modulesPath(credential.label)).toBe('M0 0h2v1h-2zM2 1h1v1h-1zM0 2h3v1h-3z');
});

test('a code is read in groups of four', () => {
  expect(inGroups('0a1b2c3d4e5f')).toBe('0a1b-2c3d-4e5f');
  expect(inGroups('0a1b2')).toBe('0a1b-2');
});

test('a page of labels shows identifier and claim code, and no password', () => {
  const page = labelsPage('<B1>', [credential, credential]);
  expect(page.match(/<figure>/g)?.length).toBe(2);
  for (const part of ['yy000001', '0a1b-2c3d-4e5f', '&#60;B1&#62;']) expect(page).toContain(part);
  expect(page).not.toContain('not-on-labels');
  expect(rowsOf([credential])).toEqual([['yy000001', 'not-on-labels', 'v1/9/yy000001/up', '0a1b2c3d4e5f']]);
});
