//! Table `rejects`: records that were refused, by where they came from, and why. Never what they said.

use std::path::Path;

use sqlx::{Arguments, Row as _, SqliteConnection};

use super::error::{At, StoreError};
use super::rows::{Insertion, insert_all};

/// Most characters of a detail that are kept.
pub const DETAIL_CHARS_MAX: usize = 300;

/// A refused record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Name of the input.
    pub input: String,
    /// Line of the input, from 1.
    pub line: u64,
    /// The reason's word, as counted in the books.
    pub reason: String,
    /// The field it is about.
    pub field: Option<String>,
    /// What was found instead; cut at [`DETAIL_CHARS_MAX`] characters.
    pub detail: String,
}

/// A line is refused once; resuming reads some lines again and refuses them for the same reason.
const INSERT: Insertion = Insertion {
    head: "INSERT INTO rejects (input, line, reason, field, detail) VALUES",
    tuple: "(?, ?, ?, ?, ?)",
    tail: "ON CONFLICT (input, line) DO NOTHING",
};

/// A page of the rejects of all inputs. The primary key is the order.
const PAGE: &str = "SELECT input, line, reason, field, detail FROM rejects \
     WHERE (input, line) > (?1, ?2) ORDER BY input, line LIMIT ?3";

/// A page of the rejects of one input.
const PAGE_OF_INPUT: &str = "SELECT input, line, reason, field, detail FROM rejects \
     WHERE input = ?1 AND line > ?2 ORDER BY line LIMIT ?3";

const PAGE_ROWS: i64 = 1_000;

pub(super) async fn insert(path: &Path, conn: &mut SqliteConnection, rejects: &[Reject]) -> Result<(), StoreError> {
    insert_all(conn, &INSERT, rejects, |a, r| {
        a.add(r.input.as_str())?;
        a.add(i64::try_from(r.line)?)?;
        a.add(r.reason.as_str())?;
        a.add(r.field.as_deref())?;
        a.add(cut(&r.detail))
    })
    .await
    .at("write rejects to", path)?;
    Ok(())
}

pub(super) async fn read(
    path: &Path,
    conn: &mut SqliteConnection,
    input: Option<&str>,
    reject: &mut (dyn FnMut(&Reject) -> std::io::Result<()> + Send),
) -> Result<u64, StoreError> {
    let sql = if input.is_some() { PAGE_OF_INPUT } else { PAGE };
    let (mut name, mut line, mut n) = (input.unwrap_or("").to_owned(), -1i64, 0u64);
    loop {
        let page = sqlx::query(sql).bind(&name).bind(line).bind(PAGE_ROWS).fetch_all(&mut *conn).await;
        let page = page.at("read the rejects of", path)?;
        for row in &page {
            let found = decode(row).at("read the rejects of", path)?;
            reject(&found).map_err(StoreError::Output)?;
            n += 1;
            (name, line) = (found.input, found.line as i64);
        }
        if (page.len() as i64) < PAGE_ROWS {
            return Ok(n);
        }
    }
}

fn decode(r: &sqlx::sqlite::SqliteRow) -> Result<Reject, sqlx::Error> {
    Ok(Reject {
        input: r.try_get(0)?,
        line: r.try_get::<i64, _>(1)?.unsigned_abs(),
        reason: r.try_get(2)?,
        field: r.try_get(3)?,
        detail: r.try_get(4)?,
    })
}

/// The first [`DETAIL_CHARS_MAX`] characters; the last of them is an ellipsis where any were cut.
fn cut(detail: &str) -> String {
    if detail.chars().count() <= DETAIL_CHARS_MAX {
        return detail.to_owned();
    }
    detail.chars().take(DETAIL_CHARS_MAX - 1).chain(['…']).collect()
}
