//! Table `violation_accounts`: which accounts a violation names, for the question "what is known of this account".

use std::collections::HashSet;

use sqlx::{Arguments, SqliteConnection};

use super::rows::{Insertion, insert_all, json_texts};
use super::violations::Entry;

/// The accounts of violations that changed. A violation of 10,000 accounts is updated at every step while a few join, so
/// the difference is written, not the whole.
const PRESENT: &str = "SELECT violation, account, opened_at FROM violation_accounts \
     WHERE violation IN (SELECT value FROM json_each(?1))";

const INSERT: Insertion = Insertion {
    head: "INSERT INTO violation_accounts (account, opened_at, violation) VALUES",
    tuple: "(?, ?, ?)",
    // A record that names an account twice names it.
    tail: "ON CONFLICT DO NOTHING",
};

/// An account that a record no longer names.
const DELETE: &str = "DELETE FROM violation_accounts WHERE account = ?1 AND opened_at = ?2 AND violation = ?3";

/// Makes the accounts of `written` those of the entries; only `changed` ones have any yet.
pub(super) async fn write(
    conn: &mut SqliteConnection,
    written: &[&Entry],
    changed: &[&Entry],
) -> Result<(), sqlx::Error> {
    let mut present: HashSet<(String, String, i64)> = HashSet::new();
    if !changed.is_empty() {
        let ids = json_texts(changed.iter().map(|e| e.row.id.as_str()));
        present.extend(sqlx::query_as(PRESENT).bind(ids).fetch_all(&mut *conn).await?);
    }
    let mut new = Vec::new();
    for entry in written {
        let (id, at) = (entry.row.id.as_str(), entry.row.opened_at.0);
        for account in &entry.accounts {
            if present.is_empty() || !present.remove(&(id.to_owned(), account.clone(), at)) {
                new.push((account.as_str(), at, id));
            }
        }
    }
    let mut gone: Vec<_> = present.into_iter().collect();
    gone.sort_unstable();
    for (violation, account, opened_at) in gone {
        sqlx::query(DELETE).bind(account).bind(opened_at).bind(violation).execute(&mut *conn).await?;
    }
    insert_all(conn, &INSERT, &new, |a, (account, at, id)| {
        a.add(*account)?;
        a.add(*at)?;
        a.add(*id)
    })
    .await?;
    Ok(())
}
