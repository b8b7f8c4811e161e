//! The run: inputs in order of event time through the evaluator into the log, with commits on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::checkpoint::{CheckpointOptions, Checkpoints, now};
use super::input::{InputError, InputSpec, ReadSoFar};
use super::live::is_live;
use super::pipeline::{Next, Pipeline, PipelineError};
use super::rejects::RejectFile;
use super::running::{Ended, Running, Told};
use super::session::{RunBooks, Session};
use super::sink::{Consumed, Resumed, Sink, SinkError};
use crate::eval::{EvalOptions, Salt};
use crate::event::decode::UNKNOWN_NAMES_MAX;
use crate::feed::Format;
use crate::journal::{Journal, JournalError};
use crate::plan::RuleSet;
use crate::store::Pinned;
use crate::time::{Duration, Timestamp};

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
    /// How long commits kept the run from events at a time, at most; the last one, with which it ends, left aside.
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
    /// The log is that of a server.
    #[error(
        "the log was written by a server, and goes on with it; name another `--db`. `fineprint replay --journal DB` runs over \
         its journal again"
    )]
    Live,
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
    if resumed.as_ref().is_some_and(|r| is_live(&r.standing)) {
        return Err(RunError::Live);
    }
    let session = session(rules, options, resumed.as_ref(), pinned)?;
    // Without a journal before, findings of before do not come out of this one.
    let is_known = resumed.as_ref().is_some_and(|r| r.standing.journal.is_some());
    let is_anew = resumed.is_none() || (pinned == Pinned::Kept && is_known);
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
            stored: Vec::new(),
            journal,
            rejects,
            checkpoints: Checkpoints::new(options.checkpoint),
            pending: BTreeMap::new(),
            refused: Vec::new(),
            committing: std::time::Duration::ZERO,
            longest_pause: std::time::Duration::ZERO,
            journal_keep: Duration(rules.longest_reach().0.saturating_add(rules.longest_memory().0).saturating_mul(2)),
            told: Told::new(rules.bundle_hash(), &options.eval, is_anew),
        };
        let mut merged = running.open(inputs, &options.format)?;
        let mut read = merged.so_far();
        let cuts = running.cut_rejects()?;
        if pinned == Pinned::Kept || cuts {
            // That nothing before counts any more is said at once: a run that finds nothing new would not come to say it.
            if let (Some(journal), Pinned::Kept) = (running.journal.as_mut(), pinned) {
                running.told.tell(journal, Timestamp(0))?;
            }
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
