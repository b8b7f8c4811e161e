//! A log that is slow or cannot be written, a queue that is full, a journal that cannot be written.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fineprint::runtime::live::{Busy, Phase};

use super::{Bench, Known, Log, RULES, arrival, events, expected, hand_in, rules, told};

#[expect(clippy::disallowed_methods, reason = "how long a test waits at most")]
fn now() -> Instant {
    Instant::now()
}

/// However slow the log is, handing in does not wait for it; the queue stays within its bound, and says when it is full.
#[test]
fn a_slow_log_keeps_nobody_waiting() {
    let bench = Bench::new();
    let rules = rules(RULES);
    let log = Log::open(&bench.db());
    let slow = Arc::clone(&log.slow_ms);
    slow.store(1_500, Ordering::Relaxed);
    let mut options = bench.options();
    options.queue_records = 500;
    let live = bench.open_on(&rules, options, log);
    let (mut longest, mut at, mut busy) = (Duration::ZERO, 0, 0);
    while at < 4_000 {
        let body = events(at..at + 50);
        let started = now();
        let handed = live.submit(body, "test", arrival(at + 50));
        longest = longest.max(started.elapsed());
        match handed {
            Ok(_) => at += 50,
            Err(Busy::Full { records, .. }) => {
                assert!(records <= 500);
                busy += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(other) => panic!("{other}"),
        }
        assert!(live.status().queue_records <= 500);
    }
    // A commit takes three seconds at least.
    assert!(longest < Duration::from_millis(1_000), "{longest:?}");
    assert!(live.status().commits < 4 && busy < 100_000, "{busy}");
    slow.store(0, Ordering::Relaxed);
    live.drain().unwrap();
    assert_eq!(bench.log(), expected(&rules, &events(0..4_000)));
}

/// While the log cannot be written, records are taken in and are safe; what was found is told once it can.
#[test]
fn a_dead_log_is_tried_again() {
    let bench = Bench::new();
    let rules = rules(RULES);
    let log = Log::open(&bench.db());
    let fails = Arc::clone(&log.fails);
    let live = bench.open_on(&rules, bench.options(), log);
    hand_in(&live, 0..700);
    fails.store(true, Ordering::Relaxed);
    hand_in(&live, 700..2_500);
    let started = now();
    while live.status().commits_failed < 2 && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = live.status();
    assert!(status.phase == Phase::Running && status.commits_failed >= 2, "{status:?}");
    assert!(status.last_error.unwrap().contains("dead"));
    assert!(status.findings_waiting > 0);
    let committed = bench.committed().len();
    fails.store(false, Ordering::Relaxed);
    hand_in(&live, 2_500..3_000);
    live.drain().unwrap();
    assert_eq!((live.status().commits_failed, live.status().last_error), (0, None));
    assert!(bench.committed().len() > committed);
    assert_eq!(bench.log(), expected(&rules, &events(0..3_000)));
    assert_eq!(bench.committed(), bench.log());
}

/// Findings that wait for a log are bounded: above the bound nothing more is taken in, and it is said.
#[test]
fn findings_that_wait_are_bounded() {
    let bench = Bench::new();
    let rules = rules(RULES);
    let log = Log::open(&bench.db());
    let fails = Arc::clone(&log.fails);
    fails.store(true, Ordering::Relaxed);
    let mut options = bench.options();
    options.findings_waiting = 40;
    let live = bench.open_on(&rules, options, log);
    let started = now();
    let mut at = 0;
    while started.elapsed() < Duration::from_secs(30) {
        match live.submit(events(at..at + 50), "test", arrival(at + 50)) {
            Ok(receipt) => {
                receipt.wait().unwrap();
                at += 50;
            }
            Err(Busy::Full { records: 0, .. }) => break,
            Err(other) => panic!("{other}"),
        }
        std::thread::sleep(Duration::from_millis(15));
    }
    assert!(at > 0 && started.elapsed() < Duration::from_secs(30), "{at}");
    fails.store(false, Ordering::Relaxed);
    hand_in(&live, at..at + 500);
    live.drain().unwrap();
    assert_eq!(bench.log(), expected(&rules, &events(0..at + 500)));
}

#[test]
fn what_never_fits_is_said() {
    let bench = Bench::new();
    let rules = rules(RULES);
    let mut options = bench.options();
    (options.queue_records, options.queue_bytes) = (100, 40_000);
    let live = bench.open(&rules, options);
    let many = live.submit(events(0..101), "test", arrival(101)).unwrap_err();
    assert!(matches!(many, Busy::TooLarge { records: 101, records_max: 100, .. }), "{many:?}");
    let long = live.submit(events(0..99), "test", arrival(101)).unwrap_err();
    assert!(matches!(long, Busy::TooLarge { bytes_max: 40_000, .. }), "{long:?}");
    live.submit(events(0..10), "test", arrival(10)).unwrap().wait().unwrap();
}

/// A journal that cannot be written: receipts say that nothing is safe, the session goes on from what is, by itself.
#[test]
fn a_journal_that_fails_is_gone_back_to() {
    let bench = Bench::new();
    let rules = rules(RULES);
    let mut options = bench.options();
    // Each segment holds a few frames: the next one needs a new file.
    options.journal_options.segment_bytes = 2_000;
    let live = bench.open(&rules, options);
    hand_in(&live, 0..1_000);
    // The directory is not there for a while.
    let (dir, away) = (bench.dir.path().join("v.db.journal"), bench.dir.path().join("away"));
    std::fs::rename(&dir, &away).unwrap();
    let (mut at, mut lost) = (1_000, None);
    let started = now();
    while lost.is_none() && started.elapsed() < Duration::from_secs(20) {
        match live.submit(events(at..at + 50), "test", arrival(at + 50)) {
            Ok(receipt) => match receipt.wait() {
                Ok(()) => at += 50,
                Err(_) => lost = Some(at),
            },
            Err(Busy::Full { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(other) => panic!("{other}"),
        }
    }
    let at = lost.expect("a receipt that says so");
    let started = now();
    while live.status().phase != Phase::Failed && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(live.status().last_error.is_some(), "{:?}", live.status());
    std::fs::rename(&away, &dir).unwrap();
    hand_in(&live, at..3_000);
    live.drain().unwrap();
    assert_eq!(bench.log(), expected(&rules, &events(0..3_000)));
    assert_eq!(told(&bench.again(&*Known::of(&[&rules])).violations), bench.log());
}
