//! The journal read again: behind the last commit when a session begins, or as a whole beside it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::LiveError;
use super::backfill::Past;
use super::entry::{ERASED, Entry, Read, field, read, reason};
use super::library::Library;
use super::status::Recovered;
use crate::eval::{Carries, EvalOptions, Origin, Outcome, TestNames};
use crate::journal::{self, Position};
use crate::plan::RuleSet;
use crate::runtime::Rejected;
use crate::runtime::session::{RunBooks, Session};
use crate::time::Timestamp;
use crate::violation::Violation;

/// Where records come from: the number of a source, and how many of it there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sources(pub(super) Vec<(String, u64)>);

impl Sources {
    /// The next record of a source.
    pub(super) fn next(&mut self, session: &mut Session, source: &str) -> Origin {
        let input = session.input(source);
        match self.0.iter_mut().find(|(name, _)| name == source) {
            Some((_, n)) => {
                *n += 1;
                Origin { input, line: *n }
            }
            None => {
                self.0.push((source.to_string(), 1));
                Origin { input, line: 1 }
            }
        }
    }

    /// Says how many records of a source there were.
    fn set(&mut self, source: &str, n: u64) {
        match self.0.iter_mut().find(|(name, _)| name == source) {
            Some((_, known)) => *known = n,
            None => self.0.push((source.to_string(), n)),
        }
    }
}

/// Takes in records of a journal, in their order.
pub(super) struct Replay<'l> {
    /// What the tests of a rule set are called, by its hash.
    names: BTreeMap<String, TestNames>,
    source: String,
    dir: &'l Path,
    library: &'l dyn Library,
    /// Rules that are known beside the library.
    given: Vec<Arc<RuleSet>>,
    /// Bundle hashes of rules that took over, in order.
    pub(super) changes: Vec<String>,
}

impl<'l> Replay<'l> {
    pub(super) fn new(dir: &'l Path, library: &'l dyn Library, given: Vec<Arc<RuleSet>>) -> Self {
        Replay { names: BTreeMap::new(), source: String::new(), dir, library, given, changes: Vec::new() }
    }

    pub(super) fn rules(&self, bundle: &str) -> Result<Arc<RuleSet>, LiveError> {
        match self.given.iter().find(|rules| rules.bundle_hash() == bundle) {
            Some(rules) => Ok(Arc::clone(rules)),
            None => self.library.find(bundle).map_err(LiveError::Rules),
        }
    }

    /// Takes in one record.
    pub(super) fn take(
        &mut self,
        session: &mut Session,
        sources: &mut Sources,
        record: &[u8],
    ) -> Result<(), LiveError> {
        self.take_read(session, sources, read(record).map_err(LiveError::Replay)?)
    }

    /// Takes in one record that was read.
    pub(super) fn take_read(
        &mut self,
        session: &mut Session,
        sources: &mut Sources,
        record: Read,
    ) -> Result<(), LiveError> {
        let damaged = |what: &str| LiveError::Replay(what.to_string());
        match record {
            Read::Event(recalled) => {
                let origin = sources.next(session, &self.source);
                let rules = session.evaluator().rules_at(recalled.event.ts());
                let names = match self.names.get(rules.bundle_hash()) {
                    Some(names) => names,
                    None => {
                        let names = TestNames::between(rules, rules);
                        self.names.entry(rules.bundle_hash().to_string()).or_insert(names)
                    }
                };
                match session.observe_recalled(&recalled, names, origin) {
                    Outcome::Evaluated | Outcome::Late => {}
                    other => {
                        return Err(damaged(&format!("an event of the journal is taken otherwise now: {other:?}")));
                    }
                }
            }
            Read::Erased => {
                let line = sources.next(session, &self.source).line;
                let input = self.source.clone();
                session.count_refused(Rejected { input, line, reason: ERASED, field: None, detail: String::new() });
            }
            Read::Entry(Entry::From { source, record }) => {
                sources.set(&source, record.saturating_sub(1));
                self.source = source;
            }
            Read::Entry(Entry::Copy) => {
                sources.next(session, &self.source);
                session.count_copy();
            }
            Read::Entry(Entry::UnknownKeys { n }) => session.count_unknown_keys(n),
            Read::Entry(Entry::Refused { reason: word, field: number, detail }) => {
                let line = sources.next(session, &self.source).line;
                let (input, reason, field) = (self.source.clone(), reason(&word), field(number));
                session.count_refused(Rejected { input, line, reason, field, detail });
            }
            Read::Entry(Entry::Reading(_) | Entry::Run { .. } | Entry::End) => {}
            Read::Entry(Entry::Advance { watermark }) => session.advance(Timestamp(watermark)),
            Read::Entry(Entry::Rules { bundle, at: _, carries, otherwise }) => {
                if session.evaluator().latest_rules().bundle_hash() != bundle {
                    let carries = Carries { rules: carries.into_iter().collect(), otherwise };
                    let rules = self.rules(&bundle)?;
                    session.succeed(rules, &carries).map_err(|e| LiveError::Replay(e.to_string()))?;
                    self.changes.push(bundle);
                }
            }
        }
        if session.evaluator().awaits_backfill().is_some() {
            backfill(session, self.dir, &mut |bundle| self.rules(bundle))?;
        }
        Ok(())
    }
}

/// Counts what a journal holds for the rules that take over next, up to their time: the journal has reached it.
fn backfill(
    session: &mut Session,
    dir: &Path,
    rules_of: &mut dyn FnMut(&str) -> Result<Arc<RuleSet>, LiveError>,
) -> Result<(), LiveError> {
    let lateness = session.evaluator().options().lateness;
    let reader = journal::read(dir, None)?;
    let Some(mut backfill) = session.begin_backfill() else { return Ok(()) };
    let mut past = Past::new(Arc::clone(backfill.rules()), lateness);
    // Until it is given back nothing may fail half-way: an error is kept.
    let counted = session.count_in(&mut backfill, |backfill| {
        for projection in reader {
            if let Some(counted) = past.read(&projection?.record, rules_of)? {
                counted.count(backfill);
            }
            if backfill.is_over() {
                break;
            }
        }
        Ok(())
    });
    session.end_backfill(backfill);
    counted
}

/// Takes in what lies behind a position; up to where it reaches.
pub(super) fn recover(
    dir: &Path,
    from: &Position,
    replay: &mut Replay<'_>,
    session: &mut Session,
    sources: &mut Sources,
) -> Result<(Position, Recovered), LiveError> {
    let mut tail = journal::tail(dir, from)?;
    let mut recovered = Recovered::default();
    while let Some(projection) = tail.next_record()? {
        replay.take(session, sources, &projection.record)?;
        recovered.records += 1;
    }
    recovered.cut_bytes = tail.cut_bytes();
    Ok((tail.end(), recovered))
}

/// Whether anything came from a source that a session names: runs over files name none.
pub(super) fn is_told_of_sources(sources: &Sources) -> bool {
    sources.0.iter().any(|(name, _)| !name.is_empty())
}

/// What a run over a journal finds.
#[derive(Debug)]
pub struct Replayed {
    /// Violations in their last state, sorted by (opened_at, id).
    pub violations: Vec<Violation>,
    /// What became of all records that the journal tells of.
    pub books: RunBooks,
    /// How often rules took over.
    pub changes: u64,
    /// Records of the journal.
    pub records: u64,
}

/// Runs over the whole journal of a live session, under the rules that were in force, up to a position or its end: what a
/// session finds that was never disturbed. `options` are those of the session.
///
/// Of a journal whose beginning was dropped, since no window reaches it any more, what is found in the first windows after
/// that is not complete.
///
/// # Errors
/// Where the journal cannot be read, or rules are not kept.
pub fn replay(
    dir: &Path,
    until: Option<&Position>,
    library: &dyn Library,
    options: &EvalOptions,
) -> Result<Replayed, LiveError> {
    let mut reader = journal::read(dir, until)?.peekable();
    let mut first = None;
    let mut skipped = Vec::new();
    // The rules stand at the beginning of each segment that a session wrote, a few records in at most.
    while let Some(Ok(projection)) = reader.peek() {
        if let Read::Entry(Entry::Rules { bundle, .. }) = read(&projection.record).map_err(LiveError::Replay)? {
            first = Some(bundle);
            break;
        }
        skipped.extend(reader.next());
    }
    let mut replay = Replay::new(dir, library, Vec::new());
    let Some(bundle) = first else {
        return Err(LiveError::Replay("the journal does not say under which rules it was written".to_string()));
    };
    let mut session = Session::new(replay.rules(&bundle)?, EvalOptions { as_of: None, ..options.clone() });
    let (mut sources, mut records) = (Sources::default(), 0);
    let mut found = BTreeMap::new();
    for projection in skipped.into_iter().chain(reader) {
        replay.take(&mut session, &mut sources, &projection?.record)?;
        records += 1;
        if records % FOUND_EVERY == 0 {
            found.extend(session.take_violations().into_iter().map(|v| (v.id.clone(), v)));
        }
    }
    found.extend(session.take_violations().into_iter().map(|v| (v.id.clone(), v)));
    let mut violations: Vec<Violation> = found.into_values().collect();
    violations.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
    Ok(Replayed { violations, books: session.books(), changes: replay.changes.len() as u64, records })
}

/// Records after which findings are taken, so that those that are told often do not pile up.
const FOUND_EVERY: u64 = 100_000;
