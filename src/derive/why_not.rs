//! How near a rule came for an account: the best of all judged windows of its groups, or of its events.

use std::collections::BTreeSet;

use super::reach::{asks_series, is_linked};
use super::reasons::{Conditions, Reason, Reasons, missing, note};
use super::silent::{mirrored, number};
use super::variant::{bound, parts};
use super::{Case, DeriveError, Looking};
use crate::eval::Look;
use crate::event::FieldId;
use crate::hir::{Const, Expr, ExprKind, Shape, Windowed};
use crate::time::Timestamp;
use crate::value::{Truth, Type, Value};
use crate::violation::{Scalar, Status};

/// What a rule made of an account.
#[derive(Debug, Default)]
pub struct WhyNot {
    /// Why its events counted or not.
    pub events: Reasons,
    /// Ids of the rule's violations that name it.
    pub found: Vec<String>,
    /// Ids of what would name it without an exception.
    pub exempted: Vec<String>,
    /// Where the rule came nearest; `None` where it looked at nothing of the account's.
    pub nearest: Option<Nearest>,
    /// How many windows of its groups were judged, or events looked at.
    pub judged: u64,
    /// Whether its groups are those of a link, of which nothing is said but why the events count.
    pub linked: bool,
}

/// How far a window is from holding, the least first: conditions that do not hold, the greatest shortfall of one, its end, its
/// group.
type Distance = (usize, u64, Timestamp, Vec<String>);

/// Where a rule came nearest.
#[derive(Debug, Default)]
pub struct Nearest {
    /// The parts of the group.
    pub group: Vec<String>,
    /// The window, or the moment of the event twice.
    pub window: (Timestamp, Timestamp),
    /// The event, of a rule on single events.
    pub event: Option<String>,
    /// Whether the whole condition held.
    pub holds: bool,
    /// Each part of the condition.
    pub conditions: Vec<Condition>,
}

/// A part of a condition where the rule came nearest.
#[derive(Debug)]
pub struct Condition {
    /// As written.
    pub written: String,
    /// Whether it held; `None` is unknown.
    pub truth: Option<bool>,
    /// What it was compared with a constant, as text; `None` for other conditions and where it is unknown.
    pub value: Option<String>,
    /// What it was compared with: operator and constant.
    pub bound: Option<String>,
    /// Where it is unknown, the fields that were missing.
    pub missing: Vec<String>,
}

impl Case<'_> {
    /// Why the rule found nothing of an account, or how near it came.
    ///
    /// # Errors
    /// Where a variant of the rule cannot be run.
    pub fn why_not(&self, account: &str) -> Result<WhyNot, DeriveError> {
        let mut conditions = Conditions::new(self)?;
        let of_account = |value: Value<'_>| matches!(value, Value::Text(a) if a == account);
        let own: Vec<usize> = (0..self.events.len())
            .filter(|i| self.events.get(*i).is_some_and(|r| of_account(r.event.get(FieldId::ACCOUNT))))
            .collect();
        let mut why = WhyNot::default();
        let (mut groups, mut looked_at) = (BTreeSet::new(), Vec::new());
        for i in &own {
            let Some(recalled) = self.events.get(*i) else { continue };
            let reason = conditions.reason(*i, None);
            if matches!(reason, Reason::Counted | Reason::Excepted(_) | Reason::NotCounted | Reason::Memory(_)) {
                groups.extend(conditions.groups(recalled).into_iter().flatten());
            }
            if self.rule.kinds.contains(&recalled.event.kind()) {
                looked_at.push(*i);
            }
            note(&mut why.events, reason, recalled.event.id());
        }
        let names = |v: &&crate::violation::Violation| v.accounts.iter().any(|a| a == account);
        for v in self.found_at_end.iter().filter(names) {
            match v.status {
                Status::Exempted => why.exempted.push(v.id.clone()),
                Status::Open | Status::Closed | Status::Merged => why.found.push(v.id.clone()),
            }
        }
        match &self.rule.shape {
            Shape::Windowed(w) => self.nearest_window(w, &groups, &mut conditions, &mut why)?,
            Shape::Single => self.nearest_event(&looked_at, &mut conditions, &mut why),
            Shape::Sequence(_) => {}
        }
        Ok(why)
    }

    fn nearest_window(
        &self,
        w: &Windowed,
        groups: &BTreeSet<Vec<String>>,
        conditions: &mut Conditions<'_, '_>,
        why: &mut WhyNot,
    ) -> Result<(), DeriveError> {
        why.linked = is_linked(self.rule);
        if groups.is_empty() || why.linked {
            return Ok(());
        }
        let within: Vec<bool> = self
            .events
            .iter()
            .zip(&self.looked_at)
            .map(|(r, looked_at)| {
                *looked_at && conditions.groups(r).is_some_and(|own| own.iter().any(|g| groups.contains(g)))
            })
            .collect();
        let passing =
            if w.merges() && !asks_series(self.rule) { within.clone() } else { self.scope(groups, conditions) };
        let (_, looks) =
            self.run(self.rule.clone(), Looking::OnAll(groups), |i, _| passing.get(i).copied().unwrap_or(false))?;
        let looks = looks.into_iter().filter(|look| look.events > 0);
        let parts = parts(&w.when);
        let mut best: Option<(Distance, Look)> = None;
        for look in looks {
            why.judged += 1;
            let far = look.parts.iter().zip(parts).filter(|(p, _)| p.truth != Truth::True);
            let shortfall = far.clone().map(|(p, part)| shortfall(part, p.value.as_ref())).max().unwrap_or(0);
            let score = (far.count(), shortfall, look.end, look.group.clone());
            if best.as_ref().is_none_or(|(known, _)| score < *known) {
                best = Some((score, look));
            }
        }
        why.nearest = best.map(|(_, look)| {
            let inside: Vec<usize> = (0..self.events.len())
                .filter(|i| within.get(*i).copied().unwrap_or(false))
                .filter(|i| self.events.get(*i).is_some_and(|r| look.start <= r.event.ts() && r.event.ts() < look.end))
                .collect();
            let told = look.parts.iter().zip(parts).map(|(p, part)| {
                let missing = match p.truth {
                    Truth::Unknown => self.missing_in(w, part, &inside),
                    _ => Vec::new(),
                };
                condition(self.written(part.span), part, p.truth, p.value.as_ref(), missing)
            });
            Nearest {
                window: (look.start, look.end),
                event: None,
                holds: look.holds,
                conditions: told.collect(),
                group: look.group,
            }
        });
        Ok(())
    }

    /// Fields that the aggregates of a condition read and that events of a window do not have.
    fn missing_in(&self, w: &Windowed, part: &Expr, inside: &[usize]) -> Vec<String> {
        let mut found = BTreeSet::new();
        part.walk(&mut |e| {
            let ExprKind::Aggregate(i) = e.kind else { return };
            let Some(aggregate) = w.aggregates.get(usize::from(i)) else { return };
            for recalled in inside.iter().filter_map(|i| self.events.get(*i)) {
                let read = aggregate.function.arguments().iter().chain(&aggregate.filter);
                found.extend(read.flat_map(|e| missing(self, e, recalled)));
            }
        });
        found.into_iter().collect()
    }

    fn nearest_event(&self, own: &[usize], conditions: &mut Conditions<'_, '_>, why: &mut WhyNot) {
        let mut best: Option<(usize, Nearest)> = None;
        for recalled in own.iter().filter_map(|i| self.events.get(*i)) {
            why.judged += 1;
            let parts = conditions.filter(recalled);
            let far = parts.iter().filter(|(_, truth, _)| *truth != Some(true)).count();
            if best.as_ref().is_some_and(|(known, _)| *known <= far) {
                continue;
            }
            let ts = recalled.event.ts();
            let told = parts.into_iter().map(|(written, truth, missing)| Condition {
                written,
                truth,
                value: None,
                bound: None,
                missing,
            });
            let event = Some(recalled.event.id().to_string());
            let conditions = told.collect();
            best = Some((far, Nearest { group: Vec::new(), window: (ts, ts), event, holds: far == 0, conditions }));
        }
        why.nearest = best.map(|(_, nearest)| nearest);
    }
}

fn condition(written: String, part: &Expr, truth: Truth, value: Option<&Scalar>, missing: Vec<String>) -> Condition {
    let told = bound(part).zip(match &part.kind {
        ExprKind::Compare(op, ..) => Some(*op),
        _ => None,
    });
    let bound = told.as_ref().map(|((of, constant, flipped), op)| {
        let op = if *flipped { mirrored(*op) } else { *op };
        format!("{} {}", op.symbol(), text(&of.ty, constant))
    });
    let ty = told.as_ref().map(|((of, ..), _)| of.ty.clone());
    let value = value.zip(ty).map(|(value, ty)| match value {
        Scalar::Num(n) => number(&ty, *n),
        Scalar::Bool(b) => b.to_string(),
        Scalar::Text(t) => t.clone(),
    });
    let truth = match truth {
        Truth::True => Some(true),
        Truth::False => Some(false),
        Truth::Unknown => None,
    };
    Condition { written, truth, value, bound, missing }
}

fn text(ty: &Type, c: &Const) -> String {
    match c {
        Const::Num(n) => number(ty, *n),
        Const::Bool(b) => b.to_string(),
        Const::Text(t) => format!("{t:?}"),
        Const::Ip(ip) => ip.to_string(),
        Const::Net(net) => net.to_string(),
    }
}

/// How far a comparison is from holding, in millionths of its bound; the most where that cannot be said.
fn shortfall(part: &Expr, value: Option<&Scalar>) -> u64 {
    match (bound(part), value) {
        (Some((_, Const::Num(bound), _)), Some(Scalar::Num(n))) => {
            let far = u128::from(n.abs_diff(*bound)) * 1_000_000 / u128::from(bound.unsigned_abs().max(1));
            u64::try_from(far).unwrap_or(u64::MAX)
        }
        _ => u64::MAX,
    }
}
