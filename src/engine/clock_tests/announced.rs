//! What a GT06 login and a profile say of the clock.

use super::*;
use crate::domain::ClockZone;

/// A message of GT06 with its CRC (ITU, X.25), as the manual has it in appendix A.
fn gt06(number: u8, content: &[u8]) -> Vec<u8> {
    let mut covered = vec![content.len() as u8 + 5, number];
    covered.extend(content);
    covered.extend([0, 7]);
    let crc = covered.iter().fold(0xffff_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 })
    });
    [&[0x78, 0x78], &covered[..], &(!crc).to_be_bytes(), &[0x0d, 0x0a]].concat()
}

/// A login that announces a zone by this word.
fn login(zone: u16) -> Vec<u8> {
    gt06(0x01, &[&[0x08, 0x60, 0, 0, 0, 0, 0, 0x17, 0x20, 0x01], &zone.to_be_bytes()[..]].concat())
}

impl Bike {
    /// A location 0x22 of GT06; its last byte but the mileage says whether it was kept.
    fn says_in_gt06(&mut self, age_s: i64, off_s: i64, is_kept: bool) -> Stored {
        let shown = Timestamp::from_secs(self.now_s - age_s + off_s).to_string();
        let digits = |at: usize| shown[at..at + 2].parse::<u8>().unwrap();
        let mut content: Vec<u8> = [2, 5, 8, 11, 14, 17].map(digits).to_vec();
        content.extend([0xc9]);
        content.extend((28.55_f64 * 1_800_000.0).round().to_string().parse::<u32>().unwrap().to_be_bytes());
        content.extend((112.35_f64 * 1_800_000.0).round().to_string().parse::<u32>().unwrap().to_be_bytes());
        content.extend([0, 0x14, 0, 0x01, 0xcc, 0, 0x28, 0x7d, 0, 0x1f, 0x71, 0, 0, u8::from(is_kept)]);
        let rows = self.hears(gt06(0x22, &content)).fixes;
        rows.first().map(|r| (error_s(r, self.now_s - age_s), clock_flags(r)))
    }
}

#[test]
fn a_clock_of_utc_under_a_profile_of_beijing_is_learnt_when_it_shows_so_again_and_again() {
    let mut bike = Bike::of(Profile { clock: ClockZone::OffsetS(8 * 3600), ..Profile::of("gt06") });
    let mut says = |is_kept, age_s| {
        bike.now_s += 20;
        bike.says_in_gt06(age_s, 0, is_kept) // the profile takes eight hours off
    };
    assert!((0..2).all(|_| is_doubted(says(LIVE, 2))));
    says(LIVE, 2);
    assert_eq!(says(LIVE, 2), REPAIRED);
    assert_eq!(says(KEPT, 5 * HOUR_S), REPAIRED);
}

#[test]
fn an_announced_zone_that_a_live_difference_confirms_is_believed() {
    for (word, off_s) in [(0x2122, 19_800), (0x190a, -4 * HOUR_S), (0x3200, 8 * HOUR_S), (0x4dd8, -12 * HOUR_S)] {
        let mut bike = Bike::of(Profile::of("gt06"));
        bike.hears(login(word));
        bike.restart();
        if word == 0x4dd8 {
            // West of the last zone, 12:45: nobody lives there.
            assert_eq!(bike.says_in_gt06(2, off_s, LIVE).map(|(s, _)| s), Some(off_s));
            continue;
        }
        assert_eq!(bike.says_in_gt06(2, off_s, LIVE), REPAIRED, "{word:04x}");
        for age_s in BACKLOG_S {
            assert_eq!(bike.says_in_gt06(age_s, off_s, KEPT), REPAIRED, "{word:04x}, {age_s} s old");
        }
    }
}

#[test]
fn an_announced_zone_that_the_difference_does_not_confirm_is_not_believed() {
    for (word, off_s, stored) in [
        (0x1e00, 0, TRUE),            // +03:00 announced, UTC sent
        (0x2122, 5 * HOUR_S, None),   // half an hour less than announced
        (0x2122, 19_800 + 200, None), // not to the minute
        (0x190a, -4 * HOUR_S - 200, Some((-4 * HOUR_S - 200, FixFlags::ZONE_DOUBTED))),
        (0x0000, 5 * HOUR_S, None),
    ] {
        let mut bike = Bike::of(Profile::of("gt06"));
        bike.hears(login(word));
        assert_eq!(bike.says_in_gt06(2, off_s, LIVE), stored, "{word:04x} {off_s}");
    }
    // A clock that was seen right under this login: a fix four hours old is one that was kept.
    let mut bike = Bike::of(Profile::of("gt06"));
    bike.hears(login(0x190a));
    assert_eq!(bike.says_in_gt06(2, 0, LIVE), TRUE);
    bike.hears(login(0x190a));
    assert!(is_honest(bike.says_in_gt06(4 * HOUR_S, 0, LIVE)));
    assert_eq!(bike.says_in_gt06(3 * HOUR_S, 0, KEPT), TRUE);
}

#[test]
fn another_announced_zone_is_another_clock() {
    let mut bike = Bike::of(Profile::of("gt06"));
    for (word, off_s) in [(0x2122, 19_800), (0x190a, -4 * HOUR_S), (0x1f4a, -5 * HOUR_S), (0x0000, 0)] {
        bike.now_s += 2 * HOUR_S + 7;
        bike.hears(login(word));
        assert_eq!(bike.says_in_gt06(2, off_s, LIVE).map(|(s, _)| s), Some(0), "{word:04x}");
    }
}

#[test]
fn another_profile_makes_what_was_learnt_void_and_the_same_one_does_not() {
    let mut bike = Bike::of(Profile::of("gt06"));
    for _ in 0..3 {
        bike.now_s += 10;
        assert_eq!(bike.says_in_gt06(2, 8 * HOUR_S, LIVE), REPAIRED);
    }
    bike.register();
    assert_eq!(bike.says_in_gt06(5 * HOUR_S, 8 * HOUR_S, KEPT), REPAIRED);
    bike.profile.clock = ClockZone::OffsetS(8 * 3600);
    bike.register();
    bike.now_s += 10;
    assert_eq!(bike.says_in_gt06(2, 8 * HOUR_S, LIVE), TRUE);
    assert_eq!(bike.says_in_gt06(4 * HOUR_S, 8 * HOUR_S, KEPT), TRUE);
}
