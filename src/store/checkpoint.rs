//! Table `checkpoint`: all that resuming depends on, written together or not at all.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use sqlx::SqliteConnection;

use super::error::{At, StoreError};
use super::sealed::{NewEntry, Sealed};
use super::{Input, PieceId, books, inputs, state};

/// Where to go on from. The parts belong together: a position without the state that goes with it would count events
/// twice or never.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// How far each input was read, in the order by which the snapshot numbers them. Inputs of earlier runs stay in the log
    /// even if they are not named again; they come back after the others of their number.
    pub inputs: Vec<Input>,
    /// Counters by name.
    pub books: BTreeMap<String, u64>,
    /// The evaluator's snapshot: names of its pieces in order, each put before by [`super::Store::put_piece`].
    pub snapshot: Vec<PieceId>,
    /// How far the journal belongs to this state, in the journal's own words; `None` for a run without.
    pub journal: Option<String>,
}

/// A checkpoint as it is read back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resume {
    /// Where to go on from.
    pub checkpoint: Checkpoint,
    /// The pieces of the snapshot in order.
    pub pieces: Vec<Vec<u8>>,
}

/// `snapshot_bytes` is of no use any more: pieces are named one by one.
const UPSERT: &str = "INSERT INTO checkpoint (only, snapshot_bytes, snapshot_hash, journal) VALUES (1, 0, ?1, ?2) \
     ON CONFLICT (only) DO UPDATE SET snapshot_hash = excluded.snapshot_hash, journal = excluded.journal";

const READ: &str = "SELECT snapshot_hash, journal FROM checkpoint WHERE only = 1";

/// Writes a checkpoint; what of it is to be sealed.
pub(super) async fn write(
    path: &Path,
    conn: &mut SqliteConnection,
    checkpoint: &Checkpoint,
) -> Result<NewEntry, StoreError> {
    let doing = "write the checkpoint to";
    inputs::write(conn, &checkpoint.inputs).await.at(doing, path)?;
    books::write(conn, &checkpoint.books).await.at(doing, path)?;
    let hash = state::write(path, conn, &checkpoint.snapshot).await?;
    let upsert = sqlx::query(UPSERT).bind(hash.as_slice()).bind(checkpoint.journal.as_deref());
    upsert.execute(&mut *conn).await.at(doing, path)?;
    seal(conn).await.at(doing, path)
}

/// What of the standing of the log is sealed: books, how far inputs were read, and the position of the journal, which holds
/// the hash of its segment. The state is not: it follows from the others.
pub(super) async fn seal(conn: &mut SqliteConnection) -> Result<NewEntry, sqlx::Error> {
    let inputs = inputs::read(conn).await?;
    let inputs: Vec<_> =
        inputs.iter().map(|i| json!([i.name, i.content_hash, i.offset_bytes, i.n_lines, i.finished])).collect();
    let standing = json!({ "books": books::read(conn).await?, "inputs": inputs, "journal": journal(conn).await? });
    Ok(NewEntry::of_json(Sealed::Commit, "-".to_string(), &standing))
}

/// The position of the journal alone, for who reads no state.
const JOURNAL: &str = "SELECT journal FROM checkpoint WHERE only = 1";

pub(super) async fn journal(conn: &mut SqliteConnection) -> Result<Option<String>, sqlx::Error> {
    let found: Option<Option<String>> = sqlx::query_scalar(JOURNAL).fetch_optional(conn).await?;
    Ok(found.flatten())
}

pub(super) async fn read(path: &Path, conn: &mut SqliteConnection) -> Result<Option<Resume>, StoreError> {
    let doing = "read the checkpoint of";
    let row: Option<(Vec<u8>, Option<String>)> =
        sqlx::query_as(READ).fetch_optional(&mut *conn).await.at(doing, path)?;
    let Some((hash, journal)) = row else { return Ok(None) };
    let (snapshot, pieces) = state::read(path, conn, &hash).await?;
    let checkpoint = Checkpoint {
        inputs: inputs::read(conn).await.at(doing, path)?,
        books: books::read(conn).await.at(doing, path)?,
        snapshot,
        journal,
    };
    Ok(Some(Resume { checkpoint, pieces }))
}
