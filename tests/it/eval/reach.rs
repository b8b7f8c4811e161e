//! Events are kept for as long as the windows that counted them reach. How long others keep theirs must not show.

use std::sync::Arc;

use fineprint::compile::compile;
use fineprint::eval::{EvalOptions, Evaluator};
use fineprint::event::decode::decode;
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::source::SourceMap;
use fineprint::time::Timestamp;
use fineprint::violation::{Violation, to_json};

const POLICY: &str = "policy p.q version 2026-01-01 { clause c \"Says something.\" }\n";

/// Windows of ten minutes to two days; one by several keys an event, whose groups are merged.
const RULES: [(&str, &str); 4] = [
    ("short", "on completion per account over 10m every 1m when count() >= 25 because \"x\""),
    (
        "hours",
        "on completion where status = 200 per org over 3h every 15m when count() >= 150 because \"x\" cooldown 1h",
    ),
    ("days", "on completion where status = 429 per account over 2d every 1h when count() >= 60 because \"x\""),
    ("template", "on completion per template(prompt) over 30m every 5m when count() >= 40 because \"x\""),
];

fn rules(names: &[&str]) -> Arc<RuleSet> {
    let mut text = POLICY.to_string();
    for (name, rule) in RULES.iter().filter(|(name, _)| names.contains(name)) {
        text.push_str(&format!("rule {name} {{ enforces p.q.c {rule} }}\n"));
    }
    let mut sources = SourceMap::default();
    sources.add("rules.tos", text);
    let compiled = compile(&sources);
    assert_eq!(compiled.program.rules.len(), names.len(), "{:?}", compiled.diagnostics);
    Arc::new(RuleSet::new(compiled.program, ReferenceData::default()).unwrap())
}

/// Two days of events, one each 15 seconds, with busy hours of one account and of one template.
fn line(i: i64) -> String {
    let (seconds, hour) = (i * 15, i * 15 / 3_600);
    let busy = hour % 5 == 0;
    let account = if busy { 0 } else { i % 7 };
    let status = if i % 11 == 0 { 429 } else { 200 };
    let template = if hour % 7 == 3 && i % 2 == 0 { 1 } else { 1_000 + i };
    let at = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap().0 + seconds * 1_000_000_000;
    format!(
        r#"{{"type":"completion","id":"e{i:06}","ts":"{}","account":"a{account}","org":"o{}","status":{status},"prompt_fps":["{template:016x}"]}}"#,
        Timestamp(at),
        account / 3,
    )
}

fn found(names: &[&str], restarts: bool) -> Vec<Violation> {
    let rules = rules(names);
    let options = EvalOptions::default();
    let mut evaluator = Evaluator::new(Arc::clone(&rules), options.clone());
    let mut found = std::collections::BTreeMap::new();
    for i in 0..11_520 {
        evaluator.observe(&decode(line(i).as_bytes()).unwrap(), Default::default());
        if i % 2_500 == 2_499 && restarts {
            found.extend(evaluator.take_violations().into_iter().map(|v| (v.id.clone(), v)));
            let state = evaluator.snapshot().unwrap();
            evaluator = Evaluator::restore(Arc::clone(&rules), options.clone(), &state).unwrap();
        }
    }
    evaluator.advance(Timestamp::parse_rfc3339("2026-01-06T00:00:00Z").unwrap());
    found.extend(evaluator.take_violations().into_iter().map(|v| (v.id.clone(), v)));
    found.into_values().collect()
}

#[test]
fn rules_beside_it_do_not_change_what_a_rule_names() {
    let all = RULES.map(|(name, _)| name);
    for restarts in [false, true] {
        let together = found(&all, restarts);
        for name in all {
            let own: Vec<String> = together.iter().filter(|v| v.rule == name).map(|v| to_json(v).to_string()).collect();
            let alone: Vec<String> = found(&[name], false).iter().map(|v| to_json(v).to_string()).collect();
            assert!(!alone.is_empty(), "{name} finds nothing");
            assert_eq!(own, alone, "{name}, restarts: {restarts}");
            assert!(together.iter().all(|v| v.evidence.forgotten == 0));
        }
    }
}
