//! A city to a broker, every tracker over its own connection, each packet when it arrives.
//!
//! Faster than life the trackers still tell the city's own time, so that speeds and rhythms are true; it lies in
//! the past and has caught up when the play is over. Whatever waits for a server's clock cannot be judged then:
//! silence is left out of the truth.

use super::plan::{City, Doing, Leg, Life, Outage, Theft};
use super::receiver::{Packet, Receiver};
use crate::encode::{Said, Source};
use crate::mqtt::{Broker, Credential, Manners, Message, Promise, publish};
use crate::owners::{GUARDED_AFTER_S, Owners};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Vehicles of a city rely on the broker's PUBACK; after their last message they wait for it.
const MANNERS: Manners = Manners { waits_for_answers: false, patience: Duration::from_secs(60) };
/// Messages of a tracker without PUBACK at a time: on a slow machine the city waits, and loses nothing.
const UNACKNOWLEDGED_MAX: usize = 20;
/// Owners end the guard so long before they ride, seconds of the city.
const ENDED_BEFORE_S: f64 = 20.0;

/// Where a city is played.
pub struct Stage {
    /// Which broker.
    pub broker: Broker,
    /// Who guards the vehicles; without owners nobody does.
    pub owners: Option<Owners>,
    /// How many times faster than life.
    pub speed: f64,
}

/// What a vehicle does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Its tracker speaks.
    Say(Packet),
    /// Its owner comes and ends the guard: from when to when it was on.
    EndGuard(f64, f64),
}

/// A vehicle's acts, in order, made leg by leg: a city's days do not fit into memory.
pub struct Acts<'a> {
    life: Life,
    tracker: Receiver,
    outages: &'a [Outage],
    next_leg: usize,
    /// By arrival.
    packets: VecDeque<Packet>,
    /// Rides to come: when the guard has to end.
    rides: VecDeque<f64>,
    is_first: bool,
    /// As the guard sees it: the ignition was on, since when it is off, since when it guards.
    was_on: bool,
    off_since: Option<f64>,
    guarded_since: Option<f64>,
}

impl<'a> Acts<'a> {
    /// Of a vehicle of the city.
    pub fn new(city: &City, outages: &'a [Outage], vehicle: u32) -> Self {
        let life = city.life(vehicle);
        let rides = life.legs.windows(2).filter(|l| l[0].doing == Doing::Parked && l[1].doing == Doing::Ridden);
        let rides = rides.map(|l| l[1].from_s - ENDED_BEFORE_S).collect();
        let tracker = Receiver::new(city, vehicle);
        let (packets, off_since, guarded_since) = (VecDeque::new(), None, None);
        Self {
            life,
            tracker,
            outages,
            next_leg: 0,
            packets,
            rides,
            is_first: true,
            was_on: false,
            off_since,
            guarded_since,
        }
    }

    /// Since when it is guarded at the end.
    pub fn guarded_since(&self) -> Option<f64> {
        self.guarded_since
    }

    fn leg(&self) -> Option<&Leg> {
        self.life.legs.get(self.next_leg)
    }

    /// Lives on until the next packet to arrive is known.
    fn live(&mut self) {
        while let Some(leg) = self.leg().copied()
            && self.packets.front().is_none_or(|p| p.rx_s >= leg.from_s)
        {
            let mut said = Vec::new();
            self.tracker.live(&leg, self.outages, &mut said, &mut Vec::new());
            self.packets.extend(said.into_iter().filter(|p| p.rx_s < self.life.end_s()));
            self.packets.make_contiguous().sort_by(|a, b| a.rx_s.total_cmp(&b.rx_s));
            self.next_leg += 1;
        }
    }

    /// Follows what a packet means for the guard that begins by itself.
    fn follow(&mut self, packet: &Packet) {
        if self.guarded_since.is_some() {
            return;
        }
        if packet.ignition {
            (self.was_on, self.off_since) = (true, None);
        } else if self.was_on {
            let since = *self.off_since.get_or_insert(packet.at_s);
            if packet.at_s - since >= GUARDED_AFTER_S {
                self.guarded_since = Some(packet.at_s);
            }
        }
    }
}

impl Iterator for Acts<'_> {
    type Item = Act;

    fn next(&mut self) -> Option<Act> {
        self.live();
        let next_s = self.packets.front().map_or(f64::INFINITY, |p| p.rx_s);
        while let Some(at_s) = self.rides.front().copied().filter(|at_s| *at_s <= next_s) {
            self.rides.pop_front();
            if let Some(since) = self.guarded_since.take() {
                (self.was_on, self.off_since) = (false, None);
                return Some(Act::EndGuard(since, at_s));
            }
        }
        let mut packet = self.packets.pop_front()?;
        // Everybody has just come home, so that the first stay is guarded, too.
        packet.ignition |= std::mem::take(&mut self.is_first);
        self.follow(&packet);
        Some(Act::Say(packet))
    }
}

/// Whether the truth of a play tells of a theft: somebody guarded the vehicle, and a clock can tell.
pub fn is_judged(theft: Theft, speed: f64) -> bool {
    speed == 1.0 || theft != Theft::Silent
}

/// Plays one vehicle to its end.
///
/// # Errors
/// Its owner is refused.
pub async fn vehicle(
    city: City,
    outages: Arc<[Outage]>,
    number: u32,
    credential: Credential,
    stage: Arc<Stage>,
    started: tokio::time::Instant,
) -> anyhow::Result<()> {
    let (ident, language) = (credential.ident.clone(), credential.language);
    let owners = stage.owners.as_ref().filter(|o| o.own(&ident));
    let places = Arc::new(Semaphore::new(UNACKNOWLEDGED_MAX));
    let (to_broker, messages) = mpsc::channel(UNACKNOWLEDGED_MAX);
    let acknowledged = places.clone();
    let promised = move |_: &[u8], promise| {
        if promise == Promise::Broker {
            acknowledged.add_permits(1);
        }
    };
    let publishing = tokio::spawn(publish(stage.broker.clone(), credential, messages, promised, MANNERS));
    let acts = Acts::new(&city, &outages, number);
    for act in acts {
        let at_s = match &act {
            Act::Say(packet) => packet.rx_s,
            Act::EndGuard(_, at_s) => *at_s,
        };
        let after = Duration::from_secs_f64(((at_s - city.from_s) / stage.speed).max(0.0));
        tokio::time::sleep_until(started + after).await;
        match act {
            Act::Say(packet) => {
                places.acquire().await?.forget();
                let payload = language.message(&ident, packet.seq, &said(&packet));
                if to_broker.send(Message { sequence: packet.seq, payload }).await.is_err() {
                    break;
                }
            }
            Act::EndGuard(..) => {
                if let Some(owners) = owners {
                    owners.end_guard(&ident).await?;
                }
            }
        }
    }
    drop(to_broker);
    publishing.await?;
    Ok(())
}

fn said(p: &Packet) -> Said {
    Said {
        at_ms: (p.at_s * 1000.0).round() as i64,
        lat: p.place.lat,
        lon: p.place.lon,
        speed_kmh: p.speed_kmh,
        course_deg: p.course_deg,
        satellites: p.satellites,
        accuracy_m: p.hdop.unwrap_or(2.0) * 4.0,
        battery_percent: p.battery,
        external_power: p.external_power,
        ignition: p.ignition,
        moving: p.moving,
        vibration: p.shake,
        source: match (p.valid, p.is_lbs) {
            (false, _) => Source::Nothing,
            (true, true) => Source::Cell,
            (true, false) => Source::Gnss,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::city::command::live;

    fn city() -> City {
        City { seed: 3, vehicles: 40, thefts: 8, outages: 3, from_s: 1_779_652_800.0, played_s: 86_400.0 }
    }

    #[test]
    fn leg_by_leg_a_vehicle_says_what_it_says_in_one_piece() {
        let (city, outages) = (city(), city().outages());
        for vehicle in 0..city.vehicles {
            let said = Acts::new(&city, &outages, vehicle).filter_map(|act| match act {
                Act::Say(packet) => Some((packet.seq, packet.at_s, packet.rx_s)),
                Act::EndGuard(..) => None,
            });
            let whole = live(&city, &outages, vehicle).packets.into_iter().map(|p| (p.seq, p.at_s, p.rx_s));
            assert_eq!(said.collect::<Vec<_>>(), whole.collect::<Vec<_>>(), "vehicle {vehicle}");
        }
    }

    #[test]
    fn the_guard_ends_before_each_ride_and_was_on_for_the_stay() {
        let (city, outages) = (city(), city().outages());
        let (mut ended, mut stolen_guarded) = (0, 0);
        for vehicle in 0..city.vehicles {
            let (mut acts, life) = (Acts::new(&city, &outages, vehicle), city.life(vehicle));
            for act in acts.by_ref() {
                let Act::EndGuard(from_s, to_s) = act else { continue };
                assert!(life.legs.iter().any(|l| l.doing == Doing::Ridden && l.from_s == to_s + ENDED_BEFORE_S));
                assert!(life.legs.iter().any(|l| l.doing == Doing::Parked && l.from_s < from_s && to_s < l.to_s));
                ended += 1;
            }
            let guarded_since = acts.guarded_since();
            stolen_guarded += usize::from(life.theft.is_some_and(|(_, at_s)| guarded_since.is_some_and(|s| s < at_s)));
        }
        assert!(ended > 60 && stolen_guarded >= 6, "{ended}, {stolen_guarded}");
    }
}
