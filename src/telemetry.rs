//! Logs and metrics. Positions, plates, tokens and payloads never go into either.

use crate::domain::{Entry, Finding, Outcome};
use crate::store::commit::Applied;
use crate::store::commit::alerts::Written;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sets up logging: `RUST_LOG` selects, `json` chooses the form for collectors.
pub fn start_logging(json: bool) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,rumqttc=off,tokio_postgres=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        // It would complain on standard error, and panic there if nobody reads it any more.
        .log_internal_errors(false);
    let started = if json { builder.json().try_init() } else { builder.compact().try_init() };
    drop(started); // a second start in one process (tests) keeps the first
}

/// The counters of a process. No label ever names a tracker or a vehicle.
pub struct Metrics {
    registry: Registry,
    packets: IntCounterVec,
    quarantined_packets: IntCounterVec,
    checksum_errors: IntCounter,
    fixes: IntCounter,
    alerts: IntCounterVec,
    batches: IntCounter,
    packet_latency_s: Histogram,
    /// Lanes held by this process.
    pub lanes_held: IntGauge,
    /// Limits of the broker that are at odds with ours.
    pub broker_conflicts: IntGauge,
    /// Filters of topics of others, to which trackers subscribed at the private broker.
    pub foreign_subscriptions: IntCounter,
    /// What the broker sends of retained messages, which is not stored, by kind.
    pub retained_messages: IntCounterVec,
    /// Packets beyond their trackers' quotas.
    pub packets_over_quota: IntCounter,
    /// Answers and live positions that found no room on their way out.
    pub publications_dropped: IntCounter,
    /// Trackers connected to the door, by language and by TLS or not.
    pub door_connections: IntGaugeVec,
    /// Connections of the door that ended, by reason.
    pub door_ended: IntCounterVec,
    /// Connections of the door that took the place of an older one.
    pub door_takeovers: IntCounter,
    /// Datagrams at the door, by language and what became of them.
    pub door_datagrams: IntCounterVec,
    /// Lanes that a door of its own has a holder for.
    pub door_lanes_linked: IntGauge,
    /// Lanes that this process works on while no door is linked to them, if doors are processes of their own.
    pub lanes_without_door: IntGauge,
    /// What lies in the spool, bytes.
    pub spool_bytes: IntGauge,
    /// Notification attempts, by result.
    pub notifications: IntCounterVec,
    /// Notifications suppressed in a storm.
    pub notifications_suppressed: IntCounter,
    outages: IntCounterVec,
    coverage_gaps: IntCounterVec,
    /// Live streams open.
    pub live_streams: IntGauge,
    /// HTTP responses, by status class.
    pub http_responses: IntCounterVec,
    /// Seconds from the end of the last slice that was rolled up.
    pub rollup_lag_s: IntGauge,
    /// Rows of audit that wait for a seal.
    pub audit_unsealed_rows: IntGauge,
    /// Seconds since everything was sealed.
    pub audit_seal_age_s: IntGauge,
    /// Attempts to put a head into a file that came to nothing.
    pub audit_copy_failures: IntCounter,
    /// Heads that were made once and are not in the table any more.
    pub audit_conflicts: IntGauge,
}

impl Metrics {
    /// Registers every counter.
    ///
    /// # Errors
    /// A name used twice; a bug.
    pub fn new() -> anyhow::Result<Self> {
        let registry = Registry::new();
        macro_rules! register {
            ($metric:expr) => {{
                let metric = $metric?;
                registry.register(Box::new(metric.clone()))?;
                metric
            }};
        }
        let vec = |name: &str, help: &str, label: &str| IntCounterVec::new(Opts::new(name, help), &[label]);
        Ok(Self {
            packets: register!(vec("rideguard_packets_total", "Packets received, by outcome", "outcome")),
            quarantined_packets: register!(vec(
                "rideguard_quarantined_packets_total",
                "Packets and parts of packets quarantined, by reason",
                "reason"
            )),
            checksum_errors: register!(IntCounter::new(
                "rideguard_checksum_errors_total",
                "Packets read although their check sum is wrong, as their trackers' profiles allow"
            )),
            fixes: register!(IntCounter::new("rideguard_fixes_total", "Fixes stored")),
            alerts: register!(vec("rideguard_alerts_total", "Alerts raised, by kind", "kind")),
            batches: register!(IntCounter::new("rideguard_batches_total", "Batches committed")),
            packet_latency_s: register!(Histogram::with_opts(
                HistogramOpts::new(
                    "rideguard_packet_latency_seconds",
                    "From a packet's arrival to the commit of its effects, seconds"
                )
                .buckets(vec![0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0])
            )),
            lanes_held: register!(IntGauge::new("rideguard_lanes_held", "Lanes that this process works on")),
            broker_conflicts: register!(IntGauge::new(
                "rideguard_broker_conflicts",
                "Limits of the broker that conflict with ours, as it told them at the start; the log names them"
            )),
            foreign_subscriptions: register!(IntCounter::new(
                "rideguard_foreign_subscriptions_total",
                "Filters of topics of others, to which trackers subscribed at the private broker; nothing comes of them"
            )),
            retained_messages: register!(vec(
                "rideguard_retained_messages_total",
                "Copies of messages that the broker had retained, and clearings of such; neither is stored",
                "kind"
            )),
            packets_over_quota: register!(IntCounter::new(
                "rideguard_packets_over_quota_total",
                "Packets beyond their trackers' quotas: acknowledged and counted, not kept"
            )),
            publications_dropped: register!(IntCounter::new(
                "rideguard_publications_dropped_total",
                "Answers to trackers and live positions dropped because their queue was full"
            )),
            door_connections: register!(IntGaugeVec::new(
                Opts::new("rideguard_door_connections", "Trackers connected to the door, by language and transport"),
                &["language", "transport"]
            )),
            door_ended: register!(vec(
                "rideguard_door_ended_total",
                "Connections of the door that ended, by reason",
                "reason"
            )),
            door_datagrams: register!(IntCounterVec::new(
                prometheus::Opts::new("rideguard_door_datagrams_total", "Datagrams at the door, by language and fate"),
                &["language", "fate"]
            )),
            door_takeovers: register!(IntCounter::new(
                "rideguard_door_takeovers_total",
                "Connections of the door that took the place of an older one of the same tracker"
            )),
            door_lanes_linked: register!(IntGauge::new(
                "rideguard_door_lanes_linked",
                "Lanes whose holder this door is linked to, if it is a process of its own"
            )),
            lanes_without_door: register!(IntGauge::new(
                "rideguard_lanes_without_door",
                "Lanes of this process to which no door is linked, if doors are processes of their own"
            )),
            spool_bytes: register!(IntGauge::new(
                "rideguard_spool_bytes",
                "Acknowledged and waiting in files for PostgreSQL to come back, bytes"
            )),
            notifications: register!(vec(
                "rideguard_notifications_total",
                "Notification attempts, by result",
                "result"
            )),
            notifications_suppressed: register!(IntCounter::new(
                "rideguard_notifications_suppressed_total",
                "Notifications suppressed in a storm"
            )),
            outages: register!(vec(
                "rideguard_outages_total",
                "Groups of trackers that fell silent together, as lanes saw them, by kind",
                "kind"
            )),
            coverage_gaps: register!(vec(
                "rideguard_coverage_gaps_total",
                "Times in which a lane heard nothing because of ourselves or the broker, by cause",
                "cause"
            )),
            live_streams: register!(IntGauge::new("rideguard_live_streams", "Live streams open")),
            http_responses: register!(vec(
                "rideguard_http_responses_total",
                "HTTP responses, by status class",
                "class"
            )),
            rollup_lag_s: register!(IntGauge::new(
                "rideguard_rollup_lag_seconds",
                "Seconds since the end of the last slice that was rolled up; 0 where another process does it"
            )),
            audit_unsealed_rows: register!(IntGauge::new(
                "rideguard_audit_unsealed_rows",
                "Rows of audit that wait for a seal, as the sealer last saw it"
            )),
            audit_seal_age_s: register!(IntGauge::new(
                "rideguard_audit_seal_age_seconds",
                "Seconds since the sealer last had sealed everything; 0 where another process seals"
            )),
            audit_copy_failures: register!(IntCounter::new(
                "rideguard_audit_copy_failures_total",
                "Attempts to append a head of the audit to a file that came to nothing"
            )),
            audit_conflicts: register!(IntGauge::new(
                "rideguard_audit_conflicts",
                "Heads of the audit that this process or a file knows and the table does not have, since the start"
            )),
            registry,
        })
    }

    /// Counts a batch after its commit.
    pub fn count(&self, applied: &Applied<'_>, written: &[Written]) {
        self.batches.inc();
        let now = crate::clock::now();
        for (entry, effects) in &applied.entries {
            if let Some(outcome) = effects.outcome.filter(|o| *o != Outcome::None) {
                self.packets.with_label_values(&[outcome.name()]).inc_by(entry.packets());
            }
            if let Entry::Packet(packet) = entry {
                self.packet_latency_s.observe(now.seconds_since(packet.received_at).max(0.0));
            }
            for aside in effects.quarantined.iter().chain(&effects.left_over) {
                self.quarantined_packets.with_label_values(&[aside.reason]).inc_by(entry.packets());
            }
            self.checksum_errors.inc_by(effects.is_check_sum_wrong.into());
            self.fixes.inc_by(effects.fixes.len() as u64);
            for finding in &effects.findings {
                match finding {
                    Finding::OutageBegan { outage, .. } => {
                        self.outages.with_label_values(&[outage.kind.name()]).inc();
                    }
                    Finding::CoverageGap { cause, .. } => {
                        self.coverage_gaps.with_label_values(&[cause.name()]).inc();
                    }
                    _ => {}
                }
            }
        }
        for alert in written {
            self.alerts.with_label_values(&[alert.alert.kind.name()]).inc();
        }
    }

    /// The page Prometheus reads.
    pub fn page(&self) -> String {
        let mut out = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            Ok(()) => String::from_utf8(out).unwrap_or_default(),
            Err(error) => format!("# {error}\n"),
        }
    }
}
