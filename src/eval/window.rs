//! The windows of one rule: the state of each group, which groups are due at which step, and the judgement itself. A group
//! is judged only at steps at which its windows can have changed.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::accumulate::{Accumulator, Count};
use super::episode::{Episode, Track};
use super::events::Events;
use super::intern::Interner;
use super::route::{HEADER, word_value};
use crate::event::FieldId;
use crate::plan::is_symbol;
use crate::plan::rule::{Fold, Key, RulePlan, WindowPlan};
use crate::plan::scalar::{Env, Val};
use crate::template::to_text;
use crate::time::Timestamp;
use crate::value::{Type, Value};
use crate::violation::Scalar;

/// Events of one group: those that no exception takes out, or all.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Lane {
    accumulators: Vec<Accumulator>,
    /// All events.
    events: Count,
    /// Those that an aggregate counts, as (step, number).
    contributors: std::collections::VecDeque<(i64, u64)>,
}

impl Lane {
    fn new(w: &WindowPlan) -> Lane {
        Lane {
            accumulators: w.aggregates.iter().map(|a| Accumulator::new(a.fold)).collect(),
            events: Count::default(),
            contributors: std::collections::VecDeque::new(),
        }
    }

    fn add(&mut self, w: &WindowPlan, pane: i64, record: &[u64], number: u64) {
        self.events.add(pane, 1);
        let (filters, known) = (record.get(1).copied().unwrap_or(0), record.get(2).copied().unwrap_or(0));
        let inputs = record.get(HEADER + w.per.len()..).unwrap_or(&[]);
        let mut counted = false;
        for (plan, accumulator) in w.aggregates.iter().zip(&mut self.accumulators) {
            if plan.filter.is_some_and(|f| filters & (1 << f) == 0) {
                continue;
            }
            counted = true;
            let at = usize::from(plan.input);
            let word = inputs.get(at).copied().filter(|_| known & (1 << at) != 0);
            accumulator.add(pane, word);
        }
        if counted {
            self.contributors.push_back((pane, number));
        }
    }

    fn expire(&mut self, first: i64) {
        // No aggregate knows a step that the events do not.
        if self.events.first_pane().is_none_or(|pane| pane >= first) {
            return;
        }
        self.events.expire(first);
        self.accumulators.iter_mut().for_each(|a| a.expire(first));
        while self.contributors.front().is_some_and(|(pane, _)| *pane < first) {
            self.contributors.pop_front();
        }
    }

    fn is_empty(&self) -> bool {
        self.events.total() == 0
    }
}

/// The state of one group.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) key: Key,
    net: Lane,
    /// All events, exceptions included; only while the window holds an excepted one.
    raw: Option<Box<Lane>>,
    /// Per exception, the events it takes out.
    took_out: Vec<Count>,
    pub(crate) open: Option<Box<Episode>>,
    pub(crate) exempted: Option<Box<Episode>>,
    /// The step at which it is due; `i64::MAX` for none.
    due: i64,
}

/// An episode that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) key: Key,
    pub(crate) episode: Episode,
    pub(crate) exempted: bool,
    pub(crate) closed: i64,
}

/// All groups of one rule.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Windows {
    by_key: HashMap<Key, u32, foldhash::fast::FixedState>,
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    due: BTreeMap<i64, Vec<u32>>,
    /// Groups with an episode.
    with_episode: BTreeSet<u32>,
}

/// What a judgement needs beside the windows.
pub(crate) struct Bench<'a> {
    pub(crate) events: &'a Events,
    pub(crate) interner: &'a Interner,
}

impl Windows {
    /// The next step that is due.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.due.first_key_value().map(|(step, _)| *step)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Takes in a record of an event at `ts`.
    pub(crate) fn apply(&mut self, w: &WindowPlan, n_exceptions: usize, record: &[u64], ts: i64, number: u64) {
        let Some(key) = record.get(HEADER..HEADER + w.per.len()) else { return };
        let pane = ts.div_euclid(w.step);
        let slot = match self.by_key.get(key) {
            Some(slot) => *slot,
            None => self.insert(w, n_exceptions, key),
        };
        let Some(Some(group)) = self.groups.get_mut(slot as usize) else { return };
        let exceptions = (record.first().copied().unwrap_or(0) >> 32) as u32;
        if exceptions != 0 {
            for (i, count) in group.took_out.iter_mut().enumerate() {
                if exceptions & (1 << i) != 0 {
                    count.add(pane, 1);
                }
            }
            group.raw.get_or_insert_with(|| Box::new(group.net.clone())).add(w, pane, record, number);
        } else {
            group.net.add(w, pane, record, number);
            if let Some(raw) = &mut group.raw {
                raw.add(w, pane, record, number);
            }
        }
        // The first window that is still to be judged ends with this step: what lies before it counts no more.
        group.expire(pane + 1 - w.panes);
        // A window with too few events cannot hold, so its group is not judged; it is due only to be forgotten.
        let due = if group.is_hot(w) { pane + 1 } else { pane + w.panes + 1 };
        if due < group.due {
            group.due = due;
            self.due.entry(due).or_default().push(slot);
        }
    }

    fn insert(&mut self, w: &WindowPlan, n_exceptions: usize, key: &[u64]) -> u32 {
        let key = Key::from_slice(key);
        let group = Group {
            key: key.clone(),
            net: Lane::new(w),
            raw: None,
            took_out: vec![Count::default(); n_exceptions],
            open: None,
            exempted: None,
            due: i64::MAX,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.groups.get_mut(slot as usize) {
                    *place = Some(group);
                }
                slot
            }
            None => {
                self.groups.push(Some(group));
                (self.groups.len() - 1) as u32
            }
        };
        self.by_key.insert(key, slot);
        slot
    }

    /// Judges all groups due at the first due step; episodes that ended go to `ended`.
    pub(crate) fn judge_next(&mut self, plan: &RulePlan, w: &WindowPlan, bench: &Bench<'_>, ended: &mut Vec<Ended>) {
        let Some((step, mut slots)) = self.due.pop_first() else { return };
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let Some(Some(group)) = self.groups.get_mut(slot as usize) else { continue };
            if group.due != step {
                continue;
            }
            let closes = group.judge(step, plan, w, bench, ended);
            // What changes it next, events apart: the first step leaves the window, or a cooldown runs out.
            let events = &group.raw.as_deref().unwrap_or(&group.net).events;
            let changes = if group.is_hot(w) { events.first_pane() } else { events.last_pane() };
            let leaves = changes.map(|pane| pane + w.panes + 1);
            let next = closes.into_iter().flatten().chain(leaves).fold(i64::MAX, i64::min).max(step + 1);
            let idle = group.is_idle() && group.open.is_none() && group.exempted.is_none();
            group.due = if idle { i64::MAX } else { next };
            let due = (!idle).then_some(next);
            match (group.open.is_some() || group.exempted.is_some(), group.is_idle()) {
                (true, _) => {
                    self.with_episode.insert(slot);
                }
                (false, idle) => {
                    self.with_episode.remove(&slot);
                    if idle {
                        self.by_key.remove(&group.key);
                        if let Some(place) = self.groups.get_mut(slot as usize) {
                            *place = None;
                        }
                        self.free.push(slot);
                    }
                }
            }
            if let Some(next) = due {
                self.due.entry(next).or_default().push(slot);
            }
        }
    }

    /// Calls `f` with each group that has an episode.
    pub(crate) fn with_episodes(&mut self, mut f: impl FnMut(&mut Group)) {
        for slot in &self.with_episode {
            if let Some(Some(group)) = self.groups.get_mut(*slot as usize) {
                f(group);
            }
        }
    }

    pub(crate) fn has_episodes(&self) -> bool {
        !self.with_episode.is_empty()
    }

    /// Marks every symbol in use.
    pub(crate) fn mark(&self, w: &WindowPlan, mark: &mut impl FnMut(u64)) {
        for group in self.groups.iter().flatten() {
            for (part, word) in w.per.iter().zip(&group.key) {
                if is_symbol(&part.ty) {
                    mark(*word);
                }
            }
            for lane in std::iter::once(&group.net).chain(group.raw.as_deref()) {
                for (plan, accumulator) in w.aggregates.iter().zip(&lane.accumulators) {
                    if plan.fold == (Fold::Distinct { symbols: true }) {
                        accumulator.words(&mut *mark);
                    }
                }
            }
            for episode in group.open.iter().chain(&group.exempted) {
                episode.gathered.accounts.iter().for_each(|a| mark(*a));
            }
        }
    }
}

/// A judged window as the environment of expressions.
struct WindowEnv<'a> {
    lane: &'a Lane,
    key: &'a Key,
    w: &'a WindowPlan,
    interner: &'a Interner,
    at: Timestamp,
}

impl Env for WindowEnv<'_> {
    fn field(&self, _: FieldId) -> Value<'_> {
        Value::Unknown
    }

    fn aggregate(&self, index: u16) -> Val<'_> {
        self.lane.accumulators.get(usize::from(index)).map_or(Val::Unknown, Accumulator::value)
    }

    fn key(&self, index: u16) -> Val<'_> {
        let at = usize::from(index);
        match (self.key.get(at), self.w.per.get(at)) {
            (Some(word), Some(part)) => word_value(*word, &part.ty, self.interner),
            _ => Val::Unknown,
        }
    }

    fn at(&self) -> Timestamp {
        self.at
    }
}

impl Group {
    fn is_idle(&self) -> bool {
        self.net.is_empty() && self.raw.is_none()
    }

    /// Drops all steps before `first`.
    fn expire(&mut self, first: i64) {
        self.net.expire(first);
        self.took_out.iter_mut().for_each(|c| c.expire(first));
        if let Some(raw) = &mut self.raw {
            raw.expire(first);
            if raw.events.total() == self.net.events.total() {
                self.raw = None;
            }
        }
    }

    /// Whether its windows hold enough events, or an episode is under way.
    fn is_hot(&self, w: &WindowPlan) -> bool {
        let events = self.raw.as_deref().unwrap_or(&self.net).events.total();
        events >= w.events_needed || self.open.is_some() || self.exempted.is_some()
    }

    /// Judges the group at a step; further steps at which it is due.
    fn judge(
        &mut self,
        step: i64,
        plan: &RulePlan,
        w: &WindowPlan,
        bench: &Bench<'_>,
        ended: &mut Vec<Ended>,
    ) -> [Option<i64>; 2] {
        self.expire(step - w.panes);
        let at = Timestamp(step.saturating_mul(w.step));
        let (key, interner) = (&self.key, bench.interner);
        fn env<'a>(
            lane: &'a Lane,
            key: &'a Key,
            w: &'a WindowPlan,
            interner: &'a Interner,
            at: Timestamp,
        ) -> WindowEnv<'a> {
            WindowEnv { lane, key, w, interner, at }
        }
        let net = !self.net.is_empty() && w.when.eval(&env(&self.net, key, w, interner, at)).is_true();
        let raw = !net && self.raw.as_deref().is_some_and(|raw| w.when.eval(&env(raw, key, w, interner, at)).is_true());
        let took_out = || self.took_out.iter().map(Count::total).collect::<Vec<_>>();
        let mut machine = |episode: &mut Option<Box<Episode>>, holds: bool, lane: &Lane, exempted: bool| {
            if let Some(e) = episode
                && e.holds
            {
                // Nothing changed since it was last judged, so it held at every step until now.
                e.last = e.last.max(step - 1);
            }
            if holds {
                let env = env(lane, key, w, interner, at);
                match episode {
                    None => {
                        let tracks = w.values.iter().map(|v| {
                            let now = recorded(&v.scalar.eval(&env));
                            Track { crossing: now.clone(), peak: now.clone(), last: now }
                        });
                        let because = because(plan, &env);
                        let fresh = Episode::new(step, tracks.collect(), because, took_out());
                        *episode = Some(Box::new(fresh));
                    }
                    Some(e) => {
                        e.last = step;
                        e.holds = true;
                        for (v, track) in w.values.iter().zip(&mut e.tracks) {
                            track.last = recorded(&v.scalar.eval(&env));
                            let better = match (&track.peak, &track.last) {
                                (Some(Scalar::Num(old)), Some(Scalar::Num(new))) => {
                                    if v.peaks_low() {
                                        new < old
                                    } else {
                                        new > old
                                    }
                                }
                                (None, Some(_)) => true,
                                _ => false,
                            };
                            if better {
                                track.peak = track.last.clone();
                            }
                        }
                        e.handed_out = None;
                    }
                }
                if let Some(e) = episode {
                    e.include(step, lane.contributors.iter().copied(), bench.events);
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
                ended.push(Ended { key: key.clone(), episode: *episode, exempted, closed: closes });
            }
            None
        };
        let raw_lane = self.raw.as_deref().unwrap_or(&self.net);
        [machine(&mut self.open, net, &self.net, false), machine(&mut self.exempted, raw, raw_lane, true)]
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
