// The typed client of docs/api.md. Every failure is an ApiError with the server's own code.

import type { Listed } from './news';
import type { Account, Alert, Answer, AreaPage, Contact, CoverageGap, Did, Grant, Guarding, Incident, LonLat, NewZone, Outage, Schedule, Track, Tracker } from './types';
import type { Vehicle, Zone } from './types';

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly values: Values = {},
    /** The thing as it is by now, where the question came too late. */
    readonly incident?: Incident,
  ) {
    super(message);
  }
}

/** What a refusal's sentence holds, by name. */
export type Values = Record<string, unknown>;

interface Refusal {
  error?: string;
  code?: string;
  message?: string;
  values?: Values;
  incident?: Incident;
}

/** How long an answer is waited for, ms; the server itself gives up after 30 s. */
const ANSWER_MS_MAX = 35_000;

export class Api {
  /** Called when the server no longer knows our session. */
  onSessionEnd: () => void = () => {};

  /** Grows with each session, so that a late refusal of an earlier one does not end the one of now. */
  private session = 0;

  /** `isIn`: whether somebody may be logged in. Who it is stands in a cookie that scripts cannot read. */
  constructor(
    public isIn = true,
    private readonly ask: typeof fetch = (...a) => fetch(...a),
  ) {}

  private async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    // A foreign page cannot set this header, so its questions carry no session.
    const headers: Record<string, string> = { 'x-rideguard': '1' };
    const { session } = this;
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
    const { error, code, message, values, incident } = (said ?? {}) as Refusal;
    if (answer.status === 401 && this.isIn && session === this.session) {
      this.end();
      this.onSessionEnd();
    }
    throw new ApiError(answer.status, code ?? error ?? 'unknown', message ?? `status ${answer.status}`, values ?? {}, incident);
  }

  /** Another session stands from now on, or none. */
  begin() {
    [this.isIn, this.session] = [true, this.session + 1];
  }
  end() {
    [this.isIn, this.session] = [false, this.session + 1];
  }

  async logIn(login: string, password: string): Promise<Account> {
    this.isIn = false;
    const said = await this.call<{ account: Account }>('POST', '/session', { login, password, cookie: true });
    this.begin();
    return said.account;
  }

  async logOut(): Promise<void> {
    try {
      await this.call<void>('DELETE', '/session');
    } finally {
      this.end();
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
  setArmed = (vehicle: string, armed: boolean, withdraw = false) =>
    this.call<{ armed?: boolean; since?: string; pending?: boolean }>(
      'POST',
      `/vehicles/${encodeURIComponent(vehicle)}/${armed ? 'arm' : 'disarm'}`,
      withdraw ? { withdraw } : undefined,
    );
  alerts = (before?: string) =>
    this.call<{ alerts: Alert[]; next: string | null }>(
      'GET',
      `/alerts?${new URLSearchParams({ limit: '50', ...(before && { before }) })}`,
    );
  incidents = async () => (await this.call<{ incidents: Listed[] }>('GET', '/incidents?limit=100')).incidents;
  incident = (id: string) => this.call<Incident>('GET', `/incidents/${encodeURIComponent(id)}`);
  answer = (id: string, answer: Answer, version?: number, withdraw = false) =>
    this.call<Incident | { pending: true }>('POST', `/incidents/${encodeURIComponent(id)}/answer`, {
      answer,
      version,
      ...(withdraw && { withdraw }),
    });
  guarding = (vehicle: string) => this.call<Guarding>('GET', `/vehicles/${encodeURIComponent(vehicle)}/guard-policy`);
  setGuarding = (vehicle: string, schedule: Schedule | null, auto_after_s: number | null) =>
    this.call<Guarding>('PUT', `/vehicles/${encodeURIComponent(vehicle)}/guard-policy`, { schedule, auto_after_s });
  makePhone = async (vehicle: string) =>
    (await this.call<{ token: string }>('POST', `/vehicles/${encodeURIComponent(vehicle)}/phone-tokens`)).token;
  removePhones = (vehicle: string) => this.call<void>('DELETE', `/vehicles/${encodeURIComponent(vehicle)}/phone-tokens`);
  coverageGaps = async () => (await this.call<{ gaps: CoverageGap[] }>('GET', '/coverage-gaps')).gaps;
  outages = async () => (await this.call<{ outages: Outage[] }>('GET', '/outages')).outages;
  /** Where vehicles are now, by their ids. */
  newest = async (grant: string, vehicles: string[]) =>
    (await this.call<{ vehicles: Vehicle[] }>('POST', '/search/latest', { grant, vehicles })).vehicles;
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
      counts: Record<Contact, number>;
    }>('GET', `/trackers?${new URLSearchParams({ state, q, limit: '100', ...(after && { after }) })}`);
  liveTicket = async (grant?: string) =>
    (await this.call<{ ticket: string }>('POST', '/live/ticket', grant ? { grant } : {})).ticket;
}
