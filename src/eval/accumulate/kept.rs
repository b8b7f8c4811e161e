//! What the values that an aggregate keeps are accounted at. It follows from the values in the window alone: a busy group of
//! few values takes little room, however many its events.

use super::Accumulator;

/// Bytes of a value that is told from others, and of its last step.
const DISTINCT_BYTES: usize = 40;
/// Bytes of all registers of an estimate.
const REGISTERS_BYTES: usize = 16 << 10;
/// Bytes of a value that is counted.
const TALLY_BYTES: usize = 56;
/// Bytes of how often it stood in a step.
const STEP_BYTES: usize = 16;
/// Bytes of a number of a quantile.
const NUMBER_BYTES: usize = 24;
/// Bytes of a prompt whose wording is told from others, with up to 32 fingerprints.
const PROMPT_BYTES: usize = 360;
/// Bytes of all buckets of an estimate.
const BUCKETS_BYTES: usize = 192 << 10;

impl Accumulator {
    /// Accounted bytes of its values.
    pub(crate) fn kept_bytes(&self) -> u64 {
        let bytes = match self {
            Accumulator::Distinct(d, _) => {
                d.kept().saturating_mul(DISTINCT_BYTES) + if d.is_exact() { 0 } else { REGISTERS_BYTES }
            }
            Accumulator::TopShare(t, ..) | Accumulator::Entropy(t, _) => {
                let (values, in_steps) = t.kept();
                values.saturating_mul(TALLY_BYTES).saturating_add(in_steps.saturating_mul(STEP_BYTES))
            }
            Accumulator::Quantile(q, _) => {
                q.kept().saturating_mul(NUMBER_BYTES) + if q.is_exact() { 0 } else { BUCKETS_BYTES }
            }
            Accumulator::Wordings(p, _) => p.kept().saturating_mul(PROMPT_BYTES),
            _ => 0,
        };
        bytes as u64
    }
}
