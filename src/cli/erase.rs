//! `fineprint erase`: forgets an account.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::Format;
use super::check::today;
use super::exit::Exit;
use super::terminal::{grouped, note, output, printable};
use super::violations::{told, user};
use super::wrong::Wrong;
use crate::eval::erased_name;
use crate::runtime::erase::{Outcome, Request, erase, finish};
use crate::store::{REASON_CHARS_MAX, REVIEWER_CHARS_MAX, Sealed};
use crate::time::{MILLISECOND_NS, Timestamp};

/// Forgets an account: its events in the journal, its name and values in records, decisions and acts
///
/// The log stays verifiable: digests stand for what is gone, an entry seals who erased, when and why, and `verify` says so. The other
/// accounts of a group stay shown. No `run` or `serve` may be writing the log. What was handed on before (exports, bundles,
/// alerts, dead letters, backups) and the inputs themselves are not reached: erase them there.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Erase {
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// The account's id, as events have it
    #[arg(long, value_name = "ID", required_unless_present = "finish")]
    account: Option<String>,
    /// Why: the request, or the ground in law
    #[arg(long, value_name = "TEXT", required_unless_present = "finish")]
    reason: Option<String>,
    /// Who erases; the user's name where it is not given
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Leaves actions as they are that bear on the account or may come to (a block that must stand): their entries go on
    /// naming it. Without this they stand in the way
    #[arg(long)]
    keep_actions: bool,
    /// Says what would go, and does nothing
    #[arg(long)]
    dry_run: bool,
    /// The journal, where it does not lie beside the log
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Finishes an erasure that was interrupted, which the next `run` or `serve` would do, too
    #[arg(long, conflicts_with_all = ["account", "reason", "by", "keep_actions", "dry_run", "journal"])]
    finish: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Erase {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let (Some(account), Some(reason)) = (&self.account, &self.reason) else {
            let finished = finish(&self.db)?;
            note(if finished { "finished" } else { "nothing was left to be done" });
            return Ok(Exit::Fine);
        };
        let reason = told("--reason TEXT", "why it is erased", reason, REASON_CHARS_MAX)?;
        let by = match &self.by {
            Some(by) => told("--by NAME", "who erases", by, REVIEWER_CHARS_MAX)?,
            None => user()?,
        };
        for (flag, text) in [("--reason", &reason), ("--by", &by)] {
            if crate::violation::renamed(text, account, "").is_some() {
                let message = format!("`{flag}` names the account, and would go on naming it");
                return Err(Wrong::new(message, "name the number of the request instead").into());
            }
        }
        let request = Request {
            db: &self.db,
            journal: self.journal.as_deref(),
            account,
            by: &by,
            reason: &reason,
            at: Timestamp(today().0.div_euclid(MILLISECOND_NS) * MILLISECOND_NS),
            keeps_actions: self.keep_actions,
            dry: self.dry_run,
        };
        let outcome = erase(&request)?;
        let mut out = output();
        match self.format {
            Format::Json => {
                crate::cli::terminal::write_json(&mut out, &as_json(&outcome, self.dry_run))?;
                writeln!(out)?;
            }
            Format::Text => text(&mut out, &outcome, self.dry_run)?,
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}

fn count(outcome: &Outcome, kind: Sealed) -> u64 {
    outcome.forgotten.erasure.touched.iter().filter(|t| t.kind == kind).count() as u64
}

fn as_json(outcome: &Outcome, dry: bool) -> serde_json::Value {
    let f = &outcome.forgotten;
    json!({
        "dry_run": dry,
        "number": f.erasure.number,
        "name": erased_name(f.erasure.number),
        "events": outcome.events,
        "violations": count(outcome, Sealed::Violation),
        "decisions": count(outcome, Sealed::Decision),
        "acts": count(outcome, Sealed::Action),
        "given": f.given,
        "rejects": f.rejects,
        "rows": outcome.rows,
        "actions_kept": f.erasure.kept,
        "rule_files": outcome.rule_files.iter().map(|p| p.display().to_string()).collect::<Vec<_>>(),
        "receipt": (!dry).then(|| json!({ "salt": hex::encode(outcome.salt), "account": f.erasure.account })),
    })
}

fn text(out: &mut impl Write, outcome: &Outcome, dry: bool) -> std::io::Result<()> {
    let f = &outcome.forgotten;
    let number = f.erasure.number;
    writeln!(out, "{} {number}:", if dry { "would erase, as erasure" } else { "erasure" })?;
    for (n, what) in [
        (outcome.events, "events in the journal: markers stand in their place"),
        (count(outcome, Sealed::Violation), "violations without its name and values"),
        (count(outcome, Sealed::Decision), "decisions whose text named it"),
        (count(outcome, Sealed::Action), "acts on actions that named it"),
        (f.given, "decisions given to its calls, gone"),
        (f.rejects, "messages about refused records that named it"),
        (outcome.rows, "rows of lists and registries in kept rules, gone"),
    ] {
        if n > 0 {
            writeln!(out, "  {:>9} {what}", grouped(n))?;
        }
    }
    if outcome.events + outcome.rows == 0 && f.is_nothing() {
        writeln!(out, "  nothing of the log names it")?;
    }
    for action in &f.erasure.kept {
        writeln!(out, "  kept: action {action} bears on it, or may come to; its entries go on naming it")?;
    }
    for file in &outcome.rule_files {
        writeln!(
            out,
            "  note: `{}` names it; rule texts that were in force are not changed",
            printable(&file.display().to_string())
        )?;
    }
    if !dry {
        writeln!(out, "it is called `{}` from here on", erased_name(number))?;
        writeln!(
            out,
            "receipt: salt {}: with it, and nothing else, it can be shown which account this was; it is not kept",
            hex::encode(outcome.salt)
        )?;
    }
    Ok(())
}
