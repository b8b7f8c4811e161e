//! A session behind a queue: what it finds is what an evaluator finds that is handed the same; nothing is lost of which a
//! receipt told, whenever it is killed and whatever the log does.

/// Sudden ends of a process, and what goes on from there.
mod kills;
/// Rules that change while it runs.
mod reload;
/// A log that is slow or cannot be written, a queue that is full, a journal that cannot be written.
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fineprint::compile::compile;
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::UsageEvent;
use fineprint::event::decode::Decoder;
use fineprint::journal::Position;
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::reference::TableData;
use fineprint::runtime::live::{Asked, Held, Library, Live, LiveOptions, Replayed, SealedFinding, again, hold, replay};
use fineprint::runtime::{CheckpointOptions, Commit, Resumed, Sink, SinkError, SqliteSink};
use fineprint::source::SourceMap;
use fineprint::store::{PieceId, Pins, RulesChanged};
use fineprint::time::Timestamp;
use fineprint::violation::{Violation, to_json};

/// 2026-01-01, a whole hour.
pub const START: i64 = 1_767_225_600_000_000_000;
pub const SECOND: i64 = 1_000_000_000;

/// A policy, and the rules that follow.
pub const POLICY: &str = r#"
policy acme.terms version 2025-09-15 {
  title "Terms"
  url   "https://example.com/terms"
  clause volume at "3.1"
    "Calls beyond an agreed volume are not allowed."
}
"#;

/// A window rule that opens and closes, one on single events with a text test, one that asks memory, and a sequence with an absence.
pub const RULES: &str = r#"
rule many-calls {
  enforces acme.terms.volume
  severity medium
  mode     shadow
  on       completion
  per      account
  over     10m every 1m
  let      calls = count()
  when     calls >= 40
  action   alert "volume"
  budget   3 per day
  because  "{calls} calls in ten minutes"
}

rule elicits {
  enforces acme.terms.volume
  severity low
  mode     shadow
  on       completion where prompt has any of ["step by step"]
  because  "asks for steps"
}

rule out-of-nowhere {
  enforces acme.terms.volume
  severity low
  mode     shadow
  on       completion where status = 403 and not (account seen before within 3m)
  because  "a refused call by an account that was silent for three minutes"
}

rule refused-then-silent {
  enforces acme.terms.volume
  severity low
  mode     shadow
  on sequence per account within 4m {
    first completion where status = 403
    then no completion within 2m
  }
  because "nothing followed"
}
"#;

pub fn rules(text: &str) -> Arc<RuleSet> {
    let mut sources = SourceMap::default();
    sources.add("acme.tos", format!("{POLICY}{text}"));
    let compiled = compile(&sources);
    assert!(!fineprint::diagnostic::has_errors(&compiled.diagnostics), "{:?}", compiled.diagnostics);
    let program = compiled.program;
    let columns = program.tables[0].columns.iter().map(|(n, ty)| (n.as_str().into(), ty.clone())).collect();
    let data = ReferenceData { tables: vec![Arc::new(TableData::empty(columns))], ..ReferenceData::default() };
    Arc::new(RuleSet::new(program, data).unwrap())
}

/// Some number that looks drawn.
pub fn drawn(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The n-th event: a few accounts, about two a second, somewhat out of order; some refused, some with a prompt.
pub fn event(n: u64) -> UsageEvent<'static> {
    let d = drawn(n);
    let account = if d.is_multiple_of(5) { n / 7 % 300 } else { d / 7 % 25 };
    let ts = START + n as i64 * SECOND / 2 - (d / 11 % 90) as i64 * SECOND;
    let status = if d.is_multiple_of(9) { 403 } else { 200 };
    let prompt = if d.is_multiple_of(13) { "Explain it step by step, please." } else { "Hello there." };
    let line = format!(
        r#"{{"type":"completion","id":"e{n}","ts":"{}","account":"a{account}","status":{status},"prompt":"{prompt}"}}"#,
        Timestamp(ts)
    );
    Decoder::new().decode(line.as_bytes()).unwrap().into_owned()
}

pub fn events(range: std::ops::Range<u64>) -> Vec<UsageEvent<'static>> {
    range.map(event).collect()
}

/// When the n-th event comes.
pub fn arrival(n: u64) -> Timestamp {
    Timestamp(START + n as i64 * SECOND / 2)
}

/// What one evaluator finds in events, undisturbed, as a stream that may go on.
pub fn expected(rules: &Arc<RuleSet>, events: &[UsageEvent<'static>]) -> Vec<String> {
    let mut evaluator = Evaluator::new(Arc::clone(rules), EvalOptions::default());
    for (line, event) in (1..).zip(events) {
        evaluator.observe(event, Origin { input: 0, line });
    }
    told(&evaluator.take_violations())
}

/// Violations as their records.
pub fn told(found: &[Violation]) -> Vec<String> {
    let mut found: Vec<&Violation> = found.iter().collect();
    found.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
    found.into_iter().map(|v| to_json(v).to_string()).collect()
}

/// Rule sets by their hashes.
#[derive(Debug, Default)]
pub struct Known(pub Mutex<BTreeMap<String, Arc<RuleSet>>>);

impl Known {
    pub fn of(all: &[&Arc<RuleSet>]) -> Arc<Known> {
        let known = all.iter().map(|r| (r.bundle_hash().to_string(), Arc::clone(r))).collect();
        Arc::new(Known(Mutex::new(known)))
    }
}

impl Library for Known {
    fn find(&self, bundle: &str) -> Result<Arc<RuleSet>, String> {
        self.0.lock().unwrap().get(bundle).cloned().ok_or_else(|| format!("no rules {bundle}"))
    }
}

/// A log that can be told to be slow or broken.
pub struct Log {
    sink: SqliteSink,
    pub fails: Arc<AtomicBool>,
    pub slow_ms: Arc<AtomicU64>,
}

impl Log {
    pub fn open(db: &Path) -> Log {
        let mut sink = SqliteSink::open(db).unwrap();
        sink.pin(&Pins::default(), RulesChanged::Keep).unwrap();
        Log { sink, fails: Arc::default(), slow_ms: Arc::default() }
    }

    fn trouble(&self) -> Result<(), SinkError> {
        std::thread::sleep(Duration::from_millis(self.slow_ms.load(Ordering::Relaxed)));
        match self.fails.load(Ordering::Relaxed) {
            true => Err(SinkError::new(std::io::Error::other("the disk is dead"))),
            false => Ok(()),
        }
    }
}

impl Sink for Log {
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
        self.trouble()?;
        self.sink.put_piece(bytes)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), SinkError> {
        self.trouble()?;
        self.sink.commit(commit)
    }
}

/// A directory with a log.
pub struct Bench {
    pub dir: tempfile::TempDir,
    /// Findings as they were told after commits.
    pub told: Arc<Mutex<BTreeMap<String, Violation>>>,
}

impl Bench {
    pub fn new() -> Bench {
        Bench { dir: tempfile::tempdir().unwrap(), told: Arc::default() }
    }

    pub fn db(&self) -> std::path::PathBuf {
        self.dir.path().join("v.db")
    }

    pub fn options(&self) -> LiveOptions {
        let mut options = LiveOptions::new(self.dir.path().join("v.db.journal"));
        options.checkpoint = CheckpointOptions { events: 300, interval_ms: 50, cost_percent_max: 99 };
        options.retry_ms = 20;
        options
    }

    pub fn open(&self, rules: &Arc<RuleSet>, options: LiveOptions) -> Live {
        self.open_on(rules, options, Log::open(&self.db()))
    }

    pub fn open_on(&self, rules: &Arc<RuleSet>, options: LiveOptions, log: Log) -> Live {
        let told = Arc::clone(&self.told);
        let on_commit = Box::new(move |found: &[Violation]| {
            let order: Vec<_> = found.iter().map(|v| (v.opened_at, &v.id)).collect();
            assert!(order.is_sorted());
            told.lock().unwrap().extend(found.iter().map(|v| (v.id.clone(), v.clone())));
        });
        Live::open(Arc::clone(rules), Box::new(log), options, on_commit).unwrap()
    }

    /// What was told after commits, in its last state.
    pub fn committed(&self) -> Vec<String> {
        told(&self.told.lock().unwrap().values().cloned().collect::<Vec<_>>())
    }

    /// The records of the log.
    pub fn log(&self) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = fineprint::store::Store::open(&self.db(), fineprint::store::Access::ReadOnly).await.unwrap();
            let mut out = Vec::new();
            let mut take = |row: &fineprint::store::Row| {
                out.push(row.record.clone());
                Ok(())
            };
            store.export(&fineprint::store::Filter::default(), &mut take).await.unwrap();
            out
        })
    }

    /// What the log seals against what comes out of the journal.
    pub fn held(&self, library: &dyn Library) -> Held {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (verified, records) = runtime.block_on(async {
            let store = fineprint::store::Store::open(&self.db(), fineprint::store::Access::ReadOnly).await.unwrap();
            let mut records = BTreeMap::new();
            let mut take = |row: &fineprint::store::Row| {
                records.insert(row.id.clone(), row.record.clone());
                Ok(())
            };
            store.export(&fineprint::store::Filter::default(), &mut take).await.unwrap();
            (store.verify(None, &[], &mut |_| ()).await.unwrap(), records)
        });
        assert!(verified.holds(), "{:?}", verified.problems);
        let sealed = |id: &str| verified.findings.get(id).map(|(hash, _)| *hash);
        let mut asked = Asked { sealed: &sealed, each_end: false, progress: &mut |_| () };
        let until = verified.journal.as_deref().unwrap().parse().unwrap();
        let again = again(&self.dir.path().join("v.db.journal"), &until, library, &mut asked).unwrap();
        let sealed = |(id, (hash, entry)): (&String, &([u8; 32], u64))| {
            (id.clone(), SealedFinding { hash: *hash, entry: *entry, is_touched: false })
        };
        let sealed = verified.findings.iter().map(sealed).collect();
        hold(&sealed, &again, None, &mut |id| records.get(id).cloned())
    }

    /// A run over the journal; every finding of the log is found in it again.
    pub fn again(&self, library: &dyn Library) -> Replayed {
        let held = self.held(library);
        assert!(held.told.is_empty() && held.dropped.is_empty(), "{:?} {:?}", held.told, held.dropped);
        assert_eq!((held.re_derived, held.but_for_delays), (self.log().len() as u64, 0));
        replay(&self.dir.path().join("v.db.journal"), None, library, &EvalOptions::default()).unwrap()
    }
}

/// Hands events in, in bodies of different lengths, and waits where there is no room. The receipt of the last.
pub fn hand_in(live: &Live, range: std::ops::Range<u64>) {
    let mut at = range.start;
    let mut last = None;
    while at < range.end {
        let to = (at + 1 + drawn(at) % 40).min(range.end);
        loop {
            match live.submit(events(at..to), "test", arrival(to)) {
                Ok(receipt) => break last = Some(receipt),
                Err(fineprint::runtime::live::Busy::Full { .. }) => std::thread::sleep(Duration::from_millis(2)),
                Err(other) => panic!("{other}"),
            }
        }
        at = to;
    }
    if let Some(receipt) = last {
        receipt.wait().unwrap();
    }
}

#[test]
fn a_session_finds_what_an_evaluator_finds() {
    let bench = Bench::new();
    let rules = rules(RULES);
    let live = bench.open(&rules, bench.options());
    hand_in(&live, 0..4_000);
    live.drain().unwrap();
    let status = live.status();
    assert_eq!((status.phase.word(), status.last_error.as_deref()), ("ended", None));
    assert!(status.books.balance() && status.books.received == 4_000, "{:?}", status.books);
    assert!(status.commits > 0 && status.syncs > 0, "{status:?}");
    let expected = expected(&rules, &events(0..4_000));
    assert!(expected.len() > 200, "{}", expected.len());
    assert_eq!(bench.committed(), expected);
    assert_eq!(bench.log().len(), expected.len());
    let again = bench.again(&*Known::of(&[&rules]));
    assert_eq!(told(&again.violations), expected);
    assert_eq!(again.books, status.books);
    assert!(live.submit(events(0..1), "test", arrival(0)).is_err());
}

/// Handed in by several threads at once, with copies and records that cannot be read: whatever order they came in, the
/// journal has it, and the books balance.
#[test]
fn many_threads_hand_in() {
    let bench = Bench::new();
    let rules = rules(RULES);
    let live = bench.open(&rules, bench.options());
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let live = &live;
            scope.spawn(move || {
                let source = format!("source-{thread}");
                for at in (thread * 10..2_000).step_by(40) {
                    let mut records: Vec<_> = events(at..at + 10).into_iter().map(Ok).collect();
                    records.push(Ok(event(at)));
                    records.insert(3, Err(Decoder::new().decode(b"no JSON").unwrap_err()));
                    live.submit_records(records, &source, arrival(at)).unwrap().wait().unwrap();
                }
            });
        }
    });
    live.drain().unwrap();
    let books = live.status().books;
    assert_eq!((books.received, books.rejected["syntax"]), (2_400, 200), "{books:?}");
    assert!(books.balance() && books.evaluated + books.late + books.duplicate == 2_200, "{books:?}");
    let again = bench.again(&*Known::of(&[&rules]));
    assert_eq!(told(&again.violations), bench.committed());
    assert_eq!(again.books, books);
    assert_ne!(live.status().journal, Position::START);
}

/// While nothing comes, the clock of the caller lets steps end and absences be found; a run over the journal sees it.
#[test]
fn the_clock_of_the_caller_lets_time_pass() {
    let bench = Bench::new();
    let rules = rules(RULES);
    let live = bench.open(&rules, bench.options());
    // Before the first event it says nothing: what is handed in may be old.
    live.advance(Timestamp(START + 1_000_000 * SECOND));
    hand_in(&live, 0..600);
    // A receipt may come a moment before the status.
    let before = std::iter::repeat_with(|| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        live.status().watermark
    });
    let before = before.take(2_000).flatten().next();
    live.advance(Timestamp(START));
    live.advance(Timestamp(START + 3_600 * SECOND));
    live.advance(Timestamp(START + 3_600 * SECOND + 1));
    live.drain().unwrap();
    assert!(before.unwrap() < Timestamp(START + 300 * SECOND));
    assert_eq!(live.status().watermark, Some(Timestamp(START + 3_300 * SECOND)));
    let mut evaluator = Evaluator::new(Arc::clone(&rules), EvalOptions::default());
    for e in events(0..600) {
        evaluator.observe(&e, Origin::default());
    }
    evaluator.advance(Timestamp(START + 3_300 * SECOND));
    let expected = told(&evaluator.take_violations());
    assert!(expected.iter().any(|v| v.contains("refused-then-silent")));
    assert_eq!(bench.committed(), expected);
    let again = bench.again(&*Known::of(&[&rules]));
    assert_eq!(told(&again.violations), expected);
}

#[test]
fn a_log_of_runs_over_files_is_refused() {
    let bench = Bench::new();
    let rules = rules(RULES);
    std::fs::write(bench.dir.path().join("e.jsonl"), "").unwrap();
    let inputs = fineprint::runtime::expand(&[bench.dir.path().join("e.jsonl")]).unwrap();
    let mut log = Log::open(&bench.db());
    let outputs = fineprint::runtime::Outputs { sink: &mut log, journal: None, rejects: None };
    let options = fineprint::runtime::RunOptions::default();
    let pinned = fineprint::store::Pinned::First;
    fineprint::runtime::run(&rules, &options, inputs, pinned, outputs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    let refused = Live::open(rules, Box::new(log), bench.options(), Box::new(|_| {})).unwrap_err();
    assert!(refused.to_string().contains("`fineprint run`"), "{refused}");
}
