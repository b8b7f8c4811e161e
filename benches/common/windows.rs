//! Streams for windowed rules, the rules over them, and the hand-written hash maps that they are held against.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each benchmark uses a part")]

use std::collections::BTreeSet;
use std::sync::Arc;

use fineprint::compile::compile;
use fineprint::eval::{EvalOptions, Evaluator};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::source::SourceMap;
use fineprint::time::{SECOND_NS, Timestamp};
use fineprint::value::Value;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// The window is an hour, judged every five minutes.
pub const STEP_S: u64 = 300;
pub const PANES: usize = 12;
/// 2026-03-01, a multiple of the step.
const START_S: u64 = 1_772_323_200;

/// What goes through a window.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub keys: u64,
    /// Events of a window, all keys together.
    pub events: u64,
    /// Different members of a key in a window; 0: keys and members come at random.
    pub members: u64,
    /// Bound of both rules.
    pub threshold: u64,
}

pub const SCENARIOS: [Scenario; 6] = [
    // No key reaches the bound: what it costs to keep the state.
    Scenario { name: "1k members", keys: 200, events: 200_000, members: 1_000, threshold: 1_200 },
    Scenario { name: "20k members", keys: 10, events: 200_000, members: 20_000, threshold: 24_000 },
    Scenario { name: "100k members", keys: 2, events: 200_000, members: 100_000, threshold: 120_000 },
    // Every key is a violation all the time, and told at each step.
    Scenario { name: "20k members, all violations", keys: 10, events: 200_000, members: 20_000, threshold: 10_000 },
    // A few keys reach the bound.
    Scenario { name: "20k keys", keys: 20_000, events: 200_000, members: 0, threshold: 25 },
    Scenario { name: "1M keys", keys: 1_000_000, events: 1_500_000, members: 0, threshold: 10 },
];

/// Time of this thread on the processor, in seconds: what others do on the machine counts little.
pub fn cpu_s() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

impl Scenario {
    pub fn per_step(&self) -> u64 {
        self.events / PANES as u64
    }

    /// Time, key and member of the event with this number.
    pub fn event(&self, number: u64) -> (Timestamp, u64, u64) {
        let per_step = self.per_step();
        let ns = number / per_step * STEP_S * 1_000_000_000 + number % per_step * (STEP_S * 1_000_000_000 / per_step);
        let ts = Timestamp((START_S as i64) * SECOND_NS + ns as i64);
        if self.members > 0 {
            return (ts, number % self.keys, number / self.keys % self.members);
        }
        let random = crate::common::Random(number).next();
        (ts, random % self.keys, (random >> 40) % 1_000)
    }

    /// The event with this number, as a reader would hand it over.
    pub fn decoded(&self, number: u64) -> UsageEvent<'static> {
        let (ts, key, member) = self.event(number);
        let mut event = UsageEvent::new(Kind::Completion, format!("ev_{number:016x}"), ts);
        event.set(FieldId::ACCOUNT, Slot::Text(account(key).into()));
        event.set(FieldId::PROMPT_HASH, Slot::Text(member_text(key, member).into()));
        event.set_content(u128::from(number) << 64 | u128::from(number));
        event
    }
}

pub fn account(key: u64) -> String {
    format!("acct_{:012x}", key * 7_919)
}

pub fn member_text(key: u64, member: u64) -> String {
    format!("{:016x}", crate::common::Random(key << 20 | member).next())
}

/// What is aggregated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    Count,
    Distinct,
}

/// An evaluator with one windowed rule.
pub fn evaluator(aggregate: Aggregate, threshold: u64) -> Evaluator {
    let value = match aggregate {
        Aggregate::Count => "count()",
        Aggregate::Distinct => "distinct(prompt_hash)",
    };
    let text = format!(
        "policy acme.terms version 2026-01-01 {{\n  url \"https://acme.example/terms\"\n  clause fair at \"1\" \"Fair use.\"\n}}\n\n\
         rule busy {{\n  enforces acme.terms.fair\n  on       completion\n  per      account\n  over     1h every 5m\n  \
         when     {value} >= {threshold}\n  because  \"busy\"\n}}\n"
    );
    let mut sources = SourceMap::default();
    sources.add("bench.tos", text.as_str());
    let compiled = compile(&sources);
    let rules = RuleSet::new(compiled.program, ReferenceData::default()).unwrap();
    assert_eq!(rules.program().rules.len(), 1, "{:?}", compiled.diagnostics);
    Evaluator::new(Arc::new(rules), EvalOptions::default())
}

/// The groups of taken violations.
pub fn take_groups(evaluator: &mut Evaluator, into: &mut BTreeSet<String>) {
    into.extend(evaluator.take_violations().into_iter().filter_map(|v| v.group.into_iter().next()).map(|(_, key)| key));
}

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// What one would write by hand for the one rule: the same windows, steps and thresholds, and which keys crossed when.
/// Events in order of time, no duplicates, no evidence, no record, no snapshot.
#[derive(Debug)]
pub enum ByHand {
    Count(CountByHand),
    Distinct(DistinctByHand),
}

#[derive(Debug)]
pub struct CountByHand {
    threshold: u32,
    step: u64,
    keys: Map<u64, Counts>,
    /// Keys with events, per pane.
    touched: [Vec<u64>; PANES],
    pub crossed: Map<u64, u64>,
}

#[derive(Debug, Default)]
struct Counts {
    total: u32,
    panes: [u32; PANES],
    holds: bool,
}

#[derive(Debug)]
pub struct DistinctByHand {
    threshold: u32,
    step: u64,
    keys: Map<u64, Members>,
    /// The last step of each member of each key.
    last: Map<(u64, u64), u64>,
    panes: [Vec<(u64, u64)>; PANES],
    changed: Vec<u64>,
    pub crossed: Map<u64, u64>,
}

#[derive(Debug, Default)]
struct Members {
    n: u32,
    holds: bool,
    listed: bool,
}

impl ByHand {
    pub fn new(aggregate: Aggregate, threshold: u64) -> ByHand {
        let threshold = threshold as u32;
        match aggregate {
            Aggregate::Count => ByHand::Count(CountByHand {
                threshold,
                step: 0,
                keys: Map::default(),
                touched: Default::default(),
                crossed: Map::default(),
            }),
            Aggregate::Distinct => ByHand::Distinct(DistinctByHand {
                threshold,
                step: 0,
                keys: Map::default(),
                last: Map::default(),
                panes: Default::default(),
                changed: Vec::new(),
                crossed: Map::default(),
            }),
        }
    }

    pub fn observe(&mut self, event: &UsageEvent<'_>) {
        let step = event.ts().0 as u64 / (STEP_S * 1_000_000_000);
        let Value::Text(key) = event.get(FieldId::ACCOUNT) else { return };
        let key = xxh3_64(key.as_bytes());
        match self {
            ByHand::Count(c) => c.observe(step, key),
            ByHand::Distinct(d) => {
                let Value::Text(member) = event.get(FieldId::PROMPT_HASH) else { return };
                d.observe(step, key, xxh3_64(member.as_bytes()));
            }
        }
    }

    pub fn live_keys(&self) -> usize {
        match self {
            ByHand::Count(c) => c.keys.len(),
            ByHand::Distinct(d) => d.keys.len(),
        }
    }

    /// Hashes of the keys that crossed.
    pub fn crossed(&self) -> BTreeSet<u64> {
        match self {
            ByHand::Count(c) => c.crossed.keys().copied().collect(),
            ByHand::Distinct(d) => d.crossed.keys().copied().collect(),
        }
    }
}

impl CountByHand {
    fn observe(&mut self, step: u64, key: u64) {
        if step != self.step {
            let first = if self.step == 0 { step } else { self.step + 1 };
            (first..=step).for_each(|s| self.begin(s));
        }
        let pane = step as usize % PANES;
        let counts = self.keys.entry(key).or_default();
        if counts.panes[pane] == 0 {
            self.touched[pane].push(key);
        }
        counts.panes[pane] += 1;
        counts.total += 1;
    }

    /// The step before `step` has ended: judge it, and drop the pane that leaves.
    fn begin(&mut self, step: u64) {
        let ended = self.step as usize % PANES;
        for key in &self.touched[ended] {
            if let Some(counts) = self.keys.get_mut(key) {
                let holds = counts.total >= self.threshold;
                if holds && !counts.holds {
                    self.crossed.entry(*key).or_insert(step);
                }
                counts.holds = holds;
            }
        }
        self.step = step;
        let pane = step as usize % PANES;
        for key in self.touched[pane].drain(..) {
            let Some(counts) = self.keys.get_mut(&key) else { continue };
            counts.total -= std::mem::take(&mut counts.panes[pane]);
            if counts.total < self.threshold {
                counts.holds = false;
            }
            if counts.total == 0 {
                self.keys.remove(&key);
            }
        }
    }
}

impl DistinctByHand {
    fn observe(&mut self, step: u64, key: u64, member: u64) {
        if step != self.step {
            let first = if self.step == 0 { step } else { self.step + 1 };
            (first..=step).for_each(|s| self.begin(s));
        }
        let mut new = false;
        let last = self.last.entry((key, member)).or_insert_with(|| {
            new = true;
            0
        });
        if *last != step {
            *last = step;
            self.panes[step as usize % PANES].push((key, member));
        }
        if new {
            let members = self.keys.entry(key).or_default();
            members.n += 1;
            if !members.listed {
                members.listed = true;
                self.changed.push(key);
            }
        }
    }

    /// The step before `step` has ended: judge it, and drop the pane that leaves.
    fn begin(&mut self, step: u64) {
        for key in self.changed.drain(..) {
            if let Some(members) = self.keys.get_mut(&key) {
                members.listed = false;
                let holds = members.n >= self.threshold;
                if holds && !members.holds {
                    self.crossed.entry(key).or_insert(step);
                }
                members.holds = holds;
            }
        }
        self.step = step;
        let leaves = step.saturating_sub(PANES as u64);
        let mut pane = std::mem::take(&mut self.panes[step as usize % PANES]);
        for (key, member) in pane.drain(..) {
            if self.last.get(&(key, member)) != Some(&leaves) {
                continue;
            }
            self.last.remove(&(key, member));
            if let Some(members) = self.keys.get_mut(&key) {
                members.n -= 1;
                if members.n < self.threshold {
                    members.holds = false;
                }
                if members.n == 0 {
                    self.keys.remove(&key);
                }
            }
        }
        self.panes[step as usize % PANES] = pane;
    }
}
