//! Dates of clauses and exceptions, for the day that is named or for today.

use super::{Bench, RULES, events, lines};

/// The rules with a clause that ended in 2021 and exceptions that end in February 2090 and never.
fn dated() -> String {
    let rules = RULES.replacen("  clause volume", "  effective 2020-09-15 until 2021-06-01\n  clause volume", 1);
    let except = "except events where account = \"acct_7\"\n    because \"contract 17\" owner \"partner desk\" until 2090-02-10\n  because  \"{refusals}";
    rules.replacen("because  \"{refusals}", except, 1)
}

#[test]
fn dates_are_judged_for_the_day_that_is_named() {
    let bench = Bench::new();
    bench.write("rules/acme.tos", dated());
    bench.write("e.jsonl", lines(&events(300)));
    for (day, codes) in [
        ("2021-05-31", vec![]),
        ("2021-06-01", vec!["TOS0604"]),
        ("2090-01-10", vec!["TOS0604"]),
        ("2090-01-11", vec!["TOS0604", "TOS0903"]),
        ("2090-03-01T12:00:00Z", vec!["TOS0604", "TOS0903"]),
    ] {
        for (words, code) in [
            (format!("check rules --as-of {day}"), 0),
            (format!("check rules --as-of {day} --format json"), 0),
            (format!("run --rules rules --exit-zero --as-of {day} e.jsonl"), 0),
        ] {
            let called = bench.call(&words);
            assert_eq!(called.code, code, "{words}: {called:?}");
            let said = format!("{}{}", called.out, called.err);
            for known in ["TOS0604", "TOS0903"] {
                assert_eq!(said.contains(known), codes.contains(&known), "{words}: {known}: {said}");
            }
        }
    }
    let wrong = bench.call("check rules --as-of soon");
    assert_eq!(wrong.code, 3);
    assert!(wrong.err.contains("2026-03-02"), "{}", wrong.err);
}

/// Both dates lie far enough on either side that today is between them, whenever this is run.
#[test]
fn without_a_day_it_is_today() {
    let bench = Bench::new();
    bench.write("rules/acme.tos", dated());
    bench.write("e.jsonl", lines(&events(300)));
    for words in ["check rules", "run --rules rules --exit-zero e.jsonl"] {
        let called = bench.call(words);
        assert_eq!(called.code, 0, "{called:?}");
        assert!(called.err.contains("TOS0604") && !called.err.contains("TOS0903"), "{words}: {}", called.err);
    }
    // What is found does not depend on the day.
    let named = bench.call("run --rules rules --as-of 2090-03-01 e.jsonl");
    assert!(named.err.contains("TOS0903") && !named.out.is_empty(), "{named:?}");
    assert!(bench.call("run --rules rules e.jsonl").out == named.out);
}
