//! Who is borne on by what: the question of a call at arrival.

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::table::Table;
use super::target::Scope;
use crate::decision::Verdict;
use crate::hir::Mode;
use crate::time::{Duration, Timestamp};

/// Most actions that are told of one caller; the strictest are.
pub const STANDING_MAX: usize = 32;

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

/// One action in force that bears on a caller, or one of a rule in shadow mode that would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Its id.
    pub action: String,
    /// What takes effect: at most a flag in mode `flag`, [`Verdict::Allow`] in mode `shadow`.
    pub verdict: Verdict,
    /// What the rule asks for, whatever its mode.
    pub would: Verdict,
    /// Mode of the rule.
    pub mode: Mode,
    /// Whom it bears on: calls of a throttled group count together, those of accounts, keys and organisations each by itself.
    pub scope: Scope,
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

impl Table {
    /// The actions that bear on a caller and have not ended: by account, key and organisation.
    fn bearing(&self, caller: Caller<'_>) -> impl Iterator<Item = &Action> {
        let each = [(&self.accounts, caller.account), (&self.keys, caller.key), (&self.orgs, caller.org)];
        let ids = each.into_iter().filter_map(|(index, name)| index.get(name?));
        ids.flatten().filter_map(|id| self.actions.get(id))
    }

    /// Those of one scope that bear on a member and have not ended.
    pub(super) fn bearing_on(&self, scope: Scope, member: &str) -> impl Iterator<Item = &Action> {
        let caller = match scope {
            Scope::Account | Scope::Group => Caller { account: Some(member), ..Caller::default() },
            Scope::Key => Caller { key: Some(member), ..Caller::default() },
            Scope::Org => Caller { org: Some(member), ..Caller::default() },
        };
        self.bearing(caller)
    }

    /// Whether anything at all could be said of a caller: three questions to hash maps, and nothing is allocated.
    pub fn is_known(&self, caller: Caller<'_>) -> bool {
        self.bearing(caller).next().is_some()
    }

    /// What is in force for a caller, the strictest first, at most [`STANDING_MAX`]; what rules in shadow mode would have in
    /// force too, with [`Verdict::Allow`]. Of a caller on whom nothing bears nothing is allocated.
    pub fn standing(&self, caller: Caller<'_>, now: Timestamp) -> Vec<InForce> {
        let mut found: Vec<(&Action, Verdict)> =
            self.bearing(caller).filter_map(|a| Some((a, a.effect(now)?))).collect();
        found.sort_unstable_by(|(a, x), (b, y)| (y, b.terms.asked, a.id).cmp(&(x, a.terms.asked, b.id)));
        found.truncate(STANDING_MAX);
        found
            .into_iter()
            .map(|(a, verdict)| InForce {
                action: a.id.to_string(),
                verdict,
                would: a.terms.asked,
                mode: a.terms.mode,
                scope: a.terms.scope,
                rate: a.terms.rate,
                violation: a.violation.to_string(),
                rule: a.terms.rule.clone(),
                reason: a.terms.reason.clone(),
                until: a.until,
            })
            .collect()
    }
}
