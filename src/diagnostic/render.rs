//! Diagnostics as text for a terminal and as JSON for machines, both from the same value.

use std::borrow::Cow;

use annotate_snippets::{AnnotationKind, Group, Level as Rendered, Patch, Renderer, Snippet};
use serde_json::{Value, json};

use super::{Diagnostic, Level};
use crate::source::{SourceMap, Span};

/// Lines longer than this many bytes are not drawn, only named.
const DRAWN_LINE_BYTES_MAX: usize = 2_000;

/// Renders diagnostics as text, one after the other, each followed by an empty line. `colour` is for terminals.
pub fn to_text(diagnostics: &[Diagnostic], sources: &SourceMap, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for d in diagnostics {
        out.push_str(&one(d, sources, &renderer));
        out.push_str("\n\n");
    }
    out
}

fn one(d: &Diagnostic, sources: &SourceMap, renderer: &Renderer) -> String {
    let level = match d.level() {
        Level::Error => Rendered::ERROR,
        Level::Warning => Rendered::WARNING,
    };
    let title = level.primary_title(printable(&d.message)).id(d.code.id());
    let Some(source) = sources.get(d.primary.span.source) else {
        let mut report = vec![Group::with_title(title)];
        if let Some(help) = &d.help {
            report.push(Group::with_title(Rendered::HELP.secondary_title(printable(help))));
        }
        return renderer.render(&report);
    };
    let mut spans = vec![(d.primary.span, AnnotationKind::Primary, d.primary.text.as_str())];
    spans.extend(d.secondary.iter().map(|l| (l.span, AnnotationKind::Context, l.text.as_str())));
    let drawable = spans.iter().all(|(s, ..)| s.source != d.primary.span.source || drawable(&source.text, *s));
    let mut group = Group::with_title(title);
    if drawable {
        let mut snippet = Snippet::source(drawn(&source.text)).path(on_a_line(&source.name)).fold(true);
        for (span, kind, label) in spans.iter().filter(|(s, ..)| s.source == d.primary.span.source) {
            let mut annotation = kind.span(range(&source.text, *span));
            if !label.is_empty() {
                annotation = annotation.label(printable(label));
            }
            snippet = snippet.annotation(annotation);
        }
        group = group.element(snippet);
    } else {
        let at = sources.position(d.primary.span.source, d.primary.span.start);
        group = group.element(
            annotate_snippets::Origin::path(on_a_line(&source.name))
                .line(at.line as usize)
                .char_column(at.column as usize),
        );
    }
    for (span, _, label) in spans.iter().filter(|(s, ..)| s.source != d.primary.span.source) {
        if let Some(other) = sources.get(span.source) {
            let snippet = Snippet::source(drawn(&other.text)).path(on_a_line(&other.name)).fold(true);
            group = group.element(
                snippet.annotation(AnnotationKind::Context.span(range(&other.text, *span)).label(printable(label))),
            );
        }
    }
    let mut report = vec![group];
    match (&d.help, &d.fix) {
        (help, Some(fix))
            if drawable && fix.span.source == d.primary.span.source && drawable_fix(&source.text, fix.span) =>
        {
            let title = printable(help.as_deref().unwrap_or("write instead"));
            let patch = Patch::new(range(&source.text, fix.span), drawn(&fix.replacement));
            report.push(
                Group::with_title(Rendered::HELP.secondary_title(title))
                    .element(Snippet::source(drawn(&source.text)).path(on_a_line(&source.name)).patch(patch)),
            );
        }
        (Some(help), _) => report.push(Group::with_title(Rendered::HELP.secondary_title(printable(help)))),
        (None, _) => {}
    }
    renderer.render(&report)
}

fn drawable_fix(text: &str, span: Span) -> bool {
    drawable(text, span)
}

fn drawable(text: &str, span: Span) -> bool {
    let r = range(text, span);
    let start = text.get(..r.start).and_then(|t| t.rfind('\n')).map_or(0, |i| i + 1);
    let end = text.get(r.end..).and_then(|t| t.find('\n')).map_or(text.len(), |i| r.end + i);
    text.get(start..end).is_some_and(|t| t.lines().all(|l| l.len() <= DRAWN_LINE_BYTES_MAX) && t.lines().count() <= 200)
}

/// The span as a byte range that lies within the text and on character boundaries.
fn range(text: &str, span: Span) -> std::ops::Range<usize> {
    let fit = |at: u32| {
        let mut at = (at as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (fit(span.start), fit(span.end));
    start..end.max(start)
}

/// What could steer a terminal is shown as an escape.
fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) && c != '\n' { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// A text as it is drawn, place by place: what steers, and what the drawing itself does not show as a sign, stands as `?` for each
/// of its bytes.
fn drawn(text: &str) -> Cow<'_, str> {
    let foreign = |c: char| !c.is_ascii() && steers(c);
    if text.is_ascii() || !text.chars().any(foreign) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if foreign(c) { "?".repeat(c.len_utf8()) } else { c.to_string() }).collect())
}

/// A path on one line.
fn on_a_line(path: &str) -> String {
    printable(path).replace('\n', "\\n")
}

/// Whether a character steers a terminal, changes the order of what is read, or is not seen: control characters, marks of
/// direction, what has no width, tags.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Renders diagnostics as a JSON array: code, level, message, file, span in bytes, line and column from 1, labels, help, fix.
pub fn to_json(diagnostics: &[Diagnostic], sources: &SourceMap) -> Value {
    let place = |span: Span| {
        let (start, end) = (sources.position(span.source, span.start), sources.position(span.source, span.end));
        json!({
            "file": sources.get(span.source).map(|s| s.name.clone()),
            "start": { "byte": span.start, "line": start.line, "column": start.column },
            "end": { "byte": span.end, "line": end.line, "column": end.column },
        })
    };
    let level = |l| match l {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    Value::Array(
        diagnostics
            .iter()
            .map(|d| {
                json!({
                    "code": d.code.id(),
                    "level": level(d.level()),
                    "message": d.message,
                    "place": place(d.primary.span),
                    "label": d.primary.text,
                    "labels": d.secondary.iter().map(|l| json!({ "place": place(l.span), "text": l.text })).collect::<Vec<_>>(),
                    "help": d.help,
                    "fix": d.fix.as_ref().map(|f| json!({ "place": place(f.span), "replacement": f.replacement })),
                })
            })
            .collect(),
    )
}
