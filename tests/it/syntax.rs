//! Lexer, parser and formatter.

use fineprint::diagnostic::to_text;
use fineprint::source::SourceMap;
use fineprint::syntax::{parse, print};

fn parsed(text: &str) -> (fineprint::syntax::ast::File, String) {
    let mut sources = SourceMap::default();
    let id = sources.add("test.tos", text);
    let (file, diagnostics) = parse(id, text);
    (file, to_text(&diagnostics, &sources, false))
}

/// The tree without positions: what must survive printing.
fn shape(file: &fineprint::syntax::ast::File) -> String {
    let debug = format!("{:?}", file.items);
    let mut out = String::with_capacity(debug.len());
    let mut rest = debug.as_str();
    while let Some(at) = rest.find("Span { source") {
        out.push_str(&rest[..at]);
        let end = rest[at..].find("end: ").map(|e| at + e).unwrap();
        let close = rest[end..].find(" }").unwrap() + end + 2;
        rest = &rest[close..];
    }
    out.push_str(rest);
    out
}

#[test]
fn every_construct_parses_and_survives_the_formatter() {
    for path in super::golden::files("syntax", "tos") {
        let text = std::fs::read_to_string(&path).unwrap();
        let (file, messages) = parsed(&text);
        assert_eq!(messages, "", "{}", path.display());
        let printed = print(&file, &text);
        let (again, messages) = parsed(&printed);
        assert_eq!(messages, "", "printed form of {}:\n{printed}", path.display());
        assert_eq!(shape(&file), shape(&again), "printed form of {}:\n{printed}", path.display());
        assert_eq!(printed, print(&again, &printed), "printing {} twice", path.display());
        super::golden::check(&path.with_extension("fmt"), &printed);
        let comments =
            |f: &fineprint::syntax::ast::File| f.comments.iter().map(|c| c.value.clone()).collect::<Vec<_>>();
        assert_eq!(comments(&file), comments(&again), "{}", path.display());
    }
}

#[test]
fn nesting_ends_in_a_message_however_deep() {
    for (open, close) in [("(", ")"), ("not ", ""), ("[", "]"), ("-", "")] {
        for depth in [33, 10_000, 200_000] {
            let text = format!("let a =\n{}1{}\n", format!("{open}\n").repeat(depth), close.repeat(depth));
            let (_, messages) = parsed(&text);
            assert!(messages.contains("TOS0108"), "{open} {depth}: {}", &messages[..messages.len().min(400)]);
        }
    }
}

#[test]
fn chains_within_nesting_end_in_a_message() {
    let mut inner = "a".to_string();
    for _ in 0..20 {
        inner = format!("({inner}{})", " + a".repeat(90));
    }
    let (_, messages) = parsed(&format!("let x = {inner}\n"));
    assert!(messages.contains("TOS0108"), "{}", &messages[..messages.len().min(400)]);
}

#[test]
fn hostile_files_get_messages() {
    let long = format!("let a = \"{}\"\n", "x".repeat(1 << 20));
    let (_, messages) = parsed(&long);
    assert!(messages.contains("TOS0107"), "{messages}");
    let (_, messages) = parsed("rule a {\u{0}\u{0}\n}\n");
    assert!(messages.contains("TOS0106"), "{messages}");
    let (file, messages) = parsed("\u{feff}let a = 1\r\nlet b = 2\r\n");
    assert_eq!((file.items.len(), messages.as_str()), (2, ""));
    let mut sources = SourceMap::default();
    let id = sources.add("x", "");
    let d = fineprint::syntax::decode(id, b"let a = \xff").unwrap_err();
    assert_eq!(d.code.id(), "TOS0105");
    let d = fineprint::syntax::decode(id, &vec![b' '; fineprint::syntax::FILE_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(d.code.id(), "TOS0109");
}
