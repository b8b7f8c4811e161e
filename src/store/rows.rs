//! Many rows in few statements: each execution crosses a thread, which costs more than a row does.

use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, SqliteConnection};

/// An insertion written out for one row: `head (tuple) tail`.
pub(super) struct Insertion {
    /// Up to and with `VALUES`.
    pub(super) head: &'static str,
    /// One row's place-holders, in parentheses.
    pub(super) tuple: &'static str,
    /// What follows the rows.
    pub(super) tail: &'static str,
}

/// Rows a statement. Few sizes, so that few prepared statements serve every batch. 256 rows of 15 columns are 3,840 of
/// the 32,766 variables that SQLite allows.
const SIZES: [usize; 4] = [256, 32, 4, 1];

/// Inserts all rows; returns how many were inserted or changed.
pub(super) async fn insert_all<T>(
    conn: &mut SqliteConnection,
    insertion: &Insertion,
    rows: &[T],
    bind: impl Fn(&mut SqliteArguments, &T) -> Result<(), BoxDynError>,
) -> Result<u64, sqlx::Error> {
    let (mut rest, mut affected) = (rows, 0);
    for size in SIZES {
        let mut sql = None;
        while let Some((group, tail)) = rest.split_at_checked(size) {
            rest = tail;
            let sql: &String = sql.get_or_insert_with(|| {
                let tuples = vec![insertion.tuple; size].join(", ");
                format!("{} {tuples} {}", insertion.head, insertion.tail)
            });
            let mut arguments = SqliteArguments::default();
            for row in group {
                bind(&mut arguments, row).map_err(sqlx::Error::Encode)?;
            }
            let query = sqlx::query_with(AssertSqlSafe(sql.as_str()), arguments);
            affected += query.execute(&mut *conn).await?.rows_affected();
        }
    }
    Ok(affected)
}

/// Texts as one JSON array, to be bound once and taken apart by `json_each`.
pub(super) fn json_texts<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from_iter(texts).to_string()
}
