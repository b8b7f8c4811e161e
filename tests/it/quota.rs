//! Limits when calls arrive: a plain model judges what is reserved and settled, and findings what comes of it.

use std::sync::Arc;

use fineprint::compile::compile;
use fineprint::diagnostic::has_errors;
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::inline::limits::{Ask, LimitReader, Use, kept};
use fineprint::inline::quota::{
    Answer, Bounds, Kept, Name, QUOTA_VERSION, QuotaError, Quotas, RESERVATION_LIFE, RETRY_HELD, SETTLED_KNOWN,
    Settled, Want, Why,
};
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::source::SourceMap;
use fineprint::time::{Duration, Timestamp};
use fineprint::violation::Status;
use proptest::prelude::*;

use crate::eval::cases;

const SECOND: i64 = 1_000_000_000;
const LENGTH: i64 = 600;
const MOST: i64 = 100;

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * SECOND)
}

fn name(n: impl ToString) -> Name {
    Name::of(n.to_string().as_bytes())
}

fn limit(identity: &str) -> Kept {
    Kept { identity: identity.to_string(), window: Duration(LENGTH * SECOND) }
}

fn quotas() -> Quotas {
    Quotas::new(vec![limit("a")], Bounds::default())
}

/// A key, a call, what it wants, when.
fn reserve(q: &mut Quotas, call: &str, want: i64, now: i64) -> Answer {
    q.reserve(0, name("k"), name(call), Want::Amount(want), MOST, at(now))
}

fn settle(q: &mut Quotas, call: &str, amount: i64, now: i64) -> Settled {
    q.settle(0, name("k"), name(call), Some(amount), at(now), at(now))
}

fn refused(seconds: i64, why: Why) -> Answer {
    Answer::Refused { retry_after: Some(Duration(seconds * SECOND)), why }
}

#[test]
fn calls_under_way_leave_no_room_for_more_than_the_limit() {
    let mut q = quotas();
    assert_eq!(reserve(&mut q, "a", 60, 0), Answer::Reserved { held: 60 });
    assert_eq!(reserve(&mut q, "b", 41, 0), Answer::Refused { retry_after: Some(RETRY_HELD), why: Why::Held });
    assert_eq!(reserve(&mut q, "b", 40, 0), Answer::Reserved { held: 40 });
    assert_eq!(settle(&mut q, "a", 10, 5), Settled { counted: true, beyond: 0 });
    assert_eq!(reserve(&mut q, "c", 50, 5), Answer::Reserved { held: 50 });
    assert_eq!(q.used(0, name("k"), at(5)), (10, 90));
}

#[test]
fn a_used_up_limit_says_when_its_window_ends() {
    let mut q = quotas();
    settle(&mut q, "a", 100, 30);
    assert_eq!(reserve(&mut q, "b", 1, 40), refused(LENGTH - 40, Why::UsedUp));
    assert_eq!(reserve(&mut q, "b", 1, LENGTH), Answer::Reserved { held: 1 });
    assert_eq!(
        reserve(&mut q, "c", MOST + 1, LENGTH),
        Answer::Refused { retry_after: None, why: Why::TooMuch },
        "no waiting helps"
    );
}

#[test]
fn a_limit_that_reserves_nothing_refuses_once_it_is_used_up() {
    let mut q = quotas();
    let mut ask = |q: &mut Quotas, call, now| q.reserve(0, name("k"), name(call), Want::Nothing, MOST, at(now));
    assert_eq!(ask(&mut q, "a", 0), Answer::Reserved { held: 0 });
    assert_eq!(ask(&mut q, "b", 0), Answer::Reserved { held: 0 });
    settle(&mut q, "a", 99, 1);
    assert_eq!(ask(&mut q, "c", 1), Answer::Reserved { held: 0 });
    settle(&mut q, "b", 1, 2);
    assert_eq!(ask(&mut q, "d", 2), refused(LENGTH - 2, Why::UsedUp));
}

#[test]
fn a_call_across_the_end_of_a_window_has_its_room_in_both_and_settles_where_it_completed() {
    let mut q = quotas();
    reserve(&mut q, "a", 80, LENGTH - 1);
    assert_eq!(reserve(&mut q, "b", 21, LENGTH + 1), Answer::Refused { retry_after: Some(RETRY_HELD), why: Why::Held });
    let late = q.settle(0, name("k"), name("a"), Some(70), at(LENGTH - 1), at(LENGTH + 2));
    assert_eq!(late, Settled { counted: true, beyond: 0 });
    assert_eq!((q.used(0, name("k"), at(LENGTH - 1)).0, q.used(0, name("k"), at(LENGTH)).0), (70, 0));
    reserve(&mut q, "c", 50, LENGTH + 3);
    settle(&mut q, "c", 50, LENGTH + 4);
    assert_eq!(q.used(0, name("k"), at(LENGTH)), (50, 0));
}

#[test]
fn a_reservation_that_is_not_settled_expires_and_what_settles_later_counts_all_the_same() {
    let mut q = quotas();
    let life = RESERVATION_LIFE.0 / SECOND;
    reserve(&mut q, "a", 100, 0);
    assert_eq!(q.expire(at(life - 1)), 0);
    assert_eq!(q.expire(at(life)), 1);
    assert_eq!(settle(&mut q, "a", 30, life + 1), Settled { counted: true, beyond: 30 });
    assert_eq!((q.told().expired, q.told().beyond), (1, 1));
    assert_eq!(q.used(0, name("k"), at(life + 1)), (30, 0));
}

#[test]
fn a_call_told_twice_counts_once_and_one_asked_about_again_is_another() {
    let mut q = quotas();
    reserve(&mut q, "a", 10, 0);
    assert!(settle(&mut q, "a", 10, 1).counted && !settle(&mut q, "a", 10, 2).counted);
    assert_eq!((q.used(0, name("k"), at(2)).0, q.told().twice), (10, 1));
    reserve(&mut q, "a", 10, 3);
    assert!(settle(&mut q, "a", 10, 4).counted);
    let known = SETTLED_KNOWN.0 / SECOND;
    assert!(!settle(&mut q, "a", 10, 4 + known - 1).counted, "still known");
    assert!(settle(&mut q, "a", 10, 4 + known).counted, "beyond the horizon it is another call");
}

#[test]
fn a_call_that_does_not_say_what_it_may_use_is_held_at_what_calls_of_its_key_settle() {
    let mut q = quotas();
    let ask = |q: &mut Quotas, call: &str, now| q.reserve(0, name("k"), name(call), Want::Unknown, MOST, at(now));
    assert_eq!(ask(&mut q, "a", 0), Answer::Reserved { held: 0 }, "nothing is known of a new key");
    settle(&mut q, "a", 10, 1);
    settle(&mut q, "b", 15, 1);
    assert_eq!(ask(&mut q, "c", 2), Answer::Reserved { held: 13 }, "the average, rounded up");
    assert_eq!(ask(&mut q, "d", LENGTH), Answer::Reserved { held: 13 }, "of the window before");
    assert_eq!(ask(&mut q, "e", 2 * LENGTH), Answer::Reserved { held: 0 }, "and no further back");
}

#[test]
fn what_is_unknown_or_out_of_time_counts_nothing_and_is_told() {
    let mut q = quotas();
    reserve(&mut q, "a", 10, 3 * LENGTH);
    let now = at(3 * LENGTH);
    assert_eq!(q.settle(0, name("k"), name("a"), None, now, now), Settled::default());
    assert_eq!(q.used(0, name("k"), now), (0, 0), "it is over and holds nothing");
    for completed in [LENGTH, 5 * LENGTH] {
        assert_eq!(q.settle(0, name("k"), name(completed), Some(5), at(completed), now), Settled::default());
    }
    assert_eq!((q.told().unknown, q.told().out_of_time), (1, 2));
}

#[test]
fn a_call_that_is_taken_back_holds_nothing() {
    let mut q = quotas();
    reserve(&mut q, "a", 60, 0);
    assert_eq!((q.release(0, name("k"), name("a")), q.release(0, name("k"), name("a"))), (60, 0));
    assert_eq!((q.used(0, name("k"), at(0)), q.size()), ((0, 0), (0, 0)));
}

#[test]
fn one_key_cannot_have_any_number_of_calls_under_way() {
    let bounds = Bounds { reservations_per_key: 2, ..Bounds::default() };
    let mut q = Quotas::new(vec![limit("a")], bounds);
    reserve(&mut q, "a", 1, 0);
    reserve(&mut q, "b", 1, 0);
    assert_eq!(reserve(&mut q, "c", 1, 0), Answer::Refused { retry_after: Some(RETRY_HELD), why: Why::TooMany });
    settle(&mut q, "a", 1, 1);
    assert_eq!(reserve(&mut q, "c", 1, 1), Answer::Reserved { held: 1 });
}

#[test]
fn above_the_bounds_the_oldest_calls_and_the_keys_that_used_least_go_and_are_told() {
    let bounds = Bounds { keys: 8, reservations: 3, settled: 4, ..Bounds::default() };
    let mut q = Quotas::new(vec![limit("a")], bounds);
    for n in 0..5 {
        q.reserve(0, name(n), name(n), Want::Amount(1), MOST, at(n));
    }
    assert_eq!((q.size().1, q.told().dropped), (3, 2));
    assert_eq!((q.used(0, name(0), at(5)), q.used(0, name(4), at(5))), ((0, 0), (0, 1)));
    for n in 10..40 {
        q.settle(0, name(n), name(n), Some(n), at(6), at(6));
    }
    assert!(q.size().0 <= 8, "{:?}", q.size());
    assert_eq!(q.used(0, name(39), at(6)).0, 39, "the last");
    assert_eq!(q.used(0, name(10), at(6)).0, 0, "the one that used least");
    assert_eq!(q.used(0, name(4), at(6)), (0, 1), "and none with a call under way");
    assert!(q.told().keys_forgotten > 0 && q.told().calls_forgotten >= 26, "{:?}", q.told());
}

#[test]
fn time_does_not_run_back() {
    let mut q = quotas();
    reserve(&mut q, "a", 10, 100);
    q.expire(at(100 + RESERVATION_LIFE.0 / SECOND));
    assert_eq!(reserve(&mut q, "b", MOST, 0), Answer::Reserved { held: MOST });
    assert_eq!(q.expire(at(0)), 0);
}

#[test]
fn bytes_of_another_version_or_damaged_are_refused() {
    let mut q = quotas();
    reserve(&mut q, "a", 10, 100);
    let bytes = q.to_bytes();
    let read = |bytes: &[u8]| Quotas::from_bytes(bytes, vec![limit("a")], Bounds::default()).map(|q| q.to_bytes());
    assert_eq!(read(&bytes).unwrap(), bytes);
    let mut other = bytes.clone();
    other[0] += 1;
    assert_eq!(read(&other).unwrap_err(), QuotaError::Version { found: QUOTA_VERSION + 1 });
    for n in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[n] ^= 0x10;
        assert!(read(&damaged).is_err() && read(&bytes[..n]).is_err(), "{n}");
    }
}

#[test]
fn state_follows_a_limit_by_what_its_amounts_mean() {
    let mut q = Quotas::new(vec![limit("a"), limit("b")], Bounds::default());
    for l in [0, 1] {
        q.reserve(l, name("k"), name("a"), Want::Amount(10 + i64::from(l)), MOST, at(0));
        q.settle(l, name("k"), name("b"), Some(1 + i64::from(l)), at(0), at(0));
    }
    let mut q = q.for_limits(vec![limit("c"), limit("b")]);
    assert_eq!((q.used(0, name("k"), at(0)), q.used(1, name("k"), at(0))), ((0, 0), (2, 11)));
    assert!(!q.settle(1, name("k"), name("b"), Some(1), at(1), at(1)).counted, "it is known that it was settled");
    let longer = Kept { window: Duration(2 * LENGTH * SECOND), ..limit("b") };
    assert_eq!(q.for_limits(vec![longer]).used(0, name("k"), at(0)), (0, 0), "other windows are another limit");
}

/// Everything that ever happened; each answer is counted anew from it.
#[derive(Default)]
struct Plain {
    clock: i64,
    /// (key, call, amount, reserved at).
    open: Vec<(u8, u8, i64, i64)>,
    /// (key, call, told at).
    settled: Vec<(u8, u8, i64)>,
    /// (key, window, amount, what was not held before).
    used: Vec<(u8, i64, i64, i64)>,
}

impl Plain {
    fn pass(&mut self, now: i64) {
        self.clock = self.clock.max(now);
        self.open.retain(|o| o.3 + RESERVATION_LIFE.0 / SECOND > self.clock);
        self.settled.retain(|s| s.2 + SETTLED_KNOWN.0 / SECOND > self.clock);
    }

    fn window(&self) -> i64 {
        self.clock.div_euclid(LENGTH)
    }

    fn in_window(&self, key: u8, window: i64) -> Vec<&(u8, i64, i64, i64)> {
        self.used.iter().filter(|u| u.0 == key && u.1 == window).collect()
    }

    fn sums(&self, key: u8) -> (i64, i64, i64) {
        let used = self.in_window(key, self.window());
        let held = self.open.iter().filter(|o| o.0 == key).map(|o| o.2).sum();
        (used.iter().map(|u| u.2).sum(), held, used.iter().map(|u| u.3).sum())
    }

    fn reserve(&mut self, key: u8, call: u8, want: Want) -> Option<i64> {
        let (settled, held, _) = self.sums(key);
        let own = self.open.iter().find(|o| (o.0, o.1) == (key, call)).map_or(0, |o| o.2);
        let average = || {
            let of = |w| Some(self.in_window(key, w)).filter(|all| !all.is_empty());
            let all = of(self.window()).or_else(|| of(self.window() - 1)).unwrap_or_default();
            let (sum, n) = (all.iter().map(|u| u.2).sum::<i64>(), all.len() as i64);
            if n == 0 { 0 } else { (sum + n - 1) / n }
        };
        let wanted = match want {
            Want::Amount(n) => n,
            Want::Unknown => average().min(MOST),
            Want::Nothing => 0,
        };
        let wanted = wanted.max(own);
        let others = held - own;
        if settled + others + wanted > MOST || settled + others >= MOST {
            return None;
        }
        self.settled.retain(|s| (s.0, s.1) != (key, call) || own > 0 && own == wanted);
        if own != wanted || own == 0 {
            self.open.retain(|o| (o.0, o.1) != (key, call));
            if wanted > 0 {
                self.open.push((key, call, wanted, self.clock));
            }
        }
        Some(wanted)
    }

    fn settle(&mut self, key: u8, call: u8, amount: Option<i64>, at: i64) -> bool {
        if self.settled.iter().any(|s| (s.0, s.1) == (key, call)) {
            return false;
        }
        let held = self.open.iter().find(|o| (o.0, o.1) == (key, call)).copied();
        self.open.retain(|o| (o.0, o.1) != (key, call));
        self.settled.push((key, call, self.clock));
        let window = at.div_euclid(LENGTH);
        let Some(amount) = amount.filter(|_| (window - self.window()).abs() <= 1) else { return false };
        let held = held.filter(|o| o.3.div_euclid(LENGTH) <= window && window <= self.window()).map_or(0, |o| o.2);
        self.used.push((key, window, amount, (amount - held).max(0)));
        true
    }
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(u8, u8, Want),
    /// Completed so many seconds ago.
    Settle(u8, u8, Option<i64>, i64),
    Release(u8, u8),
    Pass(i64),
    /// Written down, read back, cut and put together.
    Moved(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let want = prop_oneof![6 => (0i64..50).prop_map(Want::Amount), 1 => Just(Want::Unknown), 1 => Just(Want::Nothing)];
    prop_oneof![
        6 => (0u8..3, 0u8..8, want).prop_map(|(k, c, w)| Step::Reserve(k, c, w)),
        5 => (0u8..3, 0u8..8, proptest::option::weighted(0.9, 0i64..60), prop_oneof![4 => 0i64..30, 1 => -700i64..1_500])
            .prop_map(|(k, c, n, ago)| Step::Settle(k, c, n, ago)),
        1 => (0u8..3, 0u8..8).prop_map(|(k, c)| Step::Release(k, c)),
        3 => prop_oneof![4 => 0i64..60, 1 => 0i64..1_200].prop_map(Step::Pass),
        1 => (1usize..4).prop_map(Step::Moved),
    ]
}

fn moved(q: Quotas, shards: usize) -> Quotas {
    let bytes = q.to_bytes();
    let back = Quotas::from_bytes(&bytes, vec![limit("a")], Bounds::default()).unwrap();
    assert_eq!(back.to_bytes(), bytes);
    let mut whole = Quotas::new(vec![limit("a")], Bounds::default());
    for (n, part) in back.split(shards).into_iter().enumerate() {
        for key in 0..3u8 {
            let elsewhere = name(key).shard(shards) != n;
            assert!(!elsewhere || part.used(0, name(key), at(0)).1 == 0, "a key lies in one shard");
        }
        whole.merge(part);
    }
    whole
}

proptest! {
    #![proptest_config(cases(300))]

    /// However calls come, settle, expire and are taken back, the answers are those of the plain count; and never is what was
    /// settled and what is held above the limit, but for what settled without having been held, which is told.
    #[test]
    fn no_order_of_calls_passes_a_limit(steps in proptest::collection::vec(step(), 1..120)) {
        let (mut q, mut plain, mut now, mut beyond) = (quotas(), Plain::default(), 0i64, 0u64);
        for step in steps {
            match step {
                Step::Reserve(key, call, want) => {
                    plain.pass(now);
                    let expected = plain.reserve(key, call, want);
                    let found = match q.reserve(0, name(key), name(call), want, MOST, at(now)) {
                        Answer::Reserved { held } => Some(held),
                        Answer::Refused { .. } => None,
                    };
                    prop_assert_eq!(found, expected);
                }
                Step::Settle(key, call, amount, ago) => {
                    plain.pass(now);
                    let expected = plain.settle(key, call, amount, now - ago);
                    let found = q.settle(0, name(key), name(call), amount, at(now - ago), at(now));
                    prop_assert_eq!(found.counted, expected);
                    if expected {
                        prop_assert_eq!(found.beyond, plain.used.last().unwrap().3);
                    }
                    beyond += u64::from(found.beyond > 0);
                }
                Step::Release(key, call) => {
                    q.release(0, name(key), name(call));
                    plain.open.retain(|o| (o.0, o.1) != (key, call));
                }
                Step::Pass(seconds) => {
                    now += seconds;
                    plain.pass(now);
                    q.expire(at(now));
                }
                Step::Moved(shards) => q = moved(q, shards),
            }
            for key in 0..3 {
                let (settled, held, unheld) = plain.sums(key);
                prop_assert_eq!(q.used(0, name(key), at(plain.clock)), (settled, held));
                prop_assert!(settled + held <= MOST + unheld, "{} settled, {} held, {} told", settled, held, unheld);
            }
        }
        prop_assert_eq!(q.told().beyond, beyond);
    }
}

const RULES: &str = r#"
policy acme.terms version 2026-01-01 { clause fair at "1" "Shares of a day are kept." }
limit tokens {
  enforces acme.terms.fair
  on       completion where status < 400
  per      account
  over     each 10m
  reserve  max_tokens
  settle   output_tokens
  at most  100
  except   events where plan = "free"
}
limit calls {
  enforces acme.terms.fair
  on       completion
  per      account, quota_rpm
  over     each 1m
  settle   1
  at most  quota_rpm
}
"#;

fn rules() -> Arc<RuleSet> {
    let mut sources = SourceMap::default();
    sources.add("limits.tos", RULES);
    let compiled = compile(&sources);
    assert!(!has_errors(&compiled.diagnostics), "{:?}", compiled.diagnostics);
    Arc::new(RuleSet::new(compiled.program, ReferenceData::default()).unwrap())
}

/// A call of an account: when it arrives, how long it takes, what it may use and uses.
#[derive(Debug, Clone)]
struct Sent {
    account: u8,
    arrives: i64,
    takes: i64,
    may: i64,
    uses: i64,
    fails: bool,
    free: bool,
}

fn event<'e>(kind: Kind, id: String, ts: i64, sent: &Sent, number: usize) -> UsageEvent<'e> {
    let mut event = UsageEvent::new(kind, id, at(ts));
    event.set(FieldId::CALL, Slot::Text(format!("c{number}").into()));
    event.set(FieldId::ACCOUNT, Slot::Text(format!("a{}", sent.account).into()));
    event.set(FieldId::PLAN, Slot::Text(if sent.free { "free" } else { "paid" }.into()));
    event.set(FieldId::MAX_TOKENS, Slot::Num(sent.may));
    event.set(FieldId::QUOTA_RPM, Slot::Num(3));
    event
}

fn completion<'e>(sent: &Sent, number: usize) -> UsageEvent<'e> {
    let mut event = event(Kind::Completion, format!("e{number}"), sent.arrives + sent.takes, sent, number);
    event.set(FieldId::STATUS, Slot::Num(if sent.fails { 500 } else { 200 }));
    event.set(FieldId::OUTPUT_TOKENS, Slot::Num(sent.uses));
    event
}

/// Plays calls as a gateway would, and gives how many passed and how many findings there are. `asked`: whether limits
/// decide.
fn play(all: &[Sent], asked: bool) -> (usize, usize, Quotas) {
    let rules = rules();
    let mut q = Quotas::new(kept(&rules), Bounds::default());
    let mut reader = LimitReader::default();
    let (mut asks, mut uses): (Vec<Ask>, Vec<Use>) = (Vec::new(), Vec::new());
    // Completions before arrivals of the same moment.
    let mut moments: Vec<(i64, u8, usize)> = Vec::new();
    for (n, sent) in all.iter().enumerate() {
        moments.push((sent.arrives, 1, n));
        moments.push((sent.arrives + sent.takes, 0, n));
    }
    moments.sort_unstable();
    let mut evaluator = Evaluator::new(rules.clone(), EvalOptions::default());
    let mut passed = vec![false; all.len()];
    for (now, kind, n) in moments {
        let sent = &all[n];
        if kind == 1 {
            let request = event(Kind::Request, format!("r{n}"), now, sent, n);
            reader.arrival(&rules, &request, &mut asks);
            let mut held = Vec::new();
            for ask in &asks {
                let answer = q.reserve(ask.limit, ask.key, ask.call, ask.want, ask.most, at(now));
                if matches!(answer, Answer::Refused { .. }) && asked {
                    break;
                }
                held.push(*ask);
            }
            passed[n] = held.len() == asks.len();
            if !passed[n] {
                held.iter().for_each(|ask| {
                    q.release(ask.limit, ask.key, ask.call);
                });
            }
        } else if passed[n] {
            let over = completion(sent, n);
            reader.over(&rules, &over, &mut uses);
            for used in &uses {
                if used.counts {
                    q.settle(used.limit, used.key, used.call, used.amount, over.ts(), at(now));
                } else {
                    q.release(used.limit, used.key, used.call);
                }
            }
            evaluator.observe(&over, Origin::default());
        }
    }
    evaluator.advance(at(10_000));
    evaluator.advance(at(10_000));
    evaluator.finish();
    let found = evaluator.take_violations();
    let found = found.iter().filter(|v| v.status != Status::Exempted).count();
    (passed.iter().filter(|p| **p).count(), found, q)
}

fn sent() -> impl Strategy<Value = Sent> {
    (0u8..2, 0i64..1_500, 1i64..200, 1i64..60, 0i64..60, prop::bool::weighted(0.1), prop::bool::weighted(0.1)).prop_map(
        |(account, arrives, takes, may, uses, fails, free)| Sent {
            account,
            arrives,
            takes,
            may,
            uses: uses.min(may),
            fails,
            free,
        },
    )
}

proptest! {
    #![proptest_config(cases(60))]

    /// Where each call is asked about and uses no more than it reserved, a limit finds nothing.
    #[test]
    fn what_passes_at_arrival_is_no_finding(all in proptest::collection::vec(sent(), 1..80)) {
        let (_, found, q) = play(&all, true);
        prop_assert_eq!(found, 0);
        prop_assert_eq!(q.told().beyond, 0);
        prop_assert_eq!(q.size().1, 0, "nothing is held when all calls are over");
    }
}

#[test]
fn without_asking_the_same_calls_are_findings() {
    let one = Sent { account: 0, arrives: 0, takes: 5, may: 30, uses: 30, fails: false, free: false };
    let all: Vec<Sent> = (0..10).map(|n| Sent { arrives: n, ..one.clone() }).collect();
    let (passed, found, _) = play(&all, true);
    assert_eq!((passed, found), (3, 0), "three of a minute, and of tokens");
    let (passed, found, _) = play(&all, false);
    assert_eq!((passed, found), (10, 2), "one of each limit");
    let free: Vec<Sent> = all.iter().map(|s| Sent { free: true, arrives: s.arrives * 30, ..s.clone() }).collect();
    assert_eq!(play(&free, true).0, 10, "exceptions take calls out of the limit at arrival too");
    let failing: Vec<Sent> = all.iter().map(|s| Sent { fails: true, arrives: s.arrives * 30, ..s.clone() }).collect();
    assert_eq!(play(&failing, true).0, 10, "what does not count gives back what was held");
}
