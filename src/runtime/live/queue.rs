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
    /// What is taken in for the time being.
    intake: Intake,
    woken: bool,
}

/// What is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Intake {
    /// Whatever there is room for.
    #[default]
    All,
    /// What nobody waits for: it may lie here until the journal can be written again.
    Unwaited,
    /// Nothing.
    Nothing,
}

/// What [`Queue::pop`] found.
pub(super) enum Popped<T> {
    /// With its records and bytes, whose room it has until [`Queue::release`].
    Job(T, usize, usize),
    /// Nothing so far.
    Nothing,
    /// Nothing, and nothing more will come.
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let jobs = VecDeque::new();
        let inner = Inner { jobs, records: 0, bytes: 0, closed: false, intake: Intake::All, woken: false };
        Queue { bounds, inner: Mutex::new(inner), more: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing that is done under the lock can stop half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job in, or says why not; `waited` says whether somebody waits until it is safe.
    pub(super) fn push(&self, job: T, records: usize, bytes: usize, waited: bool) -> Result<(), Busy> {
        let Bounds { records: records_max, bytes: bytes_max } = self.bounds;
        if records > records_max || bytes > bytes_max {
            return Err(Busy::TooLarge { records, records_max, bytes, bytes_max });
        }
        let mut inner = self.lock();
        if inner.closed {
            return Err(Busy::Ended);
        }
        let full = inner.records + records > records_max || inner.bytes + bytes > bytes_max;
        let refused = match inner.intake {
            Intake::All => false,
            Intake::Unwaited => waited,
            Intake::Nothing => true,
        };
        if full || refused && records > 0 {
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
            Some((job, records, bytes)) => Popped::Job(job, records, bytes),
            None if inner.closed => Popped::Closed,
            None => Popped::Nothing,
        }
    }

    /// Ends a wait for the next job.
    pub(super) fn wake(&self) {
        self.lock().woken = true;
        self.more.notify_one();
    }

    /// Says what is taken in from now on.
    pub(super) fn take_in(&self, intake: Intake) {
        self.lock().intake = intake;
    }

    /// Lets the room of a job that was taken out be taken by others.
    pub(super) fn release(&self, records: usize, bytes: usize) {
        let mut inner = self.lock();
        inner.records -= records.min(inner.records);
        inner.bytes -= bytes.min(inner.bytes);
    }

    /// Puts a job back before all others, which was taken out and not done; its room was not let go of.
    pub(super) fn put_back(&self, job: T, records: usize, bytes: usize) {
        self.lock().jobs.push_front((job, records, bytes));
        self.more.notify_one();
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
