//! `fineprint actions approve`, `refuse`, `release`, `extend`: what a person does, with name and reason.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::hexadecimal;
use super::told::happened;
use crate::cli::Format;
use crate::cli::check::today;
use crate::cli::exit::Exit;
use crate::cli::terminal::{cut, output};
use crate::cli::violations::{runtime, time, told, user};
use crate::enforce::{ActionId, Entry, NAME_CHARS_MAX, REASON_CHARS_MAX, Refusal, Table, action_json, entry_json};
use crate::store::{Access, Store};
use crate::time::{Duration, MILLISECOND_NS, Timestamp};

/// Which actions, why, and who.
#[derive(Debug, clap::Args)]
struct Act {
    /// Their ids, or the beginnings of them; all are done, or none
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who acts; the user's name where it is not given
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Who acts, why and when.
struct Person {
    by: String,
    reason: String,
    now: Timestamp,
}

impl Act {
    fn run(self, act: impl Fn(&Table, ActionId, &Person) -> Result<Vec<Entry>, Refusal>) -> anyhow::Result<Exit> {
        let now = Timestamp(today().0.div_euclid(MILLISECOND_NS) * MILLISECOND_NS);
        let reason = told("--reason TEXT", "why this is done", &self.reason, REASON_CHARS_MAX)?;
        let by = match &self.by {
            Some(by) => told("--by NAME", "who acts", by, NAME_CHARS_MAX)?,
            None => user()?,
        };
        let person = Person { by, reason, now };
        let ids = self.ids.iter().map(|id| hexadecimal(id)).collect::<anyhow::Result<Vec<String>>>()?;
        let acted = runtime()?.block_on(async {
            let mut store = Store::open(&self.db, Access::Review).await?;
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let acted = store.act(&ids, |table, id| act(table, id, &person)).await?;
            store.close().await?;
            anyhow::Ok(acted)
        })?;
        let mut out = output();
        match self.format {
            Format::Json => {
                let all = acted.iter().map(|(action, entries)| {
                    json!({ "action": action_json(action), "entries": entries.iter().map(entry_json).collect::<Vec<_>>() })
                });
                crate::cli::terminal::write_json(&mut out, &all.collect::<Vec<Value>>())?;
                writeln!(out)?;
            }
            Format::Text => {
                for (action, entries) in &acted {
                    let id: String = action.id.to_string().chars().take(12).collect();
                    let rule = cut(&action.terms.rule, 40);
                    for entry in entries {
                        writeln!(out, "{id}  {rule}  {}  {}", cut(&action.terms.written, 60), happened(entry))?;
                    }
                }
            }
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}

/// Approves actions that wait for review: they take effect, or begin their delay
#[derive(Debug, clap::Args)]
pub(super) struct Approve {
    #[command(flatten)]
    act: Act,
}

impl Approve {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        self.act.run(|table, id, p| table.approve(id, &p.by, &p.reason, p.now))
    }
}

/// Refuses actions that wait for review: they never take effect
#[derive(Debug, clap::Args)]
pub(super) struct Refuse {
    #[command(flatten)]
    act: Act,
}

impl Refuse {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        self.act.run(|table, id, p| table.refuse(id, &p.by, &p.reason, p.now))
    }
}

/// Ends actions that are in force or delayed; or releases one member of a group, for good
///
/// With `--account` the others stay, and whoever is released is not taken in again when the group grows or when the same rule
/// finds it anew.
#[derive(Debug, clap::Args)]
pub(super) struct Release {
    #[command(flatten)]
    act: Act,
    /// Releases this account (of a key's or organisation's action: key or organisation) alone
    #[arg(long, visible_alias = "member", value_name = "NAME")]
    account: Option<String>,
}

impl Release {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let account = self.account;
        self.act.run(|table, id, p| match &account {
            Some(account) => table.release_member(id, account, &p.by, &p.reason, p.now),
            None => table.release(id, &p.by, &p.reason, p.now),
        })
    }
}

/// Moves the end of actions that are in force
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("end").required(true).args(["until", "length", "until_released"])))]
pub(super) struct Extend {
    #[command(flatten)]
    act: Act,
    /// To this time: 2026-03-02 or 2026-03-02T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// By so long, counted from the present end: 12h, 7d
    #[arg(long = "for", id = "length", value_name = "DURATION", value_parser = duration)]
    length: Option<Duration>,
    /// Until somebody releases them
    #[arg(long)]
    until_released: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = Duration::parse(text).filter(|d| d.0 > 0);
    parsed.ok_or_else(|| "write a whole number and a unit, such as 12h or 7d".to_string())
}

impl Extend {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let (until, length) = (self.until, self.length);
        self.act.run(|table, id, p| {
            let ends = table.get(id).and_then(|action| action.until).map_or(p.now, |ends| ends.max(p.now));
            let until = until.or(length.map(|l| ends.saturating_add(l)));
            table.extend(id, until, &p.by, &p.reason, p.now)
        })
    }
}
