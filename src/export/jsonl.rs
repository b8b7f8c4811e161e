//! Lines of JSON: each record as it is.

use std::io::{self, Write};

/// Writes one record a line.
#[derive(Debug)]
pub struct JsonlWriter<W> {
    out: W,
}

impl<W: Write> JsonlWriter<W> {
    /// A writer over `out`; a buffered one is faster.
    pub fn new(out: W) -> Self {
        JsonlWriter { out }
    }

    /// Writes the JSON form of a record.
    ///
    /// # Errors
    /// What `out` returns; `InvalidData` for a text that is more than one line and would break the lines after it.
    pub fn write(&mut self, record: &str) -> io::Result<()> {
        if record.contains(['\n', '\r']) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a record of more than one line"));
        }
        self.out.write_all(record.as_bytes())?;
        self.out.write_all(b"\n")
    }

    /// Hands everything on and returns what was written to.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}
