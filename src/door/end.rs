//! Why a connection ended.

use crate::door::mqtt::Fault;
use std::io;

/// Why a connection ended; the names stand in metrics and docs/door.md.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// It said goodbye, or closed.
    #[error("it closed")]
    Closed,
    /// The network.
    #[error("the network: {0}")]
    Io(#[from] io::Error),
    /// No TLS, or none that we speak.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// No log-in in time.
    #[error("it did not log in within 10 s")]
    LateLogIn,
    /// Its keep-alive passed in silence.
    #[error("it was silent for longer than its keep-alive")]
    Silent,
    /// It takes nothing of what is written.
    #[error("it read nothing for 30 s")]
    Deaf,
    /// More waits to be written than may.
    #[error("more answers wait than 64 KiB")]
    Overfull,
    /// Not its language.
    #[error("{0}")]
    Malformed(#[from] Fault),
    /// Not its language, where it is none of MQTT.
    #[error("{0}")]
    Garbled(&'static str),
    /// Wrong or unknown credentials, or an ident that is not registered.
    #[error("it is not admitted")]
    Refused,
    /// It named another tracker.
    #[error("it named another tracker")]
    Foreign,
    /// A newer connection of the same tracker came.
    #[error("a newer connection of the tracker came")]
    Replaced,
    /// A newer connection of the same tracker came, and this one still speaks.
    #[error("two connections speak for the tracker at once")]
    Doubled,
    /// The tracker was removed, or has another password.
    #[error("the tracker was removed or has another password")]
    Removed,
    /// One of its packets is kept by nobody: it must repeat it.
    #[error("a packet was not kept; it must repeat it")]
    GivenUp,
    /// Nobody here works on its lane.
    #[error("nobody works on its lane here")]
    NotHeld,
    /// We stop.
    #[error("the door closes")]
    Stopped,
}

impl End {
    /// Its name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Io(_) => "network",
            Self::Tls(_) => "tls",
            Self::LateLogIn => "late_log_in",
            Self::Silent => "silent",
            Self::Deaf => "deaf",
            Self::Overfull => "overfull",
            Self::Malformed(_) | Self::Garbled(_) => "malformed",
            Self::Refused => "refused",
            Self::Foreign => "foreign",
            Self::Replaced => "replaced",
            Self::Doubled => "doubled",
            Self::Removed => "removed",
            Self::GivenUp => "given_up",
            Self::NotHeld => "not_held",
            Self::Stopped => "stopped",
        }
    }

    /// Whether somebody tried what is not theirs: told to operators by name.
    pub fn is_suspicious(&self) -> bool {
        matches!(self, Self::Foreign | Self::Refused | Self::Doubled)
    }
}
