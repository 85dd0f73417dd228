//! A broker that does what a test tells it to: it loses sessions, begins packet ids anew, redelivers
//! under other ids, and sends what no good broker sends. TLS, as the real client demands.

mod wire;

pub use wire::{Grant, Message, malformed};

use crate::harness::PATIENCE;
use rideguard::config::Broker;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use wire::FromClient;

/// The password of our own user.
pub const PASSWORD: &str = "secret";

/// What the connections share.
#[derive(Default)]
struct Shared {
    /// By client id, in the order in which they came.
    links: Mutex<HashMap<String, Vec<Link>>>,
    came: Notify,
    keeps_sessions: AtomicBool,
    ignores_pings: AtomicBool,
    grants: Mutex<Grant>,
    /// Properties of its answer by MQTT 5; `None`: it does not speak that.
    limits: Mutex<Option<Vec<u8>>>,
}

/// The broker.
pub struct FakeBroker {
    pub port: u16,
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
}

/// One connection of one client. Dropping it cuts the connection.
pub struct Link {
    to_client: mpsc::UnboundedSender<Vec<u8>>,
    acks: mpsc::UnboundedReceiver<u16>,
}

impl FakeBroker {
    pub async fn start() -> Self {
        crate::harness::use_ring();
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        std::fs::write(folder.path().join("ca.pem"), key.cert.pem()).unwrap();
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(key.cert.pem().as_bytes()).unwrap()];
        let private = PrivateKeyDer::from_pem_slice(key.signing_key.serialize_pem().as_bytes()).unwrap();
        let tls = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private).unwrap();
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, shared) = (listener.local_addr().unwrap().port(), Arc::new(Shared::default()));
        let for_clients = shared.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, shared) = (tls.clone(), for_clients.clone());
                tokio::spawn(async move {
                    if let Ok(socket) = tls.accept(socket).await {
                        serve(socket, &shared).await;
                    }
                });
            }
        });
        Self { port, folder, shared }
    }

    /// What a client needs to know.
    pub fn settings(&self) -> Broker {
        Broker {
            enabled: true,
            host: "localhost".into(),
            port: self.port,
            services_port: None,
            ca_file: self.ca_file(),
            username: "rideguard-ingest".into(),
            password_file: self.folder.path().join("password"),
            api_username: None,
            api_password_file: None,
            socket: None,
        }
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Whether it says "session present" from now on.
    pub fn keep_sessions(&self, keep: bool) {
        self.shared.keeps_sessions.store(keep, Ordering::SeqCst);
    }

    /// Answers no ping from now on.
    pub fn ignore_pings(&self) {
        self.shared.ignores_pings.store(true, Ordering::SeqCst);
    }

    /// What it answers to every subscription from now on.
    pub fn grant(&self, grant: Grant) {
        *self.shared.grants.lock().unwrap() = grant;
    }

    /// Speaks MQTT 5 from now on as far as to tell these properties.
    pub fn tell_limits(&self, properties: &[u8]) {
        *self.shared.limits.lock().unwrap() = Some(properties.to_vec());
    }

    /// The next connection of a client, once it has subscribed.
    pub async fn link(&self, client_id: &str) -> Link {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let came = self.shared.came.notified();
                if let Some(links) = self.shared.links.lock().unwrap().get_mut(client_id)
                    && !links.is_empty()
                {
                    return links.remove(0);
                }
                came.await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{client_id} did not connect"))
    }
}

async fn serve(socket: tokio_rustls::server::TlsStream<tokio::net::TcpStream>, shared: &Shared) {
    let (mut reader, mut writer) = tokio::io::split(socket);
    let client_id = match wire::read(&mut reader).await {
        Some(FromClient::Connect(client_id)) => client_id,
        Some(FromClient::Connect5) => {
            let limits = shared.limits.lock().unwrap().clone();
            if let Some(limits) = limits
                && writer.write_all(&wire::connack5(&limits)).await.is_ok()
                && writer.flush().await.is_ok()
            {
                wire::read(&mut reader).await; // its good-bye
            }
            return;
        }
        _ => return,
    };
    let (to_client, mut outgoing) = mpsc::unbounded_channel::<Vec<u8>>();
    let (to_test, acks) = mpsc::unbounded_channel();
    to_client.send(wire::connack(shared.keeps_sessions.load(Ordering::SeqCst))).unwrap();
    let mut link = Some(Link { to_client: to_client.clone(), acks });
    let answers = to_client.downgrade();
    drop(to_client);
    let writing = async {
        // Ends when the test has dropped its link, and with it the connection.
        while let Some(bytes) = outgoing.recv().await {
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    let reading = async {
        while let Some(packet) = wire::read(&mut reader).await {
            let answer = match packet {
                FromClient::PubAck(id) => {
                    let _ = to_test.send(id);
                    continue;
                }
                FromClient::Subscribe(id, filters) => {
                    if let Some(link) = link.take() {
                        shared.links.lock().unwrap().entry(client_id.clone()).or_default().push(link);
                        shared.came.notify_waiters();
                    }
                    wire::suback(id, filters, *shared.grants.lock().unwrap())
                }
                FromClient::Ping if shared.ignores_pings.load(Ordering::SeqCst) => continue,
                FromClient::Ping => wire::pong(),
                FromClient::Disconnect => return,
                _ => continue,
            };
            if let Some(answers) = answers.upgrade() {
                let _ = answers.send(answer);
            }
        }
    };
    tokio::select! {
        () = writing => {}
        () = reading => {}
    }
}

impl Link {
    pub fn send(&self, message: &Message) {
        self.raw(message.bytes());
    }

    /// Several packets in one write, so that the client reads them in one go.
    pub fn raw(&self, bytes: Vec<u8>) {
        let _ = self.to_client.send(bytes); // a client that is gone reads nothing
    }

    /// The next acknowledgement.
    pub async fn ack(&mut self) -> u16 {
        tokio::time::timeout(PATIENCE, self.acks.recv()).await.expect("no acknowledgement").expect("the client is gone")
    }

    /// The next acknowledgement, unless the connection is over.
    pub async fn ack_or_end(&mut self) -> Option<u16> {
        tokio::time::timeout(PATIENCE, self.acks.recv()).await.expect("neither an acknowledgement nor an end")
    }

    /// The acknowledgements up to one, in their order.
    pub async fn acks_until(&mut self, last: u16) -> Vec<u16> {
        let mut ids = vec![self.ack().await];
        while ids.last() != Some(&last) {
            ids.push(self.ack().await);
        }
        ids
    }

    /// Waits until the client has ended the connection.
    pub async fn ended(&self) {
        tokio::time::timeout(PATIENCE, self.to_client.closed()).await.expect("the client stays");
    }
}
