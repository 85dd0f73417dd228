//! The text form: fields between `*` and `#`, commas between them.

use crate::domain::{Cell, Fix, FixSource, LatLon, Moment, ReplyBytes, Report};
use crate::protocol::DecodeError;
use crate::protocol::dialect::AlarmTable;
use crate::protocol::h02::{KMH_PER_KNOT, LATITUDE, LONGITUDE, battery_percent, cells, degrees, status, time};
use compact_str::CompactString;
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;

/// Digits of a SIM card's number (ITU-T E.118), its check digit or not.
const ICCID_DIGITS: std::ops::RangeInclusive<usize> = 18..=20;
/// Battery levels behind a cell, on the scale of the binary form.
const BATTERY_LEVELS: std::ops::RangeInclusive<u8> = 1..=6;
/// Voltages that a vehicle's supply can have.
const SUPPLY_V: std::ops::RangeInclusive<f32> = 0.0..=200.0;
/// Most fields told apart; what stands behind is one.
const FIELDS_MAX: usize = 96;

/// Reads a text.
///
/// # Errors
/// The field that is cut or wrong.
pub fn read(alarms: &AlarmTable, offset_s: i32, payload: &[u8]) -> Result<Report, DecodeError> {
    let text = String::from_utf8_lossy(payload);
    let inner = text.trim().strip_prefix('*').and_then(|t| t.split_once('#')).map(|(t, _)| t).ok_or_else(|| {
        DecodeError::Field { field: "frame", problem: "the message does not begin with * and end with #".into() }
    })?;
    let fields: SmallVec<[&str; 32]> = inner.splitn(FIELDS_MAX, ',').map(str::trim).collect();
    let [_, ident, kind, ..] = fields.as_slice() else {
        return Err(DecodeError::Truncated { field: "command", at: payload.len() });
    };
    let mut report = Report { message: name(kind), tracker_idents: smallvec![(*ident).into()], ..Report::default() };
    let mut moment = Moment::default();
    let at = place_at(&fields);
    if let Some(at) = at {
        place(&fields, at, offset_s, &mut moment)?;
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
        // Answered by the text as far as its kind; the battery stands behind.
        "HTBT" | "V0" => {
            moment.status.battery_percent = fields.get(3).and_then(|f| f.parse::<u8>().ok()).map(|p| p.min(100));
            report.replies.push(ReplyBytes::from_slice(format!("*{inner}#").as_bytes()));
        }
        // Behind the status of old, its own and the SIM card's number.
        "V19" => moment.status.iccid = at.and_then(|at| fields.get(at + 10)).and_then(|said| iccid(said)),
        "ICCID" => moment.status.iccid = fields[3..].iter().find_map(|said| iccid(said)),
        "V3" => cells::of_v3(&fields, &mut moment),
        "NBR" => cells::of_nbr(&fields, &mut moment),
        "SMS" => moment.status.external_v = fields[3..].iter().find_map(|text| supply_v(text)),
        "VP1" if moment.fix.is_none() => cells::of_vp1(&fields, &mut moment),
        _ => {}
    }
    // The status word: eight hexadecimal digits behind the date, in messages without a place the last such.
    let word = |f: &&str| (f.len() == 8).then(|| u32::from_str_radix(f, 16).ok())?;
    let behind = at.and_then(|at| fields.get(at + 7..)).unwrap_or_default();
    if let Some(word) = behind.iter().find_map(word).or_else(|| fields.iter().skip(3).rev().find_map(word)) {
        // A location without numbers holds nothing.
        if moment.fix.is_some() || !matches!(*kind, "V1") {
            status(alarms, word, &mut moment);
        }
    }
    if moment != Moment::default() {
        report.moments.push(moment);
    }
    Ok(report)
}

/// The digits of a SIM card's number; a sign that is none closes some.
fn iccid(said: &str) -> Option<CompactString> {
    let digits = said.trim_end_matches(|c: char| !c.is_ascii_digit());
    let is_one = ICCID_DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    is_one.then(|| digits.into())
}

/// The supply in an answer by text: a line `VOLT:13.1V`.
fn supply_v(text: &str) -> Option<f32> {
    let said = text.lines().find_map(|line| line.trim().strip_prefix("VOLT:"))?;
    said.trim().trim_end_matches(['V', 'v']).parse().ok().filter(|v| SUPPLY_V.contains(v))
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

fn place(fields: &[&str], at: usize, offset_s: i32, moment: &mut Moment) -> Result<(), DecodeError> {
    let lat = degrees(fields[at + 1], 2).ok_or_else(|| DecodeError::invalid("latitude", fields[at + 1], LATITUDE))?;
    let lon = degrees(fields[at + 3], 3).ok_or_else(|| DecodeError::invalid("longitude", fields[at + 3], LONGITUDE))?;
    let number = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).filter(|v| v.is_finite());
    let date = fields[at + 5..].iter().skip(2).find(|f| f.len() == 6 && f.bytes().all(|b| b.is_ascii_digit()));
    // Without a time of its own (VP1) the message stands for its day.
    let clock = Some(fields[at - 1]).filter(|f| f.len() == 6).or((at == 3).then_some("000000"));
    moment.at = date.zip(clock).and_then(|(date, clock)| time(clock, date, offset_s));
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
                if let [level] = &extra[4..] {
                    let level = level.parse().ok().filter(|l| BATTERY_LEVELS.contains(l));
                    moment.status.battery_percent = level.and_then(battery_percent);
                }
            }
            report.unknown.insert("behind status".into(), extra.join(","));
        }
        _ => {
            report.unknown.insert("behind status".into(), extra.join(","));
        }
    }
}

/// The kind of a message; the frequent ones without a copy.
fn name(kind: &str) -> Cow<'static, str> {
    match kind {
        "V1" => "V1".into(),
        "HTBT" => "HTBT".into(),
        kind => kind.chars().take(32).collect::<String>().into(),
    }
}
