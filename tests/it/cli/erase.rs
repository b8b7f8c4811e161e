use std::collections::BTreeSet;
use std::path::Path;

use fineprint::eval::Erased;
use fineprint::journal;
use serde_json::Value;

use super::{Bench, Called, RULES, events, lines};
use crate::privacy::{Canaries, Leak};

/// A rule whose group is many accounts, beside those of one.
const TOGETHER: &str = r#"
rule crowd {
  enforces acme.terms.volume
  severity high
  mode     shadow

  on       completion
  over     30m every 10m
  let      accounts = distinct(account)
  let      first_of = first(account)
  when     accounts >= 10
  because  "{accounts} accounts, {first_of} first"

  test "fires" {
    given 12 accounts sending 2 completions each every 60s { status: 200 }
    expect violation
  }
  test "silent" {
    given 2 accounts sending 2 completions each every 60s { status: 200 }
    expect nothing
  }
}
"#;

/// The account of which the events speak often.
const ACCOUNT: &str = "acct_mallory_7f3a";

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("rules/acme.tos", format!("{RULES}{TOGETHER}"));
    bench
}

fn named(n: u64) -> Vec<String> {
    events(n).iter().map(|e| e.replace("\"acct_1\"", &format!("\"{ACCOUNT}\""))).collect()
}

fn erase(bench: &Bench, more: &str) -> Called {
    bench.call(&format!("erase --db v.db --account {ACCOUNT} --by DPO --reason request-2026-17 {more}"))
}

fn leaks(bench: &Bench, is_input: &dyn Fn(&Path) -> bool) -> BTreeSet<Leak> {
    let mut leaks = BTreeSet::new();
    let n = Canaries::of(vec![ACCOUNT.to_string()]).look_in(bench.dir.path(), is_input, &mut leaks);
    assert!(n > 3);
    leaks
}

fn is_input(name: &Path) -> bool {
    name.extension().is_some_and(|e| e == "jsonl")
}

fn markers(bench: &Bench) -> (u64, u64) {
    let records = journal::read(&bench.path("v.db.journal"), None).unwrap().map(|p| p.unwrap().record);
    let records = records.filter(|r| Erased::read(r).is_some() || !fineprint::runtime::live::is_entry(r));
    records.fold((0, 0), |(markers, all), r| (markers + u64::from(Erased::read(&r).is_some()), all + 1))
}

#[test]
fn an_account_that_is_erased_is_nowhere_and_the_log_still_holds() {
    let bench = bench();
    let all = named(3_000);
    bench.write("a.jsonl", lines(&all[..2_000]));
    bench.run("v.db", "a.jsonl");
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_string();
    let before = bench.export("v.db");
    let probe =
        before.lines().find(|l| l.contains(ACCOUNT) && l.contains("mostly-refused")).map(id).expect("a finding");
    let reason = format!("{ACCOUNT} sent it");
    let mut decide = bench.command(&format!("violations decide {probe} --db v.db --as confirmed --by Ann"));
    assert_eq!(Called::from(decide.args(["--reason", &reason]).output().unwrap()).code, 0);
    bench.write("kept.jsonl", bench.call("log checkpoint --db v.db").out);
    assert!(!leaks(&bench, &is_input).is_empty());

    let dry = erase(&bench, "--dry-run");
    assert!(dry.code == 0 && dry.out.starts_with("would erase, as erasure 1"), "{dry:?}");
    assert_eq!(bench.export("v.db"), before);
    assert_eq!(markers(&bench).0, 0);

    let erased = erase(&bench, "--format json");
    assert_eq!(erased.code, 0, "{erased:?}");
    let told: Value = serde_json::from_str(&erased.out).unwrap();
    let of = all[..2_000].iter().filter(|e| e.contains(ACCOUNT)).count() as u64;
    assert_eq!((told["events"].as_u64(), told["decisions"].as_u64()), (Some(of), Some(1)), "{told}");
    assert_eq!(markers(&bench), (of, 2_000));
    assert_eq!(leaks(&bench, &is_input), BTreeSet::new());

    // Nothing else has changed: the same findings, of the same others.
    let after = bench.export("v.db");
    assert_eq!(after.lines().map(id).collect::<Vec<_>>(), before.lines().map(id).collect::<Vec<_>>());
    for (a, b) in after.lines().zip(before.lines()) {
        let (a, b): (Value, Value) = (serde_json::from_str(a).unwrap(), serde_json::from_str(b).unwrap());
        if !b["accounts"].as_array().unwrap().contains(&ACCOUNT.into()) {
            assert_eq!(a, b);
            continue;
        }
        assert_eq!(a["erased"], serde_json::json!([1]));
        assert_eq!(
            (&a["rule"], &a["opened_at"], &a["evidence"]["root"]),
            (&b["rule"], &b["opened_at"], &b["evidence"]["root"])
        );
        let names = |v: &Value| -> BTreeSet<String> {
            v["accounts"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().replace(ACCOUNT, "erased:1")).collect()
        };
        assert_eq!(names(&a), names(&b), "the others stay shown");
    }
    let shown = bench.call(&format!("violations show {probe} --db v.db"));
    assert!(shown.code == 0 && shown.out.contains("erased:1 sent it"), "{shown:?}");
    let explained = bench.call(&format!("explain {probe} --db v.db"));
    assert!(explained.code != 101, "{explained:?}");

    let verified = bench.call("verify --db v.db --anchor kept.jsonl");
    assert!(
        verified.code == 0 && verified.out.contains("erasure 1 on ") && verified.out.contains("by DPO"),
        "{verified:?}"
    );
    let python = std::process::Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/verify/verify_log.py"))
        .arg(bench.path("v.db"))
        .output()
        .unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stdout));
    // Who has the salt can show which account it was, and only who has it.
    let salt = told["receipt"]["salt"].as_str().unwrap();
    let salt: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&salt[2 * i..2 * i + 2], 16).unwrap()).collect();
    let hash = fineprint::store::account_hash(&salt.try_into().unwrap(), ACCOUNT);
    assert_eq!(told["receipt"]["account"], hash.as_str());

    // The run goes on with a state that does not know the name.
    let others: Vec<String> = all[2_000..].iter().filter(|e| !e.contains(ACCOUNT)).cloned().collect();
    bench.write("a.jsonl", lines(&all[..2_000]) + &lines(&others));
    bench.run("v.db", "a.jsonl");
    assert_eq!(leaks(&bench, &is_input), BTreeSet::new());
    assert_eq!(bench.call("verify --db v.db").code, 0);
    // As if the account had been called so all along.
    let other = super::erase::bench();
    let renamed = |e: &String| e.replace(ACCOUNT, "erased:1");
    other.write("a.jsonl", lines(&all[..2_000].iter().map(renamed).collect::<Vec<_>>()) + &lines(&others));
    other.run("v.db", "a.jsonl");
    let counted = |export: String| -> Vec<(String, Value, usize)> {
        let mut all: Vec<_> = export
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap())
            .filter(|v| v["rule"] == "crowd")
            .map(|v| {
                (v["opened_at"].to_string(), v["values"]["accounts"].clone(), v["accounts"].as_array().unwrap().len())
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    assert_eq!(counted(bench.export("v.db")), counted(other.export("v.db")));
}

#[test]
fn wrong_calls_of_erase_say_what_to_give() {
    let bench = bench();
    bench.write("a.jsonl", lines(&named(800)));
    bench.run("v.db", "a.jsonl");
    for (words, says) in [
        ("erase --db v.db", "--account"),
        ("erase --db none.db --account a --by b --reason c", "there is no violation log"),
        ("erase --db v.db --account acct_2 --by acct_2 --reason c", "names the account"),
        ("erase --db v.db --account acct_2 --by b --reason c --journal nowhere", "there is none at `nowhere`"),
        ("erase --db v.db --account nobody-here --by b --reason c", "write its id as events have it"),
    ] {
        let called = bench.call(words);
        assert!(called.code == 3 && called.err.contains(says), "{words}: {called:?}");
    }
    assert_eq!(bench.call("verify --db v.db").code, 0);
    assert_eq!(bench.call("erase --db v.db --finish").err.trim(), "nothing was left to be done");
}

/// A mistyped id erases nothing, and no entry says that anybody was forgotten.
#[test]
fn an_account_that_is_nowhere_is_refused() {
    let bench = bench();
    bench.write("a.jsonl", lines(&named(500)));
    bench.run("v.db", "a.jsonl");
    let before = bench.call("log checkpoint --db v.db").out;
    let refused = bench.call("erase --db v.db --account mallroy --by DPO --reason request");
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("names the account") && refused.err.contains("as events have it"), "{refused:?}");
    assert_eq!(bench.call("log checkpoint --db v.db").out, before);
    let dry = bench.call("erase --db v.db --account mallroy --by DPO --reason request --dry-run");
    assert!(dry.code == 0 && dry.out.contains("nothing of the log names it"), "{dry:?}");
    assert_eq!(bench.call("verify --db v.db").code, 0);
}
