//! Decisions that were given, against the entries of their batches.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::SqliteConnection;

use super::Verified;
use crate::seal::{Frontier, Hash};
use crate::store::error::{At, StoreError};
use crate::store::given::{leaves, numbers};

/// A batch as its entry names it.
struct Batch<'a> {
    subject: &'a str,
    first: i64,
    last: i64,
    digest: Hash,
    seq: u64,
}

/// Each batch against its entry; how many decisions there are. One pass in the order of the numbers.
pub(super) async fn held(
    path: &Path,
    conn: &mut SqliteConnection,
    sealed: &BTreeMap<String, (Hash, u64)>,
    verified: &mut Verified,
) -> Result<u64, StoreError> {
    let doing = "read the given decisions of";
    let mut batches = Vec::with_capacity(sealed.len());
    for (subject, (digest, seq)) in sealed {
        match numbers(subject) {
            Some((first, last)) => batches.push(Batch { subject, first, last, digest: *digest, seq: *seq }),
            None => verified.problem(format!("entry {seq}"), format!("`{subject}` names no decisions")),
        }
    }
    let mut batches = batches.into_iter().peekable();
    let (mut tree, mut after, mut n, mut strangers) = (Frontier::default(), i64::MIN, 0, 0u64);
    loop {
        let page = leaves(conn, after).await.at(doing, path)?;
        for (number, leaf) in &page {
            if *number == after {
                // A row, and what is left of it once it is erased.
                verified.problem(format!("given {number}"), "is there and erased");
            }
            after = *number;
            while let Some(batch) = batches.next_if(|batch| batch.last < *number) {
                over(&batch, &std::mem::take(&mut tree), verified);
            }
            if batches.peek().is_some_and(|batch| batch.first <= *number) {
                tree.append(*leaf);
                n += 1;
            } else {
                strangers += 1;
                verified.problem(format!("given {number}"), "no entry seals it: it was put in");
            }
        }
        if page.is_empty() {
            break;
        }
    }
    for batch in batches {
        over(&batch, &std::mem::take(&mut tree), verified);
    }
    let erased: i64 = sqlx::query_scalar("SELECT count(*) FROM given_erased").fetch_one(conn).await.at(doing, path)?;
    verified.given_erased = erased.unsigned_abs();
    Ok(n + strangers)
}

fn over(batch: &Batch<'_>, tree: &Frontier, verified: &mut Verified) {
    let Batch { subject, digest, seq, .. } = batch;
    if tree.size() == 0 {
        verified.problem(format!("given {subject}"), format!("entry {seq} seals it, and it is not in the log"));
    } else if tree.root() != *digest {
        verified.problem(format!("given {subject}"), format!("its decisions are not those that entry {seq} seals"));
    }
}
