//! A tracker's connection: TLS, its own credential, an outbox that is kept until the broker's PUBACK.
//!
//! rumqttc drops what is queued when a broker has lost the session, and its packet ids start
//! anew; so each connection is a new client, and what was not acknowledged is sent again by us.

use crate::encode::Language;
use anyhow::{Context, bail};
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS, TlsConfiguration, Transport};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Messages a tracker keeps while it is offline; the oldest go first.
const OUTBOX_MAX: usize = 2000;
/// Messages on their way at a time.
const IN_FLIGHT_MAX: u16 = 50;

/// A broker and how to trust it.
#[derive(Clone)]
pub struct Broker {
    /// As in its certificate.
    pub host: String,
    /// Its TLS port.
    pub port: u16,
    /// Whom to trust.
    pub tls: Arc<rustls::ClientConfig>,
}

/// A line of the credentials file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The tracker.
    pub ident: String,
    /// Its password.
    pub password: String,
    /// What it speaks.
    pub language: Language,
}

impl Broker {
    /// Reads `HOST:PORT` and the authority's certificate.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn new(address: &str, ca: &Path) -> anyhow::Result<Self> {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let (host, port) =
            address.rsplit_once(':').with_context(|| format!("--broker is {address:?}; it must be HOST:PORT"))?;
        let port = port.parse().with_context(|| format!("--broker is {address:?}; its port must be 1 to 65535"))?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(ca).with_context(|| format!("cannot read --ca {}", ca.display()))?
        {
            roots.add(certificate.with_context(|| format!("--ca {} holds no certificate", ca.display()))?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Self { host: host.to_owned(), port, tls: Arc::new(tls.with_root_certificates(roots).with_no_client_auth()) })
    }

    fn options(&self, credential: &Credential) -> MqttOptions {
        let mut options = MqttOptions::new(&credential.ident, &self.host, self.port);
        options.set_credentials(&credential.ident, &credential.password);
        options.set_keep_alive(Duration::from_secs(60));
        options.set_inflight(IN_FLIGHT_MAX);
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(self.tls.clone())));
        options
    }
}

/// Reads the credentials file: `IDENT PASSWORD PROTOCOL` a line.
///
/// # Errors
/// Names the line that is wrong.
pub fn credentials(path: &Path, limit: usize) -> anyhow::Result<Vec<Credential>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read --credentials {}", path.display()))?;
    let mut read = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).take(limit) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [ident, password, protocol] = words[..] else {
            bail!(
                "line {} of {} has {} words; it must be IDENT PASSWORD PROTOCOL",
                number + 1,
                path.display(),
                words.len()
            );
        };
        let language = Language::parse(protocol).with_context(|| {
            format!("line {} of {}: the protocol is {protocol:?}; it must be json or jt808", number + 1, path.display())
        })?;
        read.push(Credential { ident: ident.to_owned(), password: password.to_owned(), language });
    }
    if read.is_empty() {
        bail!("--credentials {} has no line", path.display());
    }
    Ok(read)
}

/// `v1/{shard}/{ident}/up`.
pub fn topic(ident: &str) -> String {
    format!("v1/{}/{ident}/up", crc32fast::hash(ident.as_bytes()) % 64)
}

/// Publishes what comes on `messages` and calls `acked` with each payload once the broker has it.
/// Ends when the sender is dropped and everything is acknowledged, or `patience` later.
pub async fn publish(
    broker: Broker,
    credential: Credential,
    mut messages: mpsc::Receiver<Vec<u8>>,
    acked: impl Fn(&[u8]),
    patience: Duration,
) {
    let topic = topic(&credential.ident);
    let mut outbox: VecDeque<Vec<u8>> = VecDeque::new();
    let mut wait = Duration::from_millis(200);
    let mut ending_since = None;
    loop {
        let (client, mut events) = AsyncClient::new(broker.options(&credential), usize::from(IN_FLIGHT_MAX) * 2);
        let mut connected = false;
        let mut queued = 0; // how many of the outbox this connection was given
        let mut given: VecDeque<usize> = VecDeque::new(); // payload numbers without a packet id yet
        let mut waiting: HashMap<u16, usize> = HashMap::new(); // packet id → payload number
        let mut first = 0; // number of the outbox's front
        let mut done: HashMap<usize, ()> = HashMap::new();
        loop {
            while connected && queued < outbox.len() && waiting.len() + given.len() < usize::from(IN_FLIGHT_MAX) {
                if client.try_publish(&topic, QoS::AtLeastOnce, false, outbox[queued].clone()).is_err() {
                    break;
                }
                given.push_back(first + queued);
                queued += 1;
            }
            if ending_since.is_some() && outbox.is_empty() {
                let _ = client.try_disconnect();
                let _ = tokio::time::timeout(Duration::from_millis(200), events.poll()).await;
                return;
            }
            if ending_since.is_some_and(|since: tokio::time::Instant| since.elapsed() > patience) {
                return;
            }
            // The polling future may be dropped between events here: a tracker that loses an
            // outgoing packet sends it again, which is what trackers do.
            tokio::select! {
                biased;
                event = events.poll() => match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        connected = true;
                        wait = Duration::from_millis(200);
                        let _ = client.try_subscribe(topic.replace("/up", "/down"), QoS::AtMostOnce);
                    }
                    Ok(Event::Outgoing(Outgoing::Publish(id))) => if let Some(number) = given.pop_front() { waiting.insert(id, number); },
                    Ok(Event::Incoming(Packet::PubAck(ack))) => if let Some(number) = waiting.remove(&ack.pkid) {
                        done.insert(number, ());
                        if let Some(payload) = number.checked_sub(first).and_then(|i| outbox.get(i)) {
                            acked(payload);
                        }
                        while done.remove(&first).is_some() {
                            outbox.pop_front();
                            (first, queued) = (first + 1, queued - 1);
                        }
                    },
                    Ok(_) => {}
                    Err(_) => break,
                },
                message = messages.recv(), if ending_since.is_none() => match message {
                    Some(_) if outbox.len() >= OUTBOX_MAX => {} // full: the newest is lost, as on a tracker with a full flash
                    Some(message) => outbox.push_back(message),
                    None => ending_since = Some(tokio::time::Instant::now()),
                },
                () = tokio::time::sleep(Duration::from_millis(500)), if ending_since.is_some() => {}
            }
        }
        tokio::time::sleep(wait.mul_f64(0.5 + f64::from(crc32fast::hash(credential.ident.as_bytes()) % 100) / 200.0))
            .await;
        wait = (wait * 2).min(Duration::from_secs(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_is_the_crc32_of_the_ident() {
        assert_eq!(topic("123456789"), format!("v1/{}/123456789/up", 0xCBF4_3926_u32 % 64)); // CRC-32's check value
    }
}
