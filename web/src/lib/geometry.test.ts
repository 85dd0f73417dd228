import { expect, test } from 'vitest';
import { alongside, areaKm2, distanceM, firstView, outlines, parseCorners, ring, trackLengthM, writeCorners, type LonLat } from './geometry';
const YIYANG: LonLat = [112.35, 28.55];

test('a degree of latitude is about 111.2 km', () => {
  expect(distanceM(YIYANG, [112.35, 29.55]) / 1000).toBeCloseTo(111.195, 2);
});

test('a track is as long as its legs', () => {
  expect(trackLengthM([])).toBe(0);
  expect(trackLengthM([[0, 112, 28, null], [1, 112, 28.01, null], [2, 112, 28, 3]])).toBeCloseTo(2224, 0);
});

test('a tenth of a degree squared in Yiyang is about 108.6 km², whichever way round it is drawn', () => {
  const square: LonLat[] = [[112.3, 28.5], [112.4, 28.5], [112.4, 28.6], [112.3, 28.6]];
  expect(areaKm2(square)).toBeCloseTo(108.6, 0);
  expect(areaKm2([...square].reverse())).toBeCloseTo(areaKm2(square), 6);
  expect(areaKm2([])).toBe(0);
});

test('a ring keeps its radius and is closed', () => {
  const corners = ring(YIYANG, 300);
  expect(distanceM(corners[0]!, corners.at(-1)!)).toBeLessThan(1e-6);
  for (const corner of corners) expect(Math.abs(distanceM(YIYANG, corner) - 300)).toBeLessThan(1);
});

test('a polygon zone is closed, with its holes; an empty one is nothing', () => {
  const at = (lat: number, lon: number) => ({ lat, lon });
  const corners = [at(1, 2), at(3, 4), at(5, 6)];
  const drawn: LonLat[] = [[2, 1], [4, 3], [6, 5], [2, 1]];
  expect(outlines({ type: 'polygon', outer: corners, holes: [corners] })).toEqual([drawn, drawn]);
  expect(outlines({ type: 'polygon', outer: [], holes: [] })).toEqual([[]]);
});

test('a corridor is drawn half its width to both sides of its line', () => {
  const line: LonLat[] = [[112.35, 28.55], [112.36, 28.55]];
  const border = alongside(line, 100);
  expect(border).toHaveLength(5);
  for (const corner of border.slice(0, 4)) {
    const ends = line.map((end) => distanceM(corner, end));
    expect(Math.min(...ends)).toBeCloseTo(100, 0);
  }
});

test('corners are read as they are written, with Chinese commas too', () => {
  const corners: LonLat[] = [[112.35, 28.55], [112.4, 28.6]];
  expect(parseCorners(writeCorners(corners))).toEqual(corners);
  expect(parseCorners('28.55，112.35\n\n 28.6 112.4 ')).toEqual(corners);
});

test('the first line that is no corner is named', () => {
  expect(parseCorners('28.55, 112.35\nhere')).toBe(2);
  expect(parseCorners('91, 112')).toBe(1);
  expect(parseCorners('28, 181')).toBe(1);
});

test('the first view is one town: the newest vehicle with those near it, an incident before all', () => {
  const at = (lat: number, minute: number, incident = false) => ({ lat, lon: 112.35, incident, fixed_at: new Date(minute * 60_000).toISOString() });
  const [near, here, far] = [at(28.6, 1), at(28.55, 2), at(29.1, 0)];
  expect(firstView([near, here, far])).toEqual([[112.35, 28.6], [112.35, 28.55]]);
  expect(firstView([near, here, { ...far, incident: true }])).toEqual([[112.35, 29.1]]);
  expect(firstView([])).toEqual([]);
});
