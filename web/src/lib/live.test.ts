import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ApiError } from './api';
import { backoffMs, Live, merge, type LiveState, type RefusedView } from './live';
import type { Alert, IncidentChange, LiveVehicle } from './types';

const vehicle = (id: string, lat: number): LiveVehicle => ({
  id, plate: null, lat, lon: 112, fixed_at: '2026-11-24T00:00:00Z', speed_kmh: null, armed: true, incident: false,
});

class FakeSocket {
  static opened: FakeSocket[] = [];
  onmessage: ((e: { data: string }) => void) | null = null;
  onclose: ((e: { code: number }) => void) | null = null;
  onopen: (() => void) | null = null;
  closed = false;
  readyState = 0;
  sent: unknown[] = [];
  constructor(readonly url: string) {
    FakeSocket.opened.push(this);
  }
  say(message: unknown) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  begin() {
    this.readyState = 1;
    this.onopen?.();
  }
  close() {
    this.closed = true;
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.opened = [];
  vi.stubGlobal('location', { protocol: 'https:', host: 'rideguard.test' });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function watch(ticket: () => Promise<string>) {
  const states: LiveState[] = [];
  let ended = 0;
  const seen: { vehicles: Map<string, LiveVehicle>; alerts: Alert[]; incidents: IncidentChange[]; refused: RefusedView | null } = {
    vehicles: new Map(), alerts: [], incidents: [], refused: null,
  };
  const live = new Live(
    ticket,
    {
      onState: (s) => states.push(s),
      onVehicles: (v) => (seen.vehicles = v),
      onView: (refused) => (seen.refused = refused),
      onAlert: (a) => seen.alerts.push(a),
      onIncident: (i) => seen.incidents.push(i),
      onSessionEnd: () => ended++,
    },
    (url) => new FakeSocket(url) as unknown as WebSocket,
  );
  return { live, states, seen, ended: () => ended };
}

test('a snapshot replaces, a delta adds', () => {
  const first = merge(new Map(), { type: 'snapshot', vehicles: [vehicle('1', 28), vehicle('2', 28)], delayed: false });
  const moved = merge(first, { type: 'delta', vehicles: [vehicle('2', 29)], delayed: false });
  expect([moved.size, moved.get('2')?.lat, first.get('2')?.lat]).toEqual([2, 29, 28]);
  expect(merge(moved, { type: 'snapshot', vehicles: [vehicle('3', 1)], delayed: false }).size).toBe(1);
});

test('positions that do not arrive at the server are said, and said to be back', async () => {
  const { live, states } = watch(async () => 't');
  await live.connect();
  const say = (type: string, delayed: boolean) => FakeSocket.opened[0]!.say({ type, vehicles: [], delayed });
  say('snapshot', false);
  say('delta', false);
  say('delta', true);
  say('delta', true);
  say('delta', false);
  expect(states).toEqual(['live', 'delayed', 'live']);
  live.close();
});

test('waits grow to half a minute and never come in step', () => {
  expect(backoffMs(0, 0)).toBe(500);
  expect(backoffMs(0, 1)).toBe(1000);
  expect(backoffMs(50, 1)).toBe(30_000);
});

test('a broken connection is opened again with a new ticket', async () => {
  let tickets = 0;
  const { live, states, seen } = watch(async () => `t${++tickets}`);
  await live.connect();
  FakeSocket.opened[0]!.say({ type: 'snapshot', vehicles: [vehicle('1', 28)], delayed: false });
  FakeSocket.opened[0]!.onclose?.({ code: 1006 });
  expect(states).toEqual(['live', 'stale']);
  expect(seen.vehicles.size).toBe(1); // what was known stays on the map
  await vi.advanceTimersByTimeAsync(1000);
  expect(FakeSocket.opened.map((s) => s.url)).toEqual([
    'wss://rideguard.test/api/v1/live?ticket=t1',
    'wss://rideguard.test/api/v1/live?ticket=t2',
  ]);
});

test('an ended session and a refused right are told, and not asked for again', async () => {
  const ended = watch(async () => 't');
  await ended.live.connect();
  FakeSocket.opened[0]!.onclose?.({ code: 4002 });
  const refused = watch(async () => {
    throw new ApiError(403, 'forbidden', 'no');
  });
  await refused.live.connect();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([FakeSocket.opened.length, ended.ended(), refused.states]).toEqual([1, 1, ['refused']]);
});

test('a line that is dropped is broken at once, and opened at once when the network is back', async () => {
  const { live, states } = watch(async () => 't');
  await live.connect();
  FakeSocket.opened[0]!.say({ type: 'snapshot', vehicles: [], delayed: false });
  live.drop();
  expect([states.at(-1), FakeSocket.opened[0]!.closed]).toEqual(['stale', true]);
  live.retry();
  live.retry();
  await vi.advanceTimersByTimeAsync(0);
  expect(FakeSocket.opened.length).toBe(2);
  FakeSocket.opened[1]!.say({ type: 'snapshot', vehicles: [], delayed: false });
  await vi.advanceTimersByTimeAsync(30_000);
  expect([states.at(-1), FakeSocket.opened.length]).toEqual(['live', 2]);
  live.close();
});

test('a server that is away is asked again', async () => {
  let tries = 0;
  const { live, states } = watch(async () => {
    if (++tries === 1) throw new ApiError(0, 'unreachable', 'away');
    return 't';
  });
  await live.connect();
  expect(states).toEqual(['stale']);
  await vi.advanceTimersByTimeAsync(1000);
  expect(FakeSocket.opened.length).toBe(1);
});

test('after closing nothing is opened any more', async () => {
  const { live } = watch(async () => 't');
  await live.connect();
  live.close();
  FakeSocket.opened[0]!.onclose?.({ code: 1000 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect([FakeSocket.opened.length, FakeSocket.opened[0]!.closed]).toEqual([1, true]);
});

test('alerts are told, vehicles stay as they are', async () => {
  const { live, seen } = watch(async () => 't');
  await live.connect();
  FakeSocket.opened[0]!.say({ type: 'alert', alert: { id: '7' } });
  expect([seen.alerts.length, seen.vehicles.size]).toEqual([1, 0]);
});

test('an incident that changed is told, vehicles stay as they are', async () => {
  const { live, seen } = watch(async () => 't');
  await live.connect();
  FakeSocket.opened[0]!.say({ type: 'incident', incident: { id: '7', answer: 'stolen', version: 2 } });
  expect([seen.incidents.map((i) => i.version), seen.vehicles.size]).toEqual([[2], 0]);
});

test('a stream that is closed with 4401 ends the session, and is not opened again', async () => {
  const { live, ended } = watch(async () => 't');
  await live.connect();
  FakeSocket.opened[0]!.onclose?.({ code: 4401 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect([FakeSocket.opened.length, ended()]).toEqual([1, 1]);
});

test('a line that says nothing for 40 s is dead and opened again', async () => {
  const { live, states } = watch(() => Promise.resolve('t'));
  await live.connect();
  FakeSocket.opened[0]!.say({ type: 'snapshot', vehicles: [], delayed: false });
  await vi.advanceTimersByTimeAsync(39_000);
  FakeSocket.opened[0]!.say({ type: 'delta', vehicles: [], delayed: false });
  await vi.advanceTimersByTimeAsync(39_000);
  expect([states.at(-1), FakeSocket.opened.length]).toEqual(['live', 1]);
  await vi.advanceTimersByTimeAsync(3000);
  expect([states.at(-1), FakeSocket.opened[0]!.closed, FakeSocket.opened.length]).toEqual(['stale', true, 2]);
  live.close();
});

test('a view is told when the line opens, and after moves once a second, the newest of them', async () => {
  const { live } = watch(async () => 't');
  live.look([1, 1, 2, 2]);
  await live.connect();
  await vi.advanceTimersByTimeAsync(0);
  const [socket] = FakeSocket.opened;
  expect(socket!.sent).toEqual([]);
  socket!.begin();
  for (const east of [3, 4, 5]) live.look([1, 1, east, 2]);
  expect(socket!.sent).toEqual([{ type: 'view', bbox: [1, 1, 2, 2] }]);
  await vi.advanceTimersByTimeAsync(1000);
  expect(socket!.sent.slice(1)).toEqual([{ type: 'view', bbox: [1, 1, 5, 2] }]);
  socket!.onclose?.({ code: 1006 });
  await vi.advanceTimersByTimeAsync(1000);
  FakeSocket.opened[1]!.begin();
  expect(FakeSocket.opened[1]!.sent).toEqual([{ type: 'view', bbox: [1, 1, 5, 2] }]);
  live.close();
});

test('a view that is refused shows nothing and says why, until one is shown', async () => {
  const { live, seen } = watch(async () => 't');
  await live.connect();
  const { say } = FakeSocket.opened[0]!;
  const hear = say.bind(FakeSocket.opened[0]!);
  hear({ type: 'snapshot', vehicles: [vehicle('1', 28)], delayed: false });
  hear({ type: 'view_refused', code: 'view_too_large', message: 'm', values: { km2: 3000, km2_max: 2000 } });
  expect([seen.vehicles.size, seen.refused?.code]).toEqual([0, 'view_too_large']);
  hear({ type: 'snapshot', vehicles: [vehicle('1', 28)], delayed: false });
  expect([seen.vehicles.size, seen.refused]).toEqual([1, null]);
  live.close();
});
