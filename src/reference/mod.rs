//! Turns rows of text into reference data that rules look up *at event time*: lists of values and tables by key. Knows
//! no file and no rule; who reads the rows says where they came from.

mod list;
mod table;
mod value;

pub(crate) use list::holds;
pub use list::{ListData, ListError, Row};
pub use table::{Cell, TableData, TableError, TableRow, account_columns};
pub use value::{ValueError, ValueErrorKind};

use crate::time::Timestamp;

/// The most rows of one list or table.
pub const LIST_ROWS_MAX: usize = 5_000_000;
/// The largest file of a list or table, in bytes before compression.
pub const LIST_FILE_BYTES_MAX: u64 = 256 << 20;

/// When a row counts: from its first moment (inclusive) to its last (exclusive); open where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Validity {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Validity {
    /// `None` when the span is empty.
    pub(crate) fn new(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<Self> {
        let span = Validity { from: from.unwrap_or(Timestamp::MIN), to: to.unwrap_or(Timestamp::MAX) };
        (span.from < span.to).then_some(span)
    }

    pub(crate) fn always(self) -> bool {
        self.from == Timestamp::MIN && self.to == Timestamp::MAX
    }

    /// The last moment that can be expressed counts as inside an open end.
    pub(crate) fn holds(self, at: Timestamp) -> bool {
        self.from <= at && (at < self.to || self.to == Timestamp::MAX)
    }
}
