//! Lists of cells and access points.

use crate::domain::{Cell, Moment, Timestamp};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use crate::protocol::gt06::frame::Frame;
use crate::protocol::gt06::place::{self, CellForm};

/// Places of cells in a list whose length is fixed.
const CELLS: u8 = 7;

/// Time, network, seven cells with their signals, timing advance, and in some editions access points.
/// A list may be shorter than it says; what is there is taken.
///
/// # Errors
/// The time is cut.
pub fn read(frame: &Frame<'_>, offset_s: i32, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let mut moment = Moment { at: place::time(body, offset_s)?, ..Moment::default() };
    if frame.number == 0xf3 {
        access_points_of_f3(body, &mut moment);
    } else {
        cells(frame, body, &mut moment);
    }
    Ok(moment)
}

fn cells(frame: &Frame<'_>, body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    let form = if matches!(frame.number, 0xa1 | 0xa2 | 0x33) { CellForm::Long } else { CellForm::Short };
    // The S20's edition: timing advance first, and the number of cells.
    let is_counted = frame.number == 0x24 && frame.said == 0x31;
    if is_counted {
        body.u8("timing advance").ok()?;
    }
    let network = place::network(body, form).ok()?;
    let count = if is_counted { body.u8("number of cells").ok()? } else { CELLS };
    for _ in 0..count {
        let cell = place::cell_of(body, form, network).ok()?;
        let signal_dbm = Some(-i16::from(body.u8("signal of a cell").ok()?));
        moment.network.cells.extend(cell.filter(|c| c.area > 0).map(|c| Cell { signal_dbm, ..c }));
    }
    if matches!(frame.number, 0x18 | 0x2c | 0xa2 | 0x33) {
        body.u8("timing advance").ok()?;
        let count = body.u8("number of access points").ok()?;
        access_points(body, count, moment)?;
    }
    Some(())
}

fn access_points(body: &mut Cursor<'_>, count: u8, moment: &mut Moment) -> Option<()> {
    for _ in 0..count {
        let mac = mac(body.take(6, "access point").ok()?);
        let signal = -i16::from(body.u8("signal of an access point").ok()?);
        moment.network.wifi.push((mac, Some(signal)));
    }
    Some(())
}

fn access_points_of_f3(body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    for _ in 0..body.u8("number of access points").ok()? {
        body.take(2, "channel").ok()?;
        moment.network.wifi.push((mac(body.take(6, "access point").ok()?), None));
    }
    Some(())
}

/// 0x17 and 0x69: time in BCD, as many access points as the frame's length says, cells of one network.
///
/// # Errors
/// The field that is cut: these frames have no check sum, so nothing but their form speaks for them.
pub fn wifi(frame: &Frame<'_>, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let mut moment = Moment { at: bcd_time(body.take(6, "time")?), ..Moment::default() };
    for _ in 0..frame.said {
        let mac = mac(body.take(6, "access point")?);
        moment.network.wifi.push((mac, Some(-i16::from(body.u8("signal of an access point")?))));
    }
    let count = body.u8("number of cells")?;
    let (mcc, mnc) = (body.u16("MCC")?, body.u8("MNC")?.into());
    for _ in 0..count {
        let (area, cell) = (body.u16("LAC")?.into(), body.u16("cell")?.into());
        let signal_dbm = Some(-i16::from(body.u8("signal of a cell")?));
        moment.network.cells.push(Cell { mcc, mnc, area, cell, signal_dbm });
    }
    match body.len() {
        0 => Ok(moment),
        more => Err(DecodeError::Field { field: "list of cells", problem: format!("{more} bytes follow it") }),
    }
}

fn bcd_time(bytes: &[u8]) -> Option<Timestamp> {
    let mut parts = [0; 6];
    for (part, byte) in parts.iter_mut().zip(bytes) {
        *part = (byte >> 4) * 10 + (byte & 15);
    }
    let [year, month, day, hour, minute, second] = parts;
    Timestamp::from_civil(2000 + i16::from(year), month, day, hour, minute, second, 0)
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}
