//! `fineprint violations`: the log as a reviewer reads it, and what the reviewer decides.

mod decide;
mod decided;
mod stats;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

pub(super) use decide::{told, user};
pub(super) use decided::latest_json;

use super::Format;
use super::campaigns::{self, Volumes};
use super::exit::Exit;
use super::export::Export;
use super::terminal::{cut, grouped, output, printable, table};
use super::wrong::Wrong;
use crate::hir::Severity;
use crate::store::{Access, Decision, Disposition, Filter, Row, Store, StoreError, Tally};
use crate::time::Timestamp;
use crate::violation::Status;

/// Reads the violation log: list, show, stats, export; and decides on violations
#[derive(Debug, clap::Args)]
pub(super) struct Violations {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Decide(decide::Decide),
    Stats(stats::Stats),
    Export(Export),
}

impl Violations {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self.command {
            Command::List(c) => c.run(),
            Command::Show(c) => c.run(),
            Command::Decide(c) => c.run(),
            Command::Stats(c) => c.run(),
            Command::Export(c) => c.run(),
        }
    }
}

/// Which violations.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Which {
    /// Only of this rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only of this policy, `provider.document`
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// Only of this clause
    #[arg(long, value_name = "CLAUSE")]
    clause: Option<String>,
    /// Only of this severity or worse: info, low, medium, high, critical
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    severity: Option<Severity>,
    /// Only of this status: open, closed, exempted, merged
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<Status>,
    /// Only those of which the last decision is this: confirmed, false_positive, authorised, duplicate,
    /// insufficient_evidence, test; `none` for those without one
    #[arg(long, value_name = "OUTCOME", value_parser = decided::disposition)]
    decision: Option<Disposition>,
    /// Only those that name this account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only those opened at this time or later: 2026-03-02 or 2026-03-02T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only those opened before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl Which {
    /// What was asked for, as JSON: the options that were given.
    pub(super) fn asked(&self) -> serde_json::Map<String, Value> {
        let text = |given: &Option<String>| given.clone().map(Value::from);
        let word = |given: Option<&str>| given.map(Value::from);
        let moment = |given: Option<Timestamp>| given.map(|at| Value::from(at.to_string()));
        let options = [
            ("rule", text(&self.rule)),
            ("policy", text(&self.policy)),
            ("clause", text(&self.clause)),
            ("severity", word(self.severity.map(Severity::word))),
            ("status", word(self.status.map(Status::word))),
            ("decision", self.decision.map(|d| Value::from(decided::word(d)))),
            ("account", text(&self.account)),
            ("since", moment(self.since)),
            ("until", moment(self.until)),
            ("limit", self.limit.map(Value::from)),
        ];
        options.into_iter().filter_map(|(name, given)| Some((name.to_string(), given?))).collect()
    }

    /// Whether nothing in particular is asked for.
    pub(super) fn is_all(&self) -> bool {
        self.asked().is_empty()
    }

    pub(super) fn filter(&self) -> Filter {
        Filter {
            rule: self.rule.clone(),
            policy: self.policy.clone(),
            clause: self.clause.clone(),
            severity_min: self.severity,
            status: self.status,
            decision: self.decision,
            account: self.account.clone(),
            opened_from: self.since,
            opened_until: self.until,
            limit: self.limit,
            ..Filter::default()
        }
    }
}

fn severity(text: &str) -> Result<Severity, String> {
    let words = Severity::ALL.iter().map(|s| s.word()).collect::<Vec<_>>().join(", ");
    Severity::from_word(text).ok_or_else(|| format!("write one of {words}"))
}

fn status(text: &str) -> Result<Status, String> {
    let words = Status::ALL.iter().map(|s| s.word()).collect::<Vec<_>>().join(", ");
    Status::from_word(text).ok_or_else(|| format!("write one of {words}"))
}

/// A date or a moment.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text)
        .or_else(|| Timestamp::parse_date(text))
        .ok_or_else(|| "write a date such as 2026-03-02 or a moment such as 2026-03-02T12:00:00Z".to_string())
}

/// What runs queries; one thread does.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// An id, or the beginning of one, as the log writes it.
fn hexadecimal(id: &str) -> anyhow::Result<String> {
    let id = id.trim();
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        let help = "`fineprint violations list --db FILE` shows the ids";
        return Err(Wrong::new(format!("`{}` is no id of a violation", printable(id)), help).into());
    }
    Ok(id.to_ascii_lowercase())
}

/// The log that is read, and what runs its queries.
pub(super) struct Log {
    pub(super) store: Store,
    runtime: tokio::runtime::Runtime,
}

impl Log {
    pub(super) fn open(path: &Path) -> anyhow::Result<Log> {
        let runtime = runtime()?;
        let store = runtime.block_on(Store::open(path, Access::ReadOnly))?;
        Ok(Log { store, runtime })
    }

    pub(super) fn wait<T>(&self, ask: impl Future<Output = Result<T, StoreError>>) -> anyhow::Result<T> {
        Ok(self.runtime.block_on(ask)?)
    }

    /// The one violation that an id or the beginning of one names.
    pub(super) fn one(&self, id: &str) -> anyhow::Result<Row> {
        let id = hexadecimal(id)?;
        self.wait(self.store.get(&id))?.ok_or_else(|| {
            let help = "`fineprint violations list --db FILE` shows the ids";
            Wrong::new(format!("the log holds no violation `{id}`"), help).into()
        })
    }
}

/// What a list is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Violations that belong together are one line, the strongest first
    Campaign,
}

/// Lists violations, or campaigns: violations of any rules whose accounts belong together
#[derive(Debug, clap::Args)]
struct List {
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Lists campaigns instead of violations; those of which a violation is asked for
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Option<By>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    volumes: Volumes,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Rows of a table where no `--limit` is given.
const LIST_ROWS: u64 = 100;

impl List {
    fn run(self) -> anyhow::Result<Exit> {
        if let Some(By::Campaign) = self.by {
            campaigns::list(&self.db, &self.which.filter(), &self.volumes, self.format)?;
            return Ok(Exit::Fine);
        }
        self.volumes.refuse_without("--by campaign")?;
        let log = Log::open(&self.db)?;
        let mut filter = self.which.filter();
        // A table of all would be no table; machines get what they asked for.
        let shortened = filter.limit.is_none() && self.format == Format::Text;
        if shortened {
            filter.limit = Some(LIST_ROWS + 1);
        }
        let mut rows: Vec<(Row, Option<Decision>)> = Vec::new();
        log.wait(log.store.export_decided(&filter, &mut |row, decision| {
            rows.push((row.clone(), decision.cloned()));
            Ok(())
        }))?;
        let more = shortened && rows.len() as u64 > LIST_ROWS;
        if more {
            rows.pop();
        }
        let mut out = output();
        match self.format {
            Format::Json => {
                let rows: anyhow::Result<Vec<Value>> = rows
                    .iter()
                    .map(|(r, d)| Ok(decided::with(record(r)?, "decision", decided::latest_json(d.as_ref()))))
                    .collect();
                let rows = rows?;
                crate::cli::terminal::write_json(&mut out, &rows)?;
                writeln!(out)?;
            }
            Format::Text => {
                let mut table =
                    table(&["ID", "OPENED", "STATUS", "DECISION", "SEVERITY", "RULE", "CLAUSE", "ACCOUNTS", "BECAUSE"]);
                for (r, d) in &rows {
                    let because = record(r)?.get("because").and_then(Value::as_str).unwrap_or_default().to_string();
                    table.add_row([
                        r.id.chars().take(12).collect::<String>(),
                        r.opened_at.to_string(),
                        r.status.word().to_string(),
                        d.as_ref().map_or("-", |d| d.outcome.word()).to_string(),
                        r.severity.word().to_string(),
                        cut(&r.rule, 40),
                        cut(&format!("{}.{}", r.policy, r.clause), 60),
                        r.n_accounts.to_string(),
                        cut(&because, 100),
                    ]);
                }
                writeln!(out, "{table}")?;
                if more {
                    writeln!(out, "… and more: `--limit N` shows more, `violations export` all")?;
                }
            }
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}

fn record(row: &Row) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&row.record)?)
}

/// Shows one violation, or one campaign
#[derive(Debug, clap::Args)]
struct Show {
    /// Its id, or the beginning of it
    #[arg(conflicts_with = "campaign")]
    id: Option<String>,
    /// The id of a campaign, the beginning of it, or a violation that belongs to it
    #[arg(long, value_name = "ID")]
    campaign: Option<String>,
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    #[command(flatten)]
    volumes: Volumes,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Show {
    fn run(self) -> anyhow::Result<Exit> {
        if let Some(id) = &self.campaign {
            campaigns::show(&self.db, id, &self.volumes, self.format)?;
            return Ok(Exit::Fine);
        }
        self.volumes.refuse_without("--campaign ID")?;
        let Some(id) = &self.id else {
            let help = "write `fineprint violations show ID --db FILE`, or `--campaign ID` for a campaign";
            return Err(Wrong::new("no violation is named", help).into());
        };
        let log = Log::open(&self.db)?;
        let row = log.one(id)?;
        let decisions = log.wait(log.store.decisions(&row.id))?;
        let record = record(&row)?;
        let mut out = output();
        match self.format {
            Format::Json => {
                let all = decisions.iter().map(decided::decision_json).collect();
                crate::cli::terminal::write_json(&mut out, &decided::with(record, "decisions", all))?;
            }
            Format::Text => {
                let prose = format!("{}{}", super::explain::prose(&record), decided::decisions_text(&decisions));
                out.write_all(prose.trim_end().as_bytes())?;
            }
        }
        writeln!(out)?;
        out.flush()?;
        Ok(Exit::Fine)
    }
}

/// A tally for machines.
pub(super) fn tally_json(t: &Tally) -> Value {
    json!({ "rule": t.rule, "severity": t.severity.word(), "status": t.status.word(), "count": t.n_violations })
}

/// Tallies for people.
pub(super) fn tally_table(tallies: &[Tally]) -> comfy_table::Table {
    let mut table = table(&["RULE", "SEVERITY", "STATUS", "VIOLATIONS"]);
    for t in tallies {
        table.add_row([cut(&t.rule, 60), t.severity.word().into(), t.status.word().into(), grouped(t.n_violations)]);
    }
    table
}
