//! What an action asks for, of whom, and why it may not be taken.

use serde::{Deserialize, Serialize};

use super::entry::ActionId;
use crate::decision::Verdict;
use crate::hir::{Mode, Severity};
use crate::time::Duration;
use crate::violation::Withheld;

/// Whom an action bears on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The accounts that the finding names, each by itself.
    Account,
    /// The API keys of its group.
    Key,
    /// The organisations of its group.
    Org,
    /// The accounts that the finding names, together; those that join it later too.
    Group,
}

impl Scope {
    /// All.
    pub const ALL: [Scope; 4] = [Scope::Account, Scope::Key, Scope::Org, Scope::Group];

    /// The word of the language and of records.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Account => "account",
            Scope::Key => "key",
            Scope::Org => "org",
            Scope::Group => "group",
        }
    }

    /// The scope with this word.
    pub fn from_word(word: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|s| s.word() == word)
    }

    /// Of an action as it is written; without a word it is the accounts.
    pub(super) fn of(word: &str) -> Scope {
        Scope::from_word(word).unwrap_or(Scope::Account)
    }

    /// What its members are: those of a group are accounts.
    pub(super) fn of_members(self) -> Scope {
        if self == Scope::Group { Scope::Account } else { self }
    }
}

/// What an action asks for. The same for all findings of a rule, as long as rule and clause are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// Name of the rule.
    pub rule: String,
    /// SHA-256 of the rule's canonical text.
    pub rule_hash: String,
    /// The clause, `provider.document.clause`.
    pub clause: String,
    /// How bad the finding is.
    pub severity: Severity,
    /// What the rule may do.
    pub mode: Mode,
    /// Number of the action in its rule, from 0.
    pub number: u16,
    /// As it is written in the rule.
    pub written: String,
    /// What it asks for.
    pub asked: Verdict,
    /// Calls that may pass in each span, where it throttles.
    pub rate: Option<(u64, Duration)>,
    /// Of whom.
    pub scope: Scope,
    /// For how long; `None` until somebody releases it.
    pub duration: Option<Duration>,
    /// How many people have to approve it, where it waits for review.
    pub approvals: u8,
    /// For the caller: the clause in our words. Never a value, a threshold, a group or another account.
    pub reason: String,
}

impl Terms {
    /// What takes effect: what is asked for, at most a flag in mode `flag`, nothing in mode `shadow`.
    pub fn verdict(&self) -> Verdict {
        match self.mode {
            Mode::Enforce => self.asked,
            Mode::Flag => self.asked.min(Verdict::Flag),
            Mode::Shadow => Verdict::Allow,
        }
    }
}

/// Why an action that a rule asks for is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Held {
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
    /// The finding became part of another, which acts.
    Merged,
    /// The finding names no account, or no key or organisation where one is asked for.
    NoTarget,
    /// The same is asked of the same by another action, which holds or waits.
    Covered(ActionId),
    /// All whom it would bear on were released from this rule's actions for good.
    Released,
    /// The finding was made by an earlier text of the rule, which had another action in its place.
    RuleChanged,
    /// The rule is in shadow mode, where nobody reviews.
    ShadowReview,
    /// An alert that is to wait for a review: it is what makes somebody look.
    AlertAfterReview,
}

impl Held {
    /// The word in records.
    pub fn word(self) -> &'static str {
        match self {
            Held::Exempted => Withheld::Exempted.word(),
            Held::Rollout => Withheld::Rollout.word(),
            Held::Late => Withheld::Late.word(),
            Held::Budget => Withheld::Budget.word(),
            Held::NoSecret => Withheld::NoSecret.word(),
            Held::Merged => "merged",
            Held::NoTarget => "no target",
            Held::Covered(_) => "covered",
            Held::Released => "released before",
            Held::RuleChanged => "rule changed",
            Held::ShadowReview => "shadow",
            Held::AlertAfterReview => "alert after review",
        }
    }
}

impl From<Withheld> for Held {
    fn from(w: Withheld) -> Held {
        match w {
            Withheld::Exempted => Held::Exempted,
            Withheld::Rollout => Held::Rollout,
            Withheld::Late => Held::Late,
            Withheld::Budget => Held::Budget,
            Withheld::NoSecret => Held::NoSecret,
        }
    }
}
