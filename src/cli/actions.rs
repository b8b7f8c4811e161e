//! `fineprint actions`: what takes effect on whom, why, by whom and until when; and what people do about it.

mod act;
mod told;

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::Format;
use super::exit::Exit;
use super::terminal::{cut, output, printable, table};
use super::violations::Log;
use super::wrong::Wrong;
use crate::enforce::{State, action_json, entry_json};
use crate::store::{ActionFilter, ActionsIn};

/// Shows the actions that rules asked for; approves, refuses, releases and extends them
#[derive(Debug, clap::Args)]
pub(super) struct Actions {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Approve(act::Approve),
    Refuse(act::Refuse),
    Release(act::Release),
    Extend(act::Extend),
}

impl Actions {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self.command {
            Command::List(c) => c.run(),
            Command::Show(c) => c.run(),
            Command::Approve(c) => c.run(),
            Command::Refuse(c) => c.run(),
            Command::Release(c) => c.run(),
            Command::Extend(c) => c.run(),
        }
    }
}

const IDS: &str = "`fineprint actions list --all --db FILE` shows the ids";

/// An id, or the beginning of one, as the log writes it.
fn hexadecimal(id: &str) -> anyhow::Result<String> {
    let id = id.trim();
    if id.is_empty() || id.len() > 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Wrong::new(format!("`{}` is no id of an action", cut(id, 60)), IDS).into());
    }
    Ok(id.to_ascii_lowercase())
}

/// A state; hyphens are as good as underscores.
fn state(text: &str) -> Result<&'static str, String> {
    let word = text.replace('-', "_");
    let known = State::WORDS.into_iter().find(|known| *known == word);
    known.ok_or_else(|| format!("write one of {}", State::WORDS.join(", ")))
}

/// Lists actions: those that wait for review, are delayed or in force, or others by their state
#[derive(Debug, clap::Args)]
struct List {
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Only in this state: withheld, shadow, awaiting_review, delayed, in_force, released, refused, expired
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<&'static str>,
    /// In every state
    #[arg(long, conflicts_with = "state")]
    all: bool,
    /// Only those that bear or did bear on this account, key or organisation
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Only of this rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only those that rest on this violation, by its id or the beginning of it
    #[arg(long, value_name = "ID")]
    violation: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Rows of a table where no `--limit` is given.
const LIST_ROWS: u64 = 100;

impl List {
    fn run(self) -> anyhow::Result<Exit> {
        let log = Log::open(&self.db)?;
        let violation = match self.violation {
            // A violation that was taken back has left its actions behind: a whole id is taken as it is.
            Some(id) if id.len() == 32 => Some(id.to_ascii_lowercase()),
            Some(id) => Some(log.one(&id)?.id),
            None => None,
        };
        let states = match self.state {
            Some(word) => Some(ActionsIn::State(word)),
            None => (!self.all).then_some(ActionsIn::Alive),
        };
        let mut filter =
            ActionFilter { state: states, target: self.target, rule: self.rule, violation, limit: self.limit };
        let shortened = filter.limit.is_none() && self.format == Format::Text;
        if shortened {
            filter.limit = Some(LIST_ROWS + 1);
        }
        let mut actions = log.wait(log.store.actions(&filter))?;
        let more = shortened && actions.len() as u64 > LIST_ROWS;
        if more {
            actions.pop();
        }
        let mut out = output();
        match self.format {
            Format::Json => {
                let all: Vec<Value> = actions.iter().map(action_json).collect();
                crate::cli::terminal::write_json(&mut out, &all)?;
                writeln!(out)?;
            }
            Format::Text => {
                let mut table = table(&["ID", "STATE", "ACTION", "ON", "RULE", "CLAUSE", "BY", "SINCE", "UNTIL"]);
                for a in &actions {
                    table.add_row([
                        a.id.to_string().chars().take(12).collect::<String>(),
                        a.state.word().to_string(),
                        cut(&a.terms.written, 60),
                        told::members(a, 3),
                        cut(&a.terms.rule, 40),
                        cut(&a.terms.clause, 60),
                        told::by(a),
                        told::since(a).to_string(),
                        told::until(a),
                    ]);
                }
                writeln!(out, "{table}")?;
                if more {
                    writeln!(out, "… and more: `--limit N` shows more")?;
                }
            }
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}

/// Shows one action, and all that happened to it
#[derive(Debug, clap::Args)]
struct Show {
    /// Its id, or the beginning of it
    id: String,
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Show {
    fn run(self) -> anyhow::Result<Exit> {
        let id = hexadecimal(&self.id)?;
        let log = Log::open(&self.db)?;
        let found = log.wait(log.store.action(&id))?;
        let (action, entries) =
            found.ok_or_else(|| Wrong::new(format!("the log holds no action `{}`", printable(&id)), IDS))?;
        let mut out = output();
        match self.format {
            Format::Json => {
                let entries: Vec<Value> = entries.iter().map(entry_json).collect();
                let all = json!({ "action": action_json(&action), "entries": entries });
                crate::cli::terminal::write_json(&mut out, &all)?;
                writeln!(out)?;
            }
            Format::Text => out.write_all(told::prose(&action, &entries).as_bytes())?,
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}
