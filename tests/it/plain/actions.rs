//! What the findings of a rule propose, told from all of them at once.

use std::collections::BTreeMap;

use fineprint::eval::Secret;
use fineprint::hir::{Action, Rule, Verb};
use fineprint::time::DAY_NS;
use fineprint::violation::{Proposal, Status, Violation, Withheld};
use sha2::{Digest, Sha256};

/// Fills in the actions of a rule's findings, each with whether its event came late.
pub fn decide(rule: &Rule, found: &mut [(Violation, bool)], secret: Option<&Secret>) {
    let mut order: Vec<&mut (Violation, bool)> = found.iter_mut().collect();
    order.sort_by(|(a, _), (b, _)| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
    let mut acted: BTreeMap<i64, u64> = BTreeMap::new();
    for (v, late) in order {
        let day = acted.entry(v.opened_at.0.div_euclid(DAY_NS)).or_default();
        let withheld = if v.status == Status::Exempted {
            Some(Withheld::Exempted)
        } else if rule.rollout.is_some_and(|share| drawn(rule, v) >= share) {
            Some(Withheld::Rollout)
        } else if rule.budget.is_some() && *late {
            Some(Withheld::Late)
        } else if rule.budget.is_some_and(|budget| *day >= budget) {
            Some(Withheld::Budget)
        } else {
            *day += 1;
            None
        };
        v.actions = rule
            .actions
            .iter()
            .map(|a| Proposal {
                action: written(a),
                withheld: withheld.or((a.delayed.is_some() && secret.is_none()).then_some(Withheld::NoSecret)),
                delay: a.delayed.zip(secret).map(|(most, secret)| secret.delay(&v.id, most)),
            })
            .collect();
    }
}

/// Where in a million the group stands.
fn drawn(rule: &Rule, v: &Violation) -> i64 {
    let own = [("".to_string(), v.id.clone())];
    let group = if v.group.is_empty() { &own[..] } else { &v.group[..] };
    let mut bytes = Vec::new();
    for part in ["fineprint rollout", &rule.name].into_iter().chain(group.iter().map(|(_, value)| value.as_str())) {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    let hash = Sha256::digest(bytes);
    (u64::from_be_bytes(hash[..8].try_into().unwrap()) % 1_000_000) as i64
}

/// An action as it is written in a rule.
fn written(action: &Action) -> String {
    let review = if action.after_review { "after review: " } else { "" };
    let delayed = action.delayed.map_or(String::new(), |d| format!("delayed by up to {d}: "));
    let scope = if action.scope.is_empty() { String::new() } else { format!(" {}", action.scope) };
    let verb = match &action.verb {
        Verb::Alert(channel) => format!("alert \"{channel}\""),
        Verb::Flag => format!("flag{scope}"),
        Verb::Throttle(n, per) => format!("throttle{scope} to {n} per {per}"),
        Verb::Challenge => format!("challenge{scope}"),
        Verb::Block => format!("block{scope}"),
    };
    let duration = action.duration.map_or(String::new(), |d| format!(" for {d}"));
    format!("{review}{delayed}{verb}{duration}")
}
