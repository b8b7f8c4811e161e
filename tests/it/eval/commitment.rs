//! What a projection says of the part that it leaves out: enough to open it, nothing to guess it by.

use std::collections::BTreeSet;
use std::sync::Arc;

use fineprint::compile::compile;
use fineprint::eval::{COMMITMENT_BYTES, EvalOptions, Evaluator, Origin, Salt, commitment};
use fineprint::event::UsageEvent;
use fineprint::event::decode::decode;
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::reference::TableData;
use fineprint::source::SourceMap;

/// One rule that reads the account and, by a text test, the prompt.
fn rules() -> Arc<RuleSet> {
    let mut sources = SourceMap::default();
    let text = "policy a.b version 2026-01-01 { clause c at \"1\" \"No.\" }\n\
        rule r { enforces a.b.c severity low mode shadow on completion where account = \"x\" and prompt has any of [\"secret\"] \
        because \"r\" }\n";
    sources.add("r.tos", text);
    let compiled = compile(&sources);
    assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
    let columns = compiled.program.tables[0].columns.iter().map(|(n, ty)| (n.as_str().into(), ty.clone())).collect();
    let data = ReferenceData {
        lists: Vec::new(),
        tables: vec![Arc::new(TableData::empty(columns))],
        ..ReferenceData::default()
    };
    Arc::new(RuleSet::new(compiled.program, data).unwrap())
}

fn projection(line: &str, salt: &Salt) -> Vec<u8> {
    let mut evaluator = Evaluator::new(rules(), EvalOptions::default());
    let event = decode(line.as_bytes()).unwrap();
    evaluator.observe(&event, Origin { input: 0, line: 1 });
    let mut out = b"before".to_vec();
    evaluator.project(&event, salt, &mut out);
    assert!(out.starts_with(b"before"));
    out.split_off(6)
}

fn committed(line: &str, salt: &Salt) -> Vec<u8> {
    let mut projection = projection(line, salt);
    projection.split_off(projection.len() - COMMITMENT_BYTES)
}

const EVENT: &str = r#"{"id":"e1","ts":"2026-03-02T08:00:00Z","type":"completion","account":"x","prompt":"a secret word","user_agent":"cli/1","status":200,"ip":"192.0.2.1","stream":true}"#;
const SALT: Salt = Salt([7; 32]);

fn event(line: &'static str) -> UsageEvent<'static> {
    decode(line.as_bytes()).unwrap()
}

/// Who has the event and its own salt opens the commitment; spelling and order of keys do not matter.
#[test]
fn an_event_opens_its_commitment() {
    assert_eq!(committed(EVENT, &SALT), commitment(&SALT.of(&event(EVENT)), &event(EVENT)));
    let other_spelling = r#" {"status": 200, "stream":true, "ip":"192.0.2.1","user_agent":"cli/1","prompt":"a secret w\u006frd","account":"x","type":"completion","ts":"2026-03-02T08:00:00.000Z","id":"e1","no_field":1}"#;
    assert_eq!(committed(EVENT, &SALT), commitment(&SALT.of(&event(EVENT)), &event(other_spelling)));
}

/// Whatever is altered, whether a rule read it or not, and whatever is left out or moved to another field.
#[test]
fn every_altered_part_is_seen() {
    let mut seen = BTreeSet::from([committed(EVENT, &SALT)]);
    for (from, to) in [
        ("a secret word", "a secret work"),
        ("cli/1", "cli/2"),
        ("200", "201"),
        ("192.0.2.1", "192.0.2.2"),
        ("192.0.2.1", "2001:db8::1"),
        ("true", "false"),
        (r#""stream":true"#, r#""logprobs":true"#),
        (r#","stream":true"#, ""),
        ("\"x\"", "\"y\""),
        ("e1", "e2"),
        ("08:00:00Z", "08:00:00.001Z"),
        ("completion", "request"),
        (r#""user_agent":"cli/1""#, r#""accept_language":"cli/1""#),
    ] {
        assert!(seen.insert(committed(&EVENT.replacen(from, to, 1), &SALT)), "{from} for {to} is not seen");
    }
    assert!(seen.insert(committed(EVENT, &Salt([8; 32]))), "the salt does not count");
}

/// Two events that differ in nothing but their id, and the same event under two salts, look unlike; the salt of one event
/// does not open another.
#[test]
fn equal_content_does_not_look_alike() {
    let twin = EVENT.replacen("e1", "e2", 1);
    let twin = decode(twin.as_bytes()).unwrap();
    assert_ne!(SALT.of(&event(EVENT)), SALT.of(&twin));
    assert_ne!(commitment(&SALT.of(&event(EVENT)), &twin), commitment(&SALT.of(&twin), &twin));
    assert_eq!(format!("{SALT:?}"), "Salt(…)");
}

#[test]
fn a_projection_holds_no_prompt_and_no_salt() {
    let projection = projection(EVENT, &SALT);
    for hidden in [&b"secret"[..], b"cli/1", &SALT.0, &SALT.of(&event(EVENT))] {
        assert!(!projection.windows(hidden.len()).any(|w| w == hidden), "{}", String::from_utf8_lossy(hidden));
    }
}
