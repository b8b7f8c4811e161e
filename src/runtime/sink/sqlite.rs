//! The adapter for the SQLite log. The run loop is no async code; each call here waits for the store.

use std::collections::BTreeSet;
use std::path::Path;

use tokio::runtime::Runtime;

use super::{Commit, Consumed, Resumed, Sink, SinkError, Standing};
use crate::store::{
    Access, Batch, Checkpoint, Entry, Input, PieceId, Pinned, Pins, Reject, Resume, RulesChanged, Store,
};
use crate::violation::Violation;

/// A violation log in a SQLite file.
#[derive(Debug)]
pub struct SqliteSink {
    store: Store,
    runtime: Runtime,
}

impl SqliteSink {
    /// Opens or makes the log of a run.
    ///
    /// # Errors
    /// Where the path cannot be written, or holds something else.
    pub fn open(path: &Path) -> Result<Self, SinkError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SinkError::new)?;
        let mut store = runtime.block_on(Store::open(path, Access::ReadWrite)).map_err(SinkError::new)?;
        crate::runtime::erase::finish_in(&runtime, &mut store).map_err(SinkError::new)?;
        Ok(SqliteSink { store, runtime })
    }

    /// Holds what this run stands on against what the log was written under.
    ///
    /// # Errors
    /// Where they differ and `changed` refuses.
    pub fn pin(&mut self, pins: &Pins, changed: RulesChanged) -> Result<Pinned, SinkError> {
        self.runtime.block_on(self.store.pin(pins, changed)).map_err(SinkError::new)
    }

    /// The database as it was resolved.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// How many violations there are of each rule, severity and status.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn stats(&self) -> Result<Vec<crate::store::Tally>, SinkError> {
        self.runtime.block_on(self.store.stats()).map_err(SinkError::new)
    }

    /// Closes the log.
    ///
    /// # Errors
    /// Where it cannot be folded; its contents are safe all the same.
    pub fn close(self) -> Result<(), SinkError> {
        self.runtime.block_on(self.store.close()).map_err(SinkError::new)
    }
}

impl Sink for SqliteSink {
    fn resume(&mut self) -> Result<Option<Resumed>, SinkError> {
        let resume = self.runtime.block_on(self.store.resume()).map_err(SinkError::new)?;
        Ok(resume.map(|Resume { checkpoint: c, pieces }| Resumed {
            standing: Standing {
                inputs: c.inputs.into_iter().map(consumed).collect(),
                books: c.books,
                snapshot: c.snapshot,
                journal: c.journal,
            },
            pieces,
        }))
    }

    fn known(&mut self, ids: &[&str]) -> Result<BTreeSet<String>, SinkError> {
        let store = &self.store;
        self.runtime.block_on(async {
            let mut known = BTreeSet::new();
            for id in ids {
                if store.get(id).await.map_err(SinkError::new)?.is_some() {
                    known.insert((*id).to_string());
                }
            }
            Ok(known)
        })
    }

    fn keeps_state(&self) -> bool {
        true
    }

    fn note_pins(&mut self, pins: &Pins) -> Result<(), SinkError> {
        self.pin(pins, RulesChanged::Keep).map(|_| ())
    }

    fn put_piece(&mut self, bytes: &[u8]) -> Result<PieceId, SinkError> {
        self.runtime.block_on(self.store.put_piece(bytes)).map_err(SinkError::new)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), SinkError> {
        // Records are long: only a part of them lies in memory beside the findings they are made of.
        let (mut retracted, mut violations) = (commit.retracted, commit.violations);
        while let Some((part, rest)) =
            violations.split_at_checked(VIOLATIONS_PER_PART).filter(|(_, rest)| !rest.is_empty())
        {
            let part = Batch { violations: &entries(part), retracted, rejects: &[], checkpoint: None };
            self.runtime.block_on(self.store.put(&part)).map_err(SinkError::new)?;
            (retracted, violations) = (&[], rest);
        }
        let entries = entries(violations);
        let rejects: Vec<Reject> = commit
            .rejects
            .iter()
            .map(|r| Reject {
                input: r.input.clone(),
                line: r.line,
                reason: r.reason.to_string(),
                field: r.field.map(str::to_string),
                detail: r.detail.clone(),
            })
            .collect();
        let checkpoint = Checkpoint {
            inputs: commit.state.inputs.iter().map(input).collect(),
            books: commit.state.books.clone(),
            snapshot: commit.state.snapshot.clone(),
            journal: commit.state.journal.clone(),
        };
        let batch = Batch { violations: &entries, retracted, rejects: &rejects, checkpoint: Some(&checkpoint) };
        self.runtime.block_on(self.store.commit(&batch)).map(|_| ()).map_err(SinkError::new)
    }
}

/// Rows of violations. Records of campaigns are long, so they are written on as many threads as there are cores.
fn entries(violations: &[Violation]) -> Vec<Entry> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(VIOLATIONS_THREADS_MAX);
    let part = violations.len().div_ceil(cores).max(VIOLATIONS_PER_THREAD_MIN);
    let made = |part: &[Violation]| part.iter().map(Entry::from).collect::<Vec<Entry>>();
    let Some((first, rest)) = violations.split_at_checked(part) else { return made(violations) };
    std::thread::scope(|scope| {
        let others: Vec<_> = rest
            .chunks(part)
            .map(|part| (part, std::thread::Builder::new().spawn_scoped(scope, move || made(part))))
            .collect();
        let mut all = made(first);
        for (part, other) in others {
            // Where the machine gives no thread, this one does it.
            match other.map(|thread| thread.join()) {
                Ok(Ok(entries)) => all.extend(entries),
                _ => all.extend(made(part)),
            }
        }
        all
    })
}

/// Violations whose rows are made and written at a time.
const VIOLATIONS_PER_PART: usize = 256;

/// Most threads that make rows, and fewest violations for each.
const VIOLATIONS_THREADS_MAX: usize = 8;
const VIOLATIONS_PER_THREAD_MIN: usize = 8;

fn consumed(i: Input) -> Consumed {
    Consumed {
        name: i.name,
        content_hash: i.content_hash,
        offset_bytes: i.offset_bytes,
        n_lines: i.n_lines,
        finished: i.finished,
    }
}

fn input(c: &Consumed) -> Input {
    Input {
        name: c.name.clone(),
        content_hash: c.content_hash.clone(),
        offset_bytes: c.offset_bytes,
        n_lines: c.n_lines,
        finished: c.finished,
    }
}
