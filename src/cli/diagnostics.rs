//! Diagnostics on their way to the caller.

use std::io::Write;

use super::terminal::{colour_errors, note};
use crate::diagnostic::{Diagnostic, Level, to_text};
use crate::source::SourceMap;

/// Prints diagnostics as text to standard error, and how many there are.
pub(super) fn show(diagnostics: &[Diagnostic], sources: &SourceMap) {
    if !diagnostics.is_empty() {
        print(diagnostics, sources);
        note(count(diagnostics));
    }
}

/// Prints diagnostics as text to standard error.
pub(super) fn print(diagnostics: &[Diagnostic], sources: &SourceMap) {
    let _ = std::io::stderr().lock().write_all(to_text(diagnostics, sources, colour_errors()).as_bytes());
}

/// "2 errors, 1 warning".
pub(super) fn count(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|d| d.level() == Level::Error).count();
    let warnings = diagnostics.len() - errors;
    let plural = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    match (errors, warnings) {
        (0, 0) => "no mistakes".to_string(),
        (e, 0) => plural(e, "error"),
        (0, w) => plural(w, "warning"),
        (e, w) => format!("{}, {}", plural(e, "error"), plural(w, "warning")),
    }
}
