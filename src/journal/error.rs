//! What can go wrong with a journal, naming the segment and the place in it.

use std::io;
use std::path::PathBuf;

/// An error of the journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A record above the bound.
    #[error("a projection of {bytes} bytes is above the bound of {max} bytes; it was not journaled", max = super::RECORD_BYTES_MAX)]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A segment does not say what was written.
    #[error("journal segment `{}` is damaged at byte {offset}: {what}", .path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where, in bytes from its beginning.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// Something that was synced is not there.
    #[error(
        "the journal `{}` ends before segment {segment}, byte {offset}, up to which the log relies on it; restore the \
         directory, or read the inputs again with `--rules-changed reset`",
        .dir.display()
    )]
    Lost {
        /// The journal's directory.
        dir: PathBuf,
        /// Segment of the position asked for.
        segment: u64,
        /// Byte in it.
        offset: u64,
    },
    /// The secret under which the journal's commitments were made.
    #[error(
        "`{}` {what}: without it nobody can show that the journal speaks of the events it was made of; restore the file, or read \
         the inputs again with `--rules-changed reset`",
        .path.display()
    )]
    Salt {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
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
    /// An earlier error ended the journal.
    #[error("the journal stopped after an earlier error; what was appended since its last sync is not kept")]
    Stopped,
}

/// An I/O result with the place and the deed added.
pub(super) trait At<T> {
    /// Says what was tried on what.
    fn at(self, doing: &'static str, path: &std::path::Path) -> Result<T, JournalError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &std::path::Path) -> Result<T, JournalError> {
        self.map_err(|source| JournalError::Io { doing, path: path.to_owned(), source })
    }
}
