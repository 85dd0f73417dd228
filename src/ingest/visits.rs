//! How trackers come to the door, for operators: what has changed and was not told yet.
//!
//! Each tracker waits to be told once, however often it comes and goes meanwhile, so that this is bounded by their number.

use crate::domain::{Timestamp, TrackerIdent};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network of an address, too coarse to tell devices apart: /24 of IPv4, /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpAddr);

impl Network {
    /// Of an address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 48)).into(),
        })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0, if self.0.is_ipv4() { 24 } else { 48 })
    }
}

/// How a tracker came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// When it logged in, or sent its first datagram.
    pub began_at: Timestamp,
    /// By which listener, in the order of the settings.
    pub listener: u8,
    /// The version of MQTT, where it speaks that.
    pub mqtt: Option<&'static str>,
    /// From where, about.
    pub network: Network,
}

/// What is told of a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which one.
    pub ident: TrackerIdent,
    /// How it is there, or was.
    pub visit: Visit,
    /// When and why it ended; none: it is there.
    pub ended: Option<(Timestamp, &'static str)>,
}

/// A tracker that comes by datagrams: nobody says when it goes.
struct Heard {
    visit: Visit,
    heard_at: Timestamp,
}

/// See the module.
#[derive(Default)]
pub(super) struct News {
    /// Whom to tell of, those who wait longest first; each once.
    queue: VecDeque<TrackerIdent>,
    queued: HashSet<TrackerIdent>,
    /// Whom to tell of again, after those for whom something changed.
    again: VecDeque<TrackerIdent>,
    /// How those went that are not there any more; each of them is in the queue.
    gone: HashMap<TrackerIdent, (Visit, Timestamp, &'static str)>,
    by_datagrams: HashMap<TrackerIdent, Heard>,
}

impl News {
    pub fn came(&mut self, ident: &TrackerIdent) {
        self.gone.remove(ident);
        self.queue(ident);
    }

    pub fn went(&mut self, ident: &TrackerIdent, visit: Visit, at: Timestamp, why: &'static str) {
        self.gone.insert(ident.clone(), (visit, at, why));
        self.queue(ident);
    }

    fn queue(&mut self, ident: &TrackerIdent) {
        if self.queued.insert(ident.clone()) {
            self.queue.push_back(ident.clone());
        }
    }

    /// A datagram of a tracker came.
    pub fn heard(&mut self, ident: &TrackerIdent, visit: Visit) {
        if let Some(heard) = self.by_datagrams.get_mut(ident)
            && (heard.visit.listener, heard.visit.network) == (visit.listener, visit.network)
        {
            heard.heard_at = visit.began_at;
            return;
        }
        self.by_datagrams.insert(ident.clone(), Heard { visit, heard_at: visit.began_at });
        self.came(ident);
    }

    /// Whoever sent no datagram since then is not there any more.
    pub fn forget_silent(&mut self, since: Timestamp) {
        let is_silent = |_: &TrackerIdent, heard: &mut Heard| heard.heard_at < since;
        let silent: Vec<_> = self.by_datagrams.extract_if(is_silent).collect();
        for (ident, Heard { visit, heard_at }) in silent {
            self.went(&ident, visit, heard_at, "silent");
        }
    }

    /// A tracker is not let in any more.
    pub fn shut_out(&mut self, ident: &TrackerIdent, at: Timestamp) {
        if let Some(Heard { visit, .. }) = self.by_datagrams.remove(ident) {
            self.went(ident, visit, at, "removed");
        }
    }

    /// How many come by datagrams of each listener.
    pub fn count_datagrams(&self, counts: &mut [u64]) {
        for heard in self.by_datagrams.values() {
            if let Some(count) = counts.get_mut(usize::from(heard.visit.listener)) {
                *count += 1;
            }
        }
    }

    /// Takes the next, so many at most; `here` says who is connected.
    pub fn take(&mut self, most: usize, here: impl Fn(&TrackerIdent) -> Option<Visit>) -> Vec<Told> {
        let (mut taken, mut changed) = (Vec::new(), HashSet::new());
        while taken.len() < most {
            let ident = match (self.queue.pop_front(), &mut self.again) {
                (Some(ident), again) => {
                    if !again.is_empty() {
                        changed.insert(ident.clone());
                    }
                    ident
                }
                (None, again) => match again.pop_front() {
                    Some(ident) if changed.contains(&ident) => continue, // one statement writes a row once
                    Some(ident) => ident,
                    None => break,
                },
            };
            self.queued.remove(&ident);
            let gone = self.gone.remove(&ident);
            let now = here(&ident).or_else(|| self.by_datagrams.get(&ident).map(|heard| heard.visit));
            match (now, gone) {
                (Some(visit), _) => taken.push(Told { ident, visit, ended: None }),
                (None, Some((visit, at, why))) => taken.push(Told { ident, visit, ended: Some((at, why)) }),
                (None, None) => {}
            }
        }
        taken
    }

    /// What was taken could not be told: it waits again, where nothing newer does.
    pub fn put_back(&mut self, taken: Vec<Told>, here: impl Fn(&TrackerIdent) -> bool) {
        for Told { ident, visit, ended } in taken {
            if let Some((at, why)) = ended
                && !here(&ident)
                && !self.by_datagrams.contains_key(&ident)
                && !self.gone.contains_key(&ident)
            {
                self.gone.insert(ident.clone(), (visit, at, why));
            }
            self.queue(&ident);
        }
    }

    /// Everybody who is there is told of again.
    pub fn tell_all(&mut self, here: impl Iterator<Item = TrackerIdent>) {
        self.again = here.chain(self.by_datagrams.keys().cloned()).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(second: i64) -> Visit {
        let network = Network::of(IpAddr::from([192, 0, 2, 77]));
        Visit { began_at: Timestamp::from_secs(second), listener: 1, mqtt: None, network }
    }

    #[test]
    fn a_network_is_too_coarse_to_tell_devices_apart() {
        for (address, network) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
            ("::1", "::/48"),
        ] {
            assert_eq!(Network::of(address.parse().unwrap()).to_string(), network, "{address}");
        }
    }

    #[test]
    fn whoever_is_told_of_again_comes_after_news_and_once() {
        let mut news = News::default();
        let idents = ["yy1", "yy2", "yy3"].map(|ident| TrackerIdent::parse(ident).unwrap());
        news.tell_all(idents.iter().cloned());
        news.came(&idents[2]);
        let told = |news: &mut News| {
            let taken = news.take(9, |_| Some(visit(1)));
            taken.iter().map(|told| told.ident.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(told(&mut news), ["yy3", "yy1", "yy2"]);
        assert!(told(&mut news).is_empty());
    }

    #[test]
    fn a_tracker_that_comes_and_goes_waits_once_and_is_told_as_it_is_then() {
        let mut news = News::default();
        let [one, two] = ["yy1", "yy2"].map(|ident| TrackerIdent::parse(ident).unwrap());
        for second in 0..100 {
            news.came(&one);
            news.went(&one, visit(second), Timestamp::from_secs(second + 1), "closed");
        }
        news.came(&two);
        assert_eq!(news.queue.len(), 2);
        let here = |ident: &TrackerIdent| (*ident == two).then(|| visit(7));
        let ended = Some((Timestamp::from_secs(100), "closed"));
        let first = news.take(1, here);
        assert_eq!(first, [Told { ident: one.clone(), visit: visit(99), ended }]);
        assert_eq!(news.take(9, here), [Told { ident: two.clone(), visit: visit(7), ended: None }]);
        // The database was away. Whatever is newer by then counts.
        news.put_back(first.clone(), |_| false);
        assert_eq!(news.take(9, here), first);
        news.put_back(first, |ident| *ident == one);
        let here = |_: &TrackerIdent| Some(visit(200));
        assert_eq!(news.take(9, here), [Told { ident: one, visit: visit(200), ended: None }]);
        assert!(news.gone.is_empty() && news.queued.is_empty() && news.queue.is_empty());
    }

    #[test]
    fn who_comes_by_datagrams_is_there_until_it_is_silent_and_each_datagram_is_no_news() {
        let mut news = News::default();
        let ident = TrackerIdent::parse("yy1").unwrap();
        for second in 0..100 {
            news.heard(&ident, visit(second));
        }
        let nobody = |_: &TrackerIdent| None;
        assert_eq!(news.take(9, nobody), [Told { ident: ident.clone(), visit: visit(0), ended: None }]);
        let mut counts = [0, 0];
        news.count_datagrams(&mut counts);
        assert_eq!(counts, [0, 1]);
        news.tell_all(std::iter::empty());
        assert_eq!(news.take(9, nobody).len(), 1);
        news.forget_silent(Timestamp::from_secs(99));
        assert_eq!(news.take(9, nobody), [], "it was heard then");
        news.forget_silent(Timestamp::from_secs(100));
        let ended = Some((Timestamp::from_secs(99), "silent"));
        assert_eq!(news.take(9, nobody), [Told { ident: ident.clone(), visit: visit(0), ended }]);
        news.heard(&ident, visit(300));
        news.shut_out(&ident, Timestamp::from_secs(301));
        let ended = Some((Timestamp::from_secs(301), "removed"));
        assert_eq!(news.take(9, nobody), [Told { ident, visit: visit(300), ended }]);
    }
}
