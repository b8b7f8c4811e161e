//! Lexer, parser and formatter: trees, round trips, hostile input.

mod generate;

use std::path::Path;

use fineprint::diagnostic::{Code, Diagnostic, to_json, to_text};
use fineprint::source::{SourceId, SourceMap};
use fineprint::syntax::{
    FILE_BYTES_MAX, LINE_BYTES_MAX, MISTAKES_REPORTED_MAX, NESTING_DEPTH_MAX, ast, decode, parse, print,
};
use proptest::prelude::*;

use super::golden;

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
fn layouts_stay_as_they_are() {
    for path in golden::files("syntax", "tos") {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = tree(&text);
        let printed = round(&file, &text);
        let comments = |file: &ast::File| file.comments.iter().map(|c| c.value.clone()).collect::<Vec<_>>();
        assert_eq!(comments(&file), comments(&tree(&printed)), "{}", path.display());
        golden::check(&path.with_extension("fmt"), &printed);
    }
}

/// One mistake a line: code, place, message.
fn mistakes(text: &str) -> Vec<String> {
    let (_, found, sources) = read("rules.tos", text);
    found
        .iter()
        .map(|d| format!("{} {} {}", d.code.id(), sources.position(SourceId(0), d.primary.span.start), d.message))
        .collect()
}

#[test]
fn messages_of_the_grammar_stay_as_they_are() {
    let mut seen = Vec::new();
    for path in golden::files("diagnostics", "tos") {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("tos01") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let mut sources = SourceMap::default();
        let id = sources.add(name, String::from_utf8_lossy(&bytes));
        let found = match decode(id, &bytes) {
            Ok(text) => parse(id, &text).1,
            Err(mistake) => vec![*mistake],
        };
        let code = Code::from_id(&name[..7]).unwrap();
        assert!(found.iter().any(|d| d.code == code), "{name} shows no {}", code.id());
        let helpless = found.iter().find(|d| d.help.is_none());
        assert!(helpless.is_none(), "{name}: no help with {:?}", helpless.map(|d| &d.message));
        seen.push(code);
        golden::check(&path.with_extension("out"), &to_text(&found, &sources, false));
    }
    // Files of megabytes and hundreds of mistakes are made below.
    let made = ["TOS0107", "TOS0109", "TOS0118"];
    let codes = Code::all().filter(|c| c.id().starts_with("TOS01") && !made.contains(&c.id()));
    assert_eq!(codes.filter(|c| !seen.contains(c)).map(Code::id).collect::<Vec<_>>(), Vec::<&str>::new());
}

fn made(name: &str, text: &str, keep: usize) {
    let (_, found, sources) = read(name, text);
    let last = &found[found.len() - keep..];
    golden::check(
        &golden::data("diagnostics").join(Path::new(name).with_extension("out")),
        &to_text(last, &sources, false),
    );
}

#[test]
fn sections_repeated_missing_or_out_of_order_are_named() {
    for path in golden::files("sections", "tos") {
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, found, sources) = read("sections.tos", &text);
        golden::check(&path.with_extension("out"), &to_text(&found, &sources, false));
    }
}

#[test]
fn operators_bind_as_the_reference_says() {
    for (text, same) in [
        ("let a = x + y * z - 1 < 2", "let a = ((x + (y * z)) - 1) < 2"),
        ("let a = -x * y", "let a = (-x) * y"),
        ("let a = x - y - z", "let a = (x - y) - z"),
        ("let a = not x = 1 and y = 2", "let a = (not (x = 1)) and (y = 2)"),
        ("let a = x + y or default 0", "let a = x + (y or default 0)"),
        ("let a = x or default 0 + 1", "let a = (x or default 0) + 1"),
        ("let a = x or default 0 * 2 > y or default 1", "let a = ((x or default 0) * 2) > (y or default 1)"),
        ("let a = not x in y and z or default 1 = 1", "let a = (not (x in y)) and ((z or default 1) = 1)"),
    ] {
        assert_eq!(grouped(text), grouped(same), "{text}");
    }
}

/// The expression of `let a = …` with all its grouping written out and its own parentheses left out.
fn grouped(text: &str) -> String {
    fn write(e: &ast::Expr) -> String {
        use ast::ExprKind as K;
        let all =
            |word: &str, parts: &[ast::Expr]| format!("({})", parts.iter().map(write).collect::<Vec<_>>().join(word));
        match &e.kind {
            K::Paren(inner) => write(inner),
            K::Path(path) => path.text(),
            K::Literal(ast::Literal::Integer(n)) => n.to_string(),
            K::Not(inner) => format!("(not {})", write(inner)),
            K::Negate(inner) => format!("(-{})", write(inner)),
            K::And(parts) => all(" and ", parts),
            K::Or(parts) => all(" or ", parts),
            K::Compare(a, op, b) => format!("({} {} {})", write(a), op.symbol(), write(b)),
            K::Arithmetic(a, op, b) => format!("({} {} {})", write(a), op.symbol(), write(b)),
            K::In { operand, set, .. } => format!("({} in {})", write(operand), write(set)),
            K::OrDefault(a, b) => format!("({} default {})", write(a), write(b)),
            other => format!("{other:?}"),
        }
    }
    match tree(text).items.as_slice() {
        [ast::Item::Let(x)] => write(&x.value),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_past_a_limit_get_one_message() {
    made("tos0107-long-line.tos", &format!("let a = 1\nlet b = \"{}\"\nlet c = (\n", "x".repeat(1 << 20)), 1);
    made("tos0109-large-file.tos", &"let a = 1\n".repeat(FILE_BYTES_MAX / 10 + 1), 1);
    made("tos0118-many-mistakes.tos", &"let a = )\n".repeat(150), 2);
    let just = format!("let a = \"{}\"\n", "x".repeat(LINE_BYTES_MAX - 11));
    assert_eq!(mistakes(&just), Vec::<String>::new());
}

/// A quarter of what a thread of a Rust program gets by default; frames of debug builds are some three times larger.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 3 << 19 } else { 1 << 19 };

/// Runs `f` on a thread with little stack, and fails when it takes long; debug builds are some twenty times slower.
fn quick(name: &str, f: impl FnOnce() + Send) {
    let seconds_max = if cfg!(debug_assertions) { 10.0 } else { 1.0 };
    #[expect(clippy::disallowed_methods, reason = "a test of the time that is taken")]
    let start = std::time::Instant::now();
    std::thread::scope(|s| {
        std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(s, f).unwrap().join().unwrap();
    });
    assert!(start.elapsed().as_secs_f64() < seconds_max, "{name} took {:?}", start.elapsed());
}

#[test]
fn hostile_files_are_answered_soon() {
    // Debug builds would take their time.
    let scale = if cfg!(debug_assertions) { 8 } else { 1 };
    let lines = |s: &str, n: usize| format!("{s}\n").repeat(n / scale);
    let half = FILE_BYTES_MAX / 4;
    let cases = [
        ("open parentheses", lines("(", half)),
        ("open parentheses behind let", format!("let a =\n{}", lines("(", half))),
        ("ten thousand parentheses", format!("let a = {}", "(".repeat(10_000))),
        ("ten thousand nots", format!("let a = {}x", "not ".repeat(10_000))),
        ("a million nots", format!("let a =\n{}x", lines("not", 1_000_000))),
        ("a million brackets", format!("let a =\n{}", lines("[", 1_000_000))),
        ("a million minus signs", format!("let a =\n{}x", lines("-", 1_000_000))),
        ("calls in calls", format!("let a =\n{}", lines("f(", 500_000))),
        ("a long sum", format!("let a = x\n{}", lines("+ x", 500_000))),
        ("a long or", format!("let a = x\n{}", lines("or x", 500_000))),
        ("many defaults", format!("let a = x\n{}", lines("or default x", 200_000))),
        ("a chain of comparisons", format!("let a = x\n{}", lines("< x", 500_000))),
        ("open blocks", lines("rule x {", 200_000)),
        ("nested tests", format!("rule x {{\n{}", lines("test \"a\" {", 100_000))),
        ("closing braces", lines("}", half)),
        ("quotes", lines("\"", half)),
        ("stray characters", lines("@", half)),
        ("hashes", lines("#", half)),
        ("a word of 64 KiB", format!("{}\n", "a".repeat(60_000))),
        ("sections out of order", format!("rule x {{\n{}}}", lines("when a\nlet b = c", 50_000))),
        ("unknown sections", format!("rule x {{\n{}}}", lines("wehn a", 200_000))),
        ("byte-order marks", "\u{feff}".repeat(500)),
    ];
    for (name, text) in cases {
        quick(name, || {
            let (file, found) = parse(SourceId(0), &text);
            assert!(found.len() <= MISTAKES_REPORTED_MAX + 1);
            drop(print(&file, &text));
        });
    }
}

#[test]
fn expressions_nest_up_to_the_limit_and_no_further() {
    let deep = |n: usize| format!("let a = {}x{}", "(".repeat(n), ")".repeat(n));
    let limit = NESTING_DEPTH_MAX as usize;
    quick("the deepest that is allowed", || {
        round(&tree(&deep(limit)), "");
        let mixed = format!("let a = {}x{}", "not (f([-(".repeat(10), ")]))".repeat(10));
        round(&tree(&mixed), "");
    });
    for text in
        [deep(limit + 1), format!("let a = {}x", "not ".repeat(limit + 1)), format!("let a = x{}", " + x".repeat(300))]
    {
        assert!(mistakes(&text)[0].starts_with("TOS0108"), "{text}");
    }
    assert_eq!(mistakes(&format!("let a = x{}", " + x".repeat(200))), Vec::<String>::new());
}

/// Whatever comes, parsing ends, places lie within the text, and messages can be shown.
fn survives(text: &str) {
    let (file, found, sources) = read("rules.tos", text);
    for d in &found {
        assert!(d.primary.span.start <= d.primary.span.end && d.primary.span.end as usize <= text.len(), "{d:?}");
    }
    to_text(&found, &sources, false);
    to_json(&found, &sources);
    let printed = print(&file, text);
    if found.is_empty() {
        assert_eq!(printed, round(&file, text));
    }
}

fn pieces() -> impl Strategy<Value = String> {
    let words = "rule policy list table let link series limit { } [ ] ( ) , : . = != < <= > + - * / \" \"a\" # x a-b 1 0.5 90% $5 24h \
        2026-01-01 2026-13-01 on per over where when and or not in exists is missing default at least 2 of has any all contains \
        matches regex ignoring case test given expect nothing violation with except events because action block account sequence \
        first then within seen before new for during outage count() every each sessions mistaken enforces == && @ \\ \u{e9}";
    let words: Vec<String> =
        words.split_whitespace().map(str::to_string).chain(["\n".to_string(), "\n  ".to_string()]).collect();
    proptest::collection::vec(proptest::sample::select(words), 0..60).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in any::<Vec<u8>>()) {
        if let Ok(text) = decode(SourceId(0), &bytes) {
            survives(&text);
        }
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_texts_do_no_harm(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn random_words_do_no_harm(text in pieces()) {
        survives(&text);
    }

    #[test]
    fn changed_rules_do_no_harm(edits in proptest::collection::vec((any::<u16>(), 0usize..40, pieces()), 1..4)) {
        let mut text: Vec<char> = include_str!("../data/syntax/brief.tos").chars().collect();
        for (at, removed, inserted) in edits {
            let at = usize::from(at) % text.len();
            let end = (at + removed).min(text.len());
            text.splice(at..end, inserted.chars().take(removed));
        }
        survives(&text.into_iter().collect::<String>());
    }
}

#[test]
fn each_cut_of_a_file_does_no_harm() {
    let text = include_str!("../data/syntax/brief.tos");
    for (at, _) in text.char_indices() {
        survives(&text[..at]);
    }
}

#[test]
fn one_removed_word_is_one_mistake_at_most() {
    let text = include_str!("../data/syntax/brief.tos");
    let words = regex::Regex::new(r#""[^"]*"|[A-Za-z_][\w-]*|[0-9]\w*"#).unwrap();
    let mut worst = Vec::new();
    for word in words.find_iter(text) {
        let cut = format!("{}{}", &text[..word.start()], &text[word.end()..]);
        let found = mistakes(&cut);
        if found.len() > 1 {
            worst.push((word.as_str(), found));
        }
    }
    assert!(worst.is_empty(), "{worst:#?}");
}

#[test]
fn documented_examples_parse() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/language.md")).unwrap();
    let blocks: Vec<&str> = page.split("```tos\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 30);
    for block in blocks {
        let (file, found, sources) = read("docs/language.md", block);
        assert!(found.is_empty(), "{block}\n{}", to_text(&found, &sources, false));
        round(&file, block);
    }
}
