//! The one-machine mode's servants: a private PostgreSQL/PostGIS cluster and a private Mosquitto.
//!
//! Debian's own programs, our own data folder, our own ports on loopback, generated passwords and
//! certificates. They are adopted if an earlier run left them behind (a killed RideGuard must not
//! take the broker's queue with it), and stopped when we end.

pub mod broker;
pub mod certificates;
mod child;
pub mod folder;
pub mod postgres;

pub use child::Child;
pub use folder::Folder;

/// A port on loopback that is free now.
///
/// # Errors
/// None is free.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
