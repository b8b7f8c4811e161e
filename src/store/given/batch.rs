//! Decisions that were given, in batches as they are sealed: each batch has one entry, whose digest is the root of a tree over its
//! rows in the order of their numbers, so that the request path pays nothing and each row can be proved. Old batches go whole,
//! which is an entry too.

use std::path::Path;

use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Arguments, Row as _, SqliteConnection};

use super::{COLUMNS, Given};
use crate::seal::{Hash, inclusion, leaf_hash, root};
use crate::store::error::{At, StoreError};
use crate::store::rows::{Insertion, insert_all, json_texts};
use crate::store::sealed::{NewEntry, Sealed};
use crate::time::Timestamp;

const INSERT: Insertion = Insertion {
    head: "INSERT INTO decisions_given (number, at, calls, event, call, account, api_key, org, decision, would, mode, \
           retry_after, reason, rules, violations, actions, bundle) VALUES",
    tuple: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    tail: "",
};

/// A row as it is written and sealed, its texts as they stand in the columns.
struct Sealing {
    number: i64,
    at: i64,
    calls: i64,
    event: String,
    call: Option<String>,
    account: Option<String>,
    api_key: Option<String>,
    org: Option<String>,
    decision: String,
    would: String,
    mode: String,
    retry_after: Option<i64>,
    reason: String,
    rules: String,
    violations: String,
    actions: String,
    bundle: String,
}

impl Sealing {
    fn of(number: i64, g: &Given) -> Sealing {
        let d = &g.decision;
        let names = |names: &[String]| json_texts(names.iter().map(String::as_str));
        Sealing {
            number,
            at: g.at.0,
            calls: i64::try_from(g.calls).unwrap_or(i64::MAX),
            event: g.event.clone(),
            call: g.call.clone(),
            account: g.account.clone(),
            api_key: g.api_key.clone(),
            org: g.org.clone(),
            decision: d.verdict.word().to_string(),
            would: d.would.word().to_string(),
            mode: d.mode.word().to_string(),
            retry_after: d.retry_after.map(|r| r.0),
            reason: d.reason.clone(),
            rules: names(&d.rules),
            violations: names(&d.violations),
            actions: names(&d.actions),
            bundle: g.bundle.clone(),
        }
    }

    fn read(r: &SqliteRow) -> Result<Sealing, sqlx::Error> {
        Ok(Sealing {
            number: r.try_get(0)?,
            at: r.try_get(1)?,
            calls: r.try_get(2)?,
            event: r.try_get(3)?,
            call: r.try_get(4)?,
            account: r.try_get(5)?,
            api_key: r.try_get(6)?,
            org: r.try_get(7)?,
            decision: r.try_get(8)?,
            would: r.try_get(9)?,
            mode: r.try_get(10)?,
            retry_after: r.try_get(11)?,
            reason: r.try_get(12)?,
            rules: r.try_get(13)?,
            violations: r.try_get(14)?,
            actions: r.try_get(15)?,
            bundle: r.try_get(16)?,
        })
    }

    /// Canonical JSON, of which its leaf is made.
    fn canonical(&self) -> String {
        json!({
            "number": self.number, "at": self.at, "calls": self.calls, "event": self.event, "call": self.call,
            "account": self.account, "api_key": self.api_key, "org": self.org, "decision": self.decision,
            "would": self.would, "mode": self.mode, "retry_after": self.retry_after, "reason": self.reason,
            "rules": self.rules, "violations": self.violations, "actions": self.actions, "bundle": self.bundle,
        })
        .to_string()
    }

    fn leaf(&self) -> Hash {
        leaf_hash(self.canonical().as_bytes())
    }
}

/// Most rows of a batch, which have one entry.
pub(in crate::store) const BATCH_ROWS: usize = 4_096;

/// First and last number of a batch, as the subject of its entry. Of one length, so that texts sort as numbers do.
fn subject(first: i64, last: i64) -> String {
    format!("{first:012}-{last:012}")
}

/// The numbers that a subject names.
pub(in crate::store) fn numbers(subject: &str) -> Option<(i64, i64)> {
    let (first, last) = subject.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn entry(leaves: &[(i64, Hash)]) -> Option<NewEntry> {
    let ((first, _), (last, _)) = (leaves.first()?, leaves.last()?);
    let hashes: Vec<Hash> = leaves.iter().map(|(_, leaf)| *leaf).collect();
    Some(NewEntry { kind: Sealed::Given, subject: subject(*first, *last), digest: root(&hashes) })
}

/// The last number that was given: numbers are not used again, whatever has gone.
const LAST_NUMBER: &str = "SELECT coalesce(max(number), 0) FROM \
     (SELECT max(number) AS number FROM decisions_given UNION ALL SELECT max(number) FROM given_erased)";
const LAST_BATCH: &str = "SELECT max(subject) FROM entries WHERE kind = 'given'";

/// Writes decisions; what of them is to be sealed.
pub(in crate::store) async fn insert(
    path: &Path,
    conn: &mut SqliteConnection,
    rows: &[Given],
) -> Result<Vec<NewEntry>, StoreError> {
    let doing = "write decisions to";
    let there: i64 = sqlx::query_scalar(LAST_NUMBER).fetch_one(&mut *conn).await.at(doing, path)?;
    let batch: Option<String> = sqlx::query_scalar(LAST_BATCH).fetch_one(&mut *conn).await.at(doing, path)?;
    let sealed = batch.as_deref().and_then(numbers).map_or(0, |(_, last)| last);
    let rows: Vec<Sealing> = (there.max(sealed) + 1..).zip(rows).map(|(number, g)| Sealing::of(number, g)).collect();
    insert_all(conn, &INSERT, &rows, |a, s| {
        a.add(s.number)?;
        a.add(s.at)?;
        a.add(s.calls)?;
        a.add(s.event.as_str())?;
        a.add(s.call.as_deref())?;
        a.add(s.account.as_deref())?;
        a.add(s.api_key.as_deref())?;
        a.add(s.org.as_deref())?;
        a.add(s.decision.as_str())?;
        a.add(s.would.as_str())?;
        a.add(s.mode.as_str())?;
        a.add(s.retry_after)?;
        a.add(s.reason.as_str())?;
        a.add(s.rules.as_str())?;
        a.add(s.violations.as_str())?;
        a.add(s.actions.as_str())?;
        a.add(s.bundle.as_str())
    })
    .await
    .at(doing, path)?;
    let leaves: Vec<(i64, Hash)> = rows.iter().map(|s| (s.number, s.leaf())).collect();
    Ok(leaves.chunks(BATCH_ROWS).filter_map(entry).collect())
}

const PAGE: &str = " WHERE number > ?1 ORDER BY number LIMIT ?2";

/// Leaves in the order of their numbers, those of erased ones too: a page behind a number.
pub(in crate::store) async fn leaves(conn: &mut SqliteConnection, after: i64) -> Result<Vec<(i64, Hash)>, sqlx::Error> {
    let limit = i64::try_from(BATCH_ROWS).unwrap_or(i64::MAX);
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS}{PAGE}"));
    let rows = sqlx::query(sql).bind(after).bind(limit).fetch_all(&mut *conn).await?;
    let full = rows.len() == BATCH_ROWS;
    let mut page = Vec::with_capacity(rows.len());
    for row in &rows {
        let row = Sealing::read(row)?;
        page.push((row.number, row.leaf()));
    }
    let until = page.last().filter(|_| full).map_or(i64::MAX, |(number, _)| *number);
    let erased: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT number, leaf FROM given_erased WHERE number > ?1 AND number <= ?2")
            .bind(after)
            .bind(until)
            .fetch_all(conn)
            .await?;
    page.extend(erased.into_iter().map(|(number, leaf)| (number, leaf.try_into().unwrap_or_default())));
    page.sort_unstable_by_key(|(number, _)| *number);
    Ok(page)
}

/// What an earlier release wrote without sealing it, where nothing of the kind was sealed yet.
pub(in crate::store) async fn unsealed(path: &Path, conn: &mut SqliteConnection) -> Result<Vec<NewEntry>, StoreError> {
    let doing = "take up the seals of";
    let mut seals = Vec::new();
    let sealed: Option<String> = sqlx::query_scalar(LAST_BATCH).fetch_one(&mut *conn).await.at(doing, path)?;
    if sealed.is_some() {
        return Ok(seals);
    }
    let mut after = 0;
    loop {
        let page = leaves(conn, after).await.at(doing, path)?;
        let Some((last, _)) = page.last() else { return Ok(seals) };
        after = *last;
        seals.extend(page.chunks(BATCH_ROWS).filter_map(entry));
    }
}

/// The oldest there is.
const OLDEST: &str = "SELECT min(number) FROM \
     (SELECT min(number) AS number FROM decisions_given UNION ALL SELECT min(number) FROM given_erased)";
/// The batch that a number would be in.
const BATCH: &str =
    "SELECT subject, digest FROM entries WHERE kind = 'given' AND subject < ?1 ORDER BY subject DESC LIMIT 1";
const YOUNGEST: &str = "SELECT coalesce(max(at), ?3) FROM decisions_given WHERE number BETWEEN ?1 AND ?2";
const FORGET: [&str; 2] = [
    "DELETE FROM decisions_given WHERE number BETWEEN ?1 AND ?2",
    "DELETE FROM given_erased WHERE number BETWEEN ?1 AND ?2",
];

/// Removes the oldest batch, where all of it was given before a moment; how many rows, and what of that is to be sealed.
pub(in crate::store) async fn forget(
    conn: &mut SqliteConnection,
    before: Timestamp,
) -> Result<(u64, Option<NewEntry>), sqlx::Error> {
    let oldest: Option<i64> = sqlx::query_scalar(OLDEST).fetch_one(&mut *conn).await?;
    let Some(oldest) = oldest else { return Ok((0, None)) };
    let batch: Option<(String, Vec<u8>)> =
        sqlx::query_as(BATCH).bind(subject(oldest + 1, 0)).fetch_optional(&mut *conn).await?;
    let found = batch.and_then(|(name, digest)| Some((numbers(&name)?, name, digest.try_into().ok()?)));
    let sealed = found.filter(|((first, last), ..)| (*first..=*last).contains(&oldest));
    // What no entry seals was put in by somebody else, and is no reason to keep the rest.
    let (first, last) = sealed.as_ref().map_or((oldest, oldest), |(numbers, ..)| *numbers);
    let youngest: i64 =
        sqlx::query_scalar(YOUNGEST).bind(first).bind(last).bind(i64::MIN).fetch_one(&mut *conn).await?;
    if youngest >= before.0 {
        return Ok((0, None));
    }
    let mut removed = 0;
    for sql in FORGET {
        removed += sqlx::query(sql).bind(first).bind(last).execute(&mut *conn).await?.rows_affected();
    }
    let seal = sealed.map(|(_, subject, digest)| NewEntry { kind: Sealed::Forgotten, subject, digest });
    Ok((removed, seal))
}

/// Erases what was given to an account and leaves its leaves, so that the batches hold as before; how many.
pub(in crate::store) async fn erase(conn: &mut SqliteConnection, account: &str) -> Result<u64, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE account = ?1"));
    let rows = sqlx::query(sql).bind(account).fetch_all(&mut *conn).await?;
    for row in &rows {
        let row = Sealing::read(row)?;
        let leaf = row.leaf();
        let keep = sqlx::query("INSERT INTO given_erased (number, leaf) VALUES (?1, ?2)");
        keep.bind(row.number).bind(leaf.as_slice()).execute(&mut *conn).await?;
        let delete = sqlx::query("DELETE FROM decisions_given WHERE number = ?1").bind(row.number);
        delete.execute(&mut *conn).await?;
    }
    Ok(rows.len() as u64)
}

/// Proves one decision: its canonical JSON, the subject of its batch, and where in it which path leads to the digest of its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenProof {
    /// Canonical JSON of the row; the leaf is its hash, as RFC 6962 has it.
    pub json: String,
    /// Subject of the entry that seals its batch.
    pub batch: String,
    /// Digest of that entry: the root over the batch.
    pub root: Hash,
    /// Its place in the batch, from 0.
    pub index: u64,
    /// Decisions in the batch.
    pub size: u64,
    /// Siblings from the leaf up.
    pub path: Vec<Hash>,
}

pub(in crate::store) async fn prove(
    conn: &mut SqliteConnection,
    number: i64,
) -> Result<Option<GivenProof>, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE number = ?1"));
    let Some(row) = sqlx::query(sql).bind(number).fetch_optional(&mut *conn).await? else { return Ok(None) };
    let json = Sealing::read(&row)?.canonical();
    let batch: Option<(String, Vec<u8>)> =
        sqlx::query_as(BATCH).bind(subject(number + 1, 0)).fetch_optional(&mut *conn).await?;
    let found = batch.and_then(|(name, digest)| Some((numbers(&name)?, name, digest.try_into().ok()?)));
    let Some(((first, last), batch, root)) = found.filter(|((_, last), ..)| number <= *last) else { return Ok(None) };
    let mut all = leaves(conn, first - 1).await?;
    all.retain(|(number, _)| *number <= last);
    let Some(index) = all.iter().position(|(n, _)| *n == number) else { return Ok(None) };
    let hashes: Vec<Hash> = all.into_iter().map(|(_, leaf)| leaf).collect();
    let path = inclusion(&hashes, index).unwrap_or_default();
    Ok(Some(GivenProof { json, batch, root, index: index as u64, size: hashes.len() as u64, path }))
}
