//! Matches that follow each other closely, as one violation: it opens with the first, and closes after a silence.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::partial::{Partial, StepEnv};
use crate::eval::episode::{Gathered, Track};
use crate::eval::events::Held;
use crate::eval::window::{because, recorded};
use crate::plan::rule::RulePlan;
use crate::violation::{EVIDENCE_CROSSING, Scalar};

/// A violation of a rule on sequences.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Found {
    /// When the first and the last match were whole.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Matches, and those of the first moment.
    pub(crate) matches: u64,
    pub(crate) at_first: u64,
    pub(crate) tracks: Vec<Track>,
    pub(crate) because: String,
    pub(crate) took_out: Vec<u64>,
    /// Partial matches of the key that were dropped for want of room, as known at the last match.
    pub(crate) dropped: u64,
    /// Changed since it was handed out.
    pub(crate) fresh: bool,
    gathered: Gathered,
    /// Events that stand behind those gathered: an earlier one may still come in with the next match.
    recent: BTreeMap<(i64, Box<str>), Recent>,
    /// The last events of the first moment.
    crossing: BTreeSet<(i64, Box<str>)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Recent {
    content: u128,
    account: u64,
}

impl Found {
    /// Takes in a match that is whole at `env.at`; opens the violation where there is none.
    pub(super) fn add(found: &mut Option<Box<Found>>, plan: &RulePlan, m: &Partial, env: &StepEnv<'_>, dropped: u64) {
        let (s, at) = (env.s, env.at);
        let values: Vec<Option<Scalar>> = s.values.iter().map(|v| recorded(&v.scalar.eval(env))).collect();
        let found = found.get_or_insert_with(|| {
            let track = |now: &Option<Scalar>| Track {
                crossing: now.clone(),
                peak: now.clone(),
                last: now.clone(),
                estimates: BTreeSet::new(),
            };
            Box::new(Found {
                first: at,
                last: at,
                matches: 0,
                at_first: 0,
                tracks: values.iter().map(track).collect(),
                because: because(plan, env),
                took_out: vec![0; plan.exceptions.len()],
                dropped,
                fresh: true,
                gathered: Gathered::default(),
                recent: BTreeMap::new(),
                crossing: BTreeSet::new(),
            })
        });
        found.last = at;
        found.dropped = dropped;
        found.fresh = true;
        found.matches += 1;
        for (track, now) in found.tracks.iter_mut().zip(values) {
            let more = match (&track.peak, &now) {
                (Some(Scalar::Num(old)), Some(Scalar::Num(new))) => new > old,
                (None, Some(Scalar::Num(_))) => true,
                _ => false,
            };
            if more {
                track.peak.clone_from(&now);
            }
            track.last = now;
        }
        found.settle(at.saturating_sub(s.life));
        for t in &m.taken {
            let key = (t.ts, t.id.clone());
            if at == found.first {
                if !found.recent.contains_key(&key) {
                    for (i, n) in found.took_out.iter_mut().enumerate() {
                        *n += u64::from(t.exceptions >> i & 1);
                    }
                }
                found.crossing.insert(key.clone());
                if found.crossing.len() > EVIDENCE_CROSSING {
                    found.crossing.pop_first();
                }
            }
            found.recent.insert(key, Recent { content: t.content, account: t.account });
        }
        if at == found.first {
            found.at_first = found.matches;
        }
    }

    /// Gathers the events before a time: no match to come rests on them any more, so that their order is final.
    fn settle(&mut self, until: i64) {
        while let Some(entry) = self.recent.first_entry() {
            if entry.key().0 >= until {
                break;
            }
            let ((ts, id), r) = entry.remove_entry();
            self.gathered.add(Held { ts, id: &id, content: r.content, account: r.account });
        }
    }

    /// All evidence and accounts so far.
    pub(super) fn gathered(&self) -> Gathered {
        let mut all = self.clone();
        all.settle(i64::MAX);
        let crossing = all.crossing.iter().map(|(ts, id)| (*ts, &**id));
        all.gathered.crossed(crossing);
        all.gathered
    }

    /// The symbols of accounts.
    pub(super) fn accounts(&self) -> impl Iterator<Item = u64> {
        self.gathered.accounts.iter().copied().chain(self.recent.values().map(|r| r.account))
    }
}
