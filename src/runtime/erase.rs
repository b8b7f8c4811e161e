//! Forgetting an account: in the journal, the log, the state that a run goes on with, and the packs that are kept.
//!
//! What changes is written beside what it replaces; then one transaction of the log changes what is in it and says so; then
//! what was prepared is put in place. A process that is killed before the transaction has erased nothing, and what it
//! prepared is of no meaning; after it, whoever next writes the log finishes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::runtime::Runtime;

use super::live::{erase_from_entry, erase_from_packs, finish_packs, is_entry};
use super::session;
use crate::eval::{Erased, Recalled, erased_name};
use crate::journal::rewrite::{self, Rewriting, Rewritten};
use crate::journal::{JournalError, Position};
use crate::store::{Access, Checkpoint, Erasing, Filter, Forgotten, PieceId, Store, StoreError};
use crate::time::Timestamp;

/// An account to be forgotten.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The log. It must be there, and nobody may be writing it.
    pub db: &'a Path,
    /// Its journal, where it does not lie beside it.
    pub journal: Option<&'a Path>,
    /// The account's id.
    pub account: &'a str,
    /// Who erases.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
    /// When, by the caller's clock.
    pub at: Timestamp,
    /// Whether actions that bear on the account, or may come to, stay as they are.
    pub keeps_actions: bool,
    /// Whether to say what would go, and do nothing.
    pub dry: bool,
}

/// What went.
#[derive(Debug)]
pub struct Outcome {
    /// What of the log.
    pub forgotten: Forgotten,
    /// The salt under which the erasure names the account. It is not kept: who has it can show which account it was.
    pub salt: [u8; 32],
    /// Records of the journal in whose place markers stand.
    pub events: u64,
    /// Rows of lists, tables and registries in packs that are kept.
    pub rows: u64,
    /// Rule files in packs that are kept, which name the account: they are what was in force, and stay.
    pub rule_files: Vec<PathBuf>,
}

/// Why nothing was erased, or it could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// The log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state cannot be read.
    #[error(
        "{0}; the account cannot be taken out of it. `run --rules-changed reset` reads the inputs again, then erase"
    )]
    State(String),
    /// A file of the packs, or the gate's.
    #[error("cannot change `{}`", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// An id that could be anything.
    #[error("an account's id has 1 to {ACCOUNT_BYTES_MAX} bytes, more than blanks")]
    Account,
    /// An id that is nowhere: there is nothing to say of it, and it may be mistyped.
    #[error(
        "nothing of `{}` names the account: nothing was erased, and nothing of it is noted; write its id as events have it",
        .0.display()
    )]
    Unknown(PathBuf),
    /// The log says that it has a journal, and there is none.
    #[error("the log goes by a journal, and there is none at `{}`; name it with `--journal`", .0.display())]
    NoJournal(PathBuf),
    /// No runtime or no randomness to be had.
    #[error("cannot begin")]
    System(#[source] io::Error),
}

/// Most bytes of an account's id: no event has a longer one.
pub const ACCOUNT_BYTES_MAX: usize = 64 << 10;

/// What lies beside a log.
fn beside(db: &Path, suffix: &str) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Forgets an account.
///
/// # Errors
/// Nothing is erased, save where the log's transaction was written and what follows it could not be done: the next call of
/// this or of [`finish`], and the next run, go on there.
pub fn erase(request: &Request<'_>) -> Result<Outcome, EraseError> {
    if request.account.trim().is_empty() || request.account.len() > ACCOUNT_BYTES_MAX {
        return Err(EraseError::Account);
    }
    let runtime = runtime()?;
    let mut store = open(&runtime, request.db)?;
    finish_in(&runtime, &mut store)?;
    let number = runtime.block_on(store.next_erasure())?;
    let token = erased_name(number);
    let resume = runtime.block_on(store.resume())?;
    let at: Option<Position> = match resume.as_ref().and_then(|r| r.checkpoint.journal.as_deref()) {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| EraseError::State(format!("`{text}` is no position")))?),
    };
    let dir = request.journal.map_or_else(|| beside(store.path(), ".journal"), Path::to_owned);
    let mut events = BTreeMap::new();
    let mut records = 0;
    let rewriting = match (dir.is_dir(), at) {
        (true, at) => {
            let mut replace = |record: &[u8]| replace(record, request.account, number, &mut events, &mut records);
            rewrite::prepare(&dir, &at.unwrap_or(Position::START), &mut replace)?
        }
        (false, Some(at)) if at != Position::START => return Err(EraseError::NoJournal(dir)),
        (false, _) => Rewriting::default(),
    };
    let packs = beside(store.path(), ".rules");
    let (rows, rule_files) = erase_from_packs(&packs, request.account, request.dry).map_err(failed)?;
    let mut is_in_state = false;
    let checkpoint = match resume {
        None => None,
        Some(resume) => {
            let of = Filter { account: Some(request.account.to_string()), ..Filter::default() };
            let rows = runtime.block_on(store.list(&of))?;
            let ended: BTreeSet<String> = rows.into_iter().filter(|r| r.n_accounts == 1).map(|r| r.id).collect();
            let pieces = session::erased(&resume.pieces, request.account, &token, &events, &ended);
            let (pieces, named) = pieces.map_err(EraseError::State)?;
            is_in_state = named;
            let mut snapshot: Vec<PieceId> = Vec::with_capacity(pieces.len());
            for piece in &pieces {
                snapshot.push(runtime.block_on(store.put_piece(piece))?);
            }
            let journal = resume.checkpoint.journal.as_ref().map(|_| rewriting.position.to_string());
            Some(Checkpoint { snapshot, journal, ..resume.checkpoint })
        }
    };
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|e| EraseError::System(e.into()))?;
    let journal: Vec<_> = rewriting.segments.iter().map(|s| (s.segment, s.before, s.after, s.n_records)).collect();
    let erasing = Erasing {
        account: request.account,
        token: &token,
        number,
        by: request.by,
        reason: request.reason,
        at: request.at,
        salt,
        is_event: &|id| events.contains_key(id),
        keeps_actions: request.keeps_actions,
        is_elsewhere: is_in_state || rows > 0 || !rewriting.segments.is_empty(),
        checkpoint: checkpoint.as_ref(),
        journal: &journal,
        dir: dir.is_dir().then_some(dir.as_path()),
    };
    let forgotten = match runtime.block_on(store.erase(&erasing, request.dry)) {
        Ok(forgotten) if !request.dry && !erasing.is_elsewhere && forgotten.is_nothing() => {
            Err(EraseError::Unknown(request.db.to_owned()))
        }
        forgotten => forgotten.map_err(EraseError::from),
    };
    if request.dry || forgotten.is_err() {
        if dir.is_dir() {
            rewrite::discard(&dir)?;
        }
        finish_packs(&packs, false).map_err(failed)?;
    } else {
        finish_in(&runtime, &mut store)?;
    }
    let forgotten = forgotten?;
    runtime.block_on(store.close())?;
    Ok(Outcome { forgotten, salt, events: records, rows, rule_files })
}

/// Finishes an erasure that was begun; whether there was one.
///
/// # Errors
/// As [`erase`]; to be called again then.
pub fn finish(db: &Path) -> Result<bool, EraseError> {
    let runtime = runtime()?;
    let mut store = open(&runtime, db)?;
    let finished = finish_in(&runtime, &mut store)?;
    runtime.block_on(store.close())?;
    Ok(finished)
}

/// The same for a log that is open for writing.
pub(super) fn finish_in(runtime: &Runtime, store: &mut Store) -> Result<bool, EraseError> {
    let erasures = runtime.block_on(store.erasures())?;
    let begun: Vec<_> = erasures.into_iter().filter(|e| !e.done).collect();
    for erasure in &begun {
        if let Some(dir) = erasure.dir.as_deref().map(Path::new).filter(|dir| dir.is_dir()) {
            let segments = erasure.journal.iter();
            let rewritten = segments.map(|(segment, before, after, n)| Rewritten {
                segment: *segment,
                before: *before,
                after: *after,
                n_records: *n,
            });
            rewrite::finish(dir, &rewritten.collect::<Vec<_>>())?;
        }
        finish_packs(&beside(store.path(), ".rules"), true).map_err(failed)?;
        // It holds no name, but a position of the journal as it was; a server makes it anew from the journal.
        let gate = beside(store.path(), ".gate");
        match fs::remove_file(&gate) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(EraseError::File { path: gate, source });
            }
            _ => {}
        }
        runtime.block_on(store.end_erasure(erasure.number))?;
    }
    Ok(!begun.is_empty())
}

/// What becomes of a record of the journal.
fn replace(
    record: &[u8],
    account: &str,
    number: u64,
    events: &mut BTreeMap<String, u64>,
    records: &mut u64,
) -> Result<Option<Vec<u8>>, String> {
    if Erased::read(record).is_some() {
        return Ok(None);
    }
    if is_entry(record) {
        return erase_from_entry(record, account, &erased_name(number));
    }
    let recalled = Recalled::read(record)?;
    if !recalled.names(account) {
        return Ok(None);
    }
    *records += 1;
    let next = events.len() as u64;
    events.entry(recalled.event.id().to_string()).or_insert(next);
    Ok(Some(Erased::of(record, number).to_bytes()))
}

fn failed((path, source): (PathBuf, io::Error)) -> EraseError {
    EraseError::File { path, source }
}

fn runtime() -> Result<Runtime, EraseError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(EraseError::System)
}

/// Opens a log for writing that is there.
fn open(runtime: &Runtime, db: &Path) -> Result<Store, EraseError> {
    Ok(runtime.block_on(async {
        Store::open(db, Access::ReadOnly).await?.close().await?;
        Store::open(db, Access::ReadWrite).await
    })?)
}
