//! What lies between successive events: the longest time without one, and the greatest speed from one place to the next.
//! What is between two events belongs to the step of the earlier one: when that leaves the window, it does too.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::extremum::Extremum;
use crate::eval::footprint::HeapBytes;
use crate::place::Country;
use crate::plan::scalar::divide_rounded;
use crate::time::{HOUR_NS, SECOND_NS};
use crate::value::MICROS;

/// Times of events in nanoseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Idle {
    /// The first event of each step.
    firsts: VecDeque<(i64, i64)>,
    last: Option<(i64, i64)>,
    between: Extremum,
}

impl Idle {
    pub(crate) fn add(&mut self, step: i64, ts: i64) {
        if let Some((before, last)) = self.last {
            self.between.add(before, ts.saturating_sub(last), true);
        }
        if self.firsts.back().is_none_or(|(last, _)| *last != step) {
            self.firsts.push_back((step, ts));
        }
        self.last = Some((step, ts));
    }

    pub(crate) fn expire(&mut self, first: i64) {
        while self.firsts.pop_front_if(|(step, _)| *step < first).is_some() {}
        self.between.expire(first);
        self.last = self.last.filter(|(step, _)| *step >= first);
    }

    /// The longest time without an event from `start` to `end`.
    pub(crate) fn longest(&self, start: i64, end: i64) -> i64 {
        let (Some((_, first)), Some((_, last))) = (self.firsts.front(), self.last) else {
            return end.saturating_sub(start);
        };
        let edges = first.saturating_sub(start).max(end.saturating_sub(last));
        self.between.value().unwrap_or(0).max(edges)
    }
}

/// Two places of closer times count as so far apart: clocks of gateways are not better than that.
const BETWEEN_MIN: i64 = SECOND_NS;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Speed {
    last: Option<(i64, i64, Country)>,
    between: Extremum,
}

impl Speed {
    pub(crate) fn add(&mut self, step: i64, ts: i64, place: Country) {
        if let Some((before, last, from)) = self.last
            && let Some(speed) = speed(from, place, ts.saturating_sub(last))
        {
            self.between.add(before, speed, true);
        }
        self.last = Some((step, ts, place));
    }

    pub(crate) fn expire(&mut self, first: i64) {
        self.between.expire(first);
        self.last = self.last.filter(|(step, ..)| *step >= first);
    }

    /// In millionths of a kilometre per hour; unknown over fewer than two places.
    pub(crate) fn greatest(&self) -> Option<i64> {
        self.between.value()
    }
}

/// In millionths of a kilometre per hour.
fn speed(from: Country, to: Country, time: i64) -> Option<i64> {
    let distance = i128::from(from.distance_km(to));
    let speed = divide_rounded(distance * i128::from(HOUR_NS) * i128::from(MICROS), time.max(BETWEEN_MIN).into())?;
    i64::try_from(speed).ok()
}

impl HeapBytes for Idle {
    fn heap_bytes(&self) -> usize {
        self.firsts.heap_bytes() + self.between.heap_bytes()
    }
}

impl HeapBytes for Speed {
    fn heap_bytes(&self) -> usize {
        self.between.heap_bytes()
    }
}
