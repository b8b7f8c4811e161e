//! What ties, taken from an event as words: for each link and each of its families, how many values, then the values.

use std::collections::BTreeSet;

use crate::eval::intern::Symbols;
use crate::eval::route::{EventEnv, Router, word, word_value};
use crate::event::{FieldId, UsageEvent};
use crate::plan::RuleSet;
use crate::plan::is_symbol;
use crate::plan::link::{FamilyPlan, Source};
use crate::plan::scalar::{Scalar, Val, in_list};
use crate::time::Timestamp;
use crate::value::{Type, Value};

impl Router {
    /// Takes the values of all links; nothing from an event without an account. Call after [`Router::matches`].
    pub(crate) fn take_ties(&mut self, rules: &RuleSet, event: &UsageEvent<'_>, symbols: &mut impl Symbols) {
        self.tied.clear();
        if rules.links.all.is_empty() || !matches!(event.get(FieldId::ACCOUNT), Value::Text(_)) {
            return;
        }
        let env = EventEnv { event, answers: self.answers, wordings: Some((rules, &self.wordings)) };
        let (mut any, mut scratch) = (false, Vec::new());
        for family in rules.links.all.iter().flat_map(|l| &l.families) {
            let start = self.tied.len();
            self.tied.push(0);
            match &family.source {
                Source::One(id) => {
                    if let Some(word) = self.taken.word(rules, *id, &env, symbols)
                        && !ignores(family, &word_value(word, &family.ty, symbols), event.ts())
                    {
                        self.tied.push(word);
                    }
                }
                Source::Several(scalar) => match scalar.eval(&env) {
                    Val::Fingerprints(all) => {
                        let kept = all.iter().filter(|f| !ignores(family, &Val::Fingerprints(&[**f]), event.ts()));
                        self.tied.extend(kept);
                    }
                    // In order of the texts, each once: should room run out, it is not the symbols that decide.
                    Val::Texts(texts) => {
                        let different: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
                        for text in different {
                            let value = Val::Text(text.into());
                            if !ignores(family, &value, event.ts()) {
                                self.tied.extend(word(&value, &Type::String, symbols, &mut scratch));
                            }
                        }
                    }
                    _ => {}
                },
            }
            let kept = self.tied.len() - start - 1;
            any |= kept > 0;
            if let Some(n) = self.tied.get_mut(start) {
                *n = kept as u64;
            }
        }
        if !any {
            self.tied.clear();
        }
    }
}

/// Gives each symbol among the words that [`Router::take_ties`] took another number.
pub(crate) fn renumber_ties(rules: &RuleSet, mut words: &mut [u64], number: &mut impl FnMut(u64) -> u64) {
    for family in rules.links.all.iter().flat_map(|l| &l.families) {
        let Some((n, rest)) = words.split_first_mut() else { return };
        let Some((own, others)) = rest.split_at_mut_checked(usize::try_from(*n).unwrap_or(0)) else { return };
        let are_symbols = match &family.source {
            Source::One(_) => is_symbol(&family.ty),
            Source::Several(scalar) => !matches!(scalar, Scalar::Template(_)),
        };
        if are_symbols {
            own.iter_mut().for_each(|word| *word = number(*word));
        }
        words = others;
    }
}

fn ignores(family: &FamilyPlan, value: &Val<'_>, at: Timestamp) -> bool {
    family.ignoring.iter().any(|list| in_list(value, list, at).is_true())
}

/// The words of one link among those of all, as [`Router::take_ties`] took them.
pub(crate) fn of_link<'w>(rules: &RuleSet, words: &'w [u64], link: u32) -> &'w [u64] {
    let mut rest = words;
    for (number, plan) in (0u32..).zip(&rules.links.all) {
        let mut length = 0;
        for _ in &plan.families {
            let n = rest.get(length).copied().unwrap_or(0);
            length += 1 + usize::try_from(n).unwrap_or(0);
        }
        let (own, others) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        if number == link {
            return own;
        }
        rest = others;
    }
    &[]
}
