use std::collections::BTreeSet;
use std::fmt::Write;

use fineprint::check::limits;
use fineprint::compile::{Compiled, compile, compile_as_of};
use fineprint::diagnostic::{self, Code, Diagnostic};
use fineprint::source::SourceMap;
use fineprint::time::Timestamp;
use proptest::prelude::*;

use crate::golden;

fn sources(name: &str, text: &str) -> SourceMap {
    let mut sources = SourceMap::default();
    sources.add(name, text);
    sources
}

fn compiled(text: &str) -> Compiled {
    compile(&sources("rules.tos", text))
}

/// Codes of the errors and warnings, the advice to write tests apart.
fn codes(text: &str) -> Vec<&'static str> {
    let found = compiled(text).diagnostics;
    found.iter().filter(|d| d.code != Code::RULE_WITHOUT_TEST).map(|d| d.code.id()).collect()
}

/// A file whose first line is `# as of 2026-06-01` is judged for that day.
fn as_of(text: &str) -> Option<Timestamp> {
    text.lines().next()?.strip_prefix("# as of ").and_then(Timestamp::parse_date)
}

/// What is said about a golden file. The advice to write tests is shown in the files about it only.
fn diagnostics(name: &str, text: &str) -> (SourceMap, Vec<Diagnostic>) {
    let sources = sources(name, text);
    let mut found = compile_as_of(&sources, as_of(text)).diagnostics;
    if !name.starts_with("tos0904") {
        found.retain(|d| d.code != Code::RULE_WITHOUT_TEST);
    }
    (sources, found)
}

fn cases() -> Vec<(String, String, std::path::PathBuf)> {
    let mut cases = Vec::new();
    for path in golden::files("diagnostics", "tos") {
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if !name.starts_with("tos01") {
            cases.push((name, std::fs::read_to_string(&path).unwrap(), path));
        }
    }
    assert!(cases.len() > 30, "golden files are missing");
    cases
}

#[test]
fn messages_are_as_in_the_golden_files() {
    for (name, text, path) in cases() {
        let (sources, found) = diagnostics(&name, &text);
        let code = name.split('-').next().unwrap().to_uppercase();
        assert!(found.iter().any(|d| d.code.id() == code), "{name} does not show {code}: {found:?}");
        golden::check(&path.with_extension("out"), &diagnostic::to_text(&found, &sources, false));
    }
}

#[test]
fn json_says_the_same_as_the_text() {
    for (name, text, _) in cases() {
        let (sources, found) = diagnostics(&name, &text);
        let json = diagnostic::to_json(&found, &sources);
        let codes: Vec<&str> = json.as_array().unwrap().iter().map(|d| d["code"].as_str().unwrap()).collect();
        assert_eq!(codes, found.iter().map(|d| d.code.id()).collect::<Vec<_>>(), "{name}");
    }
}

/// Codes that no single small file can show: tested here or where they arise.
const WITHOUT_GOLDEN: &[&str] = &[
    // The parser's: golden files of its own, beside these.
    "TOS0402", "TOS0403", // Raised by the readers of list files: tests/it/feed.rs.
    "TOS0501", "TOS0502", "TOS0503", "TOS0504",
];

#[test]
fn every_code_has_a_golden_file() {
    let names: String = golden::files("diagnostics", "tos").iter().map(|p| p.display().to_string()).collect();
    for code in Code::all().map(|c| c.id()).filter(|id| *id >= "TOS0200" && !WITHOUT_GOLDEN.contains(id)) {
        assert!(names.contains(&code.to_lowercase()), "no golden file for {code}");
    }
}

#[test]
fn every_code_from_0201_has_a_page() {
    for code in Code::all().filter(|c| c.id() >= "TOS0200") {
        let page = code.page();
        assert!(page.starts_with(&format!("# {}: {}", code.id(), code.title())), "{} has another title", code.id());
        assert!(page.lines().count() > 5, "the page of {} says nothing", code.id());
    }
}

#[test]
fn messages_keep_the_house_style() {
    for (name, text, _) in cases() {
        for d in diagnostics(&name, &text).1 {
            let lines = [Some(&d.message), Some(&d.primary.text), d.help.as_ref()];
            for line in lines.into_iter().flatten() {
                assert!(!line.ends_with('.'), "{name}: full stop in {line:?}");
                assert!(!line.starts_with(char::is_uppercase), "{name}: capital in {line:?}");
                assert!(!line.contains("Type::") && !line.contains("Some("), "{name}: Rust in {line:?}");
            }
            assert!(d.help.is_some(), "{name}: no help with {:?}", d.message);
        }
    }
}

const POLICY: &str = "policy example.terms version 2026-01-01 {\n  clause limits \"Limits may not be evaded.\"\n}\n";

#[test]
fn a_rule_with_a_mistake_is_left_out_and_the_others_stay() {
    let text = format!(
        "{POLICY}rule good {{ enforces example.terms.limits on completion where refused because \"x\" }}\n\
         rule bad {{ enforces example.terms.limits on completion where refusd because \"x\" }}\n"
    );
    let compiled = compiled(&text);
    let names: Vec<&str> = compiled.program.rules.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["good"]);
    assert_eq!(codes(&text), ["TOS0201"]);
}

#[test]
fn a_mistake_in_a_let_is_reported_once_however_often_it_is_used() {
    let text = format!(
        "{POLICY}let a = refusd\nlet b = a or stream\n\
         rule r {{ enforces example.terms.limits on completion where a and b because \"x\" }}\n"
    );
    assert_eq!(codes(&text), ["TOS0201"]);
}

#[test]
fn a_declaration_lost_to_grammar_is_not_reported_as_unknown() {
    let text = format!(
        "{POLICY}list partners : = [\"a\"]\n\
         rule r {{ enforces example.terms.limits on completion where account in partners because \"x\" }}\n"
    );
    let codes = codes(&text);
    assert!(codes.iter().all(|c| c.starts_with("TOS01")), "{codes:?}");
}

/// Whatever was declared in a block that could not be read, its uses are no second mistake.
#[test]
fn uses_of_what_was_lost_to_grammar_are_no_second_mistake() {
    let event = |policy: &str, condition: &str| {
        format!("{policy}\nrule r {{ enforces example.terms.limits on completion where {condition} because \"x\" }}\n")
    };
    for (lost, uses) in [
        ("let bulk = = 3", event(POLICY, "bulk")),
        ("let bulk = stream and\nlet other = bulk or stream", event(POLICY, "other and bulk")),
        ("list bulk : string [\"a\"]", event(POLICY, "account in bulk")),
        ("list bulk : = [\"a\"]", event(POLICY, "prompt has any of bulk")),
        ("table bulk keyed account from \"t.csv\" { plan: string }", event(POLICY, "bulk.plan = \"a\"")),
        ("policy example.terms version 2026 {\n clause limits \"a\"\n}", event("", "stream")),
        ("policy example.terms version 2026-01-01 {\n clause limits limits \"a\"\n}", event("", "stream")),
        (
            "rule bulk { enforces example.terms.limits on where stream because \"x\" }",
            format!("{POLICY}apply bulk as x enforces example.terms.limits"),
        ),
    ] {
        for text in [format!("{lost}\n{uses}"), format!("{uses}\n{lost}")] {
            let codes = codes(&text);
            assert!(
                !codes.is_empty() && codes.iter().all(|c| c.starts_with("TOS01") || c.starts_with("TOS04")),
                "{text}\n{codes:?}"
            );
        }
    }
}

#[test]
fn a_literal_that_cannot_be_read_is_one_mistake() {
    for condition in ["ts >= 2026-13-01", "latency > 10seconds", "output_tokens + 10seconds > 2", "status in [40x3]"] {
        let text =
            format!("{POLICY}rule r {{ enforces example.terms.limits on completion where {condition} because \"x\" }}");
        let codes = codes(&text);
        assert!(codes.len() == 1 && codes[0].starts_with("TOS01"), "{condition}: {codes:?}");
    }
}

/// Only names of lost declarations are excused: neither words of comments and texts nor those of whole declarations.
#[test]
fn a_mistake_of_grammar_excuses_no_other_name() {
    let text = format!(
        "{POLICY}# let us see: list refusd\nlet a = = 3\n\
         rule r {{ enforces example.terms.limits on completion where refusd because \"let streem\" }}\n\
         rule s {{ enforces example.terms.limits on completion where us because \"x\" }}\n"
    );
    let codes = codes(&text);
    assert_eq!(codes.iter().filter(|c| **c == "TOS0201").count(), 2, "{codes:?}");
}

#[test]
fn lets_that_double_are_refused_in_little_time() {
    let mut text = POLICY.to_string();
    text.push_str("let l0 = refused\n");
    for i in 1..64 {
        let _ = writeln!(text, "let l{i} = (l{0} and stream) or (l{0} and batch)", i - 1);
    }
    assert_eq!(codes(&text), ["TOS0703"]);
}

#[test]
fn a_long_chain_of_lets_is_refused_without_running_out_of_stack() {
    let mut text = POLICY.to_string();
    for i in 0..limits::LETS_MAX - 1 {
        let _ = writeln!(text, "let l{i} = not (l{} and stream)", i + 1);
    }
    let _ = writeln!(text, "let l{} = refused", limits::LETS_MAX - 1);
    assert_eq!(codes(&text), ["TOS0703"]);
}

#[test]
fn more_lets_than_the_limit_are_refused() {
    let mut text = POLICY.to_string();
    for i in 0..=limits::LETS_MAX {
        let _ = writeln!(text, "let l{i} = refused");
    }
    assert_eq!(codes(&text), ["TOS0703"]);
}

#[test]
fn a_sum_of_many_terms_is_refused_without_running_out_of_stack() {
    let sum = |terms| vec!["output_tokens"; terms].join(" + ");
    assert_eq!(codes(&rule_with(&format!("on completion where {} > 5", sum(90)))), [""; 0]);
    let sum = sum(30_000);
    assert!(!codes(&rule_with(&format!("on completion where {sum} > 5"))).is_empty());
}

/// Rules of the shape that the shipped ones have; also the start of the mutations below.
const RULES: &str = include_str!("../data/check/rules.tos");

#[test]
fn a_file_of_all_evaluated_constructs_is_accepted() {
    let compiled = compiled(RULES);
    let said = diagnostic::to_text(&compiled.diagnostics, &sources("rules.tos", RULES), false);
    assert!(compiled.diagnostics.is_empty(), "{said}");
}

#[test]
fn meaning_is_as_in_the_golden_file() {
    let program = compiled(RULES).program;
    let mut out = String::new();
    for rule in &program.rules {
        out.push_str(&fineprint::hir::canonical_rule(&program, rule));
        out.push('\n');
    }
    golden::check(&golden::data("check/rules.canonical"), &out);
}

#[test]
fn names_of_lets_and_comments_do_not_change_a_hash() {
    let rule = |lets: &str, when: &str| {
        let text = format!(
            "{POLICY}{lets}rule r {{ enforces example.terms.limits on completion where {when} because \"x\" }}"
        );
        let program = compiled(&text).program;
        fineprint::hir::rule_hash(&program, program.rules.first().unwrap())
    };
    let plain = rule("", "refused and (stream and batch)");
    assert_eq!(plain, rule("let a = stream and batch # so\n", "(refused and a)"));
    assert_eq!(plain, rule("let b = refused\nlet c = b and stream\n", "c = true and batch != false"));
    assert_ne!(plain, rule("", "refused and stream"));
}

#[test]
fn default_steps_divide_their_window() {
    for (over, step) in
        [("24h", "15m"), ("1h", "37500ms"), ("60s", "1s"), ("90d", "81000s"), ("1s", "1s"), ("97s", "1s")]
    {
        let text = format!(
            "{POLICY}rule r {{ enforces example.terms.limits on completion over {over} when count() > 1 because \"x\" }}"
        );
        let program = compiled(&text).program;
        let fineprint::hir::Shape::Windowed(w) = &program.rules.first().unwrap().shape else { panic!("no window") };
        assert_eq!(w.length.0 % w.step.0, 0, "{over}");
        assert_eq!(w.step, fineprint::time::Duration::parse(step).unwrap(), "{over}");
    }
}

fn rule_with(sections: &str) -> String {
    format!("{POLICY}rule r {{ enforces example.terms.limits {sections} because \"x\" }}")
}

#[test]
fn units_that_go_together_are_accepted() {
    for condition in [
        "latency > 10s",
        "ts - account_created < 24h",
        "ts - 24h < account_created",
        "output_tokens > 4_000",
        "output_tokens + reasoning_tokens > 2 * input_tokens",
        "output_tokens / input_tokens > 1.5",
        "temperature > 1",
        "temperature * 2 >= 1.5 + top_p",
        "cost >= $5",
        "cost * 3 > $0.5",
        "cost / output_tokens > $0.01",
        "quota_rpm * 50% > tools",
        "status in [403, 429]",
        "country in [\"CN\", \"RU\"] and country != org_country",
        "ip in \"10.0.0.0/8\" or ip in [\"192.0.2.1\", \"2001:db8::/32\"]",
        "ip = \"192.0.2.1\"",
        "network(ip) = \"192.0.2.0/24\"",
        "header_flags contains \"x-proxy\"",
        "header_flags has any of [\"a\", \"b\"] and header_flags has all of [\"c\", \"d\"]",
        "account.created < 2026-01-01",
        "plan or default \"free\" = \"free\"",
        "length(lower(prompt)) > 100",
        "max_tokens = -1",
        "at least 2 of { refused, stream, batch }",
        "refused = false and not (stream != true)",
    ] {
        assert_eq!(codes(&rule_with(&format!("on completion where {condition}"))), [""; 0], "{condition}");
    }
}

#[test]
fn conditions_that_only_grow_may_block_at_once() {
    let block = |when: &str| {
        let text = rule_with(&format!("on completion per account over 24h when {when} action block account for 1d"));
        !codes(&text).contains(&"TOS0406")
    };
    for growing in [
        "count() >= 10",
        "10 < count()",
        "distinct(ip) > 3 and sum(cost) >= $5",
        "sum(output_tokens) + sum(input_tokens) > 1_000",
        "2 * count() > 10 or max(output_tokens) > 4_000",
        "account = \"a\" and count() > 1",
    ] {
        assert!(block(growing), "{growing}");
    }
    for falling in [
        "count() < 10",
        "not count() > 10",
        "share(refused) > 50%",
        "average(latency) > 1s",
        "min(output_tokens) > 5",
        "count() > distinct(ip)",
        "count() - distinct(ip) > 5",
        "count() != 3",
        "sum(max_tokens) > 5",
        "count() / distinct(ip) > 5",
        "count() > 5 and share(refused) > 1%",
    ] {
        assert!(!block(falling), "{falling}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Words of a valid file are dropped, doubled, swapped and replaced by others of the language.
    #[test]
    fn no_mutation_makes_the_compiler_panic(changes in prop::collection::vec((0..4u8, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..12)) {
        const WORDS: &[&str] = &[
            "account", "prompt", "latency", "$5", "90%", "10s", "24h", "0.5", "17", "2026-01-31", "\"DE\"", "\"{account}\"",
            "(", ")", "[", "]", "{", "}", ",", "=", "!=", "<", "+", "- ", "*", "/", "not", "and", "or", "in", "exists",
            "count()", "share(refused)", "distinct(ip)", "network(ip)", "per", "over", "when", "let", "rule", "where",
            "contains", "matches", "regex", "\"(\"", "has", "any", "of", "true", "at least 2 of", "sessions with gaps of 30m",
            "account.org_verified", "seen before within 3d", "usual(count(), over 30d)", "cohort(count(), 99%, by plan, over 7d)", "during outage of fleet", "series", "-9223372036854775807", "1ns",
        ];
        let mut words: Vec<String> = RULES.split_inclusive(char::is_whitespace).map(str::to_string).collect();
        for (what, at, other) in changes {
            let (i, j) = (at.index(words.len()), other.index(words.len()));
            match what {
                0 => { words.remove(i); }
                1 => { let word = words[j].clone(); words.insert(i, word); }
                2 => words.swap(i, j),
                _ => words[i] = format!("{} ", WORDS[other.index(WORDS.len())]),
            }
        }
        let sources = sources("mutated.tos", &words.concat());
        let compiled = compile(&sources);
        let text = diagnostic::to_text(&compiled.diagnostics, &sources, false);
        prop_assert_eq!(text.is_empty(), compiled.diagnostics.is_empty());
        let places: BTreeSet<_> = compiled.diagnostics.iter().map(|d| (d.primary.span, d.code, d.message.clone())).collect();
        prop_assert_eq!(places.len(), compiled.diagnostics.len());
    }
}
