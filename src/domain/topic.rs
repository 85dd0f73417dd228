//! Topics: who speaks, and on which path.
//!
//! `v1/{shard}/{ident}/up` is a tracker with a credential of its own, `v1/{shard}/{ident}/gw/{gateway}/up`
//! a tracker behind a gateway. The broker's ACL is the first wall; this is the second.

use crate::domain::{Lane, Shard, TrackerIdent};

/// What a topic says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The tracker.
    pub ident: TrackerIdent,
    /// The gateway that spoke for it, if any.
    pub gateway: Option<String>,
}

/// Why a topic is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Not one of our forms.
    #[error("the topic is not valid; expected v1/SHARD/IDENT/up or v1/SHARD/IDENT/gw/GATEWAY/up")]
    Form,
    /// The identifier is none.
    #[error("{0}")]
    Ident(#[from] crate::domain::tracker::IdentError),
    /// The shard is not that of the identifier.
    #[error("the topic says shard {said}, the tracker's shard is {right}")]
    Shard {
        /// As written.
        said: String,
        /// As computed.
        right: u16,
    },
}

impl Address {
    /// Reads a topic and checks its shard.
    ///
    /// # Errors
    /// Why nobody may be believed on this topic.
    pub fn parse(topic: &str) -> Result<Self, TopicError> {
        let mut parts = topic.splitn(7, '/');
        let mut part = || parts.next();
        let (shard, ident, gateway) = match [part(), part(), part(), part(), part(), part(), part()] {
            [Some("v1"), Some(shard), Some(ident), Some("up"), None, ..] => (shard, ident, None),
            [Some("v1"), Some(shard), Some(ident), Some("gw"), Some(gateway), Some("up"), None] => {
                (shard, ident, Some(gateway.to_owned()))
            }
            _ => return Err(TopicError::Form),
        };
        let ident = TrackerIdent::parse(ident)?;
        let right = Shard::of(ident.as_str());
        // Parsed strictly: "07" and "+7" are other topics than "7".
        let is_plain = shard.bytes().all(|b| b.is_ascii_digit()) && (shard.len() == 1 || !shard.starts_with('0'));
        if !is_plain || shard.parse() != Ok(right.0) {
            return Err(TopicError::Shard { said: shard.chars().take(16).collect(), right: right.0 });
        }
        Ok(Self { ident, gateway })
    }

    /// Who vouches for a packet on this path: the tracker itself, or the gateway.
    pub fn principal(&self) -> String {
        match &self.gateway {
            Some(gateway) => format!("gateway:{gateway}"),
            None => format!("tracker:{}", self.ident),
        }
    }
}

/// Whether a topic names this tracker, by itself or behind a gateway.
pub fn names(topic: &str, ident: &str) -> bool {
    topic.split('/').any(|part| part == ident)
}

/// The tracker that a topic names, where it names one: in every form of ours it follows version and shard.
pub fn tracker(topic: &str) -> Option<TrackerIdent> {
    let mut parts = topic.split('/');
    (parts.next() == Some("v1")).then(|| parts.nth(1).and_then(|ident| TrackerIdent::parse(ident).ok())).flatten()
}

/// The filters a lane subscribes to.
pub fn filters(lane: Lane) -> Vec<String> {
    lane.shards().flat_map(|s| [format!("v1/{}/+/up", s.0), format!("v1/{}/+/gw/+/up", s.0)]).collect()
}

/// Where a tracker listens.
pub fn down_topic(ident: &TrackerIdent) -> String {
    format!("v1/{}/{ident}/down", Shard::of(ident.as_str()).0)
}

/// The topic to which a tracker publishes.
pub fn up_topic(ident: &str) -> String {
    format!("v1/{}/{ident}/up", Shard::of(ident).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_its_tracker_and_path() {
        let shard = Shard::of("yy000001").0;
        let own = Address::parse(&format!("v1/{shard}/yy000001/up")).unwrap();
        assert_eq!((own.ident.as_str(), own.principal().as_str()), ("yy000001", "tracker:yy000001"));
        let gateway = Address::parse(&format!("v1/{shard}/yy000001/gw/g1/up")).unwrap();
        assert_eq!(gateway.principal(), "gateway:g1");
    }

    #[test]
    fn a_wrong_shard_is_refused() {
        let wrong = (Shard::of("yy000001").0 + 1) % 64;
        assert!(matches!(Address::parse(&format!("v1/{wrong}/yy000001/up")), Err(TopicError::Shard { .. })));
        assert!(Address::parse("v1/x/yy000001/up").is_err());
        assert!(Address::parse("v1//yy000001/up").is_err());
        assert!(Address::parse("v2/1/yy000001/up").is_err());
    }

    #[test]
    fn every_tracker_is_heard_by_exactly_its_lane() {
        for ident in ["yy000001", "13800138000", "867000000000001"] {
            let shard = Shard::of(ident);
            let filter = format!("v1/{}/+/up", shard.0);
            let hearing: Vec<_> = Lane::all().filter(|l| filters(*l).contains(&filter)).collect();
            assert_eq!(hearing, [shard.lane()]);
        }
    }
}
