//! Regular expressions: read, held to their budget, and searched for a text that every match must hold.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::{Checker, limits};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast;

/// The pattern, if it can be used. Reports what is wrong with it, or that it is slow.
pub(super) fn check(cx: &mut Checker<'_>, written: &ast::Text, ignoring_case: bool) -> Option<String> {
    let pattern = &written.value;
    let chars = pattern.chars().count();
    if chars > limits::REGEX_CHARS_MAX {
        let message = format!("a regular expression of {chars} characters, more than {}", limits::REGEX_CHARS_MAX);
        return cx.fail(
            Diagnostic::new(Code::REGEX_TOO_COSTLY, written.span, message)
                .help("split it into several tests joined by `or`, or use `has any of [\"…\"]` for plain phrases"),
        );
    }
    let parsed = regex_syntax::ParserBuilder::new().build().parse(pattern);
    let hir = match parsed {
        Ok(hir) => hir,
        Err(error) => return cx.fail(malformed(written, &error)),
    };
    let built = regex::RegexBuilder::new(pattern)
        .unicode(true)
        .case_insensitive(ignoring_case)
        .size_limit(limits::REGEX_BYTES_MAX)
        .build();
    match built {
        Ok(_) => {}
        Err(regex::Error::CompiledTooBig(_)) => {
            let message = format!("the regular expression needs more than {} KiB", limits::REGEX_BYTES_MAX >> 10);
            return cx.fail(
                Diagnostic::new(Code::REGEX_TOO_COSTLY, written.span, message)
                    .label("over its budget")
                    .help("lower the counts of its repetitions: `{1,1000}` costs a thousand times its inside"),
            );
        }
        Err(error) => {
            let message = format!("the regular expression cannot be read: {}", one_line(&error.to_string()));
            return cx.fail(Diagnostic::new(Code::BAD_REGEX, written.span, message));
        }
    }
    if required(&hir) < limits::REGEX_LITERAL_MIN {
        let message = "no fixed text stands in every match of this regular expression";
        cx.report(
            Diagnostic::new(Code::REGEX_WITHOUT_LITERAL, written.span, message)
                .label("must look at every character of every text")
                .help(format!(
                    "add a word of at least {} letters that every match holds, or test `contains \"…\"` first",
                    limits::REGEX_LITERAL_MIN
                )),
        );
    }
    Some(pattern.clone())
}

/// The message about a pattern that cannot be read, at the place within the text where that can be told.
fn malformed(written: &ast::Text, error: &regex_syntax::Error) -> Diagnostic {
    let (reason, span) = match error {
        regex_syntax::Error::Parse(e) => (e.kind().to_string(), Some(e.span())),
        regex_syntax::Error::Translate(e) => (e.kind().to_string(), Some(e.span())),
        _ => (one_line(&error.to_string()), None),
    };
    let at = span.and_then(|s| within(written, s.start.offset, s.end.offset)).unwrap_or(written.span);
    Diagnostic::new(Code::BAD_REGEX, at, format!("the regular expression cannot be read: {reason}")).label(reason).help(
        "to find such a character itself, write a backslash before it; for a plain phrase, write `contains \"…\"`",
    )
}

/// A byte range of the value of a text as a place in the file; `None` where escapes shift it.
pub(super) fn within(written: &ast::Text, start: usize, end: usize) -> Option<Span> {
    let length = (written.span.end.checked_sub(written.span.start)?) as usize;
    if length != written.value.len() + 2 || end > written.value.len() {
        return None;
    }
    let first = written.span.start + 1;
    let (start, end) = (u32::try_from(start).ok()?, u32::try_from(end).ok()?);
    Some(Span::new(written.span.source, first + start, first + end.max(start)))
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Bytes of the longest text, up to letter case, that every match must hold.
fn required(hir: &Hir) -> usize {
    if let Some(run) = run(hir) {
        return run;
    }
    match hir.kind() {
        HirKind::Concat(parts) => {
            let (mut best, mut open) = (0, 0);
            for part in parts {
                match run(part) {
                    Some(n) => open += n,
                    None => {
                        best = best.max(open).max(required(part));
                        open = 0;
                    }
                }
            }
            best.max(open)
        }
        HirKind::Alternation(branches) => branches.iter().map(required).min().unwrap_or(0),
        HirKind::Repetition(r) if r.min >= 1 => required(&r.sub),
        HirKind::Capture(c) => required(&c.sub),
        _ => 0,
    }
}

/// Bytes of a part that is one fixed text up to letter case; `None` for any other part.
fn run(hir: &Hir) -> Option<usize> {
    match hir.kind() {
        HirKind::Literal(l) => Some(l.0.len()),
        HirKind::Class(Class::Unicode(c)) => {
            let chars: Vec<char> = c.iter().flat_map(|r| [r.start(), r.end()]).take(9).collect();
            let one = chars.first()?.to_lowercase().next()?;
            let single = c.iter().all(|r| r.start() == r.end());
            let same = chars.iter().all(|x| x.to_lowercase().next() == Some(one) || !x.is_ascii());
            (single && same && chars.len() < 9).then_some(one.len_utf8())
        }
        HirKind::Capture(c) => run(&c.sub),
        HirKind::Look(_) => Some(0),
        _ => None,
    }
}
