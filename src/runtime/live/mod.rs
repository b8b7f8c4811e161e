//! The evaluator behind a server: one thread owns it, many hand records in through a bounded queue, and what it finds goes
//! into the log as in a run.
//!
//! The journal of projections is the write-ahead record. A record that is handed in is taken in, journaled and synced with
//! others; then its [`Receipt`] says that it is safe. The log is committed every few seconds, beside that. A session that is
//! killed goes on from the state of the last commit and takes in again what the journal holds behind it, so that nothing is
//! lost of which a receipt told.
//!
//! Time comes in with the records, and from the caller by [`Live::advance`]; what is found does not depend on any clock.

mod again;
mod backfill;
pub(super) mod entry;
mod erased;
mod held;
mod keeper;
mod library;
mod queue;
mod recall;
mod replay;
mod sealed_packs;
mod status;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use again::{Again, AgainError, Asked, Cut, RECORDS_KEPT_MAX, Recomputed, RecordHash, again};
pub(super) use entry::erase_from_entry;
pub use entry::{TOO_LARGE, is_entry};
pub(super) use erased::{erase_from_packs, finish_packs};
pub use held::{Held, SealedFinding, Told, hold};
pub use library::{KeepError, KeptPacks, Library, NoLibrary};
pub use recall::{Recollection, Tell, recollect, retell};
pub use replay::{Replayed, replay};
pub use sealed_packs::SealedPacks;
pub use status::{Backfilled, Phase, Recovered, Status, Written};

use self::queue::{Bounds, Queue};
use super::checkpoint::CheckpointOptions;
use super::run::RunError;
use super::sink::{Sink, SinkError, Standing};
use crate::eval::{Carries, EvalOptions, Fate, SuccessionError};
use crate::event::decode::Reject;
use crate::event::{FieldId, Slot, UsageEvent};
use crate::journal::{JournalError, JournalOptions};
use crate::plan::RuleSet;
use crate::store::Pins;
use crate::time::Timestamp;
use crate::value::Value;
use crate::violation::Violation;

/// Most records that wait before the evaluator, by default.
pub const QUEUE_RECORDS_MAX: usize = 100_000;
/// Most bytes of them, by default.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;
/// How long records may wait to be synced together, in milliseconds, by default.
pub const SYNC_INTERVAL_MS: u64 = 5;
/// Most findings that wait for a log that cannot be written, by default; above it no records are taken in.
pub const FINDINGS_WAITING_MAX: usize = 100_000;
/// How long after a failure it is tried again, in milliseconds, by default.
pub const RETRY_MS: u64 = 1_000;

/// How a session goes.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// How the stream is read.
    pub eval: EvalOptions,
    /// Directory of the journal; beside the log it is `DB.journal`.
    pub journal: PathBuf,
    /// How the journal is written.
    pub journal_options: JournalOptions,
    /// When to commit.
    pub checkpoint: CheckpointOptions,
    /// Most records that wait.
    pub queue_records: usize,
    /// Most bytes of them.
    pub queue_bytes: usize,
    /// How long records may wait to be synced together, in milliseconds.
    pub sync_interval_ms: u64,
    /// Most findings that wait for a log that cannot be written.
    pub findings_waiting: usize,
    /// How long after a failure it is tried again, in milliseconds.
    pub retry_ms: u64,
    /// Where rules of before are found.
    pub library: Arc<dyn Library>,
    /// What becomes of rules that have changed since the last session.
    pub carries: Carries,
    /// What the log says of the rules that the session is opened with. Rules that took over and were killed before a commit
    /// are told from it and the library.
    pub pins: Option<Pins>,
}

impl LiveOptions {
    /// The usual options, with a journal in a directory.
    pub fn new(journal: PathBuf) -> Self {
        LiveOptions {
            eval: EvalOptions::default(),
            journal,
            journal_options: JournalOptions::default(),
            checkpoint: CheckpointOptions::default(),
            queue_records: QUEUE_RECORDS_MAX,
            queue_bytes: QUEUE_BYTES_MAX,
            sync_interval_ms: SYNC_INTERVAL_MS,
            findings_waiting: FINDINGS_WAITING_MAX,
            retry_ms: RETRY_MS,
            library: Arc::new(NoLibrary),
            carries: Carries::default(),
            pins: None,
        }
    }
}

/// Why records are not taken in. The same records may be handed in again later, but where they are too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// There is no room for the time being: the queue is full, or journal or log cannot be written.
    #[error("{records} records ({bytes} bytes) wait already; come again in a second")]
    Full {
        /// Records that wait.
        records: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// They will never fit.
    #[error(
        "{records} records of {bytes} bytes are more than fits ({records_max} records, {bytes_max} bytes): hand in fewer at a time"
    )]
    TooLarge {
        /// Records handed in.
        records: usize,
        /// The bound.
        records_max: usize,
        /// Their bytes.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
}

/// Records that were handed in are not safe: the session failed or ended before they were. Hand them in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the records are not safe: the journal could not be written; hand them in again")]
pub struct NotKept;

/// Tells when records are safe in the journal.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<()>);

impl Receipt {
    /// Waits on a thread of no async runtime.
    ///
    /// # Errors
    /// Where the records are lost.
    pub fn wait(self) -> Result<(), NotKept> {
        self.0.blocking_recv().map_err(|_| NotKept)
    }

    /// Waits in an async task.
    ///
    /// # Errors
    /// Where the records are lost.
    pub async fn kept(self) -> Result<(), NotKept> {
        self.0.await.map_err(|_| NotKept)
    }
}

/// Why a session cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The log cannot be read or written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The machine gives no thread, or one has come to an end.
    #[error("{0}")]
    Thread(String),
    /// The saved state cannot be used.
    #[error("{0}; the log stays as it is: name another `--db`, or the rules that it was written under")]
    State(String),
    /// The journal says something that cannot be taken in.
    #[error("{0}; restore the journal, or name another `--db`")]
    Replay(String),
    /// Rules that the log was written under are not there.
    #[error("{0}; name the rules that the log was written under, or another `--db`")]
    Rules(String),
    /// Rules that have changed since the last session cannot take over.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// The log was written by runs over files.
    #[error("the log was written by `fineprint run` from `{0}`: a server keeps a log of its own, name another `--db`")]
    NotLive(String),
    /// The log keeps no state.
    #[error("a live session needs a log that keeps its state")]
    NoState,
    /// The log could not be written at the end. The journal holds all.
    #[error(
        "the last commit could not be made: {0}; everything is in the journal, and the next session goes on from there"
    )]
    NotCommitted(String),
}

impl From<RunError> for LiveError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Journal(error) => LiveError::Journal(error),
            RunError::Sink(error) => LiveError::Sink(error),
            RunError::State(what) => LiveError::State(what),
            other => LiveError::Thread(other.to_string()),
        }
    }
}

/// Called with findings once they are committed, in their present state, sorted by (opened_at, id), on the thread that owns
/// the evaluator: it must not wait for anything. After a kill, findings may be told again.
pub type OnCommit = Box<dyn FnMut(&[Violation]) + Send>;

/// What goes to the thread.
enum Job {
    Records {
        records: Vec<Result<UsageEvent<'static>, Reject>>,
        source: Arc<str>,
        /// Whoever waits until they are safe.
        ack: Option<oneshot::Sender<()>>,
    },
    Advance(Timestamp),
    Activate {
        rules: Arc<RuleSet>,
        pins: Option<Pins>,
        carries: Carries,
        tell: oneshot::Sender<Result<Activated, ActivateError>>,
    },
}

/// Rules that take over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activated {
    /// From this event time on.
    pub at: Timestamp,
    /// What becomes of each rule, by name.
    pub fates: BTreeMap<String, Fate>,
    /// They mean the same as those before: nothing has changed.
    pub same: bool,
}

/// Why rules do not take over; those in force stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivateError {
    /// A rule cannot keep what it is said to, or too many wait.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// The library does not have them: the session could not go on after a kill.
    #[error("{0}; keep the rules before they take over")]
    NotKept(String),
    /// The session has failed or ended before they were safe in the journal. Hand them in again.
    #[error("the session failed before the change was safe; hand the rules in again")]
    Lost,
}

/// Tells when a change of rules is safe in the journal.
#[derive(Debug)]
pub struct Activation(oneshot::Receiver<Result<Activated, ActivateError>>);

impl Activation {
    /// Waits on a thread of no async runtime.
    ///
    /// # Errors
    /// Where the rules do not take over.
    pub fn wait(self) -> Result<Activated, ActivateError> {
        self.0.blocking_recv().unwrap_or(Err(ActivateError::Lost))
    }

    /// Waits in an async task.
    ///
    /// # Errors
    /// Where the rules do not take over.
    pub async fn done(self) -> Result<Activated, ActivateError> {
        self.0.await.unwrap_or(Err(ActivateError::Lost))
    }
}

/// What the handle and the thread share.
struct Shared {
    queue: Queue<Job>,
    status: Mutex<Status>,
}

impl Shared {
    fn status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A live session. Share it by `Arc`; dropping it drains it.
pub struct Live {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<(), LiveError>>>>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Live {
    /// Begins a session, or goes on with the one that wrote the log: returns once all is taken in that its journal holds.
    ///
    /// # Errors
    /// Where log or journal cannot be read, or were written under other rules.
    pub fn open(
        rules: Arc<RuleSet>,
        sink: Box<dyn Sink>,
        options: LiveOptions,
        on_commit: OnCommit,
    ) -> Result<Live, LiveError> {
        let bounds = Bounds { records: options.queue_records, bytes: options.queue_bytes };
        let shared = Arc::new(Shared { queue: Queue::new(bounds), status: Mutex::default() });
        let (tell, opened) = sync_channel(1);
        let thread = {
            let shared = Arc::clone(&shared);
            let work = move || keeper::work(&shared, sink, &options, &rules, on_commit, &tell);
            std::thread::Builder::new().name("fineprint-live".to_owned()).spawn(work)
        };
        let thread = thread.map_err(|e| LiveError::Thread(format!("cannot start a thread: {e}")))?;
        if opened.recv().is_err() {
            // It has ended before it began, and says why.
            let ended = thread.join().map_err(|_| LiveError::Thread("a thread has stopped".to_string()))?;
            return Err(ended.err().unwrap_or(LiveError::Thread("a thread has stopped".to_string())));
        }
        Ok(Live { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Hands events in; never waits. `at` is when they came: it is noted in those that bear no ingest time, and guards
    /// against times in the future.
    ///
    /// # Errors
    /// Where there is no room.
    pub fn submit(&self, events: Vec<UsageEvent<'static>>, source: &str, at: Timestamp) -> Result<Receipt, Busy> {
        self.submit_records(events.into_iter().map(Ok).collect(), source, at)
    }

    /// Hands in events of which nobody waits until they are safe; never waits. They are kept until they are: while the journal
    /// cannot be written they are taken in as long as there is room, and what was on its way then is handed in again.
    ///
    /// # Errors
    /// Where there is no room.
    pub fn submit_unwaited(&self, events: Vec<UsageEvent<'static>>, source: &str, at: Timestamp) -> Result<(), Busy> {
        self.hand_in(events.into_iter().map(Ok).collect(), source, at, None)
    }

    /// Hands in the records of a body in their order: events, and those that could not be read, which are counted and kept as
    /// refused. Never waits. All are taken in, or none.
    ///
    /// # Errors
    /// Where there is no room.
    pub fn submit_records(
        &self,
        records: Vec<Result<UsageEvent<'static>, Reject>>,
        source: &str,
        at: Timestamp,
    ) -> Result<Receipt, Busy> {
        let (ack, receipt) = oneshot::channel();
        self.hand_in(records, source, at, Some(ack))?;
        Ok(Receipt(receipt))
    }

    fn hand_in(
        &self,
        mut records: Vec<Result<UsageEvent<'static>, Reject>>,
        source: &str,
        at: Timestamp,
        ack: Option<oneshot::Sender<()>>,
    ) -> Result<(), Busy> {
        let mut bytes = 0;
        for event in records.iter_mut().flatten() {
            if !event.has(FieldId::INGEST_TS) {
                event.set(FieldId::INGEST_TS, Slot::Num(at.0));
            }
            bytes += weight(event);
        }
        let (n, waited) = (records.len(), ack.is_some());
        self.shared.queue.push(Job::Records { records, source: source.into(), ack }, n, bytes, waited)
    }

    /// Says what time it is, so that absences and ends of steps are judged also while no events come: no event before `now`
    /// minus the lateness will be taken for timely any more. Without effect before the first event, where events are ahead
    /// of it, and where the last call was less than a second before.
    pub fn advance(&self, now: Timestamp) {
        // It has no records and always finds room; after the end there is nothing to judge.
        let _ = self.shared.queue.push(Job::Advance(now), 0, 0, true);
    }

    /// Hands in rules that take over from those handed in last, from an event time on that no event has reached yet. What has
    /// been counted goes on where a rule means the same; `carries` says what becomes of changed ones. The library must have
    /// the rules ([`KeptPacks::keep`]). `pins` say in the log what its rules are from now on.
    ///
    /// # Errors
    /// Where the session has ended.
    pub fn activate(&self, rules: Arc<RuleSet>, pins: Option<Pins>, carries: Carries) -> Result<Activation, Busy> {
        let (tell, told) = oneshot::channel();
        self.shared.queue.push(Job::Activate { rules, pins, carries, tell }, 0, 0, true)?;
        Ok(Activation(told))
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        let (queue_records, queue_bytes) = self.shared.queue.held();
        let status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Status { queue_records, queue_bytes, ..status }
    }

    /// Takes no more in, works off what waits, commits all and ends. Steps that are not over stay open: a stream may go on.
    ///
    /// # Errors
    /// Where the last commit cannot be made.
    pub fn drain(&self) -> Result<(), LiveError> {
        self.shared.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        thread.join().map_err(|_| LiveError::Thread("the thread of the session has stopped".to_string()))?
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Err(error) = self.drain() {
            tracing::error!(%error, "the session ended");
        }
    }
}

/// Whether a log is that of a live session.
pub fn is_live(standing: &Standing) -> bool {
    standing.inputs.iter().any(|input| input.content_hash == keeper::LIVE_SOURCE)
}

/// What an event takes in the queue, roughly.
fn weight(event: &UsageEvent<'_>) -> usize {
    let text = |value: Value<'_>| match value {
        Value::Text(text) => text.len(),
        Value::Texts(texts) => texts.iter().map(|t| t.len() + size_of::<String>()).sum(),
        _ => 0,
    };
    size_of::<UsageEvent<'_>>() + event.fields().map(|(_, value)| 8 + text(value)).sum::<usize>()
}
