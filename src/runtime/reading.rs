//! How a stream is read, as it stands in the journal beside what was read: a run over the journal reads it alike.

use serde::{Deserialize, Serialize};

use crate::eval::{EvalOptions, SECRET_BYTES_MIN, Secret};
use crate::time::Duration;

/// Options of the evaluator that show in what is found. Times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reading {
    lateness: i64,
    future: i64,
    memory_sightings: u64,
    events_held: u64,
    link_edges: u64,
    link_pairs: u64,
    state_bytes: u64,
    /// The fingerprint of the secret from which delays are drawn; the secret is not kept.
    secret: Option<String>,
    /// The release that read it.
    pub(super) engine: String,
}

impl From<&EvalOptions> for Reading {
    fn from(of: &EvalOptions) -> Reading {
        Reading {
            lateness: of.lateness.0,
            future: of.future.0,
            memory_sightings: of.memory_sightings as u64,
            events_held: of.events_held as u64,
            link_edges: of.link_edges as u64,
            link_pairs: of.link_pairs,
            state_bytes: of.state_bytes,
            secret: of.delay_secret.as_ref().map(Secret::fingerprint),
            engine: env!("CARGO_PKG_VERSION").to_string(),
        }
    }
}

impl Reading {
    /// The options again. In place of the secret stands one of zeros: what is delayed is known, by how much is not.
    pub(super) fn options(&self) -> EvalOptions {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        EvalOptions {
            lateness: Duration(self.lateness),
            future: Duration(self.future),
            as_of: None,
            memory_sightings: size(self.memory_sightings),
            events_held: size(self.events_held),
            link_edges: size(self.link_edges),
            link_pairs: self.link_pairs,
            state_bytes: self.state_bytes,
            delay_secret: self.secret.as_ref().and_then(|_| Secret::new(&[0; SECRET_BYTES_MIN])),
        }
    }

    /// Whether delays were drawn from a secret.
    pub(super) fn has_secret(&self) -> bool {
        self.secret.is_some()
    }
}
