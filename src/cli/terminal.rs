//! What goes to the terminal: output that may meet a closed pipe, colour, tables, and text that must not steer it.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};

use crate::diagnostic::steers;

/// Whether messages on standard error are coloured: on a terminal, and not where `NO_COLOR` is set.
pub(super) fn colour_errors() -> bool {
    io::stderr().is_terminal() && wanted()
}

/// Whether standard output is coloured.
pub(super) fn colour_output() -> bool {
    io::stdout().is_terminal() && wanted()
}

fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

/// Standard output, buffered. Errors are returned, so that a closed pipe ends the command quietly.
pub(super) fn output() -> io::BufWriter<io::StdoutLock<'static>> {
    io::BufWriter::with_capacity(64 * 1024, io::stdout().lock())
}

/// Writes a line to standard error; nothing can be done when that fails.
pub(super) fn note(text: impl AsRef<str>) {
    let lines: Vec<Cow<'_, str>> = text.as_ref().split('\n').map(printable).collect();
    let _ = writeln!(io::stderr().lock(), "{}", lines.join("\n"));
}

/// Text with everything that could steer a terminal or reorder what is read shown as escapes. Line breaks too: what comes
/// from an event stays on its line.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if steers(c) { c.escape_default().to_string() } else { c.to_string() }).collect())
}

/// JSON for people and machines: what could steer a terminal stands as an escape, which means the same.
pub(super) fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    out.write_all(inert_json(&serde_json::to_string_pretty(value)?).as_bytes())
}

/// The same of a JSON text.
pub(super) fn inert_json(json: &str) -> Cow<'_, str> {
    let is_foreign = |c: char| steers(c) && c != '\n';
    if !json.chars().any(is_foreign) {
        return Cow::Borrowed(json);
    }
    // Outside of texts JSON has none of these.
    let mut units = [0; 2];
    let mut escaped = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        match is_foreign(c) {
            true => c.encode_utf16(&mut units).iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}"))),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Standard error for the log: one event a line, whatever stands in it.
#[derive(Debug, Default)]
pub(super) struct LogLine;

impl Write for LogLine {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        io::stderr().lock().write_all(format!("{}\n", printable(line)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// A text cut to so many characters, for tables.
pub(super) fn cut(text: &str, characters_max: usize) -> String {
    let clean = printable(text);
    if clean.chars().count() <= characters_max {
        return clean.into_owned();
    }
    clean.chars().take(characters_max.saturating_sub(1)).chain(['…']).collect()
}

/// A table without frames, fitted to the terminal.
pub(super) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !io::stdout().is_terminal() {
        table.set_width(160);
    }
    table.set_header(headings.iter().copied());
    table
}

/// A number with thousands separated, as people read it: `1,234,567`.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{cut, grouped, printable};

    #[test]
    fn hostile_text_cannot_steer_a_terminal() {
        assert_eq!(printable("plain ünïcode"), "plain ünïcode");
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
    }

    #[test]
    fn long_text_is_cut_on_characters() {
        assert_eq!(cut("ääää", 3), "ää…");
        assert_eq!(cut("äää", 3), "äää");
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!((grouped(7), grouped(1_234), grouped(1_234_567)), ("7".into(), "1,234".into(), "1,234,567".into()));
    }
}
