//! Commands and their answers: codec 12, 13, 14.

use crate::domain::Report;
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use crate::protocol::teltonika::crc16_arc;

/// Reads an answer; it is not acknowledged.
///
/// # Errors
/// The field that is cut.
pub fn answer(data: &[u8], report: &mut Report) -> Result<(), DecodeError> {
    let mut data = Cursor::new(data);
    let codec = data.u8("codec id")?;
    report.message = format!("codec {codec:#04x}").into();
    data.u8("number of answers")?;
    data.u8("type")?;
    let length = data.u32("text length")? as usize;
    let mut text = Cursor::new(data.take(length, "text")?);
    match codec {
        0x0d => {
            text.u32("time of the answer")?;
        }
        0x0e => {
            let digits = hex::encode(text.take(8, "IMEI")?);
            report.tracker_idents.push(digits.trim_start_matches('0').into());
        }
        _ => {}
    }
    report.unknown.insert("answer".into(), String::from_utf8_lossy(text.rest()).into_owned());
    Ok(())
}

/// What a tracker may be asked for. Nothing stops a motor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Where it is, now.
    Locate,
    /// Seconds between reports while moving.
    IntervalS(u32),
    /// The vendor's own text.
    Text(String),
}

/// A command as codec 12.
pub fn encode(request: &Request) -> Vec<u8> {
    let text = match request {
        Request::Locate => "getgps".to_owned(),
        // Parameter 10050: minimum period on move, home network (FMB parameter list).
        Request::IntervalS(seconds) => format!("setparam 10050:{seconds}"),
        Request::Text(text) => text.clone(),
    };
    let mut data = vec![0x0c, 1, 5];
    data.extend((text.len() as u32).to_be_bytes());
    data.extend(text.as_bytes());
    data.push(1);
    let mut out = vec![0, 0, 0, 0];
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(&data);
    out.extend(u32::from(crc16_arc(&data)).to_be_bytes());
    out
}
