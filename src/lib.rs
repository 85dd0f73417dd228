//! RideGuard 行车卫士 keeps watch over a city's e-bikes and motorcycles.
//!
//! A pure core (what a packet means, what a situation means) inside a thin shell (MQTT,
//! PostgreSQL, HTTP, people). The modules are the stages of the flow, in order; nothing points
//! backwards. Begin with [`pipeline`]; `docs/ARCHITECTURE.md` has the picture.
//!
//! | module | what it does | imports of ours |
//! |---|---|---|
//! | [`domain`] | nouns, units, valid ranges | |
//! | [`protocol`] | bytes → report, one file per tracker language | domain |
//! | [`guard`] | what we believe about each vehicle; alerts | domain |
//! | [`tracks`] | segments of tracks: their bytes, answers from them | domain |
//! | [`engine`] | one journal entry → its effects: identity, decoding, validation, guarding | domain, protocol, guard |
//! | [`clock`] | the time | domain |
//! | [`config`] | the settings | domain |
//! | [`failpoint`] | where tests end or pause the program; empty in a release | |
//! | [`ingest`] | sessions at the broker, queues from the door, acknowledgements | clock, config, domain |
//! | [`store`] | PostgreSQL and PostGIS, the only SQL | domain, config, failpoint, engine, tracks |
//! | [`telemetry`] | the log and the counters | clock, domain, store |
//! | [`live`] | updates from lanes to live maps | domain, engine, store |
//! | [`pipeline`] | a lane at work: the life of one packet | clock, config, domain, failpoint, engine, ingest, live, protocol::json, store, telemetry |
//! | [`door`] | where trackers connect to RideGuard itself | clock, config, domain, ingest, protocol, store, telemetry |
//! | [`link`] | the way between processes: door to lanes, lanes to live maps | clock, config, domain, ingest, store, telemetry |
//! | [`rollup`] | hot fixes → segments of tracks, partitions | clock, config, domain, store, telemetry, tracks |
//! | [`notify`] | the outbox worker and its channels | clock, config, failpoint, store, telemetry |
//! | [`seal`] | the audit's chain: sealed, signed, kept in files, checked | clock, config, domain, failpoint, store, telemetry |
//! | [`api`] | HTTP, sessions, the live stream, the web page | clock, config, domain, ingest, live, protocol, store, telemetry, tracks |
//! | [`supervisor`] | the private PostgreSQL and Mosquitto of the one-machine mode | config |
//! | [`app`] | the composition root | everything |
//! | [`cli`] | one file per subcommand | everything |
//!
//! This table is the rule: `tests/architecture.rs` reads it and holds the code against it.

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod door;
pub mod engine;
pub mod failpoint;
pub mod guard;
pub mod ingest;
pub mod link;
pub mod live;
pub mod notify;
pub mod pipeline;
pub mod protocol;
pub mod rollup;
pub mod seal;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod tracks;
