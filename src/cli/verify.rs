//! `fineprint verify`: holds a log against its seals, and its findings against what comes out of its journal.

mod derived;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use self::derived::Derived;
use super::Format;
use super::bundle;
use super::exit::Exit;
use super::fingerprints::KeyFile;
use super::terminal::{grouped, output, printable};
use super::violations::Log;
use super::wrong::Wrong;
use crate::seal::{Note, Verifier};
use crate::store::{Anchor, Trust, Verified};
use crate::time::{SECOND_NS, Timestamp};

/// Checks that nothing of a violation log, or of a bundle of evidence, was altered, taken out, put in or rolled back, and computes
/// its findings again
///
/// Every violation, decision and change of rules is an entry of a tree whose size and root are signed. What does not hold is
/// named, one line each, and the command ends with 1. Against who holds both the log and its key, keep checkpoints elsewhere
/// (`fineprint log checkpoint`) and name them with --anchor.
///
/// Where the journal and the rules that were in force lie beside the log (`FILE.journal`, `FILE.rules`), every finding is computed
/// again and held against what was sealed.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// A bundle of evidence, as `violations export --bundle` writes it
    #[arg(value_name = "CASE.zip", conflicts_with = "db", required_unless_present = "db")]
    bundle: Option<PathBuf>,
    /// The violation log; several times for several logs
    #[arg(long, value_name = "FILE")]
    db: Vec<PathBuf>,
    /// The log's public key as you were given it: `name+hash+base64`, or a file that holds it. Without it the keys that the
    /// log itself names are taken
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Checkpoints of this log that were kept elsewhere, one behind the other
    #[arg(long, value_name = "FILE")]
    anchor: Vec<PathBuf>,
    /// The public key of a witness that has cosigned one of the checkpoints that were kept, or a file that holds it
    #[arg(long, value_name = "KEY", requires = "anchor")]
    witness: Vec<String>,
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
        let given = self.key.as_deref().map(|given| key("--key", given)).transpose()?;
        if given.as_ref().is_some_and(Verifier::is_witness) {
            return Err(Wrong::new("`--key` is given the key of a witness", "name it with `--witness`").into());
        }
        let witnesses = self.witness.iter().map(|given| key("--witness", given)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut anchors = Vec::new();
        for path in &self.anchor {
            anchors.extend(kept(path)?);
        }
        let trust = Trust { key: given.as_ref(), anchors: &anchors, witnesses: &witnesses };
        if let Some(path) = self.bundle.as_deref() {
            let kept = |a: &Anchor| bundle::Kept { name: a.name.clone(), note: a.note.clone() };
            let anchors: Vec<bundle::Kept> = anchors.iter().map(kept).collect();
            let asked = bundle::Asked {
                key: given.as_ref(),
                anchors: &anchors,
                format: self.format,
                fingerprints: self.fingerprints.read()?,
                recompute: !self.no_recompute,
            };
            return bundle::verify(path, &asked);
        }
        let mut out = output();
        let mut worst = Exit::Fine;
        for db in &self.db {
            let exit = match verified(db, &trust).and_then(|v| self.derived(db, v)) {
                Ok((verified, derived)) => {
                    self.tell(&mut out, db, &verified, &derived)?;
                    if verified.holds() { Exit::Fine } else { Exit::Findings }
                }
                Err(error) if self.db.len() == 1 => return Err(error),
                Err(error) => {
                    self.tell_error(&mut out, db, &error)?;
                    Exit::Usage
                }
            };
            worst = if exit as u8 > worst as u8 { exit } else { worst };
        }
        out.flush()?;
        Ok(worst)
    }

    /// Computes the findings again; what does not come out is a problem of the log.
    fn derived(&self, db: &Path, mut verified: Verified) -> anyhow::Result<(Verified, Derived)> {
        let log = Log::open(db)?;
        let derived = derived::derive(&log, db, &verified, self.fingerprints.read()?, !self.no_recompute)?;
        derived.tell(&mut verified);
        Ok((verified, derived))
    }

    fn tell(&self, out: &mut impl Write, db: &Path, verified: &Verified, derived: &Derived) -> anyhow::Result<()> {
        let several = self.db.len() > 1;
        let mut json = as_json(verified, self.key.is_some());
        if let Some(json) = json.as_object_mut() {
            json.insert("journal".to_string(), derived.journal_json());
            json.insert("findings".to_string(), derived.json());
            if several {
                json.insert("db".to_string(), db.display().to_string().into());
            }
        }
        match self.format {
            Format::Json if several => writeln!(out, "{}", crate::cli::terminal::inert_json(&json.to_string()))?,
            Format::Json => {
                crate::cli::terminal::write_json(&mut *out, &json)?;
                writeln!(out)?;
            }
            Format::Text => {
                if several {
                    writeln!(out, "{}:", printable(&db.display().to_string()))?;
                }
                text(out, verified, self.key.is_some())?;
                derived.text(out)?;
            }
        }
        Ok(())
    }

    fn tell_error(&self, out: &mut impl Write, db: &Path, error: &anyhow::Error) -> std::io::Result<()> {
        let (db, why) = (db.display().to_string(), format!("{error:#}"));
        match self.format {
            Format::Json => writeln!(out, "{}", json!({ "holds": false, "error": why, "db": db })),
            Format::Text => writeln!(out, "{}:\ncannot be verified: {}", printable(&db), printable(&why)),
        }
    }
}

fn verified(db: &Path, trust: &Trust<'_>) -> anyhow::Result<Verified> {
    let log = Log::open(db)?;
    let verified = log.wait(log.store.verify_by(trust, &mut |_| {}))?;
    Ok(verified)
}

/// A public key as it is, or the file that holds it.
fn key(option: &str, given: &str) -> anyhow::Result<Verifier> {
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    let path = Path::new(given);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(_) => {
            let why = given.parse::<Verifier>().err().map(|e| e.to_string()).unwrap_or_default();
            let message = format!("`{option} {}` is neither a public key ({why}) nor a file", printable(given));
            let help = match option {
                "--key" => "`fineprint log key --db FILE` prints the key of a log",
                _ => "a witness hands out its key, in one line `name+hash+base64`",
            };
            return Err(Wrong::new(message, help).into());
        }
    };
    text.parse().with_context(|| format!("`{}` holds no public key", path.display()))
}

/// The checkpoints of a file.
fn kept(path: &Path) -> anyhow::Result<Vec<Anchor>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the checkpoint `{}`", path.display()))?;
    let notes = Note::parse_all(&text).with_context(|| format!("`{}` holds no checkpoint", path.display()))?;
    Ok(notes.into_iter().map(|note| Anchor { name: path.display().to_string(), note }).collect())
}

/// Names with how often they stand there, in their order.
fn counted(names: &[String]) -> Vec<(&str, u64)> {
    let mut counted: Vec<(&str, u64)> = Vec::new();
    for name in names {
        match counted.iter_mut().find(|(known, _)| known == name) {
            Some((_, n)) => *n += 1,
            None => counted.push((name, 1)),
        }
    }
    counted
}

fn time(seconds: u64) -> String {
    Timestamp(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND_NS)).to_string()
}

fn as_json(verified: &Verified, key_given: bool) -> serde_json::Value {
    json!({
        "holds": verified.holds(),
        "entries": verified.entries,
        "held": verified.held,
        "root": hex::encode(verified.root),
        "key_given": key_given,
        "signed": verified.signed.iter().map(|s| json!({ "key": s.key, "entries": s.size })).collect::<Vec<_>>(),
        "anchored": counted(&verified.anchored).iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        "anchors": verified.anchored.len(),
        "witnessed": verified
            .witnessed
            .iter()
            .map(|w| json!({ "key": w.key, "entries": w.size, "at": w.at.map(time), "checkpoints": w.checkpoints }))
            .collect::<Vec<_>>(),
        "given_erased": verified.given_erased,
        "erased": verified.erased,
        "erasures": verified.erasures.iter().map(|e| json!({
            "number": e.number, "at": e.at.to_string(), "by": e.by, "reason": e.reason, "account": e.account,
            "touched": e.touched.len(), "events": e.journal.iter().map(|(.., n)| n).sum::<u64>(), "actions_kept": e.kept,
        })).collect::<Vec<_>>(),
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
    for (name, n) in counted(&verified.anchored) {
        let several = if n > 1 { format!(" ({} checkpoints)", grouped(n)) } else { String::new() };
        writeln!(out, "grew out of: {}{several}", printable(name))?;
    }
    for witness in &verified.witnessed {
        let at = witness.at.map(|at| format!(" at {}", time(at))).unwrap_or_default();
        writeln!(out, "witnessed: the first {}{at} by {}", grouped(witness.size), printable(&witness.key))?;
    }
    if verified.given_erased > 0 {
        writeln!(out, "erased: {} given decisions, of which a hash is left", grouped(verified.given_erased))?;
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
