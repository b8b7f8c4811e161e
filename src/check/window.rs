//! `over`: the length of a window and the distance between its ends.

use super::{Checker, limits, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{At, Over, Window};
use crate::time::Duration;

/// How time is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cutting {
    pub(super) length: Duration,
    pub(super) step: Duration,
    /// For sessions.
    pub(super) gap: Option<Duration>,
}

/// Length, step and gap.
pub(super) fn lower(cx: &mut Checker<'_>, over: &Over) -> Option<Cutting> {
    let cut = |length, step| Cutting { length, step, gap: None };
    match &over.window {
        Window::Sliding { length, every: None } => {
            let length = check_length(cx, length)?;
            Some(cut(length, default_step(length)))
        }
        Window::Sliding { length, every: Some(step) } => {
            let length = check_length(cx, length)?;
            check_step(cx, length, step).map(|step| cut(length, step))
        }
        Window::Tumbling { length } => check_length(cx, length).map(|length| cut(length, length)),
        Window::Session { gap, most } => session(cx, gap, most.as_ref()),
    }
}

/// A session is judged every 12th of its gap, in whole seconds, so that each is judged at least once.
fn session(cx: &mut Checker<'_>, gap: &At<Duration>, at_most: Option<&At<Duration>>) -> Option<Cutting> {
    if gap.value < limits::STEP_MIN {
        let message = format!("a gap of {} is shorter than {}", gap.value, limits::STEP_MIN);
        return cx.fail(bad(gap.span, message, format!("write `gaps of {}`", limits::STEP_MIN)));
    }
    let silence = check_length(cx, gap)?;
    let length = match at_most {
        Some(written) => {
            let length = check_length(cx, written)?;
            if length < silence {
                let message = format!("a session of at most {length} is shorter than its gap of {silence}");
                return cx.fail(bad(written.span, message, format!("write `at most {silence}` or more")));
            }
            length
        }
        None => {
            let gaps = silence.0.saturating_mul(limits::SESSION_GAPS_DEFAULT);
            Duration(gaps.min(limits::SESSION_DEFAULT.0).max(silence.0))
        }
    };
    let whole = limits::STEP_MIN.0;
    let step = Duration((silence.0 / limits::SESSION_STEPS / whole * whole).max(whole));
    if length.0 / step.0 > limits::STEPS_MAX {
        let most = Duration(step.0.saturating_mul(limits::STEPS_MAX));
        let steps = length.0 / step.0;
        let message =
            format!("a session of {length} would have {steps} steps of {step}, more than {}", limits::STEPS_MAX);
        let span = at_most.map_or(gap.span, |written| written.span);
        return cx.fail(bad(span, message, format!("write `at most {most}` or less, or a longer gap")));
    }
    Some(Cutting { length, step, gap: Some(silence) })
}

fn bad(span: Span, message: String, help: String) -> Diagnostic {
    Diagnostic::new(Code::BAD_WINDOW, span, message).help(help)
}

fn check_length(cx: &mut Checker<'_>, length: &At<Duration>) -> Option<Duration> {
    let n = length.value;
    if n < limits::STEP_MIN {
        return cx.fail(bad(
            length.span,
            format!("a window of {n} is shorter than {}", limits::STEP_MIN),
            format!("write `over {}`", limits::STEP_MIN),
        ));
    }
    if n > limits::WINDOW_MAX {
        return cx.fail(bad(
            length.span,
            format!("a window of {n} is longer than {}", limits::WINDOW_MAX),
            format!("write `over {}`", limits::WINDOW_MAX),
        ));
    }
    Some(n)
}

fn check_step(cx: &mut Checker<'_>, length: Duration, step: &At<Duration>) -> Option<Duration> {
    let n = step.value;
    let problem = if n < limits::STEP_MIN {
        format!("a step of {n} is shorter than {}", limits::STEP_MIN)
    } else if n > length {
        format!("a step of {n} is longer than its window of {}", wording::duration(length))
    } else if length.0 % n.0 != 0 {
        format!("a step of {n} does not divide a window of {}", wording::duration(length))
    } else if length.0 / n.0 > limits::STEPS_MAX {
        format!("a window of {length} would have {} steps of {n}, more than {}", length.0 / n.0, limits::STEPS_MAX)
    } else {
        return Some(n);
    };
    let works = nearest_step(length, n);
    cx.fail(bad(step.span, problem, format!("write `every {works}`")).fix(step.span, works.to_string()))
}

/// A 96th of the window, or the next shorter step that divides it; the shortest possible one for windows under 96 s.
fn default_step(length: Duration) -> Duration {
    let first = limits::STEPS_DEFAULT;
    (first..=limits::STEPS_MAX)
        .chain((1..first).rev())
        .find(|n| works(length, *n))
        .map_or(length, |n| Duration(length.0 / n))
}

/// Whether a window can be cut into `n` steps.
fn works(length: Duration, n: i64) -> bool {
    (1..=limits::STEPS_MAX).contains(&n) && length.0 % n == 0 && length.0 / n >= limits::STEP_MIN.0
}

/// The step nearest to the wanted one that works; whole seconds if there are any.
fn nearest_step(length: Duration, wanted: Duration) -> Duration {
    let whole = |n: &i64| (length.0 / n) % limits::STEP_MIN.0 == 0;
    let far = |n: &i64| (length.0 / n).abs_diff(wanted.0);
    let all = || (1..=limits::STEPS_MAX).filter(|n| works(length, *n));
    let best = all().filter(whole).min_by_key(far).or_else(|| all().min_by_key(far));
    best.map_or(length, |n| Duration(length.0 / n))
}
