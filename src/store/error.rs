//! What can go wrong with a violation log, in words for whoever started the run: what, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the store. Each message names the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is not there, and was opened for reading.
    #[error("there is no violation log at `{}`; name the database that a `run --db` wrote", .path.display())]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// Its directory is not there. Directories are never created: a mistyped path must not become a second, empty log.
    #[error("the directory of `{}` does not exist; create it first or correct the path", .path.display())]
    NoDirectory {
        /// The database.
        path: PathBuf,
    },
    /// The file is no SQLite database.
    #[error(
        "`{}` is not a SQLite database; it was left untouched. Choose another path or, if it was a log and is damaged, restore a copy",
        .path.display()
    )]
    NotADatabase {
        /// The database.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error(
        "`{}` is a database of another program (application id {application_id:#010x}); it was left untouched, choose another path",
        .path.display()
    )]
    Foreign {
        /// The database.
        path: PathBuf,
        /// What it says it is; 0 if it says nothing.
        application_id: u32,
    },
    /// A later release wrote the schema.
    #[error(
        "`{}` has schema {found}, this release knows schemas up to {known}; use the release that wrote it or a later one",
        .path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Schema of the file.
        found: i64,
        /// Latest schema of this release.
        known: i64,
    },
    /// An earlier release wrote the schema, and it was opened for reading.
    #[error(
        "`{}` has schema {found}, this release reads schema {known}; open it once for writing (`run --db`) to bring it up to date",
        .path.display()
    )]
    OlderSchema {
        /// The database.
        path: PathBuf,
        /// Schema of the file.
        found: i64,
        /// Schema of this release.
        known: i64,
    },
    /// Another run writes this database.
    #[error(
        "`{}` is being written by another run (it holds `{}`); wait for it or choose another database",
        .path.display(), .lock.display()
    )]
    Locked {
        /// The database.
        path: PathBuf,
        /// The lock file.
        lock: PathBuf,
    },
    /// Actions bear on an account that is to be forgotten, or may come to.
    #[error(
        "actions bear on the account or may come to: {}. Release or refuse them first (`fineprint actions`), or, where they \
         must stand, say so with `--keep-actions`: their entries then go on naming the account",
        .actions.join(", ")
    )]
    ActionsStand {
        /// The database.
        path: PathBuf,
        /// Their ids.
        actions: Vec<String>,
    },
    /// Another process holds a transaction open for longer than the busy timeout.
    #[error("`{}` stayed locked by another process for {timeout_ms} ms; close the program that has it open", .path.display())]
    Busy {
        /// The database.
        path: PathBuf,
        /// How long was waited, in milliseconds.
        timeout_ms: u64,
    },
    /// It cannot be written.
    #[error("`{}` cannot be written; make the file and its directory writable or open it for reading", .path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// No space left. The transaction was rolled back.
    #[error("no space left for `{}`; nothing of the last batch was kept, free some space and run again", .path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The disk, or a bound on the process, refused. The transaction was rolled back.
    #[error(
        "cannot {doing} `{}` ({what}); nothing of the last batch was kept. Look at the disk and at the bound on file sizes \
         (`ulimit -f`), then run again",
        .path.display()
    )]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        what: String,
    },
    /// A log that was not closed, opened for reading where nothing can be written.
    #[error(
        "`{}` was not closed by the run that wrote it, and its directory cannot be written; copy it with `{}-wal` to a directory that can be written, and read it there",
        .path.display(), .path.display()
    )]
    NotClosed {
        /// The database.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("`{}` is damaged: {what}; restore a copy, or write a new log from the inputs", .path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The file of the key holds none.
    #[error("`{}`: {why}; put the log's key back, or `fineprint log rotate --db` makes a new one", .path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: crate::seal::BadKey,
    },
    /// Rules, lists, registry or configuration differ from those the log was written under.
    #[error(
        "`{}` was written under other {what}; go on with `--rules-changed keep` (earlier state stays) or \
         `--rules-changed reset` (inputs are read again from the beginning)",
        .path.display()
    )]
    PinsChanged {
        /// The database.
        path: PathBuf,
        /// Which of them differ, joined by `, `.
        what: String,
    },
    /// A part of an id that fits several violations.
    #[error("`{prefix}` is the beginning of more than one violation id in `{}`; give more digits", .path.display())]
    Ambiguous {
        /// The database.
        path: PathBuf,
        /// What was given.
        prefix: String,
    },
    /// No violation has this id, or begins so.
    #[error(
        "`{}` holds no violation `{}`, so nothing was decided; `fineprint violations list --db FILE` shows the ids",
        .path.display(), .id.escape_default()
    )]
    NoViolation {
        /// The database.
        path: PathBuf,
        /// What was given.
        id: String,
    },
    /// A part of an id that fits several actions.
    #[error("`{prefix}` is the beginning of more than one action's id in `{}`; give more digits", .path.display())]
    AmbiguousAction {
        /// The database.
        path: PathBuf,
        /// What was given.
        prefix: String,
    },
    /// No action has this id, or begins so.
    #[error(
        "`{}` holds no action `{}`; `fineprint actions list --all --db FILE` shows the ids",
        .path.display(), .id.escape_default()
    )]
    NoAction {
        /// The database.
        path: PathBuf,
        /// What was given.
        id: String,
    },
    /// An act that cannot be done on the action as it stands. Nothing was written.
    #[error(transparent)]
    Refused(#[from] crate::enforce::Refusal),
    /// A part of a decision that is blank or too long.
    #[error("a decision needs a {what} of 1 to {chars_max} characters, more than blanks")]
    Unfit {
        /// Which part.
        what: &'static str,
        /// Most characters of it.
        chars_max: usize,
    },
    /// A number that SQLite cannot hold.
    #[error("{what} is {value}, more than `{}` can hold ({})", .path.display(), i64::MAX)]
    TooLarge {
        /// The database.
        path: PathBuf,
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// Whoever receives an export refused it.
    #[error("cannot write the export")]
    Output(#[source] io::Error),
    /// The file system refused.
    #[error("cannot {doing} `{}`", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Anything else that SQLite says.
    #[error("cannot {doing} `{}`", .path.display())]
    Sql {
        /// What was tried.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Says how long was waited, where that was not the usual time.
    pub(super) fn waited(self, busy_ms: u64) -> StoreError {
        match self {
            StoreError::Busy { path, .. } => StoreError::Busy { path, timeout_ms: busy_ms },
            other => other,
        }
    }
}

/// How long a statement waits for another process's transaction, in milliseconds.
pub(super) const BUSY_TIMEOUT_MS: u64 = 5_000;

/// How long a decision waits. A run that writes a large state down holds its transaction for seconds; nobody waits for a
/// reviewer.
pub(super) const REVIEW_BUSY_TIMEOUT_MS: u64 = 30_000;

// Primary result codes of SQLite (https://www.sqlite.org/rescode.html); the extended code's low byte.
const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_READONLY: u32 = 8;
const SQLITE_IOERR: u32 = 10;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_NOTADB: u32 = 26;
/// Extended: the file ends before the page that was to be read.
const SQLITE_IOERR_SHORT_READ: u32 = 522;

/// Turns what SQLite says into what it means for whoever started the run.
pub(super) fn translate(doing: &'static str, path: &Path, source: sqlx::Error) -> StoreError {
    let code = code(&source);
    let path = path.to_owned();
    let what = || source.as_database_error().map_or_else(|| source.to_string(), |e| e.message().to_string());
    match code.map(|c| c & 0xff) {
        Some(SQLITE_BUSY | SQLITE_LOCKED) => StoreError::Busy { path, timeout_ms: BUSY_TIMEOUT_MS },
        Some(SQLITE_READONLY) => StoreError::ReadOnly { path },
        Some(SQLITE_FULL) => StoreError::DiskFull { path },
        Some(SQLITE_NOTADB) => StoreError::NotADatabase { path },
        Some(SQLITE_CORRUPT) => StoreError::Damaged { path, what: what() },
        _ if code == Some(SQLITE_IOERR_SHORT_READ) => StoreError::Damaged { path, what: "it is cut off".to_string() },
        Some(SQLITE_IOERR) => StoreError::Disk { doing, path, what: what() },
        None if matches!(source, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) => {
            StoreError::Damaged { path, what: what() }
        }
        Some(SQLITE_CANTOPEN) if !parent(&path).is_dir() => StoreError::NoDirectory { path },
        _ => StoreError::Sql { doing, path, source },
    }
}

/// Whether SQLite could not make the files that it needs beside the database.
pub(super) fn cannot_open(source: &sqlx::Error) -> bool {
    code(source).map(|c| c & 0xff) == Some(SQLITE_CANTOPEN)
}

fn code(source: &sqlx::Error) -> Option<u32> {
    source.as_database_error().and_then(|e| e.code()).and_then(|c| c.parse().ok())
}

/// The directory a file lies in; `.` for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// A `sqlx` result with the place and the deed added.
pub(super) trait At<T> {
    /// Says what was tried on which database.
    fn at(self, doing: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> At<T> for Result<T, sqlx::Error> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|e| translate(doing, path, e))
    }
}
