use super::{Bench, Called, events, lines};

fn found() -> Bench {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "e.jsonl");
    bench
}

fn call(bench: &Bench, words: &str) -> Called {
    bench.call(words)
}

#[test]
fn a_log_is_verified_and_an_altered_one_is_told() {
    let bench = found();
    let key = call(&bench, "log key --db v.db").out.trim().to_string();
    bench.write("key.txt", &key);
    bench.write("kept.txt", call(&bench, "log checkpoint --db v.db").out);
    let holds = call(&bench, &format!("verify --db v.db --key {key} --anchor kept.txt"));
    assert_eq!(holds.code, 0, "{holds:?}");
    assert!(holds.out.starts_with("holds: ") && holds.out.contains("grew out of: kept.txt"), "{holds:?}");
    assert!(!holds.out.contains("note:"), "{holds:?}");
    let json = call(&bench, "verify --db v.db --key key.txt --format json");
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&json["holds"], &json["problems_total"], &json["key_given"]), (&true.into(), &0.into(), &true.into()));

    let alone = call(&bench, "verify --db v.db");
    assert!(alone.code == 0 && alone.out.matches("note:").count() == 2, "{alone:?}");

    // A new key, and a checkpoint of before.
    let rotated = call(&bench, "log rotate --db v.db");
    assert!(rotated.code == 0 && rotated.out.trim() != key && rotated.err.is_empty(), "{rotated:?}");
    assert_eq!(call(&bench, "log key --db v.db").out, format!("{key}\n{}", rotated.out));
    assert_eq!(call(&bench, "verify --db v.db --anchor kept.txt").code, 0);

    let bytes = std::fs::read(bench.path("v.db")).unwrap();
    // Pages that are free hold what stood there before, so every place is altered.
    let mut altered = bytes.clone();
    for at in bytes.windows(9).enumerate().filter(|(_, w)| w == b"\"because\"").map(|(at, _)| at + 12) {
        altered[at] ^= 1;
    }
    std::fs::write(bench.path("v.db"), altered).unwrap();
    let told = call(&bench, "verify --db v.db");
    assert_eq!(told.code, 1, "{told:?}");
    assert!(
        told.out.starts_with("violation ") && told.out.contains("its record is not the one that entry"),
        "{told:?}"
    );
    assert!(told.out.contains("does NOT hold: "), "{told:?}");
}

#[test]
fn wrong_keys_and_anchors_say_what_to_give() {
    let bench = found();
    bench.write("nothing.txt", "nothing");
    let cases = [
        ("verify --db v.db --key nonsense", "neither a public key", "fineprint log key"),
        ("verify --db v.db --key nothing.txt", "`nothing.txt` holds no public key", "name+hash+base64"),
        ("verify --db v.db --anchor nothing.txt", "`nothing.txt` holds no checkpoint", "an empty line and signatures"),
        ("verify --db v.db --anchor missing.txt", "cannot read the checkpoint `missing.txt`", "No such file"),
        ("verify --db missing.db", "there is no violation log", "`run --db`"),
        ("log checkpoint --db missing.db", "there is no violation log", "`run --db`"),
        ("log rotate --db missing.db", "there is no violation log", "`run --db`"),
    ];
    for (words, what, instead) in cases {
        let called = call(&bench, words);
        assert_eq!(called.code, 3, "{words}: {called:?}");
        assert!(called.err.contains(what) && called.err.contains(instead), "{words}: {called:?}");
    }
    assert!(!bench.path("missing.db").exists());
}

/// Each commit is told: appended to a file, and read by a command.
#[test]
fn checkpoints_are_brought_elsewhere_as_they_are_made() {
    let bench = Bench::new();
    let all = events(3_000);
    for n in [1_000, 2_000, 3_000] {
        bench.write("e.jsonl", lines(&all[..n]));
        let flags = "--checkpoint-file kept.txt --checkpoint-command 'cat >> piped.txt' --commit-every 200 e.jsonl";
        let script = format!("exec {} run --rules rules --db v.db {flags}", env!("CARGO_BIN_EXE_fineprint"));
        let ran = std::process::Command::new("sh").args(["-c", &script]).current_dir(bench.path(".")).output().unwrap();
        let ran = Called::from(ran);
        assert!(ran.code == 1 && !ran.err.contains("warning: "), "{ran:?}");
    }
    let kept = std::fs::read_to_string(bench.path("kept.txt")).unwrap();
    let n = kept.matches("\n\n\u{2014} fineprint.log/").count();
    assert!(n >= 3, "{kept}");
    assert_eq!(std::fs::read_to_string(bench.path("piped.txt")).unwrap(), kept);
    let held = call(&bench, "verify --db v.db --anchor kept.txt --anchor piped.txt");
    assert!(held.code == 0 && held.out.contains(&format!("grew out of: kept.txt ({n} checkpoints)")), "{held:?}");

    // A log that was rolled back is found by any of them, and what a power cut left half at the end of the file is cut off.
    bench.write("kept.txt", format!("{kept}fineprint.log/ab\n17"));
    let half = call(&bench, "verify --db v.db --anchor kept.txt");
    assert!(half.code == 3 && half.err.contains("`kept.txt` holds no checkpoint"), "{half:?}");
    std::fs::remove_file(bench.path("v.db")).unwrap();
    bench.write("e.jsonl", lines(&all[..1_000]));
    bench.call("run --rules rules --db v.db --no-journal --checkpoint-file kept.txt e.jsonl");
    let rolled_back = call(&bench, "verify --db v.db --anchor kept.txt");
    assert!(rolled_back.code == 1 && rolled_back.out.contains("it was rolled back"), "{rolled_back:?}");

    bench.write("notes.txt", "what to buy\n");
    let other = bench.call("run --rules rules --db other.db --checkpoint-file notes.txt e.jsonl");
    assert!(other.code == 3 && other.err.contains("there is something else in it"), "{other:?}");
    assert!(!bench.path("other.db").exists());
    assert_eq!(std::fs::read_to_string(bench.path("notes.txt")).unwrap(), "what to buy\n");
}

#[test]
fn a_place_that_takes_no_checkpoint_stops_nothing_and_is_told() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("whole.db", "e.jsonl");
    let script = format!(
        "exec {} run --rules rules --db v.db --checkpoint-command 'echo no room >&2; exit 7' e.jsonl",
        env!("CARGO_BIN_EXE_fineprint")
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).env("FINEPRINT_LOG", "warn").current_dir(bench.path("."));
    let ran = Called::from(shell.output().unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("checkpoints were not brought to their places") && ran.err.contains("no room"), "{ran:?}");
    assert_eq!(bench.export("v.db"), bench.export("whole.db"));
}

#[test]
fn several_logs_are_verified_at_once_and_the_worst_counts() {
    let bench = found();
    std::fs::copy(bench.path("v.db"), bench.path("w.db")).unwrap();
    let both = call(&bench, "verify --db v.db --db w.db --format json");
    assert_eq!((both.code, both.out.lines().count()), (0, 2), "{both:?}");
    bench.write("bad.db", "no log");
    let all = call(&bench, "verify --db v.db --db bad.db --db w.db");
    assert_eq!(all.code, 3, "{all:?}");
    assert!(all.out.contains("bad.db:\ncannot be verified: ") && all.out.matches("holds: ").count() == 2, "{all:?}");
}

#[test]
fn a_witness_is_held_to_what_was_kept() {
    use fineprint::seal::{Note, Signer};
    let bench = found();
    let witness = Signer::witness("witness.example/w1", &[7; 32]).unwrap();
    let key = witness.verifier().to_string();
    let mut note = Note::parse(&call(&bench, "log checkpoint --db v.db").out).unwrap();
    bench.write("kept.txt", note.to_string());
    let without = call(&bench, &format!("verify --db v.db --anchor kept.txt --witness {key}"));
    assert!(without.code == 1 && without.out.contains("has signed none of the checkpoints"), "{without:?}");
    note.cosign(&witness, 1_772_409_607);
    bench.write("kept.txt", note.to_string());
    let with = call(&bench, &format!("verify --db v.db --anchor kept.txt --witness {key}"));
    assert!(with.code == 0 && with.out.contains(" at 2026-03-02T00:00:07.000Z by witness.example/w1+"), "{with:?}");
    let as_key = call(&bench, &format!("verify --db v.db --key {key}"));
    assert!(as_key.code == 3 && as_key.err.contains("name it with `--witness`"), "{as_key:?}");
}
