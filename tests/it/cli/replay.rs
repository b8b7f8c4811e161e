use serde_json::{Value, json};

use super::{Bench, Called, RULES, events, lines};

/// The rules of the other tests in `rules`, and a change of them in `tuned`.
fn bench(change: impl Fn(&str) -> String) -> Bench {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("tuned")).unwrap();
    bench.write("tuned/acme.tos", change(RULES));
    bench.write("e.jsonl", lines(&events(3_000)));
    bench
}

fn replay(bench: &Bench, words: &str) -> Called {
    bench.call(&format!("replay --rules tuned --against rules {words} e.jsonl"))
}

fn told(bench: &Bench, words: &str) -> Value {
    let called = replay(bench, &format!("--format json {words}"));
    assert!(matches!(called.code, 0 | 1), "{called:?}");
    serde_json::from_str(&called.out).unwrap()
}

/// Accounts that a run names in violations that accuse.
fn flagged(bench: &Bench, rules: &str) -> Vec<String> {
    let called = bench.call(&format!("run --rules {rules} e.jsonl"));
    let mut all: Vec<String> = Vec::new();
    for line in called.out.lines() {
        let v: Value = serde_json::from_str(line).unwrap();
        if v["severity"] != "info" && matches!(v["status"].as_str(), Some("open" | "closed")) {
            all.extend(v["accounts"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().to_string()));
        }
    }
    all.sort();
    all.dedup();
    all
}

fn accounts(told: &Value, change: &str) -> Vec<String> {
    let of = told["accounts"].as_array().unwrap().iter().filter(|a| a["change"] == change);
    of.map(|a| a["account"].as_str().unwrap().to_string()).collect()
}

/// Less for one rule, more for another: both are told account by account, and hold against two runs.
#[test]
fn a_change_newly_flags_and_newly_clears() {
    let only = |rules: &str| {
        let mut parts = rules.split("\nrule ");
        let policy = parts.next().unwrap().to_string();
        let kept = parts.filter(|p| p.starts_with("many-calls") || p.starts_with("token-probe"));
        kept.fold(policy, |all, rule| format!("{all}\nrule {rule}"))
    };
    let bench =
        bench(|rules| only(rules).replace("calls >= 20", "calls >= 6").replace("max_tokens = -1", "max_tokens = -2"));
    bench.write("rules/acme.tos", only(RULES));
    let (before, after) = (flagged(&bench, "rules"), flagged(&bench, "tuned"));
    let all = told(&bench, "--only all");
    let minus = |a: &[String], b: &[String]| a.iter().filter(|x| !b.contains(x)).cloned().collect::<Vec<_>>();
    let (new, cleared) = (minus(&after, &before), minus(&before, &after));
    assert!(!new.is_empty() && !cleared.is_empty(), "{before:?} {after:?}");
    assert_eq!(accounts(&all, "newly flagged"), new);
    assert_eq!(accounts(&all, "newly cleared"), cleared);
    assert_eq!(all["summary"]["newly_cleared"], cleared.len());
    assert_eq!((&all["in_force"]["rules"], &all["change"]["rules"]), (&json!("rules"), &json!("tuned")));
    assert_eq!(all["in_force"]["accounts_flagged"], before.len());
    assert_eq!(all["change"]["accounts_flagged"], after.len());

    // What is named by default is what changes.
    let changed = told(&bench, "");
    assert_eq!(accounts(&changed, "same"), Vec::<String>::new());
    assert_eq!(accounts(&changed, "newly cleared"), cleared);
    assert_eq!(accounts(&told(&bench, "--only flagged"), "newly cleared"), Vec::<String>::new());
    let by_rule = |name: &str| {
        let rules = all["rules"].as_array().unwrap();
        rules.iter().find(|r| r["rule"] == name).unwrap().clone()
    };
    assert_eq!(by_rule("token-probe")["change"]["violations"], 0);
    assert_eq!(by_rule("token-probe")["groups_same"], 0);
    let calls = by_rule("many-calls");
    assert_eq!((&calls["groups_newly_cleared"], &calls["groups_same"]), (&json!(0), &json!(3)), "{calls}");
    assert!(calls["groups_newly_flagged"].as_u64() >= Some(new.len() as u64), "{calls}");

    // The other way round it is the reverse, and nothing was written.
    let back = bench.call("replay --rules rules --against tuned --format json e.jsonl");
    let back: Value = serde_json::from_str(&back.out).unwrap();
    assert_eq!((accounts(&back, "newly flagged"), accounts(&back, "newly cleared")), (cleared, new));
    let mut files: Vec<String> =
        std::fs::read_dir(bench.path(".")).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["e.jsonl", "rules", "tuned"]);
}

#[test]
fn the_report_for_people_begins_with_the_sum() {
    let bench = bench(|rules| rules.replace("refusals >= 60%", "refusals >= 95%"));
    let called = replay(&bench, "");
    assert_eq!(called.code, 1, "{called:?}");
    let lines: Vec<&str> = called.out.lines().collect();
    assert!(lines[0].starts_with("in force  rules: ") && lines[1].starts_with("change    tuned: "), "{}", called.out);
    assert!(lines[2].contains("received 3,000 = evaluated 3,000"), "{}", called.out);
    assert!(lines[3].starts_with("accounts  "), "{}", called.out);
    assert!(
        called.out.contains("Rules that differ (5 do not)") && called.out.contains("mostly-refused"),
        "{}",
        called.out
    );
    assert_eq!(replay(&bench, "--exit-zero").code, 0);
}

/// An exception clears, a signal accuses nobody: both are told apart from a rule that is silent.
#[test]
fn exceptions_and_signals_are_told_apart() {
    let exempt = |rules: &str| {
        rules.replace(
            "  action   flag account",
            "  except   events where status = 200 because \"a test of ours\" owner \"us\" evidence \"T-1\"\n  action   flag account",
        )
    };
    let bench = bench(exempt);
    let only = |rules: &str| {
        let mut parts = rules.split("\nrule ");
        let policy = parts.next().unwrap().to_string();
        parts.filter(|p| p.starts_with("token-probe")).fold(policy, |all, rule| format!("{all}\nrule {rule}"))
    };
    bench.write("rules/acme.tos", only(RULES));
    bench.write("tuned/acme.tos", only(&exempt(RULES)));
    let exempted = told(&bench, "");
    assert!(exempted["summary"]["newly_cleared"].as_u64() > Some(3), "{exempted}");
    assert!(exempted["change"]["exempted"].as_u64() > Some(3) && exempted["change"]["violations"] == 0, "{exempted}");
    let first = &exempted["accounts"][0];
    assert_eq!(first["after_change"][0]["standing"], "exempted");
    assert_eq!(first["after_change"][0]["exception"], "a test of ours");
    assert!(replay(&bench, "").out.contains("token-probe (exempted)"));

    bench.write("tuned/acme.tos", only(RULES).replace("severity low", "severity info"));
    let signalled = told(&bench, "--only all");
    assert_eq!(signalled["accounts"][0]["after_change"][0]["standing"], "info");
    assert_eq!(signalled["change"]["info"], exempted["in_force"]["violations"]);
}

/// Of the registry, and where that says nothing, of the events.
#[test]
fn counts_by_plan_and_organisation() {
    let bench = bench(|rules| rules.replace("max_tokens = -1", "max_tokens = -2"));
    let probe = |i: u64, account: &str, more: &str| {
        format!(
            r#"{{"id":"p{i}","ts":"2026-03-02T08:{i:02}:00Z","type":"completion","account":"{account}","max_tokens":-1{more}}}"#
        )
    };
    let all = [
        probe(1, "a", r#","plan":"free","org":"o1""#),
        probe(2, "b", r#","plan":"free","org":"o1""#),
        probe(3, "c", r#","plan":"pro""#),
        probe(4, "d", ""),
        probe(5, "a", r#","plan":"pro""#),
    ];
    bench.write("e.jsonl", lines(&all));
    bench.write("accounts.jsonl", "{\"account\":\"b\",\"plan\":\"team\",\"org\":\"o2\"}\n");
    let told = told(&bench, "--accounts accounts.jsonl");
    let count =
        |key: &str, name: Value, n: u64| json!({ key: name, "newly_flagged": 0, "newly_cleared": n, "both": 0 });
    let plans = json!([count("plan", Value::Null, 1), count("plan", json!("pro"), 2), count("plan", json!("team"), 1)]);
    assert_eq!(told["plans"], plans);
    let orgs = told["organisations"].as_array().unwrap();
    assert_eq!(orgs.len(), 3, "{told}");
    assert!(
        orgs.contains(&count("organisation", json!("o2"), 1)) && orgs.contains(&count("organisation", Value::Null, 2))
    );
}

#[test]
fn nothing_differs_where_rules_mean_the_same() {
    let bench = bench(|rules| format!("# other words, the same rules\n{rules}"));
    let called = replay(&bench, "");
    assert_eq!(called.code, 0, "{called:?}");
    assert!(called.out.contains("Nothing differs"), "{}", called.out);
    assert!(called.err.contains("both sides mean the same rules"), "{}", called.err);
}

/// Lists alone can be the change.
#[test]
fn lists_can_be_the_change() {
    let bench = bench(str::to_string);
    let rules = format!(
        "list known : string from \"known.txt\"\n{}",
        RULES.replace("where max_tokens = -1\n", "where max_tokens = -1 and not (account in known)\n")
    );
    bench.write("rules/acme.tos", rules);
    for (folder, known) in [("before", "nobody\n"), ("after", "acct_1\nacct_2\n")] {
        std::fs::create_dir(bench.path(folder)).unwrap();
        bench.write(&format!("{folder}/known.txt"), known);
    }
    let words =
        "replay --rules rules --against rules --lists after --against-lists before --format json --only all e.jsonl";
    let called = bench.call(words);
    assert_eq!(called.code, 1, "{called:?}");
    let told: Value = serde_json::from_str(&called.out).unwrap();
    assert_eq!(told["differs"], true);
    let differ: Vec<&str> = told["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r["differs"] == true)
        .map(|r| r["rule"].as_str().unwrap())
        .collect();
    assert_eq!(differ, ["token-probe"]);
}

/// (words, exit code, what the message says)
const WRONG: &[(&str, i32, &str)] = &[
    ("replay e.jsonl", 3, "--rules CHANGED --against IN-FORCE"),
    ("replay --rules rules e.jsonl", 3, "what is in force is not named"),
    ("replay --against rules e.jsonl", 3, "no change is named"),
    ("replay --rules rules --against rules e.jsonl", 3, "both name `rules`"),
    ("replay --rules rules --against ./tuned/../rules e.jsonl", 3, "nothing can differ"),
    ("replay --rules nowhere --against rules e.jsonl", 3, "nowhere"),
    ("replay --rules tuned --against nowhere e.jsonl", 3, "nowhere"),
    ("replay --rules broken --against rules e.jsonl", 2, "the rules of `broken` cannot be used"),
    ("replay --rules tuned --against broken e.jsonl", 2, "the rules of `broken` cannot be used"),
    ("replay --rules tuned --against rules", 3, "no events are named"),
    ("replay --rules tuned --against rules missing.jsonl", 3, "missing.jsonl"),
    ("replay --rules tuned --against rules -", 3, "standard input can be read once"),
    ("replay --rules tuned --against rules --accounts missing.jsonl e.jsonl", 3, "missing.jsonl"),
    ("replay --rules tuned --against rules --lists nowhere e.jsonl", 3, "--lists"),
    ("replay --rules tuned --against rules --lateness soon e.jsonl", 3, "5m"),
    ("replay --rules tuned --against rules --only some e.jsonl", 3, "changed"),
    ("replay --rules tuned --against rules --mapping nothing e.jsonl", 3, "litellm"),
];

#[test]
fn wrong_calls_say_what_to_write_instead() {
    let bench = bench(|rules| rules.replace("calls >= 20", "calls >= 21"));
    std::fs::create_dir(bench.path("broken")).unwrap();
    bench.write("broken/a.tos", "rule x {\n  enforces nothing.at-all\n");
    for (words, code, says) in WRONG {
        let called = bench.call(words);
        assert_eq!(called.code, *code, "{words}: {called:?}");
        assert!(called.err.contains(says), "{words}: {}", called.err);
        assert!(called.out.is_empty(), "{words}: {}", called.out);
    }
}

#[test]
fn hostile_text_does_not_reach_the_terminal() {
    let bench = bench(|rules| rules.replace("max_tokens = -1", "max_tokens = -2"));
    let hostile = r#"{"id":"e","ts":"2026-03-02T08:00:00Z","type":"completion","account":"\u001b[2Ja","org":"\u001b[2Jo","plan":"\u001b[2Jp","max_tokens":-1}"#;
    bench.write("e.jsonl", lines(&[hostile.to_string()]));
    let called = replay(&bench, "");
    assert!(called.out.contains("\\u{1b}[2Ja") && called.out.contains("\\u{1b}[2Jo"), "{}", called.out);
    assert!(!called.out.contains('\u{1b}') && !called.err.contains('\u{1b}'), "{called:?}");
}
