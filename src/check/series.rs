//! Series and `during outage of`.

use super::names::Meaning;
use super::scope::{Place, Scope};
use super::{Checker, call, expr, limits, rule, window, wording};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::hir::{self, Const, Expr, ExprKind, SeriesId, WindowOutage};
use crate::source::Span;
use crate::syntax::ast;
use crate::time::Duration;
use crate::value::{MICROS, Type};

/// Lowers all series, in the order of their numbers. A wrong one keeps its number and never has an outage.
pub(super) fn declare(cx: &mut Checker<'_>) {
    for item in cx.names.series.clone() {
        let lowered = lower(cx, item).unwrap_or_else(|| hir::Series {
            name: item.name.text.clone(),
            kinds: Vec::new(),
            filter: None,
            per: Vec::new(),
            every: limits::SERIES_EVERY_MAX,
            aggregates: Vec::new(),
            value: expr::node(Type::Integer, ExprKind::Const(Const::Num(0)), item.span),
            outage: None,
            steps: 0,
            least: 0,
            span: item.span,
        });
        cx.program.series.push(lowered);
    }
}

fn lower(cx: &mut Checker<'_>, item: &ast::Series) -> Option<hir::Series> {
    let mut scope = Scope::new(Place::Event);
    let on = match &item.on.what {
        ast::OnWhat::Events { kinds, filter } => {
            let kinds = rule::kinds(cx, kinds);
            let filter = match filter {
                Some(filter) => expr::condition(cx, &mut scope, filter).map(Some),
                None => Some(None),
            };
            kinds.zip(filter)
        }
        ast::OnWhat::Sequence { .. } => {
            let message = "a series counts events, it has no steps in their order";
            cx.fail(Diagnostic::new(Code::SECTION_CONFLICT, item.on.span, message).help("write `on completion`"))
        }
    };
    let per: Vec<Option<Expr>> =
        item.per.iter().map(|e| expr::value(cx, &mut scope, e).and_then(|k| call::single(cx, k))).collect();
    if item.per.len() > limits::KEY_PARTS_MAX {
        let message = format!("more than {} parts of a key", limits::KEY_PARTS_MAX);
        cx.report(Diagnostic::new(Code::TOO_MANY, item.name.span, message).help("key by fewer values"));
    }
    let every = every(cx, &item.every);
    let mut judged = Scope::new(Place::Window);
    judged.window = every.map(|every| window::Cutting { length: every, step: every, gap: None });
    let value = expr::value(cx, &mut judged, &item.value).and_then(|e| number(cx, &judged, item, e));
    let outage = match &item.outage {
        Some(share) if share.value <= 0 || share.value >= MICROS => {
            let message = "an outage is a part of the median, more than 0% and less than 100%";
            cx.fail(Diagnostic::new(Code::TYPE_MISMATCH, share.span, message).help("write `below 20% of its median`"))
        }
        share => Some(share.as_ref().map(|s| s.value)),
    };
    let (kinds, filter) = on?;
    let (per, every, value, outage) = (per.into_iter().collect::<Option<Vec<_>>>()?, every?, value?, outage?);
    let aggregates: Vec<hir::Aggregate> = judged.aggregates.into_iter().map(|(_, a)| a).collect();
    let steps = hir::Series::steps_of(every);
    let least = hir::Series::least_of(steps);
    let (name, span) = (item.name.text.clone(), item.span);
    let lowered = hir::Series { name, kinds, filter, per, every, aggregates, value, outage, steps, least, span };
    let asks = asks_memory(&lowered);
    if asks {
        let message = format!("the series `{}` asks memory or another series", item.name.text);
        let help = "a series counts events by what they say themselves";
        return cx.fail(Diagnostic::new(Code::WRONG_ARGUMENTS, item.name.span, message).help(help));
    }
    (item.per.len() <= limits::KEY_PARTS_MAX).then_some(lowered)
}

fn asks_memory(s: &hir::Series) -> bool {
    let mut asks = false;
    hir::each_expr_of_series(s, &mut |e| asks |= e.asks_memory());
    asks
}

fn every(cx: &mut Checker<'_>, written: &ast::At<Duration>) -> Option<Duration> {
    let n = written.value;
    let (problem, works) = if n < limits::STEP_MIN {
        (format!("a step of {n} is shorter than {}", limits::STEP_MIN), limits::STEP_MIN)
    } else if n > limits::SERIES_EVERY_MAX {
        (format!("a step of {n} is longer than {}", limits::SERIES_EVERY_MAX), limits::SERIES_EVERY_MAX)
    } else {
        return Some(n);
    };
    cx.fail(Diagnostic::new(Code::BAD_WINDOW, written.span, problem).help(format!("write `every {works}`")))
}

/// What a series comes to: a number over its aggregates, none of them a baseline.
fn number(cx: &mut Checker<'_>, judged: &Scope, item: &ast::Series, e: Expr) -> Option<Expr> {
    let shown = wording::text(&item.value);
    let baseline = judged.aggregates.iter().any(|(_, a)| a.function.baseline().is_some());
    let problem = if baseline || e.is_of_outages() {
        format!("`{shown}` looks back itself")
    } else if judged.aggregates.is_empty() {
        format!("`{shown}` counts nothing over the step")
    } else if !e.ty.is_number() || e.ty == Type::Timestamp {
        format!("a series needs a number, but `{shown}` is {}", e.ty)
    } else {
        return Some(e);
    };
    cx.fail(Diagnostic::new(Code::TYPE_MISMATCH, e.span, problem).help("write `value count()`"))
}

/// Lowers `during outage of NAME`.
pub(super) fn outage(cx: &mut Checker<'_>, scope: &mut Scope, name: &ast::Name, span: Span) -> Option<Expr> {
    let number = match cx.names.get(&name.text) {
        Some(Meaning::Series(number)) => number,
        Some(Meaning::Wrong) => return None,
        _ if cx.is_broken_name(&name.text) => return None,
        _ => {
            let known: Vec<&str> = cx.names.series.iter().map(|s| s.name.text.as_str()).collect();
            let unknown = Diagnostic::new(Code::UNKNOWN_NAME, name.span, format!("there is no series `{}`", name.text))
                .label("unknown series");
            let unknown = match nearest(&name.text, known.iter().copied()) {
                Some(meant) => unknown.help(format!("did you mean `{meant}`?")).fix(name.span, meant),
                None => {
                    unknown.help(format!("declare it: `series {} {{ on … every 10m value count() … }}`", name.text))
                }
            };
            return cx.fail(unknown);
        }
    };
    let series = *cx.names.series.get(number)?;
    if series.outage.is_none() {
        let message = format!("the series `{}` does not say what an outage is", name.text);
        return cx.fail(
            Diagnostic::new(Code::WRONG_ARGUMENTS, name.span, message)
                .also(series.name.span, "declared here")
                .help("add `outage below 20% of its median` to it"),
        );
    }
    let id = SeriesId(u32::try_from(number).unwrap_or(u32::MAX));
    match scope.place {
        Place::Event | Place::Aggregate | Place::Step(_) => Some(expr::node(Type::Bool, ExprKind::Outage(id), span)),
        Place::Match => {
            let message = "an outage is asked of an event, but a match of several is described here";
            let help = "ask in the `where` of a step, or in `except events where …`";
            cx.fail(Diagnostic::new(Code::EVENT_VALUE_HERE, span, message).help(help))
        }
        Place::Window => within(cx, scope, series, id, span),
    }
}

/// An outage within the window: its steps must be whole steps of the series, of a key that the group names.
fn within(cx: &mut Checker<'_>, scope: &Scope, series: &ast::Series, id: SeriesId, span: Span) -> Option<Expr> {
    // Without a window the mistake is reported there.
    let window::Cutting { length, step, gap } = scope.window?;
    let every = series.every.value;
    let bad = |message: String, help: String| {
        Diagnostic::new(Code::BAD_WINDOW, span, message).also(series.every.span, "the step of the series").help(help)
    };
    if gap.is_some() {
        let message = "a session begins within a step of the series".to_string();
        return cx.fail(bad(message, "ask behind `where` of an aggregate, or write `over 24h`".to_string()));
    }
    if every.0 <= 0 || step.0 % every.0 != 0 {
        let message = format!("the window is judged every {step}, which is no multiple of the {every} of the series");
        let steps = (step.0 / every.0.max(1) + 1).max(1);
        let help = format!("write `every {}` behind `over …`", Duration(every.0.saturating_mul(steps)));
        return cx.fail(bad(message, help));
    }
    if length.0 / every.0 > limits::STEPS_MAX {
        let message =
            format!("the window holds {} steps of the series, more than {}", length.0 / every.0, limits::STEPS_MAX);
        return cx.fail(bad(message, "lengthen the step of the series".to_string()));
    }
    let mut keys = Vec::new();
    for part in &series.per {
        let shown = wording::text(part);
        let Some(at) = scope.keys.iter().position(|(text, _)| *text == shown) else {
            let message =
                format!("the series `{}` is kept per `{shown}`, which the groups here do not name", series.name.text);
            let known: Vec<&str> = scope.keys.iter().map(|(text, _)| text.as_str()).collect();
            let also = if known.is_empty() { String::new() } else { format!("{}, ", known.join(", ")) };
            return cx.fail(
                Diagnostic::new(Code::EVENT_VALUE_HERE, span, message)
                    .also(part.span, "its key")
                    .help(format!("write `per {also}{shown}`, or ask behind `where` of an aggregate")),
            );
        };
        keys.push(u16::try_from(at).unwrap_or(u16::MAX));
    }
    let outage = WindowOutage { series: id, keys, length };
    Some(expr::node(Type::Bool, ExprKind::WindowOutage(Box::new(outage)), span))
}
