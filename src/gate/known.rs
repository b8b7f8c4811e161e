//! Findings under way, by rule and group: a windowed rule that bears on a call of the same group can then name its violation.
//! Whoever keeps the log tells of them; a gate that is told of none names none.

use hashbrown::HashMap;
use xxhash_rust::xxh3::Xxh3;

use super::Gate;
use crate::violation::{Status, Violation};

/// Most findings under way that are known by their ids; of further ones decisions name the rule alone.
pub const FINDINGS_MAX: usize = 100_000;

/// Ids by a hash of rule, rule hash and group.
#[derive(Debug, Default)]
pub(super) struct Known {
    ids: HashMap<u128, Box<str>>,
    /// How many found no room.
    pub(super) lost: u64,
}

fn key<'a>(rule: &'a str, rule_hash: &'a str, group: impl Iterator<Item = &'a str>) -> u128 {
    let mut hash = Xxh3::new();
    for part in [rule, rule_hash].into_iter().chain(group) {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.digest128()
}

impl Known {
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn get(&self, rule: &str, rule_hash: &str, group: &[String]) -> Option<&str> {
        self.ids.get(&key(rule, rule_hash, group.iter().map(String::as_str))).map(|id| &**id)
    }

    fn take(&mut self, v: &Violation) {
        let key = key(&v.rule, &v.rule_hash, v.group.iter().map(|(_, value)| value.as_str()));
        if v.status != Status::Open {
            // Another may be under way already.
            if self.ids.get(&key).is_some_and(|id| **id == *v.id) {
                self.ids.remove(&key);
            }
        } else if self.ids.len() < FINDINGS_MAX || self.ids.contains_key(&key) {
            self.ids.insert(key, v.id.as_str().into());
        } else {
            self.lost += 1;
        }
    }
}

impl Gate {
    /// Takes note of a finding as it was handed out: while one of a windowed rule is open, decisions by its rule on its group name
    /// it. At most [`FINDINGS_MAX`] are known at a time.
    pub fn found(&self, violation: &Violation) {
        if violation.window.is_some() {
            self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner).take(violation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FINDINGS_MAX, Known};
    use crate::hir::{Confidence, Mode, Severity};
    use crate::time::Timestamp;
    use crate::violation::{Evidence, Status, Violation};

    fn finding(id: &str, group: &str, status: Status) -> Violation {
        Violation {
            id: id.to_string(),
            rule: "r".to_string(),
            rule_hash: "h".to_string(),
            clauses: Vec::new(),
            severity: Severity::Low,
            confidence: Confidence::Low,
            mode: Mode::Flag,
            status,
            opened_at: Timestamp(0),
            updated_at: Timestamp(0),
            closed_at: None,
            merged_into: None,
            group: vec![("account".to_string(), group.to_string())],
            window: Some((Timestamp(0), Timestamp(1))),
            accounts: Vec::new(),
            values: Vec::new(),
            evidence: Evidence::default(),
            link: None,
            exceptions: Vec::new(),
            actions: Vec::new(),
            because: String::new(),
            mistaken_for: Vec::new(),
        }
    }

    #[test]
    fn a_finding_is_known_while_it_is_open_and_the_next_of_its_group_is_not_forgotten_with_it() {
        let mut known = Known::default();
        let get = |known: &Known| known.get("r", "h", &["a".to_string()]).map(str::to_string);
        known.take(&finding("1", "a", Status::Open));
        assert_eq!(get(&known).as_deref(), Some("1"));
        assert_eq!(known.get("r", "other", &["a".to_string()]), None, "of another state of the rule");
        known.take(&finding("2", "a", Status::Open));
        known.take(&finding("1", "a", Status::Closed));
        assert_eq!(get(&known).as_deref(), Some("2"));
        known.take(&finding("2", "a", Status::Merged));
        assert_eq!((get(&known), known.is_empty()), (None, true));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut known = Known::default();
        for n in 0..FINDINGS_MAX + 3 {
            known.take(&finding("1", &n.to_string(), Status::Open));
        }
        known.take(&finding("2", "0", Status::Open));
        assert_eq!((known.ids.len(), known.lost), (FINDINGS_MAX, 3));
    }
}
