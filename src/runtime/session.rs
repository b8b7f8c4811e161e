//! One evaluator with everything that must survive beside it: which inputs there are, what was refused, and what of the log
//! is only as final as the end of the files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::input::Read;
use super::pieces::{self, unpack};
use super::rejects::{RejectMark, Rejected};
use super::run::RunError;
use super::sink::{Consumed, Sink};
use crate::eval::{
    Backfill, Books, Carries, EvalOptions, Evaluator, Fate, Frozen, Origin, Outcome, Recalled, RoutedEvents,
    SuccessionError, TestNames,
};
use crate::event::decode::Reject;
use crate::plan::RuleSet;
use crate::store::PieceId;
use crate::time::Timestamp;
use crate::violation::Violation;

/// What became of all records, those that could not be read included. They balance, always.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBooks {
    /// All records found in the inputs.
    pub received: u64,
    /// Taken in, and not refused since.
    pub evaluated: u64,
    /// Behind the watermark.
    pub late: u64,
    /// Copies.
    pub duplicate: u64,
    /// Refused, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Keys that no field has, over all records. They were ignored.
    pub unknown_keys: u64,
}

impl RunBooks {
    /// All that were refused.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Whether every record is accounted for exactly once.
    pub fn balance(&self) -> bool {
        self.received == self.evaluated + self.late + self.duplicate + self.rejected_total()
    }

    /// As counters of the log.
    pub fn by_name(&self) -> BTreeMap<String, u64> {
        let mut names: BTreeMap<String, u64> = [
            ("received", self.received),
            ("evaluated", self.evaluated),
            ("late", self.late),
            ("duplicate", self.duplicate),
            ("unknown_keys", self.unknown_keys),
        ]
        .map(|(name, n)| (name.to_string(), n))
        .into();
        names.extend(self.rejected.iter().map(|(reason, n)| (format!("{REJECTED}{reason}"), *n)));
        names
    }

    /// From the counters of a log.
    pub fn from_names(names: &BTreeMap<String, u64>) -> Self {
        let get = |name: &str| names.get(name).copied().unwrap_or(0);
        RunBooks {
            received: get("received"),
            evaluated: get("evaluated"),
            late: get("late"),
            duplicate: get("duplicate"),
            unknown_keys: get("unknown_keys"),
            rejected: names.iter().filter_map(|(n, c)| Some((n.strip_prefix(REJECTED)?.to_string(), *c))).collect(),
        }
    }

    fn add(&mut self, books: &Books) {
        self.received += books.received;
        self.evaluated += books.evaluated;
        self.late += books.late;
        self.duplicate += books.duplicate;
        for (reason, n) in [
            (crate::eval::Refusal::Future, books.rejected_future),
            (crate::eval::Refusal::Conflicting, books.rejected_conflicting),
        ] {
            if n > 0 {
                *self.rejected.entry(reason.word().to_string()).or_default() += n;
            }
        }
    }
}

/// Before the reason in the names of counters.
const REJECTED: &str = "rejected.";

/// What is saved of a session beside the evaluator's own state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u16,
    /// Inputs by the number that origins hold, and how far each was read.
    inputs: Vec<(String, Option<Read>)>,
    /// Everything that the evaluator's own books do not hold: unread records, and what was before a change of rules.
    before: RunBooks,
    /// See [`Session`].
    pub(super) provisional: BTreeSet<String>,
    /// How much of the reject file is part of this state; `None` after a run that ended by itself, and without such a file.
    pub(super) reject_file: Option<RejectMark>,
}

impl Saved {
    /// Puts it before the evaluator's own pieces; the names of all in order.
    pub(super) fn put(&self, sink: &mut dyn Sink, evaluator: &[PieceId]) -> Result<Vec<PieceId>, RunError> {
        let head = postcard::to_stdvec(self).map_err(not_written)?;
        let mut names = pieces::put(sink, |out| {
            out(&(head.len() as u64).to_be_bytes());
            out(&head);
            Ok(())
        })?;
        names.extend_from_slice(evaluator);
        Ok(names)
    }
}

fn not_written(e: impl std::fmt::Display) -> RunError {
    RunError::State(format!("the state cannot be written down: {e}"))
}

/// Version of the form.
const SESSION_VERSION: u16 = 2;

/// The evaluator and what survives beside it.
#[derive(Debug)]
pub(super) struct Session {
    evaluator: Evaluator,
    inputs: Vec<(String, Option<Read>)>,
    before: RunBooks,
    /// Violations that exist only because the files ended where they did. When the files go on, those that do not come up
    /// again were never there.
    provisional: BTreeSet<String>,
    pub(super) reject_file: Option<RejectMark>,
    rejected: Vec<Rejected>,
}

impl Session {
    pub(super) fn new(rules: Arc<RuleSet>, options: EvalOptions) -> Self {
        Session {
            evaluator: Evaluator::new(rules, options),
            inputs: Vec::new(),
            before: RunBooks::default(),
            provisional: BTreeSet::new(),
            reject_file: None,
            rejected: Vec::new(),
        }
    }

    /// Goes on from saved bytes.
    ///
    /// # Errors
    /// A text that says why the bytes do not fit.
    pub(super) fn restore(rules: Arc<RuleSet>, options: EvalOptions, pieces: &[Vec<u8>]) -> Result<Self, String> {
        let (saved, evaluator) = load(pieces)?;
        Ok(Session {
            evaluator: Evaluator::restore(rules, options, &evaluator)?,
            inputs: saved.inputs,
            before: saved.before,
            provisional: saved.provisional,
            reject_file: saved.reject_file,
            rejected: Vec::new(),
        })
    }

    /// Goes on from saved bytes, under the rules that the state names.
    ///
    /// # Errors
    /// A text that says why the bytes do not fit.
    pub(super) fn restore_among(
        rules_of: &mut dyn FnMut(&str) -> Option<Arc<RuleSet>>,
        options: EvalOptions,
        pieces: &[Vec<u8>],
    ) -> Result<Self, String> {
        let (saved, evaluator) = load(pieces)?;
        Ok(Session {
            evaluator: Evaluator::restore_among(rules_of, options, &evaluator)?,
            inputs: saved.inputs,
            before: saved.before,
            provisional: saved.provisional,
            reject_file: saved.reject_file,
            rejected: Vec::new(),
        })
    }

    /// The evaluator, to be asked.
    pub(super) fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    /// Counts what a journal holds for rules that take over; see [`Evaluator::begin_backfill`].
    pub(super) fn begin_backfill(&mut self) -> Option<Box<Backfill>> {
        self.evaluator.begin_backfill()
    }

    /// Counts in a backfill.
    pub(super) fn count_in<R>(&mut self, backfill: &mut Backfill, count: impl FnOnce(&mut Backfill) -> R) -> R {
        self.evaluator.count_in(backfill, count)
    }

    /// Lets events wait for a backfill that is to come.
    pub(super) fn defer(&mut self) {
        self.evaluator.defer();
    }

    /// The rules take over with that.
    pub(super) fn end_backfill(&mut self, backfill: Box<Backfill>) {
        self.evaluator.end_backfill(backfill);
    }

    /// Hands in rules that take over.
    ///
    /// # Errors
    /// Those of [`Evaluator::succeed`].
    pub(super) fn succeed(
        &mut self,
        rules: Arc<RuleSet>,
        carries: &Carries,
    ) -> Result<(Timestamp, BTreeMap<String, Fate>), SuccessionError> {
        self.evaluator.succeed(rules, carries)
    }

    /// Goes on under other rules: the books, and how far inputs were read, stay; windows begin empty.
    ///
    /// # Errors
    /// A text that says why the bytes do not fit.
    pub(super) fn keep(
        rules: Arc<RuleSet>,
        options: EvalOptions,
        pieces: &[Vec<u8>],
        books: RunBooks,
    ) -> Result<Self, String> {
        let (saved, _) = load(pieces)?;
        let (inputs, reject_file) = (saved.inputs, saved.reject_file);
        Ok(Session { inputs, reject_file, before: books, ..Session::new(rules, options) })
    }

    /// A copy under other options, and what its state is not.
    ///
    /// # Errors
    /// A text, where the state cannot be written down.
    pub(super) fn under(
        &self,
        rules_of: &mut dyn FnMut(&str) -> Option<Arc<RuleSet>>,
        options: EvalOptions,
    ) -> Result<Self, String> {
        let bytes = self.evaluator.snapshot()?;
        Ok(Session {
            evaluator: Evaluator::restore_among(rules_of, options, &bytes)?,
            inputs: self.inputs.clone(),
            before: self.before.clone(),
            provisional: BTreeSet::new(),
            reject_file: None,
            rejected: Vec::new(),
        })
    }

    /// What is saved beside the evaluator's state.
    pub(super) fn saved(&self) -> Saved {
        Saved {
            version: SESSION_VERSION,
            inputs: self.inputs.clone(),
            before: self.before.clone(),
            provisional: self.provisional.clone(),
            reject_file: self.reject_file.clone(),
        }
    }

    /// Takes the evaluator's state out, to be saved; to be given back by [`Session::thaw`].
    pub(super) fn freeze(&mut self) -> Result<Frozen, RunError> {
        self.evaluator.freeze().map_err(RunError::State)
    }

    /// Takes the state back. What has waited for it is applied by [`Session::catch_up`].
    pub(super) fn thaw(&mut self, frozen: Frozen) {
        self.evaluator.thaw(frozen);
    }

    /// Applies about so many of the events that have waited for the state; whether there are more.
    pub(super) fn catch_up(&mut self, events: usize) -> bool {
        self.evaluator.catch_up(events)
    }

    /// Bytes of the events that wait for the state, roughly.
    pub(super) fn held_back(&self) -> usize {
        self.evaluator.held_back()
    }

    /// How far an input was read, and as what.
    pub(super) fn read(&self, name: &str) -> Option<&Read> {
        self.inputs.iter().find(|(n, _)| n == name).and_then(|(_, read)| read.as_ref())
    }

    /// Notes up to where inputs were read.
    pub(super) fn set_read(&mut self, inputs: Vec<(Consumed, Read)>) {
        for (Consumed { name, .. }, read) in inputs {
            if let Some((_, known)) = self.inputs.iter_mut().find(|(n, _)| *n == name) {
                *known = Some(read);
            }
        }
    }

    /// The number by which origins name an input.
    pub(super) fn input(&mut self, name: &str) -> u32 {
        let at = self.inputs.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
            self.inputs.push((name.to_string(), None));
            self.inputs.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    pub(super) fn observe(&mut self, events: &mut RoutedEvents, at: usize, origin: Origin) -> Outcome {
        self.before.unknown_keys += u64::from(events.unknown_keys(at));
        let outcome = self.evaluator.observe_routed(events, at, origin);
        if let Outcome::Rejected(refusal) = outcome {
            self.reject(origin, refusal.word(), String::new());
        }
        outcome
    }

    /// As [`Session::observe`], of an event that a journal gives back.
    pub(super) fn observe_recalled(&mut self, recalled: &Recalled, names: &TestNames, origin: Origin) -> Outcome {
        self.evaluator.observe_recalled(recalled, names, origin)
    }

    /// Declares that no event before a time will come any more.
    pub(super) fn advance(&mut self, watermark: Timestamp) {
        self.evaluator.advance(watermark);
    }

    /// Counts a copy that a journal tells of.
    pub(super) fn count_copy(&mut self) {
        self.before.received += 1;
        self.before.duplicate += 1;
    }

    /// Counts keys that no field has, that a journal tells of.
    pub(super) fn count_unknown_keys(&mut self, n: u32) {
        self.before.unknown_keys += u64::from(n);
    }

    /// Counts a record that was refused before it came to the evaluator.
    pub(super) fn count_refused(&mut self, rejected: Rejected) {
        self.before.received += 1;
        *self.before.rejected.entry(rejected.reason.to_string()).or_default() += 1;
        self.rejected.push(rejected);
    }

    /// Counts a record that could not be read.
    pub(super) fn unread(&mut self, origin: Origin, reject: &Reject) {
        self.before.received += 1;
        *self.before.rejected.entry(reject.reason.word().to_string()).or_default() += 1;
        let rejected = Rejected::unread(self.name(origin.input), origin.line, reject);
        self.rejected.push(rejected);
    }

    fn reject(&mut self, origin: Origin, reason: &'static str, detail: String) {
        let input = self.name(origin.input).to_string();
        self.rejected.push(Rejected { input, line: origin.line, reason, field: None, detail });
    }

    fn name(&self, input: u32) -> &str {
        self.inputs.get(input as usize).map_or("", |(name, _)| name.as_str())
    }

    /// Refused records since the last call, by input and line.
    pub(super) fn take_rejected(&mut self) -> Vec<Rejected> {
        for refused in self.evaluator.take_refused() {
            self.reject(refused.origin, refused.refusal.word(), String::new());
        }
        let mut rejected = std::mem::take(&mut self.rejected);
        rejected.sort();
        rejected
    }

    /// Violations since the last call, as final as the evaluator's watermark.
    pub(super) fn take_violations(&mut self) -> Vec<Violation> {
        let found = self.evaluator.take_violations();
        for v in &found {
            self.provisional.remove(&v.id);
        }
        found
    }

    /// Ends the files: what follows from that. To be called after [`Session::freeze`]: it is the state before that is saved,
    /// since a file may go on.
    pub(super) fn end(&mut self) -> Vec<Violation> {
        self.evaluator.finish();
        self.evaluator.take_violations()
    }

    /// Findings of earlier runs that rest on the end of the files and have not come up again so far.
    pub(super) fn provisional(&self) -> &BTreeSet<String> {
        &self.provisional
    }

    /// Bytes of the state, by part.
    pub(super) fn footprint(&self) -> Vec<crate::eval::footprint::Footprint> {
        self.evaluator.footprint()
    }

    pub(super) fn watermark(&self) -> Option<Timestamp> {
        self.evaluator.watermark()
    }

    pub(super) fn books(&self) -> RunBooks {
        let mut books = self.before.clone();
        books.add(self.evaluator.books());
        debug_assert!(books.balance(), "the books do not balance: {books:?}");
        books
    }

    pub(super) fn memory_lost(&self) -> Vec<(String, u64)> {
        self.evaluator.memory_lost()
    }

    pub(super) fn groups_lost(&self) -> Vec<(String, u64, u64)> {
        self.evaluator.groups_lost()
    }

    pub(super) fn links_lost(&self) -> Vec<(String, u64, u64)> {
        self.evaluator.links_lost()
    }

    pub(super) fn dropped(&self) -> Vec<(String, u64)> {
        self.evaluator.dropped()
    }

    pub(super) fn baselines_lost(&self) -> Vec<(String, u64)> {
        self.evaluator.baselines_lost()
    }

    pub(super) fn undecided(&self) -> Vec<(String, u64)> {
        self.evaluator.undecided()
    }
}

/// The pieces of a state in which an account is called otherwise, and its events too, and whether the state named it. `ended` are ids
/// of the findings that were of this account alone.
///
/// # Errors
/// A text, where the state cannot be read.
pub(super) fn erased(
    pieces: &[Vec<u8>],
    account: &str,
    token: &str,
    events: &BTreeMap<String, u64>,
    ended: &BTreeSet<String>,
) -> Result<(Vec<Vec<u8>>, bool), String> {
    let (mut saved, evaluator) = load(pieces)?;
    // They stay as they are: nothing takes them back.
    saved.provisional.retain(|id| !ended.contains(id));
    let head = postcard::to_stdvec(&saved).map_err(|e| format!("the state cannot be written down: {e}"))?;
    let mut bytes = (head.len() as u64).to_be_bytes().to_vec();
    bytes.extend(head);
    let (state, named) = crate::eval::erase_from_snapshot(&evaluator, account, token, events)?;
    bytes.extend(state);
    Ok((pieces::pack(&bytes)?, named))
}

/// What stands beside the evaluator's state, and that state.
fn load(pieces: &[Vec<u8>]) -> Result<(Saved, Vec<u8>), String> {
    let mut bytes = unpack(pieces)?;
    let cut = || "the saved state is damaged: it ends too early".to_string();
    let length = bytes.first_chunk::<8>().ok_or_else(cut)?;
    let head_ends = usize::try_from(u64::from_be_bytes(*length)).ok().and_then(|n| n.checked_add(8)).ok_or_else(cut)?;
    let head = bytes.get(8..head_ends).ok_or_else(cut)?;
    let damaged = |e: postcard::Error| format!("the saved state is damaged: {e}");
    let (version, _) = postcard::take_from_bytes::<u16>(head).map_err(damaged)?;
    if version != SESSION_VERSION {
        return Err(format!("the saved state has version {version}, this program reads version {SESSION_VERSION}"));
    }
    let saved = postcard::from_bytes(head).map_err(damaged)?;
    bytes.drain(..head_ends);
    Ok((saved, bytes))
}
