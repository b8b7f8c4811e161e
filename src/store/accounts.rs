//! Table `violation_accounts`: which accounts a violation names, for the question "what is known of this account".

use std::collections::HashSet;

use serde::Deserialize;
use sqlx::{Arguments, SqliteConnection};

use super::rows::{Insertion, insert_all, json_texts};
use super::violations::Entry;

/// The records that are about to be replaced, for the accounts they name. A violation of 10,000 accounts is updated at
/// every step while a few join, so the difference is written, not the whole; asked before the records change.
const REPLACED: &str = "SELECT id, opened_at, record FROM violations WHERE id IN (SELECT value FROM json_each(?1))";

/// A record that names an account twice names it.
const INSERT: Insertion = Insertion {
    head: "INSERT INTO violation_accounts (account, opened_at, violation) VALUES",
    tuple: "(?, ?, ?)",
    tail: "ON CONFLICT DO NOTHING",
};

/// An account that a record no longer names.
const DELETE: &str = "DELETE FROM violation_accounts WHERE account = ?1 AND opened_at = ?2 AND violation = ?3";

/// Account, time of opening, violation: a row of the table.
pub(super) type Named = (String, i64, String);

/// The rows of violations that are about to change.
pub(super) async fn named_by(conn: &mut SqliteConnection, changed: &[&Entry]) -> Result<HashSet<Named>, sqlx::Error> {
    /// The part of a record that is needed here.
    #[derive(Deserialize)]
    struct Accounts {
        accounts: Vec<String>,
    }
    let mut named = HashSet::new();
    if changed.is_empty() {
        return Ok(named);
    }
    let ids = json_texts(changed.iter().map(|e| e.row.id.as_str()));
    let replaced: Vec<(String, i64, String)> = sqlx::query_as(REPLACED).bind(ids).fetch_all(conn).await?;
    for (id, opened_at, record) in replaced {
        let record: Accounts = serde_json::from_str(&record).map_err(|e| sqlx::Error::Decode(e.into()))?;
        named.extend(record.accounts.into_iter().map(|account| (account, opened_at, id.clone())));
    }
    Ok(named)
}

/// Makes the accounts of the entries those of the table, which now holds `named` of them.
pub(super) async fn write(
    conn: &mut SqliteConnection,
    entries: &[&Entry],
    mut named: HashSet<Named>,
) -> Result<(), sqlx::Error> {
    let mut new = Vec::new();
    for entry in entries {
        let (id, at) = (entry.row.id.as_str(), entry.row.opened_at.0);
        for account in &entry.accounts {
            if named.is_empty() || !named.remove(&(account.clone(), at, id.to_owned())) {
                new.push((account.as_str(), at, id));
            }
        }
    }
    let mut gone: Vec<Named> = named.into_iter().collect();
    gone.sort_unstable();
    for (account, opened_at, violation) in gone {
        sqlx::query(DELETE).bind(account).bind(opened_at).bind(violation).execute(&mut *conn).await?;
    }
    // In the order of the tree: neighbours go to one page.
    new.sort_unstable();
    insert_all(conn, &INSERT, &new, |a, (account, at, id)| {
        a.add(*account)?;
        a.add(*at)?;
        a.add(*id)
    })
    .await?;
    Ok(())
}
