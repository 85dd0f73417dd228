//! What somebody showed, as the functions `api_*` take it.

use bytes::{BufMut, BytesMut};
use sha2::{Digest, Sha256};
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// SHA-256 of a secret that somebody showed: a session's token, a ticket of a live stream, a phone's token.
///
/// The functions `api_*` derive from it who asks. It is made from the secret itself or read back with a
/// ticket, so that no code can name a person. `tests/proofs.rs` sees where it is made, and that every call passes one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof([u8; 32]);

impl Proof {
    /// Of a secret that has come with a request.
    #[must_use]
    pub fn shown(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// The digest, as the database has it.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.0
    }
}

/// The digest stands in for the person at the database: it goes into no log.
impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proof(…)")
    }
}

impl ToSql for Proof {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(BYTEA);
    to_sql_checked!();
}

/// Read back: the session of a ticket that was shown.
impl<'a> FromSql<'a> for Proof {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.try_into()?))
    }

    accepts!(BYTEA);
}
