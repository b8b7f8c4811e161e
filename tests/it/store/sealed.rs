//! The log as a Merkle tree: what is altered, taken out, put in or rolled back is found and named.

use std::sync::{Arc, Mutex};

use fineprint::decision::{Decision, Verdict};
use fineprint::seal::{Checkpoint as Signed, Note, Signer, Verifier, leaf_hash, verify_inclusion};
use fineprint::store::{Anchor, Given, GivenFilter, Judgement, Noted, Trust, Verified, key_path};

use super::*;

fn judgement() -> Judgement {
    Judgement { outcome: Outcome::Confirmed, reason: "seen".into(), by: "ann".into(), at: Timestamp(SECOND_NS) }
}

/// What a gateway was told, with all that may be of it.
fn given(n: u64) -> Given {
    let some = |what: &str| n.is_multiple_of(2).then(|| format!("{what}{n}"));
    Given {
        number: 0,
        at: Timestamp(n as i64 * SECOND_NS),
        calls: 1 + n % 3,
        event: format!("told{n}"),
        call: some("call"),
        account: some("acct"),
        api_key: some("key"),
        org: some("org"),
        decision: Decision {
            verdict: Verdict::ALL[(n % 5) as usize],
            would: Verdict::Block,
            retry_after: n.is_multiple_of(2).then_some(Duration(SECOND_NS)),
            reason: "no \"resale\" \u{1b}\u{7f}".into(),
            rules: vec![format!("rule_{n}")],
            violations: vec!["v".into()],
            actions: vec![],
            mode: Mode::Enforce,
        },
        bundle: "ab".into(),
    }
}

/// Two batches, of which numbers are 1 to 6 and 7.
async fn served(store: &mut Store) {
    store.give(&(1..7).map(given).collect::<Vec<_>>()).await.unwrap();
    store.give(&[given(7)]).await.unwrap();
    let callers = serde_json::json!([{ "name": "edge", "kind": "key", "sha256": "ab", "may": ["decide"] }]);
    for _ in 0..2 {
        store.note(Noted::Callers, Timestamp(1), &callers).await.unwrap();
        store.note(Noted::Reload, Timestamp(2), &serde_json::json!({ "outcome": "refused" })).await.unwrap();
    }
}

/// A log with everything that is sealed.
async fn full(path: &Path) -> Store {
    let mut store = writable(path).await;
    let pins = |rules: &str| Pins { rules: rules.into(), ..Pins::default() };
    store.pin(&pins("a"), RulesChanged::Refuse).await.unwrap();
    commit(&mut store, &(0..20).map(entry).collect::<Vec<_>>()).await;
    let provisional = entry(99);
    commit(&mut store, std::slice::from_ref(&provisional)).await;
    store.decide(&[&violation(3).id, &violation(4).id], &judgement()).await.unwrap();
    let mut changed = violation(5);
    changed.because = "more".into();
    let standing = checkpoint(7);
    let (violations, retracted) = ([Entry::from(&changed)], [provisional.row.id.clone()]);
    let batch =
        Batch { violations: &violations, retracted: &retracted, checkpoint: Some(&standing), ..Batch::default() };
    store.commit(&batch).await.unwrap();
    store.pin(&pins("b"), RulesChanged::Keep).await.unwrap();
    served(&mut store).await;
    store
}

async fn verified(path: &Path, key: Option<&Verifier>, anchors: &[Anchor]) -> Result<Verified, StoreError> {
    let store = Store::open(path, Access::ReadOnly).await?;
    let verified = store.verify(key, anchors, &mut |_| {}).await;
    store.close().await.unwrap();
    verified
}

fn problems(verified: &Verified) -> Vec<String> {
    verified.problems.iter().map(|p| format!("{}: {}", p.what, p.found)).collect()
}

async fn statement(path: &Path, sql: &str) -> bool {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_string())).execute(&mut conn).await;
    conn.close().await.unwrap();
    done.is_ok()
}

#[test]
fn an_untouched_log_holds_and_is_signed_to_its_end() {
    let (_dir, path) = fresh();
    wait(async {
        let store = full(&path).await;
        let key = store.verifier().unwrap().clone();
        // While it is being written, too.
        let open = store.verify(None, &[], &mut |_| {}).await.unwrap();
        store.close().await.unwrap();
        let closed = verified(&path, Some(&key), &[]).await.unwrap();
        assert_eq!(problems(&closed), Vec::<String>::new());
        assert_eq!(open, closed);
        // A key, two generations, 21 violations of which one changed and one was taken back, two decisions, a commit; two
        // batches of seven given decisions, two reloads, and callers that stayed the same.
        assert_eq!(closed.entries, 1 + 2 + 21 + 1 + 1 + 2 + 1 + 2 + 2 + 1);
        assert_eq!(closed.held, 20 + 2 + 2 + 7 + 3);
        assert_eq!(closed.signed.iter().map(|s| s.size).collect::<Vec<_>>(), [closed.entries]);
        // Opened and closed again, it is as it was.
        writable(&path).await.close().await.unwrap();
        assert_eq!(verified(&path, None, &[]).await.unwrap(), closed);
    });
}

#[test]
fn writing_the_same_again_seals_nothing() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = full(&path).await;
        let before = store.verify(None, &[], &mut |_| {}).await.unwrap();
        commit(&mut store, &(6..20).map(entry).collect::<Vec<_>>()).await;
        let standing = checkpoint(7);
        store.commit(&Batch { checkpoint: Some(&standing), ..Batch::default() }).await.unwrap();
        assert_eq!(store.verify(None, &[], &mut |_| {}).await.unwrap(), before);
    });
}

/// What is done to a log behind its back, and what must be named.
const ALTERED: &[(&str, &str)] = &[
    ("UPDATE violations SET record = replace(record, 'case 8', 'case 9')", "its record is not the one that entry"),
    ("UPDATE violations SET severity = 4 WHERE severity = 0", "its column `severity`"),
    ("UPDATE violations SET confidence = 2", "its column `confidence`"),
    ("UPDATE violations SET status = 'merged' WHERE rowid = 3", "its column `status`"),
    ("UPDATE violations SET mode = 'enforce' WHERE mode = 'shadow'", "its column `mode`"),
    ("UPDATE violations SET rule = 'x' WHERE rowid = 3", "its column `rule`"),
    ("UPDATE violations SET rule_hash = 'x' WHERE rowid = 3", "its column `rule_hash`"),
    ("UPDATE violations SET policy = 'x' WHERE rowid = 3", "its column `policy`"),
    ("UPDATE violations SET clause = 'x' WHERE rowid = 3", "its column `clause`"),
    ("UPDATE violations SET updated_at = updated_at + 1 WHERE rowid = 3", "its column `updated_at`"),
    ("UPDATE violations SET closed_at = 1 WHERE rowid = 3", "its column `closed_at`"),
    ("UPDATE violations SET n_accounts = 9 WHERE rowid = 3", "its column `n_accounts`"),
    ("UPDATE violations SET digest = zeroblob(32) WHERE rowid = 3", "its column `digest`"),
    ("UPDATE violation_accounts SET account = 'someone else' WHERE account = 'acct_2'", "is not found by its account"),
    (
        "INSERT INTO violation_accounts SELECT 'innocent', opened_at, id FROM violations LIMIT 1",
        "the table of accounts",
    ),
    (
        "PRAGMA foreign_keys = off; DELETE FROM violation_accounts; DELETE FROM violations WHERE rowid = 3",
        "seals it, and it is not in the log",
    ),
    (
        "INSERT INTO violations SELECT 'ffff', rule, rule_hash, policy, clause, severity, confidence, mode, status, \
         opened_at, updated_at, closed_at, n_accounts, digest, record FROM violations LIMIT 1",
        "no entry seals it",
    ),
    ("DROP TRIGGER decisions_are_not_changed; UPDATE decisions SET reason = 'other'", "decision 1: is not what entry"),
    ("DROP TRIGGER decisions_are_not_changed; UPDATE decisions SET outcome = 'test'", "decision 2: is not what entry"),
    ("DROP TRIGGER decisions_are_not_changed; UPDATE decisions SET reviewer = 'bob'", "decision 1: is not what entry"),
    ("DROP TRIGGER decisions_are_not_changed; UPDATE decisions SET at = 7", "decision 1: is not what entry"),
    ("DROP TRIGGER decisions_are_not_removed; DELETE FROM decisions WHERE number = 2", "decision 2: entry"),
    ("UPDATE pins SET rules = 'c' WHERE generation = 1", "rules 1: is not what entry"),
    ("DELETE FROM pins WHERE generation = 1", "rules 1: entry"),
    ("DROP TRIGGER entries_are_not_removed; DELETE FROM entries WHERE seq = 5", "entry 5: is missing"),
    ("DROP TRIGGER entries_are_not_removed; DELETE FROM entries WHERE seq >= 20", "the last ones are missing"),
    (
        "DROP TRIGGER entries_are_not_changed; UPDATE entries SET digest = zeroblob(32) WHERE seq = 9",
        "are not those that were signed",
    ),
    (
        "DROP TRIGGER entries_are_not_changed; UPDATE entries SET subject = 'x' WHERE seq = 9",
        "are not those that were signed",
    ),
    (
        "DROP TRIGGER entries_are_not_changed; UPDATE entries SET kind = 'action' WHERE seq = 9",
        "are not those that were signed",
    ),
    (
        "DROP TRIGGER entries_are_not_changed; UPDATE entries SET seq = 1000 WHERE seq = 9; \
         UPDATE entries SET seq = 9 WHERE seq = 10; UPDATE entries SET seq = 10 WHERE seq = 1000",
        "are not those that were signed",
    ),
    (
        "DROP TRIGGER entries_are_not_changed; UPDATE entries SET kind = 'nonsense' WHERE seq = 9",
        "entry 9: is none: its kind `nonsense`",
    ),
    (
        "DROP TRIGGER entries_are_not_changed; PRAGMA ignore_check_constraints = on; \
         UPDATE entries SET digest = x'00' WHERE seq = 9",
        "entry 9: is none",
    ),
    ("DROP TRIGGER entries_are_not_changed; UPDATE entries SET seq = 9000000000000000000 WHERE seq = 9", "are missing"),
    (
        "PRAGMA ignore_check_constraints = on; INSERT INTO entries VALUES (-7, 'key', 'x', zeroblob(32))",
        "entry -7: stands before the first one",
    ),
    ("DELETE FROM decisions_given WHERE number = 3", "given 000000000001-000000000006: its decisions are not those"),
    ("DELETE FROM decisions_given WHERE number = 7", "given 000000000007-000000000007: entry"),
    ("DELETE FROM decisions_given", "given 000000000001-000000000006: entry"),
    (
        "INSERT INTO decisions_given SELECT 8, at, calls, event, call, account, api_key, org, decision, would, mode, \
         retry_after, reason, rules, violations, actions, bundle FROM decisions_given WHERE number = 7",
        "given 8: no entry seals it",
    ),
    ("INSERT INTO given_erased VALUES (3, zeroblob(32))", "given 3: is there and erased"),
    ("DROP TRIGGER server_notes_are_not_removed; DELETE FROM server_notes WHERE number = 2", "reload 2: entry"),
    (
        "DROP TRIGGER server_notes_are_not_changed; UPDATE server_notes SET details = '{}' WHERE number = 1",
        "callers 1: is not what entry",
    ),
    (
        "DROP TRIGGER server_notes_are_not_changed; UPDATE server_notes SET at = 7 WHERE number = 2",
        "reload 2: is not what entry",
    ),
    ("INSERT INTO server_notes VALUES (9, 'reload', 1, '{}')", "reload 9: no entry seals it"),
    ("UPDATE tree SET roots = zeroblob(length(roots))", "its right edge"),
    ("UPDATE tree SET size = size + 1", "its right edge"),
    ("UPDATE signed SET note = replace(note, char(10) || '34', char(10) || '33')", "its signature does not hold"),
    ("UPDATE signed SET size = 1", "its column `size`"),
    ("DELETE FROM signed", "nothing of it is signed"),
];

#[test]
fn whatever_is_altered_is_found_and_named() {
    let (_dir, path) = fresh();
    wait(async {
        full(&path).await.close().await.unwrap();
        let copy = path.with_extension("copy");
        for (sql, expected) in ALTERED {
            fs::copy(&path, &copy).unwrap();
            assert!(statement(&copy, sql).await, "{sql}");
            let verified = verified(&copy, None, &[]).await.unwrap();
            let problems = problems(&verified);
            assert!(problems.iter().any(|p| p.contains(expected)), "{sql}: {problems:#?}");
            fs::remove_file(&copy).unwrap();
        }
    });
}

/// Every column of a given decision is sealed: one that is not would be one that can be altered.
#[test]
fn no_column_of_a_given_decision_can_be_altered() {
    let (_dir, path) = fresh();
    wait(async {
        full(&path).await.close().await.unwrap();
        let copy = path.with_extension("copy");
        let another = [
            "at = at + 1",
            "calls = calls + 1",
            "event = 'x'",
            "call = 'x'",
            "call = NULL",
            "account = 'x'",
            "api_key = 'x'",
            "org = 'x'",
            "decision = 'throttle'",
            "would = 'allow'",
            "mode = 'shadow'",
            "retry_after = 7",
            "reason = 'x'",
            "rules = '[]'",
            "violations = '[]'",
            "actions = '[1]'",
            "bundle = 'x'",
            "number = 70",
        ];
        for column in another {
            fs::copy(&path, &copy).unwrap();
            let sql = format!(
                "DROP TRIGGER decisions_given_are_not_changed; UPDATE decisions_given SET {column} WHERE number = 6"
            );
            assert!(statement(&copy, &sql).await, "{sql}");
            let problems = problems(&verified(&copy, None, &[]).await.unwrap());
            assert!(problems.iter().any(|p| p.contains("given 000000000001-000000000006")), "{column}: {problems:#?}");
        }
    });
}

#[test]
fn a_given_decision_is_proved_by_the_entry_of_its_batch() {
    let (_dir, path) = fresh();
    wait(async {
        let store = full(&path).await;
        for number in 1..=7 {
            let proof = store.prove_given(number).await.unwrap().unwrap();
            assert!(proof.json.starts_with(&format!("{{\"number\":{number},\"at\":")), "{}", proof.json);
            let holds = |json: &str| {
                verify_inclusion(&leaf_hash(json.as_bytes()), proof.index, proof.size, &proof.path, &proof.root)
            };
            assert!(holds(&proof.json) && !holds(&proof.json.replace("told", "Told")), "{proof:?}");
        }
        assert_eq!(store.prove_given(8).await.unwrap(), None);
    });
}

#[test]
fn old_decisions_go_in_whole_batches_and_their_numbers_do_not_come_again() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = full(&path).await;
        assert_eq!(store.forget_given(Timestamp(6 * SECOND_NS)).await.unwrap(), 0, "the batch is not old as a whole");
        assert_eq!(store.forget_given(Timestamp(7 * SECOND_NS)).await.unwrap(), 6);
        assert_eq!(store.forget_given(Timestamp(7 * SECOND_NS)).await.unwrap(), 0);
        assert_eq!(store.forget_given(Timestamp(70 * SECOND_NS)).await.unwrap(), 1);
        assert_eq!(problems(&store.verify(None, &[], &mut |_| {}).await.unwrap()), Vec::<String>::new());
        store.give(&[given(8)]).await.unwrap();
        let left = store.given(&GivenFilter::default(), 10).await.unwrap();
        assert_eq!(left.0.iter().map(|g| g.number).collect::<Vec<_>>(), [8]);
        store.close().await.unwrap();
        assert!(verified(&path, None, &[]).await.unwrap().holds());
        // What is put in where a batch has gone is found, and goes again.
        let put_in = "INSERT INTO decisions_given SELECT 2, at, calls, event, call, account, api_key, org, decision, would, mode, \
                      retry_after, reason, rules, violations, actions, bundle FROM decisions_given";
        assert!(statement(&path, put_in).await);
        let told = problems(&verified(&path, None, &[]).await.unwrap());
        assert_eq!(told, ["given 2: no entry seals it: it was put in"]);
        let mut store = writable(&path).await;
        assert_eq!(store.forget_given(Timestamp(70 * SECOND_NS)).await.unwrap(), 1);
        store.close().await.unwrap();
    });
}

#[test]
fn what_is_erased_of_an_account_leaves_the_log_as_provable_as_before() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = full(&path).await;
        assert_eq!(store.erase_given("acct4").await.unwrap(), 1);
        let left = store.verify(None, &[], &mut |_| {}).await.unwrap();
        assert_eq!((problems(&left), left.given_erased), (vec![], 1));
        assert_eq!(store.prove_given(4).await.unwrap(), None);
        assert!(store.prove_given(3).await.unwrap().is_some());
        assert_eq!(store.forget_given(Timestamp(70 * SECOND_NS)).await.unwrap(), 6);
        assert!(store.verify(None, &[], &mut |_| {}).await.unwrap().holds());
        store.close().await.unwrap();
    });
}

/// A log of before given decisions were sealed: its entries know no such kind.
#[test]
fn given_decisions_of_an_earlier_release_are_sealed_when_the_log_is_taken_up() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        commit(&mut store, &[entry(1)]).await;
        store.close().await.unwrap();
        let old = "INSERT INTO decisions_given (at, calls, event, decision, would, mode, reason, rules, violations, actions, \
                   bundle) VALUES (5, 1, 'e', 'block', 'block', 'enforce', '', '[]', '[]', '[]', 'b'), \
                   (4, 1, 'f', 'block', 'block', 'enforce', '', '[]', '[]', '[]', 'b')";
        assert!(statement(&path, old).await);
        assert!(statement(&path, super::AS_BEFORE_SEALED_DECISIONS).await);
        assert!(matches!(refusal(&path, Access::ReadOnly).await, StoreError::OlderSchema { .. }));
        let mut store = writable(&path).await;
        let held = store.verify(None, &[], &mut |_| {}).await.unwrap();
        assert_eq!((problems(&held), held.held), (vec![], 3));
        store.give(&[given(7)]).await.unwrap();
        assert_eq!(store.given(&GivenFilter::default(), 10).await.unwrap().0.last().unwrap().number, 3);
        assert!(store.verify(None, &[], &mut |_| {}).await.unwrap().holds());
        store.close().await.unwrap();
    });
}

#[test]
fn each_checkpoint_is_told_once_it_is_safe_and_holds_against_the_log() {
    let (_dir, path) = fresh();
    wait(async {
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut store = writable(&path).await;
        let hears = Arc::clone(&told);
        store.on_checkpoint(Arc::new(move |note: &str| hears.lock().unwrap().push(note.to_string())));
        for n in 0..5 {
            commit(&mut store, &[entry(n)]).await;
            commit(&mut store, &[entry(n)]).await;
        }
        served(&mut store).await;
        store.rotate_key().await.unwrap();
        store.close().await.unwrap();
        let notes = told.lock().unwrap().concat();
        let notes = Note::parse_all(&notes).unwrap();
        // Five commits that changed something, two batches, three notes, a key.
        assert_eq!(notes.len(), 5 + 2 + 3 + 1);
        let anchors: Vec<Anchor> = notes.into_iter().map(|note| Anchor { name: "kept".into(), note }).collect();
        let held = verified(&path, None, &anchors).await.unwrap();
        assert_eq!((problems(&held), held.anchored.len()), (vec![], anchors.len()));
    });
}

#[test]
fn witnesses_must_have_signed_what_was_kept() {
    let (_dir, path) = fresh();
    wait(async {
        let store = full(&path).await;
        let note = Note::parse(&store.checkpoints().await.unwrap().last().unwrap().1).unwrap();
        let witness = Signer::witness("witness.example/w1", &[7; 32]).unwrap();
        let plain = Signer::new("notary.example", &[8; 32]).unwrap();
        let absent = Signer::witness("witness.example/w2", &[9; 32]).unwrap();
        let mut signed = note.clone();
        signed.cosign(&witness, 1_700_000_000);
        signed.sign(&plain);
        // As a file has it, and back.
        let signed = Note::parse(&signed.to_string()).unwrap();
        let check = |note: Note, witnesses: &[&Signer]| {
            let anchors = [Anchor { name: "kept".into(), note }];
            let witnesses: Vec<Verifier> =
                witnesses.iter().map(|w| w.verifier().to_string().parse().unwrap()).collect();
            let store = &store;
            async move {
                let trust = Trust { key: None, anchors: &anchors, witnesses: &witnesses };
                store.verify_by(&trust, &mut |_| {}).await.unwrap()
            }
        };
        let held = check(signed.clone(), &[&witness, &plain]).await;
        assert_eq!(problems(&held), Vec::<String>::new());
        assert_eq!(held.witnessed.iter().map(|w| w.at).collect::<Vec<_>>(), [Some(1_700_000_000), None]);
        assert!(held.witnessed.iter().all(|w| (w.size, w.checkpoints) == (held.entries, 1)));
        for (note, by, says) in [
            (signed.clone(), &absent, "has signed none of the checkpoints"),
            (note, &witness, "has signed none of the checkpoints"),
            (
                Note::parse(&signed.to_string().replace("witness.example/w1", "witness.example/w3")).unwrap(),
                &witness,
                "has signed none",
            ),
        ] {
            let told = problems(&check(note, &[by]).await);
            assert!(told.len() == 1 && told[0].contains(says), "{told:?}");
        }
        // Another moment, or another text under the same signature.
        let line = signed.to_string().lines().find(|l| l.contains("witness.example")).unwrap().to_string();
        let mut bytes = line.into_bytes();
        let at = bytes.len() - 60;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let altered =
            format!("{}{}\n", store.checkpoints().await.unwrap().last().unwrap().1, String::from_utf8(bytes).unwrap());
        let told = problems(&check(Note::parse(&altered).unwrap(), &[&witness]).await);
        assert!(told.iter().any(|p| p.contains("does not hold")), "{told:?}");
    });
}

#[test]
fn entries_cannot_be_changed_by_a_mistake() {
    let (_dir, path) = fresh();
    wait(async {
        full(&path).await.close().await.unwrap();
        for sql in ["UPDATE entries SET seq = 100 WHERE seq = 1", "DELETE FROM entries"] {
            assert!(!statement(&path, sql).await, "{sql}");
        }
        assert!(verified(&path, None, &[]).await.unwrap().holds());
    });
}

#[test]
fn no_altered_byte_of_what_is_sealed_goes_unnoticed() {
    let (_dir, path) = fresh();
    wait(async {
        let store = full(&path).await;
        let key = store.verifier().unwrap().clone();
        let rows = store.list(&Filter::default()).await.unwrap();
        store.close().await.unwrap();
        let bytes = fs::read(&path).unwrap();
        let find = |part: &[u8]| bytes.windows(part.len()).position(|w| w == part).unwrap();
        // Records, their ids in the rows of entries, and reasons of decisions.
        let mut places: Vec<usize> = Vec::new();
        for row in rows.iter().take(6) {
            let record = find(row.record.as_bytes());
            places.extend((0..row.record.len()).step_by(7).map(|i| record + i));
        }
        let named = format!("violation{}", rows[0].id);
        places.extend((0..named.len() + 32).map(|i| find(named.as_bytes()) + i));
        places.extend((0..4).map(|i| find(b"confirmedseen") + 9 + i));
        // Given decisions, and notes of the server.
        for part in
            ["told2call2acct2", "[\"rule_5\"]", "no \"resale\"", "{\"outcome\":\"refused\"}", "[{\"name\":\"edge\""]
        {
            places.extend((0..part.len()).map(|i| find(part.as_bytes()) + i));
        }
        let copy = path.with_extension("copy");
        for (n, at) in places.into_iter().enumerate() {
            let mut altered = bytes.clone();
            altered[at] ^= [1, 0x20, 0x80][n % 3];
            fs::write(&copy, altered).unwrap();
            match verified(&copy, Some(&key), &[]).await {
                Ok(verified) => assert!(!verified.holds(), "byte {at}"),
                // What is no text or no word any more cannot even be read.
                Err(error) => assert!(error.to_string().contains("log.copy"), "byte {at}: {error}"),
            }
        }
    });
}

#[test]
fn a_rollback_and_a_rewritten_log_are_found_by_a_checkpoint_kept_elsewhere() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = full(&path).await;
        let anchor = |notes: Vec<(String, String)>, name: &str| Anchor {
            name: name.into(),
            note: Note::parse(&notes.last().unwrap().1).unwrap(),
        };
        let early = anchor(store.checkpoints().await.unwrap(), "early");
        store.close().await.unwrap();
        let old = path.with_extension("old");
        fs::copy(&path, &old).unwrap();
        store = writable(&path).await;
        commit(&mut store, &(30..40).map(entry).collect::<Vec<_>>()).await;
        let late = anchor(store.checkpoints().await.unwrap(), "late");
        store.close().await.unwrap();

        let now = verified(&path, None, &[early.clone(), late.clone()]).await.unwrap();
        assert_eq!((problems(&now), now.anchored), (vec![], vec!["early".to_string(), "late".to_string()]));

        fs::copy(&old, &path).unwrap();
        let rolled_back = verified(&path, None, &[early.clone(), late.clone()]).await.unwrap();
        assert_eq!(rolled_back.anchored, ["early"]);
        let told = problems(&rolled_back);
        assert!(told.len() == 1 && told[0].starts_with("anchor late: was made over"), "{told:?}");

        // With the key in hand another history can be signed, which holds in itself.
        fs::copy(&old, &path).unwrap();
        store = writable(&path).await;
        commit(&mut store, &(50..60).map(entry).collect::<Vec<_>>()).await;
        store.close().await.unwrap();
        assert!(verified(&path, None, std::slice::from_ref(&early)).await.unwrap().holds());
        let told = problems(&verified(&path, None, &[early, late]).await.unwrap());
        assert!(told.len() == 1 && told[0].contains("the log was rewritten"), "{told:?}");
    });
}

#[test]
fn another_key_is_told_from_the_logs_own() {
    let (_dir, path) = fresh();
    let (_other_dir, other) = fresh();
    wait(async {
        let store = full(&path).await;
        let foreign = writable(&other).await.verifier().unwrap().clone();
        let stranger = Anchor { name: "a".into(), note: Note::new("x\n".into()).unwrap() };
        let told = problems(&store.verify(Some(&foreign), &[stranger], &mut |_| {}).await.unwrap());
        assert_eq!(
            told,
            [
                format!("key {foreign}: has not signed this log"),
                "anchor a: it is not signed by a key of this log".into()
            ]
        );
    });
}

#[test]
fn a_key_is_changed_by_an_entry_that_the_old_one_signs() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = full(&path).await;
        let first = store.verifier().unwrap().clone();
        let second = store.rotate_key().await.unwrap();
        assert_ne!(first, second);
        commit(&mut store, &[entry(70)]).await;
        store.close().await.unwrap();
        let verified = verified(&path, None, &[]).await.unwrap();
        assert_eq!(problems(&verified), Vec::<String>::new());
        let signed: Vec<_> = verified.signed.iter().map(|s| (s.key.clone(), s.size)).collect();
        assert_eq!(signed, [(first.to_string(), verified.entries - 1), (second.to_string(), verified.entries)]);
        // The new key is the one in the file.
        let store = writable(&path).await;
        assert_eq!(store.verifier(), Some(&second));
        // A key that no entry announces is named.
        let notes = store.checkpoints().await.unwrap();
        store.close().await.unwrap();
        assert_eq!(Signed::of(&Note::parse(&notes[1].1).unwrap()).unwrap().size, verified.entries);
    });
}

#[test]
fn without_its_key_a_log_goes_on_unsigned_and_says_so() {
    let (_dir, path) = fresh();
    wait(async {
        full(&path).await.close().await.unwrap();
        let key = fs::read(key_path(&path)).unwrap();
        fs::remove_file(key_path(&path)).unwrap();
        let mut store = writable(&path).await;
        assert_eq!(store.verifier(), None);
        commit(&mut store, &[entry(70)]).await;
        let without = store.verify(None, &[], &mut |_| {}).await.unwrap();
        assert!(without.holds() && without.signed[0].size == without.entries - 1, "{without:?}");
        store.close().await.unwrap();
        fs::write(key_path(&path), key).unwrap();
        let mut store = writable(&path).await;
        commit(&mut store, &[entry(71)]).await;
        let again = store.verify(None, &[], &mut |_| {}).await.unwrap();
        assert_eq!(again.signed[0].size, again.entries);
        store.close().await.unwrap();
        fs::write(key_path(&path), "no key").unwrap();
        let refused = refusal(&path, Access::ReadWrite).await.to_string();
        assert!(refused.contains("log.db.key`: it is no private key"), "{refused}");
    });
}

#[cfg(unix)]
#[test]
fn the_key_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, path) = fresh();
    wait(async {
        writable(&path).await.close().await.unwrap();
        assert_eq!(fs::metadata(key_path(&path)).unwrap().permissions().mode() & 0o777, 0o600);
    });
}
