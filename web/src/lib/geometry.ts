import type { LonLat, Shape, TrackPoint } from './types';

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

/** The outline of a zone, closed. */
export function outline(shape: Shape): LonLat[] {
  if (shape.type === 'circle') return ring([shape.centre.lon_deg, shape.centre.lat_deg], shape.radius_m);
  const corners = shape.outer.map((p): LonLat => [p.lon_deg, p.lat_deg]);
  return corners[0] ? [...corners, corners[0]] : [];
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
