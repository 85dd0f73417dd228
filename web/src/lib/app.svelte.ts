// What the pages share: the session, the live positions, the alerts, the map.

import { Api, ApiError } from './api';
import { Live, type LiveState } from './live';
import type { CityMap } from './map/city';
import { News } from './news';
import type { Account, Alert, LiveVehicle } from './types';
import type { Key } from './words';

const KEPT_AS = 'rideguard-token';

const isEnded = (error: unknown) => error instanceof ApiError && error.status === 401;

class App {
  readonly api = new Api(sessionStorage.getItem(KEPT_AS));
  account = $state.raw<Account | null>(null);
  /** Said on the log-in page. */
  notice = $state<Key | null>(null);
  /** Why the session of this tab could not be gone on with; it still stands. */
  failure = $state.raw<unknown>(null);
  map = $state.raw<CityMap | null>(null);
  hasNoMap = $state(false);
  vehicles = $state.raw<Map<string, LiveVehicle>>(new Map());
  liveState = $state<LiveState>('off');
  /** Of the newest live message, ms. */
  liveAt = $state(0);
  /** Alerts that have come and were not dismissed, newest first. */
  unseen = $state.raw<readonly Alert[]>([]);
  /** Grows with everything that may have changed alerts and cards. */
  changes = $state(0);
  /** The clock of the page, for ages, ms. */
  now = $state(Date.now());
  private live: Live | null = null;
  private news = new News();

  constructor() {
    this.api.onSessionEnd = () => this.forget('sessionEnded');
    setInterval(() => (this.now = Date.now()), 1000);
    addEventListener('offline', () => this.live?.drop());
    addEventListener('online', () => this.live?.retry());
  }

  /** Goes on with a session of this tab, if there is one. */
  async resume() {
    if (!this.api.token) return;
    try {
      this.account = await this.api.me();
      this.failure = null;
      this.startLive();
    } catch (error) {
      // An ended session is told on the log-in page.
      this.failure = isEnded(error) ? null : error;
    }
  }

  async logIn(login: string, password: string) {
    this.account = await this.api.logIn(login, password);
    this.notice = null;
    sessionStorage.setItem(KEPT_AS, this.api.token ?? '');
    this.startLive();
  }

  /** Leaves in any case; a server that is away is told of, because there the session lives on for its hours. */
  async logOut() {
    try {
      await this.api.logOut();
      this.forget(null);
    } catch (error) {
      this.forget(isEnded(error) ? null : 'logOutUnsaid');
    }
  }

  private forget(notice: Key | null) {
    sessionStorage.removeItem(KEPT_AS);
    this.stopLive();
    [this.account, this.failure, this.notice] = [null, null, notice];
    this.news = new News();
    this.unseen = [];
  }

  dismissAlerts() {
    this.news.dismiss();
    this.unseen = this.news.unseen;
  }

  /** Police watch only for a case, and only when asked for; administrators do not watch. */
  startLive(grant?: string) {
    this.stopLive();
    const role = this.account?.role;
    if (role === 'admin' || (role === 'police' && !grant)) return;
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
      onAlert: (alert) => {
        this.news.heard(alert);
        this.tellNews();
      },
      // The server says the same to the next question; asking it ends the session here too.
      onSessionEnd: () => void this.api.me().catch(() => {}),
    });
    void this.live.connect();
  }

  /** Whatever was raised while the stream was away. */
  private async catchUp() {
    if (this.account?.role !== 'owner') return;
    const { news } = this;
    try {
      news.caughtUp((await this.api.alerts()).alerts);
    } catch {
      // The next opening of the stream looks again.
      return;
    }
    if (news === this.news) this.tellNews();
  }

  private tellNews() {
    this.unseen = this.news.unseen;
    this.changes++;
  }

  stopLive() {
    this.live?.close();
    this.live = null;
    this.liveState = 'off';
    this.vehicles = new Map();
  }
}

export const app = new App();
