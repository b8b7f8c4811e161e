//! What a rule does that has answered a call at arrival: the same as its finding would ask for, at once. A call that is refused
//! becomes no completion, and there may never be a finding; what the rule says is to happen for a time would never begin.

use super::entry::{ActionId, Entry};
use super::propose::{Asks, members};
use super::table::Table;
use super::target::Scope;
use crate::eval::finding::id;
use crate::hir::{Action, Confidence, Mode, Rule, Verb};
use crate::time::Timestamp;
use crate::violation::{Enforced, Evidence, Status, Violation};

/// A rule that has answered a call at arrival, and whose actions outlast the call.
#[derive(Debug, Clone, PartialEq)]
pub struct Strike {
    /// What stands in place of its finding: rule, clauses, the call's time, account, key and organisation. Its id is that of the finding
    /// where that is known at arrival; otherwise no violation has it, for the call may never become one.
    violation: Violation,
    /// The rule's actions.
    actions: Vec<Action>,
}

/// Whether an action is done at arrival: nobody is asked, nothing is waited for, nobody is told.
pub fn is_at_arrival(action: &Action) -> bool {
    !action.after_review && action.delayed.is_none() && !matches!(action.verb, Verb::Alert(_))
}

impl Strike {
    /// A rule that has answered the call of an event: its id and time, and the violation where its id is known. `whom` are its account, key
    /// and organisation.
    pub fn new(
        rule: &Rule,
        rule_hash: &str,
        clauses: Vec<Enforced>,
        (event, at, violation): (&str, Timestamp, Option<&str>),
        whom: [Option<&str>; 3],
    ) -> Strike {
        let [account, key, org] = whom;
        let id = violation.map_or_else(|| id(&["at arrival", &rule.name, rule_hash, event]), str::to_string);
        let part = |name: &str, value: Option<&str>| value.map(|v| (name.to_string(), v.to_string()));
        let violation = Violation {
            id,
            rule: rule.name.clone(),
            rule_hash: rule_hash.to_string(),
            clauses,
            severity: rule.severity,
            confidence: Confidence::Low,
            mode: rule.mode,
            status: Status::Closed,
            opened_at: at,
            updated_at: at,
            closed_at: Some(at),
            merged_into: None,
            group: [part("api_key_id", key), part("org", org)].into_iter().flatten().collect(),
            window: None,
            accounts: account.map(str::to_string).into_iter().collect(),
            values: Vec::new(),
            evidence: Evidence::default(),
            link: None,
            exceptions: Vec::new(),
            actions: Vec::new(),
            because: format!("a call was answered at arrival, event {event}"),
            mistaken_for: Vec::new(),
        };
        Strike { violation, actions: rule.actions.clone() }
    }
}

impl Table {
    /// The entries that follow from a rule that has answered a call; none where the same holds already of whom it bears on.
    pub fn strike(&self, strike: &Strike, now: Timestamp) -> Vec<Entry> {
        let v = &strike.violation;
        let mut entries = Vec::new();
        for (number, action) in (0u16..).zip(&strike.actions).filter(|(_, action)| is_at_arrival(action)) {
            let asks = Asks { v, action, number, id: ActionId::new(&v.id, number), held: None, delay: None, now };
            let terms = asks.terms(self.options.approvals);
            let members = members(v, terms.scope);
            let of = if terms.scope == Scope::Group { Scope::Account } else { terms.scope };
            let spared = self.spared.get(&v.rule);
            let is_spared = |m: &String| spared.is_some_and(|s| s.contains(&(of, m.clone())));
            if terms.mode == Mode::Shadow || members.iter().all(is_spared) {
                continue;
            }
            if self.covering(&asks, &terms, &members).is_none() {
                self.act(&asks, &mut entries);
            }
        }
        entries
    }
}
