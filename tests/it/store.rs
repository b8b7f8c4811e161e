#![cfg(feature = "runtime")]

mod actions;
mod decisions;
mod journal;
mod kill;
mod pages;
mod sealed;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fineprint::export::{CsvWriter, JsonlWriter};
use fineprint::hir::{Confidence, Mode, Severity};
use fineprint::store::{
    Access, Batch, Checkpoint, Disposition, Entry, Filter, Input, Outcome, Pinned, Pins, Reject, Resume, RulesChanged,
    Store, StoreError, Written,
};
use fineprint::time::{Duration, SECOND_NS, Timestamp};
use fineprint::violation::{Enforced, Evidence, Proposal, Status, Violation, Withheld};
use proptest::prelude::*;
use sqlx::Connection;

/// A small violation that differs from others in what `n` decides.
/// Takes a log back to the release before decisions that were given were sealed.
pub const AS_BEFORE_SEALED_DECISIONS: &str = "DROP TABLE server_notes; DROP TABLE given_erased; DROP TABLE alert_deliveries; \
    DROP TABLE decided; DROP INDEX decisions_given_by_call; DROP TRIGGER decisions_are_not_changed; \
    CREATE TRIGGER decisions_are_not_changed BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'not changed'); END; \
    DROP TRIGGER action_entries_are_not_changed; \
    CREATE TRIGGER action_entries_are_not_changed BEFORE UPDATE ON action_entries BEGIN SELECT RAISE(ABORT, 'not changed'); END; \
    DROP TABLE erasures; DELETE FROM _sqlx_migrations WHERE version >= 12";

fn violation(n: u64) -> Violation {
    let at = Timestamp((1_700_000_000 + (n / 3) as i64) * SECOND_NS);
    Violation {
        id: format!("{:032x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        rule: format!("rule_{}", n % 7),
        rule_hash: "ab".repeat(32),
        clauses: vec![Enforced {
            policy: format!("provider_{}.terms", n % 2),
            version: "2025-01-01".into(),
            clause: format!("clause_{}", n % 5),
            section: "3(b)".into(),
            says: "no resale".into(),
            from: Timestamp(0),
            in_force: true,
        }],
        severity: Severity::ALL[(n % 5) as usize],
        confidence: Confidence::Medium,
        mode: Mode::ALL[(n % 3) as usize],
        status: Status::ALL[(n % 2) as usize],
        opened_at: at,
        updated_at: at,
        closed_at: None,
        merged_into: None,
        group: vec![("account".into(), format!("acct_{}", n % 11))],
        window: None,
        accounts: vec![format!("acct_{}", n % 11)],
        values: vec![],
        evidence: Evidence::default(),
        exceptions: vec![],
        actions: vec![],
        because: format!("case {n}"),
        link: None,
        mistaken_for: vec![],
    }
}

fn entry(n: u64) -> Entry {
    Entry::from(&violation(n))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    (dir, path)
}

async fn writable(path: &Path) -> Store {
    Store::open(path, Access::ReadWrite).await.unwrap()
}

async fn commit(store: &mut Store, violations: &[Entry]) -> Written {
    store.commit(&Batch { violations, ..Batch::default() }).await.unwrap()
}

async fn exported(store: &Store, filter: &Filter) -> String {
    let mut out = JsonlWriter::new(Vec::new());
    store.export(filter, &mut |row| out.write(&row.record)).await.unwrap();
    String::from_utf8(out.finish().unwrap()).unwrap()
}

fn checkpoint(n: u64) -> Checkpoint {
    Checkpoint {
        inputs: vec![
            Input {
                name: "z.jsonl".into(),
                content_hash: format!("h{n}"),
                offset_bytes: n,
                n_lines: n,
                finished: false,
            },
            Input { name: "a.jsonl".into(), content_hash: "h".into(), offset_bytes: 9, n_lines: 1, finished: true },
        ],
        books: BTreeMap::from([("received".to_owned(), n), ("evaluated".to_owned(), n)]),
        snapshot: Vec::new(),
        journal: Some(format!("position {n}")),
    }
}

/// A checkpoint with its pieces put.
async fn put(store: &mut Store, n: u64, pieces: &[Vec<u8>]) -> Resume {
    let mut checkpoint = checkpoint(n);
    for piece in pieces {
        checkpoint.snapshot.push(store.put_piece(piece).await.unwrap());
    }
    Resume { checkpoint, pieces: pieces.to_vec() }
}

fn pieces(n: u64) -> Vec<Vec<u8>> {
    // The second comes up again, under other numbers too.
    vec![vec![n as u8; 1 << 20], vec![0; 1 << 20], vec![n as u8; 70], vec![0; 1 << 20]]
}

async fn execute(path: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

async fn refusal(path: &Path, access: Access) -> StoreError {
    Store::open(path, access).await.expect_err("must be refused")
}

#[test]
fn a_batch_is_idempotent() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let batch: Vec<Entry> = (0..100).map(entry).collect();
        assert_eq!(commit(&mut store, &batch).await, Written { added: 100, changed: 0, unchanged: 0 });
        let before = exported(&store, &Filter::default()).await;
        assert_eq!(commit(&mut store, &batch).await, Written { added: 0, changed: 0, unchanged: 100 });
        assert_eq!(exported(&store, &Filter::default()).await, before);
    });
}

#[test]
fn a_changed_record_replaces_its_row_and_accounts() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let mut v = violation(1);
        v.accounts = vec!["a".into(), "b".into()];
        commit(&mut store, &[Entry::from(&v)]).await;
        v.accounts = vec!["b".into(), "c".into()];
        v.status = Status::Closed;
        assert_eq!(commit(&mut store, &[Entry::from(&v)]).await, Written { added: 0, changed: 1, unchanged: 0 });
        for (account, n) in [("a", 0), ("b", 1), ("c", 1)] {
            let filter = Filter { account: Some(account.into()), ..Filter::default() };
            assert_eq!(store.list(&filter).await.unwrap().len(), n, "{account}");
        }
        let row = store.get(&v.id).await.unwrap().unwrap();
        assert_eq!((row.status, row.n_accounts), (Status::Closed, 2));
    });
}

#[test]
fn a_retracted_violation_goes_with_its_accounts() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let mut v = violation(1);
        v.accounts = vec!["a \"b\"".into(), "c".into(), violation(2).accounts[0].clone()];
        commit(&mut store, &[Entry::from(&v), entry(2)]).await;
        store.commit(&Batch { retracted: &[v.id, "not there".into()], ..Batch::default() }).await.unwrap();
        assert_eq!(exported(&store, &Filter::default()).await, format!("{}\n", entry(2).row.record));
        for (account, n) in [("a \"b\"", 0), ("c", 0), (violation(2).accounts[0].as_str(), 1)] {
            let filter = Filter { account: Some(account.into()), ..Filter::default() };
            assert_eq!(store.list(&filter).await.unwrap().len(), n, "{account}");
        }
        store.close().await.unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM violation_accounts").fetch_one(&mut conn).await.unwrap();
        assert_eq!(rows, 1);
    });
}

#[test]
fn of_two_with_one_id_the_later_counts() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let (first, mut second) = (violation(1), violation(1));
        second.because = "later".into();
        let written = commit(&mut store, &[Entry::from(&first), Entry::from(&second)]).await;
        assert_eq!(written, Written { added: 1, changed: 0, unchanged: 0 });
        assert!(store.get(&first.id).await.unwrap().unwrap().record.contains("later"));
    });
}

#[test]
fn a_checkpoint_comes_back_as_it_was_written() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        assert_eq!(store.resume().await.unwrap(), None);
        for n in [7, 8] {
            let resume = put(&mut store, n, &pieces(n)).await;
            store.commit(&Batch { checkpoint: Some(&resume.checkpoint), ..Batch::default() }).await.unwrap();
            assert_eq!(store.resume().await.unwrap().unwrap(), resume);
        }
        let mut short = put(&mut store, 9, &[b"x".to_vec()]).await;
        short.checkpoint.journal = None;
        store.commit(&Batch { checkpoint: Some(&short.checkpoint), ..Batch::default() }).await.unwrap();
        store.commit(&Batch::default()).await.unwrap();
        store.close().await.unwrap();
        assert_eq!(writable(&path).await.resume().await.unwrap().unwrap(), short);
    });
}

#[test]
fn pieces_that_no_commit_names_do_not_last() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let resume = put(&mut store, 7, &pieces(7)).await;
        store.commit(&Batch { checkpoint: Some(&resume.checkpoint), ..Batch::default() }).await.unwrap();
        put(&mut store, 8, &pieces(8)).await;
        drop(store);
        let mut store = writable(&path).await;
        assert_eq!(store.resume().await.unwrap().unwrap(), resume);
        store.commit(&Batch { checkpoint: Some(&checkpoint(9)), ..Batch::default() }).await.unwrap();
        assert_eq!(store.resume().await.unwrap().unwrap().pieces, Vec::<Vec<u8>>::new());
    });
}

#[test]
fn an_altered_snapshot_is_found() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let resume = put(&mut store, 7, &pieces(7)).await;
        store.commit(&Batch { checkpoint: Some(&resume.checkpoint), ..Batch::default() }).await.unwrap();
        store.close().await.unwrap();
        execute(&path, "UPDATE piece SET bytes = CAST(substr(bytes, 1, 10) || x'08' || substr(bytes, 12) AS BLOB)")
            .await;
        let error = writable(&path).await.resume().await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    });
}

#[test]
fn two_runs_cannot_write_one_log() {
    let (_dir, path) = fresh();
    wait(async {
        let mut first = writable(&path).await;
        let error = refusal(&path, Access::ReadWrite).await;
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("being written by another run"), "{error}");
        // A reviewer reads meanwhile.
        commit(&mut first, &[entry(1)]).await;
        let reader = Store::open(&path, Access::ReadOnly).await.unwrap();
        assert_eq!(reader.list(&Filter::default()).await.unwrap().len(), 1);
        drop(first);
        writable(&path).await;
    });
}

#[cfg(unix)]
#[test]
fn a_link_to_a_log_has_the_same_lock() {
    let (dir, path) = fresh();
    wait(async {
        let _first = writable(&path).await;
        let link = dir.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(refusal(&link, Access::ReadWrite).await, StoreError::Locked { .. }));
    });
}

#[test]
fn what_is_no_log_is_left_as_it_was() {
    let (dir, path) = fresh();
    wait(async {
        fs::write(&path, "events,of,some,kind\n".repeat(100)).unwrap();
        let before = fs::read(&path).unwrap();
        for access in [Access::ReadWrite, Access::ReadOnly] {
            let error = refusal(&path, access).await;
            assert!(matches!(error, StoreError::NotADatabase { .. }), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), before);

        let foreign = dir.path().join("foreign.db");
        execute(&foreign, "CREATE TABLE t (x)").await;
        let before = fs::read(&foreign).unwrap();
        for access in [Access::ReadWrite, Access::ReadOnly] {
            assert!(matches!(refusal(&foreign, access).await, StoreError::Foreign { application_id: 0, .. }));
        }
        execute(&foreign, "PRAGMA application_id = 77").await;
        assert!(matches!(refusal(&foreign, Access::ReadWrite).await, StoreError::Foreign { application_id: 77, .. }));
        execute(&foreign, "PRAGMA application_id = 0").await;
        assert_eq!(fs::read(&foreign).unwrap().len(), before.len());

        let directory = refusal(dir.path(), Access::ReadWrite).await;
        assert!(matches!(directory, StoreError::NotADatabase { .. }), "{directory}");
    });
}

#[test]
fn paths_that_lead_nowhere_are_named() {
    let (dir, path) = fresh();
    wait(async {
        assert!(matches!(refusal(&path, Access::ReadOnly).await, StoreError::Missing { .. }));
        assert!(!path.exists());
        let nowhere = dir.path().join("no/such/log.db");
        assert!(matches!(refusal(&nowhere, Access::ReadWrite).await, StoreError::NoDirectory { .. }));
        fs::write(dir.path().join("file"), "x").unwrap();
        let under_a_file = dir.path().join("file/log.db");
        let error = refusal(&under_a_file, Access::ReadWrite).await;
        assert!(matches!(error, StoreError::NoDirectory { .. }), "{error}");
    });
}

#[test]
fn an_empty_log_can_be_read() {
    let (_dir, path) = fresh();
    wait(async {
        writable(&path).await.close().await.unwrap();
        let reader = Store::open(&path, Access::ReadOnly).await.unwrap();
        assert_eq!(exported(&reader, &Filter::default()).await, "");
        assert_eq!(reader.pins().await.unwrap(), None);
        let mut reader = reader;
        let error = reader.commit(&Batch::default()).await.unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    });
}

#[test]
fn a_newer_schema_is_refused() {
    let (_dir, path) = fresh();
    wait(async {
        writable(&path).await.close().await.unwrap();
        execute(
            &path,
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'x', 1, x'00', 0)",
        )
        .await;
        for access in [Access::ReadWrite, Access::ReadOnly] {
            let error = refusal(&path, access).await;
            assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error}");
        }
    });
}

#[test]
fn a_creation_that_was_cut_off_is_completed() {
    let (_dir, path) = fresh();
    wait(async {
        execute(&path, "PRAGMA application_id = 0x464e5054").await;
        let error = refusal(&path, Access::ReadOnly).await;
        assert!(matches!(error, StoreError::OlderSchema { found: 0, .. }), "{error}");
        let mut store = writable(&path).await;
        commit(&mut store, &[entry(1)]).await;
    });
}

#[test]
fn other_pins_are_refused_kept_or_reset() {
    let (_dir, path) = fresh();
    let pins = Pins { rules: "r1".into(), lists: "l1".into(), engine: "0.1.0".into(), ..Pins::default() };
    let other = Pins { rules: "r2".into(), lists: "l2".into(), ..pins.clone() };
    wait(async {
        let mut store = writable(&path).await;
        assert_eq!(store.pin(&pins, RulesChanged::Refuse).await.unwrap(), Pinned::First);
        assert_eq!(store.pin(&pins, RulesChanged::Reset).await.unwrap(), Pinned::Same);
        let reject = Reject { input: "a".into(), line: 1, reason: "r".into(), field: None, detail: String::new() };
        let batch =
            Batch { violations: &[entry(1)], rejects: &[reject], checkpoint: Some(&checkpoint(1)), ..Batch::default() };
        store.commit(&batch).await.unwrap();
        let error = store.pin(&other, RulesChanged::Refuse).await.unwrap_err();
        assert!(error.to_string().contains("other rules, lists"), "{error}");
        assert_eq!(store.pins().await.unwrap().as_ref(), Some(&pins));
        assert_eq!(store.pin(&other, RulesChanged::Keep).await.unwrap(), Pinned::Kept);
        assert!(store.resume().await.unwrap().is_some());
        assert_eq!(store.pin(&pins, RulesChanged::Reset).await.unwrap(), Pinned::Reset);
        assert_eq!(store.resume().await.unwrap(), None);
        assert_eq!(store.rejects(None, &mut |_| Ok(())).await.unwrap(), 0);
        assert_eq!(store.list(&Filter::default()).await.unwrap().len(), 1);
        assert_eq!(store.pins().await.unwrap(), Some(pins));
    });
}

#[test]
fn rejects_are_kept_once_in_order_and_bounded() {
    let (_dir, path) = fresh();
    let reject = |input: &str, line: u64| Reject {
        input: input.into(),
        line,
        reason: "not_json".into(),
        field: line.is_multiple_of(2).then(|| "tokens_in".into()),
        detail: "é".repeat(line as usize),
    };
    wait(async {
        let mut store = writable(&path).await;
        let rejects: Vec<Reject> = (1..=1_500).rev().flat_map(|n| [reject("b", n), reject("a", n)]).collect();
        for _ in 0..2 {
            store.commit(&Batch { rejects: &rejects, ..Batch::default() }).await.unwrap();
        }
        let mut seen = Vec::new();
        let n = store
            .rejects(None, &mut |r| {
                seen.push(r.clone());
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(n, 3_000);
        assert!(seen.windows(2).all(|w| (&w[0].input, w[0].line) < (&w[1].input, w[1].line)));
        assert!(seen.iter().all(|r| r.detail.chars().count() <= 300));
        assert_eq!(seen[299].detail, "é".repeat(300));
        assert!(seen[300].detail.ends_with("é…"));
        assert_eq!(
            store
                .rejects(Some("b"), &mut |r| {
                    assert_eq!(r.input, "b");
                    Ok(())
                })
                .await
                .unwrap(),
            1_500
        );
    });
}

/// There are four connections for reading: who comes fifth waits, and is answered.
#[test]
fn more_readers_than_connections_are_answered() {
    let (_folder, path) = fresh();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(async {
        let mut store = writable(&path).await;
        let all: Vec<Entry> = (0..500).map(entry).collect();
        commit(&mut store, &all).await;
        let store = std::sync::Arc::new(store);
        let expected = exported(&store, &Filter::default()).await;
        let readers = (0..40).map(|_| {
            let store = std::sync::Arc::clone(&store);
            tokio::spawn(async move { exported(&store, &Filter::default()).await })
        });
        for reader in readers.collect::<Vec<_>>() {
            assert_eq!(reader.await.unwrap(), expected);
        }
    });
}

#[test]
fn an_export_is_sorted_across_pages() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let mut all: Vec<Entry> = (0..2_345).map(entry).collect();
        commit(&mut store, &all).await;
        all.sort_by(|a, b| (a.row.opened_at, &a.row.id).cmp(&(b.row.opened_at, &b.row.id)));
        let lines = |entries: &[Entry]| entries.iter().map(|e| format!("{}\n", e.row.record)).collect::<String>();
        assert_eq!(exported(&store, &Filter::default()).await, lines(&all));
        let part = Filter { limit: Some(1_200), offset: 77, ..Filter::default() };
        assert_eq!(exported(&store, &part).await, lines(&all[77..1_277]));
        let listed = store.list(&part).await.unwrap();
        assert_eq!(
            listed.iter().map(|r| &r.id).collect::<Vec<_>>(),
            all[77..1_277].iter().map(|e| &e.row.id).collect::<Vec<_>>()
        );
        let stop = store.export(&Filter::default(), &mut |_| Err(std::io::ErrorKind::BrokenPipe.into())).await;
        assert!(matches!(stop, Err(StoreError::Output(_))));
    });
}

/// Every way to ask, so that answers and plans are tested on the same questions.
fn filters() -> Vec<Filter> {
    let all = Filter::default();
    let text = |s: &str| Some(s.to_owned());
    let single = vec![
        Filter { rule: text("rule_3"), ..all.clone() },
        Filter { policy: text("provider_1.terms"), ..all.clone() },
        Filter { clause: text("clause_2"), ..all.clone() },
        Filter { account: text("acct_4"), ..all.clone() },
        Filter { status: Some(Status::Closed), ..all.clone() },
        Filter { mode: Some(Mode::Enforce), ..all.clone() },
        Filter { decision: Some(Disposition::Undecided), ..all.clone() },
        Filter { decision: Some(Disposition::Decided(Outcome::Confirmed)), ..all.clone() },
        Filter { severity_min: Some(Severity::Info), ..all.clone() },
        Filter { severity_min: Some(Severity::Medium), ..all.clone() },
        Filter { severity_min: Some(Severity::Critical), ..all.clone() },
        all.clone(),
    ];
    let mut filters = single.clone();
    for f in &single {
        filters.push(Filter {
            opened_from: Some(Timestamp(1_700_000_050 * SECOND_NS)),
            opened_until: Some(Timestamp(1_700_000_200 * SECOND_NS)),
            ..f.clone()
        });
        filters.push(Filter { severity_min: Some(Severity::Low), status: Some(Status::Open), ..f.clone() });
        filters.push(Filter { mode: Some(Mode::Flag), policy: text("provider_0.terms"), ..f.clone() });
    }
    filters
}

#[test]
fn a_filter_gives_what_holds_for_every_part() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let mut all: Vec<Entry> = (0..1_600).map(entry).collect();
        commit(&mut store, &all).await;
        all.sort_by(|a, b| (a.row.opened_at, &a.row.id).cmp(&(b.row.opened_at, &b.row.id)));
        for f in filters() {
            let expected: String = all
                .iter()
                .filter(|e| f.rule.as_ref().is_none_or(|x| *x == e.row.rule))
                .filter(|e| f.policy.as_ref().is_none_or(|x| *x == e.row.policy))
                .filter(|e| f.clause.as_ref().is_none_or(|x| *x == e.row.clause))
                .filter(|e| f.account.as_ref().is_none_or(|x| e.accounts.contains(x)))
                .filter(|e| f.status.is_none_or(|x| x == e.row.status))
                .filter(|e| f.mode.is_none_or(|x| x == e.row.mode))
                .filter(|_| f.decision.is_none_or(|x| x == Disposition::Undecided))
                .filter(|e| f.severity_min.is_none_or(|x| e.row.severity >= x))
                .filter(|e| f.opened_from.is_none_or(|x| e.row.opened_at >= x))
                .filter(|e| f.opened_until.is_none_or(|x| e.row.opened_at < x))
                .map(|e| format!("{}\n", e.row.record))
                .collect();
            assert_eq!(exported(&store, &f).await, expected, "{f:?}");
        }
    });
}

#[test]
fn every_question_is_answered_from_an_index_in_order() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        commit(&mut store, &(0..50).map(entry).collect::<Vec<_>>()).await;
        for f in filters() {
            for second_page in [false, true] {
                let plan = store.query_plan(&f, second_page).await.unwrap();
                assert!(plan.iter().any(|step| step.starts_with("SEARCH")), "{f:?}\n{plan:#?}");
                for step in &plan {
                    assert!(!step.starts_with("SCAN") && !step.contains("TEMP B-TREE"), "{f:?}\n{plan:#?}");
                }
            }
        }
    });
}

#[test]
fn an_id_may_be_shortened_while_it_is_unique() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let ids = ["ab00".repeat(8), "ab01".repeat(8)];
        let entries: Vec<Entry> =
            ids.iter().map(|id| Entry::from(&Violation { id: id.clone(), ..violation(1) })).collect();
        commit(&mut store, &entries).await;
        for id in [ids[1].as_str(), "ab01", "AB01"] {
            assert_eq!(store.get(id).await.unwrap().unwrap().id, ids[1], "{id}");
        }
        for id in ["abff", "x", "%", "ab0g"] {
            assert_eq!(store.get(id).await.unwrap(), None, "{id}");
        }
        assert!(matches!(store.get("ab0").await, Err(StoreError::Ambiguous { .. })));
    });
}

#[test]
fn statistics_count_every_violation() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        commit(&mut store, &(0..700).map(entry).collect::<Vec<_>>()).await;
        let stats = store.stats().await.unwrap();
        assert_eq!(stats.len(), 70);
        assert!(stats.iter().all(|t| t.n_violations == 10), "{stats:?}");
        assert!(stats.windows(2).all(|w| w[0].rule < w[1].rule || w[0].severity >= w[1].severity));
    });
}

#[test]
fn a_cell_cannot_become_a_formula() {
    let mut v = violation(1);
    v.rule = "+rule".into();
    v.because = "=HYPERLINK(\"http://x\",\"a, b\")\nsecond".into();
    v.accounts = vec!["@sum".into(), "b c".into()];
    v.group = vec![("account".into(), "-1".into()), ("ip.asn".into(), "64500".into())];
    let action = |action: &str, withheld, delay| Proposal { action: action.into(), withheld, delay };
    v.actions = vec![
        action("flag account", None, None),
        action("block group", Some(Withheld::Budget), Some(Duration::from_secs(5_400))),
    ];
    let mut out = CsvWriter::new(Vec::new()).unwrap();
    out.write_decided(&Entry::from(&v).row.record, Some("confirmed")).unwrap();
    let text = String::from_utf8(out.finish().unwrap()).unwrap();
    let (names, row) = text.split_once('\n').unwrap();
    assert_eq!(
        names,
        "id,rule,policy,clause,section,severity,confidence,mode,status,opened_at,updated_at,n_accounts,accounts,group,because,actions,decision"
    );
    assert_eq!(
        row,
        format!(
            "{},'+rule,provider_1.terms,clause_1,3(b),low,medium,flag,closed,2023-11-14T22:13:20.000Z,\
             2023-11-14T22:13:20.000Z,2,'@sum b c,account=-1 ip.asn=64500,\
             \"'=HYPERLINK(\"\"http://x\"\",\"\"a, b\"\")\nsecond\",\
             flag account; block group (delay 90m) (withheld: budget),confirmed\n",
            v.id
        )
    );
    assert!(out_of_shape("not json"));
}

fn out_of_shape(record: &str) -> bool {
    CsvWriter::new(Vec::new()).unwrap().write(record).is_err()
        && JsonlWriter::new(Vec::new()).write("{\n}").is_err()
        && ["{}", "[1]", ""].iter().all(|r| JsonlWriter::new(Vec::new()).write_with(r, "k", &1.into()).is_err())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However a sequence of writes is cut into batches, and whether any of it is written again, the log says the same.
    #[test]
    fn batches_do_not_show_in_the_export(
        writes in prop::collection::vec((0u64..12, 0u8..3, 0usize..4), 0..60),
        cuts in prop::collection::vec(1usize..9, 1..20),
    ) {
        let entries: Vec<Entry> = writes
            .iter()
            .map(|(n, version, n_accounts)| {
                let mut v = violation(*n);
                v.because = format!("version {version}");
                v.accounts = (0..*n_accounts).map(|i| format!("a{}", i + usize::from(*version))).collect();
                Entry::from(&v)
            })
            .collect();
        let (one, many) = wait(async {
            let (_d1, p1) = fresh();
            let mut one = writable(&p1).await;
            commit(&mut one, &entries).await;
            let (_d2, p2) = fresh();
            let mut many = writable(&p2).await;
            let mut rest = entries.as_slice();
            for cut in cuts.iter().cycle() {
                let (batch, tail) = rest.split_at((*cut).min(rest.len()));
                commit(&mut many, batch).await;
                commit(&mut many, batch).await;
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            let mut texts = Vec::new();
            for store in [&one, &many] {
                let mut text = exported(store, &Filter::default()).await;
                for account in 0..6 {
                    let filter = Filter { account: Some(format!("a{account}")), ..Filter::default() };
                    text.push_str(&exported(store, &filter).await);
                }
                texts.push(text);
            }
            (texts.remove(0), texts.remove(0))
        });
        prop_assert_eq!(one, many);
    }
}
