//! Lexer, parser and formatter: trees, round trips, hostile input.

use fineprint::diagnostic::{Diagnostic, to_text};
use fineprint::source::SourceMap;
use fineprint::syntax::{ast, parse};

fn read(name: &str, text: &str) -> (ast::File, Vec<Diagnostic>, SourceMap) {
    let mut sources = SourceMap::default();
    let id = sources.add(name, text);
    let (file, mistakes) = parse(id, text);
    (file, mistakes, sources)
}

/// The tree of a text without mistakes.
fn tree(text: &str) -> ast::File {
    let (file, mistakes, sources) = read("rules.tos", text);
    assert!(mistakes.is_empty(), "{}", to_text(&mistakes, &sources, false));
    file
}

#[test]
fn the_examples_of_the_design_parse() {
    let file = tree(include_str!("../data/syntax/brief.tos"));
    assert_eq!(file.items.len(), 9);
    assert_eq!(file.comments.len(), 3);
    assert!(file.broken.is_empty());
}
