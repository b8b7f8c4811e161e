//! Retention of the journal through a run: with segments of 64 MiB as the command has them it takes gigabytes to see, so
//! these call the run itself with small ones.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use fineprint::journal::{Journal, JournalOptions, Position, read};
use fineprint::pack::{PackOptions, load};
use fineprint::runtime::live::KeptPacks;
use fineprint::runtime::{CheckpointOptions, Outputs, RunOptions, Sink, SqliteSink, expand, run};
use fineprint::store::{Pinned, Pins, RulesChanged};
use fineprint::time::{Duration, Timestamp};

use super::{Bench, events, lines};

const SMALL: JournalOptions = JournalOptions { level: 1, segment_bytes: 6_000 };
/// Twice the longest window and its step.
const KEPT: Duration = Duration(22 * 60 * 1_000_000_000);

/// A run into a log with small segments; returns the position that it committed.
fn run_once(bench: &Bench, db: &str) -> Position {
    let (rules, file, db) = (bench.path("rules"), bench.path("e.jsonl"), bench.path(db));
    let pack_options = PackOptions {
        rules: &rules,
        lists: None,
        accounts: None,
        as_of: None,
        fingerprint_key: fineprint::template::FingerprintKey::PUBLIC,
    };
    let pack = load(&pack_options).unwrap();
    KeptPacks::new(db.with_extension("db.rules"), pack_options.fingerprint_key).keep(&pack, &pack_options).unwrap();
    let checkpoint = CheckpointOptions { events: 500, cost_percent_max: 99, ..CheckpointOptions::default() };
    let options = RunOptions { checkpoint, ..RunOptions::default() };
    let mut sink = SqliteSink::open(&db).unwrap();
    let pins = Pins { rules: pack.pins.rules, lists: pack.pins.lists, registry: pack.pins.registry, ..Pins::default() };
    sink.pin(&pins, RulesChanged::Refuse).unwrap();
    let before = committed(&mut sink);
    let journal = Journal::open(&journal_of(&db), SMALL, &before).unwrap();
    let pinned = if before == Position::START { Pinned::First } else { Pinned::Same };
    let outputs = Outputs { sink: &mut sink, journal: Some(journal), rejects: None };
    let inputs = expand(&[file]).unwrap();
    run(&pack.rules.unwrap(), &options, inputs, pinned, outputs, &AtomicBool::new(false), &mut |_| ()).unwrap();
    let after = committed(&mut sink);
    sink.close().unwrap();
    after
}

fn committed(sink: &mut SqliteSink) -> Position {
    let journal = sink.resume().unwrap().and_then(|r| r.standing.journal);
    journal.map_or(Position::START, |text| text.parse().unwrap())
}

fn journal_of(db: &Path) -> std::path::PathBuf {
    db.with_extension("db.journal")
}

fn ts(event: &str) -> Timestamp {
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    Timestamp::parse_rfc3339(event["ts"].as_str().unwrap()).unwrap()
}

#[test]
fn a_run_drops_what_no_window_reaches_and_goes_on_from_what_is_left() {
    let bench = Bench::new();
    let all = events(6_000);
    bench.write("e.jsonl", lines(&all[..3_500]));
    run_once(&bench, "v.db");
    bench.write("e.jsonl", lines(&all));
    let position = run_once(&bench, "v.db");

    assert!(position.n_records > 6_000, "records of dropped segments count, and what stands beside them");
    let kept = read(&journal_of(&bench.path("v.db")), Some(&position)).unwrap().map(Result::unwrap);
    let kept: Vec<_> = kept.filter(|p| !fineprint::runtime::live::is_entry(&p.record)).collect();
    let first = kept.first().unwrap();
    assert!(first.segment > 3, "nothing was dropped: the first segment is {}", first.segment);
    assert!(kept.len() < 3_000, "{} of 6,000 records are kept", kept.len());
    // The watermark of the last commit is that of the last event.
    let needed_from = ts(all.last().unwrap()).saturating_sub(Duration(5 * 60 * 1_000_000_000)).saturating_sub(KEPT);
    let needed = all.iter().filter(|e| ts(e) >= needed_from).count();
    assert!(needed > 100, "{needed}");
    let found = kept.iter().filter(|p| p.ts >= needed_from).count();
    assert_eq!(found, needed, "a record that a window may still reach was dropped");
    // Whole segments only: beyond what is needed there is at most one and what one frame adds.
    let oldest_needed = kept.iter().find(|p| p.ts >= needed_from).unwrap().segment;
    assert!(oldest_needed - first.segment <= 1, "old segments stay: {} and {oldest_needed}", first.segment);

    // What is found is what the command finds, which drops nothing here.
    bench.run("whole.db", "e.jsonl");
    assert_eq!(bench.export("v.db"), bench.export("whole.db"));
    assert_eq!(bench.books("v.db"), bench.books("whole.db"));
}

/// What a campaign called for before the oldest segment is not known: it is marked, and what is not marked is whole.
#[test]
fn campaigns_tell_where_the_journal_does_not_reach() {
    let bench = Bench::new();
    let all = events(6_000);
    bench.write("e.jsonl", lines(&all[..3_500]));
    run_once(&bench, "v.db");
    bench.write("e.jsonl", lines(&all));
    run_once(&bench, "v.db");
    let told = bench.call("violations list --by campaign --db v.db --format json");
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    let since = told["journal"]["complete_since"].as_str().unwrap();
    // How much was dropped hangs on the time that commits took.
    let (mut whole, mut missing) = (0, 0);
    for c in told["campaigns"].as_array().unwrap() {
        let (first, last) = (c["first_event"].as_str().unwrap(), c["last_event"].as_str().unwrap());
        let complete = c["volume"]["complete"].as_bool().unwrap();
        assert_eq!(complete, first >= since, "{c}");
        let calls = all.iter().filter(|e| {
            let e: serde_json::Value = serde_json::from_str(e).unwrap();
            let ts = e["ts"].as_str().unwrap();
            c["members"].as_array().unwrap().contains(&e["account"]) && ts >= first && ts <= last
        });
        let (counted, expected) = (c["volume"]["calls"].as_u64().unwrap(), calls.count() as u64);
        assert!(counted == expected || (!complete && counted < expected), "{counted} of {expected}: {c}");
        whole += usize::from(complete);
        missing += expected - counted;
    }
    let n = told["campaigns"].as_array().unwrap().len();
    assert!(whole < n && missing > 0, "every campaign begins behind {since}");
    let text = bench.call("violations list --by campaign --db v.db").out;
    assert!(text.contains("Marked `≥`") && text.contains("which holds everything since"), "{text}");
}

/// What hangs on events that retention has dropped is not known any more; everything else comes out again.
#[test]
fn what_retention_dropped_is_said_not_to_be_known() {
    let bench = Bench::new();
    let all = events(20_000);
    bench.write("e.jsonl", lines(&all));
    run_once(&bench, "v.db");
    let verified = bench.call("verify --db v.db --format json");
    let json: serde_json::Value = serde_json::from_str(&verified.out).unwrap();
    let findings = &json["findings"];
    assert_eq!(verified.code, 0, "{findings}");
    assert!(json["journal"]["records_dropped"].as_u64().unwrap() > 2_000, "{}", json["journal"]);
    let [re_derived, unknown] = ["re_derived", "consistent_only"].map(|key| findings[key].as_u64().unwrap());
    assert!(re_derived > 0 && unknown > 100, "{findings}");
    let reasons: Vec<&String> = findings["reasons"].as_object().unwrap().keys().collect();
    assert!(reasons.iter().all(|why| why.contains("the journal")), "{reasons:?}");
}
