//! How often strangers may ask what needs no session: logging in, and a phone's report.

use crate::api::device::DeviceId;
use crate::api::password::Workspaces;
use axum::http::HeaderMap;
#[cfg(test)]
use axum::http::HeaderName;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DefaultKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};
use std::collections::HashSet;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Attempts per login and minute; a person who mistypes needs fewer.
const LOGIN_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0");
/// Attempts per client address and minute: an office behind one address in the morning.
const CLIENT_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("60 is not 0");
/// Attempts per minute of a /48 of IPv6, which one customer may have: each of its /64 has the limit of a client.
const NETWORK_PER_MINUTE: NonZeroU32 = NonZeroU32::new(240).expect("240 is not 0");
/// Attempts of all logins together per minute.
const LOGINS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(300).expect("300 is not 0");
/// Attempts per minute of all known browsers of one login.
const DEVICES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");
/// Attempts per minute kept in reserve for names that have logged in before; as many again for known browsers.
const KNOWN_PER_MINUTE: NonZeroU32 = NonZeroU32::new(300).expect("300 is not 0");
/// Reports of one phone per minute; it speaks when it comes to its bike, and asks again until its report is in force.
const PHONE_PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).expect("30 is not 0");
/// Reports of all phones together per minute: a city's morning, several times over.
const PHONES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6000).expect("6000 is not 0");
/// Codes that one account may try per minute; a person who mistypes needs fewer.
const CODES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0");
/// Looks through one share link per minute: fifty people, each every 2 s.
const VIEWS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(1500).expect("1500 is not 0");
/// Looks through all share links, and questions after erasures, per minute.
const ALL_VIEWS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(15_000).expect("15,000 is not 0");
/// Exports of one account per day: each reads years of tracks.
const EXPORTS_PER_DAY: NonZeroU32 = NonZeroU32::new(3).expect("3 is not 0");
/// When one more export is allowed, seconds.
const EXPORT_EVERY: Duration = Duration::from_secs(8 * 3600);
/// Exports made side by side; each takes some tens of megabytes, whatever it brings.
const EXPORTS_MAX: usize = 4;
/// Names remembered before those that may ask again are forgotten; more than come in the minute for which one counts.
const NAMES_MAX: usize = 10_000;
/// Names remembered as known: a city's people. Each takes about 100 bytes.
pub(super) const KNOWN_MAX: usize = 200_000;
/// How many more names come before the next try to forget some.
const FORGET_EVERY: usize = 1024;
/// Argon2 runs side by side; each takes 19 MiB for a few dozen milliseconds.
const HASHES_MAX: usize = 2;
/// Attempts that wait for their Argon2 run; the last one waits about a second.
const HASHES_WAITING_MAX: usize = 16;

type Direct = RateLimiter<NotKeyed, InMemoryState, DefaultClock>;
type Keyed<N> = RateLimiter<N, DefaultKeyedStateStore<N>, DefaultClock>;

/// How many seconds from now it may be tried again.
fn whole_s(not_until: &NotUntil<<DefaultClock as Clock>::Instant>) -> u64 {
    not_until.wait_time_from(DefaultClock::default().now()).as_secs() + 1
}

fn check(limit: &Direct) -> Result<(), u64> {
    limit.check().map_err(|n| whole_s(&n))
}

fn check_key<N: Hash + Eq + Clone>(limit: &Keyed<N>, name: &N) -> Result<(), u64> {
    let names = limit.len();
    // Not at every attempt: each time all are looked through.
    if names >= NAMES_MAX && names.is_multiple_of(FORGET_EVERY) {
        limit.retain_recent();
    }
    limit.check_key(name).map_err(|n| whole_s(&n))
}

/// Who tries to log in.
pub(super) struct Attempt<'a> {
    /// As typed.
    pub(super) login: &'a str,
    /// Where from, as far as a declared proxy says it; an IPv6 address stands for its /64.
    pub(super) client: Option<IpAddr>,
    /// The browser that logged this name in before.
    pub(super) device: Option<DeviceId>,
}

/// See the module. A shared budget is charged last: what a private one refuses must cost nobody else.
pub(super) struct Limits {
    names: Keyed<String>,
    clients: Keyed<IpAddr>,
    networks: Keyed<Ipv6Addr>,
    devices: Keyed<DeviceId>,
    /// All known browsers of a name together: each log-in makes one more.
    names_of_devices: Keyed<String>,
    logins: Direct,
    reserve: Direct,
    reserve_of_devices: Direct,
    /// Names that have logged in before; all are forgotten at [`KNOWN_MAX`].
    known: Mutex<HashSet<String>>,
    phone: Keyed<Vec<u8>>,
    phones: Direct,
    codes: Keyed<i64>,
    passwords: Keyed<i64>,
    view: Keyed<Vec<u8>>,
    views: Direct,
    export: Keyed<i64>,
    /// A place for each export at work.
    pub(super) exporting: std::sync::Arc<Semaphore>,
    /// A place for each hash at work, and those in which one may wait.
    hashing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// One for each hash at work.
    pub(super) workspaces: Workspaces,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            names: RateLimiter::keyed(Quota::per_minute(LOGIN_PER_MINUTE)),
            clients: RateLimiter::keyed(Quota::per_minute(CLIENT_PER_MINUTE)),
            networks: RateLimiter::keyed(Quota::per_minute(NETWORK_PER_MINUTE)),
            devices: RateLimiter::keyed(Quota::per_minute(LOGIN_PER_MINUTE)),
            names_of_devices: RateLimiter::keyed(Quota::per_minute(DEVICES_PER_MINUTE)),
            logins: RateLimiter::direct(Quota::per_minute(LOGINS_PER_MINUTE)),
            reserve: RateLimiter::direct(Quota::per_minute(KNOWN_PER_MINUTE)),
            reserve_of_devices: RateLimiter::direct(Quota::per_minute(KNOWN_PER_MINUTE)),
            known: Mutex::default(),
            phone: RateLimiter::keyed(Quota::per_minute(PHONE_PER_MINUTE)),
            phones: RateLimiter::direct(Quota::per_minute(PHONES_PER_MINUTE)),
            codes: RateLimiter::keyed(Quota::per_minute(CODES_PER_MINUTE)),
            passwords: RateLimiter::keyed(Quota::per_minute(LOGIN_PER_MINUTE)),
            view: RateLimiter::keyed(Quota::per_minute(VIEWS_PER_MINUTE)),
            views: RateLimiter::direct(Quota::per_minute(ALL_VIEWS_PER_MINUTE)),
            export: RateLimiter::keyed(
                Quota::with_period(EXPORT_EVERY)
                    .map_or(Quota::per_hour(EXPORTS_PER_DAY), |q| q.allow_burst(EXPORTS_PER_DAY)),
            ),
            exporting: std::sync::Arc::new(Semaphore::new(EXPORTS_MAX)),
            hashing: Arc::new(Semaphore::new(HASHES_MAX)),
            waiting: Arc::new(Semaphore::new(HASHES_MAX + HASHES_WAITING_MAX)),
            workspaces: Workspaces::default(),
        }
    }
}

impl Limits {
    /// Whether somebody may try this login now, or in how many seconds.
    pub(super) fn allow_login(&self, attempt: &Attempt) -> Result<(), u64> {
        match &attempt.device {
            Some(device) => {
                check_key(&self.devices, device)?;
                check_key(&self.names_of_devices, &attempt.login.to_owned())?;
            }
            None => {
                attempt.client.map_or(Ok(()), |client| check_key(&self.clients, &client))?;
                if let Some(IpAddr::V6(client)) = attempt.client {
                    check_key(&self.networks, &Ipv6Addr::from_bits(client.to_bits() >> 80 << 80))?;
                }
                check_key(&self.names, &attempt.login.to_owned())?;
            }
        }
        check(&self.logins).or_else(|wait_s| match attempt.device {
            Some(_) => check(&self.reserve_of_devices),
            None if self.known().contains(attempt.login) => check(&self.reserve),
            None => Err(wait_s),
        })
    }

    /// Remembers a name that logged in: it draws on the reserve from now on.
    pub(super) fn logged_in(&self, login: &str) {
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(login.to_owned());
    }

    fn known(&self) -> MutexGuard<'_, HashSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the phone with this token's digest may speak now, or in how many seconds.
    pub(super) fn allow_phone(&self, digest: &[u8]) -> Result<(), u64> {
        check_key(&self.phone, &digest.to_vec())?;
        check(&self.phones)
    }

    /// Whether an account may try a code now, or in how many seconds.
    pub(super) fn allow_code(&self, account: i64) -> Result<(), u64> {
        check_key(&self.codes, &account)
    }

    /// Whether whoever is logged in may type the own password again now, or in how many seconds. Strangers who try the
    /// login use up none of it.
    pub(super) fn allow_own_password(&self, account: i64) -> Result<(), u64> {
        check_key(&self.passwords, &account)
    }

    /// Whether somebody may look through the link with this token's digest now, or in how many seconds.
    pub(super) fn allow_view(&self, digest: &[u8]) -> Result<(), u64> {
        check_key(&self.view, &digest.to_vec())?;
        check(&self.views)
    }

    /// Whether an account may take its data along now, or in how many seconds.
    pub(super) fn allow_export(&self, account: i64) -> Result<(), u64> {
        check_key(&self.export, &account)
    }

    /// A place for one hash, after a short wait; none where too many wait already.
    pub(super) async fn place_to_hash(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let waiting = self.waiting.clone().try_acquire_owned().ok()?;
        Some([waiting, self.hashing.clone().acquire_owned().await.ok()?])
    }
}

/// The client's address as the proxy in front states it: the last of X-Forwarded-For, which the proxy added itself.
/// None without a declared proxy: whoever reaches a listener on loopback stands on this machine.
pub(super) fn client_behind_proxy(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let address: IpAddr = last.rsplit(',').next()?.trim().parse().ok()?;
    Some(match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(login: &str) -> Attempt<'_> {
        Attempt { login, client: None, device: None }
    }

    #[test]
    fn one_name_cannot_use_up_what_others_may() {
        let limits = Limits::default();
        let tries = 2 * LOGINS_PER_MINUTE.get();
        let allowed = (0..tries).filter(|_| limits.allow_login(&stranger("a")).is_ok()).count();
        assert!((10..=11).contains(&allowed), "{allowed}"); // a slow machine may give one back
        let wait_s = limits.allow_login(&stranger("a")).expect_err("too often");
        assert!((1..=7).contains(&wait_s), "{wait_s}: one in six seconds is given back");
        assert!(limits.allow_login(&stranger("b")).is_ok());
    }

    #[test]
    fn strangers_who_try_a_login_use_up_nothing_of_whoever_is_logged_in() {
        let limits = Limits::default();
        while limits.allow_login(&stranger("owner")).is_ok() {}
        let allowed = (0..3 * LOGIN_PER_MINUTE.get()).filter(|_| limits.allow_own_password(7).is_ok()).count();
        assert!((10..=11).contains(&allowed), "{allowed}");
        assert!(limits.allow_own_password(8).is_ok());
    }

    #[test]
    fn one_phone_cannot_use_up_what_others_may() {
        let limits = Limits::default();
        let allowed = (0..2 * PHONES_PER_MINUTE.get()).filter(|_| limits.allow_phone(b"a").is_ok()).count();
        assert!((30..=32).contains(&allowed), "{allowed}");
        assert!(limits.allow_phone(b"b").is_ok());
    }

    #[test]
    fn one_network_with_many_addresses_cannot_use_up_what_others_may() {
        let limits = Limits::default();
        let client = |n: u32| format!("2001:db8:7:{n:x}::").parse().ok();
        let tries = 0..2 * LOGINS_PER_MINUTE.get();
        let names = tries.map(|n| (format!("name-{n}"), client(n)));
        let allowed =
            names.filter(|(n, client)| limits.allow_login(&Attempt { client: *client, ..stranger(n) }).is_ok());
        let allowed = allowed.count();
        assert!((240..=244).contains(&allowed), "{allowed}");
        assert!(limits.allow_login(&Attempt { client: "2001:db8:8::".parse().ok(), ..stranger("b") }).is_ok());
    }

    #[test]
    fn one_address_with_many_names_cannot_use_up_what_others_may() {
        let (limits, client) = (Limits::default(), "203.0.113.7".parse().ok());
        let names = (0..2 * LOGINS_PER_MINUTE.get()).map(|n| format!("name-{n}"));
        let allowed = names.filter(|n| limits.allow_login(&Attempt { client, ..stranger(n) }).is_ok()).count();
        assert!((60..=62).contains(&allowed), "{allowed}");
        assert!(limits.allow_login(&Attempt { client: "203.0.113.8".parse().ok(), ..stranger("b") }).is_ok());
    }

    #[test]
    fn an_address_that_is_refused_uses_up_nobodys_name() {
        let (limits, client) = (Limits::default(), "203.0.113.7".parse().ok());
        while limits.allow_login(&Attempt { client, ..stranger("x") }).is_ok() {}
        for n in 0..2 * CLIENT_PER_MINUTE.get() {
            let _ = limits.allow_login(&Attempt { client, ..stranger(&n.to_string()) });
        }
        let victim = |_| limits.allow_login(&Attempt { client, ..stranger("victim") }).is_ok();
        let allowed = (0..2 * LOGIN_PER_MINUTE.get()).filter(|n| victim(*n)).count();
        assert!(allowed <= 3, "{allowed}");
        assert!(limits.allow_login(&stranger("victim")).is_ok());
    }

    #[test]
    fn known_names_and_browsers_log_in_while_strangers_use_up_the_common_budget() {
        let limits = Limits::default();
        limits.logged_in("owner");
        while limits.allow_login(&stranger(&hex::encode(rand::random::<[u8; 8]>()))).is_ok() {}
        assert!((0..3).any(|_| limits.allow_login(&stranger("new")).is_err()), "one may be given back meanwhile");
        assert!(limits.allow_login(&stranger("owner")).is_ok());
        let device = Some(rand::random());
        assert!(limits.allow_login(&Attempt { device, ..stranger("another") }).is_ok());
        // A browser that is known is not held up by strangers who try its name.
        while limits.allow_login(&stranger("owner")).is_ok() {}
        assert!(limits.allow_login(&Attempt { device, ..stranger("owner") }).is_ok());
        let more = (0..3 * LOGIN_PER_MINUTE.get())
            .filter(|_| limits.allow_login(&Attempt { device, ..stranger("owner") }).is_ok());
        assert!((7..=9).contains(&more.count()), "a browser has ten tries a minute, too");
    }

    #[test]
    fn names_are_not_remembered_for_ever() {
        let large = NonZeroU32::new(60_000_000).unwrap(); // each may ask again after a microsecond
        let limit = RateLimiter::keyed(Quota::per_minute(large));
        for name in 0..3 * NAMES_MAX {
            assert!(check_key(&limit, &name).is_ok());
        }
        assert!(limit.len() <= NAMES_MAX + FORGET_EVERY, "{}", limit.len());
        let limits = Limits::default();
        (0..=KNOWN_MAX).for_each(|n| limits.logged_in(&n.to_string()));
        assert!(limits.known().len() <= KNOWN_MAX);
    }

    #[tokio::test]
    async fn few_wait_for_a_hash_and_the_rest_are_told_at_once() {
        let limits = Limits::default();
        let (a, b) = (limits.place_to_hash().await, limits.place_to_hash().await);
        assert!(a.is_some() && b.is_some());
        let waiting: Vec<_> = (0..HASHES_WAITING_MAX).map(|_| limits.waiting.try_acquire().unwrap()).collect();
        assert!(limits.place_to_hash().await.is_none());
        drop((waiting, a));
        assert!(limits.place_to_hash().await.is_some());
    }

    #[test]
    fn the_address_is_the_one_that_the_proxy_itself_added() {
        let headers = |lines: &[&str]| -> HeaderMap {
            lines.iter().map(|l| (HeaderName::from_static("x-forwarded-for"), l.parse().unwrap())).collect()
        };
        let of = |lines: &[&str]| client_behind_proxy(&headers(lines)).map(|a| a.to_string());
        assert_eq!(of(&["198.51.100.1, 203.0.113.7"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(of(&["203.0.113.7", "203.0.113.9"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(of(&["::ffff:203.0.113.7"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(of(&["2001:db8:1:2:3:4:5:6"]).as_deref(), Some("2001:db8:1:2::"));
        assert_eq!(of(&["unknown"]), None);
        assert_eq!(of(&[]), None);
    }
}
