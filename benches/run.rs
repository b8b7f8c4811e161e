//! How much of decoding alone does a whole run keep: 12 shipped rules, registry and lists, a log in SQLite, the journal on?
//! Rounds of both are interleaved, read the share. *Decode only* is sonic-rs into a typed borrowed struct, one thread.
//!
//! `cargo bench --bench run [-- DIR [ROUNDS]]`; DIR holds `events.jsonl`, `accounts.jsonl` and `lists/`. Without it, the sample of
//! `examples/traffic` passes twenty times, one after the other in time.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "a benchmark"
)]

#[path = "common/shipped.rs"]
mod shipped;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fineprint::journal::{Journal, JournalOptions, Position};
use fineprint::plan::RuleSet;
use fineprint::runtime::{InputSpec, Outputs, RunOptions, SqliteSink, Summary, expand, run};
use fineprint::store::{Pins, RulesChanged};
use fineprint::time::{Duration, Timestamp};

/// As the command allocates.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How often the sample passes.
const PASSES: i64 = 20;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let work = tempfile::tempdir().unwrap();
    let (traffic, events) = match args.first() {
        Some(dir) => (PathBuf::from(dir), Path::new(dir).join("events.jsonl")),
        None => {
            let traffic = home.join("examples/traffic");
            let events = work.path().join("events.jsonl");
            pass_often(&traffic.join("events.jsonl.gz"), &events);
            (traffic, events)
        }
    };
    let rounds: usize = args.get(1).and_then(|a| a.parse().ok()).unwrap_or(3);
    let rules =
        [("no rules", shipped::shipped(&traffic, &[])), ("12 rules", shipped::shipped(&traffic, &shipped::SHIPPED))];
    let bytes = std::fs::read(&events).unwrap();
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
    let n = lines.len();
    println!("{n} events, {} bytes each, {rounds} rounds", bytes.len() / n);

    let mut decode_only = Vec::new();
    let mut runs: Vec<Vec<f64>> = vec![Vec::new(); rules.len()];
    let mut last = Vec::new();
    for round in 0..rounds {
        decode_only.push(shipped::decode_only(&lines));
        last.clear();
        for (i, (name, rules)) in rules.iter().enumerate() {
            let db = work.path().join(format!("{round}-{i}.db"));
            let start = Instant::now();
            let summary = whole(rules, &events, &db);
            runs[i].push(start.elapsed().as_secs_f64());
            assert_eq!(summary.records as usize, n);
            last.push((*name, summary));
        }
    }
    let base = shipped::median(&mut decode_only);
    println!("decode only (sonic-rs, 16 fields)   {:>10.0} events/s   1.00", n as f64 / base);
    for ((name, summary), times) in last.iter().zip(&mut runs) {
        let t = shipped::median(times);
        println!(
            "run into SQLite, journal, {name}   {:>10.0} events/s   {:.2}   ({:.0} % of it commits)",
            n as f64 / t,
            base / t,
            100.0 * summary.committing.as_secs_f64() / summary.elapsed.as_secs_f64()
        );
    }
}

fn whole(rules: &Arc<RuleSet>, events: &Path, db: &Path) -> Summary {
    let mut sink = SqliteSink::open(db).unwrap();
    let hash = rules.bundle_hash().to_string();
    let pins = Pins {
        rules: hash,
        lists: String::new(),
        registry: String::new(),
        config: String::new(),
        engine: String::new(),
    };
    let pinned = sink.pin(&pins, RulesChanged::Refuse).unwrap();
    let journal = Journal::open(&db.with_extension("journal"), JournalOptions::default(), &Position::START).unwrap();
    let inputs: Vec<InputSpec> = expand(&[events.to_path_buf()]).unwrap();
    let outputs = Outputs { sink: &mut sink, journal: Some(journal), rejects: None };
    let summary =
        run(rules, &RunOptions::default(), inputs, pinned, outputs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    sink.close().unwrap();
    summary
}

/// Writes the sample several times over, each pass as long after the last as the sample lasts, with ids of its own.
fn pass_often(sample: &Path, to: &Path) {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(sample).unwrap()).read_to_string(&mut text).unwrap();
    let moment = |line: &str| {
        let from = line.find("\"ts\":").unwrap() + 5;
        let from = from + line[from..].find('"').unwrap() + 1;
        let to = from + line[from..].find('"').unwrap();
        (from, to, Timestamp::parse_rfc3339(&line[from..to]).unwrap())
    };
    let times: Vec<i64> = text.lines().map(|l| moment(l).2.0).collect();
    let lasts = times.iter().max().unwrap() - times.iter().min().unwrap() + Duration::parse("1s").unwrap().0;
    let mut out = std::io::BufWriter::new(std::fs::File::create(to).unwrap());
    for pass in 0..PASSES {
        for line in text.lines() {
            let (from, to, ts) = moment(line);
            let moved = Timestamp(ts.0 + pass * lasts);
            let line = format!("{}{moved}{}", &line[..from], &line[to..]);
            let at = line.find("\"id\":").unwrap() + 5;
            let at = at + line[at..].find('"').unwrap() + 1;
            writeln!(out, "{}{pass}-{}", &line[..at], &line[at..]).unwrap();
        }
    }
    out.flush().unwrap();
}
