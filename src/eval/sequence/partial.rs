//! A partial match: how far a sequence has come from one first event, and what an event does to it.

use serde::{Deserialize, Serialize};

use crate::eval::footprint::HeapBytes;
use crate::eval::intern::Interner;
use crate::eval::route::{HEADER, word_value};
use crate::event::FieldId;
use crate::plan::rule::Key;
use crate::plan::scalar::{Env, Val};
use crate::plan::sequence::{OWN, SequencePlan};
use crate::time::Timestamp;
use crate::value::{Truth, Value};

/// The lane of events that no exception takes out.
pub(super) const NET: u8 = 1;
/// The lane of all events.
pub(super) const RAW: u8 = 2;

/// An event as it is applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Applied<'a> {
    pub(crate) ts: i64,
    pub(crate) id: &'a str,
    pub(crate) content: u128,
    /// Symbol of the account.
    pub(crate) account: u64,
    pub(crate) record: &'a [u64],
}

impl Applied<'_> {
    /// The exceptions that take it out, as bits.
    pub(super) fn exceptions(&self) -> u32 {
        (self.record.first().copied().unwrap_or(0) >> 32) as u32
    }

    fn slot(&self, s: &SequencePlan, slot: u16) -> Option<u64> {
        let known = self.record.get(2).copied().unwrap_or(0);
        let word = self.record.get(HEADER + s.per.len() + usize::from(slot)).copied();
        word.filter(|_| known & (1 << (slot & 63)) != 0)
    }
}

/// An event that a match rests on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Taken {
    pub(super) ts: i64,
    pub(super) id: Box<str>,
    pub(super) content: u128,
    pub(super) account: u64,
    pub(super) exceptions: u32,
}

/// A match that is not yet whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Partial {
    /// In which lanes it lives.
    pub(super) lanes: u8,
    /// The step that must happen next; the number of steps where only absent ones are left.
    awaited: u16,
    /// How often it has happened.
    count: u32,
    /// Time of the first event, and of the last of the step before the awaited one.
    first: i64,
    prev: i64,
    /// What later steps and the record need of the events.
    pub(super) values: Vec<Option<u64>>,
    pub(super) taken: Vec<Taken>,
}

/// An event at hand, and what it is held against.
pub(super) struct Hand<'a> {
    pub(super) s: &'a SequencePlan,
    pub(super) interner: &'a Interner,
    pub(super) e: &'a Applied<'a>,
}

impl<'a> Hand<'a> {
    pub(super) fn env(&self, partial: Option<&'a Partial>, key: &'a Key) -> StepEnv<'a> {
        StepEnv { s: self.s, key, interner: self.interner, at: self.e.ts, partial, event: Some(self.e) }
    }
}

/// What an event does to a partial match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    /// What must not happen happened.
    Ends,
    Takes,
}

/// An event held against a partial match, as the environment of expressions.
pub(super) struct StepEnv<'a> {
    pub(super) s: &'a SequencePlan,
    pub(super) key: &'a Key,
    pub(super) interner: &'a Interner,
    pub(super) at: i64,
    pub(super) partial: Option<&'a Partial>,
    /// The event at hand; none where a match is told.
    pub(super) event: Option<&'a Applied<'a>>,
}

impl Env for StepEnv<'_> {
    fn field(&self, _: FieldId) -> Value<'_> {
        Value::Unknown
    }

    fn aggregate(&self, _: u16) -> Val<'_> {
        Val::Unknown
    }

    fn key(&self, index: u16) -> Val<'_> {
        let at = usize::from(index);
        match (self.key.get(at), self.s.per.get(at)) {
            (Some(word), Some(part)) => word_value(*word, &part.ty, self.interner),
            _ => Val::Unknown,
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp(self.at)
    }

    fn slot(&self, step: u16, slot: u16) -> Val<'_> {
        let word = if step == OWN {
            self.event.and_then(|e| e.slot(self.s, slot))
        } else {
            self.s.steps.get(usize::from(step)).and_then(|step| {
                let place = step.kept.iter().position(|kept| *kept == slot)?;
                self.partial?.values.get(step.offset + place).copied().flatten()
            })
        };
        match (word, self.s.slots.get(usize::from(slot))) {
            (Some(word), Some(plan)) => word_value(word, plan.ty(), self.interner),
            _ => Val::Unknown,
        }
    }
}

impl StepEnv<'_> {
    /// Whether the event at hand is a step.
    pub(super) fn truth(&self, step: usize) -> Truth {
        let bits = self.event.and_then(|e| e.record.get(1).copied()).unwrap_or(0);
        let alone = if bits & (1 << (step & 31)) != 0 {
            Truth::True
        } else if bits & (1 << (32 + (step & 31))) != 0 {
            Truth::Unknown
        } else {
            return Truth::False;
        };
        match self.s.steps.get(step).and_then(|s| s.across.as_ref()) {
            None => alone,
            Some(across) => alone.and(across.eval(self)),
        }
    }
}

impl Partial {
    /// A partial match that begins with an event.
    pub(super) fn begin(s: &SequencePlan, e: &Applied<'_>, lanes: u8) -> Partial {
        let mut begun = Partial {
            lanes,
            awaited: 0,
            count: 0,
            first: e.ts,
            prev: e.ts,
            values: vec![None; s.n_kept],
            taken: Vec::with_capacity(2),
        };
        begun.take(s, e);
        begun
    }

    /// The same partial match in other lanes.
    pub(super) fn in_lanes(&self, lanes: u8) -> Partial {
        Partial { lanes, ..self.clone() }
    }

    /// Takes an event as the awaited step; whether the match is whole with it.
    pub(super) fn take(&mut self, s: &SequencePlan, e: &Applied<'_>) -> bool {
        let (ts, content, account) = (e.ts, e.content, e.account);
        self.taken.push(Taken { ts, id: e.id.into(), content, account, exceptions: e.exceptions() });
        self.count += 1;
        let Some(step) = s.steps.get(usize::from(self.awaited)) else { return false };
        if self.count < step.times {
            return false;
        }
        for (place, slot) in step.kept.iter().enumerate() {
            if let Some(value) = self.values.get_mut(step.offset + place) {
                *value = e.slot(s, *slot);
            }
        }
        self.count = 0;
        self.prev = ts;
        self.awaited += 1;
        while s.steps.get(usize::from(self.awaited)).is_some_and(|s| s.absent) {
            self.awaited += 1;
        }
        self.is_waiting_out(s) && s.steps.last().is_none_or(|last| !last.absent)
    }

    /// Whether everything that must happen has happened.
    pub(super) fn is_waiting_out(&self, s: &SequencePlan) -> bool {
        usize::from(self.awaited) >= s.steps.len()
    }

    /// Whether an excepted event is part of it.
    pub(super) fn is_excepted(&self) -> bool {
        self.taken.iter().any(|t| t.exceptions != 0)
    }

    /// The absent steps before the awaited one.
    fn forbidden(&self, s: &SequencePlan) -> impl Iterator<Item = usize> {
        let awaited = usize::from(self.awaited).min(s.steps.len());
        let n = s.steps.iter().take(awaited).rev().take_while(|step| step.absent).count();
        awaited - n..awaited
    }

    /// The last moment at which an absent step is forbidden.
    fn forbidden_until(&self, s: &SequencePlan, step: usize) -> i64 {
        match s.steps.get(step).and_then(|s| s.within) {
            Some(within) => self.prev.saturating_add(within),
            None => self.first.saturating_add(s.within),
        }
    }

    /// The last moment at which the awaited step is in time; of one that waits out, that at which it is whole.
    pub(super) fn until(&self, s: &SequencePlan) -> i64 {
        if self.is_waiting_out(s) {
            return self.forbidden(s).map(|step| self.forbidden_until(s, step)).max().unwrap_or(self.prev);
        }
        let whole = self.first.saturating_add(s.within);
        match s.steps.get(usize::from(self.awaited)).and_then(|step| step.within) {
            Some(within) => whole.min(self.prev.saturating_add(within)),
            None => whole,
        }
    }

    /// What an event does to it. A forbidden event of which it is unknown whether it is one ends it too: that something did
    /// not happen must be certain.
    pub(super) fn fate(&self, env: &StepEnv<'_>, undecided: &mut bool) -> Fate {
        for step in self.forbidden(env.s).filter(|step| env.at <= self.forbidden_until(env.s, *step)) {
            match env.truth(step) {
                Truth::False => {}
                truth => {
                    *undecided |= truth == Truth::Unknown;
                    return Fate::Ends;
                }
            }
        }
        if self.is_waiting_out(env.s) {
            return Fate::Stays;
        }
        match env.truth(usize::from(self.awaited)) {
            Truth::True => Fate::Takes,
            Truth::Unknown => {
                *undecided = true;
                Fate::Stays
            }
            Truth::False => Fate::Stays,
        }
    }
}

impl HeapBytes for Partial {
    fn heap_bytes(&self) -> usize {
        self.values.heap_bytes() + self.taken.heap_bytes() + self.taken.iter().map(|t| t.id.len()).sum::<usize>()
    }
}
