//! Turns syntax trees into typed rules: names resolved, units checked, `let`s put in place. Collects every mistake of every
//! file; a rule with a mistake is left out, the others stay. Knows no file, clock or event.

mod actions;
mod because;
mod call;
mod clause;
mod coerce;
pub mod cost;
mod expr;
pub(crate) mod growing;
mod keys;
mod later;
mod limit;
pub mod limits;
mod link;
mod lints;
mod lists;
mod membership;
mod memory;
mod names;
mod operators;
mod order;
mod policy;
mod regexes;
mod rule;
mod scope;
mod sequence;
mod series;
mod tests;
mod text;
mod window;
mod wording;

use std::collections::BTreeSet;

use names::Names;

use crate::diagnostic::{self, Code, Diagnostic};
use crate::hir;
use crate::source::{SourceId, Span};
use crate::syntax::ast;
use crate::time::Timestamp;

/// What a check may know beside the files.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// The day for which dates are judged: clauses out of force, exceptions about to end. Without it, nothing is said.
    pub as_of: Option<Timestamp>,
    /// Sources with mistakes of grammar: what they lack is not reported again.
    pub broken_sources: BTreeSet<SourceId>,
    /// Names that stand in blocks which could not be read: their absence is not reported again.
    pub broken_names: BTreeSet<String>,
}

/// Checks files together. The diagnostics are sorted by place.
pub fn check(files: &[ast::File]) -> (hir::Program, Vec<Diagnostic>) {
    check_with(files, &CheckOptions::default())
}

/// Checks files together, with a date and what is known of mistakes of grammar.
pub fn check_with(files: &[ast::File], options: &CheckOptions) -> (hir::Program, Vec<Diagnostic>) {
    let mut cx =
        Checker { options, names: Names::default(), program: hir::Program::default(), out: Vec::new(), nodes_total: 0 };
    let items: Vec<&ast::Item> = files.iter().flat_map(|f| &f.items).collect();
    names::collect(&mut cx, &items);
    policy::declare(&mut cx, &items);
    lists::declare(&mut cx, &items);
    order::lower_lets(&mut cx);
    lists::lower_keys(&mut cx, &items);
    link::declare(&mut cx);
    series::declare(&mut cx);
    rule::lower_all(&mut cx, &items);
    cx.program.definitions = cx.names.definitions();
    diagnostic::sort(&mut cx.out);
    (cx.program, cx.out)
}

/// What the parts of the check share.
struct Checker<'a> {
    options: &'a CheckOptions,
    names: Names<'a>,
    program: hir::Program,
    out: Vec<Diagnostic>,
    /// Nodes of all `let`s and rules so far, against [`limits::NODES_TOTAL_MAX`].
    nodes_total: usize,
}

impl Checker<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.out.push(diagnostic);
    }

    /// Reports and gives nothing, for `return cx.fail(…)`.
    fn fail<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.out.push(diagnostic);
        None
    }

    /// Whether the source of a place has mistakes of grammar.
    fn is_broken(&self, span: Span) -> bool {
        self.options.broken_sources.contains(&span.source)
    }

    /// Whether a name stands in a block that could not be read.
    fn is_broken_name(&self, name: &str) -> bool {
        self.options.broken_names.contains(name)
    }

    /// Reports an item past a limit on their number; says whether it was within.
    fn within(&mut self, n: usize, max: usize, what: &str, span: Span) -> bool {
        if n == max + 1 {
            let message = format!("more than {max} {what}");
            self.report(
                Diagnostic::new(Code::TOO_MANY, span, message)
                    .help("split the files over several runs, or move values into a list file"),
            );
        }
        n <= max
    }
}
