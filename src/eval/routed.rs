//! Events routed apart from any state: what the rules take from each, ready to be taken in by an evaluator. Routing depends
//! on rules and event alone, so it may run on any thread, before its turn.

use std::sync::Arc;

use super::ask::{Asking, Pending};
use super::commitment::Salt;
use super::events::NO_ACCOUNT;
use super::finding::{Single, Subject};
use super::intern::{Interner, LocalSymbols, Symbols};
use super::link::renumber_ties;
use super::project::project;
use super::route::{EventEnv, HEADER, Router, records};
use super::{Evaluator, Head, Origin, Outcome, Taken};
use crate::event::{FieldId, UsageEvent};
use crate::plan::RuleSet;
use crate::plan::rule::{PartPlan, ShapePlan, words as words_of};
use crate::time::Timestamp;
use crate::value::Value;
use crate::violation::Violation;

/// Routes events for an evaluator that runs elsewhere.
#[derive(Debug)]
pub struct EventRouter {
    rules: Arc<RuleSet>,
    router: Router,
}

/// Events that were routed, in the order in which they were.
#[derive(Debug, Default)]
pub struct RoutedEvents {
    symbols: LocalSymbols,
    events: Vec<Routed>,
    ids: String,
    words: Vec<u64>,
    undecided: Vec<u32>,
    projections: Vec<u8>,
}

/// One event; ranges are those of the buffers.
#[derive(Debug)]
struct Routed {
    head: Head,
    id: (u32, u32),
    unknown_keys: u32,
    account: Option<u64>,
    words: (u32, u32),
    tied: (u32, u32),
    undecided: (u32, u32),
    undecided_filters: u32,
    projection: (u32, u32),
    singles: Vec<Violation>,
    pending: Option<Box<Pending>>,
}

impl EventRouter {
    /// A router for these rules.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        EventRouter { rules, router: Router::default() }
    }

    /// Its rules.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Appends what the rules take from an event and, with a salt, its projection as [`Evaluator::project`] gives it.
    pub fn route(&mut self, event: &UsageEvent<'_>, salt: Option<&Salt>, into: &mut RoutedEvents) {
        let (rules, router) = (&*self.rules, &mut self.router);
        let singles = router.route(rules, event, false, &mut into.symbols);
        let pending = Pending::of(rules, router, event, &mut into.symbols);
        router.take_ties(rules, event, &mut into.symbols);
        let account = router.account(event, pending.is_some()).map(|a| into.symbols.intern(a.as_bytes()));
        let projected = into.projections.len();
        if let Some(salt) = salt {
            project(rules, router, event, salt, &mut into.projections);
        }
        let routed = Routed {
            head: Head::of(event),
            id: appended(into.ids.len(), event.id().len()),
            unknown_keys: event.unknown_keys(),
            account,
            words: appended(into.words.len(), router.words.len()),
            tied: appended(into.words.len() + router.words.len(), router.tied.len()),
            undecided: appended(into.undecided.len(), router.undecided.len()),
            undecided_filters: router.undecided_filters as u32,
            projection: (projected as u32, into.projections.len() as u32),
            singles,
            pending,
        };
        into.ids.push_str(event.id());
        into.words.extend_from_slice(&router.words);
        into.words.extend_from_slice(&router.tied);
        into.undecided.extend_from_slice(&router.undecided);
        into.events.push(routed);
    }
}

fn appended(from: usize, n: usize) -> (u32, u32) {
    (from as u32, (from + n) as u32)
}

fn range<T>(of: &[T], (from, to): (u32, u32)) -> &[T] {
    of.get(from as usize..to as usize).unwrap_or_default()
}

impl RoutedEvents {
    /// Forgets all events and keeps the memory.
    pub fn clear(&mut self) {
        self.symbols.clear();
        self.events.clear();
        self.ids.clear();
        self.words.clear();
        self.undecided.clear();
        self.projections.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The projection of an event, empty where none was asked for.
    pub fn projection(&self, at: usize) -> &[u8] {
        self.events.get(at).map_or(&[], |e| range(&self.projections, e.projection))
    }

    /// When an event happened.
    pub fn ts(&self, at: usize) -> Timestamp {
        Timestamp(self.events.get(at).map_or(0, |e| e.head.ts))
    }

    /// How many keys an event had that no field has.
    pub fn unknown_keys(&self, at: usize) -> u32 {
        self.events.get(at).map_or(0, |e| e.unknown_keys)
    }
}

impl Router {
    /// The account of the event that was routed, where anything of it will be asked for.
    pub(super) fn account<'e>(&self, event: &'e UsageEvent<'_>, asks: bool) -> Option<&'e str> {
        match event.get(FieldId::ACCOUNT) {
            Value::Text(a) if !self.words.is_empty() || !self.tied.is_empty() || asks => Some(a),
            _ => None,
        }
    }

    /// Conditions on the event itself: fills the records, and returns the violations of rules on single events.
    pub(super) fn route(
        &mut self,
        rules: &RuleSet,
        event: &UsageEvent<'_>,
        late: bool,
        symbols: &mut impl Symbols,
    ) -> Vec<Violation> {
        self.words.clear();
        self.matches(rules, event);
        let mut singles = Vec::new();
        let matched = std::mem::take(&mut self.matched);
        for number in &matched {
            let Some(plan) = rules.rules.get(*number as usize) else { continue };
            match &plan.shape {
                // Judged behind the watermark, where a late event is never seen.
                _ if plan.memory.is_some() => self.asking.push(*number),
                ShapePlan::Single { values } => {
                    let exceptions = self.exceptions(rules, plan, event);
                    let env = EventEnv { wordings: Some((rules, &self.wordings)), ..EventEnv::new(event) };
                    let single = Single::new(plan, values, &env, exceptions);
                    let account = match event.get(FieldId::ACCOUNT) {
                        Value::Text(account) => Some(account),
                        _ => None,
                    };
                    let seen = Asking { id: event.id(), ts: event.ts().0, content: event.content(), account };
                    let each =
                        rules.members(*number).map(|(rule, plan)| Subject { program: rules.program(), rule, plan });
                    singles.extend(each.map(|subject| subject.single(&single, seen)));
                }
                ShapePlan::Windowed(_) | ShapePlan::Sequence(_) | ShapePlan::Series(_) if late => {}
                ShapePlan::Sequence(s) => self.sequence_record(rules, *number, plan, s, event, symbols),
                ShapePlan::Windowed(w) => {
                    self.record(rules, *number, plan, w, event, symbols);
                }
                ShapePlan::Series(s) => {
                    self.record(rules, *number, plan, &s.w, event, symbols);
                }
            }
        }
        self.matched = matched;
        singles
    }
}

/// A record's symbols as the interner of the state numbers them.
pub(super) fn to_state(rules: &RuleSet, record: &mut [u64], symbols: &mut LocalSymbols, interner: &mut Interner) {
    renumber(rules, record, &mut |local| symbols.in_state(local, interner));
}

/// Gives each symbol of a record another number.
pub(super) fn renumber(rules: &RuleSet, record: &mut [u64], number: &mut impl FnMut(u64) -> u64) {
    let Some(([head, _, known], words)) = record.split_first_chunk_mut::<HEADER>() else { return };
    let Some(plan) = rules.rules.get((*head & 0xffff_ffff) as usize) else { return };
    let known = *known;
    let mut each = |words: &mut [u64], is_symbol: &dyn Fn(usize) -> bool| {
        for (i, word) in words.iter_mut().enumerate() {
            if is_symbol(i) {
                *word = number(*word);
            }
        }
    };
    let is_known = |i: usize| known & (1 << i) != 0;
    match &plan.shape {
        ShapePlan::Single { .. } => {}
        ShapePlan::Windowed(_) | ShapePlan::Series(_) => {
            let Some(w) = plan.window() else { return };
            let (fixed, values) = words.split_at_mut(words_of(w).min(words.len()));
            let (key, inputs) = fixed.split_at_mut(w.per.len().min(fixed.len()));
            // In place of a part of several values stands how many there are.
            let several = w.many.as_ref().map(|many| many.at);
            let part_is_symbol = |i: usize| w.per.get(i).is_some_and(PartPlan::is_symbol);
            each(key, &|i| Some(i) != several && part_is_symbol(i));
            each(inputs, &|i| is_known(i) && w.inputs.get(i).is_some_and(|input| input.is_symbol(&rules.words)));
            each(values, &|_| several.is_some_and(part_is_symbol));
        }
        ShapePlan::Sequence(s) => {
            let (key, slots) = words.split_at_mut(s.per.len().min(words.len()));
            each(key, &|i| s.per.get(i).is_some_and(PartPlan::is_symbol));
            each(slots, &|i| is_known(i) && s.slots.get(i).is_some_and(|slot| crate::plan::is_symbol(slot.ty())));
        }
    }
}

impl Evaluator {
    /// Takes in an event of `events`, as [`Evaluator::observe`] does. It was routed under the rules of its time
    /// ([`Evaluator::rules_at`]).
    pub fn observe_routed(&mut self, events: &mut RoutedEvents, at: usize, origin: Origin) -> Outcome {
        let Some(e) = events.events.get_mut(at) else { return Outcome::Duplicate };
        let id = events.ids.get(e.id.0 as usize..e.id.1 as usize).unwrap_or("");
        let late = match self.admit(&e.head, id) {
            Ok(late) => late,
            Err(outcome) => return outcome,
        };
        let generation = self.generation(e.head.ts);
        let rules = Arc::clone(self.rules_of(generation));
        let (symbols, interner) = (&mut events.symbols, &mut self.interner);
        let undecided = range(&events.undecided, e.undecided);
        let singles = std::mem::take(&mut e.singles);
        if late {
            self.count_undecided(generation, undecided.get(..e.undecided_filters as usize).unwrap_or_default());
            return self.take_late(&rules, singles);
        }
        let both = events.words.get_mut(e.words.0 as usize..e.tied.1 as usize).unwrap_or_default();
        let (words, tied) = both.split_at_mut((e.words.1 - e.words.0) as usize);
        renumber_ties(&rules, tied, &mut |local| symbols.in_state(local, interner));
        let lengths: smallvec::SmallVec<[usize; 16]> = records(&rules, words).map(|(_, record)| record.len()).collect();
        let mut rest = &mut *words;
        for length in lengths {
            let Some((record, behind)) = rest.split_at_mut_checked(length) else { break };
            to_state(&rules, record, symbols, interner);
            rest = behind;
        }
        let mut pending = e.pending.take();
        if let Some(pending) = &mut pending {
            pending.number_in_state(&rules, symbols, interner);
        }
        let account = e.account.map_or(NO_ACCOUNT, |local| symbols.in_state(local, interner));
        self.count_undecided(generation, undecided);
        let taken = Taken { account, words, tied, singles, pending };
        self.take_in(&e.head, id, origin, taken)
    }
}
