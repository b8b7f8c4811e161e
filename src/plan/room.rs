//! What the state of one group is accounted at: a function of the rule and of what its window holds, so that what has to go
//! for want of room does not depend on how memory happens to be laid out.

use super::rule::{AggregatePlan, Fold};

/// Bytes of a group beside what it counts: itself, its places in the tables, and allocations of its own.
const GROUP_BYTES: u64 = 320;
/// Bytes of an aggregate beside its values.
const AGGREGATE_BYTES: u64 = 40;
/// Bytes of a text in a key, beside its own length: its entry among the texts, and its place in their table.
pub(crate) const TEXT_BYTES: u64 = 56;
/// Bytes of a part of a key that is a number.
pub(crate) const NUMBER_BYTES: u64 = 8;
/// Bytes of an earlier window that keeps what it counted, beside that.
const EARLIER_BYTES: u64 = 128;
/// Packed bytes of a number in the row of a step.
const WORD_BYTES: u64 = 2;

/// Accounted bytes of the groups of a rule.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoomPlan {
    fixed: u64,
    /// Per step with events, up to so many.
    row: (u64, u64),
    /// Per event, up to so many: of each aggregate that keeps something of every step. Those that keep values account for
    /// them one by one.
    values: Vec<(u64, u64)>,
    /// Of an earlier window that keeps what it counted.
    earlier: u64,
}

impl RoomPlan {
    pub(crate) fn new(aggregates: &[AggregatePlan], row_words: usize, steps: i64, looks_back: u64) -> RoomPlan {
        let steps = u64::try_from(steps).unwrap_or(1).max(1);
        let values = aggregates.iter().filter_map(|a| match a.fold {
            Fold::Count | Fold::Sum | Fold::Average { .. } | Fold::Share | Fold::Baseline { .. } => None,
            Fold::Distinct { .. } | Fold::TopShare { .. } | Fold::Entropy { .. } | Fold::Quantile { .. } => None,
            Fold::Wordings(_) => None,
            Fold::Spread => Some((64, steps)),
            Fold::Min | Fold::Max | Fold::First { .. } | Fold::Last { .. } | Fold::Rate { .. } => Some((16, steps)),
            Fold::LongestIdle | Fold::TopSpeed => Some((48, steps)),
        });
        RoomPlan {
            fixed: GROUP_BYTES + AGGREGATE_BYTES * aggregates.len() as u64 + NUMBER_BYTES * looks_back,
            row: (WORD_BYTES * row_words as u64, steps),
            values: values.collect(),
            earlier: EARLIER_BYTES + AGGREGATE_BYTES * aggregates.len() as u64,
        }
    }

    /// Bytes of an earlier window that keeps what so many events came to, without the values that aggregates keep.
    pub(crate) fn earlier_bytes(&self, events: u64) -> u64 {
        let upto = |(bytes, max): &(u64, u64)| bytes.saturating_mul(events.min(*max));
        self.values.iter().map(upto).fold(self.earlier, u64::saturating_add)
    }

    /// Bytes of a group whose window holds so many events, without its key and without the values that aggregates keep.
    pub(crate) fn bytes(&self, events: u64) -> u64 {
        let upto = |(bytes, max): &(u64, u64)| bytes.saturating_mul(events.min(*max));
        self.values.iter().map(upto).fold(self.fixed + upto(&self.row), u64::saturating_add)
    }
}
