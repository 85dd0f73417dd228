// Alerts that nobody has dismissed yet: each told once, however often the stream or a look at the list brings it.

import type { Alert } from './types';

export class News {
  private readonly known = new Set<string>();
  private isCaughtUp = false;
  /** Newest first. */
  unseen: readonly Alert[] = [];

  /** One that the stream brought. */
  heard(alert: Alert) {
    this.take([alert]);
  }

  /** The newest of the list, read whenever the stream was opened: what came while it was away is told now. */
  caughtUp(newest: readonly Alert[]) {
    // What was there before the page opened is no news; the list and the cards show it.
    if (this.isCaughtUp) this.take(newest);
    else for (const alert of newest) this.known.add(alert.id);
    this.isCaughtUp = true;
  }

  dismiss() {
    this.unseen = [];
  }

  private take(alerts: readonly Alert[]) {
    const fresh = alerts.filter((a) => !this.known.has(a.id));
    for (const alert of fresh) this.known.add(alert.id);
    const waking = fresh.filter((a) => a.wakes_owner);
    this.unseen = [...waking, ...this.unseen].sort((a, b) => Date.parse(b.raised_at) - Date.parse(a.raised_at));
  }
}
