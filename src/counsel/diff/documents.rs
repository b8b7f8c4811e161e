//! Documents and their clauses: added, removed, dated anew, worded anew.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Changes, Effect};
use crate::counsel::date;
use crate::hir::{Clause, Policy, Program};
use crate::time::Timestamp;

pub(super) fn diff(old: &Program, new: &Program) -> Vec<Changes> {
    let (before, after) = (by_name(old), by_name(new));
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let mut out = Vec::new();
    for name in names {
        let none = BTreeMap::new();
        let changes = versions(before.get(name).unwrap_or(&none), after.get(name).unwrap_or(&none));
        if !changes.is_empty() {
            out.push(Changes { name: name.to_string(), changes });
        }
    }
    out
}

/// The versions of each document, by their dates.
type Versions<'a> = BTreeMap<&'a str, &'a Policy>;

fn by_name(program: &Program) -> BTreeMap<&str, Versions<'_>> {
    let mut out: BTreeMap<&str, Versions<'_>> = BTreeMap::new();
    for policy in &program.policies {
        out.entry(&policy.name).or_default().insert(&policy.version, policy);
    }
    out
}

fn versions(before: &Versions<'_>, after: &Versions<'_>) -> Vec<Change> {
    let mut out = Vec::new();
    let dates: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    for version in dates {
        match (before.get(version), after.get(version)) {
            (Some(a), Some(b)) => document(a, b, &format!("The document of {version}"), true, &mut out),
            (None, Some(b)) => {
                // A new version is held against the one that it follows, if there was one.
                let last = before.range(..version).next_back().map(|(_, p)| p);
                let of = match last {
                    None => format!("The document of {version} was added, in force {}", period(b.from, b.until)),
                    Some(last) => format!(
                        "A version of {version} was added after that of {}, in force {}",
                        last.version,
                        period(b.from, b.until)
                    ),
                };
                out.push(Change::new(Effect::Same, of));
                match last {
                    Some(last) => document(last, b, &format!("The version of {version}"), false, &mut out),
                    None => b.clauses.iter().for_each(|c| out.push(added(c, &format!("The document of {version}")))),
                }
            }
            (Some(_), None) => {
                let what = format!("The document of {version} was removed");
                out.push(Change::new(Effect::Same, what));
            }
            (None, None) => {}
        }
    }
    out
}

fn period(from: Timestamp, until: Option<Timestamp>) -> String {
    let until = until.map_or_else(String::new, |u| format!(" until {}", date(u)));
    format!("from {}{until}", date(from))
}

/// `same_version`: dates that follow from the version are compared only then.
fn document(a: &Policy, b: &Policy, of: &str, same_version: bool, out: &mut Vec<Change>) {
    let mut note = |what: String| out.push(Change::new(Effect::Same, what));
    if a.title != b.title {
        note(format!("{of} has the title {:?}, before {:?}", b.title, a.title));
    }
    if a.url != b.url {
        note(format!("{of} stands at {:?}, before at {:?}", b.url, a.url));
    }
    if same_version && (a.from, a.until) != (b.from, b.until) {
        let what = format!("{of} is in force {}, before {}", period(b.from, b.until), period(a.from, a.until));
        out.push(Change::new(Effect::Unclear, what));
    }
    fn clauses(p: &Policy) -> BTreeMap<&str, &Clause> {
        p.clauses.iter().map(|c| (c.name.as_str(), c)).collect()
    }
    let (before, after) = (clauses(a), clauses(b));
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    for name in names {
        match (before.get(name), after.get(name)) {
            (Some(x), Some(y)) => clause((x, a), (y, b), of, same_version, out),
            (None, Some(y)) => out.push(added(y, of)),
            (Some(x), None) => {
                out.push(Change::new(Effect::Same, format!("{of} has no {} any more: {}", called(x), x.says)));
            }
            (None, None) => {}
        }
    }
}

fn called(c: &Clause) -> String {
    format!("{} {}", if c.permits { "permission" } else { "clause" }, c.name)
}

fn added(c: &Clause, of: &str) -> Change {
    let section = if c.section.is_empty() { String::new() } else { format!(" (section {})", c.section) };
    Change::new(Effect::Same, format!("{of} has a new {}{section}: {}", called(c), c.says))
}

fn clause(a: (&Clause, &Policy), b: (&Clause, &Policy), of: &str, same_version: bool, out: &mut Vec<Change>) {
    let ((x, before), (y, after)) = (a, b);
    let mut note = |effect, what: String| out.push(Change::new(effect, what));
    let named = called(y);
    if x.permits != y.permits {
        let what = if y.permits { "permits what it forbade" } else { "forbids what it permitted" };
        note(Effect::Unclear, format!("{of} {what}: {}", y.name));
    }
    if x.section != y.section {
        note(Effect::Same, format!("{of} has the {named} at section {:?}, before {:?}", y.section, x.section));
    }
    if x.says != y.says {
        note(Effect::Unclear, format!("{of} words the {named} anew: {:?}, before {:?}", y.says, x.says));
    }
    // Dates that are the document's own have been told.
    let own = |c: &Clause, p: &Policy| {
        ((c.from != p.from).then_some(c.from), if c.until == p.until { None } else { c.until })
    };
    let changed = own(x, before) != own(y, after);
    if changed && (same_version || own(y, after) != (None, None)) {
        let what =
            format!("{of} has the {named} in force {}, before {}", period(y.from, y.until), period(x.from, x.until));
        note(Effect::Unclear, what);
    }
}
