//! Takes out of a journal what one finding needs to be computed again.

use std::path::Path;
use std::sync::Arc;

use super::live::LiveError;
use crate::derive::Slice;
use crate::plan::RuleSet;
use crate::template::FingerprintKey;

/// A journal from which slices are taken.
#[derive(Debug)]
pub struct Slicer {}

/// Why there is no slice.
#[derive(Debug, thiserror::Error)]
pub enum NoSlice {
    /// The finding can not be computed again from a few events; it says why. No error.
    #[error("{0}")]
    Because(String),
    /// Journal or packs cannot be read.
    #[error(transparent)]
    Failed(#[from] LiveError),
}

impl Slicer {
    /// The journal and the kept packs beside a log (`DB.journal`, `DB.rules`), up to the position that the log seals
    /// ([`crate::store::Store::journal_position`]).
    ///
    /// # Errors
    /// [`NoSlice::Because`] where there is no journal or no pack, or an earlier version wrote them.
    pub fn open(db: &Path, position: Option<&str>, key: FingerprintKey) -> Result<Slicer, NoSlice> {
        let _ = (db, position, key);
        Err(NoSlice::Because("not built yet".to_string()))
    }

    /// The slice of a finding, given its record as the log has it: tried, so that [`crate::derive::recompute`] finds the record
    /// again in it; and the pack that it needs (kept in `DB.rules/BUNDLE`).
    ///
    /// # Errors
    /// [`NoSlice::Because`] where it needs more than a slice holds, or is not found again.
    pub fn slice(&mut self, record: &str) -> Result<(Slice, Arc<RuleSet>), NoSlice> {
        let _ = record;
        Err(NoSlice::Because("not built yet".to_string()))
    }
}
