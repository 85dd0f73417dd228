//! Points of the flow at which a test can end or pause the program.
//!
//! In: `RIDEGUARD_FAILPOINT=NAME=ACTION@N`: at the Nth passage of NAME do ACTION, which is `kill` (SIGKILL,
//! as a power cut) or `stop` (SIGSTOP, as a machine that hangs). Only builds with debug assertions look;
//! in a release the calls are empty, so what is measured and deployed has none of this.

/// A point, in the order of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A lane has its lease and its state.
    Recovered,
    /// A batch is in memory only.
    Received,
    /// Commit 1 was answered; nothing is acknowledged.
    Journaled,
    /// The acknowledgements are on their way.
    Acknowledged,
    /// The batch is folded; nothing follows from it yet.
    Understood,
    /// The replies are on their way.
    Answered,
    /// Commit 2 has begun and PostgreSQL waits for its fixes: the lane's row is locked.
    Copying,
    /// The rows of commit 2 are written but not committed.
    EffectsWritten,
    /// Commit 2 was answered; nobody was told.
    Counted,
    /// A checkpoint was written.
    Checkpointed,
    /// A notification is claimed.
    Claimed,
    /// A notification was sent; nothing says so.
    Sent,
    /// It is noted as done.
    Noted,
    /// The audit is sealed in the table; no file has the head.
    Sealed,
}

impl Point {
    /// Every point.
    pub const ALL: [Self; 14] = [
        Self::Recovered,
        Self::Received,
        Self::Journaled,
        Self::Acknowledged,
        Self::Understood,
        Self::Answered,
        Self::Copying,
        Self::EffectsWritten,
        Self::Counted,
        Self::Checkpointed,
        Self::Claimed,
        Self::Sent,
        Self::Noted,
        Self::Sealed,
    ];

    /// Its name in `RIDEGUARD_FAILPOINT`.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Passes a point.
#[inline]
pub fn pass(point: Point) {
    #[cfg(debug_assertions)]
    armed::pass(point);
    #[cfg(not(debug_assertions))]
    let _ = point;
}

#[cfg(debug_assertions)]
mod armed {
    use crate::failpoint::Point;
    use nix::sys::signal::{Signal, kill};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Armed {
        point: Point,
        signal: Signal,
        at_passage: u64,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let text = std::env::var("RIDEGUARD_FAILPOINT").ok()?;
        let armed = parse(&text);
        assert!(armed.is_some(), "RIDEGUARD_FAILPOINT is {text:?}; it must be NAME=kill@N or NAME=stop@N");
        armed
    });
    static PASSAGES: AtomicU64 = AtomicU64::new(0);

    fn parse(text: &str) -> Option<Armed> {
        let (name, rest) = text.split_once('=')?;
        let (action, number) = rest.split_once('@')?;
        let signal = match action {
            "kill" => Signal::SIGKILL,
            "stop" => Signal::SIGSTOP,
            _ => return None,
        };
        let point = Point::ALL.into_iter().find(|p| p.name() == name)?;
        Some(Armed { point, signal, at_passage: number.parse().ok()? })
    }

    pub(super) fn pass(point: Point) {
        let Some(armed) = &*ARMED else { return };
        if armed.point == point && PASSAGES.fetch_add(1, Ordering::Relaxed) + 1 == armed.at_passage {
            let _ = kill(nix::unistd::getpid(), armed.signal);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_failpoint_is_named_with_its_action_and_passage() {
            let armed = parse("Journaled=stop@3").unwrap();
            assert_eq!((armed.point, armed.signal, armed.at_passage), (Point::Journaled, Signal::SIGSTOP, 3));
            for wrong in ["Journaled", "Journaled=kill", "Journaled=boom@1", "journaled=kill@1", "Journaled=kill@x"] {
                assert!(parse(wrong).is_none(), "{wrong}");
            }
        }
    }
}
