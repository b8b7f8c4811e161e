use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::{Bench, RULES, events, lines};

/// Words, exit code, and what the message must say.
#[test]
fn wrong_usage_says_what_to_write_instead() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(10)));
    std::fs::create_dir(bench.path("empty")).unwrap();
    for (words, says) in [
        ("run e.jsonl", "--rules"),
        ("run --rules rules", "no events are named"),
        ("run --rules rules missing.jsonl", "missing.jsonl"),
        ("run --rules rules empty", "no event files"),
        ("run --rules nowhere e.jsonl", "nowhere"),
        ("run --rules empty e.jsonl", "`.tos`"),
        ("run --rules rules --lists nowhere e.jsonl", "--lists"),
        ("run --rules rules --db missing/v.db e.jsonl", "does not exist"),
        ("run --rules rules --accounts missing.jsonl e.jsonl", "missing.jsonl"),
        ("run --rules rules --lateness soon e.jsonl", "5m"),
        ("run --rules rules --state-budget lots e.jsonl", "256MiB"),
        ("run --rules rules --mapping nothing e.jsonl", "litellm"),
        ("run --rules rules --fingerprint-key e.jsonl e.jsonl", "`key …`"),
        ("templates", "honest"),
        ("templates e.jsonl --fingerprint-key missing.key", "missing.key"),
        ("run --rules rules --as-of yesterday e.jsonl", "2026-03-02"),
        ("run --rules rules --log ==x== e.jsonl", "--log"),
        ("violations list --db missing.db", "missing.db"),
        ("violations list --db v.db --severity bad", "critical"),
        ("explain TOS9999", "TOS"),
        ("explain 0123456789abcdef", "--db FILE"),
        ("test rules --rule many-cals", "`many-calls`"),
        ("frobnicate", "frobnicate"),
    ] {
        let called = bench.call(words);
        assert_eq!(called.code, 3, "{words}: {called:?}");
        assert!(called.err.contains(says), "{words}: {}", called.err);
        assert!(called.out.is_empty(), "{words}: {}", called.out);
    }
}

#[test]
fn exit_codes() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.write("quiet.jsonl", lines(&events(3)));
    std::fs::create_dir(bench.path("broken")).unwrap();
    bench.write("broken/a.tos", "rule x {\n  enforces nothing.at-all\n");
    for (words, code) in [
        ("--help", 0),
        ("--version", 0),
        ("run --help", 0),
        ("check rules", 0),
        ("check rules --cost", 0),
        ("check rules --arrival", 0),
        ("check rules --arrival --format json", 0),
        ("check broken", 2),
        ("check broken --format json", 2),
        ("test rules", 0),
        ("test broken", 2),
        ("run --rules broken e.jsonl", 2),
        ("run --rules rules quiet.jsonl", 0),
        ("run --rules rules e.jsonl", 1),
        ("run --rules rules --exit-zero e.jsonl", 0),
        ("fields", 0),
        ("explain TOS0101", 0),
        ("explain tos0101 --format json", 0),
        ("nothing-like-this", 3),
    ] {
        let called = bench.call(words);
        assert_eq!(called.code, code, "{words}: {called:?}");
    }
    let help = bench.call("--help").out;
    assert!(help.contains("0  fine") && help.contains("3  usage"), "{help}");
}

/// What twenty accounts say is public, under the key that was named; the list can be used by rules under that key only.
#[test]
fn templates_writes_a_list_that_rules_can_use() {
    let bench = Bench::new();
    let event = |i: usize, account: usize, prompt: &str| {
        format!(
            r#"{{"id":"e{i}","ts":"2026-03-02T08:00:00Z","type":"completion","account":"a{account}","prompt":"{prompt}"}}"#
        )
    };
    let shared =
        "You are a helpful assistant who answers in the language of the question and says when it does not know";
    let mut all: Vec<String> = (0..20).map(|i| event(i, i, &format!("{shared} number {i} of them all"))).collect();
    let rare = "What only one account says however often it says it counts for nothing";
    all.extend((20..60).map(|i| event(i, 3, rare)));
    all.push("no event".to_string());
    bench.write("honest.jsonl", lines(&all));
    bench.write("ours.key", "epoch 2\nkey 000102030405060708090a0b0c0d0e0f\n");
    let written = bench.call("templates honest.jsonl --fingerprint-key ours.key --out public.csv");
    assert_eq!(written.code, 0, "{written:?}");
    assert!(written.err.contains("60 prompts of 20 accounts") && written.err.contains("1 records"), "{}", written.err);
    let list = std::fs::read_to_string(bench.path("public.csv")).unwrap();
    assert!(!list.contains("00010203"), "the key is in the list");
    let rows: Vec<&str> = list.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(rows[0], "fingerprint,words,prompts");
    assert!(rows[1..].iter().all(|r| r.ends_with(",20")) && rows.len() > 2, "{list}");

    std::fs::create_dir(bench.path("with")).unwrap();
    let rule = "list public : fingerprint from \"public.csv\"\n\
        policy a.b version 2026-01-01 { clause c at \"1\" \"No.\" }\n\
        rule r { enforces a.b.c severity high on completion where template(prompt) in public because \"public\" }\n";
    bench.write("with/r.tos", rule);
    let run = |key: &str| bench.call(&format!("run --rules with --lists . {key} honest.jsonl"));
    let found = run("--fingerprint-key ours.key");
    assert_eq!((found.code, found.out.lines().count()), (1, 20), "{found:?}");
    let refused = run("");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("another key") && refused.err.contains("--fingerprint-key"), "{}", refused.err);
}

/// Another key finds other things: a log is pinned to it.
#[test]
fn a_log_is_pinned_to_the_fingerprint_key() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(50)));
    bench.write("ours.key", "epoch 2\nkey 000102030405060708090a0b0c0d0e0f\n");
    bench.run("v.db", "e.jsonl");
    let refused = bench.call("run --rules rules --db v.db --fingerprint-key ours.key e.jsonl");
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("--rules-changed"), "{}", refused.err);
}

#[test]
fn check_reports_all_mistakes_as_text_and_as_json() {
    let bench = Bench::new();
    let wrong = RULES.replace("acme.terms.safety", "acme.terms.safty").replace("status: 200", "statuss: 200");
    bench.write("rules/acme.tos", wrong);
    let text = bench.call("check rules");
    assert_eq!(text.code, 2);
    assert!(text.err.contains("safty") && text.err.contains("statuss"), "{}", text.err);
    let json: Value = serde_json::from_str(&bench.call("check rules --format json").out).unwrap();
    assert!(json["diagnostics"].as_array().unwrap().len() >= 2);
    assert_eq!(json["usable"], false);
}

#[test]
fn fmt_checks_then_writes_then_has_nothing_to_do() {
    let bench = Bench::new();
    bench.call("fmt rules");
    let once = std::fs::read_to_string(bench.path("rules/acme.tos")).unwrap();
    assert_eq!(bench.call("fmt --check rules").code, 0);
    bench.write("rules/acme.tos", once.replace("severity medium", "severity      medium"));
    let check = bench.call("fmt --check rules");
    assert_eq!(check.code, 1, "{check:?}");
    assert!(check.out.contains("acme.tos"));
    assert_eq!(bench.call("fmt rules").code, 0);
    assert_eq!(std::fs::read_to_string(bench.path("rules/acme.tos")).unwrap(), once);
    assert_eq!(bench.call("check rules").code, 0);
}

#[test]
fn tests_of_rules_run_with_their_near_misses() {
    let bench = Bench::new();
    let called = bench.call("test rules --format json");
    assert_eq!(called.code, 0, "{called:?}");
    let report: Value = serde_json::from_str(&called.out).unwrap();
    assert_eq!((&report["passed"], &report["failed"]), (&Value::from(12), &Value::from(0)));
    let first = &report["tests"][0];
    let near: Vec<(&str, &str)> = first["near_misses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| (n["near_miss"].as_str().unwrap(), n["verdict"].as_str().unwrap()))
        .collect();
    let held =
        ["shuffled", "duplicated", "one below the threshold", "one step outside the window", "one event too late"];
    assert_eq!(near, held.map(|n| (n, "held")));
    let shares = report["tests"].as_array().unwrap().iter().find(|t| t["test"] == "fires on six of ten").unwrap();
    let skipped = shares["near_misses"].as_array().unwrap().iter().filter(|n| n["verdict"] == "skipped").count();
    assert_eq!(skipped, 2, "a share does not only grow: {shares}");
}

/// A rule that hangs on a date: its test is right, and the event that crosses makes it fire alone when it comes later.
#[test]
fn a_near_miss_that_fires_fails_its_test() {
    let bench = Bench::new();
    let dated = "let      later = count() where ts >= 2026-01-02\n  when     calls >= 20 or later >= 1";
    let rules = RULES.replacen("when     calls >= 20", dated, 1).replacen("every 10s {", "every 10s at 1430m {", 1);
    bench.write("rules/acme.tos", rules);
    let called = bench.call("test rules");
    assert_eq!(called.code, 1, "{called:?}");
    for says in [
        "FAILED fires with the twentieth call",
        "near miss `one step outside the window`: moved from 2026-01-01T23:53:10.000Z to 2026-01-02T00:03:00.000Z, \
         outside the window of the other events, event 20 still makes it fire",
        "12 tests, 1 failed;",
    ] {
        assert!(called.out.contains(says), "{says}: {}", called.out);
    }
    let report: Value = serde_json::from_str(&bench.call("test rules --format json").out).unwrap();
    let test = &report["tests"][0];
    assert_eq!((&test["passed"], &test["failures"]), (&Value::from(false), &Value::from(Vec::<Value>::new())));
    let verdicts = test["near_misses"].as_array().unwrap().iter().map(|n| n["verdict"].as_str().unwrap());
    assert_eq!(verdicts.collect::<Vec<_>>(), ["held", "held", "held", "failed", "held"]);
}

#[test]
fn a_wrong_expectation_says_what_was_found() {
    let bench = Bench::new();
    bench.write("rules/acme.tos", RULES.replace("with calls = 20", "with calls = 21"));
    let called = bench.call("test rules");
    assert_eq!(called.code, 1, "{called:?}");
    assert!(called.out.contains("FAILED fires with the twentieth call"), "{}", called.out);
    assert!(called.out.contains("calls = 20"), "{}", called.out);
    bench.write("rules/acme.tos", RULES.replace("given 19 completions", "given 20 completions"));
    let called = bench.call("test rules --rule many-calls");
    assert_eq!(called.code, 1, "{called:?}");
    assert!(called.out.contains("expected no violation, found 1"), "{}", called.out);
}

#[test]
fn the_log_is_listed_filtered_shown_and_counted() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(2_000)));
    bench.run("v.db", "e.jsonl");
    let all: Vec<Value> = bench.export("v.db").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let listed: Vec<Value> =
        serde_json::from_str(&bench.call("violations list --db v.db --format json --limit 10000").out).unwrap();
    let undecided = |v: &Value| {
        let mut v = v.clone();
        v["decision"] = Value::Null;
        v
    };
    assert_eq!(listed, all.iter().map(undecided).collect::<Vec<_>>());
    let only = |words: &str| -> Vec<Value> {
        let limit = if words.contains("--limit") { "" } else { "--limit 10000" };
        let called = bench.call(&format!("violations list --db v.db --format json {limit} {words}"));
        serde_json::from_str(&called.out).unwrap()
    };
    let count = |f: &dyn Fn(&Value) -> bool| all.iter().filter(|v| f(v)).count();
    assert_eq!(only("--rule many-calls").len(), count(&|v| v["rule"] == "many-calls"));
    assert_eq!(only("--clause safety").len(), count(&|v| v["clause"] == "safety"));
    assert_eq!(only("--severity medium").len(), count(&|v| v["severity"] != "low"));
    assert_eq!(only("--policy acme.terms").len(), all.len());
    assert_eq!(only("--until 2026-03-01").len(), 0);
    assert_eq!(only("--since 2026-03-01").len(), all.len());
    assert_eq!(only("--limit 3").len(), 3);
    let account = all[0]["accounts"][0].as_str().unwrap();
    let named = |v: &Value| v["accounts"].as_array().unwrap().iter().any(|a| a == account);
    assert_eq!(only(&format!("--account {account}")).len(), count(&named));

    let id = all[0]["id"].as_str().unwrap();
    let shown = bench.call(&format!("violations show {id} --db v.db"));
    assert!(
        shown.out.contains(id) && shown.out.contains("acme.terms") && shown.out.contains("Merkle"),
        "{}",
        shown.out
    );
    let explained = bench.call(&format!("explain {} --db v.db", &id[..12]));
    assert_eq!(explained.out, shown.out);
    let stats: Value = serde_json::from_str(&bench.call("violations stats --db v.db --format json").out).unwrap();
    let total: u64 = stats["violations"].as_array().unwrap().iter().map(|t| t["count"].as_u64().unwrap()).sum();
    assert_eq!(total, all.len() as u64);

    let csv = bench.call("violations export --db v.db --format csv");
    assert_eq!(csv.out.lines().count(), all.len() + 1);
    assert!(csv.out.starts_with("id,rule,policy,clause,"), "{}", csv.out.lines().next().unwrap());
    let file = bench.call("violations export --db v.db --out out.jsonl");
    assert_eq!(file.code, 0, "{file:?}");
    assert_eq!(std::fs::read_to_string(bench.path("out.jsonl")).unwrap(), bench.export("v.db"));
}

#[test]
fn hostile_text_does_not_reach_the_terminal() {
    let bench = Bench::new();
    let hostile =
        lines(&events(1)).replace("acct_", "\\u001b[2Jacct_").replace("\"max_tokens\":512", "\"max_tokens\":-1");
    bench.write("e.jsonl", hostile);
    bench.run("v.db", "e.jsonl");
    let listed = bench.call("violations list --db v.db");
    let id = bench.export("v.db").split('"').nth(3).unwrap().to_string();
    let shown = bench.call(&format!("violations show {id} --db v.db"));
    assert!(!listed.out.contains('\u{1b}') && !shown.out.contains('\u{1b}'), "{} {}", listed.out, shown.out);
    assert!(shown.out.contains("\\u{1b}[2Jacct_"), "{}", shown.out);
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(4_000)));
    bench.run("v.db", "e.jsonl");
    let mut child =
        bench.command("violations export --db v.db").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0));
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn fields_and_codes_are_printed_for_people_and_machines() {
    let bench = Bench::new();
    let fields: Vec<Value> = serde_json::from_str(&bench.call("fields --format json").out).unwrap();
    assert!(fields.iter().any(|f| f["name"] == "latency" && f["json"] == "latency_ms" && f["type"] == "duration"));
    assert!(bench.call("fields").out.contains("latency_ms"));
    assert!(bench.call("explain TOS0302").out.contains("TOS0302"));
}

/// Which rules answer while a call waits, and why the others do not.
#[test]
fn arrival_tells_which_rules_answer() {
    let bench = Bench::new();
    let rule = |name: &str, when: &str| {
        format!(
            "rule {name} {{ enforces acme.terms.volume mode enforce on completion per account over 1h when {when} action flag \
             account because \"x\" }}\n"
        )
    };
    let policy = "policy acme.terms version 2025-09-15 { clause volume \"No.\" }\n";
    std::fs::create_dir(bench.path("two")).unwrap();
    bench.write("two/a.tos", [policy, &rule("a", "count() >= 10"), &rule("b", "share(refused) > 10%")].concat());
    let told = bench.call("check two --arrival");
    assert!(told.out.contains("not: its condition may become false again"), "{}", told.out);
    let json: Value = serde_json::from_str(&bench.call("check two --arrival --format json").out).unwrap();
    let words = |key: &str| [0, 1].map(|i| json["arrival"][i][key].as_str());
    assert_eq!(words("answers"), [Some("window"), None]);
    assert_eq!(words("verdict"), [Some("flag"), Some("allow")]);
}

/// A key of which an event has several values is said to be one, with how many groups an event may belong to.
#[test]
fn cost_tells_how_many_groups_an_event_has() {
    let bench = Bench::new();
    let rule = |name: &str, per: &str| {
        format!(
            "rule {name} {{ enforces acme.terms.volume on completion per {per} over 1h when count() >= 10 because \"x\" }}\n"
        )
    };
    let policy = "policy acme.terms version 2025-09-15 { clause volume \"No.\" }\n";
    std::fs::create_dir(bench.path("many")).unwrap();
    let all = [rule("a", "template(prompt), model"), rule("b", "canary_ids"), rule("c", "account")].concat();
    bench.write("many/a.tos", format!("{policy}{all}"));
    let told = bench.call("check many --cost");
    assert!(told.out.contains("2 parts, up to 32 keys an event"), "{}", told.out);
    let json: Value = serde_json::from_str(&bench.call("check many --format json").out).unwrap();
    let keys: Vec<u64> = (0..3).map(|i| json["rules"][i]["window"]["keys_per_event"].as_u64().unwrap()).collect();
    assert_eq!(keys, [32, 64, 1]);
}
