//! Stage two: tokens to the syntax tree, and all mistakes of the file. Knows no field, list or type.
//!
//! Each construct has a nom parser over a `Cursor`. A parser that fails gives one mistake; the block around it
//! reports that and goes on at its next section, so that one run tells every independent mistake and none twice.

mod block;
mod cursor;
mod example;
mod expr;
mod item;
mod limit;
mod link;
mod operand;
mod policy;
mod rule;
mod test;

pub use expr::{EXPRESSION_HEIGHT_MAX, NESTING_DEPTH_MAX};

use std::cell::RefCell;

use super::ast::File;
use super::lexer;
use crate::diagnostic::{Code, Diagnostic, sort};
use crate::source::{SourceId, Span};

/// How many mistakes of one file are reported.
pub const MISTAKES_REPORTED_MAX: usize = 100;

/// Reads a rule file. The tree holds what could be read; names of what could not are in [`File::broken`].
///
/// Takes time linear in the text. At most [`MISTAKES_REPORTED_MAX`] mistakes are reported, sorted by place.
///
/// ```
/// use fineprint::source::SourceId;
/// let (file, mistakes) = fineprint::syntax::parse(SourceId(0), "let busy = status in [429, 503]");
/// assert!(mistakes.is_empty());
/// assert_eq!(file.items.len(), 1);
/// ```
pub fn parse(source: SourceId, text: &str) -> (File, Vec<Diagnostic>) {
    let limits = lexer::limits(source, text);
    if !limits.is_empty() {
        return (File::default(), capped(source, limits));
    }
    let mut lexed = lexer::lex(source, text);
    let comments = std::mem::take(&mut lexed.comments);
    let mut diagnostics = std::mem::take(&mut lexed.diagnostics);
    let parsing =
        cursor::Parsing { source, text, lexed, found: RefCell::new(Vec::new()), broken: RefCell::new(Vec::new()) };
    let items = item::items(cursor::Cursor::start(&parsing));
    diagnostics.extend(parsing.found.into_inner());
    (File { items, comments, broken: parsing.broken.into_inner() }, capped(source, diagnostics))
}

fn capped(source: SourceId, mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    sort(&mut diagnostics);
    if diagnostics.len() > MISTAKES_REPORTED_MAX {
        let at = diagnostics.get(MISTAKES_REPORTED_MAX).map_or(Span::new(source, 0, 0), |d| d.primary.span);
        diagnostics.truncate(MISTAKES_REPORTED_MAX);
        diagnostics.push(
            Diagnostic::new(
                Code::TOO_MANY_MISTAKES,
                at,
                format!("there are more than {MISTAKES_REPORTED_MAX} mistakes; the rest is not shown"),
            )
            .label("from here on")
            .help("mend the first ones and run again"),
        );
    }
    diagnostics
}
