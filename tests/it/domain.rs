//! The 51 candidate rules of the domain research, in our words: that each can be said, and which of them this version does
//! not evaluate yet. The list gets shorter, never longer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fineprint::compile::compile;
use fineprint::diagnostic::{Code, Level};
use fineprint::fixture;
use fineprint::pack::{self, PackOptions};
use fineprint::syntax::ast::{Expect, ExpectWhat, Item};
use fineprint::template::FingerprintKey;

/// A sequence of a link group. Once evaluated it needs cases of its own.
const NOT_EVALUATED_YET: [&str; 1] = ["c05-ban-evasion"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/domain51")
}

#[test]
fn each_of_the_51_rules_can_be_said() {
    let read = pack::read_sources(&folder()).unwrap();
    let compiled = compile(&read.map);
    let wrong: Vec<_> = compiled
        .diagnostics
        .iter()
        .filter(|d| d.level() == Level::Error && d.code != Code::NOT_EVALUATED)
        .map(|d| format!("{}: {}", d.code.id(), d.message))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");

    let items = || compiled.files.iter().flat_map(|f| &f.items);
    let written: BTreeSet<&str> =
        items().filter_map(|i| if let Item::Rule(r) = i { Some(r.name.text.as_str()) } else { None }).collect();
    // Some are two rules, the second with a letter behind its number.
    let ids: BTreeSet<&str> = written.iter().map(|name| &name[..3]).collect();
    let of = |theme: &str, n: usize| (1..=n).map(|i| format!("{theme}{i:02}")).collect::<Vec<_>>();
    let all: Vec<String> = [("d", 18), ("c", 10), ("i", 8), ("v", 5), ("r", 5), ("p", 5)]
        .into_iter()
        .flat_map(|(theme, n)| of(theme, n))
        .collect();
    assert_eq!(all.len(), 51);
    assert_eq!(ids, all.iter().map(String::as_str).collect());

    let evaluated: BTreeSet<&str> = compiled.program.rules.iter().map(|r| r.name.as_str()).collect();
    let rest: Vec<&str> = written.difference(&evaluated).copied().collect();
    assert_eq!(rest, NOT_EVALUATED_YET);
}

/// Each that is evaluated has a case in which it fires, and one in which it is silent or exempted.
#[test]
fn each_of_them_fires_and_is_silent() {
    let read = pack::read_sources(&folder()).unwrap();
    for item in compile(&read.map).files.iter().flat_map(|f| &f.items) {
        let Item::Rule(rule) = item else { continue };
        let name = rule.name.text.as_str();
        if NOT_EVALUATED_YET.contains(&name) {
            continue;
        }
        let expects = || rule.tests.iter().flat_map(|t| &t.expect);
        let fires = |e: &Expect| matches!(e.what, ExpectWhat::Violations { .. });
        assert!(expects().any(&fires), "`{name}` has no case in which it fires");
        assert!(expects().any(|e| !fires(e)), "`{name}` has no case in which it is silent");
    }
}

/// The table of candidates names each rule once, and beside it only shipped ones.
#[test]
fn the_table_of_candidates_names_them_all() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_to_string(root.join("docs/rules.md")).unwrap();
    let table = docs.split("## All 51 candidates").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> =
        table.lines().filter(|l| l.starts_with("| ")).skip(1).map(|l| l.split('|').map(str::trim).collect()).collect();
    assert_eq!(rows.len(), 51);
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_string).collect::<Vec<String>>();
    let rules = |folder: &Path| -> BTreeSet<String> {
        let files = compile(&pack::read_sources(folder).unwrap().map).files;
        let all = files.iter().flat_map(|f| &f.items);
        all.filter_map(|i| if let Item::Rule(r) = i { Some(r.name.text.to_string()) } else { None }).collect()
    };
    let shipped = rules(&root.join("rules"));
    for row in &rows {
        assert!(names(row[2]).iter().all(|name| shipped.contains(name)), "{row:?}");
        let id = row[1].split(' ').next().unwrap().replace('-', "").to_lowercase();
        assert!(names(row[3]).iter().all(|name| name.starts_with(&id)), "{row:?}");
    }
    let said: Vec<String> = rows.iter().flat_map(|row| names(row[3])).collect();
    assert_eq!(said.iter().cloned().collect::<BTreeSet<_>>(), rules(&folder()));
    assert_eq!(said.len(), rules(&folder()).len());
}

/// Those that are evaluated, with what else is not taken out of the files.
#[test]
fn those_that_are_evaluated_do_what_their_tests_say() {
    let read = pack::read_sources(&folder()).unwrap();
    let compiled = compile(&read.map);
    let kept = tempfile::tempdir().unwrap();
    for (number, file) in compiled.files.iter().enumerate() {
        let (id, source) = read.map.iter().nth(number).unwrap();
        let mut text = source.text.clone();
        let gone = |item: &&Item| match item {
            Item::Rule(rule) => NOT_EVALUATED_YET.contains(&rule.name.text.as_str()),
            _ => false,
        };
        for item in file.items.iter().rev().filter(gone) {
            let span = item.span();
            assert_eq!(span.source, id);
            text.replace_range(span.start as usize..span.end as usize, "");
        }
        std::fs::write(kept.path().join(format!("{number}.tos")), text).unwrap();
    }
    let lists = folder();
    let options = PackOptions {
        rules: kept.path(),
        lists: Some(&lists),
        accounts: None,
        as_of: None,
        fingerprint_key: FingerprintKey::PUBLIC,
    };
    let pack = pack::load(&options).unwrap();
    let errors: Vec<_> = pack.diagnostics.iter().filter(|d| d.level() == Level::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let rules = pack.rules.as_ref().unwrap();
    let cases = fixture::cases(rules.program(), &pack.files);
    assert!(cases.len() >= 20, "{}", cases.len());
    for case in cases {
        let report = fixture::run(case, rules.program(), rules.data());
        let (failures, found) = (&report.failures, &report.found);
        let near = &report.near_misses;
        assert!(report.passed(), "{} / {}: {failures:?} {near:?} found {found:?}", report.rule, report.test);
    }
}
