//! Tables `piece` and `snapshot`: the evaluator's state in pieces, each stored once under its digest, and their order.

use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;

use super::error::{At, StoreError};

/// Most bytes of a piece: far below SQLite's bound of 1 GB a value, and a small change rewrites little.
pub const PIECE_BYTES: usize = 1 << 20;

/// SHA-256 of a piece.
pub type PieceId = [u8; 32];

const PUT: &str = "INSERT INTO piece (digest, bytes) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING";

const NAME: &str = "INSERT INTO snapshot (number, digest) VALUES (?1, ?2)";

/// Pieces of an earlier snapshot.
const DROP_UNNAMED: &str = "DELETE FROM piece WHERE digest NOT IN (SELECT digest FROM snapshot)";

/// One piece after the other, so that no more than one lies in memory twice.
const PIECE: &str = "SELECT piece.bytes FROM snapshot JOIN piece USING (digest) WHERE snapshot.number = ?1";

/// Stores a piece; its name.
pub(super) async fn put(path: &Path, conn: &mut SqliteConnection, bytes: &[u8]) -> Result<PieceId, StoreError> {
    let digest: PieceId = Sha256::digest(bytes).into();
    let put = sqlx::query(PUT).bind(digest.as_slice()).bind(bytes);
    put.execute(conn).await.at("write the snapshot to", path)?;
    Ok(digest)
}

/// Makes stored pieces the snapshot and drops all others; returns the hash over their names.
pub(super) async fn write(
    path: &Path,
    conn: &mut SqliteConnection,
    pieces: &[PieceId],
) -> Result<[u8; 32], StoreError> {
    let doing = "write the snapshot to";
    let mut whole = Sha256::new();
    sqlx::query("DELETE FROM snapshot").execute(&mut *conn).await.at(doing, path)?;
    for (number, digest) in (0i64..).zip(pieces) {
        whole.update(digest);
        sqlx::query(NAME).bind(number).bind(digest.as_slice()).execute(&mut *conn).await.at(doing, path)?;
    }
    sqlx::query(DROP_UNNAMED).execute(conn).await.at(doing, path)?;
    Ok(whole.finalize().into())
}

/// Reads the snapshot back and holds it against its hash.
pub(super) async fn read(
    path: &Path,
    conn: &mut SqliteConnection,
    hash: &[u8],
) -> Result<(Vec<PieceId>, Vec<Vec<u8>>), StoreError> {
    let (mut names, mut pieces) = (Vec::new(), Vec::new());
    let mut whole = Sha256::new();
    for number in 0i64.. {
        let bytes: Option<Vec<u8>> =
            sqlx::query_scalar(PIECE).bind(number).fetch_optional(&mut *conn).await.at("read the snapshot of", path)?;
        let Some(bytes) = bytes else { break };
        let digest: PieceId = Sha256::digest(&bytes).into();
        whole.update(digest);
        names.push(digest);
        pieces.push(bytes);
    }
    if whole.finalize().as_slice() != hash {
        let what = format!("its snapshot of {} pieces is not the one that was written", pieces.len());
        return Err(StoreError::Damaged { path: path.to_owned(), what });
    }
    Ok((names, pieces))
}
