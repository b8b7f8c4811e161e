//! Runs that come to a sudden end in each phase of a commit, while events go on coming: what goes on from there ends as if
//! nothing had been.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use fineprint::compile::compile;
use fineprint::journal::{Journal, JournalOptions, Position};
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::reference::TableData;
use fineprint::runtime::{
    CheckpointOptions, Commit, Outputs, RejectFile, Resumed, RunOptions, Sink, SinkError, SqliteSink, expand, run,
};
use fineprint::source::SourceMap;
use fineprint::store::{PieceId, Pins, RulesChanged};

use super::{Bench, RULES, events, lines};

/// Directory, name of the log, phase and number of the commit. Unset in the parent, where the child's test does nothing.
const CHILD: &str = "FINEPRINT_TEST_PHASE_CHILD";

/// Up to where a commit comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// The state is out, nothing is stored.
    Begun,
    /// The evaluator's pieces are stored, what stands beside them is not.
    HalfStored,
    /// All pieces are stored, nothing names them.
    Stored,
    /// It is safe; the run does not know yet.
    Committed,
}

const PHASES: [Phase; 4] = [Phase::Begun, Phase::HalfStored, Phase::Stored, Phase::Committed];

/// A log whose process ends within one of its commits.
struct Ending {
    sink: SqliteSink,
    at: Option<(Phase, u64)>,
    commits: u64,
    pieces: u64,
}

impl Ending {
    fn come_to(&self, phase: Phase) {
        if self.at == Some((phase, self.commits)) {
            // Nothing is closed, undone or flushed: as after SIGKILL.
            std::process::abort();
        }
        if self.at.is_some() {
            // Events come meanwhile.
            std::thread::sleep(Duration::from_millis(15));
        }
    }
}

impl Sink for Ending {
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
        self.come_to(if self.pieces == 0 { Phase::Begun } else { Phase::HalfStored });
        self.pieces += 1;
        self.sink.put_piece(bytes)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), SinkError> {
        self.come_to(Phase::Stored);
        self.sink.commit(commit)?;
        self.come_to(Phase::Committed);
        self.commits += 1;
        self.pieces = 0;
        Ok(())
    }
}

/// Runs `e.jsonl` of a directory into a log there.
fn play(dir: &Path, db: &str, at: Option<(Phase, u64)>) {
    let mut sources = SourceMap::default();
    sources.add("acme.tos", RULES);
    let program = compile(&sources).program;
    let columns = program.tables[0].columns.iter().map(|(n, ty)| (n.as_str().into(), ty.clone())).collect();
    let data = ReferenceData { tables: vec![Arc::new(TableData::empty(columns))], ..ReferenceData::default() };
    let rules = Arc::new(RuleSet::new(program, data).unwrap());
    let hash = rules.bundle_hash().to_string();
    let pins =
        Pins { rules: hash.clone(), lists: String::new(), registry: String::new(), config: hash, engine: "1".into() };
    let mut sink = SqliteSink::open(&dir.join(db)).unwrap();
    let pinned = sink.pin(&pins, RulesChanged::Refuse).unwrap();
    let position =
        sink.resume().unwrap().and_then(|r| r.standing.journal).map_or(Position::START, |p| p.parse().unwrap());
    let journal = Journal::open(&dir.join(format!("{db}.journal")), JournalOptions::default(), &position).unwrap();
    let mut sink = Ending { sink, at, commits: 0, pieces: 0 };
    let outputs = Outputs {
        sink: &mut sink,
        journal: Some(journal),
        rejects: Some(RejectFile::append(&dir.join(format!("{db}.rejects"))).unwrap()),
    };
    let options = RunOptions {
        checkpoint: CheckpointOptions { events: 700, interval_ms: 10_000, cost_percent_max: 99 },
        ..RunOptions::default()
    };
    let inputs = expand(&[dir.join("e.jsonl")]).unwrap();
    run(&rules, &options, inputs, pinned, outputs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    sink.sink.close().unwrap();
}

#[test]
fn child_that_ends_within_a_commit() {
    let Some(told) = std::env::var_os(CHILD) else { return };
    let told = told.into_string().unwrap();
    let [dir, db, phase, commit] = told.split('|').collect::<Vec<_>>()[..] else { panic!("{told}") };
    let phase = PHASES[phase.parse::<usize>().unwrap()];
    play(Path::new(dir), db, Some((phase, commit.parse().unwrap())));
}

#[test]
fn a_run_that_ends_within_a_commit_goes_on_as_if_nothing_had_happened() {
    let bench = Bench::new();
    let mut all = events(16_000);
    all.iter_mut().step_by(50).for_each(|e| *e = "no JSON".to_string());
    bench.write("e.jsonl", lines(&all));
    play(bench.dir.path(), "whole.db", None);
    let (export, books) = (bench.export("whole.db"), bench.books("whole.db"));
    let rejects = |db: &str| std::fs::read_to_string(bench.path(&format!("{db}.rejects"))).unwrap();
    assert_eq!(books["received"], 16_000);
    assert!(export.lines().count() > 50);
    for (number, phase) in PHASES.into_iter().enumerate() {
        let db = format!("{number}.db");
        // The first commit of a run, and others that begin while earlier ones are behind it.
        for commit in [0, 2, 1] {
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["cli::phases::child_that_ends_within_a_commit", "--exact"])
                .env(CHILD, format!("{}|{db}|{number}|{commit}", bench.dir.path().display()))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(status.code().is_none(), "{phase:?} of commit {commit}: the run ended by itself: {status}");
        }
        play(bench.dir.path(), &db, None);
        assert!(bench.export(&db) == export, "{phase:?}: another export");
        assert_eq!(bench.books(&db), books, "{phase:?}");
        assert!(rejects(&db) == rejects("whole.db"), "{phase:?}: other refused lines");
    }
}
