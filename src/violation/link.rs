//! What ties the accounts of a link group: the edges by which they were told to belong together.

use serde::{Deserialize, Serialize};

use super::Violation;
use crate::time::Timestamp;

/// Most edges listed; above it the record says how many there were.
pub const EVIDENCE_EDGES_MAX: usize = 1_000;

/// Most edges of one violation that are counted.
pub const EVIDENCE_EDGES_COUNTED_MAX: usize = 1_000_000;

/// Why accounts belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkEvidence {
    /// Name of the link.
    pub name: String,
    /// Of how many families two accounts must share a value to be tied.
    pub needs: u32,
    /// The edges of the group at its true steps: each account with each value that another of the group had too. In order
    /// of the step at which they came in, then by family, value and account; up to [`EVIDENCE_EDGES_MAX`].
    pub edges: Vec<LinkEdge>,
    /// How many there were; [`EVIDENCE_EDGES_COUNTED_MAX`] means so many or more.
    pub n_edges: u64,
    /// Since when the link had to forget or ignore something for want of room, if that was before it opened: accounts may
    /// be missing.
    pub cut_since: Option<Timestamp>,
    /// The group that its group became part of.
    pub merged_into: Option<Merged>,
}

/// An account with a value, as it stood when the edge came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkEdge {
    /// The family as the author wrote it.
    pub family: String,
    /// The value: keyed hashes and what is public as they are, what comes from personal data as a keyed hash.
    pub value: String,
    /// The account.
    pub account: String,
    /// How many accounts had the value.
    pub popularity: u64,
    /// How often the account was seen with it.
    pub uses: u64,
    /// The first time, without a break longer than the family's `within`.
    pub first_seen: Timestamp,
    /// The last time.
    pub last_seen: Timestamp,
}

/// The group that another became part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Its name.
    pub group: String,
    /// The id of its violation of the same rule; `None` where it has none under way.
    pub violation: Option<String>,
}

impl Violation {
    /// Says since when the link lost something for want of room, if that was before the violation opened.
    pub(crate) fn cut_by(&mut self, lost_since: Option<i64>) {
        if let Some(link) = &mut self.link {
            link.cut_since = lost_since.filter(|since| *since <= self.opened_at.0).map(Timestamp);
        }
    }
}
