//! The fixes of a message, read key by key to where they stay.

use super::from_ms;
use crate::domain::{Fix, FixSource, LatLon, Moment};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;
use std::fmt;

/// Most fixes in a message.
pub const FIXES_MAX: usize = 500;

/// Reads the list of fixes behind the moments that are there.
pub struct Fixes<'r>(pub &'r mut SmallVec<[Moment; 1]>);

/// Reads one fix.
struct OneFix<'r>(&'r mut SmallVec<[Moment; 1]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    T,
    Lat,
    Lon,
    Alt,
    Kmh,
    Deg,
    Sats,
    Hdop,
    Acc,
    Valid,
    Src,
    Buffered,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for Fixes<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Fixes<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of fixes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(OneFix(self.0))?.is_some() {
            if self.0.len() > FIXES_MAX {
                return Err(A::Error::custom(format_args!("fixes: there are more than {FIXES_MAX}")));
            }
        }
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
        f.write_str("a fix")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut at_ms, mut lat, mut lon) = (None, None, None);
        let (mut altitude_m, mut speed_kmh, mut course_deg, mut satellites) = (None, None, None, None);
        let (mut hdop, mut accuracy_m, mut valid, mut source, mut buffered) = (None, None, None, None, false);
        let mut seen = 0_u16;
        while let Some(key) = map.next_key::<Key>()? {
            let bit = 1 << key as u16;
            if seen & bit != 0 && key != Key::Other {
                let name = format!("{key:?}").to_lowercase();
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            seen |= bit;
            match key {
                Key::T => at_ms = Some(map.next_value()?),
                Key::Lat => lat = Some(map.next_value()?),
                Key::Lon => lon = Some(map.next_value()?),
                Key::Alt => altitude_m = map.next_value()?,
                Key::Kmh => speed_kmh = map.next_value()?,
                Key::Deg => course_deg = map.next_value()?,
                Key::Sats => satellites = map.next_value()?,
                Key::Hdop => hdop = map.next_value()?,
                Key::Acc => accuracy_m = map.next_value()?,
                Key::Valid => valid = map.next_value()?,
                Key::Src => source = map.next_value::<Option<FixSource>>()?,
                Key::Buffered => buffered = map.next_value()?,
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let at = from_ms(at_ms.ok_or_else(|| A::Error::missing_field("t"))?);
        let lat_deg = lat.ok_or_else(|| A::Error::missing_field("lat"))?;
        let lon_deg = lon.ok_or_else(|| A::Error::missing_field("lon"))?;
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
        self.0.push(Moment { at: Some(at), fix: Some(fix), buffered, ..Moment::default() });
        Ok(())
    }
}
