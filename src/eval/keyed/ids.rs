//! Partitions of ids: where copies are recognised and conflicting records decided, before anything is counted. It cannot be
//! done by key: two records of one id may say different things, and then they are of different keys.

use super::bytes::{push, told, waiting};
use super::record::{Envelope, said};
use super::{Keyed, KeyedError, Record, Step, after, floor};
use crate::eval::{Memories, Outcome, Outcomes, Refusal, Refused, in_order};
use crate::violation::{Violation, Withheld};

/// What is known of the id of a record.
enum Known {
    Nothing,
    Copy,
    /// Another record stays.
    Smaller,
    /// Another record at this place goes.
    Larger(usize),
}

impl Keyed {
    /// Takes in an event, or lets go what the watermark has passed.
    pub(super) fn step_ids(
        &self,
        state: Option<&[u8]>,
        input: super::Input<'_>,
        watermark: i64,
    ) -> Result<Step, KeyedError> {
        match input {
            super::Input::Record(record) => self.take_event(state, record, watermark),
            super::Input::Advance => self.let_go(state, watermark),
        }
    }

    fn take_event(&self, state: Option<&[u8]>, record: &[u8], watermark: i64) -> Result<Step, KeyedError> {
        let parts = self.parts(state)?;
        let (_, bytes) = self.opened(record)?;
        let event: Envelope<'_> = said(bytes)?;
        let known = waiting(parts.waiting)?;
        let is_late = event.ts < watermark;
        let mut step = Step {
            state: state.map(<[u8]>::to_vec),
            timer: told(parts.head.timer),
            outcome: Some(Outcome::Evaluated),
            ..Step::default()
        };
        let mut gone = None;
        match self.known(&known, &event, watermark)? {
            Known::Nothing => {}
            Known::Copy => {
                step.outcome = Some(Outcome::Duplicate);
                return Ok(step);
            }
            Known::Larger(at) if !is_late => gone = Some(at),
            Known::Smaller | Known::Larger(_) => {
                step.outcome = Some(Outcome::Rejected(Refusal::Conflicting));
                return Ok(step);
            }
        }
        if is_late {
            let filters = event.undecided.get(..event.undecided_filters as usize).unwrap_or_default();
            step.undecided = self.undecided_of(filters);
            step.outcome = Some(Outcome::Late);
            step.violations = self.late(event.singles);
            return Ok(step);
        }
        step.undecided = self.undecided_of(&event.undecided);
        let (mut rest, mut timer) = (Vec::new(), after(event.ts));
        for (at, record) in known.iter().enumerate() {
            let (ts, bytes) = self.opened(record)?;
            if gone == Some(at) {
                let other: Envelope<'_> = said(bytes)?;
                let (origin, id) = (other.origin, other.id.to_string());
                step.refused.push(Refused { origin, id, refusal: Refusal::Conflicting });
                continue;
            }
            timer = timer.min(after(ts));
            push(&mut rest, record);
        }
        push(&mut rest, record);
        step.timer = told(timer);
        step.state = Some(self.state(timer, parts.head.settled, &[], &[&rest]));
        Ok(step)
    }

    /// What those that wait at or after the watermark say of an event.
    fn known(&self, known: &[&[u8]], event: &Envelope<'_>, watermark: i64) -> Result<Known, KeyedError> {
        // The latest to come stands for its id.
        for (at, record) in known.iter().enumerate().rev() {
            let (ts, bytes) = self.opened(record)?;
            if ts < watermark {
                continue;
            }
            let other: Envelope<'_> = said(bytes)?;
            if other.id == event.id {
                return Ok(match other.content.cmp(&event.content) {
                    std::cmp::Ordering::Equal => Known::Copy,
                    std::cmp::Ordering::Less => Known::Smaller,
                    std::cmp::Ordering::Greater => Known::Larger(at),
                });
            }
        }
        Ok(Known::Nothing)
    }

    fn let_go(&self, state: Option<&[u8]>, watermark: i64) -> Result<Step, KeyedError> {
        let parts = self.parts(state)?;
        let until = floor(watermark);
        let (mut rest, mut timer) = (Vec::new(), i64::MAX);
        let mut free: Vec<Envelope<'_>> = Vec::new();
        for record in waiting(parts.waiting)? {
            let (ts, bytes) = self.opened(record)?;
            if ts < until {
                free.push(said(bytes)?);
            } else {
                timer = timer.min(after(ts));
                push(&mut rest, record);
            }
        }
        let mut step = self.freed(free)?;
        step.timer = told(timer);
        if !rest.is_empty() {
            step.state = Some(self.state(timer, parts.head.settled, &[], &[&rest]));
        }
        Ok(step)
    }

    /// What events are to others, once nothing stands against them.
    fn freed(&self, mut free: Vec<Envelope<'_>>) -> Result<Step, KeyedError> {
        free.sort_by(|a, b| (a.ts, a.id).cmp(&(b.ts, b.id)));
        let (mut step, mut singles) = (Step::default(), Vec::new());
        for event in free {
            singles.extend(event.singles);
            let records = event.parts.iter();
            step.records.extend(records.map(|(of, bytes)| Record { partition: *of, bytes: bytes.to_vec() }));
        }
        self.settle(&Memories::new(0), singles, &mut step)?;
        step.violations = in_order(step.violations);
        Ok(step)
    }

    /// For a source that gives every id once and nothing late: what an event's record is to units and budgets, without
    /// partitions of ids. A copy is then counted again, as any other event.
    ///
    /// # Errors
    /// Bytes that [`Keyed::step`] would refuse.
    pub fn release(&self, record: &[u8]) -> Result<Step, KeyedError> {
        let (_, bytes) = self.opened(record)?;
        let event: Envelope<'_> = said(bytes)?;
        let undecided = self.undecided_of(&event.undecided);
        Ok(Step { outcome: Some(Outcome::Evaluated), undecided, ..self.freed(vec![event])? })
    }

    /// Violations of an event behind the watermark: what a budget of its day had to give is given away, so none is asked.
    fn late(&self, mut found: Vec<Violation>) -> Vec<Violation> {
        let mut outcomes = Outcomes::sharing(&self.names);
        for v in found.iter_mut().filter(|v| outcomes.budget_of(&self.rules, v).is_some()) {
            v.actions.iter_mut().for_each(|p| p.withheld = Some(Withheld::Late));
        }
        outcomes.decide_all(&self.rules, self.options.delay_secret.as_ref(), true, &mut found);
        in_order(found)
    }

    /// The rules of leaders, once for each time that they are named.
    fn undecided_of(&self, leaders: &[u32]) -> Vec<(String, u64)> {
        let program = self.rules.program();
        let mut counts = std::collections::BTreeMap::<String, u64>::new();
        for leader in leaders {
            let series = (*leader as usize).checked_sub(program.rules.len()).and_then(|at| program.series.get(at));
            let rules = self.rules.members(*leader).map(|(rule, _)| rule.name.clone());
            for name in rules.chain(series.map(|s| s.name.clone())) {
                *counts.entry(name).or_default() += 1;
            }
        }
        counts.into_iter().collect()
    }
}
