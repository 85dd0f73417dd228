//! The GPS block and the LBS block.

use crate::domain::{Cell, Fix, FixSource, LatLon, Timestamp};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;

/// Minutes × 30,000, that is degrees × 1,800,000.
const UNITS_PER_DEGREE: f64 = 1_800_000.0;
/// Time, information, latitude, longitude, speed, course.
pub const GPS_BYTES: usize = 18;

/// A GPS block and what its course word says of the ignition.
pub struct Gps {
    /// The fix.
    pub fix: Fix,
    /// Ignition, where the word carries it.
    pub ignition: Option<bool>,
}

/// How wide the numbers of a cell are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellForm {
    /// MNC 1 (2 with MCC bit 15), LAC 2, CID 3.
    Short,
    /// MNC 2, LAC 2, CID 4: number 0x11.
    Middle,
    /// MNC 1 (2 with MCC bit 15), LAC 4, CID 8: editions for 4G.
    Long,
}

/// Six binary bytes: YY MM DD hh mm ss.
///
/// # Errors
/// Fewer bytes.
pub fn time(body: &mut Cursor<'_>, offset_s: i32) -> Result<Option<Timestamp>, DecodeError> {
    let t = body.take(6, "time")?;
    Ok(Timestamp::from_civil(2000 + i16::from(t[0]), t[1], t[2], t[3], t[4], t[5], offset_s))
}

/// Whether bytes begin with a time that can be.
pub fn begins_with_time(bytes: &[u8]) -> bool {
    bytes.len() >= 6 && time(&mut Cursor::new(bytes), 0).is_ok_and(|t| t.is_some()) && (8..=60).contains(&bytes[0])
}

/// Whether a block behind its time is one: length 12 or 13, degrees on Earth, a course on the compass.
pub fn is_possible(block: &[u8]) -> bool {
    let word = |at: usize| f64::from(u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]));
    block.len() >= GPS_BYTES
        && matches!(block[6] >> 4, 12 | 13)
        && word(7) <= 90.0 * UNITS_PER_DEGREE
        && word(11) <= 180.0 * UNITS_PER_DEGREE
        && u16::from_be_bytes([block[16], block[17]]) & 0x03ff <= 360
}

/// Reads a GPS block with its time.
///
/// # Errors
/// The field that is cut.
pub fn gps(body: &mut Cursor<'_>, offset_s: i32) -> Result<Gps, DecodeError> {
    let at = time(body, offset_s)?;
    gps_at(body, at)
}

/// Reads a GPS block behind its time.
///
/// # Errors
/// The field that is cut.
pub fn gps_at(body: &mut Cursor<'_>, at: Option<Timestamp>) -> Result<Gps, DecodeError> {
    let satellites = body.u8("GPS information")? & 0x0f;
    let (lat, lon) = (body.u32("latitude")?, body.u32("longitude")?);
    let speed_kmh = f32::from(body.u8("speed")?);
    Ok(gps_of(at, satellites, (lat, lon), speed_kmh, body.u16("course and flags")?))
}

/// The camera models' block: course before speed, and the speed in two bytes or not at all.
///
/// # Errors
/// The field that is cut.
pub fn gps_of_cameras(body: &mut Cursor<'_>, offset_s: i32) -> Result<Gps, DecodeError> {
    let at = time(body, offset_s)?;
    let satellites = body.u8("GPS information")? & 0x0f;
    let (lat, lon) = (body.u32("latitude")?, body.u32("longitude")?);
    let word = body.u16("course and flags")?;
    let speed = body.rest().get(..2).map(|b| u16::from_be_bytes([b[0], b[1]])).filter(|kmh| *kmh < 256);
    Ok(gps_of(at, satellites, (lat, lon), f32::from(speed.unwrap_or(0)), word))
}

/// What the words of a block mean.
pub fn gps_of(at: Option<Timestamp>, satellites: u8, (lat, lon): (u32, u32), speed_kmh: f32, word: u16) -> Gps {
    let bit = |n: u32| word >> n & 1 == 1;
    let (lat, lon) = (f64::from(lat) / UNITS_PER_DEGREE, f64::from(lon) / UNITS_PER_DEGREE);
    let fix = Fix {
        fixed_at: at,
        valid: bit(12),
        // The two hemisphere bits have opposite polarity: 1 is north, and 1 is west.
        position: LatLon::new(if bit(10) { lat } else { -lat }, if bit(11) { -lon } else { lon }),
        altitude_m: None,
        speed_kmh: Some(speed_kmh),
        course_deg: Some(f32::from(word & 0x03ff)),
        satellites: Some(satellites),
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    };
    Gps { fix, ignition: bit(14).then_some(bit(15)) }
}

/// Country and network.
///
/// # Errors
/// The field that is cut.
pub fn network(body: &mut Cursor<'_>, form: CellForm) -> Result<(u16, u16), DecodeError> {
    let mcc = body.u16("MCC")?;
    let is_wide = mcc & 0x8000 != 0 || form == CellForm::Middle;
    let mnc = if is_wide { body.u16("MNC")? } else { body.u8("MNC")?.into() };
    Ok((mcc & 0x7fff, mnc))
}

/// A cell of a network; `None` where the place in a list is empty.
///
/// # Errors
/// The field that is cut.
pub fn cell_of(body: &mut Cursor<'_>, form: CellForm, (mcc, mnc): (u16, u16)) -> Result<Option<Cell>, DecodeError> {
    let (area, cell) = match form {
        CellForm::Short => (body.u16("LAC")?.into(), body.u24("cell")?.into()),
        CellForm::Middle => (body.u16("LAC")?.into(), body.u32("cell")?.into()),
        CellForm::Long => (body.u32("LAC")?, body.u64("cell")?),
    };
    Ok((mcc > 0 && cell > 0).then_some(Cell { mcc, mnc, area, cell, signal_dbm: None }))
}

/// A cell with its network.
///
/// # Errors
/// The field that is cut.
pub fn cell(body: &mut Cursor<'_>, form: CellForm) -> Result<Option<Cell>, DecodeError> {
    let network = network(body, form)?;
    cell_of(body, form, network)
}
