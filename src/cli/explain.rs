//! `fineprint explain`: the page of a diagnostic code, or a violation in prose.

mod derived;
mod why_not;

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Format;
use super::exit::Exit;
use super::terminal::{output, printable};
use super::violations::Log;
use super::wrong::Wrong;
use crate::diagnostic::{Code, nearest};

/// Explains a diagnostic code, such as TOS0101, or a violation of a log
///
/// With `--rules` a violation is recomputed from the journal of the log: which events counted and which did not, the nearest
/// bound that would have kept it silent, and the account without which there would be none. `--why-not` says how near a rule
/// came for an account.
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// A code, or the id of a violation (with `--db`)
    #[arg(value_name = "CODE|VIOLATION", required_unless_present = "why_not", conflicts_with = "why_not")]
    what: Option<String>,
    /// Says how near a rule came for an account, and what was missing (with `--rules`)
    #[arg(long, num_args = 2, value_names = ["RULE", "ACCOUNT"])]
    why_not: Option<Vec<String>>,
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    #[command(flatten)]
    from: derived::From,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Explain {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let (told, text) = if let Some([rule, account]) = self.why_not.as_deref() {
            let Some(mut source) = self.from.read(self.db.as_deref(), None)? else { return Ok(Exit::RuleError) };
            let from = source.from;
            let why = self.from.case(&mut source, rule)?.why_not(account)?;
            (why_not::why_not_json(rule, account, &why, from), why_not::why_not_text(rule, account, &why, from))
        } else if let Some(db) = &self.db {
            let row = Log::open(db)?.one(self.what.as_deref().unwrap_or_default())?;
            let record: Value = serde_json::from_str(&row.record)?;
            let prose = prose(&record);
            match self.from.is_given() {
                false => (json!({ "record": record, "prose": prose }), prose),
                true => {
                    let of = Some((row.rule.as_str(), row.rule_hash.as_str()));
                    let Some(mut source) = self.from.read(Some(db), of)? else { return Ok(Exit::RuleError) };
                    let from = source.from;
                    let derived = derived::derive(&self.from.case(&mut source, &row.rule)?, &record, from)?;
                    let text = format!("{prose}\n{}", derived.text());
                    (json!({ "record": record, "prose": prose, "recomputed": derived.json() }), text)
                }
            }
        } else {
            let what = self.what.as_deref().unwrap_or_default();
            let code = Code::from_id(what).ok_or_else(|| unknown(what))?;
            (json!({ "code": code.id(), "title": code.title(), "page": code.page() }), code.page().to_string())
        };
        let mut out = output();
        match self.format {
            Format::Json => crate::cli::terminal::write_json(&mut out, &told)?,
            Format::Text => out.write_all(text.trim_end().as_bytes())?,
        }
        writeln!(out)?;
        out.flush()?;
        Ok(Exit::Fine)
    }
}

fn unknown(what: &str) -> Wrong {
    let what_is = format!("there is no code `{}`", printable(what));
    let upper = what.to_ascii_uppercase();
    if what.len() >= 8 && what.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Wrong::new(what_is, format!("for a violation, name its log: `fineprint explain {what} --db FILE`"));
    }
    match nearest(&upper, Code::all().map(Code::id)) {
        Some(near) => Wrong::new(what_is, format!("did you mean `{near}`?")),
        None => Wrong::new(what_is, "codes run from TOS0101 to TOS0905; a message shows its code in brackets"),
    }
}

/// A record as sentences: what was found, under which clause, by which values, on which events. Observation only.
pub(super) fn prose(record: &Value) -> String {
    let mut out = String::new();
    let r = Read(record);
    // Writing to a String cannot fail.
    let _ = sentences(&mut out, &r);
    out
}

/// Events named in full.
const EVENTS_SHOWN: usize = 20;
/// Accounts named in full.
const ACCOUNTS_SHOWN: usize = 20;

fn sentences(out: &mut String, r: &Read<'_>) -> std::fmt::Result {
    writeln!(out, "Violation {}", r.text("id"))?;
    writeln!(out, "{}", r.text("because"))?;
    writeln!(out)?;
    writeln!(
        out,
        "Rule `{}` ({} severity, {} confidence, mode {}) is {}.",
        r.text("rule"),
        r.text("severity"),
        r.text("confidence"),
        r.text("mode"),
        r.text("status")
    )?;
    for clause in r.items("clauses") {
        let c = Read(clause);
        let section = c.text("section");
        let section = if section.is_empty() { String::new() } else { format!(", section {section}") };
        let force = if clause.get("in_force").and_then(Value::as_bool).unwrap_or(true) {
            format!("in force since {}", c.text("in_force_from"))
        } else {
            "not in force at that time".to_string()
        };
        writeln!(
            out,
            "It enforces `{}` of {} version {}{section}, {force}: {}",
            c.text("clause"),
            c.text("policy"),
            c.text("version"),
            c.text("says")
        )?;
    }
    writeln!(out)?;
    if let Some(window) = r.0.get("window").filter(|w| w.is_object()) {
        let w = Read(window);
        writeln!(out, "Window: from {} to {} (not included).", w.text("start"), w.text("end"))?;
    }
    write!(out, "Opened {}, last true {}", r.text("opened_at"), r.text("updated_at"))?;
    match r.0.get("closed_at").and_then(Value::as_str) {
        Some(at) => writeln!(out, ", closed {}.", printable(at))?,
        None => writeln!(out, ".")?,
    }
    if let Some(group) = r.0.get("group").and_then(Value::as_object).filter(|g| !g.is_empty()) {
        let parts: Vec<String> = group.iter().map(|(k, v)| format!("{} = {}", printable(k), shown(v))).collect();
        writeln!(out, "Group: {}.", parts.join(", "))?;
    }
    values(out, r)?;
    accounts(out, r)?;
    ties(out, r)?;
    evidence(out, r)?;
    for exception in r.items("exceptions") {
        let e = Read(exception);
        let took_out = exception.get("took_out").and_then(Value::as_u64).unwrap_or(0);
        writeln!(
            out,
            "Exception considered: {} (owner {}, evidence {}); it took out {took_out} events.",
            e.text("because"),
            or_dash(e.text("owner")),
            or_dash(e.text("evidence"))
        )?;
    }
    actions(out, r)?;
    let mistaken: Vec<String> = r.items("mistaken_for").map(shown).collect();
    if !mistaken.is_empty() {
        writeln!(out, "Known innocent look-alikes: {}.", mistaken.join("; "))?;
    }
    Ok(())
}

fn actions(out: &mut String, r: &Read<'_>) -> std::fmt::Result {
    let told = |action: &Value| {
        let a = Read(action);
        let delay = a.text("delay");
        let delay = if delay.is_empty() { delay } else { format!(", to be delayed by {delay}") };
        format!("{}{delay}", a.text("action"))
    };
    let is_withheld = |action: &&Value| Read(action).text("state") == "withheld";
    let proposed: Vec<String> = r.items("actions").filter(|a| !is_withheld(a)).map(told).collect();
    if !proposed.is_empty() {
        writeln!(out, "Proposed: {}. Nothing has been done.", proposed.join("; "))?;
    }
    for action in r.items("actions").filter(is_withheld) {
        let why = match Read(action).text("why").as_str() {
            "exempted" => "an exception took the events out".to_string(),
            "rollout" => "the group is outside the share on which the rule acts".to_string(),
            "late" => "the event came too late for the budget of its day".to_string(),
            "budget" => "the rule's budget of the day was spent".to_string(),
            "no secret" => "there was no secret to draw its delay from".to_string(),
            other => other.to_string(),
        };
        writeln!(out, "Withheld: {}; {why}.", told(action))?;
    }
    Ok(())
}

fn values(out: &mut String, r: &Read<'_>) -> std::fmt::Result {
    let Some(values) = r.0.get("values").and_then(Value::as_object).filter(|v| !v.is_empty()) else { return Ok(()) };
    writeln!(out, "Values:")?;
    for (name, v) in values {
        write!(out, "  {} = {} at crossing", printable(name), shown(v.get("crossing").unwrap_or(&Value::Null)))?;
        if let Some(threshold) = v.get("threshold").filter(|t| t.is_object()) {
            let t = Read(threshold);
            write!(out, " (rule: {} {})", t.text("operator"), shown(threshold.get("value").unwrap_or(&Value::Null)))?;
        }
        let estimates = v.get("estimates").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let exact = match v.get("exact").and_then(Value::as_bool).unwrap_or(true) {
            true => "exact".to_string(),
            false => {
                let each =
                    estimates.iter().map(|e| format!("{}: {}", Read(e).text("aggregate"), Read(e).text("error")));
                format!("an estimate ({})", each.collect::<Vec<_>>().join("; "))
            }
        };
        let peak = shown(v.get("peak").unwrap_or(&Value::Null));
        writeln!(out, ", peak {peak}, last {}; {exact}", shown(v.get("last").unwrap_or(&Value::Null)))?;
    }
    Ok(())
}

fn accounts(out: &mut String, r: &Read<'_>) -> std::fmt::Result {
    let accounts: Vec<String> = r.items("accounts").map(shown).collect();
    let more = accounts.len().saturating_sub(ACCOUNTS_SHOWN);
    let named = accounts.iter().take(ACCOUNTS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    writeln!(out, "Accounts ({}): {named}{more}", accounts.len())
}

/// Why the accounts of a link group belong together.
fn ties(out: &mut String, r: &Read<'_>) -> std::fmt::Result {
    let Some(link) = r.0.get("link") else { return Ok(()) };
    let l = Read(link);
    let n = |v: &Value, key: &str| v.get(key).and_then(Value::as_u64).unwrap_or(0);
    let families = if n(link, "needs") == 1 { "family" } else { "families" };
    writeln!(
        out,
        "Tied by `{}`: two accounts with a value in common of at least {} {families}. {} edges:",
        l.text("name"),
        n(link, "needs"),
        n(link, "edge_count")
    )?;
    for edge in l.items("edges").take(EVENTS_SHOWN) {
        let e = Read(edge);
        let times = match n(edge, "uses") {
            1 => "once".to_string(),
            uses => format!("{uses} times"),
        };
        writeln!(
            out,
            "  {} {}  {} (one of {} accounts, {times}, first {}, last {})",
            e.text("family"),
            e.text("value"),
            e.text("account"),
            n(edge, "popularity"),
            e.text("first_seen"),
            e.text("last_seen")
        )?;
    }
    let listed = l.items("edges").count();
    if listed > EVENTS_SHOWN {
        writeln!(out, "  … {} more: `fineprint violations show ID --db FILE --format json`", listed - EVENTS_SHOWN)?;
    }
    let cut = l.text("cut_since");
    if !cut.is_empty() {
        writeln!(
            out,
            "  The link had to forget or ignore values since {cut}, for want of room: accounts may be missing."
        )?;
    }
    let into = r.text("merged_into_group");
    if !into.is_empty() {
        let id = r.text("merged_into");
        let id = if id.is_empty() { "which has no violation under way".to_string() } else { format!("violation {id}") };
        writeln!(out, "  The group became part of {into}, {id}.")?;
    }
    Ok(())
}

fn evidence(out: &mut String, r: &Read<'_>) -> std::fmt::Result {
    let Some(evidence) = r.0.get("evidence") else { return Ok(()) };
    let e = Read(evidence);
    let n = |key: &str| evidence.get(key).and_then(Value::as_u64).unwrap_or(0);
    let complete = evidence.get("complete").and_then(Value::as_bool).unwrap_or(true);
    let listed = e.items("events").count();
    let all = if complete { "all in the record".to_string() } else { format!("{listed} of them in the record") };
    writeln!(out, "Evidence: {} events, {all}; Merkle root {}", n("count"), e.text("root"))?;
    if n("undecided") > 0 {
        writeln!(out, "  {} further events could not be decided, because a field was missing.", n("undecided"))?;
    }
    if n("forgotten") > 0 {
        writeln!(out, "  {} of them were forgotten for want of room: the root does not cover those.", n("forgotten"))?;
    }
    let cut = e.text("memory_cut_since");
    if !cut.is_empty() {
        writeln!(out, "  The memory that the rule asks had to forget values since {cut}, for want of room.")?;
    }
    let cut = e.text("state_cut_at");
    if !cut.is_empty() {
        writeln!(
            out,
            "  Groups of the rule went at {cut}, for want of room: what this one had counted before may be missing."
        )?;
    }
    for event in e.items("events").take(EVENTS_SHOWN) {
        let x = Read(event);
        let role = x.text("role");
        let role = if role == "all" { String::new() } else { format!("  ({role})") };
        writeln!(out, "  {}  {}{role}", x.text("ts"), x.text("id"))?;
    }
    if listed > EVENTS_SHOWN {
        writeln!(out, "  … {} more: `fineprint violations show ID --db FILE --format json`", listed - EVENTS_SHOWN)?;
    }
    Ok(())
}

/// Reading of a record; what is missing reads as empty. All text is made harmless for a terminal.
struct Read<'a>(&'a Value);

impl<'a> Read<'a> {
    fn text(&self, key: &str) -> String {
        self.0.get(key).and_then(Value::as_str).map(|t| printable(t).into_owned()).unwrap_or_default()
    }

    fn items(&self, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.0.get(key).and_then(Value::as_array).into_iter().flatten()
    }
}

fn shown(v: &Value) -> String {
    match v {
        Value::Null => "unknown".to_string(),
        Value::String(t) => printable(t).into_owned(),
        v => v.to_string(),
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_string() } else { text }
}
