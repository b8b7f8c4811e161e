//! What happens to actions: it is written once, in one order, and never changed.

use fineprint::decision::Verdict;
use fineprint::enforce::{self, Act, Action, ActionId, Caller, Options, Refusal, State, Table};
use fineprint::eval::action_text;
use fineprint::hir::{self, Verb};
use fineprint::store::{ActionFilter, ActionsIn, ENTRIES_PAGE};
use fineprint::time::DAY_NS;

use super::*;

fn at(minutes: i64) -> Timestamp {
    Timestamp((1_700_000_000 + minutes * 60) * SECOND_NS)
}

fn rule() -> Vec<hir::Action> {
    let asks = |after_review, verb, scope| hir::Action {
        after_review,
        delayed: None,
        verb,
        scope,
        duration: Some(Duration(DAY_NS)),
    };
    vec![
        asks(false, Verb::Block, "group"),
        asks(true, Verb::Block, "account"),
        asks(false, Verb::Alert("ops".into()), ""),
    ]
}

/// A finding of rule `rule_{n % 7}` over two accounts.
fn found(n: u64) -> Violation {
    let mut v = violation(n);
    v.actions =
        rule().iter().map(|a| Proposal { action: action_text(a), withheld: None, delay: None }).collect::<Vec<_>>();
    v.accounts = vec![format!("acct_{}", n % 11), format!("other_{n}")];
    v.updated_at = at(0);
    v
}

fn proposed(table: &Table, n: u64) -> Vec<enforce::Entry> {
    table.propose(&found(n), &rule(), at(n as i64))
}

fn blocked(table: &Table, account: &str) -> bool {
    let caller = Caller { account: Some(account), ..Caller::default() };
    table.standing(caller, at(100)).iter().any(|s| s.verdict == Verdict::Block)
}

#[test]
fn what_was_written_comes_back_once_and_in_order() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let mut table = Table::default();
        let mut log = Vec::new();
        for n in 0..60 {
            let mut v = found(n);
            v.mode = Mode::Enforce;
            let entries = table.propose(&v, &rule(), at(n as i64));
            let written = store.append_actions(&entries).await.unwrap();
            assert_eq!(written.len(), 5, "{entries:?}");
            assert_eq!(store.append_actions(&entries).await.unwrap(), [], "twice is once");
            for e in &written {
                table.apply(e);
            }
            log.extend(written);
        }
        let seqs: Vec<u64> = log.iter().map(|e| e.seq).collect();
        assert_eq!(seqs, (1..=300).collect::<Vec<u64>>());
        assert_eq!(store.action_entries(0).await.unwrap(), log);
        assert_eq!(store.action_entries(120).await.unwrap(), log[120..]);
        assert_eq!(store.action_entries(300).await.unwrap(), []);
        assert_eq!(store.action_table(Options::default()).await.unwrap(), table);
        // The violations themselves were never written: an action stands without them.
        assert_eq!(exported(&store, &Filter::default()).await, "");
        let id = ActionId::new(&found(7).id, 0);
        let (action, entries) = store.action(&id.to_string()[..20]).await.unwrap().unwrap();
        assert_eq!((&action, entries.len()), (table.get(id).unwrap(), 2));
        store.close().await.unwrap();
        let again = writable(&path).await;
        assert_eq!(again.action_table(Options::default()).await.unwrap(), table);
    });
}

#[test]
fn a_log_of_many_entries_is_replayed_page_by_page() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let n = ENTRIES_PAGE / 5 + 1;
        let table = Table::default();
        let entries: Vec<enforce::Entry> = (0..n)
            .flat_map(|n| table.propose(&Violation { mode: Mode::Enforce, ..found(n) }, &rule(), at(0)))
            .collect();
        let written = store.append_actions(&entries).await.unwrap();
        assert!(written.len() as u64 > ENTRIES_PAGE);
        assert_eq!(store.action_entries(0).await.unwrap().len() as u64, ENTRIES_PAGE);
        let replayed = store.action_table(Options::default()).await.unwrap();
        assert_eq!((replayed.seq(), replayed.len() as u64), (written.len() as u64, 2 * n));
    });
}

/// Another program that has the database open cannot change what happened either.
#[test]
fn entries_are_not_changed_and_not_removed() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let before = store.append_actions(&proposed(&Table::default(), 5)).await.unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        for sql in ["UPDATE action_entries SET name = 'mallory'", "DELETE FROM action_entries"] {
            let error = sqlx::query(sql).execute(&mut conn).await.unwrap_err().to_string();
            assert!(error.contains("a later one follows"), "{error}");
        }
        assert_eq!(store.action_entries(0).await.unwrap(), before);
    });
}

#[test]
fn a_person_acts_while_a_run_writes_and_the_logs_order_counts() {
    let (_dir, path) = fresh();
    wait(async {
        let mut run = writable(&path).await;
        let mut table = Table::default();
        let v = Violation { mode: Mode::Enforce, ..found(3) };
        let written = run.append_actions(&table.propose(&v, &rule(), at(0))).await.unwrap();
        for e in &written {
            table.apply(e);
        }
        let group = ActionId::new(&v.id, 0);
        assert!(blocked(&table, "acct_3") && blocked(&table, "other_3"));

        let mut reviewer = Store::open(&path, Access::Review).await.unwrap();
        let release = |table: &Table, id: ActionId| table.release_member(id, "acct_3", "ann", "a classroom", at(10));
        let acted = reviewer.act(&[&group.to_string()[..16]], release).await.unwrap();
        assert_eq!(acted[0].0.members().collect::<Vec<_>>(), ["other_3"]);
        // The server has not read that yet, and notes that the group grew: what it wrote comes after.
        let grown = Violation { accounts: vec!["acct_3".into(), "new".into(), "other_3".into()], ..v.clone() };
        run.append_actions(&table.propose(&grown, &rule(), at(11))).await.unwrap();
        for e in run.action_entries(table.seq()).await.unwrap() {
            table.apply(&e);
        }
        let standing: Vec<bool> = ["acct_3", "new", "other_3"].iter().map(|a| blocked(&table, a)).collect();
        assert_eq!(standing, [false, true, true]);
        assert_eq!(run.action_table(Options::default()).await.unwrap(), table);
    });
}

#[test]
fn all_acts_are_done_or_none() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let enforced = |n| Violation { mode: Mode::Enforce, ..found(n) };
        for n in 1..40 {
            store.append_actions(&Table::default().propose(&enforced(n), &rule(), at(0))).await.unwrap();
        }
        let ids: Vec<String> = (1..40).map(|n| ActionId::new(&found(n).id, 0).to_string()).collect();
        let waits = ActionId::new(&found(1).id, 1).to_string();
        let before = store.action_entries(0).await.unwrap();
        let mut release = |table: &Table, id: ActionId| table.release(id, "ann", "x", at(1));
        for (named, says) in [
            (vec![ids[0].as_str(), &"f".repeat(32)], "holds no action `ffff"),
            (vec![ids[0].as_str(), "nothing"], "holds no action `nothing`"),
            (vec![ids[0].as_str(), ""], "more than one action's id"),
            (vec![ids[0].as_str(), &waits], "waits for a review; write"),
        ] {
            let error = store.act(&named, &mut release).await.unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        assert_eq!(store.action_entries(0).await.unwrap(), before);
        let error = Store::open(&path, Access::ReadOnly).await.unwrap().act(&[&ids[0]], &mut release).await;
        assert!(matches!(error, Err(StoreError::ReadOnly { .. })), "{error:?}");
        let acted = store.act(&[&ids[0], &ids[2], &ids[0][..30]], &mut release).await.unwrap();
        assert_eq!(acted.iter().map(|(a, e)| (a.state, e.len())).collect::<Vec<_>>(), [(State::Released, 1); 2]);
        let twice = store.act(&[&ids[0]], &mut release).await.unwrap_err();
        assert!(matches!(twice, StoreError::Refused(Refusal::Over { .. })), "{twice}");
    });
}

/// Every way to ask, so that answers and plans are tested on the same questions.
fn questions() -> Vec<ActionFilter> {
    let text = |s: &str| Some(s.to_owned());
    let mut all = Vec::new();
    for state in [None, Some(ActionsIn::Alive)].into_iter().chain(State::WORDS.map(|w| Some(ActionsIn::State(w)))) {
        for (target, rule, violation) in [
            (None, None, None),
            (text("acct_4"), None, None),
            (text("other_9"), text("rule_2"), None),
            (None, text("rule_3"), None),
            (None, text("rule_1"), Some(violation(8).id)),
            (None, None, Some(violation(12).id)),
            (text("nobody"), None, None),
        ] {
            all.push(ActionFilter { state, target, rule, violation, limit: None });
        }
    }
    all
}

#[test]
fn a_filter_of_actions_gives_what_holds_for_every_part_by_an_index() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let mut table = Table::default();
        for n in 0..700 {
            let mut entries = proposed(&table, n);
            entries.retain(|e| !matches!(e.act, Act::Alerted(_)));
            for e in store.append_actions(&entries).await.unwrap() {
                table.apply(&e);
            }
        }
        for n in 0..200 {
            for number in 0..2 {
                let id = ActionId::new(&found(n).id, number);
                let entries = match n / 3 % 3 {
                    0 => table.release(id, "ann", "x", at(900)).or_else(|_| table.refuse(id, "ann", "x", at(900))),
                    1 => table.release_member(id, &format!("acct_{}", n % 11), "ann", "x", at(900)),
                    _ => table.approve(id, "ann", "x", at(900)),
                };
                for e in store.append_actions(&entries.unwrap_or_default()).await.unwrap() {
                    table.apply(&e);
                }
            }
        }
        for e in store.append_actions(&table.due(at(30 * 60))).await.unwrap() {
            table.apply(&e);
        }
        let tally = table.tally();
        assert!(tally.iter().filter(|(_, n)| *n > 0).count() >= 6, "{tally:?}");
        for f in questions() {
            let expected: Vec<Action> = table
                .actions()
                .into_iter()
                .filter(|a| match f.state {
                    None => true,
                    Some(ActionsIn::Alive) => ["awaiting_review", "delayed", "in_force"].contains(&a.state.word()),
                    Some(ActionsIn::State(word)) => a.state.word() == word,
                })
                .filter(|a| f.rule.as_ref().is_none_or(|r| *r == a.terms.rule))
                .filter(|a| f.violation.as_ref().is_none_or(|v| **v == *a.violation))
                .filter(|a| f.target.as_ref().is_none_or(|t| a.bears_on(t) || a.released().any(|m| m == t)))
                .cloned()
                .collect();
            assert_eq!(store.actions(&f).await.unwrap(), expected, "{f:?}");
            let few = ActionFilter { limit: Some(3), ..f.clone() };
            assert_eq!(store.actions(&few).await.unwrap(), expected[..expected.len().min(3)], "{few:?}");
            for step in store.action_query_plan(&f).await.unwrap() {
                assert!(step.contains("INDEX") || step.contains("PRIMARY KEY"), "{f:?}: {step}");
                assert!(!step.contains("TEMP B-TREE"), "{f:?}: {step}");
            }
        }
    });
}
