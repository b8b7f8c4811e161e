//! A host that keeps nothing but bytes per partition: states, timers, an outbox. What a distributed engine would do with
//! machines, it does with a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use fineprint::eval::keyed::{Input, Keyed, KeyedRouter, Merged, Partition, PartitionKind, Record, Step, Stepper};
use fineprint::eval::{Books, EvalOptions, Evaluator, Origin, Outcome, Refusal, Refused};
use fineprint::event::UsageEvent;
use fineprint::plan::RuleSet;
use fineprint::time::Timestamp;
use fineprint::violation::Violation;

use crate::plain::{Arrival, PlainResult};

/// How a host goes about it; none of it may show.
#[derive(Debug, Clone)]
pub struct Habits {
    /// Of the key of each partition.
    pub bits: u32,
    /// Records of a partition are gathered in so many states, merged into one when it is advanced.
    pub split: usize,
    /// After which arrivals everything but the bytes is forgotten.
    pub restarts: Vec<bool>,
    /// Each record for a unit is delivered so often.
    pub deliveries: usize,
    /// Whether the source gives every id once and nothing late, so that there are no partitions of ids.
    pub trusts: bool,
    /// Whether each step is made in memory of its own.
    pub wastes: bool,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits { bits: 64, split: 1, restarts: Vec::new(), deliveries: 1, trusts: false, wastes: false }
    }
}

pub struct Host {
    rules: Arc<RuleSet>,
    options: EvalOptions,
    habits: Habits,
    keyed: Arc<Keyed>,
    router: KeyedRouter,
    stepper: Stepper,
    /// What a partition was left with, and each gathering beside it.
    pub states: BTreeMap<(Partition, usize), Vec<u8>>,
    timers: BTreeMap<(Partition, usize), Timestamp>,
    log: BTreeMap<String, Violation>,
    books: Books,
    refused: Vec<Refused>,
    pub undecided: BTreeMap<String, u64>,
    watermark: Timestamp,
    max: Option<Timestamp>,
    delivered: usize,
    /// Largest state ever left, and how many steps there were.
    pub largest: usize,
    pub steps: usize,
}

impl Host {
    pub fn new(rules: Arc<RuleSet>, options: EvalOptions, habits: Habits) -> Host {
        let keyed = Arc::new(Keyed::new(Arc::clone(&rules), options.clone()));
        Host {
            router: KeyedRouter::new(Arc::clone(&keyed)),
            stepper: Stepper::new(Arc::clone(&keyed)),
            keyed,
            rules,
            options,
            habits,
            states: BTreeMap::new(),
            timers: BTreeMap::new(),
            log: BTreeMap::new(),
            books: Books::default(),
            refused: Vec::new(),
            undecided: BTreeMap::new(),
            watermark: Timestamp(i64::MIN),
            max: None,
            delivered: 0,
            largest: 0,
            steps: 0,
        }
    }

    /// What becomes of the arrivals, told like an evaluator's.
    pub fn run(mut self, arrivals: &[Arrival]) -> PlainResult {
        let mut outcomes = Vec::new();
        for (moment, arrival) in arrivals.iter().enumerate() {
            match arrival {
                Arrival::Event(event) => {
                    let line = outcomes.len() as u64 + 1;
                    outcomes.push(self.observe(event, Origin { input: 0, line }));
                }
                Arrival::Advance(to) => self.advance(*to),
                Arrival::Finish => panic!("a stream that is stepped by key has no end"),
            }
            if !self.habits.restarts.is_empty() && self.habits.restarts[moment % self.habits.restarts.len()] {
                self.restart();
            }
            assert!(self.books.balance(), "{:?}", self.books);
        }
        self.result(outcomes)
    }

    pub fn result(self, outcomes: Vec<Outcome>) -> PlainResult {
        let mut violations: Vec<Violation> = self.log.into_values().collect();
        violations.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
        let mut displaced: Vec<usize> = self.refused.iter().map(|r| r.origin.line as usize - 1).collect();
        displaced.sort_unstable();
        let watermark = self.max.map(|_| self.watermark);
        PlainResult { violations, books: self.books, outcomes, displaced, watermark }
    }

    /// Only bytes survive: the rules are made ready anew, and when each partition is due is in its bytes.
    fn restart(&mut self) {
        self.keyed = Arc::new(Keyed::new(Arc::clone(&self.rules), self.options.clone()));
        self.router = KeyedRouter::new(Arc::clone(&self.keyed));
        self.stepper = Stepper::new(Arc::clone(&self.keyed));
        self.timers.clear();
        for (at, state) in &self.states {
            if let Some(timer) = self.keyed.timer(state).unwrap() {
                self.timers.insert(*at, timer);
            }
        }
    }

    pub fn observe(&mut self, event: &UsageEvent<'_>, origin: Origin) -> Outcome {
        self.books.received += 1;
        let outcome = match self.router.route(event, origin) {
            Err(refusal) => Outcome::Rejected(refusal),
            Ok(record) if self.habits.trusts => {
                let step = self.keyed.release(&record.bytes).unwrap();
                self.take_step((record.partition, 0), step).expect("an outcome")
            }
            Ok(record) => self.deliver(record).expect("an outcome"),
        };
        match outcome {
            Outcome::Evaluated => self.books.evaluated += 1,
            Outcome::Late => self.books.late += 1,
            Outcome::Duplicate => self.books.duplicate += 1,
            Outcome::Rejected(Refusal::Future) => self.books.rejected_future += 1,
            Outcome::Rejected(Refusal::Conflicting) => self.books.rejected_conflicting += 1,
        }
        if outcome == Outcome::Evaluated && self.max.is_none_or(|max| event.ts() > max) {
            self.max = Some(event.ts());
            self.advance(Timestamp(event.ts().0.saturating_sub(self.options.lateness.0)));
        }
        outcome
    }

    /// What was told since the last call, sorted as an evaluator sorts.
    pub fn take(&mut self) -> Vec<Violation> {
        let mut all: Vec<Violation> = std::mem::take(&mut self.log).into_values().collect();
        all.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
        all
    }

    fn deliver(&mut self, record: Record) -> Option<Outcome> {
        let partition = record.partition.coarse(self.habits.bits);
        let is_unit = matches!(partition.kind, PartitionKind::Unit(_));
        // What is split off is of units: elsewhere copies are told at once.
        self.delivered += 1;
        let part = if is_unit { self.delivered % self.habits.split } else { 0 };
        let mut outcome = None;
        for _ in 0..if is_unit { self.habits.deliveries } else { 1 } {
            outcome = self.step((partition, part), Input::Record(&record.bytes));
        }
        outcome
    }

    fn step(&mut self, at: (Partition, usize), input: Input<'_>) -> Option<Outcome> {
        let state = self.states.remove(&at);
        let (partition, state) = (at.0, state.as_deref());
        let step = match self.habits.wastes {
            true => self.keyed.step(partition, state, input, self.watermark).unwrap(),
            false => self.stepper.step(partition, state, input, self.watermark).unwrap(),
        };
        self.take_step(at, step)
    }

    fn take_step(&mut self, at: (Partition, usize), step: Step) -> Option<Outcome> {
        self.steps += 1;
        let Step { state, records, violations, timer, outcome, refused, undecided } = step;
        self.timers.remove(&at);
        if let Some(state) = state {
            assert_eq!(self.keyed.timer(&state).unwrap(), timer);
            self.largest = self.largest.max(state.len());
            self.states.insert(at, state);
            self.timers.extend(timer.map(|timer| (at, timer)));
        }
        for record in records {
            assert!(record.partition.kind > at.0.kind, "{record:?} from {at:?}");
            self.deliver(record);
        }
        self.log.extend(violations.into_iter().map(|v| (v.id.clone(), v)));
        self.books.evaluated -= refused.len() as u64;
        self.books.rejected_conflicting += refused.len() as u64;
        self.refused.extend(refused);
        for (rule, n) in undecided {
            *self.undecided.entry(rule).or_default() += n;
        }
        outcome
    }

    pub fn advance(&mut self, watermark: Timestamp) {
        if watermark <= self.watermark {
            return;
        }
        self.watermark = watermark;
        // Partitions are ordered by kind: what those of one kind let go is there before the next are called.
        while let Some((partition, _)) = self.timers.iter().find(|(_, t)| **t <= watermark).map(|(at, _)| *at) {
            self.gather(partition);
            self.step((partition, 0), Input::Advance);
            assert!(self.timers.get(&(partition, 0)).is_none_or(|t| *t > watermark), "{partition:?} stands still");
        }
    }

    /// Merges what was split off into the state of the partition.
    fn gather(&mut self, partition: Partition) {
        for part in 1..self.habits.split {
            let Some(other) = self.states.remove(&(partition, part)) else { continue };
            self.timers.remove(&(partition, part));
            let own = self.states.remove(&(partition, 0));
            let merge = |a: Option<&[u8]>, b: Option<&[u8]>| self.keyed.merge(partition, a, b, self.watermark).unwrap();
            let merged = merge(own.as_deref(), Some(&other));
            assert_eq!(merged, merge(Some(&other), own.as_deref()), "merging is not symmetric");
            let Merged { state, timer, .. } = merged;
            self.timers.remove(&(partition, 0));
            self.states.extend(state.map(|state| ((partition, 0), state)));
            self.timers.extend(timer.map(|timer| ((partition, 0), timer)));
        }
    }
}

/// How many events each rule left undecided, by one evaluator.
pub fn undecided(evaluator: &Evaluator) -> BTreeMap<String, u64> {
    evaluator.undecided().into_iter().collect()
}
