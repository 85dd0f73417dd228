// The nouns of docs/api.md, as JSON brings them.

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
  guard_point: { lat: number; lon: number } | null;
  last_fix: Fix | null;
  last_heard_at: string | null;
  battery_percent: number | null;
  external_power: boolean | null;
  ignition: boolean | null;
  open_incident: string | null;
}

export type AlertKind =
  | 'moved'
  | 'moved_by_cell'
  | 'power_cut'
  | 'silent'
  | 'tampered'
  | 'sos'
  | 'pre_suspicion'
  | 'pre_lost_contact'
  | 'pre_low_battery'
  | 'pre_zone_enter'
  | 'pre_zone_exit';

export interface Alert {
  id: string;
  vehicle_id: string;
  plate: string | null;
  kind: AlertKind;
  raised_at: string;
  late: boolean;
  wakes_owner: boolean;
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
  alerts: Alert[];
}

/** `[fixed_at in ms, lon, lat, speed in km/h]` */
export type TrackPoint = [number, number, number, number | null];

export interface Track {
  vehicle_id: string;
  points: TrackPoint[];
  truncated: boolean;
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
}

export type LonLat = [number, number];

export type Shape =
  | { type: 'circle'; centre: { lat_deg: number; lon_deg: number }; radius_m: number }
  | { type: 'polygon'; outer: { lat_deg: number; lon_deg: number }[]; holes: { lat_deg: number; lon_deg: number }[][] };

export interface Zone {
  id: string;
  name: string;
  rule: 'enter' | 'exit' | 'both';
  shape: Shape;
  vehicle_id: string | null;
  mine: boolean;
}

export interface Tracker {
  id: string;
  ident: string;
  protocol: string;
  plate: string | null;
  organisation: string | null;
  state: 'online' | 'silent' | 'never';
  last_heard_at: string | null;
  battery_percent: number | null;
  signal_percent: number | null;
  satellites: number | null;
  firmware: string | null;
  quarantined_packets: number;
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
  | { type: 'snapshot'; vehicles: LiveVehicle[] }
  | { type: 'delta'; vehicles: LiveVehicle[] }
  | { type: 'alert'; alert: Alert };
