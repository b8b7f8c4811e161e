//! `fineprint replay`: two rule sets over the same events, and whom the one flags that the other does not.

mod journal;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::ValueEnum;

use super::exit::Exit;
use super::fingerprints::KeyFile;
use super::progress::Progress;
use super::run::{bytes, duration, mapping, total_bytes};
use super::terminal::{note, output, printable};
use super::violations::time;
use super::wrong::Wrong;
use super::{Format as Print, check, diagnostics};
use crate::compare::{Found, Side, compare};
use crate::eval::EvalOptions;
use crate::event::{FieldId, UsageEvent};
use crate::feed::{Feed, Input};
use crate::pack::{Pack, PackOptions};
use crate::plan::RuleSet;
use crate::runtime::{
    self, CheckpointOptions, Ending, InputSpec, MemorySink, Outputs, RunBooks, RunOptions, STDIN, expand,
    stop_on_signal,
};
use crate::store::Pinned;
use crate::time::{Duration, Timestamp};
use crate::value::Value as Field;

/// The same, for `--help`.
const HELP: &str = "\
Example: the rules in force lie in `rules`, and a copy with other thresholds in `tuned`
  fineprint replay --rules tuned --against rules --accounts accounts.jsonl events/
  fineprint replay --journal v.db

Exit codes:
  0  both find the same
  1  something differs: an account, or what a rule finds
  2  rule error: a rule file, list or table of either side is wrong
  3  usage or environment error: a flag, a path, an input";

/// Says whom a change of rules would newly flag and newly clear
///
/// Runs both rule sets over the same events, each once, and holds what they find against each other, account by account and
/// rule by rule. `--rules` is the change, `--against` what is in force. Nothing is written. An account is flagged where a
/// violation names it that accuses: signals (info) and what exceptions took out are told apart.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Replay {
    /// The change: directory of rule files, or one file
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// What is in force: directory of rule files, or one file
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// Instead of two rule sets: the log of a server. Its journal is run again under the rules that were in force, and held
    /// against the log
    #[arg(long, value_name = "DB", conflicts_with_all = ["rules", "against", "events", "accounts", "lists", "against_lists", "mapping", "as_of"])]
    journal: Option<PathBuf>,
    /// The account registry, JSON lines, for both sides
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Where list and table files are looked up first; without it beside the rule files of each side
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    /// The same for what is in force, where its lists are others
    #[arg(long, value_name = "DIR")]
    against_lists: Option<PathBuf>,
    /// How foreign records become events: a shipped mapping by name, or a mapping file
    #[arg(long, value_name = "NAME|FILE")]
    mapping: Option<String>,
    #[command(flatten)]
    key: KeyFile,
    /// How far events may come out of order
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    lateness: Duration,
    /// Most bytes of state that the groups of windowed rules are accounted at, for each side
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = bytes)]
    state_budget: u64,
    /// The latest moment that events without an ingest time may bear; also the day for which dates of rules are judged
    #[arg(long, value_name = "TIME", value_parser = time)]
    as_of: Option<Timestamp>,
    /// Which accounts to name
    #[arg(long, value_enum, value_name = "WHICH", default_value_t)]
    only: Only,
    /// Exits with 0 also where something differs
    #[arg(long)]
    exit_zero: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Print,
    /// Files or directories of events
    #[arg(value_name = "EVENTS")]
    events: Vec<PathBuf>,
}

/// Which accounts are named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Only {
    /// For which something changes: flagged, cleared, or flagged by other rules
    #[default]
    Changed,
    /// Newly flagged
    Flagged,
    /// Newly cleared
    Cleared,
    /// All that either side names, also those of signals and exceptions
    All,
}

/// One side: its rules, and what they found.
struct Played {
    /// As it was named.
    name: String,
    side: Side,
    books: RunBooks,
    records: u64,
    /// What was lost for want of room; findings may be missing.
    lost: Vec<String>,
}

/// Plan and organisation of an account, as far as they are known.
#[derive(Debug, Clone, Default)]
struct Who {
    plan: Option<String>,
    org: Option<String>,
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if let Some(db) = &self.journal {
            let options = EvalOptions { lateness: self.lateness, ..EvalOptions::within(self.state_budget) };
            let exit = journal::run(db, self.key.read()?, &options, self.format)?;
            return Ok(if self.exit_zero && exit == Exit::Findings { Exit::Fine } else { exit });
        }
        let (change, in_force) = self.sides()?;
        if self.events.is_empty() {
            return Err(
                Wrong::new("no events are named", "name files or directories of events behind the options").into()
            );
        }
        if self.events.iter().any(|path| path.as_os_str() == STDIN) {
            let what = "standard input can be read once, and the events are read once for each side";
            return Err(Wrong::new(what, "write them to a file, and name that").into());
        }
        let inputs = expand(&self.events)?;
        let format = mapping(self.mapping.as_deref(), &self.key)?;
        let against_lists = self.against_lists.as_deref().or(self.lists.as_deref());
        let Some((before_pack, before)) = self.load(in_force, against_lists)? else { return Ok(Exit::RuleError) };
        let Some((after_pack, after)) = self.load(change, self.lists.as_deref())? else { return Ok(Exit::RuleError) };
        if before_pack.pins == after_pack.pins {
            note("note: both sides mean the same rules, over the same lists: nothing can differ");
        }
        let options = RunOptions {
            eval: EvalOptions { lateness: self.lateness, as_of: self.as_of, ..EvalOptions::within(self.state_budget) },
            format,
            checkpoint: CheckpointOptions::default(),
            flush_at_end: true,
        };
        let stop = stop_on_signal().context("cannot listen to signals")?;
        let total = total_bytes(&inputs);
        let mut progress = Progress::new(total.map(|n| n.saturating_mul(2)));
        let before = play(in_force, &before, &options, &inputs, &stop, &mut |p| progress.update(p.bytes, p.records))?;
        let offset = (total.unwrap_or(0), before.records);
        let after = play(change, &after, &options, &inputs, &stop, &mut |p| {
            progress.update(offset.0.saturating_add(p.bytes), offset.1.saturating_add(p.records));
        })?;
        progress.finish();
        let comparison = compare(&before.side, &after.side);
        let who = self.who(&[&before, &after], &after_pack, &inputs)?;
        let report =
            report::Report { before: &before, after: &after, comparison: &comparison, who: &who, only: self.only };
        let mut out = output();
        match self.format {
            Print::Text => out.write_all(report.text().as_bytes())?,
            Print::Json => {
                crate::cli::terminal::write_json(&mut out, &report.json())?;
                writeln!(out)?;
            }
        }
        out.flush()?;
        Ok(if comparison.is_changed() && !self.exit_zero { Exit::Findings } else { Exit::Fine })
    }

    /// The change and what is in force, as they were named.
    fn sides(&self) -> anyhow::Result<(&Path, &Path)> {
        let help = "write `fineprint replay --rules CHANGED --against IN-FORCE EVENTS…`";
        let rules = self.rules.as_deref().ok_or_else(|| Wrong::new("no change is named", help))?;
        let what = "what is in force is not named";
        let against = self.against.as_deref().ok_or_else(|| Wrong::new(what, help))?;
        let place = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if place(rules) == place(against) && self.against_lists.is_none() {
            let what = format!(
                "`--rules` and `--against` both name `{}`: nothing can differ",
                printable(&rules.display().to_string())
            );
            let help =
                "name a changed copy with `--rules`, or other lists with `--lists DIR` and `--against-lists DIR`";
            return Err(Wrong::new(what, help).into());
        }
        Ok((rules, against))
    }

    /// The rules of a side; `None` where they are wrong, which has been said.
    fn load(&self, rules: &Path, lists: Option<&Path>) -> anyhow::Result<Option<(Pack, Arc<RuleSet>)>> {
        let pack = check::load(&PackOptions {
            rules,
            lists,
            accounts: self.accounts.as_deref(),
            fingerprint_key: self.key.read()?,
            as_of: Some(self.as_of.unwrap_or_else(check::today)),
        })?;
        let Some(rule_set) = pack.rules.clone() else {
            diagnostics::show(&pack.diagnostics, &pack.sources);
            note(format!(
                "the rules of `{}` cannot be used; nothing was read",
                printable(&rules.display().to_string())
            ));
            return Ok(None);
        };
        Ok(Some((pack, rule_set)))
    }

    /// Plan and organisation of every account that either side names: of the registry, and where that says nothing, of the
    /// last event that does.
    fn who(&self, sides: &[&Played], pack: &Pack, inputs: &[InputSpec]) -> anyhow::Result<BTreeMap<String, Who>> {
        let mut since: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for found in sides.iter().flat_map(|s| &s.side.found) {
            for account in &found.accounts {
                let at = since.entry(account).or_insert(found.opened_at);
                *at = found.opened_at.min(*at);
            }
        }
        let registry = pack.rules.as_ref().and_then(|r| r.data().tables.first().cloned());
        let mut who: BTreeMap<String, Who> = BTreeMap::new();
        for (account, at) in &since {
            let column = |name: &str| {
                let registry = registry.as_ref()?;
                match registry.column(account, registry.column_number(name)?, *at) {
                    Field::Text(text) => Some(text.to_string()),
                    _ => None,
                }
            };
            who.insert((*account).to_string(), Who { plan: column("plan"), org: column("org") });
        }
        let wanted: BTreeSet<String> =
            who.iter().filter(|(_, w)| w.plan.is_none() || w.org.is_none()).map(|(a, _)| a.clone()).collect();
        if !wanted.is_empty() {
            self.ask_events(&wanted, &mut who, inputs)?;
        }
        Ok(who)
    }

    fn ask_events(
        &self,
        wanted: &BTreeSet<String>,
        who: &mut BTreeMap<String, Who>,
        inputs: &[InputSpec],
    ) -> anyhow::Result<()> {
        let mut told: BTreeMap<(&str, FieldId), (Timestamp, String)> = BTreeMap::new();
        for input in inputs {
            let place = input.path.clone().map_or(Input::Stdin, Input::File);
            let mut feed = Feed::open(&place, mapping(self.mapping.as_deref(), &self.key)?)?;
            while let Some(entry) = feed.next_entry()? {
                let Ok(event) = entry.event else { continue };
                let Some(account) = text(&event, FieldId::ACCOUNT).and_then(|a| wanted.get(a)) else { continue };
                for field in [FieldId::PLAN, FieldId::ORG] {
                    let Some(said) = text(&event, field) else { continue };
                    let new = (event.ts(), said);
                    let key = (account.as_str(), field);
                    if told.get(&key).is_none_or(|(at, before)| (*at, before.as_str()) < new) {
                        told.insert(key, (new.0, new.1.to_string()));
                    }
                }
            }
        }
        for ((account, field), (_, said)) in told {
            let Some(who) = who.get_mut(account) else { continue };
            let slot = if field == FieldId::PLAN { &mut who.plan } else { &mut who.org };
            slot.get_or_insert(said);
        }
        Ok(())
    }
}

fn text<'a>(event: &'a UsageEvent<'_>, field: FieldId) -> Option<&'a str> {
    match event.get(field) {
        Field::Text(text) => Some(text),
        _ => None,
    }
}

/// Runs one side over the events.
fn play(
    name: &Path,
    rules: &Arc<RuleSet>,
    options: &RunOptions,
    inputs: &[InputSpec],
    stop: &AtomicBool,
    progress: &mut dyn FnMut(runtime::Progress),
) -> anyhow::Result<Played> {
    let mut sink = MemorySink::default();
    let outputs = Outputs { sink: &mut sink, journal: None, rejects: None };
    let summary = runtime::run(rules, options, inputs.to_vec(), Pinned::First, outputs, stop, progress)?;
    if summary.ending == Ending::Stopped {
        let what = "stopped before the end of the events: nothing can be compared";
        return Err(Wrong::new(what, "run it again, or over fewer events").into());
    }
    let mut lost = Vec::new();
    lost.extend(summary.groups_lost.iter().map(|(rule, ..)| rule.clone()));
    lost.extend(
        [&summary.memory_lost, &summary.dropped, &summary.baselines_lost].into_iter().flatten().map(|(n, _)| n.clone()),
    );
    lost.extend(summary.links_lost.iter().map(|(link, ..)| link.clone()));
    lost.sort();
    lost.dedup();
    Ok(Played {
        name: name.display().to_string(),
        side: Side {
            rules: rules.program().rules.iter().map(|r| r.name.clone()).collect(),
            found: sink.violations().map(Found::from).collect(),
        },
        books: summary.books,
        records: summary.records,
        lost,
    })
}
