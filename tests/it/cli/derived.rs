//! `verify` beyond seals: findings are computed again from the journal and the rules that were in force, and who has the key of
//! the log is found out all the same.

use std::path::Path;
use std::sync::Arc;

use fineprint::derive::{Slice, Verdict, recompute};
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::decode::Decoder;
use fineprint::pack::{PackOptions, load};
use fineprint::plan::RuleSet;
use fineprint::runtime::Slicer;
use fineprint::store::{Access, Batch, Entry, Store};
use fineprint::template::FingerprintKey;
use fineprint::violation::{Status, Violation};
use serde_json::Value;

use super::{Bench, Called, events, lines};

fn wait<T>(of: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(of)
}

fn verify(bench: &Bench, words: &str) -> (Called, Value) {
    let called = bench.call(&format!("verify --db v.db --format json {words}"));
    let json = serde_json::from_str(&called.out).unwrap_or_else(|e| panic!("{e}: {called:?}"));
    (called, json)
}

fn problems(json: &Value) -> Vec<String> {
    let each = json["problems"].as_array().unwrap().iter();
    each.map(|p| format!("{}: {}", p["what"].as_str().unwrap(), p["found"].as_str().unwrap())).collect()
}

/// Nothing is wrong, and all is derived again.
fn all_again(bench: &Bench) -> u64 {
    let (called, json) = verify(bench, "");
    assert_eq!((called.code, json["findings"]["recomputed"].as_bool()), (0, Some(true)), "{json:#}");
    let n = json["findings"]["re_derived"].as_u64().unwrap();
    assert_eq!(n as usize, bench.export("v.db").lines().count(), "{:#}", json["findings"]);
    assert_eq!(json["findings"]["told"], Value::Array(Vec::new()));
    n
}

fn log_of(n: u64) -> Bench {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(n)));
    bench.run("v.db", "e.jsonl");
    bench
}

/// What the rules of a bench find in events, up to their end.
fn found(bench: &Bench, n: u64) -> Vec<Violation> {
    let mut evaluator = Evaluator::new(rules(&bench.path("rules"), None, None), EvalOptions::default());
    for (line, text) in (1..).zip(events(n)) {
        let event = Decoder::new().decode(text.as_bytes()).unwrap().into_owned();
        evaluator.observe(&event, Origin { input: 0, line });
    }
    evaluator.finish();
    evaluator.take_violations()
}

fn rules(dir: &Path, lists: Option<&Path>, accounts: Option<&Path>) -> Arc<RuleSet> {
    let key = FingerprintKey::PUBLIC;
    load(&PackOptions { rules: dir, lists, accounts, as_of: None, fingerprint_key: key }).unwrap().rules.unwrap()
}

/// What who has the key of a log can do: write what he likes, and seal it.
fn seal(bench: &Bench, violations: &[Violation], retracted: &[String]) {
    let entries: Vec<Entry> = violations.iter().map(Entry::from).collect();
    wait(async {
        let mut store = Store::open(&bench.path("v.db"), Access::ReadWrite).await.unwrap();
        store.commit(&Batch { violations: &entries, retracted, ..Batch::default() }).await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn the_sample_is_derived_again_whole_and_in_slices() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let traffic = root.join("examples/traffic");
    let bench = Bench::new();
    let (packs, accounts, lists) = (root.join("rules"), traffic.join("accounts.jsonl"), traffic.join("lists"));
    let words = format!(
        "run --rules {} --accounts {} --lists {} --db v.db {}",
        packs.display(),
        accounts.display(),
        lists.display(),
        traffic.join("events.jsonl.gz").display()
    );
    assert_eq!(bench.call(&words).code, 1);
    assert!(all_again(&bench) > 60);
    let text = bench.call("verify --db v.db");
    assert!(text.code == 0 && text.out.contains(" violations, from 10,0"), "{text:?}");

    let db = bench.path("v.db");
    let position = wait(async {
        let store = Store::open(&db, Access::ReadOnly).await.unwrap();
        store.journal_position().await.unwrap()
    });
    let mut slicer = Slicer::open(&db, position.as_deref(), FingerprintKey::PUBLIC).unwrap();
    let (mut sliced, mut without, mut smallest) = (0, Vec::new(), usize::MAX);
    for (i, record) in bench.export("v.db").lines().enumerate().filter(|(i, _)| i % 9 == 0) {
        let (slice, pack) = match slicer.slice(record) {
            Ok(found) => found,
            Err(why) => {
                without.push(format!("{}: {why}", &record[..120]));
                continue;
            }
        };
        let again = Slice::parse(&slice.to_bytes()).unwrap();
        assert_eq!(again, slice);
        assert_eq!(recompute(&again, &pack, record), Verdict::ReDerived, "{record}");
        sliced += 1;
        smallest = smallest.min(slice.records.len());
        let forged = record.replacen("\"accounts\":[", "\"accounts\":[\"somebody-else\",", 1);
        let Verdict::Differs(differ) = recompute(&again, &pack, &forged) else { panic!("{i}: a forged record passes") };
        assert!(differ.iter().any(|d| d.field == "accounts"), "{differ:?}");
        // Without an event that counted it is another finding, or none.
        let ids: Vec<String> = serde_json::from_str::<Value>(record).unwrap()["evidence"]["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["id"].as_str().unwrap().to_string())
            .collect();
        let mut less = again.clone();
        less.records.retain(|r| !r.record.windows(ids[0].len()).any(|w| w == ids[0].as_bytes()));
        assert!(less.records.len() < again.records.len(), "{record}");
        assert!(matches!(recompute(&less, &pack, record), Verdict::Differs(_)), "{record}");
    }
    assert!(sliced > 5 && without.is_empty() && smallest < 500, "{sliced} {smallest} {without:#?}");
}

/// Files that grow, ends that come too early, the same input again: the log is that of one run, and so is what comes out.
#[test]
fn runs_that_go_on_are_derived_again() {
    let bench = Bench::new();
    let all = events(3_000);
    for (n, words) in [(700, ""), (1_500, "--commit-every 100"), (1_500, ""), (1_501, ""), (3_000, "")] {
        bench.write("e.jsonl", lines(&all[..n]));
        bench.run("v.db", &format!("{words} e.jsonl"));
        assert!(all_again(&bench) > 0, "{n}");
    }
    // Other rules: what was found before stays, and comes out under what was in force then.
    let text = std::fs::read_to_string(bench.path("rules/acme.tos")).unwrap();
    bench.write(
        "rules/acme.tos",
        text.replace("calls >= 20", "calls >= 15").replace("expect nothing", "expect violation"),
    );
    bench.write("f.jsonl", lines(&events(4_000)[3_000..]));
    bench.run("v.db", "--rules-changed keep e.jsonl f.jsonl");
    let before = all_again(&bench);
    let (_, json) = verify(&bench, "");
    assert_eq!(json["findings"]["rule_sets"].as_array().unwrap().len(), 2);
    // What was found under the rules before, and is not under these, is not in what is read again from the beginning.
    bench.write(
        "rules/acme.tos",
        text.replace("calls >= 20", "calls >= 10").replace("expect nothing", "expect violation"),
    );
    bench.run("v.db", "--rules-changed reset e.jsonl f.jsonl");
    let (called, json) = verify(&bench, "");
    let findings = &json["findings"];
    assert_eq!(called.code, 0, "{json:#}");
    let [again, only] = ["re_derived", "consistent_only"].map(|key| findings[key].as_u64().unwrap());
    assert!(again > 0 && only > 0 && again + only > before, "{findings}");
    let told = findings["told"].as_array().unwrap();
    assert!(told.iter().all(|t| t["why"].as_str().unwrap().contains("read again from their beginning")), "{told:?}");
}

#[test]
fn who_has_the_key_is_found_out() {
    const N: u64 = 1_500;
    let whole = log_of(N);
    assert!(all_again(&whole) > 20);
    let found = found(&whole, N);
    let one = found.iter().find(|v| v.rule == "many-calls" && v.status == Status::Closed).unwrap().clone();
    let mut more_accounts = one.clone();
    more_accounts.accounts.push("acct_innocent".to_string());
    let mut other_value = one.clone();
    other_value.values[0].peak = Some(fineprint::violation::Scalar::Num(999));
    let mut other_root = one.clone();
    other_root.evidence.root = "00".repeat(32);
    let mut invented = one.clone();
    invented.id = "0123456789abcdef0123456789abcdef".to_string();
    invented.accounts = vec!["acct_innocent".to_string()];
    let mut of_before = one.clone();
    of_before.status = Status::Open;
    of_before.closed_at = None;
    let id = one.id.clone();
    let cases: [(&str, Vec<Violation>, Vec<String>, &str, &str); 6] = [
        ("an account more", vec![more_accounts], vec![], &id, "`accounts` is sealed as [\"acct_"),
        ("another value", vec![other_value], vec![], &id, "`values.calls.peak` is sealed as 999, comes out as "),
        ("other evidence", vec![other_root], vec![], &id, "`evidence.root` is sealed as \"0000"),
        ("an earlier state", vec![of_before], vec![], &id, "`status` is sealed as \"open\", comes out as \"closed\""),
        (
            "an invented one",
            vec![invented],
            vec![],
            "0123456789abcdef0123456789abcdef",
            "does not come out of the journal",
        ),
        (
            "a dropped one",
            vec![],
            vec![id.clone()],
            &id,
            "comes out of the journal under rule `many-calls`, and is not",
        ),
    ];
    for (case, violations, retracted, of, says) in cases {
        let bench = log_of(N);
        seal(&bench, &violations, &retracted);
        let (called, json) = verify(&bench, "--no-recompute");
        assert_eq!((called.code, &json["problems_total"]), (0, &0.into()), "{case}: hashes hold: {json:#}");
        assert_eq!(json["findings"]["recomputed"], false);
        let (called, json) = verify(&bench, "");
        let problems = problems(&json);
        assert_eq!(called.code, 1, "{case}: {json:#}");
        assert_eq!(problems.len(), 1, "{case}: {problems:?}");
        assert!(problems[0].starts_with(&format!("violation {of}: ")), "{case}: {problems:?}");
        assert!(problems[0].contains(says), "{case}: {problems:?}");
    }
}

#[test]
fn an_altered_journal_or_rule_is_named() {
    let bench = log_of(1_500);
    let journal = bench.path("v.db.journal/segment-0000000001.fpj");
    let (sound, db) = (std::fs::read(&journal).unwrap(), std::fs::read(bench.path("v.db")).unwrap());
    // Each part of a segment and of a frame: magic, number, count, hash and checksum, lengths, times, checksum, bytes, the last.
    for at in [0, 8, 16, 24, 56, 64, 68, 72, 76, 84, 92, 100, sound.len() / 2, sound.len() - 1] {
        let mut altered = sound.clone();
        altered[at] ^= 1;
        std::fs::write(&journal, altered).unwrap();
        for words in ["", "--no-recompute"] {
            let (called, json) = verify(&bench, words);
            let problems = problems(&json);
            assert_eq!(called.code, 1, "byte {at} {words}: {json:#}");
            assert!(
                problems[0].starts_with("journal: ") && problems[0].contains("segment-0000000001"),
                "{at}: {problems:?}"
            );
            assert_eq!(json["findings"]["re_derived"], 0);
        }
    }
    std::fs::write(&journal, &sound[..sound.len() - 10]).unwrap();
    assert_eq!(verify(&bench, "").0.code, 1, "cut off");
    std::fs::remove_file(&journal).unwrap();
    let (called, json) = verify(&bench, "");
    assert!(called.code == 1 && problems(&json)[0].starts_with("journal: "), "{json:#}");
    // What lies behind what is sealed was written by a run that did not come to commit it.
    let mut longer = sound.clone();
    longer.extend(b"a frame that is not whole");
    std::fs::write(&journal, longer).unwrap();
    all_again(&bench);
    std::fs::write(&journal, &sound).unwrap();

    let packs: Vec<_> = std::fs::read_dir(bench.path("v.db.rules")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(packs.len(), 1);
    let text = packs[0].join("rules/acme.tos");
    let rule = std::fs::read_to_string(&text).unwrap();
    for (what, altered, says) in [
        ("a bound", rule.replace("calls >= 20", "calls >= 21"), "its rules are not what the log seals"),
        (
            "a clause",
            rule.replace("Safeguards may not be", "Safeguards may be"),
            "its rules are not what the log seals",
        ),
        ("no rule", "nonsense".to_string(), "its rules are not what the log seals"),
    ] {
        std::fs::write(&text, altered).unwrap();
        let (called, json) = verify(&bench, "");
        let problems = problems(&json);
        assert!(called.code == 1 && problems.len() == 1, "{what}: {json:#}");
        assert!(problems[0].starts_with("rules ") && problems[0].contains(says), "{what}: {problems:?}");
        assert_eq!(json["findings"]["re_derived"], 0, "{what}");
    }
    std::fs::write(&text, &rule).unwrap();
    all_again(&bench);
    assert_eq!(std::fs::read(bench.path("v.db")).unwrap(), db, "verify writes nothing");
}

/// What cannot be known is no error, and never more is claimed.
#[test]
fn what_cannot_be_known_is_consistent_only() {
    let without = |bench: &Bench, what: &str, why: &str| {
        let (called, json) = verify(bench, "");
        let findings = &json["findings"];
        assert_eq!(
            (called.code, &findings["re_derived"], &findings["recomputed"]),
            (0, &0.into(), &false.into()),
            "{what}: {json:#}"
        );
        assert!(findings["consistent_only"].as_u64().unwrap() > 20, "{what}: {findings}");
        assert!(findings["why_not"].as_str().unwrap().contains(why), "{what}: {findings}");
        let text = bench.call("verify --db v.db");
        assert!(text.code == 0 && text.out.contains("consistent only: all "), "{what}: {text:?}");
    };
    let bench = log_of(1_500);
    std::fs::remove_dir_all(bench.path("v.db.rules")).unwrap();
    without(&bench, "no rules", "are not kept in");
    std::fs::remove_dir_all(bench.path("v.db.journal")).unwrap();
    without(&bench, "the log alone", "is not there");

    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "--no-journal e.jsonl");
    assert!(!bench.path("v.db.rules").exists());
    without(&bench, "no journal", "keeps no journal");

    // A run without one in between: what was counted before it is not known.
    let bench = log_of(1_000);
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "--no-journal e.jsonl");
    bench.write("e.jsonl", lines(&events(3_000)));
    bench.run("v.db", "e.jsonl");
    let (called, json) = verify(&bench, "");
    assert_eq!((called.code, json["findings"]["differ"].as_u64()), (0, Some(0)), "{json:#}");
    assert!(json["findings"]["consistent_only"].as_u64().unwrap() > 20, "{json:#}");
}

/// A rule that uses a text itself cannot be followed from a journal, which keeps none; delays are drawn from a secret.
#[test]
fn texts_and_secrets_are_not_claimed_to_be_known() {
    let bench = Bench::new();
    let text = std::fs::read_to_string(bench.path("rules/acme.tos")).unwrap();
    let more = r#"
rule one-prompt-again {
  enforces acme.terms.volume
  severity low
  mode     shadow
  on       completion
  per      account
  over     10m every 1m
  let      prompts = distinct(prompt)
  when     prompts >= 12
  because  "{prompts} prompts"
}

rule slowly {
  enforces acme.terms.volume
  severity low
  mode     shadow
  on       completion where max_tokens = -1
  action   delayed by up to 7d: flag account
  because  "a probe"
}
"#;
    bench.write("rules/acme.tos", format!("{text}{more}"));
    bench.write("secret", "0123456789abcdef0123456789abcdef");
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "--delay-secret-file secret e.jsonl");
    let (called, json) = verify(&bench, "");
    let findings = &json["findings"];
    assert_eq!(called.code, 0, "{json:#}");
    assert!(findings["but_for_delays"].as_u64().unwrap() > 0, "{findings:#}");
    let told = findings["told"].as_array().unwrap();
    assert!(!told.is_empty(), "{findings:#}");
    assert!(told.iter().all(|t| t["why"].as_str().unwrap().contains("the text of `prompt` itself")), "{told:?}");
}

/// What does not change from pack to pack takes no room again.
#[cfg(unix)]
#[test]
fn kept_packs_share_what_is_the_same() {
    use std::os::unix::fs::MetadataExt;
    let bench = log_of(200);
    let text = std::fs::read_to_string(bench.path("rules/acme.tos")).unwrap();
    bench.write("rules/other.tos", text.split("rule ").next().unwrap().replace("acme.terms", "acme.other"));
    bench.run("v.db", "--rules-changed keep e.jsonl");
    bench.write("rules/acme.tos", text.replace("share(refused)", "share(refused = true)"));
    bench.write("rules/acme.tos", text.replace("calls >= 5 and", "calls >= 6 and"));
    bench.run("v.db", "--rules-changed keep e.jsonl");
    let packs: Vec<_> = std::fs::read_dir(bench.path("v.db.rules")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(packs.len(), 3, "{packs:?}");
    let links = |file: &str| -> Vec<u64> {
        let there = packs.iter().filter_map(|p| p.join("rules").join(file).metadata().ok());
        there.map(|m| m.nlink()).collect()
    };
    assert_eq!(links("other.tos"), [2, 2]);
    let mut acme = links("acme.tos");
    acme.sort_unstable();
    assert_eq!(acme, [1, 2, 2]);
    assert_eq!(verify(&bench, "").0.code, 0);
}

/// What a commit seals comes out of the journal up to the position that it names.
#[test]
fn a_killed_run_is_derived_again_up_to_what_it_committed() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(4_000)));
    let mut child = bench
        .command("run --rules rules --db v.db --commit-every 50 -")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut pipe, lines(&events(4_000)).as_bytes()).unwrap();
    let found =
        || bench.call("verify --db v.db").out.lines().any(|l| l.starts_with("re-derived: ") && !l.contains(": 0 of"));
    let committed = || bench.path("v.db").exists() && found();
    let mut patience = 2_000;
    while !committed() && patience > 0 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        patience -= 1;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(all_again(&bench) > 0);
}
