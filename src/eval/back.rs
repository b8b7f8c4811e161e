//! How a judged window looks back: what `usual` and `cohort` come to at a step, and what of a window that ends is kept.

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use super::accumulate::{Accumulator, Span};
use super::cohort::{Cohorts, Told};
use super::history::{Earlier, block_of};
use super::intern::Interner;
use super::lane::Lane;
use super::route::{word_value, write_bytes};
use super::series::Series;
use super::window::{Bench, Group, WindowEnv};
use crate::plan::baseline::{BaselinePlan, WhosePlan};
use crate::plan::rule::{Key, WindowPlan};
use crate::plan::scalar::{Env, OutagePlan, Val};
use crate::value::{Truth, Type};
use crate::violation::Bound;

/// What there is to look back to at a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Back<'a> {
    pub(crate) step: i64,
    /// What a window without events comes to, by the number of the baseline.
    pub(crate) empty: &'a [Option<i64>],
    pub(crate) cohorts: &'a [Cohorts],
    /// As of the step.
    pub(crate) series: &'a [Series],
}

impl Back<'_> {
    /// Nothing to look back to.
    pub(crate) fn nothing() -> Self {
        Back { step: 0, empty: &[], cohorts: &[], series: &[] }
    }
}

pub(super) type Values = SmallVec<[Option<i64>; 2]>;

/// The time of the window that is judged at a step.
pub(super) fn span(w: &WindowPlan, step: i64) -> Span {
    let end = step.saturating_mul(w.step);
    Span { start: end.saturating_sub(w.length.0), end }
}

/// What a window without events comes to, by the number of the baseline.
pub(crate) fn empty_values(w: &WindowPlan, step: i64, interner: &Interner) -> Values {
    if w.baselines.kept == 0 {
        return Values::new();
    }
    let back = Back { step, ..Back::nothing() };
    WindowEnv { lane: &Lane::new(w), key: &Key::new(), w, interner, span: span(w, step), back }.of_window()
}

impl WindowEnv<'_> {
    /// What a baseline comes to.
    pub(super) fn baseline(&self, number: u16) -> Option<i64> {
        let number = usize::from(number);
        let b = self.w.baselines.all.get(number)?;
        match &b.whose {
            WhosePlan::Own => {
                let empty = self.back.empty.get(number).copied().flatten();
                self.lane.history()?.usual(self.w, (number, b), self.back.step, empty)
            }
            WhosePlan::Cohort { number, by } => self.back.cohorts.get(*number)?.value(b, self.cohort(by)?),
        }
    }

    /// How many values a baseline rests on, whether they are enough or not.
    pub(super) fn baseline_values(&self, number: u16) -> Option<i64> {
        let number = usize::from(number);
        let b = self.w.baselines.all.get(number)?;
        let n = match &b.whose {
            WhosePlan::Own => {
                let empty = self.back.empty.get(number).copied().flatten();
                self.lane.history()?.values(self.w, (number, b), self.back.step, empty).len() as u64
            }
            WhosePlan::Cohort { number, by } => self.back.cohorts.get(*number)?.count(self.cohort(by)?),
        };
        i64::try_from(n).ok()
    }

    /// The aggregates that make a baseline an estimate, each with how far it may be off; `aggregate` is its own number.
    pub(super) fn baseline_estimates(&self, aggregate: u16, number: u16) -> SmallVec<[(u16, Bound); 1]> {
        let mut found = SmallVec::new();
        let Some(b) = self.w.baselines.all.get(usize::from(number)) else { return found };
        let bits = match &b.whose {
            WhosePlan::Own => self.lane.history().map_or(0, |h| h.estimated(self.w, b, self.back.step)),
            WhosePlan::Cohort { number, by } => {
                let cohorts = self.back.cohorts.get(*number).zip(self.cohort(by));
                let (own, bits) = cohorts.map_or((None, 0), |(cohorts, cohort)| cohorts.estimated(cohort));
                found.extend(own.map(|bound| (aggregate, bound)));
                bits & b.made_of
            }
        };
        found.extend(bounds_of(self.lane, bits));
        found
    }

    /// Hash of what the group has in common with others; nothing where a part of it is unknown.
    fn cohort(&self, by: &[(u16, Type)]) -> Option<u128> {
        let mut bytes = Vec::new();
        for (i, ty) in by {
            let value = self.lane.value(self.w, *i, self.span, self.interner);
            if !write_bytes(&value, ty, &mut bytes) {
                return None;
            }
        }
        Some(xxh3_128(&bytes))
    }

    /// Whether there was an outage within the window.
    pub(super) fn outage_within(&self, o: &OutagePlan) -> Truth {
        let mut bytes = Vec::new();
        for at in o.keys.iter().map(|at| usize::from(*at)) {
            let (Some(word), Some(part)) = (self.key.get(at), self.w.per.get(at)) else { return Truth::Unknown };
            write_bytes(&word_value(*word, &part.ty, self.interner), &part.ty, &mut bytes);
        }
        outage_within(self.back.series, o, &bytes, self.span.end)
    }

    fn of_window(&self) -> Values {
        of_window(self.w, self)
    }

    fn estimated(&self) -> u64 {
        estimated(self.lane)
    }
}

/// What a window comes to, by the number of the baseline.
pub(super) fn of_window<E: Env>(w: &WindowPlan, env: &E) -> Values {
    let value = |b: &BaselinePlan| match b.of.eval(env) {
        Val::Num(n) => Some(n),
        _ => None,
    };
    w.baselines.all.iter().map(value).collect()
}

/// Aggregates that are estimates, as bits.
pub(super) fn estimated(lane: &Lane) -> u64 {
    let estimate = |a: &Accumulator| u64::from(a.bound().is_some());
    lane.accumulators().iter().take(64).enumerate().fold(0, |bits, (i, a)| bits | (estimate(a) << i))
}

/// How far the aggregates of these bits may be off.
pub(super) fn bounds_of(lane: &Lane, bits: u64) -> impl Iterator<Item = (u16, Bound)> + '_ {
    let all = lane.accumulators().iter().take(64).enumerate().filter(move |(i, _)| bits & (1 << i) != 0);
    all.filter_map(|(i, a)| a.bound_of_estimates().map(|bound| (i as u16, bound)))
}

impl Group {
    /// Takes note of what its window came to, at a step with which one ends; for cohorts, as (number, window, value).
    pub(super) fn remember(
        &mut self,
        w: &WindowPlan,
        bench: &Bench<'_>,
        back: Back<'_>,
        told: &mut Vec<(usize, i64, Told)>,
    ) {
        let Some(number) = block_of(w, back.step).filter(|_| !w.baselines.is_empty()) else { return };
        let span = span(w, back.step);
        let key = &self.key;
        let earlier = |lane: &Lane| {
            let env = WindowEnv { lane, key, w, interner: bench.interner, span, back };
            Earlier { number, values: env.of_window(), estimated: env.estimated(), counted: None }
        };
        if let Some(raw) = self.more.as_mut().and_then(|m| m.raw.as_mut())
            && raw.events() > 0
        {
            let earlier = earlier(raw);
            raw.remember(w, earlier);
        }
        if self.net.events() == 0 {
            return;
        }
        let window = earlier(&self.net);
        let env = WindowEnv { lane: &self.net, key, w, interner: bench.interner, span, back };
        for (at, b) in w.baselines.all.iter().enumerate() {
            let WhosePlan::Cohort { number: cohorts, by } = &b.whose else { continue };
            if let (Some(value), Some(cohort)) = (window.values.get(at).copied().flatten(), env.cohort(by)) {
                told.push((*cohorts, number, Told { cohort, value, estimated: window.estimated & b.made_of }));
            }
        }
        self.net.remember(w, window);
    }

    /// The same for an account that is judged together with others: what its window counted, not what it came to.
    pub(super) fn remember_counted(&mut self, w: &WindowPlan, step: i64, interner: &Interner) {
        let Some(number) = block_of(w, step).filter(|_| w.baselines.kept > 0) else { return };
        let raw = self.more.as_mut().and_then(|m| m.raw.as_mut());
        for lane in raw.into_iter().chain([&mut self.net]).filter(|lane| lane.events() > 0) {
            let counted = Some(Box::new(lane.counted(w, interner)));
            lane.remember(w, Earlier { number, values: Values::new(), estimated: 0, counted });
        }
    }
}

/// Whether a series was out within the window that ends at `end`, for the key of these bytes.
pub(super) fn outage_within(series: &[Series], o: &OutagePlan, key: &[u8], end: i64) -> Truth {
    let Some(series) = series.get(o.series) else { return Truth::Unknown };
    let every = o.every.max(1);
    series.outage(xxh3_128(key), end.saturating_sub(o.length).div_euclid(every)..end.div_euclid(every))
}
