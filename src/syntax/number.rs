//! Numbers with their units: what is glued to a number, what it is worth, and what to write instead of a wrong one.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::satisfy;
use nom::combinator::{opt, recognize};
use nom::multi::many_m_n;
use nom::{IResult, Parser};

use super::lexer::Kind;
use crate::time::{Duration, Timestamp};
use crate::value::parse_micros;

type Piece<'a> = IResult<&'a str, &'a str, ()>;

fn digits(i: &str) -> Piece<'_> {
    take_while1(|c: char| c.is_ascii_digit() || c == '_').parse(i)
}

/// A number with all that is glued to it: a dollar sign, a fraction, a unit, and wrongly more points as in an address.
pub(super) fn number(i: &str) -> Piece<'_> {
    let unit = take_while1(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let fraction =
        |i| recognize((tag("."), satisfy(|c| c.is_ascii_digit()), take_while(|c: char| c.is_ascii_digit()))).parse(i);
    let network = recognize((many_m_n(2, 9, fraction), opt((tag("/"), digits))));
    let rest = alt((network, recognize((opt(fraction), opt(alt((tag("%"), unit)))))));
    recognize((opt(tag("$")), digits, rest)).parse(i)
}

/// The value of a number as written, or what is wrong with it and what to write instead.
pub(super) fn read_number(written: &str) -> Result<Kind, (String, String)> {
    let wrong = |message: &str, help: &str| Err((message.replace("{}", &format!("`{written}`")), help.to_string()));
    let places = written.split_once('.').map_or(0, |(_, places)| places.trim_end_matches('0').len());
    let range = || {
        if places > 6 {
            wrong("{} has too many places", "numbers carry six decimal places: `0.123456`")
        } else {
            wrong(
                "{} is too large",
                "whole numbers go up to 9_223_372_036_854_775_807, others up to a millionth of that",
            )
        }
    };
    let (dollar, body) = match written.strip_prefix('$') {
        Some(body) => (true, body),
        None => (false, written),
    };
    let numeric = body.find(|c: char| !c.is_ascii_digit() && c != '_' && c != '.').unwrap_or(body.len());
    if body.matches('.').count() > 1 {
        return wrong("{} is no number", "addresses and networks stand in quotes: \"10.0.0.0/8\"");
    }
    let (figures, unit) = body.split_at_checked(numeric).unwrap_or((body, ""));
    let whole = figures.split('.').next().unwrap_or("");
    if whole.starts_with('_') || whole.ends_with('_') || whole.contains("__") {
        return wrong("{} is no number", "`_` stands between two digits: `1_000`");
    }
    let plain = figures.replace('_', "");
    let micros = || parse_micros(&plain);
    match (dollar, unit) {
        (true, "") => micros().map_or_else(range, |n| Ok(Kind::Money(n))),
        (true, _) => wrong("{} is no amount of money", "write dollars as `$500` or `$0.50`"),
        (false, "") if plain.contains('.') => micros().map_or_else(range, |n| Ok(Kind::Decimal(n))),
        (false, "") => plain.parse().map_or_else(|_| range(), |n| Ok(Kind::Integer(n))),
        (false, "%") => match micros() {
            Some(n) if n % 100 == 0 => Ok(Kind::Percentage(n / 100)),
            _ => wrong("{} has too many places", "a percentage carries four decimal places: `12.3456%`"),
        },
        (false, unit) => duration(written, &plain, unit),
    }
}

fn duration(written: &str, figures: &str, unit: &str) -> Result<Kind, (String, String)> {
    let known = Duration::from_unit(1, unit).is_some();
    if known && !figures.contains('.') {
        let value = figures.parse().ok().and_then(|n| Duration::from_unit(n, unit));
        return value
            .map(Kind::Duration)
            .ok_or_else(|| (format!("`{written}` is out of range"), "durations go up to 106_751d".to_string()));
    }
    if known {
        return Err((
            format!("`{written}` is no duration"),
            "durations are whole numbers: `90m` instead of `1.5h`".to_string(),
        ));
    }
    let number = figures.parse::<i64>().unwrap_or(1);
    let help = match unit {
        "min" | "mins" | "minute" | "minutes" => format!("write `{number}m`"),
        "sec" | "secs" | "second" | "seconds" => format!("write `{number}s`"),
        "hr" | "hrs" | "hour" | "hours" | "H" => format!("write `{number}h`"),
        "D" | "day" | "days" => format!("write `{number}d`"),
        "w" | "week" | "weeks" => format!("write `{}d`", number.saturating_mul(7)),
        "k" | "K" => format!("write `{number}_000`"),
        "M" => format!("write `{number}_000_000`"),
        _ => "units of time are `d`, `h`, `m`, `s` and `ms`: `24h`; other units are not written".to_string(),
    };
    Err((format!("`{written}` has an unknown unit `{unit}`"), help))
}

/// What a whole text reads as, if it is one number, amount, duration or date without mistakes.
pub(super) fn reads_as(written: &str) -> Option<Kind> {
    if let Some(at) = Timestamp::parse_date(written) {
        return Some(Kind::Date(at));
    }
    match number(written) {
        Ok(("", taken)) => read_number(taken).ok(),
        _ => None,
    }
}
