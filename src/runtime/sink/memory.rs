//! A log in memory, for runs without a database.

use std::collections::{BTreeMap, BTreeSet};

use super::{Commit, Resumed, Sink, SinkError};
use crate::store::PieceId;
use crate::violation::Violation;

/// A log in memory: the last state of each violation.
#[derive(Debug, Default)]
pub struct MemorySink {
    violations: BTreeMap<String, Violation>,
}

impl MemorySink {
    /// All violations, sorted by (opened_at, id).
    pub fn into_violations(self) -> Vec<Violation> {
        let mut all: Vec<Violation> = self.violations.into_values().collect();
        all.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
        all
    }

    /// All violations, by id.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.violations.values()
    }
}

impl Sink for MemorySink {
    fn resume(&mut self) -> Result<Option<Resumed>, SinkError> {
        Ok(None)
    }

    fn known(&mut self, ids: &[&str]) -> Result<BTreeSet<String>, SinkError> {
        Ok(ids.iter().filter(|id| self.violations.contains_key(**id)).map(|id| (*id).to_string()).collect())
    }

    fn keeps_state(&self) -> bool {
        false
    }

    fn put_piece(&mut self, _: &[u8]) -> Result<PieceId, SinkError> {
        Err(SinkError::new("a log in memory keeps no state"))
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), SinkError> {
        for id in commit.retracted {
            self.violations.remove(id);
        }
        for v in commit.violations {
            self.violations.insert(v.id.clone(), v.clone());
        }
        Ok(())
    }
}
