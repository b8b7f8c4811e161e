use std::collections::BTreeSet;

use super::Bench;

#[test]
fn wrong_wishes_are_told_what_to_write_instead() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("full")).unwrap();
    bench.write("full/note.txt", "mine");
    for (words, says) in [
        ("simulate --out o", "--benign all"),
        ("simulate --benign F1", "--out"),
        ("simulate --benign F77 --out o", "F1, F2"),
        ("simulate --campaign hydro --out o", "hydra-residential"),
        ("simulate --benign F1 --rate-factor 2 --out o", "`--rate-factor`"),
        ("simulate --benign F1 --rotate-links --out o", "--campaign NAME"),
        ("simulate --campaign hydra --rate-factor 0 --out o", "0.5"),
        ("simulate --campaign hydra --substitute 101 --out o", "0..=100"),
        ("simulate --campaign hydra --accounts 0 --out o", "--accounts 1"),
        ("simulate --campaign hydra --accounts 99999999 --out o", "2,000,000"),
        ("simulate --benign F1 --start yesterday --out o", "2026-06-01"),
        ("simulate --benign F1 --days 0 --out o", "1..=3650"),
        ("simulate --benign F1 --out full", "--force"),
    ] {
        let called = bench.call(words);
        assert_eq!(called.code, 3, "{words}: {called:?}");
        assert!(called.err.contains(says), "{words}: {}", called.err);
        assert!(!bench.path("o").exists(), "{words}");
    }
}

#[test]
fn everything_that_is_listed_can_be_asked_for() {
    let bench = Bench::new();
    let called = bench.call("simulate --list");
    assert_eq!(called.code, 0, "{called:?}");
    let names = |flag: &str| -> Vec<String> {
        let lines = called.out.lines().filter(|l| l.starts_with(flag));
        lines.map(|l| l.split_whitespace().nth(1).unwrap().to_string()).collect()
    };
    let (benign, campaigns) = (names("--benign"), names("--campaign"));
    assert!(benign.len() == 19 && campaigns.len() >= 13, "{}", called.out);
    let words = format!(
        "simulate --benign {} --campaign {} --accounts 1 --background 5 --days 1 --out o",
        benign.join(",").to_lowercase(),
        campaigns.join(",")
    );
    let called = bench.call(&words);
    assert_eq!(called.code, 0, "{called:?}");
    for name in benign.iter().chain(&campaigns) {
        assert!(called.out.contains(name.as_str()), "{name}: {}", called.out);
    }
    // Everything stands where the summary says, and the labels speak of accounts of the registry alone.
    let read = |name: &str| std::fs::read_to_string(bench.path("o").join(name)).unwrap();
    let registry = read("accounts.jsonl");
    let known: BTreeSet<&str> = registry.lines().map(|l| l.split('"').nth(3).unwrap()).collect();
    let labels = read("labels_accounts.csv");
    assert!(labels.lines().skip(1).count() > 100);
    assert!(labels.lines().skip(1).all(|l| known.contains(l.split(',').next().unwrap())));
    assert!(read("labels_events.csv").lines().count() > 500 && read("campaigns.json").contains("\"planned_events\""));
    for list in ["vpn_cidrs.txt", "datacenter_cidrs.csv", "declared_gateways.txt", "permitted_orgs.csv"] {
        assert!(read(&format!("lists/{list}")).lines().count() >= 1, "{list}");
    }
}

#[test]
fn the_same_flags_give_the_same_bytes_and_a_run_takes_them_all() {
    let bench = Bench::new();
    let flags = "simulate --campaign hydra --accounts 8 --substitute 20 --rotate-links --background 20 --days 2";
    for words in [format!("{flags} --out a"), format!("{flags} --out b --seed 1"), format!("{flags} --out c --seed 2")]
    {
        assert_eq!(bench.call(&words).code, 0, "{words}");
    }
    let bytes = |name: &str| std::fs::read(bench.path(name)).unwrap();
    for name in ["events.jsonl", "accounts.jsonl", "labels_accounts.csv", "labels_events.csv", "campaigns.json"] {
        assert!(bytes(&format!("a/{name}")) == bytes(&format!("b/{name}")), "{name}");
        assert!(bytes(&format!("a/{name}")) != bytes(&format!("c/{name}")), "{name}");
    }
    let run = bench
        .call("run --exit-zero --rules rules --accounts a/accounts.jsonl --lists a/lists --format json a/events.jsonl");
    assert_eq!(run.code, 0, "{run:?}");
    let n = bytes("a/events.jsonl").iter().filter(|b| **b == b'\n').count();
    assert!(run.err.contains(&format!("\"evaluated\":{n},")), "{}", run.err);
    // What is there is replaced, where that is wished.
    assert_eq!(bench.call(&format!("{flags} --out c --force")).code, 0);
    assert!(bytes("a/events.jsonl") == bytes("c/events.jsonl"));
}
