//! The events of the longest window by number, so that evidence can name them: id, time, content hash and account, each
//! kept once however many rules counted the event.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Most events held. Above it the oldest are forgotten: counts stay exact, evidence then names fewer events and says so.
pub const EVENTS_HELD_MAX: usize = 8_000_000;

/// No account is known.
pub(crate) const NO_ACCOUNT: u64 = u64::MAX;

/// What evidence needs of an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) ts: i64,
    pub(crate) content: u128,
    pub(crate) account: u64,
    pub(crate) id: Box<str>,
}

/// Events in order of (time, id), numbered without gaps.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Events {
    first: u64,
    held: VecDeque<Held>,
}

impl Events {
    /// Takes in the next event; its number.
    pub(crate) fn push(&mut self, event: Held) -> u64 {
        if self.held.len() >= EVENTS_HELD_MAX {
            self.held.pop_front();
            self.first += 1;
        }
        self.held.push_back(event);
        self.first + self.held.len() as u64 - 1
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Held> {
        number.checked_sub(self.first).and_then(|at| self.held.get(usize::try_from(at).ok()?))
    }

    /// Forgets events before a time that no window reaches any more.
    pub(crate) fn forget_before(&mut self, ts: i64) {
        while self.held.front().is_some_and(|e| e.ts < ts) {
            self.held.pop_front();
            self.first += 1;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.iter()
    }
}
