//! What a finding asks for, as entries.

use super::entry::{Act, ActionId, Actor, Alert, Entry, Proposed, cut};
use super::table::Table;
use super::target::{Held, Scope, Terms};
use crate::decision::Verdict;
use crate::eval::action_text;
use crate::hir::{Action, Mode, Verb};
use crate::time::{Duration, Timestamp};
use crate::violation::{Enforced, Status, Violation};

/// What a caller is told of a clause that a rule of ours enforces: document, section, and what it says in our words. Never a
/// value, a threshold, a group or another account.
pub fn public_reason(clause: &Enforced) -> String {
    let section = if clause.section.is_empty() { String::new() } else { format!(", section {}", clause.section) };
    format!("{}{section}: {}", clause.policy, clause.says)
}

impl Table {
    /// The entries that follow from a finding, as it was handed out; none where all was said before. `actions` are those of the
    /// rule that found it, `now` is the caller's clock, which is that of every end.
    ///
    /// Mode `enforce` takes effect; mode `flag` does as `enforce` does and is at most a flag; mode `shadow` is recorded. What is
    /// withheld is recorded with why. Alerts come as entries too ([`Entry::alert`]), in modes `flag` and `enforce`: once for
    /// each violation and channel, and again each time its accounts have at least doubled.
    pub fn propose(&self, v: &Violation, actions: &[Action], now: Timestamp) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (number, (action, proposal)) in (0u16..).zip(actions.iter().zip(&v.actions)) {
            let id = ActionId::new(&v.id, number);
            let mut held = proposal.withheld.map(Held::from);
            if proposal.action != action_text(action) {
                held = Some(Held::RuleChanged);
            }
            let asks = Asks { v, action, number, id, held, delay: proposal.delay, now };
            match &action.verb {
                Verb::Alert(channel) if !action.after_review || held.is_some() => {
                    entries.extend(self.alert(&asks, channel));
                }
                _ => self.act(&asks, &mut entries),
            }
        }
        entries
    }

    fn alert(&self, asks: &Asks<'_>, channel: &str) -> Option<Entry> {
        let v = asks.v;
        // The record of the violation says why; a channel is nothing that takes effect.
        if asks.held.is_some() || v.mode == Mode::Shadow || v.status == Status::Merged {
            return None;
        }
        let n_accounts = v.accounts.len() as u64;
        let before = self.alerted.get(&asks.id).copied();
        if before.is_some_and(|told| n_accounts < told.saturating_mul(2).max(1)) {
            return None;
        }
        let alert = Alert {
            channel: channel.to_string(),
            violation: v.id.clone(),
            rule: v.rule.clone(),
            severity: v.severity,
            n_accounts,
            before,
            not_before: asks.now.saturating_add(asks.delay.unwrap_or_default()),
        };
        Some(asks.entry(Actor::Rule(v.rule.clone()), Act::Alerted(Box::new(alert)), String::new()))
    }

    pub(super) fn act(&self, asks: &Asks<'_>, entries: &mut Vec<Entry>) {
        let v = asks.v;
        let terms = asks.terms(self.options.approvals);
        let (named, mut members) = (members(v, terms.scope), Vec::new());
        if let Some(spared) = self.spared.get(&v.rule) {
            let of = terms.scope.of_members();
            members.extend(named.iter().filter(|m| !spared.contains(&(of, m.to_string()))).cloned());
        } else {
            members.clone_from(&named);
        }
        let rule = || Actor::Rule(v.rule.clone());
        if let Some(known) = self.get(asks.id) {
            let joins = |m: &String| !known.bears_on(m) && !known.is_released(m);
            let added: Vec<String> = members.into_iter().filter(joins).collect();
            if !known.state.is_over() && !added.is_empty() {
                entries.push(asks.entry(rule(), Act::MembersAdded { members: added }, "the finding names more".into()));
            }
            return;
        }
        if self.knows(asks.id) {
            return;
        }
        let is_stale =
            terms.verdict() > Verdict::Flag && v.updated_at < asks.now.saturating_sub(self.options.stale_after);
        let held = match asks.held {
            Some(held) => Some(held),
            None if v.status == Status::Merged => Some(Held::Merged),
            None if matches!(asks.action.verb, Verb::Alert(_)) => Some(Held::AlertAfterReview),
            None if named.is_empty() => Some(Held::NoTarget),
            None if members.is_empty() => Some(Held::Released),
            None => self.covering(asks, &terms, &members).map(Held::Covered),
        };
        let review = asks.action.after_review || is_stale;
        let is_shadow = terms.mode == Mode::Shadow;
        let duration = terms.duration;
        let violation = v.id.clone();
        let proposed = Proposed { violation, terms, members, review, delay: asks.delay, held };
        entries.push(asks.entry(rule(), Act::Proposed(Box::new(proposed)), cut(&v.because)));
        if held.is_some() || is_shadow {
            return;
        }
        let from = asks.now.saturating_add(asks.delay.unwrap_or_default());
        let (act, reason) = match (review, asks.delay) {
            (true, _) if asks.action.after_review => (Act::AwaitingReview, "the rule asks for a review".to_string()),
            (true, _) => {
                let why = format!("it was last true at {}, more than {} ago", v.updated_at, self.options.stale_after);
                (Act::AwaitingReview, why)
            }
            (false, Some(delay)) => (Act::Delayed { until: from }, format!("by {delay}")),
            (false, None) => (Act::Taken { until: duration.map(|d| from.saturating_add(d)) }, String::new()),
        };
        entries.push(asks.entry(Actor::Fineprint, act, reason));
    }

    /// The action that asks the same of all of them, where one holds or waits. A group that may still grow is not covered.
    pub(super) fn covering(&self, asks: &Asks<'_>, terms: &Terms, members: &[String]) -> Option<ActionId> {
        if terms.scope == Scope::Group && asks.v.status == Status::Open {
            return None;
        }
        let alike = |t: &Terms| {
            (&t.rule, t.mode, t.asked, t.rate, t.scope, t.duration)
                == (&terms.rule, terms.mode, terms.asked, terms.rate, terms.scope, terms.duration)
        };
        let mut known = self.bearing_on(terms.scope, members.first()?);
        let covers = known.find(|a| {
            alike(&a.terms) && a.until.is_none_or(|until| asks.now < until) && members.iter().all(|m| a.bears_on(m))
        });
        covers.map(|a| a.id)
    }
}

/// One action of a finding.
pub(super) struct Asks<'a> {
    pub(super) v: &'a Violation,
    pub(super) action: &'a Action,
    pub(super) number: u16,
    pub(super) id: ActionId,
    pub(super) held: Option<Held>,
    pub(super) delay: Option<Duration>,
    pub(super) now: Timestamp,
}

impl Asks<'_> {
    fn entry(&self, actor: Actor, act: Act, reason: String) -> Entry {
        Entry { seq: 0, at: self.now, actor, action: self.id, act, reason }
    }

    pub(super) fn terms(&self, approvals: u8) -> Terms {
        let (v, action) = (self.v, self.action);
        let clause = v.clauses.first();
        let (asked, rate) = match action.verb {
            Verb::Alert(_) => (Verdict::Allow, None),
            Verb::Flag => (Verdict::Flag, None),
            Verb::Challenge => (Verdict::Challenge, None),
            Verb::Throttle(calls, per) => (Verdict::Throttle, Some((calls, per))),
            Verb::Block => (Verdict::Block, None),
        };
        Terms {
            rule: v.rule.clone(),
            rule_hash: v.rule_hash.clone(),
            clause: clause.map(|c| format!("{}.{}", c.policy, c.clause)).unwrap_or_default(),
            severity: v.severity,
            mode: v.mode,
            number: self.number,
            written: action_text(action),
            asked,
            rate,
            scope: Scope::of(action.scope),
            duration: action.duration,
            approvals: approvals.max(1),
            reason: clause.map(public_reason).unwrap_or_default(),
        }
    }
}

/// Whom an action of a finding bears on, sorted.
pub(super) fn members(v: &Violation, scope: Scope) -> Vec<String> {
    let part = |names: &[&str]| -> Vec<String> {
        v.group
            .iter()
            .filter(|(name, value)| names.contains(&name.as_str()) && !value.is_empty())
            .map(|(_, value)| value.clone())
            .collect()
    };
    let mut members = match scope {
        Scope::Account | Scope::Group => v.accounts.clone(),
        Scope::Key => part(&["api_key_id"]),
        Scope::Org => part(&["org"]),
    };
    members.sort_unstable();
    members.dedup();
    members
}
