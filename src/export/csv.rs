//! CSV for spreadsheets: the columns a reviewer sorts by. What a record holds besides stays in its JSON form.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::Value;

use crate::diagnostic::steers;

/// The columns, in order.
const COLUMNS: [&str; 17] = [
    "id",
    "rule",
    "policy",
    "clause",
    "section",
    "severity",
    "confidence",
    "mode",
    "status",
    "opened_at",
    "updated_at",
    "n_accounts",
    "accounts",
    "group",
    "because",
    "actions",
    "decision",
];

/// Writes one record a row after a row of names. A cell that a spreadsheet would take for a formula is made inert by an
/// apostrophe before it.
#[derive(Debug)]
pub struct CsvWriter<W: Write> {
    out: csv::Writer<W>,
}

impl<W: Write> CsvWriter<W> {
    /// A writer over `out` that has written the names of the columns.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(out);
        out.write_record(COLUMNS).map_err(io::Error::from)?;
        Ok(CsvWriter { out })
    }

    /// Writes a record, given in its JSON form, without a decision.
    ///
    /// # Errors
    /// What `out` returns; `InvalidData` for a text that is not a record's JSON form.
    pub fn write(&mut self, record: &str) -> io::Result<()> {
        self.write_decided(record, None)
    }

    /// Writes a record and what was decided of it, in a word.
    ///
    /// # Errors
    /// As [`CsvWriter::write`].
    pub fn write_decided(&mut self, record: &str, decision: Option<&str>) -> io::Result<()> {
        let record: Value = serde_json::from_str(record).map_err(io::Error::from)?;
        for column in COLUMNS {
            let cell = match column {
                "decision" => Cow::Borrowed(decision.unwrap_or_default()),
                column => cell(&record, column),
            };
            self.out.write_field(inert(&cell).as_bytes()).map_err(io::Error::from)?;
        }
        self.out.write_record(None::<&[u8]>).map_err(io::Error::from)
    }

    /// Hands everything on and returns what was written to.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(|e| io::Error::new(e.error().kind(), e.error().to_string()))
    }
}

/// Actions are joined by a semicolon, accounts by a space, parts of the group as `name=value` by a space.
fn cell<'a>(record: &'a Value, column: &str) -> Cow<'a, str> {
    if column == "n_accounts" {
        let n = record.get("accounts").and_then(Value::as_array).map_or(0, Vec::len);
        return Cow::Owned(n.to_string());
    }
    if column == "actions" {
        let actions = record.get("actions").and_then(Value::as_array);
        return Cow::Owned(actions.into_iter().flatten().map(action).collect::<Vec<_>>().join("; "));
    }
    match record.get(column) {
        None | Some(Value::Null) => Cow::Borrowed(""),
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(Value::Array(items)) => Cow::Owned(items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Some(Value::Object(parts)) => {
            Cow::Owned(parts.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect::<Vec<_>>().join(" "))
        }
        Some(other) => Cow::Owned(other.to_string()),
    }
}

/// An action as written in the rule, and behind it what the record says beside it.
fn action(a: &Value) -> String {
    let text = |key: &str| a.get(key).and_then(Value::as_str);
    let mut out = text("action").unwrap_or_default().to_string();
    if let Some(delay) = text("delay") {
        out.push_str(&format!(" (delay {delay})"));
    }
    if let Some(why) = text("why") {
        out.push_str(&format!(" (withheld: {why})"));
    }
    out
}

fn plain(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed)
}

/// Account names come from outside: `=HYPERLINK(…)` must reach a reviewer as text.
fn inert(cell: &str) -> Cow<'_, str> {
    // Spreadsheets look behind blanks and what is not seen, and take the wide signs of East Asian keyboards too.
    let first = cell.chars().find(|c| !c.is_whitespace() && !steers(*c));
    match first.or(cell.chars().next()) {
        Some('=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}') => {
            Cow::Owned(format!("'{cell}"))
        }
        _ if cell.starts_with(['\t', '\r', '\n']) => Cow::Owned(format!("'{cell}")),
        _ => Cow::Borrowed(cell),
    }
}
