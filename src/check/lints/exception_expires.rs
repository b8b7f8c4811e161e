//! TOS0903: an exception that has ended on the day of the check, or ends within the notice.

use crate::check::{Checker, limits, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast;

pub(super) fn run(cx: &mut Checker<'_>, rule: &ast::Rule) {
    let Some(as_of) = cx.options.as_of else { return };
    for until in rule.exceptions.iter().filter_map(|e| e.until.as_ref()) {
        if until.at > as_of.saturating_add(limits::EXPIRY_NOTICE) {
            continue;
        }
        let verb = if until.at <= as_of { "has ended" } else { "ends" };
        let message = format!("this exception {verb} on {}", wording::date(until.at));
        cx.report(
            Diagnostic::new(Code::EXCEPTION_EXPIRES, until.span, message)
                .label("first day on which it does not hold")
                .help("ask its owner: renew it with a later `until`, or take it out"),
        );
    }
}
