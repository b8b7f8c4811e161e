//! The violation log: turns violations, rejects and checkpoints into rows of one SQLite file, each batch whole or not at
//! all, and reads them back in a reviewer's order. Knows records and bytes; no rules, no inputs, no clock.
//!
//! A log is written by one run at a time, which an advisory lock on `DB.lock` holds, and read by any number meanwhile.
//! Reading back never shows a wall clock or a row id, so two logs of the same events export the same bytes. What reviewers
//! decided stands beside the records, never in them, and is written while a run writes.

mod accounts;
mod actions;
mod acts;
mod books;
mod checkpoint;
mod decisions;
mod erasures;
mod error;
mod excerpt;
mod filter;
mod given;
mod inputs;
mod key;
mod notes;
mod open;
mod outbox;
mod pins;
mod precision;
mod rejects;
mod retract;
mod rows;
mod sealed;
mod served;
mod state;
mod verify;
mod violations;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::{Connection, Executor, SqliteConnection, SqlitePool};

pub use actions::{ActionFilter, ActionPlace, ActionsIn, ENTRIES_PAGE};
pub use checkpoint::{Checkpoint, Resume};
pub use decisions::{Decided, Decision, Judgement, Outcome, REASON_CHARS_MAX, REVIEWER_CHARS_MAX};
pub use erasures::{Erasing, Erasure, Forgotten, Touched, account_hash};
pub use error::StoreError;
pub use excerpt::{Excerpt, Proved};
pub use filter::{Disposition, Filter, LOOKED_AT_MAX};
pub use given::{Given, GivenFilter, GivenPlace, GivenProof};
pub use inputs::Input;
pub use key::key_path;
pub use notes::{Noted, ServerNote};
pub use open::Access;
pub use outbox::{AlertDelivery, AlertOutcome, AlertRoutes, DELIVERIES_TOLD_MAX, DueAlert, SettledAlert};
pub use pins::{Pinned, Pins, RulesChanged};
pub use precision::{Precision, Review, Reviewed};
pub use rejects::{DETAIL_CHARS_MAX, Reject};
pub use sealed::{Sealed, entry_bytes};
pub use state::{PIECE_BYTES, PieceId};
pub use verify::{Anchor, InForce, PROBLEMS_LISTED_MAX, Problem, SignedUpTo, Trust, Verified, Witnessed};
pub use violations::{Entry, Row, Tally, Written};

use crate::seal::{Signer, Verifier};
pub(crate) use error::sync_name;

use error::At;

use crate::time::Timestamp;

/// A violation log.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    readers: SqlitePool,
    /// A connection of its own: its prepared statements stay, and no reader can take it away.
    writer: Option<SqliteConnection>,
    /// Whether a transaction has begun: pieces were put that no commit has named yet.
    begun: bool,
    /// How long a statement of the writer waits for another process's transaction, in milliseconds.
    busy_ms: u64,
    /// What the log signs with; none where it is only read, or its key is not there.
    signer: Option<Signer>,
    told: Told,
    /// Held as long as the store lives; the operating system lets go of it even after a kill.
    _lock: Option<File>,
}

/// Hears each signed checkpoint once what it covers is on the disk. It must not wait for anything.
pub type OnCheckpoint = Arc<dyn Fn(&str) + Send + Sync>;

/// Who hears of checkpoints, and the last one that was told.
#[derive(Default)]
struct Told {
    by: Option<OnCheckpoint>,
    last: String,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Told({})", self.by.is_some())
    }
}

/// What is written together. Violations and rejects may be written at any time, since writing them twice is harmless;
/// whatever resuming depends on comes as one [`Checkpoint`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Batch<'a> {
    /// Violations in their present state. Of two with one id the later counts.
    pub violations: &'a [Entry],
    /// Ids of violations that rested on the end of an input which has gone on, and that do not hold any more. Written before
    /// the violations.
    pub retracted: &'a [String],
    /// Refused records.
    pub rejects: &'a [Reject],
    /// Where to go on from; `None` leaves the earlier one in force.
    pub checkpoint: Option<&'a Checkpoint>,
}

impl Store {
    /// Opens a log. For writing, a missing file is created (its directory is not) and an older schema brought up to date.
    ///
    /// # Errors
    /// Everything that [`StoreError`] says of a path: missing, foreign, newer, locked, read-only. A file that is refused is
    /// left as it was.
    pub async fn open(path: &Path, access: Access) -> Result<Store, StoreError> {
        open::open(path, access).await
    }

    /// The database's path, as it was resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a piece of a snapshot; its name, for the checkpoint of the next [`Store::commit`], which is what makes it last.
    ///
    /// # Errors
    /// As [`Store::commit`]; pieces that were put before are dropped too.
    pub async fn put_piece(&mut self, bytes: &[u8]) -> Result<PieceId, StoreError> {
        let put = match self.begin().await {
            Ok((path, writer)) => state::put(path, writer, bytes).await,
            Err(e) => Err(e),
        };
        self.undo_where_failed(put).await
    }

    /// Writes a part of a batch that the next [`Store::commit`] completes; until then it is not kept. What a batch needs in
    /// memory so need not be there at once.
    ///
    /// # Errors
    /// Nothing of the batch is kept: as [`Store::commit`].
    pub async fn put(&mut self, part: &Batch<'_>) -> Result<Written, StoreError> {
        let written = self.write(part).await;
        self.undo_where_failed(written).await
    }

    /// Writes a batch in one transaction and returns once it is on the disk. The same batch again changes nothing.
    ///
    /// # Errors
    /// Nothing of the batch is kept: opened for reading, disk full, locked for too long, a number beyond 63 bits.
    pub async fn commit(&mut self, batch: &Batch<'_>) -> Result<Written, StoreError> {
        let written = match self.write(batch).await {
            Ok(written) => self.complete().await.map(|()| written),
            Err(e) => Err(e),
        };
        self.undo_where_failed(written).await
    }

    async fn complete(&mut self) -> Result<(), StoreError> {
        let (path, writer) = self.begin().await?;
        writer.execute("COMMIT").await.at("commit to", path)?;
        self.begun = false;
        self.tell_checkpoint().await;
        Ok(())
    }

    /// Each signed checkpoint is told to `hears` from here on, once what it covers is on the disk.
    pub fn on_checkpoint(&mut self, hears: OnCheckpoint) {
        self.told.by = Some(hears);
    }

    /// What was written is safe whatever comes of this; a checkpoint that cannot be read is told with the next.
    async fn tell_checkpoint(&mut self) {
        let (Some(hears), Some(signer), Some(writer)) = (&self.told.by, &self.signer, self.writer.as_mut()) else {
            return;
        };
        let Ok(Some(note)) = sealed::latest(writer, signer.verifier()).await else { return };
        if note != self.told.last {
            hears(&note);
            self.told.last = note;
        }
    }

    async fn begin(&mut self) -> Result<(&Path, &mut SqliteConnection), StoreError> {
        let path = &self.path;
        let writer = self.writer.as_mut().ok_or_else(|| StoreError::ReadOnly { path: path.clone() })?;
        if !self.begun {
            // IMMEDIATE: the write lock is taken here, where waiting is harmless, not at the first write.
            writer.execute("BEGIN IMMEDIATE").await.at("begin a batch in", path).map_err(|e| e.waited(self.busy_ms))?;
            self.begun = true;
        }
        Ok((path, writer))
    }

    async fn write(&mut self, batch: &Batch<'_>) -> Result<Written, StoreError> {
        let signer = self.signer.clone();
        let (path, writer) = self.begin().await?;
        let mut seals = retract::delete(path, writer, batch.retracted).await?;
        let written = violations::upsert(path, writer, batch.violations, &mut seals).await?;
        rejects::insert(path, writer, batch.rejects).await?;
        if let Some(checkpoint) = batch.checkpoint {
            let seal = checkpoint::write(path, writer, checkpoint).await?;
            if !sealed::is_sealed(writer, &seal).await.at("seal a commit of", path)? {
                seals.push(seal);
            }
        }
        sealed::append(path, writer, &seals, signer.as_ref()).await?;
        Ok(written)
    }

    async fn undo_where_failed<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if done.is_err() && self.begun {
            self.begun = false;
            if let Some(writer) = self.writer.as_mut() {
                // SQLite has undone it already where the disk was full; it then says that there is nothing to undo.
                let _ = writer.execute("ROLLBACK").await;
            }
        }
        done
    }

    /// Where the last run stopped; `None` before the first checkpoint and after a reset.
    ///
    /// # Errors
    /// Damaged: the snapshot is not the one that was written.
    pub async fn resume(&self) -> Result<Option<Resume>, StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        checkpoint::read(&self.path, &mut tx).await
    }

    /// How far the journal belongs to the log, without the state that goes with it; `None` where there is none.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn journal_position(&self) -> Result<Option<String>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        checkpoint::journal(&mut conn).await.at("read the checkpoint of", &self.path)
    }

    /// What the log was last written under; `None` for a new one.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn pins(&self) -> Result<Option<Pins>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        pins::current(&mut conn).await.at("read the pins of", &self.path)
    }

    /// Whether a part of what was read was read under other rules than those in force: the journal then holds what those read.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn was_read_under_other_rules(&self) -> Result<bool, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        Ok(pins::others(&mut conn).await.at("read the pins of", &self.path)? > 0)
    }

    /// Holds `pins` against those in force. Equal ones and those of a new log are taken; others are refused, or taken with
    /// what `changed` says: keep the state, or forget what was read (inputs, books, rejects, snapshot). Violations stay in
    /// either case: a log does not forget what was found, each under the hash of its rule.
    ///
    /// # Errors
    /// [`StoreError::PinsChanged`] where they differ and `changed` refuses.
    pub async fn pin(&mut self, pins: &Pins, changed: RulesChanged) -> Result<Pinned, StoreError> {
        if self.begun {
            let pinned = self.pin_within(pins, changed).await;
            return self.undo_where_failed(pinned).await;
        }
        let path = &self.path;
        let writer = self.writer.as_mut().ok_or_else(|| StoreError::ReadOnly { path: path.clone() })?;
        let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.at("pin", path)?;
        let mut seals = Vec::new();
        let pinned = pins::pin(path, &mut tx, pins, changed, &mut seals).await?;
        sealed::append(path, &mut tx, &seals, self.signer.as_ref()).await?;
        tx.commit().await.at("pin", path)?;
        self.tell_checkpoint().await;
        Ok(pinned)
    }

    /// The key that checks what this log signs; `None` where it is only read, or its key is not there.
    pub fn verifier(&self) -> Option<&Verifier> {
        self.signer.as_ref().map(Signer::verifier)
    }

    /// The latest signed checkpoint of each key, the one over the most entries last: key and note.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn checkpoints(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        let signed = sealed::signed(&mut conn).await.at("read the checkpoints of", &self.path)?;
        Ok(signed.into_iter().map(|(key, note, _)| (key, note)).collect())
    }

    /// Violations by their whole ids, with all that belongs to them and the entries that seal it, as they stand at one moment.
    ///
    /// # Errors
    /// One that is not there; one that is not what its entry seals.
    pub async fn excerpt(&self, ids: &[String]) -> Result<Excerpt, StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        excerpt::excerpt(&self.path, &mut tx, ids).await
    }

    /// The key by which the log signs, read anew from beside it; `None` where it is not there, or not for us to read.
    ///
    /// # Errors
    /// A file that holds no key.
    pub fn read_key(&self) -> Result<Option<Signer>, StoreError> {
        key::read(&self.path)
    }

    /// Makes a new key, which signs from here on; the one before signs that it does, where it is there.
    ///
    /// # Errors
    /// Opened for reading; the file of the key cannot be written.
    pub async fn rotate_key(&mut self) -> Result<Verifier, StoreError> {
        let before = self.signer.take();
        let path = &self.path;
        let writer = self.writer.as_mut().ok_or_else(|| StoreError::ReadOnly { path: path.clone() })?;
        let signer = key::replace(path)?;
        let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.at("sign", path)?;
        let seal = sealed::key(signer.verifier());
        sealed::append(path, &mut tx, &[seal], before.as_ref()).await?;
        let frontier = sealed::frontier(path, &mut tx).await?;
        sealed::sign(path, &mut tx, &frontier, &signer).await?;
        tx.commit().await.at("sign", path)?;
        key::put_in_place(path)?;
        let verifier = signer.verifier().clone();
        self.signer = Some(signer);
        self.tell_checkpoint().await;
        Ok(verifier)
    }

    /// Holds everything that is sealed against its seals: entries against the tree, the tree against the signature of a key
    /// (where none is given, the log's own) and against checkpoints kept elsewhere, and what the log holds against its
    /// entries. `progress` hears how many entries were read.
    ///
    /// # Errors
    /// The file cannot be read at all. What does not hold is no error, but told.
    pub async fn verify(
        &self,
        key: Option<&Verifier>,
        anchors: &[Anchor],
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Verified, StoreError> {
        self.verify_by(&Trust { key, anchors, witnesses: &[] }, progress).await
    }

    /// As [`Store::verify`], with witnesses of whom each must have signed one of the checkpoints that were kept.
    ///
    /// # Errors
    /// As [`Store::verify`].
    pub async fn verify_by(
        &self,
        trust: &Trust<'_>,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Verified, StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        verify::verify(&self.path, &mut tx, trust, progress).await
    }

    /// Within a batch that has begun, rules change with its commit, or not at all.
    async fn pin_within(&mut self, pins: &Pins, changed: RulesChanged) -> Result<Pinned, StoreError> {
        let path = &self.path;
        let writer = self.writer.as_mut().ok_or_else(|| StoreError::ReadOnly { path: path.clone() })?;
        let mut seals = Vec::new();
        let pinned = pins::pin(path, writer, pins, changed, &mut seals).await?;
        sealed::append(path, writer, &seals, self.signer.as_ref()).await?;
        Ok(pinned)
    }

    /// Violations in order of (opened_at, id), at most `filter.limit`.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Row>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        let limit = filter.limit.unwrap_or(u64::MAX);
        filter::page(&mut conn, filter, None, limit, filter.offset).await.at("list the violations of", &self.path)
    }

    /// A page of violations with the decisions that count: at most `limit` behind the one that `after` names, of one moment, and
    /// where the next page begins; `None` at the end. It looks at [`LOOKED_AT_MAX`] violations at most: with a filter it may hold
    /// fewer, or none, and not be the last.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn page(
        &self,
        filter: &Filter,
        after: Option<&(Timestamp, String)>,
        limit: u64,
    ) -> Result<(Vec<(Row, Option<Decision>)>, Option<(Timestamp, String)>), StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        let page = filter::bounded(&mut tx, filter, after, limit).await;
        let (page, next) = page.at("list the violations of", &self.path)?;
        let mut latest = decisions::latest(&mut tx, &page).await.at("list the decisions of", &self.path)?;
        let page = page.into_iter().map(|row| (latest.remove(&row.id), row)).map(|(decision, row)| (row, decision));
        Ok((page.collect(), next))
    }

    /// The violation with this id, or the only one whose id begins so; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Ambiguous`] where several begin so.
    pub async fn get(&self, id_or_prefix: &str) -> Result<Option<Row>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        violations::get(&self.path, &mut conn, id_or_prefix).await
    }

    /// Writes a reviewer's decision on violations, each named by its id or the beginning of it, in one transaction; once it
    /// is on the disk, what was decided, in the order of the ids. The log is opened with [`Access::Review`] or for a run.
    ///
    /// # Errors
    /// Nothing is decided: a violation that is not there or not the only one, a reason or name that is blank or too long,
    /// opened for reading, locked for too long.
    pub async fn decide(&mut self, ids: &[&str], judgement: &Judgement) -> Result<Vec<Decided>, StoreError> {
        let decided = self.write_decisions(ids, judgement).await;
        self.undo_where_failed(decided).await
    }

    async fn write_decisions(&mut self, ids: &[&str], judgement: &Judgement) -> Result<Vec<Decided>, StoreError> {
        let signer = self.signer.clone();
        let (path, writer) = self.begin().await?;
        let decided = decisions::decide(path, writer, ids, judgement).await?;
        let seals: Vec<_> = decided.iter().map(|d| d.decision.seal()).collect();
        sealed::append(path, writer, &seals, signer.as_ref()).await?;
        self.complete().await?;
        Ok(decided)
    }

    /// Every decision on a violation, the one that counts last.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn decisions(&self, violation: &str) -> Result<Vec<Decision>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        decisions::of_one(&mut conn, violation).await.at("read the decisions of", &self.path)
    }

    /// What became of each rule's violations, by the decisions that count.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn review(&self) -> Result<Review, StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        precision::review(&mut tx).await.at("count the decisions of", &self.path)
    }

    /// How many violations there are of each rule, severity and status, in that order.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn stats(&self) -> Result<Vec<Tally>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        violations::stats(&mut conn).await.at("count the violations of", &self.path)
    }

    /// Hands out violations in order of (opened_at, id), as they stood at one moment, however many: they are read in pages.
    /// Returns how many.
    ///
    /// # Errors
    /// [`StoreError::Output`] with what `row` returned, which ends the export.
    pub async fn export(
        &self,
        filter: &Filter,
        row: &mut (dyn FnMut(&Row) -> std::io::Result<()> + Send),
    ) -> Result<u64, StoreError> {
        self.export_pages(filter, false, &mut |found, _| row(found)).await
    }

    /// As [`Store::export`], each violation with the decision that counts, of the same moment.
    ///
    /// # Errors
    /// As [`Store::export`].
    pub async fn export_decided(
        &self,
        filter: &Filter,
        row: &mut (dyn FnMut(&Row, Option<&Decision>) -> std::io::Result<()> + Send),
    ) -> Result<u64, StoreError> {
        self.export_pages(filter, true, row).await
    }

    async fn export_pages(
        &self,
        filter: &Filter,
        with_decisions: bool,
        row: &mut (dyn FnMut(&Row, Option<&Decision>) -> std::io::Result<()> + Send),
    ) -> Result<u64, StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        let mut left = filter.limit.unwrap_or(u64::MAX);
        let (mut offset, mut n, mut after) = (filter.offset, 0u64, None);
        loop {
            let want = left.min(filter::PAGE_ROWS);
            let page = filter::page(&mut tx, filter, after.as_ref(), want, offset).await;
            let page = page.at("export the violations of", &self.path)?;
            let latest = match with_decisions {
                true => decisions::latest(&mut tx, &page).await.at("export the decisions of", &self.path)?,
                false => BTreeMap::new(),
            };
            for found in &page {
                row(found, latest.get(&found.id)).map_err(StoreError::Output)?;
            }
            let got = page.len() as u64;
            (n, left, offset) = (n + got, left - got.min(left), 0);
            after = page.last().map(|r| (r.opened_at, r.id.clone()));
            if got < want || left == 0 || after.is_none() {
                return Ok(n);
            }
        }
    }

    /// Hands out the refused records in order of (input, line), of one input or of all. Returns how many.
    ///
    /// # Errors
    /// [`StoreError::Output`] with what `reject` returned.
    pub async fn rejects(
        &self,
        input: Option<&str>,
        reject: &mut (dyn FnMut(&Reject) -> std::io::Result<()> + Send),
    ) -> Result<u64, StoreError> {
        let mut tx = self.readers.begin().await.at("read", &self.path)?;
        rejects::read(&self.path, &mut tx, input, reject).await
    }

    /// How SQLite answers a filter, one step a line. For tests.
    #[doc(hidden)]
    pub async fn query_plan(&self, filter: &Filter, second_page: bool) -> Result<Vec<String>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        filter::plan(&mut conn, filter, second_page).await.at("explain", &self.path)
    }

    /// Sets how long a write waits for another process's transaction. For tests.
    #[doc(hidden)]
    pub async fn set_busy_timeout(&mut self, busy_ms: u64) -> Result<(), StoreError> {
        if let Some(writer) = self.writer.as_mut() {
            let pragma = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {busy_ms}"));
            writer.execute(pragma).await.at("open", &self.path)?;
        }
        self.busy_ms = busy_ms;
        Ok(())
    }

    /// Sets how much of the log the writer keeps in memory. For benchmarks.
    #[doc(hidden)]
    pub async fn set_cache(&mut self, kib: u64) -> Result<(), StoreError> {
        if let Some(writer) = self.writer.as_mut() {
            let pragma = sqlx::AssertSqlSafe(format!("PRAGMA cache_size = -{kib}"));
            writer.execute(pragma).await.at("open", &self.path)?;
        }
        Ok(())
    }

    /// Closes the log: the write-ahead log is folded into the file and the lock let go. Dropping does the same later.
    ///
    /// # Errors
    /// Whatever SQLite says; the data are safe in the write-ahead log.
    pub async fn close(mut self) -> Result<(), StoreError> {
        self.readers.close().await;
        if let Some(writer) = self.writer.take() {
            writer.close().await.at("close", &self.path)?;
        }
        Ok(())
    }
}
