//! `fineprint policy render`: rules in plain English.

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use super::usable;
use crate::cli::exit::Exit;
use crate::cli::fingerprints::KeyFile;
use crate::cli::terminal::{output, printable};
use crate::cli::wrong::Wrong;
use crate::counsel::{Reading, read, to_markdown, to_text};
use crate::diagnostic::nearest;
use crate::hir::{Program, Rule};

/// Reads rules in plain English: who is counted, over what time, from what bound on, what is left out, what happens then
///
/// The text follows from what a rule means: spelling, layout and comments do not show, and the same rule always reads the
/// same. The hash at its end is that of the rule in violations.
#[derive(Debug, clap::Args)]
pub(super) struct Render {
    /// Directory of rule files, or one file
    #[arg(value_name = "DIR")]
    rules: PathBuf,
    /// Names of rules; all of them where none is named
    #[arg(value_name = "RULE")]
    names: Vec<String>,
    /// Where list and table files are looked up first
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    #[command(flatten)]
    key: KeyFile,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Form,
}

/// How readings are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    #[default]
    Text,
    /// For documents
    Markdown,
    /// For machines
    Json,
}

impl Render {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Some(pack) = usable(&self.rules, self.lists.as_deref(), &self.key)? else { return Ok(Exit::RuleError) };
        let Some(rules) = &pack.rules else { return Ok(Exit::RuleError) };
        let program = rules.program();
        let readings: Vec<Reading> = self.named(program)?.into_iter().map(|rule| read(program, rule)).collect();
        let mut out = output();
        match self.format {
            Form::Text => {
                for line in to_text(&readings).lines() {
                    writeln!(out, "{}", printable(line))?;
                }
            }
            Form::Markdown => {
                for line in to_markdown(&readings).lines() {
                    writeln!(out, "{}", printable(line))?;
                }
            }
            Form::Json => {
                let rows: Vec<_> = readings.iter().map(row).collect();
                crate::cli::terminal::write_json(&mut out, &rows)?;
                writeln!(out)?;
            }
        }
        out.flush()?;
        Ok(Exit::Fine)
    }

    /// The rules that were asked for, in the order in which they were named.
    fn named<'p>(&self, program: &'p Program) -> anyhow::Result<Vec<&'p Rule>> {
        if program.rules.is_empty() {
            let what = format!("there is no rule in `{}`", self.rules.display());
            return Err(Wrong::new(what, "name a directory with rules, such as `rules`").into());
        }
        if self.names.is_empty() {
            return Ok(program.rules.iter().collect());
        }
        let mut out = Vec::new();
        for name in &self.names {
            let Some(rule) = program.rules.iter().find(|r| r.name == *name) else {
                let known = program.rules.iter().map(|r| r.name.as_str());
                let help = match nearest(name, known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("`fineprint policy coverage {}` names all rules", self.rules.display()),
                };
                return Err(Wrong::new(format!("there is no rule `{name}`"), help).into());
            };
            out.push(rule);
        }
        Ok(out)
    }
}

fn row(reading: &Reading) -> serde_json::Value {
    let paragraphs: Vec<_> = reading
        .paragraphs
        .iter()
        .map(|p| {
            let lines: Vec<_> = p.lines.iter().map(|l| json!({ "depth": l.depth, "text": l.text })).collect();
            json!({ "heading": p.heading, "lines": lines })
        })
        .collect();
    json!({ "rule": reading.rule, "rule_hash": reading.hash, "paragraphs": paragraphs })
}
