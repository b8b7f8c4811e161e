//! An action that a rule asks for, and whether the record proposes it. Nothing is taken here.

use serde::{Deserialize, Serialize};

use crate::time::Duration;

/// An action of the rule and its state in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// As written in the rule.
    pub action: String,
    /// Why it is not proposed; `None` where it is.
    pub withheld: Option<Withheld>,
    /// How long to wait with it, where the rule delays it.
    pub delay: Option<Duration>,
}

/// Why an action is not proposed. The finding stands all the same. Where several apply, the first in this order is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Withheld {
    /// An exception took the events out.
    Exempted,
    /// The group is outside the share of `rollout`.
    Rollout,
    /// The event came behind the watermark, when the budget of its day was settled.
    Late,
    /// The rule's `budget` of the day was spent.
    Budget,
    /// It is to be delayed, and there is no secret to draw the delay from.
    NoSecret,
}

impl Withheld {
    /// The word in records.
    pub fn word(self) -> &'static str {
        match self {
            Withheld::Exempted => "exempted",
            Withheld::Rollout => "rollout",
            Withheld::Late => "late",
            Withheld::Budget => "budget",
            Withheld::NoSecret => "no secret",
        }
    }
}
