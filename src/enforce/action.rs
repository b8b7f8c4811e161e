//! An action, as it follows from its entries.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::entry::{Act, ActionId, Actor, Entry, Proposed};
use super::target::{Held, Terms};
use crate::decision::Verdict;
use crate::hir::Mode;
use crate::time::{Duration, Timestamp};

/// Where an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It was not taken, and why.
    Withheld(Held),
    /// Of a rule in shadow mode: what it would do, it would do from then on.
    Shadow(Timestamp),
    /// A person has to decide.
    AwaitingReview,
    /// It takes effect then; nobody has to decide any more.
    Delayed(Timestamp),
    /// It takes effect.
    InForce,
    /// A person ended it.
    Released,
    /// A person refused it.
    Refused,
    /// Its time was over.
    Expired,
}

impl State {
    /// The words, in the order of a life.
    pub const WORDS: [&'static str; 8] =
        ["withheld", "shadow", "awaiting_review", "delayed", "in_force", "released", "refused", "expired"];

    /// The word in records.
    pub fn word(self) -> &'static str {
        match self {
            State::Withheld(_) => "withheld",
            State::Shadow(_) => "shadow",
            State::AwaitingReview => "awaiting_review",
            State::Delayed(_) => "delayed",
            State::InForce => "in_force",
            State::Released => "released",
            State::Refused => "refused",
            State::Expired => "expired",
        }
    }

    /// Whether nothing can come of it any more.
    pub fn is_over(self) -> bool {
        matches!(self, State::Withheld(_) | State::Released | State::Refused | State::Expired)
    }
}

/// A person's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// By whom.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// Those an action bears on, sorted. One is the common case.
pub(super) type Members = SmallVec<[Arc<str>; 1]>;

/// An action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its id.
    pub id: ActionId,
    /// The violation it rests on.
    pub violation: Box<str>,
    /// What it asks for.
    pub terms: Arc<Terms>,
    /// Where it stands.
    pub state: State,
    /// When it was proposed.
    pub proposed_at: Timestamp,
    /// When it took effect.
    pub taken_at: Option<Timestamp>,
    /// When it ends; `None` when somebody releases it.
    pub until: Option<Timestamp>,
    /// How long it waits, once it may take effect.
    pub delay: Option<Duration>,
    /// Who approved it, in their order.
    pub approvals: Vec<Approval>,
    /// How it ended, where it did.
    pub ended: Option<Box<Ended>>,
    pub(super) members: Members,
    pub(super) released: Vec<Arc<str>>,
}

/// Position of a text in sorted ones, or where it belongs.
pub(super) fn position(sorted: &[Arc<str>], text: &str) -> Result<usize, usize> {
    sorted.binary_search_by(|m| (**m).cmp(text))
}

impl Action {
    /// As it was proposed.
    pub(super) fn new(e: &Entry, p: &Proposed, terms: Arc<Terms>) -> Action {
        let from = e.at.saturating_add(p.delay.unwrap_or_default());
        let state = match p.held {
            Some(held) => State::Withheld(held),
            None if terms.mode == Mode::Shadow && p.review => State::Withheld(Held::ShadowReview),
            None if terms.mode == Mode::Shadow => State::Shadow(from),
            None if p.review => State::AwaitingReview,
            None => State::Delayed(from),
        };
        let mut members: Members = p.members.iter().map(|m| Arc::from(m.as_str())).collect();
        members.sort_unstable();
        members.dedup();
        let until = match state {
            State::Shadow(from) => terms.duration.map(|d| from.saturating_add(d)),
            _ => None,
        };
        let ended = Ended { by: e.actor.clone(), at: e.at, reason: String::new() };
        Action {
            id: e.action,
            violation: p.violation.as_str().into(),
            terms,
            state,
            proposed_at: e.at,
            taken_at: None,
            until,
            delay: p.delay,
            approvals: Vec::new(),
            ended: state.is_over().then(|| Box::new(ended)),
            members,
            released: Vec::new(),
        }
    }

    /// Whom it bears on, sorted: accounts, keys or organisations, by the scope.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &str> {
        self.members.iter().map(|m| &**m)
    }

    /// Whether it bears on this account, key or organisation.
    pub fn bears_on(&self, member: &str) -> bool {
        position(&self.members, member).is_ok()
    }

    /// Who was released from it for good, sorted.
    pub fn released(&self) -> impl ExactSizeIterator<Item = &str> {
        self.released.iter().map(|m| &**m)
    }

    /// Whether it was released from for good.
    pub(super) fn is_released(&self, member: &str) -> bool {
        position(&self.released, member).is_ok()
    }

    /// What takes effect at a moment; `None` where nothing does, and nothing would.
    pub(super) fn effect(&self, now: Timestamp) -> Option<Verdict> {
        let has_begun = match self.state {
            State::InForce => true,
            State::Shadow(from) => from <= now,
            _ => false,
        };
        (has_begun && self.until.is_none_or(|until| now < until)).then(|| self.terms.verdict())
    }

    /// When time does something to it.
    pub(super) fn next(&self) -> Option<Timestamp> {
        match self.state {
            State::Delayed(until) => Some(until),
            State::InForce | State::Shadow(_) => self.until,
            _ => None,
        }
    }

    /// Does an act that leaves those it bears on as they are; whether it changed anything. An act that does not belong to the
    /// state is void: somebody else was first.
    pub(super) fn step(&mut self, e: &Entry) -> bool {
        match (&e.act, self.state) {
            (Act::AwaitingReview, State::Delayed(_)) if self.taken_at.is_none() && self.approvals.is_empty() => {
                self.state = State::AwaitingReview;
            }
            (Act::Approved, State::AwaitingReview) if !self.approvals.iter().any(|a| a.by == e.actor.name()) => {
                let by = e.actor.name().to_string();
                self.approvals.push(Approval { by, at: e.at, reason: e.reason.clone() });
                if self.approvals.len() >= usize::from(self.terms.approvals.max(1)) {
                    self.state = State::Delayed(e.at.saturating_add(self.delay.unwrap_or_default()));
                }
            }
            (Act::Refused, State::AwaitingReview) => self.end(State::Refused, e),
            (Act::Delayed { until }, State::Delayed(known)) if *until != known => self.state = State::Delayed(*until),
            (Act::Taken { until }, State::Delayed(_)) => {
                self.state = State::InForce;
                self.taken_at = Some(e.at);
                self.until = *until;
            }
            (Act::Extended { until }, State::InForce) if *until != self.until => self.until = *until,
            (Act::Released, State::AwaitingReview | State::Delayed(_) | State::InForce) => self.end(State::Released, e),
            (Act::Expired { .. }, State::InForce | State::Shadow(_)) if self.until.is_some_and(|u| u <= e.at) => {
                self.end(State::Expired, e);
            }
            _ => return false,
        }
        true
    }

    pub(super) fn end(&mut self, state: State, e: &Entry) {
        self.state = state;
        self.ended = Some(Box::new(Ended { by: e.actor.clone(), at: e.at, reason: e.reason.clone() }));
    }
}
