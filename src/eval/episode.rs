//! A violation in the making: opens at the first true step, grows while true, and gathers the evidence.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::events::{Events, Held, NO_ACCOUNT};
use super::merkle::{Hash, Tree, leaf};
use crate::time::Timestamp;
use crate::violation::{
    Bound, EVIDENCE_CROSSING, EVIDENCE_EVENTS_MAX, EVIDENCE_FIRST, EVIDENCE_LAST, EVIDENCE_SAMPLE, EventRef, Evidence,
    Role, Scalar,
};

/// A value over the life of an episode.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Track {
    pub(crate) crossing: Option<Scalar>,
    pub(crate) peak: Option<Scalar>,
    pub(crate) last: Option<Scalar>,
    /// Aggregates that were estimates at a true step, and how far they may be off.
    pub(crate) estimates: BTreeSet<(u16, Bound)>,
}

/// One episode of one group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Episode {
    /// Number of the first and the last true step.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Beginning of the first true window.
    pub(crate) began: Timestamp,
    /// Whether the condition held when it was last judged.
    pub(crate) holds: bool,
    /// Events of steps before this one are in the evidence.
    included: i64,
    pub(crate) tracks: Vec<Track>,
    pub(crate) because: String,
    pub(crate) took_out: Vec<u64>,
    pub(crate) gathered: Gathered,
    /// When groups went for want of room whose events its windows would have counted; [`None`] for never.
    pub(crate) cut: Option<i64>,
    /// Last true step when it was last handed out; `None` when something else changed since.
    pub(crate) handed_out: Option<i64>,
}

/// Evidence so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Gathered {
    tree: Tree,
    /// All events up to the bound; none above it.
    all: Vec<Named>,
    /// The first of all, the last of the first window, the last of all.
    first: Vec<Named>,
    crossing: Vec<Named>,
    last: std::collections::VecDeque<Named>,
    /// Those with the least leaves.
    sample: BTreeSet<(Hash, Named)>,
    /// Symbols of the accounts.
    pub(crate) accounts: BTreeSet<u64>,
    /// Events that were no longer held when they were to be named.
    forgotten: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Named {
    ts: i64,
    id: Box<str>,
}

impl Episode {
    pub(crate) fn new(step: i64, began: Timestamp, tracks: Vec<Track>, because: String, took_out: Vec<u64>) -> Episode {
        Episode {
            first: step,
            last: step,
            began,
            holds: true,
            included: i64::MIN,
            tracks,
            because,
            took_out,
            gathered: Gathered::default(),
            cut: None,
            handed_out: None,
        }
    }

    /// Brings it to a step up to which everything is judged; whether it changed since it was last handed out.
    pub(crate) fn is_news(&mut self, judged: i64) -> bool {
        if self.holds {
            self.last = self.last.max(judged);
        }
        self.handed_out.replace(self.last) != Some(self.last)
    }

    /// Events of steps before this one are in the evidence.
    pub(crate) fn included(&self) -> i64 {
        self.included
    }

    /// Takes in the window's contributing events of the steps since [`Episode::included`] and before `step`, in order;
    /// `count` is how many there are, of which the oldest may not be held any more.
    pub(crate) fn include(&mut self, step: i64, count: u64, contributors: &[u64], events: &Events) {
        self.gathered.forgotten += count.saturating_sub(contributors.len() as u64);
        contributors.iter().filter_map(|number| events.get(*number)).for_each(|event| self.gathered.add(event));
        if step == self.first {
            self.gathered.cross();
        }
        self.included = step;
    }
}

/// The events that are named for the crossing.
pub(crate) struct Crossing(Vec<Named>);

impl Gathered {
    pub(crate) fn add(&mut self, event: Held<'_>) {
        if event.account != NO_ACCOUNT {
            self.accounts.insert(event.account);
        }
        let named = Named { ts: event.ts, id: event.id.into() };
        let hash = leaf(event.id, event.content);
        self.tree.push(hash);
        if self.tree.count() <= EVIDENCE_EVENTS_MAX as u64 {
            self.all.push(named.clone());
        } else {
            self.all = Vec::new();
        }
        if self.first.len() < EVIDENCE_FIRST {
            self.first.push(named.clone());
        }
        self.last.push_back(named.clone());
        if self.last.len() > EVIDENCE_LAST.max(EVIDENCE_CROSSING) {
            self.last.pop_front();
        }
        self.sample.insert((hash, named));
        if self.sample.len() > EVIDENCE_SAMPLE {
            self.sample.pop_last();
        }
    }

    /// Counts events that are not held any more.
    pub(crate) fn forget(&mut self, n: u64) {
        self.forgotten += n;
    }

    /// Names the last events up to the crossing, in order.
    pub(crate) fn crossed<'e>(&mut self, events: impl Iterator<Item = (i64, &'e str)>) {
        self.crossing = events.map(|(ts, id)| Named { ts, id: id.into() }).collect();
    }

    /// Takes out the events that are named for the crossing.
    pub(crate) fn take_crossing(&mut self) -> Crossing {
        Crossing(std::mem::take(&mut self.crossing))
    }

    /// Puts back what [`Gathered::take_crossing`] took out.
    pub(crate) fn set_crossing(&mut self, crossing: Crossing) {
        self.crossing = crossing.0;
    }

    /// Names the last events so far as those up to the crossing.
    pub(crate) fn cross(&mut self) {
        let skip = self.last.len().saturating_sub(EVIDENCE_CROSSING);
        self.crossing = self.last.iter().skip(skip).cloned().collect();
    }

    pub(crate) fn evidence(&self) -> Evidence {
        let count = self.tree.count() + self.forgotten;
        let named = |n: &Named, role| EventRef { id: n.id.to_string(), ts: Timestamp(n.ts), role };
        let complete = self.forgotten == 0 && self.tree.count() <= EVIDENCE_EVENTS_MAX as u64;
        let events = if complete {
            self.all.iter().map(|n| named(n, Role::All)).collect()
        } else {
            let skip = self.last.len().saturating_sub(EVIDENCE_LAST);
            let parts = (self.first.iter().map(|n| (n, Role::First)))
                .chain(self.crossing.iter().map(|n| (n, Role::Crossing)))
                .chain(self.sample.iter().map(|(_, n)| (n, Role::Sample)))
                .chain(self.last.iter().skip(skip).map(|n| (n, Role::Last)));
            let mut listed: Vec<(&Named, Role)> = parts.collect();
            listed.sort();
            listed.dedup_by(|b, a| a.0 == b.0);
            listed.into_iter().map(|(n, role)| named(n, role)).collect()
        };
        let (root, forgotten) = (self.tree.root(), self.forgotten);
        Evidence { count, root, events, complete, forgotten, undecided: 0, memory_cut_since: None, state_cut_at: None }
    }
}
