//! What would have kept a finding silent: another bound, or the absence of one account.

use std::collections::{BTreeMap, BTreeSet};

use super::reach::is_linked;
use super::reasons::{Conditions, Reason, Reasons, note};
use super::variant::{bound, parts, with_part};
use super::{Case, DeriveError, Looking, accuses};
use crate::eval::{Look, Recalled};
use crate::event::FieldId;
use crate::hir::{Compare, Const, Expr, ExprKind, Shape, Windowed};
use crate::value::{Truth, Type, Value, write_number};
use crate::violation::{Scalar, Status, Violation};

/// Accounts whose absence is tried, those with the most events first.
pub const ACCOUNTS_TRIED_MAX: usize = 50;
/// Events that all such runs take in together: above it no further account is tried.
pub const EVENTS_RUN_MAX: usize = 5_000_000;

/// How much is tried to say without which account a finding would not be.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Accounts at most.
    pub accounts: usize,
    /// Events that all runs take in together, at most.
    pub events: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Effort { accounts: ACCOUNTS_TRIED_MAX, events: EVENTS_RUN_MAX }
    }
}

/// What would have kept a finding silent.
#[derive(Debug, Default)]
pub struct Silence {
    /// Per part of the condition.
    pub bounds: Vec<Bound>,
    /// Accounts without which there is no such finding.
    pub without: Without,
}

/// A part of the condition, and the nearest bound under which the finding is silent.
#[derive(Debug)]
pub struct Bound {
    /// As written.
    pub written: String,
    /// The comparison with the nearest bound that keeps it silent, as an author would write it; `None` where none does, and
    /// why.
    pub silent: Result<String, &'static str>,
    /// The value that was nearest to the bound while everything else held.
    pub reached: Option<String>,
}

/// Accounts whose events were left out, one at a time.
#[derive(Debug, Default)]
pub struct Without {
    /// Those without which there is no such finding.
    pub clears: Vec<String>,
    /// How many were tried.
    pub tried: usize,
    /// How many there are.
    pub of: usize,
}

impl Case<'_> {
    /// Which events between the beginning of a finding's first window and its last true step counted, and why others did
    /// not: those of its groups and of its accounts.
    ///
    /// # Errors
    /// Where a variant of the rule cannot be run.
    pub fn reasons(&self, v: &Violation) -> Result<Reasons, DeriveError> {
        let mut conditions = Conditions::new(self)?;
        let groups = self.groups_of(v, &mut conditions)?;
        let accounts: BTreeSet<&str> = v.accounts.iter().map(String::as_str).collect();
        let from = v.window.map_or(v.opened_at, |(start, _)| start);
        let mut reasons = Reasons::new();
        for (i, recalled) in self.events.iter().enumerate() {
            let ts = recalled.event.ts();
            let within =
                if v.window.is_some() { from <= ts && ts < v.updated_at } else { from <= ts && ts <= v.updated_at };
            let own = matches!(recalled.event.get(FieldId::ACCOUNT), Value::Text(a) if accounts.contains(a));
            if !within || !rule_looks(self, i, own, &groups, &mut conditions) {
                continue;
            }
            note(&mut reasons, conditions.reason(i, Some(&groups)), recalled.event.id());
        }
        if self.rule.asks_memory() {
            // What memory answered stands in the evidence alone.
            let counted = v.evidence.count;
            if let Some((n, _)) = reasons.iter_mut().find(|(r, _)| matches!(r, Reason::Memory(_))).map(|(_, n)| n) {
                *n = n.saturating_sub(counted);
            }
            reasons.insert(Reason::Counted, (counted, Vec::new()));
        }
        Ok(reasons)
    }

    /// What would have kept a finding silent.
    ///
    /// # Errors
    /// Where a variant of the rule cannot be run.
    pub fn silence(&self, v: &Violation, effort: Effort) -> Result<Silence, DeriveError> {
        let mut conditions = Conditions::new(self)?;
        let groups = self.groups_of(v, &mut conditions)?;
        let scope = self.scope(&groups, &mut conditions);
        let mut silence = Silence { without: self.without(v, &scope, effort)?, ..Silence::default() };
        if let Shape::Windowed(w) = &self.rule.shape {
            let (_, looks) =
                self.run(self.rule.clone(), Looking::On(&groups), |i, _| scope.get(i).copied().unwrap_or(false))?;
            for (i, part) in parts(&w.when).iter().enumerate() {
                silence.bounds.push(self.bound(v, (w, i, part), &looks, &scope)?);
            }
        }
        Ok(silence)
    }

    /// The groups of a finding: its own; of a merged one those of its events whose condition held while it did.
    fn groups_of(
        &self,
        v: &Violation,
        conditions: &mut Conditions<'_, '_>,
    ) -> Result<BTreeSet<Vec<String>>, DeriveError> {
        let own: Vec<String> = v.group.iter().map(|(_, value)| value.clone()).collect();
        if is_linked(self.rule) {
            // Of a link group what each of its accounts counted.
            return Ok(v.accounts.iter().map(|account| vec![account.clone()]).collect());
        }
        let mut groups = BTreeSet::from([own]);
        if matches!(&self.rule.shape, Shape::Windowed(w) if w.merges()) {
            let named: BTreeSet<&str> = v.evidence.events.iter().map(|e| e.id.as_str()).collect();
            let of_events = self.events.iter().filter(|r| named.contains(r.event.id()));
            let all: BTreeSet<Vec<String>> = of_events.filter_map(|r| conditions.groups(r)).flatten().collect();
            let (_, looks) = self.run(self.rule.clone(), Looking::On(&all), |_, _| true)?;
            let held = looks.into_iter().filter(|l| l.holds && v.opened_at <= l.end && l.end <= v.updated_at);
            let held: BTreeSet<Vec<String>> = held.map(|look| look.group).collect();
            // What is exempted held with the events that an exception takes out, and is not looked at.
            groups.extend(if held.is_empty() { all } else { held });
        }
        Ok(groups)
    }

    /// Whether such a finding is among those of another run: of the same group, or of a merged one of the same accounts, at a
    /// time at which this one held.
    fn still(&self, v: &Violation, found: &[Violation]) -> bool {
        // Neither fingerprint nor account that such a group is named by need be the same.
        let merges = is_linked(self.rule) || matches!(&self.rule.shape, Shape::Windowed(w) if w.merges());
        let same = |f: &Violation| {
            let alike = match v.status {
                Status::Exempted => f.status == Status::Exempted,
                Status::Merged => accuses(f) || f.status == Status::Merged,
                Status::Open | Status::Closed => accuses(f),
            };
            let group = match (merges, v.window.is_some() || !v.group.is_empty()) {
                (true, _) => f.accounts.iter().any(|a| v.accounts.binary_search(a).is_ok()),
                (false, true) => f.group == v.group,
                (false, false) => f.id == v.id,
            };
            alike && group && f.opened_at <= v.updated_at && f.updated_at >= v.opened_at
        };
        found.iter().any(same)
    }

    fn bound(
        &self,
        v: &Violation,
        (w, at, part): (&Windowed, usize, &Expr),
        looks: &[Look],
        scope: &[bool],
    ) -> Result<Bound, DeriveError> {
        let written = self.written(part.span);
        let none = |why| Ok(Bound { written: self.written(part.span), silent: Err(why), reached: None });
        let (Some((value, Const::Num(_), flipped)), ExprKind::Compare(op, ..)) = (bound(part), &part.kind) else {
            return none("it is no comparison of a number with a constant");
        };
        if is_linked(self.rule) {
            return none("windows of accounts that are counted together are not judged again one by one");
        }
        let op = if flipped { mirrored(*op) } else { *op };
        if !matches!(op, Compare::Greater | Compare::GreaterEqual | Compare::Less | Compare::LessEqual) {
            return none("it asks for one value, not for more or less than one");
        }
        let held = looks.iter().filter(|look| {
            let during = v.opened_at <= look.end && look.end <= v.updated_at;
            let others = look.parts.iter().enumerate().all(|(i, p)| i == at || p.truth == Truth::True);
            during && others
        });
        let reached = held.filter_map(|look| match look.parts.get(at)?.value {
            Some(Scalar::Num(n)) => Some(n),
            _ => None,
        });
        let rises = matches!(op, Compare::Greater | Compare::GreaterEqual);
        let Some(reached) = (if rises { reached.max() } else { reached.min() }) else {
            return none("it rests on events that an exception takes out, or on windows that are not judged again");
        };
        // Of whole numbers the next; of others nobody writes the next, but more or less than the value itself.
        let whole = matches!(value.ty, Type::Integer | Type::Tokens);
        let (op, nearest) = match op {
            Compare::GreaterEqual if whole => (op, reached.checked_add(1)),
            Compare::LessEqual if whole => (op, reached.checked_sub(1)),
            Compare::GreaterEqual | Compare::Greater => (Compare::Greater, Some(reached)),
            _ => (Compare::Less, Some(reached)),
        };
        let Some(nearest) = nearest else { return none("there is no such number") };
        let told = Some(number(&value.ty, reached));
        let constant = Expr { kind: ExprKind::Const(Const::Num(nearest)), ..constant(part, flipped, value) };
        let other = ExprKind::Compare(op, Box::new(value.clone()), Box::new(constant));
        let rule = with_part(self.rule, w, at, Expr { kind: other, ..part.clone() });
        let (found, _) = self.run(rule, Looking::Away, |i, _| scope.get(i).copied().unwrap_or(false))?;
        if self.still(v, &found) {
            let why = "other groups or the same at another time still make such a finding";
            return Ok(Bound { written, silent: Err(why), reached: told });
        }
        let value_text = self.written(value.span);
        let silent = format!("{value_text} {} {}", op.symbol(), number(&value.ty, nearest));
        Ok(Bound { written, silent: Ok(silent), reached: told })
    }

    fn without(&self, v: &Violation, scope: &[bool], effort: Effort) -> Result<Without, DeriveError> {
        let mut events: BTreeMap<&str, usize> = v.accounts.iter().map(|a| (a.as_str(), 0)).collect();
        for (recalled, _) in self.events.iter().zip(scope).filter(|(_, within)| **within) {
            if let Value::Text(account) = recalled.event.get(FieldId::ACCOUNT)
                && let Some(n) = events.get_mut(account)
            {
                *n += 1;
            }
        }
        let mut order: Vec<(&str, usize)> = events.into_iter().collect();
        order.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
        let mut without = Without { of: order.len(), ..Without::default() };
        let each = scope.iter().filter(|within| **within).count().max(1);
        let most = effort.accounts.min(effort.events / each);
        for (account, _) in order.into_iter().take(most) {
            let passes = |i: usize, r: &Recalled| {
                let own = matches!(r.event.get(FieldId::ACCOUNT), Value::Text(a) if a == account);
                !own && scope.get(i).copied().unwrap_or(false)
            };
            let (found, _) = self.run(self.rule.clone(), Looking::Away, passes)?;
            without.tried += 1;
            if !self.still(v, &found) {
                without.clears.push(account.to_string());
            }
        }
        without.clears.sort();
        Ok(without)
    }
}

/// Whether an event is one of those that a finding is explained by.
fn rule_looks(
    case: &Case<'_>,
    at: usize,
    own: bool,
    groups: &BTreeSet<Vec<String>>,
    conditions: &mut Conditions<'_, '_>,
) -> bool {
    if own {
        return true;
    }
    let Some(recalled) = case.events.get(at) else { return false };
    let windowed = matches!(case.rule.shape, Shape::Windowed(_));
    windowed && conditions.groups(recalled).is_some_and(|own| own.iter().any(|group| groups.contains(group)))
}

/// The constant of a comparison.
fn constant(part: &Expr, flipped: bool, value: &Expr) -> Expr {
    match &part.kind {
        ExprKind::Compare(_, a, b) => if flipped { a.as_ref() } else { b.as_ref() }.clone(),
        _ => value.clone(),
    }
}

/// The comparison with its sides exchanged.
pub(super) fn mirrored(op: Compare) -> Compare {
    match op {
        Compare::Less => Compare::Greater,
        Compare::LessEqual => Compare::GreaterEqual,
        Compare::Greater => Compare::Less,
        Compare::GreaterEqual => Compare::LessEqual,
        same => same,
    }
}

/// A number of a type as an author writes it.
pub(super) fn number(ty: &Type, n: i64) -> String {
    let mut text = String::new();
    let _ = write_number(&mut text, ty, n);
    text
}
