//! A commit that is written while the run goes on: its state is frozen and comes back as soon as it is written down; the log
//! comes back when everything is safe.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::Duration;

use super::checkpoint::now;
use super::pieces;
use super::rejects::Rejected;
use super::run::RunError;
use super::session::Saved;
use super::sink::{Commit, Sink, Standing};
use crate::eval::Frozen;
use crate::journal::{Synced, Syncing};
use crate::store::{PieceId, Pins};
use crate::time::Timestamp;
use crate::violation::Violation;

/// All of a commit but the names of the state's pieces.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) violations: Vec<Violation>,
    pub(super) retracted: Vec<String>,
    pub(super) rejects: Vec<Rejected>,
    pub(super) standing: Standing,
    /// Names of the evaluator's own pieces among those of the state, once they are stored.
    pub(super) evaluator: Vec<PieceId>,
    /// The journal's records up to here on their way to the disk, and then that they are safe.
    pub(super) syncing: Option<Syncing>,
    pub(super) synced: Option<Synced>,
    pub(super) watermark: Option<Timestamp>,
    /// What the log's rules are from this commit on, where they have changed.
    pub(super) pins: Vec<Pins>,
}

impl Due {
    /// Writes it; returns once it is safe.
    pub(super) fn commit(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        if let Some(syncing) = self.syncing.take() {
            let synced = syncing.wait()?;
            self.standing.journal = Some(synced.position().to_string());
            self.synced = Some(synced);
        }
        for pins in &self.pins {
            sink.note_pins(pins)?;
        }
        let Due { violations, retracted, rejects, standing: state, .. } = self;
        Ok(sink.commit(&Commit { violations, retracted, rejects, state })?)
    }
}

/// Stores a frozen state, which goes back as soon as it is written down; the names of its pieces.
pub(super) fn store(sink: &mut dyn Sink, frozen: Frozen, back: Sender<Frozen>) -> Result<Vec<PieceId>, RunError> {
    pieces::put(sink, move |out| {
        let written = frozen.write(out);
        // Nobody waits for it where the run has failed.
        let _ = back.send(frozen);
        written
    })
}

/// A commit under way.
pub(super) struct UnderWay<'scope, 'a> {
    thread: ScopedJoinHandle<'scope, Written<'a>>,
    /// None once the state is back.
    state: Option<Receiver<Frozen>>,
}

/// What became of a commit.
pub(super) struct Written<'a> {
    pub(super) sink: &'a mut dyn Sink,
    /// It, safe or not.
    pub(super) due: Due,
    /// Whether it is safe.
    pub(super) result: Result<(), RunError>,
    /// How long it took.
    pub(super) cost: Duration,
}

impl<'scope, 'a: 'scope> UnderWay<'scope, 'a> {
    /// Begins to write a commit, on a thread of its own.
    pub(super) fn begin(
        scope: &'scope Scope<'scope, '_>,
        sink: &'a mut dyn Sink,
        mut due: Due,
        saved: Saved,
        frozen: Frozen,
    ) -> Result<Self, RunError> {
        let (back, state) = channel();
        let started = now();
        let commit = move || {
            let write = |frozen| {
                due.evaluator = store(sink, frozen, back)?;
                due.standing.snapshot = saved.put(sink, &due.evaluator)?;
                due.commit(sink)
            };
            let result = write(frozen);
            Written { sink, due, result, cost: started.elapsed() }
        };
        let thread = Builder::new().name("fineprint-commit".to_owned()).spawn_scoped(scope, commit);
        let thread = thread.map_err(|e| RunError::Thread(format!("cannot start a thread: {e}")))?;
        Ok(UnderWay { thread, state: Some(state) })
    }

    /// The state, once, as soon as it is written down; waits so long for it.
    pub(super) fn state(&mut self, patience: Duration) -> Option<Frozen> {
        match self.state.as_ref()?.recv_timeout(patience) {
            Ok(frozen) => {
                self.state = None;
                Some(frozen)
            }
            // Disconnected: the commit has failed, and says so itself.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Whether it has come to its end.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// What became of it; waits for its end. The state is to be taken back before.
    pub(super) fn end(self) -> Result<Written<'a>, RunError> {
        self.thread.join().map_err(|_| RunError::Thread("the thread that commits has stopped".to_string()))
    }
}
