//! Records that were refused: where they stood and why. Never what they said.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;

use crate::event::FIELDS;
use crate::event::decode::Reject;

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

/// A file of refused records, one JSON object a line.
#[derive(Debug)]
pub struct RejectFile {
    out: BufWriter<File>,
}

impl RejectFile {
    /// Appends to a file, or makes it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn append(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(RejectFile { out: BufWriter::new(file) })
    }

    pub(super) fn write(&mut self, rejected: &[Rejected]) -> io::Result<()> {
        for r in rejected {
            let line =
                json!({ "input": r.input, "line": r.line, "reason": r.reason, "field": r.field, "detail": r.detail });
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }
}
