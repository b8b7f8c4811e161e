use std::process::Stdio;

use fineprint::enforce::{ActionId, Caller, Options, Table};
use fineprint::eval::action_text;
use fineprint::hir::{self, Confidence, Mode, Severity, Verb};
use fineprint::store::{Access, Entry, Store};
use fineprint::time::{DAY_NS, Duration, HOUR_NS, Timestamp};
use fineprint::violation::{Enforced, Evidence, Proposal, Status, Violation};
use serde_json::Value;

use super::{Bench, Called};

const HOSTILE: &str = "\u{1b}[2Jacct\nadmin\u{202e}";

fn now() -> Timestamp {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp(i64::try_from(since.as_nanos()).unwrap())
}

fn rule() -> Vec<hir::Action> {
    let asks = |after_review, verb, scope, duration| hir::Action { after_review, delayed: None, verb, scope, duration };
    vec![
        asks(false, Verb::Block, "group", Some(Duration(7 * DAY_NS))),
        asks(true, Verb::Block, "account", None),
        asks(false, Verb::Throttle(10, Duration(60_000_000_000)), "account", None),
    ]
}

fn violation(n: u32, rule_name: &str, mode: Mode, accounts: &[&str]) -> Violation {
    let at = now();
    Violation {
        id: format!("{n:032x}"),
        rule: rule_name.into(),
        rule_hash: "ab".repeat(32),
        clauses: vec![Enforced {
            policy: "acme.terms".into(),
            version: "2025-01-01".into(),
            clause: "volume".into(),
            section: "3.1".into(),
            says: "Calls beyond an agreed volume are not allowed.".into(),
            from: Timestamp(0),
            in_force: true,
        }],
        severity: Severity::High,
        confidence: Confidence::High,
        mode,
        status: Status::Open,
        opened_at: at,
        updated_at: at,
        closed_at: None,
        merged_into: None,
        group: vec![],
        window: None,
        accounts: accounts.iter().map(|a| a.to_string()).collect(),
        values: vec![],
        evidence: Evidence::default(),
        exceptions: vec![],
        actions: rule().iter().map(|a| Proposal { action: action_text(a), withheld: None, delay: None }).collect(),
        because: format!("900 calls by {HOSTILE}"),
        link: None,
        mistaken_for: vec![],
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A log in which a rule has acted: on a group of four, in mode `enforce` and in mode `shadow`.
fn acted() -> Bench {
    let bench = Bench::new();
    let all = [
        violation(1, "many-calls", Mode::Enforce, &["a", "b", "school", HOSTILE]),
        violation(2, "tried-out", Mode::Shadow, &["a"]),
    ];
    wait(async {
        let mut store = Store::open(&bench.path("v.db"), Access::ReadWrite).await.unwrap();
        let entries: Vec<Entry> = all.iter().map(Entry::from).collect();
        store.commit(&fineprint::store::Batch { violations: &entries[..1], ..Default::default() }).await.unwrap();
        for v in &all {
            store.append_actions(&Table::default().propose(v, &rule(), now())).await.unwrap();
        }
        store.close().await.unwrap();
    });
    bench
}

fn id(n: u32, number: u16) -> String {
    ActionId::new(&format!("{n:032x}"), number).to_string()
}

fn act(bench: &Bench, words: &str, reason: &str) -> Called {
    let mut command = bench.command(&format!("actions {words} --db v.db"));
    Called::from(command.args(["--reason", reason]).stdin(Stdio::null()).output().unwrap())
}

fn json(bench: &Bench, words: &str) -> Value {
    let called = bench.call(&format!("actions {words} --db v.db --format json"));
    assert_eq!(called.code, 0, "{called:?}");
    serde_json::from_str(&called.out).unwrap()
}

fn listed(bench: &Bench, words: &str) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap().to_string();
    json(bench, &format!("list {words}"))
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (text(&a["id"]), text(&a["state"])))
        .collect()
}

fn blocked(bench: &Bench, account: &str) -> bool {
    let table = wait(async {
        let store = Store::open(&bench.path("v.db"), Access::ReadOnly).await.unwrap();
        store.action_table(Options::default()).await.unwrap()
    });
    let standing = table.standing(Caller { account: Some(account), ..Caller::default() }, now());
    standing.iter().any(|s| !s.verdict.passes() && s.rate.is_none())
}

#[test]
fn one_innocent_is_released_from_a_group_by_hand() {
    let bench = acted();
    assert!(blocked(&bench, "school") && blocked(&bench, "a"));
    let called =
        act(&bench, &format!("release {} --account school --by ann", &id(1, 0)[..12]), "a classroom, ticket 7");
    assert_eq!((called.code, called.err.as_str()), (0, ""), "{called:?}");
    assert!(called.out.contains("block group for 7d  school released for good by ann"), "{called:?}");
    assert!(!blocked(&bench, "school") && blocked(&bench, "a") && blocked(&bench, "b"));
    let shown = json(&bench, &format!("show {}", id(1, 0)));
    assert_eq!((&shown["action"]["state"], &shown["action"]["released"][0]), (&"in_force".into(), &"school".into()));
    let acts: Vec<&str> = shown["entries"].as_array().unwrap().iter().map(|e| e["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["proposed", "taken", "member_released"]);
    assert_eq!(shown["entries"][2]["by"], serde_json::json!({ "kind": "person", "name": "ann" }));
    let again = act(&bench, &format!("release {} --account school --by ann", id(1, 0)), "x");
    assert!(again.code == 3 && again.err.contains("does not bear on `school`, who was released from it"), "{again:?}");
}

#[test]
fn a_block_waits_for_a_person_and_lasts_as_long_as_people_say() {
    let bench = acted();
    let waiting = id(1, 1);
    assert_eq!(listed(&bench, "--state awaiting-review"), [(waiting.clone(), "awaiting_review".to_string())]);
    let approved = act(&bench, &format!("approve {waiting} --by ann"), "seen the log");
    assert!(
        approved.code == 0 && approved.out.contains("taken until somebody releases it by fineprint"),
        "{approved:?}"
    );
    let twice = act(&bench, &format!("approve {waiting} --by bob"), "x");
    assert!(twice.code == 3 && twice.err.contains("waits for nobody's review"), "{twice:?}");

    let extended = act(&bench, &format!("extend {} --for 30d --by bob --format json", id(1, 0)), "they came back");
    let told: Value = serde_json::from_str(&extended.out).unwrap();
    let until = Timestamp::parse_rfc3339(told[0]["action"]["until"].as_str().unwrap()).unwrap();
    let days = until.since(now()).0;
    assert!(days > 30 * DAY_NS - HOUR_NS && days <= 30 * DAY_NS, "{told}");
    assert_eq!(told[0]["entries"][0]["act"], "extended");

    let both = act(&bench, &format!("release {} {waiting} --by ann", id(1, 0)), "settled out of court");
    assert_eq!((both.code, both.out.lines().count()), (0, 2), "{both:?}");
    assert!(!blocked(&bench, "a"));
    let ended: Vec<String> = listed(&bench, "--state released").into_iter().map(|(id, _)| id).collect();
    assert_eq!(ended.len(), 2);
    let late = act(&bench, &format!("extend {} --for 1d --by bob", id(1, 0)), "x");
    assert!(late.code == 3 && late.err.contains("is released: by ann on 20"), "{late:?}");
}

#[test]
fn a_list_holds_what_is_asked_for() {
    let bench = acted();
    let n = |words: &str| listed(&bench, words).len();
    assert_eq!((n(""), n("--all"), n("--state shadow"), n("--state withheld")), (3, 6, 2, 1));
    assert_eq!(
        (n("--all --rule tried-out"), n("--rule tried-out"), n("--target b"), n("--target nobody")),
        (3, 0, 3, 0)
    );
    assert_eq!((n(&format!("--violation {:032x}", 1)), n("--violation 0000 --limit 2")), (3, 2));
    // Violation 2 is not in the log; what it asked for is.
    assert_eq!(n(&format!("--all --violation {:032x}", 2)), 3);
    let table = bench.call("actions list --db v.db").out;
    for word in ["ID", "UNTIL", "in_force", "awaiting_review", "rule many-calls", "acme.terms.volume", "… and 1 more"]
    {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert_eq!(table.lines().next().unwrap().split_whitespace().count(), 9, "{table}");
}

#[test]
fn what_cannot_be_done_with_an_action_says_what_to_write_instead() {
    let bench = acted();
    bench.write("none.db", "events,of,some,kind\n".repeat(100));
    let taken = id(1, 0);
    let said = |words: String, says: &str| {
        let called = bench.call(&format!("actions {words}"));
        assert_eq!(called.code, 3, "{words}: {called:?}");
        assert!(called.err.contains(says) && called.out.is_empty(), "{words}: {called:?}");
    };
    said(format!("release {taken} --db v.db --by ann"), "--reason");
    said("release --db v.db --by ann --reason x".into(), "<ID>");
    said(
        "release nobody --db v.db --by ann --reason x".into(),
        "`nobody` is no id of an action\nhelp: `fineprint actions list",
    );
    said(format!("release {} --db v.db --by ann --reason x", "f".repeat(32)), "holds no action `ffff");
    said(format!("show {} --db v.db", "f".repeat(32)), "holds no action `ffff");
    said(format!("release {taken} --db none.db --by ann --reason x"), "is not a SQLite database");
    said(format!("release {taken} --db missing.db --by ann --reason x"), "there is no violation log at");
    said(format!("release {} --db v.db --by ann --reason x", id(2, 0)), "set `mode enforce` in the rule");
    said(
        format!("release {} --db v.db --by ann --reason x", id(1, 1)),
        "waits for a review; write `fineprint actions approve",
    );
    said(format!("extend {taken} --db v.db --by ann --reason x"), "--until <TIME>");
    said(format!("extend {taken} --db v.db --by ann --reason x --until 2020-01-01"), "has passed; name a later moment");
    said(format!("extend {taken} --db v.db --by ann --reason x --for 1d"), "which is not before");
    said(format!("extend {taken} --db v.db --by ann --reason x --for soon"), "such as 12h or 7d");
    said(format!("extend {} --db v.db --by ann --reason x --for 9d", id(1, 2)), "there is no end to be moved");
    said(format!("release {taken} --db v.db --by ann --reason {}", "x".repeat(2_001)), "has 2001 characters");
    said("list --db v.db --state blocked".into(), "write one of withheld, shadow, awaiting_review");
    said("list --db v.db --violation zzz".into(), "`zzz` is no id of a violation");
    let blank = act(&bench, &format!("refuse {} --by ann", id(1, 1)), " \n ");
    assert!(blank.code == 3 && blank.err.contains("`--reason TEXT` is empty\nhelp: say why"), "{blank:?}");
    let none = act(&bench, &format!("release {taken} --by ann --account nobody"), "x");
    assert!(none.code == 3 && none.err.contains("lists whom it bears on"), "{none:?}");
    assert_eq!(listed(&bench, "").len(), 3, "nothing was done");
}

#[test]
fn hostile_text_of_an_action_does_not_reach_the_terminal() {
    let bench = acted();
    let mut all = act(&bench, &format!("release {} --by \u{1b}[1mmallory --account b", id(1, 0)), HOSTILE).out;
    let mut command = bench.command(&format!("actions release {} --db v.db --by ann --reason x --account", id(1, 0)));
    let called = Called::from(command.arg(HOSTILE).stdin(Stdio::null()).output().unwrap());
    assert_eq!(called.code, 0, "{called:?}");
    all += &called.out;
    let mut command = bench.command(&format!("actions release {} --db v.db --by ann --reason x --account", id(1, 0)));
    let called = Called::from(command.arg("\u{1b}[31mred").stdin(Stdio::null()).output().unwrap());
    assert_eq!(called.code, 3, "{called:?}");
    all += &called.err;
    for words in ["list --all", &format!("show {}", id(1, 0)), &format!("show {}", id(1, 1))] {
        all += &bench.call(&format!("actions {words} --db v.db")).out;
    }
    assert!(!all.contains('\u{1b}') && !all.contains('\u{202e}'), "{all}");
    assert!(all.contains("\\u{1b}[1mmallory") && all.contains("\\u{1b}[2Jacct\\nadmin\\u{202e}"), "{all}");
    assert!(all.contains("900 calls by \\u{1b}[2J") && all.contains("for good"), "{all}");
}
