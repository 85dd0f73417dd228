//! The live stream says when what it shows may be old.

use crate::harness::{PATIENCE, Person, Up, use_ring};
use crate::support::shapes::must_fit_live;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::time::Instant;
use tungstenite::{ClientRequestBuilder, Message};

/// A live stream that somebody watches.
pub struct Stream(tokio::sync::mpsc::UnboundedReceiver<Value>);

impl Stream {
    /// The stream of a person, from its snapshot on.
    pub async fn open(up: &Up, person: &Person) -> Self {
        let (status, body) = person.ask("POST", "/live/ticket", None).await;
        assert_eq!(status, 200, "{body}");
        Self::of(up, body["ticket"].as_str().unwrap()).await
    }

    /// The stream of a ticket, from its snapshot on.
    pub async fn of(up: &Up, ticket: &str) -> Self {
        let url = format!("ws://{}/api/v1/live?ticket={ticket}", up.http);
        let request = ClientRequestBuilder::new(url.parse().unwrap());
        let (told, telling) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let (mut socket, _) = tungstenite::connect(request).unwrap();
            while let Ok(message) = socket.read() {
                let said = match message {
                    Message::Text(text) => {
                        let said = serde_json::from_str(&text).unwrap();
                        must_fit_live(&said);
                        said
                    }
                    Message::Close(frame) => json!({ "closed": frame.map(|f| u16::from(f.code)) }),
                    _ => continue,
                };
                if told.send(said).is_err() {
                    break; // the test is over
                }
            }
        });
        let mut stream = Self(telling);
        stream.until(|said| said["type"] == "snapshot").await;
        stream
    }

    /// The next message of which this is true; a close is `{"closed": code}`.
    pub async fn until(&mut self, is_so: impl Fn(&Value) -> bool) -> Value {
        let wanted = async {
            loop {
                let said = self.0.recv().await.expect("the stream has ended without it");
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
