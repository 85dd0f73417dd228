// Made-up people, vehicles and incidents, for what the demonstration does not stage.
import { answer } from './harness.mjs';

const ago = (minutes) => new Date(Date.now() - minutes * 60_000).toISOString();

export const vehicle = (rest = {}) => ({
  id: '71', plate: '湘H·T0071', kind: 'ebike', model: null, tracker: 'yy000071', armed: true, armed_at: ago(60), guard_point: null,
  last_fix: { fixed_at: ago(1), received_at: ago(1), lat: 28.55, lon: 112.35, speed_kmh: 0, course_deg: null, satellites: 9, accuracy_m: 5, source: 'gnss' },
  last_heard_at: ago(1), battery_percent: 80, external_power: true, ignition: false, open_incident: null, open_incident_answer: null,
  contact: 'online', protection: 'protected', ...rest,
});

export const incident = (rest = {}) => ({
  id: '901', vehicle_id: '71', plate: '湘H·T0071', opened_at: ago(4), closed_at: null, end: null, state: 'suspected', severity: 'high', score: 0.8,
  answer: null, answered_at: null, fixes_from: ago(5), fixes_to: null, version: 1, answers: [], alerts: [],
  timeline: [{ at: ago(4), kind: 'alert', alert: 'moved' }], ...rest,
});

export const alert = (rest = {}) => ({
  id: '501', vehicle_id: '71', plate: '湘H·T0071', kind: 'moved', raised_at: ago(4), late: false, level: 'alarm', wakes_owner: true, suppressed: false,
  incident_id: '901', lat: 28.55, lon: 112.35, ...rest,
});

/** An owner with these vehicles and incidents; what `world` holds may change meanwhile. */
export async function owns(page, world) {
  const stand = (path, body) => page.route((to) => to.pathname === `/api/v1${path}`, (route) => route.fulfill({ json: body() }));
  await stand('/vehicles', () => ({ vehicles: world.vehicles ?? [vehicle()] }));
  await stand('/alerts', () => ({ alerts: world.alerts ?? [alert()], next_cursor: null }));
  await stand('/incidents', () => ({ incidents: (world.incidents ?? []).map(({ alerts, timeline, ...listed }) => listed) }));
  for (const one of world.incidents ?? []) await stand(`/incidents/${one.id}`, () => world.incidents.find((i) => i.id === one.id));
}

/** A live stream of our own: what is said through it, the page hears. */
export async function stream(page) {
  const lines = [];
  await answer(page, '/live/ticket', 200, { ticket: 't', expires_at: ago(-1) });
  await page.routeWebSocket(/\/api\/v1\/live/, (line) => {
    lines.push(line);
    line.send(JSON.stringify({ type: 'snapshot', vehicles: [], delayed: false }));
  });
  return {
    say: (message) => lines.at(-1).send(JSON.stringify(message)),
    close: (code) => lines.at(-1).close({ code }),
  };
}
