//! Keys that are seen too seldom to fire yet. An event has up to 32 fingerprints, and most are those of its payload, which no
//! other has: a group for each would be most of the state. So the record of an event is kept once, its values beside it, 16
//! bytes each; a group is made of them when a key has as many events in its window as the rule needs. What is found is the
//! same as with a group for each.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::eval::footprint::HeapBytes;
use crate::eval::route::HEADER;
use crate::plan::many::ManyPlan;
use crate::plan::rule::{Key, WindowPlan, words};

/// Fewest buckets of the table by which values are found.
const BUCKETS_MIN: usize = 1 << 10;
/// Values to a bucket, above which the table grows.
const BUCKET_LOAD: usize = 4;

/// An event of which some value is kept.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Kept {
    ts: i64,
    /// Its number among the events.
    number: u64,
    /// How many of its values are kept.
    values: u32,
}

/// A value of an event.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Mark {
    value: u64,
    /// Low bits of the event's number here.
    event: u32,
    /// Distance to the mark before it in its bucket; 0 for none. Follows from the rest.
    #[serde(skip)]
    back: u32,
}

/// The marks of all values of one hash.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// The last mark: its index plus one; 0 for none.
    end: u64,
    /// How many there are; never fewer than those of one key that still count.
    count: u32,
}

/// An event of a key, with its record.
pub(super) struct Earlier {
    pub(super) ts: i64,
    pub(super) number: u64,
    pub(super) record: SmallVec<[u64; 16]>,
}

/// The events of one rule by their values.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Sparse {
    /// Number of the first event here.
    first_event: u64,
    events: VecDeque<Kept>,
    /// Records of the events without their values, one behind the other.
    records: VecDeque<u64>,
    first_mark: u64,
    marks: VecDeque<Mark>,
    /// Since when events had to be forgotten while they still counted.
    lost_since: Option<i64>,
    /// How many values of theirs.
    lost: u64,
    #[serde(skip)]
    buckets: Vec<Bucket>,
    #[serde(skip)]
    hasher: foldhash::fast::FixedState,
}

impl Sparse {
    /// Gives events other numbers, in the same order.
    pub(super) fn renumber(&mut self, number: &dyn Fn(u64) -> u64) {
        self.events.iter_mut().for_each(|e| e.number = number(e.number));
    }

    /// Since when events had to be forgotten while they still counted.
    pub(super) fn lost_since(&self) -> Option<i64> {
        self.lost_since
    }

    /// How many values were forgotten so.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Drops the events of steps before `first`.
    pub(super) fn expire(&mut self, w: &WindowPlan, first: i64) {
        while self.events.front().is_some_and(|e| e.ts.div_euclid(w.step) < first) {
            self.forget_first(w);
        }
    }

    fn forget_first(&mut self, w: &WindowPlan) {
        let Some(event) = self.events.pop_front() else { return };
        let ends = length(w).min(self.records.len());
        let record: SmallVec<[u64; 16]> = self.records.drain(..ends).collect();
        for _ in 0..event.values {
            let Some(mark) = self.marks.pop_front() else { break };
            let at = self.bucket(w, &record, mark.value);
            if let Some(bucket) = self.buckets.get_mut(at) {
                bucket.count = bucket.count.saturating_sub(1);
            }
            self.first_mark = self.first_mark.wrapping_add(1);
        }
        self.first_event = self.first_event.wrapping_add(1);
    }

    /// Notes a value of the event `number` at `ts`; how many events of its key there can be at most.
    pub(super) fn add(
        &mut self,
        w: &WindowPlan,
        many: &ManyPlan,
        record: &[u64],
        (ts, number): (i64, u64),
        value: u64,
    ) -> u64 {
        if self.marks.len() >= many.values_max {
            self.lost_since.get_or_insert(ts);
            // Never the event at hand, of which some values are kept already.
            match self.events.front() {
                Some(first) if first.number != number => {
                    self.lost += u64::from(first.values);
                    self.forget_first(w);
                }
                _ => {
                    self.lost += 1;
                    return 0;
                }
            }
        }
        match self.events.back_mut() {
            Some(event) if event.number == number => event.values += 1,
            _ => {
                self.events.push_back(Kept { ts, number, values: 1 });
                self.records.extend(record.iter().take(length(w)));
            }
        }
        let event = self.first_event.wrapping_add(self.events.len() as u64).wrapping_sub(1) as u32;
        if self.marks.len() >= self.buckets.len() * BUCKET_LOAD {
            self.rebuild(w);
        }
        let at = self.bucket(w, record, value);
        let index = self.first_mark.wrapping_add(self.marks.len() as u64);
        let back = link(&mut self.buckets, at, index, self.first_mark);
        self.marks.push_back(Mark { value, event, back });
        self.buckets.get(at).map_or(0, |b| u64::from(b.count))
    }

    /// The events of a key from a step on, in order; the record gives the parts of the key beside the value.
    pub(super) fn of(&self, w: &WindowPlan, many: &ManyPlan, key: &Key, first: i64) -> Vec<Earlier> {
        let Some(value) = key.get(many.at).copied() else { return Vec::new() };
        let mut found = Vec::new();
        let mut end = self.buckets.get(self.bucket_of(key)).map_or(0, |b| b.end);
        while let Some(mark) = end
            .checked_sub(1)
            .and_then(|at| at.checked_sub(self.first_mark))
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| self.marks.get(at))
        {
            let back = u64::from(mark.back);
            end = if back == 0 { 0 } else { end.saturating_sub(back) };
            let at = mark.event.wrapping_sub(self.first_event as u32) as usize;
            let Some(event) = self.events.get(at) else { continue };
            if event.ts.div_euclid(w.step) < first {
                break;
            }
            if mark.value != value {
                continue;
            }
            let record = self.record(w, at);
            let parts = record.iter().skip(HEADER).zip(key).enumerate();
            if parts.into_iter().all(|(i, (a, b))| i == many.at || a == b) {
                found.push(Earlier { ts: event.ts, number: event.number, record });
            }
        }
        found.reverse();
        found
    }

    /// Makes the table anew, with room for twice as many values: it is too small, or a snapshot has just been read.
    fn rebuild(&mut self, w: &WindowPlan) {
        let buckets = (self.marks.len() * 2 / BUCKET_LOAD).next_power_of_two().max(BUCKETS_MIN);
        self.buckets = vec![Bucket::default(); buckets];
        let mut index = 0usize;
        for (at, event) in self.events.iter().enumerate() {
            let record = self.record(w, at);
            for _ in 0..event.values {
                let Some(value) = self.marks.get(index).map(|m| m.value) else { break };
                let bucket = self.bucket(w, &record, value);
                let back = link(&mut self.buckets, bucket, self.first_mark.wrapping_add(index as u64), self.first_mark);
                if let Some(mark) = self.marks.get_mut(index) {
                    mark.back = back;
                }
                index += 1;
            }
        }
    }

    /// The record of an event by its place here.
    fn record(&self, w: &WindowPlan, at: usize) -> SmallVec<[u64; 16]> {
        self.records.iter().skip(at.saturating_mul(length(w))).take(length(w)).copied().collect()
    }

    fn bucket(&self, w: &WindowPlan, record: &[u64], value: u64) -> usize {
        let mut key = Key::from_slice(record.get(HEADER..HEADER + w.per.len()).unwrap_or_default());
        if let Some(part) = w.many.as_ref().and_then(|many| key.get_mut(many.at)) {
            *part = value;
        }
        self.bucket_of(&key)
    }

    fn bucket_of(&self, key: &Key) -> usize {
        let buckets = self.buckets.len().max(1) as u64;
        (self.hasher.hash_one(&key[..]) % buckets) as usize
    }

    /// Calls `mark` with every word that may be a symbol: those of records, and values where they are symbols.
    pub(super) fn words(&self, w: &WindowPlan, mark: &mut impl FnMut(u64)) {
        // Numbers among them mark symbols that they happen to equal; those then live until the next sweep.
        self.records.iter().for_each(|word| mark(*word));
        let symbols = w.many.as_ref().and_then(|many| w.per.get(many.at)).is_some_and(|part| part.is_symbol());
        if symbols {
            self.marks.iter().for_each(|m| mark(m.value));
        }
    }
}

/// Puts the mark of an index at the end of its bucket; the distance to the one before it.
fn link(buckets: &mut [Bucket], at: usize, index: u64, first_mark: u64) -> u32 {
    let Some(bucket) = buckets.get_mut(at) else { return 0 };
    let end = index.wrapping_add(1);
    let distance = if bucket.end > first_mark { end.saturating_sub(bucket.end) } else { 0 };
    bucket.end = end;
    bucket.count += 1;
    u32::try_from(distance).unwrap_or(0)
}

/// Words of a record without the values behind it.
fn length(w: &WindowPlan) -> usize {
    HEADER + words(w)
}

impl HeapBytes for Sparse {
    fn heap_bytes(&self) -> usize {
        let buckets = self.buckets.capacity() * size_of::<Bucket>();
        self.events.heap_bytes() + self.records.heap_bytes() + self.marks.heap_bytes() + buckets
    }
}
