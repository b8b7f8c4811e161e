//! `fineprint rejects`: the records that were refused, and why.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::Format;
use super::exit::Exit;
use super::terminal::{inert_json, output, printable};
use super::violations::Log;

/// Prints the refused records: input, line, reason
#[derive(Debug, clap::Args)]
pub(super) struct Rejects {
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Only of this input
    #[arg(long, value_name = "NAME")]
    input: Option<String>,
    /// How to print; `json` prints one object a line
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Rejects {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let log = Log::open(&self.db)?;
        // The rows come from the database while it waits; what they become is collected, since output is not `Send`.
        let mut lines = Vec::new();
        let format = self.format;
        let n = log.wait(log.store.rejects(self.input.as_deref(), &mut |r| {
            lines.push(match format {
                Format::Json => {
                    let line = json!({ "input": r.input, "line": r.line, "reason": r.reason, "field": r.field, "detail": r.detail });
                    inert_json(&line.to_string()).into_owned()
                }
                Format::Text => format!(
                    "{}:{}: {}{}",
                    printable(&r.input),
                    r.line,
                    r.reason,
                    if r.detail.is_empty() { String::new() } else { format!(": {}", printable(&r.detail)) }
                ),
            });
            Ok(())
        }))?;
        let mut out = output();
        for line in &lines {
            writeln!(out, "{line}")?;
        }
        if format == Format::Text {
            writeln!(out, "{n} refused")?;
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}
