//! What it costs that a log can be checked: violations with evidence written and sealed beside plain inserts of the same rows, bytes
//! on the disk, the time to verify, and many violations in one commit by how much of the log is kept in memory.
//!
//! `cargo bench --bench seal [-- VIOLATIONS]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark"
)]

use std::path::Path;
use std::time::Instant;

use fineprint::hir::{Confidence, Mode, Severity};
use fineprint::pack::{self, PackOptions};
use fineprint::runtime::{MemorySink, Outputs, RunOptions, expand, run};
use fineprint::store::{Access, Batch, Entry, Pinned, Store};
use fineprint::template::FingerprintKey;
use fineprint::time::{SECOND_NS, Timestamp};
use fineprint::violation::{Status, Violation};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};

/// Violations in a transaction of the first part.
const BATCH: usize = 2_000;
/// Rounds, of which the median counts.
const ROUNDS: usize = 5;

fn main() {
    let n: usize = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(50_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let like = found();
    let violations: Vec<Violation> = (0..n).map(|i| violation(&like, i as u64)).collect();
    let bytes: usize = violations.iter().take(1_000).map(|v| Entry::from(v).row.record.len()).sum();
    println!("{n} violations of {} bytes on average, {BATCH} in a transaction, each synced", bytes / n.min(1_000));
    let (mut sealed, mut plain) = (Vec::new(), Vec::new());
    let mut sizes = (0, 0);
    for _ in 0..ROUNDS {
        let work = tempfile::tempdir().unwrap();
        let (a, b) = (work.path().join("sealed.db"), work.path().join("plain.db"));
        sealed.push(n as f64 / runtime.block_on(write_sealed(&a, &violations)));
        plain.push(n as f64 / runtime.block_on(write_plain(&b, &violations)));
        sizes = (a.metadata().unwrap().len(), b.metadata().unwrap().len());
    }
    let (sealed, plain) = (median(sealed), median(plain));
    println!("sealed {sealed:.0}/s, plain inserts of the same rows {plain:.0}/s: {:.2}", sealed / plain);
    let each = |bytes: u64| bytes as f64 / n as f64;
    println!("bytes a violation on the disk: sealed {:.0}, plain {:.0}", each(sizes.0), each(sizes.1));

    let work = tempfile::tempdir().unwrap();
    let db = work.path().join("v.db");
    runtime.block_on(async {
        write_sealed(&db, &violations).await;
        let store = Store::open(&db, Access::ReadOnly).await.unwrap();
        let began = Instant::now();
        let verified = store.verify(None, &[], &mut |_| {}).await.unwrap();
        let took = began.elapsed().as_secs_f64();
        assert!(verified.holds(), "{verified:?}");
        let per = took * 1e5 / verified.entries as f64;
        println!("verified {} entries and what they seal in {took:.2} s: {per:.2} s per 100,000", verified.entries);
        store.close().await.unwrap();
    });
    journal();
    let many = n * 4;
    println!("{many} violations in one commit, by the writer's cache and violations in a part of it:");
    let violations: Vec<Violation> = (0..many).map(|i| violation(&like, i as u64)).collect();
    for (cache_mib, part) in [(16, 256), (64, 256), (128, 256), (256, 256), (16, 2_048), (64, 2_048), (16, 256)] {
        let work = tempfile::tempdir().unwrap();
        let took = runtime.block_on(one_commit(&work.path().join("v.db"), &violations, cache_mib, part));
        println!("  {cache_mib:>3} MiB, {part:>5} in a part: {:.0}/s", many as f64 / took);
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// A finding of the shipped rules over the sample, with its evidence: one of middling length.
fn found() -> Violation {
    let mut all = sample().1;
    all.sort_by_key(|v| Entry::from(v).row.record.len());
    all.swap_remove(all.len() / 2)
}

/// Events of the sample, and what the shipped rules find in it.
fn sample() -> (u64, Vec<Violation>) {
    let traffic = Path::new("examples/traffic");
    let (lists, accounts) = (traffic.join("lists"), traffic.join("accounts.jsonl"));
    let options = PackOptions {
        rules: Path::new("rules"),
        lists: Some(&lists),
        accounts: Some(&accounts),
        as_of: None,
        fingerprint_key: FingerprintKey::PUBLIC,
    };
    let rules = pack::load(&options).unwrap().rules.unwrap();
    let inputs = expand(&[traffic.join("events.jsonl.gz")]).unwrap();
    let mut sink = MemorySink::default();
    let outputs = Outputs { sink: &mut sink, journal: None, rejects: None };
    let never = std::sync::atomic::AtomicBool::new(false);
    let options = RunOptions::default();
    let summary = run(&rules, &options, inputs, Pinned::First, outputs, &never, &mut |_| {}).unwrap();
    (summary.books.received, sink.into_violations())
}

/// Bytes of the journal for each event of the sample under the shipped rules.
fn journal() {
    let work = tempfile::tempdir().unwrap();
    let db = work.path().join("v.db");
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_fineprint"))
        .args(["run", "--exit-zero", "--rules", "rules", "--accounts", "examples/traffic/accounts.jsonl"])
        .args(["--lists", "examples/traffic/lists", "examples/traffic/events.jsonl.gz", "--db"])
        .arg(&db)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let segments = std::fs::read_dir(work.path().join("v.db.journal")).unwrap();
    let bytes: u64 = segments.map(|s| s.unwrap().metadata().unwrap().len()).sum();
    let events = sample().0;
    println!("journal: {bytes} bytes for {events} events, {:.0} an event", bytes as f64 / events as f64);
}

/// Like one that was found, of another account.
fn violation(like: &Violation, n: u64) -> Violation {
    let at = Timestamp((1_700_000_000 + n as i64) * SECOND_NS);
    let account = format!("acct_{}", n % 20_011);
    Violation {
        id: format!("{:032x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        rule: format!("rule_{}", n % 12),
        clauses: like.clauses.clone(),
        severity: Severity::ALL[(n % 5) as usize],
        confidence: Confidence::Medium,
        mode: Mode::ALL[(n % 3) as usize],
        status: Status::Closed,
        opened_at: at,
        updated_at: at,
        group: vec![("account".into(), account.clone())],
        accounts: vec![account],
        because: format!("case {n}"),
        ..like.clone()
    }
}

/// As a run writes them, making rows of findings included. Seconds.
async fn write_sealed(db: &Path, violations: &[Violation]) -> f64 {
    let mut store = Store::open(db, Access::ReadWrite).await.unwrap();
    let began = Instant::now();
    for batch in violations.chunks(BATCH) {
        let entries: Vec<Entry> = batch.iter().map(Entry::from).collect();
        store.commit(&Batch { violations: &entries, ..Batch::default() }).await.unwrap();
    }
    let took = began.elapsed().as_secs_f64();
    store.close().await.unwrap();
    took
}

const ROW: &str = "INSERT INTO violations (id, rule, rule_hash, policy, clause, severity, confidence, mode, status, opened_at, \
                   updated_at, closed_at, n_accounts, digest, record) VALUES ";
const TUPLE: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
/// Rows in a statement, as the store has them.
const ROWS: usize = 256;

/// The same rows into tables with the same indexes, by the same statements and transactions, ready made and not sealed. Seconds.
async fn write_plain(db: &Path, violations: &[Violation]) -> f64 {
    Store::open(db, Access::ReadWrite).await.unwrap().close().await.unwrap();
    let rows: Vec<Entry> = violations.iter().map(Entry::from).collect();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(db);
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    let settings = ["journal_mode = WAL", "synchronous = FULL", "cache_size = -16384", "wal_autocheckpoint = 16384"];
    for pragma in settings {
        conn.execute(AssertSqlSafe(format!("PRAGMA {pragma}"))).await.unwrap();
    }
    let began = Instant::now();
    for batch in rows.chunks(BATCH) {
        conn.execute("BEGIN IMMEDIATE").await.unwrap();
        for part in batch.chunks(ROWS) {
            let sql = format!("{ROW}{}", vec![TUPLE; part.len()].join(", "));
            let mut insert = sqlx::query(AssertSqlSafe(sql));
            for Entry { row: r, .. } in part {
                insert = insert.bind(&r.id).bind(&r.rule).bind(&r.rule_hash).bind(&r.policy).bind(&r.clause);
                insert =
                    insert.bind(r.severity as i64).bind(r.confidence as i64).bind(r.mode.word()).bind(r.status.word());
                insert = insert.bind(r.opened_at.0).bind(r.updated_at.0).bind(r.closed_at.map(|t| t.0));
                insert = insert.bind(r.n_accounts as i64).bind([0u8; 32].as_slice()).bind(&r.record);
            }
            insert.execute(&mut conn).await.unwrap();
            let sql = format!("INSERT INTO violation_accounts VALUES {}", vec!["(?, ?, ?)"; part.len()].join(", "));
            let mut insert = sqlx::query(AssertSqlSafe(sql));
            for entry in part {
                insert = insert.bind(&entry.accounts[0]).bind(entry.row.opened_at.0).bind(&entry.row.id);
            }
            insert.execute(&mut conn).await.unwrap();
        }
        conn.execute("COMMIT").await.unwrap();
    }
    let took = began.elapsed().as_secs_f64();
    conn.close().await.unwrap();
    took
}

/// All in one commit, in parts, as the sink of a run does. Seconds.
async fn one_commit(db: &Path, violations: &[Violation], cache_mib: u64, part: usize) -> f64 {
    let mut store = Store::open(db, Access::ReadWrite).await.unwrap();
    store.set_cache(cache_mib << 10).await.unwrap();
    let began = Instant::now();
    for part in violations.chunks(part) {
        let entries: Vec<Entry> = part.iter().map(Entry::from).collect();
        store.put(&Batch { violations: &entries, ..Batch::default() }).await.unwrap();
    }
    store.commit(&Batch::default()).await.unwrap();
    let took = began.elapsed().as_secs_f64();
    store.close().await.unwrap();
    took
}
