//! What counsel reads: golden files of readings, changes with what they mean, coverage by date, blind rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fineprint::counsel::{self, Cause, Effect, Feed, Side, blind, coverage, diff, read};
use fineprint::event::fields::by_name;
use fineprint::event::{FieldId, Kind};
use fineprint::hir::{Expr, ExprKind, LinkValue, Shape, TextTest, each_expr, each_expr_of_series};
use fineprint::pack::{self, Pack, PackOptions};
use fineprint::syntax;
use fineprint::syntax::ast::{ExpectWhat, GivenWhat, Item};
use fineprint::template::FingerprintKey;
use fineprint::time::Timestamp;

use crate::golden;

fn load(rules: &Path) -> Pack {
    let fingerprint_key = FingerprintKey::PUBLIC;
    pack::load(&PackOptions { rules, lists: None, accounts: None, as_of: None, fingerprint_key }).unwrap()
}

fn shipped() -> Pack {
    load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"))
}

/// A pack from one text, with its folder.
fn written(text: &str) -> (tempfile::TempDir, Pack) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.tos"), text).unwrap();
    let pack = load(folder.path());
    assert!(pack.rules.is_some(), "{text}\n{:#?}", pack.diagnostics);
    (folder, pack)
}

fn readings(pack: &Pack) -> Vec<counsel::Reading> {
    let program = pack.rules.as_ref().unwrap().program();
    program.rules.iter().map(|rule| read(program, rule)).collect()
}

#[test]
fn every_construct_reads_as_its_golden_file_says() {
    let all = readings(&load(&golden::data("counsel")));
    golden::check(&golden::data("counsel/everything.txt"), &counsel::to_text(&all));
    let one: Vec<_> = all.into_iter().filter(|r| r.rule == "single").collect();
    golden::check(&golden::data("counsel/single.md"), &counsel::to_markdown(&one));
}

/// Every kind of expression, aggregate, test and link value stands in the golden pack; the matches keep the list whole.
#[test]
fn the_golden_pack_holds_every_construct() {
    let pack = load(&golden::data("counsel"));
    let program = pack.rules.as_ref().unwrap().program();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut look = |e: &Expr| {
        e.walk(&mut |e| {
            seen.insert(kind_of(e));
        });
    };
    program.series.iter().for_each(|s| each_expr_of_series(s, &mut look));
    for rule in &program.rules {
        each_expr(rule, &mut look);
        if let Shape::Windowed(w) = &rule.shape {
            look(&w.when);
        }
    }
    for rule in &program.rules {
        if let Shape::Windowed(w) = &rule.shape {
            seen.extend(w.aggregates.iter().map(|a| a.function.word()));
        }
    }
    let all = [
        "const",
        "field",
        "column",
        "not",
        "and",
        "or",
        "at least",
        "compare",
        "in set",
        "in list",
        "any",
        "all",
        "any of list",
        "starts",
        "ends",
        "matches",
        "exists",
        "or default",
        "arithmetic",
        "to micros",
        "network",
        "lower",
        "length",
        "memory",
        "outage",
        "window outage",
        "template",
        "aggregate",
        "key",
        "members",
        "families",
        "tied share",
        "of step",
        "count",
        "sum",
        "min",
        "max",
        "average",
        "distinct",
        "share",
        "quantile",
        "spread",
        "top_share",
        "entropy",
        "first",
        "last",
        "rate",
        "longest_idle",
        "top_speed",
        "usual",
        "cohort",
    ];
    assert_eq!(seen, BTreeSet::from(all));
}

fn kind_of(e: &Expr) -> &'static str {
    match &e.kind {
        ExprKind::Const(_) => "const",
        ExprKind::Field(_) => "field",
        ExprKind::Column(..) => "column",
        ExprKind::Not(_) => "not",
        ExprKind::And(_) => "and",
        ExprKind::Or(_) => "or",
        ExprKind::AtLeast(..) => "at least",
        ExprKind::Compare(..) => "compare",
        ExprKind::InSet(..) => "in set",
        ExprKind::InList(..) => "in list",
        ExprKind::Text { test, .. } => match test {
            TextTest::ContainsAny(_) => "any",
            TextTest::ContainsAll(_) => "all",
            TextTest::ContainsAnyOf(_) => "any of list",
            TextTest::StartsWith(_) => "starts",
            TextTest::EndsWith(_) => "ends",
            TextTest::Matches(_) => "matches",
        },
        ExprKind::Exists(_) => "exists",
        ExprKind::OrDefault(..) => "or default",
        ExprKind::Arithmetic(..) => "arithmetic",
        ExprKind::ToMicros(_) => "to micros",
        ExprKind::Network(..) => "network",
        ExprKind::Lower(_) => "lower",
        ExprKind::Length(_) => "length",
        ExprKind::Memory(_) => "memory",
        ExprKind::Outage(_) => "outage",
        ExprKind::WindowOutage(_) => "window outage",
        ExprKind::Template(..) => "template",
        ExprKind::Aggregate(_) => "aggregate",
        ExprKind::Key(_) => "key",
        ExprKind::Link(LinkValue::Members) => "members",
        ExprKind::Link(LinkValue::Families) => "families",
        ExprKind::Link(LinkValue::TiedShare(_)) => "tied share",
        ExprKind::OfStep(..) => "of step",
    }
}

#[test]
fn the_whole_shipped_pack_reads() {
    let pack = shipped();
    for reading in readings(&pack) {
        let headings: Vec<&str> = reading.paragraphs.iter().map(|p| p.heading).collect();
        for wanted in ["Clause", "Weight", "Looks at", "Counted for", "Violation", "Then", "Silent", "Words"] {
            assert!(headings.contains(&wanted), "{}: {headings:?}", reading.rule);
        }
        for line in reading.paragraphs.iter().flat_map(|p| &p.lines) {
            assert!(!line.text.trim().is_empty() && !line.text.contains("  "), "{}: {line:?}", reading.rule);
        }
    }
}

/// A reading follows from what is meant: layout, comments and tests never show.
#[test]
fn spelling_does_not_show_in_readings_nor_as_a_change() {
    let pack = load(&golden::data("counsel"));
    let (id, source) = pack.sources.iter().next().unwrap();
    let (file, _) = syntax::parse(id, &source.text);
    let text =
        syntax::print(&file, &source.text).replace("\nrule ", "\n# a remark\nrule ").replace("  on       ", "  on ");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other.tos"), text).unwrap();
    for name in ["offices.txt", "networks.csv"] {
        std::fs::copy(golden::data("counsel").join(name), folder.path().join(name)).unwrap();
    }
    let other = load(folder.path());
    assert_eq!(readings(&pack), readings(&other));
    let found = changes(&pack, &other);
    assert!(found.is_empty(), "{found:#?}");
}

fn changes(old: &Pack, new: &Pack) -> counsel::Diff {
    let side = |p: &'_ Pack| p.rules.clone().unwrap();
    let (old, new) = (side(old), side(new));
    diff(Side { program: old.program(), data: old.data() }, Side { program: new.program(), data: new.data() })
}

const BASE: &str = r#"
policy a.terms version 2026-01-01 {
  title "Terms"
  url   "https://a.example"
  clause c at "1" "Not this."
  clause d at "2" "Not that."
  permits e at "3" "But this."
}
list gates : cidr = ["192.0.2.0/24"]
list codes : integer = [429]
let answered = status < 400
rule w {
  enforces a.terms.c
  severity medium
  mode     shadow
  on       completion where answered and country in ["KP", "IR"]
  per      account
  over     1h every 10m
  let      calls = count()
  let      bad = count() where prompt has any of ["x", "y"] and tools > 3
  let      most = max(tools)
  when     calls >= 20 and (bad >= 5 or most > 9)
  except   events where ip in gates because "ours" until 2026-06-01
  action   alert "desk"
  cooldown 1h
  budget   5 per day
  rollout  50%
  because  "{calls}"
  mistaken for "nobody"
}
rule p {
  enforces a.terms.d
  on       completion where stream
  per      account
  over     3h every 10m
  let      part = share(refused)
  let      status_total = distinct(status)
  when     part < 30% and not (status_total > 5)
  except   events where tools = 3
  because  "p"
}
limit q {
  enforces a.terms.d
  on       completion
  per      account
  over     each 2h
  reserve  max_tokens
  settle   output_tokens
  at most  500
  because  "q"
}
rule s {
  enforces a.terms.d
  on       sequence per tls_fp within 60s {
    first completion where status in [403, 429]
    then completion where account != first.account within 30s at least 2 times
    then no account where account exists within 60s
  }
  because  "s"
}
link ring of account {
  tied by payment_fingerprint within 30d, ignoring values shared by more than 25 accounts
  tied by ip                  within 7d, used at least 3 times, ignoring values in gates
  needs at least 2 of these
}
rule l {
  enforces a.terms.d
  on       completion
  per      ring
  over     24h every 1h
  when     count() >= 10
  because  "l"
  }
"#;

/// What is replaced by what, and what is told of it: `effect what`.
#[test]
fn a_change_says_what_it_means() {
    let cases: &[(&str, &str, &[&str])] = &[
        // Bounds.
        (
            "calls >= 20",
            "calls >= 12",
            &["wider For a violation, the bound on calls falls: it must be at least 12, before at least 20"],
        ),
        (
            "calls >= 20",
            "calls > 20",
            &["narrower For a violation, the bound on calls stays: it must be above 20, before at least 20"],
        ),
        (
            "part < 30%",
            "part < 20%",
            &["narrower For a violation, the bound on part falls: it must be below 20%, before below 30%"],
        ),
        (
            "part < 30%",
            "part <= 30%",
            &["wider For a violation, the bound on part stays: it must be at most 30%, before below 30%"],
        ),
        (
            "status_total > 5",
            "status_total > 4",
            &["narrower For a violation, the bound on status_total falls: it must be above 4, before above 5"],
        ),
        (
            "status < 400",
            "status < 500",
            &["wider Of an event that counts, the bound on its status grows: it must be below 500, before below 400"],
        ),
        (
            "calls >= 20",
            "calls = 20",
            &["unclear For a violation, the bound on calls stays: it must be just 20, before at least 20"],
        ),
        // Conditions that come and go.
        (
            "when     calls >= 20 and (",
            "when     (",
            &["wider For a violation, it need no longer be that calls is at least 20"],
        ),
        (
            "bad >= 5 or most > 9",
            "bad >= 5 or most > 9 or calls >= 99",
            &["wider For a violation, it is now enough that calls is at least 99"],
        ),
        (
            "(bad >= 5 or most > 9)",
            "bad >= 5",
            &["narrower For a violation, it is no longer enough that most is above 9"],
        ),
        (
            "where answered and country",
            "where country",
            &["wider Of an event that counts, it need no longer be that \u{201c}answered\u{201d} holds"],
        ),
        (
            "where answered and country in [\"KP\", \"IR\"]",
            "",
            &[
                "wider Of an event that counts, it need no longer be that \u{201c}answered\u{201d} holds",
                "wider Of an event that counts, it need no longer be that its country is one of KP or IR",
            ],
        ),
        // Values that are looked for.
        (
            "[\"KP\", \"IR\"]",
            "[\"KP\", \"IR\", \"CU\"]",
            &["wider Of an event that counts, what is looked for in its country now includes CU"],
        ),
        (
            "[\"x\", \"y\"]",
            "[\"x\"]",
            &[
                "narrower For a violation, of what is counted as bad, what is looked for in its prompt no longer includes \"y\"",
                "same The record tells bad anew or otherwise",
            ],
        ),
        (
            "has any of [\"x\", \"y\"]",
            "has any of [\"x\", \"y\"] ignoring case",
            &[
                "wider For a violation, of what is counted as bad, whether letters of its prompt are capital or small no longer matters",
                "same The record tells bad anew or otherwise",
            ],
        ),
        (
            " and tools > 3",
            "",
            &[
                "wider For a violation, of what is counted as bad, it need no longer be that its tools is above 3",
                "same The record tells bad anew or otherwise",
            ],
        ),
        // Time and group.
        (
            "over     1h every 10m",
            "over     2h every 10m",
            &["wider The time that is looked at grows from 1 hour to 2 hours: what adds up counts over more of it"],
        ),
        // More events may also lower a share.
        (
            "over     3h every 10m",
            "over     6h every 10m",
            &["unclear The time that is looked at grows from 3 hours to 6 hours: what adds up counts over more of it"],
        ),
        (
            "completion where stream\n",
            "completion\n",
            &["unclear Of an event that counts, it need no longer be that its stream is true"],
        ),
        (
            "  except   events where tools = 3\n",
            "",
            &["unclear An exception was removed: events count again for which its tools is 3"],
        ),
        (
            "over     1h every 10m",
            "over     1h every 5m",
            &["wider It is judged every 5 minutes, before every 10 minutes"],
        ),
        (
            "over     1h every 10m",
            "over     1h every 30m",
            &["narrower It is judged every 30 minutes, before every 10 minutes"],
        ),
        (
            "over     1h every 10m",
            "over     1h every 15m",
            &["unclear It is judged every 15 minutes, before every 10 minutes"],
        ),
        ("per      account\n", "per      org\n", &["unclear It counts for each org, before for each account"]),
        (
            "on       completion where answered",
            "on       completion or request where answered",
            &["wider It now also looks at calls as they arrive, and of other endpoints (request)"],
        ),
        // Exceptions: what is taken out more reaches less.
        ("until 2026-06-01", "until 2026-09-01", &["narrower An exception holds until 2026-09-01, before 2026-06-01"]),
        (
            "  except   events where ip in gates because \"ours\" until 2026-06-01\n",
            "",
            &["wider An exception was removed: events count again for which its ip is in the list gates"],
        ),
        (
            "  action   alert \"desk\"",
            "  except   events where stream\n  action   alert \"desk\"",
            &["narrower An exception was added: events do not count for which its stream is true"],
        ),
        (
            "where ip in gates because",
            "where ip in gates and stream because",
            &["wider Of an event that is left out, it must now also be that its stream is true"],
        ),
        // Standing and outcome.
        ("mode     shadow", "mode     enforce", &["stricter It is enforced instead of in shadow"]),
        ("severity medium", "severity low", &["milder Its severity is low, before medium"]),
        ("enforces a.terms.c", "enforces a.terms.c, a.terms.d", &["same It now also enforces a.terms.d"]),
        ("enforces a.terms.c", "enforces a.terms.d", &["same It now enforces a.terms.d instead of a.terms.c"]),
        (
            "  action   alert \"desk\"",
            "  action   after review: block account for 1d",
            &[
                "stricter Now proposed: Block the account for 24 hours, once a person has decided so",
                "milder No longer proposed: Tell \"desk\"",
            ],
        ),
        ("budget   5 per day", "budget   9 per day", &["stricter 9 violations a day may act, before 5"]),
        ("rollout  50%", "rollout  5%", &["milder It acts on 5% of the groups, before on 50%"]),
        ("cooldown 1h", "cooldown 2h", &["same A violation that ceased is over after 2 hours, before after 1 hour"]),
        (
            "because  \"{calls}\"",
            "because  \"{calls} calls\"",
            &["same The record gives its reason in other words or with other values"],
        ),
        (
            "mistaken for \"nobody\"",
            "mistaken for \"somebody\"",
            &["same Reviewers are told of other innocent look-alikes"],
        ),
        // Sequences.
        ("within 60s {", "within 90s {", &["wider The steps may take 90 seconds, before 1 minute"]),
        ("at least 2 times", "at least 3 times", &["unclear Step 2 must come 3 times, before 2"]),
        (
            "status in [403, 429]",
            "status in [429]",
            &["narrower Of step 1, what is looked for in its status no longer includes 403"],
        ),
        (
            "then no account where account exists",
            "then no account where account exists and org exists",
            &["wider Of step 3, it must now also be that its org is known"],
        ),
        // Links.
        (
            "more than 25 accounts",
            "more than 50 accounts",
            &["wider By ring, a value of payment_fingerprint ties nobody above 50 accounts, before above 25"],
        ),
        (
            "used at least 3 times",
            "used at least 9 times",
            &["narrower By ring, a value of ip must be used 9 times, before 3"],
        ),
        (
            "needs at least 2 of these",
            "needs at least 1 of these",
            &["wider By ring, values of at least 1 families tie two accounts, before 2"],
        ),
        (
            "used at least 3 times, ignoring values in gates",
            "used at least 3 times",
            &["wider By ring, values of ip in the list gates may tie again"],
        ),
        // Limits.
        (
            "  reserve  max_tokens\n",
            "",
            &["milder It holds nothing for a call until it is over, before its max_tokens"],
        ),
        (
            "reserve  max_tokens",
            "reserve  max_tokens or default 400",
            &[
                "unclear It holds its max_tokens (where it is missing, 400) for a call until it is over, before its max_tokens",
            ],
        ),
        (
            "at most  500",
            "at most  900",
            &["narrower For a violation, the bound on settled grows: it must be above 900, before above 500"],
        ),
        // What is no change.
        ("severity medium", "severity    medium # as agreed", &[]),
        ("let answered = status < 400", "let answered_well = status < 400", &[]),
    ];
    let base = BASE.to_string();
    let (_folder, old) = written(&base);
    for (from, to, told) in cases {
        assert!(base.contains(from), "{from}");
        let mut text = base.replacen(from, to, 1);
        if to.contains("answered_well") {
            text = text.replace("where answered and", "where answered_well and");
        }
        let (_folder, new) = written(&text);
        let found = changes(&old, &new);
        let all: Vec<String> =
            found.rules.iter().flat_map(|r| &r.changes).map(|c| format!("{} {}", c.effect.word(), c.what)).collect();
        assert_eq!(all, *told, "{from} -> {to}");
        assert!(found.documents.is_empty(), "{from} -> {to}: {found:#?}");
        // The way back means the contrary.
        let back = changes(&new, &old);
        let effects = |d: &counsel::Diff, turn: bool| -> Vec<Effect> {
            let mut all: Vec<Effect> = d.rules.iter().flat_map(|r| &r.changes).map(|c| c.effect).collect();
            for effect in all.iter_mut().filter(|_| turn) {
                *effect = match *effect {
                    Effect::Wider => Effect::Narrower,
                    Effect::Narrower => Effect::Wider,
                    Effect::Stricter => Effect::Milder,
                    Effect::Milder => Effect::Stricter,
                    same => same,
                };
            }
            all.sort();
            all
        };
        assert_eq!(effects(&found, true), effects(&back, false), "{from} -> {to} and back");
    }
}

#[test]
fn rules_and_lists_that_come_go_and_are_renamed_are_told() {
    let base = BASE.to_string();
    let (_a, old) = written(&base);
    let told = |text: &str| -> Vec<String> {
        let (_b, new) = written(text);
        let found = changes(&old, &new);
        let rows = found.lists.iter().chain(&found.rules);
        rows.flat_map(|r| r.changes.iter().map(move |c| format!("{}: {} {}", r.name, c.effect.word(), c.what)))
            .collect()
    };
    let renamed = base.replace("rule s {", "rule failover {");
    assert_eq!(told(&renamed), ["failover: same It has a new name; before it was s"]);
    let gone: String =
        [base.split("rule s {").next().unwrap(), "link ring", base.split("link ring").nth(1).unwrap()].concat();
    assert_eq!(told(&gone), ["s: narrower The rule was removed"]);
    let more = format!("{base}\nrule t applies w enforces a.terms.d\n");
    assert_eq!(told(&more), ["t: wider The rule was added"]);
    let list = base.replace("[\"192.0.2.0/24\"]", "[\"192.0.2.0/24\", \"198.51.100.0/24\"]");
    assert_eq!(told(&list), ["gates: unclear It holds other values: 1 before, 2 now; read by w, l"]);
    let unread = base.replace("[429]", "[429, 403]");
    assert_eq!(told(&unread), ["codes: unclear It holds other values: 1 before, 2 now"]);
}

#[test]
fn documents_and_clauses_that_changed_are_told() {
    let base = BASE.to_string();
    let (_a, old) = written(&base);
    let told = |from: &str, to: &str| -> Vec<String> {
        assert!(base.contains(from), "{from}");
        let (_b, new) = written(&base.replacen(from, to, 1));
        let found = changes(&old, &new).documents;
        found.iter().flat_map(|d| d.changes.iter().map(|c| format!("{} {}", c.effect.word(), c.what))).collect()
    };
    let of = "The document of 2026-01-01";
    assert_eq!(
        told("\"Not this.\"", "\"Never this.\""),
        [format!("unclear {of} words the clause c anew: \"Never this.\", before \"Not this.\"")]
    );
    assert_eq!(
        told("at \"2\"", "at \"2.1\""),
        [format!("same {of} has the clause d at section \"2.1\", before \"2\"")]
    );
    assert_eq!(told("permits e at", "clause e at"), [format!("unclear {of} forbids what it permitted: e")]);
    assert_eq!(
        told("\"But this.\"\n", "\"But this.\"\n  clause f at \"4\" \"Nor that.\"\n"),
        [format!("same {of} has a new clause f (section 4): Nor that.")]
    );
    assert_eq!(
        told("  permits e at \"3\" \"But this.\"\n", ""),
        [format!("same {of} has no permission e any more: But this.")]
    );
    assert_eq!(
        told("a.example\"\n", "a.example\"\n  effective 2026-02-01\n"),
        [format!("unclear {of} is in force from 2026-02-01, before from 2026-01-01")]
    );
    assert_eq!(
        told("clause d at \"2\"", "clause d at \"2\" until 2027-01-01"),
        [format!("unclear {of} has the clause d in force from 2026-01-01 until 2027-01-01, before from 2026-01-01")]
    );
    let newer = "\npolicy a.terms version 2026-07-01 { title \"Terms\" url \"https://a.example\" clause c at \"1\" \"Not this.\" clause d at \"2\" \"Neither.\" permits e at \"3\" \"But this.\" }\nlist gates";
    assert_eq!(
        told("\nlist gates", newer),
        [
            "same A version of 2026-07-01 was added after that of 2026-01-01, in force from 2026-07-01",
            "unclear The version of 2026-07-01 words the clause d anew: \"Neither.\", before \"Not that.\"",
        ]
    );
}

#[test]
fn coverage_depends_on_the_day() {
    let text = "policy p.q version 2026-01-01 {\n clause a at \"1\" \"A.\" clause b from 2026-06-01 until 2026-09-01 \"B.\" clause c \"C.\" permits d \"D.\" }\n\
        rule r { enforces p.q.b on completion where refused because \"r\" }\n\
        rule s { enforces p.q.b, p.q.a on completion where stream because \"s\" }\n";
    let (_folder, pack) = written(text);
    let program = pack.rules.as_ref().unwrap().program();
    let at = |day: Option<&str>| {
        let day = day.map(|d| Timestamp::parse_date(d).unwrap());
        let found = coverage(program, day, &|_| "all".to_string());
        let names = |rows: Vec<&counsel::ClauseRow>| rows.iter().map(|c| c.clause.clone()).collect::<Vec<_>>();
        let lacking: Vec<(String, String)> =
            found.rules_without_clause.iter().map(|(r, why)| (r.clone(), why.join("; "))).collect();
        let row = &found.matrix[0];
        (
            names(found.without_rule().collect()),
            lacking,
            names(found.out_of_force().collect()),
            row.clauses[0],
            row.permits,
        )
    };
    let lacks = |why: &str| vec![("r".to_string(), format!("p.q.b of 2026-01-01 {why}"))];
    let c = || vec!["c".to_string()];
    let all = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(at(None), (c(), vec![], vec![], 2, 1));
    assert_eq!(at(Some("2026-06-01")), (c(), vec![], vec![], 2, 1));
    assert_eq!(at(Some("2026-05-31")), (c(), lacks("begins on 2026-06-01"), all(&["b"]), 1, 1));
    assert_eq!(at(Some("2026-09-01")), (c(), lacks("ended on 2026-09-01"), all(&["b"]), 1, 1));
    let before = at(Some("2025-12-31"));
    assert_eq!((before.0, before.1.len(), before.2, before.3, before.4), (vec![], 2, all(&["a", "b", "c", "d"]), 0, 0));
}

/// Nine providers; what they permit has no rule, and every clause without one is listed.
#[test]
fn the_shipped_pack_covers_nine_providers_and_enforces_no_permission() {
    let pack = shipped();
    let program = pack.rules.as_ref().unwrap().program();
    let found = coverage(program, None, &|_| String::new());
    let providers: Vec<&str> = found.matrix.iter().map(|r| r.provider.as_str()).collect();
    assert_eq!(providers, ["anthropic", "aws", "deepseek", "google", "meta", "microsoft", "mistral", "openai", "xai"]);
    let permits: BTreeSet<String> = found.permissions().map(|c| format!("{}.{}", c.policy, c.clause)).collect();
    for wanted in [
        "deepseek.platform.distillation",
        "mistral.commercial.training-on-text",
        "openai.services.own-classifiers",
        "meta.model-api.own-evaluation",
        "meta.llama-4.training-on-outputs",
        "aws.services.training-by-service",
    ] {
        assert!(permits.contains(wanted), "{wanted}: {permits:?}");
    }
    assert!(found.permissions().all(|c| c.rules.is_empty()));
    // Images only: nothing that judges text stands on it.
    let images = found.clauses.iter().filter(|c| c.policy == "mistral.commercial" && c.clause == "image-training");
    assert!(images.clone().count() == 2 && images.clone().all(|c| c.rules.is_empty()));
    let enforced: usize = program.rules.iter().flat_map(|r| &r.enforces).flat_map(|c| &c.versions).count();
    assert_eq!(found.clauses.iter().map(|c| c.rules.len()).sum::<usize>(), enforced);
}

fn feed(fields: &[&str]) -> Feed {
    Feed { fields: fields.iter().map(|f| by_name(f).unwrap()).collect(), ..Feed::default() }
}

/// The causes for which a rule can never fire, as text; empty where it can.
fn never(rule: &str, feed: &Feed) -> Vec<String> {
    let text = format!(
        "policy a.b version 2026-01-01 {{ clause c \"C.\" }}\nlist none : integer = []\nlist some : country = [\"KP\"]\n\
         rule r {{ enforces a.b.c {rule} because \"r\" }}\n\
         link pair of account {{ tied by ip within 7d tied by tls_fp within 7d tied by asn within 7d needs at least 2 of these }}\n\
         series fleet {{ on completion every 1h value count() outage below 20% of its median }}\n"
    );
    let (_folder, pack) = written(&text);
    let rules = pack.rules.as_ref().unwrap();
    let found = blind(rules.program(), rules.data(), feed);
    let found = found.into_iter().filter(|b| b.exception.is_none());
    found.flat_map(|b| b.causes.iter().map(Cause::text).collect::<Vec<_>>()).collect()
}

#[test]
fn rules_are_blind_only_where_nothing_else_can_make_them_fire() {
    let told = feed(&["account", "status", "prompt", "stream"]);
    let no = |field: &str| vec![format!("the feed never tells `{field}`")];
    let cases: &[(&str, Vec<String>)] = &[
        ("on completion where refused", no("refused")),
        ("on completion where not refused", no("refused")),
        ("on completion where refused or status = 403", vec![]),
        ("on completion where refused and status = 403", no("refused")),
        ("on completion where refused or cost > $1", [no("refused"), no("cost")].concat()),
        ("on completion where refused is missing", vec![]),
        ("on completion where refused exists", no("refused")),
        ("on completion where (refused or default false) or status = 3", vec![]),
        ("on completion where (tools or default 0) >= 5", no("tools")),
        ("on completion where (tools or default 9) >= 5", vec![]),
        ("on completion where (model or default \"\") has any of [\"x\"]", no("model")),
        ("on completion where (model or default \"xy\") starts with \"x\"", vec![]),
        ("on completion where not ((model or default \"xy\") starts with \"x\")", no("model")),
        ("on completion where at least 2 of { refused, stream, status = 1 }", vec![]),
        ("on completion where at least 3 of { refused, stream, status = 1 }", no("refused")),
        (
            "on completion where not (at least 2 of { refused, batch, status = 1 })",
            [no("refused"), no("batch")].concat(),
        ),
        ("on completion where status in none", vec!["the list `none` is empty".to_string()]),
        ("on completion where status not in none", vec![]),
        ("on completion where country not in some", no("country")),
        ("on completion where template(prompt) exists", vec![]),
        ("on completion where template(system_prompt) exists", no("system_prompt")),
        ("on completion where cot_score > 0.5 and (stream or refused)", no("cot_score")),
        ("on completion where account.org_verified", vec![]),
        ("on completion where account seen before within 1d by another org", no("org")),
        ("on completion where during outage of fleet", vec![]),
        // Windows.
        ("on completion per org over 1h when count() >= 5", no("org")),
        ("on completion per account over 1h when distinct(ip) >= 5", no("ip")),
        ("on completion per account over 1h when distinct(ip) < 5", vec![]),
        ("on completion per account over 1h when sum(cost) > $5 or count() > 9", vec![]),
        ("on completion per account over 1h when sum(cost) > $5", no("cost")),
        ("on completion per account over 1h when average(latency) < 5s", no("latency")),
        ("on completion per account over 1h when share(refused) < 5%", no("refused")),
        ("on completion per account over 1h when share(refused or stream) > 5%", vec![]),
        ("on completion per account over 1h when share((tools or default 0) > 3) > 5%", no("tools")),
        ("on completion per account over 1h when share((tools or default 0) > 3) < 5%", vec![]),
        ("on completion per account over 1h let bad = count() where refused when bad >= 5", no("refused")),
        ("on completion per account over 1h let bad = count() where refused when count() >= 5 and bad = 0", vec![]),
        (
            "on completion per account over 1h let bad = count() where refused let x = max(status) where refused when x > 5 or bad > 5",
            no("refused"),
        ),
        ("on completion per account over 24h when count() > 5 * usual(sum(cost) / $1, over 30d)", vec![]),
        (
            "on completion per account over 24h when sum(cost) > cohort(sum(cost), by plan, over 7d)",
            [no("plan"), no("cost")].concat(),
        ),
        (
            "on completion per account over 1h let most = max(tools) when count() >= 5 and (most > 3 or most <= 3)",
            no("tools"),
        ),
        // Links: two of three families are needed, and none is told.
        ("on completion per pair over 24h when count() >= 5", [no("ip"), no("asn"), no("tls_fp")].concat()),
        // Sequences: what must not happen may be unknown, what must happen may not.
        (
            "on sequence per account within 60s { first completion where refused then completion where status = 1 }",
            no("refused"),
        ),
        (
            "on sequence per account within 60s { first completion then completion where status != first.status then no account where change = \"x\" within 9s }",
            vec![],
        ),
        ("on sequence per tls_fp within 60s { first completion then completion where status = 1 }", no("tls_fp")),
    ];
    for (rule, causes) in cases {
        let told: BTreeSet<String> = never(rule, &told).into_iter().collect();
        assert_eq!(told, causes.iter().cloned().collect(), "{rule}");
        // With everything told it can fire, but for what is empty.
        let all = Feed { fields: (0..u8::MAX).map(FieldId).collect(), ..Feed::default() };
        let empty = rule.contains(" in none") && !rule.contains("not in none");
        assert_eq!(never(rule, &all).is_empty(), !empty, "{rule}");
    }
    let two = feed(&["account", "ip", "tls_fp"]);
    assert!(never("on completion per pair over 24h when count() >= 5", &two).is_empty());
}

#[test]
fn kinds_constants_registry_and_exceptions_are_judged_too() {
    let mut told = feed(&["account", "provider", "model"]);
    told.kinds = Some(vec![Kind::Completion]);
    told.fixed = BTreeMap::from([(by_name("provider").unwrap(), "openai".to_string())]);
    assert_eq!(never("on signup where account exists", &told), ["the feed has no sign-ups (signup)"]);
    assert!(never("on signup or completion where account exists", &told).is_empty());
    assert_eq!(never("on completion where provider = \"google\"", &told), ["`provider` is always \"openai\""]);
    assert!(never("on completion where provider in [\"google\", \"openai\"]", &told).is_empty());
    assert_eq!(
        never("on sequence per account within 9s { first completion then account where account exists }", &told),
        ["the feed has no changes of accounts (account)"]
    );
    assert!(never("on completion where account.reseller", &told).is_empty());
    told.registry_known = true;
    assert_eq!(never("on completion where account.reseller", &told), ["the registry of accounts has no `reseller`"]);

    let text = "policy a.b version 2026-01-01 { clause c \"C.\" }\n\
        rule r { enforces a.b.c on completion where model exists except events where account.reseller \
        except events where org = \"o\" except events where model = \"m\"\nbecause \"r\" }\n";
    let (_folder, pack) = written(text);
    let rules = pack.rules.as_ref().unwrap();
    let found: Vec<(Option<usize>, String)> = blind(rules.program(), rules.data(), &told)
        .into_iter()
        .map(|b| (b.exception, b.causes.iter().map(Cause::text).collect::<Vec<_>>().join("; ")))
        .collect();
    let expected = [
        (Some(0), "the registry of accounts has no `reseller`".to_string()),
        (Some(1), "the feed never tells `org`".to_string()),
    ];
    assert_eq!(found, expected);
}

/// No rule is called blind on a feed on which its own test makes it fire.
#[test]
fn a_rule_that_its_test_makes_fire_is_never_called_blind() {
    let mut judged = 0;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in
        ["rules", "tests/data/memory", "tests/data/baselines", "tests/data/networks", "examples/policy/after.tos"]
    {
        let pack = load(&root.join(folder));
        let rules = pack.rules.as_ref().unwrap();
        for item in pack.files.iter().flat_map(|f| &f.items) {
            let Item::Rule(rule) = item else { continue };
            for test in &rule.tests {
                let fires = test
                    .expect
                    .iter()
                    .any(|e| matches!(&e.what, ExpectWhat::Violations { count, .. } if count.value > 0));
                if !fires {
                    continue;
                }
                let mut told = feed(&["account"]);
                let mut kinds = BTreeSet::new();
                let mut given: BTreeSet<&str> = BTreeSet::new();
                for line in &test.given {
                    match &line.what {
                        GivenWhat::Events { kind, fields, .. } => {
                            kinds.insert(Kind::from_word(kind.text.trim_end_matches('s')).unwrap());
                            told.fields.extend(fields.iter().map(|(path, _)| by_name(&path.text()).unwrap()));
                        }
                        GivenWhat::List { name, .. } => drop(given.insert(&name.text)),
                        GivenWhat::Row { .. } => {}
                    }
                }
                told.kinds = Some(kinds.into_iter().collect());
                let found = blind(rules.program(), rules.data(), &told);
                let blind: Vec<_> =
                    found.iter().filter(|b| b.rule == rule.name.text && b.exception.is_none()).collect();
                // A list that the test fills may be empty in the pack.
                let filled = |c: &Cause| matches!(c, Cause::List(l) if given.contains(l.as_str()));
                let wrong: Vec<_> = blind.iter().flat_map(|b| &b.causes).filter(|c| !filled(c)).collect();
                assert!(wrong.is_empty(), "{folder}: {} / {}: {wrong:?}", rule.name.text, test.name.value);
                judged += 1;
            }
        }
    }
    assert!(judged > 40, "{judged}");
}
