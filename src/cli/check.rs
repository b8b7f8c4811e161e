//! `fineprint check`: whether rule files can be used, and what they cost.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Format;
use super::diagnostics;
use super::exit::Exit;
use super::fingerprints::KeyFile;
use super::terminal::{output, printable, table};
use super::wrong::Wrong;
use crate::diagnostic::{has_errors, to_json};
use crate::hir::{Program, Rule, Shape};
use crate::pack::{self, Pack, PackError, PackOptions};
use crate::template::FingerprintKey;

/// Checks rule files: grammar, names, types, units, clauses, lists, costs
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Check {
    /// Directory of rule files, or one file
    #[arg(value_name = "DIR")]
    rules: PathBuf,
    /// Where list and table files are looked up first
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    #[command(flatten)]
    key: KeyFile,
    /// Shows what each rule keeps: window, steps per window, aggregates, keys
    #[arg(long)]
    cost: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let pack = load(&self.rules, self.lists.as_deref(), None, self.key.read()?)?;
        let program = pack.rules.as_ref().map(|r| r.program());
        let mut out = output();
        match self.format {
            Format::Json => {
                let rules = program.map_or_else(Vec::new, |p| p.rules.iter().map(rule_json).collect());
                let report = json!({
                    "diagnostics": to_json(&pack.diagnostics, &pack.sources),
                    "files": pack.paths.len(),
                    "rules": rules,
                    "usable": program.is_some(),
                });
                serde_json::to_writer_pretty(&mut out, &report)?;
                writeln!(out)?;
            }
            Format::Text => {
                diagnostics::show(&pack.diagnostics, &pack.sources);
                if let Some(program) = program {
                    if self.cost {
                        writeln!(out, "{}", costs(program))?;
                    }
                    writeln!(out, "{}", summary(&pack, program))?;
                }
            }
        }
        out.flush()?;
        Ok(if has_errors(&pack.diagnostics) || program.is_none() { Exit::RuleError } else { Exit::Fine })
    }
}

/// Reads a pack, with what to write instead where it cannot be read.
pub(super) fn load(
    rules: &Path,
    lists: Option<&Path>,
    accounts: Option<&Path>,
    fingerprint_key: FingerprintKey,
) -> anyhow::Result<Pack> {
    if let Some(lists) = lists.filter(|l| !l.is_dir()) {
        let what = format!("`--lists {}` is no directory", lists.display());
        return Err(Wrong::new(what, "name the directory that holds the list files of the rules").into());
    }
    pack::load(&PackOptions { rules, lists, accounts, fingerprint_key }).map_err(|e| match &e {
        PackError::NoRules(path) => Wrong::new(
            format!("there is no rule file in `{}`", path.display()),
            "name a directory with files that end in `.tos`, such as `rules`",
        )
        .into(),
        PackError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Wrong::new(e.to_string(), "name a directory of rule files that is there, such as `rules`").into()
        }
        _ => anyhow::Error::from(e),
    })
}

fn summary(pack: &Pack, program: &Program) -> String {
    let plural = |n: usize, one: &str, more: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {more}") };
    format!(
        "{} in {}: {}, {}, {}",
        plural(program.rules.len(), "rule", "rules"),
        plural(pack.paths.len(), "file", "files"),
        plural(program.policies.len(), "policy", "policies"),
        plural(program.lists.len(), "list", "lists"),
        diagnostics::count(&pack.diagnostics),
    )
}

fn costs(program: &Program) -> comfy_table::Table {
    let mut table = table(&["RULE", "SEVERITY", "MODE", "WINDOW", "STEP", "STEPS", "AGGREGATES", "PER"]);
    for rule in &program.rules {
        let (window, step, steps, aggregates, keys) = shape(rule);
        let name = printable(&rule.name).into_owned();
        table.add_row([
            name,
            rule.severity.word().into(),
            rule.mode.word().into(),
            window,
            step,
            steps,
            aggregates,
            keys,
        ]);
    }
    table
}

fn shape(rule: &Rule) -> (String, String, String, String, String) {
    match &rule.shape {
        Shape::Single => ("single event".into(), "-".into(), "-".into(), "-".into(), "-".into()),
        Shape::Windowed(w) => (
            w.length.to_string(),
            w.step.to_string(),
            (w.length.0 / w.step.0.max(1)).to_string(),
            w.aggregates.len().to_string(),
            format!("{} part{}", w.per.len(), if w.per.len() == 1 { "" } else { "s" }),
        ),
    }
}

fn rule_json(rule: &Rule) -> serde_json::Value {
    let window = match &rule.shape {
        Shape::Single => serde_json::Value::Null,
        Shape::Windowed(w) => json!({
            "length": w.length.to_string(),
            "step": w.step.to_string(),
            "steps": w.length.0 / w.step.0.max(1),
            "aggregates": w.aggregates.len(),
            "keys": w.per.len(),
        }),
    };
    json!({
        "name": rule.name,
        "enforces": rule.enforces.iter().map(|c| format!("{}.{}", c.policy, c.clause)).collect::<Vec<_>>(),
        "severity": rule.severity.word(),
        "mode": rule.mode.word(),
        "kinds": rule.kinds.iter().map(|k| k.word()).collect::<Vec<_>>(),
        "window": window,
    })
}
