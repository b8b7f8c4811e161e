//! Constants take the type of what they meet: a text becomes a country, a whole number a decimal. What does not fit is
//! reported with the text to write instead.

use super::{Checker, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::hir::{Const, Expr, ExprKind};
use crate::source::Span;
use crate::value::{MICROS, Type};

/// The expression as one of type `to`: a constant is converted, a whole number is scaled, anything else must have it already.
pub(super) fn to(cx: &mut Checker<'_>, e: Expr, to: &Type) -> Option<Expr> {
    match attempt(e, to) {
        Ok(fits) => Some(fits),
        Err(diagnostic) => cx.fail(*diagnostic),
    }
}

/// As [`to`], but the message is given back.
pub(super) fn attempt(e: Expr, to: &Type) -> Result<Expr, Box<Diagnostic>> {
    if e.ty == *to {
        return Ok(e);
    }
    let whole = |t: &Type| matches!(t, Type::Integer | Type::Tokens);
    if whole(&e.ty) && whole(to) {
        return Ok(Expr { ty: to.clone(), ..e });
    }
    if whole(&e.ty) && *to == Type::Decimal {
        return micros(e);
    }
    if let ExprKind::Const(Const::Text(text)) = &e.kind
        && let Some(constant) = from_text(text, to, e.span)
    {
        return constant.map(|c| Expr { ty: to.clone(), kind: ExprKind::Const(c), span: e.span });
    }
    Err(Box::new(mismatch(&e, to)))
}

/// A whole number as a decimal.
pub(super) fn micros(e: Expr) -> Result<Expr, Box<Diagnostic>> {
    let span = e.span;
    let kind = match e.kind {
        ExprKind::Const(Const::Num(n)) => match n.checked_mul(MICROS) {
            Some(n) => ExprKind::Const(Const::Num(n)),
            None => {
                let message = format!("`{n}` is too large for a decimal number");
                let help = format!("write at most `{}`", i64::MAX / MICROS);
                return Err(Box::new(Diagnostic::new(Code::TYPE_MISMATCH, span, message).help(help)));
            }
        },
        kind => ExprKind::ToMicros(Box::new(Expr { ty: e.ty, kind, span })),
    };
    Ok(Expr { ty: Type::Decimal, kind, span })
}

/// A constant from a quoted text; `None` where the type has no text form.
pub(super) fn from_text(text: &str, to: &Type, span: Span) -> Option<Result<Const, Box<Diagnostic>>> {
    let bad = |code, message: String, help: String| Err(Box::new(Diagnostic::new(code, span, message).help(help)));
    Some(match to {
        Type::String => Ok(Const::Text(text.to_string())),
        Type::Country => {
            let upper = text.to_ascii_uppercase();
            if text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()) {
                Ok(Const::Text(text.to_string()))
            } else if upper.len() == 2 && upper.bytes().all(|b| b.is_ascii_uppercase()) {
                bad(Code::BAD_COUNTRY, format!("`{text}` is not a country code"), format!("write `\"{upper}\"`"))
                    .map_err(|d| Box::new(d.fix(span, format!("\"{upper}\""))))
            } else {
                let help = "write the two capital letters of ISO 3166-1, such as `\"DE\"`";
                bad(Code::BAD_COUNTRY, format!("`{text}` is not a country code"), help.to_string())
            }
        }
        Type::Fingerprint => {
            if text.is_empty() || text.chars().any(char::is_whitespace) {
                let help = "write the fingerprint as events carry it, such as `\"9f2c41d0\"`";
                bad(Code::TYPE_MISMATCH, format!("`{text}` is not a fingerprint"), help.to_string())
            } else {
                Ok(Const::Text(text.to_string()))
            }
        }
        Type::Ip => match text.parse() {
            Ok(ip) => Ok(Const::Ip(ip)),
            Err(_) if text.parse::<ipnet::IpNet>().is_ok() => bad(
                Code::TYPE_MISMATCH,
                format!("`{text}` is a network, but an address is needed here"),
                format!("write `in \"{text}\"` instead of a comparison"),
            ),
            Err(_) => {
                let help = "write an address such as `\"192.0.2.1\"` or `\"2001:db8::1\"`";
                bad(Code::BAD_NETWORK, format!("`{text}` is not an IP address"), help.to_string())
            }
        },
        Type::Cidr => network(text, span).map(Const::Net),
        Type::Timestamp => match crate::time::Timestamp::parse_rfc3339(text) {
            Some(at) => Ok(Const::Num(at.0)),
            None => {
                let help = "write a date `2026-01-31`, or `\"2026-01-31T12:00:00Z\"`";
                bad(Code::TYPE_MISMATCH, format!("`{text}` is not a point in time"), help.to_string())
            }
        },
        _ => return None,
    })
}

/// A network; an address alone is one of itself only.
pub(super) fn network(text: &str, span: Span) -> Result<ipnet::IpNet, Box<Diagnostic>> {
    if let Ok(ip) = text.parse::<std::net::IpAddr>() {
        return Ok(ipnet::IpNet::from(ip));
    }
    match text.parse::<ipnet::IpNet>() {
        Ok(net) if net.trunc() == net => Ok(net),
        Ok(net) => {
            let trunc = net.trunc();
            let message = format!("`{text}` has address bits behind its prefix");
            let help = format!("write `\"{trunc}\"`");
            Err(Box::new(
                Diagnostic::new(Code::BAD_NETWORK, span, message).help(help).fix(span, format!("\"{trunc}\"")),
            ))
        }
        Err(_) => {
            let message = format!("`{text}` is neither an address nor a network");
            let help = "write `\"192.0.2.1\"`, `\"10.0.0.0/8\"` or `\"2001:db8::/32\"`";
            Err(Box::new(Diagnostic::new(Code::BAD_NETWORK, span, message).help(help)))
        }
    }
}

/// The message about a value of the wrong type or unit.
pub(super) fn mismatch(e: &Expr, to: &Type) -> Diagnostic {
    let units = e.ty.is_number() && to.is_number();
    let code = if units { Code::UNIT_MISMATCH } else { Code::TYPE_MISMATCH };
    let message = format!("{} stands where {to} is needed", e.ty);
    Diagnostic::new(code, e.span, message)
        .label(e.ty.to_string())
        .help(format!("write {to}, such as `{}`", suggestion(e, to)))
}

/// A constant of the wrong unit, in the right one.
pub(super) fn suggestion(e: &Expr, to: &Type) -> String {
    let number = match &e.kind {
        ExprKind::Const(Const::Num(n)) => *n,
        ExprKind::Const(Const::Text(t)) if to.is_number() => {
            return crate::value::parse_micros(t).map_or_else(|| example(to), |n| from_micros(n, to));
        }
        _ => return example(to),
    };
    if *to == Type::String {
        return format!("\"{}\"", wording::number(&e.ty, number));
    }
    match &e.ty {
        Type::Integer | Type::Tokens => number.checked_mul(MICROS).map_or_else(|| example(to), |n| from_micros(n, to)),
        // The same millionths: 90% is 0.9.
        Type::Percentage if *to == Type::Decimal => wording::number(to, number),
        Type::Decimal if *to == Type::Percentage => wording::number(to, number),
        Type::Percentage => from_micros(number.saturating_mul(100), to),
        Type::Decimal | Type::Money => from_micros(number, to),
        _ => example(to),
    }
}

/// A plain number of millionths with the unit of a type.
fn from_micros(n: i64, to: &Type) -> String {
    let whole = n / MICROS;
    match to {
        Type::Duration if n % MICROS == 0 => format!("{whole}s"),
        Type::Duration => format!("{}ms", n / 1_000),
        Type::Percentage => format!("{}%", wording::number(&Type::Decimal, n)),
        Type::Money | Type::Decimal => wording::number(to, n),
        Type::Integer | Type::Tokens => whole.to_string(),
        _ => example(to),
    }
}

/// A literal of a type, for messages.
pub(super) fn example(ty: &Type) -> String {
    match ty {
        Type::Bool => "true",
        Type::Integer => "10",
        Type::Decimal => "0.9",
        Type::Tokens => "1_000",
        Type::Duration => "10s",
        Type::Timestamp => "2026-01-31",
        Type::Percentage => "90%",
        Type::Money => "$5",
        Type::String => "\"…\"",
        Type::Ip => "\"192.0.2.1\"",
        Type::Cidr => "\"10.0.0.0/8\"",
        Type::Country => "\"DE\"",
        Type::Fingerprint => "\"9f2c41d0\"",
        Type::List(of) => return format!("[{}]", example(of)),
    }
    .to_string()
}
