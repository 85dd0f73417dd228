// The typed client of docs/api.md. Every failure is an ApiError with the server's own code.

import type { LonLat } from './geometry';
import type { Answered, Asked, Method, PathOf } from './operations';
import type {
  Account, Answer, AreaCondition, DoorHandOverRequest, DoorJobRequest, DoorVisitRequest, ErrorBody, FamilyRight, Incident, RemovalRequest, TrackerBatchRequest,
  TrackerFilter, Vehicle, WeekSchedule, ZoneRequest,
} from './types';

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

/** Of the second step of a log-in. */
export type Factor = { totp?: string; recovery_code?: string; enrolment?: string };

/** How long an answer is waited for, ms; the server itself gives up after 30 s. */
const ANSWER_MS_MAX = 35_000;
/** The same of a large file; the server itself gives up after 420 s. */
const LONG_MS_MAX = 430_000;

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

  async call<M extends Method, P extends PathOf<M>>(method: M, path: P, { id, kind, query, body, file, isLong, key, version }: Asked<M, P> = {}): Promise<Answered<M, P>> {
    // A foreign page cannot set this header, so its questions carry no session.
    const headers: Record<string, string> = { 'x-rideguard': '1' };
    const { session } = this;
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (key !== undefined) headers['Idempotency-Key'] = key;
    if (version !== undefined) headers['If-Match'] = `"${version}"`;
    const given = Object.entries((query ?? {}) as Record<string, unknown>).filter(([, value]) => value !== undefined);
    const search = given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : '';
    const address = `/api/v1${path.replace('{kind}', kind ?? '').replace('{id}', encodeURIComponent(id ?? ''))}${search}`;
    let answer: Response;
    try {
      answer = await this.ask(address, {
        method: method.toUpperCase(),
        headers,
        body: file ?? (body === undefined ? undefined : JSON.stringify(body)),
        signal: AbortSignal.timeout(isLong ? LONG_MS_MAX : ANSWER_MS_MAX),
      });
    } catch {
      throw new ApiError(0, 'unreachable', 'the server cannot be reached');
    }
    if (answer.status === 204) return undefined as Answered<M, P>;
    if (answer.ok && answer.headers.get('content-type')?.startsWith('text/csv')) return (await answer.text()) as Answered<M, P>;
    const said: unknown = await answer.json().catch(() => null);
    if (answer.ok) return said as Answered<M, P>;
    const { error, code, message, values, incident } = (said ?? {}) as Partial<ErrorBody>;
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

  /** `factor`: what a second factor needs beside the password. */
  async logIn(login: string, password: string, factor: Factor = {}): Promise<{ account: Account; recovery_codes?: string[] }> {
    this.isIn = false;
    const said = await this.call('post', '/session', { body: { login, password, cookie: true, ...factor } });
    this.begin();
    return said;
  }

  async logOut(): Promise<void> {
    try {
      await this.call('delete', '/session');
    } finally {
      this.end();
    }
  }

  me = () => this.call('get', '/me');
  myVehicles = async () => (await this.call('get', '/vehicles')).vehicles;
  searchVehicles = async (q: string, grant_id: string) => (await this.call('get', '/vehicles', { query: { q, grant_id } })).vehicles;
  track = (id: string, from: Date, to: Date, grant_id?: string) =>
    this.call('get', '/vehicles/{id}/track', { id, query: { from: from.toISOString(), to: to.toISOString(), grant_id } });
  setArmed = (id: string, armed: boolean, withdraw = false) =>
    this.call('post', `/vehicles/{id}/${armed ? 'arm' : 'disarm'}`, { id, body: withdraw ? { withdraw } : undefined });
  alerts = (cursor?: string) => this.call('get', '/alerts', { query: { limit: 50, cursor } });
  incidents = async () => (await this.call('get', '/incidents', { query: { limit: 100 } })).incidents;
  incident = (id: string) => this.call('get', '/incidents/{id}', { id });
  answer = (id: string, answer: Answer, version?: number, withdraw = false) =>
    this.call('post', '/incidents/{id}/answer', { id, body: { answer, version, ...(withdraw && { withdraw }) } });
  guarding = (id: string) => this.call('get', '/vehicles/{id}/guard-policy', { id });
  setGuarding = (id: string, schedule: WeekSchedule | null, auto_after_s: number | null) =>
    this.call('put', '/vehicles/{id}/guard-policy', { id, body: { schedule, auto_after_s } });
  removePhones = (id: string) => this.call('delete', '/vehicles/{id}/phone-tokens', { id });
  handOver = (id: string) => this.call('get', '/vehicles/{id}/hand-over', { id });
  offerHandOver = (id: string, takes_place_at?: string) => this.call('post', '/vehicles/{id}/hand-over', { id, body: { takes_place_at } });
  cancelHandOver = (id: string) => this.call('delete', '/vehicles/{id}/hand-over', { id });
  pendingHandOvers = async () => (await this.call('get', '/me/hand-overs', {})).hand_overs;
  declineHandOver = (id: string) => this.call('delete', '/hand-overs/{id}', { id });
  setPositioning = (id: string, on: boolean) => this.call('post', '/vehicles/{id}/positioning', { id, body: { on } });
  consent = () => this.call('get', '/me/consent', {});
  withdrawConsent = () => this.call('delete', '/me/consent', {});
  giveConsent = (version: string) => this.call('post', '/me/consent', { body: { version } });
  acceptHandOver = (code: string) => this.call('post', '/hand-overs/accept', { body: { code } });
  family = async (id: string) => (await this.call('get', '/vehicles/{id}/family', { id })).members;
  inviteFamily = (id: string, name: string, may: FamilyRight, ends_at?: string) => this.call('post', '/vehicles/{id}/family', { id, body: { name, may, ends_at } });
  acceptFamily = (code: string) => this.call('post', '/family/accept', { body: { code } });
  endFamily = (id: string) => this.call('delete', '/family/{id}', { id });
  shares = async (id: string) => (await this.call('get', '/vehicles/{id}/shares', { id })).shares;
  share = (id: string, minutes: number, openings_max: number) => this.call('post', '/vehicles/{id}/shares', { id, body: { minutes, openings_max } });
  revokeShare = (id: string) => this.call('delete', '/shares/{id}', { id });
  looks = async () => (await this.call('get', '/me/looks')).looks;
  deleteAccount = (password: string) => this.call('delete', '/me', { body: { password } });
  coverageGaps = async () => (await this.call('get', '/coverage-gaps')).gaps;
  listeners = async () => (await this.call('get', '/listeners')).doors;
  outages = async () => (await this.call('get', '/outages')).outages;
  /** Where vehicles are now, by their ids. */
  newest = async (grant_id: string, vehicles: string[]) =>
    // Of a watch list, the answer holds whole vehicles.
    (await this.call('post', '/search/latest', { body: { grant_id, vehicles } })).vehicles.filter((v): v is Vehicle => 'id' in v);
  grants = async () => (await this.call('get', '/grants')).grants;
  searchArea = (grant_id: string, polygon: LonLat[], from: Date, to: Date, condition: AreaCondition, cursor?: string | null) =>
    this.call('post', '/search/area', {
      body: { grant_id, polygon, from: from.toISOString(), to: to.toISOString(), condition, ...(cursor && { cursor }) },
    });
  zones = async () => (await this.call('get', '/zones')).zones;
  addZone = (zone: ZoneRequest) => this.call('post', '/zones', { body: zone });
  deleteZone = (id: string) => this.call('delete', '/zones/{id}', { id });
  trackerCredential = (id: string) => this.call('get', '/trackers/{id}/credential', { id });
  issueCredential = (id: string, reason?: string) => this.call('post', '/trackers/{id}/credential', { id, body: { reason } });
  revokeCredential = (id: string, reason: string) => this.call('delete', '/trackers/{id}/credential', { id, query: { reason } });
  registerTrackers = (key: string, batch: TrackerBatchRequest) => this.call('post', '/tracker-batches', { key, body: batch });
  issueBatchCredentials = (key: string, batch: string) => this.call('post', '/tracker-batches/credentials', { key, body: { batch } });
  trackers = (state: TrackerFilter, q: string, reason?: string, cursor?: string) =>
    this.call('get', '/trackers', { query: { state, q, reason, limit: 100, cursor } });
  doorDay = (day: string) => this.call('get', '/door/jobs', { query: { day } });
  addDoorJob = (job: DoorJobRequest) => this.call('post', '/door/jobs', { body: job });
  enrolAtTheDoor = (key: string, asked: DoorVisitRequest) => this.call('post', '/door/visits', { key, body: asked });
  doorVisit = (id: string, here: { lat: number; lon: number } | null) => this.call('get', '/door/visits/{id}', { id, query: here ?? {} });
  putDoorPhoto = (id: string, photo: Blob) => this.call('put', '/door/visits/{id}/photo', { id, file: photo });
  beginDrill = (id: string) => this.call('post', '/door/visits/{id}/drill', { id });
  handOverAtTheDoor = (id: string, asked: DoorHandOverRequest) => this.call('post', '/door/visits/{id}/hand-over', { id, body: asked });
  giveUpVisit = (id: string, reason: string) => this.call('post', '/door/visits/{id}/give-up', { id, body: { reason } });
  removeAtTheDoor = (asked: RemovalRequest) => this.call('post', '/door/removals', { body: asked });
  liveTicket = async (grant_id?: string) => (await this.call('post', '/live/ticket', { body: grant_id ? { grant_id } : {} })).ticket;
}
