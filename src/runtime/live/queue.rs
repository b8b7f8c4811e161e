//! The bounded queue before the evaluator. Handing in never waits: where there is no room it is said.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Busy;

/// What may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// A queue of jobs, each with how many records and bytes it has.
#[derive(Debug)]
pub(super) struct Queue<T> {
    bounds: Bounds,
    inner: Mutex<Inner<T>>,
    more: Condvar,
}

#[derive(Debug)]
struct Inner<T> {
    jobs: VecDeque<(T, usize, usize)>,
    records: usize,
    bytes: usize,
    closed: bool,
    /// Why nothing is taken in for the time being.
    paused: bool,
    woken: bool,
}

/// What [`Queue::pop`] found.
pub(super) enum Popped<T> {
    Job(T),
    /// Nothing so far.
    Nothing,
    /// Nothing, and nothing more will come.
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let jobs = VecDeque::new();
        let inner = Inner { jobs, records: 0, bytes: 0, closed: false, paused: false, woken: false };
        Queue { bounds, inner: Mutex::new(inner), more: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing that is done under the lock can stop half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job in, or says why not.
    pub(super) fn push(&self, job: T, records: usize, bytes: usize) -> Result<(), Busy> {
        let Bounds { records: records_max, bytes: bytes_max } = self.bounds;
        if records > records_max || bytes > bytes_max {
            return Err(Busy::TooLarge { records, records_max, bytes, bytes_max });
        }
        let mut inner = self.lock();
        if inner.closed {
            return Err(Busy::Ended);
        }
        let full = inner.records + records > records_max || inner.bytes + bytes > bytes_max;
        if full || inner.paused && records > 0 {
            return Err(Busy::Full { records: inner.records, bytes: inner.bytes });
        }
        inner.records += records;
        inner.bytes += bytes;
        inner.jobs.push_back((job, records, bytes));
        drop(inner);
        self.more.notify_one();
        Ok(())
    }

    /// Takes the next job out; waits so long for it, or until it is woken.
    pub(super) fn pop(&self, patience: Duration) -> Popped<T> {
        let inner = self.lock();
        let idle = |inner: &mut Inner<T>| inner.jobs.is_empty() && !inner.closed && !inner.woken;
        let waited = self.more.wait_timeout_while(inner, patience, idle);
        let (mut inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        inner.woken = false;
        match inner.jobs.pop_front() {
            Some((job, records, bytes)) => {
                inner.records -= records.min(inner.records);
                inner.bytes -= bytes.min(inner.bytes);
                Popped::Job(job)
            }
            None if inner.closed => Popped::Closed,
            None => Popped::Nothing,
        }
    }

    /// Ends a wait for the next job.
    pub(super) fn wake(&self) {
        self.lock().woken = true;
        self.more.notify_one();
    }

    /// Takes no records in for the time being, or again.
    pub(super) fn pause(&self, paused: bool) {
        self.lock().paused = paused;
    }

    /// Takes nothing in any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Records and bytes that wait.
    pub(super) fn held(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.records, inner.bytes)
    }
}
