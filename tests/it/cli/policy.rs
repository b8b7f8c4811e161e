//! `policy`, `check --feed`, and what `run --mapping` warns of.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Bench, Called, RULES, events, lines};

/// In the folder of the project, as the page for counsel shows it.
fn at_home(words: &str) -> Called {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fineprint"));
    command.args(words.split_whitespace()).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("FINEPRINT_LOG");
    Called::from(command.stdin(Stdio::null()).output().unwrap())
}

/// Every command of the page runs; where the page shows what is printed, it is printed, `…` standing for lines left out.
#[test]
fn the_page_for_counsel_shows_what_is_printed() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md")).unwrap();
    let (mut ran, mut shown) = (0, 0);
    let mut printed = String::new();
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, body) = block.split_once('\n').unwrap();
        match language {
            "sh" => {
                for line in body.lines() {
                    let (words, code) = match line.split_once("# exits with ") {
                        Some((words, code)) => (words, code.trim().parse().unwrap()),
                        None => (line.split('#').next().unwrap(), 0),
                    };
                    let words = words.trim().strip_prefix("fineprint ").unwrap();
                    let called = at_home(words);
                    assert_eq!(called.code, code, "{line}: {called:?}");
                    printed = called.out + &called.err;
                    ran += 1;
                }
            }
            "text" => {
                let mut rest = printed.lines();
                let mut skips = true;
                for line in body.lines() {
                    if line.trim() == "…" {
                        skips = true;
                        continue;
                    }
                    let next = if skips { rest.find(|l| l.trim_end() == line.trim_end()) } else { rest.next() };
                    assert_eq!(next.map(str::trim_end), Some(line.trim_end()), "{printed}");
                    skips = false;
                }
                shown += 1;
            }
            other => panic!("a block of {other:?}"),
        }
    }
    assert!(ran >= 5 && shown >= 4, "{ran} commands, {shown} outputs");
}

#[test]
fn wrong_calls_say_what_to_write_instead() {
    let bench = Bench::new();
    bench.write("wrong.tos", RULES.replace("acme.terms.safety", "acme.terms.safty"));
    std::fs::create_dir(bench.path("empty")).unwrap();
    bench.write("none.tos", "policy a.b version 2026-01-01 { clause c at \"1\" \"Not this.\" }\n");
    bench.write("bare.tos", "list a : integer = [1]\n");
    let cases: &[(&str, i32, &[&str])] = &[
        ("policy render nowhere", 3, &["nowhere", "help:"]),
        ("policy coverage nowhere", 3, &["nowhere", "help:"]),
        ("policy diff rules nowhere", 3, &["nowhere", "help:"]),
        ("policy diff nowhere rules", 3, &["nowhere", "help:"]),
        ("policy render empty", 3, &["no rule file", "help:"]),
        ("policy render rules many-cals", 3, &["no rule `many-cals`", "did you mean `many-calls`?"]),
        ("policy render rules something-else", 3, &["no rule `something-else`", "policy coverage rules"]),
        ("policy render none.tos", 3, &["no rule in `none.tos`"]),
        ("policy render wrong.tos", 2, &["TOS0601", "cannot be used"]),
        ("policy diff rules wrong.tos", 2, &["TOS0601", "wrong.tos"]),
        ("policy diff wrong.tos rules", 2, &["TOS0601", "wrong.tos"]),
        ("policy coverage wrong.tos", 2, &["TOS0601"]),
        ("policy coverage rules --at soon", 3, &["2026-03-02"]),
        ("policy", 3, &["render", "diff", "coverage"]),
        ("policy diff rules", 3, &["NEW"]),
        ("check --feed litelm rules", 3, &["did you mean `litellm`?"]),
        ("check --feed acount,model rules", 3, &["no field `acount`", "did you mean `account`?"]),
        ("check --feed , rules", 3, &["no fields"]),
        ("check --feed nonsense-of-a-name rules", 3, &["neither a shipped mapping nor a file nor a field"]),
        ("check --feed rules/acme.tos rules", 3, &["YAML"]),
        ("check --accounts a.jsonl rules", 3, &["--feed"]),
        ("check --feed litellm wrong.tos", 2, &["TOS0601"]),
    ];
    for (words, code, says) in cases {
        let called = bench.call(words);
        assert_eq!(called.code, *code, "{words}: {called:?}");
        for part in *says {
            assert!(called.err.contains(part), "{words}: {part}: {called:?}");
        }
        assert!(!called.err.contains("panicked"), "{words}: {called:?}");
    }
    // Nothing to cover is no mistake.
    let bare = bench.call("policy coverage bare.tos");
    assert_eq!(bare.code, 0, "{bare:?}");
    assert!(bare.out.starts_with("0 clauses"), "{}", bare.out);
}

#[test]
fn readings_come_as_text_markdown_and_json() {
    let bench = Bench::new();
    let text = bench.call("policy render rules many-calls");
    assert!(text.code == 0 && text.out.starts_with("many-calls\n==========\n"), "{text:?}");
    let markdown = bench.call("policy render rules many-calls --format markdown");
    assert!(markdown.out.starts_with("## many-calls\n\n**Clause**\n\n- "), "{}", markdown.out);
    let json: Value = serde_json::from_str(&bench.call("policy render rules --format json").out).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 6);
    let named: Value =
        serde_json::from_str(&bench.call("policy render rules token-probe many-calls --format json").out).unwrap();
    assert_eq!((&named[0]["rule"], &named[1]["rule"]), (&json[2]["rule"], &json[0]["rule"]));
    assert_eq!(named[1], json[0]);
    // The hash is that of violations.
    bench.write("e.jsonl", lines(&events(300)));
    let found = bench.call("run --rules rules e.jsonl");
    let first: Value = serde_json::from_str(found.out.lines().next().unwrap()).unwrap();
    let of = |name: &Value| json.as_array().unwrap().iter().find(|r| r["rule"] == *name).unwrap()["rule_hash"].clone();
    assert_eq!(of(&first["rule"]), first["rule_hash"]);
}

#[test]
fn a_change_is_a_finding_and_none_is_not() {
    let bench = Bench::new();
    bench.write("same.tos", RULES.replace("severity medium", "severity    medium # so far"));
    bench.write("other.tos", RULES.replace("calls >= 20", "calls >= 12").replace("with calls = 20", "with calls = 12"));
    let same = bench.call("policy diff rules same.tos");
    assert_eq!((same.code, same.out.as_str()), (0, "nothing changed in what the rules mean\n"));
    let empty: Value = serde_json::from_str(&bench.call("policy diff rules same.tos --format json").out).unwrap();
    assert_eq!(empty["rules"], Value::from(Vec::<Value>::new()));
    let other = bench.call("policy diff rules other.tos");
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.out.contains("[wider]") && other.out.contains("at least 12, before at least 20"), "{}", other.out);
    let json: Value = serde_json::from_str(&bench.call("policy diff rules other.tos --format json").out).unwrap();
    assert_eq!(json["rules"][0]["changes"][0]["effect"], "wider");
}

#[test]
fn a_rule_without_a_clause_in_force_is_a_finding() {
    let bench = Bench::new();
    bench.write(
        "rules/acme.tos",
        RULES.replacen("  clause volume", "  effective 2025-09-15 until 2026-06-01\n  clause volume", 1),
    );
    for (words, code) in [("", 0), (" --at 2026-05-31", 0), (" --at 2026-06-01", 1), (" --at 2025-09-14", 1)] {
        let called = bench.call(&format!("policy coverage rules{words}"));
        assert_eq!(called.code, code, "{words}: {called:?}");
        let json: Value =
            serde_json::from_str(&bench.call(&format!("policy coverage rules{words} --format json")).out).unwrap();
        assert_eq!(json["rules_without_clause"].as_array().unwrap().len(), code as usize * 6, "{words}");
    }
    assert!(bench.call("policy coverage rules --at today").out.contains("in force on 20"));
}

/// Which rules never fire is told by `check` in full, by `run` once; a run without a mapping says nothing.
#[test]
fn blind_rules_are_told_before_a_run() {
    let bench = Bench::new();
    let mapping =
        "name: small\nfields:\n  id: id\n  ts: ts\n  type: {value: completion}\n  account: account\n  status: status\n";
    bench.write("small.yaml", mapping);
    let checked = bench.call("check --feed small.yaml rules");
    assert_eq!(checked.code, 0, "{checked:?}");
    for says in ["can never fire on this feed", "never tells `refused`", "mostly-refused", "never tells `max_tokens`"] {
        assert!(checked.out.contains(says), "{says}: {}", checked.out);
    }
    assert!(!checked.out.contains("many-calls"), "{}", checked.out);
    let json: Value = serde_json::from_str(&bench.call("check --feed small.yaml rules --format json").out).unwrap();
    let never: Vec<&str> =
        json["feed"]["never_fire"].as_array().unwrap().iter().map(|r| r["rule"].as_str().unwrap()).collect();
    assert_eq!(never.len(), 5, "{never:?}");
    assert_eq!(json["feed"]["never_fire"][0]["because"][0]["field"], "refused");
    bench.write("e.jsonl", lines(&events(300)));
    let run = bench.call("run --rules rules --mapping small.yaml --exit-zero e.jsonl");
    assert_eq!(run.err.matches("can never fire").count(), 1, "{}", run.err);
    assert!(run.err.contains("check --feed small.yaml rules"), "{}", run.err);
    let plain = bench.call("run --rules rules --exit-zero e.jsonl");
    assert!(!plain.err.contains("can never fire"), "{}", plain.err);
}
