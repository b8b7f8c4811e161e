//! Table `inputs`: what of each input has been consumed, so that a rerun adds nothing and an appended file continues.

use sqlx::{Arguments, Row as _, SqliteConnection};

use super::rows::{Insertion, insert_all};

/// How far an input has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// As the run names it.
    pub name: String,
    /// Hash of its first `offset_bytes` bytes, to recognise it by.
    pub content_hash: String,
    /// Bytes consumed, of the input as it is stored.
    pub offset_bytes: u64,
    /// Lines consumed.
    pub n_lines: u64,
    /// Whether its end was reached.
    pub finished: bool,
}

/// Inputs of earlier runs stay: they are what makes a rerun add nothing.
const UPSERT: Insertion = Insertion {
    head: "INSERT INTO inputs (name, number, content_hash, offset_bytes, n_lines, finished) VALUES",
    tuple: "(?, ?, ?, ?, ?, ?)",
    tail: "ON CONFLICT (name) DO UPDATE SET number = excluded.number, content_hash = excluded.content_hash, \
           offset_bytes = excluded.offset_bytes, n_lines = excluded.n_lines, finished = excluded.finished",
};

/// All inputs in the order of their numbers, by which the snapshot refers to them.
const ALL: &str = "SELECT name, content_hash, offset_bytes, n_lines, finished FROM inputs ORDER BY number, name";

pub(super) async fn write(conn: &mut SqliteConnection, inputs: &[Input]) -> Result<(), sqlx::Error> {
    let numbered: Vec<(i64, &Input)> = (0..).zip(inputs).collect();
    insert_all(conn, &UPSERT, &numbered, |a, (number, input)| {
        a.add(input.name.as_str())?;
        a.add(*number)?;
        a.add(input.content_hash.as_str())?;
        a.add(i64::try_from(input.offset_bytes)?)?;
        a.add(i64::try_from(input.n_lines)?)?;
        a.add(input.finished)
    })
    .await?;
    Ok(())
}

pub(super) async fn read(conn: &mut SqliteConnection) -> Result<Vec<Input>, sqlx::Error> {
    let rows = sqlx::query(ALL).fetch_all(conn).await?;
    rows.iter()
        .map(|r| {
            Ok(Input {
                name: r.try_get(0)?,
                content_hash: r.try_get(1)?,
                offset_bytes: r.try_get::<i64, _>(2)?.unsigned_abs(),
                n_lines: r.try_get::<i64, _>(3)?.unsigned_abs(),
                finished: r.try_get(4)?,
            })
        })
        .collect()
}
