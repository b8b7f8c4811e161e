//! Tables `entries`, `tree` and `signed`: everything written or decided becomes an entry of a Merkle tree in the same
//! transaction, and the tree's size and root are signed.
//!
//! The leaf of an entry is made of these bytes, each line ended by `\n`: `fineprint entry 1`, its place in decimal, its kind,
//! its subject, its digest in lower-case hex.

use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::{Arguments, Connection, SqliteConnection};

use super::error::{At, StoreError};
use super::rows::{Insertion, insert_all};
use super::{actions, decisions, given, pins};
use crate::seal::{Checkpoint, Frontier, Hash, Signer, Verifier, leaf_hash};

/// What an entry seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sealed {
    /// A violation in a state of it: SHA-256 of its record. Subject: its id.
    Violation,
    /// A violation that was only as final as the end of a file, and was taken back. Subject: its id; digest: its last.
    Retraction,
    /// A reviewer's decision: SHA-256 of its canonical JSON. Subject: its number.
    Decision,
    /// An act on an action: SHA-256 of its canonical JSON. Subject: its number.
    Action,
    /// Rules, lists, registry and options that came into force: SHA-256 of their canonical JSON. Subject: the generation.
    Rules,
    /// Books, positions of inputs and of the journal at a commit: SHA-256 of their canonical JSON. Subject: `-`.
    Commit,
    /// A key that signs from here on. Subject: the public key.
    Key,
    /// Decisions that were given, written together: the root of a tree over them. Subject: numbers of the first and the last.
    Given,
    /// Such a batch that went because it was older than decisions are kept. Subject and digest: those of the batch.
    Forgotten,
    /// A server's rules were read again: SHA-256 of the canonical JSON of what came of it. Subject: its number.
    Reload,
    /// Who may call a server from here on: SHA-256 of its canonical JSON. Subject: its number.
    Callers,
    /// An account that was forgotten: SHA-256 of the canonical JSON of what was touched. Subject: its number.
    Erasure,
}

impl Sealed {
    /// All kinds.
    pub const ALL: [Sealed; 12] = [
        Sealed::Violation,
        Sealed::Retraction,
        Sealed::Decision,
        Sealed::Action,
        Sealed::Rules,
        Sealed::Commit,
        Sealed::Key,
        Sealed::Given,
        Sealed::Forgotten,
        Sealed::Reload,
        Sealed::Callers,
        Sealed::Erasure,
    ];

    /// The word in the table and in the leaf.
    pub fn word(self) -> &'static str {
        match self {
            Sealed::Violation => "violation",
            Sealed::Retraction => "retraction",
            Sealed::Decision => "decision",
            Sealed::Action => "action",
            Sealed::Rules => "rules",
            Sealed::Commit => "commit",
            Sealed::Key => "key",
            Sealed::Given => "given",
            Sealed::Forgotten => "forgotten",
            Sealed::Reload => "reload",
            Sealed::Callers => "callers",
            Sealed::Erasure => "erasure",
        }
    }

    /// The kind of this word.
    pub fn from_word(word: &str) -> Option<Sealed> {
        Sealed::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// An entry without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewEntry {
    pub(super) kind: Sealed,
    pub(super) subject: String,
    pub(super) digest: Hash,
}

impl NewEntry {
    /// Seals canonical JSON.
    pub(super) fn of_json(kind: Sealed, subject: String, json: &serde_json::Value) -> NewEntry {
        NewEntry { kind, subject, digest: Sha256::digest(json.to_string()).into() }
    }
}

/// The bytes that a leaf is made of.
pub fn entry_bytes(seq: u64, kind: Sealed, subject: &str, digest: &Hash) -> Vec<u8> {
    leaf_bytes(seq, kind.word(), subject, digest)
}

/// The same for a kind by its word, which need not be one, and a digest of any length.
pub(super) fn leaf_bytes(seq: u64, kind: &str, subject: &str, digest: &[u8]) -> Vec<u8> {
    let digest: String = hex::encode(digest);
    format!("fineprint entry 1\n{seq}\n{kind}\n{subject}\n{digest}\n").into_bytes()
}

const TREE: &str = "SELECT size, roots FROM tree WHERE only = 1";
const GROW: &str = "INSERT INTO tree (only, size, roots) VALUES (1, ?1, ?2) \
     ON CONFLICT (only) DO UPDATE SET size = excluded.size, roots = excluded.roots";
const INSERT: Insertion =
    Insertion { head: "INSERT INTO entries (seq, kind, subject, digest) VALUES", tuple: "(?, ?, ?, ?)", tail: "" };
const SIGN: &str = "INSERT INTO signed (key, size, note) VALUES (?1, ?2, ?3) \
     ON CONFLICT (key) DO UPDATE SET size = excluded.size, note = excluded.note";
/// Of two that reach as far the later one last.
const SIGNED: &str = "SELECT s.key, s.note, s.size FROM signed AS s ORDER BY s.size, \
     (SELECT max(e.seq) FROM entries AS e WHERE e.kind = 'key' AND e.subject = s.key), s.key";
/// The key that came last.
const KEY: &str = "SELECT subject FROM entries WHERE kind = 'key' ORDER BY seq DESC LIMIT 1";
const VIOLATIONS: &str = "SELECT id, digest FROM violations ORDER BY opened_at, id";
/// The last entry of a subject.
const LAST: &str = "SELECT digest FROM entries WHERE kind = ?1 AND subject = ?2 ORDER BY seq DESC LIMIT 1";

/// Appends entries within the transaction under way, and signs where there is a key.
pub(super) async fn append(
    path: &Path,
    conn: &mut SqliteConnection,
    new: &[NewEntry],
    signer: Option<&Signer>,
) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let doing = "seal entries of";
    let mut frontier = frontier(path, conn).await?;
    let mut rows = Vec::with_capacity(new.len());
    for entry in new {
        let seq = frontier.size();
        frontier.append(leaf_hash(&entry_bytes(seq, entry.kind, &entry.subject, &entry.digest)));
        rows.push((seq, entry));
    }
    insert_all(conn, &INSERT, &rows, |a, (seq, entry)| {
        a.add(i64::try_from(*seq)?)?;
        a.add(entry.kind.word())?;
        a.add(entry.subject.as_str())?;
        a.add(entry.digest.as_slice())
    })
    .await
    .at(doing, path)?;
    let size =
        i64::try_from(frontier.size()).map_err(|e| StoreError::Damaged { path: path.into(), what: e.to_string() })?;
    let grow = sqlx::query(GROW).bind(size).bind(frontier.roots().concat());
    grow.execute(&mut *conn).await.at(doing, path)?;
    match signer {
        Some(signer) => sign(path, conn, &frontier, signer).await,
        None => Ok(()),
    }
}

/// Signs the tree as it stands in the transaction under way.
pub(super) async fn sign(
    path: &Path,
    conn: &mut SqliteConnection,
    frontier: &Frontier,
    signer: &Signer,
) -> Result<(), StoreError> {
    let verifier = signer.verifier();
    let checkpoint = Checkpoint {
        origin: verifier.name().to_string(),
        size: frontier.size(),
        root: frontier.root(),
        extensions: Vec::new(),
    };
    let unfit = |e: crate::seal::BadNote| StoreError::Damaged { path: path.to_owned(), what: e.to_string() };
    let mut note = checkpoint.to_note().map_err(unfit)?;
    note.sign(signer);
    let insert = sqlx::query(SIGN).bind(verifier.to_string()).bind(frontier.size() as i64).bind(note.to_string());
    insert.execute(conn).await.at("sign", path)?;
    Ok(())
}

/// The tree as it stands.
pub(super) async fn frontier(path: &Path, conn: &mut SqliteConnection) -> Result<Frontier, StoreError> {
    let row: Option<(i64, Vec<u8>)> = sqlx::query_as(TREE).fetch_optional(conn).await.at("read the tree of", path)?;
    let Some((size, roots)) = row else { return Ok(Frontier::default()) };
    let roots = roots.chunks(32).map(<Hash>::try_from).collect::<Result<Vec<Hash>, _>>().ok();
    let frontier = u64::try_from(size).ok().zip(roots).and_then(|(size, roots)| Frontier::new(size, roots));
    frontier.ok_or_else(|| StoreError::Damaged {
        path: path.to_owned(),
        what: "the right edge of its tree does not fit its size; `verify` says which entries hold".to_string(),
    })
}

/// Whether the last entry of a subject seals this already.
pub(super) async fn is_sealed(conn: &mut SqliteConnection, entry: &NewEntry) -> Result<bool, sqlx::Error> {
    let last = sqlx::query_scalar::<_, Vec<u8>>(LAST).bind(entry.kind.word()).bind(&entry.subject);
    Ok(last.fetch_optional(conn).await?.is_some_and(|digest| digest == entry.digest))
}

/// The latest checkpoint of each key, the one over the most entries last: key, note, size.
pub(super) async fn signed(conn: &mut SqliteConnection) -> Result<Vec<(String, String, i64)>, sqlx::Error> {
    sqlx::query_as(SIGNED).fetch_all(conn).await
}

/// The latest checkpoint of a key.
pub(super) async fn latest(conn: &mut SqliteConnection, key: &Verifier) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT note FROM signed WHERE key = ?1").bind(key.to_string()).fetch_optional(conn).await
}

/// The entry of a key that signs from here on.
pub(super) fn key(verifier: &Verifier) -> NewEntry {
    let subject = verifier.to_string();
    NewEntry { kind: Sealed::Key, digest: Sha256::digest(&subject).into(), subject }
}

/// Takes up a log for writing: its key, which is made with the log; and what an earlier release wrote is sealed as it is.
/// `None` where the log was signed before and its key is not there, or not for us to read: entries are sealed all the same,
/// and signed by whoever has the key.
pub(super) async fn take_up(path: &Path, conn: &mut SqliteConnection) -> Result<Option<Signer>, StoreError> {
    let doing = "take up the seals of";
    let last: Option<String> = sqlx::query_scalar(KEY).fetch_optional(&mut *conn).await.at(doing, path)?;
    let signer = match (super::key::read(path)?, &last) {
        (None, None) => Some(super::key::make(path)?),
        (found, _) => found,
    };
    let new_key = signer.as_ref().filter(|s| last.as_deref() != Some(s.verifier().to_string().as_str()));
    // Those of an earlier release, which sealed none.
    let given_before = given::unsealed(path, conn).await?;
    if last.is_some() && new_key.is_none() && given_before.is_empty() {
        return Ok(signer);
    }
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.at(doing, path)?;
    let mut seals = Vec::new();
    if frontier(path, &mut tx).await?.size() == 0 {
        seals = pins::history(&mut tx).await.at(doing, path)?;
        let before: Vec<(String, Vec<u8>)> = sqlx::query_as(VIOLATIONS).fetch_all(&mut *tx).await.at(doing, path)?;
        for (subject, digest) in before {
            let digest = digest.try_into().unwrap_or_default();
            seals.push(NewEntry { kind: Sealed::Violation, subject, digest });
        }
        seals.extend(actions::all_seals(&mut tx).await.at(doing, path)?);
        seals.extend(decisions::all(&mut tx).await.at(doing, path)?.iter().map(decisions::Decision::seal));
    }
    seals.extend(given_before);
    seals.extend(new_key.map(|s| key(s.verifier())));
    append(path, &mut tx, &seals, signer.as_ref()).await?;
    tx.commit().await.at(doing, path)?;
    Ok(signer)
}
