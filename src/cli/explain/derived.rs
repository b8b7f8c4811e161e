//! What `fineprint explain` says beyond the record: recomputed from the journal of a log, or from event files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::cli::check;
use crate::cli::diagnostics;
use crate::cli::fingerprints::KeyFile;
use crate::cli::progress::Progress;
use crate::cli::run::mapping;
use crate::cli::terminal::{grouped, note, printable};
use crate::cli::violations::{Log, time};
use crate::cli::wrong::Wrong;
use crate::derive::{ACCOUNTS_TRIED_MAX, Case, EVENTS_RUN_MAX, Effort, Reason, Reasons, Silence, not_derivable};
use crate::diagnostic::nearest;
use crate::eval::Recalled;
use crate::feed::{Feed, Input};
use crate::journal::{self, Position};
use crate::pack::{Pack, PackOptions};
use crate::plan::RuleSet;
use crate::runtime::expand;
use crate::runtime::live::{KeptPacks, Recollection, is_entry, recollect};
use crate::time::{Duration, Timestamp};
use crate::violation::{Violation, to_json};

/// Where findings are recomputed from: the same options as in `run`.
#[derive(Debug, clap::Args)]
pub(super) struct From {
    /// The rules of the log: what counted, what did not, and what would have kept it silent is recomputed under them
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Files or directories of events to recompute from; without them the journal of the log
    #[arg(long, value_name = "EVENTS", num_args = 1..)]
    events: Vec<PathBuf>,
    /// The account registry, JSON lines
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Where list and table files are looked up first
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    /// How foreign records become events
    #[arg(long, value_name = "NAME|FILE")]
    mapping: Option<String>,
    #[command(flatten)]
    key: KeyFile,
    /// How far events may come out of order, as in the run
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = lateness)]
    lateness: Duration,
    /// The day for which dates of rules are judged
    #[arg(long, value_name = "TIME", value_parser = time)]
    as_of: Option<Timestamp>,
}

fn lateness(text: &str) -> Result<Duration, String> {
    let known = Duration::parse(text).filter(|d| d.0 >= 0);
    known.ok_or_else(|| "write a number with its unit, such as 5m, 90s or 1h".to_string())
}

/// What was read to recompute from.
pub(super) struct Source {
    pack: Pack,
    events: Vec<Recalled>,
    /// The rule sets that wrote the events down; none where that is the pack.
    writers: Vec<Arc<RuleSet>>,
    /// Where they came from, for people.
    pub(super) from: &'static str,
}

impl From {
    pub(super) fn is_given(&self) -> bool {
        self.rules.is_some()
    }

    /// Reads rules and events. `None` where the rules are wrong, which has been said.
    /// Of a server's log, whose rules may have changed, those are taken that the finding `of` (rule and its hash) was made under.
    pub(super) fn read(&self, db: Option<&Path>, of: Option<(&str, &str)>) -> anyhow::Result<Option<Source>> {
        let Some(rules) = self.rules.as_deref() else {
            let what = "the rules are not named, under which it is to be recomputed";
            return Err(Wrong::new(what, "add `--rules DIR`, with the directory that the log was written with").into());
        };
        let pack = check::load(&PackOptions {
            rules,
            lists: self.lists.as_deref(),
            accounts: self.accounts.as_deref(),
            fingerprint_key: self.key.read()?,
            as_of: Some(self.as_of.unwrap_or_else(check::today)),
        })?;
        if pack.rules.is_none() {
            diagnostics::show(&pack.diagnostics, &pack.sources);
            note("the rules cannot be used; nothing was read");
            return Ok(None);
        }
        let (events, from) = match (self.events.is_empty(), db) {
            (false, _) => (self.files()?, "the event files"),
            (true, Some(db)) => match self.live(db, of)? {
                Some(live) => return Ok(Some(live.of(pack))),
                None => (journaled(db, &pack)?, "the journal"),
            },
            (true, None) => {
                let what = "there is nothing to recompute from";
                let help = "name the log with `--db FILE`, or event files with `--events FILE…`";
                return Err(Wrong::new(what, help).into());
            }
        };
        Ok(Some(Source { pack, events, writers: Vec::new(), from }))
    }

    /// What a server's journal gives back; `None` for the log of a run over files.
    fn live(&self, db: &Path, of: Option<(&str, &str)>) -> anyhow::Result<Option<Kept>> {
        let (dir, rules) = (beside(db, ".journal"), beside(db, ".rules"));
        let log = Log::open(db)?;
        let position = log.wait(log.store.journal_position())?.filter(|_| dir.is_dir() && rules.is_dir());
        let Some(position) = position else { return Ok(None) };
        let packs = KeptPacks::new(rules, self.key.read()?);
        let mut progress = Progress::new(None);
        let mut told = |n: usize| progress.update(0, n as u64);
        let all = recollect(&dir, &position.parse::<Position>()?, &packs, self.lateness, &mut told)?;
        progress.finish();
        let Some(all) = all else { return Ok(None) };
        let Some((rule, hash)) = of else {
            return Ok(Some(Kept { all, pack: None, from: Timestamp::MIN, until: None }));
        };
        let Some(writer) = all.with_rule(rule, hash) else {
            let what = format!("the journal was written under no `{}` of the hash in the record", printable(rule));
            let help = "its beginning was dropped; name the events with `--events FILE…` and the rules of that time";
            return Err(Wrong::new(what, help).into());
        };
        let bundle = all.writers.get(writer).map(|rules| rules.bundle_hash().to_string()).unwrap_or_default();
        let pack = packs.pack(&bundle).map_err(|why| Wrong::new(why, "restore the directory beside the log"))?;
        let (from, until) = (all.counts_from(rule, writer), all.counts_until(rule, writer));
        Ok(Some(Kept { all, pack: Some(pack), from, until }))
    }

    fn files(&self) -> anyhow::Result<Vec<Recalled>> {
        let mut events = Vec::new();
        let mut progress = Progress::new(None);
        for input in expand(&self.events)? {
            let input = input.path.map_or(Input::Stdin, Input::File);
            let mut feed = Feed::open(&input, mapping(self.mapping.as_deref(), &self.key)?)?;
            while let Some(entry) = feed.next_entry()? {
                if let Ok(event) = entry.event {
                    events.push(Recalled::from(event.into_owned()));
                }
                if events.len().is_multiple_of(4_096) {
                    progress.update(0, events.len() as u64);
                }
            }
        }
        progress.finish();
        Ok(events)
    }

    /// The case of a rule.
    pub(super) fn case<'s>(&self, source: &'s mut Source, rule: &str) -> anyhow::Result<Case<'s>> {
        let events = std::mem::take(&mut source.events);
        let Some(rules) = source.pack.rules.as_deref() else { anyhow::bail!("the rules cannot be used") };
        let mut writers: Vec<&RuleSet> = source.writers.iter().map(Arc::as_ref).collect();
        if writers.is_empty() {
            writers.push(rules);
        }
        let from_journal = events.iter().any(Recalled::is_from_journal);
        known(rules, rule)?;
        let case = Case::among(rules, writers, &source.pack.sources, rule, events, self.lateness)?;
        if let Some(field) = not_derivable(rules.program(), case.rule()).filter(|_| from_journal) {
            let what = format!(
                "`{rule}` uses the text of `{field}` itself, which the journal does not keep: it cannot be known from it"
            );
            return Err(Wrong::new(what, "name the events that the log was made of: `--events FILE…`").into());
        }
        Ok(case)
    }
}

/// What a server's journal gives back, and under which rules.
struct Kept {
    all: Recollection,
    /// The pack of the finding, where one is asked about.
    pack: Option<Pack>,
    /// Between which event times its rule counted.
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Kept {
    /// As a source; under `given` where no finding is asked about.
    fn of(self, given: Pack) -> Source {
        let Kept { all: Recollection { mut events, writers, .. }, pack, from, until } = self;
        events.retain(|e| e.event.ts() >= from && until.is_none_or(|until| e.event.ts() < until));
        Source { pack: pack.unwrap_or(given), events, writers, from: "the journal" }
    }
}

/// A file or directory beside a log.
fn beside(db: &Path, end: &str) -> PathBuf {
    let mut path = db.as_os_str().to_owned();
    path.push(end);
    PathBuf::from(path)
}

fn known(rules: &RuleSet, rule: &str) -> anyhow::Result<()> {
    let names = || rules.program().rules.iter().map(|r| r.name.as_str());
    if names().any(|known| known == rule) {
        return Ok(());
    }
    let what = format!("there is no rule `{}`", printable(rule));
    let help = match nearest(rule, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`fineprint check DIR --cost` shows the names of the rules".to_string(),
    };
    Err(Wrong::new(what, help).into())
}

/// The events of the journal of a log, in the order of their arrival.
fn journaled(db: &Path, pack: &Pack) -> anyhow::Result<Vec<Recalled>> {
    let log = Log::open(db)?;
    let events = "or name the events with `--events FILE…`";
    if let Some(pins) = log.wait(log.store.pins())? {
        let parts = [
            ("rules", &pins.rules, &pack.pins.rules),
            ("lists", &pins.lists, &pack.pins.lists),
            ("registry", &pins.registry, &pack.pins.registry),
        ];
        let differ: Vec<&str> = parts.into_iter().filter(|(_, a, b)| a != b).map(|(name, ..)| name).collect();
        if !differ.is_empty() {
            let what = format!(
                "the log was written under other {}: its journal cannot be read with these",
                differ.join(" and ")
            );
            let help = format!("name those of the run with `--rules`, `--lists` and `--accounts`, {events}");
            return Err(Wrong::new(what, help).into());
        }
    }
    if log.wait(log.store.was_read_under_other_rules())? {
        let what = "the log went on under changed rules: a part of its journal was written by those before, and these cannot read it";
        let help =
            "name the events with `--events FILE…`, or read the inputs again: `fineprint run --rules-changed reset`";
        return Err(Wrong::new(what, help).into());
    }
    let mut dir = db.as_os_str().to_owned();
    dir.push(".journal");
    let dir = PathBuf::from(dir);
    let position = log.wait(log.store.resume())?.and_then(|r| r.checkpoint.journal);
    let Some(position) = position.filter(|_| dir.is_dir()) else {
        let what = format!("`{}` has no journal", db.display());
        return Err(Wrong::new(what, format!("run without `--no-journal`, {events}")).into());
    };
    let position = position.parse::<Position>()?;
    let mut found = Vec::new();
    let mut progress = Progress::new(None);
    for projection in journal::read(&dir, Some(&position))? {
        let record = projection?.record;
        if is_entry(&record) {
            continue;
        }
        let recalled = Recalled::read(&record).map_err(|why| Wrong::new(why, format!("run again, {events}")))?;
        found.push(recalled);
        if found.len().is_multiple_of(4_096) {
            progress.update(0, found.len() as u64);
        }
    }
    progress.finish();
    Ok(found)
}

/// A finding of the log, recomputed.
pub(super) struct Derived {
    /// Parts of the record that came out otherwise; `None` where the finding was not found again.
    differs: Option<Vec<String>>,
    reasons: Reasons,
    silence: Silence,
    n_events: usize,
    n_late: u64,
    from: &'static str,
}

/// Recomputes a finding of which the record is known; `None` where nothing of it was found again.
pub(super) fn derive(case: &Case<'_>, record: &Value, from: &'static str) -> anyhow::Result<Derived> {
    let id = record.get("id").and_then(Value::as_str).unwrap_or_default();
    let states: Vec<&Violation> =
        [&case.found, &case.found_at_end].into_iter().flatten().filter(|v| v.id == id).collect();
    let differences = |v: &Violation| -> Vec<String> {
        let again = to_json(v);
        let keys = record.as_object().into_iter().flatten();
        // What is proposed depends on a secret and on what other findings spent.
        let compared = keys.filter(|(key, _)| *key != "actions");
        compared.filter(|(key, value)| again.get(key.as_str()) != Some(value)).map(|(key, _)| key.clone()).collect()
    };
    let nearest = states.iter().map(|v| (differences(v), *v)).min_by_key(|(differs, _)| differs.len());
    let (n_events, n_late) = (case.n_events(), case.n_late);
    let Some((differs, v)) = nearest else {
        let (reasons, silence) = (Reasons::new(), Silence::default());
        return Ok(Derived { differs: None, reasons, silence, n_events, n_late, from });
    };
    Ok(Derived {
        differs: Some(differs),
        reasons: case.reasons(v)?,
        silence: case.silence(v, Effort::default())?,
        n_events,
        n_late,
        from,
    })
}

pub(super) fn reasons_json(reasons: &Reasons) -> Value {
    let each = reasons.iter().map(|(reason, (n, examples))| {
        json!({ "why": reason.to_string(), "counted": *reason == Reason::Counted, "events": n, "examples": examples })
    });
    each.collect()
}

pub(super) fn reasons_text(out: &mut String, reasons: &Reasons) -> std::fmt::Result {
    for (reason, (n, examples)) in reasons {
        let shown: Vec<String> = examples.iter().map(|id| printable(id).into_owned()).collect();
        let more = if *n > shown.len() as u64 { ", …" } else { "" };
        let named = match (reason, shown.is_empty()) {
            (Reason::Counted, _) | (_, true) => String::new(),
            _ => format!("  ({}{more})", shown.join(", ")),
        };
        writeln!(out, "  {} {}{named}", events(*n), printable(&format!("{reason}")))?;
    }
    Ok(())
}

fn events(n: u64) -> String {
    if n == 1 { "1 event:".to_string() } else { format!("{} events:", grouped(n)) }
}

impl Derived {
    pub(super) fn json(&self) -> Value {
        let bounds = self.silence.bounds.iter().map(|b| {
            json!({
                "condition": b.written,
                "reached": b.reached,
                "silent_with": b.silent.as_ref().ok(),
                "why_none": b.silent.as_ref().err(),
            })
        });
        let without = &self.silence.without;
        json!({
            "from": self.from,
            "events_read": self.n_events,
            "late": self.n_late,
            "found_again": self.differs.is_some(),
            "differs": self.differs,
            "events": reasons_json(&self.reasons),
            "bounds": bounds.collect::<Vec<_>>(),
            "silent_without": without.clears,
            "accounts_tried": without.tried,
            "accounts": without.of,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.sentences(&mut out);
        out
    }

    fn sentences(&self, out: &mut String) -> std::fmt::Result {
        let read = format!("Recomputed from {} events of {}", grouped(self.n_events as u64), self.from);
        match &self.differs {
            None => {
                writeln!(
                    out,
                    "{read}: the rule finds no such violation in them. They are not those of the run, or were read"
                )?;
                return writeln!(out, "with another `--lateness` or `--fingerprint-key`; nothing more can be said.");
            }
            Some(differs) if differs.is_empty() => writeln!(out, "{read}: the same as in the record.")?,
            Some(differs) => {
                let differs = differs.iter().map(|d| format!("`{}`", printable(d))).collect::<Vec<_>>().join(", ");
                writeln!(
                    out,
                    "{read}: not the same as in the record, but in {differs}. What follows is what was recomputed."
                )?;
            }
        }
        writeln!(
            out,
            "Events of its groups and accounts, from the beginning of its first window to its last true step:"
        )?;
        reasons_text(out, &self.reasons)?;
        if !self.silence.bounds.is_empty() {
            writeln!(out, "Silent with another bound, all else as it was (each tried):")?;
        }
        for b in &self.silence.bounds {
            let reached = b.reached.as_ref().map_or_else(String::new, |r| format!(", it reached {r}"));
            let written = printable(&b.written);
            match &b.silent {
                Ok(silent) => writeln!(out, "  instead of `{written}`: `{}`{reached}", printable(silent))?,
                Err(why) => writeln!(out, "  instead of `{written}`: none{reached}; {why}")?,
            }
        }
        let without = &self.silence.without;
        let tried = match without.of.saturating_sub(without.tried) {
            0 => "each of them was tried".to_string(),
            n => format!(
                "{} were tried, those with the most events, {n} were not (at most {ACCOUNTS_TRIED_MAX}, and {} events in all runs)",
                without.tried,
                grouped(EVENTS_RUN_MAX as u64)
            ),
        };
        let clears: Vec<String> = without.clears.iter().map(|a| printable(a).into_owned()).collect();
        match (clears.is_empty(), without.of) {
            (_, 0) => Ok(()),
            (true, of) => writeln!(out, "No one of its {of} accounts alone keeps it up; {tried}."),
            (false, 1) => writeln!(out, "It rests on one account alone: {}.", clears.join(", ")),
            (false, of) => writeln!(out, "Silent without any one of: {} ({of} accounts; {tried}).", clears.join(", ")),
        }
    }
}
