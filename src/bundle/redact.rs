//! What of records, decisions and acts is shown to whom they are not shown whole. Made from parts that are known to be harmless,
//! never by taking parts out: what a later release adds to a record stays hidden.

use serde_json::{Map, Value, json};

use super::level::{Level, Part, Shown};
use super::names::Names;
use crate::time::{Duration, Timestamp};
use crate::value::parse_micros;

/// Redacts for one bundle.
pub(super) struct Redact<'a> {
    pub(super) level: Level,
    pub(super) names: &'a Names,
}

impl Redact<'_> {
    fn shows(&self, part: Part) -> bool {
        self.level.shows(part) == Shown::Whole
    }

    fn time(&self, of: &Value) -> Value {
        let at = of.as_str().and_then(Timestamp::parse_rfc3339);
        at.map_or(Value::Null, |at| Value::from(self.moment(at).to_string()))
    }

    fn moment(&self, at: Timestamp) -> Timestamp {
        match self.level.shows(Part::Times) {
            Shown::Whole => at,
            Shown::Pseudonym | Shown::Day | Shown::Hidden => {
                let (year, month, day) = at.date();
                Timestamp::from_date(year, month, day).unwrap_or(at)
            }
        }
    }

    fn named(&self, of: &Value, name: impl Fn(&str) -> String) -> Value {
        of.as_str().map_or(Value::Null, |text| Value::from(name(text)))
    }

    fn value(&self, of: &Value) -> Value {
        match of {
            Value::String(text) => Value::from(self.names.value(text)),
            Value::Null => Value::Null,
            other => Value::from(self.names.value(&other.to_string())),
        }
    }

    /// A number stays, also one with a unit; a text goes by a pseudonym.
    fn number(&self, of: &Value) -> Value {
        match of {
            Value::String(text) if is_quantity(text) => of.clone(),
            Value::String(_) => self.value(of),
            Value::Number(_) | Value::Bool(_) => of.clone(),
            _ => Value::Null,
        }
    }

    /// A violation.
    pub(super) fn violation(&self, r: &Value) -> Value {
        let part = |key: &str| r.get(key).cloned().unwrap_or(Value::Null);
        let of = |key: &str| r.get(key).unwrap_or(&Value::Null);
        let in_evidence = |key: &str| of("evidence").get(key).cloned().unwrap_or(Value::Null);
        let object = |key: &str| r.get(key).and_then(Value::as_object).into_iter().flatten();
        let list = |from: &Value, key: &str| from.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut accounts: Vec<String> =
            list(r, "accounts").iter().filter_map(Value::as_str).map(|a| self.names.value(a)).collect();
        accounts.sort();
        let clauses = list(r, "clauses");
        let clauses = clauses
            .iter()
            .map(|c| picked(c, &["policy", "version", "clause", "section", "says", "in_force_from", "in_force"]));
        let mut out = json!({
            "redacted": self.level.word(),
            "id": self.named(of("id"), |id| self.names.violation(id)),
            "rule": part("rule"),
            "rule_hash": self.shows(Part::Rules).then(|| part("rule_hash")),
            "policy": part("policy"),
            "clause": part("clause"),
            "section": part("section"),
            "clauses": clauses.collect::<Vec<_>>(),
            "severity": part("severity"),
            "confidence": part("confidence"),
            "mode": part("mode"),
            "status": part("status"),
            "opened_at": self.time(of("opened_at")),
            "updated_at": self.time(of("updated_at")),
            "closed_at": self.time(of("closed_at")),
            "merged_into": self.named(of("merged_into"), |id| self.names.violation(id)),
            "group": object("group").map(|(name, v)| (name.clone(), self.value(v))).collect::<Map<_, _>>(),
            "window": r.get("window").filter(|w| w.is_object()).map(|w| json!({
                "start": self.time(w.get("start").unwrap_or(&Value::Null)),
                "end": self.time(w.get("end").unwrap_or(&Value::Null)),
            })),
            "accounts": accounts,
            "values": object("values").map(|(name, v)| (name.clone(), self.observed(v))).collect::<Map<_, _>>(),
            "because": "",
            "evidence": {
                "count": in_evidence("count"),
                "complete": in_evidence("complete"),
                "forgotten": in_evidence("forgotten"),
                "undecided": in_evidence("undecided"),
                "memory_cut_since": self.time(&in_evidence("memory_cut_since")),
                "state_cut_at": self.time(&in_evidence("state_cut_at")),
                "events": list(of("evidence"), "events").iter().map(|e| json!({
                    "id": self.named(e.get("id").unwrap_or(&Value::Null), |id| self.names.event(id)),
                    "ts": self.time(e.get("ts").unwrap_or(&Value::Null)),
                    "role": e.get("role"),
                })).collect::<Vec<_>>(),
            },
            "exceptions": list(r, "exceptions").iter().map(|e| picked(e, &["took_out"])).collect::<Vec<_>>(),
            "actions": list(r, "actions").iter().map(|a| picked(a, &["action", "state", "why", "delay"])).collect::<Vec<_>>(),
            "mistaken_for": part("mistaken_for"),
        });
        let link = r.get("link").filter(|link| link.is_object());
        if let (Value::Object(out), Some(link)) = (&mut out, link) {
            let edge = |e: &Value| {
                let part = |key: &str| e.get(key).unwrap_or(&Value::Null);
                json!({
                    "family": part("family"), "value": self.value(part("value")), "account": self.value(part("account")),
                    "popularity": part("popularity"), "uses": part("uses"),
                    "first_seen": self.time(part("first_seen")), "last_seen": self.time(part("last_seen")),
                })
            };
            let mut told = picked(link, &["name", "needs", "edge_count", "complete"]);
            if let Value::Object(told) = &mut told {
                told.insert("edges".to_string(), list(link, "edges").iter().map(edge).collect());
            }
            out.insert("link".to_string(), told);
        }
        if let (Value::Object(out), Some(erased)) = (&mut out, r.get("erased")) {
            out.insert("erased".to_string(), Value::from(erased.as_array().map_or(0, Vec::len)));
        }
        out
    }

    fn observed(&self, of: &Value) -> Value {
        let part = |key: &str| of.get(key).unwrap_or(&Value::Null);
        let bound = self.shows(Part::Thresholds).then(|| part("threshold")).filter(|t| t.is_object());
        json!({
            "crossing": self.number(part("crossing")),
            "peak": self.number(part("peak")),
            "last": self.number(part("last")),
            "threshold": bound.map(|t| json!({
                "operator": t.get("operator"), "value": self.number(t.get("value").unwrap_or(&Value::Null)),
            })),
            "exact": part("exact"),
        })
    }

    /// A decision, as it is sealed.
    pub(super) fn decision(&self, d: &Value) -> Value {
        json!({
            "redacted": self.level.word(),
            "violation": self.named(d.get("violation").unwrap_or(&Value::Null), |id| self.names.violation(id)),
            "outcome": d.get("outcome"),
            "at": d.get("at").and_then(Value::as_i64).map(|at| self.moment(Timestamp(at)).0),
        })
    }

    /// An act on an action, as it is sealed.
    pub(super) fn act(&self, a: &Value) -> Value {
        json!({
            "redacted": self.level.word(),
            "action": self.named(a.get("action").unwrap_or(&Value::Null), |id| self.names.action(id)),
            "act": a.get("act"),
            "actor": a.get("actor"),
            "at": a.get("at").and_then(Value::as_i64).map(|at| self.moment(Timestamp(at)).0),
        })
    }
}

/// Some parts of an object, where they are.
fn picked(of: &Value, keys: &[&str]) -> Value {
    keys.iter().filter_map(|key| Some(((*key).to_string(), of.get(*key)?.clone()))).collect::<Map<_, _>>().into()
}

/// Whether a text is a number with a unit or with decimal places, as records write it. Digits alone are none: those a record
/// writes as a number.
fn is_quantity(text: &str) -> bool {
    let money = text.strip_prefix("-$").or_else(|| text.strip_prefix('$'));
    let percent = text.strip_suffix('%');
    let decimal = |t: &str| parse_micros(t).is_some();
    money.or(percent).is_some_and(decimal)
        || (text.contains('.') && decimal(text))
        || Duration::parse(text).is_some()
        || text.strip_suffix("ns").is_some_and(|n| n.parse::<i64>().is_ok())
}
