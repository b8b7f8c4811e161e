//! Findings that were only as final as the end of a file, and that the file's continuation did not bear out.

use std::path::Path;

use sqlx::SqliteConnection;

use super::error::{At, StoreError};
use super::sealed::{NewEntry, Sealed};

/// The accounts that its record names: they refer to it, and are found by the key of their table.
const ACCOUNTS: &str = "DELETE FROM violation_accounts WHERE (account, opened_at, violation) IN \
     (SELECT named.value, v.opened_at, v.id FROM violations AS v, json_each(v.record, '$.accounts') AS named \
     WHERE v.id = ?1)";

/// What reviewers decided of it stays.
const DELETE: &str = "DELETE FROM violations WHERE id = ?1";

const DIGEST: &str = "SELECT digest FROM violations WHERE id = ?1";

/// Takes violations back; what of it is to be sealed.
pub(super) async fn delete(
    path: &Path,
    conn: &mut SqliteConnection,
    ids: &[String],
) -> Result<Vec<NewEntry>, StoreError> {
    let mut seals = Vec::new();
    for id in ids {
        let digest: Option<Vec<u8>> =
            sqlx::query_scalar(DIGEST).bind(id).fetch_optional(&mut *conn).await.at("retract violations of", path)?;
        let digest = digest.and_then(|digest| digest.try_into().ok());
        seals.extend(digest.map(|digest| NewEntry { kind: Sealed::Retraction, subject: id.clone(), digest }));
        sqlx::query(ACCOUNTS).bind(id).execute(&mut *conn).await.at("retract violations of", path)?;
        sqlx::query(DELETE).bind(id).execute(&mut *conn).await.at("retract violations of", path)?;
    }
    Ok(seals)
}
