//! Table `decisions`: what reviewers decided of violations. Rows are added, never changed; the last of a violation counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::error::{At, StoreError};
use super::rows::json_texts;
use super::sealed::{NewEntry, Sealed};
use super::violations::{self, Row, worded};
use crate::time::Timestamp;

/// Most characters of a reason. The schema knows the same number.
pub const REASON_CHARS_MAX: usize = 2_000;

/// Most characters of a reviewer's name. The schema knows the same number.
pub const REVIEWER_CHARS_MAX: usize = 100;

/// What a reviewer decided: that it is so, or why it is dismissed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The clause was broken as the record says.
    Confirmed,
    /// The rule accuses somebody who did nothing against the clause.
    FalsePositive,
    /// It happened, and was agreed upon.
    Authorised,
    /// Another violation tells the same.
    Duplicate,
    /// It may be so; the evidence does not show it.
    InsufficientEvidence,
    /// Somebody tried the rule out.
    Test,
}

impl Outcome {
    /// All of them, in the order in which they are told.
    pub const ALL: &'static [Outcome] = &[
        Outcome::Confirmed,
        Outcome::FalsePositive,
        Outcome::Authorised,
        Outcome::Duplicate,
        Outcome::InsufficientEvidence,
        Outcome::Test,
    ];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Confirmed => "confirmed",
            Outcome::FalsePositive => "false_positive",
            Outcome::Authorised => "authorised",
            Outcome::Duplicate => "duplicate",
            Outcome::InsufficientEvidence => "insufficient_evidence",
            Outcome::Test => "test",
        }
    }

    /// The outcome of this word.
    pub fn from_word(word: &str) -> Option<Outcome> {
        Outcome::ALL.iter().copied().find(|o| o.word() == word)
    }
}

/// A decision about to be written, on one violation or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What is decided.
    pub outcome: Outcome,
    /// Why: 1 to [`REASON_CHARS_MAX`] characters, not blank.
    pub reason: String,
    /// Who decides: 1 to [`REVIEWER_CHARS_MAX`] characters, not blank.
    pub by: String,
    /// When, by the caller's clock.
    pub at: Timestamp,
}

impl Judgement {
    fn check(&self) -> Result<(), StoreError> {
        let parts = [("reason", &self.reason, REASON_CHARS_MAX), ("reviewer", &self.by, REVIEWER_CHARS_MAX)];
        for (what, text, chars_max) in parts {
            if text.trim().is_empty() || text.chars().count() > chars_max {
                return Err(StoreError::Unfit { what, chars_max });
            }
        }
        Ok(())
    }
}

/// A decision as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Its number in this log; later ones are higher.
    pub number: u64,
    /// Id of the violation.
    pub violation: String,
    /// What was decided.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub by: String,
    /// When, by the clock of whoever decided.
    pub at: Timestamp,
    /// SHA-256 of the violation's record as it was decided upon, lower-case hex.
    pub record_hash: String,
    /// Whether the record has changed since.
    pub record_changed: bool,
    /// Number of the decision that counted before.
    pub supersedes: Option<u64>,
}

impl Decision {
    /// For machines. Which violation it is on is said there too, so that it can stand alone.
    pub fn to_json(&self) -> Value {
        json!({
            "violation": self.violation,
            "outcome": self.outcome.word(),
            "reason": self.reason,
            "by": self.by,
            "at": self.at.to_string(),
            "record_hash": self.record_hash,
            "record_changed": self.record_changed,
            "number": self.number,
            "supersedes": self.supersedes,
        })
    }

    /// What of it is sealed: all but whether the record has changed since.
    pub(super) fn seal(&self) -> NewEntry {
        NewEntry::of_json(Sealed::Decision, self.number.to_string(), &self.sealed())
    }

    /// As it is sealed.
    pub(super) fn sealed(&self) -> Value {
        json!({
            "number": self.number,
            "violation": self.violation,
            "outcome": self.outcome.word(),
            "reason": self.reason,
            "by": self.by,
            "at": self.at.0,
            "record": self.record_hash,
            "supersedes": self.supersedes,
        })
    }
}

/// A violation that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The rule that found it.
    pub rule: String,
    /// The decision that counts now.
    pub decision: Decision,
    /// The one that counted before.
    pub before: Option<Decision>,
}

const COLUMNS: &str = "SELECT d.number, d.violation, d.outcome, d.reason, d.reviewer, d.at, d.digest, \
     v.digest <> d.digest, d.supersedes FROM decisions AS d LEFT JOIN violations AS v ON v.id = d.violation ";

/// `violations show`: all of one violation, the one that counts last.
const OF_ONE: &str = "WHERE d.violation = ?1 ORDER BY d.number";

/// Those that count, of the violations of a page.
const LATEST: &str = "WHERE d.number IN (SELECT max(number) FROM decisions \
     WHERE violation IN (SELECT value FROM json_each(?1)) GROUP BY violation)";

/// The digest is taken from the row in the same statement, so that it is that of the record decided upon.
const INSERT: &str = "INSERT INTO decisions (violation, outcome, reason, reviewer, at, digest, supersedes) \
     SELECT id, ?2, ?3, ?4, ?5, digest, ?6 FROM violations WHERE id = ?1";

/// Which decision counts, for filters.
const COUNTS: &str = "INSERT INTO decided (violation, outcome, opened_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (violation) DO UPDATE SET outcome = excluded.outcome";

/// Decides on violations, named by ids or the beginnings of ids; who is named twice is decided once.
pub(super) async fn decide(
    path: &Path,
    conn: &mut SqliteConnection,
    ids: &[&str],
    judgement: &Judgement,
) -> Result<Vec<Decided>, StoreError> {
    judgement.check()?;
    let doing = "write decisions to";
    let (mut named, mut decided) = (BTreeSet::new(), Vec::new());
    for id in ids {
        let Some(row) = violations::get(path, conn, id).await? else {
            return Err(StoreError::NoViolation { path: path.to_owned(), id: (*id).to_owned() });
        };
        if !named.insert(row.id.clone()) {
            continue;
        }
        let before = of_one(conn, &row.id).await.at(doing, path)?.pop();
        let supersedes = before.as_ref().and_then(|d| i64::try_from(d.number).ok());
        let insert = sqlx::query(INSERT).bind(&row.id).bind(judgement.outcome.word()).bind(&judgement.reason);
        let insert = insert.bind(&judgement.by).bind(judgement.at.0).bind(supersedes);
        insert.execute(&mut *conn).await.at(doing, path)?;
        let counts = sqlx::query(COUNTS).bind(&row.id).bind(judgement.outcome.word()).bind(row.opened_at.0);
        counts.execute(&mut *conn).await.at(doing, path)?;
        let Some(decision) = of_one(conn, &row.id).await.at(doing, path)?.pop() else { continue };
        decided.push(Decided { rule: row.rule, decision, before });
    }
    Ok(decided)
}

/// Every decision of the log in order.
pub(super) async fn all(conn: &mut SqliteConnection) -> Result<Vec<Decision>, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS}ORDER BY d.number"));
    sqlx::query(sql).fetch_all(conn).await?.iter().map(decision).collect()
}

/// All decisions on a violation, the one that counts last.
pub(super) async fn of_one(conn: &mut SqliteConnection, violation: &str) -> Result<Vec<Decision>, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS}{OF_ONE}"));
    sqlx::query(sql).bind(violation).fetch_all(conn).await?.iter().map(decision).collect()
}

/// The decisions that count, by violation.
pub(super) async fn latest(
    conn: &mut SqliteConnection,
    rows: &[Row],
) -> Result<BTreeMap<String, Decision>, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS}{LATEST}"));
    let query = sqlx::query(sql).bind(json_texts(rows.iter().map(|r| r.id.as_str())));
    let found = query.fetch_all(conn).await?;
    found.iter().map(|r| decision(r).map(|d| (d.violation.clone(), d))).collect()
}

fn decision(r: &SqliteRow) -> Result<Decision, sqlx::Error> {
    let digest: Vec<u8> = r.try_get(6)?;
    Ok(Decision {
        number: r.try_get::<i64, _>(0)?.unsigned_abs(),
        violation: r.try_get(1)?,
        outcome: worded(Outcome::from_word, r, 2)?,
        reason: r.try_get(3)?,
        by: r.try_get(4)?,
        at: Timestamp(r.try_get(5)?),
        record_hash: hex::encode(digest),
        record_changed: r.try_get::<Option<bool>, _>(7)?.unwrap_or(false),
        supersedes: r.try_get::<Option<i64>, _>(8)?.map(i64::unsigned_abs),
    })
}
