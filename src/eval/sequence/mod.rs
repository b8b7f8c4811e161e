//! The sequences of one rule: the partial matches of each key, what is due when, and the violations. Events come in order of
//! (time, id). Every event that can be a first step begins a partial match; each takes the first event that can be its next
//! step. What an exception takes out runs in a lane of its own, so that it shows what would have been found with it.

mod arrival;
mod drive;
mod found;
mod partial;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use self::found::Found;
pub(crate) use self::partial::Applied;
use self::partial::{Fate, Hand, NET, Partial, RAW, StepEnv};
use super::footprint::HeapBytes;
use super::intern::Interner;
use super::route::HEADER;
use crate::plan::is_symbol;
use crate::plan::rule::{Key, RulePlan};
use crate::plan::sequence::{SequencePlan, SlotPlan};
use crate::value::Truth;

/// Both lanes with their place in counters.
const LANES: [(u8, usize); 2] = [(NET, 0), (RAW, 1)];

/// The state of one key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    key: Key,
    /// In order of their first events.
    partials: Vec<Partial>,
    open: Option<Box<Found>>,
    exempted: Option<Box<Found>>,
    /// Per lane, partial matches that were dropped since the lane was last empty.
    dropped: [u64; 2],
    /// When it is looked at next; never later than anything is due.
    due: i64,
}

/// A violation that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) key: Key,
    pub(crate) found: Box<Found>,
    pub(crate) exempted: bool,
    pub(crate) closed: i64,
}

/// All keys of one rule.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sequences {
    by_key: HashMap<Key, u32, foldhash::fast::FixedState>,
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    due: BTreeMap<i64, Vec<u32>>,
    /// Keys with a violation under way.
    with_violation: BTreeSet<u32>,
    /// Per lane, partial matches of all keys.
    partials: [usize; 2],
    /// Events for which a partial match was dropped for want of room.
    dropped: u64,
    /// Events of which it was unknown whether they are a step.
    undecided: u64,
}

impl Sequences {
    /// When something is due next; what is due at a moment follows from the events before it.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.due.first_key_value().map(|(at, _)| *at)
    }

    /// Keys with a partial match or a violation.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Partial matches that were dropped for want of room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Events of which it was unknown whether they are a step.
    pub(crate) fn undecided(&self) -> u64 {
        self.undecided
    }

    pub(crate) fn has_violations(&self) -> bool {
        !self.with_violation.is_empty()
    }

    /// Takes in an event. Everything due at or before its time must have been judged.
    pub(crate) fn apply(&mut self, plan: &RulePlan, s: &SequencePlan, e: &Applied<'_>, interner: &Interner) {
        let Some(words) = e.record.get(HEADER..HEADER + s.per.len()) else { return };
        let key = Key::from_slice(words);
        let hand = Hand { s, interner, e };
        let begins = hand.env(None, &key).truth(0);
        let mut undecided = begins == Truth::Unknown;
        let slot = match self.by_key.get(&key) {
            Some(slot) => Some(*slot),
            None if begins.is_true() => Some(self.insert(key.clone())),
            None => None,
        };
        if let Some(slot) = slot
            && let Some(Some(group)) = self.groups.get_mut(slot as usize)
        {
            let whole = group.follow(&hand, &mut self.partials, &mut undecided);
            for m in &whole {
                group.add(plan, m, &hand.env(Some(m), &key));
            }
            if begins.is_true() {
                self.dropped += u64::from(group.begin(s, e, &mut self.partials));
            }
            self.settle(slot, s);
        }
        self.undecided += u64::from(undecided);
    }

    fn insert(&mut self, key: Key) -> u32 {
        let group = Group {
            key: key.clone(),
            partials: Vec::new(),
            open: None,
            exempted: None,
            dropped: [0; 2],
            due: i64::MAX,
        };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.groups.push(None);
                (self.groups.len() - 1) as u32
            }
        };
        if let Some(place) = self.groups.get_mut(slot as usize) {
            *place = Some(group);
        }
        self.by_key.insert(key, slot);
        slot
    }

    /// Looks at all keys due at the first due moment; violations that ended go to `ended`.
    pub(crate) fn judge_next(
        &mut self,
        plan: &RulePlan,
        s: &SequencePlan,
        interner: &Interner,
        ended: &mut Vec<Ended>,
    ) {
        let Some((now, mut slots)) = self.due.pop_first() else { return };
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let Some(Some(group)) = self.groups.get_mut(slot as usize) else { continue };
            if group.due != now {
                continue;
            }
            group.due = i64::MAX;
            let key = group.key.clone();
            for m in group.expire(s, now, &mut self.partials) {
                let at = m.until(s);
                let env = StepEnv { s, key: &key, interner, at, partial: Some(&m), event: None };
                group.add(plan, &m, &env);
            }
            for (place, exempted) in [(&mut group.open, false), (&mut group.exempted, true)] {
                if place.as_ref().is_some_and(|f| closes(f, s) < now)
                    && let Some(found) = place.take()
                {
                    let closed = closes(&found, s);
                    ended.push(Ended { key: key.clone(), found, exempted, closed });
                }
            }
            self.settle(slot, s);
        }
    }

    /// What follows from the state of a key once an event or a moment has been dealt with.
    fn settle(&mut self, slot: u32, s: &SequencePlan) {
        let Some(Some(group)) = self.groups.get_mut(slot as usize) else { return };
        for (lane, at) in LANES {
            let found = if lane == NET { &group.open } else { &group.exempted };
            if found.is_none()
                && group.partials.iter().all(|p| p.lanes & lane == 0)
                && let Some(dropped) = group.dropped.get_mut(at)
            {
                *dropped = 0;
            }
        }
        if group.open.is_some() || group.exempted.is_some() {
            self.with_violation.insert(slot);
        } else {
            self.with_violation.remove(&slot);
        }
        let untils = group.partials.iter().map(|p| p.until(s));
        let closings = group.open.iter().chain(&group.exempted).map(|f| closes(f, s));
        // The moment itself still belongs to what is in time.
        match untils.chain(closings).min() {
            Some(until) => {
                let due = until.saturating_add(1);
                if due < group.due {
                    group.due = due;
                    self.due.entry(due).or_default().push(slot);
                }
            }
            None => {
                self.by_key.remove(&group.key);
                if let Some(place) = self.groups.get_mut(slot as usize) {
                    *place = None;
                }
                self.free.push(slot);
            }
        }
    }

    /// Calls `f` with the key, each violation under way and whether it is exempted.
    pub(crate) fn with_violations(&mut self, mut f: impl FnMut(&Key, &mut Found, bool)) {
        for slot in &self.with_violation {
            if let Some(Some(group)) = self.groups.get_mut(*slot as usize) {
                let both =
                    group.open.iter_mut().map(|o| (o, false)).chain(group.exempted.iter_mut().map(|e| (e, true)));
                both.for_each(|(found, exempted)| f(&group.key, found, exempted));
            }
        }
    }

    /// Every violation under way is news.
    pub(crate) fn tell_again(&mut self) {
        self.with_violations(|_, found, _| found.fresh = true);
    }

    /// Marks every symbol in use.
    pub(crate) fn mark(&self, s: &SequencePlan, mark: &mut impl FnMut(u64)) {
        let symbols: Vec<bool> =
            s.kept().map(|slot| matches!(slot, Some(SlotPlan::Word(_, ty)) if is_symbol(ty))).collect();
        for group in self.groups.iter().flatten() {
            for (part, word) in s.per.iter().zip(&group.key) {
                if is_symbol(&part.ty) {
                    mark(*word);
                }
            }
            for partial in &group.partials {
                let kept = partial.values.iter().zip(&symbols).filter(|(_, symbol)| **symbol);
                kept.filter_map(|(value, _)| *value).for_each(&mut *mark);
                partial.taken.iter().for_each(|t| mark(t.account));
            }
            for found in group.open.iter().chain(&group.exempted) {
                found.accounts().for_each(&mut *mark);
            }
        }
    }
}

/// The last moment at which a further match belongs to a violation.
fn closes(found: &Found, s: &SequencePlan) -> i64 {
    found.last.saturating_add(s.silence)
}

fn leave(counts: &mut [usize; 2], lanes: u8) {
    for ((lane, _), n) in LANES.iter().zip(counts) {
        *n -= usize::from(lanes & lane != 0);
    }
}

impl Group {
    /// Holds an event against the partial matches, oldest first; those that are whole with it.
    fn follow(&mut self, hand: &Hand<'_>, counts: &mut [usize; 2], undecided: &mut bool) -> Vec<Partial> {
        let (s, e) = (hand.s, hand.e);
        let lanes = if e.exceptions() == 0 { NET | RAW } else { RAW };
        let mut whole = Vec::new();
        let mut at = 0;
        while let Some(p) = self.partials.get(at) {
            let acts = p.lanes & lanes;
            if acts == 0 {
                at += 1;
                continue;
            }
            let fate = p.fate(&hand.env(Some(p), &self.key), undecided);
            let rest = p.lanes & !lanes;
            // Where the event counts in one lane only, the partial match goes on in the other as if it had not been.
            let other = (rest != 0 && fate == Fate::Takes).then(|| p.in_lanes(rest));
            let Some(p) = self.partials.get_mut(at) else { break };
            match fate {
                Fate::Stays => at += 1,
                Fate::Ends => {
                    leave(counts, acts);
                    p.lanes = rest;
                    if rest == 0 {
                        self.partials.remove(at);
                    } else {
                        at += 1;
                    }
                }
                Fate::Takes => {
                    p.lanes = acts;
                    if p.take(s, e) {
                        leave(counts, acts);
                        whole.push(self.partials.remove(at));
                    } else {
                        at += 1;
                    }
                    if let Some(other) = other {
                        self.partials.insert(at, other);
                        at += 1;
                    }
                }
            }
        }
        whole
    }

    /// Begins a partial match; whether another had to be dropped for it, or it for others, in either lane.
    fn begin(&mut self, s: &SequencePlan, e: &Applied<'_>, counts: &mut [usize; 2]) -> bool {
        let wanted = if e.exceptions() == 0 { NET | RAW } else { RAW };
        let (mut lanes, mut lost) = (0u8, false);
        for (lane, place) in LANES {
            let (Some(count), Some(dropped)) = (counts.get_mut(place), self.dropped.get_mut(place)) else { continue };
            if wanted & lane == 0 {
                continue;
            }
            let mut own = self.partials.iter_mut().filter(|p| p.lanes & lane != 0);
            let oldest = own.next();
            if 1 + own.count() >= s.per_key_max
                && let Some(oldest) = oldest
            {
                oldest.lanes &= !lane;
                *count -= 1;
                *dropped += 1;
                lost = true;
            }
            if *count >= s.per_rule_max {
                *dropped += 1;
                lost = true;
                continue;
            }
            *count += 1;
            lanes |= lane;
        }
        self.partials.retain(|p| p.lanes != 0);
        if lanes != 0 {
            self.partials.push(Partial::begin(s, e, lanes));
        }
        lost
    }

    /// Ends the partial matches whose time was over before `now`; those that waited it out are whole.
    fn expire(&mut self, s: &SequencePlan, now: i64, counts: &mut [usize; 2]) -> Vec<Partial> {
        let mut whole = Vec::new();
        let mut at = 0;
        while let Some(p) = self.partials.get(at) {
            if p.until(s) >= now {
                at += 1;
                continue;
            }
            let p = self.partials.remove(at);
            leave(counts, p.lanes);
            if p.is_waiting_out(s) {
                whole.push(p);
            }
        }
        whole
    }

    /// Enters a whole match where it belongs.
    fn add(&mut self, plan: &RulePlan, m: &Partial, env: &StepEnv<'_>) {
        let [net, raw] = self.dropped;
        if m.lanes & NET != 0 {
            Found::add(&mut self.open, plan, m, env, net);
        }
        if m.lanes & RAW != 0 && m.is_excepted() {
            Found::add(&mut self.exempted, plan, m, env, raw);
        }
    }
}

impl HeapBytes for Sequences {
    fn heap_bytes(&self) -> usize {
        let groups: usize = self.groups.iter().flatten().map(HeapBytes::heap_bytes).sum();
        let due: usize = self.due.values().map(HeapBytes::heap_bytes).sum();
        groups + due + self.groups.heap_bytes() + self.by_key.allocation_size() + self.free.heap_bytes()
    }
}

/// Violations under way apart, as with windows.
impl HeapBytes for Group {
    fn heap_bytes(&self) -> usize {
        let key = if self.key.spilled() { self.key.capacity() * size_of::<u64>() } else { 0 };
        // The map of keys holds a copy.
        2 * key + self.partials.heap_bytes() + self.partials.iter().map(HeapBytes::heap_bytes).sum::<usize>()
    }
}
