//! Records that were refused: where they stood and why. Never what they said.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::event::FIELDS;
use crate::event::decode::Reject;
use crate::store::sync_name;

/// A record that was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejected {
    /// Name of the input.
    pub input: String,
    /// Line of the input, from 1; of a JSON array the number of the item.
    pub line: u64,
    /// The reason, one of a fixed set of words.
    pub reason: &'static str,
    /// The field at fault, where it is a known one.
    pub field: Option<&'static str>,
    /// What was expected and found.
    pub detail: String,
}

impl Rejected {
    /// A record that could not be read.
    pub(super) fn unread(input: &str, line: u64, reject: &Reject) -> Self {
        let field = reject.field.and_then(|f| FIELDS.get(usize::from(f.0))).map(|f| f.json);
        Rejected { input: input.to_string(), line, reason: reject.reason.word(), field, detail: reject.detail.clone() }
    }
}

/// A file of refused records, one JSON object a line. Lines are safe in it before the commit that counts them; what a run
/// wrote and did not commit is cut off by the run that goes on.
#[derive(Debug)]
pub struct RejectFile {
    file: File,
    /// Where it lies, and how long it is; `None` for what is no file, such as a terminal or a pipe.
    mark: Option<RejectMark>,
}

/// How much of a reject file belongs to a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RejectMark {
    path: String,
    bytes: u64,
}

impl RejectFile {
    /// Appends to a file, or makes it.
    ///
    /// # Errors
    /// Where the file cannot be written, or another run writes it.
    pub fn append(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).read(true).open(path);
        // What is no file need not be readable.
        let file = file.or_else(|_| File::options().create(true).append(true).open(path))?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Ok(RejectFile { file, mark: None });
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = "another run writes it; give each run a file of its own";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
            }
            Err(TryLockError::Error(e)) => return Err(e),
        }
        let path = path.canonicalize()?;
        if about.len() == 0 {
            // A commit counts on the lines of a file that may just have been made.
            sync_name(&path)?;
        }
        let path = path.display().to_string();
        Ok(RejectFile { file, mark: Some(RejectMark { path, bytes: about.len() }) })
    }

    /// Cuts off what an earlier run wrote behind its last commit.
    pub(super) fn go_on(&mut self, committed: Option<&RejectMark>) -> io::Result<()> {
        let (Some(mark), Some(committed)) = (self.mark.as_mut(), committed) else { return Ok(()) };
        let same = mark.path == committed.path && mark.bytes > committed.bytes;
        // Otherwise another file was put in its place since.
        if same && begins_a_line(&mut self.file, committed.bytes)? {
            self.file.set_len(committed.bytes)?;
            self.file.sync_data()?;
            mark.bytes = committed.bytes;
        }
        Ok(())
    }

    /// How much of it there is now, for the commit; `None` for what cannot be cut.
    pub(super) fn mark(&self) -> Option<RejectMark> {
        self.mark.clone()
    }

    /// Writes lines and returns once they are safe.
    pub(super) fn write(&mut self, rejected: &[Rejected]) -> io::Result<()> {
        if rejected.is_empty() {
            return Ok(());
        }
        let mut lines = String::new();
        for r in rejected {
            let line =
                json!({ "input": r.input, "line": r.line, "reason": r.reason, "field": r.field, "detail": r.detail });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        self.file.write_all(lines.as_bytes())?;
        if let Some(mark) = self.mark.as_mut() {
            self.file.sync_data()?;
            mark.bytes += lines.len() as u64;
        }
        Ok(())
    }
}

fn begins_a_line(file: &mut File, at: u64) -> io::Result<bool> {
    let Some(before) = at.checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    file.seek(SeekFrom::Start(before))?;
    file.read_exact(&mut byte)?;
    Ok(byte == *b"\n")
}
