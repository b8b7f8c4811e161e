//! Holding a log against its seals. Reads everything once, in a few passes over the tables, and names what does not hold.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::error::{At, StoreError};
use super::sealed::{NewEntry, Sealed, entry_bytes};
use super::{actions, checkpoint, decisions, erasures, pins, sealed};
use crate::hir::{Confidence, Severity};
use crate::seal::{Checkpoint, Frontier, Hash, Note, Verifier, leaf_hash};
use crate::time::Timestamp;

/// Most problems that are listed; all are counted.
pub const PROBLEMS_LISTED_MAX: usize = 1_000;

/// A checkpoint that was kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Where it comes from, for messages.
    pub name: String,
    /// The note.
    pub note: Note,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What it concerns, such as `violation 1f3a…` or `entry 17`.
    pub what: String,
    /// What was found, and what should be.
    pub found: String,
}

/// How far a signature reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedUpTo {
    /// The key.
    pub key: String,
    /// Entries under its last checkpoint.
    pub size: u64,
}

/// Rules that were in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Hashes of what they stand on.
    pub pins: super::Pins,
    /// Whether what was read before was forgotten, and was to be read again.
    pub is_reset: bool,
    /// Place of the entry that seals it; none where no entry does.
    pub entry: Option<u64>,
}

/// What came of holding a log against its seals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Entries of the log.
    pub entries: u64,
    /// Violations, decisions and acts that were held against their entries.
    pub held: u64,
    /// Root over all entries.
    pub root: Hash,
    /// Signatures that hold.
    pub signed: Vec<SignedUpTo>,
    /// What erasures have touched: how many violations, decisions and acts are not what they were.
    pub erased: u64,
    /// Erasures of the log, in order.
    pub erasures: Vec<erasures::Erasure>,
    /// The last entry of each violation: SHA-256 of its record, and place of the entry.
    pub findings: BTreeMap<String, (Hash, u64)>,
    /// All that was in force, in order.
    pub in_force: Vec<InForce>,
    /// How far the journal belongs to the log, in the journal's own words, as sealed.
    pub journal: Option<String>,
    /// Names of anchors that the log grew out of.
    pub anchored: Vec<String>,
    /// What does not hold, as far as listed.
    pub problems: Vec<Problem>,
    /// How many do not hold.
    pub problems_total: u64,
}

impl Verified {
    /// Whether everything holds.
    pub fn holds(&self) -> bool {
        self.problems_total == 0
    }

    /// Notes something that does not hold.
    pub fn problem(&mut self, what: impl Into<String>, found: impl Into<String>) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_LISTED_MAX {
            self.problems.push(Problem { what: what.into(), found: found.into() });
        }
    }
}

const ENTRIES: &str = "SELECT seq, kind, subject, digest FROM entries WHERE seq >= ?1 ORDER BY seq LIMIT 4096";
const VIOLATIONS: &str = "SELECT id, rule, rule_hash, policy, clause, severity, confidence, mode, status, opened_at, \
     updated_at, closed_at, n_accounts, digest, record FROM violations WHERE id > ?1 ORDER BY id LIMIT 512";
/// Accounts that a record names and the table does not.
const NOT_NAMED: &str = "SELECT v.id, named.value FROM violations AS v, json_each(v.record, '$.accounts') AS named \
     WHERE NOT EXISTS (SELECT 1 FROM violation_accounts AS a WHERE a.account = named.value \
     AND a.opened_at = v.opened_at AND a.violation = v.id) LIMIT 1000";
const NAMED: &str = "SELECT count(*) FROM violation_accounts";
const TO_BE_NAMED: &str = "SELECT count(*) FROM (SELECT DISTINCT v.id, named.value FROM violations AS v, \
     json_each(v.record, '$.accounts') AS named)";

/// The last entry of each subject, by kind.
#[derive(Debug, Default)]
struct Last {
    violations: HashMap<String, (Hash, u64)>,
    others: BTreeMap<(Sealed, String), (Hash, u64)>,
    keys: Vec<String>,
}

pub(super) async fn verify(
    path: &Path,
    conn: &mut SqliteConnection,
    key: Option<&Verifier>,
    anchors: &[Anchor],
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Verified, StoreError> {
    let mut verified = Verified::default();
    whole_file(path, conn, &mut verified).await?;
    let signed = sealed::signed(conn).await.at("read the checkpoints of", path)?;
    let checkpoints = checkpoints(&signed, key, anchors, &mut verified);
    let last = tree(path, conn, &checkpoints, &mut verified, progress).await?;
    if key.is_none() {
        // The log's own word about its keys: each must have been announced by an entry.
        for (of, ..) in signed.iter().filter(|(of, ..)| !last.keys.contains(of)) {
            verified.problem(format!("key {of}"), "has signed the log, and no entry of the log says that it may");
        }
    }
    let held = held_violations(path, conn, &last, &mut verified, progress).await?;
    let others = held_others(path, conn, &last, &mut verified).await?;
    verified.held = held + others;
    verified.in_force = pins::all(conn).await.at("read the pins of", path)?;
    for (generation, of) in (1u64..).zip(&mut verified.in_force) {
        of.entry = last.others.get(&(Sealed::Rules, generation.to_string())).map(|(_, seq)| *seq);
    }
    verified.journal = checkpoint::journal(conn).await.at("read the checkpoint of", path)?;
    verified.findings = last.violations.into_iter().collect();
    Ok(verified)
}

/// Pages that SQLite itself finds wrong.
async fn whole_file(path: &Path, conn: &mut SqliteConnection, verified: &mut Verified) -> Result<(), StoreError> {
    let told: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check(100)").fetch_all(conn).await.at("check", path)?;
    for line in told.into_iter().filter(|line| line != "ok") {
        verified.problem("the file", line);
    }
    Ok(())
}

/// A size of the tree at which its root is known from elsewhere.
#[derive(Debug)]
struct Known {
    checkpoint: Checkpoint,
    from: From,
}

#[derive(Debug)]
enum From {
    Signed(String),
    Anchor(String),
}

/// Checkpoints whose signatures hold.
fn checkpoints(
    signed: &[(String, String, i64)],
    key: Option<&Verifier>,
    anchors: &[Anchor],
    verified: &mut Verified,
) -> Vec<Known> {
    let mut known = Vec::new();
    let mut by_key = false;
    for (of, note, size) in signed {
        if key.is_some_and(|key| key.to_string() != *of) {
            continue;
        }
        by_key = true;
        let Ok(verifier) = of.parse::<Verifier>() else {
            verified.problem(format!("key {of}"), "is no public key");
            continue;
        };
        let checkpoint = Note::parse(note).ok().filter(|note| note.is_signed_by(&verifier));
        match checkpoint.as_ref().and_then(Checkpoint::of) {
            Some(checkpoint) => {
                if i64::try_from(checkpoint.size) != Ok(*size) {
                    verified.problem(format!("checkpoint of key {of}"), "its column `size` does not say what it says");
                }
                known.push(Known { checkpoint, from: From::Signed(of.clone()) });
            }
            None => verified.problem(format!("checkpoint of key {of}"), "its signature does not hold"),
        }
    }
    match key {
        Some(key) if !by_key => verified.problem(format!("key {key}"), "has not signed this log"),
        None if signed.is_empty() => verified.problem("the log", "nothing of it is signed"),
        _ => {}
    }
    for anchor in anchors {
        let holds = |of: &str| of.parse().is_ok_and(|verifier| anchor.note.is_signed_by(&verifier));
        let by = match key {
            Some(key) => anchor.note.is_signed_by(key),
            None => signed.iter().any(|(of, ..)| holds(of)),
        };
        match Checkpoint::of(&anchor.note).filter(|_| by) {
            Some(checkpoint) => known.push(Known { checkpoint, from: From::Anchor(anchor.name.clone()) }),
            None => verified.problem(format!("anchor {}", anchor.name), "it is not signed by a key of this log"),
        }
    }
    known
}

/// Entries against the tree, and the tree against checkpoints.
async fn tree(
    path: &Path,
    conn: &mut SqliteConnection,
    known: &[Known],
    verified: &mut Verified,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Last, StoreError> {
    let (mut last, mut frontier, mut next) = (Last::default(), Frontier::default(), 0i64);
    let mut told = vec![false; known.len()];
    let mut compare = |frontier: &Frontier, verified: &mut Verified| {
        for (known, told) in known.iter().zip(&mut told).filter(|(k, _)| k.checkpoint.size == frontier.size()) {
            *told = true;
            let holds = known.checkpoint.root == frontier.root();
            match &known.from {
                From::Signed(key) if holds => {
                    verified.signed.push(SignedUpTo { key: key.clone(), size: frontier.size() });
                }
                From::Anchor(name) if holds => verified.anchored.push(name.clone()),
                From::Signed(key) => verified.problem(
                    format!("checkpoint of key {key}"),
                    format!("the first {} entries are not those that were signed", frontier.size()),
                ),
                From::Anchor(name) => verified.problem(
                    format!("anchor {name}"),
                    format!(
                        "the first {} entries are not those that it was made of: the log was rewritten",
                        frontier.size()
                    ),
                ),
            }
        }
    };
    compare(&frontier, verified);
    loop {
        let page = sqlx::query(ENTRIES).bind(next).fetch_all(&mut *conn).await.at("read the entries of", path)?;
        let Some(end) = page.last() else { break };
        next = end.try_get::<i64, _>(0).at("read the entries of", path)?.saturating_add(1);
        for row in &page {
            let entry = entry(row).at("read the entries of", path)?;
            let (seq, kind, subject, digest) = entry;
            while frontier.size() < seq {
                verified.problem(format!("entry {}", frontier.size()), "is missing");
                frontier.append([0; 32]);
                compare(&frontier, verified);
            }
            frontier.append(leaf_hash(&entry_bytes(seq, kind, &subject, &digest)));
            compare(&frontier, verified);
            match kind {
                Sealed::Violation => {
                    last.violations.insert(subject, (digest, seq));
                }
                Sealed::Retraction => {
                    last.violations.remove(&subject);
                }
                Sealed::Key => last.keys.push(subject),
                _ => {
                    last.others.insert((kind, subject), (digest, seq));
                }
            }
        }
        progress(frontier.size());
    }
    (verified.entries, verified.root) = (frontier.size(), frontier.root());
    for (known, _) in known.iter().zip(&told).filter(|(_, told)| !**told) {
        let (size, has) = (known.checkpoint.size, frontier.size());
        match &known.from {
            From::Signed(key) => verified.problem(
                format!("checkpoint of key {key}"),
                format!("was made over {size} entries, the log has {has}: the last ones are missing"),
            ),
            From::Anchor(name) => verified.problem(
                format!("anchor {name}"),
                format!("was made over {size} entries, the log has {has}: it was rolled back"),
            ),
        }
    }
    match sealed::frontier(path, conn).await {
        Ok(kept) if kept == frontier => {}
        _ => verified.problem("the tree", "its right edge is not that of the entries"),
    }
    Ok(last)
}

fn entry(row: &SqliteRow) -> Result<(u64, Sealed, String, Hash), sqlx::Error> {
    let kind: String = row.try_get(1)?;
    let kind =
        Sealed::from_word(&kind).ok_or_else(|| sqlx::Error::Decode(format!("an entry of kind `{kind}`").into()))?;
    let digest: Vec<u8> = row.try_get(3)?;
    let digest = digest.try_into().map_err(|_| sqlx::Error::Decode("a digest of another length".into()))?;
    Ok((row.try_get::<i64, _>(0)?.unsigned_abs(), kind, row.try_get(2)?, digest))
}

/// Each violation against its entry, and its columns against its record; how many.
async fn held_violations(
    path: &Path,
    conn: &mut SqliteConnection,
    last: &Last,
    verified: &mut Verified,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<u64, StoreError> {
    let doing = "read the violations of";
    let (mut after, mut n, mut met) = (String::new(), 0, 0);
    loop {
        let page = sqlx::query(VIOLATIONS).bind(&after).fetch_all(&mut *conn).await.at(doing, path)?;
        for row in &page {
            n += 1;
            after = row.try_get(0).at(doing, path)?;
            let what = || format!("violation {after}");
            let record: String = row.try_get(14).at(doing, path)?;
            let now: Hash = Sha256::digest(&record).into();
            match last.violations.get(&after) {
                None => verified.problem(what(), "no entry seals it: it was put in, or taken back"),
                Some((digest, seq)) => {
                    met += 1;
                    if now != *digest {
                        verified.problem(what(), format!("its record is not the one that entry {seq} seals"));
                    }
                }
            }
            if let Some(column) = copied(row, &record, now).at(doing, path)? {
                verified.problem(what(), format!("its column `{column}` does not say what its record says"));
            }
        }
        if page.is_empty() {
            break;
        }
        progress(verified.entries);
    }
    if met < last.violations.len() {
        let mut missing: Vec<_> = last.violations.iter().collect();
        missing.sort_by_key(|(_, (_, seq))| *seq);
        for (id, (_, seq)) in missing {
            let there: Option<i64> = sqlx::query_scalar("SELECT 1 FROM violations WHERE id = ?1")
                .bind(id)
                .fetch_optional(&mut *conn)
                .await
                .at(doing, path)?;
            if there.is_none() {
                verified.problem(format!("violation {id}"), format!("entry {seq} seals it, and it is not in the log"));
            }
        }
    }
    let not_named: Vec<(String, String)> = sqlx::query_as(NOT_NAMED).fetch_all(&mut *conn).await.at(doing, path)?;
    for (id, account) in &not_named {
        verified.problem(format!("violation {id}"), format!("is not found by its account `{account}`"));
    }
    let named: i64 = sqlx::query_scalar(NAMED).fetch_one(&mut *conn).await.at(doing, path)?;
    let to_be: i64 = sqlx::query_scalar(TO_BE_NAMED).fetch_one(&mut *conn).await.at(doing, path)?;
    if not_named.is_empty() && named != to_be {
        let found = format!("{named} accounts are named, the records name {to_be}");
        verified.problem("the table of accounts", found);
    }
    Ok(n)
}

/// The first column that differs from the record it is a copy of.
fn copied(row: &SqliteRow, record: &str, now: Hash) -> Result<Option<&'static str>, sqlx::Error> {
    let said: Value = serde_json::from_str(record).unwrap_or(Value::Null);
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    for (column, name) in
        [(0, "id"), (1, "rule"), (2, "rule_hash"), (3, "policy"), (4, "clause"), (7, "mode"), (8, "status")]
    {
        if row.try_get::<String, _>(column)? != text(name) {
            return Ok(Some(name));
        }
    }
    let severity = Severity::ALL.iter().position(|s| s.word() == text("severity"));
    let confidence = Confidence::ALL.iter().position(|c| c.word() == text("confidence"));
    for (column, name, rank) in [(5, "severity", severity), (6, "confidence", confidence)] {
        if usize::try_from(row.try_get::<i64, _>(column)?).ok() != rank {
            return Ok(Some(name));
        }
    }
    for (column, name) in [(9, "opened_at"), (10, "updated_at"), (11, "closed_at")] {
        let at: Option<Timestamp> = Timestamp::parse_rfc3339(text(name));
        if row.try_get::<Option<i64>, _>(column)? != at.map(|at| at.0) {
            return Ok(Some(name));
        }
    }
    let accounts = said.get("accounts").and_then(Value::as_array).map_or(0, Vec::len);
    if row.try_get::<i64, _>(12)? != accounts as i64 {
        return Ok(Some("n_accounts"));
    }
    let digest: Vec<u8> = row.try_get(13)?;
    Ok((digest != now).then_some("digest"))
}

/// What is not what it was, because an account was forgotten, and what was begun and not ended.
fn tell_erased(erasures: &[erasures::Erasure], there: &[NewEntry], last: &Last, verified: &mut Verified) {
    let touched = erasures::touched_now(erasures);
    let is_touched = |kind, subject: &str, digest: Hash| u64::from(touched.contains(&(kind, subject, digest)));
    let others = there.iter().map(|e| is_touched(e.kind, &e.subject, e.digest));
    let violations = last.violations.iter().map(|(id, (digest, _))| is_touched(Sealed::Violation, id, *digest));
    verified.erased = others.chain(violations).sum();
    for erasure in erasures.iter().filter(|e| !e.done) {
        verified.problem(
            format!("erasure {}", erasure.number),
            "was begun and is not finished; `fineprint erase --db FILE --finish` does, and so does the next `run` or `serve`",
        );
    }
    verified.erasures = erasures.to_vec();
}

/// Decisions, rules in force and the standing of the log against their entries; how many.
async fn held_others(
    path: &Path,
    conn: &mut SqliteConnection,
    last: &Last,
    verified: &mut Verified,
) -> Result<u64, StoreError> {
    let doing = "read";
    let mut there: Vec<NewEntry> =
        decisions::all(conn).await.at(doing, path)?.iter().map(decisions::Decision::seal).collect();
    there.extend(pins::history(conn).await.at(doing, path)?);
    there.extend(actions::all_seals(conn).await.at(doing, path)?);
    let erasures = erasures::all(conn).await.at(doing, path)?;
    there.extend(erasures.iter().map(erasures::Erasure::seal));
    tell_erased(&erasures, &there, last, verified);
    let n = there.len() as u64;
    // Between a reset and the next commit there is no standing to speak of.
    let is_reset = |(_, reset): (u64, u64), commit: u64| reset > commit;
    let of = |kind: Sealed| last.others.iter().filter(move |((k, _), _)| *k == kind).map(|(_, (_, seq))| *seq).max();
    let standing = checkpoint::seal(conn).await.at(doing, path)?;
    let commit = of(Sealed::Commit);
    if commit.is_some_and(|commit| !is_reset((0, of(Sealed::Rules).unwrap_or(0)), commit)) {
        there.push(standing);
    }
    let mut met = std::collections::BTreeSet::new();
    for entry in there {
        let name = format!("{} {}", entry.kind.word(), entry.subject);
        match last.others.get(&(entry.kind, entry.subject.clone())) {
            None => verified.problem(name, "no entry seals it: it was put in"),
            Some((digest, seq)) if *digest != entry.digest => {
                verified.problem(name, format!("is not what entry {seq} seals"));
            }
            Some(_) => {}
        }
        met.insert((entry.kind, entry.subject));
    }
    for ((kind, subject), (_, seq)) in last.others.iter().filter(|(of, _)| of.0 != Sealed::Commit && !met.contains(*of))
    {
        verified
            .problem(format!("{} {subject}", kind.word()), format!("entry {seq} seals it, and it is not in the log"));
    }
    Ok(n)
}
