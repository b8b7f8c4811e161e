use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::{Bench, Called, Dice, events, gzip, lines, shuffled};

#[test]
fn violations_are_found_and_the_books_balance() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(3_000)));
    let called = bench.run("v.db", "e.jsonl");
    assert_eq!(called.code, 1, "{called:?}");
    assert!(called.out.contains("received 3,000 = evaluated 3,000"), "{}", called.out);
    let export = bench.export("v.db");
    let expected = [
        "many-calls",
        "mostly-refused",
        "token-probe",
        "probe-out-of-nowhere",
        "refused-then-served",
        "refused-and-gone",
    ];
    for rule in expected {
        assert!(export.contains(&format!("\"rule\":\"{rule}\"")), "no violation of {rule}");
    }
    let first: Value = serde_json::from_str(export.lines().next().unwrap()).unwrap();
    for column in [
        "id",
        "rule",
        "policy",
        "clause",
        "severity",
        "mode",
        "status",
        "opened_at",
        "updated_at",
        "accounts",
        "group",
        "values",
        "because",
    ] {
        assert!(first.get(column).is_some(), "{column} is missing");
    }
}

#[test]
fn a_budget_silences_actions_and_no_record() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(3_000)));
    bench.run("v.db", "e.jsonl");
    let export = bench.export("v.db");
    let probes = export.lines().filter(|l| l.contains("\"rule\":\"token-probe\""));
    let states: Vec<bool> = probes.map(|l| l.contains("\"state\":\"proposed\"")).collect();
    assert!(states.len() > 10 && states.iter().take(5).all(|s| *s) && !states.iter().skip(5).any(|s| *s), "{states:?}");
    let withheld: Value =
        serde_json::from_str(export.lines().rfind(|l| l.contains("\"token-probe\"")).unwrap()).unwrap();
    assert_eq!(withheld["actions"][0]["why"], "budget");
    let shown = bench.call(&format!("violations show {} --db v.db", withheld["id"].as_str().unwrap()));
    assert!(shown.out.contains("Withheld: flag account; the rule's budget of the day was spent."), "{}", shown.out);
}

#[test]
fn a_delayed_action_needs_a_secret() {
    let bench = Bench::new();
    let rules = super::RULES.replace("action   flag account", "action   delayed by up to 6h: flag account");
    bench.write("rules/acme.tos", rules);
    bench.write("e.jsonl", lines(&events(500)));
    let without = bench.call("run --rules rules --db v.db e.jsonl");
    assert_eq!(without.code, 3, "{without:?}");
    assert!(without.err.contains("`token-probe`") && without.err.contains("--delay-secret-file"), "{}", without.err);
    bench.write("short", "too short\n");
    let short = bench.call("run --rules rules --db v.db --delay-secret-file short e.jsonl");
    assert!(short.code == 3 && short.err.contains("holds 9 bytes"), "{short:?}");

    bench.write("secret", "0123456789abcdef0123456789abcdef\n");
    bench.run("v.db", "--delay-secret-file secret e.jsonl");
    let export = bench.export("v.db");
    let probe: Value = serde_json::from_str(export.lines().find(|l| l.contains("\"token-probe\"")).unwrap()).unwrap();
    assert_eq!(probe["actions"][0]["action"], "delayed by up to 6h: flag account");
    let secret = fineprint::eval::Secret::new(b"0123456789abcdef0123456789abcdef").unwrap();
    let delay = secret.delay(probe["id"].as_str().unwrap(), fineprint::time::Duration::from_secs(6 * 3_600));
    assert_eq!(probe["actions"][0]["delay"], delay.to_string());

    // Another secret gives other records: the log is not continued unasked.
    bench.write("other", "another secret of some length");
    let other = bench.call("run --rules rules --db v.db --delay-secret-file other e.jsonl");
    assert!(other.code > 1 && other.err.contains("--rules-changed"), "{other:?}");
}

#[test]
fn a_second_run_adds_nothing() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(2_000)));
    bench.run("v.db", "e.jsonl");
    let (export, books) = (bench.export("v.db"), bench.books("v.db"));
    let again = bench.run("v.db", "e.jsonl");
    assert!(again.out.contains("nothing new"), "{}", again.out);
    assert_eq!(bench.export("v.db"), export);
    assert_eq!(bench.books("v.db"), books);
}

#[test]
fn a_run_tells_how_long_commits_kept_it() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(3_000)));
    let called = bench.run("v.db", "--format json --commit-every 500 e.jsonl");
    let summary: Value = serde_json::from_str(&called.out).unwrap();
    let number = |name: &str| summary[name].as_f64().unwrap();
    assert!(number("longest_pause_ms") > 0.0 && number("seconds_committing") > 0.0, "{summary}");
    assert!(number("longest_pause_ms") <= number("seconds") * 1e3, "{summary}");
}

#[test]
fn a_moved_file_adds_nothing() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "e.jsonl");
    let (export, books) = (bench.export("v.db"), bench.books("v.db"));
    std::fs::rename(bench.path("e.jsonl"), bench.path("moved.jsonl")).unwrap();
    bench.run("v.db", "moved.jsonl");
    assert_eq!(bench.export("v.db"), export);
    assert_eq!(bench.books("v.db"), books);
}

/// A file that was moved is held against the last sixteen inputs; one that is older counts as new, and its events are late.
#[test]
fn a_moved_file_is_known_among_the_last_inputs() {
    let bench = Bench::new();
    let all = events(17 * 40);
    for (i, part) in all.chunks(40).enumerate() {
        bench.write(&format!("{i:02}.jsonl"), lines(part));
        bench.run("v.db", &format!("{i:02}.jsonl"));
    }
    let received = |name: &str| {
        std::fs::rename(bench.path(&format!("{name}.jsonl")), bench.path(&format!("moved-{name}.jsonl"))).unwrap();
        bench.run("v.db", &format!("moved-{name}.jsonl"));
        bench.books("v.db")["received"].as_u64().unwrap()
    };
    assert_eq!(received("01"), 680);
    assert_eq!(received("00"), 720);
}

/// Findings that rest on the end of a file are taken back where the file's continuation does not bear them out.
#[test]
fn appended_input_equals_one_run_over_the_whole() {
    let bench = Bench::new();
    let ordered = (events(3_000), [1, 700, 1_999, 2_999]);
    let out_of_order = (shuffled(&events(2_000), 200), [400, 401, 777, 1_300]);
    for (order, (all, cuts)) in [("ordered", ordered), ("shuffled", out_of_order)] {
        let whole = format!("{order}.db");
        bench.write("whole.jsonl", lines(&all));
        bench.run(&whole, "whole.jsonl");
        for cut in cuts {
            let (db, file) = (format!("{order}-{cut}.db"), format!("{order}-{cut}.jsonl"));
            bench.write(&file, lines(&all[..cut]));
            bench.run(&db, &file);
            bench.write(&file, lines(&all));
            bench.run(&db, &file);
            assert_eq!(bench.export(&db), bench.export(&whole), "{order}, cut after {cut}");
            assert_eq!(bench.books(&db), bench.books(&whole), "{order}, cut after {cut}");
        }
    }
}

#[test]
fn order_within_the_lateness_never_shows() {
    let bench = Bench::new();
    let all = events(2_500);
    bench.write("a.jsonl", lines(&all));
    bench.write("b.jsonl", lines(&shuffled(&all, 290)));
    bench.run("a.db", "a.jsonl");
    bench.run("b.db", "b.jsonl");
    assert_eq!(bench.export("a.db"), bench.export("b.db"));
    assert_eq!(bench.books("b.db")["late"], 0);
}

#[test]
fn every_form_of_input_gives_the_same() {
    let bench = Bench::new();
    let all = events(1_200);
    let text = lines(&all);
    bench.write("plain.jsonl", &text);
    gzip(&bench.path("z.jsonl.gz"), &text);
    bench.write("z.jsonl.zst", zstd::encode_all(text.as_bytes(), 1).unwrap());
    bench.write("array.json", format!("[\n{}\n]", all.join(",\n")));
    bench.write("crlf.jsonl", text.replace('\n', "\r\n"));
    std::fs::create_dir(bench.path("parts")).unwrap();
    // Odd and even lines: only a merge by time puts them in order.
    for (name, parity) in [("parts/a.jsonl", 0), ("parts/b.jsonl", 1)] {
        let part: Vec<String> =
            all.iter().enumerate().filter(|(i, _)| i % 2 == parity).map(|(_, e)| e.clone()).collect();
        bench.write(name, lines(&part));
    }
    bench.run("plain.db", "plain.jsonl");
    let plain = bench.export("plain.db");
    for (db, input) in [
        ("gz.db", "z.jsonl.gz"),
        ("zst.db", "z.jsonl.zst"),
        ("array.db", "array.json"),
        ("crlf.db", "crlf.jsonl"),
        ("parts.db", "parts"),
    ] {
        bench.run(db, input);
        assert_eq!(bench.export(db), plain, "{input}");
        assert_eq!(bench.books(db)["evaluated"], 1_200, "{input}");
    }
}

#[test]
fn a_mapping_is_recognised_or_named() {
    let bench = Bench::new();
    let payloads = std::fs::read_to_string(crate::golden::data("feed/litellm.json")).unwrap();
    bench.write("litellm.json", payloads);
    bench.run("auto.db", "litellm.json");
    bench.run("named.db", "--mapping litellm litellm.json");
    let books = bench.books("auto.db");
    assert!(books["evaluated"].as_u64().unwrap() > 0, "{books}");
    assert_eq!(books, bench.books("named.db"));
    assert_eq!(bench.export("auto.db"), bench.export("named.db"));
    let refused = bench.call("run --rules rules --db auto.db --mapping litellm litellm.json");
    assert_eq!(refused.code, 3, "the mapping is part of the configuration: {refused:?}");
}

#[test]
fn standard_input_gives_the_same_where_it_is_flushed() {
    let bench = Bench::new();
    let text = lines(&events(1_200));
    bench.write("plain.jsonl", &text);
    bench.run("plain.db", "plain.jsonl");
    let piped = |db: &str, flags: &str| {
        let mut child = bench
            .command(&format!("run --rules rules --db {db} {flags} -"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Called::from(child.wait_with_output().unwrap())
    };
    let flushed = piped("flushed.db", "--flush-at-end");
    assert!(matches!(flushed.code, 0 | 1), "{flushed:?}");
    assert_eq!(bench.export("flushed.db"), bench.export("plain.db"));
    // A pipe may go on: what its end alone would decide stays undecided.
    piped("open.db", "");
    let (open, plain) = (bench.export("open.db"), bench.export("plain.db"));
    assert!(open.lines().count() <= plain.lines().count());
}

#[test]
fn without_a_database_violations_go_to_standard_output() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "e.jsonl");
    let called = bench.call("run --rules rules e.jsonl");
    assert_eq!(called.code, 1, "{called:?}");
    assert_eq!(called.out, bench.export("v.db"));
    assert!(called.err.contains("books"), "{}", called.err);
}

#[expect(clippy::disallowed_methods, reason = "kills are spread over the time that a run takes")]
#[test]
fn a_killed_run_goes_on_as_if_nothing_had_happened() {
    let bench = Bench::new();
    let mut all = events(60_000);
    all.iter_mut().step_by(50).for_each(|e| *e = "no JSON".to_string());
    bench.write("e.jsonl", lines(&all));
    let start = std::time::Instant::now();
    bench.run("whole.db", "--rejects whole.rejects e.jsonl");
    let whole_ms = start.elapsed().as_millis() as u64;
    let (export, books) = (bench.export("whole.db"), bench.books("whole.db"));
    let rejects = std::fs::read_to_string(bench.path("whole.rejects")).unwrap();
    assert_eq!(rejects.lines().count(), 1_200);
    let mut dice = Dice(4_711);
    for round in 0..4 {
        let db = format!("killed-{round}.db");
        for _ in 0..3 {
            let mut child = bench
                .command(&format!("run --rules rules --db {db} --rejects {db}.rejects --commit-every 4000 e.jsonl"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(20 + dice.roll(whole_ms.max(50))));
            let _ = child.kill();
            child.wait().unwrap();
        }
        bench.run(&db, &format!("--rejects {db}.rejects e.jsonl"));
        assert!(bench.export(&db) == export, "round {round}: another export");
        let file = std::fs::read_to_string(bench.path(&format!("{db}.rejects"))).unwrap();
        assert!(file == rejects, "round {round}: other refused lines");
        assert_eq!(bench.books(&db), books, "round {round}");
    }
}

/// What came out of a pipe is taken in and committed though nothing follows, and a request to end is heeded meanwhile.
#[cfg(unix)]
#[test]
fn a_pipe_that_falls_silent_delays_nothing() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(10)));
    // The log is there before, so that it can be read at any time.
    bench.run("v.db", "e.jsonl");
    let mut child = bench
        .command("run --rules rules --db v.db --commit-every 1 -")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(lines(&events(17)).as_bytes()).unwrap();
    pipe.flush().unwrap();
    let received = || bench.books("v.db")["received"].as_u64().unwrap();
    let patient = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        received() == 27
    });
    assert!(patient, "{} records are committed while the pipe is open", received());
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let called = Called::from(child.wait_with_output().unwrap());
    drop(pipe);
    assert!(matches!(called.code, 0 | 1), "{called:?}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_commits_and_goes_on() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(60_000)));
    bench.run("whole.db", "e.jsonl");
    let child = bench
        .command("run --rules rules --db v.db e.jsonl")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(150));
    let _ = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let called = Called::from(child.wait_with_output().unwrap());
    assert!(matches!(called.code, 0 | 1), "{called:?}");
    bench.run("v.db", "e.jsonl");
    assert_eq!(bench.export("v.db"), bench.export("whole.db"));
    assert_eq!(bench.books("v.db"), bench.books("whole.db"));
}

#[test]
fn changed_rules_are_refused_until_said_what_to_do() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "e.jsonl");
    let before = bench.export("v.db");
    bench.write("rules/acme.tos", super::RULES.replace("calls >= 20", "calls >= 12"));
    let refused = bench.call("run --rules rules --db v.db e.jsonl");
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("rules") && refused.err.contains("--rules-changed"), "{}", refused.err);
    assert_eq!(bench.export("v.db"), before);
    let kept = bench.call("run --rules rules --db v.db --rules-changed keep e.jsonl");
    assert!(matches!(kept.code, 0 | 1), "{kept:?}");
    assert_eq!(bench.export("v.db"), before, "consumed input is not read again");
    bench.write("rules/acme.tos", super::RULES.replace("calls >= 20", "calls >= 8"));
    let reset = bench.call("run --rules rules --db v.db --rules-changed reset e.jsonl");
    assert!(matches!(reset.code, 0 | 1), "{reset:?}");
    let after = bench.export("v.db");
    assert!(before.lines().all(|l| after.contains(l)), "records stay");
    assert!(after.lines().count() > before.lines().count(), "inputs are read again");
    assert_eq!(bench.books("v.db")["received"], 1_500);
}

#[test]
fn changed_options_are_refused() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(500)));
    bench.run("v.db", "e.jsonl");
    let refused = bench.call("run --rules rules --db v.db --lateness 10m e.jsonl");
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("configuration"), "{}", refused.err);
}

#[test]
fn what_goes_for_want_of_room_is_told() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(2_000)));
    let lost = |budget: &str| {
        let told = bench.call(&format!("run --rules rules --state-budget {budget} --format json e.jsonl"));
        let summary: serde_json::Value = serde_json::from_str(&told.err[told.err.find('{').unwrap()..]).unwrap();
        summary["groups_lost"].as_array().unwrap().iter().map(|r| r["groups"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(lost("1GiB"), 0);
    assert!(lost("0") > 0);
    let text = bench.call("run --rules rules --state-budget 0 e.jsonl");
    assert!(text.err.contains("went for want of room (`--state-budget`)"), "{}", text.err);
}

#[test]
fn a_changed_input_is_refused() {
    let bench = Bench::new();
    let mut all = events(800);
    bench.write("e.jsonl", lines(&all));
    bench.run("v.db", "e.jsonl");
    let before = bench.export("v.db");
    all[10] = all[10].replace("acct_", "acct_x");
    bench.write("e.jsonl", lines(&all));
    let changed = bench.call("run --rules rules --db v.db e.jsonl");
    assert_eq!(changed.code, 3, "{changed:?}");
    assert!(changed.err.contains("has changed"), "{}", changed.err);
    bench.write("e.jsonl", lines(&all[..400]));
    let shorter = bench.call("run --rules rules --db v.db e.jsonl");
    assert_eq!(shorter.code, 3, "{shorter:?}");
    assert_eq!(bench.export("v.db"), before);
}

#[test]
fn refused_records_are_counted_and_can_be_looked_at() {
    let bench = Bench::new();
    let mut all = events(300);
    all[7] = "this is no JSON".to_string();
    all[20] = all[20].replace("\"id\":\"ev_000020\",", "");
    all[30] = all[30].replace("\"status\":200", "\"status\":\"two hundred\"");
    all[40] = all[40].replace("\"account\":\"", "\"id\":\"twice\",\"account\":\"");
    bench.write("e.jsonl", lines(&all));
    let called = bench.run("v.db", "--rejects r.jsonl e.jsonl");
    assert!(called.out.contains("rejected 4"), "{}", called.out);
    let books = bench.books("v.db");
    assert_eq!(books["received"], 300);
    assert_eq!(books["evaluated"], 296);
    let listed = bench.call("rejects --db v.db --format json");
    let rejects: Vec<Value> = listed.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let found: Vec<(u64, &str)> =
        rejects.iter().map(|r| (r["line"].as_u64().unwrap(), r["reason"].as_str().unwrap())).collect();
    assert_eq!(found, [(8, "syntax"), (21, "missing_field"), (31, "wrong_type"), (41, "duplicate_key")]);
    let file = std::fs::read_to_string(bench.path("r.jsonl")).unwrap();
    assert_eq!(file, listed.out);
    assert!(!file.contains("this is no JSON"), "what a record said is not kept");
}

/// Who has the log does not have the secret with it; who has lost it is told before anything is written.
#[test]
fn a_journal_keeps_its_salt_beside_it() {
    let bench = Bench::new();
    let all = events(600);
    bench.write("e.jsonl", lines(&all[..300]));
    bench.run("v.db", "e.jsonl");
    let salt = std::fs::read_to_string(bench.path("v.db.journal.salt")).unwrap();
    assert!(salt.len() == 65 && salt.trim_end().bytes().all(|b| b.is_ascii_hexdigit()), "{salt}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(bench.path("v.db.journal.salt")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    bench.run("other.db", "e.jsonl");
    assert_ne!(std::fs::read_to_string(bench.path("other.db.journal.salt")).unwrap(), salt);
    bench.write("e.jsonl", lines(&all));
    for lost in [None, Some("5a5a")] {
        std::fs::remove_file(bench.path("v.db.journal.salt")).unwrap();
        if let Some(text) = lost {
            bench.write("v.db.journal.salt", text);
        }
        let called = bench.call("run --rules rules --db v.db e.jsonl");
        assert_eq!(called.code, 3, "{called:?}");
        assert!(called.err.contains("v.db.journal.salt") && called.err.contains("restore"), "{}", called.err);
        bench.write("v.db.journal.salt", &salt);
    }
    bench.run("v.db", "e.jsonl");
    assert_eq!(std::fs::read_to_string(bench.path("v.db.journal.salt")).unwrap(), salt);
    bench.run("whole.db", "e.jsonl");
    assert_eq!(bench.export("v.db"), bench.export("whole.db"));
    assert!(!bench.export("v.db").contains(salt.trim_end()));
}

/// What others wrote to the file stays, also what they wrote since the last run; a second run adds nothing.
#[test]
fn a_reject_file_is_appended_to() {
    let bench = Bench::new();
    let mut all = events(900);
    all.iter_mut().step_by(100).for_each(|e| *e = "no JSON".to_string());
    let again = all[895].replace("\"status\":200", "\"status\":201");
    all.push(again);
    let text = lines(&all);
    bench.write("r", "of another log\n");
    let rest = text.match_indices('\n').nth(449).unwrap().0 + 1;
    bench.write("e.jsonl", &text[..rest]);
    bench.run("v.db", "--rejects r e.jsonl");
    let half = std::fs::read_to_string(bench.path("r")).unwrap();
    assert!(half.starts_with("of another log\n") && half.lines().count() == 6, "{half}");
    bench.write("r", format!("{half}of a third\n"));
    bench.write("e.jsonl", &text);
    bench.run("v.db", "--rejects r e.jsonl");
    let whole = std::fs::read_to_string(bench.path("r")).unwrap();
    assert!(whole.starts_with(&format!("{half}of a third\n")), "{whole}");
    assert_eq!(whole.lines().count(), 6 + 1 + 5, "{whole}");
    bench.run("v.db", "--rejects r e.jsonl");
    assert_eq!(std::fs::read_to_string(bench.path("r")).unwrap(), whole);
}

#[test]
fn duplicates_and_conflicts_are_told_apart() {
    let bench = Bench::new();
    let all = events(200);
    let mut twice = Vec::new();
    for (i, e) in all.iter().enumerate() {
        twice.push(e.clone());
        if i % 10 == 0 {
            twice.push(e.clone());
        }
        if i % 50 == 0 {
            twice.push(e.replace("\"status\":200", "\"status\":201"));
        }
    }
    bench.write("e.jsonl", lines(&twice));
    bench.run("v.db", "e.jsonl");
    let books = bench.books("v.db");
    assert_eq!((&books["received"], &books["evaluated"]), (&Value::from(224), &Value::from(200)), "{books}");
    assert_eq!(books["duplicate"], 20, "{books}");
    assert_eq!(books["rejected.conflicting_duplicate"], 4, "{books}");
}
