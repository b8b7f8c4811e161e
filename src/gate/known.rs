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
