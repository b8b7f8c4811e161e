//! Table `erasures`: accounts that were forgotten. In one transaction what names the account changes, each changed row is sealed
//! again, and an entry seals the erasure with the digests before and after. Which account it was stands nowhere.

mod again;

pub(super) use again::again;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Executor, Row as _, SqliteConnection};

use super::error::{At, StoreError};
use super::rows::json_texts;
use super::sealed::{NewEntry, Sealed};
use super::{Checkpoint, REASON_CHARS_MAX, REVIEWER_CHARS_MAX, Store, actions, checkpoint, decisions, given, sealed};
use crate::seal::Hash;
use crate::time::Timestamp;
use crate::violation::{Erasure as OfRecord, erased, rename_all, renamed};

/// An account to be forgotten.
pub struct Erasing<'a> {
    /// Its id.
    pub account: &'a str,
    /// What stands in its place.
    pub token: &'a str,
    /// The number of this erasure, from [`Store::next_erasure`].
    pub number: u64,
    /// Who erases: 1 to [`REVIEWER_CHARS_MAX`] characters, not blank.
    pub by: &'a str,
    /// Why: 1 to [`REASON_CHARS_MAX`] characters, not blank.
    pub reason: &'a str,
    /// When, by the caller's clock.
    pub at: Timestamp,
    /// Under which the account is hashed.
    pub salt: [u8; 32],
    /// Whether an event was one of the account's.
    pub is_event: &'a (dyn Fn(&str) -> bool + Sync),
    /// Whether actions that bear on the account or may come to, are left as they are. Without it they stand in the way.
    pub keeps_actions: bool,
    /// Whether something beside the log names the account. Where nothing does, neither there nor here, nothing is written.
    pub is_elsewhere: bool,
    /// Where the log goes on, with a state that does not know the account; `None` where it has none.
    pub checkpoint: Option<&'a Checkpoint>,
    /// Segments of the journal that become others: number, hash before and after, records that become others.
    pub journal: &'a [(u64, Hash, Hash, u64)],
    /// Where that journal lies; `None` where nothing of it is to be put in place.
    pub dir: Option<&'a Path>,
}

/// Something that an erasure changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// Its kind.
    pub kind: Sealed,
    /// Its id or number.
    pub subject: String,
    /// The digest that was sealed before.
    pub before: Hash,
    /// The digest that is sealed since.
    pub after: Hash,
}

/// An erasure as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its number.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who erased.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Hash of the account, lower-case hex: see [`account_hash`].
    pub account: String,
    /// What it changed, in order.
    pub touched: Vec<Touched>,
    /// Segments of the journal that became others.
    pub journal: Vec<(u64, Hash, Hash, u64)>,
    /// Ids of actions that stand as they were.
    pub kept: Vec<String>,
    /// Whether nothing is left to be done.
    pub done: bool,
    /// Where the journal lies whose segments are to be put in place.
    pub dir: Option<String>,
    /// The row as it is sealed.
    sealed: Value,
}

impl Erasure {
    pub(super) fn seal(&self) -> NewEntry {
        NewEntry::of_json(Sealed::Erasure, self.number.to_string(), &self.sealed)
    }
}

/// What an erasure did beside what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// As it stands in the log.
    pub erasure: Erasure,
    /// Decisions that were given to calls of the account, and are gone.
    pub given: u64,
    /// Messages about refused records that named it.
    pub rejects: u64,
}

impl Forgotten {
    /// Whether nothing of the log named the account.
    pub fn is_nothing(&self) -> bool {
        self.erasure.touched.is_empty() && self.erasure.kept.is_empty() && self.given == 0 && self.rejects == 0
    }
}

/// SHA-256 over a line that says what it is, the salt, and the account.
pub fn account_hash(salt: &[u8; 32], account: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"fineprint erasure 1\n");
    hash.update(salt);
    hash.update(account.as_bytes());
    hex::encode(hash.finalize())
}

fn unhex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(hash)
}

const BEGIN: &str = "INSERT INTO erasures (number, at, name, reason, account, touched, journal, kept, dir, done) \
     VALUES (?1, ?2, ?3, ?4, ?5, '[]', '[]', '[]', ?6, 0)";
const TELL: &str = "UPDATE erasures SET touched = ?2, journal = ?3, kept = ?4 WHERE number = ?1";
const END: &str = "UPDATE erasures SET done = 1, dir = NULL WHERE number = ?1";
const ALL: &str =
    "SELECT number, at, name, reason, account, touched, journal, kept, dir, done FROM erasures ORDER BY number";

/// Actions of which something may come, that bear on the account.
const STANDING: &str = "SELECT a.id FROM action_members AS m JOIN actions AS a ON a.id = m.action \
     WHERE m.member = ?1 AND a.is_alive = 1 ORDER BY a.id";

/// Records that may name it: as it stands in JSON.
const NAMING: &str = "SELECT id FROM violations WHERE instr(record, ?1) > 0 ORDER BY id";
const RECORD: &str = "SELECT digest, record FROM violations WHERE id = ?1";
const REPLACE: &str = "UPDATE violations SET digest = ?2, record = ?3 WHERE id = ?1";
const RENAME_ACCOUNT: &str =
    "UPDATE OR REPLACE violation_accounts SET account = ?2 WHERE account = ?1 AND violation = ?3";

const DECISIONS: &str =
    "SELECT number, reason, reviewer FROM decisions WHERE instr(reason, ?1) > 0 OR reviewer = ?1 ORDER BY number";
const DECISION: &str = "UPDATE decisions SET reason = ?2, reviewer = ?3 WHERE number = ?1";

const ENTRIES: &str = "SELECT seq, name, once, reason, details FROM action_entries WHERE (instr(details, ?1) > 0 \
     OR instr(reason, ?2) > 0 OR instr(once, ?2) > 0 OR name = ?2) \
     AND action NOT IN (SELECT value FROM json_each(?3)) ORDER BY seq";
const ENTRY: &str = "UPDATE action_entries SET name = ?2, once = ?3, reason = ?4, details = ?5 WHERE seq = ?1";
const MEMBERS: &str = "UPDATE OR REPLACE action_members SET member = ?2 WHERE member = ?1 \
     AND action NOT IN (SELECT value FROM json_each(?3))";

const REJECTS: &str = "SELECT input, line, detail FROM rejects WHERE instr(detail, ?1) > 0";
const REJECT: &str = "UPDATE rejects SET detail = ?3 WHERE input = ?1 AND line = ?2";

impl Store {
    /// Every erasure of the log in order.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn erasures(&self) -> Result<Vec<Erasure>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        all(&mut conn).await.at("read the erasures of", &self.path)
    }

    /// The number of the next one.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn next_erasure(&self) -> Result<u64, StoreError> {
        Ok(self.erasures().await?.last().map_or(0, |last| last.number).saturating_add(1))
    }

    /// Forgets an account, in one transaction with what was put before; or, where `dry`, says what that would do, and does
    /// nothing. What is left to be done afterwards is told by [`Store::erasures`], and ends with [`Store::end_erasure`].
    ///
    /// # Errors
    /// Nothing is erased: [`StoreError::ActionsStand`], a reason or name that is blank or too long, opened for reading, disk
    /// full.
    pub async fn erase(&mut self, erasing: &Erasing<'_>, dry: bool) -> Result<Forgotten, StoreError> {
        let erased = self.write_erasure(erasing, dry).await;
        self.undo_where_failed(erased).await
    }

    async fn write_erasure(&mut self, erasing: &Erasing<'_>, dry: bool) -> Result<Forgotten, StoreError> {
        for (what, text, chars_max) in
            [("reason", erasing.reason, REASON_CHARS_MAX), ("name", erasing.by, REVIEWER_CHARS_MAX)]
        {
            if text.trim().is_empty() || text.chars().count() > chars_max {
                return Err(StoreError::Unfit { what, chars_max });
            }
        }
        let signer = self.signer.clone();
        let (path, conn) = self.begin().await?;
        let mut seals = Vec::new();
        let mut forgotten = forget(path, conn, erasing, &mut seals).await?;
        if let Some(checkpoint) = erasing.checkpoint {
            let seal = checkpoint::write(path, conn, checkpoint).await?;
            if !sealed::is_sealed(conn, &seal).await.at("seal a commit of", path)? {
                seals.push(seal);
            }
        }
        let doing = "read the erasures of";
        if let Some(last) = all(conn).await.at(doing, path)?.into_iter().find(|e| e.number == erasing.number) {
            seals.push(last.seal());
            forgotten.erasure = last;
        }
        sealed::append(path, conn, &seals, signer.as_ref()).await?;
        let is_idle = dry || !erasing.is_elsewhere && forgotten.is_nothing();
        conn.execute(if is_idle { "ROLLBACK" } else { "COMMIT" }).await.at("commit an erasure to", path)?;
        self.begun = false;
        Ok(forgotten)
    }

    /// Nothing of an erasure is left to be done. What was there before is overwritten in the file, too.
    ///
    /// # Errors
    /// Whatever SQLite says; to be called again then.
    pub async fn end_erasure(&mut self, number: u64) -> Result<(), StoreError> {
        let path = &self.path;
        let writer = self.writer.as_mut().ok_or_else(|| StoreError::ReadOnly { path: path.clone() })?;
        for sql in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
            writer.execute(sql).await.at("overwrite what was erased in", path)?;
        }
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        sqlx::query(END).bind(number).execute(&mut *writer).await.at("end an erasure of", path)?;
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.at("end an erasure of", path)?;
        Ok(())
    }
}

/// Rows of the table, in order.
pub(super) async fn all(conn: &mut SqliteConnection) -> Result<Vec<Erasure>, sqlx::Error> {
    let rows = sqlx::query(ALL).fetch_all(conn).await?;
    let damaged = || sqlx::Error::Decode("an erasure that cannot be read".into());
    rows.iter()
        .map(|r| {
            let list = |column: usize| -> Result<Value, sqlx::Error> {
                serde_json::from_str(r.try_get(column)?).map_err(|e| sqlx::Error::Decode(e.into()))
            };
            let (touched, journal, kept) = (list(5)?, list(6)?, list(7)?);
            let number: i64 = r.try_get(0)?;
            let (at, by, reason): (i64, String, String) = (r.try_get(1)?, r.try_get(2)?, r.try_get(3)?);
            let account: String = r.try_get(4)?;
            let sealed = json!({
                "number": number, "at": at, "by": by, "reason": reason, "account": account, "touched": touched,
                "journal": journal, "kept": kept,
            });
            let items = |list: &Value| list.as_array().cloned().unwrap_or_default();
            let hash = |v: &Value, at: usize| v.get(at).and_then(Value::as_str).and_then(unhex);
            let touch = |v: &Value| {
                Some(Touched {
                    kind: Sealed::from_word(v.get(0)?.as_str()?)?,
                    subject: v.get(1)?.as_str()?.to_string(),
                    before: hash(v, 2)?,
                    after: hash(v, 3)?,
                })
            };
            let segment = |v: &Value| Some((v.get(0)?.as_u64()?, hash(v, 1)?, hash(v, 2)?, v.get(3)?.as_u64()?));
            Ok(Erasure {
                number: number.unsigned_abs(),
                at: Timestamp(at),
                by,
                reason,
                account,
                touched: items(&touched).iter().map(touch).collect::<Option<_>>().ok_or_else(damaged)?,
                journal: items(&journal).iter().map(segment).collect::<Option<_>>().ok_or_else(damaged)?,
                kept: items(&kept).iter().filter_map(|k| k.as_str().map(str::to_string)).collect(),
                dir: r.try_get(8)?,
                done: r.try_get(9)?,
                sealed,
            })
        })
        .collect()
}

/// Changes what names the account; what of it is to be sealed.
async fn forget(
    path: &Path,
    conn: &mut SqliteConnection,
    of: &Erasing<'_>,
    seals: &mut Vec<NewEntry>,
) -> Result<Forgotten, StoreError> {
    let doing = "erase from";
    let number = i64::try_from(of.number).unwrap_or(i64::MAX);
    let hash = account_hash(&of.salt, of.account);
    let begin = sqlx::query(BEGIN).bind(number).bind(of.at.0).bind(of.by).bind(of.reason).bind(&hash);
    begin.bind(of.dir.map(|d| d.display().to_string())).execute(&mut *conn).await.at(doing, path)?;
    let kept: Vec<String> =
        sqlx::query_scalar(STANDING).bind(of.account).fetch_all(&mut *conn).await.at(doing, path)?;
    if !kept.is_empty() && !of.keeps_actions {
        return Err(StoreError::ActionsStand { path: path.to_owned(), actions: kept });
    }
    let mut touched = records(path, conn, of).await?;
    touched.extend(texts_of_decisions(path, conn, of).await?);
    touched.extend(entries_of_actions(path, conn, of, &kept).await?);
    seals.extend(touched.iter().map(|t| NewEntry { kind: t.kind, subject: t.subject.clone(), digest: t.after }));
    let given = given::erase(&mut *conn, of.account).await.at(doing, path)?;
    let mut rejects = 0;
    let found: Vec<(String, i64, String)> =
        sqlx::query_as(REJECTS).bind(of.account).fetch_all(&mut *conn).await.at(doing, path)?;
    for (input, line, detail) in found {
        if let Some(detail) = renamed(&detail, of.account, of.token) {
            let update = sqlx::query(REJECT).bind(input).bind(line).bind(detail);
            rejects += update.execute(&mut *conn).await.at(doing, path)?.rows_affected();
        }
    }
    let list = |t: &Touched| json!([t.kind.word(), t.subject, hex::encode(t.before), hex::encode(t.after)]);
    let journal: Vec<Value> = of
        .journal
        .iter()
        .map(|(n, before, after, records)| json!([n, hex::encode(before), hex::encode(after), records]))
        .collect();
    let tell = sqlx::query(TELL).bind(number).bind(touched.iter().map(list).collect::<Value>().to_string());
    let tell = tell.bind(Value::from(journal).to_string()).bind(json_texts(kept.iter().map(String::as_str)));
    tell.execute(&mut *conn).await.at(doing, path)?;
    let erasure = all(conn).await.at(doing, path)?.pop();
    let erasure = erasure.ok_or_else(|| StoreError::Damaged {
        path: path.to_owned(),
        what: "an erasure that was begun is not there".to_string(),
    })?;
    Ok(Forgotten { erasure, given, rejects })
}

async fn records(path: &Path, conn: &mut SqliteConnection, of: &Erasing<'_>) -> Result<Vec<Touched>, StoreError> {
    let doing = "erase from the violations of";
    let quoted = Value::from(of.account).to_string();
    let needle = quoted.trim_matches('"');
    let ids: Vec<String> = sqlx::query_scalar(NAMING).bind(needle).fetch_all(&mut *conn).await.at(doing, path)?;
    let mut touched = Vec::new();
    for id in ids {
        let row: (Vec<u8>, String) = sqlx::query_as(RECORD).bind(&id).fetch_one(&mut *conn).await.at(doing, path)?;
        let record: Value = serde_json::from_str(&row.1).map_err(|e| sqlx::Error::Decode(e.into())).at(doing, path)?;
        let spec = OfRecord {
            account: of.account,
            token: of.token,
            number: of.number,
            is_event: &|event| (of.is_event)(event),
        };
        let Some(record) = erased(&record, &spec) else { continue };
        let record = record.to_string();
        let after: Hash = Sha256::digest(&record).into();
        let replace = sqlx::query(REPLACE).bind(&id).bind(after.as_slice()).bind(&record);
        replace.execute(&mut *conn).await.at(doing, path)?;
        let rename = sqlx::query(RENAME_ACCOUNT).bind(of.account).bind(of.token).bind(&id);
        rename.execute(&mut *conn).await.at(doing, path)?;
        let before = row.0.try_into().unwrap_or_default();
        touched.push(Touched { kind: Sealed::Violation, subject: id, before, after });
    }
    Ok(touched)
}

async fn texts_of_decisions(
    path: &Path,
    conn: &mut SqliteConnection,
    of: &Erasing<'_>,
) -> Result<Vec<Touched>, StoreError> {
    let doing = "erase from the decisions of";
    let seals =
        |all: Vec<decisions::Decision>| -> Vec<NewEntry> { all.iter().map(decisions::Decision::seal).collect() };
    let before = seals(decisions::all(conn).await.at(doing, path)?);
    let found: Vec<(i64, String, String)> =
        sqlx::query_as(DECISIONS).bind(of.account).fetch_all(&mut *conn).await.at(doing, path)?;
    let renamed = |text: String| renamed(&text, of.account, of.token).unwrap_or(text);
    for (number, reason, reviewer) in found {
        // A longer text than the schema takes is cut: the token may be longer than the name.
        let reason: String = renamed(reason).chars().take(REASON_CHARS_MAX).collect();
        let reviewer: String = renamed(reviewer).chars().take(REVIEWER_CHARS_MAX).collect();
        let update = sqlx::query(DECISION).bind(number).bind(reason).bind(reviewer);
        update.execute(&mut *conn).await.at(doing, path)?;
    }
    let after = seals(decisions::all(conn).await.at(doing, path)?);
    Ok(changed(before, after))
}

async fn entries_of_actions(
    path: &Path,
    conn: &mut SqliteConnection,
    of: &Erasing<'_>,
    kept: &[String],
) -> Result<Vec<Touched>, StoreError> {
    let doing = "erase from the actions of";
    let before = actions::all_seals(conn).await.at(doing, path)?;
    let kept = json_texts(kept.iter().map(String::as_str));
    let quoted = Value::from(of.account).to_string();
    let needle = quoted.trim_matches('"');
    let find = sqlx::query(ENTRIES).bind(needle).bind(of.account).bind(&kept);
    let text = |text: String| renamed(&text, of.account, of.token).unwrap_or(text);
    for row in find.fetch_all(&mut *conn).await.at(doing, path)? {
        let get = |column: usize| row.try_get::<String, _>(column).at(doing, path);
        let seq: i64 = row.try_get(0).at(doing, path)?;
        let mut details: Value =
            serde_json::from_str(&get(4)?).map_err(|e| sqlx::Error::Decode(e.into())).at(doing, path)?;
        rename_all(&mut details, of.account, of.token);
        sort_members(&mut details);
        let reason: String = text(get(3)?).chars().take(REASON_CHARS_MAX).collect();
        let update = sqlx::query(ENTRY).bind(seq).bind(text(get(1)?)).bind(text(get(2)?)).bind(reason);
        update.bind(details.to_string()).execute(&mut *conn).await.at(doing, path)?;
    }
    let members = sqlx::query(MEMBERS).bind(of.account).bind(of.token).bind(&kept);
    members.execute(&mut *conn).await.at(doing, path)?;
    let after = actions::all_seals(conn).await.at(doing, path)?;
    Ok(changed(before, after))
}

/// Members are in order.
fn sort_members(details: &mut Value) {
    for (_, act) in details.as_object_mut().into_iter().flatten() {
        if let Some(members) = act.get_mut("members").and_then(Value::as_array_mut) {
            members.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
    }
}

/// Those that are sealed otherwise now.
fn changed(before: Vec<NewEntry>, after: Vec<NewEntry>) -> Vec<Touched> {
    let pairs = before.into_iter().zip(after).filter(|(a, b)| a.subject == b.subject && a.digest != b.digest);
    pairs.map(|(a, b)| Touched { kind: a.kind, subject: a.subject, before: a.digest, after: b.digest }).collect()
}

/// What of a log an erasure has touched and what it seals of it: kind, subject and digest since.
pub(super) fn touched_now(erasures: &[Erasure]) -> BTreeSet<(Sealed, &str, Hash)> {
    erasures.iter().flat_map(|e| &e.touched).map(|t| (t.kind, t.subject.as_str(), t.after)).collect()
}
