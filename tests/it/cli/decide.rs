use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::{Bench, Called, events, lines};

/// `violations decide` with words that hold blanks.
fn decide(bench: &Bench, words: &str, reason: &str) -> Called {
    let mut command = bench.command(&format!("violations decide --db v.db {words}"));
    Called::from(command.args(["--reason", reason]).stdin(Stdio::null()).output().unwrap())
}

fn json(bench: &Bench, words: &str) -> Value {
    let called = bench.call(&format!("violations {words} --db v.db --format json"));
    assert_eq!(called.code, 0, "{called:?}");
    serde_json::from_str(&called.out).unwrap()
}

fn ids(bench: &Bench) -> Vec<String> {
    json(bench, "list").as_array().unwrap().iter().map(|v| v["id"].as_str().unwrap().to_string()).collect()
}

fn found() -> Bench {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "e.jsonl");
    bench
}

/// The shipped rules over the bundled traffic, reviewed.
#[test]
fn the_bundled_sample_is_reviewed_from_end_to_end() {
    let bench = Bench::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = || {
        let mut command = bench.command("run --exit-zero --db v.db --rules");
        command.arg(root.join("rules")).arg("--accounts").arg(root.join("examples/traffic/accounts.jsonl"));
        command.arg("--lists").arg(root.join("examples/traffic/lists"));
        command.arg(root.join("examples/traffic/events.jsonl.gz"));
        let called = Called::from(command.stdin(Stdio::null()).output().unwrap());
        assert_eq!(called.code, 0, "{called:?}");
    };
    run();
    let records = bench.export("v.db");
    let all: Vec<Value> = records.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |rule: &str| -> Vec<&str> {
        all.iter().filter(|v| v["rule"] == rule).map(|v| v["id"].as_str().unwrap()).collect()
    };
    let (resold, behind) = (of("access-resold"), of("unsupported-country-behind-vpn"));
    assert!(resold.len() >= 3 && behind.len() >= 4, "{resold:?} {behind:?}");

    let two =
        decide(&bench, &format!("{} {} --as confirmed --by ann", &resold[0][..12], resold[1]), "resale, invoice 7");
    assert_eq!((two.code, two.out.lines().count()), (0, 2), "{two:?}");
    assert_eq!(decide(&bench, &format!("{} --as false-positive --by bob", resold[2]), "an agency").code, 0);
    for (id, outcome) in behind.iter().zip(["insufficient_evidence", "authorised", "duplicate", "test"]) {
        assert_eq!(decide(&bench, &format!("{id} --as {outcome} --by bob"), "see file").code, 0);
    }
    let changed = decide(&bench, &format!("{} --as confirmed --by ann", resold[2]), "no agency: asked");
    assert!(changed.out.contains("instead of false_positive by bob on 20"), "{changed:?}");

    let stats = json(&bench, "stats");
    let rule = |name: &str| stats["rules"].as_array().unwrap().iter().find(|r| r["rule"] == name).unwrap().clone();
    let reviewed = rule("access-resold");
    assert_eq!(
        (&reviewed["findings"], &reviewed["decided"], &reviewed["confirmed"]),
        (&3.into(), &3.into(), &3.into())
    );
    assert_eq!(reviewed["precision"]["of"], 3);
    assert_eq!(
        (&reviewed["precision"]["millionths"], &reviewed["precision"]["low_millionths"]),
        (&1_000_000.into(), &438_502.into())
    );
    let reviewed = rule("unsupported-country-behind-vpn");
    assert_eq!((&reviewed["decided"], &reviewed["dismissed"]["authorised"]), (&4.into(), &1.into()));
    assert_eq!((&reviewed["precision"]["confirmed"], &reviewed["precision"]["of"]), (&0.into(), &1.into()));
    assert_eq!(rule("keys-guessed")["precision"], Value::Null);
    let table = bench.call("violations stats --db v.db").out;
    assert!(table.contains("100.0 % (43.8–100.0) of 3") && table.contains("0.0 % (0.0–79.4) of 1"), "{table}");

    // What a third party hashes is what it was; the run again changes neither records nor decisions.
    run();
    assert_eq!(bench.export("v.db"), records);
    let decided = bench.call("violations export --db v.db --decisions").out;
    assert_eq!(decided.lines().count(), all.len());
    for (line, record) in decided.lines().zip(records.lines()) {
        let decision = serde_json::from_str::<Value>(line).unwrap()["decision"].clone();
        assert!(line.starts_with(record.strip_suffix('}').unwrap()), "{line}");
        assert!(line.ends_with(&format!(",\"decision\":{decision}}}")), "{line}");
        if !decision.is_null() {
            let digest = <sha2::Sha256 as sha2::Digest>::digest(record.as_bytes());
            let hash: String = digest.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!((&decision["record_hash"], &decision["record_changed"]), (&hash.into(), &false.into()));
        }
    }
    assert_eq!(decided.matches("\"decision\":null").count(), all.len() - 7);
    let csv = bench.call("violations export --db v.db --format csv --decision confirmed").out;
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.lines().skip(1).all(|row| row.ends_with(",confirmed")), "{csv}");
    assert_eq!(json(&bench, "list --decision none").as_array().unwrap().len(), all.len() - 7);
    assert_eq!(json(&bench, "list --decision false_positive").as_array().unwrap().len(), 0);
}

#[test]
fn what_cannot_be_decided_says_what_to_write_instead() {
    let bench = found();
    let id = ids(&bench).remove(0);
    bench.write("none.db", "events,of,some,kind\n".repeat(100));
    let said = |words: String, says: &str| {
        let called = bench.call(&format!("violations decide {words}"));
        assert_eq!(called.code, 3, "{words}: {called:?}");
        assert!(called.err.contains(says) && called.out.is_empty(), "{words}: {called:?}");
    };
    said(format!("{id} --db v.db --as confirmed --by ann"), "--reason");
    said("--db v.db --as confirmed --by ann --reason x".to_string(), "<ID>");
    said(format!("{id} --db v.db --by ann --reason x"), "--as");
    said(format!("{id} --db v.db --as guilty --by ann --reason x"), "write one of confirmed, false_positive");
    said(format!("{id} --as confirmed --by ann --reason x"), "--db");
    said(format!("{id} {} --db v.db --as confirmed --by ann --reason x", "f".repeat(32)), "holds no violation `ffff");
    said("nobody --db v.db --as confirmed --by ann --reason x".to_string(), "`nobody` is no id");
    said(format!("{id} --db missing.db --as confirmed --by ann --reason x"), "there is no violation log at");
    said(format!("{id} --db none.db --as confirmed --by ann --reason x"), "is not a SQLite database");
    let long = format!("{id} --db v.db --as confirmed --by ann --reason {}", "x".repeat(2_001));
    said(long, "has 2001 characters\nhelp: keep it to 2000");
    said(format!("{id} --db v.db --as confirmed --by {} --reason x", "b".repeat(101)), "`--by NAME` has 101");
    let blank = decide(&bench, &format!("{id} --as confirmed --by ann"), " \n ");
    assert!(blank.code == 3 && blank.err.contains("`--reason TEXT` is empty\nhelp: say why"), "{blank:?}");
    let listed = bench.call("violations list --db v.db --decision maybe");
    assert!(listed.code == 3 && listed.err.contains("test, none"), "{listed:?}");
    assert_eq!(json(&bench, "list --decision none").as_array().unwrap().len(), ids(&bench).len());
}

/// Who decides is never guessed where the environment says nothing of a person.
#[test]
fn who_decides_is_the_user_or_has_to_be_said() {
    let bench = found();
    let id = ids(&bench).remove(0);
    let by = |user: Option<&str>| {
        let mut command =
            bench.command(&format!("violations decide {id} --db v.db --as test --reason x --format json"));
        command.env_remove("USER").env_remove("USERNAME").envs(user.map(|u| ("USER", u)));
        Called::from(command.stdin(Stdio::null()).output().unwrap())
    };
    let said: Value = serde_json::from_str(&by(Some("carla")).out).unwrap();
    assert_eq!((&said[0]["by"], &said[0]["outcome"]), (&"carla".into(), &"test".into()));
    assert!(fineprint::time::Timestamp::parse_rfc3339(said[0]["at"].as_str().unwrap()).is_some(), "{said}");
    for user in [None, Some("root"), Some(" ")] {
        let refused = by(user);
        assert!(refused.code == 3 && refused.err.contains("write `--by NAME`"), "{user:?}: {refused:?}");
    }
}

#[test]
fn all_decisions_are_shown_and_none_steers_a_terminal() {
    let bench = found();
    let id = ids(&bench).remove(0);
    let before = bench.call(&format!("violations show {id} --db v.db")).out;
    decide(&bench, &format!("{id} --as authorised --by \u{1b}[1mmallory"), "\u{1b}[2J first\nsecond");
    decide(&bench, &format!("{id} --as confirmed --by ann"), "asked the owner");
    let shown = bench.call(&format!("violations show {id} --db v.db")).out;
    let told = shown.strip_prefix(before.as_str()).unwrap_or_else(|| panic!("{shown}"));
    let (last, first) = (told.find("Decided: confirmed by ann").unwrap(), told.find("Before: authorised by").unwrap());
    assert!(last < first && told.contains("asked the owner") && told.contains("\\u{1b}[2J first\\nsecond"), "{told}");
    let listed = bench.call("violations list --db v.db").out;
    let again = decide(&bench, &format!("{id} --as authorised --by \u{1b}[1mmallory"), "x").out
        + &decide(&bench, &format!("{id} --as test --by ann"), "x").out;
    for text in [&shown, &listed, &again] {
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    assert!(again.contains("\\u{1b}[1mmallory") && listed.contains("confirmed"), "{again} {listed}");
    let all = json(&bench, &format!("show {id}"))["decisions"].as_array().unwrap().clone();
    let outcomes: Vec<&str> = all.iter().map(|d| d["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["authorised", "confirmed", "authorised", "test"]);
    assert_eq!(all[0]["reason"], "\u{1b}[2J first\nsecond");
    assert_eq!(all[1]["supersedes"], all[0]["number"]);
}

/// A finding at the end of a file is decided, and the file's continuation does not bear it out.
#[test]
fn a_decision_on_what_is_taken_back_is_told_and_counts_for_no_rule() {
    let bench = Bench::new();
    let event = |i: u32, at: &str, account: &str, refused: bool| {
        format!(
            r#"{{"id":"e{i}","ts":"2026-03-02T08:{at}Z","type":"completion","account":"{account}","refused":{refused},"max_tokens":1,"status":200}}"#
        )
    };
    let mut all: Vec<String> = (1..6).map(|i| event(i, &format!("00:{i}0"), "a", true)).collect();
    all.push(event(6, "01:05", "b", false));
    bench.write("e.jsonl", lines(&all));
    bench.run("v.db", "e.jsonl");
    let listed = json(&bench, "list --rule mostly-refused");
    let id = listed[0]["id"].as_str().unwrap().to_string();
    assert_eq!(decide(&bench, &format!("{id} --as confirmed --by ann"), "so it is").code, 0);

    all.extend((10..30).map(|i| event(i, "00:55", "a", false)));
    bench.write("e.jsonl", lines(&all));
    bench.run("v.db", "e.jsonl");
    assert_eq!(json(&bench, "list --rule mostly-refused").as_array().unwrap().len(), 0);
    let stats = json(&bench, "stats");
    assert_eq!(stats["decided_and_taken_back"], 1);
    assert!(stats["rules"].as_array().unwrap().iter().all(|r| r["decided"] == 0), "{stats}");
    let told = bench.call("violations stats --db v.db").out;
    assert!(told.contains("1 decided violations were taken back"), "{told}");
}

/// While a run reads a pipe and commits after every event, several reviewers decide; neither disturbs the other.
#[test]
fn reviewers_decide_while_a_run_writes() {
    let bench = found();
    let all = events(3_000);
    bench.write("whole.jsonl", lines(&all));
    let early: Vec<String> = ids(&bench).into_iter().take(12).collect();
    bench.write("rest.jsonl", lines(&all[1_500..]));
    bench.run("w.db", "e.jsonl");
    bench.run("w.db", "rest.jsonl");

    let mut child = bench
        .command("run --rules rules --db v.db --commit-every 1 --flush-at-end -")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let rest = all[1_500..].to_vec();
    let feed = std::thread::spawn(move || {
        for part in rest.chunks(60) {
            pipe.write_all(lines(part).as_bytes()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(40));
        }
    });
    let deciding: Vec<_> = early
        .iter()
        .map(|id| {
            let words = format!("violations decide {id} --db v.db --as confirmed --by ann --reason seen");
            bench.command(&words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for reviewer in deciding {
        let called = Called::from(reviewer.wait_with_output().unwrap());
        assert_eq!(called.code, 0, "{called:?}");
    }
    assert!(!feed.is_finished(), "the run was over before the reviewers were");
    feed.join().unwrap();
    let run = Called::from(child.wait_with_output().unwrap());
    assert!(matches!(run.code, 0 | 1), "{run:?}");
    assert_eq!(bench.export("v.db"), bench.export("w.db"));
    let confirmed = json(&bench, "list --decision confirmed");
    assert_eq!(confirmed.as_array().unwrap().len(), early.len());
}
