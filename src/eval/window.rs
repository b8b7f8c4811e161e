//! The windows of one rule: the state of each group, which groups are due at which step, and the judgement itself. A group
//! is judged only at steps at which its windows can have changed.

mod ago;
mod cluster;
mod joined;
mod linked;
mod look;
mod many;
mod overlap;
mod sparse;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use std::hash::BuildHasher;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use self::cluster::Clusters;
pub(crate) use self::cluster::Merge;
use self::sparse::Sparse;
use super::accumulate::{Accumulator, Counts, Span};
use super::back::{Back, empty_values};
use super::cohort::Cohorts;
use super::episode::{Episode, Track};
use super::events::Events;
use super::footprint::HeapBytes;
use super::history::next_end;
use super::intern::Interner;
use super::lane::Lane;
use super::room::{Change, Freed, Held, Lost, Promise};
use super::route::{HEADER, part_value};
use super::series::Series;
use super::session::Session;
use super::trail::{End, Trail};
use super::watch::Watch;
use crate::event::FieldId;
use crate::plan::is_symbol;
use crate::plan::room::{NUMBER_BYTES, TEXT_BYTES};
use crate::plan::rule::{Fold, Key, RulePlan, ValuePlan, WindowPlan};
use crate::plan::scalar::{Env, OutagePlan, Val};
use crate::template::to_text;
use crate::time::Timestamp;
use crate::value::{Truth, Type, Value};
use crate::violation::{Bound, Scalar};

pub(crate) use joined::LinkedEpisode;
pub(crate) use linked::{Judging, Linked, LinkedEpisodes, MergedInto};

/// So many steps at which groups that went were due are no matter.
const DUE_SPARE: usize = 4_096;

/// The state of one group.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) key: Key,
    held: Held,
    pub(super) net: Lane,
    /// The step at which it is due; `i64::MAX` for none.
    due: i64,
    /// Its last entry in the trail.
    trail: End,
    /// In a rule over sessions, the one it is in.
    session: Option<Box<Session>>,
    /// In a rule that merges groups, whether its condition held when it was last judged.
    holding: bool,
    /// What few groups have.
    pub(crate) more: Option<Box<More>>,
}

/// What a group has only while its window holds an excepted event, or while it has an episode.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct More {
    /// All events, exceptions included; only while the window holds an excepted one.
    pub(super) raw: Option<Lane>,
    /// Per exception, the events it takes out.
    took_out: Vec<Counts>,
    pub(crate) open: Option<Box<Episode>>,
    pub(crate) exempted: Option<Box<Episode>>,
}

impl More {
    fn has_episode(&self) -> bool {
        self.open.is_some() || self.exempted.is_some()
    }
}

/// An episode that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) key: Key,
    pub(crate) episode: Episode,
    pub(crate) exempted: bool,
    pub(crate) closed: i64,
    /// In a rule that merges groups.
    pub(crate) merge: Option<Box<Merge>>,
}

/// All groups of one rule.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Windows {
    /// Groups by key.
    #[serde(skip)]
    table: HashTable<u32>,
    #[serde(skip)]
    hasher: foldhash::fast::FixedState,
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    due: BTreeMap<i64, Vec<u32>>,
    /// Groups with an episode.
    with_episode: BTreeSet<u32>,
    trail: Trail,
    /// What went for want of room, by shard.
    lost: BTreeMap<u8, Lost>,
    /// Accounted bytes, by shard, of groups that went or shrank and are not accounted for yet.
    #[serde(skip)]
    freed: Vec<(u8, Freed)>,
    /// What groups alike came to earlier, one a baseline.
    cohorts: Vec<Cohorts>,
    /// Keys that are too seldom to have a group, where an event has several.
    sparse: Sparse,
    /// Violations of several groups, in a rule that merges them.
    clusters: Clusters,
}

/// What a judgement needs beside the windows.
pub(crate) struct Bench<'a> {
    pub(crate) events: &'a Events,
    pub(crate) interner: &'a Interner,
    pub(crate) series: &'a [Series],
    /// Where each judgement is noted, if somebody looks on.
    pub(crate) watch: Option<&'a Watch>,
}

impl Windows {
    /// The next step that is due.
    pub(crate) fn next_due(&self) -> Option<i64> {
        let groups = self.due.first_key_value().map(|(step, _)| *step);
        groups.into_iter().chain(self.clusters.next_due()).min()
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Call after reading a snapshot.
    pub(crate) fn rebuild(&mut self) {
        let (groups, hasher) = (&self.groups, &self.hasher);
        let rehash = |slot: &u32| hash_of(groups, hasher, *slot);
        let mut table = HashTable::with_capacity(groups.len() - self.free.len().min(groups.len()));
        for (slot, group) in groups.iter().enumerate() {
            if let Some(group) = group {
                table.insert_unique(hasher.hash_one(&group.key[..]), slot as u32, rehash);
            }
        }
        self.table = table;
    }

    /// Takes in a record of an event at `ts`.
    pub(crate) fn apply(
        &mut self,
        w: &WindowPlan,
        n_exceptions: usize,
        record: &[u64],
        (ts, number): (i64, u64),
        interner: &Interner,
    ) -> Option<Change> {
        if let Some(many) = &w.many {
            self.apply_many(w, many, n_exceptions, record, (ts, number), interner);
            return None;
        }
        let key = record.get(HEADER..HEADER + w.per.len())?;
        let known = self.find(key);
        let slot = known.unwrap_or_else(|| self.insert(w, key, interner));
        let counted = self.count(slot, w, n_exceptions, record, (ts, number), interner);
        self.schedule(slot, w, ts.div_euclid(w.step));
        let group = self.groups.get_mut(slot as usize)?.as_mut()?;
        let more = group.account(w);
        Some(Change { slot, shard: group.held.shard, more, is_new: known.is_none(), counted })
    }

    fn find(&self, key: &[u64]) -> Option<u32> {
        let groups = &self.groups;
        let same = |slot: &u32| matches!(groups.get(*slot as usize), Some(Some(g)) if g.key[..] == *key);
        self.table.find(self.hasher.hash_one(key), same).copied()
    }

    /// Counts an event in a group; whether any aggregate does.
    fn count(
        &mut self,
        slot: u32,
        w: &WindowPlan,
        n_exceptions: usize,
        record: &[u64],
        (ts, number): (i64, u64),
        interner: &Interner,
    ) -> bool {
        let pane = ts.div_euclid(w.step);
        let Some(Some(group)) = self.groups.get_mut(slot as usize) else { return false };
        // The first window that is still to be judged ends with this step: what lies before it counts no more.
        group.expire(w, pane + 1 - w.panes);
        if w.gap.is_some() {
            group.enter(w, ts);
        }
        let exceptions = (record.first().copied().unwrap_or(0) >> 32) as u32;
        let counted = if exceptions != 0 {
            let more = group.more.get_or_insert_default();
            more.took_out.resize_with(n_exceptions, Counts::default);
            for (i, count) in more.took_out.iter_mut().enumerate() {
                if exceptions & (1 << i) != 0 {
                    count.add(pane);
                }
            }
            more.raw.get_or_insert_with(|| group.net.clone()).add(w, ts, record, interner)
        } else {
            if let Some(raw) = group.more.as_mut().and_then(|m| m.raw.as_mut()) {
                raw.add(w, ts, record, interner);
            }
            group.net.add(w, ts, record, interner)
        };
        if counted {
            group.trail = self.trail.push(number, group.trail, exceptions != 0);
        }
        counted
    }

    /// Says when a group is due that has counted an event of a step.
    fn schedule(&mut self, slot: u32, w: &WindowPlan, pane: i64) {
        let Some(Some(group)) = self.groups.get_mut(slot as usize) else { return };
        // A window with too few events cannot hold, so its group is not judged; it is due only to be forgotten.
        let due = if group.is_hot(w) { pane + 1 } else { group.changes(w, pane).unwrap_or(pane + 1) };
        if due < group.due {
            group.due = due;
            self.due.entry(due).or_default().push(slot);
        }
    }

    fn insert(&mut self, w: &WindowPlan, key: &[u64], interner: &Interner) -> u32 {
        let (hash, key_bytes) = key_of(w, key, interner);
        let shard = hash as u8;
        let cut = self.lost.get(&shard).map_or(i64::MIN, |lost| lost.at);
        let group = Group {
            key: Key::from_slice(key),
            held: Held { shard, key_bytes, bytes: 0, cut },
            net: Lane::new(w),
            due: i64::MAX,
            trail: 0,
            session: None,
            holding: false,
            more: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.groups.get_mut(slot as usize) {
                    *place = Some(group);
                }
                slot
            }
            None => {
                // By an eighth: doubling would hold room for as many groups again.
                if self.groups.len() == self.groups.capacity() {
                    self.groups.reserve_exact(64.max(self.groups.len() / 8));
                }
                self.groups.push(Some(group));
                (self.groups.len() - 1) as u32
            }
        };
        let (groups, hasher) = (&self.groups, &self.hasher);
        self.table.insert_unique(hasher.hash_one(key), slot, |slot| hash_of(groups, hasher, *slot));
        slot
    }

    fn remove(&mut self, slot: u32) {
        let hash = hash_of(&self.groups, &self.hasher, slot);
        if let Ok(entry) = self.table.find_entry(hash, |s| *s == slot) {
            entry.remove();
        }
        if let Some(Some(group)) = self.groups.get_mut(slot as usize).map(Option::take) {
            // Of several keys an event, groups were never accounted for.
            let gone = group.held.bytes > 0;
            self.freed.push((group.held.shard, Freed { bytes: group.held.bytes.into(), gone }));
        }
        self.free.push(slot);
    }

    /// Calls `give_back` with shard and bytes of what went or shrank since the last call.
    pub(crate) fn drain_freed(&mut self, mut give_back: impl FnMut(u8, Freed)) {
        self.freed.drain(..).for_each(|(shard, freed)| give_back(shard, freed));
    }

    /// Calls `f` with each group's slot and what it is accounted at.
    pub(crate) fn each_held(&self, mut f: impl FnMut(u32, Held)) {
        let held = (0u32..).zip(&self.groups).filter_map(|(slot, group)| Some((slot, group.as_ref()?.held)));
        held.for_each(|(slot, held)| f(slot, held));
    }

    /// Whether a group of a shard has the slot.
    pub(crate) fn holds(&self, slot: u32, shard: u8) -> bool {
        matches!(self.groups.get(slot as usize), Some(Some(group)) if group.held.shard == shard)
    }

    /// How promising the group of a slot is; `None` where it is gone, and another stands there that is of another shard.
    pub(crate) fn promise(&self, slot: u32, shard: u8, w: &WindowPlan, interner: &Interner) -> Option<Promise> {
        let group = self.groups.get(slot as usize)?.as_ref().filter(|group| group.held.shard == shard)?;
        let events = group.widest();
        Some(Promise {
            has_episode: group.has_episode(),
            events: events.events(),
            last: events.last_pane().map_or(i64::MIN, |pane| pane.saturating_mul(w.step)),
            key: key_of(w, &group.key, interner).0,
        })
    }

    /// Lets a group go for want of room, at an event of a time: its violations under way end with the step.
    pub(crate) fn evict(&mut self, slot: u32, w: &WindowPlan, ts: i64, ended: &mut Vec<Ended>) {
        let Some(Some(group)) = self.groups.get_mut(slot as usize) else { return };
        let closed = ts.div_euclid(w.step) + 1;
        let more = group.more.take();
        let events = more.as_ref().and_then(|m| m.raw.as_ref()).unwrap_or(&group.net).events();
        let lost = self.lost.entry(group.held.shard).or_default();
        lost.groups += 1;
        lost.events += events;
        lost.at = ts;
        if let Some(more) = more {
            for (episode, exempted) in [(more.open, false), (more.exempted, true)] {
                if let Some(mut episode) = episode {
                    episode.cut = Some(ts);
                    if episode.holds {
                        episode.last = episode.last.max(closed - 1);
                    }
                    ended.push(Ended { key: group.key.clone(), episode: *episode, exempted, closed, merge: None });
                }
            }
        }
        self.with_episode.remove(&slot);
        self.remove(slot);
    }

    /// Forgets when groups that went were due, once they are more than those that are here.
    pub(crate) fn forget_due(&mut self) {
        let noted: usize = self.due.values().map(Vec::len).sum();
        if noted <= 2 * self.len() + DUE_SPARE {
            return;
        }
        self.due.clear();
        for (slot, group) in (0u32..).zip(&self.groups) {
            if let Some(group) = group.as_ref().filter(|group| group.due != i64::MAX) {
                self.due.entry(group.due).or_default().push(slot);
            }
        }
    }

    /// Forgets which events before a number each group counted.
    pub(crate) fn forget_before(&mut self, number: u64) {
        self.trail.forget_before(number);
    }

    /// What went for want of room, over all shards.
    pub(crate) fn groups_lost(&self) -> Lost {
        self.lost.values().fold(Lost::default(), |sum, lost| Lost {
            groups: sum.groups + lost.groups,
            events: sum.events + lost.events,
            at: sum.at.max(lost.at),
        })
    }

    /// Judges all groups due at the first due step; episodes that ended go to `ended`.
    pub(crate) fn judge_next(&mut self, plan: &RulePlan, w: &WindowPlan, bench: &Bench<'_>, ended: &mut Vec<Ended>) {
        let Some(step) = self.next_due() else { return };
        let mut slots = self.due.remove(&step).unwrap_or_default();
        slots.sort_unstable();
        slots.dedup();
        let reached = bench.events.number_at((step - w.panes).saturating_mul(w.step));
        self.trail.forget_before(reached.max(bench.events.first()));
        if let Some(many) = w.many.as_ref().filter(|many| many.merges) {
            self.judge_merging(step, &slots, many, plan, w, bench, ended);
            return;
        }
        let empty = empty_values(w, step, bench.interner);
        self.cohorts.resize_with(w.baselines.cohorts, Cohorts::default);
        for (number, b, _) in w.baselines.of_cohorts() {
            self.cohorts.iter_mut().skip(number).take(1).for_each(|c| c.advance(w, b, step));
        }
        let mut told = Vec::new();
        for slot in slots {
            let Some(Some(group)) = self.groups.get_mut(slot as usize) else { continue };
            if group.due != step {
                continue;
            }
            let back = Back { step, empty: &empty, cohorts: &self.cohorts, series: bench.series };
            let closes = group.judge(plan, w, bench, &self.trail, back, ended);
            group.remember(w, bench, back, &mut told);
            // What changes it next, events apart: its windows do, or a cooldown runs out.
            let next = closes.into_iter().flatten().chain(group.changes(w, step)).fold(i64::MAX, i64::min);
            let ticks = w.clocked && group.is_hot(w);
            let next = if ticks { step + 1 } else { next.max(step + 1) };
            // Of several keys an event, groups are not accounted for: nothing lets one of a campaign go by itself yet.
            let less = if w.many.is_none() { -group.account(w) } else { 0 };
            if less != 0 {
                self.freed.push((group.held.shard, Freed { bytes: less, gone: false }));
            }
            let (empty, episode) = (group.is_empty(), group.has_episode());
            if episode {
                self.with_episode.insert(slot);
            } else {
                self.with_episode.remove(&slot);
            }
            if empty && !episode {
                self.remove(slot);
            } else {
                group.due = next;
                self.due.entry(next).or_default().push(slot);
            }
        }
        for (number, window, told) in told {
            if let Some(cohorts) = self.cohorts.get_mut(number) {
                cohorts.tell(window, told);
            }
        }
    }

    /// Values of cohorts that were not begun for want of room.
    pub(crate) fn cohorts_dropped(&self) -> u64 {
        self.cohorts.iter().map(Cohorts::dropped).sum()
    }

    /// Calls `f` with each group that has an episode.
    pub(crate) fn with_episodes(&mut self, mut f: impl FnMut(&mut Group)) {
        for slot in &self.with_episode {
            if let Some(Some(group)) = self.groups.get_mut(*slot as usize) {
                f(group);
            }
        }
    }

    /// Every violation under way is news.
    pub(crate) fn tell_again(&mut self) {
        self.clusters.each(|cluster, _| cluster.episode.handed_out = None);
        self.with_episodes(|group| {
            let more = group.more.as_mut();
            let both = more.into_iter().flat_map(|m| m.open.iter_mut().chain(&mut m.exempted));
            both.for_each(|e| e.handed_out = None);
        });
    }

    /// Gives events other numbers, in the same order.
    pub(crate) fn renumber(&mut self, first_event: u64, number: &dyn Fn(u64) -> u64) {
        self.trail.renumber(first_event, number);
        self.sparse.renumber(number);
        self.clusters.renumber(number);
    }

    /// A copy, for a rule that keeps what another has counted; `None` where it cannot be written down.
    pub(crate) fn copy(&self) -> Option<Windows> {
        let mut copy: Windows = postcard::from_bytes(&postcard::to_stdvec(self).ok()?).ok()?;
        copy.rebuild();
        Some(copy)
    }

    /// What was counted goes on under another condition: nothing is under way, and all groups are judged at a step.
    pub(crate) fn begin_anew(&mut self, step: i64) {
        self.clusters = Clusters::default();
        self.with_episode.clear();
        self.due.clear();
        for (slot, group) in (0u32..).zip(&mut self.groups) {
            let Some(group) = group else { continue };
            if let Some(more) = &mut group.more {
                (more.open, more.exempted) = (None, None);
            }
            if group.more.as_ref().is_some_and(|m| m.raw.is_none()) {
                group.more = None;
            }
            (group.holding, group.due) = (false, step);
            self.due.entry(step).or_default().push(slot);
        }
    }

    pub(crate) fn has_episodes(&self) -> bool {
        !self.with_episode.is_empty() || !self.clusters.is_empty()
    }

    /// Marks every symbol in use.
    pub(crate) fn mark(&self, w: &WindowPlan, mark: &mut impl FnMut(u64)) {
        for group in self.groups.iter().flatten() {
            for (part, word) in w.per.iter().zip(&group.key) {
                if part.is_symbol() {
                    mark(*word);
                }
            }
            let more = group.more.as_deref();
            let lanes = || std::iter::once(&group.net).chain(more.and_then(|m| m.raw.as_ref()));
            let earlier = lanes().flat_map(|lane| lane.history()).flat_map(|h| h.iter());
            for lane in lanes().chain(earlier.filter_map(|e| e.counted.as_deref())) {
                for (plan, accumulator) in w.aggregates.iter().zip(lane.accumulators()) {
                    if plan.fold.keeps_symbols() {
                        accumulator.words(&mut *mark);
                    }
                }
            }
            for episode in more.into_iter().flat_map(|m| m.open.iter().chain(&m.exempted)) {
                episode.gathered.accounts.iter().for_each(|a| mark(*a));
            }
        }
        self.sparse.words(w, mark);
        self.clusters.mark(w, mark);
    }
}

/// A judged window as the environment of expressions.
#[derive(Clone, Copy)]
pub(super) struct WindowEnv<'a> {
    pub(super) lane: &'a Lane,
    pub(super) key: &'a Key,
    pub(super) w: &'a WindowPlan,
    pub(super) interner: &'a Interner,
    pub(super) span: Span,
    /// Earlier windows.
    pub(super) back: Back<'a>,
}

impl Env for WindowEnv<'_> {
    fn field(&self, _: FieldId) -> Value<'_> {
        Value::Unknown
    }

    fn aggregate(&self, index: u16) -> Val<'_> {
        match self.w.aggregates.get(usize::from(index)).map(|a| a.fold) {
            Some(Fold::Baseline { number }) => self.baseline(number).map_or(Val::Unknown, Val::Num),
            _ => self.lane.value(self.w, index, self.span, self.interner),
        }
    }

    fn key(&self, index: u16) -> Val<'_> {
        let at = usize::from(index);
        match (self.key.get(at), self.w.per.get(at)) {
            (Some(word), Some(part)) => part_value(*word, part, self.interner),
            _ => Val::Unknown,
        }
    }

    fn values_of_baseline(&self, number: u16) -> Val<'_> {
        self.baseline_values(number).map_or(Val::Unknown, Val::Num)
    }

    fn outage(&self, o: &OutagePlan) -> Truth {
        self.outage_within(o)
    }

    fn at(&self) -> Timestamp {
        Timestamp(self.span.end)
    }
}

impl WindowEnv<'_> {
    /// Whether the condition holds. Over no events it never does.
    fn holds(&self) -> bool {
        self.lane.events() > 0 && self.w.when.eval(self).is_true()
    }
}

impl Group {
    /// Whether its windows hold no event, and none is looked back to.
    fn is_empty(&self) -> bool {
        self.widest().is_empty()
    }

    fn has_episode(&self) -> bool {
        self.more.as_ref().is_some_and(|m| m.has_episode())
    }

    /// All events, exceptions included.
    fn widest(&self) -> &Lane {
        self.more.as_ref().and_then(|m| m.raw.as_ref()).unwrap_or(&self.net)
    }

    /// Accounts for what its window holds; by how much that is more or less than before.
    fn account(&mut self, w: &WindowPlan) -> i64 {
        let widest = self.more.as_ref().and_then(|m| m.raw.as_ref()).unwrap_or(&self.net);
        self.held.account(w, widest)
    }

    /// Drops all steps before `first`.
    fn expire(&mut self, w: &WindowPlan, first: i64) {
        self.net.expire(w, first);
        self.net.forget(w, first + w.panes);
        let Some(more) = &mut self.more else { return };
        more.took_out.iter_mut().for_each(|c| c.expire(first));
        if let Some(raw) = &mut more.raw {
            raw.expire(w, first);
            raw.forget(w, first + w.panes);
            if raw.is_like(&self.net) {
                more.raw = None;
            }
        }
        if more.raw.is_none() && !more.has_episode() {
            self.more = None;
        }
    }

    /// Takes note of an event of a rule over sessions: where it begins another session, the one before is forgotten.
    fn enter(&mut self, w: &WindowPlan, ts: i64) {
        if !self.session.as_mut().is_some_and(|session| session.goes_on(w, ts)) {
            self.leave(w);
            self.session = Some(Box::new(Session::new(ts)));
        }
    }

    /// Forgets its session.
    fn leave(&mut self, w: &WindowPlan) {
        self.session = None;
        self.net = Lane::new(w);
        self.trail = 0;
        if let Some(more) = &mut self.more {
            more.raw = None;
            more.took_out.clear();
            if !more.has_episode() {
                self.more = None;
            }
        }
    }

    /// The step after `at` at which its windows change, if no event comes: the session is over, or the first step leaves the
    /// window; where there are too few events to hold, the last. Windows to look back to change when one ends.
    fn changes(&self, w: &WindowPlan, at: i64) -> Option<i64> {
        if let Some(session) = &self.session {
            return Some(session.over_at(w));
        }
        let events = self.widest();
        if events.events() == 0 {
            return events.history().and_then(|h| h.gone_at(w));
        }
        let leaves = if self.is_hot(w) { events.first_pane() } else { events.last_pane() };
        let ends = (!w.baselines.is_empty()).then(|| next_end(w, at));
        leaves.map(|pane| pane + w.panes + 1).into_iter().chain(ends).min()
    }

    /// Whether its windows hold enough events, or an episode is under way.
    fn is_hot(&self, w: &WindowPlan) -> bool {
        // Of an account that others may join, every event and every step counts.
        let enough = w.view.is_some() || self.widest().events() >= w.events_needed;
        enough || self.has_episode() || self.holding
    }

    /// Drops what lies before the window of a step.
    fn pass(&mut self, step: i64, w: &WindowPlan) {
        self.expire(w, step - w.panes);
        if self.session.as_ref().is_some_and(|session| session.over_at(w) <= step) {
            self.leave(w);
        }
    }

    /// Beginning and end of the window of a step.
    fn span(&self, step: i64, w: &WindowPlan) -> Span {
        let end = step.saturating_mul(w.step);
        let start = self.session.as_ref().map_or(end.saturating_sub(w.length.0), |session| session.first);
        Span { start, end }
    }

    /// Per exception, the events of the window that it takes out.
    fn took_out(&self) -> Vec<u64> {
        self.more.iter().flat_map(|m| &m.took_out).map(Counts::total).collect()
    }

    /// Its window without the events that an exception takes out.
    fn net_env<'a>(&'a self, w: &'a WindowPlan, bench: &'a Bench<'_>, back: Back<'a>) -> WindowEnv<'a> {
        let span = self.span(back.step, w);
        WindowEnv { lane: &self.net, key: &self.key, w, interner: bench.interner, span, back }
    }

    /// Whether its condition holds: without the events that an exception takes out, and only with them.
    fn holds(&mut self, w: &WindowPlan, bench: &Bench<'_>, back: Back<'_>) -> [bool; 2] {
        self.pass(back.step, w);
        let env = self.net_env(w, bench, back);
        let raw = self.more.as_ref().and_then(|m| m.raw.as_ref());
        let net = env.holds();
        [net, !net && raw.is_some_and(|lane| WindowEnv { lane, ..env }.holds())]
    }

    /// Judges the group at a step; further steps at which it is due.
    fn judge(
        &mut self,
        plan: &RulePlan,
        w: &WindowPlan,
        bench: &Bench<'_>,
        trail: &Trail,
        back: Back<'_>,
        ended: &mut Vec<Ended>,
    ) -> [Option<i64>; 2] {
        let step = back.step;
        self.pass(step, w);
        let (key, interner, span) = (&self.key, bench.interner, self.span(step, w));
        let raw_lane = self.more.as_mut().and_then(|m| m.raw.take());
        let net_env = WindowEnv { lane: &self.net, key, w, interner, span, back };
        // What was counted before groups went is missing, where the window reaches back to it.
        // What is usual rests on the windows before as well.
        let cut = Some(self.held.cut).filter(|at| *at >= reach(w, span));
        let net = net_env.holds();
        let raw = !net && raw_lane.as_ref().is_some_and(|lane| WindowEnv { lane, ..net_env }.holds());
        let took_out = self.took_out();
        if let Some(watch) = bench.watch {
            look::look(watch, &net_env);
        }
        let mut machine = |episode: &mut Option<Box<Episode>>, holds: bool, lane: &Lane, exempted: bool| {
            if let Some(e) = episode
                && e.holds
            {
                // Nothing changed since it was last judged, so it held at every step until now.
                e.last = e.last.max(step - 1);
            }
            if holds {
                let env = WindowEnv { lane, ..net_env };
                match episode {
                    None => *episode = Some(Box::new(begin(plan, &env, took_out.clone()))),
                    Some(e) => go_on(e, &env),
                }
                if let Some(e) = episode {
                    let from = e.included().max(step - w.panes);
                    let found = contributors(trail, self.trail, exempted, from..step, w, bench.events);
                    e.include(step, lane.contributed(w, from..step), &found, bench.events);
                    e.cut = e.cut.max(cut);
                }
                return None;
            }
            let e = episode.as_mut()?;
            if e.holds {
                e.handed_out = None;
            }
            e.holds = false;
            let closes = e.last + (w.cooldown + w.step - 1).div_euclid(w.step);
            if step < closes {
                return Some(closes);
            }
            if let Some(episode) = episode.take() {
                ended.push(Ended { key: key.clone(), episode: *episode, exempted, closed: closes, merge: None });
            }
            None
        };
        let mut more = match self.more.take() {
            Some(more) => more,
            None if net => Box::default(),
            None => return [None, None],
        };
        let due = [
            machine(&mut more.open, net, &self.net, false),
            machine(&mut more.exempted, raw, raw_lane.as_ref().unwrap_or(&self.net), true),
        ];
        more.raw = raw_lane;
        self.more = Some(more).filter(|m| m.raw.is_some() || m.has_episode());
        due
    }
}

/// How far back what a window comes to rests on.
fn reach(w: &WindowPlan, span: Span) -> i64 {
    let back = if w.baselines.kept > 0 { w.length.0.saturating_mul(w.baselines.kept + 2) } else { 0 };
    span.start.saturating_sub(back)
}

/// The episode that begins with a window.
fn begin(plan: &RulePlan, env: &WindowEnv<'_>, took_out: Vec<u64>) -> Episode {
    let tracks = env.w.values.iter().map(|v| {
        let now = recorded(&v.scalar.eval(env));
        let estimates = estimates(v, env).collect();
        Track { crossing: now.clone(), peak: now.clone(), last: now, estimates }
    });
    Episode::new(env.back.step, Timestamp(env.span.start), tracks.collect(), because(plan, env), took_out)
}

/// The condition of an episode holds in a further window.
fn go_on(e: &mut Episode, env: &WindowEnv<'_>) {
    e.last = env.back.step;
    e.holds = true;
    for (v, track) in env.w.values.iter().zip(&mut e.tracks) {
        track.last = recorded(&v.scalar.eval(env));
        track.estimates.extend(estimates(v, env));
        let better = match (&track.peak, &track.last) {
            (Some(Scalar::Num(old)), Some(Scalar::Num(new))) => {
                if v.peaks_low() {
                    new < old
                } else {
                    new > old
                }
            }
            (None, Some(Scalar::Num(_))) => true,
            _ => false,
        };
        if better {
            track.peak = track.last.clone();
        }
    }
    e.handed_out = None;
}

/// Which aggregates of a value are estimates now, and how far they may be off.
fn estimates<'a>(v: &'a ValuePlan, env: &'a WindowEnv<'_>) -> impl Iterator<Item = (u16, Bound)> {
    v.estimated.iter().flat_map(|i| match env.w.aggregates.get(usize::from(*i)).map(|a| a.fold) {
        Some(Fold::Baseline { number }) => env.baseline_estimates(*i, number),
        _ => {
            let bound = env.lane.accumulators().get(usize::from(*i)).and_then(Accumulator::bound);
            bound.into_iter().map(|bound| (*i, bound)).collect()
        }
    })
}

/// Numbers of the events that a group counted in the steps of a range, in order, as far as they are held.
fn contributors(
    trail: &Trail,
    end: End,
    excepted_too: bool,
    steps: std::ops::Range<i64>,
    w: &WindowPlan,
    events: &Events,
) -> Vec<u64> {
    let mut found = Vec::new();
    for (number, excepted) in trail.walk(end, events.first()) {
        let Some(event) = events.get(number) else { break };
        let step = event.ts.div_euclid(w.step);
        if step < steps.start {
            break;
        }
        if step < steps.end && (excepted_too || !excepted) {
            found.push(number);
        }
    }
    found.reverse();
    found
}

/// A hash of a key by its texts, the same in every run, and the bytes that it is accounted at.
fn key_of(w: &WindowPlan, key: &[u64], interner: &Interner) -> (u64, u16) {
    let (mut bytes, mut accounted) = (SmallVec::<[u8; 64]>::new(), 0u64);
    for (part, word) in w.per.iter().zip(key) {
        if is_symbol(&part.ty) {
            let text = interner.get(*word);
            bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
            bytes.extend_from_slice(text);
            accounted += TEXT_BYTES + text.len() as u64;
        } else {
            bytes.extend_from_slice(&word.to_be_bytes());
            accounted += NUMBER_BYTES;
        }
    }
    (xxhash_rust::xxh3::xxh3_64(&bytes), u16::try_from(accounted).unwrap_or(u16::MAX))
}

fn hash_of(groups: &[Option<Group>], hasher: &foldhash::fast::FixedState, slot: u32) -> u64 {
    match groups.get(slot as usize) {
        Some(Some(group)) => hasher.hash_one(&group.key[..]),
        _ => 0,
    }
}

/// A value as it goes into a record.
pub(crate) fn recorded(v: &Val<'_>) -> Option<Scalar> {
    match v {
        Val::Unknown => None,
        Val::Bool(b) => Some(Scalar::Bool(*b)),
        Val::Num(n) => Some(Scalar::Num(*n)),
        Val::Text(t) => Some(Scalar::Text(t.to_string())),
        Val::Ip(ip) => Some(Scalar::Text(ip.to_string())),
        Val::Net(net) => Some(Scalar::Text(net.to_string())),
        Val::Texts(t) => Some(Scalar::Text(t.join(", "))),
        Val::Fingerprints(all) => Some(Scalar::Text(all.iter().map(|f| to_text(*f)).collect::<Vec<_>>().join(", "))),
    }
}

/// The reason, with values in place.
pub(crate) fn because<E: Env>(plan: &RulePlan, env: &E) -> String {
    let mut out = String::new();
    for (text, value) in &plan.because {
        match value {
            None => out.push_str(text),
            Some((ty, scalar)) => write_value(&mut out, ty, &scalar.eval(env)),
        }
    }
    out
}

fn write_value(out: &mut String, ty: &Type, v: &Val<'_>) {
    match recorded(v) {
        None => out.push_str("unknown"),
        Some(Scalar::Bool(b)) => out.push_str(if b { "true" } else { "false" }),
        Some(Scalar::Num(n)) => {
            let _ = crate::value::write_number(out, ty, n);
        }
        Some(Scalar::Text(t)) => out.push_str(&t),
    }
}

impl HeapBytes for Windows {
    fn heap_bytes(&self) -> usize {
        let groups: usize = self.groups.iter().flatten().map(HeapBytes::heap_bytes).sum();
        let due: usize = self.due.values().map(HeapBytes::heap_bytes).sum();
        groups
            + due
            + self.groups.heap_bytes()
            + self.table.allocation_size()
            + self.free.heap_bytes()
            + self.trail.heap_bytes()
            + self.cohorts.iter().map(HeapBytes::heap_bytes).sum::<usize>()
            + self.sparse.heap_bytes()
    }
}

impl HeapBytes for Group {
    fn heap_bytes(&self) -> usize {
        let key = if self.key.spilled() { self.key.capacity() * size_of::<u64>() } else { 0 };
        let more = self.more.as_deref().map_or(0, |m| {
            size_of::<More>() + m.took_out.heap_bytes() + m.raw.as_ref().map_or(0, HeapBytes::heap_bytes)
        });
        let session = self.session.as_ref().map_or(0, |_| size_of::<Session>());
        key + more + session + self.net.heap_bytes()
    }
}
