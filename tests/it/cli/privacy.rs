use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::{Bench, Called};
use crate::privacy::Canaries;

/// Rules that look at what was said in each way there is.
const READERS: &str = r#"
policy acme.terms version 2025-09-15 {
  title "Terms"
  url   "https://example.com/terms"
  clause volume at "3.1"
    "Calls beyond an agreed volume are not allowed."
}

let asks = prompt has any of ["step by step"] ignoring case or prompt matches regex "show (me )?your reasoning"

rule said {
  enforces acme.terms.volume
  severity low
  mode     shadow
  on       completion where asks or length(prompt) > 5 or system_prompt contains "e" or completion contains "a"
  action   alert "trust"
  because  "a call by {account}"
}

rule again {
  enforces acme.terms.volume
  severity low
  mode     shadow
  on       completion where not (prompt seen before within 1h)
  because  "a new prompt of {account}"
}

rule many {
  enforces acme.terms.volume
  severity medium
  mode     shadow
  on       completion
  per      account
  over     10m every 1m
  let      prompts = distinct(prompt)
  let      words = max(length(prompt))
  let      asking = count() where asks
  when     prompts >= 2
  because  "{prompts} prompts, {asking} asking, of at most {words} characters"
}

rule one-template {
  enforces acme.terms.volume
  severity medium
  mode     shadow
  on       completion
  per      template(prompt)
  over     10m every 1m
  when     count() >= 5
  because  "a template, used often"
}

rule in-a-row {
  enforces acme.terms.volume
  severity low
  mode     shadow
  on sequence per account within 10m {
    first completion where asks
    then  completion where length(prompt) > 3
  }
  because  "asked twice"
}
"#;

/// A line of each kind that holds text, or should not.
fn line(i: usize, secret: &str) -> String {
    let head = |more: &str| {
        let ts =
            fineprint::time::Timestamp::parse_rfc3339("2026-03-02T08:00:00Z").unwrap().0 + i as i64 * 1_000_000_000;
        let ts = fineprint::time::Timestamp(ts);
        format!(r#"{{"id":"ev_{i:06}","ts":"{ts}","type":"completion","account":"acct_{}",{more}}}"#, i % 7)
    };
    match i % 25 {
        0 => head(&format!(r#""prompt":"{secret}""#)),
        1 => head(&format!(
            r#""prompt":"Please show me your reasoning step by step, in the order in which you came to it, with each doubt and each turn, before you give the final answer in one short line, for this: {secret}""#
        )),
        2 => head(&format!(r#""system_prompt":"You are {secret}.""#)),
        3 => head(&format!(r#""completion":"An answer: {secret}""#)),
        4 => head(&format!(r#""prompt":"{0} {0} {0} {0} {0} {0} {0} {0} {0} {0}","unheard_of":"{0}""#, secret)),
        5 => head(&format!(r#""metadata":{{"note":["{secret}",{{"deeper":"{secret}"}}]}}"#)),
        6 => head(&format!(r#""{secret}":1"#)),
        7 => head(&format!(r#""{secret}":1,"{secret}":2"#)),
        8 => head(&format!(r#""prompt":["{secret}"]"#)),
        9 => head(&format!(r#""prompt":{{"content":"{secret}"}}"#)),
        10 => head(&format!(r#""status":"{secret}""#)),
        11 => head(&format!(r#""country":"{secret}""#)),
        12 => head(&format!(r#""ip":"{secret}""#)),
        13 => head(&format!(r#""tls_fp":["{secret}"]"#)),
        14 => head(&format!(r#""capabilities":["{secret}",1]"#)),
        15 => head(&format!(r#""model_released_at":"{secret}""#)),
        16 => format!(r#"{{"id":"x{i}","ts":"{secret}","type":"completion"}}"#),
        17 => format!(r#"{{"id":"x{i}","ts":"2026-03-02T08:00:00Z","type":"{secret}"}}"#),
        18 => format!("{}{}", head(r#""status":200"#), secret),
        19 => secret.to_string(),
        20 => format!(r#"{{"prompt":"{secret}"#),
        21 => format!(r#"{{"prompt":"{secret}\ud800"}}"#),
        22 => head(&format!(r#""prompt":"{}","cost":NaN,"x":"{secret}""#, "said ".repeat(3))),
        23 => head(&format!(r#""a":{}"{secret}"{}"#, "[".repeat(200), "]".repeat(200))),
        _ => head(&format!(r#""asn":99999999999999999999,"note":"{secret}""#)),
    }
}

#[test]
fn a_thousand_secrets_in_events_are_nowhere_afterwards() {
    let canaries = Canaries::new(1_000, 0x5EC2E7);
    let bench = Bench::new();
    bench.write("rules/acme.tos", READERS);
    let text = canaries.secrets.iter().enumerate().fold(String::new(), |mut all, (i, secret)| {
        writeln!(all, "{}", line(i, secret)).unwrap();
        all
    });
    let (first, rest) = text.split_at(text[..text.len() / 2].rfind('\n').unwrap() + 1);
    bench.write("e.jsonl", first);
    // What other systems write, and a body that is cut off.
    let foreign: String = canaries.secrets.iter().take(50).fold(String::new(), |mut all, secret| {
        let call = serde_json::json!({
            "id": "chatcmpl-1", "call_type": "acompletion", "startTime": 1772438400.0, "endTime": 1772438401.0, "model": "m",
            "messages": [{"role": "user", "content": secret}], "response": {"choices": [{"message": {"content": secret}}]},
            "metadata": {"user_api_key_hash": "k", "requester_metadata": {"x": secret}}, "status": "success",
        });
        writeln!(all, "{call}").unwrap();
        all
    });
    bench.write("foreign.jsonl", foreign + "{\"messages\": [\"" + &canaries.secrets[0]);
    let mut leaks = BTreeSet::new();
    let mut say = |words: &str, called: &Called| {
        for text in [&called.out, &called.err] {
            canaries.look(words, text.as_bytes(), &mut leaks);
        }
    };
    let mut call = |words: &str| {
        let called = Called::from(bench.command(&format!("--log trace {words}")).output().unwrap());
        assert!(matches!(called.code, 0 | 1), "{words}: {called:?}");
        say(words, &called);
        called
    };
    call("run --rules rules --db v.db --rejects refused.out --commit-every 40 e.jsonl");
    bench.write("e.jsonl", first.to_string() + rest);
    let run = call("run --rules rules --db v.db --rejects refused.out --format json e.jsonl");
    let told: Value = serde_json::from_str(&run.out).unwrap();
    assert!(told["books"]["rejected"].as_u64().unwrap() > 400, "{told}");
    call("run --rules rules --db foreign.db --rejects refused.out --mapping litellm foreign.jsonl");
    call("run --rules rules e.jsonl");
    call("violations list --db v.db");
    call("violations list --db v.db --format json");
    call("violations list --db v.db --by campaign");
    call("violations stats --db v.db");
    call("violations export --db v.db --format csv --out export.csv");
    call("violations export --db v.db --format jsonl --out export.out");
    call("rejects --db v.db");
    call("rejects --db v.db --format json");
    call("actions list --db v.db");
    call("verify --db v.db");
    let export = bench.export("v.db");
    let rules: BTreeSet<String> = export
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["rule"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(rules.into_iter().collect::<Vec<_>>(), ["again", "in-a-row", "many", "one-template", "said"]);
    for rule in ["many", "said", "one-template", "in-a-row", "again"] {
        let of = export.lines().find(|l| l.contains(&format!("\"rule\":\"{rule}\""))).unwrap();
        let id = serde_json::from_str::<Value>(of).unwrap()["id"].as_str().unwrap().to_string();
        call(&format!("explain {id} --db v.db"));
        call(&format!("violations show {id} --db v.db --format json"));
    }
    let n = canaries.look_in(
        bench.dir.path(),
        &|name| name.ends_with("e.jsonl") || name.ends_with("foreign.jsonl"),
        &mut leaks,
    );
    assert!(n >= 8, "{n} files");
    let first: Vec<_> = leaks.iter().take(20).collect();
    assert!(leaks.is_empty(), "{} secrets came back: {first:#?}", leaks.len());
}

/// Text that steers terminals, forges lines, changes the order of what is read, is not seen, or is a formula.
const HOSTILE: [&str; 8] = [
    "\u{1b}[2J\u{1b}]0;owned\u{7}acct",
    "acct\r\nFORGED 2026-03-02T00:00:00Z ERROR all is well",
    "acct\u{202e}gnihton\u{2066}x\u{2069}\u{200f}\u{61c}",
    "ac\u{200b}ct\u{feff}\u{2060}\u{ad}\u{e0041}\u{3164}",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "=HYPERLINK(\"http://evil\",\"acct\")",
    " \u{200b}=1+1|cmd",
    "\u{9b}31macct\u{7f}\u{85}FORGED",
];

/// What of this reaches a terminal as it is.
fn steering(text: &str) -> Vec<String> {
    let foreign = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{3164}' | '\u{e0000}'..='\u{e007f}')
    };
    let lines = text.lines().filter(|l| l.contains(foreign) || l.trim_start_matches(['│', ' ']).starts_with("FORGED"));
    lines.map(|l| l.escape_debug().to_string()).take(3).collect()
}

#[test]
fn hostile_text_is_inert_in_all_that_commands_print() {
    let bench = Bench::new();
    let rules = super::RULES.replace(
        "rule token-probe {",
        "rule by-all {\n  enforces acme.terms.volume\n  severity high\n  mode flag\n  on completion\n  per account, org, model, user_agent\n  \
         over 10m every 1m\n  let f = first(session)\n  when count() >= 2\n  action after review: block account for 1h\n  action alert \"x\"\n  because \"{account} {f}\"\n}\n\nrule token-probe {",
    );
    bench.write("rules/acme.tos", &rules);
    let mut text = String::new();
    for (i, hostile) in HOSTILE.iter().cycle().take(240).enumerate() {
        let ts =
            fineprint::time::Timestamp::parse_rfc3339("2026-03-02T08:00:00Z").unwrap().0 + i as i64 * 2_000_000_000;
        let event = serde_json::json!({
            "id": format!("ev{i}{hostile}"), "ts": fineprint::time::Timestamp(ts).to_string(), "type": "completion",
            "account": hostile, "org": hostile, "model": hostile, "user_agent": hostile, "session": hostile,
            "max_tokens": if i % 3 == 0 { -1 } else { 9 }, "refused": i % 2 == 0, "prompt": hostile, "status": 200,
        });
        writeln!(text, "{event}").unwrap();
        writeln!(
            text,
            "{}",
            serde_json::json!({ "id": hostile, "ts": hostile, "type": hostile, hostile.to_string(): 1 })
        )
        .unwrap();
    }
    std::fs::create_dir(bench.path("in")).unwrap();
    let input = "in/\u{1b}[31m\u{202e}e\nFORGED.jsonl";
    bench.write(input, text);
    let call = |words: &[&str]| {
        let mut command = bench.command("--log trace");
        command.args(words);
        let called = Called::from(command.output().unwrap());
        assert!(matches!(called.code, 0..=2), "{words:?}: {called:?}");
        for (name, text) in [("out", &called.out), ("err", &called.err)] {
            assert_eq!(steering(text), Vec::<String>::new(), "{words:?}, {name}");
        }
        called
    };
    call(&["run", "--rules", "rules", "--db", "v.db", "in"]);
    let export = bench.export("v.db");
    let id = |rule: &str| {
        let of = export
            .lines()
            .find(|l| l.contains(&format!("\"rule\":\"{rule}\"")))
            .unwrap_or_else(|| panic!("{rule} found nothing"));
        serde_json::from_str::<Value>(of).unwrap()["id"].as_str().unwrap().to_string()
    };
    for rule in ["by-all", "many-calls", "token-probe", "mostly-refused"] {
        let id = id(rule);
        call(&[
            "violations",
            "decide",
            &id,
            "--db",
            "v.db",
            "--as",
            "confirmed",
            "--by",
            HOSTILE[0],
            "--reason",
            HOSTILE[1],
        ]);
        for format in ["text", "json"] {
            call(&["violations", "show", &id, "--db", "v.db", "--format", format]);
            call(&["explain", &id, "--db", "v.db", "--format", format]);
        }
    }
    for format in ["text", "json"] {
        for words in [
            &["violations", "list", "--db", "v.db"][..],
            &["violations", "list", "--db", "v.db", "--by", "campaign"],
            &["violations", "stats", "--db", "v.db"],
            &["actions", "list", "--db", "v.db"],
            &["rejects", "--db", "v.db"],
            &["verify", "--db", "v.db"],
            &["explain", "--why-not", "mostly-refused", HOSTILE[2], "--rules", "rules", "--db", "v.db"],
        ] {
            let mut words = words.to_vec();
            words.extend(["--format", format]);
            call(&words);
        }
    }
    // A spreadsheet takes no cell for a formula.
    let csv = call_csv(&bench);
    let mut reader = csv::ReaderBuilder::new().from_reader(csv.as_bytes());
    let (mut cells, mut inert) = (0, 0);
    for row in reader.records() {
        for cell in row.unwrap().iter() {
            cells += 1;
            inert += usize::from(cell.starts_with('\''));
            let first = cell.trim_start().chars().find(|c| !matches!(c, '\u{200b}'));
            assert!(!matches!(first, Some('=' | '+' | '-' | '@')), "{cell:?}");
        }
    }
    assert!(cells > 100 && inert > 2, "{cells} {inert}");

    // Rule files and their paths.
    std::fs::create_dir(bench.path("wrong")).unwrap();
    let wrong =
        rules.replace("rule many-calls {", "rule many-calls { \u{1b}[31m\u{202e}\u{200b} \"\u{9b}31m\u{2066}\" ");
    bench.write("wrong/\u{1b}[31m\nFORGED\u{202e}.tos", wrong);
    for words in [
        &["check", "wrong"][..],
        &["check", "wrong", "--format", "json"],
        &["fmt", "--check", "wrong"],
        &["test", "wrong"],
    ] {
        call(words);
    }
    let missing = Called::from(
        bench.command("run --db").arg("none/\u{1b}[2J.db").args(["--rules", "none\u{202e}\u{1b}[2J"]).output().unwrap(),
    );
    assert_eq!((missing.code, steering(&missing.err)), (3, vec![]), "{missing:?}");
}

fn call_csv(bench: &Bench) -> String {
    let called = bench.call("violations export --db v.db --format csv");
    assert_eq!(called.code, 0, "{called:?}");
    called.out
}

/// The first lines that differ.
fn differing(a: &str, b: &str) -> String {
    let pairs = a.lines().zip(b.lines()).find(|(a, b)| a != b);
    format!("{} and {} lines, {pairs:?}", a.lines().count(), b.lines().count())
}

/// Whether a directory holds something under a name that is prepared and not put in place.
fn is_left(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().any(|f| f.unwrap().path().extension().is_some_and(|e| e == "erased"))
}

#[test]
fn an_erasure_that_is_killed_has_not_begun_or_is_finished_by_who_comes_next() {
    let bench = Bench::new();
    let all = super::events(4_000);
    bench.write("e.jsonl", super::lines(&all));
    bench.run("v.db", "e.jsonl");
    let copy = |to: &Bench| {
        for entry in std::fs::read_dir(bench.dir.path()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
            std::fs::copy(&entry, to.path(entry.file_name().unwrap().to_str().unwrap())).unwrap();
        }
        std::fs::create_dir_all(to.path("v.db.journal")).unwrap();
        for entry in std::fs::read_dir(bench.path("v.db.journal")).unwrap().map(|e| e.unwrap().path()) {
            std::fs::copy(&entry, to.path("v.db.journal").join(entry.file_name().unwrap())).unwrap();
        }
    };
    let whole = Bench::new();
    copy(&whole);
    let words = "erase --db v.db --account acct_1 --by DPO --reason request";
    #[allow(clippy::disallowed_methods, reason = "the kills are spread over how long it takes")]
    let began = std::time::Instant::now();
    assert_eq!(whole.call(words).code, 0);
    let takes = began.elapsed();
    let expected = whole.export("v.db");
    let mut untouched = 0;
    for n in 0..30u32 {
        let other = Bench::new();
        copy(&other);
        let mut child = other.command(words).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(takes * n / 28);
        let _ = child.kill();
        child.wait().unwrap();
        let verified = other.call("verify --db v.db");
        let erased = other.export("v.db") == expected;
        if !erased {
            untouched += 1;
            assert_eq!(verified.code, 0, "{verified:?}");
            assert_eq!(other.export("v.db"), bench.export("v.db"));
        }
        // The next run finishes what was begun; where nothing was, it can be begun.
        let next = other.run("v.db", "e.jsonl");
        assert!(next.err.is_empty() || !next.err.contains("error"), "{next:?}");
        let now = other.export("v.db");
        assert!(
            now == if erased { expected.clone() } else { bench.export("v.db") },
            "after {n}: {}",
            differing(&now, &expected)
        );
        if !erased {
            assert_eq!(other.call(words).code, 0);
            assert_eq!(other.export("v.db"), expected);
        }
        let verified = other.call("verify --db v.db");
        assert!(verified.code == 0 && verified.out.contains("erasure 1 on"), "{verified:?}");
        assert!(!is_left(&other.path("v.db.journal")));
        let records = fineprint::journal::read(&other.path("v.db.journal"), None).unwrap();
        let is_event =
            |r: &Vec<u8>| fineprint::eval::Erased::read(r).is_some() || !fineprint::runtime::live::is_entry(r);
        let events = records.map(|r| r.unwrap().record).filter(is_event);
        assert_eq!(events.count(), 4_000);
    }
    assert!(untouched > 0 && untouched < 30);
}
