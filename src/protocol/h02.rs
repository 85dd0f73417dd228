//! H02 and its relatives: text `*HQ,…#`, and a binary short form that begins with `$`.
//!
//! Source: the vendors' "H02 protocol" papers. Times are UTC. Latitude and longitude are degrees and
//! minutes glued together, speed is in knots, the status word is active low. An answer carries the
//! platform's time, so whoever has a clock makes it.

use super::cursor::Cursor;
use super::{DecodeError, FrameStep};
use crate::domain::{Alarm, AlarmKind, Cell, Fix, FixSource, LatLon, Moment, Profile, Report, Status, Timestamp};

/// km/h per knot: a nautical mile is 1,852 m.
const KMH_PER_KNOT: f64 = 1.852;
/// Lengths of the binary form: short, with a long identifier, with cells.
const BINARY_BYTES: [usize; 3] = [32, 42, 45];
/// Longest text taken from a stream.
const TEXT_BYTES_MAX: usize = 1024;
/// Bits of the status word; 0 raises the alarm.
const ALARM_BITS: [(u32, AlarmKind); 5] = [
    (0, AlarmKind::Vibration),
    (1, AlarmKind::Sos),
    (18, AlarmKind::Sos),
    (2, AlarmKind::Overspeed),
    (19, AlarmKind::PowerCut),
];

/// Reads one message.
///
/// # Errors
/// The field that is cut or wrong.
pub fn decode(_: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    match payload.first() {
        Some(b'$') => binary(payload),
        _ => text(payload),
    }
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
        // Nothing states the length: it ends where the next message begins, or with what is there.
        Some(b'$' | b'X') => {
            let ends = BINARY_BYTES.into_iter().find(|n| stream.get(*n).is_some_and(|b| message(*b)));
            let whole = BINARY_BYTES.into_iter().find(|n| *n == stream.len());
            match ends.or(whole) {
                Some(n) => FrameStep::Frame(n),
                None if stream.len() > 45 => FrameStep::Frame(45),
                None => FrameStep::More,
            }
        }
        Some(_) => FrameStep::Skip(stream.iter().position(|b| message(*b)).unwrap_or(stream.len())),
    }
}

fn text(payload: &[u8]) -> Result<Report, DecodeError> {
    let text = String::from_utf8_lossy(payload);
    let inner = text.trim().strip_prefix('*').and_then(|t| t.split_once('#')).map(|(t, _)| t).ok_or_else(|| {
        DecodeError::Field { field: "frame", problem: "the message does not begin with * and end with #".into() }
    })?;
    let fields: Vec<&str> = inner.split(',').map(str::trim).collect();
    let [_, ident, kind, ..] = fields.as_slice() else {
        return Err(DecodeError::Truncated { field: "command", at: payload.len() });
    };
    let mut report =
        Report { message: (*kind).to_owned().into(), tracker_idents: vec![(*ident).to_owned()], ..Report::default() };
    let mut moment = Moment::default();
    if let Some(at) = place_at(&fields) {
        place(&fields, at, &mut moment)?;
        if let Some(extra) = fields.get(at + 9..).filter(|e| !e.is_empty()) {
            extras(extra, &mut moment, &mut report);
        }
    }
    match *kind {
        "LINK" => {
            let number = |n: usize| fields.get(n).and_then(|f| f.parse::<u8>().ok());
            moment.status.signal_percent = number(4).map(|csq| (u16::from(csq.min(31)) * 100 / 31) as u8);
            moment.status.satellites = number(5);
            moment.status.battery_percent = number(6).map(|p| p.min(100));
        }
        "HTBT" => {
            moment.status.battery_percent = fields.get(3).and_then(|f| f.parse::<u8>().ok()).map(|p| p.min(100));
            report.replies.push(format!("*{inner}#").into_bytes()); // the same text
        }
        "V3" => cells_of_v3(&fields, &mut moment),
        "NBR" => cells_of_nbr(&fields, &mut moment),
        _ => {}
    }
    // The status word: eight hexadecimal digits, behind a date where the message has one.
    if let Some(word) =
        fields.iter().skip(3).rev().find_map(|f| (f.len() == 8).then(|| u32::from_str_radix(f, 16).ok())?)
    {
        // A location without numbers holds nothing.
        if moment.fix.is_some() || !matches!(*kind, "V1") {
            status(word, &mut moment);
        }
    }
    if moment != Moment::default() {
        report.moments.push(moment);
    }
    Ok(report)
}

/// Where the validity stands: two places before N or S, four before E or W.
fn place_at(fields: &[&str]) -> Option<usize> {
    (3..fields.len().saturating_sub(4)).find(|i| {
        matches!(fields[i + 2], "N" | "S")
            && matches!(fields[i + 4], "E" | "W")
            && matches!(fields[*i], "A" | "V" | "B" | "" | "0" | "1")
            && !fields[i + 1].is_empty()
    })
}

fn place(fields: &[&str], at: usize, moment: &mut Moment) -> Result<(), DecodeError> {
    let lat = degrees(fields[at + 1], 2).ok_or_else(|| wrong("latitude", fields[at + 1]))?;
    let lon = degrees(fields[at + 3], 3).ok_or_else(|| wrong("longitude", fields[at + 3]))?;
    let number = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).filter(|v| v.is_finite());
    let date = fields[at + 5..].iter().skip(2).find(|f| f.len() == 6 && f.bytes().all(|b| b.is_ascii_digit()));
    // Without a time of its own (VP1) the message stands for its day.
    let clock = Some(fields[at - 1]).filter(|f| f.len() == 6).or((at == 3).then_some("000000"));
    moment.at = date.zip(clock).and_then(|(date, clock)| time(clock, date));
    moment.fix = Some(Fix {
        fixed_at: moment.at,
        valid: matches!(fields[at], "A" | "B" | "0" | "1"),
        position: LatLon::new(
            if fields[at + 2] == "S" { -lat } else { lat },
            if fields[at + 4] == "W" { -lon } else { lon },
        ),
        altitude_m: None,
        speed_kmh: number(at + 5).map(|knots| (knots * KMH_PER_KNOT) as f32),
        course_deg: number(at + 6).map(|c| c as f32),
        satellites: None,
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    });
    Ok(())
}

/// Behind the status: odometer, temperature, fuel and more in one dialect, a cell in the others.
fn extras(extra: &[&str], moment: &mut Moment, report: &mut Report) {
    match extra {
        [odometer, _, fuel, _, _, _] if fuel.contains('.') => {
            moment.status.odometer_m = odometer.parse().ok();
        }
        [mcc, mnc, area, cell, ..] => {
            if let (Ok(mcc), Ok(mnc), Ok(area), Ok(cell)) = (mcc.parse(), mnc.parse(), area.parse(), cell.parse()) {
                moment.network.cells.push(Cell { mcc, mnc, area, cell, signal_dbm: None });
            }
            report.unknown.insert("behind status".into(), extra.join(","));
        }
        _ => {
            report.unknown.insert("behind status".into(), extra.join(","));
        }
    }
}

/// `V3,time,MCCMNC,count,(LAC,CID,…,signal)…`
fn cells_of_v3(fields: &[&str], moment: &mut Moment) {
    let Some(network) = fields.get(4).filter(|n| n.len() > 3 && n.is_char_boundary(3)) else { return };
    let count = fields.get(5).and_then(|n| n.parse::<usize>().ok()).unwrap_or(0).min(16);
    for cell in fields.get(6..).unwrap_or_default().chunks(4).take(count) {
        if let (Ok(mcc), Ok(mnc), Some(Ok(area)), Some(Ok(id))) = (
            network[..3].parse(),
            network[3..].parse(),
            cell.first().map(|f| f.parse()),
            cell.get(1).map(|f| f.parse()),
        ) {
            moment.network.cells.push(Cell { mcc, mnc, area, cell: id, signal_dbm: None });
        }
    }
}

/// `NBR,time,MCC,MNC,delay,count,(LAC,CID,signal)…`
fn cells_of_nbr(fields: &[&str], moment: &mut Moment) {
    let number = |n: usize| fields.get(n).and_then(|f| f.parse::<u16>().ok());
    let (Some(mcc), Some(mnc), Some(count)) = (number(4), number(5), number(7)) else { return };
    for cell in fields.get(8..).unwrap_or_default().chunks(3).take(usize::from(count.min(16))) {
        if let [area, id, ..] = cell
            && let (Ok(area), Ok(id)) = (area.parse(), id.parse())
        {
            moment.network.cells.push(Cell { mcc, mnc, area, cell: id, signal_dbm: None });
        }
    }
}

/// `$`, identifier, time, date, latitude, battery, longitude with flags, speed and course, status.
fn binary(payload: &[u8]) -> Result<Report, DecodeError> {
    let mut body = Cursor::new(payload);
    body.u8("start")?;
    let ident = if payload.len() == 42 {
        hex::encode(body.take(8, "identifier")?)[..15].to_owned()
    } else {
        hex::encode(body.take(5, "identifier")?)
    };
    let clock = hex::encode(body.take(3, "time")?);
    let date = hex::encode(body.take(3, "date")?);
    let lat = hex::encode(body.take(4, "latitude")?);
    let battery = body.u8("battery")?;
    let lon = hex::encode(body.take(5, "longitude")?);
    let motion = hex::encode(body.take(3, "speed and course")?);
    let word = body.u32("status")?;
    let flags = lon.as_bytes().last().and_then(|c| char::from(*c).to_digit(16)).unwrap_or(0);
    let bit = |n: u32| flags >> n & 1 == 1;
    let lat_deg = degrees(&lat, 2).ok_or_else(|| wrong("latitude", &lat))?;
    let lon_deg = degrees(&lon[..9], 3).ok_or_else(|| wrong("longitude", &lon))?;
    let at = time(&clock, &date);
    let mut moment = Moment { at, ..Moment::default() };
    moment.fix = Some(Fix {
        fixed_at: at,
        valid: bit(1),
        position: LatLon::new(if bit(2) { lat_deg } else { -lat_deg }, if bit(3) { lon_deg } else { -lon_deg }),
        altitude_m: None,
        speed_kmh: motion[..3].parse::<f64>().ok().map(|knots| (knots * KMH_PER_KNOT) as f32),
        course_deg: motion[3..].parse::<f32>().ok(),
        satellites: None,
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    });
    moment.status.battery_percent = match battery {
        0 => None,
        1..=3 => Some((battery - 1) * 10),
        4..=6 => Some((battery - 1) * 20),
        7..=100 => Some(battery),
        _ => None,
    };
    status(word, &mut moment);
    let mut report = Report { message: "binary".into(), tracker_idents: vec![ident], ..Report::default() };
    if !body.is_empty() {
        report.unknown.insert("behind status".into(), hex::encode(body.rest()));
    }
    report.moments.push(moment);
    Ok(report)
}

fn status(word: u32, moment: &mut Moment) {
    let clear = |bit: u32| word >> bit & 1 == 0;
    let status = Status {
        ignition: Some(!clear(10)),
        external_power: clear(19).then_some(false),
        ..std::mem::take(&mut moment.status)
    };
    moment.status = status;
    for (bit, kind) in ALARM_BITS {
        if clear(bit) {
            moment.alarms.push(Alarm { kind, raw: bit });
        }
    }
}

/// Degrees and minutes glued together; without a point, so many digits are degrees and two are whole minutes.
fn degrees(text: &str, digits: usize) -> Option<f64> {
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
        format!("{}.{}", minutes.get(..2)?, minutes.get(2..)?).parse().ok()?
    };
    let degrees: f64 = if degrees.is_empty() { 0.0 } else { degrees.parse().ok()? };
    Some(degrees + minutes / 60.0)
}

/// HHMMSS and DDMMYY, UTC.
fn time(clock: &str, date: &str) -> Option<Timestamp> {
    let two = |text: &str, at: usize| text.get(at..at + 2)?.parse::<u8>().ok();
    let (day, month, year) = (two(date, 0)?, two(date, 2)?, two(date, 4)?);
    Timestamp::from_civil(2000 + i16::from(year), month, day, two(clock, 0)?, two(clock, 2)?, two(clock, 4)?, 0)
}

fn wrong(field: &'static str, value: &str) -> DecodeError {
    DecodeError::Field { field, problem: format!("{:?} is none", value.chars().take(20).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(report.replies, [b"*HQ,4210051415,HTBT,88#".to_vec()]);
        assert_eq!(report.moments[0].status.battery_percent, Some(88));
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
