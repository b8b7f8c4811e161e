//! What the server did, told at its end.

use std::collections::BTreeMap;

use super::state::App;

/// What it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Decisions by what took effect and what would have, the mildest first.
    pub decisions: Vec<(&'static str, &'static str, u64)>,
    /// What became of all records, earlier sessions of the log included.
    pub books: BTreeMap<String, u64>,
    /// Whether every record is in exactly one of the accounts.
    pub balanced: bool,
    /// Decisions that were to be written down, and were lost for want of room.
    pub lost: u64,
    /// Whether all connections ended in time; the others were cut off.
    pub drained: bool,
}

impl Summary {
    pub(crate) fn of(app: &App, drained: bool) -> Summary {
        let books = app.engine_at_end().map(|e| e.live.status().books).unwrap_or_default();
        Summary {
            decisions: app.metrics.decisions(),
            balanced: books.balance(),
            books: books.by_name(),
            lost: app.metrics.recorded_of("lost"),
            drained,
        }
    }
}
