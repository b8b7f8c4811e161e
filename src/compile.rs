//! The front half in one call: sources in, checked program and diagnostics out. Pure: the caller reads the files.

use std::collections::BTreeSet;

use crate::check::{CheckOptions, check_with};
use crate::diagnostic::{self, Diagnostic};
use crate::hir::Program;
use crate::source::SourceMap;
use crate::syntax::{self, ast};
use crate::time::Timestamp;

/// What came of compiling sources together.
#[derive(Debug, Clone, Default)]
pub struct Compiled {
    /// Rules without mistakes, and all that they need.
    pub program: Program,
    /// The syntax trees, in the order of the sources.
    pub files: Vec<ast::File>,
    /// All mistakes and all advice, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Compiled {
    /// Whether the files cannot be used as they are.
    pub fn has_errors(&self) -> bool {
        diagnostic::has_errors(&self.diagnostics)
    }
}

/// Parses and checks all sources together.
pub fn compile(sources: &SourceMap) -> Compiled {
    compile_as_of(sources, None)
}

/// As [`compile`], and also judges dates: clauses out of force and exceptions about to end on a day.
pub fn compile_as_of(sources: &SourceMap, as_of: Option<Timestamp>) -> Compiled {
    let mut options = CheckOptions { as_of, ..CheckOptions::default() };
    let (mut files, mut diagnostics) = (Vec::new(), Vec::new());
    for (id, source) in sources.iter() {
        let (file, mistakes) = syntax::parse(id, &source.text);
        if diagnostic::has_errors(&mistakes) {
            options.broken_sources.insert(id);
            options.broken_names.extend(declared(&source.text));
        }
        files.push(file);
        diagnostics.extend(mistakes);
    }
    let (program, found) = check_with(&files, &options);
    diagnostics.extend(found);
    diagnostic::sort(&mut diagnostics);
    Compiled { program, files, diagnostics }
}

/// Names behind declaring words, found without a parser: in a file with mistakes of grammar a declaration may be lost, and
/// its uses are not to be reported as well.
fn declared(text: &str) -> BTreeSet<String> {
    const WORDS: [&str; 9] = ["let", "list", "table", "rule", "policy", "clause", "permits", "link", "series"];
    let mut words = text.split(|c: char| c.is_whitespace() || "{}()[]=:,".contains(c)).filter(|w| !w.is_empty());
    let mut names = BTreeSet::new();
    while let Some(word) = words.next() {
        if WORDS.contains(&word) {
            names.extend(words.next().map(str::to_string));
        }
    }
    names
}
