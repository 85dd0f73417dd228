//! The live stream says when what it shows may be old.

use crate::harness::{PATIENCE, Person, Up, use_ring};
use crate::support::shapes::must_fit_live;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tungstenite::{ClientRequestBuilder, Message};

/// A live stream that somebody watches.
pub struct Stream {
    told: tokio::sync::mpsc::UnboundedReceiver<Value>,
    to_say: std::sync::mpsc::Sender<String>,
}

/// How long a read waits before what is to be sent is looked at.
const READ_TURN: Duration = Duration::from_millis(20);

impl Stream {
    /// The stream of a person, from its snapshot on.
    pub async fn open(up: &Up, person: &Person) -> Self {
        let mut stream = Self::open_with(up, person, None).await;
        stream.until(|said| said["type"] == "snapshot").await;
        stream
    }

    /// The same with the body of the ticket's question, from its first message on.
    pub async fn open_with(up: &Up, person: &Person, body: Option<Value>) -> Self {
        let (status, body) = person.ask("POST", "/live/ticket", body).await;
        assert_eq!(status, 200, "{body}");
        Self::begin(up, body["ticket"].as_str().unwrap())
    }

    /// The stream of a ticket, from its snapshot on.
    pub async fn of(up: &Up, ticket: &str) -> Self {
        let mut stream = Self::begin(up, ticket);
        stream.until(|said| said["type"] == "snapshot").await;
        stream
    }

    fn begin(up: &Up, ticket: &str) -> Self {
        let url = format!("ws://{}/api/v1/live?ticket={ticket}", up.http);
        let request = ClientRequestBuilder::new(url.parse().unwrap());
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        let (to_say, says) = std::sync::mpsc::channel::<String>();
        std::thread::spawn(move || {
            let (mut socket, _) = tungstenite::connect(request).unwrap();
            if let tungstenite::stream::MaybeTlsStream::Plain(line) = socket.get_ref() {
                line.set_read_timeout(Some(READ_TURN)).unwrap();
            }
            loop {
                for text in says.try_iter() {
                    socket.send(Message::text(text)).unwrap();
                }
                let said = match socket.read() {
                    Ok(Message::Text(text)) => {
                        let said = serde_json::from_str(&text).unwrap();
                        must_fit_live(&said);
                        said
                    }
                    Ok(Message::Close(frame)) => json!({ "closed": frame.map(|f| u16::from(f.code)) }),
                    Ok(_) => continue,
                    Err(tungstenite::Error::Io(e)) if e.kind() == std::io::ErrorKind::WouldBlock => continue,
                    Err(_) => break,
                };
                if tell.send(said).is_err() {
                    break; // the test is over
                }
            }
        });
        Self { told, to_say }
    }

    /// Says something to the server.
    pub fn send(&self, text: &str) {
        self.to_say.send(text.to_owned()).unwrap();
    }

    /// The next message of which this is true; a close is `{"closed": code}`.
    pub async fn until(&mut self, is_so: impl Fn(&Value) -> bool) -> Value {
        let wanted = async {
            loop {
                let said = self.told.recv().await.expect("the stream has ended without it");
                if is_so(&said) {
                    return said;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wanted).await.expect("the stream does not say it")
    }
}

/// Reads on until the stream says so.
fn read_until(socket: &mut impl FnMut() -> Message, is_so: impl Fn(&Value) -> bool) {
    let since = Instant::now();
    loop {
        if let Message::Text(said) = socket()
            && is_so(&serde_json::from_str(&said).unwrap())
        {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "the stream does not say it");
    }
}

#[tokio::test]
#[ignore = "takes a minute: make test-long"]
async fn while_the_database_hangs_the_live_stream_says_that_positions_are_held_up() {
    use_ring();
    let up = Up::start(4, &[]).await;
    let (_, body) = up.log_in("owner").await.ask("POST", "/live/ticket", None).await;
    let url = format!("ws://{}/api/v1/live?ticket={}", up.http, body["ticket"].as_str().unwrap());
    let request = ClientRequestBuilder::new(url.parse().unwrap());
    let watching = tokio::task::spawn_blocking(move || {
        let (mut socket, _) = tungstenite::connect(request).unwrap();
        let mut read = move || socket.read().unwrap();
        read_until(&mut read, |said| said["type"] == "snapshot" && said["delayed"] == false);
        up.signal("services/postgres/data/postmaster.pid", Signal::SIGSTOP);
        up.end_backends();
        read_until(&mut read, |said| said["delayed"] == true);
        up.signal("services/postgres/data/postmaster.pid", Signal::SIGCONT);
        read_until(&mut read, |said| said["delayed"] == false);
        up // kept until here, and ended where it began
    });
    drop(watching.await.unwrap());
}
