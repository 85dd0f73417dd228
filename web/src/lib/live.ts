// The live stream: one WebSocket, opened with a ticket, kept open with patience.

import { ApiError } from './api';
import type { Alert, IncidentChange, LiveMessage, LiveVehicle } from './types';

/**
 * `delayed`: the line stands, but positions do not arrive at the server.
 * `refused`: the server lets us watch no longer, for example because a grant has ended.
 */
export type LiveState = 'off' | 'connecting' | 'live' | 'delayed' | 'stale' | 'refused';

/** A socket's state in which it takes messages. */
const OPEN = 1;

/** The codes with which the server closes a stream whose session has ended. */
const SESSION_ENDED = [4002, 4401];

/** Shortest and longest wait before connecting again, ms. */
const BACKOFF_MS: [number, number] = [1000, 30_000];

/** The server says something every 15 s; after this long without a word the line is dead, ms. */
const SILENCE_MAX_MS = 40_000;

/** Doubles with every attempt; half to all of it, so that browsers do not come back in step. */
export function backoffMs(attempt: number, random: number): number {
  return Math.min(BACKOFF_MS[1], BACKOFF_MS[0] * 2 ** attempt) * (0.5 + random / 2);
}

/** Takes what a message says of vehicles; a snapshot replaces, a delta adds. */
export function merge(known: Map<string, LiveVehicle>, message: LiveMessage): Map<string, LiveVehicle> {
  if (message.type === 'alert' || message.type === 'incident') return known;
  if (message.type === 'view_refused') return new Map();
  const next = message.type === 'snapshot' ? new Map<string, LiveVehicle>() : new Map(known);
  for (const vehicle of message.vehicles) next.set(vehicle.id, vehicle);
  return next;
}

/** The server takes a view a second; the newest waits as long, ms. */
const VIEW_EVERY_MS = 1000;

/** West, south, east, north, degrees. */
export type View = [number, number, number, number];
/** Why the server shows nothing of a view. */
export type RefusedView = Pick<Extract<LiveMessage, { type: 'view_refused' }>, 'code' | 'message' | 'values'>;

export interface LiveEvents {
  onState(state: LiveState): void;
  onVehicles(vehicles: Map<string, LiveVehicle>): void;
  /** Nothing of the view is shown, or something is again. */
  onView(refused: RefusedView | null): void;
  onAlert(alert: Alert): void;
  /** An incident was opened, answered, changed or closed. */
  onIncident(incident: IncidentChange): void;
  /** The stream says that the session has ended. */
  onSessionEnd(): void;
}

export class Live {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private attempt = 0;
  private closed = false;
  private vehicles = new Map<string, LiveVehicle>();
  private delayed = false;
  private view: View | null = null;
  private viewTimer: ReturnType<typeof setTimeout> | undefined;
  private viewedAt = -Infinity;

  constructor(
    private readonly ticket: () => Promise<string>,
    private readonly events: LiveEvents,
    private readonly open: (url: string) => WebSocket = (url) => new WebSocket(url),
  ) {}

  async connect(): Promise<void> {
    if (this.closed) return;
    let ticket: string;
    try {
      ticket = await this.ticket();
    } catch (error) {
      // Who has no session any more, or no right, need not ask again.
      const status = error instanceof ApiError ? error.status : 0;
      if (status === 403 && !this.closed) this.events.onState('refused');
      if (![401, 403].includes(status)) this.again();
      return;
    }
    if (this.closed) return;
    const socket = this.open(
      `${location.protocol.replace('http', 'ws')}//${location.host}/api/v1/live?ticket=${encodeURIComponent(ticket)}`,
    );
    this.socket = socket;
    const wait = () => {
      clearTimeout(this.silence);
      this.silence = setTimeout(() => this.drop(), SILENCE_MAX_MS);
    };
    wait();
    socket.onopen = () => this.show();
    socket.onmessage = (event) => {
      wait();
      this.take(String(event.data));
    };
    socket.onclose = (event) => {
      clearTimeout(this.silence);
      this.socket = null;
      if (SESSION_ENDED.includes(event.code)) this.events.onSessionEnd();
      else this.again();
    };
  }

  /** What is looked at: told at the opening of each line, and after a move. */
  look(view: View) {
    this.view = view;
    if (this.viewTimer !== undefined) return;
    const wait = Math.max(0, this.viewedAt + VIEW_EVERY_MS - Date.now());
    this.viewTimer = setTimeout(() => this.show(), wait);
  }

  private show() {
    clearTimeout(this.viewTimer);
    this.viewTimer = undefined;
    if (!this.view || this.socket?.readyState !== OPEN) return;
    this.viewedAt = Date.now();
    this.socket.send(JSON.stringify({ type: 'view', bbox: this.view }));
  }

  /** Gives the line up without waiting for its silence, for example because the device is off the network. */
  drop() {
    if (!this.socket) return;
    clearTimeout(this.silence);
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
    this.again();
  }

  /** Connects now instead of after the wait, for example because the network is back. */
  retry() {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.attempt = 0;
    this.timer = undefined;
    void this.connect();
  }

  private take(text: string) {
    const message = JSON.parse(text) as LiveMessage;
    if (message.type === 'alert') {
      this.events.onAlert(message.alert);
      return;
    }
    if (message.type === 'incident') {
      this.events.onIncident(message.incident);
      return;
    }
    if (message.type === 'view_refused') {
      this.vehicles = merge(this.vehicles, message);
      this.events.onVehicles(this.vehicles);
      this.events.onView(message);
      return;
    }
    if (message.type === 'snapshot') this.events.onView(null);
    if (message.type === 'snapshot' || message.delayed !== this.delayed) {
      this.attempt = 0;
      this.delayed = message.delayed;
      this.events.onState(message.delayed ? 'delayed' : 'live');
    }
    this.vehicles = merge(this.vehicles, message);
    this.events.onVehicles(this.vehicles);
  }

  private again() {
    if (this.closed) return;
    this.events.onState('stale');
    const wait = backoffMs(this.attempt++, Math.random());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.connect();
    }, wait);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.viewTimer);
    clearTimeout(this.silence);
    this.socket?.close();
  }
}
