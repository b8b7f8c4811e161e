//! `fineprint violations list --by campaign` and `show --campaign`: the log as cases, with what their accounts called for.

mod report;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Format;
use super::progress::Progress;
use super::terminal::{output, printable};
use super::violations::Log;
use super::wrong::Wrong;
use crate::campaign::{self, Call, Case, Cases, Findings, Prices, Tally};
use crate::eval::Recalled;
use crate::event::{FieldId, Kind, UsageEvent};
use crate::feed::read_prices;
use crate::journal::{self, Position, Projection};
use crate::runtime::live::is_entry;
use crate::store::Filter;
use crate::time::Timestamp;
use crate::value::Value as Field;

/// Where volumes and values come from.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Volumes {
    /// Of campaigns: prices of models, a YAML file; without it no value is estimated
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Of campaigns: the journal of the log, where it does not lie beside it
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Of campaigns: reads no journal; calls, tokens and values are then not known
    #[arg(long, conflicts_with = "journal")]
    no_journal: bool,
}

impl Volumes {
    /// Refuses the options where no campaigns are asked for.
    pub(super) fn refuse_without(&self, option: &str) -> anyhow::Result<()> {
        let given = [("--prices", self.prices.is_some()), ("--journal", self.journal.is_some())];
        match given.into_iter().chain([("--no-journal", self.no_journal)]).find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((name, _)) => {
                let help = format!("add `{option}`, or leave it out");
                Err(Wrong::new(format!("`{name}` is about campaigns, and none are asked for"), help).into())
            }
        }
    }
}

/// What a journal held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Journaled {
    n_events: u64,
    /// From when on it holds everything; `None` where nothing was dropped.
    since: Option<Timestamp>,
}

/// Everything that a report of cases is made of.
struct View<'a> {
    findings: &'a Findings,
    cases: &'a Cases,
    prices: Option<&'a Prices>,
    tally: &'a Tally<'a>,
    journal: Option<Journaled>,
}

impl View<'_> {
    /// Whether the journal holds all of the time of a case.
    fn reaches(&self, case: &Case) -> bool {
        self.journal.is_some_and(|j| j.since.is_none_or(|since| since <= case.first))
    }
}

/// Cases of which a violation is among those asked for. Cases are made of all violations of the log, whatever is asked for:
/// else what is tied would hang on the question.
pub(super) fn list(db: &Path, filter: &Filter, volumes: &Volumes, format: Format) -> anyhow::Result<()> {
    let limit = filter.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let filter = Filter { limit: None, ..filter.clone() };
    let shown = |log: &Log, findings: &Findings, cases: &Cases| -> anyhow::Result<Vec<usize>> {
        let numbered = cases.cases.iter().enumerate();
        if filter == Filter::default() {
            return Ok(numbered.map(|(i, _)| i).collect());
        }
        let mut asked = BTreeSet::new();
        log.wait(log.store.export(&filter, &mut |row| {
            asked.insert(row.id.clone());
            Ok(())
        }))?;
        let is_asked = |i: &usize| findings.all().get(*i).is_some_and(|f| asked.contains(&f.id));
        let any = |case: &Case| case.findings.iter().chain(&case.beside).any(is_asked);
        Ok(numbered.filter(|(_, case)| any(case)).map(|(i, _)| i).collect())
    };
    let print = |view: &View<'_>, shown: &[usize]| -> anyhow::Result<()> {
        let mut out = output();
        match format {
            Format::Json => {
                let shown: Vec<usize> = shown.iter().copied().take(limit).collect();
                crate::cli::terminal::write_json(&mut out, &view.list_json(&shown))?;
                writeln!(out)?;
            }
            Format::Text => out.write_all(view.list_text(shown, limit.min(LIST_CASES)).as_bytes())?,
        }
        Ok(out.flush()?)
    };
    with_view(db, volumes, shown, print)
}

/// Cases of a table where no `--limit` is given.
const LIST_CASES: usize = 100;

/// One case in full.
pub(super) fn show(db: &Path, id: &str, volumes: &Volumes, format: Format) -> anyhow::Result<()> {
    let shown = |_: &Log, findings: &Findings, cases: &Cases| Ok(vec![one(findings, cases, id)?]);
    let print = |view: &View<'_>, shown: &[usize]| -> anyhow::Result<()> {
        let mut out = output();
        for case in shown {
            match format {
                Format::Json => {
                    crate::cli::terminal::write_json(&mut out, &view.case_json(*case, true))?;
                    writeln!(out)?;
                }
                Format::Text => out.write_all(view.case_text(*case).as_bytes())?,
            }
        }
        Ok(out.flush()?)
    };
    with_view(db, volumes, shown, print)
}

/// The case that an id names: its own, with or without `c-`, the beginning of it, or that of one of its violations.
fn one(findings: &Findings, cases: &Cases, id: &str) -> anyhow::Result<usize> {
    let help = "`fineprint violations list --by campaign --db FILE` shows the ids";
    let digits = id.trim().to_ascii_lowercase();
    let digits = digits.strip_prefix("c-").unwrap_or(&digits);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Wrong::new(format!("`{}` is no id of a campaign", printable(id)), help).into());
    }
    let numbered = || cases.cases.iter().enumerate();
    let own: Vec<usize> =
        numbered().filter(|(_, c)| c.id.trim_start_matches("c-").starts_with(digits)).map(|(i, _)| i).collect();
    let names = |i: &usize| findings.all().get(*i).is_some_and(|f| f.id.starts_with(digits));
    let holding = || numbered().filter(|(_, c)| c.findings.iter().chain(&c.beside).any(names)).map(|(i, _)| i);
    let found = if own.is_empty() { holding().collect() } else { own };
    match found.as_slice() {
        [one] => Ok(*one),
        [] if cases.outside.iter().any(names) => {
            let what = format!("the violation `{digits}` accuses nobody, and belongs to no campaign");
            Err(Wrong::new(what, format!("`fineprint violations show {digits} --db FILE` shows it")).into())
        }
        [] => Err(Wrong::new(format!("the log holds no campaign `{}`", printable(id)), help).into()),
        more => {
            let what = format!("`{}` is the beginning of {} ids", printable(id), more.len());
            Err(Wrong::new(what, format!("write more digits; {help}")).into())
        }
    }
}

/// The id of a campaign and those of its violations, those beside it too.
pub(super) fn members(log: &Log, id: &str) -> anyhow::Result<(String, Vec<String>)> {
    let mut findings = Findings::default();
    log.wait(
        log.store.export(&Filter::default(), &mut |row| findings.push_json(&row.record).map_err(std::io::Error::other)),
    )?;
    let cases = campaign::cases(&findings);
    let Some(case) = cases.cases.get(one(&findings, &cases, id)?) else { return Ok((String::new(), Vec::new())) };
    let of = case.findings.iter().chain(&case.beside).filter_map(|i| findings.all().get(*i));
    Ok((case.id.clone(), of.map(|f| f.id.clone()).collect()))
}

/// Reads the log, ties it, and counts what the accounts of the cases called for.
fn with_view(
    db: &Path,
    volumes: &Volumes,
    shown: impl Fn(&Log, &Findings, &Cases) -> anyhow::Result<Vec<usize>>,
    print: impl Fn(&View<'_>, &[usize]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // What is wrong with the call is said before anything is read.
    let prices = volumes.prices.as_deref().map(read_prices).transpose()?;
    if let Some(dir) = volumes.journal.as_deref().filter(|dir| !dir.is_dir()) {
        let what = format!("`--journal {}` is no directory", dir.display());
        return Err(Wrong::new(what, "name the directory that a run wrote beside its log, `….journal`").into());
    }
    let log = Log::open(db)?;
    let mut findings = Findings::default();
    log.wait(
        log.store.export(&Filter::default(), &mut |row| findings.push_json(&row.record).map_err(std::io::Error::other)),
    )?;
    let cases = campaign::cases(&findings);
    let shown = shown(&log, &findings, &cases)?;
    let mut tally = Tally::new(&findings, &cases, prices.as_ref());
    let journal = match shown.is_empty() {
        true => None,
        false => journaled(db, &log, volumes, &mut tally)?,
    };
    print(&View { findings: &findings, cases: &cases, prices: prices.as_ref(), tally: &tally, journal }, &shown)
}

/// Records from which is told how far back a journal reaches whose beginning was dropped: events come out of order.
const BEGINNING_RECORDS: u64 = 1_000;

/// Counts the events of the journal, one at a time. `None` where there is none.
fn journaled(db: &Path, log: &Log, volumes: &Volumes, tally: &mut Tally<'_>) -> anyhow::Result<Option<Journaled>> {
    if volumes.no_journal {
        return Ok(None);
    }
    let position = log.wait(log.store.journal_position())?;
    let beside = PathBuf::from({
        let mut dir = db.as_os_str().to_owned();
        dir.push(".journal");
        dir
    });
    let (dir, position) = match (&volumes.journal, position) {
        (Some(dir), position) => (dir.clone(), position),
        (None, Some(position)) if beside.is_dir() => (beside, Some(position)),
        (None, _) => return Ok(None),
    };
    let position = position.map(|p| p.parse::<Position>()).transpose()?;
    let mut journal = Journaled { n_events: 0, since: None };
    let mut progress = Progress::new(None);
    for projection in journal::read(&dir, position.as_ref())? {
        let Projection { segment, ts, record } = projection?;
        if is_entry(&record) {
            continue;
        }
        let instead = "run the rules again, or leave the journal out with `--no-journal`";
        let recalled = Recalled::read(&record).map_err(|why| Wrong::new(why, instead))?;
        let was_dropped = journal.since.is_some() || (journal.n_events == 0 && segment > 1);
        if was_dropped && journal.n_events < BEGINNING_RECORDS {
            journal.since = journal.since.max(Some(ts));
        }
        tally.take(&call(&recalled.event));
        journal.n_events += 1;
        if journal.n_events.is_multiple_of(4_096) {
            progress.update(0, journal.n_events);
        }
    }
    progress.finish();
    Ok(Some(journal))
}

/// What is counted of an event.
fn call<'a>(event: &'a UsageEvent<'_>) -> Call<'a> {
    let text = |field: FieldId| match event.get(field) {
        Field::Text(text) => Some(text),
        _ => None,
    };
    let tokens = |field: FieldId| match event.get(field) {
        Field::Num(n) => u64::try_from(n).ok(),
        _ => None,
    };
    Call {
        ts: event.ts(),
        is_completion: event.kind() == Kind::Completion,
        account: text(FieldId::ACCOUNT).unwrap_or_default(),
        org: text(FieldId::ORG),
        model: text(FieldId::MODEL),
        input_tokens: tokens(FieldId::INPUT_TOKENS),
        output_tokens: tokens(FieldId::OUTPUT_TOKENS),
        reasoning_tokens: tokens(FieldId::REASONING_TOKENS),
    }
}
