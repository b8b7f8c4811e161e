//! Findings that were only as final as the end of a file, and that the file's continuation did not bear out.

use std::path::Path;

use sqlx::SqliteConnection;

use super::error::{At, StoreError};

/// Accounts go with it (ON DELETE CASCADE).
const DELETE: &str = "DELETE FROM violations WHERE id = ?1";

pub(super) async fn delete(path: &Path, conn: &mut SqliteConnection, ids: &[String]) -> Result<(), StoreError> {
    for id in ids {
        sqlx::query(DELETE).bind(id).execute(&mut *conn).await.at("retract violations of", path)?;
    }
    Ok(())
}
