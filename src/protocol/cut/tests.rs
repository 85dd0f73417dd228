//! Payloads of several frames.

use crate::domain::Profile;
use crate::protocol::{DecodeError, decode};
use proptest::prelude::*;

/// One frame of each framed language, with a place or a status and with replies where the language owes some.
const FRAMES: [(&str, &str); 4] = [
    ("gt06", "78780a1345f10302010181856d0d0a"),
    ("h02", "2a48512c343231303035313431352c485442542c383823"),
    ("jt808", "7e0002000001390000123400010d7e"),
    ("teltonika", "000f313233343536373839303132333435"),
];

fn bytes(hex_text: &str) -> Vec<u8> {
    hex::decode(hex_text).unwrap()
}

proptest! {
    #[test]
    fn frames_one_behind_the_other_say_what_each_says_in_order(which in 0..FRAMES.len(), count in 1..6usize, has_noise in any::<bool>()) {
        let (language, frame) = FRAMES[which];
        let profile = Profile { tolerate_checksum: true, ..Profile::of(language) };
        let one = decode(&profile, &bytes(frame)).unwrap();
        let noise: &[u8] = if has_noise { &[0x11, 0x22, 0x33] } else { &[] };
        let all = decode(&profile, &[bytes(frame).repeat(count).as_slice(), noise].concat()).unwrap();
        prop_assert_eq!(all.moments.len(), one.moments.len() * count);
        prop_assert!(all.moments.iter().all(|m| *m == one.moments[0]));
        prop_assert_eq!(all.replies.len(), one.replies.len() * count);
        prop_assert!(all.replies.iter().all(|r| *r == one.replies[0]));
        prop_assert_eq!(all.left_over.is_some(), has_noise, "{:?}", all.left_over);
    }
}

#[test]
fn noise_alone_is_refused_in_every_framed_language() {
    for (language, _) in FRAMES {
        let refused: Result<_, DecodeError> = decode(&Profile::of(language), &[0x11; 40]);
        assert!(refused.is_err(), "{language}");
    }
}

#[test]
fn a_heartbeat_of_a_named_model_has_no_alarm_in_its_byte_4() {
    let profile = Profile { model: Some("EV02".into()), ..Profile::of("gt06") };
    let report = decode(&profile, &bytes(FRAMES[0].1)).unwrap();
    assert!(report.moments[0].alarms.is_empty());
    assert_eq!(report.moments[0].status.external_power, Some(true));
}
