//! Throttles in force: so many calls pass for each target in each span of time. Spans are aligned as steps of windows are, so
//! that a restart, or another instance, cuts time alike.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::time::Duration;

/// A call that passes a throttle, to give back if something else refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) key: u64,
    span: i64,
}

/// Calls that passed in the latest span, by throttle and target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Throttles {
    used: HashMap<u64, Used, foldhash::fast::FixedState>,
    #[serde(skip)]
    targets_max: usize,
    /// Targets that were forgotten within their span for want of room.
    pub(crate) lost: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Used {
    span: i64,
    calls: u64,
    /// End of the span.
    until: i64,
}

impl Throttles {
    pub(crate) fn new(targets_max: usize) -> Throttles {
        Throttles { targets_max: targets_max.max(1), ..Throttles::default() }
    }

    pub(crate) fn within(mut self, targets_max: usize) -> Throttles {
        self.targets_max = targets_max.max(1);
        self
    }

    /// Lets a call pass, or says when to come again. A call from before the latest span counts in that one.
    pub(crate) fn take(&mut self, key: u64, (most, per): (u64, Duration), ts: i64) -> Result<Token, Duration> {
        let per = per.0.max(1);
        if self.used.len() >= self.targets_max && !self.used.contains_key(&key) {
            self.make_room(ts);
        }
        let span = ts.div_euclid(per);
        let used = self.used.entry(key).or_insert(Used { span, calls: 0, until: 0 });
        if span > used.span || used.until == 0 {
            let until = span.saturating_add(1).saturating_mul(per);
            *used = Used { span, calls: 0, until };
        }
        if used.calls >= most {
            return Err(Duration(used.until.saturating_sub(ts).max(1)));
        }
        used.calls += 1;
        Ok(Token { key, span: used.span })
    }

    /// Gives a call back that passed here and was refused elsewhere.
    pub(crate) fn give_back(&mut self, token: Token) {
        if let Some(used) = self.used.get_mut(&token.key).filter(|used| used.span == token.span) {
            used.calls = used.calls.saturating_sub(1);
        }
    }

    fn make_room(&mut self, ts: i64) {
        self.used.retain(|_, used| used.until > ts);
        if self.used.len() >= self.targets_max {
            self.lost += self.used.len() as u64;
            self.used.clear();
        }
    }
}
