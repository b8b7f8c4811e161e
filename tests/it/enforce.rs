//! Actions: what becomes of a proposal, who is borne on, and what people may do.

use std::collections::{BTreeMap, BTreeSet};

use fineprint::decision::Verdict;
use fineprint::enforce::{
    Act, ActionId, Actor, Caller, Entry, Held, InForce, Options, Refusal, STANDING_MAX, Scope, State, Table,
    Unreadable, action_json, entry_json,
};
use fineprint::eval::action_text;
use fineprint::hir::{self, Confidence, Mode, Severity, Verb};
use fineprint::time::{DAY_NS, Duration, HOUR_NS, MINUTE_NS, Timestamp};
use fineprint::violation::{Enforced, Evidence, Proposal, Status, Violation, Withheld};
use proptest::prelude::*;

const START: i64 = 1_800_000_000_000_000_000;

fn at(minutes: i64) -> Timestamp {
    Timestamp(START + minutes * MINUTE_NS)
}

fn asks(verb: Verb, scope: &'static str) -> hir::Action {
    hir::Action { after_review: false, delayed: None, verb, scope, duration: None }
}

fn block() -> hir::Action {
    hir::Action { duration: Some(Duration(DAY_NS)), ..asks(Verb::Block, "account") }
}

fn block_group() -> hir::Action {
    hir::Action { duration: Some(Duration(7 * DAY_NS)), ..asks(Verb::Block, "group") }
}

fn reviewed(action: hir::Action) -> hir::Action {
    hir::Action { after_review: true, ..action }
}

/// A finding that asks for these actions, over these accounts.
fn finding(id: &str, actions: &[hir::Action], accounts: &[&str]) -> Violation {
    Violation {
        id: id.into(),
        rule: "many-calls".into(),
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
        confidence: Confidence::Medium,
        mode: Mode::Enforce,
        status: Status::Open,
        opened_at: at(-1),
        updated_at: at(-1),
        closed_at: None,
        merged_into: None,
        group: vec![],
        window: None,
        accounts: accounts.iter().map(|a| a.to_string()).collect(),
        values: vec![],
        evidence: Evidence::default(),
        exceptions: vec![],
        actions: actions.iter().map(|a| Proposal { action: action_text(a), withheld: None, delay: None }).collect(),
        because: "4711 calls of acct_secret in ten minutes".into(),
        link: None,
        mistaken_for: vec![],
    }
}

/// A table and the log it follows.
#[derive(Default)]
struct Bench {
    table: Table,
    log: Vec<Entry>,
}

impl Bench {
    fn write(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut written = Vec::new();
        for mut e in entries {
            if self.log.iter().any(|known| known.action == e.action && known.once() == e.once()) {
                continue;
            }
            e.seq = self.log.len() as u64 + 1;
            self.table.apply(&e);
            self.log.push(e.clone());
            written.push(e);
        }
        written
    }

    fn propose(&mut self, v: &Violation, actions: &[hir::Action], now: Timestamp) -> Vec<Entry> {
        let entries = self.table.propose(v, actions, now);
        self.write(entries)
    }

    fn due(&mut self, now: Timestamp) -> Vec<Entry> {
        let entries = self.table.due(now);
        self.write(entries)
    }

    fn done(&mut self, entries: Result<Vec<Entry>, Refusal>) -> Vec<Entry> {
        self.write(entries.unwrap())
    }

    fn state(&self, id: ActionId) -> State {
        self.table.get(id).unwrap().state
    }
}

fn account(name: &str) -> Caller<'_> {
    Caller { account: Some(name), ..Caller::default() }
}

fn verdict(table: &Table, caller: Caller<'_>, now: Timestamp) -> Verdict {
    table.standing(caller, now).first().map_or(Verdict::Allow, |a| a.verdict)
}

fn words(entries: &[Entry]) -> Vec<&'static str> {
    entries.iter().map(|e| e.act.word()).collect()
}

#[test]
fn a_block_takes_effect_at_once_and_ends_by_itself() {
    let (mut bench, actions) = (Bench::default(), [block()]);
    let v = finding("v1", &actions, &["a"]);
    let entries = bench.propose(&v, &actions, at(0));
    assert_eq!(words(&entries), ["proposed", "taken"]);
    assert_eq!(entries[0].actor, Actor::Rule("many-calls".into()));
    let standing = bench.table.standing(account("a"), at(1));
    let id = ActionId::new("v1", 0);
    assert_eq!(
        standing,
        [InForce {
            action: id.to_string(),
            verdict: Verdict::Block,
            would: Verdict::Block,
            mode: Mode::Enforce,
            scope: Scope::Account,
            rate: None,
            violation: "v1".into(),
            rule: "many-calls".into(),
            reason: "acme.terms, section 3.1: Calls beyond an agreed volume are not allowed.".into(),
            until: Some(at(24 * 60)),
        }]
    );
    assert!(bench.table.standing(account("b"), at(1)).is_empty() && !bench.table.is_known(account("b")));
    // It ends by the clock, whether or not anybody has written that yet.
    assert!(bench.table.standing(account("a"), at(24 * 60)).is_empty());
    assert_eq!(bench.table.next_due(), Some(at(24 * 60)));
    assert!(bench.table.due(at(24 * 60 - 1)).is_empty());
    assert_eq!(words(&bench.due(at(24 * 60 + 5))), ["expired"]);
    assert_eq!((bench.state(id), bench.table.next_due()), (State::Expired, None));
    assert!(bench.propose(&v, &actions, at(24 * 60 + 6)).is_empty(), "a finding acts once");
}

/// Each verb, in each mode: what takes effect and what the rule asked for.
#[test]
fn the_mode_of_the_rule_decides_what_takes_effect() {
    let verbs = [
        (Verb::Flag, Verdict::Flag),
        (Verb::Throttle(10, Duration(MINUTE_NS)), Verdict::Throttle),
        (Verb::Challenge, Verdict::Challenge),
        (Verb::Block, Verdict::Block),
    ];
    for (verb, asked) in verbs {
        for (mode, effect) in [(Mode::Enforce, asked), (Mode::Flag, Verdict::Flag), (Mode::Shadow, Verdict::Allow)] {
            let (mut bench, actions) = (Bench::default(), [asks(verb.clone(), "account")]);
            let v = Violation { mode, ..finding("v1", &actions, &["a"]) };
            bench.propose(&v, &actions, at(0));
            let standing = bench.table.standing(account("a"), at(0));
            let told: Vec<_> = standing.iter().map(|s| (s.verdict, s.would, s.mode)).collect();
            assert_eq!(told, [(effect, asked, mode)], "{asked:?} in {mode:?}");
            let taken = bench.state(ActionId::new("v1", 0)) == State::InForce;
            assert_eq!(taken, mode != Mode::Shadow, "{asked:?} in {mode:?}");
            let rate = matches!(verb, Verb::Throttle(..)).then_some((10, Duration(MINUTE_NS)));
            assert_eq!(standing[0].rate, rate);
        }
    }
}

#[test]
fn what_waits_for_review_waits_for_a_person() {
    let actions = [reviewed(block())];
    let id = ActionId::new("v1", 0);
    for decided in ["approved", "refused"] {
        let mut bench = Bench::default();
        let v = finding("v1", &actions, &["a"]);
        assert_eq!(words(&bench.propose(&v, &actions, at(0))), ["proposed", "awaiting_review"]);
        assert!(bench.due(at(10_000)).is_empty());
        assert_eq!(verdict(&bench.table, account("a"), at(1)), Verdict::Allow);
        if decided == "approved" {
            let entries = bench.table.approve(id, " ann ", "seen the log", at(60));
            assert_eq!(words(&bench.done(entries)), ["approved", "taken"]);
            assert_eq!(verdict(&bench.table, account("a"), at(61)), Verdict::Block);
            let action = bench.table.get(id).unwrap();
            assert_eq!((action.approvals[0].by.as_str(), action.until), ("ann", Some(at(25 * 60))));
            let again = bench.table.approve(id, "bob", "x", at(61)).unwrap_err();
            assert!(matches!(again, Refusal::NotWaiting { .. }), "{again}");
        } else {
            let entries = bench.table.refuse(id, "ann", "a school", at(60));
            assert_eq!(words(&bench.done(entries)), ["refused"]);
            assert_eq!(verdict(&bench.table, account("a"), at(61)), Verdict::Allow);
            assert!(bench.propose(&v, &actions, at(70)).is_empty());
            let late = bench.table.approve(id, "bob", "x", at(61)).unwrap_err();
            assert!(late.to_string().contains("is refused: by ann on 2027-01-15T09:00:00.000Z"), "{late}");
        }
    }
}

/// The seam for a second person: nothing takes effect before enough different people have approved.
#[test]
fn two_people_where_two_are_asked_for() {
    let actions = [reviewed(block())];
    let mut bench = Bench { table: Table::new(Options { approvals: 2, ..Options::default() }), log: vec![] };
    let id = ActionId::new("v1", 0);
    bench.propose(&finding("v1", &actions, &["a"]), &actions, at(0));
    let one = bench.table.approve(id, "ann", "so it is", at(1));
    assert_eq!(words(&bench.done(one)), ["approved"]);
    assert_eq!((bench.state(id), verdict(&bench.table, account("a"), at(2))), (State::AwaitingReview, Verdict::Allow));
    let same = bench.table.approve(id, "ann", "so it is", at(2)).unwrap_err();
    assert!(matches!(same, Refusal::ApprovedAlready { .. }), "{same}");
    let two = bench.table.approve(id, "bob", "and so it is", at(3));
    assert_eq!(words(&bench.done(two)), ["approved", "taken"]);
    assert_eq!(verdict(&bench.table, account("a"), at(4)), Verdict::Block);
}

/// Two reviewers who do not see each other: the log holds their approvals, and time takes the action.
#[test]
fn approvals_written_side_by_side_add_up() {
    let actions = [reviewed(block())];
    let mut bench = Bench { table: Table::new(Options { approvals: 2, ..Options::default() }), log: vec![] };
    let id = ActionId::new("v1", 0);
    bench.propose(&finding("v1", &actions, &["a"]), &actions, at(0));
    let before = bench.table.clone();
    let (ann, bob) = (before.approve(id, "ann", "x", at(1)), before.approve(id, "bob", "x", at(1)));
    bench.done(ann);
    bench.done(bob);
    assert_eq!(words(&bench.due(at(2))), ["taken"]);
    assert_eq!(verdict(&bench.table, account("a"), at(2)), Verdict::Block);
}

#[test]
fn a_delay_begins_with_the_proposal_or_with_the_approval() {
    let id = ActionId::new("v1", 0);
    for review in [false, true] {
        let delayed = hir::Action { delayed: Some(Duration(6 * HOUR_NS)), after_review: review, ..block() };
        let (mut bench, actions) = (Bench::default(), [delayed]);
        let mut v = finding("v1", &actions, &["a"]);
        v.actions[0].delay = Some(Duration(2 * HOUR_NS));
        bench.propose(&v, &actions, at(0));
        let from = if review {
            let entries = bench.table.approve(id, "ann", "x", at(300));
            assert_eq!(words(&bench.done(entries)), ["approved", "delayed"]);
            420
        } else {
            120
        };
        assert_eq!((bench.state(id), bench.table.next_due()), (State::Delayed(at(from)), Some(at(from))));
        assert_eq!(verdict(&bench.table, account("a"), at(from + 1)), Verdict::Allow, "nobody has taken it");
        let extend = bench.table.extend(id, Some(at(9_000)), "ann", "x", at(1)).unwrap_err();
        assert!(extend.to_string().contains("is delayed; only one in force"), "{extend}");
        let mut released = bench.table.clone();
        for e in released.release(id, "ann", "x", at(from - 1)).unwrap() {
            assert!(released.apply(&e));
        }
        assert!(released.due(at(from)).is_empty());
        assert_eq!(words(&bench.due(at(from))), ["taken"]);
        assert_eq!(bench.table.get(id).unwrap().until, Some(at(from + 24 * 60)));
    }
}

#[test]
fn what_is_withheld_is_recorded_with_why() {
    let all = [
        (Withheld::Exempted, Held::Exempted),
        (Withheld::Rollout, Held::Rollout),
        (Withheld::Late, Held::Late),
        (Withheld::Budget, Held::Budget),
        (Withheld::NoSecret, Held::NoSecret),
    ];
    let held = |v: &Violation, actions: &[hir::Action]| {
        let mut bench = Bench::default();
        bench.propose(v, actions, at(0));
        assert!(bench.table.standing(account("a"), at(0)).is_empty());
        assert!(bench.due(at(1_000_000)).is_empty());
        bench.state(ActionId::new("v1", 0))
    };
    let actions = [block()];
    for (why, expected) in all {
        let mut v = finding("v1", &actions, &["a"]);
        v.actions[0].withheld = Some(why);
        assert_eq!(held(&v, &actions), State::Withheld(expected));
        assert_eq!(expected.word(), why.word());
    }
    let v = Violation { status: Status::Merged, ..finding("v1", &actions, &["a"]) };
    assert_eq!(held(&v, &actions), State::Withheld(Held::Merged));
    assert_eq!(held(&finding("v1", &actions, &[]), &actions), State::Withheld(Held::NoTarget));
    assert_eq!(held(&finding("v1", &[asks(Verb::Flag, "")], &["a"]), &actions), State::Withheld(Held::RuleChanged));
    for scope in ["key", "org"] {
        let actions = [asks(Verb::Block, scope)];
        assert_eq!(held(&finding("v1", &actions, &["a"]), &actions), State::Withheld(Held::NoTarget), "{scope}");
    }
    let actions = [reviewed(block())];
    let v = Violation { mode: Mode::Shadow, ..finding("v1", &actions, &["a"]) };
    assert_eq!(held(&v, &actions), State::Withheld(Held::ShadowReview));
    let actions = [reviewed(asks(Verb::Alert("ops".into()), ""))];
    assert_eq!(held(&finding("v1", &actions, &["a"]), &actions), State::Withheld(Held::AlertAfterReview));
}

#[test]
fn keys_and_organisations_are_those_of_the_group() {
    let (mut bench, actions) = (Bench::default(), [asks(Verb::Block, "key"), asks(Verb::Flag, "org")]);
    let mut v = finding("v1", &actions, &["a"]);
    v.group = vec![("api_key_id".into(), "k1".into()), ("org".into(), "o1".into()), ("country".into(), "FR".into())];
    bench.propose(&v, &actions, at(0));
    let caller = |key, org| Caller { account: Some("a"), key, org };
    for (who, expected) in [
        (caller(Some("k1"), Some("o1")), vec![Verdict::Block, Verdict::Flag]),
        (caller(Some("k2"), Some("o1")), vec![Verdict::Flag]),
        (caller(None, None), vec![]),
        (Caller { account: Some("k1"), key: Some("o1"), org: Some("k1") }, vec![]),
    ] {
        let told: Vec<Verdict> = bench.table.standing(who, at(0)).iter().map(|s| s.verdict).collect();
        assert_eq!(told, expected, "{who:?}");
    }
}

#[test]
fn one_innocent_is_released_from_a_group_for_good() {
    let (mut bench, actions) = (Bench::default(), [block_group()]);
    let id = ActionId::new("v1", 0);
    bench.propose(&finding("v1", &actions, &["a", "b", "school"]), &actions, at(0));
    let entries = bench.table.release_member(id, "school", "ann", "a classroom", at(5));
    bench.done(entries);
    let blocked = |bench: &Bench, who: &str, now: i64| verdict(&bench.table, account(who), at(now)) == Verdict::Block;
    assert!(blocked(&bench, "a", 6) && blocked(&bench, "b", 6) && !blocked(&bench, "school", 6));

    // The group grows, and names it again.
    let grown = finding("v1", &actions, &["a", "b", "c", "school"]);
    assert_eq!(words(&bench.propose(&grown, &actions, at(10))), ["members_added"]);
    assert!(blocked(&bench, "c", 11) && !blocked(&bench, "school", 11));
    assert!(bench.propose(&grown, &actions, at(12)).is_empty());

    // The rule finds the same group anew.
    bench.propose(&finding("v2", &actions, &["a", "school", "z"]), &actions, at(20));
    assert!(blocked(&bench, "z", 21) && !blocked(&bench, "school", 21));
    // Another rule is another matter.
    let other = Violation { rule: "other".into(), ..finding("v3", &actions, &["school"]) };
    bench.propose(&other, &actions, at(30));
    assert!(blocked(&bench, "school", 31));

    let again = bench.table.release_member(id, "school", "ann", "x", at(40)).unwrap_err();
    assert!(again.to_string().contains("does not bear on `school`, who was released from it"), "{again}");
    let nobody = bench.table.release_member(id, "nob\u{1b}ody", "ann", "x", at(40)).unwrap_err();
    assert!(nobody.to_string().contains("`nob\\u{1b}ody`; "), "{nobody}");
    for who in ["a", "b", "c"] {
        let entries = bench.table.release_member(id, who, "ann", "x", at(50));
        bench.done(entries);
    }
    assert_eq!(bench.state(id), State::Released, "nobody is left");
    // A finding that names but released ones asks for nothing.
    bench.propose(&finding("v4", &actions, &["b", "school"]), &actions, at(60));
    assert_eq!(bench.state(ActionId::new("v4", 0)), State::Withheld(Held::Released));
}

#[test]
fn the_same_asked_of_the_same_is_covered_until_it_ends() {
    let (mut bench, actions) = (Bench::default(), [block()]);
    let closed = |id: &str| Violation { status: Status::Closed, ..finding(id, &actions, &["a"]) };
    for n in 0..5 {
        bench.propose(&closed(&format!("v{n}")), &actions, at(n));
    }
    let first = ActionId::new("v0", 0);
    assert_eq!(bench.state(ActionId::new("v4", 0)), State::Withheld(Held::Covered(first)));
    assert_eq!(bench.table.standing(account("a"), at(5)).len(), 1);
    // Its end has come, whether it was written or not: the next finding acts.
    let later = Violation { updated_at: at(24 * 60), ..closed("v9") };
    bench.propose(&later, &actions, at(24 * 60));
    assert_eq!(bench.state(ActionId::new("v9", 0)), State::InForce);
    // Another who, another what, or a changed rule is not covered.
    let other = Violation { updated_at: at(24 * 60), status: Status::Closed, ..finding("w1", &actions, &["b"]) };
    bench.propose(&other, &actions, at(24 * 60));
    let longer = [hir::Action { duration: None, ..block() }];
    let v = Violation { updated_at: at(24 * 60), ..finding("w2", &longer, &["a"]) };
    bench.propose(&v, &longer, at(24 * 60));
    assert_eq!(bench.state(ActionId::new("w1", 0)), State::InForce);
    assert_eq!(bench.state(ActionId::new("w2", 0)), State::InForce);
}

#[test]
fn a_backlog_blocks_nobody_without_a_person() {
    for (verb, held) in [(Verb::Block, true), (Verb::Challenge, true), (Verb::Flag, false)] {
        for (late, stale) in [(DAY_NS, false), (DAY_NS + 1, true)] {
            let (mut bench, actions) = (Bench::default(), [asks(verb.clone(), "account")]);
            let v = Violation { updated_at: Timestamp(START - late), ..finding("v1", &actions, &["a"]) };
            let entries = bench.propose(&v, &actions, Timestamp(START));
            let waits = words(&entries) == ["proposed", "awaiting_review"];
            assert_eq!(waits, held && stale, "{verb:?} {late}");
            assert!(!waits || entries[1].reason.contains("more than 1d ago"), "{entries:?}");
        }
    }
}

#[test]
fn a_channel_is_told_once_and_again_when_the_accounts_have_doubled() {
    let alert = |channel: &str| asks(Verb::Alert(channel.into()), "");
    let (mut bench, actions) = (Bench::default(), [alert("ops"), block_group(), alert("legal")]);
    let names: Vec<String> = (0..20).map(|n| format!("a{n:02}")).collect();
    let mut told = |n: usize| {
        let accounts: Vec<&str> = names[..n].iter().map(String::as_str).collect();
        let entries = bench.propose(&finding("v1", &actions, &accounts), &actions, at(0));
        entries
            .iter()
            .filter_map(|e| e.alert().map(|a| (a.channel.clone(), a.n_accounts, a.before)))
            .collect::<Vec<_>>()
    };
    let both = |n, before| vec![("ops".to_string(), n, before), ("legal".to_string(), n, before)];
    assert_eq!(told(3), both(3, None));
    for quiet in [3, 4, 5] {
        assert_eq!(told(quiet), []);
    }
    assert_eq!(told(6), both(6, Some(3)));
    assert_eq!(told(11), []);
    assert_eq!(told(14), both(14, Some(6)));
    for (mode, n) in [(Mode::Shadow, 0), (Mode::Flag, 1)] {
        let v = Violation { mode, ..finding("v2", &actions[..1], &[]) };
        let first = bench.propose(&v, &actions[..1], at(0));
        assert_eq!((first.len(), bench.propose(&v, &actions[..1], at(1)).len()), (n, 0), "{mode:?}");
    }
    let mut withheld = finding("v3", &actions[..1], &["a"]);
    withheld.actions[0].withheld = Some(Withheld::Budget);
    assert!(bench.propose(&withheld, &actions[..1], at(0)).is_empty());
}

/// Acts of people that cannot be, and what they are told to write instead.
#[test]
fn what_cannot_be_done_says_what_to_do_instead() {
    let mut bench = Bench::default();
    let actions = [block(), reviewed(block()), hir::Action { duration: None, ..block() }];
    bench.propose(&finding("v1", &actions, &["a"]), &actions, at(0));
    let shadow = Violation { mode: Mode::Shadow, ..finding("v2", &actions, &["a"]) };
    bench.propose(&shadow, &actions, at(0));
    let [taken, waiting, endless] = [0, 1, 2].map(|n| ActionId::new("v1", n));
    let shadow = ActionId::new("v2", 0);
    let table = &bench.table;
    let nobody = ActionId::new("v9", 0);
    let now = at(5);
    let extend = |id, minutes| table.extend(id, Some(at(minutes)), "ann", "x", now);
    for (done, says) in [
        (table.release(nobody, "ann", "x", now), "`fineprint actions list --db FILE` shows the ids"),
        (table.approve(taken, "ann", "x", now), "is in_force and waits for nobody's review; to end it"),
        (table.refuse(taken, "ann", "x", now), "waits for nobody's review"),
        (table.release(waiting, "ann", "x", now), "waits for a review; write `fineprint actions approve"),
        (extend(waiting, 9_000), "waits for a review"),
        (table.release(shadow, "ann", "x", now), "set `mode enforce`"),
        (extend(taken, 5), "has passed; name a later moment"),
        (extend(taken, 24 * 60), "which is not before"),
        (extend(endless, 9_000), "there is no end to be moved"),
        (table.release(taken, " ", "x", now), "a name of 1 to 100 characters"),
        (table.release(taken, "ann", "\n", now), "a reason of 1 to 2000 characters"),
        (table.release(taken, "ann", &"é".repeat(2_001), now), "a reason of 1 to 2000 characters"),
    ] {
        let refused = done.unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    let entries = table.release(taken, "ann", &"é".repeat(2_000), now);
    bench.done(entries);
    let twice = bench.table.release(taken, "bob", "x", at(6)).unwrap_err().to_string();
    assert!(twice.contains("is released: by ann on 2027"), "{twice}");
    let forever = bench.table.extend(endless, None, "ann", "x", now);
    assert!(matches!(forever, Err(Refusal::NoEnd { .. })), "{forever:?}");
}

#[test]
fn an_extension_moves_the_end_and_an_end_that_was_noted_before_is_void() {
    let (mut bench, actions) = (Bench::default(), [block()]);
    let id = ActionId::new("v1", 0);
    bench.propose(&finding("v1", &actions, &["a"]), &actions, at(0));
    let expiries = bench.table.due(at(24 * 60));
    let entries = bench.table.extend(id, Some(at(48 * 60)), "ann", "still at it", at(24 * 60));
    bench.done(entries);
    bench.write(expiries);
    assert_eq!(verdict(&bench.table, account("a"), at(47 * 60)), Verdict::Block, "the log's order decides");
    assert_eq!(bench.table.next_due(), Some(at(48 * 60)));
    assert_eq!(words(&bench.due(at(48 * 60))), ["expired"]);
}

#[test]
fn the_strictest_are_told_first_and_not_more_than_so_many() {
    let mut bench = Bench::default();
    for n in 0..STANDING_MAX as i64 + 8 {
        let verb = match n {
            20 => Verb::Block,
            30 => Verb::Challenge,
            _ => Verb::Flag,
        };
        let actions = [asks(verb, "group")];
        bench.propose(&finding(&format!("v{n}"), &actions, &["a", &format!("other{n}")]), &actions, at(n));
    }
    let standing = bench.table.standing(account("a"), at(100));
    assert_eq!(standing.len(), STANDING_MAX);
    let first: Vec<Verdict> = standing.iter().take(3).map(|s| s.verdict).collect();
    assert_eq!(first, [Verdict::Block, Verdict::Challenge, Verdict::Flag]);
}

#[test]
fn what_has_ended_is_forgotten_in_bounds_and_never_proposed_again() {
    let options = Options { ended_max: 3, settled_max: 4, shadow_max: 2, alerts_max: 2, ..Options::default() };
    let mut table = Table::new(options.clone());
    let actions = [asks(Verb::Block, "account"), asks(Verb::Alert("ops".into()), "")];
    let take = |table: &mut Table, v: &Violation, actions: &[hir::Action]| {
        let entries = table.propose(v, actions, at(0));
        entries.iter().for_each(|e| assert!(table.apply(e)));
        entries.len()
    };
    for n in 0..9 {
        let v = finding(&format!("v{n}"), &actions, &[&format!("a{n}")]);
        assert_eq!(take(&mut table, &v, &actions), 3);
    }
    assert_eq!(table.len(), 9, "what is in force is never forgotten");
    for n in 0..6 {
        for e in table.release(ActionId::new(&format!("v{n}"), 0), "ann", "x", at(1)).unwrap() {
            table.apply(&e);
        }
    }
    assert_eq!(table.len(), 3 + 3);
    for n in 0..9 {
        let v = finding(&format!("v{n}"), &actions, &[&format!("a{n}")]);
        assert_eq!(table.propose(&v, &actions[..1], at(2)), [], "v{n}");
    }
    assert_eq!(table.propose(&finding("v8", &actions, &["a8"]), &actions, at(2)).len(), 0);
    assert_eq!(table.propose(&finding("v0", &actions, &["a0"]), &actions, at(2)).len(), 1, "two alerts are remembered");
    for n in 0..5 {
        let v = Violation { mode: Mode::Shadow, ..finding(&format!("s{n}"), &actions, &[&format!("s{n}")]) };
        take(&mut table, &v, &actions[..1]);
    }
    let shadows: Vec<bool> = (0..5).map(|n| table.is_known(account(&format!("s{n}")))).collect();
    assert_eq!(shadows, [false, false, false, true, true]);
    let states: BTreeMap<&str, u64> = table.tally().into_iter().collect();
    assert_eq!((states["in_force"], states["released"], states["shadow"]), (3, 3, 2));
    assert_eq!(Table::restore(&table.snapshot(), options).unwrap(), table);
}

#[test]
fn bytes_that_are_no_table_are_refused() {
    let (mut bench, actions) = (Bench::default(), [block()]);
    bench.propose(&finding("v1", &actions, &["a"]), &actions, at(0));
    let bytes = bench.table.snapshot();
    let mut newer = bytes.clone();
    newer[0] += 1;
    for wrong in [&[][..], &newer, &bytes[..bytes.len() - 1], b"\x01events"] {
        assert_eq!(Table::restore(wrong, Options::default()), Err(Unreadable));
    }
}

/// What is told of an action holds all that a person has to know, and its reason for the caller no secret.
#[test]
fn an_action_as_json_tells_who_why_and_until() {
    let (mut bench, actions) = (Bench::default(), [reviewed(block_group())]);
    let id = ActionId::new("v1", 0);
    let entries = bench.propose(&finding("v1", &actions, &["a", "b"]), &actions, at(0));
    assert_eq!(entry_json(&entries[0])["proposed"]["members"], serde_json::json!(["a", "b"]));
    let entries = bench.table.approve(id, "ann", "so it is", at(1));
    bench.done(entries);
    let entries = bench.table.release_member(id, "b", "bob", "a school", at(2));
    let released = bench.done(entries);
    assert_eq!(entry_json(&released[0])["member"], "b");
    let told = action_json(bench.table.get(id).unwrap());
    for (key, value) in [
        ("id", serde_json::json!(id.to_string())),
        ("state", "in_force".into()),
        ("action", "after review: block group for 7d".into()),
        ("verdict", "block".into()),
        ("members", serde_json::json!(["a"])),
        ("released", serde_json::json!(["b"])),
        ("until", at(7 * 24 * 60 + 1).to_string().into()),
        ("violation", "v1".into()),
    ] {
        assert_eq!(told[key], value, "{key} of {told:#}");
    }
    assert_eq!(told["approvals"][0]["by"], "ann");
    let public = told["reason"].as_str().unwrap();
    assert!(!public.contains("4711") && !public.contains("acct_secret"), "{public}");
}

/// Something that happens to a table.
#[derive(Debug, Clone)]
enum Happens {
    Found {
        finding: u8,
        accounts: u8,
        status: u8,
        mode: u8,
    },
    TimePasses(u16),
    Approve(u8, u8),
    Refuse(u8),
    Release(u8),
    ReleaseMember(u8, u8),
    Extend(u8, u16),
    /// An entry is told again, as a log does to one that reads on.
    Again(u8),
    Restart,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (0u8..6, any::<u8>(), 0u8..3, 0u8..5)
            .prop_map(|(finding, accounts, status, mode)| Happens::Found { finding, accounts, status, mode }),
        4 => (0u16..900).prop_map(Happens::TimePasses),
        2 => (any::<u8>(), 0u8..3).prop_map(|(id, by)| Happens::Approve(id, by)),
        1 => any::<u8>().prop_map(Happens::Refuse),
        1 => any::<u8>().prop_map(Happens::Release),
        2 => (any::<u8>(), 0u8..8).prop_map(|(id, who)| Happens::ReleaseMember(id, who)),
        1 => (any::<u8>(), 0u16..9_000).prop_map(|(id, by)| Happens::Extend(id, by)),
        2 => any::<u8>().prop_map(Happens::Again),
        1 => Just(Happens::Restart),
    ]
}

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// The actions of a rule: one of each kind that differs in what becomes of it.
fn rule() -> Vec<hir::Action> {
    vec![
        block(),
        block_group(),
        reviewed(block_group()),
        hir::Action { delayed: Some(Duration(6 * HOUR_NS)), ..block() },
        hir::Action { duration: None, ..asks(Verb::Throttle(5, Duration(MINUTE_NS)), "key") },
        asks(Verb::Alert("ops".into()), ""),
        hir::Action { delayed: Some(Duration(HOUR_NS)), ..reviewed(asks(Verb::Challenge, "account")) },
    ]
}

/// What bears on somebody by reading the whole log, with no table.
fn plainly(log: &[Entry], caller: Caller<'_>, now: Timestamp) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let ids: BTreeSet<ActionId> = log.iter().map(|e| e.action).collect();
    for id in ids {
        let mut own = log.iter().filter(|e| e.action == id);
        let Some(Entry { act: Act::Proposed(p), at, .. }) = own.next() else { continue };
        let mut members: BTreeSet<&str> = p.members.iter().map(String::as_str).collect();
        let (mut gone, mut approved) = (BTreeSet::new(), BTreeSet::new());
        let (mut over, mut taken) = (p.held.is_some(), None);
        let mut can_take = !p.review;
        for e in own {
            if over {
                break;
            }
            match &e.act {
                Act::Approved if !can_take => {
                    approved.insert(e.actor.name());
                    can_take = approved.len() >= usize::from(p.terms.approvals);
                }
                Act::Refused => over = !can_take,
                Act::Released => over = true,
                Act::Taken { until } if can_take && taken.is_none() => taken = Some(*until),
                Act::Extended { until } if taken.is_some() => taken = Some(*until),
                Act::Expired { .. } => over = matches!(taken, Some(Some(until)) if until <= e.at),
                Act::MembersAdded { members: more } => {
                    members.extend(more.iter().map(String::as_str).filter(|m| !gone.contains(m)));
                }
                Act::MemberReleased { member } => {
                    members.remove(member.as_str());
                    gone.insert(member.as_str());
                    over = members.is_empty();
                }
                _ => {}
            }
        }
        let shadow = p.terms.mode == Mode::Shadow;
        if shadow && !p.review {
            let from = at.saturating_add(p.delay.unwrap_or_default());
            taken = (from <= now).then(|| p.terms.duration.map(|d| from.saturating_add(d)));
        }
        let named = match p.terms.scope {
            Scope::Account | Scope::Group => caller.account,
            Scope::Key => caller.key,
            Scope::Org => caller.org,
        };
        let holds = matches!(taken, Some(until) if until.is_none_or(|u| now < u));
        if !over && holds && named.is_some_and(|n| members.contains(n)) {
            found.insert(id.to_string());
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// The table is what the entries say: by a plain reading of the log, after a replay, after a restart, told twice.
    #[test]
    fn the_table_is_a_function_of_its_entries(all in prop::collection::vec(happens(), 1..60)) {
        let options = Options { ended_max: 5, settled_max: 1_000, ..Options::default() };
        let mut bench = Bench { table: Table::new(options.clone()), log: vec![] };
        let (mut now, actions) = (0i64, rule());
        for what in all {
            let known: Vec<ActionId> = bench.log.iter().map(|e| e.action).collect();
            let id = |n: u8| known.get(usize::from(n) % known.len().max(1)).copied();
            let done = |r: Option<Result<Vec<Entry>, Refusal>>| r.and_then(Result::ok).unwrap_or_default();
            let entries = match what {
                Happens::Found { finding: n, accounts, status, mode } => {
                    let named: Vec<&str> = (0..8).filter(|b| accounts >> b & 1 == 1).map(|b| NAMES[b]).collect();
                    let mut v = finding(&format!("v{n}"), &actions, &named);
                    v.group = vec![("api_key_id".into(), format!("k{}", n % 3))];
                    v.status = [Status::Open, Status::Closed, Status::Merged][usize::from(status)];
                    v.mode = [Mode::Enforce, Mode::Enforce, Mode::Enforce, Mode::Flag, Mode::Shadow][usize::from(mode)];
                    v.updated_at = at(now);
                    v.actions[3].delay = Some(Duration(i64::from(n) * HOUR_NS));
                    v.actions[6].delay = Some(Duration(i64::from(n) * 10 * MINUTE_NS));
                    bench.table.propose(&v, &actions, at(now))
                }
                Happens::TimePasses(minutes) => {
                    now += i64::from(minutes);
                    let due = bench.table.due(at(now));
                    let moments: Vec<_> = due.iter().map(|e| bench.table.get(e.action).map(|a| match a.state {
                        State::Delayed(at) => (at, e.action),
                        _ => (a.until.unwrap(), e.action),
                    })).collect();
                    prop_assert!(moments.is_sorted(), "{moments:?}");
                    due
                }
                Happens::Approve(n, by) => done(id(n).map(|id| bench.table.approve(id, NAMES[usize::from(by)], "x", at(now)))),
                Happens::Refuse(n) => done(id(n).map(|id| bench.table.refuse(id, "ann", "x", at(now)))),
                Happens::Release(n) => done(id(n).map(|id| bench.table.release(id, "ann", "x", at(now)))),
                Happens::ReleaseMember(n, who) => {
                    done(id(n).map(|id| bench.table.release_member(id, NAMES[usize::from(who)], "ann", "x", at(now))))
                }
                Happens::Extend(n, by) => {
                    done(id(n).map(|id| bench.table.extend(id, Some(at(now + i64::from(by))), "ann", "x", at(now))))
                }
                Happens::Again(n) => {
                    let before = bench.table.clone();
                    if let Some(e) = bench.log.get(usize::from(n) % bench.log.len().max(1)) {
                        prop_assert!(!bench.table.apply(e));
                    }
                    prop_assert!(bench.table == before);
                    vec![]
                }
                Happens::Restart => {
                    let restored = Table::restore(&bench.table.snapshot(), options.clone()).unwrap();
                    prop_assert!(restored == bench.table);
                    bench.table = restored;
                    vec![]
                }
            };
            bench.write(entries);
            for (account, key) in NAMES.iter().zip(["k0", "k1", "k2", "k9"].into_iter().cycle()) {
                let caller = Caller { account: Some(account), key: Some(key), org: None };
                for then in [now, now + 45, now + 8 * 24 * 60] {
                    let told = bench.table.standing(caller, at(then)).into_iter().map(|s| s.action).collect::<BTreeSet<_>>();
                    prop_assert_eq!(&told, &plainly(&bench.log, caller, at(then)), "{} {} at {}", account, key, then);
                }
            }
        }
        // Nothing is due twice, and all that was due was told.
        let due = bench.due(at(now));
        prop_assert!(bench.table.due(at(now)).is_empty(), "{:?}", due);
        let mut replayed = Table::new(options);
        for e in &bench.log {
            replayed.apply(e);
        }
        prop_assert!(replayed == bench.table);
        prop_assert_eq!(replayed.next_due(), bench.table.next_due());
    }
}

/// From the text of a rule to the key that it blocks: the finding of a single event names the key and the organisation where an
/// action is asked for of them.
#[test]
fn a_rule_on_single_events_acts_on_the_key_of_its_event() {
    let text = r#"
policy acme.terms version 2025-01-01 {
  clause keys at "3.1" "Keys are not to be probed."
}

rule probe {
  enforces acme.terms.keys
  severity high
  mode     enforce
  on       completion where max_tokens <= 0
  action   block key for 1h
  action   throttle org to 10 per 1m for 30m
  action   flag account
  because  "a call asked for {max_tokens} tokens"
}
"#;
    let mut sources = fineprint::source::SourceMap::default();
    sources.add("probe.tos", text);
    let compiled = fineprint::compile::compile(&sources);
    let actions = compiled.program.rules[0].actions.clone();
    let rules = fineprint::plan::RuleSet::new(compiled.program, fineprint::plan::ReferenceData::default()).unwrap();
    let mut evaluator = fineprint::eval::Evaluator::new(rules.into(), fineprint::eval::EvalOptions::default());
    let line = format!(
        r#"{{"id":"e1","ts":"{}","type":"completion","account":"a","api_key_id":"k","org":"o","max_tokens":-1}}"#,
        at(0)
    );
    let event = fineprint::event::decode::Decoder::new().decode(line.as_bytes()).unwrap();
    evaluator.observe(&event, fineprint::eval::Origin::default());
    evaluator.finish();
    let found = evaluator.take_violations();
    let named = [("account", "a"), ("api_key_id", "k"), ("org", "o")].map(|(n, v)| (n.to_string(), v.to_string()));
    assert_eq!(found[0].group, named);

    let mut bench = Bench::default();
    bench.propose(&found[0], &actions, at(1));
    for (who, expected) in [
        (Caller { account: Some("b"), key: Some("k"), org: None }, vec![Verdict::Block]),
        (Caller { account: Some("b"), key: Some("k2"), org: Some("o") }, vec![Verdict::Throttle]),
        (
            Caller { account: Some("a"), key: Some("k"), org: Some("o") },
            vec![Verdict::Block, Verdict::Throttle, Verdict::Flag],
        ),
        (Caller { account: Some("k"), key: Some("o"), org: Some("a") }, vec![]),
    ] {
        let told: Vec<Verdict> = bench.table.standing(who, at(2)).iter().map(|s| s.verdict).collect();
        assert_eq!(told, expected, "{who:?}");
    }
}
