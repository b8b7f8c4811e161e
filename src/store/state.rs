//! Table `state`: the evaluator's snapshot in pieces, of which only those that differ are written.

use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;

use super::error::{At, StoreError};

/// Most bytes of a piece: far below SQLite's bound of 1 GB a value, and a small change rewrites little.
pub const PIECE_BYTES: usize = 1 << 20;

/// What is there already; the bytes stay on their overflow pages.
const DIGESTS: &str = "SELECT piece, digest FROM state ORDER BY piece";

const UPSERT: &str = "INSERT INTO state (piece, digest, bytes) VALUES (?1, ?2, ?3) \
     ON CONFLICT (piece) DO UPDATE SET digest = excluded.digest, bytes = excluded.bytes";

/// Pieces of an earlier, longer snapshot.
const DELETE_FROM: &str = "DELETE FROM state WHERE piece >= ?1";

/// One piece after the other, so that no more than one lies in memory twice.
const PIECE: &str = "SELECT bytes FROM state WHERE piece = ?1";

/// Replaces the snapshot; returns the hash over its pieces' digests.
pub(super) async fn write(
    path: &Path,
    conn: &mut SqliteConnection,
    snapshot: &[Vec<u8>],
) -> Result<[u8; 32], StoreError> {
    let doing = "write the snapshot to";
    let present: Vec<(i64, Vec<u8>)> = sqlx::query_as(DIGESTS).fetch_all(&mut *conn).await.at(doing, path)?;
    let mut whole = Sha256::new();
    let mut n_pieces = 0i64;
    for bytes in snapshot {
        let digest = Sha256::digest(bytes);
        whole.update(digest);
        let same = present.iter().any(|(piece, old)| *piece == n_pieces && old.as_slice() == digest.as_slice());
        if !same {
            let upsert = sqlx::query(UPSERT).bind(n_pieces).bind(digest.as_slice()).bind(bytes.as_slice());
            upsert.execute(&mut *conn).await.at(doing, path)?;
        }
        n_pieces += 1;
    }
    sqlx::query(DELETE_FROM).bind(n_pieces).execute(conn).await.at(doing, path)?;
    Ok(whole.finalize().into())
}

/// Reads the snapshot back and holds it against length and hash.
pub(super) async fn read(
    path: &Path,
    conn: &mut SqliteConnection,
    n_bytes: usize,
    hash: &[u8],
) -> Result<Vec<Vec<u8>>, StoreError> {
    let (mut snapshot, mut found) = (Vec::new(), 0);
    let mut whole = Sha256::new();
    for piece in 0i64.. {
        let bytes: Option<Vec<u8>> =
            sqlx::query_scalar(PIECE).bind(piece).fetch_optional(&mut *conn).await.at("read the snapshot of", path)?;
        let Some(bytes) = bytes else { break };
        whole.update(Sha256::digest(&bytes));
        found += bytes.len();
        snapshot.push(bytes);
    }
    if found != n_bytes || whole.finalize().as_slice() != hash {
        let what = format!("its snapshot has {found} bytes and is not the one of {n_bytes} that was written");
        return Err(StoreError::Damaged { path: path.to_owned(), what });
    }
    Ok(snapshot)
}
