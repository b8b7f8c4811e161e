//! Entries: what happened to actions, one act each, only ever added.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::target::{Held, Terms};
use crate::hir::Severity;
use crate::time::{Duration, Timestamp};

/// Most characters of a reason.
pub const REASON_CHARS_MAX: usize = 2_000;
/// Most characters of a person's name.
pub const NAME_CHARS_MAX: usize = 100;

/// Which action: the first half of SHA-256 over the violation's id and the number of the action in its rule, so that proposing
/// one twice is harmless. Written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(pub(super) u128);

impl ActionId {
    /// The id of an action of a violation.
    pub fn new(violation: &str, number: u16) -> ActionId {
        let mut hash = Sha256::new();
        hash.update(b"fineprint action");
        hash.update((violation.len() as u64).to_be_bytes());
        hash.update(violation.as_bytes());
        hash.update(number.to_be_bytes());
        ActionId(leading(hash))
    }

    /// Reads 32 hex digits.
    pub fn parse(text: &str) -> Option<ActionId> {
        let fits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        fits.then(|| u128::from_str_radix(text, 16).ok().map(ActionId)).flatten()
    }
}

fn leading(hash: Sha256) -> u128 {
    let mut first = [0; 16];
    first.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    u128::from_be_bytes(first)
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for ActionId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for ActionId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return u128::deserialize(d).map(ActionId);
        }
        let text = String::deserialize(d)?;
        ActionId::parse(&text).ok_or_else(|| serde::de::Error::custom("an action's id is 32 hex digits"))
    }
}

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A rule, by its name.
    Rule(String),
    /// A person, by name.
    Person(String),
    /// Fineprint itself, because time has passed.
    Fineprint,
}

impl Actor {
    /// What kind it is, in records.
    pub fn kind(&self) -> &'static str {
        match self {
            Actor::Rule(_) => "rule",
            Actor::Person(_) => "person",
            Actor::Fineprint => "fineprint",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Actor::Rule(name) | Actor::Person(name) => name,
            Actor::Fineprint => "fineprint",
        }
    }

    /// The actor of this kind and name.
    pub fn from_words(kind: &str, name: &str) -> Option<Actor> {
        match kind {
            "rule" => Some(Actor::Rule(name.to_string())),
            "person" => Some(Actor::Person(name.to_string())),
            "fineprint" => Some(Actor::Fineprint),
            _ => None,
        }
    }
}

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in the log, from 1 and ascending; 0 where no log has numbered it.
    pub seq: u64,
    /// When, by the clock of whoever acted.
    pub at: Timestamp,
    /// Who acted.
    pub actor: Actor,
    /// Which action.
    pub action: ActionId,
    /// What was done.
    pub act: Act,
    /// Why; may be empty where the act itself says it. At most [`REASON_CHARS_MAX`] characters.
    pub reason: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A rule asked for it: the first act of every action.
    Proposed(Box<Proposed>),
    /// A person has to decide first.
    AwaitingReview,
    /// A person approved it.
    Approved,
    /// A person refused it: it never takes effect.
    Refused,
    /// It takes effect later.
    Delayed {
        /// Then.
        until: Timestamp,
    },
    /// It took effect.
    Taken {
        /// It ends then; `None` when somebody releases it.
        until: Option<Timestamp>,
    },
    /// A person moved its end.
    Extended {
        /// It ends then; `None` when somebody releases it.
        until: Option<Timestamp>,
    },
    /// A person ended it.
    Released,
    /// A person released one of those it bears on, for good: not for this action alone but for all of the rule.
    MemberReleased {
        /// Whom.
        member: String,
    },
    /// The finding's group has grown.
    MembersAdded {
        /// By these, sorted.
        members: Vec<String>,
    },
    /// Its time was over.
    Expired {
        /// When it ended.
        until: Timestamp,
    },
    /// A channel was to be told; this is no action that takes effect.
    Alerted(Box<Alert>),
}

impl Act {
    /// The word in records.
    pub fn word(&self) -> &'static str {
        match self {
            Act::Proposed(_) => "proposed",
            Act::AwaitingReview => "awaiting_review",
            Act::Approved => "approved",
            Act::Refused => "refused",
            Act::Delayed { .. } => "delayed",
            Act::Taken { .. } => "taken",
            Act::Extended { .. } => "extended",
            Act::Released => "released",
            Act::MemberReleased { .. } => "member_released",
            Act::MembersAdded { .. } => "members_added",
            Act::Expired { .. } => "expired",
            Act::Alerted(_) => "alerted",
        }
    }

    /// The moment that it names.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Act::Delayed { until } | Act::Expired { until } => Some(*until),
            Act::Taken { until } | Act::Extended { until } => *until,
            _ => None,
        }
    }
}

/// An action as it was proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// The violation it rests on.
    pub violation: String,
    /// What is asked for.
    pub terms: Terms,
    /// Of whom: accounts, keys or organisations by the scope; sorted.
    pub members: Vec<String>,
    /// Whether a person decides first.
    pub review: bool,
    /// How long it waits, once it may take effect.
    pub delay: Option<Duration>,
    /// Why it is not taken; `None` where nothing stands against it.
    pub held: Option<Held>,
}

/// What a channel is told of a violation: once, and again each time its accounts have doubled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The channel, as the rule names it.
    pub channel: String,
    /// The violation.
    pub violation: String,
    /// The rule.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// How many accounts it named then.
    pub n_accounts: u64,
    /// How many it named when the channel was last told of it; `None` the first time.
    pub before: Option<u64>,
    /// Not before this moment.
    pub not_before: Timestamp,
}

impl Entry {
    /// What makes it the same act as another on the same action: a log keeps the first of those that agree in it.
    pub fn once(&self) -> String {
        let word = self.act.word();
        match &self.act {
            Act::Proposed(_)
            | Act::AwaitingReview
            | Act::Refused
            | Act::Delayed { .. }
            | Act::Taken { .. }
            | Act::Released => word.to_string(),
            Act::Approved => format!("{word} {}", self.actor.name()),
            Act::Extended { until } => format!("{word} {} {}", self.at.0, until.map_or(i64::MAX, |u| u.0)),
            Act::MemberReleased { member } => format!("{word} {member}"),
            Act::MembersAdded { members } => {
                let mut hash = Sha256::new();
                for member in members {
                    hash.update((member.len() as u64).to_be_bytes());
                    hash.update(member.as_bytes());
                }
                format!("{word} {:032x}", leading(hash))
            }
            Act::Expired { until } => format!("{word} {}", until.0),
            Act::Alerted(alert) => format!("{word} {}", alert.n_accounts),
        }
    }

    /// What a channel is to be told, where the entry says that.
    pub fn alert(&self) -> Option<&Alert> {
        match &self.act {
            Act::Alerted(alert) => Some(alert),
            _ => None,
        }
    }
}

/// A text cut to the characters of a reason.
pub(super) fn cut(text: &str) -> String {
    if text.chars().count() <= REASON_CHARS_MAX {
        return text.to_string();
    }
    text.chars().take(REASON_CHARS_MAX - 1).chain(['…']).collect()
}
