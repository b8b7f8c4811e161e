//! `fineprint fmt`: rule files in the one form.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::diagnostics;
use super::exit::Exit;
use super::terminal::{note, output, printable};
use crate::diagnostic::has_errors;
use crate::pack::read_sources;
use crate::syntax;

/// Writes rule files in their one form
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Fmt {
    /// Changes nothing: names the files that would change, and exits with 1 where there are any
    #[arg(long)]
    check: bool,
    /// Directory of rule files, or one file
    #[arg(value_name = "DIR")]
    rules: PathBuf,
}

impl Fmt {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let read = read_sources(&self.rules).map_err(|e| anyhow::anyhow!(e))?;
        let mut mistakes = read.diagnostics;
        let mut changed = 0;
        let mut out = output();
        for ((id, source), path) in read.map.iter().zip(&read.paths) {
            let (file, found) = syntax::parse(id, &source.text);
            if has_errors(&found) || mistakes.iter().any(|d| d.primary.span.source == id) {
                mistakes.extend(found);
                continue;
            }
            let formatted = syntax::print(&file, &source.text);
            if formatted == std::fs::read_to_string(path).unwrap_or_default() {
                continue;
            }
            changed += 1;
            if self.check {
                writeln!(out, "{}", printable(&source.name))?;
            } else {
                replace(path, &formatted)?;
            }
        }
        out.flush()?;
        if !mistakes.is_empty() {
            diagnostics::show(&mistakes, &read.map);
        }
        let files = read.paths.len();
        let verb = if self.check { "would change" } else { "changed" };
        note(format!("{changed} of {files} files {verb}"));
        Ok(if has_errors(&mistakes) {
            Exit::RuleError
        } else if self.check && changed > 0 {
            Exit::Findings
        } else {
            Exit::Fine
        })
    }
}

/// Through a file beside it, so that an interrupted write loses nothing.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, text)?;
    std::fs::set_permissions(&beside, std::fs::metadata(path)?.permissions())?;
    std::fs::rename(&beside, path)?;
    Ok(())
}
