//! Series: what the fleet came to, step by step, and which steps were outages. Fed behind the watermark in order of (time, id);
//! a step is judged when its end has come, against the median of those before it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::accumulate::Span;
use super::back::Back;
use super::footprint::HeapBytes;
use super::intern::Interner;
use super::lane::Lane;
use super::route::{HEADER, word_value, write_bytes};
use super::window::WindowEnv;
use crate::plan::rule::Key;
use crate::plan::scalar::Val;
use crate::plan::series::SeriesPlan;
use crate::value::{MICROS, Truth};

/// What one key came to.
#[derive(Debug, Serialize, Deserialize)]
struct One {
    /// The step under way.
    lane: Lane,
    /// Steps with an event, as far as the median reaches, and what they came to.
    values: VecDeque<(i64, Option<i64>)>,
    /// From which step on steps were outages, or not, or unknown; as far as any window asks.
    judged: VecDeque<(i64, Truth)>,
}

/// All keys of a series, by a hash of their values.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Series {
    keys: BTreeMap<u128, One>,
    /// The step under way: those before it are judged.
    step: i64,
    /// Events of keys that were not begun for want of room.
    dropped: u64,
}

impl Series {
    /// Takes in a record of an event at `ts`.
    pub(crate) fn apply(&mut self, s: &SeriesPlan, record: &[u64], ts: i64, interner: &Interner) {
        self.advance(s, ts, interner);
        let Some(words) = record.get(HEADER..HEADER + s.w.per.len()) else { return };
        let parts = words.iter().zip(&s.w.per).map(|(word, part)| (word_value(*word, &part.ty, interner), &part.ty));
        let mut bytes = Vec::new();
        for (value, ty) in parts {
            write_bytes(&value, ty, &mut bytes);
        }
        let key = xxh3_128(&bytes);
        if self.keys.len() >= s.keys_max && !self.keys.contains_key(&key) {
            self.dropped += 1;
            return;
        }
        let fresh = || One { lane: Lane::new(&s.w), values: VecDeque::new(), judged: VecDeque::new() };
        self.keys.entry(key).or_insert_with(fresh).lane.add(&s.w, ts, record, interner);
    }

    /// Judges every step that ends at or before `ts`; all events before it have been taken in.
    pub(crate) fn advance(&mut self, s: &SeriesPlan, ts: i64, interner: &Interner) {
        let now = ts.div_euclid(s.w.step);
        if self.keys.is_empty() {
            self.step = now;
        }
        while self.step < now {
            if self.keys.is_empty() {
                self.step = now;
                break;
            }
            let step = self.step;
            let empty = value(s, &Lane::new(&s.w), step, interner);
            self.keys.retain(|_, one| one.judge(s, step, empty, interner));
            self.step += 1;
        }
    }

    /// Whether any of the steps of a range was an outage of a key: unknown where none was and any is unknown.
    pub(crate) fn outage(&self, key: u128, steps: std::ops::Range<i64>) -> Truth {
        if steps.is_empty() {
            return Truth::False;
        }
        let Some(one) = self.keys.get(&key) else { return Truth::Unknown };
        let mut truth = match one.judged.front() {
            Some((first, _)) if *first <= steps.start => Truth::False,
            _ => Truth::Unknown,
        };
        for (at, (from, is)) in one.judged.iter().enumerate() {
            let until = one.judged.get(at + 1).map_or(self.step, |(next, _)| *next);
            if *from < steps.end && steps.start < until {
                truth = truth.or(*is);
            }
        }
        // A step that is not over is not judged.
        if steps.end > self.step { truth.or(Truth::Unknown) } else { truth }
    }

    /// Events of keys that were not begun for want of room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Keys under way.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Marks every symbol in use.
    pub(crate) fn mark(&self, s: &SeriesPlan, mark: &mut impl FnMut(u64)) {
        for one in self.keys.values() {
            for (plan, accumulator) in s.w.aggregates.iter().zip(one.lane.accumulators()) {
                if plan.fold.keeps_symbols() {
                    accumulator.words(&mut *mark);
                }
            }
        }
    }
}

/// What a step came to.
fn value(s: &SeriesPlan, lane: &Lane, step: i64, interner: &Interner) -> Option<i64> {
    let start = step.saturating_mul(s.w.step);
    let span = Span { start, end: start.saturating_add(s.w.step) };
    let env = WindowEnv { lane, key: &Key::new(), w: &s.w, interner, span, back: Back::nothing() };
    match s.value.eval(&env) {
        Val::Num(n) => Some(n),
        _ => None,
    }
}

impl One {
    /// Judges the step under way, which is over; whether the key is still to be remembered.
    fn judge(&mut self, s: &SeriesPlan, step: i64, empty: Option<i64>, interner: &Interner) -> bool {
        while self.values.pop_front_if(|(at, _)| *at < step - s.steps).is_some() {}
        let has_events = self.lane.events() > 0;
        let now = if has_events { value(s, &self.lane, step, interner) } else { empty };
        let is = match (now, self.median(s, step, empty)) {
            (Some(now), Some(median)) => {
                Truth::from(i128::from(now) * i128::from(MICROS) < i128::from(median) * i128::from(s.outage))
            }
            _ => Truth::Unknown,
        };
        if self.judged.back().is_none_or(|(_, last)| *last != is) {
            self.judged.push_back((step, is));
        }
        // The first that is left begins before, or with, the earliest step that is asked for.
        while self.judged.get(1).is_some_and(|(next, _)| *next <= step - s.kept) {
            self.judged.pop_front();
        }
        if has_events {
            self.values.push_back((step, now));
            self.lane = Lane::new(&s.w);
        }
        !self.values.is_empty() || self.judged.iter().any(|(_, is)| *is != Truth::Unknown)
    }

    /// The median of the steps before one.
    fn median(&self, s: &SeriesPlan, step: i64, empty: Option<i64>) -> Option<i64> {
        let (first, _) = self.values.front()?;
        let without = usize::try_from(step - first).ok()?.saturating_sub(self.values.len());
        let known = self.values.iter().filter_map(|(_, value)| *value);
        let mut all: Vec<i64> = known.chain(empty.into_iter().flat_map(|n| std::iter::repeat_n(n, without))).collect();
        if all.len() < s.least.max(1) {
            return None;
        }
        let at = all.len().div_ceil(2) - 1;
        Some(*all.select_nth_unstable(at).1)
    }
}

impl HeapBytes for Series {
    fn heap_bytes(&self) -> usize {
        let one = |one: &One| {
            size_of::<(u128, One)>() + one.lane.heap_bytes() + one.values.heap_bytes() + one.judged.heap_bytes()
        };
        self.keys.values().map(one).sum()
    }
}
