//! Points in time and spans of time as integers of nanoseconds. There is no `now` here: time is an argument.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Nanoseconds per microsecond, millisecond, second, minute, hour, day.
pub const MICROSECOND_NS: i64 = 1_000;
/// Nanoseconds per millisecond.
pub const MILLISECOND_NS: i64 = 1_000_000;
/// Nanoseconds per second.
pub const SECOND_NS: i64 = 1_000_000_000;
/// Nanoseconds per minute.
pub const MINUTE_NS: i64 = 60 * SECOND_NS;
/// Nanoseconds per hour.
pub const HOUR_NS: i64 = 60 * MINUTE_NS;
/// Nanoseconds per day of 24 hours.
pub const DAY_NS: i64 = 24 * HOUR_NS;

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z (years 1677 to 2262). Printed as RFC 3339 in UTC with
/// three, six or nine digits, as many as the value needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

/// A span of time in nanoseconds. Printed in the largest unit that divides it: `90s`, `24h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Duration(pub i64);

impl Timestamp {
    /// The earliest point that can be expressed.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest point that can be expressed.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// This point moved by `by`, stopping at the ends of the range.
    pub fn saturating_add(self, by: Duration) -> Self {
        Timestamp(self.0.saturating_add(by.0))
    }

    /// This point moved back by `by`, stopping at the ends of the range.
    pub fn saturating_sub(self, by: Duration) -> Self {
        Timestamp(self.0.saturating_sub(by.0))
    }

    /// The span from `earlier` to this point, negative when `earlier` is later; stops at the ends of the range.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// Midnight UTC of a civil date; `None` for a date that does not exist or lies outside the range.
    pub fn from_date(year: i64, month: u32, day: u32) -> Option<Self> {
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        days_from_civil(year, month, day).checked_mul(DAY_NS).map(Timestamp)
    }

    /// Reads `YYYY-MM-DD` as midnight UTC.
    pub fn parse_date(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        if b.len() != 10 || b.get(4) != Some(&b'-') || b.get(7) != Some(&b'-') {
            return None;
        }
        let (y, m, d) = (digits(b, 0, 4)?, digits(b, 5, 2)?, digits(b, 8, 2)?);
        Self::from_date(y, m as u32, d as u32)
    }

    /// Reads RFC 3339: `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)`, also with a space or lower-case letters. Digits
    /// past the ninth of the fraction are cut. A leap second (`:60`) is the first instant of the next minute.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        if b.len() < 20 {
            return None;
        }
        let day = Self::parse_date(text.get(..10)?)?;
        if !matches!(b.get(10), Some(b'T' | b't' | b' ')) || b.get(13) != Some(&b':') || b.get(16) != Some(&b':') {
            return None;
        }
        let (h, m, s) = (digits(b, 11, 2)?, digits(b, 14, 2)?, digits(b, 17, 2)?);
        if h > 23 || m > 59 || s > 60 {
            return None;
        }
        let mut at = 19;
        let mut fraction = 0i64;
        if b.get(at) == Some(&b'.') {
            at += 1;
            let mut scale = SECOND_NS;
            let first = at;
            while let Some(d) = b.get(at).filter(|d| d.is_ascii_digit()) {
                scale /= 10;
                fraction += scale * i64::from(d - b'0');
                at += 1;
            }
            if at == first {
                return None;
            }
        }
        let offset_min = match b.get(at) {
            Some(b'Z' | b'z') if at + 1 == b.len() => 0,
            Some(sign @ (b'+' | b'-')) if at + 6 == b.len() && b.get(at + 3) == Some(&b':') => {
                let (oh, om) = (digits(b, at + 1, 2)?, digits(b, at + 4, 2)?);
                if oh > 23 || om > 59 {
                    return None;
                }
                let minutes = oh * 60 + om;
                if *sign == b'-' { -minutes } else { minutes }
            }
            _ => return None,
        };
        let within = h * HOUR_NS + m * MINUTE_NS + s * SECOND_NS + fraction - offset_min * MINUTE_NS;
        day.0.checked_add(within).map(Timestamp)
    }

    /// Year, month and day in UTC.
    pub fn date(self) -> (i64, u32, u32) {
        civil_from_days(self.0.div_euclid(DAY_NS))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = self.date();
        let rest = self.0.rem_euclid(DAY_NS);
        let (h, min, s) = (rest / HOUR_NS, rest / MINUTE_NS % 60, rest / SECOND_NS % 60);
        write!(f, "{y:04}-{m:02}-{d:02}T{h:02}:{min:02}:{s:02}")?;
        let ns = rest % SECOND_NS;
        if ns % MILLISECOND_NS == 0 {
            write!(f, ".{:03}Z", ns / MILLISECOND_NS)
        } else if ns % MICROSECOND_NS == 0 {
            write!(f, ".{:06}Z", ns / MICROSECOND_NS)
        } else {
            write!(f, ".{ns:09}Z")
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in UNITS {
            if self.0 % unit == 0 && (self.0 != 0 || name == "s") {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}ns", self.0)
    }
}

/// Units of a duration literal, largest first. Weeks are days times seven; months and years vary and are not units.
const UNITS: [(i64, &str); 7] = [
    (DAY_NS, "d"),
    (HOUR_NS, "h"),
    (MINUTE_NS, "m"),
    (SECOND_NS, "s"),
    (MILLISECOND_NS, "ms"),
    (MICROSECOND_NS, "us"),
    (1, "ns"),
];

impl Duration {
    /// `n` times the named unit (`d h m s ms us ns`); `None` for another unit or past the range.
    pub fn from_unit(n: i64, unit: &str) -> Option<Self> {
        UNITS.iter().find(|(_, name)| *name == unit).and_then(|(ns, _)| n.checked_mul(*ns)).map(Duration)
    }

    /// Reads `24h`, `15m`, `90s`, `250ms`: a whole number and one unit.
    pub fn parse(text: &str) -> Option<Self> {
        let at = text.find(|c: char| !c.is_ascii_digit() && c != '_')?;
        let (n, unit) = text.split_at_checked(at)?;
        Self::from_unit(n.replace('_', "").parse().ok()?, unit)
    }

    /// Whole seconds.
    pub fn from_secs(s: i64) -> Self {
        Duration(s.saturating_mul(SECOND_NS))
    }
}

fn digits(b: &[u8], at: usize, n: usize) -> Option<i64> {
    b.get(at..at + n)?.iter().try_fold(0i64, |acc, d| d.is_ascii_digit().then(|| acc * 10 + i64::from(d - b'0')))
}

fn is_leap(y: i64) -> bool {
    (y % 4 == 0 && y % 100 != 0) || y % 400 == 0
}

fn days_in_month(y: i64, m: u32) -> u32 {
    match m {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(y) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date, counted in years that begin in March, so that the leap day is last.
fn days_from_civil(y: i64, m: u32, d: u32) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let month_from_march = i64::from((m + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(d) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let m = (if mp < 10 { mp + 3 } else { mp - 9 }) as u32;
    (yoe + era * 400 + i64::from(m <= 2), m, d)
}
