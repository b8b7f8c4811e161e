//! What was seen before: per question, when each value was last sighted. Asked and fed in order of (time, id), behind the
//! watermark, so an answer is a function of the set of events. Values go by a hash of their bytes; no text is kept.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::footprint::HeapBytes;
use crate::plan::memory::{AskPlan, QuestionPlan};
use crate::value::Truth;

/// Most sightings that one question remembers. Above it those that were longest not seen again are forgotten: answers that
/// would rest on them become unknown, and findings after that say so.
pub const MEMORY_SIGHTINGS_MAX: usize = 1_000_000;

/// A question of one event, with all operands known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ask {
    /// Which question.
    pub(crate) question: u16,
    /// Hash of the value; of the value together with whom it is new for.
    pub(crate) value: u128,
    /// Hash of the second operand.
    pub(crate) by: u128,
}

/// A value that was seen.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Sighting {
    value: u128,
    /// Time of the first sighting.
    first: i64,
    /// Time of the latest.
    last: i64,
    /// By whom the latest was.
    by: u128,
    /// Time of the latest by anyone else; `i64::MIN` for none.
    other: i64,
    /// Neighbours in order of the latest sighting.
    older: u32,
    newer: u32,
}

/// No neighbour.
const NONE: u32 = u32::MAX;

/// The memory of one question: a map from values to sightings that are also chained by their latest sighting, so that
/// feeding it, forgetting what is too old and making room each take constant time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Store {
    sightings: Vec<Sighting>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    /// Time of the first event that was fed.
    begins: Option<i64>,
    /// How many sightings were forgotten for want of room, and the latest time among them.
    lost: u64,
    lost_until: i64,
    /// Time of the event for which the first of them had to go.
    lost_since: Option<i64>,
    #[serde(skip)]
    slots: HashTable<u32>,
}

impl Store {
    fn new() -> Store {
        Store {
            sightings: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            begins: None,
            lost: 0,
            lost_until: i64::MIN,
            lost_since: None,
            slots: HashTable::new(),
        }
    }

    /// The answer for an event at `ts`; everything earlier has been fed.
    fn answer(&self, question: &QuestionPlan, ask: &Ask, ts: i64) -> Truth {
        let from = ts.saturating_sub(question.within);
        let seen = self.get(ask.value);
        // What says that something is new needs a memory that reaches back as far as it is asked.
        let reaches = self.begins.is_some_and(|begins| begins <= from) && self.lost_until < from;
        let is_new = || if reaches { Truth::True } else { Truth::Unknown };
        match question.ask {
            AskPlan::SeenBefore => Truth::from(seen.is_some_and(|s| s.last >= from)),
            AskPlan::SeenBeforeBy => {
                let by_another = |s: &Sighting| if s.by == ask.by { s.other } else { s.last };
                Truth::from(seen.is_some_and(|s| by_another(s) >= from))
            }
            AskPlan::FirstSeen if seen.is_some_and(|s| s.first < from) => Truth::False,
            AskPlan::FirstSeen => is_new(),
            // Of someone who has not been seen within the time, everything would be new.
            AskPlan::NewFor if self.get(ask.by).is_none_or(|s| s.last < from) => Truth::Unknown,
            AskPlan::NewFor if seen.is_some_and(|s| s.last >= from) => Truth::False,
            AskPlan::NewFor => is_new(),
            AskPlan::Outage(_) => Truth::Unknown,
        }
    }

    fn feed(&mut self, question: &QuestionPlan, ask: &Ask, ts: i64, most: usize) {
        self.begins.get_or_insert(ts);
        if question.ask == AskPlan::NewFor {
            self.sight(ask.by, 0, ts, most);
        }
        self.sight(ask.value, ask.by, ts, most);
    }

    /// Forgets what is older than is ever asked for.
    fn expire(&mut self, before: i64) {
        while let Some(s) = self.sightings.get(self.oldest as usize).copied().filter(|s| s.last < before) {
            self.forget(self.oldest, s.value);
        }
    }

    fn sight(&mut self, value: u128, by: u128, ts: i64, most: usize) {
        if let Some(slot) = self.slot(value) {
            self.unchain(slot);
            if let Some(s) = self.sightings.get_mut(slot as usize) {
                if s.by != by {
                    s.other = s.last;
                    s.by = by;
                }
                s.last = ts;
            }
            self.chain(slot);
            return;
        }
        if self.slots.len() >= most.max(1)
            && let Some(s) = self.sightings.get(self.oldest as usize).copied()
        {
            self.lost += 1;
            self.lost_until = self.lost_until.max(s.last);
            self.lost_since.get_or_insert(ts);
            self.forget(self.oldest, s.value);
        }
        let fresh = Sighting { value, first: ts, last: ts, by, other: i64::MIN, older: NONE, newer: NONE };
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.sightings.get_mut(slot as usize) {
                    *place = fresh;
                }
                slot
            }
            None => {
                self.sightings.push(fresh);
                u32::try_from(self.sightings.len() - 1).unwrap_or(NONE)
            }
        };
        let sightings = &self.sightings;
        self.slots.insert_unique(spread(value), slot, |n| spread(value_of(sightings, *n)));
        self.chain(slot);
    }

    fn slot(&self, value: u128) -> Option<u32> {
        self.slots.find(spread(value), |n| value_of(&self.sightings, *n) == value).copied()
    }

    fn get(&self, value: u128) -> Option<&Sighting> {
        self.slot(value).and_then(|slot| self.sightings.get(slot as usize))
    }

    fn forget(&mut self, slot: u32, value: u128) {
        self.unchain(slot);
        if let Ok(entry) = self.slots.find_entry(spread(value), |n| *n == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }

    /// Puts a sighting at the new end of the chain.
    fn chain(&mut self, slot: u32) {
        let before = self.newest;
        if let Some(s) = self.sightings.get_mut(slot as usize) {
            (s.older, s.newer) = (before, NONE);
        }
        match self.sightings.get_mut(before as usize) {
            Some(s) => s.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }

    fn unchain(&mut self, slot: u32) {
        let Some((older, newer)) = self.sightings.get(slot as usize).map(|s| (s.older, s.newer)) else { return };
        match self.sightings.get_mut(older as usize) {
            Some(s) => s.newer = newer,
            None => self.oldest = newer,
        }
        match self.sightings.get_mut(newer as usize) {
            Some(s) => s.older = older,
            None => self.newest = older,
        }
    }

    fn rebuild(&mut self) {
        self.slots = HashTable::with_capacity(self.sightings.len());
        let (sightings, mut at) = (&self.sightings, self.oldest);
        while let Some(s) = sightings.get(at as usize) {
            self.slots.insert_unique(spread(s.value), at, |n| spread(value_of(sightings, *n)));
            at = s.newer;
        }
    }
}

/// The values are hashes already.
fn spread(value: u128) -> u64 {
    value as u64
}

fn value_of(sightings: &[Sighting], slot: u32) -> u128 {
    sightings.get(slot as usize).map_or(0, |s| s.value)
}

/// The memories of all questions of a rule set.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memories {
    stores: Vec<Store>,
}

impl Memories {
    pub(crate) fn new(questions: usize) -> Memories {
        Memories { stores: (0..questions).map(|_| Store::new()).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.stores.len()
    }

    /// The answers to the questions of one event at `ts`, and its own sightings remembered after that. Each memory holds
    /// at most `most` sightings. What is asked of a series, by its number and key, `outage` answers.
    pub(crate) fn ask(
        &mut self,
        questions: &[QuestionPlan],
        asks: &[Ask],
        ts: i64,
        most: usize,
        outage: impl Fn(usize, u128) -> Truth,
    ) -> Vec<Truth> {
        let mut answers = Vec::with_capacity(asks.len());
        for ask in asks {
            let at = usize::from(ask.question);
            let (Some(store), Some(question)) = (self.stores.get_mut(at), questions.get(at)) else {
                answers.push(Truth::Unknown);
                continue;
            };
            if let AskPlan::Outage(series) = question.ask {
                answers.push(outage(series, ask.value));
                continue;
            }
            store.expire(ts.saturating_sub(question.keep));
            answers.push(store.answer(question, ask, ts));
            store.feed(question, ask, ts, most);
        }
        answers
    }

    /// Takes the memory of a question out.
    pub(crate) fn take(&mut self, question: usize) -> Option<Store> {
        self.stores.get_mut(question).map(|store| std::mem::replace(store, Store::new()))
    }

    /// The memory of a question.
    pub(crate) fn get(&self, question: u16) -> Option<&Store> {
        self.stores.get(usize::from(question))
    }

    /// Forgets everything that a question remembers.
    pub(crate) fn forget(&mut self, question: u16) {
        if let Some(place) = self.stores.get_mut(usize::from(question)) {
            *place = Store::new();
        }
    }

    /// Puts the memory of a question in its place, as it was written down.
    pub(crate) fn put(&mut self, question: u16, mut store: Store) {
        store.rebuild();
        if let Some(place) = self.stores.get_mut(usize::from(question)) {
            *place = store;
        }
    }

    /// How many sightings these questions have lost for want of room.
    pub(crate) fn lost(&self, questions: &[u16]) -> u64 {
        questions.iter().filter_map(|q| self.stores.get(usize::from(*q))).map(|s| s.lost).sum()
    }

    /// The time of the event for which the first sighting of any of these questions had to go.
    pub(crate) fn lost_since(&self, questions: &[u16]) -> Option<i64> {
        questions.iter().filter_map(|q| self.stores.get(usize::from(*q))?.lost_since).min()
    }

    /// Call after reading a snapshot.
    pub(crate) fn rebuild(&mut self) {
        self.stores.iter_mut().for_each(Store::rebuild);
    }
}

impl HeapBytes for Memories {
    fn heap_bytes(&self) -> usize {
        let store = |s: &Store| s.sightings.heap_bytes() + s.free.heap_bytes() + s.slots.allocation_size();
        self.stores.iter().map(store).sum()
    }
}
