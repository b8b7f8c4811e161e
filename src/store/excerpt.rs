//! What a case is proved with: violations, what was decided and done about them, and the entries that seal all of it, read in one
//! transaction together with the leaves of the whole tree.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::{Row as _, SqliteConnection};

use super::error::{At, StoreError};
use super::rows::json_texts;
use super::sealed::Sealed;
use super::violations::{self, Row};
use super::{actions, decisions, pins, sealed};
use crate::seal::{Hash, leaf_hash};

/// Something sealed, with its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// Place of the entry.
    pub seq: u64,
    /// Its kind.
    pub kind: Sealed,
    /// Its subject.
    pub subject: String,
    /// The text whose SHA-256 the entry holds; of a key the key itself.
    pub text: String,
}

/// Violations with all that belongs to them.
#[derive(Debug, Clone, Default)]
pub struct Excerpt {
    /// The violations, in order of opening and id.
    pub violations: Vec<Row>,
    /// What is sealed of them, in the order: violations as above, decisions, acts, rules that came into force, keys.
    pub proved: Vec<Proved>,
    /// The leaves of the tree.
    pub leaves: Vec<Hash>,
    /// Sizes of the tree behind a commit, a decision, an act or whatever else is signed by itself, ascending: those of which
    /// somebody may have kept a checkpoint.
    pub signed_at: Vec<u64>,
    /// The latest checkpoint of each key: key and note.
    pub signed: Vec<(String, String)>,
    /// Journal position that the log seals.
    pub journal: Option<String>,
}

const ENTRIES: &str = "SELECT seq, kind, subject, digest FROM entries WHERE seq >= ?1 ORDER BY seq LIMIT 4096";

pub(super) async fn excerpt(path: &Path, conn: &mut SqliteConnection, ids: &[String]) -> Result<Excerpt, StoreError> {
    let doing = "read";
    let mut out = Excerpt::default();
    // By kind and subject: the text that is looked for, and the last entry of the subject.
    let mut sought: Vec<(Sealed, String, String)> = Vec::new();
    for id in ids {
        let Some(row) = violations::get(path, conn, id).await? else {
            return Err(StoreError::NoViolation { path: path.to_owned(), id: id.clone() });
        };
        out.violations.push(row);
    }
    out.violations.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
    out.violations.dedup_by(|a, b| a.id == b.id);
    sought.extend(out.violations.iter().map(|row| (Sealed::Violation, row.id.clone(), row.record.clone())));
    let mut decided = Vec::new();
    for row in &out.violations {
        decided.extend(decisions::of_one(conn, &row.id).await.at(doing, path)?);
    }
    decided.sort_by_key(|d| d.number);
    sought.extend(decided.iter().map(|d| (Sealed::Decision, d.number.to_string(), d.sealed().to_string())));
    let of = json_texts(out.violations.iter().map(|row| row.id.as_str()));
    for act in actions::sealed_of(conn, &of).await.at(doing, path)? {
        let seq = act.get("seq").map(ToString::to_string).unwrap_or_default();
        sought.push((Sealed::Action, seq, act.to_string()));
    }
    let rules = pins::sealed(conn).await.at(doing, path)?;
    sought.extend(rules.into_iter().map(|(n, json)| (Sealed::Rules, n.to_string(), json.to_string())));
    out.signed = sealed::signed(conn).await.at(doing, path)?.into_iter().map(|(key, note, _)| (key, note)).collect();
    sought.extend(out.signed.iter().map(|(key, _)| (Sealed::Key, key.clone(), key.clone())));
    out.journal = super::checkpoint::journal(conn).await.at(doing, path)?;

    let mut last: BTreeMap<(Sealed, String), Option<(u64, Hash)>> =
        sought.iter().map(|(kind, subject, _)| ((*kind, subject.clone()), None)).collect();
    let mut next = 0i64;
    loop {
        let page = sqlx::query(ENTRIES).bind(next).fetch_all(&mut *conn).await.at(doing, path)?;
        if page.is_empty() {
            break;
        }
        for row in &page {
            let at: i64 = row.try_get(0).at(doing, path)?;
            let (kind, subject): (String, String) = (row.try_get(1).at(doing, path)?, row.try_get(2).at(doing, path)?);
            let digest: Vec<u8> = row.try_get(3).at(doing, path)?;
            let (seq, size) = (at.unsigned_abs(), out.leaves.len() as u64);
            let Some(digest) = <Hash>::try_from(digest).ok().filter(|_| seq == size) else {
                return Err(damaged(path, &format!("entry {size}")));
            };
            out.leaves.push(leaf_hash(&leaf(seq, &kind, &subject, &digest)));
            next = at.saturating_add(1);
            if ![Sealed::Violation, Sealed::Retraction].map(Sealed::word).contains(&kind.as_str()) {
                out.signed_at.push(seq.saturating_add(1));
            }
            let Some(kind) = Sealed::from_word(&kind) else { continue };
            if let Some(last) = last.get_mut(&(kind, subject)) {
                *last = Some((seq, digest));
            }
        }
    }
    for (kind, subject, text) in sought {
        let found = last.get(&(kind, subject.clone())).copied().flatten();
        let Some((seq, _)) = found.filter(|(_, digest)| *digest == <Hash>::from(Sha256::digest(&text))) else {
            return Err(damaged(path, &format!("{} {subject}", kind.word())));
        };
        out.proved.push(Proved { seq, kind, subject, text });
    }
    Ok(out)
}

/// The bytes of a leaf, of kinds too that this release does not know.
fn leaf(seq: u64, kind: &str, subject: &str, digest: &Hash) -> Vec<u8> {
    let digest: String = hex::encode(digest);
    format!("fineprint entry 1\n{seq}\n{kind}\n{subject}\n{digest}\n").into_bytes()
}

fn damaged(path: &Path, what: &str) -> StoreError {
    let what = format!(
        "{what} is not what its entry seals; `fineprint verify --db {}` says what does not hold",
        path.display()
    );
    StoreError::Damaged { path: path.to_owned(), what }
}
