//! Groups that are one campaign. A template has many fingerprints, and each is a group; those that fire at one step and share
//! events enough are one template, and templates that share accounts enough are one campaign. It is one violation: named after
//! the fingerprint with the most events when it opened, with the values of the strongest at each step, and with the events
//! and accounts of all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::overlap::{self, Classes};
use super::{Bench, Ended, Group, WindowEnv, begin, contributors, go_on};
use crate::eval::back::Back;
use crate::eval::episode::{Episode, Gathered, Track};
use crate::eval::events::{Events, NO_ACCOUNT};
use crate::eval::trail::Trail;
use crate::plan::rule::{Key, RulePlan, WindowPlan};
use crate::violation::Scalar;

/// Fewest accounts that two templates have in common to be of one campaign: of one account all templates are.
const SHARED_ACCOUNTS_MIN: u64 = 2;

/// What a merged violation has beside its episode.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Merge {
    /// How many groups it was at a step.
    pub(crate) groups: Track,
    /// The violation that it became part of: its group and first true step.
    pub(crate) into: Option<(Key, i64)>,
}

/// A merged violation under way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    /// The group that it is named after.
    pub(crate) key: Key,
    /// Values whose groups are part of it, each with the step before which its events are in the evidence.
    members: BTreeMap<u64, i64>,
    pub(crate) episode: Episode,
    pub(crate) merge: Merge,
    union: Union,
}

/// The events of all groups of a cluster, in order. Those of the window are known by number, because a group that joins
/// may bring events that lie before others.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Union {
    numbers: VecDeque<u64>,
    /// Evidence of the events before them.
    before: Gathered,
    /// Events that were no longer held when they were to be named.
    unheld: u64,
}

/// Groups that may become one: of one rule and of the same other parts of the key; with excepted events or without.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct FamilyId {
    exempted: bool,
    /// The key, without its part of several values.
    rest: Key,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Family {
    /// Groups whose condition holds.
    holding: BTreeSet<u32>,
    open: Vec<Cluster>,
}

/// All merged violations of one rule.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Clusters {
    families: BTreeMap<FamilyId, Family>,
    due: BTreeMap<i64, BTreeSet<FamilyId>>,
}

/// What a judgement needs beside the clusters.
pub(super) struct Court<'a> {
    pub(super) plan: &'a RulePlan,
    pub(super) w: &'a WindowPlan,
    pub(super) bench: &'a Bench<'a>,
    pub(super) groups: &'a [Option<Group>],
    pub(super) trail: &'a Trail,
}

/// Families that must be judged at a step.
#[derive(Default)]
pub(super) struct Touched(BTreeSet<FamilyId>);

impl Clusters {
    /// The next step that is due.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.due.first_key_value().map(|(step, _)| *step)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.families.values().all(|family| family.open.is_empty())
    }

    /// Takes out what is due at a step.
    pub(super) fn take_due(&mut self, step: i64) -> Touched {
        Touched(self.due.remove(&step).unwrap_or_default())
    }

    /// Notes whether the condition of a group holds, without what exceptions take out, and only with it.
    pub(super) fn note(&mut self, at: usize, key: &Key, slot: u32, holds: [bool; 2], touched: &mut Touched) {
        for (exempted, holds) in [false, true].into_iter().zip(holds) {
            let id = FamilyId { exempted, rest: rest(key, at) };
            let known = self.families.get_mut(&id);
            let changed = match known {
                Some(family) if holds => {
                    family.holding.insert(slot);
                    true
                }
                Some(family) => family.holding.remove(&slot),
                None if holds => {
                    let family = Family { holding: BTreeSet::from([slot]), open: Vec::new() };
                    self.families.insert(id.clone(), family);
                    true
                }
                None => false,
            };
            if changed {
                touched.0.insert(id);
            }
        }
    }

    /// A group whose window is empty is part of nothing any more.
    pub(super) fn leave(&mut self, at: usize, key: &Key) {
        let Some(value) = key.get(at) else { return };
        for exempted in [false, true] {
            if let Some(family) = self.families.get_mut(&FamilyId { exempted, rest: rest(key, at) }) {
                family.open.iter_mut().for_each(|c| {
                    c.members.remove(value);
                });
            }
        }
    }

    /// Judges the touched families at a step; violations that ended go to `ended`.
    pub(super) fn judge(&mut self, step: i64, touched: Touched, court: &Court<'_>, ended: &mut Vec<Ended>) {
        for id in touched.0 {
            let Some(family) = self.families.get_mut(&id) else { continue };
            family.judge(step, id.exempted, court, ended);
            if let Some(next) = family.next_due(step, court) {
                self.due.entry(next).or_default().insert(id);
            } else if family.open.is_empty() && family.holding.is_empty() {
                self.families.remove(&id);
            }
        }
    }

    /// Gives events other numbers, in the same order.
    pub(super) fn renumber(&mut self, number: &dyn Fn(u64) -> u64) {
        for c in self.families.values_mut().flat_map(|family| &mut family.open) {
            c.union.numbers.iter_mut().for_each(|n| *n = number(*n));
        }
    }

    /// Calls `f` with each cluster and whether it is exempted.
    pub(crate) fn each(&mut self, mut f: impl FnMut(&mut Cluster, bool)) {
        for (id, family) in &mut self.families {
            family.open.iter_mut().for_each(|c| f(c, id.exempted));
        }
    }

    /// Marks every symbol in use.
    pub(super) fn mark(&self, w: &WindowPlan, mark: &mut impl FnMut(u64)) {
        for (id, family) in &self.families {
            let keys = std::iter::once(&id.rest).chain(family.open.iter().map(|c| &c.key));
            for (part, word) in keys.flat_map(|key| w.per.iter().zip(key)) {
                if part.is_symbol() {
                    mark(*word);
                }
            }
            for c in &family.open {
                c.episode.gathered.accounts.iter().chain(&c.union.before.accounts).for_each(|a| mark(*a));
            }
        }
    }
}

/// A key without its part of several values.
fn rest(key: &Key, at: usize) -> Key {
    let mut rest = key.clone();
    if let Some(part) = rest.get_mut(at) {
        *part = 0;
    }
    rest
}

impl Family {
    /// When it must be looked at again, if no group changes before: an event leaves the window, or a cooldown runs out.
    fn next_due(&self, step: i64, court: &Court<'_>) -> Option<i64> {
        let w = court.w;
        let leaves = |c: &Cluster| {
            let first = c.union.numbers.front().and_then(|n| court.bench.events.get(*n))?;
            Some(first.ts.div_euclid(w.step) + w.panes + 1)
        };
        let closes = |c: &Cluster| (!c.episode.holds).then(|| closes(&c.episode, w));
        let due = self.open.iter().flat_map(|c| leaves(c).into_iter().chain(closes(c))).min();
        due.map(|due| due.max(step + 1))
    }

    fn judge(&mut self, step: i64, exempted: bool, court: &Court<'_>, ended: &mut Vec<Ended>) {
        for c in &mut self.open {
            if c.episode.holds {
                // Nothing changed since it was last judged, so it held at every step until now.
                c.episode.last = c.episode.last.max(step - 1);
            }
            c.union.expire(step, court);
        }
        for found in self.campaigns(step, exempted, court) {
            self.hold(step, exempted, &found, court, ended);
        }
        for c in std::mem::take(&mut self.open) {
            self.open.extend(c.rest(step, exempted, court, ended));
        }
    }

    /// The groups that hold, put together: each campaign as its groups, ascending by value, with the clusters that it goes on.
    fn campaigns(&self, step: i64, exempted: bool, court: &Court<'_>) -> Vec<Campaign> {
        let at = court.w.many.as_ref().map_or(0, |many| many.at);
        let group = |slot: &u32| court.groups.get(*slot as usize).and_then(Option::as_ref);
        let value = |slot: &u32| group(slot).and_then(|g| g.key.get(at)).copied().unwrap_or(0);
        let mut holding: Vec<(u64, u32)> = self.holding.iter().map(|slot| (value(slot), *slot)).collect();
        holding.sort_unstable();
        let n = holding.len();
        let mut classes = Classes::new(n + self.open.len());
        for (i, (value, _)) in holding.iter().enumerate() {
            if let Some(known) = self.open.iter().position(|c| c.members.contains_key(value)) {
                classes.join(i, n + known);
            }
        }
        let several = |classes: &Classes| (1..n).any(|i| classes.of(i) != classes.of(0));
        if several(&classes) {
            let steps = step - court.w.panes..step;
            let events = |slot: &u32| {
                let Some(group) = group(slot) else { return Vec::new() };
                contributors(court.trail, group.trail, exempted, steps.clone(), court.w, court.bench.events)
            };
            let events: Vec<Vec<u64>> = holding.iter().map(|(_, slot)| events(slot)).collect();
            let mut templates = Classes::new(n);
            overlap::join(&events, 1, &mut templates);
            (0..n).for_each(|i| classes.join(i, templates.of(i)));
            if several(&classes) {
                by_accounts(&events, court.bench.events, &templates, &mut classes);
            }
        }
        let mut found: BTreeMap<usize, Campaign> = BTreeMap::new();
        for (i, group) in holding.into_iter().enumerate() {
            found.entry(classes.of(i)).or_default().groups.push(group);
        }
        for (i, c) in self.open.iter().enumerate() {
            if let Some(campaign) = found.get_mut(&classes.of(n + i)) {
                campaign.goes_on.push((c.episode.first, c.key.get(at).copied().unwrap_or(0)));
            }
        }
        let mut found: Vec<Campaign> = found.into_values().collect();
        // The one that opened first goes on.
        found.iter_mut().for_each(|campaign| campaign.goes_on.sort_unstable());
        found
    }

    /// Takes in a campaign whose groups hold at a step.
    fn hold(&mut self, step: i64, exempted: bool, found: &Campaign, court: &Court<'_>, ended: &mut Vec<Ended>) {
        let (w, interner) = (court.w, court.bench.interner);
        let at = w.many.as_ref().map_or(0, |many| many.at);
        let name = |c: &Cluster| (c.episode.first, c.key.get(at).copied().unwrap_or(0));
        let group = |slot: u32| court.groups.get(slot as usize).and_then(Option::as_ref);
        let lane = |g: &'_ Group| if exempted { g.widest().events() } else { g.net.events() };
        let strength = |(value, slot): &(u64, u32)| (group(*slot).map_or(0, lane), std::cmp::Reverse(*value));
        let Some(strongest) = found.groups.iter().max_by_key(|g| strength(g)).and_then(|(_, slot)| group(*slot)) else {
            return;
        };
        let lane = if exempted { strongest.widest() } else { &strongest.net };
        let span = strongest.span(step, w);
        let back = Back { step, series: court.bench.series, ..Back::nothing() };
        let n = Some(Scalar::Num(found.groups.len() as i64));
        let own = found.goes_on.first().and_then(|first| self.open.iter().position(|c| name(c) == *first));
        let mut cluster = match own {
            Some(own) => {
                let mut cluster = self.open.swap_remove(own);
                let env = WindowEnv { lane, key: &cluster.key, w, interner, span, back };
                go_on(&mut cluster.episode, &env);
                let groups = &mut cluster.merge.groups;
                groups.peak = groups.peak.take().max(n.clone());
                groups.last = n;
                cluster
            }
            None => {
                let key = strongest.key.clone();
                let env = WindowEnv { lane, key: &key, w, interner, span, back };
                let episode = begin(court.plan, &env, strongest.took_out());
                let groups = Track { crossing: n.clone(), peak: n.clone(), last: n, estimates: BTreeSet::new() };
                let merge = Merge { groups, into: None };
                Cluster { key, members: BTreeMap::new(), episode, merge, union: Union::default() }
            }
        };
        let (first, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.open).into_iter().partition(|c| !found.goes_on.contains(&name(c)));
        self.open = first;
        for other in others {
            cluster.members.extend(other.members.keys().map(|value| (*value, i64::MIN)));
            let into = Some((cluster.key.clone(), cluster.episode.first));
            let merge = Some(Box::new(Merge { into, ..other.merge }));
            ended.push(Ended { key: other.key, episode: other.episode, exempted, closed: step, merge });
        }
        cluster.gather(step, exempted, found, court);
        self.open.push(cluster);
    }
}

/// Joins the templates whose accounts are mostly the same: `events` are those of each group. What clusters there are already
/// has no part in it, or a step at which nothing happens could join more.
fn by_accounts(events: &[Vec<u64>], held: &Events, templates: &Classes, classes: &mut Classes) {
    let mut accounts: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for (i, numbers) in events.iter().enumerate() {
        let known = numbers.iter().filter_map(|n| held.get(*n)).map(|e| e.account).filter(|a| *a != NO_ACCOUNT);
        accounts.entry(templates.of(i)).or_default().extend(known);
    }
    let (templates, sets): (Vec<usize>, Vec<Vec<u64>>) =
        accounts.into_iter().map(|(template, all)| (template, all.into_iter().collect::<Vec<u64>>())).unzip();
    let mut alike = Classes::new(templates.len());
    overlap::join(&sets, SHARED_ACCOUNTS_MIN, &mut alike);
    for (i, template) in templates.iter().enumerate() {
        if let Some(same) = templates.get(alike.of(i)) {
            classes.join(*template, *same);
        }
    }
}

/// Groups of one campaign that hold at a step.
#[derive(Debug, Default)]
struct Campaign {
    /// (value, slot), ascending.
    groups: Vec<(u64, u32)>,
    /// The clusters that it goes on, as (first true step, value), the one that opened first before the others.
    goes_on: Vec<(i64, u64)>,
}

/// The step at which an episode is over that does not hold any more.
fn closes(e: &Episode, w: &WindowPlan) -> i64 {
    e.last + (w.cooldown + w.step - 1).div_euclid(w.step)
}

impl Cluster {
    /// Takes in the events of its groups that are not in the evidence yet.
    fn gather(&mut self, step: i64, exempted: bool, found: &Campaign, court: &Court<'_>) {
        let (w, events) = (court.w, court.bench.events);
        let (mut numbers, mut unheld) = (Vec::new(), 0);
        for (value, slot) in &found.groups {
            let Some(group) = court.groups.get(*slot as usize).and_then(Option::as_ref) else { continue };
            let included = self.members.entry(*value).or_insert(i64::MIN);
            let from = (*included).max(step - w.panes);
            *included = step;
            let own = contributors(court.trail, group.trail, exempted, from..step, w, events);
            let lane = if exempted { group.widest() } else { &group.net };
            unheld = lane.contributed(w, from..step).saturating_sub(own.len() as u64).max(unheld);
            numbers.extend(own);
        }
        self.union.take(numbers, unheld, events, &mut self.episode.gathered);
        if step == self.episode.first {
            self.episode.gathered.cross();
        }
    }

    /// What becomes of it where none of its groups holds at a step: it stays until its cooldown is over.
    fn rest(mut self, step: i64, exempted: bool, court: &Court<'_>, ended: &mut Vec<Ended>) -> Option<Cluster> {
        let e = &mut self.episode;
        if e.holds && e.last >= step {
            return Some(self);
        }
        if e.holds {
            e.handed_out = None;
        }
        e.holds = false;
        let closes = closes(e, court.w);
        if step < closes {
            return Some(self);
        }
        let merge = Some(Box::new(self.merge));
        ended.push(Ended { key: self.key, episode: self.episode, exempted, closed: closes, merge });
        None
    }
}

impl Union {
    /// Puts the events that have left the window behind: no group that joins can bring one before them.
    fn expire(&mut self, step: i64, court: &Court<'_>) {
        let first = step - court.w.panes;
        while let Some(number) = self.numbers.front() {
            match court.bench.events.get(*number) {
                Some(event) if event.ts.div_euclid(court.w.step) >= first => break,
                Some(event) => self.before.add(event),
                None => self.before.forget(1),
            }
            self.numbers.pop_front();
        }
    }

    /// Takes in events; `all` is the evidence of all of them.
    fn take(&mut self, mut numbers: Vec<u64>, unheld: u64, events: &Events, all: &mut Gathered) {
        self.unheld += unheld;
        all.forget(unheld);
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|n| self.numbers.binary_search(n).is_err());
        let Some(first) = numbers.first() else { return };
        let in_order = self.numbers.back().is_none_or(|last| last < first);
        self.numbers.extend(&numbers);
        if in_order {
            numbers.iter().filter_map(|n| events.get(*n)).for_each(|event| all.add(event));
            return;
        }
        self.numbers.make_contiguous().sort_unstable();
        let crossing = all.take_crossing();
        *all = self.before.clone();
        all.forget(self.unheld);
        self.numbers.iter().filter_map(|n| events.get(*n)).for_each(|event| all.add(event));
        all.set_crossing(crossing);
    }
}
