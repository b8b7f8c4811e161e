//! Findings that go on after an account of theirs was forgotten.

use serde_json::Value;
use sqlx::SqliteConnection;

use crate::store::violations;
use crate::violation::{Erasure as OfRecord, erased};

/// Names that stand for erased accounts begin so; see [`Erasing::token`].
const TOKEN: &str = "erased:";

/// Findings that go on after an erasure, in their erased form: the state that they come from knows the account by its token, and
/// still counts. What is of erased accounts alone goes no further than it was. `None` where there are none.
pub(in crate::store) async fn again(
    conn: &mut SqliteConnection,
    entries: &[violations::Entry],
) -> Result<Option<Vec<violations::Entry>>, sqlx::Error> {
    if !entries.iter().flat_map(|e| &e.accounts).any(|account| account.starts_with(TOKEN)) {
        return Ok(None);
    }
    let numbers: Vec<i64> = sqlx::query_scalar("SELECT number FROM erasures ORDER BY number").fetch_all(conn).await?;
    let mut out = Vec::with_capacity(entries.len());
    for entry in entries {
        if !entry.accounts.is_empty() && entry.accounts.iter().all(|account| is_token(account, &numbers)) {
            continue;
        }
        let mut record: Value = serde_json::from_str(&entry.row.record).map_err(|e| sqlx::Error::Decode(e.into()))?;
        let mut changed = false;
        for number in &numbers {
            let token = format!("{TOKEN}{number}");
            let number = number.unsigned_abs();
            let spec = OfRecord { account: &token, token: &token, number, is_event: &|_| false };
            if entry.accounts.contains(&token)
                && let Some(erased) = erased(&record, &spec)
            {
                (record, changed) = (erased, true);
            }
        }
        out.push(if changed { entry.with_record(record.to_string()) } else { entry.clone() });
    }
    Ok(Some(out))
}

fn is_token(account: &str, numbers: &[i64]) -> bool {
    account.strip_prefix(TOKEN).and_then(|n| n.parse().ok()).is_some_and(|n| numbers.contains(&n))
}
