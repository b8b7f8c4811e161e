//! Sequences: the steps, what a step may say of earlier ones, and the times.

use super::scope::{Place, Scope, StepName};
use super::{Checker, call, expr, limits, names, rule};
use crate::diagnostic::{Code, Diagnostic};
use crate::event::fields::Privacy;
use crate::event::{FIELDS, Kind};
use crate::hir::{Expr, ExprKind, Sequence, Step};
use crate::source::Span;
use crate::syntax::ast::{self, ActionVerb, At, OnWhat};
use crate::time::Duration;
use crate::value::Type;

/// The parts of a sequence as written.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) per: &'a [ast::Expr],
    within: &'a At<Duration>,
    steps: &'a [ast::Step],
}

/// The sequence that a rule looks at, if it does.
pub(super) fn of(rule: &ast::Rule) -> Option<Written<'_>> {
    match rule.on.as_ref().map(|on| &on.what) {
        Some(OnWhat::Sequence { per, within, steps }) => Some(Written { per, within, steps }),
        _ => None,
    }
}

/// Gathers the names of the steps, and reports the sections that do not go with a sequence; gives whether all is right.
pub(super) fn declare(cx: &mut Checker<'_>, scope: &mut Scope, rule: &ast::Rule, written: Written<'_>) -> bool {
    let before = cx.out.len();
    let mut conflict = |span: Span, section: &str, help: &str| {
        let message = format!("`{section}` beside a sequence");
        cx.report(Diagnostic::new(Code::SECTION_CONFLICT, span, message).help(help));
    };
    if let Some(first) = rule.per.first() {
        conflict(first.span, "per", "write the key behind `on sequence per`");
    }
    if let Some(over) = &rule.over {
        conflict(over.span, "over", "a sequence has its own time: `on sequence per … within 60s`");
    }
    if let Some(when) = &rule.when {
        conflict(when.span, "when", "the steps are the condition: test each event in the `where` of its step");
    }
    if written.steps.len() > limits::SEQUENCE_STEPS_MAX {
        let message = format!("more than {} steps of a sequence", limits::SEQUENCE_STEPS_MAX);
        cx.report(
            Diagnostic::new(Code::TOO_MANY, rule.name.span, message).help("write `at least … times` for repeats"),
        );
        return false;
    }
    for (i, step) in written.steps.iter().enumerate() {
        let number = i as u16;
        if i == 0 {
            scope.steps.push(StepName { name: "first".to_string(), number, absent: false });
        }
        let Some(label) = &step.label else { continue };
        let known = written.steps.iter().take(i).filter_map(|s| s.label.as_ref()).find(|l| l.text == label.text);
        let problem = if let Some(known) = known {
            Some(names::duplicate(label, known.span))
        } else {
            let place = cx.names.place(&label.text);
            names::reserved(&label.text, label.span).or_else(|| place.map(|first| names::duplicate(label, first)))
        };
        if let Some(problem) = problem.filter(|_| !(i == 0 && label.text == "first")) {
            cx.report(problem);
        }
        scope.steps.push(StepName { name: label.text.clone(), number, absent: step.absent });
    }
    !cx.out.get(before..).is_some_and(crate::diagnostic::has_errors)
}

/// Lowers the steps; the key is the caller's.
pub(super) fn lower(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    rule: &ast::Rule,
    written: Written<'_>,
) -> Option<Sequence> {
    let within = length(cx, written.within);
    let steps: Vec<Option<Step>> =
        written.steps.iter().enumerate().map(|(i, s)| step(cx, scope, i, s, written.within.value)).collect();
    let steps = steps.into_iter().collect::<Option<Vec<Step>>>()?;
    let within = within?;
    let events: u64 = steps.iter().map(|s| u64::from(s.times)).sum();
    if events > limits::SEQUENCE_EVENTS_MAX {
        let message = format!("a match of {events} events, more than {}", limits::SEQUENCE_EVENTS_MAX);
        return cx.fail(
            Diagnostic::new(Code::RULE_TOO_COSTLY, rule.name.span, message)
                .help("lower a number behind `at least`, or count with `over` and `count()`"),
        );
    }
    let sequence = Sequence { per: Vec::new(), within, steps };
    block_needs_review(cx, rule, &sequence).then_some(sequence)
}

fn bad(span: Span, message: String, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::BAD_WINDOW, span, message).help(help)
}

fn length(cx: &mut Checker<'_>, within: &At<Duration>) -> Option<Duration> {
    let n = within.value;
    if n.0 <= 0 {
        return cx.fail(bad(within.span, "a time of nothing".to_string(), "write `within 60s`"));
    }
    if n > limits::WINDOW_MAX {
        let message = format!("a sequence of {n} is longer than {}", limits::WINDOW_MAX);
        return cx.fail(bad(within.span, message, format!("write `within {}`", limits::WINDOW_MAX)));
    }
    Some(n)
}

fn step(cx: &mut Checker<'_>, scope: &mut Scope, i: usize, written: &ast::Step, whole: Duration) -> Option<Step> {
    let kinds = match &written.kind {
        None => Some(Kind::ALL.to_vec()),
        Some(kind) => rule::kind(cx, kind).map(|k| vec![k]),
    };
    let filter = match &written.filter {
        None => Some(None),
        Some(filter) => scope
            .within(Place::Step(i as u16), |scope| expr::condition(cx, scope, filter))
            .and_then(|e| no_content(cx, e))
            .map(Some),
    };
    let within = match &written.within {
        None => Some(None),
        Some(within) if i == 0 => cx.fail(bad(
            within.span,
            "there is no step before the first".to_string(),
            "write the time of the whole behind the key: `on sequence per … within 60s`",
        )),
        Some(within) if !written.absent && within.value > whole => cx.fail(bad(
            within.span,
            format!("a step within {} of the one before, in a sequence of {whole}", within.value),
            format!("write at most `within {whole}`, or leave it out"),
        )),
        Some(within) => length(cx, within).map(Some),
    };
    let times = match &written.times {
        None => Some(1),
        Some(n) if i == 0 => cx.fail(
            Diagnostic::new(Code::SECTION_CONFLICT, n.span, "the first step is one event")
                .help("write the repeats as a second step: `then … at least 2 times`"),
        ),
        Some(n) if written.absent => cx.fail(
            Diagnostic::new(Code::SECTION_CONFLICT, n.span, "what must not happen must not happen once")
                .help("take `at least … times` out of the `then no` step"),
        ),
        Some(n) if n.value == 0 => cx.fail(
            Diagnostic::new(Code::WRONG_ARGUMENTS, n.span, "a step that happens at least 0 times")
                .help("write a number from 1, or take the step out"),
        ),
        Some(n) => Some(u32::try_from(n.value).unwrap_or(u32::MAX)),
    };
    Some(Step { absent: written.absent, kinds: kinds?, filter: filter?, within: within?, times: times? })
}

/// What is held against an earlier event waits with the event, and the text of a prompt must not wait.
fn no_content(cx: &mut Checker<'_>, filter: Expr) -> Option<Expr> {
    fn find(e: &Expr) -> Option<(&Expr, &'static str)> {
        if !e.is_of_step() {
            return content(e).filter(|_| e.is_of_event() && !e.ty.is_number() && e.ty != Type::Bool).map(|f| (e, f));
        }
        e.children().find_map(find)
    }
    let across: Vec<&Expr> = match &filter.kind {
        ExprKind::And(all) => all.iter().filter(|e| e.is_of_step()).collect(),
        _ => vec![&filter],
    };
    match across.into_iter().filter(|e| e.is_of_step()).find_map(find) {
        None => Some(filter),
        Some((e, field)) => {
            let diagnostic = kept(e.span, field);
            cx.fail(diagnostic)
        }
    }
}

fn content(e: &Expr) -> Option<&'static str> {
    let mut found = None;
    e.walk(&mut |x| {
        if let ExprKind::Field(f) = &x.kind {
            let field = FIELDS.get(usize::from(f.0)).filter(|f| f.privacy == Privacy::Content);
            found = found.or(field.map(|f| f.name));
        }
    });
    found
}

fn kept(span: Span, field: &str) -> Diagnostic {
    let message = format!("the text of `{field}` would be kept from one event to the next");
    let hash = format!("{field}_hash");
    let help = match names::field(&hash) {
        Some(_) => format!("compare its fingerprint instead: `{hash}`"),
        None => format!("compare something that follows from it: `length({field})`"),
    };
    Diagnostic::new(Code::CONTENT_IN_TEXT, span, message).label("what was said is not kept").help(help)
}

/// `first.account`, `retry.account.org_verified`: a value of the event of a step.
pub(super) fn of_step(cx: &mut Checker<'_>, scope: &mut Scope, parts: &[&ast::Name], span: Span) -> Option<Expr> {
    let (label, rest) = parts.split_first()?;
    let step = scope.steps.iter().find(|s| s.name == label.text)?.clone();
    let problem = match scope.place {
        _ if step.absent => Some(("this step must not happen, so it has no event", "name a step that happens")),
        Place::Step(n) if step.number >= n => {
            Some(("only earlier steps have happened here", "compare in the later of the two steps"))
        }
        Place::Step(_) | Place::Match => None,
        _ => Some(("single events are looked at here, before any sequence", "name a field of the event itself")),
    };
    if let Some((label_text, help)) = problem {
        let message = format!("`{}` cannot be named here", label.text);
        return cx.fail(Diagnostic::new(Code::UNKNOWN_NAME, label.span, message).label(label_text).help(help));
    }
    let value = match rest {
        [name] => {
            let Some(field) = names::field(&name.text) else {
                let known: Vec<&str> = FIELDS.iter().map(|f| f.name).collect();
                let message = format!("events have no field `{}`", name.text);
                let unknown = Diagnostic::new(Code::UNKNOWN_NAME, name.span, message).label("unknown field");
                let unknown = match crate::diagnostic::nearest(&name.text, known) {
                    // Within a text all parts have one place, which a fix would replace as a whole.
                    Some(meant) if name.span == label.span => {
                        unknown.help(format!("did you mean `{}.{meant}`?", label.text))
                    }
                    Some(meant) => unknown.help(format!("did you mean `{meant}`?")).fix(name.span, meant),
                    None => unknown.help(format!("name a field of the event, such as `{}.account`", label.text)),
                };
                return cx.fail(unknown);
            };
            let table = FIELDS.get(usize::from(field.0))?;
            if let Type::List(_) = table.ty {
                let message = format!("`{}.{}` holds several values", label.text, name.text);
                return cx.fail(
                    Diagnostic::new(Code::TYPE_MISMATCH, span, message)
                        .help("test it in the `where` of its own step, or name a field of one value"),
                );
            }
            if table.privacy == Privacy::Content {
                let diagnostic = kept(span, table.name);
                return cx.fail(diagnostic);
            }
            expr::node(table.ty.clone(), ExprKind::Field(field), span)
        }
        [table, column] => scope
            .within(Place::Event, |scope| expr::column(cx, scope, table, column, span))
            .and_then(|column| call::single(cx, column))?,
        _ => {
            let message = "a name of more parts than `step.table.column`";
            return cx.fail(Diagnostic::new(Code::UNKNOWN_NAME, span, message).help("write `first.account`"));
        }
    };
    Some(expr::node(value.ty.clone(), ExprKind::OfStep(step.number, Box::new(value)), span))
}

/// Refuses a block that could only come when the time of an absence is over, unless a person decides first.
fn block_needs_review(cx: &mut Checker<'_>, rule: &ast::Rule, sequence: &Sequence) -> bool {
    if !sequence.steps.iter().any(|s| s.absent) {
        return true;
    }
    let before = cx.out.len();
    for a in rule.actions.iter().filter(|a| !a.after_review && matches!(a.verb, ActionVerb::Block(_))) {
        cx.report(
            Diagnostic::new(
                Code::BLOCK_NEEDS_REVIEW,
                a.span,
                "a block at once, but that something did not happen is known only when its time is over",
            )
            .label("nobody would look at it before")
            .help("write `action after review: block …`, or take the `then no` step out"),
        );
    }
    cx.out.len() == before
}
