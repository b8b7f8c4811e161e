//! How many different values, estimated: HyperLogLog over a sliding window. A register keeps the greatest rank of the values
//! that fall to it; so that steps can be dropped, it keeps, for each rank that no later step reaches, the last step that had
//! it. A maximum does not depend on order, and what is left after a step is dropped is what the others alone would give.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::bounded::Coarse;
use crate::eval::footprint::HeapBytes;

/// Bits of a hash that choose the register.
const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;
/// Greatest rank: all bits that choose no register are zero.
const RANK_MAX: u32 = 64 - REGISTER_BITS + 1;
/// 0.7213 / (1 + 1.079 / 16,384) in ten-millionths: corrects the harmonic mean (Flajolet and others, 2007).
const ALPHA: u128 = 7_212_525;
/// 1.04 / √16,384 in millionths.
pub(crate) const STANDARD_ERROR: u32 = 8_125;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Registers {
    /// (step, rank): steps rise, ranks fall.
    registers: Vec<SmallVec<[(i64, u8); 1]>>,
}

impl Default for Registers {
    fn default() -> Self {
        Registers { registers: vec![SmallVec::new(); REGISTERS] }
    }
}

impl Coarse for Registers {
    fn add(&mut self, step: i64, code: u64, _: u32) {
        let rank = ((code << REGISTER_BITS).leading_zeros() + 1).min(RANK_MAX) as u8;
        let Some(register) = self.registers.get_mut((code >> (64 - REGISTER_BITS)) as usize) else { return };
        while register.last().is_some_and(|(_, known)| *known <= rank) {
            register.pop();
        }
        if register.last().is_none_or(|(last, _)| *last < step) {
            register.push((step, rank));
        }
    }

    fn absorb(&mut self, other: &Registers) {
        for (own, other) in self.registers.iter_mut().zip(&other.registers) {
            let ranks = own.iter().chain(other).map(|(_, rank)| *rank);
            *own = ranks.max().map(|rank| (0, rank)).into_iter().collect();
        }
    }

    fn expire(&mut self, first: i64) {
        for register in &mut self.registers {
            let gone = register.iter().take_while(|(step, _)| *step < first).count();
            register.drain(..gone);
        }
    }
}

impl Registers {
    /// The estimate. Good where most registers are in use; smaller numbers are counted exactly.
    pub(crate) fn estimate(&self) -> u64 {
        let ranks = self.registers.iter().map(|r| r.first().map_or(0, |(_, rank)| u32::from(*rank)));
        let harmonic: u128 = ranks.map(|rank| 1u128 << (RANK_MAX - rank.min(RANK_MAX))).sum();
        let squared = (REGISTERS * REGISTERS) as u128;
        u64::try_from(((ALPHA * squared) << RANK_MAX) / (harmonic.max(1) * 10_000_000)).unwrap_or(u64::MAX)
    }
}

impl HeapBytes for Registers {
    fn heap_bytes(&self) -> usize {
        self.registers.heap_bytes()
            + self.registers.iter().filter(|r| r.spilled()).map(|r| r.capacity() * 16).sum::<usize>()
    }
}
