//! How our types travel in PostgreSQL's binary format.

use crate::domain::Timestamp;
use bytes::{BufMut, BytesMut};
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// 2000-01-01 in microseconds since 1970: where PostgreSQL's clock begins.
pub(super) const PG_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A time as PostgreSQL sends it.
pub(super) fn pg_micros(t: Timestamp) -> i64 {
    t.micros().saturating_sub(PG_EPOCH_MICROS)
}

impl ToSql for Timestamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(pg_micros(*self));
        Ok(IsNull::No)
    }
    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamp {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let bytes: [u8; 8] = raw.try_into()?;
        Ok(Timestamp::from_micros(i64::from_be_bytes(bytes).saturating_add(PG_EPOCH_MICROS)))
    }
    accepts!(TIMESTAMPTZ);
}
