//! Paths as TWKB (Tiny WKB, the format PostGIS reads with `ST_GeomFromTWKB`): X longitude, Y latitude,
//! Z speed in km/h (-1: unknown), M time since the segment began.
//!
//! Written here and not by `ST_AsTWKB`, which drops points that repeat. A line of one point does not
//! parse there, so that is a POINT.

use crate::domain::Timestamp;
use crate::tracks::varint::{Reader, put, put_signed};
use crate::tracks::{GridPoint, TrackFix};

/// Decimal places of X and Y, as zigzag: 6 is 12.
const XY_PLACES: u8 = 12 << 4;
/// "Extended": Z and M follow.
const EXTENDED: u8 = 0x08;
/// Z and M are there; Z has one decimal place.
const HAS_Z_M: u8 = 0x03 | 1 << 2;
/// Speed of a fix that has none, tenths of km/h.
const NO_SPEED: i64 = -10;

/// Shapes that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Fixes in order (a POINT if it is one).
    Line = 2,
    /// The corners of a box, then fixes off it.
    Points = 4,
}

const POINT: u8 = 1;

/// One vertex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vertex {
    /// Where.
    pub spot: GridPoint,
    /// Tenths of km/h.
    pub speed_tenths: Option<u16>,
    /// When.
    pub at: Timestamp,
}

impl Vertex {
    /// Of a fix.
    pub fn of(fix: &TrackFix) -> Self {
        Self { spot: fix.spot, speed_tenths: fix.speed_tenths, at: fix.at }
    }
}

/// Decimal places that times need: most trackers speak in whole seconds.
pub fn time_places(since: Timestamp, times: impl Iterator<Item = Timestamp>) -> u8 {
    let mut places = 0;
    for micros in times.map(|t| t.micros() - since.micros()) {
        if micros % 1_000 != 0 {
            return 6;
        }
        if micros % 1_000_000 != 0 {
            places = 3;
        }
    }
    places
}

/// Microseconds of one step of M.
pub fn micros_per_step(places: u8) -> i64 {
    10_i64.pow(6 - u32::from(places.min(6)))
}

/// Writes a shape; `since` is the zero of M.
pub fn write(shape: Shape, since: Timestamp, vertices: &[Vertex]) -> Vec<u8> {
    let places = time_places(since, vertices.iter().map(|v| v.at));
    let step = micros_per_step(places);
    let is_point = shape == Shape::Line && vertices.len() == 1;
    let mut out = Vec::with_capacity(8 + 7 * vertices.len());
    out.extend([if is_point { POINT } else { shape as u8 } | XY_PLACES, EXTENDED, HAS_Z_M | places << 5]);
    if !is_point {
        put(&mut out, vertices.len() as u64);
    }
    let mut last = [0; 4];
    for vertex in vertices {
        let speed = vertex.speed_tenths.map_or(NO_SPEED, i64::from);
        let time = (vertex.at.micros() - since.micros()) / step;
        let next = [i64::from(vertex.spot.lon), i64::from(vertex.spot.lat), speed, time];
        for (next, last) in next.iter().zip(&last) {
            put_signed(&mut out, next - last);
        }
        last = next;
    }
    out
}

/// What comes before the vertices: shape, count, microseconds of a step of M. `None` if it is not [`write`]'s.
fn head(reader: &mut Reader<'_>) -> Option<(Shape, u64, i64)> {
    let kind = reader.byte()?;
    let (extended, more) = (reader.byte()?, reader.byte()?);
    if kind & 0xf0 != XY_PLACES || extended != EXTENDED || more & 0x1f != HAS_Z_M {
        return None;
    }
    let (shape, count) = match kind & 0x0f {
        POINT => (Shape::Line, 1),
        2 => (Shape::Line, reader.unsigned()?),
        4 => (Shape::Points, reader.unsigned()?),
        _ => return None,
    };
    // Each vertex has four bytes at least: no count can make us reserve more than was sent.
    if count > reader.rest().len() as u64 / 4 {
        return None;
    }
    Some((shape, count, micros_per_step(more >> 5)))
}

/// Reads what [`write`] wrote; `None` if it is anything else.
pub fn read(bytes: &[u8], since: Timestamp) -> Option<(Shape, Vec<Vertex>)> {
    let mut reader = Reader::new(bytes);
    let (shape, count, step) = head(&mut reader)?;
    let mut vertices = Vec::with_capacity(count as usize);
    let mut at = [0_i64; 4];
    for _ in 0..count {
        for axis in &mut at {
            *axis = axis.checked_add(reader.signed()?)?;
        }
        vertices.push(Vertex {
            spot: GridPoint { lon: i32::try_from(at[0]).ok()?, lat: i32::try_from(at[1]).ok()? },
            speed_tenths: u16::try_from(at[2]).ok(),
            at: Timestamp::from_micros(since.micros().checked_add(at[3].checked_mul(step)?)?),
        });
    }
    Some((shape, vertices))
}

/// Shows times and places one after the other, and nothing else of the vertices: a search needs neither speeds
/// nor a list of vertices. `None` if the bytes are not what [`write`] wrote; what was shown until then is void.
pub fn places(bytes: &[u8], since: Timestamp, mut see: impl FnMut(Timestamp, GridPoint)) -> Option<()> {
    let mut reader = Reader::new(bytes);
    let (_, count, step) = head(&mut reader)?;
    let (mut lon, mut lat, mut time) = (0_i64, 0_i64, 0_i64);
    for _ in 0..count {
        lon = lon.checked_add(reader.signed()?)?;
        lat = lat.checked_add(reader.signed()?)?;
        reader.unsigned()?; // speed
        time = time.checked_add(reader.signed()?)?;
        let spot = GridPoint { lon: i32::try_from(lon).ok()?, lat: i32::try_from(lat).ok()? };
        see(Timestamp::from_micros(since.micros().checked_add(time.checked_mul(step)?)?), spot);
    }
    Some(())
}

/// South-west and north-east corner of all vertices.
pub fn bounds(bytes: &[u8]) -> Option<(GridPoint, GridPoint)> {
    let mut reader = Reader::new(bytes);
    let is_point = reader.byte()? & 0x0f == POINT;
    reader.byte()?;
    reader.byte()?;
    let count = if is_point { 1 } else { reader.unsigned()? };
    let (mut lon, mut lat) = (0_i64, 0_i64);
    let (mut low, mut high) = ([i64::MAX; 2], [i64::MIN; 2]);
    for _ in 0..count {
        (lon, lat) = (lon.checked_add(reader.signed()?)?, lat.checked_add(reader.signed()?)?);
        reader.signed()?; // speed
        reader.signed()?; // time
        low = [low[0].min(lon), low[1].min(lat)];
        high = [high[0].max(lon), high[1].max(lat)];
    }
    let spot = |[lon, lat]: [i64; 2]| Some(GridPoint { lon: i32::try_from(lon).ok()?, lat: i32::try_from(lat).ok()? });
    Some((spot(low)?, spot(high)?))
}

/// The places of two points; `None` of anything else.
pub fn two_points(bytes: &[u8]) -> Option<(GridPoint, GridPoint)> {
    let [kind, _, _, 2, ..] = bytes else { return None };
    (kind & 0x0f == Shape::Points as u8).then(|| bounds(bytes))?
}

/// The first vertex alone.
pub fn first_spot(bytes: &[u8]) -> Option<GridPoint> {
    let mut reader = Reader::new(bytes);
    let kind = reader.byte()?;
    reader.byte()?;
    reader.byte()?;
    if kind & 0x0f != POINT {
        reader.unsigned()?;
    }
    let (lon, lat) = (reader.signed()?, reader.signed()?);
    Some(GridPoint { lon: i32::try_from(lon).ok()?, lat: i32::try_from(lat).ok()? })
}
