//! What single accounts came to, put together: the aggregates of a group whose accounts are known only when its windows are
//! judged. What comes of it can be asked, not expired. Where steps matter beyond that (`first`, `last`, idle times,
//! speeds) the checker refuses the rule.

use super::{Accumulator, bounded};
use crate::eval::intern::Interner;

impl Accumulator {
    /// Adds what another accumulator of the same aggregate holds. The order of additions never shows.
    pub(crate) fn absorb(&mut self, other: &Accumulator, interner: &Interner) {
        let hash = |symbols: bool, word: u64| match symbols {
            true => bounded::hash(interner.get(word)),
            false => bounded::hash(&word.to_be_bytes()),
        };
        match (self, other) {
            (Accumulator::Count(own), Accumulator::Count(other)) => own.absorb(*other),
            (Accumulator::Sum(own), Accumulator::Sum(other))
            | (Accumulator::Average(own, _), Accumulator::Average(other, _)) => own.absorb(other),
            (Accumulator::Share(own), Accumulator::Share(other)) => own.absorb(other),
            (Accumulator::Min(own), Accumulator::Min(other)) => {
                other.value().into_iter().for_each(|n| own.add(0, n, false));
            }
            (Accumulator::Max(own), Accumulator::Max(other)) => {
                other.value().into_iter().for_each(|n| own.add(0, n, true));
            }
            (Accumulator::Distinct(own, symbols), Accumulator::Distinct(other, _)) => {
                own.absorb(other, |word| hash(*symbols, word));
            }
            (Accumulator::Quantile(own, _), Accumulator::Quantile(other, _)) => own.absorb(other),
            (Accumulator::Spread(own), Accumulator::Spread(other)) => own.absorb(other),
            (Accumulator::TopShare(own, symbols, _), Accumulator::TopShare(other, ..))
            | (Accumulator::Entropy(own, symbols), Accumulator::Entropy(other, _)) => {
                own.absorb(other, |word| hash(*symbols, word));
            }
            (Accumulator::Wordings(own, _), Accumulator::Wordings(other, _)) => own.absorb(other),
            (Accumulator::Rate(own, _), Accumulator::Rate(other, _)) => own.absorb(other),
            _ => {}
        }
    }
}
