//! Advice about rules that can be used as they are: one file each.

mod exception_expires;
mod never_true;
mod rule_without_test;
mod unused_let;

use super::Checker;
use super::scope::Scope;
use crate::syntax::ast;

/// Runs all lints on a rule.
pub(super) fn run(cx: &mut Checker<'_>, rule: &ast::Rule, scope: &Scope) {
    unused_let::run(cx, rule, scope);
    exception_expires::run(cx, rule);
    rule_without_test::run(cx, rule);
    never_true::run(cx, rule, scope);
}
