//! Answers at arrival, from memory: what a rule says of a call while it waits. Only conditions that stay true whatever else
//! comes within the window can be acted on then, so only they are answered; findings stay the evaluator's, which waits for
//! what comes late. Time is that of events.
//!
//! Per rule and group there are numbers by step, the steps of the rule's windows. The answer is taken over the window that
//! ends at the end of the event's step, with what has arrived so far and the event itself. What it costs does not grow with
//! the length of the window, and what is kept of different values is bounded by what the threshold needs.
//!
//! **Requests and completions.** A gateway asks with a `request` and reports with a `completion`, and most rules look at
//! completions. A request is judged as the completion that it will become: by the rules on completions that do not look at
//! requests themselves, with the fields that are known so far; what is missing is unknown, and unknown never fires. If it
//! passes, it counts *ahead* under its `call` until the completion of that call comes and takes its place, so that calls under way
//! see each other and none counts twice; what is never reported counts for [`AHEAD_LIFE`]. A request without `call` is judged and
//! not kept.

mod answers;
mod distinct;
mod group;
mod heard;
pub mod limits;
mod panes;
mod plan;
pub mod quota;
mod rows;
mod route;
mod symbols;
mod throttle;

pub use answers::{Answer, Answers, Form, Silent};
pub use group::{AHEAD_LIFE, AHEAD_MAX};
pub use plan::DISTINCT_MAX;

pub(crate) use heard::{Calls, Heard};
pub(crate) use panes::{Panes, Part, SavedGroup, Touched};
pub(crate) use plan::{Acts, Plans, WindowAnswer};
pub(crate) use route::{Asker, Found};
pub(crate) use throttle::{Throttles, Token};
