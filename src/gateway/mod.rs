//! The contracts of gateways: from what each sends to a usage event, and from a decision to what each understands. Knows no
//! rule and no store; who answers stands behind [`Decide`].

use crate::decision::Decision;
use crate::event::UsageEvent;
use crate::time::Duration;

/// Who answers. Both calls answer from memory and never wait.
pub trait Decide: Clone + Send + Sync + 'static {
    /// A call at arrival.
    ///
    /// # Errors
    /// Where no answer can be given now; the gateway then does as it was configured to.
    fn decide(&self, event: UsageEvent<'static>) -> Result<Decision, Unready>;

    /// A record that needs no answer: a call that has ended, a line of a log.
    ///
    /// # Errors
    /// Where it cannot be taken in now.
    fn observe(&self, event: UsageEvent<'static>) -> Result<(), Unready>;
}

/// Why there is no answer now. It is told as 503 with `Retry-After`, never as 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unready {
    /// The state is still being restored.
    Starting,
    /// More comes than can be taken in.
    Overloaded {
        /// When to come again.
        retry_after: Duration,
    },
    /// It is about to end.
    Draining,
}
