//! What a case needs of a violation, read from its export form; what stands in it besides is forgotten.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use serde_json::Value;

use crate::hir::{Confidence, Severity};
use crate::time::Timestamp;
use crate::violation::Status;

/// A violation as far as cases are made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its id.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// Where it stands.
    pub status: Status,
    /// When it opened.
    pub opened_at: Timestamp,
    /// The group, by the names of its parts.
    pub group: Vec<(String, String)>,
    /// The accounts, as numbers of [`Findings`], sorted.
    pub accounts: Vec<u32>,
    /// The first event listed, or when it opened.
    pub first: Timestamp,
    /// The last event listed, or when it was last true.
    pub last: Timestamp,
    /// Events that it rests on.
    pub n_events: u64,
    /// Why, in the words of the rule.
    pub because: String,
    /// Named values that are whole numbers, at their peak.
    pub counts: Vec<(String, i64)>,
    /// Name of the link whose group it is of.
    pub link: Option<String>,
    /// What ties its accounts, where they are a link group.
    pub edges: Vec<Edge>,
    /// Whether `edges` are all there were.
    pub edges_complete: bool,
    /// The violation that it merged into.
    pub merged_into: Option<String>,
}

/// An account with a value of a family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The family.
    pub family: String,
    /// The value.
    pub value: String,
    /// The account, as a number.
    pub account: u32,
}

impl Finding {
    /// Whether it accuses: neither a signal nor what an exception or another violation took over.
    pub fn accuses(&self) -> bool {
        self.severity > Severity::Info && matches!(self.status, Status::Open | Status::Closed)
    }

    /// How strong it is as evidence: severity, confidence, accounts, events.
    pub fn strength(&self) -> (Severity, Confidence, usize, u64) {
        (self.severity, self.confidence, self.accounts.len(), self.n_events)
    }

    /// When it opened, and its id: the order of violations in a log.
    pub fn since(&self) -> (Timestamp, &str) {
        (self.opened_at, &self.id)
    }
}

/// A text that is no violation in its export form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a record of the log has no readable `{0}`")]
pub struct NotARecord(&'static str);

/// Violations and the names of their accounts.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    all: Vec<Finding>,
    names: Vec<Box<str>>,
    numbers: HashTable<u32>,
}

const HASHER: FixedState = FixedState::with_seed(0);

impl Findings {
    /// All, in the order they were given.
    pub fn all(&self) -> &[Finding] {
        &self.all
    }

    /// The name of an account.
    pub fn name(&self, account: u32) -> &str {
        self.names.get(account as usize).map(|n| &**n).unwrap_or_default()
    }

    /// The number of an account that a violation names.
    pub fn number(&self, account: &str) -> Option<u32> {
        let same = |n: &u32| self.names.get(*n as usize).is_some_and(|known| **known == *account);
        self.numbers.find(HASHER.hash_one(account), same).copied()
    }

    /// How many accounts are named by any violation.
    pub fn n_accounts(&self) -> usize {
        self.names.len()
    }

    fn enter(&mut self, account: &str) -> u32 {
        if let Some(known) = self.number(account) {
            return known;
        }
        let number = self.names.len() as u32;
        self.names.push(account.into());
        let names = &self.names;
        let hash = |n: &u32| names.get(*n as usize).map_or(0, |name| HASHER.hash_one(&**name));
        self.numbers.insert_unique(HASHER.hash_one(account), number, hash);
        number
    }

    /// Takes in a violation in its export form, as text.
    ///
    /// # Errors
    /// As [`Findings::push`]; also where it is no JSON.
    pub fn push_json(&mut self, record: &str) -> Result<(), NotARecord> {
        self.push(&serde_json::from_str(record).map_err(|_| NotARecord("JSON"))?)
    }

    /// Takes in a violation in its export form.
    ///
    /// # Errors
    /// Where a part that every record has is missing or of another form.
    pub fn push(&mut self, record: &Value) -> Result<(), NotARecord> {
        let text = |key: &'static str| record.get(key).and_then(Value::as_str).ok_or(NotARecord(key));
        let at = |key: &'static str| Timestamp::parse_rfc3339(text(key)?).ok_or(NotARecord(key));
        let items = |of: Option<&Value>| of.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default().to_vec();
        let evidence = record.get("evidence").ok_or(NotARecord("evidence"))?;
        let mut accounts = Vec::new();
        for account in record.get("accounts").and_then(Value::as_array).ok_or(NotARecord("accounts"))? {
            accounts.push(self.enter(account.as_str().ok_or(NotARecord("accounts"))?));
        }
        accounts.sort_unstable();
        accounts.dedup();
        let (opened_at, updated_at) = (at("opened_at")?, at("updated_at")?);
        let events = items(evidence.get("events"));
        let time = |e: &Value| Timestamp::parse_rfc3339(e.get("ts")?.as_str()?);
        let link = record.get("link");
        let part = |e: &Value, key: &str| e.get(key).and_then(Value::as_str).map(str::to_string);
        let mut edges = Vec::new();
        for e in items(link.and_then(|l| l.get("edges"))) {
            if let (Some(family), Some(value), Some(account)) =
                (part(&e, "family"), part(&e, "value"), part(&e, "account"))
            {
                edges.push(Edge { family, value, account: self.enter(&account) });
            }
        }
        let pairs = |key: &str| record.get(key).and_then(Value::as_object).into_iter().flatten();
        let peak = |(name, v): (&String, &Value)| Some((name.clone(), v.get("peak")?.as_i64()?));
        let word = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
        self.all.push(Finding {
            id: text("id")?.to_string(),
            rule: text("rule")?.to_string(),
            severity: Severity::from_word(text("severity")?).ok_or(NotARecord("severity"))?,
            confidence: Confidence::from_word(text("confidence")?).ok_or(NotARecord("confidence"))?,
            status: Status::from_word(text("status")?).ok_or(NotARecord("status"))?,
            opened_at,
            group: pairs("group").map(|(name, v)| (name.clone(), word(v))).collect(),
            accounts,
            first: events.iter().filter_map(time).min().unwrap_or(opened_at),
            last: events.iter().filter_map(time).max().unwrap_or(updated_at),
            n_events: evidence.get("count").and_then(Value::as_u64).ok_or(NotARecord("evidence"))?,
            because: text("because")?.to_string(),
            counts: pairs("values").filter_map(peak).collect(),
            link: link.and_then(|l| part(l, "name")),
            edges,
            edges_complete: link.and_then(|l| l.get("complete")).and_then(Value::as_bool).unwrap_or(true),
            merged_into: part(record, "merged_into"),
        });
        Ok(())
    }
}
