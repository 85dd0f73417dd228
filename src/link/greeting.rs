//! Who is at a link: both sides show that they have the secret, and neither says it.
//!
//! The link itself is plain, like the connections to PostgreSQL: loopback, a network of containers, or a tunnel.

use crate::domain::Lane;
use crate::link::wire::Line;
use anyhow::{bail, ensure};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Version of what is said; both sides must have the same.
const VERSION: u32 = 1;
/// Shortest secret, bytes: `deploy/make-secrets` makes 48.
const SECRET_BYTES_MIN: usize = 16;

/// The secret of all processes of a deployment.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// Whoever is at the other side does not have our secret.
#[derive(Debug, thiserror::Error)]
#[error("it does not have the secret of link.secret_file")]
pub(super) struct WrongSecret;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Packets of this lane.
    Lane(u16),
    /// News of all lanes.
    News,
}

#[derive(Serialize, Deserialize)]
struct Challenge {
    version: u32,
    nonce: [u8; 16],
}

#[derive(Serialize, Deserialize)]
struct Wish {
    purpose: Purpose,
    nonce: [u8; 16],
    proof: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct Welcome {
    is_taken: bool,
    proof: [u8; 32],
}

impl Secret {
    /// Of a file's text.
    ///
    /// # Errors
    /// It is too short to be one.
    pub fn new(text: &str) -> anyhow::Result<Self> {
        ensure!(
            text.len() >= SECRET_BYTES_MIN,
            "the secret of link.secret_file has {} bytes; it must have {SECRET_BYTES_MIN}",
            text.len()
        );
        Ok(Self(text.as_bytes().to_vec()))
    }

    fn mac(&self, parts: [&[u8]; 4]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        parts.iter().for_each(|part| mac.update(part));
        mac
    }
}

fn bytes_of(purpose: Purpose) -> [u8; 3] {
    match purpose {
        Purpose::Lane(lane) => [1, lane.to_be_bytes()[0], lane.to_be_bytes()[1]],
        Purpose::News => [2, 0, 0],
    }
}

/// Greets as the one who connected; `false`: the other side does not work on that lane.
pub(super) async fn greet(line: &mut Line, secret: &Secret, purpose: Purpose) -> anyhow::Result<bool> {
    let challenge: Challenge = line.next().await?;
    if challenge.version != VERSION {
        bail!("it speaks version {} of the link, and we {VERSION}", challenge.version);
    }
    let (nonce, asked) = (rand::random::<[u8; 16]>(), bytes_of(purpose));
    let proof = secret.mac([b"wish", &challenge.nonce, &nonce, &asked]).finalize().into_bytes().into();
    line.send(&Wish { purpose, nonce, proof }).await?;
    let welcome: Welcome = line.next().await?;
    let taken = [u8::from(welcome.is_taken)];
    if secret.mac([b"welcome", &nonce, &challenge.nonce, &taken]).verify_slice(&welcome.proof).is_err() {
        bail!(WrongSecret);
    }
    line.trust();
    Ok(welcome.is_taken)
}

/// Greets whoever connected; `is_held` says whether a lane is worked on here. `None`: it is not.
pub(super) async fn receive(
    line: &mut Line,
    secret: &Secret,
    is_held: impl Fn(Lane) -> bool,
) -> anyhow::Result<Option<Purpose>> {
    let challenge = Challenge { version: VERSION, nonce: rand::random() };
    line.send(&challenge).await?;
    let Wish { purpose, nonce, proof } = line.next().await?;
    if secret.mac([b"wish", &challenge.nonce, &nonce, &bytes_of(purpose)]).verify_slice(&proof).is_err() {
        bail!(WrongSecret);
    }
    let is_taken = match purpose {
        Purpose::Lane(lane) => is_held(Lane(lane)),
        Purpose::News => true,
    };
    let proof = secret.mac([b"welcome", &nonce, &challenge.nonce, &[u8::from(is_taken)]]);
    line.send(&Welcome { is_taken, proof: proof.finalize().into_bytes().into() }).await?;
    line.trust();
    Ok(is_taken.then_some(purpose))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    async fn meet(
        theirs: &str,
        ours: &str,
        purpose: Purpose,
    ) -> (anyhow::Result<bool>, anyhow::Result<Option<Purpose>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (theirs, ours) = (Secret::new(theirs).unwrap(), Secret::new(ours).unwrap());
        let coming = tokio::spawn(async move {
            let mut line = Line::new(TcpStream::connect(address).await.unwrap()).unwrap();
            greet(&mut line, &theirs, purpose).await
        });
        let mut line = Line::new(listener.accept().await.unwrap().0).unwrap();
        let received = receive(&mut line, &ours, |lane| lane == Lane(3)).await;
        drop(line);
        (coming.await.unwrap(), received)
    }

    #[tokio::test]
    async fn both_sides_show_that_they_have_the_secret_and_a_lane_that_is_elsewhere_is_refused() {
        let secret = "a secret of some length";
        let (greeted, received) = meet(secret, secret, Purpose::Lane(3)).await;
        assert!(greeted.unwrap() && received.unwrap() == Some(Purpose::Lane(3)));
        let (greeted, received) = meet(secret, secret, Purpose::Lane(4)).await;
        assert!(!greeted.unwrap() && received.unwrap().is_none());
        let (greeted, received) = meet(secret, secret, Purpose::News).await;
        assert!(greeted.unwrap() && received.unwrap() == Some(Purpose::News));
        let (greeted, received) = meet("another secret of some length", secret, Purpose::News).await;
        assert!(greeted.is_err());
        assert!(received.unwrap_err().to_string().contains("does not have the secret"));
        assert!(Secret::new("short").is_err());
    }
}
