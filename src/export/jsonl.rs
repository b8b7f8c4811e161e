//! Lines of JSON: each record as it is.

use std::io::{self, Write};

use serde_json::Value;

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

    /// Writes the JSON form of a record with one key more, the last. Everything before it is the record as it is: who
    /// cuts `,"key":value` off has the bytes that are hashed.
    ///
    /// # Errors
    /// As [`JsonlWriter::write`].
    pub fn write_with(&mut self, record: &str, key: &str, value: &Value) -> io::Result<()> {
        let parts = record.strip_suffix('}').filter(|parts| !parts.ends_with('{'));
        let parts = parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a record that is no object"))?;
        self.write(&format!("{parts},{}:{value}}}", Value::from(key)))
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
