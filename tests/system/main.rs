//! Whole flows on a real PostgreSQL/PostGIS and a real Mosquitto, private to each test.
//!
//! One binary, one test at a time (each starts servers of its own on free ports).

#![allow(clippy::unwrap_used)] // a test may panic

mod accounts;
mod admission;
mod api_password;
mod attacks;
mod audit;
mod backlog;
mod backup;
mod bad_input;
mod belongings;
mod broker;
mod brokers;
mod chain;
mod city;
mod clocks;
mod compression;
mod contact;
mod cookies;
mod corpus;
mod disk_full;
mod door;
mod door_faults;
mod doors;
mod fake_broker;
mod faults;
mod field;
mod flood;
mod grants;
mod harness;
mod holds;
mod incidents;
mod kills;
mod limits;
mod live;
mod matrix;
mod matrix_rows;
mod misbehaving;
mod names;
mod operating;
mod own_door;
mod plates;
mod positioning;
mod publisher;
mod questions;
mod registry;
mod restarts;
mod retained;
mod retention;
mod rights;
mod roles;
mod scale;
mod schema;
mod sealed;
mod session;
mod socket_door;
mod spool;
mod support;
mod tampering;
mod times;
mod tracks;
mod traps;
mod upgrade;
mod workers;
