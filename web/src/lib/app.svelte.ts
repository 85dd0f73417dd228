// What the pages share: the session, the live positions, the map.

import { Api } from './api';
import { i18n } from './i18n.svelte';
import { Live, type LiveState } from './live';
import type { CityMap } from './map/city';
import type { Account, Alert, LiveVehicle } from './types';

const KEPT_AS = 'rideguard-token';

class App {
  readonly api = new Api(sessionStorage.getItem(KEPT_AS));
  account = $state.raw<Account | null>(null);
  /** Said on the log-in page. */
  notice = $state('');
  map = $state.raw<CityMap | null>(null);
  hasNoMap = $state(false);
  vehicles = $state.raw<Map<string, LiveVehicle>>(new Map());
  liveState = $state<LiveState>('off');
  /** Of the newest live message, ms. */
  liveAt = $state(0);
  /** The alert that has just come. */
  newAlert = $state.raw<Alert | null>(null);
  /** The clock of the page, for ages, ms. */
  now = $state(Date.now());
  private live: Live | null = null;

  constructor() {
    this.api.onSessionEnd = () => {
      this.notice = i18n.t('sessionEnded');
      this.forget();
    };
    setInterval(() => (this.now = Date.now()), 1000);
  }

  /** Goes on with a session of this tab, if there is one. */
  async resume() {
    if (!this.api.token) return;
    try {
      this.account = await this.api.me();
      this.startLive();
    } catch {
      // Not reachable or ended: the log-in page says what happens next.
    }
  }

  async logIn(login: string, password: string) {
    this.account = await this.api.logIn(login, password);
    this.notice = '';
    sessionStorage.setItem(KEPT_AS, this.api.token ?? '');
    this.startLive();
  }

  async logOut() {
    try {
      await this.api.logOut();
    } finally {
      this.forget();
    }
  }

  private forget() {
    sessionStorage.removeItem(KEPT_AS);
    this.stopLive();
    this.account = null;
    this.newAlert = null;
  }

  /** Police watch only for a case, and only when asked for; administrators do not watch. */
  startLive(grant?: string) {
    this.stopLive();
    const role = this.account?.role;
    if (role === 'admin' || (role === 'police' && !grant)) return;
    this.liveState = 'connecting';
    this.live = new Live(() => this.api.liveTicket(grant), {
      onState: (state) => (this.liveState = state),
      onVehicles: (vehicles) => {
        this.vehicles = vehicles;
        this.liveAt = Date.now();
      },
      onAlert: (alert) => {
        if (alert.wakes_owner) this.newAlert = alert;
      },
    });
    void this.live.connect();
  }

  stopLive() {
    this.live?.close();
    this.live = null;
    this.liveState = 'off';
    this.vehicles = new Map();
  }
}

export const app = new App();
