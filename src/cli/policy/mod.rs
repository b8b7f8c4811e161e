//! `fineprint policy`: rules and documents for people who do not run them. One file per command.

mod coverage;
mod diff;
mod render;

use std::path::Path;

use clap::Subcommand;

use super::check::load;
use super::diagnostics;
use super::exit::Exit;
use super::fingerprints::KeyFile;
use super::terminal::note;
use crate::diagnostic::{Diagnostic, Level};
use crate::pack::{Pack, PackOptions};

/// For counsel: rules in plain English, what a change means, which clauses have a rule
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Policy {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Render(render::Render),
    Diff(diff::Diff),
    Coverage(coverage::Coverage),
}

impl Policy {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self.what {
            What::Render(c) => c.run(),
            What::Diff(c) => c.run(),
            What::Coverage(c) => c.run(),
        }
    }
}

/// Reads a pack that can be used; `None` where it cannot, after its mistakes were told.
fn usable(rules: &Path, lists: Option<&Path>, key: &KeyFile) -> anyhow::Result<Option<Pack>> {
    let fingerprint_key = key.read()?;
    let pack = load(&PackOptions { rules, lists, accounts: None, as_of: None, fingerprint_key })?;
    if pack.rules.is_some() {
        return Ok(Some(pack));
    }
    let errors: Vec<Diagnostic> = pack.diagnostics.iter().filter(|d| d.level() == Level::Error).cloned().collect();
    diagnostics::show(&errors, &pack.sources);
    note(format!(
        "the rules in `{}` cannot be used; `fineprint check {}` says the same",
        rules.display(),
        rules.display()
    ));
    Ok(None)
}
