//! Lexer, parser and formatter: trees, round trips, hostile input.

mod generate;

use fineprint::diagnostic::{Diagnostic, to_text};
use fineprint::source::SourceMap;
use fineprint::syntax::{ast, parse, print};
use proptest::prelude::*;

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

/// The tree without places, for comparison.
fn shape(file: &ast::File) -> String {
    let spans = regex::Regex::new(r"Span \{[^}]*\}").unwrap();
    spans.replace_all(&format!("{:#?}", file.items), "_").into_owned()
}

/// Prints, parses again, and holds that nothing changed; gives the printed text.
fn round(file: &ast::File, text: &str) -> String {
    let printed = print(file, text);
    let (again, mistakes, sources) = read("printed.tos", &printed);
    assert!(mistakes.is_empty(), "{printed}\n{}", to_text(&mistakes, &sources, false));
    if shape(file) != shape(&again) {
        let (a, b) = (shape(file), shape(&again));
        let line = a.lines().zip(b.lines()).position(|(a, b)| a != b).unwrap_or(0);
        let part = |s: &str| s.lines().skip(line.saturating_sub(12)).take(30).collect::<Vec<_>>().join("\n");
        panic!("{printed}\n--- tree\n{}\n--- parsed again\n{}", part(&a), part(&b));
    }
    let twice = print(&again, &printed);
    assert_eq!(printed, twice, "printing is not idempotent");
    printed
}

/// A tree that shows itself as text, so that a failing case can be read.
struct Shown(ast::File);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&print(&self.0, ""))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn printed_trees_parse_to_themselves(file in generate::file().prop_map(Shown)) {
        round(&file.0, "");
    }
}

#[test]
fn print_brief() {
    let text = include_str!("../data/syntax/brief.tos");
    let printed = round(&tree(text), text);
    println!("{printed}");
}
