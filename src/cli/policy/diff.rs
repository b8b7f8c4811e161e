//! `fineprint policy diff`: what a change of rules and documents means.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::usable;
use crate::cli::Format;
use crate::cli::exit::Exit;
use crate::cli::fingerprints::KeyFile;
use crate::cli::terminal::{output, printable};
use crate::counsel::{self, Changes, Effect, Side};

/// Says in English what changed from one set of rules to another, and whether more or less is reached
///
/// Compared is what the files mean: spelling, layout, comments and tests are no changes. Exits with 1 where something
/// changed.
#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    /// Directory of rule files, or one file: as it was
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// Directory of rule files, or one file: as it is
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Where list and table files of both are looked up first
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    #[command(flatten)]
    key: KeyFile,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Diff {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let lists = self.lists.as_deref();
        let (old, new) = (usable(&self.old, lists, &self.key)?, usable(&self.new, lists, &self.key)?);
        let (Some(old), Some(new)) = (old.and_then(|p| p.rules), new.and_then(|p| p.rules)) else {
            return Ok(Exit::RuleError);
        };
        let old = Side { program: old.program(), data: old.data() };
        let found = counsel::diff(old, Side { program: new.program(), data: new.data() });
        let mut out = output();
        match self.format {
            Format::Json => {
                let report = json!({
                    "documents": rows(&found.documents),
                    "lists": rows(&found.lists),
                    "rules": rows(&found.rules),
                });
                crate::cli::terminal::write_json(&mut out, &report)?;
                writeln!(out)?;
            }
            Format::Text if found.is_empty() => writeln!(out, "nothing changed in what the rules mean")?,
            Format::Text => {
                let parts = [("Documents", &found.documents), ("Lists", &found.lists), ("Rules", &found.rules)];
                for (heading, all) in parts.into_iter().filter(|(_, all)| !all.is_empty()) {
                    writeln!(out, "{heading}")?;
                    for thing in all {
                        writeln!(out, "  {}", printable(&thing.name))?;
                        for change in &thing.changes {
                            let (what, word) = (printable(&change.what), change.effect.word());
                            let what = what.trim_end_matches('.');
                            match change.effect {
                                Effect::Same => writeln!(out, "    [{word}] {what}.")?,
                                effect => writeln!(out, "    [{word}] {what}: {}.", effect.means())?,
                            }
                        }
                    }
                }
            }
        }
        out.flush()?;
        Ok(if found.is_empty() { Exit::Fine } else { Exit::Findings })
    }
}

fn rows(all: &[Changes]) -> Vec<Value> {
    let row = |c: &Changes| {
        let changes: Vec<_> = c
            .changes
            .iter()
            .map(|c| json!({ "what": c.what, "effect": c.effect.word(), "means": c.effect.means() }))
            .collect();
        json!({ "name": c.name, "changes": changes })
    };
    all.iter().map(row).collect()
}
