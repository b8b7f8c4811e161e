//! What it costs to keep nothing but bytes: the shipped rules over the bundled sample, stepped by key, beside one evaluator.
//! `cargo bench --bench keyed`, and with `-- all` every shipped rule.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark takes time and prints"
)]

#[path = "common/shipped.rs"]
mod shipped;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fineprint::eval::keyed::{Input, Keyed, KeyedRouter, Partition, PartitionKind, Record, Shards, Stepper};
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::decode::Decoder;
use fineprint::feed::{EventReader, Input as File};
use fineprint::time::Timestamp;

/// Calls of one kind.
#[derive(Default)]
struct Calls {
    n: u64,
    took: Duration,
    /// Bytes of the state after it.
    bytes: Vec<usize>,
}

struct Host {
    stepper: Stepper,
    states: BTreeMap<Partition, Vec<u8>>,
    due: BTreeSet<(PartitionKind, Timestamp, Partition)>,
    timers: HashMap<Partition, Timestamp>,
    calls: BTreeMap<String, Calls>,
    names: Vec<String>,
    records: Vec<usize>,
    watermark: Timestamp,
    found: u64,
}

impl Host {
    fn step(&mut self, partition: Partition, input: Input<'_>) {
        let state = self.states.remove(&partition);
        let start = Instant::now();
        let step = self.stepper.step(partition, state.as_deref(), input, self.watermark).unwrap();
        let took = start.elapsed();
        let of = match partition.kind {
            PartitionKind::Ids => "ids".to_string(),
            PartitionKind::Unit(n) => self.names[n as usize].clone(),
            PartitionKind::Budget(_) => "budget".to_string(),
        };
        let what = if matches!(input, Input::Advance) { "advance" } else { "record" };
        let calls = self.calls.entry(format!("{of} | {what}")).or_default();
        calls.n += 1;
        calls.took += took;
        calls.bytes.push(step.state.as_ref().map_or(0, Vec::len));
        if let Some(timer) = self.timers.remove(&partition) {
            self.due.remove(&(partition.kind, timer, partition));
        }
        if let Some(state) = step.state {
            self.states.insert(partition, state);
            if let Some(timer) = step.timer {
                self.timers.insert(partition, timer);
                self.due.insert((partition.kind, timer, partition));
            }
        }
        self.found += step.violations.len() as u64;
        step.records.into_iter().for_each(|record| self.deliver(&record));
    }

    fn deliver(&mut self, record: &Record) {
        if matches!(record.partition.kind, PartitionKind::Unit(_)) {
            self.records.push(record.bytes.len());
        }
        self.step(record.partition, Input::Record(&record.bytes));
    }

    fn advance(&mut self, watermark: Timestamp) {
        self.watermark = watermark;
        let kinds: BTreeSet<PartitionKind> = self.due.iter().map(|(kind, ..)| *kind).collect();
        for kind in kinds.into_iter().chain([PartitionKind::Budget(u32::MAX)]) {
            while let Some((_, timer, partition)) =
                self.due.range((kind, Timestamp(i64::MIN), Partition { kind, key: 0 })..).next().copied()
            {
                if partition.kind != kind || timer > watermark {
                    break;
                }
                self.step(partition, Input::Advance);
            }
        }
    }
}

fn quantiles(all: &mut [usize]) -> String {
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    format!("{} | {} | {}", at(0.5), at(0.99), at(1.0))
}

fn main() {
    let traffic = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/traffic");
    let rules = match std::env::args().any(|a| a == "all") {
        true => shipped::all_shipped(&traffic),
        false => shipped::shipped(&traffic, &shipped::SHIPPED),
    };
    let options = EvalOptions::default();
    let keyed = Arc::new(Keyed::new(Arc::clone(&rules), options.clone()));
    let mut reader = EventReader::open(&File::File(traffic.join("events.jsonl.gz"))).unwrap();
    let mut lines = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        lines.push(record.bytes.to_vec());
    }
    let mut decoder = Decoder::new();
    let events: Vec<_> = lines.iter().map(|line| decoder.decode(line).unwrap()).collect();

    let start = Instant::now();
    let mut evaluator = Evaluator::new(Arc::clone(&rules), options.clone());
    events.iter().for_each(|event| {
        evaluator.observe(event, Origin::default());
    });
    let whole = start.elapsed();
    let per_event = |took: Duration| took.as_secs_f64() * 1e6 / events.len() as f64;
    println!(
        "one evaluator: {:.1} us an event, snapshot {} bytes",
        per_event(whole),
        evaluator.snapshot().unwrap().len()
    );
    for n in [1, 2, 7] {
        let start = Instant::now();
        let mut shards = Shards::new(Arc::clone(&keyed), n);
        events.iter().for_each(|event| {
            shards.observe(event, Origin::default());
        });
        println!(
            "{n} shards on one thread: {:.1} us an event, groups {:?}",
            per_event(start.elapsed()),
            shards.live_groups()
        );
    }

    let units = keyed.units();
    let name = |unit: &fineprint::eval::keyed::UnitTold| {
        let cut = unit.whole.map_or("by key".to_string(), |whole| format!("{whole:?}"));
        format!("{} ({cut})", unit.rules.first().map_or("", String::as_str))
    };
    let mut router = KeyedRouter::new(Arc::clone(&keyed));
    let mut host = Host {
        names: units.iter().map(name).collect(),
        stepper: Stepper::new(keyed),
        states: BTreeMap::new(),
        due: BTreeSet::new(),
        timers: HashMap::new(),
        calls: BTreeMap::new(),
        records: Vec::new(),
        watermark: Timestamp(i64::MIN),
        found: 0,
    };
    let (mut routed, mut envelopes, mut max) = (Duration::ZERO, Vec::new(), i64::MIN);
    for event in &events {
        let start = Instant::now();
        let record = router.route(event, Origin::default()).unwrap();
        routed += start.elapsed();
        envelopes.push(record.bytes.len());
        host.deliver(&record);
        if event.ts().0 > max {
            max = event.ts().0;
            host.advance(Timestamp(max - options.lateness.0));
        }
    }
    let all: Duration = host.calls.values().map(|calls| calls.took).sum();
    let steps: u64 = host.calls.values().map(|calls| calls.n).sum();
    println!(
        "by key: route {:.1} us, {:.1} steps of {:.1} us in all an event; {} findings told",
        per_event(routed),
        steps as f64 / events.len() as f64,
        per_event(all),
        host.found
    );
    println!("record of an event, bytes (median, 99 %, most): {}", quantiles(&mut envelopes));
    println!("record of a unit, bytes: {}", quantiles(&mut host.records));
    println!("\n| unit | call | calls | us a call | bytes left, median | 99 % | most |\n|---|---|---|---|---|---|---|");
    for (what, calls) in &mut host.calls {
        println!(
            "| {what} | {} | {:.1} | {} |",
            calls.n,
            calls.took.as_secs_f64() * 1e6 / calls.n as f64,
            quantiles(&mut calls.bytes)
        );
    }
    let mut kept: BTreeMap<PartitionKind, Vec<usize>> = BTreeMap::new();
    for (partition, state) in &host.states {
        kept.entry(partition.kind).or_default().push(state.len());
    }
    println!("\n| states at the end of | number | bytes, median | 99 % | most |\n|---|---|---|---|---|");
    for (kind, mut sizes) in kept {
        println!("| {kind:?} | {} | {} |", sizes.len(), quantiles(&mut sizes));
    }
}
