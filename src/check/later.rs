//! What the language can say and this version does not evaluate. It is never read and ignored: each use is an error that
//! names the construct.

use super::scope::{Place, Scope};
use super::{Checker, clause, expr};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast;

/// The message about a construct that is not evaluated.
pub(super) fn diagnostic(span: Span, what: &str) -> Diagnostic {
    Diagnostic::new(Code::NOT_EVALUATED, span, format!("{what}: this version does not evaluate it"))
        .label("not evaluated")
        .help("take it out of the file; a rule must not rely on it yet")
}

/// Reports limits, and the mistakes within them.
pub(super) fn declarations(cx: &mut Checker<'_>, items: &[&ast::Item]) {
    for item in items {
        if let ast::Item::Limit(limit) = item {
            cx.report(diagnostic(limit.name.span, "`limit`"));
            for path in &limit.enforces {
                clause::resolve(cx, path);
            }
            on(cx, &limit.on);
            for e in limit.per.iter().chain(&limit.reserve).chain([&limit.settle]) {
                expr::value(cx, &mut Scope::new(Place::Event), e);
            }
        }
    }
}

fn on(cx: &mut Checker<'_>, on: &ast::On) {
    if let ast::OnWhat::Events { kinds, filter } = &on.what {
        super::rule::kinds(cx, kinds);
        if let Some(filter) = filter {
            expr::condition(cx, &mut Scope::new(Place::Event), filter);
        }
    }
}
