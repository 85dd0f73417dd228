//! How often strangers may ask what needs no session: logging in, and a phone's word.

use governor::NotUntil;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DefaultKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::num::NonZeroU32;
use tokio::sync::Semaphore;

/// Attempts per login and minute; a person who mistypes needs fewer.
const LOGIN_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0");
/// Attempts of all logins together per minute.
const LOGINS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(300).expect("300 is not 0");
/// Words of one phone per minute; it speaks when it comes to its bike, and asks again until its word is in force.
const PHONE_PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).expect("30 is not 0");
/// Words of all phones together per minute: a city's morning, several times over.
const PHONES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6000).expect("6000 is not 0");
/// Names remembered before those that may ask again are forgotten; more than come in the minute for which one counts.
const NAMES_MAX: usize = 10_000;
/// Argon2 runs side by side; each takes 19 MiB for a few dozen milliseconds.
const HASHES_MAX: usize = 2;

/// A limit for each name, and one for all together.
struct Limit<N: Hash + Eq + Clone> {
    each: RateLimiter<N, DefaultKeyedStateStore<N>, DefaultClock>,
    all: RateLimiter<NotKeyed, InMemoryState, DefaultClock>,
    clock: DefaultClock,
}

impl<N: Hash + Eq + Clone> Limit<N> {
    fn per_minute(each: NonZeroU32, all: NonZeroU32) -> Self {
        let (each, all) = (RateLimiter::keyed(Quota::per_minute(each)), RateLimiter::direct(Quota::per_minute(all)));
        Self { each, all, clock: DefaultClock::default() }
    }

    /// Or in how many seconds it may be tried again.
    fn allows(&self, name: &N) -> Result<(), u64> {
        if self.each.len() >= NAMES_MAX {
            self.each.retain_recent();
        }
        let now = self.clock.now();
        let whole = |not_until: NotUntil<_>| not_until.wait_time_from(now).as_secs() + 1;
        self.all.check().map_err(whole)?;
        self.each.check_key(name).map_err(whole)
    }
}

/// See the module.
pub(super) struct Limits {
    logins: Limit<String>,
    phones: Limit<Vec<u8>>,
    /// A place for each hash at work.
    pub(super) hashing: Semaphore,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            logins: Limit::per_minute(LOGIN_PER_MINUTE, LOGINS_PER_MINUTE),
            phones: Limit::per_minute(PHONE_PER_MINUTE, PHONES_PER_MINUTE),
            hashing: Semaphore::new(HASHES_MAX),
        }
    }
}

impl Limits {
    /// Whether somebody may try this login now, or in how many seconds.
    pub(super) fn allow_login(&self, login: &str) -> Result<(), u64> {
        self.logins.allows(&login.to_owned())
    }

    /// Whether the phone with this token's digest may speak now, or in how many seconds.
    pub(super) fn allow_phone(&self, digest: &[u8]) -> Result<(), u64> {
        self.phones.allows(&digest.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_cannot_use_up_what_others_may() {
        let limits = Limits::default();
        let allowed = (0..LOGIN_PER_MINUTE.get() + 5).filter(|_| limits.allow_login("a").is_ok()).count();
        assert!((10..=11).contains(&allowed), "{allowed}"); // a slow machine may give one back
        let wait_s = limits.allow_login("a").expect_err("too often");
        assert!((1..=7).contains(&wait_s), "{wait_s}: one in six seconds is given back");
        assert!(limits.allow_login("b").is_ok());
    }

    #[test]
    fn names_are_not_remembered_for_ever() {
        let large = NonZeroU32::new(60_000_000).unwrap(); // each may ask again after a microsecond
        let limit = Limit::per_minute(large, large);
        for name in 0..3 * NAMES_MAX {
            assert!(limit.allows(&name).is_ok());
        }
        assert!(limit.each.len() <= NAMES_MAX + 1, "{}", limit.each.len());
    }
}
