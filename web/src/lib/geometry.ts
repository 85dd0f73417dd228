import type { LiveVehicle, Position, TrackPoint, ZoneShape } from './types';

/** Longitude and latitude, degrees. */
export type LonLat = [number, number];

/** Mean radius of the earth, m (IUGG). */
const EARTH_M = 6_371_008.8;
const rad = (deg: number) => (deg * Math.PI) / 180;

/** Great-circle distance, m. */
export function distanceM(a: LonLat, b: LonLat): number {
  const [dLat, dLon] = [rad(b[1] - a[1]), rad(b[0] - a[0])];
  const h = Math.sin(dLat / 2) ** 2 + Math.cos(rad(a[1])) * Math.cos(rad(b[1])) * Math.sin(dLon / 2) ** 2;
  return 2 * EARTH_M * Math.asin(Math.sqrt(h));
}

export function trackLengthM(points: TrackPoint[]): number {
  let sum = 0;
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1]!, points[i]!];
    sum += distanceM([a[1], a[2]], [b[1], b[2]]);
  }
  return sum;
}

/** A circle as a ring of corners; flat-earth, good to a few metres for zones in a city. */
export function ring(centre: LonLat, radiusM: number, corners = 64): LonLat[] {
  const perDegree = rad(1) * EARTH_M;
  return Array.from({ length: corners + 1 }, (_, i) => {
    const angle = (2 * Math.PI * i) / corners;
    return [
      centre[0] + (radiusM * Math.cos(angle)) / (perDegree * Math.cos(rad(centre[1]))),
      centre[1] + (radiusM * Math.sin(angle)) / perDegree,
    ];
  });
}

/** Widest reach of the first view from its middle, m: one town, on a phone too. */
const FIRST_VIEW_M = 8_000;

/** Where a map of vehicles begins: at the one in an incident, else the newest, with those near it. */
export function firstView(vehicles: readonly Pick<LiveVehicle, 'lat' | 'lon' | 'fixed_at' | 'incident'>[]): LonLat[] {
  const [first] = [...vehicles].sort(
    (a, b) => Number(b.incident) - Number(a.incident) || Date.parse(b.fixed_at) - Date.parse(a.fixed_at),
  );
  if (!first) return [];
  const places = vehicles.map((v): LonLat => [v.lon, v.lat]);
  return places.filter((at) => distanceM(at, [first.lon, first.lat]) <= FIRST_VIEW_M);
}

const lonLat = (p: Position): LonLat => [p.lon, p.lat];
const closed = (corners: LonLat[]): LonLat[] => (corners[0] ? [...corners, corners[0]] : []);

/** The outlines of a zone, closed: its border, and its holes. */
export function outlines(shape: ZoneShape): LonLat[][] {
  switch (shape.type) {
    case 'circle':
      return [ring(lonLat(shape.centre), shape.radius_m)];
    case 'corridor':
      return [alongside(shape.line.map(lonLat), shape.width_m / 2)];
    case 'polygon':
      return [shape.outer, ...(shape.holes ?? [])].map((corners) => closed(corners.map(lonLat)));
  }
}

/** The border of a corridor: the line moved to both sides, ends cut straight. */
export function alongside(line: LonLat[], reachM: number): LonLat[] {
  const perDegree = rad(1) * EARTH_M;
  const east = perDegree * Math.cos(rad(line[0]?.[1] ?? 0));
  const moved = (side: number) =>
    line.map(([lon, lat], i): LonLat => {
      const [before, after] = [line[Math.max(i - 1, 0)]!, line[Math.min(i + 1, line.length - 1)]!];
      const [dx, dy] = [(after[0] - before[0]) * east, (after[1] - before[1]) * perDegree];
      const length = Math.hypot(dx, dy) || 1;
      return [lon - (side * reachM * dy) / length / east, lat + (side * reachM * dx) / length / perDegree];
    });
  return closed([...moved(1), ...moved(-1).reverse()]);
}

/** Area of a polygon, km²; on a flat earth at its middle, good to a percent for a city. */
export function areaKm2(corners: LonLat[]): number {
  const perDegree = (rad(1) * EARTH_M) / 1000;
  if (corners.length < 3) return 0;
  const lats = corners.map((c) => c[1]);
  const east = perDegree * Math.cos(rad((Math.min(...lats) + Math.max(...lats)) / 2));
  let twice = 0;
  for (const [i, [lon, lat]] of corners.entries()) {
    const [nextLon, nextLat] = corners[(i + 1) % corners.length]!;
    twice += lon * nextLat - nextLon * lat;
  }
  return (Math.abs(twice) / 2) * east * perDegree;
}

/** Lines of "latitude, longitude"; the number of the first line that is none, otherwise. */
export function parseCorners(text: string): LonLat[] | number {
  const corners: LonLat[] = [];
  const lines = text.split('\n').map((line) => line.trim());
  for (const [i, line] of lines.entries()) {
    if (line === '') continue;
    const found = /^(-?\d+(?:\.\d+)?)[,，\s]\s*(-?\d+(?:\.\d+)?)$/.exec(line);
    const [lat, lon] = [Number(found?.[1]), Number(found?.[2])];
    if (!found || Math.abs(lat) > 90 || Math.abs(lon) > 180) return i + 1;
    corners.push([lon, lat]);
  }
  return corners;
}

export const writeCorners = (corners: LonLat[]) =>
  corners.map(([lon, lat]) => `${lat.toFixed(6)}, ${lon.toFixed(6)}`).join('\n');
