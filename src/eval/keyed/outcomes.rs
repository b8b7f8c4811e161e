//! Partitions of action budgets, one a rule that has one: findings of all its keys meet here, and spend it in order of
//! (opened_at, id).

use super::bytes::{read, told, waiting, write};
use super::record::said;
use super::{Keyed, KeyedError, Partition, PartitionKind, Record, Step, ceil};
use crate::eval::outcome::Budget;
use crate::eval::{Outcomes, in_order};
use crate::plan::rule::ShapePlan;
use crate::violation::Violation;

impl Keyed {
    /// A finding on its way to the budget of its rule.
    pub(super) fn finding_record(&self, number: u32, v: &Violation) -> Result<Record, KeyedError> {
        let partition = Partition { kind: PartitionKind::Budget(number), key: 0 };
        Ok(Record { partition, bytes: self.record(v.opened_at.0, v) })
    }

    /// Takes in a finding: it waits until all that opened no later are there.
    pub(super) fn take_finding(&self, number: u32, state: Option<&[u8]>, record: &[u8]) -> Result<Step, KeyedError> {
        let (opened, _) = self.opened(record)?;
        let partition = Partition { kind: PartitionKind::Budget(number), key: 0 };
        let parts = self.parts(state)?;
        // At the watermark itself events may still come: a rule on single events may find another that opened then.
        let is_single =
            matches!(self.rules.rules.get(number as usize).map(|r| &r.shape), Some(ShapePlan::Single { .. }));
        let due = if is_single { opened.saturating_add(1) } else { opened };
        let (state, timer) = self.append(partition, parts, opened, ceil(due), record)?;
        Ok(Step { state: Some(state), timer: told(timer), ..Step::default() })
    }

    /// Spends the budget on what waits.
    pub(super) fn spend(&self, number: u32, state: Option<&[u8]>, watermark: i64) -> Result<Step, KeyedError> {
        let parts = self.parts(state)?;
        if parts.head.timer > watermark || parts.waiting.is_empty() {
            return Ok(Step { state: state.map(<[u8]>::to_vec), timer: told(parts.head.timer), ..Step::default() });
        }
        let budget = if parts.body.is_empty() { Budget::default() } else { read(parts.body)? };
        let mut found = Vec::new();
        for record in waiting(parts.waiting)? {
            let (_, bytes) = self.opened(record)?;
            found.push(said::<Violation>(bytes)?);
        }
        let mut outcomes = Outcomes::sharing(&self.names).with_budget(number, budget);
        outcomes.decide_all(&self.rules, self.options.delay_secret.as_ref(), true, &mut found);
        let body = write(&outcomes.budget(number))?;
        let state = self.state(i64::MAX, i64::MIN, &body, &[]);
        Ok(Step { state: Some(state), violations: in_order(found), ..Step::default() })
    }
}
