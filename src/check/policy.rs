//! Policies as declared: dated documents and their clauses.

use std::collections::BTreeMap;

use super::{Checker, names, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::hir;
use crate::source::Span;
use crate::syntax::ast;

/// Declares all policies. Several versions of a document stand side by side; one version stands once.
pub(super) fn declare(cx: &mut Checker<'_>, items: &[&ast::Item]) {
    let mut seen: BTreeMap<(String, String), Span> = BTreeMap::new();
    for item in items {
        let ast::Item::Policy(policy) = item else { continue };
        let name = policy.name.text();
        let version = wording::date(policy.version.at);
        if let Some(first) = seen.get(&(name.clone(), version.clone())) {
            let message = format!("the policy `{name}` of {version} is given twice");
            let duplicate = Diagnostic::new(Code::DUPLICATE_NAME, policy.name.span, message)
                .label("given again here")
                .also(*first, "first given here")
                .help("give the other document its own date behind `version`");
            cx.report(duplicate);
            continue;
        }
        seen.insert((name.clone(), version.clone()), policy.name.span);
        let lowered = lower(cx, policy, name, version);
        cx.program.policies.push(lowered);
    }
}

fn lower(cx: &mut Checker<'_>, policy: &ast::Policy, name: String, version: String) -> hir::Policy {
    let from = policy.effective.as_ref().map_or(policy.version.at, |(from, _)| from.at);
    let until = policy.effective.as_ref().and_then(|(_, until)| until.as_ref());
    if let Some(until) = until {
        ordered(cx, from, until);
    }
    let mut places: BTreeMap<&str, Span> = BTreeMap::new();
    let mut clauses = Vec::new();
    for clause in &policy.clauses {
        if let Some(first) = places.get(clause.name.text.as_str()) {
            let duplicate = names::duplicate(&clause.name, *first);
            cx.report(duplicate);
            continue;
        }
        places.insert(&clause.name.text, clause.name.span);
        let begins = clause.from.as_ref().map_or(from, |d| d.at);
        if let Some(until) = &clause.until {
            ordered(cx, begins, until);
        }
        clauses.push(hir::Clause {
            name: clause.name.text.clone(),
            permits: clause.permits,
            section: clause.at.as_ref().map(|t| t.value.clone()).unwrap_or_default(),
            says: clause.says.value.clone(),
            from: begins,
            until: clause.until.as_ref().or(until).map(|d| d.at),
        });
    }
    let text = |t: &Option<ast::Text>| t.as_ref().map(|t| t.value.clone()).unwrap_or_default();
    hir::Policy {
        name,
        version,
        title: text(&policy.title),
        url: text(&policy.url),
        from,
        until: until.map(|d| d.at),
        clauses,
        span: policy.span,
    }
}

/// Reports an end that does not lie after its beginning.
pub(super) fn ordered(cx: &mut Checker<'_>, from: crate::time::Timestamp, until: &ast::Date) {
    if from < until.at {
        return;
    }
    let (first, end) = (wording::date(from), wording::date(until.at));
    let message = format!("it ends {end}, but does not begin before {first}");
    cx.report(
        Diagnostic::new(Code::BAD_DATES, until.span, message)
            .label("not after its beginning")
            .help("`until` is the first day on which it no longer holds; write a later date, or leave it out"),
    );
}
