//! How long does a call wait for its answer, in process? `Gate::decide` of one thread, with 0, 100 and 1,000 rules, a tenth of them
//! windowed, at a million groups; every event goes on to a thread that finds violations (evidence writing), which works
//! beside. Fingerprints are those that the event brings; what making them costs is told apart.
//!
//! `cargo bench --bench decide [-- CALLS [GROUPS]]`. Wall time: read it on an idle machine with two cores at least.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark"
)]

mod common;

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use fineprint::compile::compile;
use fineprint::decision::Verdict;
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::gate::Gate;
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::source::SourceMap;
use fineprint::template::{FingerprintKey, Fingerprinter, Scratch, Strictness, to_text};
use fineprint::time::{SECOND_NS, Timestamp};

use crate::common::Random;

const START: i64 = 1_767_225_600 * SECOND_NS;
/// Events a second of event time.
const RATE: i64 = 10_000;

/// So many rules on single events, and a tenth as many again over windows; each window looks at a tenth of the events.
fn rules(n: usize) -> Arc<RuleSet> {
    let mut text = if n == 0 { policy() } else { common::rules(n - n / 10, true, 7) };
    for i in 0..n / 10 {
        let when = match i % 4 {
            0 => "count() >= 1_000".to_string(),
            1 => "distinct(prompt_hash) >= 200".to_string(),
            2 => "sum(output_tokens) >= 1_000_000".to_string(),
            _ => "count() >= 500 and distinct(country) >= 5".to_string(),
        };
        let _ = writeln!(
            text,
            "rule w{i} {{\n  enforces acme.terms.fair\n  mode     enforce\n  on       completion where modality = \"m{}\"\n  \
             per      account\n  over     {}h\n  when     {when}\n  action   throttle account to 10 per 1m\n  because  \
             \"much\"\n}}\n",
            i % 10,
            1 + i % 24,
        );
    }
    let mut sources = SourceMap::default();
    sources.add("bench.tos", text);
    let compiled = compile(&sources);
    assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
    Arc::new(RuleSet::new(compiled.program, ReferenceData::default()).unwrap())
}

fn policy() -> String {
    "policy acme.terms version 2026-01-01 {\n  url \"https://acme.example/terms\"\n  clause fair at \"1\" \"Fair use.\"\n}\n\n"
        .to_string()
}

/// A completion of an account, with 400 characters of prompt and what an adapter adds to it.
fn event(number: u64, account: u64, r: &mut Random) -> UsageEvent<'static> {
    let ts = Timestamp(START + number as i64 * (SECOND_NS / RATE));
    let mut event = UsageEvent::new(Kind::Completion, format!("ev_{number:012x}"), ts);
    let mut text = |field, text: String| event.set(field, Slot::Text(text.into()));
    text(FieldId::ACCOUNT, format!("acct_{account:08x}"));
    text(FieldId::KEY, format!("key_{account:08x}"));
    text(FieldId::ORG, format!("org_{:06x}", account / 7));
    text(FieldId::MODEL, format!("atlas-{}", r.below(5)));
    // Which windows look at it: those of a tenth of the windowed rules.
    text(FieldId::MODALITY, format!("m{}", account % 10));
    text(FieldId::COUNTRY, r.pick(&["US", "DE", "FR", "IN", "BR", "CN"]).to_string());
    text(FieldId::PLAN, r.pick(&["free", "pro", "team"]).to_string());
    text(FieldId::PROMPT_HASH, format!("{:016x}", r.next()));
    let mut prompt = String::new();
    while prompt.len() < 400 {
        let _ = write!(prompt, "{} ", r.pick(&common::WORDS));
    }
    text(FieldId::PROMPT, prompt);
    event.set(FieldId::PROMPT_FPS, Slot::Texts((0..8).map(|_| to_text(r.next())).collect()));
    event.set(FieldId::OUTPUT_TOKENS, Slot::Num(r.below(2_000) as i64));
    event.set(FieldId::MAX_TOKENS, Slot::Num(r.below(4_000) as i64));
    event
}

fn at(sorted: &[u32], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize] as f64 / 1_000.0
}

fn run(n: usize, calls: u64, groups: u64) {
    let rules = rules(n);
    let gate = Gate::new(Arc::clone(&rules));
    let (records, taken) = sync_channel::<UsageEvent<'static>>(4_096);
    let waiting = Arc::new(AtomicU64::new(0));
    let left = Arc::clone(&waiting);
    let evidence = Arc::clone(&rules);
    let writer = std::thread::spawn(move || {
        let mut evaluator = Evaluator::new(evidence, EvalOptions::default());
        let mut found = 0;
        for (number, event) in taken.into_iter().enumerate() {
            evaluator.observe(&event, Origin::default());
            if number % 1_024 == 0 {
                found += evaluator.take_violations().len();
            }
            left.fetch_sub(1, Ordering::Release);
        }
        found
    });
    // A tenth of the windows look at an event, so each account has as many groups.
    let per_account = (n / 100).max(1) as u64;
    let accounts = (groups / per_account).max(1);
    let mut r = Random(42);
    let mut number = 0;
    for account in 0..accounts {
        gate.observe(&event(number, account, &mut r));
        number += 1;
    }
    let held = gate.counts().groups;
    let bytes = gate.group_bytes();
    let mut times = Vec::with_capacity(calls as usize);
    let mut refused = 0u64;
    while (times.len() as u64) < calls {
        // Prepared before, so that only the answer is timed; never more than the writer can take.
        let batch: Vec<_> = (0..64).map(|i| event(number + i, r.clone().zipf(accounts), &mut r)).collect();
        number += 64;
        while waiting.load(Ordering::Acquire) > 2_048 {
            std::thread::yield_now();
        }
        for event in batch {
            let start = Instant::now();
            let decision = black_box(gate.decide(black_box(&event)));
            waiting.fetch_add(1, Ordering::Release);
            let sent = records.try_send(event).is_ok();
            times.push(start.elapsed().as_nanos() as u32);
            assert!(sent, "the writer is behind");
            refused += u64::from(decision.verdict > Verdict::Flag);
        }
    }
    drop(records);
    let found = writer.join().unwrap();
    times.sort_unstable();
    println!(
        "| {n} | {} | {held} | {} | {:.1} | {:.1} | {:.1} | {:.0} | {refused} | {found} |",
        n / 10,
        bytes as u64 / held.max(1),
        at(&times, 0.5),
        at(&times, 0.9),
        at(&times, 0.99),
        at(&times, 0.9999),
    );
}

fn fingerprints() {
    println!("\nfingerprints of a prompt, apart (strict and loose, µs)\n\n| bytes | p50 | p99 |\n|---|---|---|");
    let fingerprinter = Fingerprinter::new(FingerprintKey::PUBLIC);
    let mut scratch = Scratch::default();
    let mut r = Random(3);
    for bytes in [256, 1_024, 4_096, 16_384, 65_536] {
        let mut times: Vec<u32> = (0..2_000)
            .map(|_| {
                let mut prompt = String::new();
                while prompt.len() < bytes {
                    let _ = write!(prompt, "{}{} ", r.pick(&common::WORDS), r.below(100));
                }
                let start = Instant::now();
                for strictness in [Strictness::Strict, Strictness::Loose] {
                    black_box(fingerprinter.fingerprints(strictness, black_box(&prompt), &mut scratch));
                }
                start.elapsed().as_nanos() as u32
            })
            .collect();
        times.sort_unstable();
        println!("| {bytes} | {:.1} | {:.1} |", at(&times, 0.5), at(&times, 0.99));
    }
}

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let calls = args.first().copied().unwrap_or(200_000);
    let groups = args.get(1).copied().unwrap_or(1_000_000);
    println!("decide and hand on, µs of wall time, {calls} calls\n");
    println!("| rules | windowed | groups | bytes a group | p50 | p90 | p99 | p99.99 | refused | findings |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for n in [0, 100, 1_000] {
        run(n, calls, groups);
    }
    fingerprints();
}
