//! The shipped rules and the examples: they read, check clean, stand as the formatter writes them, and pass their tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fineprint::diagnostic::{has_errors, to_text};
use fineprint::fixture;
use fineprint::hir::Mode;
use fineprint::pack::{self, Pack, PackOptions};
use fineprint::source::SourceMap;
use fineprint::syntax;
use fineprint::syntax::ast::{ExpectWhat, Item, Limit};
use fineprint::template::FingerprintKey;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn load(rules: &str, lists: Option<&str>) -> Pack {
    let (rules, lists) = (root().join(rules), lists.map(|l| root().join(l)));
    pack::load(&PackOptions {
        rules: &rules,
        lists: lists.as_deref(),
        accounts: None,
        as_of: None,
        fingerprint_key: FingerprintKey::PUBLIC,
    })
    .unwrap()
}

fn said(pack: &Pack) -> String {
    to_text(&pack.diagnostics, &pack.sources, false)
}

fn clean(pack: &Pack) {
    assert!(pack.diagnostics.is_empty(), "{}", said(pack));
    assert!(pack.rules.is_some());
}

fn pass(pack: &Pack) {
    let rules = pack.rules.as_ref().unwrap();
    let cases = fixture::cases(rules.program(), &pack.files);
    assert!(!cases.is_empty());
    for case in cases {
        let report = fixture::run(case, rules.program(), rules.data());
        let (failures, found) = (&report.failures, &report.found);
        assert!(
            report.passed(),
            "{} / {}: {failures:?} {:?} found {found:?}",
            report.rule,
            report.test,
            report.near_misses
        );
    }
}

#[test]
fn shipped_rules_check_clean() {
    clean(&load("rules", None));
}

#[test]
fn shipped_rules_take_the_lists_of_the_bundled_traffic() {
    clean(&load("rules", Some("examples/traffic/lists")));
}

#[test]
fn each_example_file_checks_clean_on_its_own() {
    for file in ["examples/rules/first.tos", "examples/rules/phrases.tos"] {
        clean(&load(file, None));
    }
}

/// Cases of memory and of the age of things, told as the tests of rules.
#[test]
fn rules_that_ask_memory_pass_their_tests() {
    let pack = load("tests/data/memory", None);
    clean(&pack);
    pass(&pack);
}

/// Cases of earlier windows and of the fleet, told as the tests of rules.
#[test]
fn rules_that_look_back_pass_their_tests() {
    let pack = load("tests/data/baselines", None);
    clean(&pack);
    pass(&pack);
}

/// Cases of networks and regions by lists and tables, told as the tests of rules.
#[test]
fn rules_by_network_and_region_pass_their_tests() {
    let pack = load("tests/data/networks", None);
    clean(&pack);
    pass(&pack);
}

#[test]
fn the_broken_example_is_refused_with_several_messages() {
    let pack = load("examples/broken", None);
    assert!(pack.rules.is_none() && has_errors(&pack.diagnostics));
    let codes: BTreeSet<&str> = pack.diagnostics.iter().map(|d| d.code.id()).collect();
    assert!(codes.len() >= 4, "{}", said(&pack));
}

#[test]
fn shipped_files_stand_as_the_formatter_writes_them() {
    for folder in ["rules", "examples/rules"] {
        let read = pack::read_sources(&root().join(folder)).unwrap();
        for (id, source) in read.map.iter() {
            let (file, mistakes) = syntax::parse(id, &source.text);
            assert!(mistakes.is_empty(), "{}: {mistakes:?}", source.name);
            assert!(
                syntax::print(&file, &source.text) == source.text,
                "{} is not formatted: run `fineprint fmt {folder}`",
                source.name
            );
        }
    }
}

#[test]
fn shipped_rules_pass_their_tests_and_near_misses() {
    for folder in ["rules", "examples/rules/first.tos", "examples/rules/phrases.tos"] {
        pass(&load(folder, None));
    }
}

#[test]
fn every_definition_has_a_firing_and_a_silent_test_a_reason_and_look_alikes() {
    let pack = load("rules", None);
    let mut definitions = 0;
    for item in pack.files.iter().flat_map(|f| &f.items) {
        let (Item::Rule(rule) | Item::Limit(Limit { sections: rule, .. })) = item else { continue };
        definitions += 1;
        let name = &rule.name.text;
        let expected: Vec<&ExpectWhat> = rule.tests.iter().flat_map(|t| &t.expect).map(|e| &e.what).collect();
        assert!(
            expected.iter().any(|e| matches!(e, ExpectWhat::Violations { count, .. } if count.value > 0)),
            "{name} never fires"
        );
        assert!(expected.iter().any(|e| matches!(e, ExpectWhat::Nothing)), "{name} is never silent");
        assert!(rule.because.is_some() && !rule.mistaken_for.is_empty(), "{name}");
        assert!(
            rule.exceptions.iter().all(|e| e.because.is_some() && e.owner.is_some() && e.evidence.is_some()),
            "{name}"
        );
    }
    assert!(definitions >= 12);
}

#[test]
fn shipped_rules_begin_in_shadow() {
    let pack = load("rules", None);
    assert!(pack.rules.as_ref().unwrap().program().rules.iter().all(|r| r.mode == Mode::Shadow));
}

#[test]
fn every_clause_has_section_address_and_date_and_says_something() {
    let pack = load("rules", None);
    let program = pack.rules.as_ref().unwrap().program();
    let providers: BTreeSet<&str> = program.policies.iter().filter_map(|p| p.name.split('.').next()).collect();
    assert!(providers.len() >= 3, "{providers:?}");
    for policy in &program.policies {
        assert!(policy.url.starts_with("https://"), "{} has no address", policy.name);
        assert!(policy.version.starts_with("20") && !policy.title.is_empty(), "{}", policy.name);
        assert!(policy.clauses.iter().all(|c| !c.section.is_empty() && c.says.len() > 20), "{}", policy.name);
    }
}

/// Rules against distillation never stand on terms that permit it, nor on terms that do not speak of text.
#[test]
fn nothing_about_distillation_enforces_terms_that_permit_it() {
    let pack = load("rules", None);
    let program = pack.rules.as_ref().unwrap().program();
    let permits =
        program.policies.iter().flat_map(|p| p.clauses.iter().map(move |c| (p, c))).filter(|(_, c)| c.permits);
    assert!(permits.clone().any(|(p, c)| p.name == "deepseek.platform" && c.name == "distillation"));
    let theme = pack.paths.iter().position(|p| p.ends_with("rules/distillation.tos")).unwrap();
    for rule in &program.rules {
        for clause in &rule.enforces {
            assert!(
                clause.versions.iter().all(|(p, c)| !program.policies[*p as usize].clauses[*c as usize].permits),
                "{}",
                rule.name
            );
            let about_training = rule.definition.source.0 as usize == theme;
            assert!(!(about_training && clause.policy.starts_with("deepseek.")), "{}", rule.name);
        }
    }
}

#[test]
fn every_shipped_rule_is_in_the_table_for_counsel() {
    let table = std::fs::read_to_string(root().join("docs/rules.md")).unwrap();
    let pack = load("rules", None);
    for rule in &pack.rules.as_ref().unwrap().program().rules {
        assert!(table.contains(&format!("`{}`", rule.name)), "docs/rules.md does not name `{}`", rule.name);
    }
}

/// The ```tos blocks of a document, each with the line on which it begins.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        match &mut open {
            Some(_) if line.trim_end() == "```" => found.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line.trim_end() == "```tos" => open = Some((number + 1, String::new())),
            None => {}
        }
    }
    found
}

fn documents() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for folder in [root().to_owned(), root().join("docs")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "md") {
                found.insert(path.clone(), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn examples_in_documents_parse() {
    let mut n = 0;
    for (path, text) in documents() {
        for (line, block) in blocks(&text) {
            let mut sources = SourceMap::default();
            let id = sources.add("example", &block);
            let (_, mistakes) = syntax::parse(id, &block);
            assert!(mistakes.is_empty(), "{}:{line}: {mistakes:?}", path.display());
            n += 1;
        }
    }
    assert!(n >= 3);
}

/// Examples that bring their policy and tests are whole files: they check clean and do what they say.
#[test]
fn complete_examples_of_documents_work() {
    let mut n = 0;
    for (path, text) in documents() {
        for (line, block) in blocks(&text) {
            if !block.contains("policy ") || !block.contains("expect violation") || path.ends_with("author.md") {
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(format!("line-{line}.tos")), block).unwrap();
            let options = PackOptions {
                rules: folder.path(),
                lists: None,
                accounts: None,
                as_of: None,
                fingerprint_key: FingerprintKey::PUBLIC,
            };
            let pack = pack::load(&options).unwrap();
            clean(&pack);
            pass(&pack);
            n += 1;
        }
    }
    assert!(n >= 1);
}

/// The guide builds one file up step by step: its blocks together are a pack that checks clean and passes its tests.
#[test]
fn the_guide_for_authors_is_one_working_file() {
    let text = std::fs::read_to_string(root().join("docs/author.md")).unwrap();
    let file: String = blocks(&text).into_iter().map(|(_, block)| block + "\n").collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("guide.tos"), file).unwrap();
    let pack = pack::load(&PackOptions {
        rules: folder.path(),
        lists: None,
        accounts: None,
        as_of: None,
        fingerprint_key: FingerprintKey::PUBLIC,
    })
    .unwrap();
    clean(&pack);
    pass(&pack);
}

/// What the page says of windows and aggregates is shown by rules that fire and stay silent.
#[test]
fn rules_of_the_language_page_do_what_they_say() {
    let text = std::fs::read_to_string(root().join("docs/language.md")).unwrap();
    let policy = "policy openai.services version 2026-01-01 {\n\
                  clause extraction \"No extraction.\" clause limit-evasion \"No evasion.\" }\n";
    let told = ["over\n", "Several values, and wordings\n", "Baselines\n", "series\n", "link\n"];
    let sections = text.split("\n#").map(|s| s.trim_start_matches(['#', ' ']));
    let sections = sections.filter(|s| told.iter().any(|title| s.starts_with(title)));
    let shown = sections.flat_map(blocks).map(|(_, block)| block).filter(|block| block.contains("  test \""));
    let shown: Vec<String> = shown.collect();
    assert_eq!(shown.len(), 6, "{shown:?}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.tos"), policy.to_string() + &shown.join("\n")).unwrap();
    let pack = pack::load(&PackOptions {
        rules: folder.path(),
        lists: None,
        accounts: None,
        as_of: None,
        fingerprint_key: FingerprintKey::PUBLIC,
    })
    .unwrap();
    clean(&pack);
    pass(&pack);
}
