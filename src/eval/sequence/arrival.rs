//! What a rule on sequences takes from an event at arrival.
//!
//! The record is `[rule | exceptions << 32] [steps it is alone | steps of which that is unknown << 32] [slots that are known]
//! [key …] [slots …]`.

use crate::eval::intern::Symbols;
use crate::eval::route::{EventEnv, HEADER, Router, truth};
use crate::event::UsageEvent;
use crate::plan::RuleSet;
use crate::plan::rule::RulePlan;
use crate::plan::sequence::{SequencePlan, SlotPlan};
use crate::value::Truth;

impl Router {
    /// Appends the record of a rule on sequences; none where the event is surely no step, or a part of the key is unknown.
    pub(crate) fn sequence_record(
        &mut self,
        rules: &RuleSet,
        rule: u32,
        plan: &RulePlan,
        s: &SequencePlan,
        event: &UsageEvent<'_>,
        symbols: &mut impl Symbols,
    ) {
        let env = EventEnv { event, answers: self.answers, wordings: Some((rules, &self.wordings)) };
        let (mut steps, mut known) = (0u64, 0u64);
        for (i, step) in s.steps.iter().enumerate().filter(|(_, step)| step.kinds.contains(&event.kind())) {
            match step.alone.map_or(Truth::True, |node| truth(rules, &mut self.memo, &env, node)) {
                Truth::True => steps |= 1 << i,
                Truth::Unknown => steps |= 1 << (32 + i),
                Truth::False => {}
            }
        }
        if steps == 0 {
            return;
        }
        let start = self.words.len();
        let exceptions = self.exceptions(rules, plan, event);
        let env = EventEnv { event, answers: self.answers, wordings: Some((rules, &self.wordings)) };
        self.words.extend([u64::from(rule) | (u64::from(exceptions) << 32), steps, 0]);
        for part in &s.per {
            match part.word.and_then(|word| self.taken.word(rules, word, &env, symbols)) {
                Some(word) => self.words.push(word),
                None => {
                    self.words.truncate(start);
                    self.undecided.push(rule);
                    return;
                }
            }
        }
        for (i, slot) in s.slots.iter().enumerate() {
            let value = match slot {
                SlotPlan::Word(id, _) => self.taken.word(rules, *id, &env, symbols),
                SlotPlan::Truth(node) => match truth(rules, &mut self.memo, &env, *node) {
                    Truth::Unknown => None,
                    t => Some(u64::from(t.is_true())),
                },
            };
            known |= u64::from(value.is_some()) << i;
            self.words.push(value.unwrap_or(0));
        }
        if let Some([_, _, k]) = self.words.get_mut(start..start + HEADER) {
            *k = known;
        }
    }
}
