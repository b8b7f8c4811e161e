//! Checkpoints that wait for one place. Where there are too many the oldest goes: the newest covers it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most checkpoints that wait for one place.
pub const QUEUE_CHECKPOINTS_MAX: usize = 1_024;

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Arc<str>>,
    /// One is on its way.
    busy: bool,
    closed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can stop half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many went for it.
    pub(super) fn push(&self, note: Arc<str>) -> u64 {
        let mut state = self.lock();
        if state.closed {
            return 1;
        }
        let full = state.waiting.len() >= QUEUE_CHECKPOINTS_MAX;
        if full {
            state.waiting.pop_front();
        }
        state.waiting.push_back(note);
        self.changed.notify_all();
        u64::from(full)
    }

    /// The next one, which is then on its way; `None` at the end.
    pub(super) fn next(&self) -> Option<Arc<str>> {
        let waits = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let mut state = self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        let next = state.waiting.pop_front();
        state.busy = next.is_some();
        self.changed.notify_all();
        next
    }

    pub(super) fn done(&self) {
        self.lock().busy = false;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits, but not beyond the end.
    pub(super) fn pause(&self, pause: Duration) {
        let _ = self.changed.wait_timeout_while(self.lock(), pause, |state| !state.closed);
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for what is there, so long at most; how many are not brought.
    pub(super) fn wait(&self, patience: Duration) -> u64 {
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, |state| state.busy || !state.waiting.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let left = state.waiting.len() + usize::from(state.busy);
        state.waiting.clear();
        left as u64
    }
}
