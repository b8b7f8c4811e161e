//! The front half in one call: sources in, checked program and diagnostics out. Pure: the caller reads the files.

use std::collections::HashSet;

use crate::check::{CheckOptions, check_with};
use crate::diagnostic::{self, Diagnostic};
use crate::hir::Program;
use crate::source::{SourceMap, Span};
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
            options.broken_names.extend(file.broken.iter().map(|name| name.text.clone()));
        }
        files.push(file);
        diagnostics.extend(mistakes);
    }
    let (program, found) = check_with(&files, &options);
    // What could not be read as a number or a date stands for one of no kind in particular: that its unit does not fit is
    // no second mistake.
    let misread: HashSet<Span> = diagnostics.iter().map(|d: &Diagnostic| d.primary.span).collect();
    let follows =
        |d: &Diagnostic| misread.contains(&d.primary.span) || d.secondary.iter().any(|l| misread.contains(&l.span));
    diagnostics.extend(found.into_iter().filter(|d| !follows(d)));
    diagnostic::sort(&mut diagnostics);
    Compiled { program, files, diagnostics }
}
