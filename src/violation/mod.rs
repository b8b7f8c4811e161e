//! The record of a violation: which rule and clause, which group, when, the values beside their thresholds, and the events
//! it rests on. Observation only: never an actor's name, never prompt text. Knows no evaluator and no store.

mod action;
mod erased;
mod link;
mod record;

pub use action::{Proposal, Withheld};
pub use erased::{Erasure, erased, holds, rename_all, renamed};
pub use link::{EVIDENCE_EDGES_COUNTED_MAX, EVIDENCE_EDGES_MAX, LinkEdge, LinkEvidence, Merged};
pub use record::{Record, to_json};

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hir::{Confidence, Mode, Severity};
use crate::time::Timestamp;
use crate::value::Type;

/// Most event ids listed in full; above it the record lists samples and says so.
pub const EVIDENCE_EVENTS_MAX: usize = 1_000;
/// Above the bound: events listed from the beginning.
pub const EVIDENCE_FIRST: usize = 20;
/// Above the bound: events listed up to the crossing.
pub const EVIDENCE_CROSSING: usize = 20;
/// Above the bound: events sampled from all, by the least hash of their leaf, so that the sample does not depend on order.
pub const EVIDENCE_SAMPLE: usize = 60;
/// Above the bound: events listed from the end.
pub const EVIDENCE_LAST: usize = 20;

/// Where a violation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// The condition holds, or the input ended while it held.
    Open,
    /// The condition ceased to hold.
    Closed,
    /// It would have been a violation without an exception.
    Exempted,
    /// Its group became part of another; see that violation.
    Merged,
}

impl Status {
    /// All.
    pub const ALL: [Status; 4] = [Status::Open, Status::Closed, Status::Exempted, Status::Merged];

    /// The word in records.
    pub fn word(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Closed => "closed",
            Status::Exempted => "exempted",
            Status::Merged => "merged",
        }
    }

    /// The status with this word.
    pub fn from_word(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|s| s.word() == word)
    }
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// 32 hex digits: the first half of SHA-256 over rule name, rule hash, group key and first true step (or event id; of a
    /// sequence the moment at which the first match was whole).
    pub id: String,
    /// Name of the rule.
    pub rule: String,
    /// SHA-256 of the rule's canonical text.
    pub rule_hash: String,
    /// The clauses it enforces, each in the version in force when it opened. The first is the one shown in lists.
    pub clauses: Vec<Enforced>,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// What the rule may do.
    pub mode: Mode,
    /// Where it stands.
    pub status: Status,
    /// End of the first true step, or the event's time, or when the first match of a sequence was whole.
    pub opened_at: Timestamp,
    /// End of the last true step.
    pub updated_at: Timestamp,
    /// End of the step at which it was closed.
    pub closed_at: Option<Timestamp>,
    /// The id of the violation that it became part of, where it is [`Status::Merged`] and there is one under way.
    pub merged_into: Option<String>,
    /// The group: name of each part as the author wrote it, and its value. Empty for a rule over everything. For a single event
    /// the account, and `api_key_id` and `org` where an action of the rule is asked for of a key or organisation.
    pub group: Vec<(String, String)>,
    /// `[start, end)` of the first true window; `None` for a single event or a sequence.
    pub window: Option<(Timestamp, Timestamp)>,
    /// Every account that contributed while true, sorted.
    pub accounts: Vec<String>,
    /// Named values, in the rule's order.
    pub values: Vec<Observed>,
    /// The events it rests on.
    pub evidence: Evidence,
    /// What ties its accounts, where they are a link group.
    pub link: Option<Box<LinkEvidence>>,
    /// The rule's exceptions and what they took out.
    pub exceptions: Vec<Considered>,
    /// The rule's actions, in its order: proposed, or withheld and why.
    pub actions: Vec<Proposal>,
    /// The reason, with the values at crossing.
    pub because: String,
    /// Known innocent look-alikes.
    pub mistaken_for: Vec<String>,
}

impl Violation {
    /// Notes since when something that the rule needs had to be forgotten, if that was before the violation opened.
    pub(crate) fn cut_since(&mut self, since: Option<i64>) {
        if let Some(since) = since.map(Timestamp).filter(|since| *since < self.opened_at) {
            self.evidence.memory_cut_since =
                Some(self.evidence.memory_cut_since.map_or(since, |known| known.min(since)));
        }
    }
}

/// A clause in the version that was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    /// `provider.document`.
    pub policy: String,
    /// Date of the document.
    pub version: String,
    /// Name of the clause.
    pub clause: String,
    /// Section as the document numbers it.
    pub section: String,
    /// What it says, in our words.
    pub says: String,
    /// Since when it is in force.
    pub from: Timestamp,
    /// Whether it was in force when the violation opened. A rule may outlive its clause; the record says so.
    pub in_force: bool,
}

/// A value that was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Name in the rule.
    pub name: String,
    /// Type, for printing.
    pub ty: Type,
    /// At the first true step; `None` is unknown.
    pub crossing: Option<Scalar>,
    /// The greatest (for an upper limit: the least) over all true steps.
    pub peak: Option<Scalar>,
    /// At the last true step.
    pub last: Option<Scalar>,
    /// What it is held against in `when`: operator and bound, where it is compared with a constant.
    #[serde(with = "operator")]
    pub threshold: Option<(&'static str, Scalar)>,
    /// The aggregates in it that were estimates at a true step; empty where the value is exact.
    pub estimates: Vec<Estimate>,
}

/// An aggregate that was estimated, and how far it may be off.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Estimate {
    /// Its word in the language.
    pub aggregate: String,
    /// How far it may be off.
    pub bound: Bound,
}

/// How far an estimate may be off. Errors are relative, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Bound {
    /// Never by more than this.
    Within(u32),
    /// By no more than this in two of three cases, and by no more than three times this but in one of 300.
    StandardError(u32),
    /// The true value is this or smaller.
    AtMost,
    /// The true value is this or greater.
    AtLeast,
    /// It is that of a sample of so many events.
    Sample(u32),
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (words, error) = match self {
            Bound::Within(error) => ("within ", error),
            Bound::StandardError(error) => ("standard error ", error),
            Bound::AtMost => return f.write_str("at most"),
            Bound::AtLeast => return f.write_str("at least"),
            Bound::Sample(n) => return write!(f, "of a sample of {n}"),
        };
        f.write_str(words)?;
        crate::value::write_number(f, &Type::Percentage, i64::from(*error))
    }
}

/// A value of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// A number in the unit of its type.
    Num(i64),
    /// Any text.
    Text(String),
}

/// The events a violation rests on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// How many events contributed while true.
    pub count: u64,
    /// Merkle root (RFC 6962 tree over SHA-256) over the leaves of all of them in order of (time, id); lower-case hex.
    pub root: String,
    /// All of them up to [`EVIDENCE_EVENTS_MAX`], else samples; in order of (time, id).
    pub events: EventRefs,
    /// Whether `events` lists all.
    pub complete: bool,
    /// How many of them were forgotten for want of room before it opened: the root does not cover those, and none is listed.
    pub forgotten: u64,
    /// Events whose filter or exception could not be decided because a field was missing.
    pub undecided: u64,
    /// Since when the memory that the rule asks, or the windows of its keys, had to forget something for want of room, if that
    /// was before it opened.
    pub memory_cut_since: Option<Timestamp>,
    /// When groups last went for want of room, if that was within its windows and this one may have been among them: what it
    /// had counted before is missing.
    pub state_cut_at: Option<Timestamp>,
}

/// Contributing events. Shared: the violations of several rules of one definition name the same ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventRefs(Arc<[EventRef]>);

impl Deref for EventRefs {
    type Target = [EventRef];

    fn deref(&self) -> &[EventRef] {
        &self.0
    }
}

impl FromIterator<EventRef> for EventRefs {
    fn from_iter<I: IntoIterator<Item = EventRef>>(events: I) -> Self {
        EventRefs(events.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a EventRefs {
    type Item = &'a EventRef;
    type IntoIter = std::slice::Iter<'a, EventRef>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl Serialize for EventRefs {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de> Deserialize<'de> for EventRefs {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(EventRefs(Vec::<EventRef>::deserialize(d)?.into()))
    }
}

/// A contributing event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRef {
    /// Its id.
    pub id: String,
    /// When it happened.
    pub ts: Timestamp,
    /// Why it is listed.
    pub role: Role,
}

/// Why an event is listed; the first that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// All are listed.
    All,
    /// Among the first.
    First,
    /// Among the last before the crossing.
    Crossing,
    /// Among the last.
    Last,
    /// Sampled.
    Sample,
}

impl Role {
    /// The word in records.
    pub fn word(self) -> &'static str {
        match self {
            Role::All => "all",
            Role::First => "first",
            Role::Crossing => "crossing",
            Role::Sample => "sample",
            Role::Last => "last",
        }
    }
}

/// An exception that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// Why it exists.
    pub because: String,
    /// Who answers for it.
    pub owner: String,
    /// Contract or ticket.
    pub evidence: String,
    /// How many events of the first true window it took out.
    pub took_out: u64,
}

/// Operators are a fixed set of words; a snapshot holds them as text.
mod operator {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Scalar;

    const OPERATORS: [&str; 6] = ["=", "!=", "<", "<=", ">", ">="];

    pub(super) fn serialize<S: Serializer>(v: &Option<(&'static str, Scalar)>, s: S) -> Result<S::Ok, S::Error> {
        v.serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<(&'static str, Scalar)>, D::Error> {
        let read: Option<(String, Scalar)> = Option::deserialize(d)?;
        match read {
            None => Ok(None),
            Some((op, bound)) => match OPERATORS.iter().find(|o| **o == op) {
                Some(op) => Ok(Some((op, bound))),
                None => Err(serde::de::Error::custom("unknown operator")),
            },
        }
    }
}
