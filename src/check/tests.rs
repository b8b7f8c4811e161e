//! Test blocks within rules: that they can be run. They stay syntax; the runner reads them.

use super::scope::Scope;
use super::{Checker, coerce, expr, limits, lists, membership, names, rule};
use crate::diagnostic::{Code, Diagnostic};
use crate::event::{FIELDS, Kind};
use crate::syntax::ast::{self, ExpectWhat, GivenWhat, Literal, Test};
use crate::value::Type;

/// Checks all tests of a rule. `scope` holds its `let`s and the parts of its group.
pub(super) fn check(cx: &mut Checker<'_>, scope: &mut Scope, rule: &ast::Rule) {
    let mut seen: Vec<&ast::Text> = Vec::new();
    for test in &rule.tests {
        if let Some(first) = seen.iter().find(|t| t.value == test.name.value) {
            let message = format!("the test {:?} is given twice", test.name.value);
            cx.report(
                Diagnostic::new(Code::DUPLICATE_NAME, test.name.span, message)
                    .also(first.span, "first given here")
                    .help("give one of them another name"),
            );
        }
        seen.push(&test.name);
        one(cx, scope, test);
    }
}

fn bad(span: crate::source::Span, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::BAD_TEST, span, message).help(help)
}

fn one(cx: &mut Checker<'_>, scope: &mut Scope, test: &Test) {
    let broken = cx.is_broken(test.span);
    if !broken && !test.given.iter().any(|g| matches!(g.what, GivenWhat::Events { .. })) {
        cx.report(bad(test.name.span, "a test without events", "add `given 1 completion { … }`"));
    }
    if !broken && test.expect.is_empty() {
        cx.report(bad(
            test.name.span,
            "a test that expects nothing at all",
            "add `expect violation` or `expect nothing`",
        ));
    }
    let mut total = 0u64;
    for given in &test.given {
        match &given.what {
            GivenWhat::Events { accounts, count, kind, fields, .. } => {
                let accounts = accounts.as_ref().map_or(1, |a| a.value);
                if accounts == 0 || count.value == 0 {
                    cx.report(bad(
                        given.span,
                        "no events are given",
                        "write a number from 1; leave the line out for none",
                    ));
                }
                total = total.saturating_add(accounts.saturating_mul(count.value));
                event_kind(cx, kind);
                for (path, value) in fields {
                    event_field(cx, path, value);
                }
            }
            GivenWhat::List { name, values } => {
                let path = ast::Path { parts: vec![name.clone()], span: name.span };
                if let Some(id) = membership::list(cx, &path) {
                    let ty = cx.program.lists.get(id.0 as usize).map(|l| l.ty.clone());
                    for value in values {
                        // `"{account}"` stands for one of the test's accounts.
                        if let Some(ty) = ty.as_ref().filter(|ty| !is_pattern(value) && !is_wording(ty, value)) {
                            membership::constant(cx, value, ty);
                        }
                    }
                }
            }
            GivenWhat::Row { table, fields, .. } => row(cx, table, fields),
        }
    }
    if total > limits::TEST_EVENTS_MAX {
        let message = format!("a test of {total} events, more than {}", limits::TEST_EVENTS_MAX);
        cx.report(bad(test.name.span, message, "give fewer accounts or fewer events each"));
    }
    for expect in &test.expect {
        let ExpectWhat::Violations { count, with } = &expect.what else { continue };
        if let Some(with) = with {
            if count.value == 0 {
                cx.report(bad(expect.span, "no violation has values", "write `expect nothing`"));
            }
            let counted = scope.aggregates.len();
            expr::condition(cx, scope, with);
            if scope.aggregates.len() > counted {
                scope.aggregates.truncate(counted);
                let help = "name it in the rule with `let`, and test the name";
                cx.report(bad(with.span, "a test of something that the rule does not count", help));
            }
        }
    }
    let nothing = test.expect.iter().filter(|e| matches!(e.what, ExpectWhat::Nothing)).count();
    if nothing > 0 && test.expect.len() > nothing {
        cx.report(bad(test.name.span, "a test that expects nothing and something", "split it in two tests"));
    }
}

/// The kind of given events, in the singular or the plural.
fn event_kind(cx: &mut Checker<'_>, name: &ast::Name) {
    let singular = name.text.strip_suffix('s').unwrap_or(&name.text);
    if Kind::from_word(singular).is_none() {
        rule::kind(cx, name);
    }
}

/// Whether a value is a text with a generated part, which can be judged only when it is generated.
fn is_pattern(value: &ast::Expr) -> bool {
    matches!(&value.kind, ast::ExprKind::Literal(Literal::Text(t)) if t.contains('{') || t.contains('*'))
}

fn event_field(cx: &mut Checker<'_>, path: &ast::Path, value: &ast::Expr) {
    let field = match path.parts.as_slice() {
        [one] => names::field(&one.text),
        _ => None,
    };
    let Some(field) = field.and_then(|f| FIELDS.get(usize::from(f.0))) else {
        let word = path.text();
        let known: Vec<&str> = FIELDS.iter().map(|f| f.name).collect();
        let name = ast::Name { text: word.clone(), span: path.span };
        let unknown = Diagnostic::new(Code::UNKNOWN_NAME, path.span, format!("events have no field `{word}`"))
            .label("unknown field");
        let unknown = match crate::diagnostic::nearest(&word, known) {
            Some(meant) => unknown.help(format!("did you mean `{meant}`?")).fix(name.span, meant),
            None => unknown.help("look up the fields of an event; a column of a table is given by `given row`"),
        };
        cx.report(unknown);
        return;
    };
    typed(cx, value, &field.ty);
}

/// A whole text among fingerprints.
fn is_wording(ty: &Type, value: &ast::Expr) -> bool {
    *ty == Type::Fingerprint && lists::is_wording(value)
}

/// Checks that a given value is one of a type.
fn typed(cx: &mut Checker<'_>, value: &ast::Expr, ty: &Type) {
    if is_pattern(value) && (ty.is_text() || *ty == Type::Ip) {
        return;
    }
    match (&value.kind, ty) {
        (ast::ExprKind::List(items), Type::List(of)) => items.iter().for_each(|item| typed(cx, item, of)),
        (_, Type::List(_)) => {
            let message = "several values are needed here";
            cx.report(bad(value.span, message, format!("write `{}`", coerce::example(ty))));
        }
        _ => {
            membership::constant(cx, value, ty);
        }
    }
}

fn row(cx: &mut Checker<'_>, table: &ast::Name, fields: &[(ast::Path, ast::Expr)]) {
    let found = cx.program.tables.iter().find(|t| t.name == table.text).map(|t| t.columns.clone());
    let Some(columns) = found else {
        if cx.is_broken_name(&table.text) {
            return;
        }
        let known: Vec<&str> = cx.names.table_names().collect();
        let unknown = Diagnostic::new(Code::UNKNOWN_NAME, table.span, format!("there is no table `{}`", table.text))
            .label("unknown table");
        let unknown = names::suggest(unknown, table, &known);
        cx.report(unknown);
        return;
    };
    for (path, value) in fields {
        let word = path.text();
        match columns.iter().find(|(name, _)| *name == word) {
            Some((_, ty)) => typed(cx, value, ty),
            None => {
                let known: Vec<&str> = columns.iter().map(|(n, _)| n.as_str()).collect();
                let name = ast::Name { text: word.clone(), span: path.span };
                let message = format!("the table `{}` has no column `{word}`", table.text);
                let unknown = Diagnostic::new(Code::UNKNOWN_COLUMN, path.span, message).label("unknown column");
                let unknown = names::suggest(unknown, &name, &known);
                cx.report(unknown);
            }
        }
    }
}
