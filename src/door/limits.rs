//! Bounds of the door, each with its reason.

use std::time::Duration;

/// From accepting a connection to the end of its log-in: a modem on a bad cell takes four seconds for TLS and CONNECT.
pub const LOG_IN_MAX: Duration = Duration::from_secs(10);
/// Bytes of the packet that logs in: a CONNECT with the longest names has 400.
pub const LOG_IN_BYTES_MAX: usize = 1024;
/// Bytes that one turn reads of a connection, so that others come to their turn.
pub const TURN_BYTES_MAX: usize = 64 * 1024;
/// Bytes read at once.
pub const READ_BYTES: usize = 16 * 1024;
/// How long a connection may take nothing of what is written to it.
pub const WRITE_MAX: Duration = Duration::from_secs(30);
/// Bytes that may wait to be written: answers to every packet that may be unacknowledged, and a command.
pub const OUTGOING_BYTES_MAX: usize = 64 * 1024;
/// Packets of a connection that wait for the journal; then its socket is not read. MQTT 5 is told it (3.2.2.3.3).
pub const UNACKNOWLEDGED_MAX: u16 = 200;
/// Connections of one address that have not logged in. Mobile networks put thousands of trackers behind one, so connections
/// that have are not counted.
pub const STRANGERS_PER_ADDRESS_MAX: u32 = 1024;
/// Connections that a thread accepts a second. A handshake takes 0.3 ms, so these take three fifths of its time.
pub const ACCEPTS_PER_S: u32 = 2000;
/// Connections that wait to be accepted: a herd of thousands comes back at once.
pub const BACKLOG: i32 = 4096;
/// Datagrams of a port that a turn takes, so that connections come to their turn.
pub const DATAGRAMS_PER_TURN: u32 = 256;
/// File descriptors kept for PostgreSQL, files and people.
pub const DESCRIPTORS_KEPT: u64 = 1000;
/// Longest silence of a tracker that names no keep-alive, or a longer one: beyond it a mobile network has forgotten the line.
pub const KEEP_ALIVE_S_MAX: u16 = 1800;
/// Longest silence of a tracker of a language without keep-alive.
pub const SILENCE_MAX: Duration = Duration::from_secs(1800);
/// Packets or frames of a connection that a turn hears: the shortest have a byte or two.
pub const FRAMES_PER_TURN: u32 = 256;
/// Frames of a connection that nobody can read, where its language has no secret: each costs its tracker's quota.
pub const UNREADABLE_MAX: u32 = 20;
/// Registrations of a connection, and authentications that may fail: a terminal with a code of another platform registers then.
pub const LOG_INS_MAX: u8 = 3;
/// Bytes between frames that are none: a modem's words ("+++", "AT") and line ends have less.
pub const NOISE_BYTES_MAX: usize = 1024;
/// How long a connection stays whose place a newer one has, to see whether it still speaks: trackers report more often.
pub const DOUBT_MAX: Duration = Duration::from_secs(60);
/// What it sent before the newer one came is there by then.
pub const DOUBLE_AFTER: Duration = Duration::from_secs(2);
/// How long the session of a tracker that went is kept at most, seconds.
pub const SESSION_KEPT_S: u32 = 86_400;
/// How often a thread looks for deadlines.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Turns of a thread that has much to do: what comes meanwhile is read together, and answered by one write.
pub const TURN: Duration = Duration::from_millis(10);
/// Trackers that speak in a turn's time and make the next worth waiting for: with fewer, nobody waits.
pub const BUSY_TRACKERS: u32 = 8;
/// How long the end of the process waits for words of farewell.
pub const FAREWELL_MAX: Duration = Duration::from_millis(500);
