//! What people do to actions. Each act is held against the action as it stands; what it says is what has to be written.

use super::action::{Action, State};
use super::entry::{Act, ActionId, Actor, Entry, NAME_CHARS_MAX, REASON_CHARS_MAX};
use super::table::{Table, due_of};
use crate::time::Timestamp;

/// Why an act of a person cannot be, with what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such action.
    #[error("there is no action `{0}`; `fineprint actions list --db FILE` shows the ids")]
    Unknown(String),
    /// It has ended, or was never taken.
    #[error("action `{id}` is {state}: {how}; nothing is left to be changed of it")]
    Over {
        /// Which.
        id: ActionId,
        /// Where it stands.
        state: &'static str,
        /// Since when, by whom and why.
        how: String,
    },
    /// It would have to wait for a review, and does not.
    #[error("action `{id}` is {state} and waits for nobody's review; to end it write `fineprint actions release {id}`")]
    NotWaiting {
        /// Which.
        id: ActionId,
        /// Where it stands.
        state: &'static str,
    },
    /// It waits for a review, and has not been taken.
    #[error("action `{id}` waits for a review; write `fineprint actions approve {id}` or `refuse {id}`")]
    Waiting {
        /// Which.
        id: ActionId,
    },
    /// It would have to be in force, and is not.
    #[error("action `{id}` is {state}; only one in force can be extended")]
    NotInForce {
        /// Which.
        id: ActionId,
        /// Where it stands.
        state: &'static str,
    },
    /// Of a rule in shadow mode.
    #[error(
        "action `{id}` is of a rule in shadow mode and never takes effect; set `mode enforce` in the rule to let it act"
    )]
    Shadow {
        /// Which.
        id: ActionId,
    },
    /// The same person approved it.
    #[error("{} approved action `{id}` already; another person has to", inert(.by))]
    ApprovedAlready {
        /// Which.
        id: ActionId,
        /// Who.
        by: String,
    },
    /// An end that has passed.
    #[error("{until} has passed; name a later moment, or end the action with `fineprint actions release {id}`")]
    UntilPast {
        /// Which.
        id: ActionId,
        /// What was asked for.
        until: Timestamp,
    },
    /// An end before the one it has.
    #[error(
        "action `{id}` lasts until {ends}, which is not before {until}; name a later moment, or end it with `fineprint actions release {id}`"
    )]
    EndsLater {
        /// Which.
        id: ActionId,
        /// What was asked for.
        until: Timestamp,
        /// When it ends.
        ends: Timestamp,
    },
    /// It has no end.
    #[error("action `{id}` lasts until somebody releases it: there is no end to be moved")]
    NoEnd {
        /// Which.
        id: ActionId,
    },
    /// It does not bear on whom it is to be released from.
    #[error("action `{id}` does not bear on `{}`{}; `fineprint actions show {id}` lists whom it bears on", inert(.member),
        if *.released { ", who was released from it" } else { "" })]
    NotAMember {
        /// Which.
        id: ActionId,
        /// Who.
        member: String,
        /// Whether it was released before.
        released: bool,
    },
    /// A reason or name that is blank or too long.
    #[error("an act needs a {what} of 1 to {chars_max} characters, more than blanks")]
    Unfit {
        /// Which.
        what: &'static str,
        /// Most characters of it.
        chars_max: usize,
    },
}

/// A person's act.
struct Person<'a> {
    by: &'a str,
    reason: &'a str,
    now: Timestamp,
}

impl<'a> Person<'a> {
    fn new(by: &'a str, reason: &'a str, now: Timestamp) -> Result<Self, Refusal> {
        let (by, reason) = (by.trim(), reason.trim());
        for (what, text, chars_max) in [("reason", reason, REASON_CHARS_MAX), ("name", by, NAME_CHARS_MAX)] {
            if text.is_empty() || text.chars().count() > chars_max {
                return Err(Refusal::Unfit { what, chars_max });
            }
        }
        Ok(Person { by, reason, now })
    }

    fn entry(&self, action: &Action, act: Act) -> Entry {
        let actor = Actor::Person(self.by.to_string());
        Entry { seq: 0, at: self.now, actor, action: action.id, act, reason: self.reason.to_string() }
    }
}

impl Table {
    /// A person approves what waits for review. Once enough have, it takes effect, or begins its delay.
    ///
    /// # Errors
    /// It does not wait, or the same person approved it before.
    pub fn approve(&self, id: ActionId, by: &str, reason: &str, now: Timestamp) -> Result<Vec<Entry>, Refusal> {
        let (person, action) = (Person::new(by, reason, now)?, self.waiting(id)?);
        if action.approvals.iter().any(|a| a.by == person.by) {
            return Err(Refusal::ApprovedAlready { id, by: person.by.to_string() });
        }
        let approved = person.entry(action, Act::Approved);
        let mut after = action.clone();
        after.step(&approved);
        let mut entries = vec![approved];
        if let State::Delayed(until) = after.state {
            match due_of(&after, now) {
                Some(taken) => entries.push(Entry { reason: format!("approved by {}", person.by), ..taken }),
                None => {
                    let reason = format!("by {}", action.delay.unwrap_or_default());
                    let delayed = person.entry(action, Act::Delayed { until });
                    entries.push(Entry { actor: Actor::Fineprint, reason, ..delayed });
                }
            }
        }
        Ok(entries)
    }

    /// A person refuses what waits for review: it never takes effect.
    ///
    /// # Errors
    /// It does not wait.
    pub fn refuse(&self, id: ActionId, by: &str, reason: &str, now: Timestamp) -> Result<Vec<Entry>, Refusal> {
        let (person, action) = (Person::new(by, reason, now)?, self.waiting(id)?);
        Ok(vec![person.entry(action, Act::Refused)])
    }

    /// A person ends what is in force, or what is delayed before it takes effect.
    ///
    /// # Errors
    /// It has ended, or waits for review.
    pub fn release(&self, id: ActionId, by: &str, reason: &str, now: Timestamp) -> Result<Vec<Entry>, Refusal> {
        let (person, action) = (Person::new(by, reason, now)?, self.alive(id)?);
        match action.state {
            State::AwaitingReview => Err(Refusal::Waiting { id }),
            _ => Ok(vec![person.entry(action, Act::Released)]),
        }
    }

    /// A person releases one account (key, organisation) from an action, for good: it is not taken in again when the group
    /// grows, nor when the rule finds the same again. The others stay.
    ///
    /// # Errors
    /// The action has ended, or does not bear on it.
    pub fn release_member(
        &self,
        id: ActionId,
        member: &str,
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Entry>, Refusal> {
        let (person, action) = (Person::new(by, reason, now)?, self.alive(id)?);
        if !action.bears_on(member) {
            let released = action.is_released(member);
            return Err(Refusal::NotAMember { id, member: member.to_string(), released });
        }
        Ok(vec![person.entry(action, Act::MemberReleased { member: member.to_string() })])
    }

    /// A person moves the end of what is in force; to `None`, until somebody releases it.
    ///
    /// # Errors
    /// It is not in force, has no end, or the new one is not later or has passed.
    pub fn extend(
        &self,
        id: ActionId,
        until: Option<Timestamp>,
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Entry>, Refusal> {
        let (person, action) = (Person::new(by, reason, now)?, self.alive(id)?);
        match action.state {
            State::AwaitingReview => return Err(Refusal::Waiting { id }),
            State::InForce => {}
            state => return Err(Refusal::NotInForce { id, state: state.word() }),
        }
        let Some(ends) = action.until else { return Err(Refusal::NoEnd { id }) };
        match until {
            Some(until) if until <= now => Err(Refusal::UntilPast { id, until }),
            Some(until) if until <= ends => Err(Refusal::EndsLater { id, until, ends }),
            until => Ok(vec![person.entry(action, Act::Extended { until })]),
        }
    }

    fn alive(&self, id: ActionId) -> Result<&Action, Refusal> {
        let action = self.get(id).ok_or_else(|| Refusal::Unknown(id.to_string()))?;
        match action.state {
            State::Shadow(_) => Err(Refusal::Shadow { id }),
            State::Withheld(held) => Err(Refusal::Over { id, state: "withheld", how: held.word().to_string() }),
            state if state.is_over() => Err(Refusal::Over { id, state: state.word(), how: how(action) }),
            _ => Ok(action),
        }
    }

    fn waiting(&self, id: ActionId) -> Result<&Action, Refusal> {
        let action = self.alive(id)?;
        match action.state {
            State::AwaitingReview => Ok(action),
            state => Err(Refusal::NotWaiting { id, state: state.word() }),
        }
    }
}

/// By whom and when it ended; the reason stays out, which may hold anything.
fn how(action: &Action) -> String {
    action.ended.as_ref().map_or_else(String::new, |e| format!("by {} on {}", inert(e.by.name()), e.at))
}

/// Text that cannot steer a terminal or reorder what is read: such characters as escapes.
fn inert(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|c| if steers(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}
