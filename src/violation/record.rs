//! A violation as JSON: one object with a fixed order of keys, no wall clock, no row ids.

use serde_json::{Map, Value, json};

use super::{LinkEvidence, Observed, Scalar, Violation, Withheld};
use crate::value::{MICROS, Type, write_number};

/// A violation with its export form.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The id.
    pub id: String,
    /// The JSON object, serialised.
    pub json: String,
}

impl From<&Violation> for Record {
    fn from(v: &Violation) -> Self {
        Record { id: v.id.clone(), json: to_json(v).to_string() }
    }
}

/// The export form of a violation.
pub fn to_json(v: &Violation) -> Value {
    let first = v.clauses.first();
    let group: Map<String, Value> = v.group.iter().map(|(n, x)| (n.clone(), Value::String(x.clone()))).collect();
    let values: Map<String, Value> = v.values.iter().map(|o| (o.name.clone(), observed(o))).collect();
    let mut out = json!({
        "id": v.id,
        "rule": v.rule,
        "rule_hash": v.rule_hash,
        "policy": first.map(|c| &c.policy),
        "clause": first.map(|c| &c.clause),
        "section": first.map(|c| &c.section),
        "clauses": v.clauses.iter().map(|c| json!({
            "policy": c.policy,
            "version": c.version,
            "clause": c.clause,
            "section": c.section,
            "says": c.says,
            "in_force_from": c.from.to_string(),
            "in_force": c.in_force,
        })).collect::<Vec<_>>(),
        "severity": v.severity.word(),
        "confidence": v.confidence.word(),
        "mode": v.mode.word(),
        "status": v.status.word(),
        "opened_at": v.opened_at.to_string(),
        "updated_at": v.updated_at.to_string(),
        "closed_at": v.closed_at.map(|t| t.to_string()),
        "merged_into": v.merged_into,
        "group": group,
        "window": v.window.map(|(start, end)| json!({ "start": start.to_string(), "end": end.to_string() })),
        "accounts": v.accounts,
        "values": values,
        "because": v.because,
        "evidence": {
            "count": v.evidence.count,
            "root": v.evidence.root,
            "complete": v.evidence.complete,
            "forgotten": v.evidence.forgotten,
            "undecided": v.evidence.undecided,
            "memory_cut_since": v.evidence.memory_cut_since.map(|t| t.to_string()),
            "state_cut_at": v.evidence.state_cut_at.map(|t| t.to_string()),
            "events": v.evidence.events.iter().map(|e| json!({
                "id": e.id, "ts": e.ts.to_string(), "role": e.role.word(),
            })).collect::<Vec<_>>(),
        },
        "exceptions": v.exceptions.iter().map(|e| json!({
            "because": e.because, "owner": e.owner, "evidence": e.evidence, "took_out": e.took_out,
        })).collect::<Vec<_>>(),
        "actions": v.actions.iter().map(|p| json!({
            "action": p.action,
            "state": if p.withheld.is_some() { "withheld" } else { "proposed" },
            "why": p.withheld.map(Withheld::word),
            "delay": p.delay.map(|d| d.to_string()),
        })).collect::<Vec<_>>(),
        "mistaken_for": v.mistaken_for,
    });
    if let (Value::Object(out), Some(link)) = (&mut out, &v.link) {
        let into = link.merged_into.as_ref();
        out.insert("link".to_string(), linked(link));
        out.insert("merged_into".to_string(), json!(into.and_then(|m| m.violation.as_ref())));
        out.insert("merged_into_group".to_string(), json!(into.map(|m| &m.group)));
    }
    out
}

fn linked(link: &LinkEvidence) -> Value {
    json!({
        "name": link.name,
        "needs": link.needs,
        "edge_count": link.n_edges,
        "complete": link.edges.len() as u64 == link.n_edges,
        "cut_since": link.cut_since.map(|t| t.to_string()),
        "edges": link.edges.iter().map(|e| json!({
            "family": e.family,
            "value": e.value,
            "account": e.account,
            "popularity": e.popularity,
            "uses": e.uses,
            "first_seen": e.first_seen.to_string(),
            "last_seen": e.last_seen.to_string(),
        })).collect::<Vec<_>>(),
    })
}

fn observed(o: &Observed) -> Value {
    let value = |s: &Option<Scalar>| s.as_ref().map_or(Value::Null, |s| scalar(&o.ty, s));
    let mut out = json!({
        "crossing": value(&o.crossing),
        "peak": value(&o.peak),
        "last": value(&o.last),
        "threshold": o.threshold.as_ref().map(|(op, s)| json!({ "operator": op, "value": scalar(&o.ty, s) })),
        "exact": o.estimates.is_empty(),
    });
    if let (Value::Object(out), false) = (&mut out, o.estimates.is_empty()) {
        let each = o.estimates.iter().map(|e| json!({ "aggregate": e.aggregate, "error": e.bound.to_string() }));
        out.insert("estimates".to_string(), each.collect());
    }
    out
}

/// Whole numbers stay numbers; values with a unit become text as an author writes them, so that no reader guesses the unit.
fn scalar(ty: &Type, s: &Scalar) -> Value {
    match s {
        Scalar::Bool(b) => Value::Bool(*b),
        Scalar::Text(t) => Value::String(t.clone()),
        Scalar::Num(n) => match ty {
            Type::Integer | Type::Tokens => json!(n),
            Type::Decimal if n % MICROS == 0 => json!(n / MICROS),
            _ => {
                let mut text = String::new();
                let _ = write_number(&mut text, ty, *n);
                Value::String(text)
            }
        },
    }
}
