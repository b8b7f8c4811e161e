//! From an event to what the rules that answer take from it. Buffers are reused from event to event.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::group::{Taken, Values};
use super::plan::{Plans, WindowAnswer};
use super::symbols::Hashed;
use crate::eval::route::{EventEnv, HEADER, Router, word, word_text, word_value};
use crate::eval::{Recalled, TestNames};
use crate::event::{FieldId, Kind, UsageEvent};
use crate::plan::RuleSet;
use crate::plan::rule::{RulePlan, ShapePlan, WindowPlan};
use crate::plan::scalar::{Env, Val};
use crate::template::to_text;
use crate::time::Timestamp;
use crate::value::Value;

/// A rule that looks at an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// The rule that leads its definition.
    pub(crate) leader: u32,
    /// Whether an exception takes the event out.
    pub(crate) excepted: bool,
    /// Whether a request is judged as the completion that it will become.
    pub(crate) ahead: bool,
    /// Of a windowed rule its group, and where its record lies.
    pub(crate) window: Option<(u128, u32, u32)>,
}

/// What turns an event into questions; one a thread.
#[derive(Debug, Default)]
pub(crate) struct Asker {
    router: Router,
    symbols: Hashed,
    pub(crate) found: Vec<Found>,
}

impl Asker {
    pub(crate) fn new(seed: u64) -> Asker {
        Asker { symbols: Hashed::new(seed), ..Asker::default() }
    }

    /// Says what a journal tells of the texts of the next event, until [`Asker::untell`].
    pub(crate) fn tell(&mut self, recalled: &Recalled, names: &TestNames) {
        self.router.tell(recalled, names);
    }

    /// What was told holds no more.
    pub(crate) fn untell(&mut self) {
        self.router.untell();
    }

    /// The hash of a text, the same in every process with the seed.
    pub(crate) fn hash(&self, text: &str) -> u64 {
        xxh3_64_with_seed(text.as_bytes(), self.symbols.seed)
    }

    /// Finds the rules that look at an event and answer, and what they take from it.
    pub(crate) fn route(&mut self, rules: &RuleSet, plans: &Plans, event: &UsageEvent<'_>) {
        self.found.clear();
        self.symbols.clear();
        self.router.words.clear();
        self.router.matches(rules, event);
        self.take(rules, plans, event, false);
        if event.kind() == Kind::Request && plans.any_ahead {
            self.router.matches_as(rules, event, Kind::Completion);
            self.take(rules, plans, event, true);
        }
    }

    fn take(&mut self, rules: &RuleSet, plans: &Plans, event: &UsageEvent<'_>, ahead: bool) {
        let matched = std::mem::take(&mut self.router.matched);
        for leader in &matched {
            let Some(plan) = rules.rules.get(*leader as usize).filter(|plan| plan.memory.is_none()) else { continue };
            if ahead && plans.takes_requests(*leader) {
                continue;
            }
            match &plan.shape {
                ShapePlan::Single { .. } => {
                    let excepted = self.router.exceptions(rules, plan, event) != 0;
                    self.found.push(Found { leader: *leader, excepted, ahead, window: None });
                }
                ShapePlan::Windowed(w) => {
                    let Some(answer) = plans.window(*leader) else { continue };
                    let from = self.router.words.len();
                    self.router.record(rules, *leader, plan, w, event, &mut self.symbols);
                    let to = self.router.words.len();
                    let Some(record) = self.router.words.get(from..to).filter(|record| !record.is_empty()) else {
                        continue;
                    };
                    let excepted = record.first().is_some_and(|head| head >> 32 != 0);
                    let group = group_id(answer, key(record, w), self.symbols.seed);
                    let window = Some((group, from as u32, to as u32));
                    self.found.push(Found { leader: *leader, excepted, ahead, window });
                }
                ShapePlan::Sequence(_) | ShapePlan::Series(_) => {}
            }
        }
        self.router.matched = matched;
    }

    fn record(&self, found: &Found) -> &[u64] {
        let range = found.window.map_or(0..0, |(_, from, to)| from as usize..to as usize);
        self.router.words.get(range).unwrap_or_default()
    }

    /// What a windowed rule took from the event.
    pub(crate) fn taken(&self, found: &Found, w: &WindowPlan) -> Taken<'_> {
        Taken::of(self.record(found), w.per.len())
    }

    /// Whether the condition of a windowed rule holds over what its window came to.
    pub(crate) fn holds(&self, found: &Found, w: &WindowPlan, a: &WindowAnswer, values: &Values, ts: i64) -> bool {
        let end = Timestamp(a.end_of(a.step_of(ts)));
        let env = Judged { w, answer: a, values, key: key(self.record(found), w), symbols: &self.symbols, end };
        values.events > 0 && w.when.eval(&env).is_true()
    }

    /// The values of the key of a limit, as texts; none where one is unknown.
    pub(crate) fn key_of(&mut self, rules: &RuleSet, limit: u32, event: &UsageEvent<'_>) -> Vec<String> {
        let Some(w) = rules.rules.get(limit as usize).and_then(RulePlan::window) else { return Vec::new() };
        let (env, mut scratch) = (EventEnv::new(event), Vec::new());
        let texts = w.per.iter().map(|part| {
            let scalar = &rules.words.get(part.word?.0 as usize)?.scalar;
            let word = word(&scalar.eval(&env), &part.ty, &mut self.symbols, &mut scratch)?;
            Some(word_text(word, &part.ty, &self.symbols))
        });
        texts.collect::<Option<_>>().unwrap_or_default()
    }

    /// The values of a windowed rule's group, as texts.
    pub(crate) fn group(&self, found: &Found, w: &WindowPlan) -> Vec<String> {
        let words = key(self.record(found), w).iter().zip(&w.per);
        let text = |(word, part): (&u64, &crate::plan::rule::PartPlan)| match part.fingerprint {
            true => to_text(*word),
            false => word_text(*word, &part.ty, &self.symbols),
        };
        words.map(text).collect()
    }
}

fn key<'r>(record: &'r [u64], w: &WindowPlan) -> &'r [u64] {
    record.get(HEADER..HEADER + w.per.len()).unwrap_or_default()
}

fn group_id(w: &WindowAnswer, key: &[u64], seed: u64) -> u128 {
    let mut hash = Xxh3::with_seed(seed);
    hash.update(&w.identity.to_be_bytes());
    key.iter().for_each(|word| hash.update(&word.to_be_bytes()));
    hash.digest128()
}

/// The window of a group as the environment of its condition.
pub(crate) struct Judged<'a> {
    w: &'a WindowPlan,
    answer: &'a WindowAnswer,
    values: &'a Values,
    key: &'a [u64],
    symbols: &'a Hashed,
    end: Timestamp,
}

impl Env for Judged<'_> {
    fn field(&self, _: FieldId) -> Value<'_> {
        Value::Unknown
    }

    fn aggregate(&self, index: u16) -> Val<'_> {
        let at = self.answer.slots.iter().position(|slot| slot.aggregate == index);
        at.and_then(|at| *self.values.slots.get(at)?).map_or(Val::Unknown, Val::Num)
    }

    fn key(&self, index: u16) -> Val<'_> {
        let at = usize::from(index);
        match (self.key.get(at), self.w.per.get(at)) {
            (Some(word), Some(part)) if part.fingerprint => Val::Text(to_text(*word).into()),
            (Some(word), Some(part)) => word_value(*word, &part.ty, self.symbols),
            _ => Val::Unknown,
        }
    }

    fn at(&self) -> Timestamp {
        self.end
    }
}
