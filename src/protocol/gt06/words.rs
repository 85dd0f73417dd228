//! Frames in words: answers to commands (0x15, 0x21) and information (0x94).

use crate::domain::{Fix, FixSource, LatLon, Moment, Report, Status, Timestamp};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use crate::protocol::gt06::frame::Frame;

/// Encoding of an answer in 16-bit units.
const UTF_16: u8 = 2;

/// The answer to a command.
///
/// # Errors
/// The field that is cut.
pub fn answer(frame: &Frame<'_>, body: &mut Cursor<'_>, report: &mut Report) -> Result<(), DecodeError> {
    let mut is_wide = false;
    if frame.number == 0x15 {
        body.u8("length of the text")?;
        body.take(4, "server flag")?;
    } else {
        body.take(4, "server flag")?;
        is_wide = body.u8("encoding")? == UTF_16;
    }
    let text = if is_wide {
        let units: Vec<u16> = body.rest().chunks_exact(2).map(|u| u16::from_be_bytes([u[0], u[1]])).collect();
        String::from_utf16_lossy(&units)
    } else {
        String::from_utf8_lossy(body.rest()).into_owned()
    };
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty());
    let text = words.collect::<Vec<_>>().join(" ");
    report.moments.extend(said_place(&text));
    if let Some(iccid) = text.strip_prefix("<ICCID:").and_then(|t| t.get(..20)) {
        let status = Status { iccid: Some(iccid.into()), ..Status::default() };
        report.moments.push(Moment { status, ..Moment::default() });
    }
    report.unknown.insert("text".into(), text);
    Ok(())
}

/// 0x94: a sub-type, then its value; in the short form only a voltage.
///
/// # Errors
/// The field that is cut.
pub fn information(frame: &Frame<'_>, body: &mut Cursor<'_>, report: &mut Report) -> Result<(), DecodeError> {
    let mut moment = Moment::default();
    let volts = |body: &mut Cursor<'_>| body.u16("voltage").map(|v| Some(f32::from(v) / 100.0));
    if !frame.is_long {
        moment.status.external_v = volts(body)?;
        report.moments.push(moment);
        return Ok(());
    }
    match body.u8("sub-type")? {
        0x00 if body.len() == 2 => moment.status.external_v = volts(body)?,
        0x0a if body.len() >= 26 => {
            let imei = hex::encode(body.take(8, "IMEI")?);
            report.tracker_idents.push(imei.strip_prefix('0').unwrap_or(&imei).into());
            body.take(8, "IMSI")?;
            let iccid = hex::encode(body.take(10, "ICCID")?);
            moment.status.iccid = Some(iccid.trim_end_matches('f').into());
        }
        other => {
            report.unknown.insert(format!("information {other:#04x}"), hex::encode(body.rest()));
        }
    }
    report.moments.push(moment);
    Ok(())
}

/// "Current position!Lat:N54.739332,Lon:E25.273270,Course:126.53,Speed:0.0000,DateTime:2017-05-26 10:27:47"
fn said_place(text: &str) -> Option<Moment> {
    let field = |name: &str| {
        let rest = &text[text.find(name)? + name.len()..];
        Some(rest.split([',', '#']).next().unwrap_or(rest).trim())
    };
    let degrees = |said: &str, negative: char| {
        let number: f64 = said.get(1..)?.trim_start_matches(':').parse().ok()?;
        Some(if said.starts_with(negative) { -number } else { number })
    };
    let lat = degrees(field("Lat:")?, 'S')?;
    let lon = degrees(field("Lon:")?, 'W')?;
    let said = field("DateTime:")?;
    let at = Timestamp::parse_rfc3339(&format!("{}Z", said.get(..19)?.replacen(' ', "T", 1)));
    let fix = Fix {
        fixed_at: at,
        valid: true,
        position: LatLon::new(lat, lon),
        altitude_m: None,
        speed_kmh: field("Speed:").and_then(|s| s.parse().ok()),
        course_deg: field("Course:").and_then(|s| s.parse().ok()),
        satellites: None,
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    };
    Some(Moment { at, fix: Some(fix), ..Moment::default() })
}
