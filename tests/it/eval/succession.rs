//! Rules that take over while events come: what did not change shows nothing of it, what is new begins at the time, what is
//! gone is closed by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fineprint::eval::{
    Backfill, Carries, Carry, EvalOptions, Evaluator, Fate, Origin, Outcome, Recalled, Salt, TestNames, fates,
};
use fineprint::event::UsageEvent;
use fineprint::hir::{Program, Severity, Shape};
use fineprint::plan::RuleSet;
use fineprint::time::{Duration, Timestamp};
use fineprint::violation::{Status, Violation};
use proptest::prelude::*;

use super::{Found, cases, told, violations_differ};
use crate::plain::generate::{Numbers, Setting, arranged, comings, numbers, setting};
use crate::plain::{Arrival, PlainEvaluator};

const EVENTS: usize = 40;

/// What happens to each rule, and how the evaluator is disturbed meanwhile.
#[derive(Debug, Clone)]
struct Course {
    /// After how many events the rules change.
    at: usize,
    /// Per rule: stays, goes, is graded otherwise, cools down otherwise.
    changes: Vec<u8>,
    turned: bool,
    /// After each event: 0 and 1 nothing, 2 takes, 3 is written down and read, 4 begins a snapshot, 5 ends it.
    moments: Vec<u8>,
}

fn courses() -> impl Strategy<Value = Course> {
    let moments = prop::collection::vec(0u8..6, EVENTS * 2);
    let course = (0..EVENTS, prop::collection::vec(0u8..4, 3), any::<bool>(), moments);
    course.prop_map(|(at, changes, turned, moments)| Course { at, changes, turned, moments })
}

/// The rules after the change.
fn changed(program: &Program, course: &Course) -> Program {
    let mut next = program.clone();
    let mut at = 0;
    next.rules.retain_mut(|rule| {
        at += 1;
        match course.changes[(at - 1) % course.changes.len()] {
            1 => return false,
            2 => rule.severity = if rule.severity == Severity::High { Severity::Low } else { Severity::High },
            3 => rule.cooldown = Some(Duration(rule.cooldown.map_or(0, |d| d.0) + 7_000_000_000)),
            _ => {}
        }
        true
    });
    if course.turned {
        next.rules.reverse();
    }
    next
}

fn rule_set(program: &Program, setting: &Setting) -> Arc<RuleSet> {
    Arc::new(RuleSet::new(program.clone(), setting.rows.data(program)).unwrap())
}

fn events(numbers: &Numbers, setting: &Setting) -> Vec<UsageEvent<'static>> {
    arranged(comings(numbers, setting.scale, false), setting.options.lateness)
}

/// Plays events; the last states of what was found.
fn play(
    mut evaluator: Evaluator,
    events: &[UsageEvent<'static>],
    mut before: impl FnMut(usize, Evaluator) -> Evaluator,
    mut after: impl FnMut(usize, Evaluator, &mut Found) -> Evaluator,
) -> BTreeMap<String, Violation> {
    let mut found = Found::default();
    for (at, event) in events.iter().enumerate() {
        evaluator = before(at, evaluator);
        evaluator.observe(event, Origin { input: 0, line: at as u64 });
        assert!(evaluator.books().balance());
        evaluator = after(at, evaluator, &mut found);
    }
    evaluator.catch_up(usize::MAX);
    evaluator.finish();
    found.take(&mut evaluator);
    found.into_violations()
}

fn of(found: &BTreeMap<String, Violation>, rules: &BTreeSet<&str>) -> Vec<Violation> {
    let mut found: Vec<Violation> = found.values().filter(|v| rules.contains(v.rule.as_str())).cloned().collect();
    found.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
    found
}

/// The rules change in the course of events, with snapshots, restarts and takes in between.
fn disturbed(
    setting: &Setting,
    (old, new): (&Arc<RuleSet>, &Arc<RuleSet>),
    events: &[UsageEvent<'static>],
    course: &Course,
    carries: &Carries,
) -> (BTreeMap<String, Violation>, Option<Timestamp>) {
    let mut at_time = None;
    let mut frozen = None;
    let succeed = |at: usize, mut evaluator: Evaluator| {
        if at == course.at {
            at_time = Some(evaluator.succeed(Arc::clone(new), carries).unwrap().0);
        }
        evaluator
    };
    let found =
        play(Evaluator::new(Arc::clone(old), setting.options.clone()), events, succeed, |at, mut evaluator, found| {
            let last = at + 1 == events.len();
            match (course.moments[at % course.moments.len()], frozen.take()) {
                (5, Some(state)) => evaluator.thaw(state),
                (_, Some(state)) if last => evaluator.thaw(state),
                (_, Some(state)) => frozen = Some(state),
                (2, None) => found.take(&mut evaluator),
                (3, None) => {
                    evaluator.catch_up(usize::MAX);
                    let bytes = evaluator.snapshot().unwrap();
                    let mut known = |hash: &str| [old, new].into_iter().find(|r| r.bundle_hash() == hash).cloned();
                    evaluator = Evaluator::restore_among(&mut known, setting.options.clone(), &bytes).unwrap();
                }
                (4, None) if !last => frozen = Some(evaluator.freeze().unwrap()),
                (_, None) => {
                    evaluator.catch_up(3);
                }
            }
            evaluator
        });
    (found, at_time)
}

fn fail(setting: &Setting, events: &[UsageEvent<'static>], what: &str) -> TestCaseError {
    let arrivals: Vec<Arrival> = events.iter().cloned().map(Arrival::Event).collect();
    let plain = PlainEvaluator::new(setting.program.clone(), setting.rows.clone(), setting.options.clone());
    TestCaseError::fail(format!("{what}{}", told(&plain, &arrivals)))
}

/// Rules of which what they find from a time on follows from the events from then on alone.
fn is_of_itself(program: &Program, name: &str) -> bool {
    let rule = program.rules.iter().find(|r| r.name == name).unwrap();
    let mut outages = false;
    fineprint::hir::each_expr(rule, &mut |e| {
        e.walk(&mut |e| {
            outages |= matches!(e.kind, fineprint::hir::ExprKind::Outage(_) | fineprint::hir::ExprKind::WindowOutage(_))
        });
    });
    let linked = matches!(&rule.shape, Shape::Windowed(w) if w.link.is_some());
    !rule.asks_memory() && !outages && !linked
}

proptest! {
    #![proptest_config(cases(400))]

    /// Rules that mean the same find the same, byte for byte; nothing stays open of those that are gone.
    #[test]
    fn what_did_not_change_shows_nothing_of_it(numbers in numbers(EVENTS), course in courses()) {
        let setting = setting(&numbers.setting);
        let next = changed(&setting.program, &course);
        let (old, new) = (rule_set(&setting.program, &setting), rule_set(&next, &setting));
        let carries = Carries { otherwise: Carry::Reset, ..Carries::default() };
        let fates = fates(&old, &new, &carries).unwrap();
        let events = events(&numbers, &setting);
        let (found, at) = disturbed(&setting, (&old, &new), &events, &course, &carries);
        let expected = play(Evaluator::new(Arc::clone(&old), setting.options.clone()), &events, |_, e| e, |_, e, _| e);
        let same: BTreeSet<&str> = fates.iter().filter(|(_, f)| **f == Fate::Unchanged).map(|(n, _)| n.as_str()).collect();
        if let Some(difference) = violations_differ(&of(&expected, &same), &of(&found, &same)) {
            return Err(fail(&setting, &events, &format!("at {at:?}: {difference}")));
        }
        let Some(at) = at else { return Ok(()) };
        let hashes: BTreeSet<&str> = next.rules.iter().map(|r| r.name.as_str()).collect();
        for v in found.values().filter(|v| !hashes.contains(v.rule.as_str())) {
            prop_assert!(v.opened_at <= at || v.window.is_none(), "{v:?}");
        }
    }

    /// A rule that was not there before finds what it finds in the events from then on.
    #[test]
    fn what_is_new_begins_at_the_time(numbers in numbers(EVENTS), course in courses()) {
        let setting = setting(&numbers.setting);
        let before = Program { rules: Vec::new(), ..setting.program.clone() };
        let (old, new) = (rule_set(&before, &setting), rule_set(&setting.program, &setting));
        let carries = Carries::default();
        let options = EvalOptions { lateness: Duration(setting.options.lateness.0), ..setting.options.clone() };
        let setting = Setting { options, ..setting };
        let events = arranged(comings(&numbers, setting.scale, true), setting.options.lateness);
        let (found, at) = disturbed(&setting, (&old, &new), &events, &course, &carries);
        let Some(at) = at else { return Ok(()) };
        let since: Vec<UsageEvent<'static>> = events.iter().filter(|e| e.ts() >= at).cloned().collect();
        let expected = play(Evaluator::new(Arc::clone(&new), setting.options.clone()), &since, |_, e| e, |_, e, _| e);
        let own: BTreeSet<&str> = setting.program.rules.iter().map(|r| r.name.as_str()).filter(|n| is_of_itself(&setting.program, n)).collect();
        if let Some(difference) = violations_differ(&of(&expected, &own), &of(&found, &own)) {
            return Err(fail(&setting, &events, &format!("at {at:?}: {difference}")));
        }
    }

    /// What goes is closed by the time, and was found by it as if nothing had followed; what is called otherwise goes on.
    #[test]
    fn what_is_gone_is_closed(numbers in numbers(EVENTS), course in courses()) {
        let setting = setting(&numbers.setting);
        let next = changed(&setting.program, &course);
        let (old, new) = (rule_set(&setting.program, &setting), rule_set(&next, &setting));
        let carries = Carries { otherwise: Carry::Reset, ..Carries::default() };
        let events = events(&numbers, &setting);
        let mut evaluator = Evaluator::new(Arc::clone(&old), setting.options.clone());
        let mut found = Found::default();
        let mut over = None;
        for (at, event) in events.iter().enumerate() {
            if at == course.at {
                over = Some(evaluator.succeed(Arc::clone(&new), &carries).unwrap());
            }
            evaluator.observe(event, Origin { input: 0, line: at as u64 });
        }
        let Some((at, fates)) = over else { return Ok(()) };
        evaluator.advance(Timestamp(at.0.saturating_add(1_000_000_000)));
        prop_assert_eq!(evaluator.successors(), 0);
        found.take(&mut evaluator);
        let stays: BTreeSet<&str> = fates.iter().filter(|(_, f)| **f == Fate::Unchanged).map(|(n, _)| n.as_str()).collect();
        let old_hashes: BTreeSet<String> = setting.program.rules.iter().map(|r| fineprint::hir::rule_hash(&setting.program, r)).collect();
        for v in found.into_violations().into_values() {
            if !stays.contains(v.rule.as_str()) && old_hashes.contains(&v.rule_hash) && v.status != Status::Exempted {
                prop_assert!(v.closed_at.is_some() && v.status != Status::Open, "{:?} {} at {at:?}", v.status, v.rule);
            }
        }
    }

    /// A journal under several rule sets gives back what was found.
    #[test]
    fn a_journal_across_a_change_gives_it_back(numbers in numbers(EVENTS), course in courses()) {
        let mut setting = setting(&numbers.setting);
        let whole = setting.program.clone();
        setting.program.rules.retain(|rule| fineprint::derive::not_derivable(&whole, rule).is_none());
        let next = changed(&setting.program, &course);
        let (old, new) = (rule_set(&setting.program, &setting), rule_set(&next, &setting));
        let carries = Carries::default();
        let events = events(&numbers, &setting);
        let mut journal: Vec<Option<Vec<u8>>> = Vec::new();
        let mut first = Evaluator::new(Arc::clone(&old), setting.options.clone());
        for (at, event) in events.iter().enumerate() {
            if at == course.at {
                first.succeed(Arc::clone(&new), &carries).unwrap();
                journal.push(None);
            }
            if let Outcome::Evaluated | Outcome::Late = first.observe(event, Origin { input: 0, line: at as u64 }) {
                let mut bytes = Vec::new();
                first.project(event, &Salt([7; 32]), &mut bytes);
                journal.push(Some(bytes));
            }
        }
        first.finish();
        let options = EvalOptions { as_of: None, ..setting.options.clone() };
        let mut second = Evaluator::new(Arc::clone(&old), options);
        let names: BTreeMap<&str, TestNames> =
            [&old, &new].into_iter().map(|r| (r.bundle_hash(), TestNames::between(r, r))).collect();
        for (line, record) in (0..).zip(&journal) {
            let Some(bytes) = record else {
                second.succeed(Arc::clone(&new), &carries).unwrap();
                continue;
            };
            let recalled = Recalled::read(bytes).unwrap();
            let names = &names[second.rules_at(recalled.event.ts()).bundle_hash()];
            second.observe_recalled(&recalled, names, Origin { input: 0, line });
        }
        second.finish();
        let (a, b) = (first.take_violations(), second.take_violations());
        if let Some(difference) = violations_differ(&a, &b) {
            return Err(fail(&setting, &events, &difference));
        }
    }

    /// A rule that keeps what it has counted finds what it finds over all events, from the first step behind the time.
    #[test]
    fn what_is_kept_counts_on(numbers in numbers(EVENTS), course in courses()) {
        let setting = setting(&numbers.setting);
        let course = Course { changes: vec![3], ..course };
        let next = changed(&setting.program, &course);
        let (old, new) = (rule_set(&setting.program, &setting), rule_set(&next, &setting));
        let carries = Carries { otherwise: Carry::Keep, ..Carries::default() };
        let Ok(fates) = fates(&old, &new, &carries) else { return Ok(()) };
        let events = events(&numbers, &setting);
        let (found, at) = disturbed(&setting, (&old, &new), &events, &course, &carries);
        let Some(at) = at else { return Ok(()) };
        let throughout = play(Evaluator::new(Arc::clone(&new), setting.options.clone()), &events, |_, e| e, |_, e, _| e);
        // Nothing else is said here than that a group which fires at some step behind the time under the new rule alone
        // also fires where the rule took over what was counted: when its violation began may differ.
        for v in throughout.values().filter(|v| fates.get(&v.rule) == Some(&Fate::Kept) && v.opened_at > at) {
            let again = found.values().any(|f| f.rule == v.rule && f.group == v.group && f.updated_at >= v.opened_at);
            if !again && v.status != Status::Merged {
                return Err(fail(&setting, &events, &format!("at {at:?}: not found again: {v:?}")));
            }
        }
    }
}

/// What a journal holds: the bytes of an event, and the rules that wrote them.
struct Journaled {
    bytes: Vec<u8>,
    by: Arc<RuleSet>,
}

/// The journal as far as it was counted for rules that take over.
struct Counting {
    backfill: Box<Backfill>,
    n: usize,
}

impl Counting {
    fn go_on(&mut self, evaluator: &mut Evaluator, journal: &[Journaled], new: &RuleSet, most: usize) {
        for record in journal.iter().skip(self.n).take(most) {
            self.n += 1;
            if !self.backfill.is_over() {
                let (recalled, names) = (Recalled::read(&record.bytes).unwrap(), TestNames::between(&record.by, new));
                evaluator.count_in(&mut self.backfill, |b| b.observe(&recalled, &names, Origin::default()));
            }
        }
    }
}

/// The rules change in the course of events and count what was journaled: sometimes at once when their time has come, sometimes
/// long before, sometimes while events wait for them. Whether they took over.
fn backfilled(
    setting: &Setting,
    (old, new): (&Arc<RuleSet>, &Arc<RuleSet>),
    events: &[UsageEvent<'static>],
    course: &Course,
    carries: &Carries,
) -> (BTreeMap<String, Violation>, bool) {
    let mut evaluator = Evaluator::new(Arc::clone(old), setting.options.clone());
    let (mut journal, mut counting, mut frozen) = (Vec::new(), None::<Counting>, None);
    let (mut found, mut reached) = (Found::default(), Timestamp::MIN);
    let begin = |e: &mut Evaluator| e.begin_backfill().map(|backfill| Counting { backfill, n: 0 });
    let end = |e: &mut Evaluator, counting: &mut Option<Counting>, journal: &[Journaled]| {
        let known = counting.take();
        if let Some(mut known) = known.or_else(|| begin(e)) {
            known.go_on(e, journal, new, usize::MAX);
            e.end_backfill(known.backfill);
        }
        e.catch_up(usize::MAX);
    };
    for (at, event) in events.iter().enumerate() {
        if at == course.at {
            evaluator.succeed(Arc::clone(new), carries).unwrap();
        }
        let by = Arc::clone(evaluator.rules_at(event.ts()));
        let outcome = evaluator.observe(event, Origin { input: 0, line: at as u64 });
        if outcome == Outcome::Evaluated {
            reached = reached.max(event.ts());
        }
        if let Outcome::Evaluated | Outcome::Late = outcome {
            let mut bytes = Vec::new();
            evaluator.project(event, &Salt([7; 32]), &mut bytes);
            journal.push(Journaled { bytes, by });
        }
        assert!(evaluator.books().balance());
        evaluator.defer();
        let moment = course.moments[at % course.moments.len()];
        match (moment, frozen.take()) {
            (5, Some(state)) => evaluator.thaw(state),
            (_, Some(state)) => frozen = Some(state),
            (2, None) => found.take(&mut evaluator),
            // Whatever was counted is lost with the process.
            (3, None) if evaluator.awaits_backfill().is_none() && !evaluator.catch_up(usize::MAX) => {
                let bytes = evaluator.snapshot().unwrap();
                let mut known = |hash: &str| [old, new].into_iter().find(|r| r.bundle_hash() == hash).cloned();
                evaluator = Evaluator::restore_among(&mut known, setting.options.clone(), &bytes).unwrap();
                counting = None;
            }
            (4, None) if evaluator.awaits_backfill().is_none() && !evaluator.catch_up(usize::MAX) => {
                frozen = Some(evaluator.freeze().unwrap());
            }
            (_, None) => {
                evaluator.catch_up(3);
            }
        }
        evaluator.defer();
        match evaluator.awaits_backfill() {
            Some(_) if moment != 1 => end(&mut evaluator, &mut counting, &journal),
            None if evaluator.wants_backfill() => match &mut counting {
                Some(counting) => counting.go_on(&mut evaluator, &journal, new, usize::from(moment) * 3),
                None => counting = begin(&mut evaluator).filter(|_| moment.is_multiple_of(2)),
            },
            _ => {}
        }
    }
    if let Some(state) = frozen {
        evaluator.thaw(state);
    }
    evaluator.catch_up(usize::MAX);
    evaluator.advance(reached);
    while evaluator.awaits_backfill().is_some() {
        end(&mut evaluator, &mut counting, &journal);
    }
    evaluator.catch_up(usize::MAX);
    let is_over = course.at < events.len() && evaluator.successors() == 0;
    evaluator.finish();
    found.take(&mut evaluator);
    (found.into_violations(), is_over)
}

proptest! {
    #![proptest_config(cases(400))]

    /// Rules that are backfilled find what they find where they had been in force from the beginning, those that did not
    /// change what they find where nothing had.
    #[test]
    fn what_is_backfilled_is_as_if_it_had_been_there(numbers in numbers(EVENTS), course in courses(), more in any::<bool>()) {
        let mut setting = setting(&numbers.setting);
        let whole = setting.program.clone();
        setting.program.rules.retain(|rule| fineprint::derive::not_derivable(&whole, rule).is_none());
        // What is dropped on the one side is new on the other.
        let (before, after) = match more {
            true => (changed(&setting.program, &course), setting.program.clone()),
            false => (setting.program.clone(), changed(&setting.program, &course)),
        };
        let (old, new) = (rule_set(&before, &setting), rule_set(&after, &setting));
        let mut carries = Carries { otherwise: Carry::Backfill, ..Carries::default() };
        for rule in &after.rules {
            carries.rules.insert(rule.name.clone(), Carry::Backfill);
            if fates(&old, &new, &carries).is_err() {
                carries.rules.remove(&rule.name);
            }
        }
        let fates = fates(&old, &new, &carries).unwrap();
        let events = events(&numbers, &setting);
        let (found, is_over) = backfilled(&setting, (&old, &new), &events, &course, &carries);
        let throughout = |rules: &Arc<RuleSet>| {
            play(Evaluator::new(Arc::clone(rules), setting.options.clone()), &events, |_, e| e, |_, e, _| e)
        };
        let with = |wanted: Fate| -> BTreeSet<&str> {
            fates.iter().filter(|(_, f)| **f == wanted).map(|(n, _)| n.as_str()).collect()
        };
        let hashes: BTreeSet<String> = after.rules.iter().map(|r| fineprint::hir::rule_hash(&after, r)).collect();
        let own: BTreeMap<String, Violation> =
            found.iter().filter(|(_, v)| hashes.contains(&v.rule_hash)).map(|(id, v)| (id.clone(), v.clone())).collect();
        if is_over
            && let Some(difference) =
                violations_differ(&of(&throughout(&new), &with(Fate::Backfilled)), &of(&own, &with(Fate::Backfilled)))
        {
            return Err(fail(&setting, &events, &format!("backfilled: {difference}")));
        }
        let same = with(Fate::Unchanged);
        if let Some(difference) = violations_differ(&of(&throughout(&old), &same), &of(&found, &same)) {
            return Err(fail(&setting, &events, &format!("unchanged: {difference}")));
        }
    }
}
