//! What passes by unseen: calls that were decided and of which no record came, records of calls that nobody asked about, and
//! calls that were refused and answered all the same. Joined by `call`, by the minute in which the first of the two came and
//! its source. Nothing is told until both kinds have been seen: who only asks, or only logs, has no gaps. Time is an argument.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use utoipa::ToSchema;

use crate::time::{Duration, MINUTE_NS, Timestamp};

/// Minutes that are told.
const MINUTES: i64 = 60;
/// Sources that are told apart; further ones are `other`.
const SOURCES_MAX: usize = 64;
/// Longest name of a source that is kept, in characters.
const SOURCE_CHARS_MAX: usize = 64;

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// It was let pass.
    Passed,
    /// It was refused.
    Refused,
    /// A record of it.
    Record,
    /// A record that it was not answered: LiteLLM logs the calls that a guardrail refused, too.
    FailedRecord,
    /// Both have come; kept so that a copy of either is not taken for a call of its own.
    Both,
}

impl Half {
    fn is_record(self) -> bool {
        matches!(self, Half::Record | Half::FailedRecord)
    }
}

/// What happened in one minute, or in all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Counts {
    /// Calls that were decided.
    pub(crate) calls: u64,
    /// Records of calls.
    pub(crate) records: u64,
    /// Calls that passed and of which no record came.
    pub(crate) without_record: u64,
    /// Records of calls that nobody asked about.
    pub(crate) without_decision: u64,
    /// Calls that were refused and of which a record came all the same.
    pub(crate) answered_though_refused: u64,
}

/// What happened in one minute to the calls of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Line {
    /// When the minute began.
    pub(crate) minute: String,
    /// The `source` of the events.
    pub(crate) source: String,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    half: Half,
    at: Timestamp,
    source: usize,
}

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<u64, Known>,
    /// By when they came, the oldest first; some are settled already.
    order: VecDeque<(Timestamp, u64)>,
    sources: Vec<String>,
    minutes: BTreeMap<(i64, usize), Counts>,
    total: Counts,
    forgotten: u64,
    asked: bool,
    logged: bool,
}

/// Calls whose other half is yet to come.
#[derive(Debug)]
pub(crate) struct Gaps {
    within: Duration,
    calls_max: usize,
    hasher: RandomState,
    inner: Mutex<Inner>,
}

impl Gaps {
    pub(crate) fn new(within: Duration, calls_max: usize) -> Gaps {
        Gaps { within, calls_max, hasher: RandomState::new(), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Counts may be off by one after a panic, which is a bug and counted elsewhere.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a half.
    pub(crate) fn note(&self, call: &str, half: Half, source: &str, now: Timestamp) {
        let call = self.hasher.hash_one(call);
        let mut inner = self.lock();
        inner.expire(now.saturating_sub(self.within));
        let source = inner.source(source);
        let is_record = half.is_record();
        inner.asked |= !is_record;
        inner.logged |= is_record;
        let minute = inner.minute(now, source);
        if is_record {
            minute.records += 1
        } else {
            minute.calls += 1
        };
        if is_record {
            inner.total.records += 1
        } else {
            inner.total.calls += 1
        };
        match inner.open.get(&call).copied() {
            Some(Known { half: Half::Both, .. }) => {}
            // A call that is asked about again keeps its first moment, and what was said last.
            Some(known) if known.half.is_record() == is_record => {
                inner.open.insert(call, Known { half, ..known });
            }
            Some(known) => {
                inner.open.insert(call, Known { half: Half::Both, ..known });
                if matches!((known.half, half), (Half::Refused, Half::Record) | (Half::Record, Half::Refused)) {
                    inner.count(known, |c| c.answered_though_refused += 1);
                }
            }
            None => {
                inner.open.insert(call, Known { half, at: now, source });
                inner.order.push_back((now, call));
                while inner.open.len() > self.calls_max {
                    let Some((_, oldest)) = inner.order.pop_front() else { break };
                    inner.forgotten += u64::from(inner.open.remove(&oldest).is_some());
                }
            }
        }
    }

    /// Since the start, and how many calls were forgotten for want of room; `None` while one of the two kinds was never seen.
    pub(crate) fn total(&self, now: Timestamp) -> Option<(Counts, u64)> {
        let mut inner = self.lock();
        inner.expire(now.saturating_sub(self.within));
        (inner.asked && inner.logged).then_some((inner.total, inner.forgotten))
    }

    /// The last hour, minute by minute; empty while one of the two kinds was never seen.
    pub(crate) fn minutes(&self, now: Timestamp) -> Vec<Line> {
        let mut inner = self.lock();
        inner.expire(now.saturating_sub(self.within));
        if !inner.asked || !inner.logged {
            return Vec::new();
        }
        let line = |((minute, source), counts): (&(i64, usize), &Counts)| Line {
            minute: Timestamp(minute.saturating_mul(MINUTE_NS)).to_string(),
            source: inner.sources.get(*source).cloned().unwrap_or_else(|| "other".to_string()),
            counts: *counts,
        };
        inner.minutes.iter().map(line).collect()
    }
}

impl Inner {
    fn source(&mut self, name: &str) -> usize {
        if let Some(at) = self.sources.iter().position(|s| s == name) {
            return at;
        }
        if self.sources.len() < SOURCES_MAX && name.chars().count() <= SOURCE_CHARS_MAX {
            self.sources.push(name.to_string());
            return self.sources.len() - 1;
        }
        usize::MAX
    }

    fn minute(&mut self, at: Timestamp, source: usize) -> &mut Counts {
        let minute = at.0.div_euclid(MINUTE_NS);
        let oldest = minute.saturating_sub(MINUTES);
        while self.minutes.first_key_value().is_some_and(|((m, _), _)| *m < oldest) {
            self.minutes.pop_first();
        }
        self.minutes.entry((minute, source)).or_default()
    }

    fn count(&mut self, known: Known, add: impl Fn(&mut Counts)) {
        add(&mut self.total);
        let minute = known.at.0.div_euclid(MINUTE_NS);
        if let Some(counts) = self.minutes.get_mut(&(minute, known.source)) {
            add(counts);
        }
    }

    /// What came before this moment and has no other half has none any more.
    fn expire(&mut self, before: Timestamp) {
        while self.order.front().is_some_and(|(at, _)| *at <= before) {
            let Some((at, call)) = self.order.pop_front() else { return };
            let Some(known) = self.open.get(&call).copied().filter(|k| k.at == at) else { continue };
            self.open.remove(&call);
            if !self.asked || !self.logged {
                continue;
            }
            match known.half {
                Half::Passed => self.count(known, |c| c.without_record += 1),
                Half::Record | Half::FailedRecord => self.count(known, |c| c.without_decision += 1),
                Half::Refused | Half::Both => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Gaps, Half};
    use crate::time::{Duration, SECOND_NS, Timestamp};

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_700_000_000 * SECOND_NS + seconds * SECOND_NS)
    }

    fn gaps() -> Gaps {
        Gaps::new(Duration::from_secs(10), 1_000)
    }

    #[test]
    fn who_only_asks_or_only_logs_has_no_gaps() {
        for half in [Half::Passed, Half::Record] {
            let gaps = gaps();
            for n in 0..100 {
                gaps.note(&n.to_string(), half, "gw", at(n));
            }
            assert_eq!(gaps.total(at(500)), None);
            assert!(gaps.minutes(at(500)).is_empty());
        }
    }

    #[test]
    fn each_half_without_the_other_is_counted_once_whatever_came_first() {
        let gaps = gaps();
        gaps.note("both", Half::Passed, "gw", at(0));
        gaps.note("both", Half::Record, "gw", at(1));
        gaps.note("both", Half::Record, "gw", at(1));
        gaps.note("both", Half::Passed, "gw", at(1));
        gaps.note("turned", Half::Record, "gw", at(1));
        gaps.note("turned", Half::Passed, "gw", at(2));
        gaps.note("asked", Half::Passed, "gw", at(2));
        gaps.note("asked", Half::Passed, "gw", at(3));
        gaps.note("logged", Half::Record, "gw", at(3));
        gaps.note("refused", Half::Refused, "gw", at(3));
        gaps.note("ignored", Half::Refused, "gw", at(3));
        gaps.note("ignored", Half::Record, "gw", at(4));
        gaps.note("blocked", Half::Refused, "gw", at(4));
        gaps.note("blocked", Half::FailedRecord, "gw", at(5));
        let (total, forgotten) = gaps.total(at(30)).unwrap();
        let expected =
            Counts { calls: 8, records: 6, without_record: 1, without_decision: 1, answered_though_refused: 1 };
        assert_eq!((total, forgotten), (expected, 0));
        let all = gaps.minutes(at(30)).iter().fold(Counts::default(), |a, l| Counts {
            calls: a.calls + l.counts.calls,
            records: a.records + l.counts.records,
            without_record: a.without_record + l.counts.without_record,
            without_decision: a.without_decision + l.counts.without_decision,
            answered_though_refused: a.answered_though_refused + l.counts.answered_though_refused,
        });
        assert_eq!(all, expected, "minutes add up");
    }

    #[test]
    fn what_finds_no_room_is_counted_as_forgotten_and_not_as_a_gap() {
        let gaps = Gaps::new(Duration::from_secs(10), 3);
        gaps.note("record", Half::Record, "gw", at(0));
        for n in 0..5 {
            gaps.note(&n.to_string(), Half::Passed, "gw", at(1));
        }
        let (total, forgotten) = gaps.total(at(30)).unwrap();
        assert_eq!((total.without_record + total.without_decision, forgotten), (3, 3));
    }
}
