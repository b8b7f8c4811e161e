//! `fineprint run`: events in, violations out.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use sha2::{Digest, Sha256};

use super::checkpoints::{self, Checkpoints};
use super::exit::Exit;
use super::feed;
use super::fingerprints::KeyFile;
use super::progress::Progress;
use super::summary::Report;
use super::terminal::{note, output};
use super::violations::time;
use super::wrong::Wrong;
use super::{Format as Print, check, diagnostics};
use crate::counsel::blind;
use crate::diagnostic::{Code, Diagnostic};
use crate::eval::{EvalOptions, SECRET_BYTES_MIN, Secret};
use crate::export::JsonlWriter;
use crate::feed::{Format, Mapping};
use crate::hir::{Program, Rule, Severity};
use crate::journal::{Journal, JournalOptions, Position};
use crate::pack::{Pack, PackOptions};
use crate::runtime::live::{KeptPacks, is_live};
use crate::runtime::{
    self, CheckpointOptions, InputSpec, MemorySink, Outputs, RejectFile, RunError, RunOptions, Sink, SqliteSink,
    Summary, expand, stop_on_signal,
};
use crate::store::{Pinned, Pins, RulesChanged, Tally};
use crate::template::FingerprintKey;
use crate::time::{Duration, Timestamp};
use crate::violation::{Record, Status, Violation};

/// Runs rules over usage events
///
/// Reads JSON lines or arrays, plain or compressed (gzip, zstd), from files, directories or standard input (`-`). With
/// `--db` the violations go into a log that the next run continues: input that was read adds nothing, appended input goes
/// on. Without it they go to standard output as JSON lines, at the end.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Run {
    /// Directory of rule files, or one file
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// The account registry, JSON lines
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Where list and table files are looked up first
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    /// The violation log; made where it is missing
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// How foreign records become events: a shipped mapping by name, or a mapping file; without it the records are native,
    /// or of a shipped mapping that is recognised by their keys
    #[arg(long, value_name = "NAME|FILE")]
    mapping: Option<String>,
    /// Where to write refused records, as JSON lines: input, line, reason; appended to
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    #[command(flatten)]
    key: KeyFile,
    /// How far events may come out of order
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    lateness: Duration,
    /// Most bytes of state that the groups of windowed rules are accounted at, such as `256MiB`; above it the least promising
    /// groups go, and what they had counted is told as lost. For each 128 bytes of it one event is kept for evidence, up to
    /// 8,000,000
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = bytes)]
    state_budget: u64,
    /// The latest moment that events without an ingest time may bear; also the day for which dates of rules are judged,
    /// which is today where it is not given
    #[arg(long, value_name = "TIME", value_parser = time)]
    as_of: Option<Timestamp>,
    /// File with the secret from which random delays of actions are drawn, at least 16 bytes; its bytes as they are, without
    /// line ends behind them
    #[arg(long, value_name = "FILE", env = "FINEPRINT_DELAY_SECRET_FILE")]
    delay_secret_file: Option<PathBuf>,
    /// What to do where rules, lists, registry or options differ from those of the log
    #[arg(long, value_enum, value_name = "WHAT")]
    rules_changed: Option<Changed>,
    /// Keeps no journal of what the rules read; findings can then not be derived again
    #[arg(long)]
    no_journal: bool,
    /// Commits after so many events at the latest; also every five seconds, but never so often that it takes a tenth of the time
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    commit_every: u64,
    #[command(flatten)]
    checkpoints: Checkpoints,
    /// Standard input ends as a file does; without this it is a pipe that may go on
    #[arg(long)]
    flush_at_end: bool,
    /// Exits with 0 also where violations were found
    #[arg(long)]
    exit_zero: bool,
    /// How to print the summary
    #[arg(long, value_enum, default_value_t)]
    format: Print,
    /// Files, directories, or `-` for standard input
    #[arg(value_name = "EVENTS")]
    events: Vec<PathBuf>,
}

/// What to do where the log was written under something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Changed {
    /// Input that was read is not read again; windows begin empty where the rules differ
    Keep,
    /// All inputs are read again from their beginning; the records there are stay
    Reset,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    Duration::parse(text)
        .filter(|d| d.0 >= 0)
        .ok_or_else(|| "write a number with its unit, such as 5m, 90s or 1h".to_string())
}

/// A number of bytes, with or without its unit.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("B", 0), ("", 0)];
    let unit = units.into_iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    unit.and_then(|(number, shift)| number.trim().parse::<u64>().ok()?.checked_mul(1 << shift))
        .ok_or_else(|| "write a number with its unit, such as 256MiB, 1GiB or 65536".to_string())
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let rules = self.rules.as_deref().ok_or_else(|| {
            Wrong::new(
                "no rules are named",
                "write `fineprint run --rules DIR EVENTS…`, with the shipped ones `--rules rules`",
            )
        })?;
        if self.events.is_empty() {
            let help = "name files or directories of events behind the options, or `-` for standard input";
            return Err(Wrong::new("no events are named", help).into());
        }
        let inputs = expand(&self.events)?;
        let pack_options = PackOptions {
            rules,
            lists: self.lists.as_deref(),
            accounts: self.accounts.as_deref(),
            fingerprint_key: self.key.read()?,
            as_of: Some(self.as_of.unwrap_or_else(check::today)),
        };
        let pack = check::load(&pack_options)?;
        let Some(rule_set) = pack.rules.clone() else {
            diagnostics::show(&pack.diagnostics, &pack.sources);
            note("the rules cannot be used; nothing was read");
            return Ok(Exit::RuleError);
        };
        // Who runs rules day by day is told what has run out since they were checked.
        let run_out = |d: &&Diagnostic| matches!(d.code, Code::CLAUSE_EXPIRED | Code::EXCEPTION_EXPIRES);
        let run_out: Vec<Diagnostic> = pack.diagnostics.iter().filter(run_out).cloned().collect();
        diagnostics::print(&run_out, &pack.sources);
        let warnings = pack.diagnostics.len();
        if warnings > 0 {
            note(format!(
                "{} in the rules: `fineprint check {}` shows them",
                diagnostics::count(&pack.diagnostics),
                rules.display()
            ));
        }
        if let Some(mapping) = &self.mapping {
            let feed = feed::of_mapping(&feed::mapping(mapping)?, true);
            feed::warn(&blind(rule_set.program(), rule_set.data(), &feed), mapping, rules);
        }
        let options = self.options(rule_set.program())?;
        let pins = self.pins(&pack.pins, &options, &rule_set.data().fingerprint_key)?;
        let rejects = match &self.rejects {
            None => None,
            Some(path) => Some(RejectFile::append(path).with_context(|| format!("cannot write `{}`", path.display()))?),
        };
        let stop = stop_on_signal().context("cannot listen to signals")?;
        let mut progress = Progress::new(total_bytes(&inputs));
        let mut tell = |p: runtime::Progress| progress.update(p.bytes, p.records);
        let exit = match &self.db {
            None => {
                let mut sink = MemorySink::default();
                let outputs = Outputs { sink: &mut sink, journal: None, rejects };
                let summary = runtime::run(&rule_set, &options, inputs, Pinned::First, outputs, &stop, &mut tell);
                progress.finish();
                self.to_stdout(&summary?, sink)?
            }
            Some(db) => {
                let publisher = self.checkpoints.start()?;
                let mut sink = SqliteSink::open(db)?;
                sink.on_checkpoint(publisher.hears());
                let changed = match self.rules_changed {
                    None => RulesChanged::Refuse,
                    Some(Changed::Keep) => RulesChanged::Keep,
                    Some(Changed::Reset) => RulesChanged::Reset,
                };
                let pinned = sink.pin(&pins, changed)?;
                let journal = if self.no_journal { None } else { Some(journal(db, &mut sink)?) };
                if journal.is_some() {
                    self.keep(&pack, &pack_options, db);
                }
                let outputs = Outputs { sink: &mut sink, journal, rejects };
                let summary = runtime::run(&rule_set, &options, inputs, pinned, outputs, &stop, &mut tell);
                progress.finish();
                checkpoints::end(&publisher);
                self.to_log(&summary?, sink, db)?
            }
        };
        Ok(if self.exit_zero && exit == Exit::Findings { Exit::Fine } else { exit })
    }

    /// Keeps the rules beside the log, so that its findings can be computed again under them. A run goes on without.
    fn keep(&self, pack: &Pack, options: &PackOptions<'_>, db: &Path) {
        let kept = KeptPacks::new(beside(db, ".rules"), options.fingerprint_key);
        if let Err(why) = kept.keep(pack, options) {
            note(format!(
                "warning: the rules are not kept with the log, so that what they find cannot be derived again: {why}"
            ));
        }
    }

    fn options(&self, program: &Program) -> anyhow::Result<RunOptions> {
        let delay_secret = self.delay_secret(program)?;
        let eval = EvalOptions {
            lateness: self.lateness,
            as_of: self.as_of,
            delay_secret,
            ..EvalOptions::within(self.state_budget)
        };
        let checkpoint = CheckpointOptions { events: self.commit_every, ..CheckpointOptions::default() };
        Ok(RunOptions { eval, format: self.mapping()?, checkpoint, flush_at_end: self.flush_at_end })
    }

    /// The secret, where a rule delays an action: with one that is known to all, a rule could be probed all the same.
    fn delay_secret(&self, program: &Program) -> anyhow::Result<Option<Secret>> {
        let delays = |rule: &&Rule| rule.actions.iter().any(|a| a.delayed.is_some());
        let Some(rule) = program.rules.iter().find(delays) else { return Ok(None) };
        let Some(path) = &self.delay_secret_file else {
            let what = format!(
                "the rule `{}` delays an action by a random time, but there is no secret to draw it from",
                rule.name
            );
            let help = "name a file with `--delay-secret-file FILE`; `head -c 32 /dev/urandom > FILE` makes one";
            return Err(Wrong::new(what, help).into());
        };
        let mut bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        while bytes.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
            bytes.pop();
        }
        let secret = Secret::new(&bytes).ok_or_else(|| {
            let what =
                format!("`{}` holds {} bytes, a secret has at least {SECRET_BYTES_MIN}", path.display(), bytes.len());
            Wrong::new(what, "`head -c 32 /dev/urandom > FILE` makes one")
        })?;
        Ok(Some(secret))
    }

    fn mapping(&self) -> anyhow::Result<Format> {
        mapping(self.mapping.as_deref(), &self.key)
    }

    fn pins(&self, pack: &crate::pack::PackPins, options: &RunOptions, key: &FingerprintKey) -> anyhow::Result<Pins> {
        let eval = &options.eval;
        let mapping = match &self.mapping {
            None => "auto".to_string(),
            Some(name) if Mapping::shipped(name).is_some() => name.clone(),
            Some(path) => std::fs::read_to_string(path)?,
        };
        let mut config = format!(
            "lateness {} future {} as_of {:?} state {} fingerprints {} epoch {} mapping {mapping}",
            eval.lateness,
            eval.future,
            eval.as_of,
            eval.state_bytes,
            key.id(),
            key.epoch()
        );
        if let Some(secret) = &eval.delay_secret {
            config.push_str(&format!(" delays {}", secret.fingerprint()));
        }
        Ok(Pins {
            rules: pack.rules.clone(),
            lists: pack.lists.clone(),
            registry: pack.registry.clone(),
            config: hex::encode(Sha256::digest(config)),
            engine: env!("CARGO_PKG_VERSION").to_string(),
        })
    }

    fn to_stdout(&self, summary: &Summary, sink: MemorySink) -> anyhow::Result<Exit> {
        let violations = sink.into_violations();
        let mut out = JsonlWriter::new(output());
        for v in &violations {
            out.write(&Record::from(v).json)?;
        }
        out.finish()?;
        let tallies = tally(&violations);
        let report = Report { summary, tallies: &tallies, db: None, next: String::new() };
        // Standard output holds the violations.
        match self.format {
            Print::Text => note(report.text().trim_end()),
            Print::Json => note(report.json().to_string()),
        }
        Ok(exit(&tallies))
    }

    fn to_log(&self, summary: &Summary, sink: SqliteSink, db: &Path) -> anyhow::Result<Exit> {
        let tallies = sink.stats()?;
        sink.close()?;
        let next = format!("fineprint violations list --db {}", db.display());
        let report = Report { summary, tallies: &tallies, db: Some(db), next };
        let mut out = output();
        match self.format {
            Print::Text => out.write_all(report.text().as_bytes())?,
            Print::Json => {
                crate::cli::terminal::write_json(&mut out, &report.json())?;
                writeln!(out)?;
            }
        }
        out.flush()?;
        Ok(exit(&tallies))
    }
}

/// The form of records: a shipped mapping by name, or a mapping file. Keyed hashes want a key that not everybody has.
pub(super) fn mapping(named: Option<&str>, key: &KeyFile) -> anyhow::Result<Format> {
    let Some(named) = named else { return Ok(Format::Auto) };
    let mapping = feed::mapping(named)?;
    if !mapping.needs_key() {
        return Ok(Format::Mapped(Box::new(mapping)));
    }
    let key = key.read()?;
    if key == FingerprintKey::PUBLIC {
        let what = format!("the mapping `{named}` makes keyed hashes, and there is no key: anybody could test them");
        return Err(Wrong::new(what, "name a file with a key of your own by `--fingerprint-key`").into());
    }
    Ok(Format::Mapped(Box::new(mapping.with_key(key))))
}

/// Findings are violations that accuse: neither signals nor what an exception or another group took over.
fn exit(tallies: &[Tally]) -> Exit {
    let accuses = |t: &Tally| t.severity > Severity::Info && matches!(t.status, Status::Open | Status::Closed);
    if tallies.iter().any(accuses) { Exit::Findings } else { Exit::Fine }
}

fn tally(violations: &[Violation]) -> Vec<Tally> {
    let mut counts = std::collections::BTreeMap::<(&str, Severity, Status), u64>::new();
    for v in violations {
        *counts.entry((&v.rule, v.severity, v.status)).or_default() += 1;
    }
    let tally = |((rule, severity, status), n)| Tally { rule: String::from(rule), severity, status, n_violations: n };
    counts.into_iter().map(tally).collect()
}

/// What lies beside a database.
pub(super) fn beside(db: &Path, end: &str) -> PathBuf {
    let mut path = db.as_os_str().to_owned();
    path.push(end);
    PathBuf::from(path)
}

/// The journal lies beside the database.
fn journal(db: &Path, sink: &mut SqliteSink) -> anyhow::Result<Journal> {
    let resumed = sink.resume()?;
    // A run would drop what the server's journal holds behind its last commit.
    if resumed.as_ref().is_some_and(|r| is_live(&r.standing)) {
        return Err(RunError::Live.into());
    }
    let position = match resumed.and_then(|r| r.standing.journal) {
        Some(text) => text.parse::<Position>()?,
        None => Position::START,
    };
    Ok(Journal::open(&beside(db, ".journal"), JournalOptions::default(), &position)?)
}

/// Bytes of all files; unknown where standard input is among them.
pub(super) fn total_bytes(inputs: &[InputSpec]) -> Option<u64> {
    inputs.iter().map(|i| i.path.as_ref().and_then(|p| p.metadata().ok()).map(|m| m.len())).sum()
}
