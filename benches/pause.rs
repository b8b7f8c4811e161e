//! How long does a snapshot of a large state keep a run from taking in events? A million accounts by default, each with a window, a
//! session, a partial match of a sequence, a sighting in memory and an edge of a link; events kept for evidence, texts, and
//! events that wait. The same stream goes through a run that commits as ever and one that commits at its end alone, and the state
//! is written down in one go beside them.
//!
//! `cargo bench --bench pause [-- ACCOUNTS]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use fineprint::compile::compile;
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::decode::Decoder;
use fineprint::journal::{Journal, JournalOptions, Position};
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::reference::TableData;
use fineprint::runtime::{
    CheckpointOptions, Commit, Outputs, Resumed, RunOptions, Sink, SinkError, SqliteSink, Summary, expand, run,
};
use fineprint::source::SourceMap;
use fineprint::store::{PieceId, Pins, RulesChanged};
use fineprint::time::{MINUTE_NS, Timestamp};

const RULES: &str = "policy example.terms version 2026-01-01 { clause limits \"Limits may not be evaded.\" }\n\
    link operator of account { tied by payment_fingerprint within 12h, ignoring values shared by more than 25 accounts }\n\
    rule busy { enforces example.terms.limits on completion per account over 12h every 15m\n\
      let calls = count() when calls >= 1_000 because \"x\" }\n\
    rule spread { enforces example.terms.limits on completion per account over 12h every 15m\n\
      let models = distinct(model) when models >= 40 because \"x\" }\n\
    rule marathon { enforces example.terms.limits on completion per account over sessions with gaps of 6h at most 24h\n\
      let calls = count() when calls >= 1_000 because \"x\" }\n\
    rule probe-then-use { enforces example.terms.limits on sequence per account within 12h {\n\
        first completion where max_tokens = 1\n\
        then completion where max_tokens > 1 at least 50 times\n\
      } because \"x\" }\n\
    rule out-of-nowhere { enforces example.terms.limits\n\
      on completion where max_tokens = -1 and not (account seen before within 12h) because \"x\" }\n\
    rule many-hands { enforces example.terms.limits on completion per operator over 12h every 15m\n\
      let members = link.members when members >= 20 because \"x\" }\n";

/// 2026-01-02T00:00:00Z.
const START: i64 = 1_767_312_000_000_000_000;

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let accounts = args.first().copied().unwrap_or(1_000_000);
    let work = tempfile::tempdir().unwrap();
    let events = work.path().join("events.jsonl");
    write_events(accounts, &events);
    let rules = rules();
    let n = accounts * 2;
    println!("{accounts} accounts, {n} events, 6 rules, a log in SQLite, the journal on");
    let often = CheckpointOptions::default();
    for (name, checkpoint) in [
        ("commits by the end alone", CheckpointOptions { events: u64::MAX, interval_ms: u64::MAX, ..often }),
        ("commits as ever", often),
    ] {
        let (summary, longest, last) = whole(&rules, &events, work.path(), name, checkpoint);
        println!(
            "{name}: {:.0} events/s, {:.1} s of commits; longest pause by commits {:.0} ms; longest time between two batches \
             {:.0} ms; last commit {:.2} s",
            n as f64 / summary.elapsed.as_secs_f64(),
            summary.committing.as_secs_f64(),
            summary.longest_pause.as_secs_f64() * 1e3,
            longest.as_secs_f64() * 1e3,
            last.as_secs_f64()
        );
    }
    println!("peak of the process {} MiB", peak_mib());
    in_one_go(&rules, &events, work.path());
}

fn rules() -> Arc<RuleSet> {
    let mut sources = SourceMap::default();
    sources.add("pause.tos", RULES);
    let compiled = compile(&sources);
    assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
    let columns = compiled.program.tables[0].columns.iter().map(|(n, ty)| (n.as_str().into(), ty.clone())).collect();
    let tables = vec![Arc::new(TableData::empty(columns))];
    Arc::new(RuleSet::new(compiled.program, ReferenceData { tables, ..ReferenceData::default() }).unwrap())
}

/// Each account calls twice: once to begin, and once again in another order while all others are there.
fn write_events(accounts: u64, to: &Path) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(to).unwrap());
    for i in 0..accounts * 2 {
        // An hour for each pass.
        let ts = Timestamp(START + (i as i128 * 60 * i128::from(MINUTE_NS) / i128::from(accounts)) as i64);
        let account = if i < accounts { i } else { i * 7_919 % accounts };
        writeln!(
            out,
            r#"{{"id":"ev_{i:08x}","ts":"{ts}","type":"completion","account":"acct_{account:08x}","payment_fingerprint":"pf_{:08x}","model":"atlas-{}","max_tokens":{},"status":200}}"#,
            account / 4,
            i % 3,
            if i < accounts { 1 } else { 512 },
        )
        .unwrap();
    }
    out.flush().unwrap();
}

fn options(checkpoint: CheckpointOptions) -> RunOptions {
    RunOptions { eval: EvalOptions::within(8 << 30), checkpoint, ..RunOptions::default() }
}

fn sink(db: &Path, rules: &RuleSet) -> (SqliteSink, fineprint::store::Pinned) {
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
    (sink, pinned)
}

/// Notes when the last commit began and ended.
struct Timed {
    sink: SqliteSink,
    ended: Option<Instant>,
}

impl Sink for Timed {
    fn resume(&mut self) -> Result<Option<Resumed>, SinkError> {
        self.sink.resume()
    }

    fn known(&mut self, ids: &[&str]) -> Result<BTreeSet<String>, SinkError> {
        self.sink.known(ids)
    }

    fn keeps_state(&self) -> bool {
        true
    }

    fn put_piece(&mut self, bytes: &[u8]) -> Result<PieceId, SinkError> {
        self.sink.put_piece(bytes)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), SinkError> {
        let done = self.sink.commit(commit);
        self.ended = Some(Instant::now());
        done
    }
}

/// A run; the longest time between two batches, and how long it took after the last one.
fn whole(
    rules: &Arc<RuleSet>,
    events: &Path,
    work: &Path,
    name: &str,
    checkpoint: CheckpointOptions,
) -> (Summary, Duration, Duration) {
    let db = work.join(name.replace(' ', "-")).with_extension("db");
    let (sink, pinned) = sink(&db, rules);
    let mut sink = Timed { sink, ended: None };
    let journal = Journal::open(&db.with_extension("journal"), JournalOptions::default(), &Position::START).unwrap();
    let (mut before, mut longest, mut last) = (None::<Instant>, Duration::ZERO, Instant::now());
    let mut progress = |_| {
        let at = Instant::now();
        longest = longest.max(before.map_or(Duration::ZERO, |before| at - before));
        (before, last) = (Some(at), at);
    };
    let inputs = expand(&[events.to_path_buf()]).unwrap();
    let outputs = Outputs { sink: &mut sink, journal: Some(journal), rejects: None };
    let stop = AtomicBool::new(false);
    let summary = run(rules, &options(checkpoint), inputs, pinned, outputs, &stop, &mut progress).unwrap();
    (summary, longest, sink.ended.unwrap() - last)
}

/// The state of all events, written down, compressed and stored, one after the other and apart.
fn in_one_go(rules: &Arc<RuleSet>, events: &Path, work: &Path) {
    let mut evaluator = Evaluator::new(Arc::clone(rules), options(CheckpointOptions::default()).eval);
    let mut decoder = Decoder::new();
    let mut lines = std::io::BufReader::new(std::fs::File::open(events).unwrap());
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).unwrap() > 0 {
        let event = decoder.decode(&line).unwrap();
        evaluator.observe(&event, Origin::default());
        decoder.recycle(event);
        line.clear();
    }
    evaluator.take_violations();
    let start = Instant::now();
    let mut bytes = 0;
    evaluator.write_snapshot(&mut |part| bytes += part.len()).unwrap();
    println!(
        "in one go: {:.1} MB written down into nothing in {:.2} s",
        bytes as f64 / 1e6,
        start.elapsed().as_secs_f64()
    );
    let (mut sink, _) = sink(&work.join("pieces.db"), rules);
    let (mut raw, mut packing, mut storing, mut packed) = (Vec::new(), Duration::ZERO, Duration::ZERO, 0);
    let mut piece = |raw: &[u8]| {
        let start = Instant::now();
        let piece = zstd::bulk::compress(raw, 1).unwrap();
        packing += start.elapsed();
        let start = Instant::now();
        sink.put_piece(&piece).unwrap();
        storing += start.elapsed();
        packed += piece.len();
    };
    evaluator
        .write_snapshot(&mut |part| {
            raw.extend_from_slice(part);
            if raw.len() >= 900_000 {
                piece(&raw);
                raw.clear();
            }
        })
        .unwrap();
    piece(&raw);
    println!(
        "compressed into {:.1} MB in {:.2} s, stored without a commit in {:.2} s",
        packed as f64 / 1e6,
        packing.as_secs_f64(),
        storing.as_secs_f64()
    );
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
}
