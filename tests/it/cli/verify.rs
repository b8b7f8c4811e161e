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
