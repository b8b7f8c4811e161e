//! Which violations are one case, what ties its accounts, and what its calls come to.

use fineprint::campaign::{
    Call, Case, Cases, Findings, MODELS_MAX, Price, PriceError, Prices, Tally, belong_together, cases, counts, families,
};
use fineprint::feed::parse_prices;
use fineprint::time::{HOUR_NS, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A record in its export form: the n-th to be opened, of accounts named by letters.
fn record(n: i64, rule: &str, accounts: &str) -> Value {
    let at = |hours: i64| Timestamp(hours * HOUR_NS).to_string();
    json!({
        "id": format!("{n:032x}"),
        "rule": rule,
        "severity": "high",
        "confidence": "medium",
        "status": "open",
        "opened_at": at(n),
        "updated_at": at(n + 1),
        "group": { "card": rule },
        "accounts": accounts.chars().map(String::from).collect::<Vec<_>>(),
        "values": {},
        "because": "because",
        "evidence": { "count": 3, "events": [{ "id": "e", "ts": at(n - 1), "role": "all" }] },
        "merged_into": null,
    })
}

fn with(mut record: Value, key: &str, value: impl Into<Value>) -> Value {
    record[key] = value.into();
    record
}

fn findings(records: &[Value]) -> Findings {
    let mut findings = Findings::default();
    records.iter().for_each(|r| findings.push(r).unwrap());
    findings
}

/// Cases as the rules of each, sorted, and those beside it; and the rules outside.
fn told(records: &[Value]) -> Vec<String> {
    let findings = findings(records);
    let cases = cases(&findings);
    let rules = |of: &[usize]| {
        let mut rules: Vec<&str> = of.iter().map(|i| findings.all()[*i].rule.as_str()).collect();
        rules.sort_unstable();
        rules.join(" ")
    };
    let case = |c: &Case| match c.beside.is_empty() {
        true => rules(&c.findings),
        false => format!("{} | {}", rules(&c.findings), rules(&c.beside)),
    };
    let mut all: Vec<String> = cases.cases.iter().map(case).collect();
    all.sort();
    if !cases.outside.is_empty() {
        all.push(format!("outside {}", rules(&cases.outside)));
    }
    all
}

/// (what, violations in order of opening: rule and accounts, cases)
const TIES: &[(&str, &[(&str, &str)], &[&str])] = &[
    ("the same accounts", &[("r1", "abc"), ("r2", "abc")], &["r1 r2"]),
    ("cards of a wording", &[("card1", "abc"), ("card2", "def"), ("wording", "abcdef")], &["card1 card2 wording"]),
    ("half of the smaller", &[("r1", "abcd"), ("r2", "cdefgh")], &["r1 r2"]),
    ("less than half", &[("r1", "abcde"), ("r2", "defghi")], &["r1", "r2"]),
    ("one account of two", &[("r1", "ab"), ("r2", "bc")], &["r1", "r2"]),
    ("one account alone", &[("r1", "a"), ("r2", "abc")], &["r1 r2"]),
    ("the same account twice", &[("r1", "a"), ("r2", "a")], &["r1 r2"]),
    ("an innocent that two campaigns name", &[("r1", "abcdx"), ("r2", "efghx"), ("alone", "x")], &["alone r1", "r2"]),
    (
        "a small one that lies between two campaigns",
        &[("r1", "abcdef"), ("r2", "ghijkl"), ("between", "efgh")],
        &["between r1", "r2"],
    ),
    (
        "a larger one that holds half of both",
        &[("r1", "abcd"), ("r2", "efgh"), ("both", "abcdefghij")],
        &["both r1 r2"],
    ),
    ("the closer of two", &[("wide", "abcdefghij"), ("near", "abxyz"), ("card", "ab")], &["card near", "wide"]),
    ("nothing in common", &[("r1", "ab"), ("r2", "cd")], &["r1", "r2"]),
];

#[test]
fn violations_are_tied_by_their_accounts() {
    for (what, opened, expected) in TIES {
        let records: Vec<Value> = (1..).zip(*opened).map(|(n, (rule, accounts))| record(n, rule, accounts)).collect();
        assert_eq!(told(&records), *expected, "{what}");
    }
}

#[test]
fn what_accuses_nobody_joins_and_never_ties() {
    let pair = [record(1, "r1", "abc"), record(2, "r2", "def")];
    let all = |more: Value| pair.iter().cloned().chain([more]).collect::<Vec<_>>();
    let bridge = || record(3, "bridge", "abcdef");
    for (what, more, expected) in [
        ("an accusation ties", bridge(), vec!["bridge r1 r2"]),
        ("a signal joins one", with(bridge(), "severity", "info"), vec!["r1 | bridge", "r2"]),
        ("an exception joins one", with(bridge(), "status", "exempted"), vec!["r1 | bridge", "r2"]),
        (
            "of its own it is no case",
            with(record(3, "far", "xyz"), "status", "exempted"),
            vec!["r1", "r2", "outside far"],
        ),
        (
            "a merged one goes where it went",
            with(with(record(3, "merged", "abc"), "status", "merged"), "merged_into", format!("{:032x}", 2)),
            vec!["r1", "r2 | merged"],
        ),
        ("a merged one without that", with(record(3, "merged", "abc"), "status", "merged"), vec!["r1 | merged", "r2"]),
    ] {
        assert_eq!(told(&all(more)), expected, "{what}");
    }
}

#[test]
fn without_accounts_the_group_ties() {
    let guessed = |n, rule, network| with(record(n, rule, ""), "group", json!({ "network": network }));
    let records = [guessed(1, "r1", "10.0.0.0/24"), guessed(2, "r2", "10.0.0.0/24"), guessed(3, "r3", "10.0.1.0/24")];
    assert_eq!(told(&records), ["r1 r2", "r3"]);
}

/// The earliest names the case: also when a later, larger one joins, and when two cases become one.
#[test]
fn the_name_of_a_case_stays() {
    let name = |records: &[Value]| {
        let found = cases(&findings(records)).cases;
        let mut names: Vec<String> = found.iter().map(|c| c.id.clone()).collect();
        names.sort();
        names
    };
    let id = |n: i64| format!("{n:032x}");
    let with_id = |n: i64, id: &str, accounts: &str| with(record(n, "r", accounts), "id", id);
    let (a, b) = (with_id(1, &"a".repeat(32), "abc"), with_id(2, &"b".repeat(32), "def"));
    assert_eq!(name(&[a.clone(), b.clone()]), ["c-aaaaaaaaaaaa", "c-bbbbbbbbbbbb"]);
    let later = with_id(3, &"c".repeat(32), "abcx");
    assert_eq!(name(&[a.clone(), b.clone(), later]), ["c-aaaaaaaaaaaa", "c-bbbbbbbbbbbb"]);
    let both = with_id(4, &"d".repeat(32), "abcdef");
    assert_eq!(name(&[a, b, both]), ["c-aaaaaaaaaaaa"]);
    // One that accuses nobody gives no name, however early.
    let early = with(with(record(1, "r", "abc"), "status", "exempted"), "id", id(1));
    assert_eq!(name(&[early, with_id(2, &"e".repeat(32), "abc")]), ["c-eeeeeeeeeeee"]);
}

#[test]
fn the_strongest_evidence_comes_first() {
    let records = [
        record(1, "many", "abcd"),
        with(record(2, "sure", "abcd"), "confidence", "high"),
        with(record(3, "grave", "ab"), "severity", "critical"),
        record(4, "few", "abc"),
        with(record(5, "low", "abcd"), "severity", "low"),
    ];
    let findings = findings(&records);
    let cases = cases(&findings);
    let order: Vec<&str> = cases.cases[0].findings.iter().map(|i| findings.all()[*i].rule.as_str()).collect();
    assert_eq!(order, ["grave", "sure", "many", "few", "low"]);
    let case = &cases.cases[0];
    assert_eq!((case.first, case.last), (Timestamp(0), Timestamp(4 * HOUR_NS)));
}

#[test]
fn families_are_groups_and_edges() {
    let edge =
        |family: &str, value: &str, account: &str| json!({ "family": family, "value": value, "account": account });
    let linked = with(record(3, "ring", "abcd"), "group", json!({ "operator": "group 1" }));
    let linked = with(
        linked,
        "link",
        json!({
            "name": "operator",
            "complete": false,
            "edges": [edge("tls_fp", "t1", "a"), edge("tls_fp", "t1", "b"), edge("tls_fp", "t2", "c"), edge("tls_fp", "t2", "z")],
        }),
    );
    let card = |n, card: &str, accounts: &str| with(record(n, "card", accounts), "group", json!({ "card": card }));
    let alone = with(record(4, "alone", "a"), "group", json!({ "api_key_id": "k" }));
    let counted = with(card(1, "c1", "abc"), "values", json!({ "cards": { "peak": 2 }, "share": { "peak": "60%" } }));
    let findings = findings(&[counted, card(2, "c2", "cd"), linked, alone]);
    let cases = cases(&findings);
    assert_eq!(cases.cases.len(), 1);
    let told: Vec<String> = families(&findings, &cases.cases[0])
        .iter()
        .map(|f| {
            let values: Vec<String> = f.values.iter().map(|v| format!("{}={}", v.value, v.n_accounts)).collect();
            format!("{} {} {} {}", f.name, f.n_accounts, f.complete, values.join(" "))
        })
        .collect();
    // `t2` ties one account of the case alone, and the key is that of one account.
    assert_eq!(told, ["card 4 true c1=3 c2=2", "tls_fp 2 false t1=2"]);
    let counted: Vec<(String, i64)> =
        counts(&findings, &cases.cases[0]).into_iter().map(|c| (c.name, c.peak)).collect();
    assert_eq!(counted, [("cards".to_string(), 2)]);
}

#[test]
fn a_record_that_is_none_is_refused() {
    for key in ["id", "rule", "severity", "status", "opened_at", "accounts", "evidence", "because"] {
        let mut without = record(1, "r", "ab");
        without.as_object_mut().unwrap().remove(key);
        let told = Findings::default().push(&without).unwrap_err().to_string();
        assert!(told.contains(&format!("`{key}`")), "{told}");
    }
}

/// Accounts of up to twelve letters, when they opened, and whether they accuse.
fn some() -> impl Strategy<Value = Vec<Value>> {
    let one = (prop::collection::btree_set(0u8..12, 0..7), 0u8..8);
    prop::collection::vec(one, 1..12).prop_map(|all| {
        let record = |(n, (accounts, what)): (i64, (std::collections::BTreeSet<u8>, u8))| {
            let accounts: String = accounts.iter().map(|a| char::from(b'a' + a)).collect();
            let record = record(n, &format!("r{n:02}"), &accounts);
            match what {
                0 => with(record, "severity", "info"),
                1 => with(record, "status", "exempted"),
                2 => with(record, "severity", "critical"),
                _ => record,
            }
        };
        (1..).zip(all).map(record).collect()
    })
}

/// Cases by name: the rules that accuse, those beside, and the accounts; and the rules outside.
fn by_name(records: &[Value]) -> Vec<(String, Vec<String>, Vec<String>, Vec<String>)> {
    let findings = findings(records);
    let Cases { cases, outside } = cases(&findings);
    let rules = |of: &[usize]| of.iter().map(|i| findings.all()[*i].rule.clone()).collect::<Vec<_>>();
    let names = |c: &Case| {
        let mut names: Vec<String> = c.accounts.iter().map(|a| findings.name(*a).to_string()).collect();
        names.sort();
        names
    };
    let mut all: Vec<_> =
        cases.iter().map(|c| (c.id.clone(), rules(&c.findings), rules(&c.beside), names(c))).collect();
    all.push(("outside".to_string(), Vec::new(), rules(&outside), Vec::new()));
    all
}

proptest! {
    /// The order in which a log hands out its violations does not show.
    #[test]
    fn order_never_shows(records in some().prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle()))) {
        let (ordered, shuffled) = records;
        prop_assert_eq!(by_name(&ordered), by_name(&shuffled));
    }

    /// Violations of other accounts, whenever they opened, leave each case as it was.
    #[test]
    fn strangers_change_nothing(records in some(), others in some()) {
        let stranger = |r: &Value| {
            let accounts: Vec<String> =
                r["accounts"].as_array().unwrap().iter().map(|a| format!("other {a}")).collect();
            let r = with(with(r.clone(), "accounts", accounts), "group", json!({ "other": r["rule"] }));
            let id = r["id"].as_str().unwrap().replacen('0', "f", 20);
            with(with(r.clone(), "id", id), "rule", format!("other {}", r["rule"]))
        };
        let alone = by_name(&records);
        let together: Vec<Value> = records.iter().cloned().chain(others.iter().map(stranger)).collect();
        let mut among = by_name(&together);
        among.retain(|(id, ..)| !id.starts_with("c-f"));
        among.iter_mut().for_each(|(.., beside, _)| beside.retain(|rule| !rule.starts_with("other")));
        prop_assert_eq!(alone, among);
    }

    /// Every violation that accuses is in one case, no other makes one, and nothing is lost.
    #[test]
    fn every_violation_has_its_place(records in some()) {
        let findings = findings(&records);
        let Cases { cases, outside } = cases(&findings);
        let mut accusing: Vec<usize> = cases.iter().flat_map(|c| c.findings.iter().copied()).collect();
        accusing.sort_unstable();
        let expected: Vec<usize> = (0..records.len()).filter(|i| findings.all()[*i].accuses()).collect();
        prop_assert_eq!(accusing, expected);
        let mut all: Vec<usize> = cases.iter().flat_map(|c| c.findings.iter().chain(&c.beside).copied()).chain(outside).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..records.len()).collect::<Vec<_>>());
        for case in &cases {
            prop_assert!(!case.findings.is_empty());
            let named: std::collections::BTreeSet<u32> =
                case.findings.iter().flat_map(|i| findings.all()[*i].accounts.iter().copied()).collect();
            prop_assert_eq!(&named.into_iter().collect::<Vec<_>>(), &case.accounts);
        }
    }

    /// A violation that shares one account with each of many makes none of them one.
    #[test]
    fn an_innocent_glues_nothing(records in some(), order in Just((0..12u8).collect::<Vec<_>>()).prop_shuffle()) {
        // What names one account alone is of no campaign that could be glued.
        let records: Vec<Value> = records.into_iter().filter(|r| r["accounts"].as_array().unwrap().len() != 1).collect();
        let names = |r: &Value, account: &str| r["accounts"].as_array().unwrap().iter().any(|a| a == account);
        let mut picked: Vec<String> = Vec::new();
        for account in order.iter().map(|a| char::from(b'a' + a).to_string()) {
            let apart = |known: &String| !records.iter().any(|r| names(r, known) && names(r, &account));
            if picked.iter().all(apart) {
                picked.push(account);
            }
        }
        let innocent = with(record(99, "innocent", ""), "accounts", picked);
        let together: Vec<Value> = records.iter().cloned().chain([innocent]).collect();
        // It may come to one of them, where it names one account alone.
        let rules = |records: &[Value]| {
            let mut all: Vec<Vec<String>> = by_name(records).into_iter().map(|(_, rules, ..)| rules).collect();
            all.iter_mut().for_each(|rules| rules.retain(|r| r != "innocent"));
            all.retain(|rules| !rules.is_empty());
            all.sort();
            all
        };
        prop_assert_eq!(rules(&records), rules(&together));
    }
}

#[test]
fn belonging_together_is_half_of_the_smaller() {
    for (shared, one, other, expected) in [
        (0, 0, 5, false),
        (1, 1, 9, true),
        (1, 2, 9, false),
        (2, 2, 9, true),
        (1, 3, 3, false),
        (2, 3, 9, true),
        (2, 4, 4, true),
        (2, 5, 5, false),
        (3, 5, 500, true),
    ] {
        assert_eq!(belong_together(shared, one, other), expected, "{shared} of {one} and {other}");
        assert_eq!(belong_together(shared, other, one), expected, "{shared} of {other} and {one}");
    }
}

// ── volumes and prices ──

fn prices() -> Prices {
    let text = "currency: EUR\nmodels:\n\
        - {model: big, input: 2, output: 10, valid_until: 1970-01-02}\n\
        - {model: big, input: 4, output: 20.5, valid_from: 1970-01-02}\n\
        - {model: bigger-*, input: 1, output: 1}\n\
        - {model: bigger-still-*, input: 3, output: 3}\n\
        - {model: bigger-still-1, input: 5, output: 5, valid_until: 1970-01-02}\n";
    parse_prices(text, "prices.yaml").unwrap()
}

#[test]
fn the_most_precise_price_of_the_day_counts() {
    let prices = prices();
    let day = 24 * HOUR_NS;
    for (model, at, expected) in [
        ("big", 0, Some(2_000_000)),
        ("big", day - 1, Some(2_000_000)),
        ("big", day, Some(4_000_000)),
        ("bigger-1", 0, Some(1_000_000)),
        ("bigger-still-2", 0, Some(3_000_000)),
        ("bigger-still-1", 0, Some(5_000_000)),
        ("bigger-still-1", day, Some(3_000_000)),
        ("bigger", 0, None),
        ("BIG", 0, None),
        ("", 0, None),
    ] {
        assert_eq!(prices.find(model, Timestamp(at)).map(|p| p.input_micros), expected, "{model} at {at}");
    }
}

/// (what stands in the file, what the message says)
const WRONG_PRICES: &[(&str, &str)] = &[
    ("", "expected the keys currency, about, models"),
    ("[1]", "expected the keys"),
    ("currency: [", "is not read as YAML"),
    ("models: []", "it has no `currency`; write for example `currency: USD`"),
    ("currency: USD", "expected a list of prices, such as `- {model: atlas-2-large"),
    ("currency: USD\nmodels: []", "the list is empty"),
    ("currency: 5\nmodels: [{model: m, input: 1, output: 1}]", "expected a text, such as `USD`"),
    ("currency: USD\nprices: []", "unknown key `prices`; allowed are currency, about, models"),
    ("currency: USD\nmodels: [{input: 1, output: 1}]", "at `models[0]`: it has no `model`"),
    ("currency: USD\nmodels: [{model: m, input: 1}]", "the price of `m` has no `output`"),
    ("currency: USD\nmodels: [{model: m, input: -1, output: 1}]", "`-1` is no price"),
    ("currency: USD\nmodels: [{model: m, input: .inf, output: 1}]", "is no price"),
    ("currency: USD\nmodels: [{model: m, input: \"$3\", output: 1}]", "`$3` is no price: write digits"),
    ("currency: USD\nmodels: [{model: m, input: 0.1234567, output: 1}]", "up to 6 decimals"),
    ("currency: USD\nmodels: [{model: m, input: \"99999999999999999999\", output: 1}]", "is no price"),
    ("currency: USD\nmodels: [{model: a*b, input: 1, output: 1}]", "a `*` that is not at its end"),
    (
        "currency: USD\nmodels: [{model: m, input: 1, output: 1, valid_from: soon}]",
        "expected a date, such as `2026-01-01`",
    ),
    (
        "currency: USD\nmodels: [{model: m, input: 1, output: 1, valid_from: 2026-02-01, valid_until: 2026-01-01}]",
        "which is never: the second date must be later",
    ),
    (
        "currency: USD\nmodels: [{model: m, input: 1, output: 1}, {model: m, input: 2, output: 2, valid_from: 2026-01-01}]",
        "two prices of `m` count on 2026-01-01T00:00:00.000Z: end the earlier with `valid_until`",
    ),
];

#[test]
fn a_wrong_price_table_says_what_to_write_instead() {
    for (text, says) in WRONG_PRICES {
        let told = parse_prices(text, "prices.yaml").unwrap_err().to_string();
        assert!(told.contains(says) && told.contains("prices.yaml"), "{text}\n{told}");
    }
    let row = |from, until| Price {
        model: "m".to_string(),
        input_micros: 1,
        output_micros: 1,
        from: Timestamp(from),
        until: Timestamp(until),
    };
    let of = |rows| Prices::new("USD".to_string(), None, rows);
    assert!(of(vec![row(0, 5), row(5, 9)]).is_ok());
    assert!(matches!(of(vec![row(5, 9), row(0, 6)]), Err(PriceError::Overlap { at: Timestamp(5), .. })));
}

#[test]
fn the_shipped_example_of_prices_reads() {
    let text = include_str!("../../examples/traffic/prices.yaml");
    let prices = parse_prices(text, "prices.yaml").unwrap();
    let at = Timestamp::parse_date("2026-03-03").unwrap();
    assert!(prices.find("atlas-2-large", at).is_some() && prices.find("atlas-3-large", at).is_some());
    assert!(text.starts_with("# EXAMPLE") && prices.about.unwrap().contains("invented"));
}

/// One case of `abc` from the hour 0 to the hour 2, and what its calls come to.
#[test]
fn calls_within_the_time_of_a_case_are_counted() {
    let findings = findings(&[record(1, "r1", "abc"), record(3, "r2", "abc"), record(1, "other", "xyz")]);
    let cases = cases(&findings);
    let prices = prices();
    let mut tally = Tally::new(&findings, &cases, Some(&prices));
    let call = |hour: i64, account: &'static str, model: Option<&'static str>, tokens: Option<u64>| Call {
        ts: Timestamp(hour * HOUR_NS),
        is_completion: true,
        account,
        org: Some("org"),
        model,
        input_tokens: tokens,
        output_tokens: tokens.map(|t| 2 * t),
        reasoning_tokens: None,
    };
    let million = 1_000_000;
    tally.take(&call(-1, "a", Some("big"), Some(million)));
    tally.take(&call(0, "a", Some("big"), Some(million)));
    tally.take(&Call { reasoning_tokens: Some(million), ..call(2, "b", Some("big"), Some(0)) });
    tally.take(&call(1, "c", Some("unheard-of"), Some(10)));
    tally.take(&call(1, "c", Some("big"), None));
    tally.take(&call(1, "c", None, Some(1)));
    tally.take(&Call { is_completion: false, ..call(1, "c", None, None) });
    tally.take(&call(1, "nobody", Some("big"), Some(million)));
    tally.take(&call(3, "a", Some("big"), Some(million)));
    let place = cases.cases.iter().position(|c| c.findings.len() == 2).unwrap();
    let v = tally.volume(place).unwrap();
    assert_eq!((v.calls, v.others, v.calls_without_tokens, v.calls_without_model), (5, 1, 1, 1));
    assert_eq!((v.input_tokens, v.output_tokens), (million + 11, 3 * million + 22));
    // 2 + 2 × 10 for the first, 10 for the second: in millionths of millionths.
    assert_eq!((v.value(), v.calls_priced()), (32 * 1_000_000_000_000, 2));
    assert_eq!(v.models["unheard-of"].calls_without_price, 1);
    assert_eq!(v.seen, Some((Timestamp(-HOUR_NS), Timestamp(3 * HOUR_NS))));
    let calls: Vec<u64> = tally.members(place).iter().map(|m| m.calls).collect();
    assert_eq!(calls.iter().sum::<u64>(), 5);
    let (orgs, unknown) = tally.orgs(&cases.cases[place]);
    assert_eq!((orgs.len(), unknown), (1, 0));
    let other = cases.cases.iter().position(|c| c.findings.len() == 1).unwrap();
    assert_eq!(tally.volume(other).unwrap().calls, 0);
}

/// Callers choose the names of models: what is held of them has a bound, and what is beyond it is counted.
#[test]
fn models_have_a_bound() {
    let findings = findings(&[record(1, "r", "ab")]);
    let cases = cases(&findings);
    let mut tally = Tally::new(&findings, &cases, None);
    for n in 0..MODELS_MAX + 7 {
        let model = format!("model-{n}");
        let call = Call { is_completion: true, account: "a", model: Some(&model), ..Call::default() };
        tally.take(&call);
    }
    let v = tally.volume(0).unwrap();
    assert_eq!((v.models.len(), v.calls_of_more_models, v.calls), (MODELS_MAX, 7, MODELS_MAX as u64 + 7));
}
