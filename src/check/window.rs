//! `over`: the length of a window and the distance between its ends.

use super::{Checker, later, limits, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{At, Over, Window};
use crate::time::Duration;

/// Length and step.
pub(super) fn lower(cx: &mut Checker<'_>, over: &Over) -> Option<(Duration, Duration)> {
    match &over.window {
        Window::Sliding { length, every: None } => {
            let length = check_length(cx, length)?;
            Some((length, default_step(length)))
        }
        Window::Sliding { length, every: Some(step) } => {
            let length = check_length(cx, length)?;
            check_step(cx, length, step).map(|step| (length, step))
        }
        Window::Tumbling { length } => check_length(cx, length).map(|length| (length, length)),
        Window::Session { .. } => cx.fail(later::diagnostic(over.span, "a session window")),
    }
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
