//! The shipped rules over the bundled sample, stepped by key.

use std::path::Path;
use std::sync::Arc;

use fineprint::compile::compile;
use fineprint::diagnostic::to_text;
use fineprint::eval::keyed::{Keyed, Shards, Whole};
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::decode::Decoder;
use fineprint::feed::{EventReader, Input};
use fineprint::pack::{self, PackOptions};
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::reference::TableData;
use fineprint::source::SourceMap;
use fineprint::template::FingerprintKey;
use fineprint::time::Timestamp;
use fineprint::violation::{Violation, to_json};

use super::host::{Habits, Host};

fn rules() -> Arc<RuleSet> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (rules, lists) = (root.join("rules"), root.join("examples/traffic/lists"));
    let accounts = root.join("examples/traffic/accounts.jsonl");
    let options = PackOptions {
        rules: &rules,
        lists: Some(&lists),
        accounts: Some(&accounts),
        as_of: None,
        fingerprint_key: FingerprintKey::PUBLIC,
    };
    pack::load(&options).unwrap().rules.unwrap()
}

fn lines() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/traffic/events.jsonl.gz");
    let mut reader = EventReader::open(&Input::File(path)).unwrap();
    let mut lines = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        lines.push(record.bytes.to_vec());
    }
    lines
}

fn told(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(|v| to_json(v).to_string()).collect()
}

/// Every rule that is shipped, over the whole sample: by key from bytes, and over seven evaluators.
#[test]
fn shipped_rules_tell_the_same_log_by_key() {
    let (rules, lines) = (rules(), lines());
    let options = EvalOptions::default();
    let end = Timestamp::parse_rfc3339("2026-05-01T00:00:00Z").unwrap();
    let keyed = Arc::new(Keyed::new(Arc::clone(&rules), options.clone()));
    let mut evaluator = Evaluator::new(Arc::clone(&rules), options.clone());
    let mut host = Host::new(Arc::clone(&rules), options, Habits::default());
    let mut shards = Shards::new(keyed, 7);
    let mut decoder = Decoder::new();
    for (line, bytes) in (1..).zip(&lines) {
        let event = decoder.decode(bytes).unwrap();
        let origin = Origin { input: 0, line };
        let outcome = evaluator.observe(&event, origin);
        assert_eq!(outcome, host.observe(&event, origin));
        assert_eq!(outcome, shards.observe(&event, origin));
    }
    let spread = shards.live_groups();
    assert!(spread.iter().filter(|n| **n > 0).count() > 1, "{spread:?}");
    evaluator.advance(end);
    host.advance(end);
    shards.advance(end);
    let expected = told(&evaluator.take_violations());
    assert!(expected.len() > 20, "{}", expected.len());
    assert_eq!(expected, told(&shards.take_violations()));
    assert_eq!(expected, told(&host.result(Vec::new()).violations));
}

/// What is not cut by key, over enough events that windows pass and events are forgotten.
#[test]
fn states_that_are_not_cut_tell_the_same_log() {
    let mut sources = SourceMap::default();
    sources.add("keyed.tos", include_str!("../../../data/keyed.tos"));
    let compiled = compile(&sources);
    assert!(!compiled.has_errors(), "{}", to_text(&compiled.diagnostics, &sources, false));
    let program = compiled.program;
    let columns = |t: &fineprint::hir::Table| t.columns.iter().map(|(n, ty)| (n.as_str().into(), ty.clone())).collect();
    let tables = program.tables.iter().map(|t| Arc::new(TableData::empty(columns(t)))).collect();
    let rules = Arc::new(RuleSet::new(program, ReferenceData { tables, ..ReferenceData::default() }).unwrap());
    let options = EvalOptions::default();
    let keyed = Arc::new(Keyed::new(Arc::clone(&rules), options.clone()));
    let reasons: Vec<Option<Whole>> = keyed.units().into_iter().map(|unit| unit.whole).collect();
    for why in [Whole::Link, Whole::Series, Whole::Memory, Whole::Cohort, Whole::Several] {
        assert!(reasons.contains(&Some(why)), "{why:?} in {reasons:?}");
    }
    let mut evaluator = Evaluator::new(Arc::clone(&rules), options.clone());
    let mut host = Host::new(Arc::clone(&rules), options, Habits::default());
    let mut shards = Shards::new(keyed, 7);
    let (lines, mut decoder) = (lines(), Decoder::new());
    for (line, bytes) in (1..).zip(lines.iter().step_by(4)) {
        let event = decoder.decode(bytes).unwrap();
        let origin = Origin { input: 0, line };
        evaluator.observe(&event, origin);
        host.observe(&event, origin);
        shards.observe(&event, origin);
    }
    let end = Timestamp::parse_rfc3339("2026-03-10T00:00:00Z").unwrap();
    evaluator.advance(end);
    host.advance(end);
    shards.advance(end);
    let found = evaluator.take_violations();
    for rule in &rules.program().rules {
        assert!(found.iter().any(|v| v.rule == rule.name), "{} finds nothing", rule.name);
    }
    let expected = told(&found);
    assert_eq!(expected, told(&shards.take_violations()));
    assert_eq!(expected, told(&host.result(Vec::new()).violations));
}
