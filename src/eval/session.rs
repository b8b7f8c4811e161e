//! Sessions: runs of a group's events without a longer silence, and not longer than a bound. A session keeps no steps apart:
//! it is forgotten as a whole.

use serde::{Deserialize, Serialize};

use crate::plan::rule::WindowPlan;

/// The step under which aggregates keep what they keep by steps, in a session.
pub(crate) const ONE_STEP: i64 = 0;

/// The session that a group is in: times of its first and its last event in nanoseconds, excepted events included.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) first: i64,
    last: i64,
}

impl Session {
    pub(crate) fn new(ts: i64) -> Session {
        Session { first: ts, last: ts }
    }

    /// Takes in the next event of the group; false where it begins another session.
    pub(crate) fn goes_on(&mut self, w: &WindowPlan, ts: i64) -> bool {
        let goes_on = ts.saturating_sub(self.last) <= w.gap.unwrap_or(0) && ts.saturating_sub(self.first) < w.length.0;
        if goes_on {
            self.last = ts;
        }
        goes_on
    }

    /// The first step at whose end the session is over.
    pub(crate) fn over_at(&self, w: &WindowPlan) -> i64 {
        self.last.saturating_add(w.gap.unwrap_or(0)).div_euclid(w.step) + 1
    }
}
