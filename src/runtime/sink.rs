//! Where findings go. A run writes through two methods and asks two questions, so that a gateway can keep a log of its own.

mod memory;
mod sqlite;

use std::collections::{BTreeMap, BTreeSet};

pub use memory::MemorySink;
pub use sqlite::SqliteSink;

use super::rejects::Rejected;
use crate::store::PieceId;
use crate::violation::Violation;

/// A log that could not be read or written, in its own words.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SinkError(pub Box<dyn std::error::Error + Send + Sync>);

impl SinkError {
    /// Wraps the log's own error.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        SinkError(error.into())
    }
}

/// How far an input was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// As the run names it.
    pub name: String,
    /// Hash of the first `offset_bytes` bytes; lower-case hex.
    pub content_hash: String,
    /// Bytes read, uncompressed.
    pub offset_bytes: u64,
    /// Lines or items read.
    pub n_lines: u64,
    /// Whether its end was reached.
    pub finished: bool,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How far each input was read.
    pub inputs: Vec<Consumed>,
    /// Counters by name.
    pub books: BTreeMap<String, u64>,
    /// The state: names of its pieces in order.
    pub snapshot: Vec<PieceId>,
    /// How far the journal belongs to that state.
    pub journal: Option<String>,
}

/// Where the last run stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// Where it stood.
    pub standing: Standing,
    /// The pieces of the state in order.
    pub pieces: Vec<Vec<u8>>,
}

/// What is written together or not at all.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Violations in their present state; of two with one id the later counts.
    pub violations: &'a [Violation],
    /// Ids of violations that rested on the end of a file that has gone on, and do not hold any more.
    pub retracted: &'a [String],
    /// Refused records.
    pub rejects: &'a [Rejected],
    /// Where to go on from.
    pub state: &'a Standing,
}

/// A log. It is written to from one thread at a time, not always the same.
pub trait Sink: Send {
    /// Where the last run stopped; `None` for a new log.
    ///
    /// # Errors
    /// Where the log cannot be read.
    fn resume(&mut self) -> Result<Option<Resumed>, SinkError>;

    /// Which of the ids the log holds already.
    ///
    /// # Errors
    /// Where the log cannot be read.
    fn known(&mut self, ids: &[&str]) -> Result<BTreeSet<String>, SinkError>;

    /// Whether it can go on from a state: where it cannot, no state is made.
    fn keeps_state(&self) -> bool;

    /// Takes a piece of the state, of at most 1 MiB, that the next commit will name; its name.
    ///
    /// # Errors
    /// Where the log cannot be written.
    fn put_piece(&mut self, bytes: &[u8]) -> Result<PieceId, SinkError>;

    /// Notes under which rules the log is written from now on; the next commit is the first under them. A log that keeps no
    /// such note need not.
    ///
    /// # Errors
    /// Where the log cannot be written.
    fn note_pins(&mut self, _: &crate::store::Pins) -> Result<(), SinkError> {
        Ok(())
    }

    /// Writes, and returns once it is safe. The same again changes nothing.
    ///
    /// # Errors
    /// Where the log cannot be written; nothing of the commit is kept then.
    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), SinkError>;
}
