//! Functions of one event and aggregates over a window: their arguments and the type of their result.

mod baseline;
mod template;

use super::expr::{self, node};
use super::scope::{Place, Scope};
use super::{Checker, because, limits, link, names, wording};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::event::FieldId;
use crate::hir::{Aggregate, Const, Expr, ExprKind, Function};
use crate::source::Span;
use crate::syntax::ast::{self, Arg, Call};
use crate::value::{MICROS, Type};

/// The share of the accounts of a link group that a family ties.
pub(super) const TIED_SHARE: &str = "tied_share";

/// A function with its signature.
struct Signature {
    name: &'static str,
    aggregate: bool,
    shown: &'static str,
}

const fn event(name: &'static str, shown: &'static str) -> Signature {
    Signature { name, aggregate: false, shown }
}

const fn aggregate(name: &'static str, shown: &'static str) -> Signature {
    Signature { name, aggregate: true, shown }
}

/// All functions.
const SIGNATURES: &[Signature] = &[
    event("network", "network(ip, v4 24, v6 48)"),
    event("lower", "lower(model)"),
    event("length", "length(prompt)"),
    event("template", "template(prompt, loose)"),
    aggregate("count", "count() where status = 403"),
    aggregate("sum", "sum(output_tokens)"),
    aggregate("min", "min(latency)"),
    aggregate("max", "max(output_tokens)"),
    aggregate("average", "average(latency)"),
    aggregate("distinct", "distinct(account, one per org if account.org_verified)"),
    aggregate("share", "share(refused)"),
    aggregate("quantile", "quantile(latency, 95%)"),
    aggregate("spread", "spread(output_tokens)"),
    aggregate("top_share", "top_share(model, 3)"),
    aggregate("entropy", "entropy(model)"),
    aggregate("first", "first(ts)"),
    aggregate("last", "last(ts)"),
    aggregate("rate", "rate() where rate_limited"),
    aggregate("longest_idle", "longest_idle(ts)"),
    aggregate("top_speed", "top_speed(country)"),
    aggregate(TIED_SHARE, "tied_share(payment_fingerprint)"),
    aggregate("usual", "usual(count(), over 30d)"),
    aggregate("cohort", "cohort(count(), by plan, over 7d)"),
];

/// Whether a word is a function, so that nothing else may have its name. Fields of the same name stay fields.
pub(super) fn is_function(word: &str) -> bool {
    SIGNATURES.iter().any(|s| s.name == word)
}

/// The first aggregate within an expression as written, if any.
pub(super) fn first_aggregate(e: &ast::Expr) -> Option<&ast::Name> {
    use ast::ExprKind as K;
    match &e.kind {
        K::Call(c) => {
            if SIGNATURES.iter().any(|s| s.aggregate && s.name == c.name.text) {
                return Some(&c.name);
            }
            c.args.iter().find_map(|a| match a {
                Arg::Value(e) | Arg::Named(_, e) => first_aggregate(e),
                Arg::OnePer { .. } | Arg::Over(_) => None,
            })
        }
        K::Literal(_) | K::Path(_) | K::Outage(_) => None,
        K::List(all) | K::And(all) | K::Or(all) | K::AtLeast(_, all) => all.iter().find_map(first_aggregate),
        K::Paren(a)
        | K::Not(a)
        | K::Negate(a)
        | K::In { operand: a, .. }
        | K::TextTest { operand: a, .. }
        | K::Exists { operand: a, .. }
        | K::Memory { operand: a, .. } => first_aggregate(a),
        K::Compare(a, _, b) | K::Arithmetic(a, _, b) | K::OrDefault(a, b) => {
            first_aggregate(a).or_else(|| first_aggregate(b))
        }
    }
}

/// Lowers a call.
pub(super) fn lower(cx: &mut Checker<'_>, scope: &mut Scope, c: &Call, span: Span) -> Option<Expr> {
    let Some(signature) = SIGNATURES.iter().find(|s| s.name == c.name.text) else {
        let known: Vec<&str> = SIGNATURES.iter().map(|s| s.name).collect();
        let unknown =
            Diagnostic::new(Code::UNKNOWN_FUNCTION, c.name.span, format!("there is no function `{}`", c.name.text))
                .label("unknown function");
        let unknown = match nearest(&c.name.text, known.iter().copied()) {
            Some(meant) => unknown.help(format!("did you mean `{meant}`?")).fix(c.name.span, meant),
            None => unknown.help(format!("functions are {}", names::quoted(&known))),
        };
        return cx.fail(unknown);
    };
    if link::is_call(c) {
        return link::tied_share(cx, scope, c, span);
    }
    if signature.aggregate {
        return match scope.place {
            Place::Window if matches!(signature.name, "usual" | "cohort") => {
                baseline::lower(cx, scope, c, signature, span)
            }
            Place::Window => window_aggregate(cx, scope, c, signature, span),
            Place::Step(_) | Place::Match => {
                let message = format!("`{}` counts over a window, but a sequence looks at its steps", c.name.text);
                let help = "write how often a step must happen: `then … at least 3 times`";
                cx.fail(Diagnostic::new(Code::AGGREGATE_HERE, c.name.span, message).label("an aggregate").help(help))
            }
            Place::Event | Place::Aggregate => {
                let message = format!("`{}` counts over a window, but single events are looked at here", c.name.text);
                let label =
                    if scope.place == Place::Aggregate { "an aggregate within an aggregate" } else { "an aggregate" };
                let help = "name it with `let` in a rule with `over 24h`, and test it in `when`";
                cx.fail(Diagnostic::new(Code::AGGREGATE_HERE, c.name.span, message).label(label).help(help))
            }
        };
    }
    if let Some(filter) = &c.filter {
        let message = format!("`{}` looks at one event, it has no `where`", c.name.text);
        return cx.fail(wrong(signature, filter.span, message));
    }
    match signature.name {
        "network" => network(cx, scope, c, signature, span),
        "lower" => {
            let e = one(cx, scope, c, signature, span)?;
            let e = of_type(cx, e, signature, "text", |t| *t == Type::String)?;
            Some(node(Type::String, ExprKind::Lower(Box::new(e)), span))
        }
        "template" => template::lower(cx, scope, c, signature, span),
        _ => {
            let e = one(cx, scope, c, signature, span)?;
            let e = of_type(cx, e, signature, "text or several values", |t| matches!(t, Type::String | Type::List(_)))?;
            Some(node(Type::Integer, ExprKind::Length(Box::new(e)), span))
        }
    }
}

fn wrong(signature: &Signature, span: Span, message: String) -> Diagnostic {
    Diagnostic::new(Code::WRONG_ARGUMENTS, span, message).help(format!("write it as `{}`", signature.shown))
}

/// The values among the arguments; anything else is reported.
fn values<'a>(cx: &mut Checker<'_>, c: &'a Call, signature: &Signature) -> Option<Vec<&'a ast::Expr>> {
    let mut out = Vec::new();
    for arg in &c.args {
        match arg {
            Arg::Value(e) => out.push(e),
            Arg::Named(name, _) => {
                let message = format!("`{}` takes no `{}`", c.name.text, name.text);
                return cx.fail(wrong(signature, name.span, message));
            }
            Arg::OnePer { span, .. } => {
                let message = format!("`{}` takes no `one per`", c.name.text);
                return cx.fail(wrong(signature, *span, message));
            }
            Arg::Over(d) => {
                let message = format!("`{}` takes no `over`", c.name.text);
                return cx.fail(wrong(signature, d.span, message));
            }
        }
    }
    Some(out)
}

fn counted(n: usize) -> String {
    match n {
        0 => "none".to_string(),
        n => n.to_string(),
    }
}

/// The one argument.
fn one(cx: &mut Checker<'_>, scope: &mut Scope, c: &Call, signature: &Signature, span: Span) -> Option<Expr> {
    let values = values(cx, c, signature)?;
    match values.as_slice() {
        [e] => expr::value(cx, scope, e),
        _ => {
            let message = format!("`{}` takes one value, found {}", c.name.text, counted(values.len()));
            cx.fail(wrong(signature, span, message))
        }
    }
}

fn of_type(
    cx: &mut Checker<'_>,
    e: Expr,
    signature: &Signature,
    wanted: &str,
    fits: impl Fn(&Type) -> bool,
) -> Option<Expr> {
    if fits(&e.ty) {
        return Some(e);
    }
    let message = format!("`{}` takes {wanted}, found {}", signature.name, e.ty);
    cx.fail(wrong(signature, e.span, message).label(e.ty.to_string()))
}

fn network(cx: &mut Checker<'_>, scope: &mut Scope, c: &Call, signature: &Signature, span: Span) -> Option<Expr> {
    let (mut v4, mut v6) = (24, 48);
    let mut positional = Vec::new();
    for arg in &c.args {
        let Arg::Named(name, value) = arg else {
            positional.push(arg.clone());
            continue;
        };
        let most = match name.text.as_str() {
            "v4" => 32,
            "v6" => 128,
            _ => {
                let message = format!("`network` takes no `{}`", name.text);
                return cx.fail(wrong(signature, name.span, message));
            }
        };
        let length = match &value.kind {
            ast::ExprKind::Literal(ast::Literal::Integer(n)) => {
                u8::try_from(*n).ok().filter(|n| (1..=most).contains(n))
            }
            _ => None,
        };
        let Some(length) = length else {
            let message =
                format!("the prefix length `{}` is not a whole number from 1 to {most}", wording::text(value));
            return cx.fail(wrong(signature, value.span, message));
        };
        if most == 32 { v4 = length } else { v6 = length }
    }
    let rest = Call { args: positional, ..c.clone() };
    let e = one(cx, scope, &rest, signature, span)?;
    let e = of_type(cx, e, signature, "an IP address", |t| *t == Type::Ip)?;
    Some(node(Type::Cidr, ExprKind::Network(Box::new(e), v4, v6), span))
}

/// An aggregate: the same text is the same aggregate.
fn window_aggregate(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    c: &Call,
    signature: &Signature,
    span: Span,
) -> Option<Expr> {
    let text = wording::text(&ast::Expr { kind: ast::ExprKind::Call(c.clone()), span });
    if let Some(at) = scope.aggregates.iter().position(|(t, _)| *t == text) {
        let ty = scope.aggregates.get(at)?.1.ty.clone();
        return Some(node(ty, ExprKind::Aggregate(at as u16), span));
    }
    let lowered = scope.within(Place::Aggregate, |scope| {
        let function = function(cx, scope, c, signature, span);
        let filter = match &c.filter {
            Some(filter) => expr::condition(cx, scope, filter).map(Some),
            None => Some(None),
        };
        Some((function?, filter?))
    });
    let ((function, ty), filter) = lowered?;
    enter(cx, scope, text, Aggregate { function, filter, ty, span })
}

/// Enters an aggregate of the rule.
fn enter(cx: &mut Checker<'_>, scope: &mut Scope, text: String, aggregate: Aggregate) -> Option<Expr> {
    let (ty, span) = (aggregate.ty.clone(), aggregate.span);
    if scope.aggregates.len() >= limits::AGGREGATES_MAX {
        let message = format!("more than {} aggregates in one rule", limits::AGGREGATES_MAX);
        return cx.fail(Diagnostic::new(Code::TOO_MANY, span, message).help("split the rule in two"));
    }
    let at = scope.aggregates.len();
    scope.aggregates.push((text, aggregate));
    Some(node(ty, ExprKind::Aggregate(at as u16), span))
}

fn function(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    c: &Call,
    signature: &Signature,
    span: Span,
) -> Option<(Function, Type)> {
    let number = |t: &Type| t.is_number();
    let amount = |t: &Type| t.is_number() && *t != Type::Timestamp;
    match signature.name {
        "count" | "rate" => {
            let values = values(cx, c, signature)?;
            if let Some(first) = values.first() {
                let message = format!("`{}` counts events, it takes no value", signature.name);
                let shown = wording::text(first);
                let help = match signature.name {
                    "count" => {
                        format!("write `count() where {shown} exists`, or `distinct({shown})` for different values")
                    }
                    _ => format!("write `rate() where {shown} exists`"),
                };
                return cx.fail(Diagnostic::new(Code::WRONG_ARGUMENTS, first.span, message).help(help));
            }
            Some(match signature.name {
                "count" => (Function::Count, Type::Integer),
                _ => (Function::Rate, Type::Decimal),
            })
        }
        "sum" => {
            let e = one(cx, scope, c, signature, span)?;
            let e = of_type(cx, e, signature, "a number", amount)?;
            let ty = e.ty.clone();
            Some((Function::Sum(e), ty))
        }
        "min" | "max" => {
            let e = one(cx, scope, c, signature, span)?;
            let e = of_type(cx, e, signature, "a number or a point in time", number)?;
            let ty = e.ty.clone();
            Some((if signature.name == "min" { Function::Min(e) } else { Function::Max(e) }, ty))
        }
        "average" => {
            let e = one(cx, scope, c, signature, span)?;
            let e = of_type(cx, e, signature, "a number", amount)?;
            let ty = match &e.ty {
                Type::Integer | Type::Tokens => Type::Decimal,
                ty => ty.clone(),
            };
            Some((Function::Average(e), ty))
        }
        "share" => {
            let values = values(cx, c, signature)?;
            let [condition] = values.as_slice() else {
                let message = format!("`share` takes one condition, found {}", counted(values.len()));
                return cx.fail(wrong(signature, span, message));
            };
            let condition = expr::condition(cx, scope, condition)?;
            Some((Function::Share(condition), Type::Percentage))
        }
        "quantile" => quantile(cx, scope, c, signature, span),
        "spread" => {
            let e = one(cx, scope, c, signature, span)?;
            let e = of_type(cx, e, signature, "a number", amount)?;
            Some((Function::Spread(e), Type::Percentage))
        }
        "top_share" => top_share(cx, scope, c, signature, span),
        "entropy" | "first" | "last" => {
            let e = one(cx, scope, c, signature, span)?;
            let e = if signature.name == "entropy" { counted_each(cx, e) } else { single(cx, e) }?;
            if let ("first" | "last", Some(field)) = (signature.name, because::content(&e, &[])) {
                let message = format!("`{}` would write the text of `{field}` into the log", signature.name);
                let help = format!("take its fingerprint, `{}({field}_hash)`, or test the text", signature.name);
                let kept = Diagnostic::new(Code::CONTENT_IN_TEXT, e.span, message).label("what was said is not kept");
                return cx.fail(kept.help(help));
            }
            let ty = e.ty.clone();
            Some(match signature.name {
                "entropy" => (Function::Entropy(e), Type::Decimal),
                "first" => (Function::First(e), ty),
                _ => (Function::Last(e), ty),
            })
        }
        "longest_idle" => {
            let e = one(cx, scope, c, signature, span)?;
            if !matches!(e.kind, ExprKind::Field(FieldId::TS)) {
                let message = "`longest_idle` looks at the times of events".to_string();
                return cx.fail(wrong(signature, e.span, message));
            }
            Some((Function::LongestIdle, Type::Duration))
        }
        "top_speed" => {
            let e = one(cx, scope, c, signature, span)?;
            let e = of_type(cx, e, signature, "a country", |t| *t == Type::Country)?;
            Some((Function::TopSpeed(e), Type::Decimal))
        }
        _ => distinct(cx, scope, c, signature, span).map(|f| (f, Type::Integer)),
    }
}

/// `top_share(model)`, `top_share(model, 3)`
fn top_share(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    c: &Call,
    signature: &Signature,
    span: Span,
) -> Option<(Function, Type)> {
    let values = values(cx, c, signature)?;
    let (of, most) = match values.as_slice() {
        [of] => (of, 1),
        [of, most] => match expr::value(cx, scope, most)?.kind {
            ExprKind::Const(Const::Num(n)) if (1..=limits::TOP_VALUES_MAX).contains(&n) => (of, n),
            _ => {
                let most = wording::text(most);
                let message = format!("`{most}` is not a number of values from 1 to {}", limits::TOP_VALUES_MAX);
                return cx.fail(wrong(signature, span, message));
            }
        },
        _ => {
            let message = format!("`top_share` takes a value and a number, found {}", counted(values.len()));
            return cx.fail(wrong(signature, span, message));
        }
    };
    let e = expr::value(cx, scope, of).and_then(|e| counted_each(cx, e))?;
    Some((Function::TopShare(e, u32::try_from(most).unwrap_or(1)), Type::Percentage))
}

fn quantile(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    c: &Call,
    signature: &Signature,
    span: Span,
) -> Option<(Function, Type)> {
    let values = values(cx, c, signature)?;
    let [of, share] = values.as_slice() else {
        let message = format!("`quantile` takes a value and a percentage, found {}", counted(values.len()));
        return cx.fail(wrong(signature, span, message));
    };
    let e = expr::value(cx, scope, of)?;
    let e = of_type(cx, e, signature, "a number", |t| t.is_number() && *t != Type::Timestamp)?;
    let lowered = expr::value(cx, scope, share)?;
    let share = match lowered {
        Expr { ty: Type::Percentage, kind: ExprKind::Const(Const::Num(n)), .. } if 0 < n && n < MICROS => n,
        _ => {
            let message = format!("`{}` is not a percentage between 0% and 100%", wording::text(share));
            let label = "the least and the greatest value are `min` and `max`";
            return cx.fail(wrong(signature, lowered.span, message).label(label));
        }
    };
    let ty = e.ty.clone();
    Some((Function::Quantile(e, share), ty))
}

fn distinct(cx: &mut Checker<'_>, scope: &mut Scope, c: &Call, signature: &Signature, span: Span) -> Option<Function> {
    let mut of = Vec::new();
    let mut one_per = None;
    let mut complete = true;
    for arg in &c.args {
        match arg {
            Arg::Value(e) => match expr::value(cx, scope, e).and_then(|e| counted_each(cx, e)) {
                Some(e) => of.push(e),
                None => complete = false,
            },
            Arg::OnePer { key, condition, span } => {
                let key = expr::value(cx, scope, key).and_then(|e| single(cx, e));
                let condition = match condition {
                    Some(condition) => expr::condition(cx, scope, condition).map(Some),
                    None => Some(None),
                };
                if one_per.is_some() {
                    return cx.fail(wrong(signature, *span, "a second `one per`".to_string()));
                }
                match (key, condition) {
                    (Some(key), Some(condition)) => one_per = Some((key, condition)),
                    _ => complete = false,
                }
            }
            Arg::Named(name, _) => {
                let message = format!("`distinct` takes no `{}`", name.text);
                return cx.fail(wrong(signature, name.span, message));
            }
            Arg::Over(d) => return cx.fail(wrong(signature, d.span, "`distinct` takes no `over`".to_string())),
        }
    }
    if !complete {
        return None;
    }
    if of.is_empty() || of.len() > limits::KEY_PARTS_MAX {
        let message = format!("`distinct` takes one to {} values, found {}", limits::KEY_PARTS_MAX, counted(of.len()));
        return cx.fail(wrong(signature, span, message));
    }
    let several = of.iter().find(|e| matches!(e.ty, Type::List(_))).map(|e| e.span);
    if let Some(several) = several.filter(|_| of.len() > 1 || one_per.is_some()) {
        let message = "an event has several values here, and `distinct` counts each of them by itself";
        let help = "write it alone, such as `distinct(canary_ids)`, and count the rest in another `distinct`";
        return cx.fail(Diagnostic::new(Code::SEVERAL_VALUES, several, message).label("several values").help(help));
    }
    Some(Function::Distinct { of, one_per })
}

/// What is told from others, one by one: a single value, or each item of a field of several; of a template its wordings.
fn counted_each(cx: &mut Checker<'_>, e: Expr) -> Option<Expr> {
    if e.is_template() || !holds_template(&e) {
        return Some(e);
    }
    let message = "which text a wording is of would not be known any more";
    let help = "count the wordings of one text by itself: `distinct(template(prompt))`";
    cx.fail(Diagnostic::new(Code::SEVERAL_VALUES, e.span, message).label("made of a template").help(help))
}

/// Whether the fingerprints of a template are among its values.
pub(super) fn holds_template(e: &Expr) -> bool {
    let mut found = false;
    e.walk(&mut |x| found |= x.is_template());
    found && matches!(e.ty, Type::List(_))
}

/// A value that is one, not several.
pub(super) fn single(cx: &mut Checker<'_>, e: Expr) -> Option<Expr> {
    if let Type::List(_) = e.ty {
        let message = "an event has several values here, and one is needed";
        let help = "test it: `… contains \"value\"` or `… in LIST` is true or false; `distinct`, `top_share` and `entropy` count each of them";
        return cx.fail(Diagnostic::new(Code::SEVERAL_VALUES, e.span, message).label("several values").help(help));
    }
    Some(e)
}

/// Whether a constant stands for a number at or above zero.
pub(super) fn is_non_negative(e: &Expr) -> bool {
    matches!(e.kind, ExprKind::Const(Const::Num(n)) if n >= 0)
}
