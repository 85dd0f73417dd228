// What the pages share: the session, the live positions, the alerts, the map.

import { Api, ApiError, type Factor } from './api';
import { Live, type LiveState, type View } from './live';
import type { CityMap, Hit } from './map/city';
import { News, type Listed, type Warning } from './news';
import type { Account, LiveVehicle, Vehicle } from './types';
import type { Key } from './words';

/** Stands while the server has not heard of a log-out; it is told before anything else is asked. */
const OWED = 'rideguard-log-out-owed';

const isEnded = (error: unknown) => error instanceof ApiError && error.status === 401;

class App {
  readonly api = new Api();
  account = $state.raw<Account | null>(null);
  /** Said on the log-in page. */
  notice = $state<Key | null>(null);
  /** Why nobody knows whether somebody is logged in; the session still stands. */
  failure = $state.raw<unknown>(null);
  map = $state.raw<CityMap | null>(null);
  hasNoMap = $state(false);
  vehicles = $state.raw<Map<string, LiveVehicle>>(new Map());
  /** My own, as last read: what the live stream does not say of them. */
  mine = $state.raw<Map<string, Vehicle>>(new Map());
  /** What to do with a vehicle that was chosen on the map; the page in sight says it. */
  choose = $state.raw<((vehicle: string) => void) | null>(null);
  /** What a search has found, on the map. */
  hits = $state.raw<readonly Hit[]>([]);
  liveState = $state<LiveState>('off');
  /** Why the server shows nothing of what the map shows. */
  viewRefused = $state.raw<ApiError | null>(null);
  /** Of the newest live message, ms. */
  liveAt = $state(0);
  /** What the owner is warned of, newest first. */
  warnings = $state.raw<readonly Warning[]>([]);
  /** How many things wait for the owner, dismissed or not. */
  waiting = $state(0);
  /** The owner's incidents by their ids, as last read. */
  incidents = $state.raw<Map<string, Listed>>(new Map());
  /** Grows with everything that may have changed alerts and cards. */
  changes = $state(0);
  /** The clock of the page, for ages, ms. */
  now = $state(Date.now());
  private live: Live | null = null;

  /** Owners and their families see what is theirs, with plates. */
  get seesOwn(): boolean {
    return this.account?.role === 'owner' || this.account?.role === 'family';
  }

  /** What the map shows, as last told by it. */
  private view: View | null = null;
  private news = new News();
  /** One session for the browser: tabs tell each other when it begins and ends. */
  private readonly tabs = new BroadcastChannel('rideguard-session');

  constructor() {
    this.api.onSessionEnd = () => this.leave('sessionEnded');
    setInterval(() => (this.now = Date.now()), 1000);
    addEventListener('offline', () => this.live?.drop());
    addEventListener('online', () => this.live?.retry());
    this.tabs.onmessage = ({ data }: MessageEvent<'in' | Key | null>) => {
      if (data === 'in') void this.resume();
      else this.forget(data);
    };
  }

  /** Goes on with the browser's session, if there is one. */
  async resume() {
    try {
      if (localStorage.getItem(OWED)) await this.payLogOut();
      this.take(await this.api.me());
      this.failure = null;
    } catch (error) {
      // Nobody is logged in, or an ended session is told on the log-in page.
      this.failure = isEnded(error) || this.account ? null : error;
    }
  }

  /** Logs in. Recovery codes that came with it are shown first: `enter` goes on then. */
  async logIn(login: string, password: string, factor?: Factor): Promise<{ codes: readonly string[]; enter: () => void } | null> {
    const { account, recovery_codes: codes } = await this.api.logIn(login, password, factor);
    localStorage.removeItem(OWED);
    const enter = () => {
      this.take(account);
      this.tabs.postMessage('in');
    };
    if (codes) return { codes, enter };
    enter();
    return null;
  }

  /** Somebody is logged in: as before, or another than before. */
  private take(account: Account) {
    if (this.account?.login === account.login) return;
    this.forget(null);
    this.api.begin();
    this.account = account;
    this.startLive();
  }

  /** What an entry does first; false: somebody stays. */
  beforeLogOut: (() => Promise<boolean>) | null = null;

  /** Leaves in any case; a server that is away is told as soon as it is back. */
  async logOut() {
    if ((await this.beforeLogOut?.()) === false) return;
    try {
      await this.api.logOut();
      this.leave(null);
    } catch (error) {
      if (!isEnded(error)) localStorage.setItem(OWED, '1');
      this.leave(isEnded(error) ? null : 'logOutUnsaid');
    }
  }

  private async payLogOut() {
    await this.api.logOut().catch((error: unknown) => {
      if (!isEnded(error)) throw error;
    });
    localStorage.removeItem(OWED);
  }

  private leave(notice: Key | null) {
    this.forget(notice);
    this.tabs.postMessage(notice);
  }

  private forget(notice: Key | null) {
    this.api.end();
    this.stopLive();
    // Who was not logged in has lost no session: a first visit is not told of one, and what was said before stays.
    const said = notice === 'sessionEnded' && this.account === null ? this.notice : notice;
    [this.account, this.failure, this.notice] = [null, null, said];
    this.news = new News();
    [this.mine, this.incidents] = [new Map(), new Map()];
    this.show();
  }

  dismissWarnings() {
    this.news.dismiss();
    this.show();
  }

  /** Police watch only for a case, and only when asked for; who installs, approves or audits does not watch. */
  startLive(grant?: string) {
    this.stopLive();
    const role = this.account?.role;
    if (!(role === 'police' ? grant : role === 'owner' || role === 'family' || role === 'operator')) return;
    this.liveState = 'connecting';
    this.live = new Live(() => this.api.liveTicket(grant), {
      onState: (state) => {
        this.liveState = state;
        if (state === 'live') void this.catchUp();
      },
      onVehicles: (vehicles) => {
        this.vehicles = vehicles;
        if (this.liveState === 'live') this.liveAt = Date.now();
      },
      onView: (refused) => {
        this.viewRefused = refused && new ApiError(400, refused.code, refused.message, refused.values);
      },
      onAlert: (alert) => {
        this.news.heard(alert);
        this.tell();
        if (alert.incident_id !== null) void this.catchUp();
      },
      onIncident: (incident) => {
        this.news.changed(incident);
        this.tell();
        void this.catchUp();
      },
      // The server says the same to the next question; asking it ends the session here too.
      onSessionEnd: () => void this.api.me().then(() => this.startLive(grant)).catch(() => {}),
    });
    if (this.view) this.look(this.view);
    void this.live.connect();
  }

  /** The map shows this now. Of the police the server asks for it; others are shown what they may see anyway. */
  look(view: View) {
    this.view = view;
    if (this.account?.role === 'police') this.live?.look(view);
  }

  /** Reads what the owner has to know: whatever was raised or answered while the stream was away. */
  async catchUp() {
    if (!this.seesOwn) return;
    const { news } = this;
    try {
      const [{ alerts }, incidents] = await Promise.all([this.api.alerts(), this.api.incidents()]);
      news.caughtUp(alerts);
      news.stand(incidents);
      if (news !== this.news) return;
      this.incidents = new Map(incidents.map((i) => [i.id, i]));
    } catch {
      // The next opening of the stream looks again.
      return;
    }
    this.tell();
  }

  private show() {
    [this.warnings, this.waiting] = [this.news.warnings, this.news.count];
  }

  private tell() {
    this.show();
    this.changes++;
  }

  stopLive() {
    this.live?.close();
    this.live = null;
    this.liveState = 'off';
    this.viewRefused = null;
    this.vehicles = new Map();
  }
}

export const app = new App();
