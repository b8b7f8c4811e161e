//! The evaluator: usage events in, violations out. A plain state machine: time comes in with the events, nothing here
//! reads a clock, a file or a random number, so the same events give the same violations, byte for byte.

mod books;

use std::sync::Arc;

pub use books::{Books, Refusal};

use crate::event::UsageEvent;
use crate::plan::RuleSet;
use crate::time::{Duration, MINUTE_NS, Timestamp};
use crate::violation::Violation;

/// How a stream is read. Part of the configuration hash: two runs with other options may find other violations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalOptions {
    /// How far events may come out of order. A step is judged when the largest event time minus this has passed its end.
    pub lateness: Duration,
    /// How far an event may lie after its own ingest time, or after `as_of` where it has none.
    pub future: Duration,
    /// The latest moment the stream can know of, for files without ingest times.
    pub as_of: Option<Timestamp>,
}

impl Default for EvalOptions {
    fn default() -> Self {
        EvalOptions { lateness: Duration(5 * MINUTE_NS), future: Duration(5 * MINUTE_NS), as_of: None }
    }
}

/// Where a record came from, to name it when it is refused later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Origin {
    /// Which input.
    pub input: u32,
    /// Line of the input, from 1.
    pub line: u64,
}

/// What became of an event when it was observed. An accepted event may still be refused later, when another record of the
/// same id and a smaller content hash comes within the lateness; see [`Evaluator::take_refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Taken in.
    Evaluated,
    /// Behind the watermark: only rules on single events saw it.
    Late,
    /// A copy of an event already taken in.
    Duplicate,
    /// Refused, and why.
    Rejected(Refusal),
}

/// A record that was refused after it had been taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where it came from.
    pub origin: Origin,
    /// Its id.
    pub id: String,
    /// Why.
    pub refusal: Refusal,
}

/// The in-process driver of routing and stepping.
#[derive(Debug)]
pub struct Evaluator {
    rules: Arc<RuleSet>,
    options: EvalOptions,
    books: Books,
}

impl Evaluator {
    /// An evaluator that has seen nothing.
    pub fn new(rules: Arc<RuleSet>, options: EvalOptions) -> Self {
        Evaluator { rules, options, books: Books::default() }
    }

    /// Takes in one event.
    pub fn observe(&mut self, event: &UsageEvent<'_>, origin: Origin) -> Outcome {
        let _ = (event, origin, &self.rules, &self.options);
        Outcome::Evaluated
    }

    /// Declares that no event before `watermark` will come any more: judges every step that ends at or before it.
    pub fn advance(&mut self, watermark: Timestamp) {
        let _ = watermark;
    }

    /// The input has ended as a file does: judges every step that ends at or before the largest event time. Later events
    /// may still follow (an appended file).
    pub fn finish(&mut self) {}

    /// Violations that were opened, updated or closed since the last call, each once, in its present state, sorted by
    /// (opened_at, id).
    pub fn take_violations(&mut self) -> Vec<Violation> {
        Vec::new()
    }

    /// Records that were refused after they had been taken in, since the last call, sorted by origin.
    pub fn take_refused(&mut self) -> Vec<Refused> {
        Vec::new()
    }

    /// What became of all events so far.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Largest event time minus the lateness; `None` before the first event.
    pub fn watermark(&self) -> Option<Timestamp> {
        None
    }

    /// The whole state as bytes of a versioned format.
    pub fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    /// An evaluator in the state of a snapshot.
    ///
    /// # Errors
    /// A text that says why the bytes do not fit: another version, another rule set, damaged.
    pub fn restore(rules: Arc<RuleSet>, options: EvalOptions, snapshot: &[u8]) -> Result<Self, String> {
        let _ = snapshot;
        Ok(Self::new(rules, options))
    }

    /// The projection of an event for the journal: the fields that the rules read and the truth of each text test,
    /// appended to `out`. Content fields (prompt text) are never part of it.
    pub fn project(&self, event: &UsageEvent<'_>, out: &mut Vec<u8>) {
        let _ = (event, out);
    }
}
