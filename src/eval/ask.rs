//! What an event asks of memory, and what depends on the answers. Conditions are evaluated at arrival, memory answers behind
//! the watermark; between the two waits a row for each answer there can be.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use super::finding::{Single, Subject};
use super::intern::{Interner, LocalSymbols, Symbols};
use super::memory::{Ask, Memories};
use super::route::{EventEnv, Router, truth, write_bytes};
use super::routed::renumber;
use super::series::Series;
use crate::event::UsageEvent;
use crate::hir::QUESTIONS_PER_RULE_MAX;
use crate::plan::RuleSet;
use crate::plan::memory::AskPlan;
use crate::plan::rule::{RulePlan, ShapePlan};
use crate::plan::scalar::{Env, Scalar};
use crate::value::{Truth, Type};
use crate::violation::Violation;

/// Answers as conditions are evaluated with them; every other question is unknown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answers([Option<(u16, Truth)>; QUESTIONS_PER_RULE_MAX]);

impl Answers {
    pub(crate) fn get(&self, question: u16) -> Truth {
        self.0.iter().flatten().find(|(q, _)| *q == question).map_or(Truth::Unknown, |(_, truth)| *truth)
    }
}

/// What an event asks, and what each rule makes of the answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Pending {
    asks: SmallVec<[Ask; 1]>,
    forks: SmallVec<[Fork; 1]>,
    /// The records of rules over windows and on sequences, once the answers are known.
    answered: Option<Vec<u64>>,
}

/// What one rule makes of the answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Fork {
    rule: u32,
    /// Its questions of which all operands are known, as numbers of the event's asks; the others stay unknown.
    asks: SmallVec<[u16; QUESTIONS_PER_RULE_MAX]>,
    /// A row for each combination of answers, the first question changing fastest: false, unknown, true.
    rows: SmallVec<[Row; 3]>,
}

/// What a rule takes from the event under certain answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Row {
    Nothing,
    /// Its filter or key is unknown.
    Undecided,
    Record(Box<[u64]>),
    Single(Box<Single>),
}

const TRUTHS: [Truth; 3] = [Truth::False, Truth::Unknown, Truth::True];

impl Pending {
    /// What an event asks, after the router has found which rules look at it; `None` for nothing.
    pub(crate) fn of(
        rules: &RuleSet,
        router: &mut Router,
        event: &UsageEvent<'_>,
        symbols: &mut impl Symbols,
    ) -> Option<Box<Pending>> {
        let mut pending = Pending::default();
        let env = EventEnv::new(event);
        let mut bytes = Vec::new();
        for (number, question) in rules.questions.iter().enumerate().filter(|(_, q)| q.looks_at(event.kind())) {
            let by = match &question.by {
                None => Some(0),
                Some(operand) => hash(std::slice::from_ref(operand), &env, &mut bytes),
            };
            let (Some(value), Some(by)) = (hash(&question.of, &env, &mut bytes), by) else { continue };
            let value = match question.ask {
                AskPlan::NewFor => pair(by, value),
                _ => value,
            };
            pending.asks.push(Ask { question: number as u16, value, by });
        }
        let asking = std::mem::take(&mut router.asking);
        for number in &asking {
            if let Some(plan) = rules.rules.get(*number as usize) {
                pending.fork(rules, router, *number, plan, event, symbols);
            }
        }
        router.asking = asking;
        (!pending.asks.is_empty() || !pending.forks.is_empty()).then(|| Box::new(pending))
    }

    fn fork(
        &mut self,
        rules: &RuleSet,
        router: &mut Router,
        number: u32,
        plan: &RulePlan,
        event: &UsageEvent<'_>,
        symbols: &mut impl Symbols,
    ) {
        let Some(memory) = &plan.memory else { return };
        let place = |q: &u16| self.asks.iter().position(|a| a.question == *q);
        let asks: SmallVec<[u16; QUESTIONS_PER_RULE_MAX]> =
            memory.questions.iter().filter_map(place).map(|at| at as u16).collect();
        let known: SmallVec<[u16; QUESTIONS_PER_RULE_MAX]> =
            asks.iter().filter_map(|at| self.asks.get(usize::from(*at))).map(|a| a.question).collect();
        let mut rows = SmallVec::new();
        for combination in 0..3usize.pow(known.len() as u32) {
            let mut rest = combination;
            let mut answers = Answers::default();
            for (place, question) in answers.0.iter_mut().zip(&known) {
                *place = TRUTHS.get(rest % 3).map(|truth| (*question, *truth));
                rest /= 3;
            }
            router.answers = answers;
            router.memo.forget_nodes(&memory.nodes);
            rows.push(Row::of(rules, router, number, plan, event, symbols));
        }
        router.answers = Answers::default();
        router.memo.forget_nodes(&memory.nodes);
        if rows.iter().any(|row| !matches!(row, Row::Nothing)) {
            self.forks.push(Fork { rule: number, asks, rows });
        }
    }

    /// Calls `mark` with every word of its records: symbols, and numbers that happen to equal some.
    pub(crate) fn mark(&self, mark: &mut impl FnMut(u64)) {
        let records = self.forks.iter().flat_map(|f| &f.rows).filter_map(|row| match row {
            Row::Record(words) => Some(&**words),
            _ => None,
        });
        records.chain(self.answered.as_deref()).flatten().for_each(|word| mark(*word));
    }

    /// Its symbols as the interner of the state numbers them.
    pub(crate) fn number_in_state(&mut self, rules: &RuleSet, symbols: &mut LocalSymbols, interner: &mut Interner) {
        self.renumber(rules, &mut |local| symbols.in_state(local, interner));
    }

    /// Gives each symbol of its records another number.
    pub(crate) fn renumber(&mut self, rules: &RuleSet, number: &mut impl FnMut(u64) -> u64) {
        for row in self.forks.iter_mut().flat_map(|f| &mut f.rows) {
            if let Row::Record(words) = row {
                renumber(rules, words, number);
            }
        }
    }

    /// What it asks of some questions, and what the rules that ask them make of the answers; `None` for nothing.
    pub(crate) fn part(&self, asks: impl Fn(u16) -> bool, forks: impl Fn(u32) -> bool) -> Option<Box<Pending>> {
        let mut places: SmallVec<[Option<u16>; 8]> = SmallVec::new();
        let mut part = Pending::default();
        for ask in &self.asks {
            let place = part.asks.len() as u16;
            let own = asks(ask.question);
            places.push(own.then_some(place));
            part.asks.extend(own.then_some(*ask));
        }
        for fork in self.forks.iter().filter(|fork| forks(fork.rule)) {
            let place = |at: &u16| places.get(usize::from(*at)).copied().flatten();
            part.forks.push(Fork { asks: fork.asks.iter().filter_map(place).collect(), ..fork.clone() });
        }
        (!part.asks.is_empty() || !part.forks.is_empty()).then(|| Box::new(part))
    }

    /// Records of rules over windows and on sequences, once [`Answering::answer`] was called.
    pub(crate) fn words(&self) -> &[u64] {
        self.answered.as_deref().unwrap_or(&[])
    }
}

impl Row {
    fn of(
        rules: &RuleSet,
        router: &mut Router,
        number: u32,
        plan: &RulePlan,
        event: &UsageEvent<'_>,
        symbols: &mut impl Symbols,
    ) -> Row {
        let answers = router.answers;
        let holds = {
            let env = EventEnv { event, answers, wordings: Some((rules, &router.wordings)) };
            plan.filter_of(event.kind()).map_or(Truth::True, |node| truth(rules, &mut router.memo, &env, node))
        };
        match (holds, &plan.shape) {
            (Truth::False, _) => Row::Nothing,
            // Which steps it may be is asked of each by itself, also where that is unknown.
            (_, ShapePlan::Sequence(s)) => {
                let words = std::mem::take(&mut router.words);
                let undecided = router.undecided.len();
                router.sequence_record(rules, number, plan, s, event, symbols);
                let key_is_known = router.undecided.len() == undecided;
                // Counted when the answer is known.
                router.undecided.truncate(undecided);
                let record = std::mem::replace(&mut router.words, words);
                match key_is_known {
                    false => Row::Undecided,
                    true if record.is_empty() => Row::Nothing,
                    true => Row::Record(record.into()),
                }
            }
            (Truth::Unknown, _) => Row::Undecided,
            // A series asks nothing.
            (Truth::True, ShapePlan::Series(_)) => Row::Nothing,
            (Truth::True, ShapePlan::Single { values }) => {
                let exceptions = router.exceptions(rules, plan, event);
                let env = EventEnv { event, answers, wordings: Some((rules, &router.wordings)) };
                Row::Single(Box::new(Single::new(plan, values, &env, exceptions)))
            }
            (Truth::True, ShapePlan::Windowed(w)) => {
                let (start, undecided) = (router.words.len(), router.undecided.len());
                let decided = router.record(rules, number, plan, w, event, symbols);
                // Counted when the answer is known.
                router.undecided.truncate(undecided);
                let record = router.words.get(start..).unwrap_or_default();
                let row = match decided {
                    false => Row::Undecided,
                    true if record.is_empty() => Row::Nothing,
                    true => Row::Record(record.into()),
                };
                router.words.truncate(start);
                row
            }
        }
    }
}

/// What answering needs beside the event.
pub(crate) struct Answering<'a> {
    pub(crate) rules: &'a RuleSet,
    pub(crate) memories: &'a mut Memories,
    /// As of the event.
    pub(crate) series: &'a [Series],
    pub(crate) sightings_max: usize,
    /// Per rule, how often it was undecided.
    pub(crate) undecided: &'a mut [u64],
}

/// The event that asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) id: &'a str,
    pub(crate) ts: i64,
    pub(crate) content: u128,
    pub(crate) account: Option<&'a str>,
}

impl Answering<'_> {
    /// Asks memory, once: what the rules on single events find goes to `found`, the records of the other rules stay with
    /// the event.
    pub(crate) fn answer(&mut self, event: Asking<'_>, pending: &mut Pending, found: &mut Vec<Violation>) {
        if pending.answered.is_some() {
            return;
        }
        let asks = std::mem::take(&mut pending.asks);
        let (rules, series) = (self.rules, self.series);
        let outage = |number: usize, key: u128| {
            let (Some(s), Some(plan)) = (series.get(number), rules.series().nth(number)) else { return Truth::Unknown };
            let step = event.ts.div_euclid(plan.w.step);
            s.outage(key, step - 1..step)
        };
        let answers = self.memories.ask(&rules.questions, &asks, event.ts, self.sightings_max, outage);
        let mut words = Vec::new();
        for fork in std::mem::take(&mut pending.forks) {
            let digit = |at: &u16| answers.get(usize::from(*at)).map_or(1, |a| *a as usize);
            let at = fork.asks.iter().rev().fold(0, |sum, at| sum * 3 + digit(at));
            match fork.rows.into_iter().nth(at) {
                None | Some(Row::Nothing) => {}
                Some(Row::Undecided) => {
                    if let Some(n) = self.undecided.get_mut(fork.rule as usize) {
                        *n += 1;
                    }
                }
                Some(Row::Record(record)) if words.is_empty() => words = record.into_vec(),
                Some(Row::Record(record)) => words.extend_from_slice(&record),
                Some(Row::Single(single)) => {
                    let members = self.rules.members(fork.rule);
                    let subjects = members.map(|(rule, plan)| Subject { program: self.rules.program(), rule, plan });
                    found.extend(subjects.map(|s| s.single(&single, event)));
                }
            }
        }
        pending.answered = Some(words);
    }
}

/// Hash of a value of an event (or of the parts of a key), the same in every run; `None` where it is unknown.
fn hash(parts: &[(Scalar, Type)], env: &impl Env, bytes: &mut Vec<u8>) -> Option<u128> {
    bytes.clear();
    let known = parts.iter().all(|(scalar, ty)| write_bytes(&scalar.eval(env), ty, bytes));
    known.then(|| xxh3_128(bytes))
}

/// Hash of a value together with whom it belongs to.
fn pair(by: u128, value: u128) -> u128 {
    let mut both = [0; 32];
    let (first, second) = both.split_at_mut(16);
    first.copy_from_slice(&by.to_be_bytes());
    second.copy_from_slice(&value.to_be_bytes());
    xxh3_128(&both)
}
