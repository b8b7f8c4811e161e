//! Room for the groups of windowed rules: accounted bytes over fixed shards of the key space, and which groups go where a
//! shard is full. Shards are fixed, and events are applied in one canonical order, so what goes is a function of the events.
//!
//! The least promising go first: groups without a violation under way, of these the ones with the fewest events, then those
//! whose last event is the oldest. Each loss is counted; a group that begins anew in a shard from which groups went carries
//! the moment of the last loss into the evidence of what it finds, as far as its window reaches back to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::Evaluator;
use super::finding::{Subject, Told};
use super::history::History;
use super::lane::Lane;
use super::window::Windows;
use crate::plan::rule::WindowPlan;

/// Most bytes that the groups of all windowed rules are accounted at.
pub const STATE_BYTES_MAX: u64 = 1 << 30;
/// Parts of the key space, each with an equal part of the room. Fixed: what goes must not depend on how many machines share
/// the work.
pub const STATE_SHARDS: usize = 256;

/// What a group is accounted at.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Held {
    /// When groups of the shard last went before it began; [`i64::MIN`] for never.
    pub(crate) cut: i64,
    /// In all.
    pub(crate) bytes: u32,
    /// Of its key, up to what fits.
    pub(crate) key_bytes: u16,
    pub(crate) shard: u8,
}

impl Held {
    /// Accounts for what a window holds; by how much that is more or less than before.
    pub(crate) fn account(&mut self, w: &WindowPlan, window: &Lane) -> i64 {
        let kept = window.kept_bytes().saturating_add(window.history().map_or(0, History::bytes));
        let bytes = w.room.bytes(window.events()).saturating_add(kept).saturating_add(u64::from(self.key_bytes));
        let before = std::mem::replace(&mut self.bytes, u32::try_from(bytes).unwrap_or(u32::MAX));
        i64::from(self.bytes) - i64::from(before)
    }
}

/// What one rule lost in one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub(crate) groups: u64,
    pub(crate) events: u64,
    /// Time of the event at which groups last went.
    pub(crate) at: i64,
}

/// What happened to a group when it took in an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) slot: u32,
    pub(crate) shard: u8,
    pub(crate) more: i64,
    pub(crate) is_new: bool,
    /// Whether any aggregate counts the event.
    pub(crate) counted: bool,
}

/// What a group no longer takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Freed {
    pub(crate) bytes: i64,
    /// It is not there any more.
    pub(crate) gone: bool,
}

/// How promising a group is; the least goes first. Ties are told apart by the key, so that no order shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Promise {
    pub(crate) has_episode: bool,
    pub(crate) events: u64,
    pub(crate) last: i64,
    pub(crate) key: u64,
}

#[derive(Debug, Clone, Default)]
struct Shard {
    bytes: u64,
    /// Windows and slot of each group, among them some that are gone or stand there twice.
    groups: Vec<(u32, u32)>,
    /// How many groups there are.
    live: usize,
}

/// So many that are gone, beside as many as there are, may stand in the list of a shard.
const GONE_MAX: usize = 64;

/// Room for all groups.
#[derive(Debug)]
pub(crate) struct Room {
    max: u64,
    shards: Vec<Shard>,
    /// Shards that took more at the end of a step: accounts of link groups keep what a window counted. Room is made at the next
    /// event, before which every step has been judged, however time came to pass.
    grown: Vec<u8>,
}

impl Room {
    pub(crate) fn new(state_bytes: u64) -> Room {
        Room { max: state_bytes / STATE_SHARDS as u64, shards: vec![Shard::default(); STATE_SHARDS], grown: Vec::new() }
    }

    /// For groups of which none ever goes.
    pub(crate) fn unaccounted() -> Room {
        Room { max: u64::MAX, shards: Vec::new(), grown: Vec::new() }
    }

    /// Accounts for a group; whether its shard is over its part now.
    fn take(&mut self, windows: u32, change: Change) -> bool {
        let Some(shard) = self.shards.get_mut(usize::from(change.shard)) else { return false };
        shard.bytes = shard.bytes.saturating_add_signed(change.more);
        if change.is_new {
            // By an eighth: doubling would hold room for as many groups again.
            if shard.groups.len() == shard.groups.capacity() {
                shard.groups.reserve_exact(GONE_MAX.max(shard.groups.len() / 8));
            }
            shard.groups.push((windows, change.slot));
            shard.live += 1;
        }
        shard.bytes > self.max
    }

    fn give_back(&mut self, shard: u8, freed: Freed) {
        if let Some(shard) = self.shards.get_mut(usize::from(shard)) {
            shard.bytes = shard.bytes.saturating_add_signed(freed.bytes.saturating_neg());
            shard.live = shard.live.saturating_sub(usize::from(freed.gone));
        }
        if freed.bytes < 0 {
            self.grown.push(shard);
        }
    }

    /// Whether a shard takes more than its part.
    fn is_over(&self, shard: u8) -> bool {
        self.shards.get(usize::from(shard)).is_some_and(|s| s.bytes > self.max)
    }

    /// Accounted bytes of all groups.
    pub(crate) fn bytes(&self) -> u64 {
        self.shards.iter().map(|s| s.bytes).sum()
    }

    /// Bytes that the lists of groups take.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.shards.iter().map(|s| s.groups.capacity() * size_of::<(u32, u32)>()).sum()
    }
}

impl Evaluator {
    /// Accounts for what an event did to groups, and makes room where there is none.
    pub(super) fn account(&mut self, changes: &[(u32, Change)], ts: i64) {
        let mut full: SmallVec<[u8; 4]> = SmallVec::new();
        for (windows, change) in changes {
            if self.room.take(*windows, *change) {
                full.push(change.shard);
            }
        }
        if !changes.is_empty() {
            let grown = std::mem::take(&mut self.room.grown);
            full.extend(grown.into_iter().filter(|shard| self.room.is_over(*shard)));
        }
        full.sort_unstable();
        full.dedup();
        full.into_iter().for_each(|shard| self.make_room(shard, ts));
    }

    /// Accounts for groups that went or shrank since the last call.
    pub(super) fn account_freed(&mut self) {
        let Evaluator { windows, room, .. } = self;
        let mut any = false;
        for windows in windows.iter_mut() {
            windows.drain_freed(|shard, freed| {
                any |= freed.gone;
                room.give_back(shard, freed);
            });
        }
        let long = |shard: &&mut Shard| shard.groups.len() > 2 * shard.live + GONE_MAX;
        for (number, shard) in (0u8..=u8::MAX).zip(&mut room.shards).filter(|(_, shard)| any && long(shard)) {
            shard.groups.sort_unstable();
            shard.groups.dedup();
            shard.groups.retain(|(at, slot)| windows.get(*at as usize).is_some_and(|w| w.holds(*slot, number)));
            shard.groups.shrink_to(shard.groups.len() + shard.groups.len() / 4);
        }
    }

    /// Lets groups of a shard go until a quarter of its part is free. The most promising one stays, whatever it takes.
    fn make_room(&mut self, shard: u8, ts: i64) {
        let rules = Arc::clone(&self.rules);
        let mut plans = vec![None; self.windows.len()];
        for leader in rules.leaders() {
            if let Some(place) = plans.get_mut(leader.2.number as usize) {
                *place = Some(leader);
            }
        }
        let plan_of = |number: u32| plans.get(number as usize).copied().flatten();
        let Some(listed) = self.room.shards.get_mut(usize::from(shard)) else { return };
        let mut listed = std::mem::take(&mut listed.groups);
        listed.sort_unstable();
        listed.dedup();
        let mut groups: Vec<(Promise, u32, u32)> = Vec::with_capacity(listed.len());
        for (number, slot) in listed {
            let Some((_, _, w)) = plan_of(number) else { continue };
            let windows = self.windows.get(number as usize);
            if let Some(promise) = windows.and_then(|windows| windows.promise(slot, shard, w, &self.interner)) {
                groups.push((promise, number, slot));
            }
        }
        groups.sort_unstable();
        let enough = self.room.max - self.room.max / 4;
        let mut ended = Vec::new();
        let last = groups.len().saturating_sub(1);
        let (mut kept, mut left) = (Vec::new(), BTreeSet::new());
        for (i, (_, number, slot)) in groups.into_iter().enumerate() {
            let used = self.room.shards.get(usize::from(shard)).map_or(0, |s| s.bytes);
            let windows = self.windows.get_mut(number as usize);
            let (Some((leader, _, w)), Some(windows)) = (plan_of(number), windows) else { continue };
            if used <= enough || i == last {
                kept.push((number, slot));
                continue;
            }
            windows.evict(slot, w, ts, &mut ended);
            left.insert(number);
            windows.drain_freed(|shard, freed| self.room.give_back(shard, freed));
            for e in ended.drain(..) {
                let evidence = e.episode.gathered.evidence();
                for (rule, plan) in rules.members(leader) {
                    let subject = Subject { program: rules.program(), rule, plan };
                    let v = subject.episode(w, &e.key, Told::ended(&e, &evidence), &self.interner);
                    self.finished.push(v);
                }
            }
        }
        if let Some(shard) = self.room.shards.get_mut(usize::from(shard)) {
            shard.groups = kept;
        }
        for number in left {
            if let Some(windows) = self.windows.get_mut(number as usize) {
                windows.forget_due();
            }
        }
    }

    /// Accounts for all groups anew, after reading a snapshot.
    pub(super) fn account_all(&mut self) {
        let Evaluator { rules, windows, room, .. } = self;
        for (_, _, w) in rules.leaders().filter(|(_, _, w)| w.many.is_none()) {
            let Some(windows) = windows.get(w.number as usize) else { continue };
            windows.each_held(|slot, held| {
                room.take(
                    w.number,
                    Change { slot, shard: held.shard, more: held.bytes.into(), is_new: true, counted: false },
                );
            });
        }
        room.grown = (0..=u8::MAX).filter(|shard| room.is_over(*shard)).collect();
    }

    /// Bytes that the groups of windowed rules are accounted at; at most [`super::EvalOptions::state_bytes`].
    pub fn state_bytes(&self) -> u64 {
        self.room.bytes()
    }

    /// Per windowed rule, how many groups went for want of room, and how many events they had counted; rules that lost none
    /// are left out.
    pub fn groups_lost(&self) -> Vec<(String, u64, u64)> {
        let rules = Arc::clone(&self.rules);
        let mut all = Vec::new();
        for (leader, _, w) in rules.leaders() {
            let lost = self.windows.get(w.number as usize).map(Windows::groups_lost).unwrap_or_default();
            if lost.groups > 0 {
                all.extend(rules.members(leader).map(|(rule, _)| (rule.name.clone(), lost.groups, lost.events)));
            }
        }
        all
    }
}
