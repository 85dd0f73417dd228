//! What is said on a link: a length of four bytes, and a value as MessagePack.

use crate::domain::Packet;
use crate::link::WRITE_MAX;
use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::borrow::Cow;
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Longest frame of somebody who has shown the secret: a packet, its topic and numbers; news of a lane have 46 KB.
const FRAME_BYTES_MAX: usize = Packet::PAYLOAD_BYTES_MAX + 4096;
/// Longest before that.
const GREETING_BYTES_MAX: usize = 256;

/// A frame.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Frame<'a> {
    /// Door to holder: a packet, under a number that its receipt names.
    Packet(u64, Cow<'a, Packet>),
    /// Door to holder: what it kept while no worker had the lane is with this one, and what comes now is of now.
    CaughtUp,
    /// Holder to door: these are kept.
    Kept(Vec<u64>),
    /// Holder to door: these are beyond a quota, counted and not kept; an answer would say otherwise.
    Counted(Vec<u64>),
    /// Holder to door: an answer or a command to a tracker.
    Message(String, serde_bytes::ByteBuf),
    /// Lanes to live maps.
    News(String, serde_bytes::ByteBuf),
    /// Both ways, so that silence means something.
    Ping,
}

/// A connection of two processes.
pub(super) struct Line(Framed<TcpStream, LengthDelimitedCodec>);

impl Line {
    pub fn new(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        let codec = LengthDelimitedCodec::builder().max_frame_length(GREETING_BYTES_MAX).new_codec();
        Ok(Self(Framed::new(stream, codec)))
    }

    /// The other side has shown the secret.
    pub fn trust(&mut self) {
        self.0.codec_mut().set_max_frame_length(FRAME_BYTES_MAX);
    }

    /// Adds a frame to what leaves at the next [`Self::flush`], or earlier if it is much.
    pub async fn feed(&mut self, frame: &impl Serialize) -> anyhow::Result<()> {
        let bytes = Bytes::from(rmp_serde::to_vec(frame)?);
        tokio::time::timeout(WRITE_MAX, self.0.feed(bytes)).await.context("the other side reads nothing")??;
        Ok(())
    }

    pub async fn flush(&mut self) -> anyhow::Result<()> {
        Ok(tokio::time::timeout(WRITE_MAX, SinkExt::<Bytes>::flush(&mut self.0))
            .await
            .context("the other side reads nothing")??)
    }

    /// A frame at once.
    pub async fn send(&mut self, frame: &impl Serialize) -> anyhow::Result<()> {
        self.feed(frame).await?;
        self.flush().await
    }

    /// The next frame; nothing that is cancelled takes one away.
    pub async fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        match self.0.next().await {
            Some(frame) => Ok(rmp_serde::from_slice(&frame?)?),
            None => bail!("the other side closed"),
        }
    }
}
