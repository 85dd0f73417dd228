//! What a packet shows to an installer who tries its tracker: that it is shaken, that the plug was pulled.

use crate::domain::{AlarmKind, Moment, Timestamp, TrackerKey};
use crate::engine::effects::TrialSign;

/// Above this speed a vehicle is ridden, and its accelerometer says nothing of hands that shake it, km/h.
const RIDDEN_KMH: f32 = 6.0;

/// Whether a moment shows that somebody shakes the vehicle, and does not ride it.
pub(super) fn is_shaken(moment: &Moment) -> bool {
    let is_ridden = moment.fix.as_ref().and_then(|f| f.speed_kmh).is_some_and(|v| v > RIDDEN_KMH);
    let is_moving = moment.status.moving == Some(true) || moment.alarms.iter().any(|a| a.kind == AlarmKind::Vibration);
    is_moving && !is_ridden
}

/// The signs of a packet; nearly all have none, and cost nothing.
pub(super) fn signs(tracker: TrackerKey, at: Timestamp, is_shaken: bool, is_unplugged: bool) -> Vec<TrialSign> {
    let mut signs = Vec::new();
    for (is, is_shaken) in [(is_shaken, true), (is_unplugged, false)] {
        if is {
            signs.push(TrialSign { tracker, at, is_shaken });
        }
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Alarm, Fix, LatLon, Status};

    fn at_speed(speed_kmh: Option<f32>) -> Moment {
        let fix = Fix {
            fixed_at: None,
            valid: true,
            position: LatLon::new(28.5, 112.3),
            altitude_m: None,
            speed_kmh,
            course_deg: None,
            satellites: None,
            hdop: None,
            accuracy_m: None,
            source: Default::default(),
        };
        Moment { fix: Some(fix), ..Moment::default() }
    }

    #[test]
    fn a_vehicle_is_shaken_where_it_stands_and_not_where_it_is_ridden() {
        let vibrates = |moment: Moment| Moment {
            alarms: [Alarm { kind: AlarmKind::Vibration, raw: 0 }].into_iter().collect(),
            ..moment
        };
        let moves = |moment: Moment| Moment { status: Status { moving: Some(true), ..Status::default() }, ..moment };
        for (moment, is) in [
            (vibrates(Moment::default()), true),
            (vibrates(at_speed(Some(0.0))), true),
            (moves(at_speed(None)), true),
            (vibrates(at_speed(Some(25.0))), false),
            (moves(at_speed(Some(25.0))), false),
            (at_speed(Some(0.0)), false),
        ] {
            assert_eq!(is_shaken(&moment), is, "{moment:?}");
        }
    }

    #[test]
    fn a_packet_without_a_sign_gives_none() {
        let at = Timestamp::from_secs(9);
        assert!(signs(TrackerKey(1), at, false, false).is_empty());
        let both = signs(TrackerKey(1), at, true, true);
        assert_eq!(both.iter().map(|s| s.is_shaken).collect::<Vec<_>>(), [true, false]);
    }
}
