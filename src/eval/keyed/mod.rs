//! The evaluator cut into keyed steps, for a host that keeps nothing but bytes per key: a distributed engine, or workers
//! over a partitioned log. [`KeyedRouter::route`] makes of an event the records that it concerns, [`Keyed::step`] makes of
//! the bytes of one partition and a record, or of the passing of time, the bytes afterwards, further records, findings, and
//! when it is to be called next. Nothing is remembered between calls.
//!
//! Partitions of three kinds stand behind each other, without a way back: events by id (copies and conflicts, and the rules
//! on single events), then the units of the rules (windows, sequences, memory, links), then the budgets of actions. A host
//! brings a watermark to those of one kind when all before have been brought there, as every stream engine does.
//!
//! What a host must promise and what it gets is in `docs/embedding.md`.

mod bytes;
mod front;
mod ids;
mod merge;
mod outcomes;
mod record;
mod unit;
mod units;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

pub use self::bytes::STATE_VERSION;
pub(super) use self::front::Released;
pub use self::front::Shards;
pub use self::merge::Merged;
pub use self::record::{KeyedRouter, RECORD_VERSION};

use self::units::Units;
use super::outcome::Names;
use super::{EvalOptions, Evaluator, Outcome, Refused};
use crate::plan::RuleSet;
use crate::time::{SECOND_NS, Timestamp};
use crate::violation::Violation;

/// Most events that one partition cut by key holds for evidence. Above it the oldest are forgotten: counts stay exact,
/// evidence names fewer events and says so.
pub const KEYED_EVENTS_HELD_MAX: usize = 1 << 14;

/// What a partition is of; in the order in which a watermark reaches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PartitionKind {
    /// Events by id: copies and conflicting records meet here.
    Ids,
    /// A rule, or rules that share a state, by number; see [`Keyed::units`].
    Unit(u32),
    /// The action budget of a rule, by its number.
    Budget(u32),
}

/// Where a record belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// What it is of.
    pub kind: PartitionKind,
    /// Hash of the key within; 0 where it is not cut by key. Two keys of one hash share a state and stay apart in it.
    pub key: u64,
}

impl Partition {
    /// The partition with only `bits` of its key: fewer and larger states, the same findings. A host decides once; states of
    /// different cuts do not go together.
    pub fn coarse(self, bits: u32) -> Partition {
        let kept = 1u64.checked_shl(bits).map_or(u64::MAX, |n| n - 1);
        Partition { key: self.key & kept, ..self }
    }
}

/// A record on its way to a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it belongs.
    pub partition: Partition,
    /// To be handed to [`Keyed::step`] as it is.
    pub bytes: Vec<u8>,
}

/// What comes to a partition.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A record; it must not lie before the watermark, but for those of ids.
    Record(&'a [u8]),
    /// The watermark that is given: everything before it has come.
    Advance,
}

/// What a step makes of its input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// The bytes to keep; `None` where there is nothing to remember.
    pub state: Option<Vec<u8>>,
    /// Records for other partitions, all of a later kind.
    pub records: Vec<Record>,
    /// Violations opened, updated or closed; a later state of the same id replaces an earlier one.
    pub violations: Vec<Violation>,
    /// Call with [`Input::Advance`] once the watermark has come here; replaces what was said before. `None` for never.
    pub timer: Option<Timestamp>,
    /// Of partitions of ids: what became of the event.
    pub outcome: Option<Outcome>,
    /// Of partitions of ids: records that had been taken in and are refused now.
    pub refused: Vec<Refused>,
    /// Per rule, how many more events could not be decided because a field was missing.
    pub undecided: Vec<(String, u64)>,
}

/// Why a partition is not cut by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// Groups of accounts come and go with every event: a link is one state.
    Link,
    /// A series is of the whole fleet, and the rules that ask it are judged beside it.
    Series,
    /// Whether something is new rests on when memory began and on what it has forgotten, for all values alike.
    Memory,
    /// A cohort is made of groups of many keys.
    Cohort,
    /// Keys of which an event has several are merged where they are one campaign, and share their room.
    Several,
}

/// One unit of the rules, as an operator wants to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitTold {
    /// Its number in [`PartitionKind::Unit`].
    pub number: u32,
    /// Its rules; other rules of the same definition included.
    pub rules: Vec<String>,
    /// Why it is one partition; `None` where it is cut by key.
    pub whole: Option<Whole>,
}

/// Why a step, a merge or a record was refused. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyedError {
    /// Written by another version of the program.
    #[error(
        "{what} has version {found}, this program reads version {reads}; finish it with the program that wrote it, or start from the events"
    )]
    Version {
        /// "the state of a partition" or "a record".
        what: &'static str,
        /// As written.
        found: u16,
        /// As read.
        reads: u16,
    },
    /// Of other rules, lists, registry or options.
    #[error("{0} belongs to other rules, lists, registry or options")]
    OtherRules(&'static str),
    /// Not what was written.
    #[error("{0} is damaged: {1}")]
    Damaged(&'static str, String),
    /// There is no such partition.
    #[error("the rules have no partition {0:?}")]
    NoPartition(PartitionKind),
    /// A record came after its moment was judged: it was delivered twice, or the watermark was wrong.
    #[error(
        "a record of {at} for {partition:?} comes after everything before {judged} was judged; deliver records once, and the watermark behind them"
    )]
    Behind {
        /// Where.
        partition: Partition,
        /// Time of the record.
        at: Timestamp,
        /// What had been judged.
        judged: Timestamp,
    },
    /// Both states have been judged on events of their own.
    #[error(
        "two states of {0:?} have both been judged and cannot be told as one; merge what has been split off before it is advanced"
    )]
    Judged(Partition),
}

/// Rules, ready to be stepped by key.
#[derive(Debug)]
pub struct Keyed {
    rules: Arc<RuleSet>,
    options: EvalOptions,
    units: Units,
    names: Names,
    /// What states and records are pinned to.
    signature: u64,
}

impl Keyed {
    /// Rules as keyed steps. Of the options, the lateness is the host's: it sets the watermark.
    pub fn new(rules: Arc<RuleSet>, options: EvalOptions) -> Keyed {
        let units = Units::new(&rules);
        let EvalOptions { future, as_of, memory_sightings, link_edges, link_pairs, .. } = &options;
        let secret = options.delay_secret.as_ref().map(|s| s.fingerprint());
        let bundle = rules.bundle_hash();
        let signed = format!("{bundle} {future:?} {as_of:?} {memory_sightings} {link_edges} {link_pairs} {secret:?}");
        let names = Arc::clone(super::Outcomes::new(&rules).names());
        Keyed { units, names, signature: xxh3_64(signed.as_bytes()), rules, options }
    }

    /// The units of the rules. Rules on single events that ask no memory are of none.
    pub fn units(&self) -> Vec<UnitTold> {
        let told = |(number, unit): (usize, &units::Unit)| {
            let rules = unit.rules.iter().flat_map(|leader| self.rules.members(*leader));
            let rules = rules.map(|(rule, _)| rule.name.clone()).collect();
            UnitTold { number: number as u32, rules, whole: unit.whole }
        };
        self.units.all.iter().enumerate().map(told).collect()
    }

    /// Brings one partition on: `state` is what it was left with, nothing where it was never stepped or left nothing.
    /// `watermark`: no event before it will come any more.
    ///
    /// # Errors
    /// Bytes of another version, of other rules or damaged; a record behind what was judged. The state is as before.
    pub fn step(
        &self,
        partition: Partition,
        state: Option<&[u8]>,
        input: Input<'_>,
        watermark: Timestamp,
    ) -> Result<Step, KeyedError> {
        self.step_in(&mut None, partition, state, input, watermark)
    }

    fn step_in(
        &self,
        room: &mut Option<Evaluator>,
        partition: Partition,
        state: Option<&[u8]>,
        input: Input<'_>,
        watermark: Timestamp,
    ) -> Result<Step, KeyedError> {
        match partition.kind {
            PartitionKind::Ids => self.step_ids(state, input, watermark.0),
            PartitionKind::Unit(number) => {
                let unit = self.units.get(number).ok_or(KeyedError::NoPartition(partition.kind))?;
                match input {
                    Input::Record(record) => self.take_record((partition, unit), state, record),
                    Input::Advance => self.advance_unit(room, unit, state, watermark.0),
                }
            }
            PartitionKind::Budget(number) => match input {
                Input::Record(record) => self.take_finding(number, state, record),
                Input::Advance => self.spend(number, state, watermark.0),
            },
        }
    }

    /// When a partition is to be called next, by its bytes: a host need not keep timers apart.
    ///
    /// # Errors
    /// Bytes that [`Keyed::step`] would refuse.
    pub fn timer(&self, state: &[u8]) -> Result<Option<Timestamp>, KeyedError> {
        self.parts(Some(state)).map(|parts| bytes::told(parts.head.timer))
    }

    /// What the findings of a step become: settled at once, or a record for the budget of their rule.
    fn settle(&self, memories: &super::Memories, found: Vec<Violation>, step: &mut Step) -> Result<(), KeyedError> {
        if found.is_empty() {
            return Ok(());
        }
        let mut outcomes = super::Outcomes::sharing(&self.names);
        let mut found = found;
        outcomes.note_lost(&self.rules, memories, &mut found);
        outcomes.decide_all(&self.rules, self.options.delay_secret.as_ref(), false, &mut found);
        for v in found {
            match outcomes.budget_of(&self.rules, &v) {
                Some(number) => step.records.push(self.finding_record(number, &v)?),
                None => step.violations.push(v),
            }
        }
        Ok(())
    }
}

/// Steps one after the other on one thread, in memory that is used again. What a step gives depends on what it is given
/// alone, as with [`Keyed::step`].
#[derive(Debug)]
pub struct Stepper {
    keyed: Arc<Keyed>,
    room: Option<Evaluator>,
}

impl Stepper {
    /// Steps of these rules.
    pub fn new(keyed: Arc<Keyed>) -> Stepper {
        Stepper { keyed, room: None }
    }

    /// As [`Keyed::step`].
    ///
    /// # Errors
    /// As [`Keyed::step`].
    pub fn step(
        &mut self,
        partition: Partition,
        state: Option<&[u8]>,
        input: Input<'_>,
        watermark: Timestamp,
    ) -> Result<Step, KeyedError> {
        self.keyed.step_in(&mut self.room, partition, state, input, watermark)
    }
}

/// The whole second that a moment lies in, or its beginning.
fn floor(ts: i64) -> i64 {
    ts.div_euclid(SECOND_NS).saturating_mul(SECOND_NS)
}

/// The first whole second after a moment: once the watermark is there, events of the moment are taken.
fn after(ts: i64) -> i64 {
    floor(ts).saturating_add(SECOND_NS)
}

/// The first whole second not before a moment.
fn ceil(ts: i64) -> i64 {
    let second = floor(ts);
    if second < ts { second.saturating_add(SECOND_NS) } else { second }
}
