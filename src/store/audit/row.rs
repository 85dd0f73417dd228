//! The bytes of a row of audit, and the chain over them, as `docs/audit.md` has them.

use sha2::{Digest, Sha256};

/// First line of a row's bytes: what they are, and the version of their form.
const TAG: &[u8] = b"rideguard audit row 1\n";

/// A row of audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its number.
    pub id: i64,
    /// The transaction that it came by; 0: from before the chain.
    pub xact: u64,
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// Who asked.
    pub account: Option<i64>,
    /// By which grant.
    pub grant: Option<i64>,
    /// What was done.
    pub action: &'a str,
    /// What was asked: PostgreSQL's text of the `jsonb`.
    pub question: &'a str,
    /// How many rows the answer had.
    pub rows: Option<i32>,
}

impl Row<'_> {
    /// Appends its bytes: the tag, then each column as text in a netstring (`LENGTH:TEXT,`), NULL as `-,`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(TAG);
        number(out, Some(self.id.into()));
        number(out, Some(self.xact.into()));
        number(out, Some(self.at_us.into()));
        number(out, self.account.map(i128::from));
        number(out, self.grant.map(i128::from));
        netstring(out, self.action);
        netstring(out, self.question);
        number(out, self.rows.map(i128::from));
    }
}

/// A number in decimal digits.
fn number(out: &mut Vec<u8>, value: Option<i128>) {
    match value {
        Some(value) => netstring(out, &value.to_string()),
        None => out.extend_from_slice(b"-,"),
    }
}

fn netstring(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(text.as_bytes());
    out.push(b',');
}

/// A state of the chain: SHA-256 of the state before and the bytes of a row. The first one is of 32 zero bytes; between two
/// seals stands SHA-256 of what was signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainHead(pub [u8; 32]);

impl ChainHead {
    /// Takes in the bytes of one more row.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0 = Sha256::new().chain_update(self.0).chain_update(bytes).finalize().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Row<'_> = Row {
        id: 17,
        xact: 4_294_967_299,
        at_us: 1_764_410_400_123_456,
        account: Some(3),
        grant: Some(5),
        action: "vehicles",
        question: r#"{"text": "湘A·12"}"#,
        rows: Some(2),
    };
    const EMPTY: Row<'_> =
        Row { id: 18, xact: 0, at_us: -1, account: None, grant: None, action: "", question: "null", rows: None };

    #[test]
    fn the_bytes_of_a_row_and_its_hash_stay_as_they_are() {
        let (mut full, mut empty) = (Vec::new(), Vec::new());
        FULL.write(&mut full);
        EMPTY.write(&mut empty);
        assert_eq!(
            std::str::from_utf8(&full).unwrap(),
            "rideguard audit row 1\n2:17,10:4294967299,16:1764410400123456,1:3,1:5,8:vehicles,20:{\"text\": \"湘A·12\"},1:2,"
        );
        assert_eq!(std::str::from_utf8(&empty).unwrap(), "rideguard audit row 1\n2:18,1:0,2:-1,-,-,0:,4:null,-,");
        let mut head = ChainHead::default();
        head.add(&full);
        assert_eq!(hex::encode(head.0), "280a5ff105ff9d8459b52bc48961a6d8a4b3c0c8731c68ee601f90bc19277389");
        head.add(&empty);
        assert_eq!(hex::encode(head.0), "88426d6d292f5c51947f116ef6f7777749758f7c0ef9c651a2960169db65528f");
    }

    #[test]
    fn no_two_rows_have_the_same_bytes() {
        let mut seen = std::collections::HashSet::new();
        let rows = [
            FULL,
            EMPTY,
            Row { account: None, ..FULL },
            Row { grant: None, ..FULL },
            Row { account: None, grant: Some(3), ..FULL },
            Row { rows: None, ..FULL },
            Row { action: "vehicles,1:x", question: "{}", ..FULL },
            Row { action: "vehicles", question: "1:x,{}", ..FULL },
            Row { action: "-", ..FULL },
        ];
        for row in rows {
            let mut bytes = Vec::new();
            row.write(&mut bytes);
            assert!(seen.insert(bytes), "{row:?}");
        }
    }
}
