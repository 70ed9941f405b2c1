//! Kinds of values in `windlass.toml`: how each is written, and how it becomes a setting.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::time::Duration;
use windlass_core::Invalid;
use windlass_core::text::{duration, show_duration, show_size, size};

/// A length of time: `"250ms"`, `"15s"`, `"5m"`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Span(pub Duration);

/// A size in bytes: `"64MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Size(pub u64);

/// A whole number.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Count(pub u64);

/// A part of a whole: 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// A kind of value that stands for settings of type `T`.
pub(super) trait Stands<T>: Sized {
    /// The setting; the value is within its range, which is within the type's.
    fn setting(self) -> T;
    /// The value that stands for a setting.
    fn showing(setting: &T) -> Self;
}

impl Stands<Duration> for Span {
    fn setting(self) -> Duration {
        self.0
    }
    fn showing(setting: &Duration) -> Self {
        Self(*setting)
    }
}

impl Stands<f64> for Share {
    fn setting(self) -> f64 {
        self.0
    }
    fn showing(setting: &f64) -> Self {
        Self(*setting)
    }
}

macro_rules! whole {
    ($kind:ident: $($type:ty),*) => {
        $(impl Stands<$type> for $kind {
            fn setting(self) -> $type {
                <$type>::try_from(self.0).unwrap_or(<$type>::MAX)
            }
            fn showing(setting: &$type) -> Self {
                Self(u64::try_from(*setting).unwrap_or(u64::MAX))
            }
        })*
    };
}
whole!(Count: u32, usize);
whole!(Size: u64, usize);

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
        let written = Written("a length of time such as \"250ms\", \"15s\" or \"5m\"", duration);
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

/// Reads a whole number that is not negative.
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

/// Reads text with `.1`; anything else is told that `.0` was expected.
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

/// Durations for ranges.
pub(super) const fn ms(milliseconds: u64) -> Span {
    Span(Duration::from_millis(milliseconds))
}

/// Durations for ranges.
pub(super) const fn secs(seconds: u64) -> Span {
    Span(Duration::from_secs(seconds))
}

/// Sizes for ranges.
pub(super) const fn kib(kibibytes: u64) -> Size {
    Size(kibibytes << 10)
}

/// Sizes for ranges.
pub(super) const fn mib(mebibytes: u64) -> Size {
    Size(mebibytes << 20)
}
