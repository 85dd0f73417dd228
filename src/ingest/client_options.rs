//! What every client of ours at the broker shares: the way there, credentials, limits.
//!
//! Sessions that listen speak MQTT by a loop of their own ([`crate::ingest::session`]), all others by rumqttc's.

use crate::config::{Broker, read_secret};
use crate::domain::{Lane, Packet};
use anyhow::Context;
use rumqttc::{AsyncClient, EventLoop, MqttOptions, NetworkOptions, TlsConfiguration, Transport};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Largest packet we take, bytes. Above the broker's `max_packet_size` (64 KiB), or one oversize
/// message would be redelivered for ever.
pub const PACKET_BYTES_MAX: usize = Packet::PAYLOAD_BYTES_MAX;
/// Largest packet of the protocol, bytes (MQTT 3.1.1, 2.2.3).
pub(super) const PROTOCOL_BYTES_MAX: usize = 268_435_455;
/// Deliveries waiting for their batch; twice the private broker's in-flight window of 4,000, so
/// that reading rarely waits.
pub(super) const DELIVERIES_MAX: usize = 8192;
/// How long a flush to a broker, a ping or an attempt to connect may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// MQTT options that every client of ours shares: TLS, credentials, limits.
///
/// # Errors
/// Names the file that cannot be read or is no certificate.
pub fn options(broker: &Broker, client_id: &str) -> anyhow::Result<MqttOptions> {
    let mut options = MqttOptions::new(client_id, &broker.host, broker.port);
    options.set_transport(transport(broker)?);
    options.set_credentials(&broker.username, read_secret(&broker.password_file)?);
    options.set_keep_alive(PATIENCE);
    options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    Ok(options)
}

/// A client with options of ours. A flush, its own or ours, may take as long as a ping.
pub(super) fn client(options: MqttOptions, requests_max: usize) -> (AsyncClient, EventLoop) {
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(options.keep_alive().as_secs());
    network.set_tcp_nodelay(true);
    let (client, mut event_loop) = AsyncClient::new(options, requests_max);
    event_loop.set_network_options(network);
    (client, event_loop)
}

/// TLS for a client of rumqttc's.
pub(super) fn transport(broker: &Broker) -> anyhow::Result<Transport> {
    Ok(Transport::Tls(TlsConfiguration::Rustls(Arc::new(tls(broker)?))))
}

/// A lane's client id: the same at every start, so that the broker knows its session again, and with a
/// part that nobody can guess. Whoever connects with it takes the session and what waits in it, and
/// every tracker may connect.
pub fn client_id(lane: Lane, password: &str) -> String {
    let tag = Sha256::digest(format!("session of lane {} {password}", lane.0));
    format!("rideguard-lane-{}-{}", lane.0, hex::encode(&tag[..8]))
}

/// Trusts the authority of the broker, and nobody else.
pub(super) fn tls(broker: &Broker) -> anyhow::Result<rustls::ClientConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    let file = broker.ca_file.display();
    for certificate in CertificateDer::pem_file_iter(&broker.ca_file)
        .with_context(|| format!("cannot read the certificate in {file}"))?
    {
        roots.add(certificate.with_context(|| format!("{file} holds no certificate"))?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Between half and all of a wait, so that lanes do not come back in step.
pub fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.5..1.0))
}
