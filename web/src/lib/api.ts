// The typed client of docs/api.md. Every failure is an ApiError with the server's own code.

import type { Account, Alert, Answer, AreaPage, CoverageGap, Did, Grant, Guarding, Incident, LonLat, NewZone, Outage, Schedule, Track, Tracker } from './types';
import type { Vehicle, Zone } from './types';

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** How long an answer is waited for, ms; the server itself gives up after 30 s. */
const ANSWER_MS_MAX = 35_000;

export class Api {
  /** Called when the server no longer knows our session. */
  onSessionEnd: () => void = () => {};

  constructor(
    public token: string | null = null,
    private readonly ask: typeof fetch = (...a) => fetch(...a),
  ) {}

  private async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = {};
    const { token } = this;
    if (token) headers['Authorization'] = `Bearer ${token}`;
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    let answer: Response;
    try {
      answer = await this.ask(`/api/v1${path}`, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
      });
    } catch {
      throw new ApiError(0, 'unreachable', 'the server cannot be reached');
    }
    if (answer.status === 204) return undefined as T;
    const said: unknown = await answer.json().catch(() => null);
    if (answer.ok) return said as T;
    const { error, message } = (said ?? {}) as { error?: string; message?: string };
    // A late refusal of an earlier session does not end the one of now.
    if (answer.status === 401 && token && token === this.token) {
      this.token = null;
      this.onSessionEnd();
    }
    throw new ApiError(answer.status, error ?? 'unknown', message ?? `status ${answer.status}`);
  }

  async logIn(login: string, password: string): Promise<Account> {
    const said = await this.call<{ token: string; account: Account }>('POST', '/session', { login, password });
    this.token = said.token;
    return said.account;
  }

  async logOut(): Promise<void> {
    try {
      await this.call<void>('DELETE', '/session');
    } finally {
      this.token = null;
    }
  }

  me = () => this.call<Account>('GET', '/me');
  myVehicles = async () => (await this.call<{ vehicles: Vehicle[] }>('GET', '/vehicles')).vehicles;
  searchVehicles = async (q: string, grant: string) =>
    (await this.call<{ vehicles: Vehicle[] }>('GET', `/vehicles?${new URLSearchParams({ q, grant })}`)).vehicles;
  track = (vehicle: string, from: Date, to: Date, grant?: string) => {
    const query = new URLSearchParams({ from: from.toISOString(), to: to.toISOString(), ...(grant && { grant }) });
    return this.call<Track>('GET', `/vehicles/${encodeURIComponent(vehicle)}/track?${query}`);
  };
  setArmed = (vehicle: string, armed: boolean) =>
    this.call<{ armed?: boolean; since?: string; pending?: boolean }>(
      'POST',
      `/vehicles/${encodeURIComponent(vehicle)}/${armed ? 'arm' : 'disarm'}`,
    );
  alerts = (before?: string) =>
    this.call<{ alerts: Alert[]; next: string | null }>(
      'GET',
      `/alerts?${new URLSearchParams({ limit: '50', ...(before && { before }) })}`,
    );
  incident = (id: string) => this.call<Incident>('GET', `/incidents/${encodeURIComponent(id)}`);
  answer = (id: string, answer: Answer) =>
    this.call<Incident | { pending: true }>('POST', `/incidents/${encodeURIComponent(id)}/answer`, { answer });
  guarding = (vehicle: string) => this.call<Guarding>('GET', `/vehicles/${encodeURIComponent(vehicle)}/guarding`);
  setGuarding = (vehicle: string, schedule: Schedule | null, auto_after_s: number | null) =>
    this.call<Guarding>('PUT', `/vehicles/${encodeURIComponent(vehicle)}/guarding`, { schedule, auto_after_s });
  makePhone = async (vehicle: string) =>
    (await this.call<{ token: string }>('POST', `/vehicles/${encodeURIComponent(vehicle)}/phone`)).token;
  removePhones = (vehicle: string) => this.call<void>('DELETE', `/vehicles/${encodeURIComponent(vehicle)}/phone`);
  coverageGaps = async () => (await this.call<{ gaps: CoverageGap[] }>('GET', '/coverage-gaps')).gaps;
  outages = async () => (await this.call<{ outages: Outage[] }>('GET', '/outages')).outages;
  grants = async () => (await this.call<{ grants: Grant[] }>('GET', '/grants')).grants;
  searchArea = (grant: string, polygon: LonLat[], from: Date, to: Date, did: Did, cursor?: string | null) =>
    this.call<AreaPage>('POST', '/search/area', {
      grant,
      polygon,
      from: from.toISOString(),
      to: to.toISOString(),
      did,
      ...(cursor && { cursor }),
    });
  zones = async () => (await this.call<{ zones: Zone[] }>('GET', '/zones')).zones;
  addZone = (zone: NewZone) => this.call<Zone>('POST', '/zones', zone);
  deleteZone = (id: string) => this.call<void>('DELETE', `/zones/${encodeURIComponent(id)}`);
  trackers = (state: string, q: string, after?: string) =>
    this.call<{
      trackers: Tracker[];
      next: string | null;
      counts: { online: number; silent: number; never: number };
    }>('GET', `/trackers?${new URLSearchParams({ state, q, limit: '100', ...(after && { after }) })}`);
  liveTicket = async (grant?: string) =>
    (await this.call<{ ticket: string }>('POST', '/live/ticket', grant ? { grant } : {})).ticket;
}
