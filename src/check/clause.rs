//! What a rule enforces: a clause by its dotted name, in every version of its document.

use super::{Checker, names};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::hir::ClauseRef;
use crate::syntax::ast;

/// The clause of a path, or a message about what is wrong with it.
pub(super) fn resolve(cx: &mut Checker<'_>, path: &ast::Path) -> Option<ClauseRef> {
    let shown = path.text();
    let (clause, policy) = match path.parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => {
            (last.text.clone(), rest.iter().map(|p| p.text.as_str()).collect::<Vec<_>>().join("."))
        }
        _ => return unknown(cx, path, &shown),
    };
    let mut forbids: Vec<(u32, u32)> = Vec::new();
    let mut permits = None;
    for (i, p) in cx.program.policies.iter().enumerate().filter(|(_, p)| p.name == policy) {
        for (j, c) in p.clauses.iter().enumerate().filter(|(_, c)| c.name == clause) {
            if c.permits {
                permits = Some(p.span);
            } else {
                forbids.push((i as u32, j as u32));
            }
        }
    }
    if forbids.is_empty() {
        return match permits {
            Some(place) => cx.fail(
                Diagnostic::new(
                    Code::CLAUSE_PERMITS,
                    path.span,
                    format!("`{shown}` is a permission; nobody can break it"),
                )
                .label("permits")
                .also(place, "permitted by this document")
                .help("name a `clause`; what a document permits belongs into `except events where …`"),
            ),
            None => unknown(cx, path, &shown),
        };
    }
    let dates = |&(i, j): &(u32, u32)| {
        let clause = cx.program.policies.get(i as usize).and_then(|p| p.clauses.get(j as usize));
        clause.map(|c| (c.from, c.until))
    };
    forbids.sort_by_key(|at| (dates(at).map(|d| d.0), *at));
    if let Some(as_of) = cx.options.as_of {
        let last =
            forbids.iter().map(|at| dates(at).and_then(|d| d.1)).max_by_key(|u| u.map_or(i64::MAX, |u| u.0)).flatten();
        if let Some(ended) = last.filter(|u| *u <= as_of) {
            let ended = super::wording::date(ended);
            cx.report(
                Diagnostic::new(
                    Code::CLAUSE_EXPIRED,
                    path.span,
                    format!("`{shown}` is no longer in force since {ended}"),
                )
                .label("ended in every version")
                .help("add the newer version of the document, or retire the rule"),
            );
        }
    }
    Some(ClauseRef { policy, clause, versions: forbids })
}

fn unknown(cx: &mut Checker<'_>, path: &ast::Path, shown: &str) -> Option<ClauseRef> {
    let last = path.parts.last().map(|p| p.text.clone()).unwrap_or_default();
    let policy = shown.rsplit_once('.').map_or("", |(p, _)| p).to_string();
    if cx.is_broken_name(&last) || cx.is_broken_name(&policy) {
        return None;
    }
    let of = |name: &str| -> Vec<String> {
        let policies = cx.program.policies.iter().filter(|p| name.is_empty() || p.name == name);
        policies.flat_map(|p| p.clauses.iter().map(|c| format!("{}.{}", p.name, c.name))).collect()
    };
    let (mut own, mut all) = (of(&policy), of(""));
    own.sort();
    own.dedup();
    all.sort();
    all.dedup();
    let diagnostic =
        Diagnostic::new(Code::UNKNOWN_CLAUSE, path.span, format!("no policy declares the clause `{shown}`"))
            .label("unknown clause");
    // Within its policy by the clause alone: the long common part must not make everything near.
    let near = own.iter().find(|n| n.rsplit_once('.').is_some_and(|(_, c)| nearest(&last, [c]).is_some()));
    let meant = near.map(String::as_str).or_else(|| nearest(shown, all.iter().map(String::as_str)));
    let diagnostic = match (meant, own.is_empty()) {
        (Some(meant), _) => diagnostic.help(format!("did you mean `{meant}`?")).fix(path.span, meant),
        (None, false) if !policy.is_empty() => {
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            diagnostic.help(format!("`{policy}` has {}", names::quoted(&own)))
        }
        (None, _) if all.is_empty() => {
            diagnostic.help("declare it: `policy provider.document version 2026-01-01 { clause … }`")
        }
        (None, _) => {
            let mut policies: Vec<&str> = cx.program.policies.iter().map(|p| p.name.as_str()).collect();
            policies.sort_unstable();
            policies.dedup();
            diagnostic.help(format!("declared policies are {}", names::quoted(&policies)))
        }
    };
    cx.fail(diagnostic)
}
