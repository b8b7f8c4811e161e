//! The windows of a rule that groups by a link. What it counts is kept per account, for groups change; at a step the accounts
//! of a group are put together and judged as one. Episodes belong to groups, and outlive the accounts that were in them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ago::Ago;
use super::joined::{LinkedEpisode, hold};
use super::{Bench, Group, Windows, reach};
use crate::eval::accumulate::{Counts, Span};
use crate::eval::back::outage_within;
use crate::eval::episode::Episode;
use crate::eval::footprint::HeapBytes;
use crate::eval::intern::Interner;
use crate::eval::lane::Lane;
use crate::eval::link::{Changes, Link, LinkGroup};
use crate::eval::room::Freed;
use crate::eval::series::Series;
use crate::event::FieldId;
use crate::hir::LinkValue;
use crate::plan::link::LinkPlan;
use crate::plan::rule::{Fold, RulePlan, WindowPlan};
use crate::plan::scalar::{Env, OutagePlan, Val, divide_rounded};
use crate::template::FingerprintKey;
use crate::time::Timestamp;
use crate::value::{MICROS, Truth, Value};

/// The episodes of one rule by the group that they belong to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct LinkedEpisodes {
    groups: BTreeMap<u32, Episodes>,
    /// Groups that are due without an event: a cooldown runs out.
    due: BTreeMap<i64, Vec<u32>>,
}

/// What is under way for one group.
#[derive(Debug, Serialize, Deserialize)]
struct Episodes {
    /// By what the group is known.
    name: String,
    open: Option<Box<LinkedEpisode>>,
    exempted: Option<Box<LinkedEpisode>>,
}

/// Where an episode went on.
#[derive(Debug, Clone)]
pub(crate) struct MergedInto {
    /// By what the group is known.
    pub(crate) group: String,
    /// First true step of its episode, if it has one.
    pub(crate) first: Option<i64>,
}

/// An episode that has ended.
pub(crate) struct LinkedEnded {
    pub(crate) name: String,
    pub(crate) episode: Box<LinkedEpisode>,
    pub(crate) exempted: bool,
    pub(crate) closed: i64,
    pub(crate) merged: Option<MergedInto>,
}

/// One step of a rule that groups by a link.
#[derive(Clone, Copy)]
pub(crate) struct Judging<'a> {
    pub(crate) step: i64,
    pub(crate) plan: &'a RulePlan,
    pub(crate) w: &'a WindowPlan,
    pub(crate) bench: &'a Bench<'a>,
    pub(crate) linked: Linked<'a>,
}

/// The link as a judgement sees it.
#[derive(Clone, Copy)]
pub(crate) struct Linked<'a> {
    pub(crate) link: &'a Link,
    pub(crate) plan: &'a LinkPlan,
    pub(crate) key: &'a FingerprintKey,
}

impl LinkedEpisodes {
    /// The next step at which a group is due without an event.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.due.first_key_value().map(|(step, _)| *step)
    }

    /// Whether anything is under way.
    pub(crate) fn any(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Calls `f` with the name of the group of each episode under way, and whether it is exempted.
    pub(crate) fn each(&mut self, mut f: impl FnMut(&str, &mut LinkedEpisode, bool)) {
        for group in self.groups.values_mut() {
            for (episode, exempted) in [(&mut group.open, false), (&mut group.exempted, true)] {
                episode.iter_mut().for_each(|e| f(&group.name, e, exempted));
            }
        }
    }

    /// Marks every symbol in use.
    pub(crate) fn mark(&self, mark: &mut impl FnMut(u64)) {
        for e in self.groups.values().flat_map(|g| g.open.iter().chain(&g.exempted)) {
            e.mark(mark);
        }
    }
}

/// What one account counted, as far as its windows hold it.
pub(super) struct Share<'w> {
    pub(super) symbol: u64,
    pub(super) group: &'w Group,
}

impl Share<'_> {
    pub(super) fn lane(&self, excepted_too: bool) -> &Lane {
        match self.group.more.as_ref().and_then(|m| m.raw.as_ref()) {
            Some(raw) if excepted_too => raw,
            _ => &self.group.net,
        }
    }
}

impl Windows {
    /// Judges the groups of a link at a step: those that hold an account whose windows changed, those that became others,
    /// and those that are due.
    pub(crate) fn judge_linked(
        &mut self,
        at: &Judging<'_>,
        changes: &Changes,
        episodes: &mut LinkedEpisodes,
        ended: &mut Vec<LinkedEnded>,
    ) {
        let Judging { step, w, bench, linked, .. } = *at;
        let mut touched = self.pass(step, w, bench, linked.link);
        touched.extend(changes.changed.iter().chain(&changes.gone));
        while let Some(due) = episodes.due.first_entry().filter(|due| *due.key() <= step) {
            touched.extend(due.remove());
        }
        // What lies before this window is final.
        let settled = bench.events.number_at((step - w.panes).saturating_mul(w.step));
        episodes.each(|_, e, _| e.settle(settled, bench.events));
        for (id, group) in &mut episodes.groups {
            if changes.changed.contains(id) {
                group.open.iter_mut().chain(&mut group.exempted).for_each(|e| e.edges_stale = true);
            }
        }
        // Groups that became part of others, and what was under way for them.
        let mut merged = Vec::new();
        for (from, into) in &changes.merged {
            touched.remove(from);
            let Some(group) = episodes.groups.remove(from) else { continue };
            for (episode, exempted) in [(group.open, false), (group.exempted, true)] {
                let Some(mut e) = episode else { continue };
                if e.episode.holds {
                    e.episode.last = e.episode.last.max(step - 1);
                }
                let closed = closes(&e.episode, w);
                let over = !e.episode.holds && closed <= step;
                let ends = LinkedEnded {
                    name: group.name.clone(),
                    episode: e,
                    exempted,
                    closed: if over { closed } else { step },
                    merged: None,
                };
                if over { ended.push(ends) } else { merged.push((*into, ends)) }
            }
        }
        for id in touched {
            self.judge_group(id, at, episodes, ended);
        }
        for (into, mut ends) in merged {
            let group = episodes.groups.get(&into);
            let episode = group.and_then(|g| {
                let (same, other) = if ends.exempted { (&g.exempted, &g.open) } else { (&g.open, &g.exempted) };
                same.as_ref().or(other.as_ref())
            });
            let name = linked.link.group(into).map(|g| g.name(bench.interner)).unwrap_or_default();
            ends.merged = Some(MergedInto { group: name, first: episode.map(|e| e.episode.first) });
            ended.push(ends);
        }
    }

    /// Lets time pass for the accounts that are due; the groups they are in.
    fn pass(&mut self, step: i64, w: &WindowPlan, bench: &Bench<'_>, link: &Link) -> BTreeSet<u32> {
        let reached = bench.events.number_at((step - w.panes).saturating_mul(w.step));
        self.trail.forget_before(reached.max(bench.events.first()));
        let mut touched = BTreeSet::new();
        while let Some(due) = self.due.first_entry().filter(|due| *due.key() <= step) {
            let mut slots = due.remove();
            slots.sort_unstable();
            slots.dedup();
            for slot in slots {
                let Some(Some(group)) = self.groups.get_mut(slot as usize) else { continue };
                if group.due > step {
                    continue;
                }
                touched.extend(group.key.first().and_then(|symbol| link.group_of(*symbol)));
                group.expire(w, step - w.panes);
                group.remember_counted(w, step, bench.interner);
                let less = -group.account(w);
                if less != 0 {
                    self.freed.push((group.held.shard, Freed { bytes: less, gone: false }));
                }
                if group.is_empty() {
                    self.remove(slot);
                    continue;
                }
                let next = if w.clocked { step + 1 } else { group.changes(w, step).unwrap_or(step + 1).max(step + 1) };
                group.due = next;
                self.due.entry(next).or_default().push(slot);
            }
        }
        touched
    }

    fn judge_group(&self, id: u32, at: &Judging<'_>, episodes: &mut LinkedEpisodes, ended: &mut Vec<LinkedEnded>) {
        let Judging { step, plan, w, bench, linked } = *at;
        let shares: Vec<Share<'_>> = linked.link.members(id).filter_map(|symbol| self.share(symbol)).collect();
        let group = linked.link.group(id);
        if group.is_none() && !episodes.groups.contains_key(&id) {
            return;
        }
        let end = step.saturating_mul(w.step);
        let span = Span { start: end.saturating_sub(w.length.0), end };
        let name = match (episodes.groups.get(&id), group) {
            (Some(known), _) => known.name.clone(),
            (None, Some(group)) => group.name(bench.interner),
            (None, None) => String::new(),
        };
        let judged = |excepted_too: bool| {
            let lanes = || shares.iter().map(|s| s.lane(excepted_too));
            let events: u64 = lanes().map(Lane::events).sum();
            if events < w.events_needed {
                return None;
            }
            let mut whole = Lane::new(w);
            lanes().for_each(|lane| whole.absorb(lane, bench.interner));
            let ago = Ago::new(lanes().collect(), step);
            let env = LinkedEnv {
                lane: &whole,
                name: &name,
                w,
                interner: bench.interner,
                series: bench.series,
                span,
                group,
                plan: linked.plan,
                ago: Some(&ago),
            };
            w.when.eval(&env).is_true().then_some((whole, ago))
        };
        let net = judged(false);
        let has_raw = shares.iter().any(|s| s.group.more.as_ref().is_some_and(|m| m.raw.is_some()));
        let raw = if net.is_none() && has_raw { judged(true) } else { None };
        let known = episodes.groups.get_mut(&id);
        if known.is_none() && net.is_none() && raw.is_none() {
            return;
        }
        // Which of its accounts were let go for want of room is not known any more: any may have been.
        let cut = self.lost.values().map(|lost| lost.at).max().filter(|at| *at >= reach(w, span));
        let under_way = episodes.groups.entry(id).or_insert_with(|| Episodes { name, open: None, exempted: None });
        let mut next: Option<i64> = None;
        for (held, exempted) in [(net, false), (raw, true)] {
            let Episodes { name, open, exempted: other } = under_way;
            let slot = if exempted { other } else { open };
            if let Some((lane, ago)) = &held {
                let env = LinkedEnv {
                    lane,
                    name,
                    w,
                    interner: bench.interner,
                    series: bench.series,
                    span,
                    group,
                    plan: linked.plan,
                    ago: Some(ago),
                };
                let e = hold(slot, at, &env, || took_out(plan, &shares));
                e.join(id, linked, bench.interner);
                e.episode.cut = e.episode.cut.max(cut);
                for share in &shares {
                    e.include(at, share, exempted, &self.trail);
                }
                if e.episode.first == step {
                    e.cross(bench.events);
                }
                continue;
            }
            let Some(e) = slot else { continue };
            if e.episode.holds {
                // Nothing changed since it was last judged, so it held at every step until now.
                e.episode.last = e.episode.last.max(step - 1);
                e.episode.handed_out = None;
            }
            e.episode.holds = false;
            let closed = closes(&e.episode, w);
            if step < closed {
                next = Some(next.map_or(closed, |n| n.min(closed)));
            } else if let Some(episode) = slot.take() {
                ended.push(LinkedEnded { name: name.clone(), episode, exempted, closed, merged: None });
            }
        }
        if under_way.open.is_none() && under_way.exempted.is_none() {
            episodes.groups.remove(&id);
        }
        if let Some(next) = next {
            episodes.due.entry(next).or_default().push(id);
        }
    }

    fn share(&self, symbol: u64) -> Option<Share<'_>> {
        use std::hash::BuildHasher;
        let same = |slot: &u32| matches!(self.groups.get(*slot as usize), Some(Some(g)) if g.key[..] == [symbol]);
        let slot = self.table.find(self.hasher.hash_one(&[symbol][..]), same)?;
        let group = self.groups.get(*slot as usize)?.as_ref()?;
        Some(Share { symbol, group })
    }
}

/// The step at which an episode that does not hold is over.
fn closes(e: &Episode, w: &WindowPlan) -> i64 {
    e.last + (w.cooldown + w.step - 1).div_euclid(w.step)
}

/// Per exception, the events that it takes out of the windows of all accounts.
fn took_out(plan: &RulePlan, shares: &[Share<'_>]) -> Vec<u64> {
    let each = |i: usize| shares.iter().filter_map(move |s| s.group.more.as_ref()?.took_out.get(i).map(Counts::total));
    let any = shares.iter().any(|s| s.group.more.as_ref().is_some_and(|m| !m.took_out.is_empty()));
    let n = if any { plan.exceptions.len() } else { 0 };
    (0..n).map(|i| each(i).sum()).collect()
}

/// A link group at a step as the environment of expressions.
#[derive(Clone, Copy)]
pub(super) struct LinkedEnv<'a> {
    pub(super) lane: &'a Lane,
    pub(super) name: &'a str,
    pub(super) w: &'a WindowPlan,
    pub(super) interner: &'a Interner,
    pub(super) series: &'a [Series],
    pub(super) span: Span,
    pub(super) group: Option<&'a LinkGroup>,
    pub(super) plan: &'a LinkPlan,
    /// Earlier windows of the same accounts.
    pub(super) ago: Option<&'a Ago<'a>>,
}

impl Env for LinkedEnv<'_> {
    fn field(&self, _: FieldId) -> Value<'_> {
        Value::Unknown
    }

    fn aggregate(&self, index: u16) -> Val<'_> {
        match self.w.aggregates.get(usize::from(index)).map(|a| a.fold) {
            Some(Fold::Baseline { number }) => self.usual(number).map_or(Val::Unknown, Val::Num),
            _ => self.lane.value(self.w, index, self.span, self.interner),
        }
    }

    fn values_of_baseline(&self, number: u16) -> Val<'_> {
        self.usual_values(number).map_or(Val::Unknown, Val::Num)
    }

    fn key(&self, _: u16) -> Val<'_> {
        Val::Text(self.name.into())
    }

    fn outage(&self, o: &OutagePlan) -> Truth {
        outage_within(self.series, o, &[], self.span.end)
    }

    fn link(&self, value: LinkValue) -> Val<'_> {
        let Some(group) = self.group else { return Val::Unknown };
        let members = i64::try_from(group.len()).unwrap_or(i64::MAX);
        match value {
            LinkValue::Members => Val::Num(members),
            LinkValue::Families => {
                let tied = self.plan.families.iter().zip(&group.tied).filter(|(_, n)| **n > 0);
                Val::Text(tied.map(|(f, _)| f.name.as_str()).collect::<Vec<_>>().join(", ").into())
            }
            LinkValue::TiedShare(family) => {
                let tied = group.tied.get(usize::from(family)).copied().unwrap_or(0);
                let share = divide_rounded(i128::from(tied) * i128::from(MICROS), members.into());
                share.and_then(|n| i64::try_from(n).ok()).map_or(Val::Unknown, Val::Num)
            }
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp(self.span.end)
    }
}

impl HeapBytes for LinkedEpisodes {
    fn heap_bytes(&self) -> usize {
        let all = self.groups.values().flat_map(|g| g.open.iter().chain(&g.exempted));
        all.map(|e| size_of::<LinkedEpisode>() + e.heap_bytes()).sum()
    }
}
