//! `fineprint verify CASE.zip`: holds a bundle against the log's public key.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::bundle::{self, Anchor, FILES_MAX, Finding, Level, Problem, Report, Standing, TOTAL_BYTES_MAX};
use crate::cli::Format;
use crate::cli::exit::Exit;
use crate::cli::terminal::{grouped, output, printable};
use crate::derive::{Slice, Verdict, recompute};
use crate::pack::load_kept;
use crate::plan::RuleSet;
use crate::seal::Verifier;
use crate::template::FingerprintKey;

/// A file that is longer is no bundle: its contents, and as much again for headers.
const BUNDLE_BYTES_MAX: u64 = TOTAL_BYTES_MAX + FILES_MAX as u64 * 1_024;

/// What a bundle is held against.
pub(in crate::cli) struct Asked<'a> {
    pub(in crate::cli) key: Option<&'a Verifier>,
    pub(in crate::cli) anchors: &'a [Anchor],
    pub(in crate::cli) format: Format,
    pub(in crate::cli) fingerprints: FingerprintKey,
    pub(in crate::cli) recompute: bool,
}

/// What is known of a finding at the end.
struct Known {
    id: String,
    word: &'static str,
    why: String,
}

/// Reads a bundle and says what holds.
pub(in crate::cli) fn verify(path: &Path, asked: &Asked<'_>) -> anyhow::Result<Exit> {
    let size = std::fs::metadata(path).with_context(|| format!("cannot read the bundle `{}`", path.display()))?.len();
    let mut report = if size > BUNDLE_BYTES_MAX {
        let mut report = Report::default();
        report.problem("the zip", format!("has {size} bytes; a bundle has at most {BUNDLE_BYTES_MAX}"));
        report
    } else {
        let zip = std::fs::read(path).with_context(|| format!("cannot read the bundle `{}`", path.display()))?;
        bundle::verify(&zip, asked.key, asked.anchors)
    };
    let known = if report.holds() && asked.recompute { again(&mut report, asked.fingerprints)? } else { Vec::new() };
    let mut out = output();
    match asked.format {
        Format::Json => writeln!(out, "{:#}", as_json(&report, &known, asked.key.is_some()))?,
        Format::Text => text(&mut out, &report, &known, asked)?,
    }
    out.flush()?;
    Ok(if report.holds() { Exit::Fine } else { Exit::Findings })
}

/// Computes findings again, where the bundle has what it takes.
fn again(report: &mut Report, key: FingerprintKey) -> anyhow::Result<Vec<Known>> {
    let packs = std::mem::take(&mut report.packs);
    let mut rules: BTreeMap<String, Result<Arc<RuleSet>, String>> = BTreeMap::new();
    let mut known = Vec::new();
    for Finding { id, record, standing } in std::mem::take(&mut report.findings) {
        let verdict = match &standing {
            Standing::Erased => Verdict::Erased,
            Standing::ConsistentOnly(why) => Verdict::ConsistentOnly(why.clone()),
            Standing::Sliced { slice, bundle } => {
                if !rules.contains_key(bundle) {
                    let pack = packs.get(bundle).ok_or_else(|| "its rules are not in the bundle".to_string());
                    rules.insert(bundle.clone(), pack.and_then(|files| loaded(files, bundle, key)));
                }
                let of = rules.get(bundle).cloned().unwrap_or_else(|| Err(String::new()));
                match (Slice::parse(slice), of) {
                    (Ok(slice), Ok(rules)) => recompute(&slice, &rules, &record),
                    (Err(why), _) | (_, Err(why)) => Verdict::ConsistentOnly(why),
                }
            }
        };
        let (word, why) = match verdict {
            Verdict::ReDerived => ("re-derived", String::new()),
            Verdict::Erased => (
                "erased",
                "its record says that what it rests on was erased; the log shows by whom (`verify --db`)".to_string(),
            ),
            Verdict::ConsistentOnly(why) => ("consistent only", why),
            Verdict::Differs(differences) => {
                let fields: Vec<&str> = differences.iter().map(|d| d.field.as_str()).collect();
                let why = format!("computed again from its events it comes out otherwise: {}", fields.join(", "));
                report.problem(format!("violation {id}"), why.clone());
                ("differs", why)
            }
        };
        known.push(Known { id, word, why });
    }
    Ok(known)
}

/// The rules of a pack, by way of files of a moment.
fn loaded(files: &BTreeMap<String, Vec<u8>>, bundle: &str, key: FingerprintKey) -> Result<Arc<RuleSet>, String> {
    let dir = Scratch::new().map_err(|e| format!("its rules cannot be unpacked: {e}"))?;
    // Both are looked into, also where a pack has no lists.
    let parts = ["rules", "lists"].map(|part| std::fs::create_dir_all(dir.0.join(part)));
    parts.into_iter().collect::<std::io::Result<()>>().map_err(|e| format!("its rules cannot be unpacked: {e}"))?;
    for (path, bytes) in files {
        let path = dir.0.join(path);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, bytes));
        written.map_err(|e| format!("its rules cannot be unpacked: {e}"))?;
    }
    let pack = load_kept(&dir.0, key).map_err(|e| format!("its rules cannot be read: {e}"))?;
    match pack.rules {
        Some(rules) if rules.bundle_hash() == bundle => Ok(rules),
        Some(_) => {
            Err("its rules are others than its events were read under, or stand on a secret key of fingerprints"
                .to_string())
        }
        None => Err("its rules cannot be used".to_string()),
    }
}

/// A directory that goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Scratch> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(std::io::Error::from)?;
        let name: String = hex::encode(random);
        let dir = std::env::temp_dir().join(format!("fineprint-{name}"));
        std::fs::create_dir(&dir)?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tally(known: &[Known], word: &str) -> u64 {
    known.iter().filter(|k| k.word == word).count() as u64
}

fn as_json(report: &Report, known: &[Known], key_given: bool) -> Value {
    json!({
        "holds": report.holds(),
        "level": report.level.map(Level::word),
        "key": report.key,
        "key_given": key_given,
        "entries": report.entries,
        "files": report.files,
        "proved": report.proved,
        "attested": report.attested,
        "rules": report.rules,
        "findings": known.iter().map(|k| json!({ "violation": k.id, "is": k.word, "why": k.why })).collect::<Vec<_>>(),
        "anchored": report.anchored,
        "problems": report.problems.iter().map(|p| json!({ "what": p.what, "found": p.found })).collect::<Vec<_>>(),
        "problems_total": report.problems_total,
    })
}

fn text(out: &mut impl Write, report: &Report, known: &[Known], asked: &Asked<'_>) -> std::io::Result<()> {
    for Problem { what, found } in &report.problems {
        writeln!(out, "{}: {}", printable(what), printable(found))?;
    }
    let more = report.problems_total.saturating_sub(report.problems.len() as u64);
    if more > 0 {
        writeln!(out, "and {} more", grouped(more))?;
    }
    let level = report.level.map_or("unknown", Level::word);
    if !report.holds() {
        return writeln!(
            out,
            "does NOT hold: {} problems in a bundle of level {level}",
            grouped(report.problems_total)
        );
    }
    writeln!(out, "holds: {} files as they were signed, level {level}", grouped(report.files + 1))?;
    writeln!(
        out,
        "signed: by {}, over a log of {} entries",
        printable(report.key.as_deref().unwrap_or_default()),
        grouped(report.entries)
    )?;
    if report.proved > 0 {
        writeln!(
            out,
            "proved: {} violations, decisions, acts, rule sets and keys are in the log, as they are shown",
            grouped(report.proved)
        )?;
    }
    if report.attested > 0 {
        writeln!(
            out,
            "attested: {} violations, decisions and acts are shown in part; that they are in the log is the word of the key's holder, and is not proved",
            grouped(report.attested)
        )?;
    }
    if !known.is_empty() {
        writeln!(
            out,
            "rule texts: those of {} of {} violations, by their hash",
            grouped(report.rules),
            grouped(known.len() as u64)
        )?;
        writeln!(
            out,
            "findings: {} re-derived from their events, {} consistent only, {} erased",
            grouped(tally(known, "re-derived")),
            grouped(tally(known, "consistent only")),
            grouped(tally(known, "erased"))
        )?;
        let mut why: BTreeMap<&str, u64> = BTreeMap::new();
        known.iter().filter(|k| k.word == "consistent only").for_each(|k| *why.entry(&k.why).or_default() += 1);
        for (why, n) in why {
            writeln!(out, "  consistent only, {}: {}", grouped(n), printable(why))?;
        }
    }
    for name in &report.anchored {
        writeln!(out, "grew out of: {}", printable(name))?;
    }
    if asked.key.is_none() {
        writeln!(
            out,
            "note: the key is the bundle's own word: anybody can make one so; give the key that you were handed with --key"
        )?;
    }
    if report.anchored.is_empty() {
        writeln!(
            out,
            "note: no checkpoint kept elsewhere was given (--anchor): a log that was rewritten by who holds its key would hold too"
        )?;
    }
    Ok(())
}
