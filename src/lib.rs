//! RideGuard 行车卫士 keeps watch over a city's e-bikes and motorcycles.
//!
//! A pure core (what a packet means, what a situation means) inside a thin shell (MQTT,
//! PostgreSQL, HTTP, people). The modules are the stages of the flow, in order; nothing points
//! backwards. Begin with [`pipeline`]; `docs/ARCHITECTURE.md` has the picture.
//!
//! | module | what it does | imports of ours |
//! |---|---|---|
//! | [`domain`] | nouns, units, valid ranges | none |
//! | [`protocol`] | bytes → report, one file per tracker language | domain |
//! | [`guard`] | what we believe about each vehicle; alerts | domain |
//! | [`fold`] | one journal entry → its effects: identity, decoding, judging, guarding | domain, protocol, guard, topics |
//! | [`ingest`] | MQTT sessions, epochs, acknowledgements | domain, config |
//! | [`pipeline`] | a lane at work: the life of one packet | fold, ingest, store, live |
//! | [`store`] | PostgreSQL and PostGIS, the only SQL | domain, fold's rows, tracks' pieces |
//! | [`live`] | news from lanes to live maps | domain, fold's flags, store's rows |
//! | [`failpoint`] | where tests end or pause the program; empty in a release | none |
//! | [`clock`], [`config`], [`telemetry`] | the time, the settings, the counters | domain, store's rows |
//! | [`tracks`] | pieces of tracks: their bytes, answers from them | domain |
//! | [`rollup`] | hot fixes → pieces of tracks, partitions | clock, config, domain, store, telemetry, tracks |
//! | [`notify`] | the outbox worker and its channels | store |
//! | [`api`] | HTTP, sessions, the live stream, the web page | store, live |
//! | [`supervisor`] | the private PostgreSQL and Mosquitto of the one-machine mode | config |
//! | [`app`] | the composition root | everything |
//! | [`cli`] | one file per subcommand | everything |

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod failpoint;
pub mod fold;
pub mod guard;
pub mod ingest;
pub mod live;
pub mod notify;
pub mod pipeline;
pub mod protocol;
pub mod rollup;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod tracks;
