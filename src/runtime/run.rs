//! The run: inputs in order of event time through the evaluator into the log, with commits on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::Scope;

use super::checkpoint::{CheckpointOptions, Checkpoints, now};
use super::input::{Input, InputError, InputSpec, Merged, ReadSoFar};
use super::pipeline::{Batch, Next, Pipeline, PipelineError};
use super::rejects::{RejectFile, Rejected};
use super::session::{RunBooks, Session};
use super::sink::{Consumed, Resumed, Sink, SinkError, Standing};
use super::under_way::{Due, UnderWay, Written, store};
use crate::eval::{EvalOptions, Outcome, Salt};
use crate::event::decode::UNKNOWN_NAMES_MAX;
use crate::feed::{Format, Resume};
use crate::journal::{Journal, JournalError, ProjectionSink};
use crate::plan::RuleSet;
use crate::store::Pinned;
use crate::time::Duration;
use crate::violation::Violation;

/// How a run goes.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// How the stream is read.
    pub eval: EvalOptions,
    /// How the records of the inputs are written.
    pub format: Format,
    /// When to commit.
    pub checkpoint: CheckpointOptions,
    /// Standard input ends as a file does: steps up to its last event are judged. Otherwise it is a pipe that may go on.
    pub flush_at_end: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All inputs were read to their end.
    Complete,
    /// It was asked to stop; everything up to there is committed.
    Stopped,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct Summary {
    /// How it ended.
    pub ending: Ending,
    /// All records of the log, earlier runs included.
    pub books: RunBooks,
    /// Records that this run read.
    pub records: u64,
    /// Bytes that this run read, uncompressed.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: std::time::Duration,
    /// How long commits took, most of it beside the run.
    pub committing: std::time::Duration,
    /// How long commits kept the run from taking in events at a time, at most; the last one, with which it ends, left aside.
    pub longest_pause: std::time::Duration,
    /// How far each input was read.
    pub inputs: Vec<Consumed>,
    /// Names of inputs that had been read to their end before, and held nothing new.
    pub nothing_new: Vec<String>,
    /// Rules that could not decide about events because a field was missing, and how often.
    pub undecided: Vec<(String, u64)>,
    /// Rules that ask memory, and how many sightings it had to forget for want of room.
    pub memory_lost: Vec<(String, u64)>,
    /// Windowed rules of which groups went for want of room: how many, and of how many events.
    pub groups_lost: Vec<(String, u64, u64)>,
    /// Links that lost something for want of room: edges that were forgotten, values that were ignored at most at one step.
    pub links_lost: Vec<(String, u64, u64)>,
    /// Rules on sequences that had to drop partial matches for want of room, and for how many events.
    pub dropped: Vec<(String, u64)>,
    /// Rules with cohorts and series that had too many of them or of keys, and how many values or events they left out.
    pub baselines_lost: Vec<(String, u64)>,
    /// Keys that no field has, as far as they are remembered.
    pub unknown_names: BTreeSet<String>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read of the files as they are stored.
    pub bytes: u64,
    /// Records read.
    pub records: u64,
}

/// Why a run could not go on. What was committed before is safe.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The log cannot be read or written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The file of refused records cannot be written.
    #[error("the reject file cannot be written: {0}")]
    Rejects(#[source] std::io::Error),
    /// The machine gives no thread, or one has come to an end.
    #[error("{0}")]
    Thread(String),
    /// The saved state cannot be used.
    #[error(
        "{0}; `--rules-changed reset` reads the inputs again from their beginning, and keeps the records there are"
    )]
    State(String),
    /// What was read of an input is not there any more.
    #[error(
        "`{name}` has changed: its first {offset_bytes} bytes are not those that were read before. An input may be appended to, \
         not altered; give the new file another name, another `--db`, or `--rules-changed reset` to read all inputs again"
    )]
    Changed {
        /// Which input.
        name: String,
        /// How much had been read.
        offset_bytes: u64,
    },
}

impl From<PipelineError> for RunError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Input(error) => RunError::Input(error),
            other => RunError::Thread(other.to_string()),
        }
    }
}

/// What a run writes to.
pub struct Outputs<'a> {
    /// The log.
    pub sink: &'a mut dyn Sink,
    /// The journal of projections.
    pub journal: Option<Journal>,
    /// The file of refused records.
    pub rejects: Option<RejectFile>,
}

/// How long a request to stop may go unheeded while nothing comes.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(100);

/// How long a batch may wait for what commits leave to be done.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(40);

/// Events applied at a time where many have waited for a commit: a part of [`PAUSE`].
const CATCH_UP_EVENTS: usize = 2_048;

/// Bytes of events that wait while the state is written down, beyond which the run takes one batch in each [`PAUSE`].
const HELD_BACK_BYTES_MAX: usize = 16 << 20;

/// Runs inputs through rules. `pinned` says whether the log belongs to the same rules. `stop` ends the run between two
/// batches of records. Nothing of `progress` or of the time it takes shows in what is found.
///
/// # Errors
/// Where an input, the log or the journal fails; what was committed before stays.
pub fn run(
    rules: &Arc<RuleSet>,
    options: &RunOptions,
    inputs: Vec<InputSpec>,
    pinned: Pinned,
    outputs: Outputs<'_>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, RunError> {
    let start = now();
    let resumed = outputs.sink.resume()?;
    let session = session(rules, options, resumed.as_ref(), pinned)?;
    let Outputs { sink, journal, rejects } = outputs;
    let pipe = inputs.iter().any(|i| i.path.is_none()) && !options.flush_at_end;
    std::thread::scope(|scope| {
        let mut running = Running {
            scope,
            session,
            earlier: resumed.map_or_else(Vec::new, |r| r.standing.inputs),
            keeps_state: sink.keeps_state(),
            sink: Some(sink),
            under_way: None,
            journal,
            rejects,
            checkpoints: Checkpoints::new(options.checkpoint),
            pending: BTreeMap::new(),
            refused: Vec::new(),
            committing: std::time::Duration::ZERO,
            longest_pause: std::time::Duration::ZERO,
            journal_keep: Duration(rules.longest_reach().0.saturating_add(rules.longest_memory().0).saturating_mul(2)),
        };
        let mut merged = running.open(inputs, &options.format)?;
        let mut read = merged.so_far();
        let cuts = running.cut_rejects()?;
        if pinned == Pinned::Kept || cuts {
            // The saved state belongs to the rules before, and knows another reject file: from here on it is this one.
            running.checkpoint(&read)?;
            running.wait()?;
        }
        let salt = running.journal.as_ref().map(|journal| Salt(*journal.salt()));
        let mut pipeline = Pipeline::start(rules, merged, running.checkpoints.events(), salt)?;
        let (mut records, mut behind) = (0u64, false);
        let mut unknown_names = BTreeSet::new();
        let ending = loop {
            if stop.load(Ordering::Relaxed) {
                break Ending::Stopped;
            }
            let mut n = 0;
            match pipeline.next(if behind { std::time::Duration::ZERO } else { PATIENCE })? {
                Next::Waiting => {}
                Next::End(end) => {
                    read = *end;
                    break Ending::Complete;
                }
                Next::Batch(mut batch) => {
                    running.take(&mut batch)?;
                    n = batch.records.len() as u64;
                    std::mem::swap(&mut read, &mut batch.read);
                    unknown_names.extend(batch.unknown_names.drain(..));
                    pipeline.give_back(batch);
                }
            }
            records += n;
            progress(Progress { bytes: read.stored_bytes, records });
            behind = running.between_batches(&read, n)?;
        };
        drop(pipeline);
        progress(Progress { bytes: read.stored_bytes, records });
        let flush = ending == Ending::Complete && !pipe;
        let Ended {
            books,
            undecided,
            memory_lost,
            groups_lost,
            links_lost,
            dropped,
            baselines_lost,
            committing,
            longest_pause,
        } = running.end(&read, flush)?;
        unknown_names.extend(std::mem::take(&mut read.unknown_names));
        let unknown_names = unknown_names.into_iter().take(UNKNOWN_NAMES_MAX).collect();
        let ReadSoFar { consumed, bytes, nothing_new, .. } = read;
        let inputs = consumed.into_iter().map(|(consumed, _)| consumed).collect();
        let elapsed = start.elapsed();
        let (elapsed_ms, pause_ms) = (elapsed.as_millis() as u64, longest_pause.as_millis() as u64);
        tracing::info!(records, bytes, elapsed_ms, longest_pause_ms = pause_ms, ?ending, "ended");
        Ok(Summary {
            ending,
            books,
            records,
            bytes,
            elapsed,
            committing,
            longest_pause,
            inputs,
            nothing_new,
            undecided,
            memory_lost,
            groups_lost,
            links_lost,
            dropped,
            baselines_lost,
            unknown_names,
        })
    })
}

/// The state from which the run goes on.
fn session(
    rules: &Arc<RuleSet>,
    options: &RunOptions,
    resumed: Option<&Resumed>,
    pinned: Pinned,
) -> Result<Session, RunError> {
    let (rules, eval) = (Arc::clone(rules), options.eval.clone());
    let restored = match resumed {
        None => Ok(Session::new(rules, eval)),
        Some(r) if pinned == Pinned::Kept => {
            Session::keep(rules, eval, &r.pieces, RunBooks::from_names(&r.standing.books))
        }
        Some(r) => Session::restore(rules, eval, &r.pieces),
    };
    restored.map_err(RunError::State)
}

/// A run under way.
struct Running<'scope, 'env, 'a> {
    scope: &'scope Scope<'scope, 'env>,
    session: Session,
    /// Inputs of earlier runs.
    earlier: Vec<Consumed>,
    keeps_state: bool,
    /// The log; `None` while a commit is under way, which has it.
    sink: Option<&'a mut dyn Sink>,
    under_way: Option<UnderWay<'scope, 'a>>,
    journal: Option<Journal>,
    rejects: Option<RejectFile>,
    checkpoints: Checkpoints,
    /// Violations since the last commit, without a log that keeps a state.
    pending: BTreeMap<String, Violation>,
    /// Refused records since the last commit. They stand in the reject file already.
    refused: Vec<Rejected>,
    committing: std::time::Duration,
    longest_pause: std::time::Duration,
    /// How far back the journal must reach.
    journal_keep: Duration,
}

impl<'scope, 'a: 'scope> Running<'scope, '_, 'a> {
    /// Opens all inputs, each behind what was read of it before.
    fn open(&mut self, specs: Vec<InputSpec>, format: &Format) -> Result<Merged, RunError> {
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
    fn take(&mut self, batch: &mut Batch) -> Result<(), RunError> {
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
                journal.append(routed.ts(at), routed.projection(at))?;
            }
        }
        Ok(())
    }

    /// Cuts off what a run that was killed wrote to the reject file and did not commit. Whether the next state must say how
    /// long the file is, so that this run's lines can be cut off in turn.
    fn cut_rejects(&mut self) -> Result<bool, RunError> {
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
    fn between_batches(&mut self, read: &ReadSoFar, records: u64) -> Result<bool, RunError> {
        let started = now();
        self.look_after()?;
        let mut behind = true;
        while behind && started.elapsed() < PAUSE {
            behind = self.session.catch_up(CATCH_UP_EVENTS);
        }
        // Counts the records, whether or not a commit can begin.
        if self.checkpoints.due(records) && self.under_way.is_none() && !behind {
            self.checkpoint(read)?;
        }
        self.longest_pause = self.longest_pause.max(started.elapsed());
        Ok(behind)
    }

    /// Takes back the state once it is written down, and the log once the commit is safe.
    fn look_after(&mut self) -> Result<(), RunError> {
        let held_back = self.session.held_back();
        let Some(under_way) = self.under_way.as_mut() else { return Ok(()) };
        let patience = if held_back > HELD_BACK_BYTES_MAX { PAUSE } else { std::time::Duration::ZERO };
        if let Some(frozen) = under_way.state(patience) {
            self.session.thaw(frozen);
        }
        if under_way.is_over() { self.wait() } else { Ok(()) }
    }

    /// Waits until the commit under way is safe and the state is back, if there is one.
    fn wait(&mut self) -> Result<(), RunError> {
        let Some(mut under_way) = self.under_way.take() else { return Ok(()) };
        if let Some(frozen) = under_way.state(std::time::Duration::MAX) {
            self.session.thaw(frozen);
        }
        let Written { sink, due, cost } = under_way.end()?;
        self.sink = Some(sink);
        let due = due?;
        let (pieces, cost_ms) = (due.standing.snapshot.len(), cost.as_millis() as u64);
        let pause_ms = self.longest_pause.as_millis() as u64;
        tracing::debug!(state_pieces = pieces, cost_ms, longest_pause_ms = pause_ms, "committed");
        self.checkpoints.done(cost);
        self.committing += cost;
        self.committed(due)
    }

    /// Begins to commit everything up to the last record.
    fn checkpoint(&mut self, read: &ReadSoFar) -> Result<(), RunError> {
        for v in self.session.take_violations() {
            self.pending.insert(v.id.clone(), v);
        }
        self.write_rejects()?;
        self.checkpoints.begun();
        if !self.keeps_state {
            // Nothing is gained by a state that nobody keeps.
            let due = self.due(read, Vec::new())?;
            due.commit(self.sink()?)?;
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
        let (saved, frozen) = self.session.freeze()?;
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
            None => Err(RunError::Thread("the thread that commits has stopped".to_string())),
        }
    }

    /// All that is to be committed, but the state.
    fn due(&mut self, read: &ReadSoFar, retracted: Vec<String>) -> Result<Due, RunError> {
        let journal = self.journal.as_mut().map_or(Ok(None), Journal::sync)?;
        let mut inputs = self.earlier.clone();
        for (consumed, _) in read.consumed.iter().cloned() {
            match inputs.iter_mut().find(|i| i.name == consumed.name) {
                Some(known) => *known = consumed,
                None => inputs.push(consumed),
            }
        }
        let standing = Standing {
            inputs,
            books: self.session.books().by_name(),
            snapshot: Vec::new(),
            journal: journal.map(|p| p.to_string()),
        };
        Ok(Due {
            violations: std::mem::take(&mut self.pending).into_values().collect(),
            retracted,
            rejects: std::mem::take(&mut self.refused),
            standing,
            journal,
            watermark: self.session.watermark(),
        })
    }

    /// Notes that a commit is safe: drops journal segments that no window can reach any more.
    fn committed(&mut self, due: Due) -> Result<(), RunError> {
        self.earlier = due.standing.inputs;
        let (Some(journal), Some(committed)) = (self.journal.as_mut(), due.journal) else { return Ok(()) };
        if let Some(watermark) = due.watermark {
            journal.drop_before(watermark, self.journal_keep, &committed)?;
        }
        Ok(())
    }

    /// The last commit. Where the files have ended, what follows from that is found on a copy of the state: what is saved is
    /// the state before, since a file may go on.
    fn end(mut self, read: &ReadSoFar, flush: bool) -> Result<Ended, RunError> {
        self.wait()?;
        self.session.catch_up(usize::MAX);
        for v in self.session.take_violations() {
            self.pending.insert(v.id.clone(), v);
        }
        let started = now();
        self.write_rejects()?;
        // From the last commit on, whatever else is appended to the file is not this log's to cut off.
        self.session.reject_file = None;
        self.session.set_read(read.consumed.clone());
        let mut saved = None;
        if self.keeps_state {
            let (rest, frozen) = self.session.freeze()?;
            let (back, state) = channel();
            let names = store(self.sink()?, frozen, back)?;
            self.session.thaw(state.recv().map_err(|_| RunError::Thread("a thread has stopped".to_string()))?);
            saved = Some((rest, names));
        }
        let mut stale = Vec::new();
        if flush {
            let end = self.session.end();
            let ids: Vec<&str> = end.iter().map(|v| v.id.as_str()).collect();
            let known = self.sink()?.known(&ids)?;
            let again: BTreeSet<&str> = ids.iter().copied().collect();
            let before = self.session.provisional();
            stale = before.iter().filter(|id| !again.contains(id.as_str())).cloned().collect();
            let new = |id: &&str| (!known.contains(*id) || before.contains(*id)) && !self.pending.contains_key(*id);
            let provisional: BTreeSet<String> = ids.iter().filter(|id| new(id)).map(|id| (*id).to_string()).collect();
            if let Some((saved, _)) = saved.as_mut() {
                saved.provisional = provisional;
            }
            for v in end {
                self.pending.insert(v.id.clone(), v);
            }
        }
        let mut due = self.due(read, stale)?;
        let sink = self.sink()?;
        if let Some((saved, names)) = saved {
            due.standing.snapshot = saved.put(sink, names)?;
        }
        due.commit(sink)?;
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

/// What is known at the end.
struct Ended {
    books: RunBooks,
    undecided: Vec<(String, u64)>,
    memory_lost: Vec<(String, u64)>,
    groups_lost: Vec<(String, u64, u64)>,
    links_lost: Vec<(String, u64, u64)>,
    dropped: Vec<(String, u64)>,
    baselines_lost: Vec<(String, u64)>,
    committing: std::time::Duration,
    longest_pause: std::time::Duration,
}

/// How many earlier inputs are held against a file whose name is new.
const MOVED_TRIED_MAX: usize = 16;
