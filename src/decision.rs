//! What a gateway is told about a call at arrival. Public reason and internal evidence are apart: gateways show the reason to
//! the caller, so it never names a threshold, a value, a group or another account.

use serde::{Deserialize, Serialize};

use crate::hir::Mode;
use crate::time::Duration;

/// What the gateway should do with the call, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Let it pass.
    #[default]
    Allow,
    /// Let it pass, and mark it.
    Flag,
    /// Ask the caller for proof first.
    Challenge,
    /// Refuse it for now; the caller may come again after [`Decision::retry_after`].
    Throttle,
    /// Refuse it.
    Block,
}

impl Verdict {
    /// All, the mildest first.
    pub const ALL: [Verdict; 5] =
        [Verdict::Allow, Verdict::Flag, Verdict::Challenge, Verdict::Throttle, Verdict::Block];

    /// The word in answers.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Flag => "flag",
            Verdict::Challenge => "challenge",
            Verdict::Throttle => "throttle",
            Verdict::Block => "block",
        }
    }

    /// Whether the call goes through.
    pub fn passes(self) -> bool {
        self <= Verdict::Flag
    }

    /// The HTTP status that says it: 200, 401 for a challenge, 429, 403.
    pub fn status(self) -> u16 {
        match self {
            Verdict::Allow | Verdict::Flag => 200,
            Verdict::Challenge => 401,
            Verdict::Throttle => 429,
            Verdict::Block => 403,
        }
    }
}

/// The answer to one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What takes effect.
    pub verdict: Verdict,
    /// What it would be if the rules in shadow mode acted too.
    pub would: Verdict,
    /// When to come again, where it is throttled or blocked for a time.
    pub retry_after: Option<Duration>,
    /// For the caller; empty where the call passes unmarked.
    pub reason: String,
    /// Rules that bear on it, sorted.
    pub rules: Vec<String>,
    /// Violations that bear on it, as far as their ids are known at arrival; sorted. Known are those that actions in force rest on,
    /// that of a rule on single events asked about the event itself, and of a windowed rule one that is under way for the group.
    /// The id of one that begins is a hash of its first true step, which is known when the step closes.
    pub violations: Vec<String>,
    /// Actions in force that bear on it, by id; sorted.
    pub actions: Vec<String>,
    /// The strictest mode of the rules that bear on it; `Shadow` where none does.
    pub mode: Mode,
}

impl Default for Decision {
    fn default() -> Self {
        Decision {
            verdict: Verdict::Allow,
            would: Verdict::Allow,
            retry_after: None,
            reason: String::new(),
            rules: Vec::new(),
            violations: Vec::new(),
            actions: Vec::new(),
            mode: Mode::Shadow,
        }
    }
}
