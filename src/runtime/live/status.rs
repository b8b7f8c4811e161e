//! How a live session stands, for readiness and metrics.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Activated;
use crate::journal::Position;
use crate::runtime::RunBooks;
use crate::time::Timestamp;

/// What the session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// It reads what an earlier one left: state and journal.
    #[default]
    Recovering,
    /// It takes records in.
    Running,
    /// The journal cannot be written or read; it tries again, and takes nothing in meanwhile.
    Failed,
    /// It has ended: everything is committed, or [`Status::last_error`] says why not.
    Ended,
}

impl Phase {
    /// The word in readiness and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Recovering => "recovering",
            Phase::Running => "running",
            Phase::Failed => "failed",
            Phase::Ended => "ended",
        }
    }
}

/// How a live session stands.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// Records that wait in the queue.
    pub queue_records: usize,
    /// Their bytes, roughly.
    pub queue_bytes: usize,
    /// Bytes of events that wait inside while the state is written down, roughly.
    pub held_back_bytes: usize,
    /// What became of all records, earlier sessions of the log included. As of the last turn, committed or not.
    pub books: RunBooks,
    /// Up to where the journal is safe.
    pub journal: Position,
    /// What is needed to read on from there.
    pub written: Written,
    /// When that was last moved, and how often.
    pub synced_at: Option<Instant>,
    /// How often.
    pub syncs: u64,
    /// When the last commit of this session was safe.
    pub committed_at: Option<Instant>,
    /// Commits of this session.
    pub commits: u64,
    /// Commits that could not be made since the last one that was.
    pub commits_failed: u64,
    /// How long the last commit took, most of it beside the session.
    pub commit_took: Duration,
    /// Findings that wait for the next commit.
    pub findings_waiting: usize,
    /// Everything before it is judged; `None` before the first event.
    pub watermark: Option<Timestamp>,
    /// The rules that were handed in last, as [`crate::plan::RuleSet::bundle_hash`].
    pub bundle: String,
    /// How often rules took over in this session, those included that wait for their time.
    pub changes: u64,
    /// How many rule sets wait for their time: events up to it are still judged under those before.
    pub changes_waiting: usize,
    /// The last change of rules, and what became of each rule; none where none have changed in this session.
    pub last_change: Option<Activated>,
    /// Whether the journal is being counted for rules that take over next.
    pub backfilling: bool,
    /// Backfills of this session that have come to their end.
    pub backfills: u64,
    /// What the last of them took.
    pub backfilled: Backfilled,
    /// What this session found when it began.
    pub recovered: Recovered,
    /// The last thing that went wrong, and has not gone right since.
    pub last_error: Option<String>,
    /// Rules that use a text itself that the journal does not keep: what they counted since the last commit is lost when
    /// the process is killed.
    pub not_derivable: Vec<String>,
}

/// What a session found of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Records of the journal behind the last commit, all of which were taken in again.
    pub records: u64,
    /// Bytes behind them that were no whole frame: nobody was told that they were safe.
    pub cut_bytes: u64,
}

/// Whose records stand behind a position of the journal, and who wrote them: as far as it does not say so itself there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Written {
    /// The source of the next record.
    pub source: Option<String>,
    /// Rule sets by their hashes, each with the event time (nanoseconds since 1970) from which it was in force.
    pub rules: Vec<(i64, String)>,
}

/// What a backfill took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backfilled {
    /// Records of the journal that were counted.
    pub records: u64,
    /// From when the rules were handed in until they took over, or the part of it in which the journal was read.
    pub took: Duration,
    /// How long events waited for it, which were taken in meanwhile.
    pub waited: Duration,
    /// The longest time at a stretch in which no events were taken in because of it.
    pub pause_max: Duration,
}
