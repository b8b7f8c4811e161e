//! TOS0902: a `let` of a rule that neither its condition, its text, its tests nor a used `let` names.

use std::collections::BTreeSet;

use crate::check::Checker;
use crate::check::order::gather;
use crate::check::scope::Scope;
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast;

pub(super) fn run(cx: &mut Checker<'_>, rule: &ast::Rule, scope: &Scope) {
    let mut used: BTreeSet<&str> = scope.used.iter().map(String::as_str).collect();
    let written = rule.when.iter().chain(&rule.per).chain(rule.exceptions.iter().map(|e| &e.filter));
    written.for_each(|e| gather(e, &mut used));
    // A text that could not be read leaves open what it names.
    let text = rule.because.as_ref().map_or("", |t| t.value.as_str());
    loop {
        let before = used.len();
        for item in &rule.lets {
            if used.contains(item.name.text.as_str()) {
                gather(&item.value, &mut used);
            }
        }
        if used.len() == before {
            break;
        }
    }
    for item in &rule.lets {
        let name = item.name.text.as_str();
        if used.contains(name) || text.contains(&format!("{{{name}}}")) {
            continue;
        }
        let message = format!("nothing uses `{name}`");
        cx.report(
            Diagnostic::new(Code::UNUSED_LET, item.name.span, message)
                .label("unused")
                .help("use it in `when` or `because`, or take it out"),
        );
    }
}
