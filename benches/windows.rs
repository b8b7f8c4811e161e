//! How fast are windowed counts? Events that are decoded already go through an evaluator with one rule, `count()` or
//! `distinct(prompt_hash)` per account over an hour in steps of five minutes, and through hash maps written by hand for
//! the same, which are the limit. One thread, its time on the processor; batches of events interleaved, each contender first
//! in turn. Read the ratios: medians over the steps after the first two windows. Both must find the same keys.
//!
//! `cargo bench --bench windows [-- SCENARIO [WINDOWS]]`; a scenario is a part of a name, as `keys`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark"
)]

mod common;
#[path = "common/windows.rs"]
mod windows;

use std::collections::BTreeSet;

use fineprint::eval::{Evaluator, Origin};
use fineprint::event::UsageEvent;
use xxhash_rust::xxh3::xxh3_64;

use crate::windows::{Aggregate, ByHand, PANES, SCENARIOS, Scenario, cpu_s, evaluator, take_groups};

/// Events that are prepared at once: few enough to stay in the cache, as freshly decoded ones do.
const BATCH: u64 = 512;

enum Contender {
    Ours(Box<Evaluator>),
    ByHand(Box<ByHand>),
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wanted = args.first().map_or("", String::as_str);
    let windows: u64 = args.get(1).and_then(|a| a.parse().ok()).unwrap_or(4).max(3);
    println!(
        "events per second, and the share of the hash maps written by hand (steps of the last {} windows)",
        windows - 2
    );
    println!(
        "{:<27} {:>11} {:>11} {:>6}   {:>11} {:>11} {:>6}   {:>14}",
        "", "count", "by hand", "share", "distinct", "by hand", "share", "distinct/count"
    );
    for scenario in SCENARIOS.iter().filter(|s| s.name.contains(wanted)) {
        run(scenario, windows);
    }
}

fn run(scenario: &Scenario, windows: u64) {
    let mut contenders = [
        Contender::Ours(Box::new(evaluator(Aggregate::Count, scenario.threshold))),
        Contender::ByHand(Box::new(ByHand::new(Aggregate::Count, scenario.threshold))),
        Contender::Ours(Box::new(evaluator(Aggregate::Distinct, scenario.threshold))),
        Contender::ByHand(Box::new(ByHand::new(Aggregate::Distinct, scenario.threshold))),
    ];
    let mut found = [const { BTreeSet::new() }; 4];
    let per_step = scenario.per_step();
    let mut rates: [Vec<f64>; 4] = Default::default();
    for step in 0..windows * PANES as u64 {
        let mut spent = [0f64; 4];
        let mut at = step * per_step;
        while at < (step + 1) * per_step {
            let until = (at + BATCH).min((step + 1) * per_step);
            let events: Vec<UsageEvent<'static>> = (at..until).map(|n| scenario.decoded(n)).collect();
            let first = (at / BATCH) as usize;
            for i in (0..4).map(|i| (i + first) % 4) {
                let start = cpu_s();
                match &mut contenders[i] {
                    Contender::Ours(evaluator) => {
                        for (event, line) in events.iter().zip(at..) {
                            evaluator.observe(event, Origin { input: 0, line });
                        }
                    }
                    Contender::ByHand(by_hand) => events.iter().for_each(|e| by_hand.observe(e)),
                }
                spent[i] += cpu_s() - start;
            }
            at = until;
        }
        for ((contender, spent), found) in contenders.iter_mut().zip(&mut spent).zip(&mut found) {
            if let Contender::Ours(evaluator) = contender {
                let start = cpu_s();
                take_groups(evaluator, found);
                *spent += cpu_s() - start;
            }
        }
        if step >= 2 * PANES as u64 {
            rates.iter_mut().zip(spent).for_each(|(rates, spent)| rates.push(per_step as f64 / spent));
        }
    }
    check(scenario, &mut contenders, &mut found, windows);
    let share = |ours: usize, other: usize| -> f64 {
        median(rates[ours].iter().zip(&rates[other]).map(|(a, b)| a / b).collect())
    };
    let rate = |i: usize| median(rates[i].clone());
    println!(
        "{:<27} {:>11.0} {:>11.0} {:>6.2}   {:>11.0} {:>11.0} {:>6.2}   {:>14.2}",
        scenario.name,
        rate(0),
        rate(1),
        share(0, 1),
        rate(2),
        rate(3),
        share(2, 3),
        share(2, 0),
    );
}

/// Both must have found the same keys, and some.
fn check(scenario: &Scenario, contenders: &mut [Contender], found: &mut [BTreeSet<String>], windows: u64) {
    // One event more in the step that follows ends the last step for all.
    let last = scenario.decoded(windows * PANES as u64 * scenario.per_step());
    for contender in contenders.iter_mut() {
        match contender {
            Contender::Ours(evaluator) => {
                evaluator.observe(&last, Origin::default());
                evaluator.finish();
            }
            Contender::ByHand(by_hand) => by_hand.observe(&last),
        }
    }
    for (pair, found) in contenders.chunks_mut(2).zip(found.chunks_mut(2)) {
        let [Contender::Ours(ours), Contender::ByHand(by_hand)] = pair else { continue };
        take_groups(ours, &mut found[0]);
        let ours: BTreeSet<u64> = found[0].iter().map(|key| xxh3_64(key.as_bytes())).collect();
        assert_eq!(ours, by_hand.crossed(), "other keys than by hand");
        let reached = scenario.members == 0 || scenario.threshold < scenario.members;
        assert_eq!(!ours.is_empty(), reached, "{} keys crossed", ours.len());
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
