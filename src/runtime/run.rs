//! The run: inputs in order of event time through the evaluator into the log, with commits on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::checkpoint::{CheckpointOptions, Checkpoints, now};
use super::input::{Input, InputError, InputSpec, Merged};
use super::rejects::RejectFile;
use super::session::{RunBooks, Session};
use super::sink::{Commit, Consumed, Resumed, Sink, SinkError};
use crate::eval::{EvalOptions, Origin};
use crate::event::UsageEvent;
use crate::feed::mapping::Mapping;
use crate::journal::{Journal, JournalError};
use crate::plan::RuleSet;
use crate::store::Pinned;
use crate::violation::Violation;

/// How a run goes.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// How the stream is read.
    pub eval: EvalOptions,
    /// How foreign records become events; `None` for native ones.
    pub mapping: Option<Arc<Mapping>>,
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
    /// How long commits took of it.
    pub committing: std::time::Duration,
    /// How far each input was read.
    pub inputs: Vec<Consumed>,
    /// Names of inputs that had been read to their end before, and held nothing new.
    pub nothing_new: Vec<String>,
    /// Rules that could not decide about events because a field was missing, and how often.
    pub undecided: Vec<(String, u64)>,
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
    /// The saved state cannot be used.
    #[error("{0}; `--rules-changed reset` reads the inputs again from their beginning, and keeps the records there are")]
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

/// What a run writes to.
pub struct Outputs<'a> {
    /// The log.
    pub sink: &'a mut dyn Sink,
    /// The journal of projections.
    pub journal: Option<Journal>,
    /// The file of refused records.
    pub rejects: Option<RejectFile>,
}

/// How often progress is told and a request to stop is heeded, in records. A power of two.
const TELL_EVERY: u64 = 512;

/// Runs inputs through rules. `pinned` says whether the log belongs to the same rules. `stop` ends the run between two
/// records. Nothing of `progress` or of the time it takes shows in what is found.
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
    let mut running = Running {
        session,
        consumed: resumed.map_or_else(BTreeMap::new, |r| r.inputs.into_iter().map(|i| (i.name.clone(), i)).collect()),
        outputs,
        checkpoints: Checkpoints::new(options.checkpoint),
        pending: BTreeMap::new(),
        projection: Vec::new(),
        committing: std::time::Duration::ZERO,
    };
    let stdin = inputs.iter().any(|i| i.path.is_none());
    let mut merged = running.open(inputs, options)?;
    let nothing_new = Vec::new();
    let mut records = 0u64;
    let mut ending = Ending::Complete;
    loop {
        let Running { session, outputs, projection, .. } = &mut running;
        let more = merged.next(
            |number, line, read| match read {
                Ok(event) => take(session, outputs.journal.as_mut(), projection, &event, Origin { input: number, line }),
                Err(reject) => {
                    session.unread(Origin { input: number, line }, &reject);
                    Ok(())
                }
            },
        )?;
        if !more {
            break;
        }
        records += 1;
        if records.is_multiple_of(TELL_EVERY) {
            progress(Progress { bytes: merged.stored_bytes(), records });
            if stop.load(Ordering::Relaxed) {
                ending = Ending::Stopped;
                break;
            }
        }
        if running.checkpoints.due() {
            running.checkpoint(&merged)?;
        }
    }
    progress(Progress { bytes: merged.stored_bytes(), records });
    let pipe = stdin && !options.flush_at_end;
    let (books, undecided) = running.end(&merged, ending == Ending::Complete && !pipe)?;
    Ok(Summary {
        ending,
        books,
        records,
        bytes: merged.bytes(),
        elapsed: start.elapsed(),
        committing: running.committing,
        inputs: merged.consumed(),
        nothing_new,
        undecided,
        unknown_names: merged.unknown_names(),
    })
}
