//! H02 and its relatives: text `*HQ,…#`, and a binary short form that begins with `$`.
//!
//! Source: the vendors' "H02 protocol" papers. Times are UTC. Latitude and longitude are degrees and
//! minutes glued together, speed is in knots, the status word is active low. An answer carries the
//! platform's time, so whoever has a clock makes it.

mod binary;
mod cells;
mod text;

use crate::domain::{Alarm, Moment, Profile, ReplyBytes, Report, Timestamp};
use crate::protocol::dialect::AlarmTable;
use crate::protocol::heard::{Heard, Kind};
use crate::protocol::{DecodeError, FrameStep, dialect};

/// km/h per knot: a nautical mile is 1,852 m.
const KMH_PER_KNOT: f64 = 1.852;
/// Lengths of the binary form: short, with a long identifier, with cells, with cells and a counter.
const BINARY_BYTES: [usize; 4] = [32, 42, 45, 47];
/// Longest text taken from a stream.
const TEXT_BYTES_MAX: usize = 1024;
/// Bits of the status word that are no alarm: armed (0 is armed), ignition (1 is on), power (0 is lost).
const ARMED_BIT: u32 = 9;
const IGNITION_BIT: u32 = 10;
const POWER_BIT: u32 = 19;

/// Reads one message.
///
/// # Errors
/// The field that is cut or wrong.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let dialect = dialect::of(profile);
    let offset_s = dialect.offset_s(profile);
    match payload.first() {
        Some(b'$') => binary::read(&dialect.alarms, offset_s, payload),
        Some(b'X') => {
            // A short form that nobody has described; it is kept.
            let mut report = Report { message: "X".into(), ..Report::default() };
            crate::protocol::keep(&mut report.unknown, || "body".into(), &payload[1..]);
            Ok(report)
        }
        _ => text::read(&dialect.alarms, offset_s, payload),
    }
}

/// Hears a message as whoever holds the connection: see [`crate::protocol::connected`]. The short forms are answered by nothing.
///
/// # Errors
/// The field that is cut or wrong.
pub fn hear(profile: &Profile, payload: &[u8], now: Timestamp) -> Result<Heard, DecodeError> {
    let report = decode(profile, payload)?;
    let mut heard = Heard {
        kind: if report.replies.is_empty() { Kind::Data } else { Kind::Session },
        is_kept: true,
        answer: report.replies.into_iter().next().unwrap_or_default(),
        idents: report.tracker_idents,
    };
    if let ("V1" | "NBR", [ident, ..]) = (report.message.as_ref(), heard.idents.as_slice())
        && let Some((year, [month, day, hour, minute, second])) = now.civil_utc()
    {
        let text =
            format!("*HQ,{ident},V4,{},{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}#", report.message);
        heard.answer = ReplyBytes::from_slice(text.as_bytes());
    }
    // Each byte that is no text was read as a sign of three: nobody is answered with these.
    if heard.answer.windows(3).any(|sign| sign == "\u{fffd}".as_bytes()) {
        heard.answer = ReplyBytes::new();
    }
    Ok(heard)
}

/// Finds the first message in a stream that may be cut anywhere.
pub fn frame(stream: &[u8]) -> FrameStep {
    let message = |b: u8| matches!(b, b'*' | b'$' | b'X');
    match stream.first() {
        None => FrameStep::More,
        Some(b'*') => match stream.iter().position(|b| *b == b'#') {
            Some(end) => FrameStep::Frame(end + 1),
            None if stream.len() > TEXT_BYTES_MAX => FrameStep::Skip(1),
            None => FrameStep::More,
        },
        // Nothing states the length: it ends with what is there, or where a message surely begins.
        Some(b'$' | b'X') => {
            let whole = BINARY_BYTES.into_iter().find(|n| *n == stream.len());
            let ends = BINARY_BYTES.into_iter().find(|n| stream.get(*n..).is_some_and(begins));
            match ends.or(whole) {
                Some(n) => FrameStep::Frame(n),
                None if stream.len() > BINARY_BYTES[3] => {
                    FrameStep::Frame(if has_date(stream, 9) { BINARY_BYTES[0] } else { BINARY_BYTES[1] })
                }
                None => FrameStep::More,
            }
        }
        Some(_) => FrameStep::Skip(stream.iter().position(|b| message(*b)).unwrap_or(stream.len())),
    }
}

/// Whether a message surely begins here: a text's star and its maker, or `$` with a date that can be.
fn begins(bytes: &[u8]) -> bool {
    match bytes {
        [b'*', a, b, ..] => a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() && bytes.contains(&b','),
        [b'$', ..] => has_date(bytes, 9) || has_date(bytes, 12),
        [b'X'] => false,
        // Nobody has described it; it has the lengths of the binary form.
        [b'X', ..] => BINARY_BYTES.contains(&bytes.len()),
        _ => false,
    }
}

/// Whether day, month and year in BCD stand behind a time in BCD.
fn has_date(bytes: &[u8], at: usize) -> bool {
    let two = |n: usize| bytes.get(n).filter(|b| **b >> 4 < 10 && **b & 15 < 10).map(|b| (b >> 4) * 10 + (b & 15));
    let is = |n: usize, range: std::ops::RangeInclusive<u8>| two(n).is_some_and(|v| range.contains(&v));
    is(at - 3, 0..=23)
        && is(at - 2, 0..=59)
        && is(at - 1, 0..=59)
        && is(at, 1..=31)
        && is(at + 1, 1..=12)
        && is(at + 2, 0..=99)
}

/// The status word: 0 raises the alarm of a bit.
fn status(alarms: &AlarmTable, word: u32, moment: &mut Moment) {
    let is_clear = |bit: u32| word >> bit & 1 == 0;
    moment.status.armed = Some(is_clear(ARMED_BIT));
    moment.status.ignition = Some(!is_clear(IGNITION_BIT));
    moment.status.external_power = Some(!is_clear(POWER_BIT));
    let raised = (0..32u8).filter(|bit| is_clear((*bit).into()));
    moment.alarms.extend(raised.filter_map(|bit| Some(Alarm { kind: alarms.kind(bit)?, raw: bit.into() })));
}

/// The charge of a battery level: 1 to 6 are steps, larger numbers are percent.
fn battery_percent(level: u8) -> Option<u8> {
    match level {
        0 => None,
        1..=3 => Some((level - 1) * 10),
        4..=6 => Some((level - 1) * 20),
        7..=100 => Some(level),
        _ => None,
    }
}

/// What a latitude and a longitude may be.
const LATITUDE: &str = "degrees and minutes as DDMM.MMMM";
const LONGITUDE: &str = "degrees and minutes as DDDMM.MMMM";

/// Degrees and minutes glued together, or with dashes around the degrees; without a point, so many digits are degrees and two are whole minutes.
fn degrees(text: &str, digits: usize) -> Option<f64> {
    if let Some((degrees, minutes)) = text.strip_prefix('-').and_then(|t| t.split_once('-')) {
        return Some(plain(degrees)? + plain(minutes)? / 60.0);
    }
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let whole = match text.find('.') {
        Some(point) => point.checked_sub(2)?,
        None => digits,
    };
    let (degrees, minutes) = (text.get(..whole)?, text.get(whole..)?);
    let minutes: f64 = if minutes.contains('.') {
        minutes.parse().ok()?
    } else {
        let (whole, rest) = (minutes.get(..2)?, minutes.get(2..)?);
        let rest_unit = 10f64.powi(i32::try_from(rest.len()).ok()?);
        whole.parse::<f64>().ok()? + if rest.is_empty() { 0.0 } else { rest.parse::<f64>().ok()? / rest_unit }
    };
    let degrees: f64 = if degrees.is_empty() { 0.0 } else { degrees.parse().ok()? };
    Some(degrees + minutes / 60.0)
}

/// HHMMSS and DDMMYY of a clock so many seconds east of UTC.
fn time(clock: &str, date: &str, offset_s: i32) -> Option<Timestamp> {
    let two = |text: &str, at: usize| text.get(at..at + 2)?.parse::<u8>().ok();
    let (day, month, year) = (two(date, 0)?, two(date, 2)?, two(date, 4)?);
    Timestamp::from_civil(2000 + i16::from(year), month, day, two(clock, 0)?, two(clock, 2)?, two(clock, 4)?, offset_s)
}

/// Digits and a point, nothing else that a number may be written with.
fn plain(text: &str) -> Option<f64> {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AlarmKind, LatLon};
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Report, DecodeError> {
        decode(&Profile::of("h02"), text.as_bytes())
    }

    #[test]
    fn a_location_has_its_place_in_degrees_and_minutes() {
        let report = read("*HQ,4210051415,V1,025725,A,2833.0000,N,11221.0000,E,010.00,181,150626,FFF7FBFF#").unwrap();
        let moment = &report.moments[0];
        let fix = moment.fix.as_ref().unwrap();
        assert_eq!((fix.position, fix.speed_kmh), (LatLon::new(28.55, 112.35), Some(18.52)));
        assert_eq!(fix.fixed_at.unwrap().to_string(), "2026-06-15T02:57:25Z");
        assert_eq!((moment.alarms[0].kind, moment.status.ignition), (AlarmKind::PowerCut, Some(false)));
    }

    #[test]
    fn a_lost_point_is_put_back() {
        assert_eq!(degrees("28330000", 2), Some(28.55));
        assert_eq!(degrees("112210000", 3), Some(112.35));
        assert_eq!(degrees("954.9490", 3), Some(9.0 + 54.949 / 60.0));
        assert_eq!(degrees("N", 2), None);
    }

    #[test]
    fn the_binary_form_says_the_same_as_the_text() {
        let bytes = hex::decode("2442100514150257251506262833000006112210000e010181fffffbff0000").unwrap();
        let report = decode(&Profile::of("h02"), &bytes).unwrap();
        let fix = report.fixes().next().unwrap();
        assert_eq!((fix.position, fix.valid), (LatLon::new(28.55, 112.35), true));
        assert_eq!((fix.speed_kmh, fix.course_deg), (Some(18.52), Some(181.0)));
        assert_eq!(report.moments[0].status.battery_percent, Some(100));
    }

    #[test]
    fn a_heartbeat_comes_back_as_it_was() {
        let report = read("*HQ,4210051415,HTBT,88#").unwrap();
        assert_eq!(report.replies[0][..], b"*HQ,4210051415,HTBT,88#"[..]);
        assert_eq!(report.moments[0].status.battery_percent, Some(88));
    }

    #[test]
    fn the_number_of_the_sim_card_is_read_without_what_closes_it() {
        let iccid = |text: &str| read(text).unwrap().moments[0].status.iccid.clone();
        let place = "025725,A,2833.0000,N,11221.0000,E,010.00,181,150626";
        let v19 = format!("*HQ,4210051415,V19,{place},,5492932630888,8986001234567890123?,FFFFFBFF#");
        assert_eq!(iccid(&v19).as_deref(), Some("8986001234567890123"));
        assert_eq!(iccid("*HQ,4210051415,ICCID,89860012345678901234#").as_deref(), Some("89860012345678901234"));
    }

    #[test]
    fn the_number_behind_the_cell_is_the_battery_on_the_scale_of_the_binary_form() {
        let battery = |behind: &str| {
            let place = "V1,025725,A,2833.0000,N,11221.0000,E,010.00,181,150626,FFFFFBFF";
            read(&format!("*HQ,4210051415,{place},{behind}#")).unwrap().moments[0].status.battery_percent
        };
        assert_eq!((battery("460,00,10288,8049,6"), battery("460,00,10288,8049,4")), (Some(100), Some(60)));
        assert_eq!((battery("460,00,10288,8049,7"), battery("460,00,10288,8049")), (None, None));
    }

    #[test]
    fn bit_9_says_armed_where_it_is_clear() {
        let armed = |word: &str| {
            let place = "V1,025725,A,2833.0000,N,11221.0000,E,010.00,181,150626";
            read(&format!("*HQ,4210051415,{place},{word}#")).unwrap().moments[0].status.armed
        };
        assert_eq!((armed("FFFFFDFF"), armed("FFFFFFFF")), (Some(true), Some(false)));
    }

    #[test]
    fn an_answer_by_text_says_the_supply_in_volts() {
        let volts = |text: &str| read(text).unwrap().moments.first().and_then(|m| m.status.external_v);
        assert_eq!(volts("*HQ,4210051415,SMS,X1(70)\nID:4210051415\nVOLT:12.6V\nGSM:26#"), Some(12.6));
        assert_eq!(volts("*HQ,4210051415,SMS,X1(70)\nVOLT:none\nGSM:26#"), None);
    }

    #[test]
    fn a_location_without_numbers_is_no_fix() {
        assert!(read("*HQ,353505510948929,V1,,V,,N,,E,0.00,0,,FFFFF7FF#").unwrap().fixes().next().is_none());
    }

    #[test]
    fn a_stream_is_cut_at_its_ends() {
        assert_eq!(frame(b"*HQ,1,V1#\r\n"), FrameStep::Frame(9));
        assert_eq!(frame(b"\r\n*HQ"), FrameStep::Skip(2));
        assert_eq!(frame(b"*HQ,1"), FrameStep::More);
    }

    #[test]
    fn a_binary_message_cut_anywhere_names_the_field() {
        let bytes = hex::decode("2442100514150257251506262833000006112210000e010181fffffbff").unwrap();
        for cut in 1..bytes.len() {
            assert!(matches!(decode(&Profile::of("h02"), &bytes[..cut]), Err(DecodeError::Truncated { .. })), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_h02_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            drop(decode(&Profile::of("h02"), &bytes));
            let _ = frame(&bytes);
            let dollar = [b"$".as_slice(), bytes.as_slice()].concat();
            drop(decode(&Profile::of("h02"), &dollar));
        }

        #[test]
        fn no_fields_make_h02_panic(fields in proptest::collection::vec("[A-Z0-9.é]{0,10}", 0..20)) {
            drop(read(&format!("*HQ,1,{}#", fields.join(","))));
        }
    }
}
