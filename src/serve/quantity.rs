//! Spans, sizes and digests as a configuration writes them.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use crate::time::Duration;

/// A span of time: `500ms`, `30s`, `5m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    pub(crate) const fn secs(seconds: i64) -> Span {
        Span(Duration(seconds * crate::time::SECOND_NS))
    }

    pub(crate) const fn millis(milliseconds: i64) -> Span {
        Span(Duration(milliseconds * crate::time::MILLISECOND_NS))
    }

    /// For timers.
    pub(crate) fn std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0.0).unwrap_or(0))
    }
}

/// A number of bytes: `8MiB`, `65536`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Bytes {
    pub(crate) const fn mib(n: u64) -> Bytes {
        Bytes(n << 20)
    }

    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// A number of bytes with or without its unit.
    pub fn parse(text: &str) -> Option<Bytes> {
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("B", 0), ("", 0)];
        let (number, shift) = units.into_iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))?;
        number.trim().parse::<u64>().ok()?.checked_mul(1 << shift).map(Bytes)
    }
}

/// A SHA-256 in hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// From 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Digest> {
        if text.len() != 64 {
            return None;
        }
        let mut digest = [0u8; 32];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        text.bytes().all(|b| b.is_ascii_hexdigit()).then_some(Digest(digest))
    }
}

struct Written<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<T, E> {
        (self.parse)(&n.to_string()).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(n), &self))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expected = "a span of time with its unit, such as 500ms, 30s or 5m";
        let parse = |text: &str| Duration::parse(text).filter(|d| d.0 >= 0).map(Span);
        from.deserialize_any(Written { expected, parse })
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Written { expected: "a number of bytes, such as 8MiB or 65536", parse: Bytes::parse })
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Written { expected: "a SHA-256 of 64 hexadecimal digits", parse: Digest::parse })
    }
}
