//! A tracker's connection: TLS, its own credential, an outbox that is kept until the broker's PUBACK,
//! or until the server's own answer.
//!
//! rumqttc drops what is queued when a broker has lost the session, and its packet ids start
//! anew; so each connection is a new client, and what was not acknowledged is sent again by us.

use crate::encode::Language;
use anyhow::{Context, bail};
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS, TlsConfiguration, Transport};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Messages a tracker keeps while it is offline; the oldest go first.
const OUTBOX_MAX: usize = 2000;
/// Messages on their way at a time.
const IN_FLIGHT_MAX: u16 = 50;
/// Longest an answer is waited for before the message is sent again.
const ANSWER_MAX: Duration = Duration::from_secs(3);

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
            format!(
                "line {} of {}: the protocol is {protocol:?}; it must be json, jt808, gt06, h02 or teltonika",
                number + 1,
                path.display()
            )
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

/// A message and its number, by which the server's answer names it.
pub struct Message {
    /// The tracker's counter.
    pub sequence: u32,
    /// As on the wire.
    pub payload: Vec<u8>,
}

impl Message {
    /// Whether an answer with this number is for it; some languages show only the last 16 bits.
    fn is_numbered(&self, sequence: u32) -> bool {
        self.sequence == sequence || self.sequence & 0xffff == sequence
    }
}

/// Who has promised to keep a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The broker, by PUBACK: as good as the broker's memory.
    Broker,
    /// The server, by its answer.
    Server,
    /// Nobody: a log-in, which the server may keep.
    Nobody,
}

/// How a tracker sends.
#[derive(Clone, Copy)]
pub struct Manners {
    /// Keeps each message until the server's answer and repeats it meanwhile; otherwise until PUBACK.
    pub waits_for_answers: bool,
    /// How long it goes on after its last message.
    pub patience: Duration,
}

/// Publishes what comes on `messages` and calls `promised` with each payload that somebody has promised
/// to keep. Ends when the sender is dropped and nothing is left to send, or after its patience.
pub async fn publish(
    broker: Broker,
    credential: Credential,
    mut messages: mpsc::Receiver<Message>,
    promised: impl Fn(&[u8], Promise),
    manners: Manners,
) {
    let topic = topic(&credential.ident);
    let mut outbox = Outbox::default();
    let mut wait = Duration::from_millis(200);
    let mut ending_since = None;
    loop {
        let (client, mut events) = AsyncClient::new(broker.options(&credential), usize::from(IN_FLIGHT_MAX) * 2);
        let mut connected = false;
        let mut given: VecDeque<u64> = VecDeque::new(); // numbers without a packet id yet
        let mut waiting: HashMap<u16, u64> = HashMap::new(); // packet id → number
        outbox.begin_again();
        loop {
            while connected && waiting.len() + given.len() < usize::from(IN_FLIGHT_MAX) {
                let Some((number, payload)) = outbox.next() else { break };
                if client.try_publish(&topic, QoS::AtLeastOnce, false, payload).is_err() {
                    outbox.next -= 1;
                    break;
                }
                given.push_back(number);
            }
            if ending_since.is_some() && outbox.is_empty() {
                let _ = client.try_disconnect();
                let _ = tokio::time::timeout(Duration::from_millis(200), events.poll()).await;
                return;
            }
            if ending_since.is_some_and(|since: tokio::time::Instant| since.elapsed() > manners.patience) {
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
                        if let Some(message) = outbox.get(number) {
                            promised(&message.payload, Promise::Broker);
                        }
                        if !manners.waits_for_answers {
                            outbox.settle(number);
                        }
                    },
                    Ok(Event::Incoming(Packet::Publish(answer))) => {
                        let answered = credential.language.answered(&answer.payload);
                        for sequence in answered.into_iter().flatten() {
                            if let Some(message) = outbox.find(sequence) {
                                promised(&message.payload, Promise::Server);
                            }
                            if let Some(number) = outbox.numbered(sequence) {
                                outbox.settle(number);
                            }
                        }
                    }
                    Ok(_) => {}
                    Err(_) => break,
                },
                message = messages.recv(), if ending_since.is_none() => match message {
                    Some(message) => outbox.add(message),
                    None => ending_since = Some(tokio::time::Instant::now()),
                },
                () = tokio::time::sleep(Duration::from_millis(500)), if ending_since.is_some() || manners.waits_for_answers => {}
            }
            if manners.waits_for_answers && waiting.is_empty() && given.is_empty() && outbox.is_stuck() {
                outbox.begin_again();
            }
        }
        tokio::time::sleep(wait.mul_f64(0.5 + f64::from(crc32fast::hash(credential.ident.as_bytes()) % 100) / 200.0))
            .await;
        wait = (wait * 2).min(Duration::from_secs(10));
    }
}

/// What a tracker keeps: messages in order, numbered from 0 on.
pub(crate) struct Outbox {
    messages: VecDeque<Message>,
    /// Number of the first.
    first: u64,
    /// Number of the next one to send.
    next: u64,
    /// Numbers that are settled although an earlier one is not.
    settled: BTreeSet<u64>,
    /// The last ones that the broker has acknowledged: our server's answer comes later.
    done: VecDeque<Message>,
    progress_at: tokio::time::Instant,
}

impl Default for Outbox {
    fn default() -> Self {
        let progress_at = tokio::time::Instant::now();
        Self {
            messages: VecDeque::new(),
            first: 0,
            next: 0,
            settled: BTreeSet::new(),
            done: VecDeque::new(),
            progress_at,
        }
    }
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Full: the newest is lost, as on a tracker with a full flash.
    pub(crate) fn add(&mut self, message: Message) {
        if self.messages.len() < OUTBOX_MAX {
            self.messages.push_back(message);
        }
    }

    /// Sends everything again that is not settled.
    pub(crate) fn begin_again(&mut self) {
        self.next = self.first;
        self.progress_at = tokio::time::Instant::now();
    }

    /// Whether no answer has come for a while.
    pub(crate) fn is_stuck(&self) -> bool {
        self.progress_at.elapsed() > ANSWER_MAX && self.next > self.first
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Message> {
        self.messages.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The number of the message with this counter.
    pub(crate) fn numbered(&self, sequence: u32) -> Option<u64> {
        Some(self.first + self.messages.iter().position(|m| m.is_numbered(sequence))? as u64)
    }

    /// The message with this counter, even if it is settled.
    pub(crate) fn find(&self, sequence: u32) -> Option<&Message> {
        self.messages.iter().chain(&self.done).find(|m| m.is_numbered(sequence))
    }

    /// The next one to send.
    pub(crate) fn next(&mut self) -> Option<(u64, Vec<u8>)> {
        while self.settled.contains(&self.next) {
            self.next += 1;
        }
        let payload = self.get(self.next)?.payload.clone();
        self.next += 1;
        Some((self.next - 1, payload))
    }

    pub(crate) fn settle(&mut self, number: u64) {
        self.progress_at = tokio::time::Instant::now();
        if number >= self.first {
            self.settled.insert(number);
        }
        while self.settled.remove(&self.first) {
            self.done.extend(self.messages.pop_front());
            self.first += 1;
        }
        while self.done.len() > usize::from(IN_FLIGHT_MAX) {
            self.done.pop_front();
        }
        self.next = self.next.max(self.first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_is_the_crc32_of_the_ident() {
        assert_eq!(topic("123456789"), format!("v1/{}/123456789/up", 0xCBF4_3926_u32 % 64)); // CRC-32's check value
    }
    #[test]
    fn what_is_settled_out_of_turn_is_not_sent_again() {
        let mut outbox = Outbox::default();
        (65_534..65_538).for_each(|sequence| outbox.add(Message { sequence, payload: vec![sequence as u8] }));
        while outbox.next().is_some() {}
        outbox.settle(outbox.numbered(0).unwrap()); // 65,536 on a wire with 16 bits
        outbox.settle(outbox.numbered(65_534).unwrap());
        outbox.begin_again();
        assert_eq!([outbox.next(), outbox.next(), outbox.next()], [Some((1, vec![255])), Some((3, vec![1])), None]);
    }
}
