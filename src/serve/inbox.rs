//! What waits for the thread that writes the log beside the evaluator's: decisions that were given, findings that may ask for
//! actions, and acts of people. Handing in never waits; what finds no room is counted.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::enforce::{Action, Strike};
use crate::store::{Given, Noted, StoreError};
use crate::time::{Duration as Span, Timestamp};
use crate::violation::Violation;

/// Most findings that wait. The evaluator commits no more at a time.
pub(crate) const FINDINGS_WAITING_MAX: usize = 100_000;
/// Most answers that wait for what is to begin with them.
pub(crate) const STRIKES_WAITING_MAX: usize = 10_000;
/// Most acts of people that wait.
pub(crate) const ACTS_WAITING_MAX: usize = 1_000;

/// Most notes of what happened to the server that wait.
pub(crate) const NOTES_WAITING_MAX: usize = 1_000;

/// Something that happened to the server, for the log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NoteOf {
    pub(crate) kind: Noted,
    pub(crate) at: Timestamp,
    pub(crate) details: serde_json::Value,
}

/// What a person does to an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Ends it, for all or for one of those it bears on.
    Release { member: Option<String> },
    /// Moves its end.
    Extend { to: Until },
    /// Lets it take effect.
    Approve,
    /// Does not.
    Refuse,
}

/// A new end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Then.
    At(Timestamp),
    /// So long from now.
    In(Span),
    /// When somebody releases it.
    Released,
}

/// An act of a person, with who waits for it.
#[derive(Debug)]
pub(crate) struct ActOf {
    /// The action's id or the beginning of it.
    pub(crate) id: String,
    pub(crate) what: What,
    pub(crate) by: String,
    pub(crate) reason: String,
    pub(crate) reply: oneshot::Sender<Result<Action, StoreError>>,
}

/// What was taken out.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) given: Vec<Given>,
    pub(crate) findings: Vec<Violation>,
    pub(crate) strikes: Vec<Strike>,
    pub(crate) acts: Vec<ActOf>,
    pub(crate) notes: Vec<NoteOf>,
    /// Findings found no room: they are in the log.
    pub(crate) missed: bool,
    /// Nothing more will come.
    pub(crate) closed: bool,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    given_max: usize,
    inner: Mutex<Taken>,
    more: Condvar,
}

/// There was no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Inbox {
    pub(crate) fn new(given_max: usize) -> Inbox {
        Inbox { given_max, inner: Mutex::default(), more: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing that is done under the lock can stop half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer looks every so often by itself: a decision wakes nobody.
    pub(crate) fn give(&self, given: Given) -> Result<(), Full> {
        let mut inner = self.lock();
        if inner.given.len() >= self.given_max {
            return Err(Full);
        }
        inner.given.push(given);
        Ok(())
    }

    /// How many found no room: they strike again with the next call.
    pub(crate) fn strike(&self, strikes: Vec<Strike>) -> usize {
        let mut inner = self.lock();
        let (n, room) = (strikes.len(), STRIKES_WAITING_MAX.saturating_sub(inner.strikes.len()));
        inner.strikes.extend(strikes.into_iter().take(room));
        self.more.notify_one();
        n.saturating_sub(room)
    }

    /// Those that find no room are asked about again from the log, where they are.
    pub(crate) fn find(&self, findings: &[Violation]) {
        let mut inner = self.lock();
        let room = FINDINGS_WAITING_MAX.saturating_sub(inner.findings.len());
        inner.findings.extend(findings.iter().take(room).cloned());
        inner.missed |= findings.len() > room;
        self.more.notify_one();
    }

    /// The writer looks every so often by itself.
    pub(crate) fn note(&self, note: NoteOf) -> Result<(), Full> {
        let mut inner = self.lock();
        if inner.notes.len() >= NOTES_WAITING_MAX {
            return Err(Full);
        }
        inner.notes.push(note);
        Ok(())
    }

    pub(crate) fn act(&self, act: ActOf) -> Result<(), Full> {
        let mut inner = self.lock();
        if inner.closed || inner.acts.len() >= ACTS_WAITING_MAX {
            return Err(Full);
        }
        inner.acts.push(act);
        self.more.notify_one();
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_one();
    }

    /// All that waits; waits so long for findings and acts.
    pub(crate) fn take(&self, patience: Duration) -> Taken {
        let inner = self.lock();
        let idle = |t: &mut Taken| t.findings.is_empty() && t.strikes.is_empty() && t.acts.is_empty() && !t.closed;
        let (mut inner, _) =
            self.more.wait_timeout_while(inner, patience, idle).unwrap_or_else(PoisonError::into_inner);
        let closed = inner.closed;
        std::mem::replace(&mut *inner, Taken { closed, ..Taken::default() })
    }
}
