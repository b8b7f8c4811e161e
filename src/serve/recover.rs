//! Findings of the log as far as actions hang on them. A server that is killed between the commit of a finding and the entry of
//! its action would never hear of it again, so the next start asks for the actions of recent findings once more; what was said
//! is not said twice.

use serde_json::Value;

use crate::store::Row;
use crate::time::{DAY_NS, Duration, Timestamp};
use crate::violation::{Enforced, Evidence, Proposal, Violation, Withheld};

/// How far back findings are asked about: further than any window reaches.
pub(crate) const RECENT: Duration = Duration(4 * DAY_NS);

/// The finding of a row, without values and evidence; `None` where the record is not what this release writes.
pub(crate) fn finding(row: &Row) -> Option<Violation> {
    let record: Value = serde_json::from_str(&row.record).ok()?;
    let text = |v: &Value, key: &str| v.get(key)?.as_str().map(str::to_string);
    let clauses = record.get("clauses")?.as_array()?.iter().map(|c| {
        Some(Enforced {
            policy: text(c, "policy")?,
            version: text(c, "version")?,
            clause: text(c, "clause")?,
            section: text(c, "section")?,
            says: text(c, "says")?,
            from: moment(&text(c, "in_force_from")?)?,
            in_force: c.get("in_force")?.as_bool()?,
        })
    });
    let actions = record.get("actions")?.as_array()?.iter().map(|a| {
        let withheld = match a.get("why")? {
            Value::Null => None,
            why => Some(ALL.into_iter().find(|w| Some(w.word()) == why.as_str())?),
        };
        let delay = match a.get("delay")? {
            Value::Null => None,
            delay => Some(Duration::parse(delay.as_str()?)?),
        };
        Some(Proposal { action: text(a, "action")?, withheld, delay })
    });
    let group = record.get("group")?.as_object()?.iter();
    let group = group.map(|(name, value)| Some((name.clone(), value.as_str()?.to_string())));
    let window = match record.get("window")? {
        Value::Null => None,
        window => Some((moment(&text(window, "start")?)?, moment(&text(window, "end")?)?)),
    };
    let accounts = record.get("accounts")?.as_array()?.iter().map(|a| a.as_str().map(str::to_string));
    Some(Violation {
        id: row.id.clone(),
        rule: row.rule.clone(),
        rule_hash: row.rule_hash.clone(),
        clauses: clauses.collect::<Option<_>>()?,
        severity: row.severity,
        confidence: row.confidence,
        mode: row.mode,
        status: row.status,
        opened_at: row.opened_at,
        updated_at: row.updated_at,
        closed_at: row.closed_at,
        merged_into: text(&record, "merged_into"),
        group: group.collect::<Option<_>>()?,
        window,
        accounts: accounts.collect::<Option<_>>()?,
        values: Vec::new(),
        evidence: Evidence::default(),
        link: None,
        exceptions: Vec::new(),
        actions: actions.collect::<Option<_>>()?,
        because: text(&record, "because")?,
        mistaken_for: Vec::new(),
    })
}

const ALL: [Withheld; 5] =
    [Withheld::Exempted, Withheld::Rollout, Withheld::Late, Withheld::Budget, Withheld::NoSecret];

fn moment(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text)
}

#[cfg(test)]
mod tests {
    use super::{ALL, finding};
    use crate::hir::{Confidence, Mode, Severity};
    use crate::store::Entry;
    use crate::time::{Duration, SECOND_NS, Timestamp};
    use crate::violation::{Enforced, Evidence, Proposal, Status, Violation, Withheld};

    /// Whatever actions hang on comes back from the record; a field that is added and forgotten here shows.
    #[test]
    fn a_finding_comes_back_from_its_record_with_all_that_actions_hang_on() {
        let at = Timestamp(1_772_409_607 * SECOND_NS);
        let known = Violation {
            id: "ab".repeat(16),
            rule: "probe".to_string(),
            rule_hash: "cd".repeat(32),
            clauses: vec![Enforced {
                policy: "acme.terms".to_string(),
                version: "2025-09-15".to_string(),
                clause: "probes".to_string(),
                section: "3.1".to_string(),
                says: "No probes.".to_string(),
                from: at,
                in_force: true,
            }],
            severity: Severity::High,
            confidence: Confidence::Medium,
            mode: Mode::Enforce,
            status: Status::Open,
            opened_at: at,
            updated_at: at,
            closed_at: None,
            merged_into: None,
            group: vec![("org".to_string(), "o".to_string()), ("account".to_string(), "a".to_string())],
            window: Some((Timestamp(at.0 - 60 * SECOND_NS), at)),
            accounts: vec!["a".to_string(), "b".to_string()],
            values: Vec::new(),
            evidence: Evidence::default(),
            link: None,
            exceptions: Vec::new(),
            actions: ALL
                .into_iter()
                .map(Some)
                .chain([None])
                .map(|withheld: Option<Withheld>| Proposal {
                    action: "block account for 1h".to_string(),
                    withheld,
                    delay: withheld.is_none().then(|| Duration::from_secs(90)),
                })
                .collect(),
            because: "so".to_string(),
            mistaken_for: Vec::new(),
        };
        assert_eq!(finding(&Entry::from(&known).row), Some(known));
    }
}
