//! The books: what became of every record. They balance, always.

use serde::{Deserialize, Serialize};

/// Why an event that could be decoded was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// Its time lies further ahead of its ingest time (or of `as_of`) than allowed.
    Future,
    /// Another record of the same id says something else and has the smaller content hash.
    Conflicting,
}

impl Refusal {
    /// The word in reject files and summaries.
    pub fn word(self) -> &'static str {
        match self {
            Refusal::Future => "future_timestamp",
            Refusal::Conflicting => "conflicting_duplicate",
        }
    }
}

/// Counts of records by what became of them: `received = evaluated + late + duplicate + rejected`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// All records handed in that could be decoded.
    pub received: u64,
    /// Taken in, and not refused since.
    pub evaluated: u64,
    /// Behind the watermark.
    pub late: u64,
    /// Copies.
    pub duplicate: u64,
    /// Too far in the future.
    pub rejected_future: u64,
    /// Same id, other content.
    pub rejected_conflicting: u64,
}

impl Books {
    /// Whether every record is accounted for exactly once.
    pub fn balance(&self) -> bool {
        self.received == self.evaluated + self.late + self.duplicate + self.rejected_future + self.rejected_conflicting
    }
}
