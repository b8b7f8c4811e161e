//! Feeds as rules see them: what a mapping or a row of fields tells, and what can never happen there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::terminal::{note, printable};
use super::wrong::Wrong;
use crate::counsel::{Blind, Cause, Feed};
use crate::diagnostic::nearest;
use crate::event::fields::{by_json, by_name};
use crate::event::{FIELDS, FieldId};
use crate::feed::{Mapping, shipped_mappings};

/// A shipped mapping by its name, or a mapping file.
pub(super) fn mapping(named: &str) -> anyhow::Result<Mapping> {
    if let Some(mapping) = Mapping::shipped(named) {
        return Ok(mapping);
    }
    let path = Path::new(named);
    if !path.is_file() {
        let shipped = shipped_mappings().collect::<Vec<_>>().join(", ");
        let what = format!("there is no mapping `{named}`");
        return Err(Wrong::new(what, format!("write one of {shipped}, or the path of a mapping file")).into());
    }
    Ok(Mapping::open(path)?)
}

/// What a mapping tells.
pub(super) fn of_mapping(mapping: &Mapping, registry_known: bool) -> Feed {
    Feed {
        fields: mapping.fields().collect(),
        fixed: mapping.constants().collect(),
        kinds: mapping.kinds(),
        registry_known,
    }
}

/// What a feed tells, from the name of a mapping, the path of one, or names of fields separated by commas.
pub(super) fn read(named: &str, registry_known: bool) -> anyhow::Result<Feed> {
    if Mapping::shipped(named).is_some() || Path::new(named).is_file() {
        return Ok(of_mapping(&mapping(named)?, registry_known));
    }
    let mut fields = BTreeSet::new();
    for name in named.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let Some(field) = by_name(name).or_else(|| by_json(name)) else { return Err(unknown(named, name).into()) };
        fields.insert(field);
    }
    if fields.is_empty() {
        let help =
            "write `--feed litellm`, the path of a mapping file, or fields such as `--feed account,model,status`";
        return Err(Wrong::new("the feed has no fields", help).into());
    }
    Ok(Feed { fields, fixed: BTreeMap::new(), kinds: None, registry_known })
}

fn unknown(named: &str, name: &str) -> Wrong {
    let shipped: Vec<&str> = shipped_mappings().collect();
    let fields = FIELDS.iter().map(|f| f.name);
    let meant = if named.contains(',') {
        nearest(name, fields)
    } else {
        nearest(name, shipped.iter().copied()).or_else(|| nearest(name, fields))
    };
    let what = if named.contains(',') {
        format!("there is no field `{name}`")
    } else {
        format!("`{name}` is neither a shipped mapping nor a file nor a field")
    };
    let help = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!(
            "write one of {}, the path of a mapping file, or fields separated by commas; `fineprint fields` lists them",
            shipped.join(", ")
        ),
    };
    Wrong::new(what, help)
}

/// Rules with the same causes together, so that one missing field is one line.
fn grouped(blind: &[Blind]) -> BTreeMap<&[Cause], Vec<&Blind>> {
    let mut out: BTreeMap<&[Cause], Vec<&Blind>> = BTreeMap::new();
    for b in blind {
        out.entry(&b.causes).or_default().push(b);
    }
    out
}

/// All causes as one sentence; fields that are never told in one breath.
fn causes(all: &[Cause]) -> String {
    let field = |c: &Cause| match c {
        Cause::Field(f) => FIELDS.get(usize::from(f.0)).map(|f| format!("`{}`", f.name)),
        _ => None,
    };
    let fields: Vec<String> = all.iter().filter_map(field).collect();
    let mut out: Vec<String> = all.iter().filter(|c| !matches!(c, Cause::Field(_))).map(Cause::text).collect();
    match fields.as_slice() {
        [] => {}
        [one] => out.push(format!("the feed never tells {one}")),
        [rest @ .., last] => out.push(format!("the feed never tells {} and {last}", rest.join(", "))),
    }
    out.join("; ")
}

/// For people: why, then which.
pub(super) fn to_text(blind: &[Blind], rules: usize) -> String {
    let (never, exceptions): (Vec<Blind>, Vec<Blind>) = blind.iter().cloned().partition(|b| b.exception.is_none());
    let mut out = String::new();
    let mut section = |head: String, all: &[Blind]| {
        let _ = writeln!(out, "{head}");
        for (why, which) in grouped(all) {
            let _ = writeln!(out, "  because {}", printable(&causes(why)));
            for b in which {
                let number = b.exception.map_or_else(String::new, |n| format!(", exception {}", n + 1));
                let _ = writeln!(out, "    {}{number}", printable(&b.rule));
            }
        }
    };
    if never.is_empty() {
        section(format!("all {rules} rules can fire on this feed"), &never);
    } else {
        section(format!("{} of {rules} rules can never fire on this feed", never.len()), &never);
    }
    if !exceptions.is_empty() {
        section(format!("{} exceptions of the others can never take anything out", exceptions.len()), &exceptions);
    }
    out
}

/// For machines.
pub(super) fn to_json(blind: &[Blind]) -> Value {
    let rows = |exceptions: bool| -> Vec<Value> {
        let rows = blind.iter().filter(|b| b.exception.is_some() == exceptions);
        rows.map(|b| {
            let because: Vec<Value> = b.causes.iter().map(cause).collect();
            match b.exception {
                None => json!({ "rule": b.rule, "because": because }),
                Some(number) => json!({ "rule": b.rule, "exception": number + 1, "because": because }),
            }
        })
        .collect()
    };
    json!({ "never_fire": rows(false), "exceptions_without_effect": rows(true) })
}

fn cause(cause: &Cause) -> Value {
    let field = |f: &FieldId| FIELDS.get(usize::from(f.0)).map_or("", |f| f.name);
    let text = cause.text();
    match cause {
        Cause::Kinds(kinds) => json!({ "kinds": kinds.iter().map(|k| k.word()).collect::<Vec<_>>(), "text": text }),
        Cause::Field(f) => json!({ "field": field(f), "text": text }),
        Cause::Fixed(f, value) => json!({ "field": field(f), "always": value, "text": text }),
        Cause::Column(table, column) => json!({ "table": table, "column": column, "text": text }),
        Cause::List(list) => json!({ "list": list, "text": text }),
    }
}

/// Once, at the beginning of a run: how many rules cannot fire, and where the reasons are told.
pub(super) fn warn(blind: &[Blind], mapping: &str, rules: &Path) {
    let never: Vec<&str> = blind.iter().filter(|b| b.exception.is_none()).map(|b| b.rule.as_str()).collect();
    let exceptions = blind.len() - never.len();
    if blind.is_empty() {
        return;
    }
    let shown = never.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let more = if never.len() > 5 { format!(" and {} more", never.len() - 5) } else { String::new() };
    let mut said = Vec::new();
    if !never.is_empty() {
        said.push(format!("{} rules can never fire on this feed: {}{more}", never.len(), printable(&shown)));
    }
    if exceptions > 0 {
        said.push(format!("{exceptions} exceptions can never take anything out on it"));
    }
    note(format!("warning: {}; `fineprint check --feed {mapping} {}` says why", said.join("; "), rules.display()));
}
