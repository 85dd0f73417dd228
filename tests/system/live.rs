//! The live stream says when what it shows may be old.

use crate::harness::{PATIENCE, Up, use_ring};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::Instant;
use tungstenite::{ClientRequestBuilder, Message};

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
        read_until(&mut read, |said| said["type"] == "snapshot" && said["held_up"] == false);
        up.signal("services/postgres/data/postmaster.pid", Signal::SIGSTOP);
        up.end_backends();
        read_until(&mut read, |said| said["held_up"] == true);
        up.signal("services/postgres/data/postmaster.pid", Signal::SIGCONT);
        read_until(&mut read, |said| said["held_up"] == false);
        up // kept until here, and ended where it began
    });
    drop(watching.await.unwrap());
}
