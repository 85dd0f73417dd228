//! Whatever a clock goes through.

use super::*;
use proptest::prelude::*;

/// What a tracker does next.
#[derive(Clone, Debug)]
enum Deed {
    Lives(u32),
    /// Without contact, then what it kept: oldest first, or newest first, as fast as the net has it.
    Tunnel {
        for_s: i64,
        every_s: i64,
        newest_first: bool,
        live_first: bool,
    },
    SetClock(usize, i32),
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (1..8_u32).prop_map(Deed::Lives),
        (20..14 * HOUR_S, 30..1200_i64, any::<bool>(), any::<bool>()).prop_map(
            |(for_s, every_s, newest_first, live_first)| Deed::Tunnel { for_s, every_s, newest_first, live_first }
        ),
        (0..CLOCKS_S.len(), 1..8).prop_map(|(which, lives)| Deed::SetClock(which, lives)),
        Just(Deed::Restart),
    ]
}

const CLOCKS_S: [i64; 6] = [0, 8 * HOUR_S, 19_800, HOUR_S, 2 * HOUR_S, 8 * HOUR_S - ROLLOVER_S];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever a tracker goes through, as long as it is heard live after its clock is set: each fix is at
    /// its true time, or doubted, or set aside. A restart from a checkpoint changes nothing.
    #[test]
    fn nothing_is_stored_hours_off_in_silence(deeds in proptest::collection::vec(deed(), 1..25), is_kept in any::<bool>()) {
        let (mut bike, mut undisturbed) = (Bike::new(), Bike::new());
        let mut off_s = 0;
        let both = |bike: &mut Bike, other: &mut Bike, age_s: i64, off_s: i64, is_kept: bool| {
            other.now_s = bike.now_s;
            let stored = bike.says(age_s, off_s, is_kept);
            assert_eq!(other.says(age_s, off_s, is_kept), stored);
            stored
        };
        for deed in [Deed::Lives(7)].into_iter().chain(deeds) {
            match deed {
                Deed::Lives(count) => for _ in 0..count {
                    bike.now_s += 10;
                    let stored = both(&mut bike, &mut undisturbed, 2, off_s, LIVE);
                    prop_assert!(is_honest(stored), "live, {off_s}: {stored:?}");
                },
                Deed::SetClock(which, lives) => {
                    off_s = CLOCKS_S[which];
                    // What was kept and does not say so is read by what is learnt, which takes seven.
                    for _ in 0..if is_kept { lives } else { 7 } {
                        bike.now_s += 10;
                        let stored = both(&mut bike, &mut undisturbed, 2, off_s, LIVE);
                        prop_assert!(is_honest(stored), "set to {off_s}: {stored:?}");
                    }
                }
                Deed::Tunnel { for_s, every_s, newest_first, live_first } => {
                    let (from_s, until_s) = (bike.now_s, bike.now_s + for_s);
                    let mut measured: Vec<_> = (from_s + every_s..until_s - 20).step_by(every_s as usize).collect();
                    if newest_first {
                        measured.reverse();
                    }
                    bike.now_s = until_s;
                    if live_first {
                        both(&mut bike, &mut undisturbed, 2, off_s, LIVE);
                    }
                    for (n, at_s) in measured.into_iter().enumerate() {
                        bike.now_s += i64::from(n % 4 == 0);
                        let age_s = bike.now_s - at_s;
                        let stored = both(&mut bike, &mut undisturbed, age_s, off_s, is_kept);
                        prop_assert!(is_honest(stored), "{age_s} s old, {off_s}: {stored:?}");
                    }
                    bike.now_s += 10;
                }
                Deed::Restart => bike.restart(),
            }
        }
    }
}
