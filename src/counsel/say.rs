//! Small parts of sentences: constants, spans of time, rows of things, kinds of events, comparisons.

use crate::event::Kind;
use crate::hir::{Compare, Const};
use crate::time::{DAY_NS, Duration, HOUR_NS, MINUTE_NS, SECOND_NS, Timestamp};
use crate::value::{Type, write_number};

/// Behind a value: "is at least".
pub(super) fn compared(op: Compare, ty: &Type) -> &'static str {
    let time = *ty == Type::Timestamp;
    match op {
        Compare::Equal => "is",
        Compare::NotEqual => "is not",
        Compare::Less if time => "is before",
        Compare::Less => "is below",
        Compare::LessEqual if time => "is not after",
        Compare::LessEqual => "is at most",
        Compare::Greater if time => "is after",
        Compare::Greater => "is above",
        Compare::GreaterEqual if time => "is not before",
        Compare::GreaterEqual => "is at least",
    }
}

/// The type of one of several values.
pub(super) fn item_type(ty: &Type) -> &Type {
    match ty {
        Type::List(of) => of,
        ty => ty,
    }
}

/// A constant as people write it.
pub(super) fn said(ty: &Type, c: &Const) -> String {
    match c {
        Const::Bool(b) => b.to_string(),
        Const::Num(n) if *ty == Type::Duration => span(Duration(*n)),
        Const::Num(n) if *ty == Type::Timestamp && n % DAY_NS == 0 => crate::counsel::date(Timestamp(*n)),
        Const::Num(n) => {
            let mut out = String::new();
            let _ = write_number(&mut out, ty, *n);
            out
        }
        Const::Text(t) if *ty == Type::Country => t.clone(),
        Const::Text(t) => format!("{t:?}"),
        Const::Ip(ip) => ip.to_string(),
        Const::Net(net) => net.to_string(),
    }
}

/// A share in millionths: `25%`.
pub(super) fn percent(share: i64) -> String {
    said(&Type::Percentage, &Const::Num(share))
}

/// "24 hours", "1 minute": whole units, as authors choose them.
pub(super) fn span(d: Duration) -> String {
    let units = [(DAY_NS, "day"), (HOUR_NS, "hour"), (MINUTE_NS, "minute"), (SECOND_NS, "second")];
    let found = units.into_iter().find(|(ns, _)| d.0 != 0 && d.0 % ns == 0);
    match found {
        Some((DAY_NS, _)) if d.0 == DAY_NS => "24 hours".to_string(),
        Some((ns, unit)) if d.0 == ns => format!("1 {unit}"),
        Some((ns, unit)) => format!("{} {unit}s", d.0 / ns),
        None if d.0 % 1_000 == 0 => format!("{} seconds", said(&Type::Decimal, &Const::Num(d.0 / 1_000))),
        None => d.to_string(),
    }
}

/// As [`span`], behind "every" or "per": "hour", "15 minutes".
pub(super) fn each(d: Duration) -> String {
    let said = span(d);
    match said.strip_prefix("1 ") {
        Some(unit) => unit.to_string(),
        None => said,
    }
}

/// "a", "a or b", "a, b or c".
pub(super) fn alternatives(all: Vec<String>) -> String {
    listed(all, "or")
}

/// As [`alternatives`], with another word before the last.
pub(super) fn listed(mut all: Vec<String>, word: &str) -> String {
    match (all.pop(), all.is_empty()) {
        (None, _) => "nothing".to_string(),
        (Some(last), true) => last,
        (Some(last), false) => format!("{} {word} {last}", all.join(", ")),
    }
}

/// "calls of a model".
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Completion => "calls of a model (completion)",
        Kind::Request => "calls as they arrive, and of other endpoints (request)",
        Kind::Signup => "sign-ups (signup)",
        Kind::Account => "changes of accounts (account)",
        Kind::Action => "what the gateway does (action)",
    }
}

/// The kinds that are looked at; all of them are "events of any kind".
pub(super) fn kinds(all: &[Kind]) -> String {
    if Kind::ALL.iter().all(|k| all.contains(k)) {
        return "events of any kind".to_string();
    }
    listed(all.iter().map(|k| kind(*k).to_string()).collect(), "and")
}
