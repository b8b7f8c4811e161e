//! Table `checkpoint`: all that resuming depends on, written together or not at all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sqlx::SqliteConnection;

use super::error::{At, StoreError};
use super::{Input, books, inputs, state};

/// Where to go on from. The parts belong together: a position without the state that goes with it would count events
/// twice or never.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// How far each input was read, in the order by which the snapshot numbers them. Inputs of earlier runs stay in the log
    /// even if they are not named again; they come back after the others of their number.
    pub inputs: Vec<Input>,
    /// Counters by name.
    pub books: BTreeMap<String, u64>,
    /// The evaluator's snapshot, as opaque pieces of at most [`super::PIECE_BYTES`].
    pub snapshot: Arc<Vec<Vec<u8>>>,
    /// How far the journal belongs to this state, in the journal's own words; `None` for a run without.
    pub journal: Option<String>,
}

const UPSERT: &str = "INSERT INTO checkpoint (only, snapshot_bytes, snapshot_hash, journal) VALUES (1, ?1, ?2, ?3) \
     ON CONFLICT (only) DO UPDATE SET snapshot_bytes = excluded.snapshot_bytes, \
     snapshot_hash = excluded.snapshot_hash, journal = excluded.journal";

const READ: &str = "SELECT snapshot_bytes, snapshot_hash, journal FROM checkpoint WHERE only = 1";

pub(super) async fn write(path: &Path, conn: &mut SqliteConnection, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let doing = "write the checkpoint to";
    inputs::write(conn, &checkpoint.inputs).await.at(doing, path)?;
    books::write(conn, &checkpoint.books).await.at(doing, path)?;
    let hash = state::write(path, conn, &checkpoint.snapshot).await?;
    let n_bytes: i64 = checkpoint.snapshot.iter().map(|piece| piece.len() as i64).sum();
    let upsert = sqlx::query(UPSERT).bind(n_bytes).bind(hash.as_slice()).bind(checkpoint.journal.as_deref());
    upsert.execute(conn).await.at(doing, path)?;
    Ok(())
}

pub(super) async fn read(path: &Path, conn: &mut SqliteConnection) -> Result<Option<Checkpoint>, StoreError> {
    let doing = "read the checkpoint of";
    let row: Option<(i64, Vec<u8>, Option<String>)> =
        sqlx::query_as(READ).fetch_optional(&mut *conn).await.at(doing, path)?;
    let Some((n_bytes, hash, journal)) = row else { return Ok(None) };
    Ok(Some(Checkpoint {
        inputs: inputs::read(conn).await.at(doing, path)?,
        books: books::read(conn).await.at(doing, path)?,
        snapshot: Arc::new(state::read(path, conn, usize::try_from(n_bytes).unwrap_or(0), &hash).await?),
        journal,
    }))
}
