//! The answer to a call as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ErrorBody, seconds};
use crate::decision::Decision;

/// What is to be done with a call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer {
    /// What takes effect.
    #[schema(value_type = VerdictWord)]
    decision: &'static str,
    /// What it would be if the rules in shadow mode acted too.
    #[schema(value_type = VerdictWord)]
    would: &'static str,
    /// The strictest mode of the rules that bear on it.
    #[schema(value_type = ModeWord)]
    mode: &'static str,
    /// The HTTP status that says the same to a caller.
    #[schema(example = 200)]
    status: u16,
    /// For the caller; empty where the call passes unmarked. Names no threshold, value, group or other account.
    reason: String,
    /// Rules that bear on it, sorted.
    rules: Vec<String>,
    /// Violations that bear on it, as far as their ids are known at arrival; sorted. One that begins with this call gets its id
    /// when its step closes: `/v1/decisions` (by `event` or `call`) and then `/v1/decisions/{id}` (by its `number`) tell it afterwards.
    violations: Vec<String>,
    /// Actions in force that bear on it, by id; sorted.
    actions: Vec<String>,
    /// When to come again, in seconds; null where it is not limited in time.
    retry_after_s: Option<u64>,
}

/// The mildest first.
#[derive(ToSchema)]
#[schema(as = Verdict, rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum VerdictWord {
    Allow,
    Flag,
    Challenge,
    Throttle,
    Block,
}

/// What a rule may do.
#[derive(ToSchema)]
#[schema(as = Mode, rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum ModeWord {
    Shadow,
    Flag,
    Enforce,
}

impl From<Decision> for Answer {
    fn from(d: Decision) -> Self {
        Answer {
            decision: d.verdict.word(),
            would: d.would.word(),
            mode: d.mode.word(),
            status: d.verdict.status(),
            reason: d.reason,
            rules: d.rules,
            violations: d.violations,
            actions: d.actions,
            retry_after_s: d.retry_after.map(seconds),
        }
    }
}

/// The answer to one event of a batch: what is to be done, or why the event was refused.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Each {
    /// What is to be done.
    Answer(Answer),
    /// Why there is no answer.
    Refused(ErrorBody),
}

/// One answer, or one for each event of a batch, in their order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Answers)]
pub(crate) enum Answers {
    /// To one event.
    #[allow(dead_code, reason = "answered as it stands; only its schema is used")]
    One(Answer),
    /// To a batch.
    Batch(Vec<Each>),
}
