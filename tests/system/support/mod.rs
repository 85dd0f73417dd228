//! What tests stand on: a database, processes to kill, a proxy to cut, an oracle to judge, the answers that are promised.

pub mod database;
pub mod disk;
pub mod oracle;
pub mod proxy;
pub mod role;
pub mod shapes;
pub mod sink;
pub mod sockets;
pub mod world;
