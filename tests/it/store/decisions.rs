//! What reviewers decide: it stays, it waits for a run, and it is counted right.

use std::time::Duration as Wait;

use fineprint::store::{Decided, Decision, Disposition, Judgement, Outcome, Precision, Reviewed, Row};
use sqlx::migrate::Migrator;

use super::*;

fn judgement(outcome: Outcome, reason: &str) -> Judgement {
    Judgement { outcome, reason: reason.into(), by: "ann".into(), at: Timestamp(1_800_000_000 * SECOND_NS) }
}

async fn reviewing(path: &Path) -> Store {
    Store::open(path, Access::Review).await.unwrap()
}

async fn decide(store: &mut Store, n: u64, outcome: Outcome) -> Decided {
    store.decide(&[&violation(n).id], &judgement(outcome, "because")).await.unwrap().remove(0)
}

async fn outcomes(store: &Store, n: u64) -> Vec<Outcome> {
    store.decisions(&violation(n).id).await.unwrap().iter().map(|d| d.outcome).collect()
}

/// A log with violations as a release wrote it that knew migrations up to `upto` only.
async fn older(dir: &Path, path: &Path, upto: usize) {
    let mut store = writable(path).await;
    commit(&mut store, &(0..20).map(entry).collect::<Vec<_>>()).await;
    store.close().await.unwrap();
    let new = path.with_extension("new");
    fs::rename(path, &new).unwrap();

    let migrations = dir.join(format!("migrations-{upto}"));
    fs::create_dir(&migrations).unwrap();
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations");
    let mut names: Vec<_> = fs::read_dir(&all).unwrap().map(|f| f.unwrap().file_name()).collect();
    names.sort();
    for name in &names[..upto] {
        fs::copy(all.join(name), migrations.join(name)).unwrap();
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("PRAGMA application_id = 0x464e5054; PRAGMA journal_mode = WAL").execute(&mut conn).await.unwrap();
    Migrator::new(migrations.as_path()).await.unwrap().run_direct(None, &mut conn, false).await.unwrap();
    sqlx::query("ATTACH ?1 AS new").bind(new.to_str().unwrap()).execute(&mut conn).await.unwrap();
    for table in ["violations", "violation_accounts"] {
        let copy = format!("INSERT INTO main.{table} SELECT * FROM new.{table}");
        sqlx::query(sqlx::AssertSqlSafe(copy)).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
}

#[test]
fn a_log_of_an_earlier_release_is_brought_up_to_date_and_decided_on() {
    for upto in [1, 2, 3] {
        let (dir, path) = fresh();
        wait(async {
            older(dir.path(), &path, upto).await;
            let error = refusal(&path, Access::ReadOnly).await;
            assert!(matches!(error, StoreError::OlderSchema { found, .. } if found == upto as i64), "{error}");
            // Not under the feet of a run of that release.
            let lock = fs::File::create(path.with_extension("db.lock")).unwrap();
            lock.lock().unwrap();
            assert!(matches!(refusal(&path, Access::Review).await, StoreError::Locked { .. }));
            drop(lock);

            let mut store = reviewing(&path).await;
            decide(&mut store, 3, Outcome::Confirmed).await;
            store.close().await.unwrap();
            let store = writable(&path).await;
            assert_eq!(outcomes(&store, 3).await, [Outcome::Confirmed]);
            let mut all: Vec<Entry> = (0..20).map(entry).collect();
            all.sort_by(|a, b| (a.row.opened_at, &a.row.id).cmp(&(b.row.opened_at, &b.row.id)));
            let lines: String = all.iter().map(|e| format!("{}\n", e.row.record)).collect();
            assert_eq!(exported(&store, &Filter::default()).await, lines);
        });
    }
}

#[test]
fn the_last_decision_counts_and_earlier_ones_stay() {
    let (_dir, path) = fresh();
    wait(async {
        let mut run = writable(&path).await;
        commit(&mut run, &[entry(1), entry(2)]).await;
        let mut store = reviewing(&path).await;
        let first = decide(&mut store, 1, Outcome::FalsePositive).await;
        assert_eq!((first.rule.as_str(), &first.before), ("rule_1", &None));
        let second = decide(&mut store, 1, Outcome::Confirmed).await;
        assert_eq!(second.before.as_ref(), Some(&first.decision));
        assert_eq!(second.decision.supersedes, Some(first.decision.number));
        assert_eq!(store.decisions(&violation(1).id).await.unwrap(), [first.decision, second.decision]);
        assert_eq!(outcomes(&store, 2).await, []);
    });
}

/// Another program that has the database open cannot change what was decided either.
#[test]
fn decisions_are_not_changed_and_not_removed() {
    let (_dir, path) = fresh();
    wait(async {
        let mut run = writable(&path).await;
        commit(&mut run, &[entry(1)]).await;
        decide(&mut run, 1, Outcome::Test).await;
        let before = run.decisions(&violation(1).id).await.unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        for sql in ["UPDATE decisions SET outcome = 'confirmed'", "DELETE FROM decisions"] {
            let error = sqlx::query(sql).execute(&mut conn).await.unwrap_err().to_string();
            assert!(error.contains("a later one supersedes"), "{error}");
        }
        assert_eq!(run.decisions(&violation(1).id).await.unwrap(), before);
    });
}

#[test]
fn a_decision_outlives_updates_retractions_and_resets() {
    let (_dir, path) = fresh();
    let pins = Pins { rules: "r1".into(), ..Pins::default() };
    wait(async {
        let mut run = writable(&path).await;
        run.pin(&pins, RulesChanged::Refuse).await.unwrap();
        commit(&mut run, &[entry(1)]).await;
        decide(&mut run, 1, Outcome::Confirmed).await;
        let known = run.decisions(&violation(1).id).await.unwrap().remove(0);
        assert!(!known.record_changed);
        let digest = <sha2::Sha256 as sha2::Digest>::digest(entry(1).row.record.as_bytes());
        assert_eq!(known.record_hash, digest.iter().map(|b| format!("{b:02x}")).collect::<String>());

        let mut later = violation(1);
        later.because = "grown".into();
        commit(&mut run, &[Entry::from(&later)]).await;
        let decision = run.decisions(&later.id).await.unwrap().remove(0);
        assert!(decision.record_changed && decision.record_hash == known.record_hash, "{decision:?}");
        assert_eq!(run.review().await.unwrap().rules[0].count(Outcome::Confirmed), 1);

        run.commit(&Batch { retracted: std::slice::from_ref(&later.id), ..Batch::default() }).await.unwrap();
        let review = run.review().await.unwrap();
        assert_eq!((review.rules.len(), review.n_gone), (0, 1));
        assert_eq!(outcomes(&run, 1).await, [Outcome::Confirmed]);
        commit(&mut run, &[entry(1)]).await;
        assert_eq!(run.review().await.unwrap().n_gone, 0);

        let other = Pins { rules: "r2".into(), ..Pins::default() };
        assert_eq!(run.pin(&other, RulesChanged::Reset).await.unwrap(), Pinned::Reset);
        run.close().await.unwrap();
        assert_eq!(outcomes(&writable(&path).await, 1).await, [Outcome::Confirmed]);
    });
}

#[test]
fn all_that_are_named_are_decided_or_none() {
    let (_dir, path) = fresh();
    wait(async {
        let mut run = writable(&path).await;
        commit(&mut run, &(1..4).map(entry).collect::<Vec<_>>()).await;
        let ids: Vec<String> = (1..4).map(|n| violation(n).id).collect();
        let mut store = reviewing(&path).await;
        let confirmed = judgement(Outcome::Confirmed, "x");
        for (named, wrong) in [("ffffffffffffffff", "holds no violation"), ("", "more than one")] {
            let error = store.decide(&[&ids[0], named], &confirmed).await.unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
        for (reason, by) in [(" \n", "ann"), ("x", ""), ("é".repeat(2_001).as_str(), "ann"), ("x", &"b".repeat(101))] {
            let unfit = Judgement { reason: reason.into(), by: by.into(), ..confirmed.clone() };
            let error = store.decide(&[&ids[0]], &unfit).await.unwrap_err();
            assert!(matches!(error, StoreError::Unfit { .. }), "{error}");
        }
        let error = Store::open(&path, Access::ReadOnly).await.unwrap().decide(&[&ids[0]], &confirmed).await;
        assert!(matches!(error, Err(StoreError::ReadOnly { .. })), "{error:?}");
        assert_eq!(outcomes(&store, 1).await, []);
        // At its longest, and one violation named twice.
        let longest = Judgement { reason: "é".repeat(2_000), by: "b".repeat(100), ..confirmed };
        let decided = store.decide(&[&ids[2], &ids[0], &ids[2][..20]], &longest).await.unwrap();
        assert_eq!(decided.iter().map(|d| &d.decision.violation).collect::<Vec<_>>(), [&ids[2], &ids[0]]);
        assert_eq!(outcomes(&store, 2).await, []);
    });
}

/// A run that writes its state down has a transaction open all the time.
#[test]
fn a_decision_waits_for_a_run_that_is_writing() {
    let (_dir, path) = fresh();
    let reviewer = |busy_ms: Option<u64>| {
        let path = path.clone();
        std::thread::spawn(move || {
            wait(async {
                let mut store = reviewing(&path).await;
                if let Some(busy_ms) = busy_ms {
                    store.set_busy_timeout(busy_ms).await.unwrap();
                }
                store.decide(&[&violation(1).id], &judgement(Outcome::Confirmed, "x")).await
            })
        })
    };
    wait(async {
        let mut run = writable(&path).await;
        commit(&mut run, &[entry(1)]).await;
        let resume = put(&mut run, 7, &pieces(7)).await;

        let error = reviewer(Some(100)).join().unwrap().unwrap_err();
        assert!(error.to_string().contains("stayed locked by another process for 100 ms"), "{error}");

        let patient = reviewer(None);
        std::thread::sleep(Wait::from_millis(700));
        assert!(!patient.is_finished());
        run.commit(&Batch { checkpoint: Some(&resume.checkpoint), ..Batch::default() }).await.unwrap();
        assert_eq!(patient.join().unwrap().unwrap().len(), 1);
        assert_eq!(outcomes(&run, 1).await, [Outcome::Confirmed]);
        assert_eq!(run.resume().await.unwrap().unwrap(), resume);
    });
}

#[test]
fn a_reviewer_makes_no_log() {
    let (_dir, path) = fresh();
    wait(async {
        assert!(matches!(refusal(&path, Access::Review).await, StoreError::Missing { .. }));
        assert!(!path.exists());
        fs::write(&path, "").unwrap();
        assert!(matches!(refusal(&path, Access::Review).await, StoreError::OlderSchema { found: 0, .. }));
        assert_eq!(fs::read(&path).unwrap(), b"");
        fs::write(&path, "events,of,some,kind\n".repeat(100)).unwrap();
        assert!(matches!(refusal(&path, Access::Review).await, StoreError::NotADatabase { .. }));
    });
}

/// The four cases of Newcombe (1998, Statistics in Medicine 17, table I, method 3), which gives four digits.
#[test]
fn precision_has_the_interval_of_wilson() {
    assert_eq!(Precision::new(0, 0), None);
    for (confirmed, of, low, high) in
        [(81, 263, 2_553, 3_662), (15, 148, 624, 1_605), (0, 20, 0, 1_611), (1, 29, 61, 1_718)]
    {
        let p = Precision::new(confirmed, of).unwrap();
        assert_eq!(((p.low + 50) / 100, (p.high + 50) / 100), (low, high), "{p:?}");
        let other = Precision::new(of - confirmed, of).unwrap();
        assert_eq!((other.low, other.high), (1_000_000 - p.high, 1_000_000 - p.low), "{p:?} {other:?}");
    }
    assert_eq!(Precision::new(2, 3).unwrap().share, 666_667);
    assert_eq!(Precision::new(1, 8).unwrap().share, 125_000);
    let all = Precision::new(u64::MAX, u64::MAX).unwrap();
    assert_eq!((all.share, all.low, all.high), (1_000_000, 999_999, 1_000_000));
    let half = Precision::new(u64::MAX / 2, u64::MAX).unwrap();
    assert!(half.low >= 499_999 && half.high <= 500_001, "{half:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// What is counted per rule, and found by its decision, is what a list of all decisions gives when read from its end.
    #[test]
    fn precision_is_that_of_a_naive_count(decisions in prop::collection::vec((0u64..30, 0usize..6), 0..80)) {
        let (_dir, path) = fresh();
        let entries: Vec<Entry> = (0..25).map(entry).collect();
        let standing = |n: u64| decisions.iter().rev().find(|(d, _)| *d == n).map(|(_, o)| Outcome::ALL[*o]);
        wait(async {
            let mut store = writable(&path).await;
            // The last five are taken back by the run, decided or not.
            commit(&mut store, &(0..30).map(entry).collect::<Vec<_>>()).await;
            for (n, outcome) in &decisions {
                decide(&mut store, *n, Outcome::ALL[*outcome]).await;
            }
            let retracted: Vec<String> = (25..30).map(|n| violation(n).id).collect();
            store.commit(&Batch { retracted: &retracted, ..Batch::default() }).await.unwrap();

            let review = store.review().await.unwrap();
            assert_eq!(review.n_gone, (25..30).filter(|n| standing(*n).is_some()).count() as u64);
            assert_eq!(review.rules.len(), 7);
            for reviewed in &review.rules {
                let count = |wanted: &dyn Fn(u64) -> bool| {
                    (0..25).filter(|n| violation(*n).rule == reviewed.rule && wanted(*n)).count() as u64
                };
                let of = |outcomes: &[Outcome]| count(&|n| standing(n).is_some_and(|o| outcomes.contains(&o)));
                assert_eq!(reviewed.n_violations, count(&|_| true));
                assert_eq!(reviewed.decided(), of(Outcome::ALL));
                for outcome in Outcome::ALL {
                    assert_eq!(reviewed.count(*outcome), of(&[*outcome]), "{outcome:?}");
                }
                let confirmed = of(&[Outcome::Confirmed]);
                let both = of(&[Outcome::Confirmed, Outcome::FalsePositive, Outcome::InsufficientEvidence]);
                assert_eq!(reviewed.precision().map(|p| (p.confirmed, p.of)), (both > 0).then_some((confirmed, both)));
                nearly_wilson(reviewed);
            }

            let dispositions = Outcome::ALL.iter().copied().map(Disposition::Decided).chain([Disposition::Undecided]);
            for disposition in dispositions {
                let filter = Filter { decision: Some(disposition), ..Filter::default() };
                let mut found = Vec::new();
                let mut row = |row: &Row, decision: Option<&Decision>| {
                    found.push((row.id.clone(), decision.map(|d| d.outcome)));
                    Ok(())
                };
                store.export_decided(&filter, &mut row).await.unwrap();
                let mut expected: Vec<&Entry> = entries
                    .iter()
                    .zip(0u64..)
                    .filter(|(_, n)| standing(*n).map_or(Disposition::Undecided, Disposition::Decided) == disposition)
                    .map(|(e, _)| e)
                    .collect();
                expected.sort_by(|a, b| (a.row.opened_at, &a.row.id).cmp(&(b.row.opened_at, &b.row.id)));
                let outcome = match disposition {
                    Disposition::Undecided => None,
                    Disposition::Decided(outcome) => Some(outcome),
                };
                assert_eq!(found, expected.iter().map(|e| (e.row.id.clone(), outcome)).collect::<Vec<_>>());
            }
        });
    }

    /// The integers are those of the textbook formula, cut outwards to a millionth.
    #[test]
    fn the_interval_is_the_formula_rounded_outwards(n in 1u64..100_000, part in 0.0f64..=1.0) {
        let k = ((n as f64) * part) as u64;
        let p = Precision::new(k, n).unwrap();
        let (low, high) = wilson(k, n);
        prop_assert!(p.low as f64 <= low + 1e-3 && p.low as f64 >= low - 1.001, "{:?} {}", p, low);
        prop_assert!(p.high as f64 >= high - 1e-3 && p.high as f64 <= high + 1.001, "{:?} {}", p, high);
        prop_assert!(p.low <= p.share && p.share <= p.high);
    }
}

/// In millionths, in floating point.
fn wilson(k: u64, n: u64) -> (f64, f64) {
    let (k, n, zz) = (k as f64, n as f64, 3.841459f64);
    let (centre, half) = (k + zz / 2.0, (zz * (k * (n - k) / n + zz / 4.0)).sqrt());
    ((centre - half) / (n + zz) * 1e6, ((centre + half) / (n + zz) * 1e6).min(1e6))
}

fn nearly_wilson(reviewed: &Reviewed) {
    if let Some(p) = reviewed.precision() {
        let (low, high) = wilson(p.confirmed, p.of);
        assert!((p.low as f64 - low).abs() < 1.1 && (p.high as f64 - high).abs() < 1.1, "{p:?} {low} {high}");
    }
}
