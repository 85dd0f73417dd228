// The nouns of docs/api.md, as JSON brings them.

import type { Key } from './words';

export type RoleName = 'owner' | 'police' | 'operator' | 'admin';

export interface Account {
  login: string;
  name: string;
  role: RoleName;
}

export interface Fix {
  fixed_at: string;
  received_at: string;
  lat: number;
  lon: number;
  speed_kmh: number | null;
  course_deg: number | null;
  satellites: number | null;
  accuracy_m: number | null;
  source: 'gnss' | 'cell' | 'wifi';
}

export interface Vehicle {
  id: string;
  plate: string;
  kind: 'ebike' | 'motorcycle';
  model: string | null;
  tracker: string | null;
  armed: boolean;
  armed_at: string | null;
  /** `no_contact`: armed, but its tracker is silent or never spoke; nobody watches. */
  protection: 'off' | 'protected' | 'no_contact';
  contact: Contact;
  report_interval_s: number | null;
  guard_point: { lat: number; lon: number } | null;
  last_fix: Fix | null;
  last_heard_at: string | null;
  battery_percent: number | null;
  external_power: boolean | null;
  ignition: boolean | null;
  open_incident: string | null;
  /** What the owner said of it. */
  open_incident_answer: Answer | null;
}

/** Judged by the tracker's own interval. */
export type Contact = 'online' | 'late' | 'silent' | 'never';

type KindOf<K> = K extends `kind_${infer Kind}` ? Kind : never;
/** What an alert states: each kind has its word. */
export type AlertKind = KindOf<Key>;

export interface Alert {
  id: string;
  vehicle_id: string;
  plate: string | null;
  kind: AlertKind;
  raised_at: string;
  late: boolean;
  wakes_owner: boolean;
  held_back: boolean;
  incident_id: string | null;
  lat: number | null;
  lon: number | null;
  evidence?: unknown;
}

export interface Incident {
  id: string;
  vehicle_id: string;
  plate: string | null;
  opened_at: string;
  closed_at: string | null;
  end: string | null;
  state: 'suspected' | 'confirmed' | 'followed' | 'recovered' | 'closed' | 'false_alarm';
  severity: 'low' | 'high' | 'critical';
  score: number;
  answer: Answer | null;
  answered_at: string | null;
  /** Grows with each change; an answer says which one it saw. */
  version?: number;
  /** Its fixes are those of the vehicle between these; `fixes_to` is null while it is open. */
  fixes_from: string;
  fixes_to: string | null;
  alerts: Alert[];
  timeline: TimelineLine[];
}

/** What an owner says of an incident. */
export type Answer = 'me' | 'stolen' | 'recovered';

/** A line of an incident's timeline; which of the optional parts it has, its kind tells. */
export interface TimelineLine {
  at: string;
  kind: string;
  alert?: AlertKind;
  answer?: Answer;
  state?: Incident['state'];
  happened_at?: string;
  held_off?: number;
}

/** `[fixed_at in ms, lon, lat, speed in km/h]` */
export type TrackPoint = [number, number, number, number | null];

export interface Track {
  vehicle_id: string;
  points: TrackPoint[];
  truncated: boolean;
  stops: { from: string; to: string; place: { lat: number; lon: number } }[];
  gaps: { from: string; to: string }[];
}

export interface Grant {
  id: string;
  case_number: string;
  purpose: string;
  valid_to: string;
  area_km2_max: number;
  hours_max: number;
}

export interface AreaHit {
  vehicle_id: string;
  plate: string;
  tracker: string | null;
  first_at: string;
  last_at: string;
  fixes: number;
  entered: boolean;
  left: boolean;
}

/** What counts in a search by area. */
export type Did = 'inside' | 'entered' | 'left';
export interface AreaPage {
  vehicles: AreaHit[];
  truncated: boolean;
  next: string | null;
}

export type LonLat = [number, number];

export type Shape =
  | { type: 'circle'; centre: Corner; radius_m: number }
  | { type: 'polygon'; outer: Corner[]; holes: Corner[][] }
  | { type: 'corridor'; line: Corner[]; width_m: number };

export interface Corner {
  lat_deg: number;
  lon_deg: number;
}

/** Windows of the week; days 1 = Monday to 7 = Sunday, minutes from midnight of `time_zone`. */
export interface Schedule {
  time_zone?: string;
  windows: { days: number[]; from_min: number; to_min: number }[];
}

export type ZoneRule = 'enter' | 'exit' | 'both' | 'dwell' | 'forbidden';
export type Crs = 'wgs84' | 'gcj02';

/** A zone as it is made. */
export interface NewZone {
  name: string;
  rule: ZoneRule;
  shape: Shape;
  crs: Crs;
  vehicle_id: string | null;
  dwell_s: number;
  schedule: Schedule | null;
  vehicle_kind: Vehicle['kind'] | null;
}

/** A zone as it is; its shape is in `crs`, always wgs84, and was drawn in `drawn_crs`. */
export interface Zone extends NewZone {
  id: string;
  drawn_crs: Crs;
  mine: boolean;
}

/** When a vehicle is guarded by itself. */
export interface Guarding {
  armed: boolean;
  by: 'owner' | 'schedule' | 'parked' | 'phone' | null;
  since: string | null;
  schedule: Schedule | null;
  auto_after_s: number | null;
  phones: number;
}

/** Trackers that fell silent together. */
export interface Outage {
  kind: 'lane' | 'firmware' | 'area' | 'cell';
  name: string;
  began_at: string;
  noticed_at: string;
  ended_at: string | null;
  lost: number;
  members: number;
}

/** A time in which the system heard nothing because of itself or the broker. */
export interface CoverageGap {
  cause: 'connection' | 'session_lost' | 'away';
  from: string;
  to: string;
  lanes: number;
}

export interface Tracker {
  id: string;
  ident: string;
  protocol: string;
  plate: string | null;
  organisation: string | null;
  state: Contact;
  last_heard_at: string | null;
  report_interval_s: number | null;
  battery_percent: number | null;
  signal_percent: number | null;
  satellites: number | null;
  firmware: string | null;
  quarantined_packets: number;
  last_error_code: string | null;
  last_error: string | null;
}

export interface LiveVehicle {
  id: string;
  plate: string | null;
  lat: number;
  lon: number;
  fixed_at: string;
  speed_kmh: number | null;
  armed: boolean;
  incident: boolean;
}

export type LiveMessage =
  /** `held_up`: positions do not arrive at the server just now. */
  | { type: 'snapshot' | 'delta'; vehicles: LiveVehicle[]; held_up: boolean }
  | { type: 'alert'; alert: Alert }
  | { type: 'incident'; incident: IncidentNews };

/** That an incident is another than it was. */
export type IncidentNews = Pick<Incident, 'id' | 'vehicle_id' | 'state' | 'answer' | 'version' | 'opened_at' | 'closed_at'>;
