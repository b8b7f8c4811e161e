//! Table `books`: counters by name. Which counters there are, and that they balance, is the run's affair.

use std::collections::BTreeMap;

use sqlx::{Arguments, SqliteConnection};

use super::rows::{Insertion, insert_all};

const UPSERT: Insertion = Insertion {
    head: "INSERT INTO books (name, count) VALUES",
    tuple: "(?, ?)",
    tail: "ON CONFLICT (name) DO UPDATE SET count = excluded.count",
};

/// All counters.
const ALL: &str = "SELECT name, count FROM books ORDER BY name";

pub(super) async fn write(conn: &mut SqliteConnection, books: &BTreeMap<String, u64>) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = books.iter().collect();
    insert_all(conn, &UPSERT, &rows, |a, (name, count)| {
        a.add(name.as_str())?;
        a.add(i64::try_from(**count)?)
    })
    .await?;
    Ok(())
}

pub(super) async fn read(conn: &mut SqliteConnection) -> Result<BTreeMap<String, u64>, sqlx::Error> {
    let rows: Vec<(String, i64)> = sqlx::query_as(ALL).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(name, count)| (name, count.unsigned_abs())).collect())
}
