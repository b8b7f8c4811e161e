//! `fineprint violations export`: the log as a file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use super::bundle::Bundle;
use super::exit::Exit;
use super::terminal::note;
use super::violations::{Log, Which, latest_json};
use crate::export::{CsvWriter, JsonlWriter};
use crate::store::StoreError;

/// Writes violations as JSON lines or CSV, sorted by opening time and id; with `--bundle` as a case that others can check
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The form of the file
    #[arg(long, value_enum, default_value_t, conflicts_with = "bundle")]
    format: ExportFormat,
    /// Adds the decision that counts to each line of JSON, as its last key, `null` where there is none; without it lines are
    /// the records themselves. CSV always has a column
    #[arg(long, conflicts_with = "bundle")]
    decisions: bool,
    /// Where to write; standard output where it is not given
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    out: Option<PathBuf>,
    #[command(flatten)]
    bundle: Bundle,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// One JSON object a line, whole records
    #[default]
    Jsonl,
    /// The columns that a reviewer sorts by
    Csv,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if self.bundle.is_asked_for() {
            return self.bundle.run(&self.db, &self.which);
        }
        let log = Log::open(&self.db)?;
        match &self.out {
            None => {
                self.write(&log, io::stdout())?;
            }
            Some(path) => {
                // Beside it first: an export that breaks off leaves no half file.
                let beside = beside(path);
                let file = File::create(&beside).with_context(|| format!("cannot write `{}`", beside.display()))?;
                let n = self.write(&log, file).inspect_err(|_| {
                    // It takes the space that was missing.
                    let _ = std::fs::remove_file(&beside);
                })?;
                std::fs::rename(&beside, path).with_context(|| format!("cannot write `{}`", path.display()))?;
                note(format!("{n} violations written to {}", path.display()));
            }
        }
        Ok(Exit::Fine)
    }

    fn write(&self, log: &Log, out: impl Write + Send) -> anyhow::Result<u64> {
        let out = BufWriter::with_capacity(64 * 1024, out);
        let filter = self.which.filter();
        let written = match self.format {
            ExportFormat::Jsonl => {
                let mut out = JsonlWriter::new(out);
                let n = match self.decisions {
                    false => log.wait(log.store.export(&filter, &mut |row| out.write(&row.record))),
                    true => log.wait(log.store.export_decided(&filter, &mut |row, decision| {
                        out.write_with(&row.record, "decision", &latest_json(decision))
                    })),
                };
                n.and_then(|n| Ok(out.finish().map(|_| n)?))
            }
            ExportFormat::Csv => {
                let mut out = CsvWriter::new(out)?;
                let n = log.wait(log.store.export_decided(&filter, &mut |row, decision| {
                    out.write_decided(&row.record, decision.map(|d| d.outcome.word()))
                }));
                n.and_then(|n| Ok(out.finish().map(|_| n)?))
            }
        };
        written.map_err(|e| match e.downcast::<StoreError>() {
            Ok(StoreError::Output(e)) => e.into(),
            Ok(e) => e.into(),
            Err(e) => e,
        })
    }
}

pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}
