//! What a gate holds as bytes of a versioned form, and back: so that a restart answers as before. Actions in force are a
//! function of their entries, which are kept elsewhere.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::limit::bounds;
use super::{Gate, GateOptions, SHARDS, Shard, held};
use crate::inline::limits::kept;
use crate::inline::quota::Quotas;
use crate::inline::{Calls, Heard, SavedGroup, Throttles};
use crate::plan::RuleSet;

/// Version of the form. Another is refused; the gate then begins with nothing.
const VERSION: u16 = 1;
const MAGIC: &[u8; 6] = b"FPGATE";

/// Why bytes are not those of a gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Of something else.
    #[error("these are not the bytes of a gate")]
    Foreign,
    /// Of another version.
    #[error("a gate of version {found} was saved, this program reads version {VERSION}: begin with an empty gate")]
    Version {
        /// Of the bytes.
        found: u16,
    },
    /// Cut off or altered.
    #[error("the saved gate is damaged: begin with an empty gate")]
    Damaged,
    /// Could not be written.
    #[error("the gate could not be written down: {0}")]
    Unwritable(String),
}

#[derive(Serialize, Deserialize)]
struct Saved {
    seed: u64,
    shards: Vec<SavedShard>,
    quotas: Vec<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct SavedShard {
    newest: i64,
    groups: Vec<(u128, SavedGroup)>,
    heard: Heard,
    calls: Calls,
    throttles: Throttles,
}

impl Gate {
    /// All that it remembers, as bytes. Threads may go on meanwhile: each part of the memory is written as it is at its turn.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn snapshot(&self) -> Result<Vec<u8>, GateError> {
        let shards = self.shards.iter().map(|shard| {
            let shard = held(shard);
            SavedShard {
                newest: shard.panes.newest(),
                groups: shard.panes.saved().collect(),
                heard: shard.heard.clone(),
                calls: shard.calls.clone(),
                throttles: shard.throttles.clone(),
            }
        });
        let quotas = self.quotas.iter().map(|quota| held(quota).all.to_bytes()).collect();
        let saved = Saved { seed: self.options.seed, shards: shards.collect(), quotas };
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_be_bytes());
        bytes = postcard::to_extend(&saved, bytes).map_err(|e| GateError::Unwritable(e.to_string()))?;
        bytes.extend(xxh3_64(&bytes).to_be_bytes());
        Ok(bytes)
    }

    /// The gate that was written down, for rules that may be others: groups of rules that find the same as before stay.
    /// Counts begin anew, and no action is in force until [`Gate::enforce`] says so.
    ///
    /// # Errors
    /// Where the bytes are not those of a gate of this version.
    pub fn restore(rules: Arc<RuleSet>, options: GateOptions, bytes: &[u8]) -> Result<Gate, GateError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(GateError::Foreign)?;
        let (version, _) = rest.split_first_chunk::<2>().ok_or(GateError::Damaged)?;
        let found = u16::from_be_bytes(*version);
        if found != VERSION {
            return Err(GateError::Version { found });
        }
        let (told, sum) = bytes.split_last_chunk::<8>().ok_or(GateError::Damaged)?;
        if xxh3_64(told) != u64::from_be_bytes(*sum) {
            return Err(GateError::Damaged);
        }
        let body = told.get(MAGIC.len() + 2..).ok_or(GateError::Damaged)?;
        let saved: Saved = postcard::from_bytes(body).map_err(|_| GateError::Damaged)?;
        if saved.shards.len() != SHARDS || saved.quotas.len() != SHARDS {
            return Err(GateError::Damaged);
        }
        let kept = kept(&rules);
        let gate = Gate::with(rules, GateOptions { seed: saved.seed, ..options });
        for (shard, saved) in gate.shards.iter().zip(saved.shards) {
            held(shard).fill(saved, &gate.options);
        }
        for (quota, bytes) in gate.quotas.iter().zip(saved.quotas) {
            held(quota).all = Quotas::from_bytes(&bytes, kept.clone(), bounds()).map_err(|_| GateError::Damaged)?;
        }
        Ok(gate)
    }
}

impl Shard {
    fn fill(&mut self, saved: SavedShard, options: &GateOptions) {
        let of = |all: usize| (all / SHARDS).max(1);
        let remember = options.remember.0.max(0);
        self.panes.set_newest(saved.newest);
        saved.groups.into_iter().for_each(|(id, group)| self.panes.insert_saved(id, group));
        self.heard = saved.heard.within(remember, of(options.ids_max));
        self.calls = saved.calls.within(remember, of(options.calls_max));
        self.throttles = saved.throttles.within(of(options.targets_max));
    }
}
