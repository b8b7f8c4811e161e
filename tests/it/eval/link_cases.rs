//! Rules that group by a link, case by case: rules as written, events as JSON, and what the record says.

use std::collections::BTreeMap;
use std::sync::Arc;

use fineprint::compile::compile;
use fineprint::diagnostic::to_text;
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::decode::Decoder;
use fineprint::plan::{ReferenceData, RuleSet, list_of};
use fineprint::source::SourceMap;
use fineprint::template::FingerprintKey;
use fineprint::time::{Duration, Timestamp};
use fineprint::violation::{EVIDENCE_EDGES_MAX, Status, Violation, to_json};

/// Two families of a day each, both needed.
const OPERATOR: &str = "link operator of account {
  tied by payment_fingerprint within 1d, ignoring values shared by more than 3 accounts
  tied by device_fp within 1d, ignoring values shared by more than 3 accounts
  needs at least 2 of these
}";

/// Fires with two calls of the group in an hour.
const BUSY: &str = "on completion per operator over 1h every 15m let calls = count() when calls >= 2";

pub(super) fn rules(link: &str, sections: &str) -> Arc<RuleSet> {
    let rules = many(link, sections);
    assert_eq!(rules.program().rules.len(), 1);
    rules
}

fn run_all(link: &str, sections: &str, calls: &[Call<'_>], until: i64) -> Vec<Violation> {
    run(many(link, sections), options(), calls, until)
}

fn many(link: &str, sections: &str) -> Arc<RuleSet> {
    let mut sources = SourceMap::default();
    sources.add(
        "t.tos",
        format!(
            "policy a.b version 2026-01-01 {{ clause c at \"1\" \"No.\" }}\nlist offices : cidr = [\"10.9.0.0/16\"]\n\
             {link}\nrule r {{ enforces a.b.c {sections} because \"{{operator}} by {{link.families}}\" }}\n"
        ),
    );
    let compiled = compile(&sources);
    assert!(!compiled.has_errors(), "{}", to_text(&compiled.diagnostics, &sources, false));
    let program = compiled.program;
    let key = FingerprintKey::PUBLIC;
    let lists = program.lists.iter().map(|l| Arc::new(list_of(&l.ty, l.inline.iter().flatten(), &key).unwrap()));
    let data = ReferenceData { lists: lists.collect(), ..ReferenceData::default() };
    Arc::new(RuleSet::new(program, data).unwrap())
}

/// Minutes of the first of January, account, card, device, and anything else.
type Call<'a> = (i64, &'a str, &'a str, &'a str);

fn line(n: usize, (minute, account, card, device): Call<'_>) -> String {
    let at = Timestamp::parse_date("2026-01-01").unwrap().saturating_add(Duration::from_secs(minute * 60));
    let mut fields = String::new();
    for (name, value) in [("payment_fingerprint", card), ("device_fp", device)] {
        if !value.is_empty() {
            fields.push_str(&format!(r#","{name}":"{value}""#));
        }
    }
    format!(r#"{{"id":"e{n:03}","ts":"{at}","type":"completion","account":"{account}"{fields}}}"#)
}

fn options() -> EvalOptions {
    EvalOptions { lateness: Duration(0), ..EvalOptions::default() }
}

fn run(rules: Arc<RuleSet>, options: EvalOptions, calls: &[Call<'_>], until: i64) -> Vec<Violation> {
    let mut evaluator = Evaluator::new(rules, options);
    let mut decoder = Decoder::new();
    let mut found = BTreeMap::new();
    for (n, call) in calls.iter().enumerate() {
        let line = line(n, *call);
        evaluator.observe(&decoder.decode(line.as_bytes()).unwrap(), Origin::default());
        found.extend(evaluator.take_violations().into_iter().map(|v| (v.id.clone(), v)));
    }
    let end = Timestamp::parse_date("2026-01-01").unwrap().saturating_add(Duration::from_secs(until * 60));
    evaluator.advance(end);
    found.extend(evaluator.take_violations().into_iter().map(|v| (v.id.clone(), v)));
    let mut all: Vec<Violation> = found.into_values().collect();
    all.sort_by(|a, b| (a.opened_at, &a.group).cmp(&(b.opened_at, &b.group)));
    all
}

/// Status, group, accounts, calls at crossing and peak, in one line each.
fn told(violations: &[Violation]) -> Vec<String> {
    let minute = |t: Timestamp| t.0 / 60_000_000_000 % 1440;
    violations
        .iter()
        .map(|v| {
            let value = |s: &Option<fineprint::violation::Scalar>| match s {
                Some(fineprint::violation::Scalar::Num(n)) => n.to_string(),
                other => format!("{other:?}"),
            };
            let o = &v.values[0];
            let closed = v.closed_at.map(|t| format!(", {}", minute(t))).unwrap_or_default();
            format!(
                "{} {}..{}{closed} {} [{}] {}/{} #{}",
                v.status.word(),
                minute(v.opened_at),
                minute(v.updated_at),
                v.group[0].1.replace("since 2026-01-01T", "").replace(":00.000Z", ""),
                v.accounts.join(" "),
                value(&o.crossing),
                value(&o.peak),
                v.evidence.count
            )
        })
        .collect()
}

fn of(link: &str, sections: &str, calls: &[Call<'_>], until: i64) -> Vec<String> {
    told(&run(rules(link, sections), options(), calls, until))
}

#[test]
fn one_family_is_not_enough_where_two_are_needed() {
    let calls = [(0, "a", "card", "dev1"), (1, "b", "card", "dev2"), (2, "c", "", "dev2")];
    assert!(of(OPERATOR, BUSY, &calls, 120).is_empty());
    let calls = [(0, "a", "card", "dev1"), (1, "b", "card", "dev1"), (2, "c", "card", "")];
    assert_eq!(of(OPERATOR, BUSY, &calls, 30), ["open 15..30 a 00:15 [a b] 2/2 #2"]);
}

/// What an account did before it joined counts, as far as the window holds it.
#[test]
fn an_account_joins_with_what_it_did_before() {
    let calls = [
        (0, "c", "", ""),
        (1, "a", "card", "dev"),
        (2, "b", "card", "dev"),
        (20, "c", "card", "dev"),
        (50, "x", "", ""),
    ];
    let found = run(rules(OPERATOR, BUSY), options(), &calls, 50);
    assert_eq!(told(&found), ["open 15..45 a 00:15 [a b c] 2/4 #4"]);
    let ids: Vec<&str> = found[0].evidence.events.iter().map(|e| e.id.as_str()).collect();
    assert_eq!(ids, ["e000", "e001", "e002", "e003"]);
}

#[test]
fn a_value_above_its_cap_gives_no_edges_at_all() {
    let mut calls = vec![(0, "a", "card", "dev"), (1, "b", "card", "dev"), (2, "c", "card", "dev")];
    assert_eq!(of(OPERATOR, BUSY, &calls, 30), ["open 15..30 a 00:15 [a b c] 3/3 #3"]);
    // A fourth account with the card, and none of them is tied by it.
    calls.push((3, "d", "card", ""));
    assert!(of(OPERATOR, BUSY, &calls, 30).is_empty());
    // It is judged at the close of the step: a fourth account in the next step ends what was.
    calls[3].0 = 16;
    assert_eq!(of(OPERATOR, BUSY, &calls, 60), ["closed 15..15, 30 a 00:15 [a b c] 3/3 #3"]);
}

#[test]
fn ties_end_when_the_values_were_not_seen_again() {
    let day = |n: i64| n * 24 * 60;
    let calls = [
        (0, "a", "card", "dev"),
        (0, "b", "card", "dev"),
        (day(1) - 1, "a", "", ""),
        (day(1) - 1, "b", "", ""),
        (day(1) + 16, "a", "", ""),
        (day(1) + 17, "b", "", ""),
    ];
    let daily = BUSY.replace("1h every 15m", "1h every 30m");
    assert_eq!(
        of(OPERATOR, &daily, &calls, day(2)),
        ["closed 30..60, 90 a 00:30 [a b] 2/2 #2", "closed 0..0, 30 a 00:30 [a b] 2/2 #2"]
    );
}

/// Two groups become one: the one with the earliest edge goes on, the other closes and says where to.
#[test]
fn merged_groups_go_on_as_the_one_with_the_earliest_edge() {
    let calls = [
        (0, "z", "card1", "dev1"),
        (1, "y", "card1", "dev1"),
        (2, "a", "card2", "dev2"),
        (3, "b", "card2", "dev2"),
        (20, "y", "card2", "dev2"),
        (50, "x", "", ""),
    ];
    let found = run(rules(OPERATOR, BUSY), options(), &calls, 60);
    assert_eq!(told(&found), ["merged 15..15, 30 a 00:15 [a b] 2/2 #2", "open 15..60 z 00:15 [a b y z] 2/5 #5"]);
    let (merged, survivor) = (&found[0], &found[1]);
    let into = merged.link.as_ref().unwrap().merged_into.as_ref().unwrap();
    assert_eq!(
        (into.group.as_str(), into.violation.as_deref()),
        (survivor.group[0].1.as_str(), Some(survivor.id.as_str()))
    );
    let json = to_json(merged);
    assert_eq!(json["merged_into"], survivor.id.as_str());
    assert_eq!(json["merged_into_group"], survivor.group[0].1.as_str());
    assert!(to_json(survivor)["merged_into"].is_null());
    assert!(survivor.link.as_ref().unwrap().merged_into.is_none());
}

/// The survivor may have no violation: the record then names its group alone.
#[test]
fn a_group_may_merge_into_one_without_a_violation() {
    let idle = "on completion per operator over 1h every 15m let calls = count() when calls >= 2 and calls < 4";
    let calls = [
        (0, "z", "card1", "dev1"),
        (1, "y", "card1", "dev1"),
        (2, "y", "", ""),
        (2, "y", "", ""),
        (3, "a", "card2", "dev2"),
        (4, "b", "card2", "dev2"),
        (20, "y", "card2", "dev2"),
    ];
    let found = run(rules(OPERATOR, idle), options(), &calls, 30);
    assert_eq!(told(&found), ["merged 15..15, 30 a 00:15 [a b] 2/2 #2"]);
    let into = found[0].link.as_ref().unwrap().merged_into.clone().unwrap();
    assert_eq!((into.group.as_str(), into.violation), ("z since 2026-01-01T00:15:00.000Z", None));
}

/// A group that falls apart goes on as the part that holds most of its accounts; the rest is a group of its own, with a
/// violation of its own where its windows hold enough.
#[test]
fn a_group_that_splits_goes_on_as_its_larger_part() {
    let link = "link operator of account { tied by payment_fingerprint within 1h tied by device_fp within 1d \
                needs at least 1 of these }";
    let calls = [
        (0, "a", "bridge", "dev1"),
        (1, "b", "", "dev1"),
        (2, "c", "bridge", "dev2"),
        (3, "d", "", "dev2"),
        (4, "e", "", "dev2"),
        (70, "a", "", "dev1"),
        (71, "b", "", ""),
        (72, "c", "", ""),
        (73, "d", "", ""),
        (73, "d", "", ""),
    ];
    let found = run(rules(link, BUSY), options(), &calls, 105);
    assert_eq!(told(&found), ["open 15..105 a 00:15 [a b c d e] 5/5 #8", "open 75..105 a 01:15 [a b] 2/2 #2"]);
    assert_ne!(found[0].id, found[1].id);
    let last = found[0].values[0].last.clone();
    assert_eq!(last, Some(fineprint::violation::Scalar::Num(3)));
}

/// An account that goes over to another group does not take its group's name along.
#[test]
fn a_group_keeps_its_name_when_its_founder_leaves() {
    let link = "link operator of account { tied by payment_fingerprint within 1h needs at least 1 of these }";
    let calls = [
        (0, "a", "card1", ""),
        (1, "b", "card1", ""),
        (2, "c", "card1", ""),
        (30, "b", "card1", ""),
        (31, "c", "card1", ""),
        (70, "b", "card1", ""),
        (71, "c", "card1", ""),
        (72, "a", "card2", ""),
        (73, "d", "card2", ""),
    ];
    assert_eq!(of(link, BUSY, &calls, 90), ["open 15..90 a 00:15 [a b c] 3/5 #7", "open 75..90 a 01:15 [a d] 2/2 #2"]);
}

#[test]
fn a_value_must_be_used_often_enough() {
    let link =
        "link operator of account { tied by prompt_hash within 1h, used at least 3 times needs at least 1 of these }";
    let link = link.replace("prompt_hash", "payment_fingerprint");
    let mut calls = vec![(0, "a", "p", ""), (1, "b", "p", "")];
    assert!(of(&link, BUSY, &calls, 30).is_empty());
    calls.push((2, "b", "p", ""));
    assert_eq!(of(&link, BUSY, &calls, 30), ["open 15..30 a 00:15 [a b] 3/3 #3"]);
}

/// The record names every edge: what was shared, by how many, how often, since when.
#[test]
fn edges_are_evidence() {
    let calls = [(0, "a", "card", "dev"), (1, "b", "card", "dev"), (2, "a", "card", ""), (3, "c", "card", "")];
    let found = run(rules(OPERATOR, BUSY), options(), &calls, 30);
    let json = to_json(&found[0]);
    let edges: Vec<String> = json["link"]["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let text = |key: &str| e[key].as_str().unwrap().replace("2026-01-01T00:", "").replace(".000Z", "");
            format!(
                "{} {} {} {} {} {} {}",
                text("family"),
                text("value"),
                text("account"),
                e["popularity"],
                e["uses"],
                text("first_seen"),
                text("last_seen")
            )
        })
        .collect();
    assert_eq!(
        edges,
        [
            "payment_fingerprint card a 3 2 00:00 02:00",
            "payment_fingerprint card b 3 1 01:00 01:00",
            "device_fp dev a 2 1 00:00 00:00",
            "device_fp dev b 2 1 01:00 01:00",
        ]
    );
    assert_eq!((&json["link"]["edge_count"], &json["link"]["complete"]), (&4.into(), &true.into()));
    assert_eq!(json["because"], "a since 2026-01-01T00:15:00.000Z by payment_fingerprint, device_fp");
    assert_eq!(json["link"]["needs"], 2);
}

/// What comes from an address is shown as a keyed hash; what a list names ties nobody.
#[test]
fn addresses_are_not_shown_and_listed_values_tie_nobody() {
    let link = "link operator of account { tied by network(ip, v4 24, v6 48) within 1h, ignoring values in offices \
                needs at least 1 of these }";
    let rules = rules(link, BUSY);
    let play = |ip: &str| {
        let mut evaluator = Evaluator::new(rules.clone(), options());
        let mut decoder = Decoder::new();
        for (n, account) in ["a", "b"].into_iter().enumerate() {
            let line = format!(
                r#"{{"id":"e{n}","ts":"2026-01-01T00:0{n}:00Z","type":"completion","account":"{account}","ip":"{ip}{n}"}}"#
            );
            evaluator.observe(&decoder.decode(line.as_bytes()).unwrap(), Origin::default());
        }
        evaluator.advance(Timestamp::parse_date("2026-01-02").unwrap());
        evaluator.take_violations()
    };
    let found = play("192.0.2.1");
    let edges = &found[0].link.as_ref().unwrap().edges;
    assert_eq!(edges.len(), 2);
    assert!(edges.iter().all(|e| e.value.len() == 16 && e.value == edges[0].value), "{edges:?}");
    assert!(!to_json(&found[0]).to_string().contains("192.0.2"));
    assert!(play("10.9.3.1").is_empty());
}

#[test]
fn values_of_a_group_can_be_named() {
    let sections = "on completion per operator over 1h every 15m let size = link.members \
                    let by_card = tied_share(payment_fingerprint) when size >= 2 and by_card >= 60% and count() >= 1";
    let link = OPERATOR.replace("at least 2", "at least 1");
    let calls = [(0, "a", "card", "dev"), (1, "b", "card", ""), (2, "c", "", "dev")];
    let found = run(rules(&link, sections), options(), &calls, 20);
    assert_eq!(told(&found), ["open 15..15 a 00:15 [a b c] 3/3 #3"]);
    let share = found[0].values.iter().find(|o| o.name == "by_card").unwrap();
    assert_eq!(share.crossing, Some(fineprint::violation::Scalar::Num(666_667)));
    // Of four accounts two are tied by the card.
    let calls = [(0, "a", "card", "dev"), (1, "b", "card", ""), (2, "c", "", "dev"), (3, "d", "", "dev")];
    assert!(run(rules(&link, sections), options(), &calls, 20).is_empty());
}

/// Events of an exempted kind count apart, as in every rule over windows.
#[test]
fn exceptions_take_events_out_of_a_group() {
    let sections = format!("{BUSY} except events where account = \"b\" because \"known\"");
    let calls = [(0, "a", "card", "dev"), (1, "b", "card", "dev")];
    let found = run(rules(OPERATOR, &sections), options(), &calls, 20);
    assert_eq!(told(&found), ["exempted 15..15 a 00:15 [a b] 2/2 #2"]);
    assert_eq!(found[0].exceptions[0].took_out, 1);
    assert_eq!(found[0].status, Status::Exempted);
}

/// Above the bound on edges the oldest steps are forgotten; the record says since when accounts may be missing.
#[test]
fn above_the_bound_on_edges_the_oldest_steps_are_forgotten() {
    let few = EvalOptions { link_edges: 4, ..options() };
    let calls = [
        (0, "a", "card", "dev"),
        (1, "b", "card", "dev"),
        (20, "c", "card2", "dev2"),
        (21, "d", "card2", "dev2"),
        (40, "e", "card3", "dev3"),
        (41, "f", "card3", "dev3"),
    ];
    let found = run(rules(OPERATOR, BUSY), few, &calls, 60);
    assert_eq!(
        told(&found),
        [
            "closed 15..30, 45 a 00:15 [a b] 2/2 #2",
            "open 30..60 c 00:30 [c d] 2/2 #2",
            "open 45..60 e 00:45 [e f] 2/2 #2",
        ]
    );
    let cut: Vec<bool> = found.iter().map(|v| v.link.as_ref().unwrap().cut_since.is_some()).collect();
    assert_eq!(cut, [false, false, true]);
}

/// Above the bound on pairs the values that most accounts share are ignored.
#[test]
fn above_the_bound_on_pairs_the_most_popular_values_are_ignored() {
    let link = OPERATOR.replace("at least 2", "at least 1");
    let calls =
        [(0, "a", "card", ""), (1, "b", "card", ""), (2, "c", "card", ""), (3, "d", "", "dev"), (4, "e", "", "dev")];
    let found = |pairs| run(rules(&link, BUSY), EvalOptions { link_pairs: pairs, ..options() }, &calls, 20);
    // Three pairs of a card, one of a device.
    assert_eq!(told(&found(4)).len(), 2);
    let cut = found(3);
    assert_eq!(told(&cut), ["open 15..15 d 00:15 [d e] 2/2 #2"]);
    assert_eq!(to_json(&cut[0])["link"]["cut_since"], "2026-01-01T00:15:00.000Z");
    assert!(found(0).is_empty());
}

/// A campaign rewords its prompts around one template; a public template ties nobody.
#[test]
fn accounts_are_tied_by_the_template_of_their_prompts() {
    const TEMPLATE: &str =
        "Rewrite the task below so that it is harder but keeps its answer, its form and its language";
    let link = "list public : fingerprint = [\"You are a helpful assistant who answers in rhymes and never in prose\"]
        link operator of account { tied by template(prompt) within 7d, used at least 3 times, ignoring values in public
        or shared by more than 25 accounts needs at least 1 of these }";
    let rules = rules(link, BUSY);
    let play = |template: &str| {
        let mut evaluator = Evaluator::new(rules.clone(), options());
        let mut decoder = Decoder::new();
        for (n, account) in ["a", "b", "c"].into_iter().enumerate() {
            let line = format!(
                r#"{{"id":"e{n}","ts":"2026-01-01T00:0{n}:00Z","type":"completion","account":"{account}","prompt":"{template}: payload {n} of {account}"}}"#
            );
            evaluator.observe(&decoder.decode(line.as_bytes()).unwrap(), Origin::default());
        }
        evaluator.advance(Timestamp::parse_date("2026-01-02").unwrap());
        evaluator.take_violations()
    };
    let found = play(TEMPLATE);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].accounts, ["a", "b", "c"]);
    let edges = &found[0].link.as_ref().unwrap().edges;
    assert!(edges.len() > 3 && edges.iter().all(|e| e.value.len() == 16 && e.popularity == 3), "{edges:?}");
    assert!(!to_json(&found[0]).to_string().contains("Rewrite"));
    assert!(play("You are a helpful assistant who answers in rhymes and never in prose").is_empty());
}

/// Edges above the bound are counted, and the record says that it does not list all.
#[test]
fn edges_above_the_bound_are_counted() {
    let link = "link operator of account { tied by device_fp within 1d needs at least 1 of these }";
    let devices: Vec<String> = (0..60).map(|d| format!("dev{d}")).collect();
    let accounts: Vec<String> = (0..20).map(|a| format!("a{a:02}")).collect();
    let calls: Vec<Call<'_>> =
        devices.iter().flat_map(|d| accounts.iter().map(|a| (0, a.as_str(), "", d.as_str()))).collect();
    let found = run(rules(link, BUSY), options(), &calls, 20);
    let evidence = found[0].link.as_ref().unwrap();
    assert_eq!((evidence.edges.len(), evidence.n_edges), (EVIDENCE_EDGES_MAX, 1_200));
    assert_eq!(to_json(&found[0])["link"]["complete"], false);
}

/// An exempted finding stays exempted, and says where its group went all the same.
#[test]
fn an_exempted_group_that_merges_stays_exempted() {
    let sections = format!("{BUSY} except events where account = \"a\" because \"known\"");
    let calls = [
        (0, "z", "card1", "dev1"),
        (1, "y", "card1", "dev1"),
        (2, "a", "card2", "dev2"),
        (3, "b", "card2", "dev2"),
        (20, "y", "card2", "dev2"),
    ];
    let found = run(rules(OPERATOR, &sections), options(), &calls, 30);
    assert_eq!(told(&found), ["exempted 15..15, 30 a 00:15 [a b] 2/2 #2", "open 15..30 z 00:15 [a b y z] 2/4 #4"]);
    let into = found[0].link.as_ref().unwrap().merged_into.clone().unwrap();
    assert_eq!(into.violation.as_deref(), Some(found[1].id.as_str()));
}

/// A rule does not see the steps of another: with a rule of another step beside it, it finds the same.
#[test]
fn rules_of_other_steps_change_nothing() {
    let calls = [
        (0, "a", "card1", "dev1"),
        (1, "b", "card1", "dev1"),
        (16, "c", "card2", "dev2"),
        (17, "d", "card2", "dev2"),
        (31, "b", "card2", "dev2"),
        (70, "x", "", ""),
    ];
    let alone = of(OPERATOR, BUSY, &calls, 90);
    let other =
        "rule other { enforces a.b.c on completion per operator over 1h every 5m when count() >= 2 because \"x\" }";
    let link = format!("{OPERATOR} {other}");
    let beside = run_all(&link, BUSY, &calls, 90);
    let own: Vec<Violation> = beside.into_iter().filter(|v| v.rule == "r").collect();
    assert_eq!(told(&own), alone);
    assert_eq!(alone.len(), 2);
}

/// Memory is asked behind the watermark, and its answers pick what an account counted.
#[test]
fn memory_is_asked_of_events_of_a_group() {
    let sections = "on completion where payment_fingerprint seen before within 1d by another account per operator \
                    over 1h every 15m let calls = count() when calls >= 2";
    let calls = [(0, "a", "card", "dev"), (1, "b", "card", "dev"), (2, "a", "card", ""), (3, "a", "", "")];
    let found = run(rules(OPERATOR, sections), options(), &calls, 20);
    assert_eq!(told(&found), ["open 15..15 a 00:15 [a b] 2/2 #2"]);
    let ids: Vec<&str> = found[0].evidence.events.iter().map(|e| e.id.as_str()).collect();
    assert_eq!(ids, ["e001", "e002"]);
}

/// Accounts that had to go for want of room are missed by their group, and the record says so.
#[test]
fn a_group_says_that_accounts_went_for_want_of_room() {
    let names: Vec<String> = (0..3_000).map(|n| format!("once{n}")).collect();
    let mut calls: Vec<Call<'_>> = vec![(1, "a", "card", "dev"), (2, "b", "card", "dev"), (3, "c", "card", "dev")];
    calls.extend(names.iter().map(|name| (5, name.as_str(), "", "")));
    calls.extend([(16, "a", "", ""), (17, "b", "", ""), (18, "c", "", "")]);
    let roomy = run(rules(OPERATOR, BUSY), options(), &calls, 30);
    assert_eq!(told(&roomy), ["open 15..30 a 00:15 [a b c] 3/6 #6"]);
    assert_eq!(roomy[0].evidence.state_cut_at, None);
    let few = EvalOptions { state_bytes: 256 * 1_000, ..options() };
    let cut = run(rules(OPERATOR, BUSY), few, &calls, 30);
    assert_eq!(cut.len(), 1);
    assert_eq!(cut[0].accounts, ["a", "b", "c"]);
    assert!(cut[0].evidence.state_cut_at.is_some());
}

/// Three hours of two calls each, then ten in one hour: what is usual for the two accounts that made them.
const USUAL: &str =
    "on completion per operator over each 1h let calls = count() let before = usual(count(), over 4h) when calls >= 10";

/// What is usual for a group rests on the windows of its accounts, and says so where these went for want of room.
#[test]
fn want_of_room_shows_as_far_back_as_what_is_usual_rests_on() {
    let strangers: Vec<String> = (0..1_500).map(|i| format!("s{i}")).collect();
    let mut calls: Vec<Call<'_>> = Vec::new();
    for hour in 0..4 {
        calls.extend([(hour * 60 + 10, "ann", "c", "d"), (hour * 60 + 10, "bob", "c", "d")]);
    }
    calls.extend(strangers.iter().map(|s| (4 * 60 + 10, s.as_str(), "", "")));
    calls.extend((0..5).flat_map(|i| [(5 * 60 + i, "ann", "c", "d"), (5 * 60 + i, "bob", "c", "d")]));
    let found = |state_bytes: u64| {
        let found = run(rules(OPERATOR, USUAL), EvalOptions { state_bytes, ..options() }, &calls, 10 * 60);
        assert_eq!(found.len(), 1);
        let value = |name: &str| found[0].values.iter().find(|o| o.name == name).unwrap().crossing.clone();
        let number = |name: &str| value(name).map(|v| format!("{v:?}"));
        (number("calls"), number("before"), found[0].evidence.state_cut_at.is_some())
    };
    let num = |n: i64| Some(format!("{:?}", fineprint::violation::Scalar::Num(n)));
    assert_eq!(found(u64::MAX), (num(10), num(2), false));
    assert_eq!(found(0), (num(10), None, true));
}

/// Whoever joins brings what was usual for it; whoever left took it along.
#[test]
fn what_is_usual_for_a_group_is_that_of_its_present_accounts() {
    let mut calls: Vec<Call<'_>> = Vec::new();
    for hour in 0..4 {
        calls.extend([(hour * 60 + 10, "ann", "c1", "d1"), (hour * 60 + 11, "bob", "c1", "d1")]);
        calls.extend((20..23).map(|minute| (hour * 60 + minute, "cy", "c2", "d2")));
    }
    // Cy joins them in the sixth hour.
    calls.extend((0..3).flat_map(|i| [(5 * 60 + i, "ann", "c1", "d1"), (5 * 60 + i, "bob", "c1", "d1")]));
    calls.extend((0..4).map(|i| (5 * 60 + 10 + i, "cy", "c1", "d1")));
    let found = run_all(OPERATOR, USUAL, &calls, 10 * 60);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].accounts, ["ann", "bob", "cy"]);
    let before = found[0].values.iter().find(|o| o.name == "before").unwrap();
    assert_eq!(before.crossing, Some(fineprint::violation::Scalar::Num(5)));
}
