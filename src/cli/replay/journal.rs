//! `fineprint replay --journal`: a server's journal run again, under the rules that were in force, and held against its log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::Format as Print;
use crate::cli::exit::Exit;
use crate::cli::terminal::{grouped, output, printable};
use crate::cli::violations::Log;
use crate::cli::wrong::Wrong;
use crate::eval::EvalOptions;
use crate::journal::Position;
use crate::runtime::live::{KeptPacks, Replayed, replay};
use crate::store::Filter;
use crate::template::FingerprintKey;
use crate::violation::to_json;

/// Ids that are named of each kind of difference.
const NAMED_MAX: usize = 20;

/// What the journal gives beside what the log has.
struct Held {
    replayed: Replayed,
    same: u64,
    /// In both, but not alike: which parts differ.
    otherwise: BTreeMap<String, Vec<String>>,
    /// Only in the log, and only found again.
    missing: Vec<String>,
    extra: Vec<String>,
}

/// Runs over the journal of a log and prints how the findings compare.
pub(super) fn run(db: &Path, key: FingerprintKey, options: &EvalOptions, format: Print) -> anyhow::Result<Exit> {
    let log = Log::open(db)?;
    let beside = |end: &str| {
        let mut path = db.as_os_str().to_owned();
        path.push(end);
        PathBuf::from(path)
    };
    let dir = beside(".journal");
    let position = log.wait(log.store.journal_position())?.filter(|_| dir.is_dir());
    let Some(position) = position else {
        let what = format!("`{}` has no journal", db.display());
        return Err(Wrong::new(what, "name the log of `fineprint serve`; its journal lies beside it").into());
    };
    let position = position.parse::<Position>()?;
    // What is committed while the journal is read belongs to a later position: the log is read first.
    let mut records = BTreeMap::new();
    let mut take = |row: &crate::store::Row| {
        records.insert(row.id.clone(), row.record.clone());
        Ok(())
    };
    log.wait(log.store.export(&Filter::default(), &mut take))?;
    let packs = KeptPacks::new(beside(".rules"), key);
    let replayed = replay(&dir, Some(&position), &packs, options)?;
    let held = hold(replayed, records)?;
    let mut out = output();
    match format {
        Print::Text => out.write_all(held.text().as_bytes())?,
        Print::Json => {
            crate::cli::terminal::write_json(&mut out, &held.json())?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(if held.is_same() { Exit::Fine } else { Exit::Findings })
}

fn hold(mut replayed: Replayed, mut records: BTreeMap<String, String>) -> anyhow::Result<Held> {
    let (mut same, mut otherwise, mut extra) = (0, BTreeMap::new(), Vec::new());
    for v in std::mem::take(&mut replayed.violations) {
        let Some(record) = records.remove(&v.id) else {
            extra.push(v.id);
            continue;
        };
        let (record, again): (Value, Value) = (serde_json::from_str(&record)?, to_json(&v));
        let parts = record.as_object().into_iter().flatten();
        // What is proposed depends on a secret, which is not kept.
        let differs = parts.filter(|(part, value)| *part != "actions" && again.get(part.as_str()) != Some(*value));
        let differs: Vec<String> = differs.map(|(part, _)| part.clone()).collect();
        if differs.is_empty() {
            same += 1;
        } else {
            otherwise.insert(v.id, differs);
        }
    }
    Ok(Held { replayed, same, otherwise, missing: records.into_keys().collect(), extra })
}

impl Held {
    fn is_same(&self) -> bool {
        self.otherwise.is_empty() && self.missing.is_empty() && self.extra.is_empty()
    }

    fn json(&self) -> Value {
        let books = &self.replayed.books;
        json!({
            "records": self.replayed.records,
            "changes_of_rules": self.replayed.changes,
            "books": books.by_name(),
            "same": self.same,
            "otherwise": self.otherwise,
            "only_in_log": self.missing,
            "only_in_journal": self.extra,
        })
    }

    fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.sentences(&mut out);
        out
    }

    fn sentences(&self, out: &mut String) -> std::fmt::Result {
        let Replayed { books, changes, records, .. } = &self.replayed;
        let (records, received) = (grouped(*records), grouped(books.received));
        writeln!(out, "{records} records of the journal, of {received} that came in; {changes} changes of rules.")?;
        writeln!(out, "{} violations are found again as the log has them.", grouped(self.same))?;
        let ids = |out: &mut String, what: &str, ids: &[String]| -> std::fmt::Result {
            if ids.is_empty() {
                return Ok(());
            }
            let named: Vec<&str> = ids.iter().take(NAMED_MAX).map(String::as_str).collect();
            let more = if ids.len() > NAMED_MAX { ", …" } else { "" };
            writeln!(out, "{} {what}: {}{more}", grouped(ids.len() as u64), named.join(", "))
        };
        ids(out, "are in the log only", &self.missing)?;
        ids(out, "are found in the journal only", &self.extra)?;
        for (id, parts) in self.otherwise.iter().take(NAMED_MAX) {
            let parts: Vec<_> = parts.iter().map(|p| format!("`{}`", printable(p))).collect();
            writeln!(out, "{id} differs in {}", parts.join(", "))?;
        }
        if !self.is_same() {
            writeln!(
                out,
                "They are the same where `--lateness` and `--state-budget` are those of the server, and the"
            )?;
            writeln!(out, "journal reaches back to the beginning of the log.")?;
        }
        Ok(())
    }
}
