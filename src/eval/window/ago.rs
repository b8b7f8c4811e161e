//! What the accounts of a link group came to in earlier windows, put together: for `usual`. Which accounts these are is known
//! only when the group is judged, so each account keeps what its earlier windows counted.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::linked::LinkedEnv;
use crate::eval::accumulate::Accumulator;
use crate::eval::back::{Values, bounds_of, estimated, of_window, span};
use crate::eval::history::{Earlier, History};
use crate::eval::lane::Lane;
use crate::plan::baseline::BaselinePlan;
use crate::plan::rule::{Fold, ValuePlan};
use crate::violation::Bound;

/// Earlier windows of the accounts that are in a group at a step.
pub(super) struct Ago<'a> {
    lanes: Vec<&'a Lane>,
    step: i64,
    /// Put together when somebody asks.
    told: OnceCell<Told>,
}

struct Told {
    history: History,
    /// What a window without events comes to.
    empty: Values,
}

impl<'a> Ago<'a> {
    pub(super) fn new(lanes: Vec<&'a Lane>, step: i64) -> Ago<'a> {
        Ago { lanes, step, told: OnceCell::new() }
    }

    fn told(&self, env: &LinkedEnv<'_>) -> &Told {
        self.told.get_or_init(|| {
            let w = env.w;
            let mut windows: BTreeMap<i64, Lane> = BTreeMap::new();
            for earlier in self.lanes.iter().filter_map(|lane| lane.history()).flat_map(History::iter) {
                if let Some(counted) = &earlier.counted {
                    windows.entry(earlier.number).or_insert_with(|| Lane::new(w)).absorb(counted, env.interner);
                }
            }
            // What is said of the group itself is said of it as it is now.
            let values =
                |lane: &Lane, step: i64| of_window(w, &LinkedEnv { lane, span: span(w, step), ago: None, ..*env });
            let mut history = History::default();
            for (number, lane) in windows {
                let values = values(&lane, (number + 1).saturating_mul(w.panes));
                history.push(w, Earlier { number, values, estimated: estimated(&lane), counted: None });
            }
            Told { history, empty: values(&Lane::new(w), self.step) }
        })
    }
}

impl LinkedEnv<'_> {
    fn back(&self, number: u16) -> Option<(usize, &BaselinePlan, &Told, i64, Option<i64>)> {
        let (ago, at) = (self.ago?, usize::from(number));
        let told = ago.told(self);
        Some((at, self.w.baselines.all.get(at)?, told, ago.step, told.empty.get(at).copied().flatten()))
    }

    /// What a baseline comes to.
    pub(super) fn usual(&self, number: u16) -> Option<i64> {
        let (at, b, told, step, empty) = self.back(number)?;
        told.history.usual(self.w, (at, b), step, empty)
    }

    /// How many values a baseline rests on, whether they are enough or not.
    pub(super) fn usual_values(&self, number: u16) -> Option<i64> {
        let (at, b, told, step, empty) = self.back(number)?;
        i64::try_from(told.history.values(self.w, (at, b), step, empty).len()).ok()
    }

    /// Which aggregates of a value are estimates now, and how far they may be off.
    pub(super) fn estimates<'e>(&'e self, v: &'e ValuePlan) -> impl Iterator<Item = (u16, Bound)> + 'e {
        v.estimated.iter().flat_map(|i| match self.w.aggregates.get(usize::from(*i)).map(|a| a.fold) {
            Some(Fold::Baseline { number }) => {
                let bits = self.back(number).map_or(0, |(_, b, told, step, _)| told.history.estimated(self.w, b, step));
                bounds_of(self.lane, bits).collect::<Vec<_>>()
            }
            _ => {
                let bound = self.lane.accumulators().get(usize::from(*i)).and_then(Accumulator::bound);
                bound.into_iter().map(|bound| (*i, bound)).collect()
            }
        })
    }
}
