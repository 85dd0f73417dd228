//! Settings of the door: where trackers connect to RideGuard itself.

use anyhow::bail;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Most listeners: a few addresses, old and new ports.
const LISTENERS_MAX: usize = 16;
/// Most threads; one takes 30,000 messages a second.
const THREADS_MAX: usize = 16;
/// Largest packet that may be allowed: as large as one that a lane understands.
const PACKET_BYTES_MAX: usize = crate::domain::Packet::PAYLOAD_BYTES_MAX;
/// The smallest limit that lets a location through.
const PACKET_BYTES_MIN: usize = 512;

/// The listeners of trackers; none by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Door {
    /// Certificate chain, PEM; needed by listeners with TLS.
    pub certificate_file: Option<PathBuf>,
    /// Its key, PEM.
    pub key_file: Option<PathBuf>,
    /// File with a line a tracker, identifier and password, beside the registry.
    pub trackers_file: Option<PathBuf>,
    /// Threads that serve connections; 0: one for each processor, four at most.
    pub threads: usize,
    /// Where it listens.
    pub listener: Vec<Listener>,
}

/// What trackers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// MQTT 3.1.1 and 5; what lies in it is told by the tracker's profile.
    Mqtt,
    /// GT06 and its family.
    Gt06,
    /// H02 and its relatives.
    H02,
    /// JT/T 808.
    Jt808,
    /// Teltonika.
    Teltonika,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Mqtt, Self::Gt06, Self::H02, Self::Jt808, Self::Teltonika];

    /// Whether it may come by UDP: each datagram names its tracker.
    pub fn has_datagrams(self) -> bool {
        matches!(self, Self::H02 | Self::Teltonika)
    }

    /// Its name in settings and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Gt06 => "gt06",
            Self::H02 => "h02",
            Self::Jt808 => "jt808",
            Self::Teltonika => "teltonika",
        }
    }

    /// Largest packet unless the listener says otherwise, bytes: a report of 500 fixes by MQTT has 64 KiB; the longest frame of
    /// the others, JT/T 808 with every byte escaped, has 2.2 KB.
    fn packet_bytes_max(self) -> usize {
        match self {
            Self::Mqtt => 64 * 1024,
            _ => 4 * 1024,
        }
    }
}

/// One listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// What is spoken there.
    pub language: Language,
    /// Where.
    pub listen: SocketAddr,
    /// Whether by TLS; MQTT is unless this says otherwise, and the other languages are if it does.
    pub tls: Option<bool>,
    /// Whether by UDP.
    #[serde(default)]
    pub udp: bool,
    /// Largest packet, bytes.
    pub packet_bytes_max: Option<usize>,
}

impl Listener {
    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.unwrap_or(self.language == Language::Mqtt)
    }

    /// Largest packet, bytes.
    pub fn packet_bytes_max(&self) -> usize {
        self.packet_bytes_max.unwrap_or_else(|| self.language.packet_bytes_max())
    }
}

impl Door {
    /// Files are relative to the settings file.
    pub(super) fn settle_files(&mut self, base: &Path) {
        for file in [&mut self.certificate_file, &mut self.key_file, &mut self.trackers_file].into_iter().flatten() {
            *file = base.join(&*file);
        }
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.listener.len() > LISTENERS_MAX {
            bail!("door has {} listeners; it may have {LISTENERS_MAX}", self.listener.len());
        }
        if self.threads > THREADS_MAX {
            bail!("door.threads is {}; it must be 0 to {THREADS_MAX}", self.threads);
        }
        for listener in &self.listener {
            let (listen, name) = (listener.listen, listener.language.name());
            let bytes = listener.packet_bytes_max();
            if !(PACKET_BYTES_MIN..=PACKET_BYTES_MAX).contains(&bytes) {
                bail!(
                    "door.listener.packet_bytes_max of {name} at {listen} is {bytes}; it must be {PACKET_BYTES_MIN} to {PACKET_BYTES_MAX}"
                );
            }
            if listener.is_tls() && (self.certificate_file.is_none() || self.key_file.is_none()) {
                bail!("door.listener of {name} at {listen} speaks TLS: set door.certificate_file and door.key_file");
            }
            if listener.udp && (!listener.language.has_datagrams() || listener.tls == Some(true)) {
                bail!("door.listener of {name} at {listen} has udp = true; h02 and teltonika come so, without TLS");
            }
            if listener.language == Language::Mqtt && !listener.is_tls() && !listen.ip().is_loopback() {
                bail!("door.listener of mqtt at {listen} has tls = false; passwords go without TLS on loopback only");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Door, String> {
        let door: Door = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        door.check().map_err(|e| e.to_string())?;
        Ok(door)
    }

    #[test]
    fn a_listener_that_would_show_passwords_or_lacks_a_certificate_is_refused_with_its_name() {
        let of = |line: &str| checked(&format!("[[listener]]\n{line}"));
        assert!(of("language = 'mqtt'\nlisten = '127.0.0.1:1883'\ntls = false").is_ok());
        let shown = of("language = 'mqtt'\nlisten = '0.0.0.0:1883'\ntls = false").unwrap_err();
        assert!(shown.contains("mqtt at 0.0.0.0:1883"), "{shown}");
        let bare = of("language = 'mqtt'\nlisten = '0.0.0.0:8883'").unwrap_err();
        assert!(bare.contains("door.certificate_file"), "{bare}");
        let small = of("language = 'mqtt'\nlisten = '127.0.0.1:1'\ntls = false\npacket_bytes_max = 511").unwrap_err();
        assert!(small.contains("511") && small.contains("512 to 131072"), "{small}");
        assert!(
            of("language = 'jt808'\nlisten = '0.0.0.0:1'").is_ok()
                && of("language = 'h02'\nlisten = '0.0.0.0:1'\nudp = true").is_ok()
        );
        let by_udp = of("language = 'gt06'\nlisten = '0.0.0.0:1'\nudp = true").unwrap_err();
        assert!(by_udp.contains("gt06 at 0.0.0.0:1 has udp = true"), "{by_udp}");
        assert!(of("language = 'coap'\nlisten = '0.0.0.0:1'").unwrap_err().contains("unknown variant `coap`"));
    }
}
