// What the banner warns of: every open incident that nobody answered, and alerts that came and were not dismissed.

import type { Alert, AlertKind, IncidentChange, IncidentSummary } from './types';

/** An incident of the list; the stream brings less of it. */
export type Listed = IncidentSummary;

export interface Warning {
  key: string;
  plate: string | null;
  /** The newest alert's; null where only the incident is known. */
  kind: AlertKind | null;
  at: string;
  alert: Alert | null;
  incident: Listed | null;
}

/** A drill of an installer waits for nobody. */
const isWaiting = (i: Pick<Listed, 'closed_at' | 'answer' | 'is_drill'>) => i.closed_at === null && i.answer === null && !i.is_drill;
const newestFirst = (a: string, b: string) => Date.parse(b) - Date.parse(a);

export class News {
  private readonly known = new Set<string>();
  private isCaughtUp = false;
  /** The newest waking alert of each incident. */
  private readonly latest = new Map<string, Alert>();
  /** Waiting incidents whose warning was dismissed; another alert of theirs brings it back. */
  private readonly hidden = new Set<string>();
  /** Newest first. */
  private incidents: readonly Listed[] = [];
  /** Alerts that came since the page was opened, newest first. */
  unseen: readonly Alert[] = [];

  /** One that the stream brought. */
  heard(alert: Alert) {
    this.take([alert]);
  }

  /** The newest of the list, read whenever the stream was opened: what came while it was away is told now. */
  caughtUp(newest: readonly Alert[]) {
    // An alert of before the page opened is no news by itself; its incident is, as long as nobody answered it.
    if (this.isCaughtUp) this.take(newest);
    else for (const alert of newest) this.learn(alert);
    this.isCaughtUp = true;
  }

  /** All incidents as they stand. An alert of one that was answered or is over needs nobody any more. */
  stand(incidents: readonly Listed[]) {
    this.incidents = [...incidents].sort((a, b) => newestFirst(a.opened_at, b.opened_at));
    for (const incident of incidents) if (!isWaiting(incident)) this.settle(incident);
  }

  /** What the stream says of one. */
  changed(news: IncidentChange) {
    this.incidents = this.incidents.map((i) => (i.id === news.id ? { ...i, ...news } : i));
    if (!isWaiting(news)) this.settle(news);
  }

  dismiss() {
    this.unseen = [];
    for (const incident of this.waiting) this.hidden.add(incident.id);
  }

  get waiting(): readonly Listed[] {
    return this.incidents.filter(isWaiting);
  }

  /** How many things wait for the owner, dismissed or not. */
  get count(): number {
    return this.waiting.length + this.others.length;
  }

  /** Newest first. */
  get warnings(): readonly Warning[] {
    const open = this.waiting.filter((i) => !this.hidden.has(i.id)).map((incident): Warning => {
      const alert = this.latest.get(incident.id) ?? null;
      const { id: key, plate } = incident;
      return { key, plate, kind: alert?.kind ?? null, at: alert?.raised_at ?? incident.opened_at, alert, incident };
    });
    const came = this.others.map((alert): Warning => ({ key: alert.id, plate: alert.plate, kind: alert.kind, at: alert.raised_at, alert, incident: null }));
    return [...open, ...came].sort((a, b) => newestFirst(a.at, b.at));
  }

  /** Alerts whose incident does not warn already. */
  private get others(): readonly Alert[] {
    const warned = new Set(this.waiting.map((i) => i.id));
    return this.unseen.filter((a) => a.incident_id === null || !warned.has(a.incident_id));
  }

  private settle({ id, answered_at, closed_at }: { id: string; answered_at?: string | null; closed_at: string | null }) {
    const until = Date.parse(answered_at ?? closed_at ?? '') || Infinity;
    this.unseen = this.unseen.filter((a) => a.incident_id !== id || Date.parse(a.raised_at) > until);
  }

  private learn(alert: Alert) {
    this.known.add(alert.id);
    const { incident_id, raised_at } = alert;
    if (incident_id === null || !alert.wakes_owner || alert.is_drill) return;
    const before = this.latest.get(incident_id);
    if (!before || newestFirst(before.raised_at, raised_at) > 0) this.latest.set(incident_id, alert);
  }

  private take(alerts: readonly Alert[]) {
    const fresh = alerts.filter((a) => !this.known.has(a.id));
    for (const alert of fresh) this.learn(alert);
    const waking = fresh.filter((a) => a.wakes_owner && !a.is_drill);
    for (const alert of waking) if (alert.incident_id !== null) this.hidden.delete(alert.incident_id);
    this.unseen = [...waking, ...this.unseen].sort((a, b) => newestFirst(a.raised_at, b.raised_at));
  }
}
