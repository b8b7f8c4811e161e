//! Actions that take effect: which account, key, organisation or group is flagged, throttled, challenged or blocked, why, by
//! whom and until when. The table is a function of its entries, which are only ever added. Time is an argument.

use serde::{Deserialize, Serialize};

use crate::decision::Verdict;
use crate::time::{Duration, Timestamp};

/// Who sends a call, as the event says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caller<'a> {
    /// `account` of the event.
    pub account: Option<&'a str>,
    /// `api_key_id` of the event.
    pub key: Option<&'a str>,
    /// `org` of the event.
    pub org: Option<&'a str>,
}

/// One action in force that bears on a caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Its id.
    pub action: String,
    /// What it asks for.
    pub verdict: Verdict,
    /// Calls that may pass in each span, where it throttles.
    pub rate: Option<(u64, Duration)>,
    /// The violation it rests on.
    pub violation: String,
    /// The rule.
    pub rule: String,
    /// For the caller.
    pub reason: String,
    /// When it ends; `None` until somebody releases it.
    pub until: Option<Timestamp>,
}

/// All actions.
#[derive(Debug, Clone, Default)]
pub struct Table {}

impl Table {
    /// What is in force for a caller, the strictest first.
    pub fn standing(&self, caller: Caller<'_>, now: Timestamp) -> Vec<InForce> {
        let _ = (caller, now);
        Vec::new()
    }
}
