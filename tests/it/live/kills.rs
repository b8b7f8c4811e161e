//! Sudden ends of a process, and what goes on from there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Bench, Known, RULES, arrival, drawn, events, expected, hand_in, rules, told};
use fineprint::runtime::live::Busy;

/// Directory of the log and the first event to hand in. Unset in the parent, where the child's test does nothing.
const CHILD: &str = "FINEPRINT_TEST_LIVE_CHILD";
/// Events in all.
const EVENTS: u64 = 6_000;
/// Events handed in at a time.
const BODY: u64 = 25;

/// Hands bodies in, and prints the end of each that is safe, until it is killed.
#[test]
fn child_that_is_killed() {
    let Some(told) = std::env::var_os(CHILD) else { return };
    let told = told.into_string().unwrap();
    let (dir, from) = told.split_once('|').unwrap();
    let bench = Bench { dir: tempfile::tempdir().unwrap(), told: Default::default() };
    let dir = Path::new(dir);
    let mut options = bench.options();
    options.journal = dir.join("v.db.journal");
    options.checkpoint.events = 400;
    let live = bench.open_on(&rules(RULES), options, super::Log::open(&dir.join("v.db")));
    // The tests' own output is captured; this goes past it.
    let mut out = std::fs::OpenOptions::new().append(true).open("/dev/stdout").unwrap();
    let mut receipts = std::collections::VecDeque::new();
    let mut at: u64 = from.parse().unwrap();
    while at < EVENTS {
        match live.submit(events(at..at + BODY), "test", arrival(at + BODY)) {
            Ok(receipt) => {
                at += BODY;
                receipts.push_back((at, receipt));
            }
            Err(Busy::Full { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(other) => panic!("{other}"),
        }
        // A few are always under way.
        if receipts.len() > 3 {
            let (to, receipt) = receipts.pop_front().unwrap();
            receipt.wait().unwrap();
            writeln!(out, "kept {to}").unwrap();
        }
    }
    std::thread::sleep(Duration::from_secs(60));
}

/// What was acknowledged is there, whenever the process ends; what was not is handed in again, as a gateway does.
#[test]
fn a_session_that_is_killed_goes_on_with_all_that_was_acknowledged() {
    let rules = rules(RULES);
    let expected = expected(&rules, &events(0..EVENTS));
    for round in 0..2u64 {
        let bench = Bench::new();
        let (mut kept, mut kills) = (0, 0);
        while kept < EVENTS - 4 * BODY {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["live::kills::child_that_is_killed", "--exact"])
                .env(CHILD, format!("{}|{kept}", bench.dir.path().display()))
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut left = 5 + drawn(round * 1_000 + kills) % 70;
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            for line in lines {
                let line = line.unwrap();
                let Some((_, n)) = line.split_once("kept ") else { continue };
                kept = n.parse().unwrap();
                left -= 1;
                if left == 0 || kept >= EVENTS - 4 * BODY {
                    break;
                }
            }
            // Not always just after something was told.
            std::thread::sleep(Duration::from_micros(drawn(kills) % 5_000));
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            assert!(kills < 400);
        }
        assert!(kills > 3, "{kills}");
        let live = bench.open(&rules, bench.options());
        let recovered = live.status();
        assert!(recovered.books.received >= kept, "{recovered:?}");
        hand_in(&live, kept..EVENTS);
        live.drain().unwrap();
        let status = live.status();
        assert!(status.books.balance(), "{status:?}");
        assert_eq!(status.books.evaluated + status.books.late, EVENTS, "{:?}", status.books);
        let again = bench.again(&*Known::of(&[&rules]));
        assert!(told(&again.violations) == expected, "another run over the journal, round {round}");
        assert_eq!(again.books, status.books);
        let log = bench.log();
        assert!(log == expected, "{} records instead of {}, round {round}", log.len(), expected.len());
    }
}

/// A frame that was cut off by the end ends the journal; what stands before it is taken in.
#[test]
fn a_torn_frame_is_cut_off() {
    let bench = Bench::new();
    let rules = rules(RULES);
    let mut options = bench.options();
    // No commit of its own: all is in the journal.
    options.checkpoint.events = u64::MAX;
    options.checkpoint.interval_ms = u64::MAX;
    let log = super::Log::open(&bench.db());
    let fails = std::sync::Arc::clone(&log.fails);
    let live = bench.open_on(&rules, options.clone(), log);
    hand_in(&live, 0..900);
    fails.store(true, std::sync::atomic::Ordering::Relaxed);
    let not_committed = live.drain().unwrap_err();
    assert!(not_committed.to_string().contains("everything is in the journal"), "{not_committed}");
    drop(live);
    let segment = bench.dir.path().join("v.db.journal/segment-0000000001.fpj");
    let mut file = std::fs::OpenOptions::new().append(true).open(&segment).unwrap();
    file.write_all(&[7; 51]).unwrap();
    drop(file);
    let live = bench.open(&rules, bench.options());
    let recovered = live.status().recovered;
    assert_eq!(recovered.cut_bytes, 51);
    assert_eq!(live.status().books.received, 900);
    hand_in(&live, 900..2_000);
    live.drain().unwrap();
    assert_eq!(bench.log(), expected(&rules, &events(0..2_000)));
    assert_eq!(told(&bench.again(&*Known::of(&[&rules])).violations), bench.log());
}

/// What was synced before the last commit is not the end of a journal: damage in it is told, and nothing is dropped.
#[test]
fn damage_before_the_last_commit_is_told() {
    let bench = Bench::new();
    let rules = rules(RULES);
    let live = bench.open(&rules, bench.options());
    hand_in(&live, 0..900);
    live.drain().unwrap();
    drop(live);
    let segment = bench.dir.path().join("v.db.journal/segment-0000000001.fpj");
    let mut bytes = std::fs::read(&segment).unwrap();
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let log = super::Log::open(&bench.db());
    let options = bench.options();
    let refused = fineprint::runtime::live::Live::open(rules, Box::new(log), options, Box::new(|_| {})).unwrap_err();
    assert!(refused.to_string().contains("damaged"), "{refused}");
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
}
