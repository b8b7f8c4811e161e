//! Every bound is hit: what lies within it is taken, what lies beyond is refused and told, or costs nothing but time.
//! Bounds of one reader stand with its tests (`events`, `syntax`, `feed`, `store`); here is the rest.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use fineprint::check::limits;
use fineprint::compile::{Compiled, compile};
use fineprint::diagnostic::{Code, Diagnostic};
use fineprint::eval::{EvalOptions, Evaluator};
use fineprint::event::decode::decode;
use fineprint::fixture;
use fineprint::hir::{
    Baseline, COHORT_GROUPS_MIN, COHORTS_MAX, LINK_CAP_MAX, LINK_FAMILIES_MAX, SERIES_KEYS_MAX, SERIES_STEPS_MAX,
    SERIES_VALUES_MIN, Series, Shape, USUAL_VALUES_MIN,
};
use fineprint::journal::{Journal, JournalOptions, Position, ProjectionSink, SEGMENT_BYTES_MAX};
use fineprint::pack::{DEPTH_MAX, FILES_MAX, PackError, TOTAL_BYTES_MAX, read_sources};
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::reference::{LIST_ROWS_MAX, ListData, ListError, Row, TableData, TableError, TableRow};
use fineprint::source::SourceMap;
use fineprint::time::{Duration, Timestamp};
use fineprint::value::Type;

const POLICY: &str = "policy example.terms version 2026-01-01 {\n  clause limits \"Limits may not be evaded.\"\n}\n";

fn compiled(text: &str) -> Compiled {
    let mut sources = SourceMap::default();
    sources.add("rules.tos", format!("{POLICY}{text}"));
    compile(&sources)
}

fn windowed(sections: &str) -> String {
    format!("rule r {{ enforces example.terms.limits on completion {sections} because \"x\" }}")
}

/// What is said beside the advice to write tests.
fn said(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    diagnostics.iter().filter(|d| d.code != Code::RULE_WITHOUT_TEST && d.code != Code::UNUSED_LET).collect()
}

/// `text(n)` is taken at the bound and refused one beyond, with words that name it.
fn bound(n: u64, code: Code, says: &str, text: impl Fn(u64) -> String) {
    let at = compiled(&text(n)).diagnostics;
    assert!(said(&at).is_empty(), "{says}: refused at the bound: {:?}", said(&at).first());
    beyond(n, code, says, text);
}

fn beyond(n: u64, code: Code, says: &str, text: impl Fn(u64) -> String) {
    let over = compiled(&text(n + 1)).diagnostics;
    let found = over.iter().any(|d| d.code == code && d.message.contains(says) && d.help.is_some());
    assert!(found, "`{says}` is not said: {:?}", said(&over).first());
}

fn each(n: u64, one: impl Fn(u64) -> String) -> String {
    (0..n).map(one).fold(String::new(), |mut all, one| {
        let _ = writeln!(all, "{one}");
        all
    })
}

#[test]
fn declarations() {
    let lists = |n| each(n, |i| format!("list l{i} : integer = [{i}]"));
    beyond(limits::LISTS_MAX as u64, Code::TOO_MANY, "10000 lists", lists);
    let tables = |n| each(n, |i| format!("table t{i} keyed by account from \"t.csv\" {{ a: string }}"));
    bound(limits::TABLES_MAX as u64, Code::TOO_MANY, "1000 tables", tables);
    let links = |n| each(n, |i| format!("link k{i} of account {{ tied by payment_fingerprint within 1d }}"));
    bound(limits::LINKS_MAX as u64, Code::TOO_MANY, "100 links", links);
    // Empty rules are wrong rules, and count.
    beyond(limits::RULES_MAX as u64, Code::TOO_MANY, "20000 rules", |n| each(n, |i| format!("rule r{i} {{ }}")));
}

#[test]
fn families_and_caps_of_links() {
    const FIELDS: [&str; 9] =
        ["org", "model", "endpoint", "ip", "country", "user_agent", "session", "provider", "device_fp"];
    let families = |n: u64| {
        let tied = FIELDS[..n as usize].iter().map(|f| format!("tied by {f} within 1d ")).collect::<String>();
        format!("link k of account {{ {tied} needs at least 2 of these }}")
    };
    bound(LINK_FAMILIES_MAX as u64, Code::TOO_MANY, "the limit is 8", families);
    let cap = |n: u64| {
        format!("link k of account {{ tied by org within 1d, ignoring values shared by more than {n} accounts }}")
    };
    bound(u64::from(LINK_CAP_MAX), Code::RULE_TOO_COSTLY, "the limit is 1000", cap);
}

#[test]
fn values_of_a_written_list() {
    let list = |n: u64| format!("list l : integer = [\n{}]", each(n, |i| format!("{i},")));
    beyond(limits::INLINE_VALUES_MAX as u64, Code::TOO_MANY, "more than 100000 values", list);
}

#[test]
fn events_of_a_rule_by_template() {
    let rule = |n: u64| windowed(&format!("per template(prompt) over 1h when count() >= {n}"));
    let least = limits::TEMPLATE_EVENTS_MIN;
    assert!(said(&compiled(&rule(least)).diagnostics).is_empty());
    let codes: Vec<Code> = said(&compiled(&rule(least - 1)).diagnostics).iter().map(|d| d.code).collect();
    assert_eq!(codes, [Code::RULE_TOO_COSTLY]);
}

#[test]
fn parts_of_groups_and_rules() {
    const FIELDS: [&str; 9] =
        ["account", "org", "model", "endpoint", "ip", "country", "user_agent", "session", "provider"];
    let first = |n: u64| FIELDS[..n as usize].join(", ");
    let parts = limits::KEY_PARTS_MAX as u64;
    bound(parts, Code::TOO_MANY, "more than 8 parts", |n| {
        windowed(&format!("per {} over 1h when count() > 1", first(n)))
    });
    bound(parts, Code::WRONG_ARGUMENTS, "one to 8 values", |n| {
        windowed(&format!("per account over 1h when distinct({}) > 1", first(n)))
    });
    let counts = |n| (0..n).map(|i| format!("count() where status = {i}")).collect::<Vec<_>>();
    let many = |n| {
        let lets = each(n, |i| format!("let c{i} = {}", counts(n)[i as usize]));
        let when = (0..n).map(|i| format!("c{i} > 1")).collect::<Vec<_>>().join(" or ");
        windowed(&format!("per account over 1h\n{lets} when {when}"))
    };
    bound(limits::AGGREGATES_MAX as u64, Code::TOO_MANY, "more than 64 aggregates", many);
    beyond(400, Code::TOO_MANY, "more than 2000000 parts in all", |n| {
        let wide = (0..500).map(|i| format!("status = {i}")).collect::<Vec<_>>();
        let wide = wide.chunks(50).map(|part| format!("({})", part.join(" or "))).collect::<Vec<_>>().join("\n or ");
        format!("let wide = {wide}\n{}", each(n * 4, |i| format!("let l{i} = wide and stream")))
    });
}

#[test]
fn windows() {
    let over = |over: &str| windowed(&format!("per account over {over} when count() > 1"));
    bound(90, Code::BAD_WINDOW, "longer than 90d", |n| over(&format!("{n}d every 1d")));
    let short = compiled(&over("900ms")).diagnostics;
    assert!(said(&short).iter().any(|d| d.message.contains("shorter than 1s")), "{short:?}");
    bound(limits::STEPS_MAX as u64, Code::BAD_WINDOW, "more than 10000", |n| over(&format!("{n}s every 1s")));
    // Four aggregates of 10,000 steps fill a group.
    bound(limits::CELLS_PER_KEY_MAX / 10_000, Code::RULE_TOO_COSTLY, "40000", |n| {
        let when = (0..n).map(|i| format!("(count() where status = {i}) > 1")).collect::<Vec<_>>().join(" or ");
        windowed(&format!("per account over 10000s every 1s when {when}"))
    });
}

#[test]
fn earlier_windows() {
    let back = |n: u64| windowed(&format!("per account over each 60s when count() > usual(count(), over {n}m)"));
    bound(limits::BASELINE_WINDOWS_MAX as u64, Code::BAD_WINDOW, "more than 1000", back);
    let days = |n: u64| windowed(&format!("per account over each 24h when count() > usual(count(), over {n}d)"));
    bound(90, Code::BAD_WINDOW, "longer than 90d", days);
    // The fewest: three windows, and a quarter of many.
    let few = |n: u64| windowed(&format!("per account over each 24h when count() > usual(count(), over {n}d)"));
    assert!(said(&compiled(&few(u64::from(USUAL_VALUES_MIN) - 1)).diagnostics)[0].message.contains("at least 3"));
    assert!(said(&compiled(&few(u64::from(USUAL_VALUES_MIN))).diagnostics).is_empty());
    assert_eq!([3, 12, 13, 1_000].map(Baseline::least_of), [3, 3, 4, 250]);
    bound(limits::TOP_VALUES_MAX as u64, Code::WRONG_ARGUMENTS, "from 1 to 100", |n| {
        windowed(&format!("per account over 1h when top_share(model, {n}) > 50%"))
    });
}

#[test]
fn series() {
    let series = |n: u64| each(n, |i| format!("series s{i} {{ on completion every 1h value count() }}"));
    bound(limits::SERIES_MAX as u64, Code::TOO_MANY, "100 series", series);
    let every = |n: u64| format!("series s {{ on completion every {n}h value count() }}");
    bound(24, Code::BAD_WINDOW, "longer than 1d", every);
    let within = |n: u64| {
        let series = "series s { on completion every 1s value count() outage below 20% of its median }";
        format!("{series}\n{}", windowed(&format!("over {n}s every 1s when count() > 1 and not during outage of s")))
    };
    bound(limits::STEPS_MAX as u64, Code::BAD_WINDOW, "more than 10000", within);
    // A median over a week, of at most 1,008 steps.
    let steps = [1, 600, 601, 3_600, 86_400].map(|s| Series::steps_of(Duration::from_secs(s)));
    assert_eq!(steps, [SERIES_STEPS_MAX, 1_008, 1_006, 168, 7]);
    assert_eq!([7, 12, 168, 1_008].map(Series::least_of), [SERIES_VALUES_MIN, 3, 42, 252]);
}

/// Beyond the bound no cohort is begun and no key of a series; what that cost is counted, what is there stays.
#[test]
fn cohorts_and_keys_of_a_series() {
    let text = "series s { on completion per model every 1h value count() outage below 20% of its median }\n\
                rule r { enforces example.terms.limits on completion per account over each 1h\n\
                let out = count() where during outage of s\n\
                when count() > cohort(count(), by plan, over 3h) and out >= 0 because \"x\" }";
    let left_out = |cohorts: usize, keys: usize| {
        let mut evaluator = Evaluator::new(Arc::new(rule_set(text, Vec::new()).unwrap()), EvalOptions::default());
        let mut tell = |id: usize, hour: u32, plan: usize, model: usize| {
            let line = format!(
                r#"{{"id":"{id:06}","ts":"2026-03-02T{hour:02}:00:00Z","type":"completion","account":"a{id}","plan":"p{plan}","model":"m{model}"}}"#
            );
            evaluator.observe(&decode(line.as_bytes()).unwrap(), Default::default());
        };
        (0..cohorts.max(keys)).for_each(|i| tell(i, 8, i.min(cohorts - 1), i.min(keys - 1)));
        (9..14).for_each(|hour| tell(900_000 + hour as usize, hour, 0, 0));
        evaluator.finish();
        evaluator.baselines_lost()
    };
    assert_eq!(left_out(COHORTS_MAX, SERIES_KEYS_MAX), []);
    let lost = |name: &str| (name.to_string(), 1);
    assert_eq!(left_out(COHORTS_MAX + 1, SERIES_KEYS_MAX), [lost("r")]);
    assert_eq!(left_out(1, SERIES_KEYS_MAX + 1), [lost("s")]);
}

/// Of nine groups in a window nothing is told, of ten it is.
#[test]
fn groups_of_a_cohort() {
    let compiled = compiled(&windowed("per account over each 1h when count() > cohort(count(), by plan, over 1h)"));
    let Shape::Windowed(w) = &compiled.program.rules[0].shape else { panic!() };
    let least = w.aggregates.iter().find_map(|a| a.function.baseline()).unwrap().least;
    assert_eq!(least, COHORT_GROUPS_MIN);
}

#[test]
fn regular_expressions() {
    let matching = |pattern: &str| windowed(&format!("where prompt matches regex \"{pattern}\""));
    bound(limits::REGEX_CHARS_MAX as u64, Code::REGEX_TOO_COSTLY, "1001 characters", |n| {
        matching(&"a".repeat(n as usize))
    });
    bound(20, Code::REGEX_TOO_COSTLY, "more than 1024 KiB", |n| {
        matching(&format!("word(\\w{{10}}){{{}}}", if n > 20 { 60 } else { 2 }))
    });
}

fn rule_set(text: &str, lists: Vec<ListData>) -> Result<RuleSet, Vec<Diagnostic>> {
    let compiled = compiled(text);
    assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics.first());
    let columns = compiled.program.tables[0].columns.iter().map(|(n, ty)| (n.as_str().into(), ty.clone())).collect();
    let lists = lists.into_iter().map(Arc::new).collect();
    RuleSet::new(
        compiled.program,
        ReferenceData { lists, tables: vec![Arc::new(TableData::empty(columns))], ..ReferenceData::default() },
    )
}

#[test]
fn exceptions_of_a_rule() {
    let excepting = |n: u64| {
        let except = each(n, |i| format!("except events where account = \"a{i}\" because \"b\" owner \"o\""));
        format!("rule r {{ enforces example.terms.limits on completion where stream\n{except} because \"x\" }}")
    };
    assert!(rule_set(&excepting(32), Vec::new()).is_ok());
    let refused = rule_set(&excepting(33), Vec::new()).unwrap_err();
    assert!(refused[0].message.contains("33 exceptions, the limit is 32"), "{refused:?}");
}

/// Up to 64 literals of a field are searched in one way, more in another: both find each, also those that overlap, that begin
/// with one another, and at the very end of a text.
#[test]
fn literals_of_a_field() {
    for longest in [4, 6] {
        let literals: Vec<String> = (3..=longest)
            .flat_map(|n: u32| {
                (0..1u32 << n).map(move |bits| (0..n).map(|i| if bits >> i & 1 == 0 { 'a' } else { 'b' }).collect())
            })
            .collect();
        assert_eq!(literals.len() > 64, longest == 6);
        let rule = |(i, literal): (usize, &String)| {
            let folds = if i.is_multiple_of(2) { "" } else { " ignoring case" };
            format!(
                "rule r{i} {{ enforces example.terms.limits on completion where prompt has any of [\"{literal}\"]{folds} because \"x\" }}\n"
            )
        };
        let rules = rule_set(&literals.iter().enumerate().map(rule).collect::<String>(), Vec::new()).unwrap();
        let mut evaluator = Evaluator::new(Arc::new(rules), EvalOptions::default());
        let mut state = 7u64;
        for length in 0..300 {
            let text: String = (0..length % 40)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    ['a', 'b', 'a', 'b', 'A', 'c'][(state >> 33) as usize % 6]
                })
                .collect();
            let line =
                format!(r#"{{"type":"completion","id":"e{length}","ts":"2026-01-02T03:04:05Z","prompt":"{text}"}}"#);
            let event = decode(line.as_bytes()).unwrap();
            let mut found: Vec<String> = evaluator.matching(&event).map(str::to_string).collect();
            found.sort();
            let folded = text.to_ascii_lowercase();
            let holds = |i: usize, literal: &String| {
                if i.is_multiple_of(2) { text.contains(literal) } else { folded.contains(literal) }
            };
            let mut expected: Vec<String> =
                literals.iter().enumerate().filter(|(i, l)| holds(*i, l)).map(|(i, _)| format!("r{i}")).collect();
            expected.sort();
            assert_eq!(found, expected, "{text}");
        }
    }
}

/// Beyond 64 alternatives a pattern is not filtered by literals, beyond 200,000 bytes the automaton of phrases is another
/// one: neither shows in what is found.
#[test]
fn phrases_and_alternatives() {
    let phrase = |i: u64| format!("phrase number {i:06} of many");
    let row = |i| Row { value: phrase(i), from: None, to: None };
    let many = ListData::build(Type::String, (0..9_000).map(row).collect()).unwrap();
    let alternatives = (100..170).map(|i| format!("word{i}")).collect::<Vec<_>>().join("|");
    let rule = |name: &str, test: &str| {
        format!("rule {name} {{ enforces example.terms.limits on completion where prompt {test} because \"x\" }}\n")
    };
    let text = format!(
        "list many : string from \"many.txt\"\n{}{}{}",
        rule("exact", "has any of many"),
        rule("folded", "has any of many ignoring case"),
        rule("pattern", &format!("matches regex \"{alternatives}\""))
    );
    let mut evaluator = Evaluator::new(Arc::new(rule_set(&text, vec![many]).unwrap()), EvalOptions::default());
    let mut found = |prompt: &str| {
        let line = format!(r#"{{"id":"e","ts":"2026-03-02T08:00:00Z","type":"completion","prompt":"{prompt}"}}"#);
        let event = decode(line.as_bytes()).unwrap();
        let mut names: Vec<String> = evaluator.matching(&event).map(str::to_string).collect();
        names.sort();
        names
    };
    assert_eq!(found(&format!("say {} and go", phrase(8_999))), ["exact", "folded"]);
    assert_eq!(found(&phrase(0).to_uppercase()), ["folded"]);
    assert_eq!(found("in word169 only"), ["pattern"]);
    assert_eq!(found("phrase number 009000 of many, word170"), [""; 0]);
}

#[test]
fn events_of_a_test() {
    let test = |n: u64| {
        format!(
            "rule r {{ enforces example.terms.limits on completion where stream because \"x\"\n\
             test \"t\" {{ given {n} completions {{ stream: false }} expect nothing }} }}"
        )
    };
    bound(limits::TEST_EVENTS_MAX, Code::BAD_TEST, "more than 200000", test);
    assert_eq!(fixture::EVENTS_MAX as u64, limits::TEST_EVENTS_MAX);
}

/// A prompt of more words is one of 5,000.
#[test]
fn words_of_a_prompt() {
    let rule = |words: u64, expect: &str| {
        format!(
            "rule r {{ enforces example.terms.limits on completion where length(prompt) > 20_000 because \"x\"\n\
             test \"t\" {{ given 1 completion {{ prompt: \"{{words {words}}}\" }} expect {expect} }} }}"
        )
    };
    let lengths = [4_000, 5_000, 6_000, 4_000_000_000].map(|words| {
        let compiled = compiled(&rule(words, "nothing"));
        assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
        let cases = fixture::cases(&compiled.program, &compiled.files);
        let case = cases.into_iter().next().unwrap();
        let data = ReferenceData { lists: Vec::new(), tables: vec![accounts(&compiled)], ..ReferenceData::default() };
        let report = fixture::run(case, &compiled.program, &data);
        (report.failures.is_empty(), report.found)
    });
    assert_eq!(lengths[1], lengths[2]);
    assert_eq!(lengths[1], lengths[3]);
}

fn accounts(compiled: &Compiled) -> Arc<TableData> {
    let columns = compiled.program.tables[0].columns.iter();
    Arc::new(TableData::empty(columns.map(|(n, ty)| (n.as_str().into(), ty.clone())).collect()))
}

fn too_much(path: &Path) -> String {
    match read_sources(path) {
        Err(e @ PackError::TooMuch { .. }) => e.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_of_a_pack() {
    let folder = tempfile::tempdir().unwrap();
    let file = |i: usize| std::fs::write(folder.path().join(format!("{i}.tos")), "").unwrap();
    (0..FILES_MAX).for_each(file);
    assert_eq!(read_sources(folder.path()).unwrap().paths.len(), FILES_MAX);
    file(FILES_MAX);
    assert!(too_much(folder.path()).contains("more than 10000 rule files"));
}

#[test]
fn bytes_of_a_pack() {
    let folder = tempfile::tempdir().unwrap();
    let each = fineprint::syntax::FILE_BYTES_MAX as u64;
    // Holes in files: they take no room on the disk.
    let file = |i: u64, bytes| {
        std::fs::File::create(folder.path().join(format!("{i:03}.tos"))).unwrap().set_len(bytes).unwrap();
    };
    (0..TOTAL_BYTES_MAX / each).for_each(|i| file(i, each));
    assert_eq!(read_sources(folder.path()).unwrap().paths.len() as u64, TOTAL_BYTES_MAX / each);
    file(900, 1);
    assert!(too_much(folder.path()).contains("bytes of rule files"));
}

#[test]
fn directories_of_a_pack() {
    let folder = tempfile::tempdir().unwrap();
    let mut deep = folder.path().to_owned();
    (0..DEPTH_MAX).for_each(|_| deep.push("d"));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("a.tos"), "").unwrap();
    assert_eq!(read_sources(folder.path()).unwrap().paths.len(), 1);
    std::fs::create_dir(deep.join("d")).unwrap();
    assert!(too_much(folder.path()).contains("more than 32 levels of directories"));
}

#[test]
fn rows_of_lists_and_tables() {
    let list = ListData::build(Type::String, vec![Row::default(); LIST_ROWS_MAX + 1]);
    assert!(matches!(list, Err(ListError::TooMany)));
    let row = TableRow { key: String::new(), from: None, to: None, cells: Vec::new() };
    let table = TableData::build(Vec::new(), vec![row; LIST_ROWS_MAX + 1]);
    assert!(matches!(table, Err(TableError::TooMany)));
}

/// However large a segment is asked for, it is rolled over at its bound.
#[test]
fn bytes_of_a_segment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let options = JournalOptions { level: 1, segment_bytes: u64::MAX };
    let mut journal = Journal::open(&path, options, &Position::START).unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut noise = vec![0u8; 60_000];
    for n in 0..SEGMENT_BYTES_MAX / 60_000 + 50 {
        // Each record other bytes, so that nothing of it is compressed.
        for word in noise.as_chunks_mut::<8>().0 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        journal.append(Timestamp(n as i64), &noise).unwrap();
    }
    journal.sync().unwrap();
    let sizes: Vec<u64> = journal.segments().iter().map(|s| s.n_bytes).collect();
    assert!(sizes.len() == 2 && sizes.iter().all(|n| *n <= SEGMENT_BYTES_MAX), "{sizes:?}");
    assert!(sizes[0] > SEGMENT_BYTES_MAX - (2 << 20), "{sizes:?}");
}

/// 64 aggregates, each with a condition and a value of its own, fill the 64 conditions and 64 values that a rule may take from
/// an event; a 65th aggregate is refused before. Each of the 64 counts what it should.
#[test]
fn conditions_and_values_of_a_rule() {
    let n = limits::AGGREGATES_MAX as u64;
    let lets = each(n, |i| format!("let s{i} = sum(output_tokens + {i}) where input_tokens >= {i}"));
    let when = (0..n).map(|i| format!("s{i} > 1_000_000")).collect::<Vec<_>>().join(" or ");
    let last = n - 1;
    let text = windowed(&format!("per account over 1h\n{lets} when s{last} >= {last} or {when}"));
    let rules = Arc::new(rule_set(&text, Vec::new()).unwrap());
    let mut evaluator = Evaluator::new(rules, EvalOptions::default());
    for (id, tokens) in [("under", last - 1), ("at", last)] {
        let line = format!(
            r#"{{"type":"completion","id":"{id}","ts":"2026-01-02T03:04:05Z","account":"{id}","input_tokens":{tokens},"output_tokens":0}}"#
        );
        evaluator.observe(&decode(line.as_bytes()).unwrap(), Default::default());
    }
    evaluator.advance(Timestamp::parse_rfc3339("2026-01-02T06:00:00Z").unwrap());
    let found = evaluator.take_violations();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].accounts, ["at"]);
    let values = serde_json::to_string(&found[0]).unwrap();
    assert!(values.contains(&format!("\"s{last}\"")), "{values}");
}

/// Beyond the events that are held, evidence names fewer; what is counted stays exact.
#[test]
fn events_held_for_evidence() {
    let text = windowed("per account over 4h every 1h let calls = count() when calls >= 5000");
    let rules = Arc::new(rule_set(&text, Vec::new()).unwrap());
    let found = |held: usize| {
        let mut evaluator =
            Evaluator::new(Arc::clone(&rules), EvalOptions { events_held: held, ..EvalOptions::default() });
        for i in 0..6_000 {
            let line = format!(
                r#"{{"type":"completion","id":"e{i:05}","ts":"2026-01-02T{:02}:{:02}:{:02}Z","account":"a"}}"#,
                i / 3_600,
                i / 60 % 60,
                i % 60
            );
            evaluator.observe(&decode(line.as_bytes()).unwrap(), Default::default());
        }
        evaluator.advance(Timestamp::parse_rfc3339("2026-01-02T09:00:00Z").unwrap());
        let mut found = evaluator.take_violations();
        assert_eq!(found.len(), 1);
        found.remove(0)
    };
    let (all, few) = (found(6_000), found(2_048));
    assert_eq!(all.values, few.values);
    assert_eq!(all.id, few.id);
    assert_eq!((all.evidence.count, few.evidence.count), (6_000, 6_000));
    assert!(few.evidence.events.len() <= all.evidence.events.len());
    assert!(!few.evidence.complete);
    assert_eq!((all.evidence.forgotten, few.evidence.forgotten > 0), (0, true));
    assert_ne!(all.evidence.root, few.evidence.root);
}

/// Which account keeps a finding up is tried of so many accounts, over so many events; how many were tried is said.
#[test]
fn accounts_and_events_that_are_tried() {
    use fineprint::derive::{ACCOUNTS_TRIED_MAX, Case, EXAMPLES_MAX, Effort, Reason};
    use fineprint::eval::Recalled;

    let mut sources = SourceMap::default();
    let rule = "rule r { enforces example.terms.limits on completion where status = 200 per org over 1h when count() >= 60 because \"x\" }";
    sources.add("rules.tos", format!("{POLICY}{rule}"));
    let rules = RuleSet::new(compile(&sources).program, ReferenceData::default()).unwrap();
    let event = |i: usize| {
        let status = if i < 60 { 200 } else { 429 };
        let line = format!(
            r#"{{"id":"e{i:02}","ts":"2026-01-01T00:00:{:02}Z","type":"completion","org":"o","account":"a{i:02}","status":{status}}}"#,
            i % 60
        );
        Recalled::from(decode(line.as_bytes()).unwrap().into_owned())
    };
    let events = (0..70).map(event).collect();
    let case = Case::new(&rules, &sources, "r", events, fineprint::time::Duration::from_secs(300)).unwrap();
    let mut late = case.found_at_end.clone();
    assert!(late.is_empty(), "the hour is not over");
    // Time goes on with another event.
    let after = r#"{"id":"z","ts":"2026-01-01T03:00:00Z","type":"completion"}"#;
    let events = (0..70).map(event).chain([Recalled::from(decode(after.as_bytes()).unwrap().into_owned())]);
    let case = Case::new(&rules, &sources, "r", events.collect(), fineprint::time::Duration::from_secs(300)).unwrap();
    late.extend(case.found_at_end.clone());
    let [v] = &late[..] else { panic!("{late:?}") };
    let tried = |effort: Effort| {
        let without = case.silence(v, effort).unwrap().without;
        assert_eq!((without.of, without.clears.len()), (60, without.tried));
        without.tried
    };
    assert_eq!(tried(Effort::default()), ACCOUNTS_TRIED_MAX);
    assert_eq!(tried(Effort { accounts: 100, ..Effort::default() }), 60);
    assert_eq!(tried(Effort { events: 60 * 7, ..Effort::default() }), 7);
    let reasons = case.reasons(v).unwrap();
    let refused = reasons.iter().find(|(r, _)| matches!(r, Reason::False(_))).unwrap().1;
    assert_eq!((refused.0, refused.1.len()), (10, EXAMPLES_MAX));
}
