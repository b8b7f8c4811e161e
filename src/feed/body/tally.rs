//! What became of the records of a body, for the answer to whoever sent them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::BodyEntry;
use crate::event::decode::RejectReason;

/// How many rejected records are told with their place and reason.
pub const SAMPLES_MAX: usize = 10;

/// Counts of records: `accepted + passed_over + rejected` is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Taken in.
    pub accepted: u64,
    /// Records of something else than usage; nothing is wrong with them.
    pub passed_over: u64,
    /// Not taken in, by the word of the reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// The first of them.
    pub samples: Vec<Sample>,
}

/// A record that was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The line at which it begins, from 1.
    pub line: u64,
    /// Its number in the body, from 0.
    pub index: u64,
    /// The reason and what was expected; shows no content.
    pub reason: String,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, entry: &BodyEntry) {
        match &entry.event {
            Ok(_) => self.accepted += 1,
            Err(reject) if reject.reason == RejectReason::NotUsage => self.passed_over += 1,
            Err(reject) => {
                *self.reasons.entry(reject.reason.word()).or_default() += 1;
                if self.samples.len() < SAMPLES_MAX {
                    self.samples.push(Sample { line: entry.line, index: entry.index, reason: reject.to_string() });
                }
            }
        }
    }

    /// How many were not taken in.
    pub fn rejected(&self) -> u64 {
        self.reasons.values().sum()
    }

    /// How many were not taken in and why, in one line; empty where all were.
    pub fn message(&self) -> String {
        if self.rejected() == 0 {
            return String::new();
        }
        let reasons: Vec<String> = self.reasons.iter().map(|(word, n)| format!("{word} {n}")).collect();
        let first =
            self.samples.first().map_or(String::new(), |s| format!("; the first is record {}: {}", s.index, s.reason));
        format!("{} records were rejected: {}{first}", self.rejected(), reasons.join(", "))
    }
}
