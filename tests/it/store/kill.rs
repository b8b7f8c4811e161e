//! Kills a writer for real, in the middle of commits, and looks at what it left.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

/// Path of the log that the child is to write. Unset in the parent, where the child's test does nothing.
const CHILD: &str = "FINEPRINT_TEST_STORE_CHILD";
const BATCH: u64 = 40;

fn batch_of(n: u64) -> (Vec<Entry>, Vec<Reject>, Vec<Vec<u8>>) {
    let entries = (n * BATCH..(n + 1) * BATCH).map(entry).collect();
    let reject =
        Reject { input: "z.jsonl".into(), line: n + 1, reason: "r".into(), field: None, detail: String::new() };
    (entries, vec![reject], vec![vec![n as u8; 200_000]])
}

#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    wait(async {
        let mut store = writable(Path::new(&path)).await;
        let mut n = store.resume().await.unwrap().map_or(0, |r| r.checkpoint.books["received"]);
        loop {
            let (violations, rejects, pieces) = batch_of(n);
            let checkpoint = put(&mut store, n + 1, &pieces).await.checkpoint;
            let batch =
                Batch { violations: &violations, rejects: &rejects, checkpoint: Some(&checkpoint), ..Batch::default() };
            store.commit(&batch).await.unwrap();
            n += 1;
        }
    });
}

#[test]
fn a_killed_writer_leaves_whole_batches() {
    let (_dir, path) = fresh();
    let mut before = 0;
    for round in 0u64..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["store::kill::child_that_commits_until_it_is_killed", "--exact"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Spread over opening, first commits and checkpoints of the write-ahead log; the exact moments are chance.
        std::thread::sleep(Duration::from_micros(20_000 + round * 7_919));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "the writer ended by itself");
        before = wait(whole_batches(&path, before));
    }
    assert!(before > 0, "no batch was ever committed");
}

async fn whole_batches(path: &Path, before: u64) -> u64 {
    let store = writable(path).await;
    let mut conn =
        sqlx::SqliteConnection::connect_with(&sqlx::sqlite::SqliteConnectOptions::new().filename(path)).await.unwrap();
    let integrity: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut conn).await.unwrap();
    assert_eq!(integrity, "ok");
    let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut conn).await.unwrap();
    assert!(dangling.is_empty());
    conn.close().await.unwrap();

    let resumed = store.resume().await.unwrap();
    let n = resumed.as_ref().map_or(0, |r| r.checkpoint.books["received"]);
    assert!(n >= before, "a committed batch was lost: {n} of {before}");
    if let Some(resume) = resumed {
        assert_eq!(resume.pieces, batch_of(n - 1).2);
        assert_eq!(resume.checkpoint, Checkpoint { snapshot: resume.checkpoint.snapshot.clone(), ..checkpoint(n) });
    }
    let mut expected: Vec<Entry> = (0..n * BATCH).map(entry).collect();
    expected.sort_by(|a, b| (a.row.opened_at, &a.row.id).cmp(&(b.row.opened_at, &b.row.id)));
    let expected: String = expected.iter().map(|e| format!("{}\n", e.row.record)).collect();
    assert!(exported(&store, &Filter::default()).await == expected, "violations are not those of {n} batches");
    assert_eq!(store.rejects(None, &mut |_| Ok(())).await.unwrap(), n);
    store.close().await.unwrap();
    n
}
