//! `fineprint explain --why-not`: how near a rule came for an account.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::derived::{reasons_json, reasons_text};
use crate::cli::terminal::{grouped, printable};
use crate::derive::{Nearest, WhyNot};

/// Why a rule found nothing of an account, for machines.
pub(super) fn why_not_json(rule: &str, account: &str, why: &WhyNot, from: &str) -> Value {
    let nearest = why.nearest.as_ref().map(|n| {
        let conditions = n.conditions.iter().map(|c| {
            json!({
                "condition": c.written, "truth": truth(c.truth), "value": c.value, "bound": c.bound, "missing": c.missing,
            })
        });
        json!({
            "group": n.group, "from": n.window.0.to_string(), "to": n.window.1.to_string(), "event": n.event,
            "holds": n.holds, "conditions": conditions.collect::<Vec<_>>(),
        })
    });
    json!({
        "rule": rule, "account": account, "from": from, "violations": why.found,
        "exempted": why.exempted, "events": reasons_json(&why.events),
        "judged": why.judged, "by_link_group": why.linked, "nearest": nearest,
    })
}

fn truth(truth: Option<bool>) -> &'static str {
    match truth {
        Some(true) => "true",
        Some(false) => "false",
        None => "unknown",
    }
}

/// The same for people.
pub(super) fn why_not_text(rule: &str, account: &str, why: &WhyNot, from: &str) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = why_not_sentences(&mut out, rule, account, why, from);
    out
}

fn why_not_sentences(out: &mut String, rule: &str, account: &str, why: &WhyNot, from: &str) -> std::fmt::Result {
    let n: u64 = why.events.values().map(|(n, _)| n).sum();
    let (rule, account) = (printable(rule), printable(account));
    if n == 0 {
        return writeln!(out, "There is no event of account `{account}` in {from}.");
    }
    match why.found.as_slice() {
        [] => writeln!(out, "Rule `{rule}` found nothing of account `{account}`.")?,
        ids => writeln!(out, "Rule `{rule}` did find account `{account}`: {}", ids.join(", "))?,
    }
    if !why.exempted.is_empty() {
        writeln!(out, "Without an exception it would have: {}", why.exempted.join(", "))?;
    }
    writeln!(out, "Its events in {from}:")?;
    reasons_text(out, &why.events)?;
    match &why.nearest {
        None if why.linked => {
            writeln!(
                out,
                "How near the groups came that a link makes of accounts is not recomputed; their violations are."
            )
        }
        None => writeln!(out, "No window or event of its own could be judged."),
        Some(nearest) => nearest_sentences(out, nearest, why.judged),
    }
}

fn nearest_sentences(out: &mut String, n: &Nearest, judged: u64) -> std::fmt::Result {
    let whole = if n.holds { "The condition held" } else { "The rule came nearest" };
    match &n.event {
        Some(id) => {
            writeln!(out, "{whole} at event {} of {} ({} looked at):", printable(id), n.window.0, grouped(judged))?
        }
        None => {
            let group = n.group.iter().map(|g| printable(g).into_owned()).collect::<Vec<_>>().join(", ");
            let group = if group.is_empty() { String::new() } else { format!(" of group {group}") };
            let windows = format!("({} windows judged)", grouped(judged));
            writeln!(out, "{whole} in the window from {} to {}{group} {windows}:", n.window.0, n.window.1)?;
        }
    }
    for c in &n.conditions {
        let written = printable(&c.written).into_owned();
        let value = match (&c.value, &c.bound) {
            (Some(value), Some(bound)) => {
                format!("  (it was {}, the rule asks {})", printable(value), printable(bound))
            }
            _ => String::new(),
        };
        let missing = match c.missing.as_slice() {
            [] => String::new(),
            all => {
                format!("  (missing: {})", all.iter().map(|m| printable(m).into_owned()).collect::<Vec<_>>().join(", "))
            }
        };
        writeln!(out, "  {:7}  {written}{value}{missing}", truth(c.truth))?;
    }
    Ok(())
}
