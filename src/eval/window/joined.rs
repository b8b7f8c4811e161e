//! An episode of a link group: its values as those of any window, and beside them its accounts, the edges that tie them, and
//! events of accounts that may join with what they did before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::linked::{Judging, Linked, LinkedEnv, Share};
use super::{Trail, because, contributors, recorded};
use crate::eval::episode::{Episode, Gathered, Track};
use crate::eval::events::Events;
use crate::eval::footprint::HeapBytes;
use crate::eval::intern::Interner;
use crate::eval::link::EdgeSeen;
use crate::time::Timestamp;
use crate::violation::{EVIDENCE_CROSSING, EVIDENCE_EDGES_COUNTED_MAX, EVIDENCE_EDGES_MAX, Scalar};

/// An episode of a link group, with what ties its accounts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LinkedEpisode {
    pub(crate) episode: Episode,
    /// Symbols of the accounts of the group at its true steps.
    pub(crate) members: BTreeSet<u64>,
    /// Edges of the group at its true steps, in order of their coming, up to a bound.
    pub(crate) edges: Vec<Tie>,
    /// All of them, by a hash.
    edges_seen: BTreeSet<u128>,
    /// The edges became others since they were looked at.
    pub(super) edges_stale: bool,
    /// Per account, the step before which its events are in the evidence.
    included: BTreeMap<u64, i64>,
    /// Numbers of events before which others may still come in: an account may join with what it did before.
    recent: BTreeSet<u64>,
}

/// An edge as evidence keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tie {
    pub(crate) family: u8,
    pub(crate) value: String,
    /// Symbol of the account.
    pub(crate) account: u64,
    pub(crate) popularity: u64,
    pub(crate) uses: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// Opens an episode, or takes note that it still holds.
pub(super) fn hold<'s>(
    slot: &'s mut Option<Box<LinkedEpisode>>,
    at: &Judging<'_>,
    env: &LinkedEnv<'_>,
    took_out: impl FnOnce() -> Vec<u64>,
) -> &'s mut LinkedEpisode {
    let Judging { step, plan, w, .. } = *at;
    let fresh = slot.is_none();
    let e = slot.get_or_insert_with(|| {
        let tracks = w.values.iter().map(|v| {
            let now = recorded(&v.scalar.eval(env));
            let estimates = env.estimates(v).collect();
            Track { crossing: now.clone(), peak: now.clone(), last: now, estimates }
        });
        let began = Timestamp(env.span.start);
        let episode = Episode::new(step, began, tracks.collect(), because(plan, env), took_out());
        Box::new(LinkedEpisode::new(episode))
    });
    if fresh {
        return e;
    }
    let episode = &mut e.episode;
    episode.last = step;
    episode.holds = true;
    episode.handed_out = None;
    for (v, track) in w.values.iter().zip(&mut episode.tracks) {
        track.last = recorded(&v.scalar.eval(env));
        track.estimates.extend(env.estimates(v));
        let better = match (&track.peak, &track.last) {
            (Some(Scalar::Num(old)), Some(Scalar::Num(new))) if v.peaks_low() => new < old,
            (Some(Scalar::Num(old)), Some(Scalar::Num(new))) => new > old,
            (None, Some(Scalar::Num(_))) => true,
            _ => false,
        };
        if better {
            track.peak = track.last.clone();
        }
    }
    e
}

impl LinkedEpisode {
    fn new(episode: Episode) -> LinkedEpisode {
        LinkedEpisode {
            episode,
            members: BTreeSet::new(),
            edges: Vec::new(),
            edges_seen: BTreeSet::new(),
            edges_stale: true,
            included: BTreeMap::new(),
            recent: BTreeSet::new(),
        }
    }

    /// Gives events other numbers, in the same order.
    pub(crate) fn renumber(&mut self, number: &dyn Fn(u64) -> u64) {
        self.recent = self.recent.iter().map(|n| number(*n)).collect();
    }

    /// Takes in the accounts and edges of the group at a true step.
    pub(super) fn join(&mut self, id: u32, linked: Linked<'_>, interner: &Interner) {
        if !std::mem::take(&mut self.edges_stale) {
            return;
        }
        self.members.extend(linked.link.members(id));
        for edge in linked.link.edges(id, linked.plan, linked.key, interner) {
            let EdgeSeen { family, value, account, popularity, uses, first, last } = edge;
            let account_text = interner.get(account);
            let mut bytes = vec![family];
            bytes.extend((value.len() as u64).to_be_bytes());
            bytes.extend(value.as_bytes());
            bytes.extend(account_text);
            let is_new = self.edges_seen.len() < EVIDENCE_EDGES_COUNTED_MAX
                && self.edges_seen.insert(xxhash_rust::xxh3::xxh3_128(&bytes));
            if is_new && self.edges.len() < EVIDENCE_EDGES_MAX {
                self.edges.push(Tie { family, value, account, popularity, uses, first, last });
            }
        }
    }

    /// Marks every symbol in use.
    pub(super) fn mark(&self, mark: &mut impl FnMut(u64)) {
        self.members.iter().chain(self.included.keys()).for_each(|symbol| mark(*symbol));
        self.edges.iter().for_each(|tie| mark(tie.account));
        self.episode.gathered.accounts.iter().for_each(|a| mark(*a));
    }

    /// How many edges the group had at its true steps.
    pub(crate) fn edges_in_all(&self) -> u64 {
        self.edges_seen.len() as u64
    }

    /// Takes in the events that an account counted and that are not in the evidence yet.
    pub(super) fn include(&mut self, at: &Judging<'_>, share: &Share<'_>, exempted: bool, trail: &Trail) {
        let Judging { step, w, .. } = *at;
        let from = self.included.insert(share.symbol, step).unwrap_or(i64::MIN).max(step - w.panes);
        if from >= step {
            return;
        }
        let found = contributors(trail, share.group.trail, exempted, from..step, w, at.bench.events);
        let counted = share.lane(exempted).contributed(w, from..step);
        self.episode.gathered.forget(counted.saturating_sub(found.len() as u64));
        self.recent.extend(found);
    }

    /// Names the last events of the first true window.
    pub(super) fn cross(&mut self, events: &Events) {
        let mut last: Vec<u64> = self.recent.iter().rev().take(EVIDENCE_CROSSING).copied().collect();
        last.reverse();
        let named = last.iter().filter_map(|number| events.get(*number)).map(|e| (e.ts, e.id));
        self.episode.gathered.crossed(named);
    }

    /// Gathers the events before a number: no other can come in before them any more.
    pub(super) fn settle(&mut self, before: u64, events: &Events) {
        while let Some(number) = self.recent.first().copied().filter(|n| *n < before) {
            self.recent.pop_first();
            match events.get(number) {
                Some(event) => self.episode.gathered.add(event),
                None => self.episode.gathered.forget(1),
            }
        }
    }

    /// All evidence so far.
    pub(crate) fn gathered(&self, events: &Events) -> Gathered {
        let mut all = self.episode.gathered.clone();
        for number in &self.recent {
            match events.get(*number) {
                Some(event) => all.add(event),
                None => all.forget(1),
            }
        }
        all
    }
}

impl HeapBytes for LinkedEpisode {
    fn heap_bytes(&self) -> usize {
        let words = self.members.len() + self.recent.len() + 2 * self.included.len() + 2 * self.edges_seen.len();
        self.edges.heap_bytes() + words * size_of::<u64>()
    }
}
