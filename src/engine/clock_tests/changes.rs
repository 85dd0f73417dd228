//! Clocks that change, and messages that are not what they seem.

use super::*;

#[test]
fn a_clock_that_is_mended_is_right_again_and_its_old_backlog_is_still_put_right() {
    let mut bike = Bike::new();
    bike.lives(10, 8 * HOUR_S);
    bike.now_s += 10;
    let first = bike.says(2, 0, LIVE);
    assert_eq!(first, Some((0, FixFlags::ZONE_DOUBTED)), "mended, or kept for eight hours");
    bike.restart();
    assert_eq!(bike.lives(4, 0), TRUE);
    assert_eq!(bike.says(20 * MINUTE_S, 8 * HOUR_S, KEPT), REPAIRED, "measured before it was mended");
    bike.now_s += DAY_S;
    assert_eq!(bike.lives(3, 0), TRUE);
    for age_s in [5 * MINUTE_S, 3 * HOUR_S, 9 * HOUR_S] {
        assert_eq!(bike.says(age_s, 0, KEPT), TRUE, "{age_s}");
    }
    assert!(is_honest(bike.says(20 * HOUR_S, 0, KEPT)), "or 28 hours, by the clock of before");
}

#[test]
fn a_mended_tracker_is_like_any_other_once_nothing_can_be_left_of_its_old_clock() {
    let mut bike = Bike::new();
    bike.lives(5, 8 * HOUR_S);
    bike.lives(9, 0);
    assert!(bike.kept().get("clock").is_some());
    bike.now_s += 31 * DAY_S;
    assert_eq!(bike.lives(1, 0), TRUE);
    assert_eq!((bike.kept().get("clock"), &bike.kept()["is_clock_right"]), (None, &true.into()));
}

#[test]
fn summer_time_is_followed_both_ways() {
    let mut bike = Bike::new();
    assert_eq!(bike.lives(2000, HOUR_S), REPAIRED);
    assert_eq!(bike.lives(1, 2 * HOUR_S), REPAIRED, "an hour more can be nothing else");
    assert_eq!(bike.says(30 * MINUTE_S, HOUR_S, KEPT), REPAIRED, "from before the change");
    bike.now_s += 200 * DAY_S;
    bike.lives(1, 2 * HOUR_S);
    let back: Vec<_> = (0..5).map(|_| bike.lives(1, HOUR_S)).collect();
    assert!(back.iter().all(|s| is_honest(*s)), "{back:?}");
    assert_eq!(back[4], REPAIRED);
}

#[test]
fn a_clock_that_jumps_between_two_offsets_is_never_wrong_in_silence() {
    let mut bike = Bike::new();
    for n in 0..200_i64 {
        let off_s = if n % 7 < 3 || n % 11 == 0 { 8 * HOUR_S } else { 0 };
        bike.now_s += 25;
        let live = bike.says(2, off_s, LIVE);
        assert!(is_honest(live), "{n}: {live:?}");
        let age_s = (n * 37 % 20) * HOUR_S / 2 + 20 * MINUTE_S;
        let kept = bike.says(age_s, if n % 3 == 0 { 8 * HOUR_S } else { 0 }, KEPT);
        assert!(is_honest(kept) || n < 14, "{n}: {age_s} s old, {kept:?}");
    }
}

#[test]
fn repeated_and_reordered_messages_teach_no_more_than_one() {
    let mut bike = Bike::new();
    bike.lives(5, 8 * HOUR_S);
    let before = bike.kept()["clock"]["periods"].clone();
    for n in 0..10 {
        // A position that never gets newer, though it is sent again: eight hours old.
        bike.now_s += 5;
        bike.says(8 * HOUR_S + n * 5, 8 * HOUR_S, LIVE);
    }
    assert_eq!((bike.kept()["clock"]["periods"].clone(), before[0]["times"].clone()), (before, 5.into()));
    assert_eq!(bike.lives(1, 8 * HOUR_S), REPAIRED);
    // Newest first.
    for age_s in [2, 400, HOUR_S, 30 * HOUR_S, 2 * HOUR_S] {
        assert_eq!(bike.says(age_s, 8 * HOUR_S, LIVE).map(|(s, _)| s), Some(0), "{age_s}");
    }
}

#[test]
fn cold_clocks_teach_nothing_and_take_nothing_away() {
    let mut bike = Bike::new();
    bike.lives(5, 8 * HOUR_S);
    for epoch_s in [0, 315_964_800, 946_684_800, 3_471_292_800] {
        for _ in 0..5 {
            bike.now_s += 10;
            assert_eq!(bike.says(0, epoch_s - bike.now_s, LIVE), None, "{epoch_s}");
        }
    }
    assert_eq!(bike.says(5 * HOUR_S, 8 * HOUR_S, KEPT), REPAIRED);
    assert_eq!(bike.lives(1, 8 * HOUR_S), REPAIRED);
}

#[test]
fn a_checkpoint_from_before_clocks_were_remembered_is_read_and_trusts_none() {
    let mut bike = Bike::new();
    bike.lives(3, 8 * HOUR_S);
    let mut kept = bike.kept();
    for field in ["clock", "announced_zone_s", "is_clock_right"] {
        kept.as_object_mut().unwrap().remove(field);
    }
    let ident = TrackerIdent::parse("860000000000017").unwrap();
    bike.lane.table = TrackerTable::of([(ident, 0)].into(), vec![serde_json::from_value(kept).unwrap()]);
    assert_eq!(bike.lives(1, 8 * HOUR_S), REPAIRED);
    assert_eq!(bike.says(9 * HOUR_S, 8 * HOUR_S, KEPT), REPAIRED);
}

#[test]
fn a_clock_that_is_wrong_now_makes_what_was_kept_doubtful_until_it_is_right() {
    for off_s in [5 * HOUR_S, 1300, -8 * HOUR_S] {
        let mut bike = Bike::new();
        assert_eq!(bike.lives(3, 0), TRUE);
        bike.lives(1, off_s);
        assert!(is_doubted(bike.says(9 * HOUR_S, off_s, KEPT)), "{off_s}");
        bike.lives(1, 0);
        assert_eq!(bike.says(9 * HOUR_S, 0, KEPT), TRUE);
    }
}

#[test]
fn a_memory_read_out_passes_the_hour_that_looks_live_without_becoming_the_newest_place() {
    for (newest_first, live_between) in [(false, false), (true, false), (false, true)] {
        let mut bike = Bike::new();
        bike.lives(5, 8 * HOUR_S);
        let from_s = bike.now_s;
        bike.now_s += 10 * HOUR_S;
        bike.lives(1, 8 * HOUR_S);
        let mut measured: Vec<_> = (from_s + 60..bike.now_s - 60).step_by(60).collect();
        if newest_first {
            measured.reverse();
        }
        for (n, at_s) in measured.into_iter().enumerate() {
            bike.now_s += i64::from(n % 5 == 0);
            let stored = bike.says(bike.now_s - at_s, 8 * HOUR_S, LIVE);
            assert_eq!(stored.map(|(error_s, _)| error_s), Some(0), "{newest_first} {n}: {stored:?}");
            if live_between && n % 50 == 0 {
                assert_eq!(bike.says(2, 8 * HOUR_S, LIVE), REPAIRED);
            }
        }
        // Mended in the middle of it all the same.
        bike.lives(6, 0);
        assert_eq!(bike.lives(1, 0), TRUE);
    }
}
