//! The kinds of values in `windlass.toml`: how each is written, and its setting.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::time::Duration;
use windlass_core::Invalid;
use windlass_core::text::{duration, show_duration, show_size, size};

/// A duration: `"250ms"`, `"15s"`, `"5m"`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Span(pub Duration);

/// A size in bytes: `"64MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Size(pub u64);

/// A whole number.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Count(pub u64);

/// A share of a whole, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Share(pub f64);

/// A value of the file that converts to and from settings of type `T`.
pub(super) trait ConfigValue<T>: Sized {
    /// The setting. The value is in its range, and `T` holds the whole range.
    fn into_setting(self) -> T;
    /// The value for a setting.
    fn from_setting(setting: &T) -> Self;
}

impl ConfigValue<Duration> for Span {
    fn into_setting(self) -> Duration {
        self.0
    }
    fn from_setting(setting: &Duration) -> Self {
        Self(*setting)
    }
}

impl ConfigValue<f64> for Share {
    fn into_setting(self) -> f64 {
        self.0
    }
    fn from_setting(setting: &f64) -> Self {
        Self(*setting)
    }
}

macro_rules! whole_number {
    ($kind:ident: $($type:ty),*) => {
        $(impl ConfigValue<$type> for $kind {
            fn into_setting(self) -> $type {
                <$type>::try_from(self.0).unwrap_or(<$type>::MAX)
            }
            fn from_setting(setting: &$type) -> Self {
                Self(u64::try_from(*setting).unwrap_or(u64::MAX))
            }
        })*
    };
}
whole_number!(Count: u32, usize);
whole_number!(Size: u64, usize);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_duration(self.0))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_size(self.0))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written("a duration such as \"250ms\", \"15s\" or \"5m\"", duration);
        deserializer.deserialize_any(written).map(Self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written("a size such as \"64KiB\" or \"1MiB\"", size)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Whole).map(Self)
    }
}

/// Parses a whole number that is not negative.
struct Whole;

impl de::Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self)
    }
}

/// Parses text with the function; the error for any other type names the expected form.
struct Written<T>(&'static str, fn(&str) -> Result<T, Invalid>);

impl<T> de::Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }
}

macro_rules! written_as_text {
    ($($kind:ident),*) => {
        $(impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })*
    };
}
written_as_text!(Span, Size);

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

/// A duration for a range.
pub(super) const fn ms(milliseconds: u64) -> Span {
    Span(Duration::from_millis(milliseconds))
}

/// A duration for a range.
pub(super) const fn secs(seconds: u64) -> Span {
    Span(Duration::from_secs(seconds))
}

/// A size for a range.
pub(super) const fn kib(kibibytes: u64) -> Size {
    Size(kibibytes << 10)
}

/// A size for a range.
pub(super) const fn mib(mebibytes: u64) -> Size {
    Size(mebibytes << 20)
}
