//! How fast are rule files read, and events evaluated? Everything in one run, interleaved, one thread: read the ratios to
//! "decode only" (sonic-rs into a typed borrowed struct of 16 fields, the fastest library on this data).
//!
//! `cargo bench --bench rules [-- EVENTS [ROUNDS]]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark"
)]

mod common;
#[path = "common/shipped.rs"]
mod shipped;

use std::sync::Arc;
use std::time::Instant;

use fineprint::compile::compile;
use fineprint::eval::{EvalOptions, Evaluator};
use fineprint::event::decode::Decoder;
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::source::SourceMap;
use shipped::median;

fn rule_set(text: &str) -> Arc<RuleSet> {
    let mut sources = SourceMap::default();
    sources.add("bench.tos", text);
    let compiled = compile(&sources);
    let errors: Vec<_> =
        compiled.diagnostics.iter().filter(|d| d.level() == fineprint::diagnostic::Level::Error).take(3).collect();
    assert!(errors.is_empty(), "{errors:?}");
    Arc::new(RuleSet::new(compiled.program, ReferenceData::default()).unwrap())
}

fn main() {
    let args: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (n, rounds) = (args.first().copied().unwrap_or(100_000), args.get(1).copied().unwrap_or(5));
    let bytes = common::events(n, 1);
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
    println!("{} events, {} bytes each, {rounds} rounds, one thread", lines.len(), bytes.len() / lines.len());

    println!("\nreading rule files (text to typed rules), then to a rule set ready to run");
    for n in [100, 1_000, 10_000] {
        let text = common::rules(n, true, 2);
        let start = Instant::now();
        let mut sources = SourceMap::default();
        sources.add("bench.tos", text.as_str());
        let compiled = compile(&sources);
        let read = start.elapsed().as_secs_f64();
        let rules = RuleSet::new(compiled.program, ReferenceData::default()).unwrap();
        let ready = start.elapsed().as_secs_f64() - read;
        println!(
            "  {n:>6} rules: {:>9.0} rules/s read, ready in {:.3} s ({} rules)",
            n as f64 / read,
            ready,
            rules.program().rules.len()
        );
    }

    let mut sets: Vec<(String, Arc<RuleSet>)> =
        [(0, false), (12, true), (100, true), (1_000, true), (10_000, true), (100, false), (1_000, false)]
            .into_iter()
            .map(|(n, text)| {
                (
                    format!("{n:>6} rules{}", if text || n == 0 { "" } else { ", no text" }),
                    rule_set(&common::rules(n, text, 2)),
                )
            })
            .collect();
    let traffic = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/traffic");
    sets.push(("    12 shipped rules".to_string(), shipped::shipped(&traffic, &shipped::SHIPPED)));
    let mut evaluators: Vec<Evaluator> =
        sets.iter().map(|(_, s)| Evaluator::new(Arc::clone(s), EvalOptions::default())).collect();
    let mut decode_only = Vec::new();
    let mut ours_only = Vec::new();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); sets.len()];
    let mut matched = vec![0usize; sets.len()];
    for _ in 0..rounds {
        decode_only.push(shipped::decode_only(&lines));

        let start = Instant::now();
        let mut decoder = Decoder::new();
        for line in &lines {
            std::hint::black_box(decoder.decode(line).unwrap().id().len());
        }
        ours_only.push(start.elapsed().as_secs_f64());

        for (i, evaluator) in evaluators.iter_mut().enumerate() {
            let mut decoder = Decoder::new();
            let start = Instant::now();
            let mut count = 0;
            for line in &lines {
                count += evaluator.count_matching(&decoder.decode(line).unwrap());
            }
            times[i].push(start.elapsed().as_secs_f64());
            matched[i] = count;
        }
    }
    let base = median(&mut decode_only);
    let rate = |t: f64| lines.len() as f64 / t;
    println!("\nevents per second, parse + evaluate (share of decode only)");
    println!("  decode only (sonic-rs, 16 fields)      {:>10.0}  1.00", rate(base));
    let ours = median(&mut ours_only);
    println!("  our strict decode of all fields        {:>10.0}  {:.2}", rate(ours), base / ours);
    for (i, (name, _)) in sets.iter().enumerate() {
        let t = median(&mut times[i]);
        println!(
            "  {name:<38} {:>10.0}  {:.2}   {:.3} matches an event",
            rate(t),
            base / t,
            matched[i] as f64 / lines.len() as f64
        );
    }
}
