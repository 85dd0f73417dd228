//! The invariants of a live database, one question each.

use tokio_postgres::Client;

/// An invariant and what was found.
pub struct Checked {
    /// Its name.
    pub name: &'static str,
    /// What breaks it; 0 is right.
    pub broken: i64,
}

/// Name and question; the question counts what breaks the rule. Order is that of the flow.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "received_is_stored_duplicate_or_quarantined",
        "SELECT coalesce(sum(abs(received - stored - duplicate - quarantined)), 0)::bigint FROM lane",
    ),
    (
        "journal_has_no_holes",
        "SELECT count(*) FROM lane l JOIN journal_base b USING (lane),
            LATERAL (SELECT max(n) AS last, count(*) AS rows FROM journal WHERE lane = l.lane AND n > b.n) j,
            LATERAL (SELECT max(to_n) AS last, coalesce(sum(to_n - from_n + 1), 0) AS rows FROM journal_range WHERE lane = l.lane AND from_n > b.n) r
         WHERE coalesce(greatest(j.last, r.last), b.n) <> journaled OR j.rows + r.rows <> journaled - b.n",
    ),
    (
        "what_is_sealed_and_was_not_let_go_has_its_key",
        "SELECT count(*) FROM journal_range r WHERE entries - let_go <> coalesce((SELECT sum(b.entries) FROM journal_block b
            JOIN journal_key k USING (lane, key_id) WHERE b.lane = r.lane AND b.from_n = r.from_n), 0)",
    ),
    ("effects_do_not_lead_the_journal", "SELECT count(*) FROM lane WHERE applied > journaled"),
    (
        "every_applied_batch_has_its_outcomes",
        "SELECT count(*) FROM lane l JOIN journal j USING (lane) LEFT JOIN journal_outcome o ON o.lane = j.lane AND o.n = j.n WHERE j.n <= l.applied AND (o.n IS NULL OR length(o.outcomes) <> j.entries)",
    ),
    (
        "quarantined_packets_have_a_reason",
        "SELECT abs((SELECT coalesce(sum(quarantined), 0)::bigint FROM lane) - (SELECT sum(quarantined)::bigint FROM journal_base) - (SELECT coalesce(sum(packets), 0)::bigint FROM quarantine WHERE reason <> 'left_over'))",
    ),
    (
        "one_open_incident_per_vehicle",
        "SELECT count(*) FROM (SELECT 1 FROM incident WHERE closed_at IS NULL GROUP BY vehicle_id HAVING count(*) > 1) d",
    ),
    (
        "every_incident_has_an_alert",
        "SELECT count(*) FROM incident i WHERE NOT EXISTS (SELECT 1 FROM alert a WHERE a.incident_id = i.incident_id)",
    ),
    ("every_waking_alert_has_an_incident", "SELECT count(*) FROM alert WHERE wakes_owner AND incident_id IS NULL"),
    (
        "no_alert_was_made_twice",
        "SELECT count(*) FROM (SELECT 1 FROM alert WHERE cause IS NOT NULL GROUP BY incident_id, vehicle_id, kind, cause HAVING count(*) > 1) d",
    ),
    (
        "every_first_alert_is_owed_to_its_owner",
        "SELECT count(*) FROM alert a JOIN ownership w USING (vehicle_id) JOIN account_channel p USING (account_id) WHERE a.wakes_owner AND w.valid_to IS NULL AND a.written_at > w.valid_from AND p.is_enabled AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.alert_id = a.alert_id AND o.account_id = p.account_id AND o.channel = p.channel)",
    ),
    (
        "first_alert_of_an_incident_is_never_held_back",
        "SELECT count(*) FROM outbox o JOIN alert a USING (alert_id) WHERE o.state = 'held_back' AND NOT EXISTS (SELECT 1 FROM alert e WHERE e.vehicle_id = a.vehicle_id AND e.incident_id = a.incident_id AND e.alert_id < a.alert_id) AND NOT was_in_trial(a.vehicle_id, a.raised_at)",
    ),
    (
        "done_notifications_have_a_successful_attempt",
        "SELECT count(*) FROM outbox o WHERE state = 'done' AND NOT EXISTS (SELECT 1 FROM notification n WHERE n.outbox_id = o.outbox_id AND n.result LIKE '2%')",
    ),
    (
        // What a run was to purge; the position of somebody who was erased is of no purpose.
        "no_position_outlives_its_purpose",
        "SELECT count(*) FROM track t, retention_mark m WHERE t.from_at < m.tracks_to AND NOT is_kept(t.vehicle_id, t.from_at, t.until_at)",
    ),
    ("holds_have_a_case_and_an_end", "SELECT count(*) FROM legal_hold WHERE case_number = '' OR ends_at = 'infinity'"),
    (
        "police_looks_have_a_grant",
        "SELECT count(*) FROM audit d JOIN account p USING (account_id) WHERE p.role = 'police' AND d.grant_id IS NULL AND d.action NOT IN ('refused', 'log_in', 'log_in_failed', 'log_out', 'zone')",
    ),
];

/// Asks every question.
///
/// # Errors
/// The database's own word.
pub async fn run(client: &Client) -> anyhow::Result<Vec<Checked>> {
    let mut checked = Vec::new();
    for (name, question) in INVARIANTS {
        checked.push(Checked { name, broken: client.query_one(*question, &[]).await?.get(0) });
    }
    Ok(checked)
}
