//! What `explain` recomputes: from the journal and from event files, under the rules of the run and no others.

use serde_json::Value;

use super::{Bench, events, lines};

const RULES: &str = r#"
policy acme.terms version 2025-09-15 {
  clause volume at "3.1" "Calls beyond an agreed volume are not allowed."
}

rule asked-for-reasons {
  enforces acme.terms.volume
  on       completion where prompt contains "step by step" and not (prompt contains "homework") and status = 200
  per      org
  over     10m every 1m
  let      calls = count()
  let      accounts = distinct(account)
  let      slowest = max(latency)
  when     calls >= 4 and accounts >= 2 and slowest < 30s
  except   events where account in ["tester"] because "a load test"
  because  "{calls} calls of {accounts} accounts asked for reasons"
}

rule long-prompt {
  enforces acme.terms.volume
  on       completion where length(prompt) > 40 and temperature > 1.5
  because  "long and hot"
}

rule same-text {
  enforces acme.terms.volume
  on       completion where prompt = "Again."
  per      account
  over     10m every 1m
  when     count() >= 2
  because  "the same again"
}
"#;

/// (second, account, fields)
fn event(second: i64, account: &str, fields: &str) -> String {
    let ts = fineprint::time::Timestamp::parse_rfc3339("2026-03-02T08:00:00Z").unwrap().0 + second * 1_000_000_000;
    let ts = fineprint::time::Timestamp(ts);
    format!(
        r#"{{"id":"ev_{second:03}_{account}","ts":"{ts}","type":"completion","account":"{account}"{}{fields}}}"#,
        if fields.is_empty() { "" } else { "," }
    )
}

/// Five calls that count, of three accounts, and others that do not, each for another reason.
fn traffic() -> String {
    let asks = r#""org":"acme","status":200,"latency_ms":2000,"prompt":"Tell me step by step.""#;
    let all = [
        event(0, "ann", asks),
        event(60, "ann", asks),
        event(120, "ann", asks),
        event(130, "bob", asks),
        event(140, "cid", asks),
        event(150, "tester", asks),
        event(160, "ann", r#""org":"acme","status":200,"prompt":"Tell me step by step, it is homework.""#),
        event(170, "ann", r#""org":"acme","status":429,"prompt":"Tell me step by step.""#),
        event(175, "ann", r#""org":"acme","prompt":"Tell me step by step.""#),
        event(180, "bob", r#""status":200,"prompt":"Tell me step by step.""#),
        event(185, "bob", r#""org":"other","status":200,"latency_ms":1,"prompt":"Tell me step by step.""#),
        event(190, "cid", r#""org":"acme","status":200,"prompt":"Again.""#),
        event(195, "cid", r#""org":"acme","status":200,"prompt":"Again.""#),
        event(200, "dan", r#""temperature":1.6,"prompt":"A prompt of more than forty characters, this is.""#),
        event(205, "eve", r#""temperature":1.0,"prompt":"A prompt of more than forty characters, this is.""#),
        event(206, "eve", r#""prompt":"Short.""#),
        // Everything before it is judged.
        event(3_000, "last", ""),
    ];
    lines(&all)
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("rules/acme.tos", RULES);
    bench.write("e.jsonl", traffic());
    bench.run("v.db", "e.jsonl");
    bench
}

fn id_of(bench: &Bench, rule: &str) -> String {
    let listed = bench.call("violations list --db v.db --format json").out;
    let all: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let of: Vec<&Value> = all.iter().filter(|v| v["rule"] == rule && v["status"] != "exempted").collect();
    assert_eq!(of.len(), 1, "{listed}");
    of[0]["id"].as_str().unwrap().to_string()
}

#[test]
fn a_violation_tells_what_counted_and_what_would_have_kept_it_silent() {
    let bench = bench();
    let id = id_of(&bench, "asked-for-reasons");
    let told = bench.call(&format!("explain {id} --db v.db --rules rules"));
    assert_eq!(told.code, 0, "{told:?}");
    for line in [
        "Recomputed from 17 events of the journal: the same as in the record.",
        "  5 events: counted",
        "  1 event: `not (prompt contains \"homework\")` is false  (ev_160_ann)",
        "  1 event: `status = 200` is false  (ev_170_ann)",
        "  1 event: `status = 200` is unknown: `status` is missing  (ev_175_ann)",
        "  1 event: it belongs to no group: `org` is missing  (ev_180_bob)",
        "  1 event: it belongs to another group  (ev_185_bob)",
        "  1 event: taken out by the exception 1 (a load test)  (ev_150_tester)",
        "  instead of `calls >= 4`: `calls >= 6`, it reached 5",
        "  instead of `accounts >= 2`: `accounts >= 4`, it reached 3",
        "  instead of `slowest < 30s`: `slowest < 2s`, it reached 2s",
        "Silent without any one of: ann (3 accounts; each of them was tried).",
    ] {
        assert!(told.out.lines().any(|l| l == line), "`{line}` is not in:\n{}", told.out);
    }
    assert!(!told.out.contains("Tell me"), "{}", told.out);
    let json: Value =
        serde_json::from_str(&bench.call(&format!("explain {id} --db v.db --rules rules --format json")).out).unwrap();
    let again = &json["recomputed"];
    assert_eq!((&again["found_again"], &again["differs"]), (&Value::Bool(true), &serde_json::json!([])));
    assert_eq!(again["silent_without"], serde_json::json!(["ann"]));
    assert_eq!(again["bounds"][0]["silent_with"], "calls >= 6");
    // From the events themselves the same is said.
    let files = bench.call(&format!("explain {id} --db v.db --rules rules --events e.jsonl"));
    assert_eq!(files.out.replace("the event files", "the journal"), told.out);
}

/// What is proposed instead is tried: with that bound the rule is silent, and with the one before it is not.
#[test]
fn the_bound_that_is_told_is_the_nearest() {
    let bench = bench();
    for (bound, code) in [("calls >= 5", 1), ("calls >= 6", 0)] {
        let rules = RULES.replace("calls >= 4", bound);
        let alone = rules.split("rule long-prompt").next().unwrap();
        std::fs::create_dir_all(bench.path("other")).unwrap();
        bench.write("other/acme.tos", alone);
        assert_eq!(bench.call("run --rules other e.jsonl").code, code, "{bound}");
    }
}

/// (rule, account, lines)
#[test]
fn why_not_says_how_near_a_rule_came() {
    let bench = bench();
    for (rule, account, says) in [
        (
            "asked-for-reasons",
            "bob",
            &[
                "Rule `asked-for-reasons` did find account `bob`: ",
                "  2 events: counted",
                "  true     calls >= 4  (it was 5, the rule asks >= 4)",
            ][..],
        ),
        (
            "asked-for-reasons",
            "tester",
            &[
                "Rule `asked-for-reasons` found nothing of account `tester`.",
                "  1 event: taken out by the exception 1 (a load test)  (ev_150_tester)",
            ],
        ),
        (
            "long-prompt",
            "eve",
            &[
                "Rule `long-prompt` found nothing of account `eve`.",
                "  1 event: `temperature > 1.5` is false  (ev_205_eve)",
                "The rule came nearest at event ev_205_eve of 2026-03-02T08:03:25.000Z (2 looked at):",
                "  true     length(prompt) > 40",
                "  false    temperature > 1.5",
            ],
        ),
        ("long-prompt", "nobody", &["There is no event of account `nobody` in the journal."]),
    ] {
        let told = bench.call(&format!("explain --why-not {rule} {account} --db v.db --rules rules"));
        assert_eq!(told.code, 0, "{told:?}");
        for line in says {
            assert!(told.out.lines().any(|l| l.starts_with(line)), "`{line}` is not in:\n{}", told.out);
        }
    }
    // Of one account alone the rule asks for more, and says of what it does not know.
    let alone = lines(&[
        event(0, "ann", r#""org":"acme","status":200,"prompt":"step by step""#),
        event(1, "ann", r#""org":"acme","status":200,"prompt":"step by step""#),
        event(3_000, "last", ""),
    ]);
    bench.write("alone.jsonl", alone);
    let told = bench.call("explain --why-not asked-for-reasons ann --rules rules --events alone.jsonl --format json");
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let nearest = &told["nearest"];
    assert_eq!((&nearest["group"], &nearest["holds"]), (&serde_json::json!(["acme"]), &Value::Bool(false)));
    let part = |i: usize| {
        let c = &nearest["conditions"][i];
        (c["truth"].as_str().unwrap(), c["value"].as_str(), c["missing"].clone())
    };
    assert_eq!(part(0), ("false", Some("2"), serde_json::json!([])));
    assert_eq!(part(1), ("false", Some("1"), serde_json::json!([])));
    assert_eq!(part(2), ("unknown", None, serde_json::json!(["latency"])));
}

/// Words, and what the message must say.
#[test]
fn what_cannot_be_recomputed_says_why() {
    let bench = bench();
    let id = id_of(&bench, "asked-for-reasons");
    let same = id_of(&bench, "same-text");
    std::fs::create_dir_all(bench.path("other")).unwrap();
    bench.write("other/acme.tos", RULES.replace("calls >= 4", "calls >= 3"));
    assert!(matches!(bench.call("run --rules rules --db without.db --no-journal e.jsonl").code, 0 | 1));
    for (words, says) in [
        (format!("explain {id} --db v.db --rules other"), "written under other rules"),
        (format!("explain {id} --db without.db --rules rules"), "`without.db` has no journal"),
        (format!("explain {same} --db v.db --rules rules"), "the text of `prompt` itself"),
        (
            "explain --why-not asked-for-reason bob --db v.db --rules rules".to_string(),
            "did you mean `asked-for-reasons`?",
        ),
        ("explain --why-not asked-for-reasons bob --db v.db".to_string(), "--rules DIR"),
        ("explain --why-not asked-for-reasons bob --rules rules".to_string(), "--events"),
        ("explain --why-not asked-for-reasons --db v.db --rules rules".to_string(), "ACCOUNT"),
        (format!("explain {id} --why-not asked-for-reasons bob"), "--why-not"),
        ("explain".to_string(), "CODE|VIOLATION"),
    ] {
        let called = bench.call(&words);
        assert_eq!(called.code, 3, "{words}: {called:?}");
        assert!(called.err.contains(says), "{words}: {}", called.err);
        assert!(called.out.is_empty(), "{words}: {}", called.out);
    }
    // A journal of two generations of rules is read by neither.
    bench.write("more.jsonl", lines(&[event(4_000, "ann", "")]));
    assert!(matches!(bench.call("run --rules rules --db kept.db e.jsonl").code, 0 | 1));
    assert!(matches!(bench.call("run --rules other --db kept.db --rules-changed keep more.jsonl").code, 0 | 1));
    let kept = bench.call(&format!("explain {id} --db kept.db --rules other"));
    assert!(kept.code == 3 && kept.err.contains("went on under changed rules"), "{kept:?}");
    // From the events it can be known.
    let told = bench.call(&format!("explain {same} --db v.db --rules rules --events e.jsonl"));
    assert!(told.out.contains("the same as in the record"), "{}", told.out);
    // Events of another run do not hold the finding, and that is said.
    bench.write("few.jsonl", lines(&[event(0, "ann", r#""status":200"#)]));
    let told = bench.call(&format!("explain {id} --db v.db --rules rules --events few.jsonl"));
    assert!(told.out.contains("finds no such violation in them"), "{}", told.out);
}

/// Every finding of a log is found again in its journal, whatever its rule: windows, single events, memory, sequences.
#[test]
fn every_violation_of_a_log_is_found_again() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "e.jsonl");
    let all: Vec<Value> = serde_json::from_str(&bench.call("violations list --db v.db --format json").out).unwrap();
    let mut tried = std::collections::BTreeMap::<&str, u32>::new();
    for v in &all {
        let n = tried.entry(v["rule"].as_str().unwrap()).or_default();
        *n += 1;
        if *n > 2 {
            continue;
        }
        let id = v["id"].as_str().unwrap();
        let told = bench.call(&format!("explain {id} --db v.db --rules rules --format json"));
        let told: Value = serde_json::from_str(&told.out).unwrap_or_else(|e| panic!("{e}: {told:?}"));
        let again = &told["recomputed"];
        assert_eq!(again["differs"], serde_json::json!([]), "{v}");
    }
    assert!(tried.len() >= 5, "{tried:?}");
}

const FAN_OUT: &str = r#"
policy acme.terms version 2025-09-15 {
  clause accounts at "3.3" "Similar inputs may not be spread over several accounts."
}

list public_templates : fingerprint = [
  "You are a helpful assistant who answers every question that the user asks in a polite and short way",
]

rule fan-out {
  enforces acme.terms.accounts
  on       completion where template(prompt) not in public_templates
  per      template(prompt)
  over     1h every 5m
  let      accounts = distinct(account)
  let      uses = count()
  when     accounts >= 6 and uses >= 24
  because  "{accounts} accounts used one template {uses} times"
}
"#;

/// A merged violation: its fingerprints are in the journal, no word of a prompt is; the public part hides nothing.
#[test]
fn a_campaign_is_found_again_by_its_fingerprints() {
    let bench = Bench::new();
    bench.write("rules/acme.tos", FAN_OUT);
    let public = "You are a helpful assistant who answers every question that the user asks in a polite and short way.";
    let template =
        "Rewrite the task below so that it is harder but keeps its answer, its form and the language it was asked in";
    let prompt = |text: String| format!(r#""prompt":"{text}""#);
    let mut all: Vec<String> = Vec::new();
    for i in 0..32 {
        let payload = format!("number {i} of many {} things that nobody else says in just this way", i * 7);
        all.push(event(i * 20, &format!("ann{}", i % 8), &prompt(format!("{public} {template}: {payload}"))));
        all.push(event(
            i * 20 + 1,
            &format!("honest{i}"),
            &prompt(format!("{public} {payload} for {i} reasons of my own")),
        ));
    }
    all.push(event(620, "ann1", &prompt(public.to_string())));
    all.push(event(9_000, "last", ""));
    bench.write("e.jsonl", lines(&all));
    bench.run("v.db", "e.jsonl");
    let id = id_of(&bench, "fan-out");
    let told = bench.call(&format!("explain {id} --db v.db --rules rules"));
    for line in [
        "Recomputed from 66 events of the journal: the same as in the record.",
        "  32 events: counted",
        "  1 event: it has no value to be grouped by  (ev_620_ann1)",
        "  instead of `accounts >= 6`: `accounts >= 9`, it reached 8",
        "  instead of `uses >= 24`: `uses >= 33`, it reached 32",
        "No one of its 8 accounts alone keeps it up; each of them was tried.",
    ] {
        assert!(told.out.lines().any(|l| l == line), "`{line}` is not in:\n{}", told.out);
    }
    let export = bench.export("v.db");
    assert!(export.contains("fingerprints") && !export.contains("Rewrite"), "{export}");
    let why = bench.call("explain --why-not fan-out honest3 --db v.db --rules rules");
    assert!(why.out.contains("  false    accounts >= 6  (it was "), "{}", why.out);
}
