//! Elements of a JSON object that may be there: read by their own type, kept where they have another.
//!
//! One optional element of another type must not lose the position beside it. Every JSON language reads its
//! elements here; `odd_tests` asks each for each type that it could have.

use crate::protocol::{DecodeError, UNKNOWN_MAX, words};
use compact_str::CompactString;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

/// Characters kept of a value that is not read.
const KEPT_CHARS_MAX: usize = 256;
/// What receivers write for "not known", beside values that cannot be.
const NOT_KNOWN: f64 = -1.0;

/// What altitudes on Earth lie between, metres.
pub const ALTITUDE_M: RangeInclusive<f64> = -500.0..=20_000.0;
/// What a supply of a vehicle may have, volts.
pub const VOLTS: RangeInclusive<f64> = 0.0..=1000.0;
/// Longest distance that an odometer can say, metres.
pub const ODOMETER_M: RangeInclusive<f64> = 0.0..=1e10;
/// What a 32-bit number of no sign may be.
pub const POSITIVE: RangeInclusive<f64> = 0.0..=1e30;
/// What a byte may be.
pub const BYTE: RangeInclusive<f64> = 0.0..=255.0;
/// Whole numbers that a JSON number holds without loss (RFC 8259, section 6).
pub const WHOLE: RangeInclusive<f64> = -9_007_199_254_740_992.0..=9_007_199_254_740_992.0;

/// Makes an enumeration of keys and the list of their names.
macro_rules! keys {
    ($(#[$doc:meta])* $vis:vis $name:ident { $($key:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // each is the name beside it
        $vis enum $name { $($key),+ }

        impl $name {
            /// Their names.
            #[cfg(test)]
            pub const ALL: &'static [&'static str] = &[$($text),+];

            /// The key of a name.
            pub fn of(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$key),)+
                    _ => None,
                }
            }
        }
    };
}
pub(super) use keys;

/// The names of the elements that a structure reads.
#[cfg(test)]
pub fn names_of<'a, T: Deserialize<'a>>() -> &'static [&'static str] {
    struct Names<'n>(&'n mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(Error::custom("only the names"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(Error::custom("no structure"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut names: &'static [&'static str] = &[];
    let _ = T::deserialize(Names(&mut names));
    names
}

/// One element, whatever its type.
#[derive(Debug, Default)]
pub enum Element<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    /// True or false.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// A list or an object, as JSON.
    Other(String),
}

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfAny(PhantomData))
    }
}

struct OfAny<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for OfAny<'a> {
    type Value = Element<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Element::Flag(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Element::Number(value as f64))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Element::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Element::Number(value))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Element::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Element::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Element::Absent)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Element::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Ok(Element::Other(Value::deserialize(SeqAccessDeserializer::new(list))?.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(Element::Other(Value::deserialize(MapAccessDeserializer::new(map))?.to_string()))
    }
}

impl Element<'_> {
    /// As it stands in a message, or nearly.
    fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::Absent => "null".into(),
            Self::Flag(true) => "true".into(),
            Self::Flag(false) => "false".into(),
            Self::Number(number) => number.to_string().into(),
            Self::Text(text) => text.as_ref().into(),
            Self::Other(json) => json.as_str().into(),
        }
    }

    /// The error of an element without which there is no report.
    pub fn is_not(&self, field: &'static str, expected: &str) -> DecodeError {
        match self {
            Self::Absent => DecodeError::Field { field, problem: "is missing".to_owned() },
            other => DecodeError::invalid(field, &other.shown(), expected),
        }
    }

    /// A number without which there is no report.
    ///
    /// # Errors
    /// It is none, or not there.
    pub fn must_be_number(&self, field: &'static str) -> Result<f64, DecodeError> {
        match self {
            Self::Number(number) => Ok(*number),
            other => Err(other.is_not(field, "a number")),
        }
    }

    /// A whole number within a range, without which there is no report.
    ///
    /// # Errors
    /// It is none, or not there.
    pub fn must_be_whole(&self, field: &'static str, range: RangeInclusive<f64>) -> Result<i64, DecodeError> {
        match self {
            Self::Number(n) if n.fract() == 0.0 && range.contains(n) => Ok(*n as i64),
            other => Err(other.is_not(field, &format!("a whole number from {} to {}", range.start(), range.end()))),
        }
    }
}

/// An object that may be there.
pub enum Object<'a, T> {
    /// It is.
    Is(T),
    /// Something else stands in its place, or nothing.
    IsNot(Element<'a>),
}

impl<T> Default for Object<'_, T> {
    fn default() -> Self {
        Self::IsNot(Element::Absent)
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Object<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfObject(PhantomData))
    }
}

struct OfObject<'a, T>(PhantomData<(&'a (), T)>);

/// Everything but an object goes the way of an element.
macro_rules! as_elements {
    ($($visit:ident($type:ty)),*) => { $(
        fn $visit<E: Error>(self, value: $type) -> Result<Self::Value, E> {
            OfAny(PhantomData).$visit(value).map(Object::IsNot)
        }
    )* };
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Visitor<'de> for OfObject<'a, T> {
    type Value = Object<'a, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    as_elements!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64));
    as_elements!(visit_borrowed_str(&'de str), visit_str(&str));

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Object::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        OfAny(PhantomData).visit_seq(list).map(Object::IsNot)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object::Is)
    }
}

/// Reads elements; what is of another type or out of range goes to the unknown items of the report.
pub struct Reader<'r>(pub &'r mut BTreeMap<String, String>);

impl Reader<'_> {
    /// Keeps a value by its name, as long as there is room.
    pub fn keep(&mut self, name: &str, value: &str) {
        if self.0.len() < UNKNOWN_MAX {
            let cut = |text: &str| text.chars().take(KEPT_CHARS_MAX).collect::<String>();
            self.0.insert(cut(name), cut(value));
        }
    }

    /// Keeps an element that is there.
    pub fn keep_element(&mut self, name: &str, element: &Element<'_>) {
        if !matches!(element, Element::Absent) {
            self.keep(name, &element.shown());
        }
    }

    /// A number within its range. Minus one outside of it says "not known".
    pub fn number(&mut self, name: &str, element: &Element<'_>, range: RangeInclusive<f64>) -> Option<f64> {
        match element {
            Element::Number(number) if range.contains(number) => return Some(*number),
            Element::Number(NOT_KNOWN) => {}
            other => self.keep_element(name, other),
        }
        None
    }

    /// A whole number within its range.
    pub fn whole(&mut self, name: &str, element: &Element<'_>, range: RangeInclusive<f64>) -> Option<i64> {
        match element {
            Element::Number(number) if number.fract() != 0.0 => {
                self.keep_element(name, element);
                None
            }
            _ => self.number(name, element, range).map(|n| n as i64),
        }
    }

    /// A number for a field of 32 bits.
    pub fn number_f32(&mut self, name: &str, element: &Element<'_>, range: RangeInclusive<f64>) -> Option<f32> {
        self.number(name, element, range).map(|n| n as f32)
    }

    /// A share of a hundred, rounded.
    pub fn percent(&mut self, name: &str, element: &Element<'_>) -> Option<u8> {
        self.number(name, element, 0.0..=100.0).map(|n| n.round() as u8)
    }

    /// True or false.
    pub fn flag(&mut self, name: &str, element: &Element<'_>) -> Option<bool> {
        if let Element::Flag(flag) = element {
            return Some(*flag);
        }
        self.keep_element(name, element);
        None
    }

    /// True or false, in words and numbers too, where the language leaves the type open.
    pub fn flag_in_words(&mut self, name: &str, element: &Element<'_>) -> Option<bool> {
        let flag = match element {
            Element::Flag(flag) => Some(*flag),
            Element::Number(0.0) => Some(false),
            Element::Number(1.0) => Some(true),
            Element::Text(text) => words::flag(text),
            _ => None,
        };
        if flag.is_none() {
            self.keep_element(name, element);
        }
        flag
    }

    /// A text.
    pub fn text(&mut self, name: &str, element: &Element<'_>) -> Option<CompactString> {
        if let Element::Text(text) = element {
            return Some(text.chars().take(KEPT_CHARS_MAX).collect());
        }
        self.keep_element(name, element);
        None
    }

    /// An object.
    pub fn object<T>(&mut self, name: &str, object: Object<'_, T>) -> Option<T> {
        match object {
            Object::Is(object) => Some(object),
            Object::IsNot(element) => {
                self.keep_element(name, &element);
                None
            }
        }
    }
}
