//! The text of a finding: what stands in braces must be a value of the rule, and never the text of a prompt.

use super::names;
use super::regexes::within;
use super::scope::{Place, Scope};
use super::{Checker, expr, link, sequence};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::event::FIELDS;
use crate::event::fields::Privacy;
use crate::hir::{Expr, ExprKind, Piece};
use crate::source::Span;
use crate::syntax::ast;
use crate::value::Type;

/// The pieces of a text. `per` are the lowered parts of the group.
pub(super) fn lower(cx: &mut Checker<'_>, scope: &mut Scope, per: &[Expr], written: &ast::Text) -> Option<Vec<Piece>> {
    let text = written.value.as_str();
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut complete = true;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '{' if chars.next_if(|(_, c)| *c == '{').is_some() => plain.push('{'),
            '}' if chars.next_if(|(_, c)| *c == '}').is_some() => plain.push('}'),
            '{' => {
                let mut name = String::new();
                let mut end = None;
                for (i, c) in chars.by_ref() {
                    if c == '}' {
                        end = Some(i + 1);
                        break;
                    }
                    name.push(c);
                }
                let Some(end) = end else {
                    let span = within(written, at, at + 1).unwrap_or(written.span);
                    let message = "a `{` without its `}`";
                    cx.report(
                        Diagnostic::new(Code::UNKNOWN_PLACEHOLDER, span, message).help("write `{{` for a brace itself"),
                    );
                    return None;
                };
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                let span = within(written, at, end).unwrap_or(written.span);
                match placeholder(cx, scope, per, name.trim(), span) {
                    Some(value) => pieces.push(Piece::Value(name.trim().to_string(), value)),
                    None => complete = false,
                }
            }
            '}' => {
                let span = within(written, at, at + 1).unwrap_or(written.span);
                let message = "a `}` without its `{`";
                cx.report(
                    Diagnostic::new(Code::UNKNOWN_PLACEHOLDER, span, message).help("write `}}` for a brace itself"),
                );
                complete = false;
            }
            c => plain.push(c),
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    complete.then_some(pieces)
}

fn placeholder(cx: &mut Checker<'_>, scope: &mut Scope, per: &[Expr], name: &str, span: Span) -> Option<Expr> {
    let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let value = if let Some(own) = scope.lets.get(name) {
        scope.used.insert(name.to_string());
        Expr { span, ..own.clone()?.expr }
    } else if let Some(at) = scope.keys.iter().position(|(text, _)| squeezed(text) == squeezed(name)) {
        let (_, ty) = scope.keys.get(at)?;
        expr::node(ty.clone(), ExprKind::Key(at as u16), span)
    } else if let Some(value) = of_step(cx, scope, name, span) {
        value?
    } else if let Some(value) = link::in_text(cx, scope, name, span) {
        value?
    } else {
        match (names::field(name), scope.place) {
            (Some(field), Place::Event) => {
                let ty = FIELDS.get(usize::from(field.0))?.ty.clone();
                expr::node(ty, ExprKind::Field(field), span)
            }
            (field, _) => return unknown(cx, scope, name, span, field.is_some() && scope.is_whole()),
        }
    };
    if let Some(field) = content(&value, per) {
        let message = format!("`{{{name}}}` would write the text of `{field}` into the log");
        return cx.fail(Diagnostic::new(Code::CONTENT_IN_TEXT, span, message).label("what was said is not kept").help(
            match names::field(&format!("{field}_hash")) {
                Some(_) => format!("name its fingerprint instead, `{{{field}_hash}}`, or a `let` that tests the text"),
                None => format!("name a `let` that tests the text, or its length: `let long = length({field})`"),
            },
        ));
    }
    Some(value)
}

/// A value of a step of a sequence: `first.account`; nothing where the name does not begin with a step.
fn of_step(cx: &mut Checker<'_>, scope: &mut Scope, name: &str, span: Span) -> Option<Option<Expr>> {
    let parts: Vec<ast::Name> = name.split('.').map(|part| ast::Name { text: part.trim().to_string(), span }).collect();
    let begins = parts.len() > 1 && parts.first().is_some_and(|p| scope.steps.iter().any(|s| s.name == p.text));
    begins.then(|| sequence::of_step(cx, scope, &parts.iter().collect::<Vec<_>>(), span))
}

fn unknown(cx: &mut Checker<'_>, scope: &Scope, name: &str, span: Span, field_of_window: bool) -> Option<Expr> {
    if cx.is_broken_name(name) {
        return None;
    }
    let known: Vec<&str> =
        scope.lets.keys().map(String::as_str).chain(scope.keys.iter().map(|(k, _)| k.as_str())).collect();
    let fields: Vec<&str> =
        if scope.place == Place::Event { FIELDS.iter().map(|f| f.name).collect() } else { Vec::new() };
    let message = if field_of_window {
        let whole = if scope.place == Place::Match { "match of several" } else { "window" };
        format!("`{{{name}}}` differs from event to event, but this text is about a {whole}")
    } else {
        format!("`{{{name}}}` stands for nothing in this rule")
    };
    let diagnostic = Diagnostic::new(Code::UNKNOWN_PLACEHOLDER, span, message).label("unknown placeholder");
    let meant = nearest(name, known.iter().copied().chain(fields.iter().copied()));
    let diagnostic = if let Some(meant) = meant {
        diagnostic.help(format!("did you mean `{{{meant}}}`?")).fix(span, format!("{{{meant}}}"))
    } else if field_of_window && scope.place == Place::Match {
        diagnostic.help(format!("say of which step: `{{first.{name}}}`"))
    } else if field_of_window {
        diagnostic.help(format!("name a value of the window first: `let different = distinct({name})`"))
    } else if known.is_empty() {
        diagnostic.help("name a value with `let`, or write `{{` for a brace itself")
    } else {
        diagnostic.help(format!("known here are {}; write `{{{{` for a brace itself", names::quoted(&known)))
    };
    cx.fail(diagnostic)
}

/// The field of what was said that a text value would show, if any. A number or a truth value shows no text.
pub(super) fn content(e: &Expr, per: &[Expr]) -> Option<&'static str> {
    let text = |ty: &Type| matches!(ty, Type::String) || matches!(ty, Type::List(of) if **of == Type::String);
    if !text(&e.ty) {
        return None;
    }
    if let ExprKind::Key(i) = &e.kind {
        return per.get(usize::from(*i)).and_then(|key| content(key, &[]));
    }
    let mut found = None;
    e.walk(&mut |x| {
        if let ExprKind::Field(f) = &x.kind {
            found = found
                .or_else(|| FIELDS.get(usize::from(f.0)).filter(|f| f.privacy == Privacy::Content).map(|f| f.name));
        }
    });
    found
}
