//! The clock of the server: the one place below which time is an argument.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use crate::time::Timestamp;

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "the server reads the clock and passes time down")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Time since the server looked at this clock first; never goes back.
#[expect(clippy::disallowed_methods, reason = "latencies and rates are measured here")]
pub(crate) fn elapsed() -> Duration {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGUN.elapsed()
}
