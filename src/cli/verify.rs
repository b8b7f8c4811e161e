//! `fineprint verify`: holds a log against its seals, and its findings against what comes out of its journal.

mod derived;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::Format;
use super::exit::Exit;
use super::fingerprints::KeyFile;
use super::terminal::{grouped, output, printable};
use super::violations::Log;
use super::wrong::Wrong;
use crate::seal::{Note, Verifier};
use crate::store::{Anchor, Verified};

/// Checks that nothing of a violation log was altered, taken out, put in or rolled back, and computes its findings again
///
/// Every violation, decision and change of rules is an entry of a tree whose size and root are signed. What does not hold is
/// named, one line each, and the command ends with 1. Against who holds both the log and its key, keep checkpoints elsewhere
/// (`fineprint log checkpoint`) and name them with --anchor.
///
/// Where the journal and the rules that were in force lie beside the log (`FILE.journal`, `FILE.rules`), every finding is computed
/// again and held against what was sealed.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// The log's public key as you were given it: `name+hash+base64`, or a file that holds it. Without it the keys that the
    /// log itself names are taken
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A checkpoint of this log that was kept elsewhere
    #[arg(long, value_name = "FILE")]
    anchor: Vec<PathBuf>,
    /// Holds hashes alone: no finding is computed again
    #[arg(long)]
    no_recompute: bool,
    #[command(flatten)]
    fingerprints: KeyFile,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let key = self.key.as_deref().map(key).transpose()?;
        let anchors = self.anchor.iter().map(|path| anchor(path)).collect::<anyhow::Result<Vec<Anchor>>>()?;
        let log = Log::open(&self.db)?;
        let verified = log.wait(log.store.verify(key.as_ref(), &anchors, &mut |_| {}))?;
        let derived = derived::derive(&log, &self.db, &verified, self.fingerprints.read()?, !self.no_recompute)?;
        let mut verified = verified;
        derived.tell(&mut verified);
        let mut out = output();
        match self.format {
            Format::Json => {
                let mut json = as_json(&verified, key.is_some());
                if let Some(json) = json.as_object_mut() {
                    json.insert("journal".to_string(), derived.journal_json());
                    json.insert("findings".to_string(), derived.json());
                }
                writeln!(out, "{json:#}")?;
            }
            Format::Text => {
                text(&mut out, &verified, key.is_some())?;
                derived.text(&mut out)?;
            }
        }
        out.flush()?;
        Ok(if verified.holds() { Exit::Fine } else { Exit::Findings })
    }
}

/// A public key as it is, or the file that holds it.
fn key(given: &str) -> anyhow::Result<Verifier> {
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    let path = Path::new(given);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(_) => {
            let why = given.parse::<Verifier>().err().map(|e| e.to_string()).unwrap_or_default();
            let message = format!("`--key {}` is neither a public key ({why}) nor a file", printable(given));
            return Err(Wrong::new(message, "`fineprint log key --db FILE` prints the key of a log").into());
        }
    };
    text.parse().with_context(|| format!("`{}` holds no public key", path.display()))
}

fn anchor(path: &Path) -> anyhow::Result<Anchor> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the checkpoint `{}`", path.display()))?;
    let note = Note::parse(&text).with_context(|| format!("`{}` holds no checkpoint", path.display()))?;
    Ok(Anchor { name: path.display().to_string(), note })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn as_json(verified: &Verified, key_given: bool) -> serde_json::Value {
    json!({
        "holds": verified.holds(),
        "entries": verified.entries,
        "held": verified.held,
        "root": hex(&verified.root),
        "key_given": key_given,
        "signed": verified.signed.iter().map(|s| json!({ "key": s.key, "entries": s.size })).collect::<Vec<_>>(),
        "erased": verified.erased,
        "erasures": verified.erasures.iter().map(|e| json!({
            "number": e.number, "at": e.at.to_string(), "by": e.by, "reason": e.reason, "account": e.account,
            "touched": e.touched.len(), "events": e.journal.iter().map(|(.., n)| n).sum::<u64>(), "actions_kept": e.kept,
        })).collect::<Vec<_>>(),
        "anchored": verified.anchored,
        "problems": verified.problems.iter().map(|p| json!({ "what": p.what, "found": p.found })).collect::<Vec<_>>(),
        "problems_total": verified.problems_total,
    })
}

fn text(out: &mut impl Write, verified: &Verified, key_given: bool) -> std::io::Result<()> {
    for problem in &verified.problems {
        writeln!(out, "{}: {}", printable(&problem.what), printable(&problem.found))?;
    }
    let more = verified.problems_total.saturating_sub(verified.problems.len() as u64);
    if more > 0 {
        writeln!(out, "and {} more", grouped(more))?;
    }
    let entries = grouped(verified.entries);
    if !verified.holds() {
        return writeln!(
            out,
            "does NOT hold: {} of {entries} entries and what they seal",
            grouped(verified.problems_total)
        );
    }
    writeln!(
        out,
        "holds: {entries} entries, {} violations, decisions and rule sets as sealed",
        grouped(verified.held)
    )?;
    if !verified.erasures.is_empty() {
        writeln!(
            out,
            "erased: {} of them are not what they were, because accounts were forgotten:",
            grouped(verified.erased)
        )?;
    }
    for e in &verified.erasures {
        let events: u64 = e.journal.iter().map(|(.., n)| n).sum();
        writeln!(
            out,
            "  erasure {} on {} by {}: {} of them, {} events of the journal ({})",
            e.number,
            e.at,
            printable(&e.by),
            grouped(e.touched.len() as u64),
            grouped(events),
            printable(&e.reason)
        )?;
    }
    for signed in &verified.signed {
        let behind = verified.entries - signed.size;
        let unsigned =
            if behind > 0 { format!(", {} behind it are not signed by it", grouped(behind)) } else { String::new() };
        writeln!(out, "signed: the first {} by {}{unsigned}", grouped(signed.size), printable(&signed.key))?;
    }
    for name in &verified.anchored {
        writeln!(out, "grew out of: {}", printable(name))?;
    }
    if !key_given {
        writeln!(out, "note: the keys are the log's own word; give the key that you were handed with --key")?;
    }
    if verified.anchored.is_empty() {
        writeln!(
            out,
            "note: no checkpoint kept elsewhere was given (--anchor): a log that was rolled back or rewritten by who holds its key would hold too"
        )?;
    }
    Ok(())
}
