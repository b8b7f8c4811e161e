//! Reads one value of a list or table from text. Knows types, not rows.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::event::json::Number;
use crate::template::Strictness;
use crate::time::{Duration, Timestamp};
use crate::value::{Type, parse_micros};

/// A text that is no value of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// The type that was wanted.
    pub ty: Type,
    /// The text, cut to 80 characters.
    pub text: String,
    /// What is wrong with it.
    pub kind: ValueErrorKind,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueErrorKind {
    /// It does not read as the type.
    Malformed,
    /// It is empty.
    Empty,
    /// It is a text of fewer words than a strict fingerprint needs.
    Short,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ValueErrorKind::Empty => write!(f, "expected {}, found nothing: write {}", self.ty, example(&self.ty)),
            ValueErrorKind::Short => write!(
                f,
                "`{}` has fewer than {} words, too few for a template: write more of it, or the fingerprint itself",
                self.text,
                Strictness::Strict.words()
            ),
            ValueErrorKind::Malformed => {
                write!(f, "expected {}, found `{}`: write {}", self.ty, self.text, example(&self.ty))
            }
        }
    }
}

impl std::error::Error for ValueError {}

impl ValueError {
    fn new(ty: &Type, text: &str) -> Self {
        let kind = if text.is_empty() { ValueErrorKind::Empty } else { ValueErrorKind::Malformed };
        ValueError { ty: ty.clone(), text: text.chars().take(80).collect(), kind }
    }

    pub(crate) fn short(ty: &Type, text: &str) -> Self {
        ValueError { kind: ValueErrorKind::Short, ..ValueError::new(ty, text) }
    }
}

/// One value in the form that look-ups use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scalar {
    Bool(bool),
    Num(i64),
    Text(Box<str>),
    Ip(IpAddr),
    Net(IpNet),
}

/// Reads a text as a value of a type. Addresses that are IPv4 in IPv6 form become IPv4; the host bits of networks are
/// dropped; countries are upper-cased. Space around is ignored.
pub(crate) fn parse(ty: &Type, text: &str) -> Result<Scalar, ValueError> {
    let text = text.trim();
    let read = match ty {
        _ if text.is_empty() => None,
        Type::String | Type::Fingerprint => Some(Scalar::Text(text.into())),
        Type::Country => country(text).map(Scalar::Text),
        Type::Bool => bool_of(text).map(Scalar::Bool),
        Type::Integer | Type::Tokens => text.parse().ok().map(Scalar::Num),
        Type::Decimal => decimal(text).map(Scalar::Num),
        Type::Money => decimal(text.strip_prefix('$').unwrap_or(text)).map(Scalar::Num),
        Type::Percentage => match text.strip_suffix('%') {
            // A hundredth of a per cent of a millionth has no place: `12.34567%` is refused rather than rounded.
            Some(share) => parse_micros(share.trim_end()).filter(|n| n % 100 == 0).map(|n| Scalar::Num(n / 100)),
            None => decimal(text).map(Scalar::Num),
        },
        Type::Duration => Duration::parse(text).map(|d| Scalar::Num(d.0)),
        Type::Timestamp => time(text).map(|t| Scalar::Num(t.0)),
        Type::Ip => text.parse::<IpAddr>().ok().map(|ip| Scalar::Ip(ip.to_canonical())),
        Type::Cidr => network(text).map(Scalar::Net),
        Type::List(_) => None,
    };
    read.ok_or_else(|| ValueError::new(ty, text))
}

/// A date (midnight UTC) or RFC 3339.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse_date(text).or_else(|| Timestamp::parse_rfc3339(text))
}

fn country(text: &str) -> Option<Box<str>> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase().into())
}

fn bool_of(text: &str) -> Option<bool> {
    match text {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

fn decimal(text: &str) -> Option<i64> {
    parse_micros(text).or_else(|| Number::parse(text)?.scaled(6))
}

fn network(text: &str) -> Option<IpNet> {
    let net = match text.parse::<IpNet>() {
        Ok(net) => net.trunc(),
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    Some(canonical_network(net))
}

/// Networks of IPv4 in IPv6 form (`::ffff:192.0.2.0/120`) as IPv4, as addresses of events are.
pub(crate) fn canonical_network(net: IpNet) -> IpNet {
    match (net, net.addr().to_canonical()) {
        (IpNet::V6(v6), IpAddr::V4(v4)) if v6.prefix_len() >= 96 => {
            IpNet::new(IpAddr::V4(v4), v6.prefix_len() - 96).map_or(net, |n| n.trunc())
        }
        _ => net,
    }
}

/// What one may write for a type.
fn example(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "`true` or `false`",
        Type::Integer | Type::Tokens => "digits, such as `120`",
        Type::Decimal => "a number, such as `0.75`",
        Type::Duration => "a number and a unit, such as `24h`",
        Type::Timestamp => "`2026-01-31` or `2026-01-31T12:00:00Z`",
        Type::Percentage => "a share, such as `90%`",
        Type::Money => "dollars, such as `12.50`",
        Type::String | Type::Fingerprint => "a text",
        Type::Ip => "an address, such as `192.0.2.7`",
        Type::Cidr => "a network, such as `192.0.2.0/24`",
        Type::Country => "two letters, such as `DE`",
        Type::List(_) => "a list",
    }
}
