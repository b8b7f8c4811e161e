//! One finding, and what was decided and done.

use serde_json::Value;

use super::{Case, count, isolated, items, part, text};
use crate::time::{Duration, Timestamp};
use crate::value::parse_micros;

/// Accounts and events that are named in full.
const NAMED_MAX: usize = 50;
/// Acts that are shown; the others stand in `actions.jsonl`.
const ACTS_SHOWN: usize = 500;

/// A value for people.
pub(super) fn number(of: &Value) -> String {
    of.as_str().map_or_else(|| of.to_string(), str::to_string)
}

/// A value on a scale: numbers, shares, money and spans of time alike in millionths or nanoseconds.
pub(super) fn quantity(of: &Value) -> Option<i128> {
    let text = match of {
        Value::Number(n) => return n.as_i64().map(|n| i128::from(n) * 1_000_000),
        Value::String(text) => text,
        _ => return None,
    };
    let bare = text.strip_suffix('%').or_else(|| text.strip_prefix('$')).unwrap_or(text);
    parse_micros(bare).map(i128::from).or_else(|| Duration::parse(text).map(|d| i128::from(d.0)))
}

fn told(out: &mut String, name: &str, html: &str) {
    if !html.is_empty() {
        out.push_str(&format!("<tr><th>{name}</th><td>{html}</td></tr>\n"));
    }
}

fn listed(all: &[Value], one: impl Fn(&Value) -> String) -> String {
    let shown: Vec<String> = all.iter().take(NAMED_MAX).map(one).collect();
    let more = all.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

/// A finding.
pub(super) fn section(case: &Case<'_>, r: &Value) -> String {
    let mut out = format!(
        "<section class=\"finding\">\n<h3>{} <span class=\"mark\">{} severity, {} confidence</span></h3>\n<p class=\"small\">violation <code>{}</code>, {}</p>\n",
        isolated(part(r, "rule")),
        text(part(r, "severity")),
        text(part(r, "confidence")),
        text(part(r, "id")),
        text(part(r, "status")),
    );
    if let Some(erased) = r.get("erased") {
        out.push_str(&format!(
            "<p><strong>Erased:</strong> parts of it were erased by right after it was sealed (erasure {}).</p>\n",
            text(&erased.to_string())
        ));
    }
    out.push_str("<h4>Observed</h4>\n");
    if !part(r, "because").is_empty() {
        out.push_str(&format!("<p>{}</p>\n", isolated(part(r, "because"))));
    }
    out.push_str(&observed(r));
    out.push_str(&values(r));
    out.push_str("<h4>Under which clause, as of then</h4>\n<ul>\n");
    for c in items(r, "clauses") {
        let force = match c.get("in_force").and_then(Value::as_bool) {
            Some(false) => "not in force at that time".to_string(),
            _ => format!("in force since {}", text(part(c, "in_force_from"))),
        };
        let section = Some(part(c, "section")).filter(|s| !s.is_empty()).map(|s| format!(", section {}", isolated(s)));
        out.push_str(&format!(
            "<li>{} of {} version {}{}, {force}: {}</li>\n",
            isolated(part(c, "clause")),
            isolated(part(c, "policy")),
            isolated(part(c, "version")),
            section.unwrap_or_default(),
            isolated(part(c, "says"))
        ));
    }
    out.push_str("</ul>\n<h4>Inferred</h4>\n");
    out.push_str(&inferred(r));
    out.push_str("<h4>Exceptions considered</h4>\n");
    out.push_str(&exceptions(r));
    out.push_str("<h4>Proposed</h4>\n");
    let proposed = items(r, "actions").iter().map(|a| {
        let why = Some(part(a, "why")).filter(|why| !why.is_empty()).map(|why| format!(", withheld: {}", text(why)));
        format!("<li>{}{}</li>\n", isolated(part(a, "action")), why.unwrap_or_default())
    });
    let proposed: String = proposed.collect();
    out.push_str(&if proposed.is_empty() {
        "<p>No action.</p>\n".to_string()
    } else {
        format!("<ul>\n{proposed}</ul>\n")
    });
    out.push_str("<h4>Decided</h4>\n");
    let decided: Vec<&Value> = case.decisions.iter().filter(|d| part(d, "violation") == part(r, "id")).collect();
    out.push_str(&decisions(&decided));
    out.push_str("</section>\n");
    out
}

fn observed(r: &Value) -> String {
    let mut rows = String::new();
    let group = r.get("group").and_then(Value::as_object).into_iter().flatten();
    let group: Vec<String> = group.map(|(name, v)| format!("{} = {}", isolated(name), isolated(&number(v)))).collect();
    told(&mut rows, "Group", &group.join(", "));
    if let Some(w) = r.get("window").filter(|w| w.is_object()) {
        told(&mut rows, "Window", &format!("from {} until before {}", text(part(w, "start")), text(part(w, "end"))));
    }
    let closed = Some(part(r, "closed_at")).filter(|at| !at.is_empty()).map(|at| format!(", ended {}", text(at)));
    told(
        &mut rows,
        "Opened",
        &format!(
            "{}, last true {}{}",
            text(part(r, "opened_at")),
            text(part(r, "updated_at")),
            closed.unwrap_or_default()
        ),
    );
    let accounts = items(r, "accounts");
    told(&mut rows, "Accounts", &format!("{}: {}", accounts.len(), listed(accounts, |a| isolated(&number(a)))));
    if let Some(e) = r.get("evidence") {
        let n = e.get("count").map(ToString::to_string).unwrap_or_default();
        let all = if e.get("complete").and_then(Value::as_bool) == Some(true) {
            "all are listed"
        } else {
            "a sample is listed"
        };
        let root = Some(part(e, "root")).filter(|r| !r.is_empty());
        let root = root.map(|root| format!("; Merkle root over all <code>{}</code>", text(root))).unwrap_or_default();
        told(&mut rows, "Events", &format!("{n} counted, {all}{root}"));
        let event =
            |e: &Value| format!("{} at {} ({})", isolated(part(e, "id")), text(part(e, "ts")), text(part(e, "role")));
        told(&mut rows, "Listed", &listed(items(e, "events"), event));
        for (key, what) in
            [("memory_cut_since", "What was seen before was cut off since"), ("state_cut_at", "State was cut off at")]
        {
            told(&mut rows, what, &text(part(e, key)));
        }
        let undecided = e.get("undecided").and_then(Value::as_u64).filter(|n| *n > 0);
        told(
            &mut rows,
            "Undecided",
            &undecided.map(|n| format!("{n} events with missing fields were not counted")).unwrap_or_default(),
        );
    }
    format!("<table>\n{rows}</table>\n")
}

fn values(r: &Value) -> String {
    let values = r.get("values").and_then(Value::as_object).into_iter().flatten();
    let row = |(name, v): (&String, &Value)| {
        let cell =
            |key: &str| v.get(key).filter(|v| !v.is_null()).map_or_else(|| "–".to_string(), |v| isolated(&number(v)));
        let bound = v.get("threshold").filter(|t| t.is_object()).map_or_else(
            || "–".to_string(),
            |t| format!("{} {}", text(part(t, "operator")), isolated(&number(t.get("value").unwrap_or(&Value::Null)))),
        );
        let exact = match v.get("exact").and_then(Value::as_bool) {
            Some(false) => {
                let of = items(v, "estimates")
                    .iter()
                    .map(|e| format!("{} ± {}", text(part(e, "aggregate")), text(part(e, "error"))));
                format!("estimate {}", of.collect::<Vec<_>>().join(", "))
            }
            _ => "exact".to_string(),
        };
        format!(
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{bound}</td><td>{exact}</td></tr>\n",
            isolated(name),
            cell("crossing"),
            cell("peak"),
            cell("last")
        )
    };
    let rows: String = values.map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    format!(
        "<table>\n<tr><th>value</th><th>at crossing</th><th>peak</th><th>last</th><th>threshold</th><th></th></tr>\n{rows}</table>\n"
    )
}

fn inferred(r: &Value) -> String {
    let mut out = format!(
        "<p>That this breaks the clause is what the rule infers, with {} confidence. Nothing is said of who is behind the accounts, or why.</p>\n",
        text(part(r, "confidence"))
    );
    if let Some(link) = r.get("link").filter(|l| l.is_object()) {
        let edges = items(link, "edges");
        let edge = |e: &Value| {
            format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td></tr>\n",
                isolated(part(e, "family")),
                isolated(part(e, "value")),
                isolated(part(e, "account")),
                e.get("popularity").map(ToString::to_string).unwrap_or_default(),
                text(part(e, "first_seen")),
                text(part(e, "last_seen"))
            )
        };
        let rows: String = edges.iter().take(NAMED_MAX).map(edge).collect();
        let total = link.get("edge_count").and_then(Value::as_u64).unwrap_or(edges.len() as u64);
        out.push_str(&format!(
            "<p>That the accounts belong together is inferred by the link {}, which asks for {} families in common; {} of {total} edges:</p>\n\
             <table>\n<tr><th>family</th><th>value</th><th>account</th><th>accounts with it</th><th>first seen</th><th>last seen</th></tr>\n{rows}</table>\n",
            isolated(part(link, "name")),
            link.get("needs").map(ToString::to_string).unwrap_or_default(),
            edges.len().min(NAMED_MAX)
        ));
    }
    let innocent = items(r, "mistaken_for");
    if !innocent.is_empty() {
        out.push_str(&format!(
            "<p>Innocent conduct that looks alike: {}.</p>\n",
            listed(innocent, |m| isolated(&number(m)))
        ));
    }
    out
}

fn exceptions(r: &Value) -> String {
    let row = |e: &Value| {
        let about: Vec<String> = ["because", "owner", "evidence"]
            .iter()
            .map(|key| part(e, key))
            .filter(|told| !told.is_empty())
            .map(isolated)
            .collect();
        let about = if about.is_empty() { "an exception".to_string() } else { about.join(", ") };
        let n = e.get("took_out").and_then(Value::as_u64).unwrap_or(0);
        format!("<li>{about}: took out {}</li>\n", count(n as usize, "event", "events"))
    };
    let rows: String = items(r, "exceptions").iter().map(row).collect();
    if rows.is_empty() { "<p>The rule has none.</p>\n".to_string() } else { format!("<ul>\n{rows}</ul>\n") }
}

fn moment(of: &Value) -> String {
    of.get("at").and_then(Value::as_i64).map(|at| Timestamp(at).to_string()).unwrap_or_default()
}

fn decisions(of: &[&Value]) -> String {
    let row = |d: &&Value| {
        let by = Some(part(d, "by")).filter(|by| !by.is_empty()).map(|by| format!(" by {}", isolated(by)));
        let why = Some(part(d, "reason")).filter(|why| !why.is_empty()).map(|why| format!(": {}", isolated(why)));
        format!(
            "<li><strong>{}</strong> on {}{}{}</li>\n",
            text(&part(d, "outcome").replace('_', " ")),
            moment(d),
            by.unwrap_or_default(),
            why.unwrap_or_default()
        )
    };
    match of.len() {
        0 => "<p>Nobody has decided on it.</p>\n".to_string(),
        _ => format!("<ul>\n{}</ul>\n", of.iter().map(row).collect::<String>()),
    }
}

/// What was done.
pub(super) fn done(case: &Case<'_>) -> String {
    let mut out = "<h2>What was done</h2>\n".to_string();
    if case.acts.is_empty() {
        out.push_str("<p>No action rests on these findings.</p>\n");
        return out;
    }
    let row = |a: &Value| {
        let name = Some(part(a, "name")).filter(|name| !name.is_empty()).map(|name| format!(" {}", isolated(name)));
        format!(
            "<tr><td>{}</td><td><code>{}</code></td><td>{}</td><td>{}{}</td><td>{}</td></tr>\n",
            moment(a),
            text(&part(a, "action").chars().take(12).collect::<String>()),
            text(&part(a, "act").replace('_', " ")),
            text(part(a, "actor")),
            name.unwrap_or_default(),
            isolated(part(a, "reason"))
        )
    };
    let rows: String = case.acts.iter().take(ACTS_SHOWN).map(row).collect();
    out.push_str(&format!(
        "<table>\n<tr><th>at</th><th>action</th><th>act</th><th>by</th><th>why</th></tr>\n{rows}</table>\n"
    ));
    if case.acts.len() > ACTS_SHOWN {
        out.push_str(&format!("<p>and {} more, in <code>actions.jsonl</code></p>\n", case.acts.len() - ACTS_SHOWN));
    }
    out
}
