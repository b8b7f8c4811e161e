//! `case.html`: the case for people, and `VERIFY.md`. One file, no script, nothing loaded from elsewhere, printable. All that
//! comes from outside goes through `escape`. Observation and inference stand apart.

mod finding;

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::chart::{Bar, Span, bars, spans};
use super::escape::{block, isolated, text};
use super::level::{Level, TABLE};
use super::{Case, Shown};
use crate::campaign::{self, Findings, NotARecord, families};
use finding::{number, quantity};

/// Violations in full; the others stand in `violations.jsonl`.
pub(super) const FINDINGS_SHOWN: usize = 200;

const CSS: &str = include_str!("page.css");

/// A part of a record as text; what is not there is empty.
fn part<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn count(n: usize, one: &str, more: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {more}") }
}

/// The page.
pub(super) fn page(case: &Case<'_>) -> Result<String, NotARecord> {
    let mut findings = Findings::default();
    for record in case.violations {
        findings.push(record)?;
    }
    let cases = campaign::cases(&findings);
    let css = CSS.trim_end();
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(css));
    let title = match cases.cases.as_slice() {
        [one] if case.level.is_proved() => format!("Case {}", one.id),
        _ => "Evidence of violations".to_string(),
    };
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{}</title>\n<style>{css}</style>\n</head>\n<body>\n<h1>{}</h1>\n",
        text(&title),
        text(&title)
    );
    out.push_str(&head(case, &findings));
    let records: BTreeMap<&str, &Value> = case.violations.iter().map(|r| (part(r, "id"), r)).collect();
    for one in &cases.cases {
        out.push_str(&campaign(&records, &findings, one, cases.cases.len() > 1));
    }
    out.push_str("<h2>The findings</h2>\n");
    let shown = case.violations.len().min(FINDINGS_SHOWN);
    if shown < case.violations.len() {
        out.push_str(&format!(
            "<p>The first {shown} of {} stand here; all are in <code>violations.jsonl</code>.</p>\n",
            case.violations.len()
        ));
    }
    for record in case.violations.iter().take(shown) {
        out.push_str(&finding::section(case, record));
    }
    out.push_str(&finding::done(case));
    out.push_str(&rules(case));
    out.push_str(&checking(case));
    out.push_str("</body>\n</html>\n");
    Ok(out)
}

fn head(case: &Case<'_>, findings: &Findings) -> String {
    let rows = [
        (
            "Holds",
            format!(
                "{}, {}, {}, {}",
                count(case.violations.len(), "violation", "violations"),
                count(findings.n_accounts(), "account", "accounts"),
                count(case.decisions.len(), "decision", "decisions"),
                count(case.acts.len(), "act on actions", "acts on actions"),
            ),
        ),
        ("Shown for", format!("{} ({})", case.level.word(), said(case.level))),
        ("Asked for", isolated(&case.asked.to_string())),
        ("Exported by", case.by.map(isolated).unwrap_or_default()),
        ("Because", case.reason.map(isolated).unwrap_or_default()),
        ("Log", format!("{} entries, signed by <code>{}</code>", case.size, text(&case.key))),
    ];
    let rows = rows.iter().filter(|(_, told)| !told.is_empty());
    let rows: String = rows.map(|(name, told)| format!("<tr><th>{name}</th><td>{told}</td></tr>\n")).collect();
    format!(
        "<table>\n{rows}</table>\n<p>A rule observes; a person decides. This page keeps apart what was <em>observed</em>, what was \
         <em>inferred</em> from it, and what was <em>decided</em> and <em>done</em>. It names no person behind an account. It is \
         made from the other files of the bundle, which can be checked without trusting who made it: see the end.</p>\n"
    )
}

fn said(level: Level) -> &'static str {
    match level.is_proved() {
        true => "records as they were sealed",
        false => "parts are hidden or go by pseudonyms; the log's key attests what is shown",
    }
}

/// A campaign with its charts.
fn campaign(
    records: &BTreeMap<&str, &Value>,
    findings: &Findings,
    one: &campaign::Case,
    is_one_of_several: bool,
) -> String {
    let of: Vec<_> = one.findings.iter().chain(&one.beside).filter_map(|i| findings.all().get(*i)).collect();
    let records: Vec<&Value> = of.iter().filter_map(|f| records.get(f.id.as_str()).copied()).collect();
    let name = if is_one_of_several { format!("Campaign {}", one.id) } else { "The campaign".to_string() };
    let mut out = format!("<h2>{}</h2>\n", text(&name));
    out.push_str(&format!(
        "<p>{} of {}, resting on events from {} to {}. <em>Inferred:</em> that they belong together, because they name the same \
         accounts.</p>\n",
        count(one.findings.len(), "finding", "findings"),
        count(one.accounts.len(), "account", "accounts"),
        one.first,
        one.last
    ));
    let span = |f: &&campaign::Finding| Span {
        label: f.rule.clone(),
        from: f.first,
        to: f.last,
        told: format!("{} events", f.n_events),
    };
    let mut timeline: Vec<Span> = of.iter().map(span).collect();
    timeline.sort_by(|a, b| (a.from, a.to, &a.label).cmp(&(b.from, b.to, &b.label)));
    out.push_str("<h4>When: from the first to the last event of each finding</h4>\n");
    out.push_str(&spans("Timeline of the findings", &timeline));
    let ties = families(findings, one);
    if !ties.is_empty() {
        let bar = |f: &campaign::Family| Bar {
            label: f.name.clone(),
            amount: f.n_accounts as i128,
            told: format!("{}{} of {}", if f.complete { "" } else { "≥ " }, f.n_accounts, one.accounts.len()),
            bound: None,
        };
        out.push_str("<h4>Accounts that have a value in common with another, by what it is</h4>\n");
        out.push_str(&bars("Accounts by family", &ties.iter().map(bar).collect::<Vec<_>>()));
        let values = ties.iter().map(|f| {
            let values: Vec<String> = f
                .values
                .iter()
                .take(5)
                .map(|v| format!("{} ({} accounts)", isolated(&v.value), v.n_accounts))
                .collect();
            let more = if f.values.len() > 5 { format!(", and {} more", f.values.len() - 5) } else { String::new() };
            format!("<li>{}: {}{more}</li>\n", isolated(&f.name), values.join(", "))
        });
        out.push_str(&format!("<ul>\n{}</ul>\n", values.collect::<String>()));
    }
    let volumes: Vec<Bar> = records.iter().flat_map(|r| measured(r)).collect();
    if !volumes.is_empty() {
        out.push_str("<h4>What was counted at its peak, against the threshold (the line) where one is shown</h4>\n");
        out.push_str(&bars("Volume against thresholds", &volumes));
    }
    out
}

/// The values of a record that can be drawn.
fn measured(record: &Value) -> Vec<Bar> {
    let values = record.get("values").and_then(Value::as_object).into_iter().flatten();
    let bar = |(name, v): (&String, &Value)| {
        let peak = v.get("peak")?;
        let bound = v.get("threshold").and_then(|t| t.get("value")).and_then(quantity);
        let amount = quantity(peak)?;
        let told = match v.get("threshold").filter(|t| t.is_object()) {
            Some(t) => {
                format!("{} {} {}", number(peak), part(t, "operator"), number(t.get("value").unwrap_or(&Value::Null)))
            }
            None => number(peak),
        };
        (bound.is_some() || v.get("threshold").is_none_or(Value::is_null)).then(|| Bar {
            label: format!("{name} · {}", part(record, "rule")),
            amount,
            told,
            bound,
        })
    };
    // Without a bound a number says little; where bounds are hidden all numbers are shown.
    let all: Vec<Bar> = values.filter_map(bar).collect();
    let bounded = all.iter().any(|b| b.bound.is_some());
    all.into_iter().filter(|b| b.bound.is_some() || !bounded).collect()
}

fn rules(case: &Case<'_>) -> String {
    let mut out = String::new();
    if !case.rules.is_empty() {
        out.push_str(
            "<h2>The rules as they were</h2>\n<p>As their authors wrote them. What is sealed in each finding is the SHA-256 of the rule's \
             canonical text, <code>rules/HASH.txt</code>.</p>\n",
        );
    }
    for (hash, rule) in case.rules {
        out.push_str(&format!("<h4><code>{}</code></h4>\n<pre>{}</pre>\n", text(hash), block(&rule.written)));
    }
    if !case.documents.is_empty() {
        out.push_str(
            "<h2>The documents as they were</h2>\n<p>As the rules named them: version, clauses, since when.</p>\n",
        );
        out.push_str(&format!("<pre>{}</pre>\n", block(case.documents)));
    }
    out
}

/// What each level shows, as the table has it.
fn levels(level: Level) -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.into_iter().map(move |(part, told, _)| {
        let how = match level.shows(part) {
            Shown::Whole => "as it is",
            Shown::Pseudonym => "as a pseudonym of this bundle",
            Shown::Day => "the day alone",
            Shown::Hidden => "not shown",
        };
        (told, how)
    })
}

fn checking(case: &Case<'_>) -> String {
    let rows: String =
        levels(case.level).map(|(told, how)| format!("<tr><td>{}</td><td>{how}</td></tr>\n", text(told))).collect();
    let proof = match case.level.is_proved() {
        true => {
            "Each finding, decision and act is proved to be an entry of the log under the checkpoint, exactly as it stands in \
                 the files."
        }
        false => {
            "Findings, decisions and acts are <strong>not proved</strong> one by one: parts of them are hidden, so they cannot \
                  hash to what was sealed. The signature says that the holder of the log's key attests them."
        }
    };
    format!(
        "<h2>How to check this</h2>\n<p>Take the log's public key from somewhere else than this bundle. Then:</p>\n\
         <pre>fineprint verify CASE.zip --key PUBLIC-KEY</pre>\n<p>{proof} <code>VERIFY.md</code> says what is checked and how to do it \
         without Fineprint.</p>\n<h4>What this bundle shows</h4>\n<table>\n{rows}</table>\n"
    )
}

/// `VERIFY.md`.
pub(super) fn instructions(case: &Case<'_>) -> String {
    let rows: String = levels(case.level).map(|(told, how)| format!("| {told} | {how} |\n")).collect();
    let slices = match case.n_slices {
        0 => {
            "This bundle holds no journaled events: its findings are consistent with what was sealed, and are not computed again."
        }
        _ => {
            "`slices/` holds the journaled events of findings, `packs/` the rules with their lists; `fineprint verify` computes the\nfindings again from these."
        }
    };
    let proof = match case.level.is_proved() {
        true => {
            "For each line of the `.jsonl` files `proofs.jsonl` has a line with `file` and `line`: the SHA-256 of that line is `digest`; the \
                 leaf is\nSHA-256 over a zero byte and the lines `fineprint entry 1`, `seq`, `kind`, `subject`, `digest`; `path` leads from it to the root of\n\
                 `checkpoint` (RFC 9162, 2.1.3.2). `rules/HASH.txt` hash to their names, which stand in the violations as `rule_hash`."
        }
        false => {
            "Parts of the records are hidden, so they do not hash to what was sealed, and nothing here proves them one by one. What the\n\
                  signature says is that the holder of the log's key attests them. Ask for a bundle of level `authority` to have them proved."
        }
    };
    format!(
        "# How to check this bundle\n\nTake the log's public key from somewhere else than this bundle: from who runs the log, from an earlier letter, from a\n\
         publication. Then, with the zip as you got it:\n\n    fineprint verify CASE.zip --key PUBLIC-KEY\n\nIt says `holds`, or names each file that was altered and what. \
         Where you kept a checkpoint of the log, add `--anchor FILE`:\nit then shows that nothing of what was before it was rewritten.\n\n\
         Without Fineprint: `verify_bundle.py` of its examples does the same in Python. By hand:\n\n\
         1. `MANIFEST` is a signed note (C2SP `signed-note`, Ed25519). Check its signature with the key.\n\
         2. Each line `file SHA256 PACKED BYTES NAME` names a file: SHA-256 of its content, SHA-256 of its bytes in the zip.\n\
         3. `checkpoint` is a signed note too (C2SP `tlog-checkpoint`): size and root of the log, as in `MANIFEST`.\n\
         4. {proof}\n\n{slices}\n\n## What is shown (level `{}`)\n\n| part | shown |\n|---|---|\n{rows}\n\
         A valid bundle says that this is what the log holds. That what the rules observed is a breach of a contract is for people to\njudge: `case.html` \
         keeps observation, inference and decision apart.\n",
        case.level.word()
    )
}
