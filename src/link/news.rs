//! What lanes publish, at the side of the live maps.

use crate::ingest::client_options::jittered;
use crate::ingest::publisher::Message;
use crate::link::greeting::{Purpose, Secret, greet};
use crate::link::wire::{Frame, Line};
use crate::link::{GREETING_MAX, SILENCE_MAX};
use anyhow::Context;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Hears a worker's news and gives them to a live map, for as long as there is one.
pub async fn hear_news(worker: String, secret: Secret, to: mpsc::Sender<Message>) {
    let mut is_told = false;
    while !to.is_closed() {
        let ended = hear(&worker, &secret, &to, &mut is_told).await;
        if let Err(error) = ended
            && !std::mem::replace(&mut is_told, true)
        {
            tracing::warn!(worker, error = %format!("{error:#}"), "No news from a worker; trying again");
        }
        tokio::time::sleep(jittered(Duration::from_secs(1))).await;
    }
}

async fn hear(worker: &str, secret: &Secret, to: &mpsc::Sender<Message>, is_told: &mut bool) -> anyhow::Result<()> {
    let greeting = async {
        let mut line = Line::new(TcpStream::connect(worker).await?)?;
        greet(&mut line, secret, Purpose::News).await?;
        anyhow::Ok(line)
    };
    let mut line = tokio::time::timeout(GREETING_MAX, greeting).await.context("no answer in time")??;
    if std::mem::take(is_told) {
        tracing::info!(worker, "News from a worker again");
    }
    loop {
        let frame = tokio::time::timeout(SILENCE_MAX, line.next::<Frame<'_>>()).await.context("it is silent")??;
        if let Frame::News(topic, bytes) = frame
            && to.send((topic, bytes.into_vec())).await.is_err()
        {
            return Ok(()); // there is no live map any more
        }
    }
}
