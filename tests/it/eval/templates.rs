//! `template(prompt)` in rules: which events a filter lets through, under which key.

use std::sync::Arc;

use fineprint::compile::compile;
use fineprint::diagnostic::to_text;
use fineprint::eval::{EvalOptions, Evaluator, Origin, Salt};
use fineprint::event::decode::Decoder;
use fineprint::plan::{ReferenceData, RuleSet, list_of};
use fineprint::source::SourceMap;
use fineprint::template::{FingerprintKey, Fingerprinter, Scratch, Strictness, to_text as hex};

/// Long enough that what follows it cannot hide it: 15 words agree.
const TEMPLATE: &str = "Rewrite the task below so that it is harder but keeps its answer, its form and its language";

/// A rule of one filter, with the list `known` of [`TEMPLATE`], under a key.
fn evaluator(filter: &str, key: FingerprintKey) -> Evaluator {
    of_rule(&format!("on completion where {filter}"), key)
}

fn of_rule(sections: &str, key: FingerprintKey) -> Evaluator {
    let mut sources = SourceMap::default();
    sources.add(
        "t.tos",
        format!(
            "policy a.b version 2026-01-01 {{ clause c at \"1\" \"No.\" }}\n\
             list known : fingerprint = [\"{TEMPLATE}\"]\n\
             rule r {{ enforces a.b.c {sections} because \"found\" }}\n"
        ),
    );
    let compiled = compile(&sources);
    let program = compiled.program;
    assert_eq!(program.rules.len(), 1, "{}", to_text(&compiled.diagnostics, &sources, false));
    let lists = program.lists.iter().map(|l| Arc::new(list_of(&l.ty, l.inline.iter().flatten(), &key).unwrap()));
    let data = ReferenceData { lists: lists.collect(), fingerprint_key: key, ..ReferenceData::default() };
    Evaluator::new(Arc::new(RuleSet::new(program, data).unwrap()), EvalOptions::default())
}

fn event(fields: &str) -> String {
    format!(r#"{{"id":"e","ts":"2026-01-01T00:00:00Z","type":"completion","account":"a"{fields}}}"#)
}

/// Matches, and events that could not be decided.
fn matches(filter: &str, key: FingerprintKey, fields: &str) -> (usize, u64) {
    let mut evaluator = evaluator(filter, key);
    let line = event(fields);
    let n = evaluator.count_matching(&Decoder::new().decode(line.as_bytes()).unwrap());
    (n, evaluator.undecided().iter().map(|(_, n)| n).sum())
}

const OURS: FingerprintKey = FingerprintKey::new([9; 16], 2);

/// As a gateway would send them.
fn told(key: FingerprintKey) -> String {
    let made = Fingerprinter::new(key).fingerprints(Strictness::Strict, TEMPLATE, &mut Scratch::default());
    let texts: Vec<String> = made.as_slice().iter().map(|f| format!("\"{}\"", hex(*f).to_uppercase())).collect();
    format!(r#""prompt_fps":[{}]"#, texts.join(","))
}

/// (filter, fields, matches, undecided)
#[test]
fn filters_by_template() {
    let filled = format!(r#","prompt":"{TEMPLATE}: what is seven times eight""#);
    let replaced = filled.replace("the task", "the thing");
    let other = r#","prompt":"Tell me in a few words of your own how the weather is going to be""#;
    let (short, none) = (r#","prompt":"Rewrite the task""#, "");
    for (filter, fields, expected, undecided) in [
        ("template(prompt) in known", filled.as_str(), 1, 0),
        ("template(prompt) in known", other, 0, 0),
        ("template(prompt) not in known", filled.as_str(), 0, 0),
        ("template(prompt) not in known", other, 1, 0),
        ("template(prompt, loose) in known", replaced.as_str(), 1, 0),
        // A short prompt is known to have no fingerprint; a missing one is not known at all.
        ("template(prompt) not in known", short, 1, 0),
        ("template(prompt) in known", none, 0, 1),
        ("template(prompt) not in known", none, 0, 1),
        ("template(prompt) exists", short, 1, 0),
        ("template(prompt) exists", none, 0, 0),
        ("length(template(prompt)) = 0", short, 1, 0),
        ("length(template(prompt)) = 0", none, 0, 1),
        ("length(template(prompt)) >= 2", filled.as_str(), 1, 0),
        ("template(system_prompt) in known", filled.as_str(), 0, 1),
        ("template(prompt) in known or template(prompt) exists", filled.as_str(), 1, 0),
    ] {
        let found = matches(filter, FingerprintKey::PUBLIC, fields);
        assert_eq!(found, (expected, undecided), "{filter} of {fields}");
        assert_eq!(found, matches(filter, OURS, fields), "under another key: {filter} of {fields}");
    }
}

/// (fields, matches, undecided) of `template(prompt) in known` under a key of epoch 2.
#[test]
fn fingerprints_of_the_gateway_count_when_their_epoch_is_ours() {
    let told = told(OURS);
    let elsewhere = r#","prompt":"Tell me in a few words of your own how the weather is going to be""#;
    for (fields, expected, undecided) in [
        (format!(r#",{told},"fingerprint_epoch":2"#), 1, 0),
        // They count for more than the prompt.
        (format!(r#",{told},"fingerprint_epoch":2{elsewhere}"#), 1, 0),
        (format!(r#","prompt_fps":[],"fingerprint_epoch":2,"prompt":"{TEMPLATE}""#), 0, 0),
        // Of another epoch they say nothing.
        (format!(r#",{told},"fingerprint_epoch":1"#), 0, 1),
        (format!(",{told}"), 0, 1),
        (format!(r#",{told},"fingerprint_epoch":1,"prompt":"{TEMPLATE}""#), 1, 0),
        // Nor where one of them is of another kind.
        (format!(r#","prompt_fps":["x1"],"fingerprint_epoch":2,"prompt":"{TEMPLATE}""#), 1, 0),
    ] {
        assert_eq!(matches("template(prompt) in known", OURS, &fields), (expected, undecided), "{fields}");
    }
    // An event that tells no epoch means 0, that of the public key.
    let public = self::told(FingerprintKey::PUBLIC);
    assert_eq!(matches("template(prompt) in known", FingerprintKey::PUBLIC, &format!(",{public}")), (1, 0));
}

/// What was made for one event is forgotten before the next.
#[test]
fn each_event_has_its_own_fingerprints() {
    let mut evaluator = evaluator("template(prompt) in known", FingerprintKey::PUBLIC);
    for (prompt, expected) in [(TEMPLATE, 1), ("nothing of the kind is said in this one at all", 0), (TEMPLATE, 1)] {
        let line = event(&format!(r#","prompt":"{prompt}""#));
        assert_eq!(evaluator.count_matching(&Decoder::new().decode(line.as_bytes()).unwrap()), expected, "{prompt}");
    }
}

/// The journal keeps the fingerprints in the prompt's stead, where a rule asks for them.
#[test]
fn the_projection_holds_fingerprints_and_no_prompt() {
    let line = event(&format!(r#","prompt":"{TEMPLATE}""#));
    let decoder = &mut Decoder::new();
    let event = decoder.decode(line.as_bytes()).unwrap();
    let project = |filter: &str| {
        let mut evaluator = evaluator(filter, FingerprintKey::PUBLIC);
        evaluator.observe(&event, Origin::default());
        let mut out = Vec::new();
        evaluator.project(&event, &Salt([7; 32]), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    let made = Fingerprinter::default().fingerprints(Strictness::Strict, TEMPLATE, &mut Scratch::default());
    let kept = project("template(prompt) in known");
    assert!(made.as_slice().iter().all(|f| kept.contains(&hex(*f))) && !kept.contains("Rewrite"), "{kept}");
    let unasked = project("status = 200 or account = \"a\"");
    assert!(made.as_slice().iter().all(|f| !unasked.contains(&hex(*f))), "{unasked}");
}

/// A step of a sequence may ask for its own template beside what it asks of an earlier step.
#[test]
fn steps_of_sequences_know_their_template() {
    let rule = "on sequence per account within 60s { first completion where status = 403 \
                then completion where account != first.account or template(prompt) in known }";
    let mut evaluator = of_rule(rule, FingerprintKey::PUBLIC);
    for (i, (status, prompt)) in [(403, TEMPLATE), (200, "something else"), (200, TEMPLATE)].into_iter().enumerate() {
        let line = format!(
            r#"{{"id":"e{i}","ts":"2026-01-01T00:00:0{i}Z","type":"completion","account":"a","status":{status},"prompt":"{prompt}"}}"#
        );
        evaluator.observe(&Decoder::new().decode(line.as_bytes()).unwrap(), Origin::default());
    }
    evaluator.finish();
    let found = evaluator.take_violations();
    let ids: Vec<&str> = found.iter().flat_map(|v| &v.evidence.events).map(|e| e.id.as_str()).collect();
    assert_eq!((found.len(), ids), (1, vec!["e0", "e2"]));
}
