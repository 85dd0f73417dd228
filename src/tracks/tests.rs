//! Whatever was heard is in the segments, once, where it was to within what dwells promise.

use super::*;
use crate::tracks::merge::merge;
use crate::tracks::segmenter::cut;
use proptest::prelude::*;

const TRACKER: TrackerKey = TrackerKey(7);

fn fix(at_s: i64, lat: i32, lon: i32) -> TrackFix {
    TrackFix {
        at: Timestamp::from_secs(1_800_000_000 + at_s),
        spot: GridPoint { lon: 112_355_000 + lon, lat: 28_554_000 + lat },
        speed_tenths: Some(213),
        course_deg: Some(90),
        altitude_m: Some(-3),
        accuracy_m: None,
        satellites: Some(9),
        source: 0,
        flags: 0,
        lag_s: 1,
    }
}

fn heard(fix: TrackFix) -> ReceivedFix {
    ReceivedFix { tracker: TRACKER, vehicle: Some(VehicleId(3)), fix }
}

/// Every fix of segments: its time, and its place if it is kept.
fn fixes_of(segments: &[Segment]) -> Vec<(Timestamp, Option<TrackFix>)> {
    let mut all = Vec::new();
    for segment in segments {
        match segment.read().unwrap() {
            SegmentBody::Ride(fixes) => all.extend(fixes.into_iter().map(|f| (f.at, Some(f)))),
            SegmentBody::Dwell(dwell) => {
                all.extend(dwell.times().map(|t| (t, None)));
                all.extend(dwell.outliers.iter().map(|o| (o.at, Some(*o))));
            }
        }
    }
    all.sort_by_key(|(t, f)| (*t, f.map(|f| f.spot)));
    all
}

/// Cuts slice by slice of 15 minutes, as the rollup does, each dwell written and read in between.
fn rolled(fixes: &[TrackFix]) -> Vec<Segment> {
    let (mut segments, mut open) = (Vec::new(), None);
    let slice_us = 900_000_000;
    for slice in fixes.chunk_by(|a, b| a.at.micros() / slice_us == b.at.micros() / slice_us) {
        let end = Timestamp::from_micros((slice[0].at.micros() / slice_us + 1) * slice_us);
        let all: Vec<_> = slice.iter().copied().map(heard).collect();
        let cut = cut(TRACKER, open.take(), &all, Some(end));
        segments.extend(cut.closed);
        open = cut.open.map(|dwell| match Segment::dwell(TRACKER, &dwell).read().unwrap() {
            SegmentBody::Dwell(dwell) => dwell,
            SegmentBody::Ride(_) => panic!("a dwell came back as a ride"),
        });
    }
    segments.extend(open.map(|d| Segment::dwell(TRACKER, &d)));
    segments
}

prop_compose! {
    /// Rides and stays: steps of some metres or none, seconds to minutes apart, at times in milliseconds.
    fn life()(steps in prop::collection::vec((1_i64..400, -400_i32..400, -400_i32..400, 0_u8..10, any::<bool>()), 1..400))
        -> Vec<TrackFix> {
        let (mut at_ms, mut lat, mut lon) = (0_i64, 0, 0);
        steps.into_iter().map(|(wait, north, east, doing, odd)| {
            at_ms += if doing < 6 { 10_000 } else if wait == 399 { 90_000_000 } else { wait * 1000 } + i64::from(odd && doing == 9);
            if doing < 5 { lat += north; lon += east; }
            TrackFix { at: Timestamp::from_micros(1_800_000_000_000_000 + at_ms * 1000), course_deg: (doing != 3).then_some(wait as u16),
                source: u8::from(doing == 7 && odd), altitude_m: (doing != 2).then_some(north as i16), lag_s: east, ..fix(0, lat + north / 40, lon + east / 40) }
        }).collect()
    }
}

proptest! {
    #[test]
    fn a_ride_comes_back_as_it_was(fixes in life()) {
        for run in fixes.chunks(segment::RIDE_FIXES_MAX) {
            prop_assert_eq!(Segment::ride(TRACKER, None, run).read().unwrap(), SegmentBody::Ride(run.to_vec()));
        }
    }

    #[test]
    fn every_fix_is_in_the_pieces_once(fixes in life()) {
        let segments = rolled(&fixes);
        let kept = fixes_of(&segments);
        prop_assert_eq!(kept.len(), fixes.len());
        prop_assert_eq!(segments.iter().map(|p| p.fixes as usize).sum::<usize>(), fixes.len());
        prop_assert!(segments.iter().all(|p| p.until.seconds_since(p.from) <= segmenter::SEGMENT_S_MAX));
        for ((at, place), fix) in kept.iter().zip(&fixes) {
            prop_assert_eq!(*at, fix.at);
            prop_assert!(place.is_none_or(|p| p == *fix));
        }
    }

    #[test]
    fn a_dwell_holds_what_lost_its_place_and_keeps_what_lay_off(fixes in life()) {
        for segment in rolled(&fixes) {
            let SegmentBody::Dwell(dwell) = segment.read().unwrap() else { continue };
            let within = |s: GridPoint| (dwell.low.lon..=dwell.high.lon).contains(&s.lon) && (dwell.low.lat..=dwell.high.lat).contains(&s.lat);
            for time in dwell.times() {
                let fix = fixes.iter().find(|f| f.at == time).unwrap();
                prop_assert!(within(fix.spot) && dwell.centre.distance_m(fix.spot) <= dwell::DWELL_RADIUS_M);
            }
            prop_assert!(dwell.outliers.iter().all(|o| !dwell.holds(o)));
        }
    }

    #[test]
    fn late_fixes_find_their_place_and_coming_again_changes_nothing(fixes in life(), late in prop::collection::vec(any::<bool>(), 400)) {
        let (now, later): (Vec<_>, Vec<_>) = fixes.iter().zip(&late).partition(|(_, late)| !**late);
        let now: Vec<_> = now.into_iter().map(|(f, _)| *f).collect();
        let later: Vec<_> = later.into_iter().map(|(f, _)| heard(*f)).collect();
        let before = rolled(&now);
        let merged = merge(TRACKER, &before, &later).unwrap();
        let mut kept = merged.added;
        let mut replaced: std::collections::BTreeMap<_, _> = merged.replaced.into_iter().collect();
        kept.extend(before.iter().enumerate().flat_map(|(i, p)| replaced.remove(&i).unwrap_or_else(|| vec![p.clone()])));
        let times: Vec<_> = fixes_of(&kept).into_iter().map(|(t, _)| t).collect();
        prop_assert_eq!(times, fixes.iter().map(|f| f.at).collect::<Vec<_>>());
        let again = merge(TRACKER, &kept, &fixes.iter().copied().map(heard).collect::<Vec<_>>()).unwrap();
        prop_assert!(again.added.is_empty() && again.replaced.is_empty() && again.new_fixes.is_empty());
    }

    #[test]
    fn what_a_circle_holds_lies_in_the_box_that_is_searched(lat in -84.0..84.0_f64, lon in -179.0..179.0_f64, radius_m in 1.0..50_000.0_f64, turn in 0.0..std::f64::consts::TAU, part in 0.9..1.0_f64) {
        let centre = LatLon::new(lat, lon);
        let area = area::Area::Circle { centre, radius_m };
        let (low, high) = area.bounds().unwrap();
        // Near the edge, in any direction.
        let north = radius_m * part * turn.sin() / METRES_PER_UNIT;
        let middle = lat + north / PER_DEGREE / 2.0;
        let east = radius_m * part * turn.cos() / METRES_PER_UNIT / middle.to_radians().cos();
        let spot = GridPoint { lon: (lon * PER_DEGREE + east) as i32, lat: (lat * PER_DEGREE + north) as i32 };
        prop_assume!(area.holds(spot));
        let at = spot.position();
        prop_assert!(at.lat_deg > low.lat_deg && at.lat_deg < high.lat_deg && at.lon_deg > low.lon_deg && at.lon_deg < high.lon_deg);
    }

    /// Whole dwells and runs of fixes taken at once say the same as every fix by itself.
    #[test]
    fn stretches_say_of_an_area_what_each_fix_by_itself_says(fixes in life(), late in prop::collection::vec(any::<bool>(), 400),
        middle in any::<prop::sample::Index>(), radius_m in 5.0..2000.0_f64, ends in any::<[prop::sample::Index; 2]>()) {
        let (now, later): (Vec<_>, Vec<_>) = fixes.iter().copied().zip(&late).partition(|(_, late)| !**late);
        let segments = rolled(&now.into_iter().map(|(f, _)| f).collect::<Vec<_>>());
        let loose = later.into_iter().map(|(f, _)| Hit::Fix { tracker: TRACKER, vehicle: None, at: f.at, spot: f.spot, speed_tenths: None });
        let found: Vec<_> = segments.into_iter().map(Hit::Segment).chain(loose).collect();
        let mut ends = ends.map(|end| end.get(&fixes).at);
        ends.sort();
        let window = area::Window { from: ends[0], to: ends[1], known_to: ends[1] };
        let circle = area::Area::Circle { centre: middle.get(&fixes).spot.position(), radius_m };
        let sought = area::PreparedArea::of(&circle).unwrap();
        // Segments alone as well, so that they are taken at once as a rule.
        let pieces_alone: Vec<_> = found.iter().filter(|f| matches!(f, Hit::Segment(_))).collect();
        for rows in [found.iter().collect(), pieces_alone] {
            let at_once = runs::runs_of(&sought, window, rows.iter().copied()).unwrap();
            let one_by_one = runs::fix_by_fix(&sought, window, rows.iter().copied()).unwrap();
            let presence = |runs: &[runs::Run]| presence::presence(VehicleId(1), TRACKER, runs, window);
            prop_assert_eq!(presence(&at_once), presence(&one_by_one));
        }
    }

    #[test]
    fn company_is_every_minute_with_a_fix_near_in_place_and_time(fixes in life(), every in 1_usize..20, within_m in 5.0..500.0_f64, within_s in 1.0..300.0_f64, turned in any::<bool>()) {
        let samples: Vec<_> = fixes.iter().step_by(every).map(|f| co_travel::Sample { at: f.at, spot: f.spot }).collect();
        let mut other: Vec<_> = fixes.iter().map(|f| TrackFix { at: f.at.plus_secs_f64(f64::from(f.lag_s) / 3.0), ..*f }).collect();
        other.sort_by_key(|f| f.at);
        if turned && other.len() > 2 {
            other.swap(0, 2);
        }
        let rides: Vec<_> = other.chunks(segment::RIDE_FIXES_MAX).map(|run| Hit::Segment(Segment::ride(TRACKER, Some(VehicleId(3)), run))).collect();
        let is_beside = |s: &&co_travel::Sample| other.iter().any(|f|
            f.at >= s.at.plus_secs_f64(-within_s) && s.at >= f.at.plus_secs_f64(-within_s) && s.spot.distance_m(f.spot) <= within_m);
        let minutes = samples.iter().filter(is_beside).count();
        let together = co_travel::companions(VehicleId(1), &samples, &rides, (within_m, within_s), 1).unwrap();
        prop_assert_eq!(together.iter().map(|c| c.minutes).sum::<usize>(), minutes);
    }

    #[test]
    fn no_bytes_make_reading_panic(path in prop::collection::vec(any::<u8>(), 0..64), more in prop::collection::vec(any::<u8>(), 0..64), ride in any::<bool>()) {
        let (kind, from) = (if ride { SegmentKind::Ride } else { SegmentKind::Dwell }, Timestamp::from_secs(0));
        let segment = Segment { tracker: TRACKER, vehicle: None, from, until: from, kind, fixes: 1, path, more };
        drop(segment.read());
        let _ = segment.dwell_alone();
    }
}

#[test]
fn a_night_is_one_dwell_and_costs_little() {
    let fixes: Vec<_> = (0..200).map(|n| fix(n * 180 + n % 7, (n % 11) as i32 * 5, (n % 13) as i32 * 5)).collect();
    let segments = rolled(&fixes);
    assert_eq!(segments.len(), 1);
    let bytes = segments[0].path.len() + segments[0].more.len();
    assert!(bytes < 300, "{bytes} bytes for 200 heartbeats");
}

#[test]
fn a_ride_costs_a_dozen_bytes_a_fix() {
    let fixes: Vec<_> = (0..90).map(|n| fix(n * 10, n as i32 * 500 + (n % 7) as i32, n as i32 * 90)).collect();
    let segments = rolled(&fixes);
    let bytes: usize = segments.iter().map(|p| p.path.len() + p.more.len()).sum();
    assert!(bytes < 90 * 12, "{bytes}");
}

#[test]
fn one_receiver_jump_does_not_end_a_dwell_but_leaving_does() {
    let mut fixes: Vec<_> = (0..10).map(|n| fix(n * 120, 0, 0)).collect();
    fixes[5] = fix(600, 3000, 0);
    let SegmentBody::Dwell(dwell) = rolled(&fixes)[0].read().unwrap() else { panic!("a ride") };
    assert_eq!((dwell.fixes(), dwell.outliers.len()), (10, 1));
    fixes.extend((0..6).map(|n| fix(1200 + n * 10, 500 + n as i32 * 600, 0)));
    let kinds: Vec<_> = rolled(&fixes).iter().map(|p| p.kind).collect();
    // The last fix is a minute from the end of its slice: it may be the first of the next stay.
    assert_eq!(kinds, [SegmentKind::Dwell, SegmentKind::Ride, SegmentKind::Dwell]);
}

#[test]
fn a_dwell_of_before_its_times_kept_a_pace_is_read_as_it_was() {
    let mut dwell = Dwell::at(None, &fix(0, 0, 0));
    [10, 70, 131, 190, 10_000].into_iter().for_each(|at_s| dwell.push(&fix(at_s, 40, 40)));
    dwell.insert(&fix(100, 90_000, 0));
    let mut segment = Segment::dwell(TRACKER, &dwell);
    assert_eq!(segment.read().unwrap(), SegmentBody::Dwell(dwell.clone()));
    let mut before = vec![0, 0, 0, 0, 6]; // seconds, centre at the corner, first time at the beginning, six times
    [10, 50, 1, -2, 9751].into_iter().for_each(|d| varint::put_signed(&mut before, d));
    attributes::write(&mut before, &dwell.outliers);
    assert_ne!(segment.more, before);
    segment.more = before;
    assert_eq!(segment.read().unwrap(), SegmentBody::Dwell(dwell));
}

#[test]
fn fixes_that_are_in_no_piece_yet_are_company_if_they_ride_along() {
    let (own, other, parked) = (VehicleId(1), VehicleId(2), VehicleId(3));
    let single = |vehicle, at_s: i64, lon, speed_tenths| Hit::Fix {
        tracker: TRACKER,
        vehicle: Some(vehicle),
        at: Timestamp::from_secs(at_s),
        spot: GridPoint { lon, lat: 0 },
        speed_tenths,
    };
    let mut found = Vec::new();
    for minute in 0..6 {
        let (at_s, lon) = (minute * 60, minute as i32 * 300); // 33 m a minute
        found.push(single(own, at_s, lon, Some(20)));
        found.push(single(other, at_s + 5, lon + 100, None));
        found.push(single(parked, at_s + 5, 300, Some(12)));
    }
    found.push(found[1].clone()); // near two cells of the way
    let samples = co_travel::ride_minutes(own, &found);
    assert_eq!(samples.len(), 6);
    let together = |minutes| co_travel::companions(own, &samples, &found, (50.0, 30.0), minutes).unwrap();
    let [it] = &together(1)[..] else { panic!("{:?}", together(1)) };
    assert_eq!((it.vehicle, it.minutes), (other, 6), "neither itself nor what stands by the way");
    // One fix alone says by its speed that it rides.
    let lone = |speed_tenths| {
        co_travel::companions(own, &samples, &[single(parked, 65, 300, speed_tenths)], (50.0, 30.0), 1).unwrap().len()
    };
    assert_eq!([lone(Some(49)), lone(Some(50)), lone(None)], [0, 1, 0]);
}
