//! Table `server_notes`: what happens to a server beside its decisions. Which rules it would take and which it refused, and who
//! may call it; each is sealed.

use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::sealed::{NewEntry, Sealed};
use super::violations::worded;
use crate::time::Timestamp;

/// What a note is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// Rules, lists or the registry were read again, and what came of it.
    Reload,
    /// Who may call: names, hashes of keys and certificates, rights.
    Callers,
}

impl Noted {
    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Noted::Reload => "reload",
            Noted::Callers => "callers",
        }
    }

    fn from_word(word: &str) -> Option<Noted> {
        [Noted::Reload, Noted::Callers].into_iter().find(|noted| noted.word() == word)
    }

    fn sealed(self) -> Sealed {
        match self {
            Noted::Reload => Sealed::Reload,
            Noted::Callers => Sealed::Callers,
        }
    }
}

/// A note as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerNote {
    /// Its number in this log; later ones are higher.
    pub number: u64,
    /// What it is of.
    pub kind: Noted,
    /// When, by the clock of the server.
    pub at: Timestamp,
    /// What, as JSON.
    pub details: String,
}

const INSERT: &str = "INSERT INTO server_notes (kind, at, details) VALUES (?1, ?2, ?3) RETURNING number";

/// The last note of a kind.
const LAST: &str = "SELECT details FROM server_notes WHERE kind = ?1 ORDER BY number DESC LIMIT 1";

const ALL: &str = "SELECT number, kind, at, details FROM server_notes ORDER BY number";

/// Writes a note; what of it is to be sealed. Who may call is written only where it is not what it was.
pub(super) async fn insert(
    conn: &mut SqliteConnection,
    kind: Noted,
    at: Timestamp,
    details: &Value,
) -> Result<Option<NewEntry>, sqlx::Error> {
    let details = details.to_string();
    if kind == Noted::Callers {
        let last: Option<String> = sqlx::query_scalar(LAST).bind(kind.word()).fetch_optional(&mut *conn).await?;
        if last.as_ref() == Some(&details) {
            return Ok(None);
        }
    }
    let insert = sqlx::query_scalar::<_, i64>(INSERT).bind(kind.word()).bind(at.0).bind(&details);
    let number = insert.fetch_one(conn).await?.unsigned_abs();
    Ok(Some(seal(&ServerNote { number, kind, at, details })))
}

/// All of them in order.
pub(super) async fn all(conn: &mut SqliteConnection) -> Result<Vec<ServerNote>, sqlx::Error> {
    sqlx::query(ALL).fetch_all(conn).await?.iter().map(note).collect()
}

/// What of a note is sealed: the whole row.
pub(super) fn seal(note: &ServerNote) -> NewEntry {
    let json = json!({ "number": note.number, "kind": note.kind.word(), "at": note.at.0, "details": note.details });
    NewEntry::of_json(note.kind.sealed(), note.number.to_string(), &json)
}

fn note(r: &SqliteRow) -> Result<ServerNote, sqlx::Error> {
    Ok(ServerNote {
        number: r.try_get::<i64, _>(0)?.unsigned_abs(),
        kind: worded(Noted::from_word, r, 1)?,
        at: Timestamp(r.try_get(2)?),
        details: r.try_get(3)?,
    })
}
