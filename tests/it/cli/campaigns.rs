use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{Bench, Called, events, lines};
use crate::golden::{check, data};

fn root() -> &'static str {
    env!("CARGO_MANIFEST_DIR")
}

/// The bundled traffic under rules into `v.db`.
fn bundled(rules: &str) -> Bench {
    let bench = Bench::new();
    let traffic = format!("{}/examples/traffic", root());
    let called = bench.call(&format!(
        "run --exit-zero --rules {rules} --accounts {traffic}/accounts.jsonl --lists {traffic}/lists --db v.db {traffic}/events.jsonl.gz"
    ));
    assert_eq!(called.code, 0, "{called:?}");
    bench
}

fn list(bench: &Bench, words: &str) -> Called {
    let called = bench.call(&format!("violations list --by campaign --db v.db {words}"));
    assert_eq!(called.code, 0, "{called:?}");
    called
}

fn campaigns(bench: &Bench, words: &str) -> Vec<Value> {
    let told: Value = serde_json::from_str(&list(bench, &format!("--format json {words}")).out).unwrap();
    told["campaigns"].as_array().unwrap().clone()
}

fn golden(name: &str, called: &Called) {
    assert_eq!(called.code, 0, "{called:?}");
    check(&data(&format!("campaigns/{name}")), &called.out);
}

/// The whole of it, as people and machines see it. The rules are the test's own, so that ids hang on nothing else.
#[test]
fn the_bundled_traffic_in_campaigns() {
    let bench = bundled(data("campaigns/rules").to_str().unwrap());
    let prices = format!("--prices {}/examples/traffic/prices.yaml", root());
    golden("list.txt", &list(&bench, &format!("--format table {prices}")));
    golden("list-without-journal.txt", &list(&bench, "--no-journal"));
    let all = campaigns(&bench, &prices);
    let first = all[0]["id"].as_str().unwrap();
    golden("show.txt", &bench.call(&format!("violations show --campaign {first} --db v.db {prices}")));
    golden("show.json", &bench.call(&format!("violations show --campaign {first} --db v.db --format json {prices}")));

    // The id, a part of it, and any of its violations name the same campaign.
    let shown = |id: &str| bench.call(&format!("violations show --campaign {id} --db v.db {prices}")).out;
    let in_full = shown(first);
    let violation = all[0]["violations"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap();
    for id in [&first[2..], &first[..8], &violation[..12]] {
        assert_eq!(shown(id), in_full, "{id}");
    }

    // Which are asked for does not change what they are.
    let resold = campaigns(&bench, &format!("--rule resold {prices}"));
    let holds = |c: &&Value| c["violations"].as_array().unwrap().iter().any(|v| v["rule"] == "resold");
    assert_eq!(resold, all.iter().filter(holds).cloned().collect::<Vec<_>>());
    assert!(!resold.is_empty() && resold.len() < all.len());
    assert_eq!(campaigns(&bench, &format!("--limit 2 {prices}")), all[..2]);
    assert!(campaigns(&bench, "--since 2027-01-01").is_empty());
}

/// Volumes are those of the events themselves: counted again from the file.
#[test]
fn volumes_are_those_of_the_events() {
    let bench = bundled(data("campaigns/rules").to_str().unwrap());
    let mut read = String::new();
    let file = std::fs::File::open(format!("{}/examples/traffic/events.jsonl.gz", root())).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut read).unwrap();
    let all: Vec<Value> = read.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let campaigns = campaigns(&bench, "");
    assert!(campaigns.len() > 3);
    for c in campaigns {
        let members: BTreeSet<&str> = c["members"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
        let (first, last) = (c["first_event"].as_str().unwrap(), c["last_event"].as_str().unwrap());
        let within = |e: &&Value| {
            let ts = e["ts"].as_str().unwrap();
            members.contains(e["account"].as_str().unwrap_or_default()) && ts >= first && ts <= last
        };
        let calls: Vec<&Value> = all.iter().filter(within).filter(|e| e["type"] == "completion").collect();
        let sum = |key: &str| calls.iter().map(|e| e[key].as_u64().unwrap_or(0)).sum::<u64>();
        let volume = &c["volume"];
        assert_eq!(volume["calls"], calls.len(), "{}", c["id"]);
        assert_eq!(volume["input_tokens"], sum("input_tokens"), "{}", c["id"]);
        assert_eq!(volume["output_tokens"], sum("output_tokens"), "{}", c["id"]);
        assert_eq!(volume["complete"], true);
        let orgs: BTreeSet<&str> = all
            .iter()
            .filter(|e| members.contains(e["account"].as_str().unwrap_or_default()))
            .filter_map(|e| e["org"].as_str())
            .collect();
        assert_eq!(c["organisations"], orgs.len());
    }
}

/// The shipped rules on the bundled traffic, held against its labels: no campaign mixes two operators, save those that say the
/// same words; and what several violations name of one operator with several accounts is one campaign.
#[test]
fn shipped_rules_find_operators_as_campaigns() {
    let bench = bundled(&format!("{}/rules", root()));
    let labels = std::fs::read_to_string(format!("{}/examples/traffic/labels/campaigns.json", root())).unwrap();
    let labels: Value = serde_json::from_str(&labels).unwrap();
    let mut operator: BTreeMap<String, String> = BTreeMap::new();
    for c in labels["campaigns"].as_array().unwrap() {
        // The two that draw out reasoning have one template, and nothing in the traffic tells them apart.
        let name = if c["family"] == "cot_elicit" { "cot_elicit" } else { c["campaign"].as_str().unwrap() };
        for account in c["account_ids"].as_array().unwrap() {
            operator.insert(account.as_str().unwrap().to_string(), name.to_string());
        }
    }
    let mut of: BTreeMap<String, usize> = BTreeMap::new();
    for c in campaigns(&bench, "") {
        let members = c["members"].as_array().unwrap();
        let operators: BTreeSet<Option<&String>> = members.iter().map(|m| operator.get(m.as_str().unwrap())).collect();
        assert!(operators.len() <= 1, "{}: {operators:?}", c["id"]);
        if let (true, Some(Some(one))) = (members.len() > 1, operators.first()) {
            *of.entry((*one).clone()).or_default() += 1;
        }
    }
    assert!(of.len() >= 3 && of.values().all(|n| *n == 1), "{of:?}");
}

/// What the rules did not read is not in the journal: it is not known, and not nought.
#[test]
fn what_is_not_known_is_not_nought() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "e.jsonl");
    bench.write("prices.yaml", "currency: USD\nmodels: [{model: '*', input: 1, output: 1}]");
    let first = &campaigns(&bench, "--prices prices.yaml")[0];
    assert!(first["volume"]["calls"].as_u64().unwrap() > 0, "{first}");
    for unknown in ["input_tokens", "output_tokens", "value"] {
        assert!(first["volume"][unknown].is_null(), "{unknown}: {first}");
    }
    assert!(first["organisations"].is_null());
    let text = list(&bench, "--prices prices.yaml").out;
    assert!(text.contains("not known") && !text.contains("0.00"), "{text}");
    let id = first["id"].as_str().unwrap();
    let shown = bench.call(&format!("violations show --campaign {id} --db v.db --prices prices.yaml")).out;
    assert!(shown.contains("tokens: not known"), "{shown}");

    // Without a journal nothing but the evidence is known.
    bench.call("run --exit-zero --no-journal --rules rules --db none.db e.jsonl");
    let none = bench.call("violations list --by campaign --db none.db").out;
    assert!(none.contains("There is no journal") && none.contains('≥'), "{none}");
}

/// A moved journal is named; one that is not that of the log is refused.
#[test]
fn the_journal_is_that_of_the_log() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.write("f.jsonl", lines(&events(700)));
    bench.run("v.db", "e.jsonl");
    bench.run("other.db", "f.jsonl");
    let beside = campaigns(&bench, "");
    std::fs::rename(bench.path("v.db.journal"), bench.path("moved")).unwrap();
    assert!(campaigns(&bench, "")[0]["volume"].is_null());
    assert_eq!(campaigns(&bench, "--journal moved"), beside);
    let other = bench.call("violations list --by campaign --db v.db --journal other.db.journal");
    assert_eq!(other.code, 3, "{other:?}");
}

/// (words, what the message says)
const WRONG: &[(&str, &str)] = &[
    ("list --db v.db --prices prices.yaml", "add `--by campaign`"),
    ("list --db v.db --no-journal", "`--no-journal` is about campaigns"),
    ("show 00 --db v.db --journal v.db.journal", "add `--campaign ID`"),
    ("list --db v.db --by account", "campaign"),
    ("list --db v.db --by campaign --prices missing.yaml", "missing.yaml"),
    ("list --db v.db --by campaign --prices wrong.yaml", "`$3` is no price: write digits"),
    ("list --db v.db --by campaign --journal nowhere", "name the directory that a run wrote beside its log"),
    ("list --db v.db --by campaign --journal moved --no-journal", "cannot be used with"),
    ("list --db missing.db --by campaign", "there is no violation log"),
    ("show --db v.db", "--campaign"),
    ("show --campaign nothing --db v.db", "`nothing` is no id of a campaign"),
    ("show --campaign c- --db v.db", "is no id of a campaign"),
    ("show --campaign ffffffffffff --db v.db", "the log holds no campaign"),
    ("show 00 --campaign 00 --db v.db", "cannot be used with"),
];

#[test]
fn wrong_calls_say_what_to_write_instead() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(600)));
    bench.write("wrong.yaml", "currency: USD\nmodels: [{model: m, input: \"$3\", output: 1}]");
    bench.run("v.db", "e.jsonl");
    for (words, says) in WRONG {
        let called = bench.call(&format!("violations {words}"));
        assert_eq!(called.code, 3, "{words}: {called:?}");
        assert!(called.err.contains(says), "{words}: {}", called.err);
        assert!(called.out.is_empty(), "{words}: {}", called.out);
    }
    assert!(Path::new(&bench.path("v.db.journal")).is_dir());
}

/// An empty log has no campaigns, and says so in both forms.
#[test]
fn an_empty_log_has_no_campaigns() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(3)));
    bench.run("v.db", "e.jsonl");
    assert!(campaigns(&bench, "").is_empty());
    let text = list(&bench, "").out;
    assert!(text.contains("CAMPAIGN"), "{text}");
}

/// Names of accounts, organisations and models come from callers, words of a price table from whoever sent it.
#[test]
fn hostile_text_does_not_reach_the_terminal() {
    let bench = Bench::new();
    let hostile = |i: usize| {
        format!(
            r#"{{"id":"e{i}","ts":"2026-03-02T08:00:{i:02}Z","type":"completion","account":"\u001b[2Ja","org":"\u001b[2Jo","model":"\u001b[2Jm","max_tokens":-1,"input_tokens":5,"output_tokens":5}}"#
        )
    };
    bench.write("e.jsonl", lines(&(0..30).map(hostile).collect::<Vec<_>>()));
    let rules = super::RULES.replace(
        "  when     calls >= 20",
        "  let      names = distinct(org) + distinct(model)\n  let      read = sum(input_tokens) + sum(output_tokens)\n  when     calls >= 20 and names >= 1 and read >= 1",
    );
    bench.write("rules/acme.tos", rules);
    bench.write(
        "prices.yaml",
        "currency: \"\\e[2JUSD\"\nabout: \"\\e[2J\"\nmodels: [{model: '*', input: 1, output: 1}]",
    );
    bench.run("v.db", "e.jsonl");
    let listed = list(&bench, "--prices prices.yaml").out;
    let id = campaigns(&bench, "")[0]["id"].as_str().unwrap().to_string();
    let shown = bench.call(&format!("violations show --campaign {id} --db v.db --prices prices.yaml")).out;
    assert!(
        shown.contains("\\u{1b}[2Ja") && shown.contains("\\u{1b}[2Jm") && shown.contains("\\u{1b}[2JUSD"),
        "{shown}"
    );
    assert!(!listed.contains('\u{1b}') && !shown.contains('\u{1b}'), "{listed} {shown}");
}
