//! Actions and entries as JSON: objects with a fixed order of keys.

use serde_json::{Value, json};

use super::action::{Action, State};
use super::entry::{Act, Actor, Entry};
use super::target::Held;
use crate::time::{Duration, Timestamp};

fn moment(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| Value::String(at.to_string()))
}

fn actor(a: &Actor) -> Value {
    json!({ "kind": a.kind(), "name": a.name() })
}

/// An action as it stands. Where it was withheld, `why` says why and `covered_by` which action asks the same.
pub fn action_json(a: &Action) -> Value {
    let terms = &a.terms;
    let (why, covered_by) = match a.state {
        State::Withheld(held @ Held::Covered(by)) => (Some(held.word()), Some(by.to_string())),
        State::Withheld(held) => (Some(held.word()), None),
        _ => (None, None),
    };
    let from = match a.state {
        State::Shadow(from) | State::Delayed(from) => Some(from),
        _ => None,
    };
    json!({
        "id": a.id.to_string(),
        "state": a.state.word(),
        "why": why,
        "covered_by": covered_by,
        "violation": a.violation,
        "rule": terms.rule,
        "rule_hash": terms.rule_hash,
        "clause": terms.clause,
        "severity": terms.severity.word(),
        "mode": terms.mode.word(),
        "action": terms.written,
        "verdict": terms.verdict().word(),
        "asked": terms.asked.word(),
        "rate": terms.rate.map(|(calls, per)| json!({ "calls": calls, "per": per.to_string() })),
        "scope": terms.scope.word(),
        "members": a.members().collect::<Vec<_>>(),
        "released": a.released().collect::<Vec<_>>(),
        "reason": terms.reason,
        "proposed_at": a.proposed_at.to_string(),
        "from": moment(from),
        "taken_at": moment(a.taken_at),
        "until": moment(a.until),
        "delay": a.delay.map(|d: Duration| d.to_string()),
        "approvals_needed": terms.approvals,
        "approvals": a.approvals.iter().map(|p| json!({ "by": p.by, "at": p.at.to_string(), "reason": p.reason })).collect::<Vec<_>>(),
        "ended": a.ended.as_ref().map(|e| json!({ "by": actor(&e.by), "at": e.at.to_string(), "reason": e.reason })),
    })
}

/// An entry.
pub fn entry_json(e: &Entry) -> Value {
    let mut out = json!({
        "seq": e.seq,
        "at": e.at.to_string(),
        "by": actor(&e.actor),
        "action": e.action.to_string(),
        "act": e.act.word(),
        "until": moment(e.act.until()),
        "reason": e.reason,
    });
    let more = match &e.act {
        Act::Proposed(p) => Some((
            "proposed",
            json!({
                "violation": p.violation,
                "rule": p.terms.rule,
                "action": p.terms.written,
                "mode": p.terms.mode.word(),
                "scope": p.terms.scope.word(),
                "members": p.members,
                "review": p.review,
                "delay": p.delay.map(|d| d.to_string()),
                "withheld": p.held.map(Held::word),
            }),
        )),
        Act::MemberReleased { member } => Some(("member", json!(member))),
        Act::MembersAdded { members } => Some(("members", json!(members))),
        Act::Alerted(a) => Some((
            "alert",
            json!({
                "channel": a.channel,
                "violation": a.violation,
                "rule": a.rule,
                "severity": a.severity.word(),
                "accounts": a.n_accounts,
                "accounts_before": a.before,
                "not_before": a.not_before.to_string(),
            }),
        )),
        _ => None,
    };
    if let (Value::Object(parts), Some((key, value))) = (&mut out, more) {
        parts.insert(key.to_string(), value);
    }
    out
}
