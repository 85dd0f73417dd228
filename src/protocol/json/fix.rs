//! The fixes of a message, read key by key to where they stay.

use crate::domain::{Fix, FixSource, LatLon, Moment};
use crate::protocol::elements::{BYTE, Element, Reader, WHOLE, keys};
use crate::protocol::json::{Name, from_ms};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// What a number of 32 bits may be.
const ANY: RangeInclusive<f64> = f32::MIN as f64..=f32::MAX as f64;
/// Something that is no list stands where fixes should: it is kept.
macro_rules! no_list {
    ($($visit:ident($type:ty)),*) => { $(
        fn $visit<E: Error>(self, value: $type) -> Result<(), E> {
            Reader(self.unknown).keep("fixes", &value.to_string());
            Ok(())
        }
    )* };
}
/// Most fixes in a message.
pub const FIXES_MAX: usize = 500;

/// Reads the list of fixes behind the moments that are there; what is odd of them goes to the unknown items.
pub struct Fixes<'r> {
    /// Where they go.
    pub moments: &'r mut SmallVec<[Moment; 1]>,
    /// Where odd elements go.
    pub unknown: &'r mut BTreeMap<String, String>,
}

/// Reads one fix.
struct OneFix<'r>(Fixes<'r>);

keys! {
    /// What a fix may have.
    pub Key {
        At = "t", Lat = "lat", Lon = "lon", Alt = "alt", Kmh = "kmh", Deg = "deg", Sats = "sats", Hdop = "hdop",
        Acc = "acc", Valid = "valid", Src = "src", Buffered = "buffered",
    }
}

impl<'de> DeserializeSeed<'de> for Fixes<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fixes<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of fixes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { moments, unknown } = self;
        while list.next_element_seed(OneFix(Fixes { moments, unknown }))?.is_some() {
            if moments.len() > FIXES_MAX {
                return Err(A::Error::custom(format_args!("fixes: there are more than {FIXES_MAX}")));
            }
        }
        Ok(())
    }

    no_list!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let said = Element::deserialize(MapAccessDeserializer::new(map))?;
        Reader(self.unknown).keep_element("fixes", &said);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for OneFix<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneFix<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fix, an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Fixes { moments, unknown } = self.0;
        let mut reader = Reader(unknown);
        let (mut at, mut lat, mut lon) = (Element::Absent, Element::Absent, Element::Absent);
        let (mut altitude_m, mut speed_kmh, mut course_deg, mut satellites) = (None, None, None, None);
        let (mut hdop, mut accuracy_m, mut valid, mut source, mut buffered) = (None, None, None, None, None);
        let mut seen = 0_u16;
        while let Some(Name(name)) = map.next_key()? {
            let Some(key) = Key::of(&name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let bit = 1 << key as u16;
            if seen & bit != 0 {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            seen |= bit;
            let said: Element<'_> = map.next_value()?;
            match key {
                Key::At => at = said,
                Key::Lat => lat = said,
                Key::Lon => lon = said,
                // What cannot be is left out where fixes are judged.
                Key::Alt => altitude_m = reader.number_f32(&name, &said, ANY),
                Key::Kmh => speed_kmh = reader.number_f32(&name, &said, ANY),
                Key::Deg => course_deg = reader.number_f32(&name, &said, ANY),
                Key::Sats => satellites = reader.whole(&name, &said, BYTE).map(|n| n as u8),
                Key::Hdop => hdop = reader.number_f32(&name, &said, ANY),
                Key::Acc => accuracy_m = reader.number_f32(&name, &said, ANY),
                Key::Valid => valid = reader.flag(&name, &said),
                Key::Src => source = self::source(&said, &mut reader),
                Key::Buffered => buffered = reader.flag(&name, &said),
            }
        }
        let at = from_ms(at.must_be_whole("t", WHOLE).map_err(A::Error::custom)?);
        let lat_deg = lat.must_be_number("lat").map_err(A::Error::custom)?;
        let lon_deg = lon.must_be_number("lon").map_err(A::Error::custom)?;
        let fix = Fix {
            fixed_at: Some(at),
            valid: valid.unwrap_or(true),
            position: LatLon::new(lat_deg, lon_deg),
            altitude_m,
            speed_kmh,
            course_deg,
            satellites,
            hdop,
            accuracy_m,
            source: source.unwrap_or_default(),
        };
        let buffered = buffered.unwrap_or(false);
        moments.push(Moment { at: Some(at), fix: Some(fix), buffered, ..Moment::default() });
        Ok(())
    }
}

/// Where a position comes from, by its name.
fn source(said: &Element<'_>, reader: &mut Reader<'_>) -> Option<FixSource> {
    match said {
        Element::Text(word) if word == "gnss" => Some(FixSource::Gnss),
        Element::Text(word) if word == "cell" => Some(FixSource::Cell),
        Element::Text(word) if word == "wifi" => Some(FixSource::Wifi),
        other => {
            reader.keep_element("src", other);
            None
        }
    }
}
