//! Table `violations`: one row a violation, replaced when its record changes.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Arguments, Row as _, SqliteConnection};

use super::error::{At, StoreError};
use super::rows::{Insertion, insert_all, json_texts};
use super::sealed::{NewEntry, Sealed};
use super::{accounts, erasures};
use crate::hir::{Confidence, Mode, Severity};
use crate::time::Timestamp;
use crate::violation::{Record, Status, Violation};

/// A violation as a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// 32 hex digits.
    pub id: String,
    /// Name of the rule.
    pub rule: String,
    /// SHA-256 of the rule's canonical text.
    pub rule_hash: String,
    /// Document of the first clause that it enforces.
    pub policy: String,
    /// The first clause.
    pub clause: String,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// What the rule may do.
    pub mode: Mode,
    /// Where it stands.
    pub status: Status,
    /// When it began, in event time.
    pub opened_at: Timestamp,
    /// When it was last true.
    pub updated_at: Timestamp,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// How many accounts contributed.
    pub n_accounts: u64,
    /// The export form: one JSON object on one line.
    pub record: String,
}

/// A violation ready to be written. Made from a [`Violation`] without the store, so on any thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The row.
    pub row: Row,
    /// Every account that contributed, sorted.
    pub accounts: Vec<String>,
    digest: [u8; 32],
}

impl Entry {
    /// The same with another record.
    pub(super) fn with_record(&self, record: String) -> Entry {
        let digest = Sha256::digest(record.as_bytes()).into();
        Entry { digest, row: Row { record, ..self.row.clone() }, accounts: self.accounts.clone() }
    }
}

impl From<&Violation> for Entry {
    fn from(v: &Violation) -> Self {
        let record = Record::from(v).json;
        let first = v.clauses.first();
        Entry {
            digest: Sha256::digest(record.as_bytes()).into(),
            row: Row {
                id: v.id.clone(),
                rule: v.rule.clone(),
                rule_hash: v.rule_hash.clone(),
                policy: first.map(|c| c.policy.clone()).unwrap_or_default(),
                clause: first.map(|c| c.clause.clone()).unwrap_or_default(),
                severity: v.severity,
                confidence: v.confidence,
                mode: v.mode,
                status: v.status,
                opened_at: v.opened_at,
                updated_at: v.updated_at,
                closed_at: v.closed_at,
                n_accounts: v.accounts.len() as u64,
                record,
            },
            accounts: v.accounts.clone(),
        }
    }
}

/// What became of the violations of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Were not in the log.
    pub added: u64,
    /// Were, with another record.
    pub changed: u64,
    /// Were, with the same record.
    pub unchanged: u64,
}

/// A line of the statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Name of the rule.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// Where they stand.
    pub status: Status,
    /// How many.
    pub n_violations: u64,
}

/// The columns of a [`Row`], in the order of [`row`].
pub(super) const COLUMNS: &str = "v.id, v.rule, v.rule_hash, v.policy, v.clause, v.severity, v.confidence, v.mode, \
     v.status, v.opened_at, v.updated_at, v.closed_at, v.n_accounts, v.record";

/// Which of a batch's violations are there already, and whether they say the same: the digest decides, so that records
/// are neither read nor written in vain.
const PRESENT: &str = "SELECT id, digest FROM violations WHERE id IN (SELECT value FROM json_each(?1))";

/// The record in full, and the columns copied from it. `opened_at` is part of the id's hash but is copied all the same: the
/// record is the truth.
const UPSERT: Insertion = Insertion {
    head: "INSERT INTO violations (id, rule, rule_hash, policy, clause, severity, confidence, mode, status, \
           opened_at, updated_at, closed_at, n_accounts, digest, record) VALUES",
    tuple: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    tail: "ON CONFLICT (id) DO UPDATE SET rule = excluded.rule, rule_hash = excluded.rule_hash, \
           policy = excluded.policy, clause = excluded.clause, severity = excluded.severity, \
           confidence = excluded.confidence, mode = excluded.mode, status = excluded.status, \
           opened_at = excluded.opened_at, updated_at = excluded.updated_at, closed_at = excluded.closed_at, \
           n_accounts = excluded.n_accounts, digest = excluded.digest, record = excluded.record",
};

/// `violations show`: an id or its beginning. `g` follows the last hex digit, so the range holds every id that begins so;
/// the second row only says that there is one.
const GET: &str = "SELECT v.id, v.rule, v.rule_hash, v.policy, v.clause, v.severity, v.confidence, v.mode, \
     v.status, v.opened_at, v.updated_at, v.closed_at, v.n_accounts, v.record \
     FROM violations AS v WHERE v.id >= ?1 AND v.id < ?1 || 'g' ORDER BY v.id LIMIT 2";

/// `violations stats`: all violations by rule, severity and status. Reads one index from end to end, never a record.
const STATS: &str = "SELECT rule, severity, status, count(*) FROM violations INDEXED BY violations_by_rule \
     GROUP BY rule, severity, status ORDER BY rule, severity DESC, status";

/// Writes violations, and adds what of it is to be sealed: those whose record is new.
pub(super) async fn upsert(
    path: &Path,
    conn: &mut SqliteConnection,
    entries: &[Entry],
    seals: &mut Vec<NewEntry>,
) -> Result<Written, StoreError> {
    if entries.is_empty() {
        return Ok(Written::default());
    }
    let doing = "write violations to";
    let again = erasures::again(conn, entries).await.at(doing, path)?;
    let entries = again.as_deref().unwrap_or(entries);
    let last: HashMap<&str, usize> = entries.iter().enumerate().map(|(i, e)| (e.row.id.as_str(), i)).collect();
    let is_last = |i: usize, e: &Entry| last.get(e.row.id.as_str()) == Some(&i);
    let present: HashMap<String, Vec<u8>> = sqlx::query_as::<_, (String, Vec<u8>)>(PRESENT)
        .bind(json_texts(entries.iter().map(|e| e.row.id.as_str())))
        .fetch_all(&mut *conn)
        .await
        .at(doing, path)?
        .into_iter()
        .collect();
    let mut written = Written::default();
    let (mut write, mut changed) = (Vec::new(), Vec::new());
    for (_, entry) in entries.iter().enumerate().filter(|(i, e)| is_last(*i, e)) {
        match present.get(&entry.row.id) {
            Some(digest) if digest.as_slice() == entry.digest => {
                written.unchanged += 1;
                continue;
            }
            Some(_) => {
                written.changed += 1;
                changed.push(entry);
            }
            None => written.added += 1,
        }
        write.push(entry);
    }
    // In the order of the ids' tree, whose keys are random: neighbours go to one page.
    write.sort_unstable_by(|a, b| a.row.id.cmp(&b.row.id));
    let named = accounts::named_by(conn, &changed).await.at(doing, path)?;
    insert_all(conn, &UPSERT, &write, |a, e| {
        let r = &e.row;
        a.add(r.id.as_str())?;
        a.add(r.rule.as_str())?;
        a.add(r.rule_hash.as_str())?;
        a.add(r.policy.as_str())?;
        a.add(r.clause.as_str())?;
        a.add(r.severity as i64)?;
        a.add(r.confidence as i64)?;
        a.add(r.mode.word())?;
        a.add(r.status.word())?;
        a.add(r.opened_at.0)?;
        a.add(r.updated_at.0)?;
        a.add(r.closed_at.map(|t| t.0))?;
        a.add(i64::try_from(r.n_accounts)?)?;
        a.add(e.digest.as_slice())?;
        a.add(r.record.as_str())
    })
    .await
    .at(doing, path)?;
    accounts::write(conn, &write, named).await.at(doing, path)?;
    let seal = |e: &&Entry| NewEntry { kind: Sealed::Violation, subject: e.row.id.clone(), digest: e.digest };
    seals.extend(write.iter().map(seal));
    Ok(written)
}

pub(super) async fn get(path: &Path, conn: &mut SqliteConnection, prefix: &str) -> Result<Option<Row>, StoreError> {
    let prefix = prefix.to_ascii_lowercase();
    if !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let found = sqlx::query(GET).bind(&prefix).fetch_all(conn).await.at("look into", path)?;
    match found.as_slice() {
        [] => Ok(None),
        [one] => row(one).map(Some).at("look into", path),
        _ => Err(StoreError::Ambiguous { path: path.to_owned(), prefix }),
    }
}

pub(super) async fn stats(conn: &mut SqliteConnection) -> Result<Vec<Tally>, sqlx::Error> {
    let rows = sqlx::query(STATS).fetch_all(conn).await?;
    rows.iter()
        .map(|r| {
            Ok(Tally {
                rule: r.try_get(0)?,
                severity: ranked(Severity::ALL, r, 1)?,
                status: worded(Status::from_word, r, 2)?,
                n_violations: r.try_get::<i64, _>(3)?.unsigned_abs(),
            })
        })
        .collect()
}

/// A row of [`COLUMNS`].
pub(super) fn row(r: &SqliteRow) -> Result<Row, sqlx::Error> {
    Ok(Row {
        id: r.try_get(0)?,
        rule: r.try_get(1)?,
        rule_hash: r.try_get(2)?,
        policy: r.try_get(3)?,
        clause: r.try_get(4)?,
        severity: ranked(Severity::ALL, r, 5)?,
        confidence: ranked(Confidence::ALL, r, 6)?,
        mode: worded(Mode::from_word, r, 7)?,
        status: worded(Status::from_word, r, 8)?,
        opened_at: Timestamp(r.try_get(9)?),
        updated_at: Timestamp(r.try_get(10)?),
        closed_at: r.try_get::<Option<i64>, _>(11)?.map(Timestamp),
        n_accounts: r.try_get::<i64, _>(12)?.unsigned_abs(),
        record: r.try_get(13)?,
    })
}

/// The schema's checks keep other numbers and words out; a file that has one all the same is an error, not a guess.
fn ranked<T: Copy>(all: &[T], r: &SqliteRow, column: usize) -> Result<T, sqlx::Error> {
    let rank: i64 = r.try_get(column)?;
    let found = usize::try_from(rank).ok().and_then(|i| all.get(i)).copied();
    found.ok_or_else(|| sqlx::Error::Decode(format!("rank {rank} in column {column}").into()))
}

pub(super) fn worded<T>(from_word: impl Fn(&str) -> Option<T>, r: &SqliteRow, column: usize) -> Result<T, sqlx::Error> {
    let word: String = r.try_get(column)?;
    from_word(&word).ok_or_else(|| sqlx::Error::Decode(format!("`{word}` in column {column}").into()))
}
