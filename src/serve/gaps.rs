//! What passes by unseen: calls that were decided and of which no record came, records of calls that nobody asked about, and
//! calls that were refused and answered all the same. Joined by `call`, by the minute in which the first of the two came and
//! its source. Nothing is told of a source until both kinds have been seen of it: who only asks, or only logs, has no gaps.
//! Where the two halves of a call come under two names, each has shown what the other lacks. Time is an argument.

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

/// What was seen of one source since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Seen {
    /// The `source` of the events; `other` for all beyond the first few dozen.
    pub(crate) source: String,
    /// Its calls are asked about.
    pub(crate) asks: bool,
    /// Its calls are reported.
    pub(crate) logs: bool,
    /// Gaps are told of it: it does both.
    pub(crate) watched: bool,
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

/// A source, and which halves of its calls were seen.
#[derive(Debug, Default)]
struct Source {
    name: String,
    asks: bool,
    logs: bool,
}

impl Source {
    fn is_watched(&self) -> bool {
        self.asks && self.logs
    }
}

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<u64, Known>,
    /// By when they came, the oldest first; some are settled already.
    order: VecDeque<(Timestamp, u64)>,
    sources: Vec<Source>,
    /// All that have no place among them.
    other: Source,
    minutes: BTreeMap<(i64, usize), Counts>,
    total: Counts,
    forgotten: u64,
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
        inner.seen(source, is_record);
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
                // Each of the two has the half that came under the other name.
                inner.seen(known.source, is_record);
                inner.seen(source, !is_record);
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

    /// Since the start, and how many calls were forgotten for want of room; `None` while no source does both.
    pub(crate) fn total(&self, now: Timestamp) -> Option<(Counts, u64)> {
        let mut inner = self.lock();
        inner.expire(now.saturating_sub(self.within));
        let mut all = inner.sources.iter().chain([&inner.other]);
        all.any(Source::is_watched).then_some((inner.total, inner.forgotten))
    }

    /// The last hour, minute by minute, of all sources of which gaps are told.
    pub(crate) fn minutes(&self, now: Timestamp) -> Vec<Line> {
        let mut inner = self.lock();
        inner.expire(now.saturating_sub(self.within));
        let line = |((minute, source), counts): (&(i64, usize), &Counts)| {
            let source = inner.sources.get(*source).unwrap_or(&inner.other);
            source.is_watched().then(|| Line {
                minute: Timestamp(minute.saturating_mul(MINUTE_NS)).to_string(),
                source: source.shown(),
                counts: *counts,
            })
        };
        inner.minutes.iter().filter_map(line).collect()
    }

    /// Which sources there are, and what was seen of each.
    pub(crate) fn sources(&self) -> Vec<Seen> {
        let inner = self.lock();
        let others = Some(&inner.other).filter(|other| other.asks || other.logs);
        let seen = |source: &Source| Seen {
            source: source.shown(),
            asks: source.asks,
            logs: source.logs,
            watched: source.is_watched(),
        };
        inner.sources.iter().chain(others).map(seen).collect()
    }
}

impl Source {
    fn shown(&self) -> String {
        if self.name.is_empty() { "other".to_string() } else { self.name.clone() }
    }
}

impl Inner {
    fn source(&mut self, name: &str) -> usize {
        if let Some(at) = self.sources.iter().position(|s| s.name == name) {
            return at;
        }
        if self.sources.len() < SOURCES_MAX && name.chars().count() <= SOURCE_CHARS_MAX && !name.is_empty() {
            self.sources.push(Source { name: name.to_string(), ..Source::default() });
            return self.sources.len() - 1;
        }
        usize::MAX
    }

    /// One half of a call was seen of a source.
    fn seen(&mut self, source: usize, is_record: bool) {
        let source = self.sources.get_mut(source).unwrap_or(&mut self.other);
        source.asks |= !is_record;
        source.logs |= is_record;
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
            if !self.sources.get(known.source).unwrap_or(&self.other).is_watched() {
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

    /// A source that only asks and one that only logs stay silent beside one that does both.
    #[test]
    fn a_source_is_watched_once_both_halves_were_seen_of_it_and_not_before() {
        let gaps = gaps();
        for n in 0..5 {
            gaps.note(&format!("a{n}"), Half::Passed, "asks", at(n));
            gaps.note(&format!("l{n}"), Half::Record, "logs", at(n));
            gaps.note(&format!("b{n}"), Half::Passed, "both", at(n));
        }
        gaps.note("b0", Half::Record, "both", at(5));
        let (total, _) = gaps.total(at(30)).unwrap();
        assert_eq!((total.without_record, total.without_decision), (4, 0));
        assert!(gaps.minutes(at(30)).iter().all(|line| line.source == "both"));
        let seen = |gaps: &Gaps| -> Vec<(String, bool, bool, bool)> {
            gaps.sources().into_iter().map(|s| (s.source, s.asks, s.logs, s.watched)).collect()
        };
        let is = |name: &str, asks, logs| (name.to_string(), asks, logs, asks && logs);
        assert_eq!(seen(&gaps), [is("asks", true, false), is("logs", false, true), is("both", true, true)]);
        // The records of one come under the name of another.
        gaps.note("joined", Half::Passed, "asks", at(31));
        gaps.note("joined", Half::Record, "logs", at(32));
        gaps.note("lost", Half::Passed, "asks", at(33));
        gaps.note("unasked", Half::Record, "logs", at(33));
        let (total, _) = gaps.total(at(60)).unwrap();
        assert_eq!((total.without_record, total.without_decision), (5, 1));
        assert_eq!(seen(&gaps), [is("asks", true, true), is("logs", true, true), is("both", true, true)]);
    }

    #[test]
    fn sources_beyond_the_bound_are_one() {
        let gaps = gaps();
        for n in 0..super::SOURCES_MAX + 5 {
            gaps.note(&format!("c{n}"), Half::Passed, &format!("s{n}"), at(1));
        }
        gaps.note("c", Half::Record, "yet another", at(1));
        let (total, _) = gaps.total(at(30)).unwrap();
        assert_eq!((total.without_record, total.without_decision), (5, 1));
        assert_eq!(gaps.sources().last().map(|s| (s.source.as_str(), s.watched)), Some(("other", true)));
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
