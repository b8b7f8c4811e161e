//! Pages for readers who wait: each looks at a bounded number of rows, and together they hold what there is, once and in order.

use fineprint::decision::{Decision, Verdict};
use fineprint::enforce::{Act, ActionId, Actor, Alert, Entry as ActionEntry};
use fineprint::store::{
    AlertOutcome, AlertRoutes, Disposition, Given, GivenFilter, Judgement, LOOKED_AT_MAX, Outcome, SettledAlert,
};

use super::*;

fn given(n: u64, account: &str, verdict: Verdict) -> Given {
    Given {
        number: 0,
        // Threads are not always written in the order of their clocks.
        at: Timestamp((1_000 + (n ^ 1)) as i64 * SECOND_NS),
        calls: 1,
        event: format!("e{}", n / 2),
        call: None,
        account: Some(account.to_string()),
        api_key: None,
        org: None,
        decision: Decision { verdict, would: verdict, ..Decision::default() },
        bundle: String::new(),
    }
}

/// All pages of a filter: what they hold, and how many there were.
async fn all(store: &Store, filter: &GivenFilter, limit: u64) -> (Vec<Given>, usize) {
    let (mut all, mut pages, mut filter) = (Vec::new(), 0, filter.clone());
    loop {
        let (page, next) = store.given(&filter, limit).await.unwrap();
        assert!(page.len() as u64 <= limit);
        all.extend(page);
        pages += 1;
        match next {
            Some(next) => filter.after = Some(next),
            None => return (all, pages),
        }
    }
}

#[test]
fn pages_of_decisions_look_at_a_bounded_number_and_hold_each_once() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let n = 2 * LOOKED_AT_MAX + 500;
        let verdict = |n: u64| if n % 9_000 == 8_999 { Verdict::Block } else { Verdict::Flag };
        let rows: Vec<Given> = (0..n).map(|i| given(i, ["a", "b"][(i % 3 / 2) as usize], verdict(i))).collect();
        for some in rows.chunks(4_096) {
            store.give(some).await.unwrap();
        }
        let mut expected = rows;
        expected.sort_by_key(|g| g.at);
        let events = |of: &[Given]| of.iter().map(|g| (g.at, g.event.clone())).collect::<Vec<_>>();

        let (found, pages) = all(&store, &GivenFilter::default(), 1_000).await;
        assert_eq!(events(&found), events(&expected));
        assert_eq!(pages as u64, n.div_ceil(1_000));
        // Few fit: a page may be empty, and the walk goes on.
        let strict = GivenFilter { decision_min: Some(Verdict::Throttle), ..GivenFilter::default() };
        let (first, next) = store
            .given(&GivenFilter { from: Some(Timestamp(10_100 * SECOND_NS)), ..strict.clone() }, 100)
            .await
            .unwrap();
        assert_eq!((first.len(), next.is_some()), (1, true));
        let (found, pages) = all(&store, &strict, 100).await;
        let blocked: Vec<Given> = expected.iter().filter(|g| g.decision.verdict == Verdict::Block).cloned().collect();
        assert_eq!((events(&found), pages), (events(&blocked), 3));
        // By account, moment and event.
        let (from, until) = (Timestamp(3_000 * SECOND_NS), Timestamp(5_000 * SECOND_NS));
        let some =
            GivenFilter { account: Some("b".into()), from: Some(from), until: Some(until), ..GivenFilter::default() };
        let fits = |g: &&Given| g.account.as_deref() == Some("b") && (from..until).contains(&g.at);
        let wanted: Vec<Given> = expected.iter().filter(fits).cloned().collect();
        let (found, _) = all(&store, &some, 100).await;
        assert_eq!(events(&found), events(&wanted));
        let one = GivenFilter { event: Some("e7".into()), ..GivenFilter::default() };
        let (found, _) = all(&store, &one, 100).await;
        assert_eq!(found.len(), 2);
        assert_eq!(store.given_one(found[1].number).await.unwrap().unwrap(), found[1]);
        assert_eq!(store.given_one(n + 1).await.unwrap(), None);
    });
}

#[test]
fn pages_of_violations_look_at_a_bounded_number_and_hold_each_once() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let n = LOOKED_AT_MAX + 1_000;
        let mut all: Vec<Entry> = (0..n).map(entry).collect();
        commit(&mut store, &all).await;
        all.sort_by(|a, b| (a.row.opened_at, &a.row.id).cmp(&(b.row.opened_at, &b.row.id)));
        let ids: Vec<&str> = all.iter().map(|e| e.row.id.as_str()).collect();
        let judgement = |outcome| Judgement { outcome, reason: "x".into(), by: "ann".into(), at: Timestamp(0) };
        let decided = [ids[3], ids[n as usize - 2], ids[500]];
        store.decide(&decided, &judgement(Outcome::Confirmed)).await.unwrap();
        store.decide(&[ids[500]], &judgement(Outcome::Test)).await.unwrap();
        let cases = [
            (Filter::default(), ids.clone()),
            (decided_as(Outcome::Confirmed), vec![ids[3], ids[n as usize - 2]]),
            (decided_as(Outcome::Test), vec![ids[500]]),
            (decided_as(Outcome::Authorised), vec![]),
            (
                Filter { opened_from: Some(all[500].row.opened_at), ..decided_as(Outcome::Confirmed) },
                vec![ids[n as usize - 2]],
            ),
        ];
        for (filter, expected) in cases {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let (page, next) = store.page(&filter, after.as_ref(), 1_000).await.unwrap();
                seen.extend(page.into_iter().map(|(row, _)| row.id));
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            assert_eq!(seen, expected, "{filter:?}");
            let listed = store.list(&filter).await.unwrap();
            assert_eq!(listed.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
        }
        // Decided ones are found without a walk over all; others end where the bound is.
        let (page, next) = store.page(&decided_as(Outcome::Confirmed), None, 10).await.unwrap();
        assert_eq!((page.len(), next), (2, None));
        let nothing = Filter {
            status: Some(Status::Merged),
            mode: Some(Mode::Shadow),
            policy: None,
            rule: None,
            ..Filter::default()
        };
        let (page, next) = store.page(&nothing, None, 10).await.unwrap();
        if page.len() < 10 {
            assert_eq!(next.unwrap().1, ids[LOOKED_AT_MAX as usize - 1]);
        }
        for (f, second) in [(decided_as(Outcome::Test), false), (decided_as(Outcome::Test), true)] {
            for step in store.query_plan(&f, second).await.unwrap() {
                assert!(!step.starts_with("SCAN") && !step.contains("TEMP B-TREE"), "{step}");
            }
        }
    });
}

fn decided_as(outcome: Outcome) -> Filter {
    Filter { decision: Some(Disposition::Decided(outcome)), ..Filter::default() }
}

fn alerted(violation: &str, n_accounts: u64, not_before: i64) -> ActionEntry {
    let alert = Alert {
        channel: "a".into(),
        violation: violation.into(),
        rule: "r".into(),
        severity: Severity::High,
        n_accounts,
        before: None,
        not_before: Timestamp(not_before),
    };
    let act = Act::Alerted(Box::new(alert));
    let action = ActionId::new(violation, 0);
    ActionEntry { seq: 0, at: Timestamp(0), actor: Actor::Rule("r".into()), action, act, reason: String::new() }
}

/// An alert waits for each target of its channel from the commit of its entry on, until it is settled there; once.
#[test]
fn alerts_wait_from_the_commit_of_their_entry_until_they_are_settled() {
    let (_dir, path) = fresh();
    wait(async {
        let mut store = writable(&path).await;
        let routes = AlertRoutes::from([("a".to_string(), vec!["webhook".to_string(), "mail".to_string()])]);
        let entries = [alerted("v1", 1, 5), alerted("v2", 1, 3), alerted("v2", 2, 9)];
        let written = store.append_actions_telling(&entries, &routes).await.unwrap();
        assert_eq!(written.len(), 3);
        assert!(store.append_actions_telling(&entries, &routes).await.unwrap().is_empty(), "the same again");
        store.close().await.unwrap();
        let mut store = writable(&path).await;
        let due = async |store: &Store, target: &'static str, now: i64| {
            let due = store.alerts_due("a", target, Timestamp(now), 10).await.unwrap();
            due.into_iter().map(|d| (d.violation, d.n_accounts)).collect::<Vec<_>>()
        };
        let is = |v: &str, n: u64| (v.to_string(), n);
        assert_eq!(due(&store, "webhook", 4).await, [is("v2", 1)]);
        assert_eq!(due(&store, "webhook", 9).await, [is("v2", 1), is("v1", 1), is("v2", 2)]);
        assert_eq!(due(&store, "chat", 9).await, []);
        let settled = |seq: u64, outcome| SettledAlert { seq, target: "webhook".into(), outcome };
        let both = [settled(written[1].seq, AlertOutcome::Delivered), settled(written[0].seq, AlertOutcome::Dead)];
        store.settle_alerts(&both, Timestamp(20)).await.unwrap();
        store.settle_alerts(&[settled(written[1].seq, AlertOutcome::Dead)], Timestamp(30)).await.unwrap();
        assert_eq!(due(&store, "webhook", 9).await, [is("v2", 2)]);
        assert_eq!(due(&store, "mail", 9).await.len(), 3);
        let of: Vec<_> =
            store.alerts_of("v2").await.unwrap().into_iter().map(|d| (d.target, d.outcome, d.settled_at)).collect();
        let delivered = (Some("delivered".to_string()), Some(Timestamp(20)));
        assert_eq!(of[1], ("webhook".to_string(), delivered.0, delivered.1), "what was settled stays");
        assert_eq!(of.len(), 4);
        assert_eq!(
            store.alerts_waiting().await.unwrap(),
            [("a".into(), "mail".into(), 3), ("a".into(), "webhook".into(), 1)]
        );
        assert_eq!(store.unroute_alerts("a", "mail", Timestamp(40)).await.unwrap(), 3);
        assert_eq!(store.alerts_waiting().await.unwrap(), [("a".into(), "webhook".into(), 1)]);
    });
}
