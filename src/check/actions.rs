//! Actions and exceptions of a rule.

use super::scope::{Place, Scope};
use super::{Checker, expr, limits, policy};
use crate::diagnostic::{Code, Diagnostic};
use crate::hir::{Action, Exception, Verb};
use crate::syntax::ast::{self, ActionVerb, Scope as Whom};
use crate::value::MICROS;

/// Lowers an action.
pub(super) fn action(cx: &mut Checker<'_>, a: &ast::Action) -> Option<Action> {
    let mut complete = true;
    if let Some(delayed) = a.delayed.as_ref().filter(|d| d.value < limits::DELAY_MIN) {
        let message = format!("a random delay of less than {}", limits::DELAY_MIN);
        cx.report(
            Diagnostic::new(Code::BAD_WINDOW, delayed.span, message)
                .help("write `delayed by up to 6h:`, or leave it out"),
        );
        complete = false;
    }
    let (verb, whom) = match &a.verb {
        ActionVerb::Alert(channel) => {
            if channel.value.trim().is_empty() {
                let message = "an alert without a channel";
                cx.report(
                    Diagnostic::new(Code::TYPE_MISMATCH, channel.span, message)
                        .help("write `action alert \"trust-and-safety\"`"),
                );
                complete = false;
            }
            (Verb::Alert(channel.value.clone()), None)
        }
        ActionVerb::Flag(whom) => (Verb::Flag, *whom),
        ActionVerb::Throttle(whom, n, per) => {
            if per.value.0 <= 0 {
                let message = "a throttle over no time";
                cx.report(Diagnostic::new(Code::BAD_WINDOW, per.span, message).help("write `to 10 per 1m`"));
                complete = false;
            }
            (Verb::Throttle(n.value, per.value), *whom)
        }
        ActionVerb::Challenge(whom) => (Verb::Challenge, *whom),
        ActionVerb::Block(whom) => (Verb::Block, *whom),
    };
    if let Some(length) = a.duration.as_ref().filter(|d| d.value.0 <= 0) {
        cx.report(
            Diagnostic::new(Code::BAD_WINDOW, length.span, "an action for no time")
                .help("write `for 7d`, or leave it out"),
        );
        complete = false;
    }
    let scope = match whom {
        None => "",
        Some(Whom::Account) => "account",
        Some(Whom::Key) => "key",
        Some(Whom::Org) => "org",
        Some(Whom::Group) => "group",
    };
    complete.then(|| Action {
        after_review: a.after_review,
        delayed: a.delayed.as_ref().map(|d| d.value),
        verb,
        scope,
        duration: a.duration.as_ref().map(|d| d.value),
    })
}

/// The share of groups on which a rule acts.
pub(super) fn rollout(cx: &mut Checker<'_>, written: &ast::At<i64>) -> i64 {
    if written.value > MICROS {
        let message = "a rule cannot act on more than all groups";
        cx.report(Diagnostic::new(Code::TYPE_MISMATCH, written.span, message).help("write `rollout 10%`"));
    }
    written.value
}

/// Refuses a block that could only come when a step has closed, unless a person decides first.
pub(super) fn block_needs_growth(cx: &mut Checker<'_>, rule: &ast::Rule, growing: bool) -> bool {
    let mut fine = true;
    for a in &rule.actions {
        if growing || a.after_review || !matches!(a.verb, ActionVerb::Block(_)) {
            continue;
        }
        fine = false;
        let mut diagnostic = Diagnostic::new(
            Code::BLOCK_NEEDS_REVIEW,
            a.span,
            "a block at once, but this condition can only be judged when a step has closed",
        )
        .label("nobody would look at it before")
        .help("write `action after review: block …`, or use only `count`, `distinct`, `sum` and `max` above a bound");
        if let Some(when) = &rule.when {
            diagnostic = diagnostic.also(when.span, "may become false again as events come");
        }
        cx.report(diagnostic);
    }
    fine
}

/// Lowers an exception: it names single events, also in a rule over a window.
pub(super) fn exception(cx: &mut Checker<'_>, scope: &mut Scope, e: &ast::Exception) -> Option<Exception> {
    if let (Some(from), Some(until)) = (&e.from, &e.until) {
        policy::ordered(cx, from.at, until);
    }
    let filter = scope.within(Place::Event, |scope| expr::condition(cx, scope, &e.filter))?;
    let text = |t: &Option<ast::Text>| t.as_ref().map(|t| t.value.clone()).unwrap_or_default();
    Some(Exception {
        filter,
        because: text(&e.because),
        owner: text(&e.owner),
        evidence: text(&e.evidence),
        from: e.from.as_ref().map(|d| d.at),
        until: e.until.as_ref().map(|d| d.at),
        span: e.span,
    })
}
