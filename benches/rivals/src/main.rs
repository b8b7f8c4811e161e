//! Windowed counts beside rsigma-eval, whose correlations `event_count` and `value_count` ask the same of the same stream,
//! and the bytes of state that each engine holds for a live key.
//!
//! rsigma keeps one entry for each event and judges at each event; we judge at step ends. Neither reaches its bound, so
//! neither writes findings. Its windows are filled through its own snapshots: filling 100k members event by event takes hours.
//!
//! `cargo run --release --manifest-path benches/rivals/Cargo.toml [-- SCENARIO]`; a scenario is a part of a name, as `keys`.

#[path = "../../common/mod.rs"]
mod common;
#[path = "../../common/windows.rs"]
mod windows;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};

use fineprint::eval::{Evaluator, Origin};
use fineprint::event::UsageEvent;
use rsigma_eval::correlation::{GroupKey, WindowState};
use rsigma_eval::{CorrelationConfig, CorrelationEngine, JsonEvent};

use crate::windows::{Aggregate, ByHand, SCENARIOS, STEP_S, Scenario, account, cpu_s, evaluator, member_text};

/// The system's allocator, counting live bytes as asked for.
struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        unsafe { System.dealloc(p, layout) }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as i64 - layout.size() as i64, Ordering::Relaxed);
        unsafe { System.realloc(p, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

enum Engine {
    Ours(Box<Evaluator>),
    ByHand(Box<ByHand>),
    Rsigma(Box<CorrelationEngine>),
}

/// An event in the form each engine takes.
struct Prepared {
    ours: UsageEvent<'static>,
    theirs: JsonEvent<'static>,
    ts_s: i64,
}

fn prepare(scenario: &Scenario, number: u64) -> Prepared {
    let (ts, key, member) = scenario.event(number);
    let json =
        serde_json::json!({ "type": "completion", "account": account(key), "prompt_hash": member_text(key, member) });
    Prepared { ours: scenario.decoded(number), theirs: JsonEvent::owned(json), ts_s: ts.0 / 1_000_000_000 }
}

impl Engine {
    fn new(name: &str, aggregate: Aggregate, scenario: &Scenario) -> Engine {
        match name {
            "fineprint" => Engine::Ours(Box::new(evaluator(aggregate, scenario.threshold))),
            "by hand" => Engine::ByHand(Box::new(ByHand::new(aggregate, scenario.threshold))),
            _ => Engine::Rsigma(Box::new(rsigma(aggregate, scenario.threshold))),
        }
    }

    fn observe(&mut self, event: &Prepared, number: u64) {
        match self {
            Engine::Ours(e) => {
                e.observe(&event.ours, Origin { input: 0, line: number });
            }
            Engine::ByHand(e) => e.observe(&event.ours),
            Engine::Rsigma(e) => {
                std::hint::black_box(e.process_event_at(&event.theirs, event.ts_s));
            }
        }
    }

    fn live_keys(&self) -> usize {
        match self {
            Engine::Ours(e) => e.live_groups(),
            Engine::ByHand(e) => e.live_keys(),
            Engine::Rsigma(e) => e.state_count(),
        }
    }
}

fn rsigma(aggregate: Aggregate, threshold: u64) -> CorrelationEngine {
    let (kind, of) = match aggregate {
        Aggregate::Count => ("event_count", ""),
        Aggregate::Distinct => ("value_count", "        field: prompt_hash\n"),
    };
    let yaml = format!(
        "title: Completion\nid: completion\nlogsource:\n    category: api\ndetection:\n    selection:\n        type: completion\n    \
         condition: selection\n---\ntitle: Busy\nid: busy\ncorrelation:\n    type: {kind}\n    rules:\n        - completion\n    \
         group-by:\n        - account\n    timespan: 1h\n    condition:\n{of}        gte: {threshold}\nlevel: high\n"
    );
    let collection = rsigma_parser::parse_sigma_yaml(&yaml).unwrap();
    // Its default drops state above 100,000 keys.
    let config =
        CorrelationConfig { emit_detections: false, max_state_entries: usize::MAX, ..CorrelationConfig::default() };
    let mut engine = CorrelationEngine::new(config);
    engine.add_collection(&collection).unwrap();
    engine
}

/// Puts the first window into the engine through its snapshot.
fn fill(engine: &mut CorrelationEngine, aggregate: Aggregate, scenario: &Scenario) {
    let mut groups: Vec<(GroupKey, WindowState)> = (0..scenario.keys)
        .map(|key| {
            let state = match aggregate {
                Aggregate::Count => WindowState::EventCount { timestamps: VecDeque::new() },
                Aggregate::Distinct => WindowState::ValueCount { entries: VecDeque::new() },
            };
            (GroupKey(vec![Some(account(key))]), state)
        })
        .collect();
    for number in 0..scenario.events {
        let (ts, key, member) = scenario.event(number);
        match &mut groups[key as usize].1 {
            WindowState::EventCount { timestamps } => timestamps.push_back(ts.0 / 1_000_000_000),
            WindowState::ValueCount { entries } => entries.push_back((ts.0 / 1_000_000_000, member_text(key, member))),
            _ => {}
        }
    }
    let mut snapshot = engine.export_state();
    snapshot.windows.insert("busy".into(), groups);
    assert!(engine.import_state(snapshot));
    assert_eq!(engine.state_count(), scenario.keys as usize);
}

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let scenarios: Vec<&Scenario> = SCENARIOS.iter().filter(|s| s.name.contains(&wanted)).collect();
    println!("events per second with full windows, and how many times rsigma's");
    for scenario in scenarios.iter().filter(|s| s.threshold > s.members && s.members > 0) {
        rates(scenario);
    }
    println!("\nbytes of state for a live key after two windows (for an event of the window)");
    for scenario in scenarios.iter().filter(|s| s.threshold > s.members) {
        bytes(scenario);
    }
    println!("({STEP_S} s are waiting in ours: events are applied behind the lateness)");
}

const ROUNDS: usize = 5;
/// Longest that rsigma is watched in a round, in seconds.
const WATCHED_S: f64 = 2.0;

fn rates(scenario: &Scenario) {
    for aggregate in [Aggregate::Count, Aggregate::Distinct] {
        let mut ours = Engine::new("fineprint", aggregate, scenario);
        let mut theirs = rsigma(aggregate, scenario.threshold);
        fill(&mut theirs, aggregate, scenario);
        let mut theirs = Engine::Rsigma(Box::new(theirs));
        // Two windows for ours, so that panes leave; rsigma goes on at the end of its first.
        let mut at = 2 * scenario.events;
        (0..at).for_each(|n| ours.observe(&prepare(scenario, n), n));
        let mut their_at = scenario.events;
        let (mut our_rates, mut their_rates) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            // A step each, so that each round has one judgement.
            let mut spent = 0.0;
            for _ in 0..scenario.per_step() / 512 {
                let events: Vec<Prepared> = (at..at + 512).map(|n| prepare(scenario, n)).collect();
                let start = cpu_s();
                events.iter().zip(at..).for_each(|(e, n)| ours.observe(e, n));
                spent += cpu_s() - start;
                at += 512;
            }
            our_rates.push((scenario.per_step() / 512 * 512) as f64 / spent);
            let (mut spent, mut n) = (0.0, 0);
            while n < scenario.per_step() && spent < WATCHED_S {
                let events: Vec<Prepared> = (their_at..their_at + 32).map(|n| prepare(scenario, n)).collect();
                let start = cpu_s();
                events.iter().for_each(|e| theirs.observe(e, 0));
                spent += cpu_s() - start;
                their_at += 32;
                n += 32;
            }
            their_rates.push(n as f64 / spent);
        }
        let ratio = median(our_rates.iter().zip(&their_rates).map(|(a, b)| a / b).collect());
        println!(
            "  {:<14} {aggregate:<9?} fineprint {:>9.0}   rsigma {:>9.0}   {ratio:>8.1}",
            scenario.name,
            median(our_rates),
            median(their_rates)
        );
    }
}

fn bytes(scenario: &Scenario) {
    for aggregate in [Aggregate::Count, Aggregate::Distinct] {
        print!("  {:<14} {aggregate:<9?}", scenario.name);
        for name in ["fineprint", "by hand", "rsigma"] {
            // Its time grows with the members.
            if name == "rsigma" && scenario.members > 1_000 {
                continue;
            }
            let mut live = 0;
            let mut within = |f: &mut dyn FnMut()| {
                let before = LIVE.load(Ordering::Relaxed);
                f();
                live += LIVE.load(Ordering::Relaxed) - before;
            };
            let mut engine = None;
            within(&mut || engine = Some(Engine::new(name, aggregate, scenario)));
            let Some(mut engine) = engine else { continue };
            for n in 0..2 * scenario.events {
                let event = prepare(scenario, n);
                within(&mut || engine.observe(&event, n));
            }
            let keys = engine.live_keys().max(1);
            print!("   {name} {:>9} ({:>4})", live / keys as i64, live / scenario.events as i64);
        }
        println!();
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
