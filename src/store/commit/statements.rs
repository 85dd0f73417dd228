//! The statements of a lane, prepared once for its connection: parsing and planning them again for
//! every batch cost PostgreSQL more than the rows.

use tokio_postgres::{Error, GenericClient, Statement};

/// The statement of commit 1: nothing is written unless the fence and the number before are ours.
const JOURNAL: &str = "WITH l AS (
    UPDATE lane SET journaled = $2::bigint, setting_cursor = $3, lease_until = now() + make_interval(secs => $5)
    WHERE lane = $1 AND fence = $4 AND journaled = $2::bigint - 1 RETURNING lane),
 taken AS (DELETE FROM handed_over WHERE handed_over_id = ANY ($10) AND EXISTS (SELECT FROM l))
 INSERT INTO journal (lane, n, first_at, last_at, entries, content) SELECT lane, $2::bigint, $6, $7, $8, $9 FROM l";

const ADVANCE: &str = "SELECT lane_advance($1, $2, $3, $4, $5, $6, $7, $8)";

const OUTCOMES: &str = "INSERT INTO journal_outcome (lane, n, outcomes) VALUES ($1, $2, $3)";

pub(in crate::store) const COPY_FIXES: &str =
    "COPY fix (tracker_id, fixed_at, digest, received_at, vehicle_id, speed_kmh, course_deg, altitude_m,
    accuracy_m, satellites, source, flags, position) FROM STDIN (FORMAT binary)";

// A fix whose day has no partition, or whose slice is closed, goes to fix_late: a strange time blocks
// no batch and makes no partition. The days are asked for once a batch; a rebuild asks for those of the real table, too.
pub(in crate::store) const INSERT_FIXES: &str = "WITH r AS (
    SELECT t, f, d, a, v, s, c, h, e, n, q, g, ST_SetSRID(ST_MakePoint(lon, lat), 4326) AS p,
           f >= (SELECT closing_to FROM rollup_mark) AND (f AT TIME ZONE 'UTC')::date IN (
               SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = 'public.fix'::regclass AND NOT i.inhdetachpending) AS hot
    FROM unnest($1::bigint[], $2::timestamptz[], $3::int[], $4::timestamptz[], $5::bigint[], $6::real[], $7::real[],
        $8::real[], $9::real[], $10::smallint[], $11::smallint[], $12::smallint[], $13::float8[], $14::float8[])
        AS u (t, f, d, a, v, s, c, h, e, n, q, g, lon, lat)
 ), late AS (
    INSERT INTO fix_late SELECT t, f, d, a, v, s, c, h, e, n, q, g, p FROM r WHERE NOT hot ON CONFLICT DO NOTHING
 )
 INSERT INTO fix SELECT t, f, d, a, v, s, c, h, e, n, q, g, p FROM r WHERE hot ON CONFLICT DO NOTHING";

const PUT_STATUSES: &str = "INSERT INTO tracker_status
    SELECT t, v, h, f, r, ST_SetSRID(ST_MakePoint(lon, lat), 4326), s, c, e, n, q, b, x, i, g, w, p
    FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::float8[], $7::float8[],
        $8::real[], $9::real[], $10::real[], $11::smallint[], $12::smallint[], $13::smallint[], $14::boolean[], $15::boolean[],
        $16::smallint[], $17::text[], $18::integer[]) AS u (t, v, h, f, r, lon, lat, s, c, e, n, q, b, x, i, g, w, p)
 ON CONFLICT (tracker_id) DO UPDATE SET vehicle_id = EXCLUDED.vehicle_id, last_heard_at = EXCLUDED.last_heard_at,
    fixed_at = EXCLUDED.fixed_at, received_at = EXCLUDED.received_at, position = EXCLUDED.position,
    speed_kmh = EXCLUDED.speed_kmh, course_deg = EXCLUDED.course_deg, accuracy_m = EXCLUDED.accuracy_m,
    satellites = EXCLUDED.satellites, source = EXCLUDED.source, battery_percent = EXCLUDED.battery_percent,
    external_power = EXCLUDED.external_power, ignition = EXCLUDED.ignition,
    signal_percent = EXCLUDED.signal_percent, firmware = EXCLUDED.firmware, report_interval_s = EXCLUDED.report_interval_s";

const NOTE_TRIAL: &str = "SELECT note_trial($1, $2, $3)";

// Of two lanes whose trackers a vehicle has carried, the later word counts; of one lane the last.
const PUT_GUARDS: &str = "INSERT INTO guard_status AS g (vehicle_id, armed, since, guard_lat, guard_lon, by, told_at, lane)
    SELECT *, $8::smallint FROM unnest($1::bigint[], $2::boolean[], $3::timestamptz[], $4::float8[], $5::float8[], $6::text[], $7::timestamptz[])
 ON CONFLICT (vehicle_id) DO UPDATE SET armed = EXCLUDED.armed, since = EXCLUDED.since,
    guard_lat = EXCLUDED.guard_lat, guard_lon = EXCLUDED.guard_lon, by = EXCLUDED.by, told_at = EXCLUDED.told_at, lane = EXCLUDED.lane
 WHERE g.lane IS NULL OR g.lane = EXCLUDED.lane OR g.told_at <= EXCLUDED.told_at";

const SET_ASIDE: &str = "INSERT INTO quarantine
    (lane, n, entry, topic, ident, tracker_id, reason, detail, security, received_at, payload, packets, payload_bytes)
    SELECT $1::smallint, $2::bigint, * FROM unnest($3::int[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::boolean[],
        $10::timestamptz[], $11::bytea[], $12::bigint[], $13::bigint[]) ON CONFLICT DO NOTHING";

// The lane of the tracker before may not have read yet that another's tracker carries the vehicle. Clocks of servers
// may differ by minutes; a later incident than that is none of its past (a journal folded again, lane after lane).
const CLOSE_OTHERS: &str =
    "UPDATE incident SET closed_at = greatest($2, opened_at), ended_by = 'tracker_changed', state = 'closed'
 WHERE vehicle_id = $1 AND closed_at IS NULL AND incident_id <> $3 AND opened_at < $2::timestamptz + interval '5 minutes'";

const OPEN_INCIDENT: &str = "INSERT INTO incident (incident_id, vehicle_id, opened_at, fixes_from, score, severity)
 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

const CHANGE_INCIDENT: &str =
    "UPDATE incident SET state = $2, score = $3, severity = $4 WHERE incident_id = $1 AND closed_at IS NULL";

const NOTE: &str =
    "INSERT INTO incident_note (incident_id, at, kind, detail) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

const ANSWER: &str = "UPDATE incident SET answer = $2, answered_at = $3 WHERE incident_id = $1";

// Of an incident that is over the first answer counts.
const ANSWER_AFTER_END: &str =
    "UPDATE incident SET answer = $2, answered_at = $3 WHERE incident_id = $1 AND answer IS NULL";

const CLOSE_INCIDENT: &str =
    "UPDATE incident SET closed_at = $2, ended_by = $3, state = $4 WHERE incident_id = $1 AND closed_at IS NULL";

// A vehicle has one open incident: a later one that is stored already stays.
const REOPEN_INCIDENT: &str =
    "UPDATE incident SET closed_at = NULL, ended_by = NULL, state = 'confirmed', score = $2, severity = $3
 WHERE incident_id = $1 AND NOT EXISTS (SELECT FROM incident o WHERE o.vehicle_id = incident.vehicle_id AND o.closed_at IS NULL)";

const BEGIN_OUTAGE: &str = "INSERT INTO outage_part (lane, kind, name, began_at, noticed_at, lost, members, lost_of)
 VALUES ($1, $2, $3, $4, $5, $6, $7, public.lost_by_organisation($8)) ON CONFLICT DO NOTHING";

const END_OUTAGE: &str =
    "UPDATE outage_part SET ended_at = $5 WHERE lane = $1 AND kind = $2 AND name = $3 AND began_at = $4";

const NOTE_GAP: &str =
    "INSERT INTO coverage_gap (lane, cause, from_at, until_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

// Born in one statement: the alert, and a row for each owner who wants to be notified by a channel.
const RAISE_ALERT: &str = "WITH a AS (
    INSERT INTO alert (incident_id, vehicle_id, kind, wakes_owner, raised_at, cause, late, lat, lon, held_back, evidence)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING RETURNING alert_id
 ), o AS (
    INSERT INTO outbox (alert_id, account_id, channel)
    SELECT a.alert_id, c.account_id, c.channel FROM a, ownership w JOIN account_channel c USING (account_id)
    WHERE w.vehicle_id = $2 AND w.valid_to IS NULL AND $4 AND c.is_enabled
 )
 SELECT alert_id FROM a";

/// Every statement that a batch may need.
pub struct Statements {
    pub(in crate::store) journal: Statement,
    pub(in crate::store) advance: Statement,
    pub(in crate::store) outcomes: Statement,
    pub(in crate::store) copy_fixes: Statement,
    pub(in crate::store) insert_fixes: Statement,
    pub(in crate::store) put_statuses: Statement,
    pub(in crate::store) note_trial: Statement,
    pub(in crate::store) put_guards: Statement,
    pub(in crate::store) set_aside: Statement,
    pub(in crate::store) close_others: Statement,
    pub(in crate::store) open_incident: Statement,
    pub(in crate::store) change_incident: Statement,
    pub(in crate::store) note: Statement,
    pub(in crate::store) answer: Statement,
    pub(in crate::store) answer_after_end: Statement,
    pub(in crate::store) reopen_incident: Statement,
    pub(in crate::store) close_incident: Statement,
    pub(in crate::store) begin_outage: Statement,
    pub(in crate::store) end_outage: Statement,
    pub(in crate::store) note_gap: Statement,
    pub(in crate::store) raise_alert: Statement,
}

impl Statements {
    /// Prepares them; table names are looked up now, in the connection's search path.
    ///
    /// # Errors
    /// The database's own word.
    pub async fn prepare(client: &impl GenericClient) -> Result<Self, Error> {
        Ok(Self {
            journal: client.prepare(JOURNAL).await?,
            advance: client.prepare(ADVANCE).await?,
            outcomes: client.prepare(OUTCOMES).await?,
            copy_fixes: client.prepare(COPY_FIXES).await?,
            insert_fixes: client.prepare(INSERT_FIXES).await?,
            put_statuses: client.prepare(PUT_STATUSES).await?,
            note_trial: client.prepare(NOTE_TRIAL).await?,
            put_guards: client.prepare(PUT_GUARDS).await?,
            set_aside: client.prepare(SET_ASIDE).await?,
            close_others: client.prepare(CLOSE_OTHERS).await?,
            open_incident: client.prepare(OPEN_INCIDENT).await?,
            change_incident: client.prepare(CHANGE_INCIDENT).await?,
            note: client.prepare(NOTE).await?,
            answer: client.prepare(ANSWER).await?,
            answer_after_end: client.prepare(ANSWER_AFTER_END).await?,
            reopen_incident: client.prepare(REOPEN_INCIDENT).await?,
            close_incident: client.prepare(CLOSE_INCIDENT).await?,
            begin_outage: client.prepare(BEGIN_OUTAGE).await?,
            end_outage: client.prepare(END_OUTAGE).await?,
            note_gap: client.prepare(NOTE_GAP).await?,
            raise_alert: client.prepare(RAISE_ALERT).await?,
        })
    }
}
