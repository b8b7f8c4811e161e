//! TOS0904: a rule that no test shows to fire, or that no test shows to stay silent.

use crate::check::Checker;
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{self, ExpectWhat};

pub(super) fn run(cx: &mut Checker<'_>, rule: &ast::Rule) {
    if cx.is_broken(rule.span) {
        return;
    }
    let mut expected = rule.tests.iter().flat_map(|t| &t.expect);
    let fires = expected.clone().any(|e| matches!(&e.what, ExpectWhat::Violations { count, .. } if count.value > 0));
    let silent = expected.any(|e| match &e.what {
        ExpectWhat::Nothing | ExpectWhat::Exempted => true,
        ExpectWhat::Violations { count, .. } => count.value == 0,
    });
    let (lacks, help) = match (fires, silent) {
        (true, true) => return,
        (true, false) => {
            ("no test shows that the rule", "add a test of an innocent look-alike that ends in `expect nothing`")
        }
        (false, true) => ("no test shows that the rule", "add a test that ends in `expect violation`"),
        (false, false) => {
            ("no test shows when the rule", "add two tests: one ends in `expect violation`, one in `expect nothing`")
        }
    };
    let rest = match (fires, silent) {
        (true, false) => "stays silent",
        (false, true) => "fires",
        _ => "fires and when it stays silent",
    };
    let message = format!("{lacks} `{}` {rest}", rule.name.text);
    cx.report(Diagnostic::new(Code::RULE_WITHOUT_TEST, rule.name.span, message).help(help));
}
