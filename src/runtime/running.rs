//! A run under way: what it holds, and how it commits while events go on coming.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::channel;
use std::thread::{Builder, Scope};
use std::time::Instant;

use super::checkpoint::{Checkpoints, now};
use super::input::{Input, InputSpec, Merged, ReadSoFar};
use super::live::entry::Entry;
use super::pipeline::Batch;
use super::reading::Reading;
use super::rejects::{RejectFile, Rejected};
use super::run::RunError;
use super::session::{RunBooks, Session};
use super::sink::{Consumed, Sink, Standing};
use super::under_way::{Due, UnderWay, Written, store};
use crate::eval::{EvalOptions, Outcome};
use crate::feed::{Format, Resume};
use crate::journal::{Journal, JournalError, ProjectionSink};
use crate::store::PieceId;
use crate::time::{Duration, Timestamp};
use crate::violation::Violation;

/// How long a batch may wait for events that are made up for.
const CATCH_UP: std::time::Duration = std::time::Duration::from_millis(25);

/// Events applied at a time where many have waited for a commit: a part of [`CATCH_UP`].
const CATCH_UP_EVENTS: usize = 512;

/// Bytes of events that wait while the state is written down, beyond which the run takes one batch in each [`TRICKLE`].
const HELD_BACK_BYTES_MAX: usize = 4 << 20;

/// Below what a stream may stand still, with room for what else is done between two batches.
const TRICKLE: std::time::Duration = std::time::Duration::from_millis(60);

/// A run under way.
pub(super) struct Running<'scope, 'env, 'a> {
    pub(super) scope: &'scope Scope<'scope, 'env>,
    pub(super) session: Session,
    /// Inputs of earlier runs.
    pub(super) earlier: Vec<Consumed>,
    pub(super) keeps_state: bool,
    /// The log; `None` while a commit is under way, which has it.
    pub(super) sink: Option<&'a mut dyn Sink>,
    pub(super) under_way: Option<UnderWay<'scope, 'a>>,
    /// The evaluator's pieces in the log, as of the last commit of this run.
    pub(super) stored: Vec<PieceId>,
    pub(super) journal: Option<Journal>,
    pub(super) rejects: Option<RejectFile>,
    pub(super) checkpoints: Checkpoints,
    /// Violations since the last commit, without a log that keeps a state.
    pub(super) pending: BTreeMap<String, Violation>,
    /// Refused records since the last commit. They stand in the reject file already.
    pub(super) refused: Vec<Rejected>,
    pub(super) committing: std::time::Duration,
    pub(super) longest_pause: std::time::Duration,
    /// How far back the journal must reach.
    pub(super) journal_keep: Duration,
    pub(super) told: Told,
}

impl<'scope, 'a: 'scope> Running<'scope, '_, 'a> {
    /// Opens all inputs, each behind what was read of it before.
    pub(super) fn open(&mut self, specs: Vec<InputSpec>, format: &Format) -> Result<Merged, RunError> {
        let mut opened = Vec::new();
        let named: BTreeSet<String> = specs.iter().map(|s| s.name.clone()).collect();
        for spec in specs {
            let name = self.known_as(&spec, &named)?;
            let number = self.session.input(&name);
            let read = self.session.read(&name);
            let before = read.map(|r| r.position);
            let format = match (format, read) {
                // Before the first record nothing was decided.
                (Format::Auto, Some(read)) if read.position.offset > 0 => read.format(),
                (format, _) => format.clone(),
            };
            let (input, resume) = Input::open(&spec, &name, number, before.as_ref(), format)?;
            tracing::info!(input = %name, offset_bytes = before.map_or(0, |p| p.offset), "opened");
            if let (Resume::Changed | Resume::Shorter, Some(position)) = (resume, before) {
                return Err(RunError::Changed { name, offset_bytes: position.offset });
            }
            opened.push(input);
        }
        Ok(Merged::new(opened))
    }

    /// The name under which the log knows an input: its own or, where a file was moved, that of the input which begins with
    /// the same bytes.
    fn known_as(&self, spec: &InputSpec, named: &BTreeSet<String>) -> Result<String, RunError> {
        if spec.path.is_none() || self.session.read(&spec.name).is_some() {
            return Ok(spec.name.clone());
        }
        for earlier in self.earlier.iter().rev().take(MOVED_TRIED_MAX) {
            if earlier.offset_bytes == 0 || named.contains(&earlier.name) || earlier.name == super::STDIN {
                continue;
            }
            let Some(position) = self.session.read(&earlier.name).map(|r| r.position) else { continue };
            if let (_, Resume::Continued) = Input::open(spec, &earlier.name, 0, Some(&position), Format::Auto)? {
                return Ok(earlier.name.clone());
            }
        }
        Ok(spec.name.clone())
    }

    /// Takes in a batch, in its order.
    pub(super) fn take(&mut self, batch: &mut Batch) -> Result<(), RunError> {
        let Batch { records, routed, .. } = batch;
        for record in records {
            let at = match &record.event {
                Ok(at) => *at,
                Err(reject) => {
                    self.session.unread(record.origin, reject);
                    continue;
                }
            };
            let outcome = self.session.observe(routed, at, record.origin);
            if let (Some(journal), Outcome::Evaluated | Outcome::Late) = (self.journal.as_mut(), outcome) {
                self.told.before(journal, routed.ts(at))?;
                journal.append(routed.ts(at), routed.projection(at))?;
            }
        }
        Ok(())
    }

    /// Cuts off what a run that was killed wrote to the reject file and did not commit. Whether the next state must say how
    /// long the file is, so that this run's lines can be cut off in turn.
    pub(super) fn cut_rejects(&mut self) -> Result<bool, RunError> {
        let Some(file) = self.rejects.as_mut() else { return Ok(false) };
        file.go_on(self.session.reject_file.as_ref()).map_err(RunError::Rejects)?;
        let known = self.session.reject_file == file.mark();
        Ok(!known && self.keeps_state)
    }

    /// Writes refused records to their file, before the commit that counts them: a kill in between leaves lines too many,
    /// which the next run cuts off, and never too few.
    fn write_rejects(&mut self) -> Result<(), RunError> {
        let refused = self.session.take_rejected();
        if let Some(file) = self.rejects.as_mut() {
            file.write(&refused).map_err(RunError::Rejects)?;
            self.session.reject_file = file.mark();
        }
        self.refused.extend(refused);
        Ok(())
    }

    /// Goes on with the commit under way, makes up for what waited for it, and begins the next where one is due, after a batch
    /// of so many records. Whether more is to be made up for.
    pub(super) fn between_batches(&mut self, read: &ReadSoFar, records: u64) -> Result<bool, RunError> {
        let started = now();
        self.look_after()?;
        self.note_pause(started);
        // Making up is no pause: it is the work of the events that waited. Only it must not keep those that come.
        let mut behind = true;
        while behind && started.elapsed() < CATCH_UP {
            behind = self.session.catch_up(CATCH_UP_EVENTS);
        }
        // Counts the records, whether or not a commit can begin.
        if self.checkpoints.due(records) && self.under_way.is_none() && !behind {
            let started = now();
            self.checkpoint(read)?;
            self.note_pause(started);
        }
        Ok(behind)
    }

    fn note_pause(&mut self, since: Instant) {
        self.longest_pause = self.longest_pause.max(since.elapsed());
    }

    /// Takes back the state once it is written down, and the log once the commit is safe.
    fn look_after(&mut self) -> Result<(), RunError> {
        let held_back = self.session.held_back();
        let Some(under_way) = self.under_way.as_mut() else { return Ok(()) };
        let patience = if held_back > HELD_BACK_BYTES_MAX { TRICKLE } else { std::time::Duration::ZERO };
        if let Some(frozen) = under_way.state(patience) {
            self.session.thaw(frozen);
        }
        if under_way.is_over() { self.wait() } else { Ok(()) }
    }

    /// Waits until the commit under way is safe and the state is back, if there is one.
    pub(super) fn wait(&mut self) -> Result<(), RunError> {
        let Some(mut under_way) = self.under_way.take() else { return Ok(()) };
        if let Some(frozen) = under_way.state(std::time::Duration::MAX) {
            self.session.thaw(frozen);
        }
        let Written { sink, due, result, cost } = under_way.end()?;
        self.sink = Some(sink);
        result.map_err(|error| self.with_cause(error))?;
        let (pieces, cost_ms) = (due.standing.snapshot.len(), cost.as_millis() as u64);
        let pause_ms = self.longest_pause.as_millis() as u64;
        tracing::debug!(state_pieces = pieces, cost_ms, longest_pause_ms = pause_ms, "committed");
        self.checkpoints.done(cost);
        self.committing += cost;
        self.committed(due)
    }

    /// Of a journal that has stopped, the journal itself says why.
    fn with_cause(&mut self, error: RunError) -> RunError {
        let cause = match (&error, self.journal.as_mut()) {
            (RunError::Journal(JournalError::Stopped), Some(journal)) => journal.sync().err(),
            _ => None,
        };
        cause.map_or(error, RunError::Journal)
    }

    /// Begins to commit everything up to the last record.
    pub(super) fn checkpoint(&mut self, read: &ReadSoFar) -> Result<(), RunError> {
        for v in self.session.take_violations() {
            self.pending.insert(v.id.clone(), v);
        }
        self.write_rejects()?;
        self.checkpoints.begun();
        if !self.keeps_state {
            // Nothing is gained by a state that nobody keeps.
            let mut due = self.due(read, Vec::new())?;
            due.commit(self.sink()?).map_err(|error| self.with_cause(error))?;
            self.checkpoints.done(std::time::Duration::ZERO);
            return self.committed(due);
        }
        if tracing::enabled!(tracing::Level::TRACE) {
            for part in self.session.footprint() {
                tracing::trace!(part = part.part, groups = part.groups, bytes = part.bytes, "state");
            }
        }
        self.session.set_read(read.consumed.clone());
        let due = self.due(read, Vec::new())?;
        let (saved, frozen) = (self.session.saved(), self.session.freeze()?);
        self.wait()?;
        if let Some(sink) = self.sink.take() {
            self.under_way = Some(UnderWay::begin(self.scope, sink, due, saved, frozen)?);
        }
        Ok(())
    }

    /// The log. A commit under way is waited for.
    fn sink(&mut self) -> Result<&mut dyn Sink, RunError> {
        self.wait()?;
        match self.sink.as_deref_mut() {
            Some(sink) => Ok(sink),
            None => Err(stopped()),
        }
    }

    /// All that is to be committed, but the state.
    fn due(&mut self, read: &ReadSoFar, retracted: Vec<String>) -> Result<Due, RunError> {
        let syncing = self.journal.as_mut().map(Journal::begin_sync).transpose()?;
        // The journal may be cut at any segment: what it is to be read by stands in each.
        self.told.again();
        let mut inputs = self.earlier.clone();
        for (consumed, _) in read.consumed.iter().cloned() {
            match inputs.iter_mut().find(|i| i.name == consumed.name) {
                Some(known) => *known = consumed,
                None => inputs.push(consumed),
            }
        }
        let standing = Standing { inputs, books: self.session.books().by_name(), snapshot: Vec::new(), journal: None };
        Ok(Due {
            violations: std::mem::take(&mut self.pending).into_values().collect(),
            retracted,
            rejects: std::mem::take(&mut self.refused),
            standing,
            evaluator: Vec::new(),
            syncing,
            synced: None,
            watermark: self.session.watermark(),
            pins: Vec::new(),
        })
    }

    /// Notes that a commit is safe: drops journal segments that no window can reach any more.
    fn committed(&mut self, due: Due) -> Result<(), RunError> {
        self.earlier = due.standing.inputs;
        self.stored = due.evaluator;
        let (Some(journal), Some(synced)) = (self.journal.as_mut(), due.synced) else { return Ok(()) };
        let committed = synced.position();
        journal.end_sync(synced);
        if let Some(watermark) = due.watermark {
            journal.drop_before(watermark, self.journal_keep, &committed)?;
        }
        Ok(())
    }

    /// The last commit. Where the files have ended, what follows from that is found on a copy of the state: what is saved is
    /// the state before, since a file may go on.
    pub(super) fn end(mut self, read: &ReadSoFar, flush: bool) -> Result<Ended, RunError> {
        self.wait()?;
        self.session.catch_up(usize::MAX);
        for v in self.session.take_violations() {
            self.pending.insert(v.id.clone(), v);
        }
        if tracing::enabled!(tracing::Level::TRACE) {
            for part in self.session.footprint() {
                tracing::trace!(part = part.part, groups = part.groups, bytes = part.bytes, "state");
            }
        }
        let started = now();
        self.write_rejects()?;
        // From the last commit on, whatever else is appended to the file is not this log's to cut off.
        self.session.reject_file = None;
        self.session.set_read(read.consumed.clone());
        let mut saved = self.keeps_state.then(|| self.session.saved());
        // Where the last commit held everything, its pieces are those of this one.
        let mut names = std::mem::take(&mut self.stored);
        let mut storing = None;
        if self.keeps_state && (names.is_empty() || !self.checkpoints.hold_all()) {
            let frozen = self.session.freeze()?;
            let Some(sink) = self.sink.take() else { return Err(stopped()) };
            let (back, state) = channel();
            let store = move || {
                let names = store(sink, frozen, back);
                (sink, names)
            };
            let thread = Builder::new().name("fineprint-commit".to_owned()).spawn_scoped(self.scope, store);
            let thread = thread.map_err(|e| RunError::Thread(format!("cannot start a thread: {e}")))?;
            match state.recv() {
                Ok(frozen) => self.session.thaw(frozen),
                // It does not come back where storing has failed.
                Err(_) => return Err(thread.join().ok().and_then(|(_, names)| names.err()).unwrap_or_else(stopped)),
            }
            storing = Some(thread);
        }
        if let Some(journal) = self.journal.as_mut().filter(|_| flush) {
            self.told.end(journal, self.session.watermark())?;
        }
        // What the end brings is found while the state is still being stored.
        let end = flush.then(|| self.session.end());
        if let Some(thread) = storing {
            let (sink, stored) = thread.join().map_err(|_| stopped())?;
            self.sink = Some(sink);
            names = stored?;
        }
        let mut stale = Vec::new();
        if let Some(end) = end {
            let ids: Vec<&str> = end.iter().map(|v| v.id.as_str()).collect();
            let known = self.sink()?.known(&ids)?;
            let again: BTreeSet<&str> = ids.iter().copied().collect();
            let before = self.session.provisional();
            stale = before.iter().filter(|id| !again.contains(id.as_str())).cloned().collect();
            let new = |id: &&str| (!known.contains(*id) || before.contains(*id)) && !self.pending.contains_key(*id);
            let provisional: BTreeSet<String> = ids.iter().filter(|id| new(id)).map(|id| (*id).to_string()).collect();
            if let Some(saved) = saved.as_mut() {
                saved.provisional = provisional;
            }
            for v in end {
                self.pending.insert(v.id.clone(), v);
            }
        }
        let mut due = self.due(read, stale)?;
        let sink = self.sink()?;
        if let Some(saved) = saved {
            due.standing.snapshot = saved.put(sink, &names)?;
        }
        due.commit(sink).map_err(|error| self.with_cause(error))?;
        self.committed(due)?;
        self.committing += started.elapsed();
        Ok(Ended {
            books: self.session.books(),
            undecided: self.session.undecided(),
            memory_lost: self.session.memory_lost(),
            groups_lost: self.session.groups_lost(),
            links_lost: self.session.links_lost(),
            dropped: self.session.dropped(),
            baselines_lost: self.session.baselines_lost(),
            committing: self.committing,
            longest_pause: self.longest_pause,
        })
    }
}

fn stopped() -> RunError {
    RunError::Thread("the thread that commits has stopped".to_string())
}

/// What the journal says of the run beside its events.
pub(super) struct Told {
    bundle: String,
    reading: Reading,
    /// Whether the run begins without a state.
    anew: bool,
    /// Whether it stands before the next event already.
    is_told: bool,
    /// Whether the run has put an event into it.
    has_events: bool,
}

impl Told {
    pub(super) fn new(bundle: &str, options: &EvalOptions, anew: bool) -> Told {
        Told { bundle: bundle.to_string(), reading: options.into(), anew, is_told: false, has_events: false }
    }

    /// Says by which rules and options events are read, before the next event.
    fn before(&mut self, journal: &mut Journal, ts: Timestamp) -> Result<(), RunError> {
        self.has_events = true;
        self.tell(journal, ts)
    }

    pub(super) fn tell(&mut self, journal: &mut Journal, ts: Timestamp) -> Result<(), RunError> {
        if !std::mem::replace(&mut self.is_told, true) {
            let anew = std::mem::take(&mut self.anew);
            put(journal, ts, &Entry::Reading(self.reading.clone()))?;
            put(journal, ts, &Entry::Run { bundle: self.bundle.clone(), anew })?;
        }
        Ok(())
    }

    /// To be said again before the next event.
    fn again(&mut self) {
        self.is_told = false;
    }

    /// Says that the files have ended. A run that read nothing new leaves the journal as it is.
    fn end(&mut self, journal: &mut Journal, watermark: Option<Timestamp>) -> Result<(), RunError> {
        match watermark.filter(|_| self.has_events) {
            Some(ts) => put(journal, ts, &Entry::End),
            None => Ok(()),
        }
    }
}

fn put(journal: &mut Journal, ts: Timestamp, entry: &Entry) -> Result<(), RunError> {
    Ok(journal.append(ts, &entry.to_bytes().map_err(RunError::State)?)?)
}

/// What is known at the end.
pub(super) struct Ended {
    pub(super) books: RunBooks,
    pub(super) undecided: Vec<(String, u64)>,
    pub(super) memory_lost: Vec<(String, u64)>,
    pub(super) groups_lost: Vec<(String, u64, u64)>,
    pub(super) links_lost: Vec<(String, u64, u64)>,
    pub(super) dropped: Vec<(String, u64)>,
    pub(super) baselines_lost: Vec<(String, u64)>,
    pub(super) committing: std::time::Duration,
    pub(super) longest_pause: std::time::Duration,
}

/// How many earlier inputs are held against a file whose name is new.
const MOVED_TRIED_MAX: usize = 16;
