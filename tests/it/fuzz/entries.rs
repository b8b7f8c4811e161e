//! What a fuzzer calls, one function for each reader of bytes that nobody vouches for. The fuzz targets in `fuzz/` and the
//! test beside this file call the same ones. They panic where a reader panics or breaks a promise, and return otherwise.

use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use fineprint::campaign::{self, Call, Findings, Tally};
use fineprint::compile::compile_as_of;
use fineprint::decision::Decision;
use fineprint::derive::Slice;
use fineprint::diagnostic::{has_errors, to_json, to_text};
use fineprint::eval::keyed::{Input, Keyed, KeyedRouter, Partition, PartitionKind};
use fineprint::eval::{EvalOptions, Evaluator, Origin, Recalled};
use fineprint::event::UsageEvent;
use fineprint::event::decode::{Decoder, decode};
use fineprint::feed::body::{BodyOptions, Signal, Tally as BodyTally, entries, inflate};
use fineprint::feed::{
    AccountsFile, ColumnRef, EventReader, Feed, Format, ListFile, Mapping, TableFile, parse_prices, read_accounts,
    read_list, read_table, shipped_mappings,
};
use fineprint::gate::{Gate, GateOptions};
use fineprint::gateway::proto::{CheckRequest, ProcessingRequest};
use fineprint::gateway::{self, Arrival, Decide, Edge, GatewayOptions, Secret, Unready};
use fineprint::journal::{Journal, JournalOptions, Position, ProjectionSink, check, read};
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::reference::{ListData, TableData};
use fineprint::source::SourceMap;
use fineprint::syntax;
use fineprint::time::Timestamp;
use fineprint::value::{Type, Value};
use prost::Message;
use xxhash_rust::xxh3::Xxh3;

/// Every entry by the name of its target and its folder of inputs.
pub const ENTRIES: [(&str, fn(&[u8])); 12] = [
    ("rules", rules),
    ("event", event),
    ("mapping", mapping),
    ("body", body),
    ("otlp", otlp),
    ("campaign", campaign),
    ("list", list),
    ("snapshot", snapshot),
    ("keyed", keyed),
    ("journal", journal),
    ("gateway", gateway),
    ("gate", gate),
];

/// A rule file: lexer, parser, formatter, checker, and the plan where nothing was wrong.
pub fn rules(bytes: &[u8]) {
    let mut sources = SourceMap::default();
    let id = sources.add("fuzz.tos", &*String::from_utf8_lossy(bytes));
    let Ok(text) = syntax::decode(id, bytes) else { return };
    let mut sources = SourceMap::default();
    let id = sources.add("fuzz.tos", text.as_str());
    let (file, mistakes) = syntax::parse(id, &text);
    if !has_errors(&mistakes) {
        let printed = syntax::print(&file, &text);
        let (_, mistakes) = syntax::parse(id, &printed);
        assert!(!has_errors(&mistakes), "what was printed cannot be read: {printed}");
    }
    let compiled = compile_as_of(&sources, Timestamp::parse_date("2026-06-01"));
    for d in &compiled.diagnostics {
        assert!(d.help.is_some(), "no help with `{}`", d.message);
    }
    to_text(&compiled.diagnostics, &sources, true);
    to_json(&compiled.diagnostics, &sources);
    if !compiled.has_errors() {
        let program = compiled.program;
        // Inline values are of no importance to the plan's shape.
        let lists = program.lists.iter().map(|l| Arc::new(ListData::empty(l.ty.clone()))).collect();
        let columns =
            |t: &fineprint::hir::Table| t.columns.iter().map(|(n, ty)| (n.as_str().into(), ty.clone())).collect();
        let tables = program.tables.iter().map(|t| Arc::new(TableData::empty(columns(t)))).collect();
        if let Ok(rules) = RuleSet::new(program, ReferenceData { lists, tables, ..ReferenceData::default() }) {
            let mut evaluator = Evaluator::new(Arc::new(rules), EvalOptions::default());
            run_on(&mut evaluator);
        }
    }
}

/// An event: one line by itself, twice through one decoder, and the bytes as an input of many.
pub fn event(bytes: &[u8]) {
    let once = decode(bytes);
    let mut decoder = Decoder::new();
    for _ in 0..2 {
        let again = decoder.decode(bytes);
        assert_eq!(again.is_ok(), once.is_ok());
        if let (Ok(again), Ok(once)) = (again, once.as_ref()) {
            assert_eq!((again.id(), again.ts(), again.content()), (once.id(), once.ts(), once.content()));
            decoder.recycle(again);
        }
    }
    let Ok(reader) = EventReader::new(Cursor::new(bytes.to_vec()), None, "fuzz".to_string()) else { return };
    let mut feed = Feed::new(reader, Format::Auto);
    let mut before = 0;
    while let Ok(Some(entry)) = feed.next_entry() {
        assert!(entry.line >= before, "lines go backwards");
        before = entry.line;
    }
    feed.position();
}

/// A mapping file and, behind a line `%%%`, a record for it.
pub fn mapping(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (yaml, record) = text.split_once("\n%%%\n").unwrap_or((&text, r#"{"id":"a","model":"m"}"#));
    if let Ok(mapping) = Mapping::parse(yaml, "fuzz.yaml") {
        let _ = mapping.decode(record.as_bytes());
        mapping.fields().count();
    }
    for shipped in shipped_mappings() {
        let _ = Mapping::shipped(shipped).unwrap().decode(record.as_bytes());
    }
    fineprint::feed::detect(record.as_bytes());
}

/// The most bytes that a fuzzed body may come to.
const BODY_MAX: usize = 1 << 20;

/// What a body gives: records in the order of their lines, each counted once.
fn read_body(bytes: &[u8], encoding: Option<&str>, options: BodyOptions<'_>) {
    let Ok(plain) = inflate(bytes, encoding, BODY_MAX) else { return };
    assert!(plain.len() <= BODY_MAX);
    let Ok(entries) = entries(&plain, options) else { return };
    let mut tally = BodyTally::default();
    let (mut line, mut n) = (0, 0);
    for entry in entries {
        assert!(entry.line >= line && entry.index == n, "records go backwards");
        (line, n) = (entry.line, n + 1);
        tally.add(&entry);
    }
    assert_eq!(tally.accepted + tally.passed_over + tally.rejected(), n);
}

/// The body of a request for ingest, in all the ways it may be sent.
pub fn body(bytes: &[u8]) {
    for encoding in [None, Some("gzip"), Some("zstd")] {
        read_body(bytes, encoding, BodyOptions::default());
    }
    let bedrock = Mapping::shipped("bedrock").unwrap();
    read_body(bytes, None, BodyOptions { mapping: Some(&bedrock), ..BodyOptions::default() });
}

/// An export of logs or traces, in JSON and protobuf.
pub fn otlp(bytes: &[u8]) {
    for signal in [Signal::Logs, Signal::Traces] {
        for content_type in [None, Some("application/json"), Some("application/x-protobuf")] {
            read_body(bytes, None, BodyOptions { signal, content_type, mapping: None });
        }
    }
}

/// A price table and, behind lines `%%%`, records of violations that are tied and priced.
pub fn campaign(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("\n%%%\n");
    let prices = parse_prices(parts.next().unwrap_or_default(), "fuzz.yaml").ok();
    let mut findings = Findings::default();
    parts.for_each(|record| {
        let _ = findings.push_json(record);
    });
    let found = campaign::cases(&findings);
    let n: usize = found.cases.iter().map(|c| c.findings.len() + c.beside.len()).sum();
    assert_eq!(n + found.outside.len(), findings.all().len(), "a violation has no place, or two");
    let mut tally = Tally::new(&findings, &found, prices.as_ref());
    for case in &found.cases {
        campaign::families(&findings, case);
        campaign::counts(&findings, case);
        let tokens = Some(u64::MAX);
        let account = case.accounts.first().map(|a| findings.name(*a)).unwrap_or_default();
        let (ts, model) = (case.first, Some("atlas-2-large"));
        tally.take(&Call {
            ts,
            is_completion: true,
            account,
            model,
            input_tokens: tokens,
            output_tokens: tokens,
            ..Call::default()
        });
    }
    for case in 0..found.cases.len() {
        tally.volume(case).unwrap().value();
    }
}

/// What gateways send: the first byte says over which contract, and for external processing the bytes are messages, each
/// behind one byte of length. Whatever comes, an event of the arrival's own id comes of it, or a sentence.
pub fn gateway(bytes: &[u8]) {
    let edge = Edge::new(GatewayOptions::default(), Secret::new("fuzz"), "fuzz", || Timestamp(7));
    let arrival = || Arrival { id: "fuzz-0".to_owned(), at: Timestamp(7) };
    let Some((contract, record)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(record);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let headers = head.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((
            axum::http::HeaderName::from_bytes(name.as_bytes()).ok()?,
            axum::http::HeaderValue::from_str(value).ok()?,
        ))
    });
    let headers: axum::http::HeaderMap = headers.collect();
    let event = match contract {
        b'l' => match gateway::litellm::read(&edge, arrival(), record) {
            Ok(gateway::litellm::Asked::Request(event) | gateway::litellm::Asked::Response(event)) => Ok(event),
            Err(what) => Err(what),
        },
        b'p' => match gateway::portkey::read(&edge, arrival(), &headers, record) {
            Ok(gateway::portkey::Asked::Request(event) | gateway::portkey::Asked::Response(event)) => Ok(event),
            Err(what) => Err(what),
        },
        b'f' => Ok(gateway::forward::read(&edge, arrival(), &headers, body.as_bytes())),
        b'e' => Ok(gateway::envoy_http::read(&edge, arrival(), head, &headers, body.as_bytes())),
        b'c' => match CheckRequest::decode(record) {
            Ok(asked) => gateway::envoy_grpc::read(&edge, arrival(), &asked),
            Err(_) => return,
        },
        b'a' => {
            let mut chunks = gateway::body::Chunks::default();
            record.chunks(3).for_each(|chunk| chunks.take(chunk));
            chunks.end();
            return;
        }
        _ => {
            let mut exchange = gateway::ext_proc::Exchange::default();
            let mut rest = record;
            while let Some((length, after)) = rest.split_first() {
                let message;
                (message, rest) = after.split_at(usize::from(*length).min(after.len()));
                let Ok(message) = ProcessingRequest::decode(message) else { break };
                if exchange.take(&edge, &Passing, message).is_err() {
                    break;
                }
            }
            exchange.finish(&edge, &Passing);
            return;
        }
    };
    match event {
        Ok(event) => assert_eq!((event.id(), event.ts()), ("fuzz-0", Timestamp(7))),
        Err(what) => assert!(!what.is_empty() && what.len() < 300, "{what}"),
    }
}

/// Lets everything pass.
#[derive(Clone)]
struct Passing;

impl Decide for Passing {
    fn decide(&self, _: UsageEvent<'static>) -> Result<Decision, Unready> {
        Ok(Decision::default())
    }

    fn standing(&self, _: &UsageEvent<'static>) -> Result<Decision, Unready> {
        Ok(Decision::default())
    }

    fn observe(&self, _: UsageEvent<'static>) -> Result<(), Unready> {
        Ok(())
    }
}

/// A list, table or registry file behind a line of words: `csv country dated`, `jsonl string`, `table decimal`, `accounts`.
pub fn list(bytes: &[u8]) {
    let cut = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let (words, contents) = (String::from_utf8_lossy(&bytes[..cut]), bytes.get(cut + 1..).unwrap_or_default());
    let mut words = words.split_whitespace();
    let kind = words.next().unwrap_or_default();
    let ty = words.next().and_then(Type::from_keyword).unwrap_or(Type::String);
    let dated = words.next().is_some();
    let folder = tempfile::tempdir().unwrap();
    let named = |extension: &str| {
        let path = folder.path().join(format!("fuzz.{extension}"));
        std::fs::write(&path, contents).unwrap();
        path
    };
    let heading = |name: &str| ColumnRef::Heading(name.to_string());
    let valid = dated.then(|| (heading("from"), heading("until")));
    match kind {
        "accounts" => {
            let _: Result<AccountsFile, _> = read_accounts(&named("jsonl"));
        }
        "table" => {
            for extension in ["csv", "jsonl"] {
                let columns = vec![("value".into(), ty.clone())];
                let file = TableFile {
                    path: named(extension),
                    key: Some(heading("key")),
                    key_type: ty.clone(),
                    columns,
                    valid: valid.clone(),
                };
                if let Ok(table) = read_table(&file) {
                    let keys: Vec<&str> = table.keys().take(50).collect();
                    for key in keys {
                        let _ = table.column(key, 0, Timestamp(0));
                    }
                }
            }
        }
        _ => {
            let column = (kind == "jsonl").then(|| heading("value"));
            let extension = if ["csv", "jsonl"].contains(&kind) { kind } else { "txt" };
            if let Ok(list) = read_list(&ListFile {
                path: named(extension),
                ty,
                column,
                valid,
                key: fineprint::template::FingerprintKey::PUBLIC,
            }) {
                let all: Vec<String> = list.texts().take(50).map(str::to_string).collect();
                for text in &all {
                    assert!(list.contains(&Value::Text(text), Timestamp(0)), "`{text}` is on the list and not found");
                }
                list.networks()
                    .take(50)
                    .for_each(|net| assert!(list.contains(&Value::Net(net), Timestamp(0)), "{net}"));
            }
        }
    }
}

/// A saved state with edits: three bytes each, two for the place and one for the value. The state itself would not outlive
/// a change of its form. The log's own hash keeps altered ones out; this is about what stands behind that door.
pub fn snapshot(bytes: &[u8]) {
    let (rules, good) = saved();
    let mut altered = good.clone();
    if let Some((keep, edits)) = bytes.split_first() {
        for edit in edits.chunks_exact(3) {
            // Behind version and bundle hash, each with a byte before it: edits of these are all refused alike.
            let head = 2 + rules.bundle_hash().len();
            let at = head + usize::from(u16::from_le_bytes([edit[0], edit[1]])) % (altered.len() - head);
            altered[at] = edit[2];
        }
        if *keep > 0 {
            altered.truncate(altered.len() * usize::from(*keep) / 255);
        }
    }
    if let Ok(evaluator) = Evaluator::restore(Arc::clone(rules), EvalOptions::default(), &altered) {
        let _ = evaluator.snapshot();
        evaluator.undecided();
    }
}

/// The state of a partition and a record for it: the bytes as they are, and good ones with edits as those of a snapshot. What
/// is not what was written is refused.
pub fn keyed(bytes: &[u8]) {
    static GOOD: OnceLock<(Keyed, Partition, Vec<u8>, Vec<u8>)> = OnceLock::new();
    let (keyed, ids, state, record) = GOOD.get_or_init(|| {
        let keyed = Arc::new(Keyed::new(Arc::clone(&saved().0), EvalOptions::default()));
        let line =
            br#"{"id":"e","ts":"2026-03-02T08:00:00Z","type":"completion","account":"a","prompt":"step by step"}"#;
        let record = KeyedRouter::new(Arc::clone(&keyed)).route(&decode(line).unwrap(), Origin::default()).unwrap();
        let input = Input::Record(&record.bytes);
        let step = keyed.step(record.partition, None, input, Timestamp(0)).unwrap();
        (Arc::into_inner(keyed).unwrap(), record.partition, step.state.unwrap(), record.bytes)
    });
    let unit = Partition { kind: PartitionKind::Unit(0), key: 0 };
    let budget = Partition { kind: PartitionKind::Budget(0), key: 0 };
    for partition in [*ids, unit, budget] {
        assert!(keyed.step(partition, Some(bytes), Input::Advance, Timestamp::MAX).is_err());
        assert!(keyed.step(partition, None, Input::Record(bytes), Timestamp(0)).is_err());
        assert!(keyed.merge(partition, Some(bytes), Some(state), Timestamp(0)).is_err());
        assert!(keyed.timer(bytes).is_err());
    }
    for good in [state, record] {
        let mut altered = good.clone();
        for edit in bytes.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % altered.len();
            altered[at] = edit[2];
        }
        let step = keyed.step(*ids, Some(&altered), Input::Advance, Timestamp::MAX);
        assert_eq!(step.is_ok(), altered == *state);
        let step = keyed.step(*ids, None, Input::Record(&altered), Timestamp(0));
        assert_eq!(step.is_ok(), altered == *record);
    }
}

/// A segment of a journal. Its checksums are made right, as far as it says how long its frames are: whoever alters a journal
/// on purpose does the same.
pub fn journal(bytes: &[u8]) {
    let mut segment = bytes.to_vec();
    mend(&mut segment);
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    // Lies there already, as it does beside a journal that goes on.
    std::fs::write(folder.path().join("journal.salt"), "5a".repeat(32)).unwrap();
    for contents in [bytes, segment.as_slice()] {
        std::fs::write(journal.join("segment-0000000001.fpj"), contents).unwrap();
        for until in [None, Some(Position { segment: 1, offset_bytes: contents.len() as u64, ..Position::START })] {
            // No such bytes are what this position says: it names no hash.
            assert!(until.is_none_or(|until| check(&journal, &until, &mut |_| ()).is_err()));
            if let Ok(records) = read(&journal, until.as_ref()) {
                // What a record holds is a reader's own matter; it may be any bytes.
                let mut read = 0;
                for record in records.map_while(Result::ok) {
                    read += 1;
                    let _ = Recalled::read(&record.record);
                }
                assert!(read <= 2 << 20, "more records than fit into a frame's bytes");
            }
        }
        go_on(&journal, contents);
    }
    let _ = String::from_utf8_lossy(bytes).parse::<Position>();
    let _ = Recalled::read(bytes);
    if let Ok(slice) = Slice::parse(bytes) {
        assert_eq!(Slice::parse(&slice.to_bytes()), Ok(slice));
    }
}

/// Opening a segment to append to it, at the position that whoever altered it would have written too.
fn go_on(folder: &Path, contents: &[u8]) {
    use sha2::Digest;
    let n_records = contents.get(64 + 8..64 + 12).map_or(0, |n| u32::from_le_bytes(n.try_into().unwrap()));
    let hash = sha2::Sha256::digest(contents).into();
    let at = Position { segment: 1, offset_bytes: contents.len() as u64, n_records: n_records.into(), hash };
    if let Ok(mut journal) = Journal::open(folder, JournalOptions::default(), &at) {
        journal.append(Timestamp(1), b"record").unwrap();
        let _ = journal.sync();
    }
}

/// Rewrites the checksums of a segment: of its header over the 56 bytes before, of a frame over 28 and its contents.
fn mend(segment: &mut [u8]) {
    let sum = |parts: [&[u8]; 2]| {
        let mut sum = Xxh3::new();
        parts.iter().for_each(|part| sum.update(part));
        sum.digest().to_le_bytes()
    };
    let Some((header, mut rest)) = segment.split_at_mut_checked(64) else { return };
    header[..8].copy_from_slice(b"FNPTJRN1");
    let right = sum([&header[..56], &[]]);
    header[56..].copy_from_slice(&right);
    while let Some((header, after)) = rest.split_at_mut_checked(36) {
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some((compressed, after)) = after.split_at_mut_checked(length) else { return };
        let right = sum([&header[..28], compressed]);
        header[28..].copy_from_slice(&right);
        rest = after;
    }
}

/// Calls to a gate, one a line: each is asked about, told and asked about again; then the gate is written down and read.
/// The bytes are read as a gate that was written down as well.
pub fn gate(bytes: &[u8]) {
    static RULES: OnceLock<Arc<RuleSet>> = OnceLock::new();
    let rules = RULES.get_or_init(|| {
        let mut sources = SourceMap::default();
        sources.add("inline.tos", include_str!("../../data/fuzz/inline.tos"));
        let compiled = compile_as_of(&sources, None);
        assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
        Arc::new(RuleSet::new(compiled.program, ReferenceData::default()).unwrap())
    });
    let options = GateOptions { groups_max: 100, ids_max: 100, calls_max: 100, targets_max: 100, ..Default::default() };
    let gate = Gate::with(Arc::clone(rules), options.clone());
    for event in bytes.split(|b| *b == b'\n').take(500).filter_map(|line| decode(line).ok()) {
        let first = gate.decide(&event);
        gate.observe(&event);
        let again = gate.decide(&event);
        assert!(first.verdict <= first.would && again.verdict <= again.would, "{first:?} {again:?}");
        assert!(first.verdict.passes() || !first.reason.is_empty(), "{first:?}");
    }
    let saved = gate.snapshot().unwrap();
    let read = Gate::restore(Arc::clone(rules), options.clone(), &saved).unwrap();
    assert_eq!(read.counts().groups, gate.counts().groups);
    let _ = Gate::restore(Arc::clone(rules), options, bytes);
}

/// Rules with every kind of state, and a state in the middle of a stream.
fn saved() -> &'static (Arc<RuleSet>, Vec<u8>) {
    static SAVED: OnceLock<(Arc<RuleSet>, Vec<u8>)> = OnceLock::new();
    SAVED.get_or_init(|| {
        let mut sources = SourceMap::default();
        sources.add("fuzz.tos", include_str!("../../data/fuzz/stateful.tos"));
        let compiled = compile_as_of(&sources, None);
        assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
        let accounts =
            compiled.program.tables[0].columns.iter().map(|(n, ty)| (n.as_str().into(), ty.clone())).collect();
        let data = ReferenceData {
            lists: Vec::new(),
            tables: vec![Arc::new(TableData::empty(accounts))],
            ..ReferenceData::default()
        };
        let rules = Arc::new(RuleSet::new(compiled.program, data).unwrap());
        let mut evaluator = Evaluator::new(Arc::clone(&rules), EvalOptions::default());
        run_on(&mut evaluator);
        let snapshot = evaluator.snapshot().unwrap();
        (rules, snapshot)
    })
}

/// A few events over an hour.
fn run_on(evaluator: &mut Evaluator) {
    for i in 0..40 {
        let line = format!(
            r#"{{"id":"e{i}","ts":"2026-03-02T08:{:02}:00Z","type":"completion","account":"a{}","prompt":"step by step {i}","tokens_out":{i},"refused":{},"ip":"192.0.2.{}"}}"#,
            i,
            i % 3,
            i % 2 == 0,
            i % 5,
        );
        evaluator.observe(&decode(line.as_bytes()).unwrap(), Origin { input: 0, line: i });
    }
}
