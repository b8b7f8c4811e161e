use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use fineprint::counsel;
use fineprint::event::decode::{EVENT_BYTES_MAX, RejectReason};
use fineprint::event::{FIELDS, FieldId, UsageEvent};
use fineprint::feed::body::{
    BATCH_RECORDS_MAX, BODY_BYTES_MAX, BodyEntry, BodyError, BodyOptions, SAMPLES_MAX, Signal, Tally, WINDOW_LOG_MAX,
    entries, inflate,
};
use fineprint::feed::otlp::{Encoding, RESOURCE_BYTES_MAX, response};
use fineprint::feed::{Mapping, UNPACK_PATHS_MAX, UNREADABLE_FIELD, detect, shipped_mappings};
use fineprint::pack::{PackOptions, load};
use fineprint::template::FingerprintKey;
use fineprint::value::Value;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::golden::{check, data};

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(data("feeds").join(name)).unwrap()
}

fn shown(event: &UsageEvent<'_>) -> String {
    let mut out = format!("{}\n", event.kind().word());
    for (field, value) in event.fields() {
        let name = FIELDS[usize::from(field.0)].json;
        let value = match value {
            Value::Text(text) => format!("{text:?}"),
            Value::Num(n) => n.to_string(),
            Value::Bool(b) => b.to_string(),
            Value::Ip(ip) => ip.to_string(),
            other => format!("{other:?}"),
        };
        writeln!(out, "  {name} = {value}").unwrap();
    }
    out
}

fn told(entries: impl Iterator<Item = BodyEntry>) -> String {
    entries.fold(String::new(), |mut out, entry| {
        write!(out, "record {}, line {}: ", entry.index, entry.line).unwrap();
        match entry.event {
            Ok(event) => out.push_str(&shown(&event)),
            Err(reject) => writeln!(out, "{reject}").unwrap(),
        }
        out
    })
}

fn read(body: &[u8], options: BodyOptions<'_>) -> Vec<BodyEntry> {
    let plain = inflate(body, None, BODY_BYTES_MAX).unwrap();
    entries(&plain, options).unwrap().collect()
}

fn at(signal: Signal, content_type: &'static str) -> BodyOptions<'static> {
    BodyOptions { signal, content_type: Some(content_type), mapping: None }
}

fn words(body: &[u8]) -> Vec<String> {
    let word = |entry: BodyEntry| match entry.event {
        Ok(event) => event.id().to_owned(),
        Err(reject) => reject.reason.word().to_owned(),
    };
    read(body, BodyOptions::default()).into_iter().map(word).collect()
}

fn get<'e>(event: &'e UsageEvent<'_>, key: &str) -> Value<'e> {
    event.get(fineprint::event::fields::by_json(key).unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

// ── samples of the real shapes ──

/// What each shipped mapping makes of records as their systems write them; the expected events are read by people.
#[test]
fn samples_become_events() {
    for (file, options) in [
        ("bedrock.jsonl", BodyOptions::default()),
        ("azure.jsonl", BodyOptions::default()),
        ("envoy.jsonl", BodyOptions::default()),
        ("cloudevents.json", BodyOptions::default()),
        ("traces.json", at(Signal::Traces, "application/json")),
        ("logs.json", at(Signal::Logs, "application/json; charset=utf-8")),
    ] {
        let body = sample(file);
        let expected = data("feeds").join(file).with_extension("events");
        check(&expected, &told(read(&body, options).into_iter()));
    }
}

/// A file is read as a body is: by its first record, or by the name of the mapping.
#[test]
fn files_are_read_as_bodies_are() {
    use fineprint::feed::{EventReader, Feed, Format};
    for name in ["bedrock", "azure", "envoy", "cloudevents"] {
        let file = if name == "cloudevents" { "cloudevents.json".to_owned() } else { format!("{name}.jsonl") };
        let body = sample(&file);
        let expected: Vec<_> = read(&body, BodyOptions::default()).into_iter().map(|entry| entry.event).collect();
        for format in [Format::Auto, Format::Mapped(Box::new(Mapping::shipped(name).unwrap()))] {
            let reader = EventReader::new(std::io::Cursor::new(body.clone()), None, file.clone()).unwrap();
            let mut feed = Feed::new(reader, format);
            let mut found = Vec::new();
            while let Some(entry) = feed.next_entry().unwrap() {
                found.push(entry.event.map(UsageEvent::into_owned));
            }
            assert_eq!(found, expected, "{name}");
            assert_eq!(feed.mapping(), Some(name));
        }
    }
}

#[test]
fn every_shipped_mapping_is_recognised_by_its_sample_and_by_no_other() {
    for (name, file) in [("bedrock", "bedrock.jsonl"), ("azure", "azure.jsonl"), ("envoy", "envoy.jsonl")] {
        for line in sample(file).split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            // The last of Azure's is told by fewer keys.
            assert_eq!(detect(line), Some(name), "{}", String::from_utf8_lossy(line));
        }
    }
    assert_eq!(shipped_mappings().count(), 7);
    assert!(shipped_mappings().all(|name| Mapping::shipped(name).is_some_and(|m| m.name() == name)));
}

/// The table of the page is what the checker says of the shipped rules.
#[test]
fn the_page_says_how_many_rules_are_blind_on_each_feed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = root.join("rules");
    let options = PackOptions {
        rules: &rules,
        lists: None,
        accounts: None,
        as_of: None,
        fingerprint_key: FingerprintKey::PUBLIC,
    };
    let pack = load(&options).unwrap();
    let rules = pack.rules.as_ref().unwrap();
    let page = std::fs::read_to_string(root.join("docs/feeds.md")).unwrap();
    for name in shipped_mappings().filter(|name| *name != "traffic") {
        let mapping = Mapping::shipped(name).unwrap();
        let feed = counsel::Feed {
            fields: mapping.fields().collect(),
            fixed: mapping.constants().collect(),
            kinds: mapping.kinds(),
            // The registry is taken to tell everything.
            registry_known: false,
        };
        let never = counsel::blind(rules.program(), rules.data(), &feed);
        let never = never.iter().filter(|blind| blind.exception.is_none()).count();
        let expected = format!("| {never} of {} |", rules.program().rules.len());
        let row = page.lines().find(|line| line.contains(&format!("| `{name}` |"))).unwrap();
        assert!(row.ends_with(&expected), "docs/feeds.md: write `{expected}` at the end of: {row}");
    }
}

#[test]
fn protobuf_says_what_json_says() {
    let traces: ExportTraceServiceRequest = serde_json::from_slice(&sample("traces.json")).unwrap();
    let logs: ExportLogsServiceRequest = serde_json::from_slice(&sample("logs.json")).unwrap();
    for (signal, json, bytes) in [
        (Signal::Traces, sample("traces.json"), traces.encode_to_vec()),
        (Signal::Logs, sample("logs.json"), logs.encode_to_vec()),
    ] {
        let expected: Vec<_> = read(&json, at(signal, "application/json")).into_iter().map(|e| e.event).collect();
        for options in [at(signal, "application/x-protobuf"), BodyOptions { signal, ..BodyOptions::default() }] {
            for body in [bytes.clone(), gzip(&bytes), zstd::encode_all(&*bytes, 3).unwrap()] {
                let found: Vec<_> = read(&body, options).into_iter().map(|e| e.event).collect();
                // Content hashes too: a record that comes again in the other encoding is the same record.
                assert_eq!(found, expected);
            }
        }
        // Sent among events, a JSON export is known by its first key.
        let found: Vec<_> = read(&json, BodyOptions::default()).into_iter().map(|e| e.event).collect();
        assert_eq!(found, expected);
    }
}

/// The call of the span and of the log is one call: whichever comes second is a duplicate.
#[test]
fn span_and_log_of_one_call_have_one_id() {
    let first = |file: &str, signal| read(&sample(file), at(signal, "application/json")).remove(0).event.unwrap();
    let (span, log) = (first("traces.json", Signal::Traces), first("logs.json", Signal::Logs));
    assert_eq!(span.id(), log.id());
    assert_ne!(span.content(), log.content());
}

// ── bodies ──

const A: &str = r#"{"id":"a","ts":"2026-03-02T00:00:07Z","type":"request"}"#;
const B: &str = r#"{"id":"b","ts":"2026-03-02T00:00:07Z","type":"request"}"#;

#[test]
fn the_shape_of_a_body_is_told_by_the_body() {
    let pretty = A.replace(',', ",\n  ");
    let cases: Vec<(String, &[&str], &[u64])> = vec![
        (String::new(), &[], &[]),
        (" \n".into(), &[], &[]),
        ("[]".into(), &[], &[]),
        (A.into(), &["a"], &[1]),
        (format!("\u{feff}\n{A}\n"), &["a"], &[2]),
        (format!("{A}\n{B}"), &["a", "b"], &[1, 2]),
        (format!("{A}\r\n\r\n{B}\r\n"), &["a", "b"], &[1, 3]),
        (format!("[{A},\n{B}]"), &["a", "b"], &[1, 2]),
        (pretty.clone(), &["a"], &[1]),
        (format!("[\n{pretty},\n{B}\n]\n"), &["a", "b"], &[2, 5]),
        // A damaged line costs no other.
        (format!("{A}\n{{\"id\":\n{B}"), &["a", "syntax", "b"], &[1, 2, 3]),
        (format!("{{\"id\":\n{A}"), &["syntax", "a"], &[1, 2]),
        (format!("nonsense\n{A}"), &["syntax", "a"], &[1, 2]),
        (format!("{A} x\n{B}"), &["trailing_data", "b"], &[1, 2]),
        (format!("{A}{B}"), &["trailing_data"], &[1]),
        // An array that breaks off gives what was whole, and says so.
        (format!("[{A},\n{B}"), &["a", "b", "syntax"], &[1, 2, 2]),
        (format!("[{A} {B}]"), &["a", "syntax"], &[1, 1]),
        (format!("[{A},]"), &["a", "syntax"], &[1, 1]),
        (format!("[,{A}]"), &["syntax"], &[1]),
        (format!("[{A}]\n[{B}]"), &["a", "syntax"], &[1, 2]),
        ("[1,\"x\",[2]]".into(), &["not_an_object"; 3], &[1, 1, 1]),
        (format!("{{\"records\":[{A},{B}]}}"), &["a", "b"], &[1, 1]),
        (format!("{{\"records\":[{A}]}}\n{B}"), &["a", "b"], &[1, 2]),
        ("{\"records\":5}".into(), &["missing_field"], &[1]),
        ("{\"resourceMetrics\":[]}".into(), &["not_usage"], &[1]),
        ("{\"resourceLogs\":[5]}".into(), &["syntax"], &[1]),
        ("{\"resourceSpans\":null}".into(), &[], &[]),
    ];
    for (body, expected, lines) in cases {
        assert_eq!(words(body.as_bytes()), expected, "{body}");
        let found = read(body.as_bytes(), BodyOptions::default());
        assert_eq!(found.iter().map(|e| e.line).collect::<Vec<_>>(), lines, "{body}");
        assert!(found.iter().map(|e| e.index).eq(0..found.len() as u64));
    }
}

/// LiteLLM sends lines as `application/json`; nothing else is expected of a content type either.
#[test]
fn content_types_decide_between_protobuf_and_text_alone() {
    let array = std::fs::read(data("feed/litellm.json")).unwrap();
    let items: Vec<serde_json::Value> = serde_json::from_slice(&array).unwrap();
    let lines = items.iter().map(|item| format!("{item}\n")).collect::<String>();
    for kind in ["application/json", "application/x-ndjson", "text/plain", "application/octet-stream", ""] {
        for body in [&array[..], lines.as_bytes()] {
            let found = read(body, at(Signal::Events, kind));
            assert_eq!(found.len(), 3, "{kind}");
            assert!(found.iter().all(|entry| get(entry.event.as_ref().unwrap(), "source") == Value::Text("litellm")));
        }
    }
    let error = entries(b"", at(Signal::Events, "Application/X-Protobuf")).unwrap_err();
    assert_eq!((error.status(), error.to_string().contains("/v1/logs")), (415, true));
}

#[test]
fn a_named_mapping_reads_every_record() {
    let mapping = Mapping::parse(
        "name: t\nfields: {id: {from: i, derive: true}, ts: {from: t, time: millis}, type: {value: request}}",
        "t",
    )
    .unwrap();
    let options = BodyOptions { mapping: Some(&mapping), ..BodyOptions::default() };
    let carried =
        r#"{"specversion":"1.0","id":"7","source":"/s","type":"x","time":"2026-03-02T00:00:00Z","data":{"t":null}}"#;
    let body = format!("{{\"i\":\"x\",\"t\":1}}\n{carried}\n{{\"t\":2}}\n{{\"t\":2}}\n{A}");
    let found = read(body.as_bytes(), options);
    let ids: Vec<_> = found.iter().map(|e| e.event.as_ref().map_or("-", |event| event.id())).collect();
    // Without an id the bytes name the record: the same bytes are the same record.
    assert_eq!((ids[0], ids[1], ids[2].len(), ids[3], ids[4]), ("x", "/s#7", 32, ids[2], "-"));
    assert_eq!(found[1].event.as_ref().unwrap().ts().0, 1_772_409_600_000_000_000);
}

#[test]
fn envelopes_that_carry_nothing_say_what_they_should() {
    let envelope = |rest: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"x"{rest}}}"#);
    for (body, expected) in [
        (envelope(""), "missing_field: the CloudEvent carries nothing"),
        (envelope(r#","data":null"#), "missing_field: the CloudEvent carries nothing"),
        (envelope(r#","data":[1]"#), "not_an_object: "),
        (envelope(r#","data":"no json""#), "not_an_object: "),
        (envelope(r#","data":{}"#), "missing_field: `ts` is missing"),
        (envelope(r#","data":{"type":"request"},"time":"soon""#), "bad_value: `ts`"),
        (envelope(r#","data_base64":"%%""#), "bad_value: `data_base64` is no base64"),
        (envelope(r#","data_base64":"/w==""#), "bad_value: `data_base64` holds bytes that are not UTF-8"),
        (envelope(r#","data":{"id":1,"id":2}"#), "duplicate_key: "),
        (envelope("").replace("1.0", "2.0"), "bad_value: `specversion` should be \"1.0\", but has the shape `9.9`"),
        (r#"{"specversion":"1.0","id":"1"}"#.to_owned(), "missing_field: "),
    ] {
        let reject = read(body.as_bytes(), BodyOptions::default()).remove(0).event.unwrap_err().to_string();
        assert!(reject.starts_with(expected), "{body}: {reject}");
    }
}

#[test]
fn compression_is_named_or_recognised_and_bounded() {
    let plain = A.as_bytes();
    let (gz, zst) = (gzip(plain), zstd::encode_all(plain, 3).unwrap());
    for (bytes, encoding) in [
        (&gz, None),
        (&gz, Some("gzip")),
        (&gz, Some("X-GZIP")),
        (&gz, Some("identity, gzip")),
        (&zst, None),
        (&zst, Some("zstd")),
        (&plain.to_vec(), Some("identity")),
    ] {
        assert_eq!(&*inflate(bytes, encoding, BODY_BYTES_MAX).unwrap(), plain, "{encoding:?}");
    }
    let bomb = gzip(&vec![b' '; BODY_BYTES_MAX + 1]);
    assert!(bomb.len() < 200_000);
    let zstd_bomb = zstd::encode_all(&vec![b' '; BODY_BYTES_MAX + 1][..], 1).unwrap();
    let wide = {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(WINDOW_LOG_MAX + 1).unwrap();
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let cut = &gz[..gz.len() - 9];
    for (bytes, encoding, bytes_max, status) in [
        (&bomb[..], None, BODY_BYTES_MAX, 413),
        (&bomb, Some("gzip"), BODY_BYTES_MAX, 413),
        (&zstd_bomb, None, BODY_BYTES_MAX, 413),
        (plain, None, plain.len() - 1, 413),
        (&gz, None, plain.len() - 1, 413),
        (cut, None, BODY_BYTES_MAX, 400),
        (plain, Some("gzip"), BODY_BYTES_MAX, 400),
        (plain, Some("zstd"), BODY_BYTES_MAX, 400),
        (&wide, None, BODY_BYTES_MAX, 400),
        (plain, Some("br"), BODY_BYTES_MAX, 415),
        (&gz, Some("gzip, gzip"), BODY_BYTES_MAX, 415),
    ] {
        let error = inflate(bytes, encoding, bytes_max).map(|_| ()).unwrap_err();
        assert_eq!(error.status(), status, "{encoding:?}: {error}");
    }
    assert_eq!(&*inflate(&gz, None, plain.len()).unwrap(), plain);
}

#[test]
fn answers_count_what_was_taken_in_and_say_why_the_rest_was_not() {
    let mut body = format!("{A}\n{{\"resourceMetrics\":[]}}\n{B}\n");
    body.push_str(&"{}\n".repeat(SAMPLES_MAX + 1));
    let mut tally = Tally::default();
    read(body.as_bytes(), BodyOptions::default()).iter().for_each(|entry| tally.add(entry));
    assert_eq!((tally.accepted, tally.passed_over, tally.rejected()), (2, 1, SAMPLES_MAX as u64 + 1));
    assert_eq!((tally.samples.len(), tally.samples[0].line, tally.samples[0].index), (SAMPLES_MAX, 4, 3));
    let expected = "11 records were rejected: missing_field 11; the first is record 3: missing_field: `id` is missing";
    assert!(tally.message().starts_with(expected), "{}", tally.message());
    for (signal, key) in [(Signal::Logs, "rejectedLogRecords"), (Signal::Traces, "rejectedSpans")] {
        let json: serde_json::Value = serde_json::from_slice(&response(signal, Encoding::Json, &tally)).unwrap();
        assert_eq!(json["partialSuccess"][key], "11");
        assert_eq!(json["partialSuccess"]["errorMessage"], tally.message());
        assert_eq!(response(signal, Encoding::Json, &Tally::default()), b"{}");
        assert_eq!(response(signal, Encoding::Protobuf, &Tally::default()), b"");
    }
    let logs = ExportLogsServiceResponse::decode(&*response(Signal::Logs, Encoding::Protobuf, &tally)).unwrap();
    let traces = ExportTraceServiceResponse::decode(&*response(Signal::Traces, Encoding::Protobuf, &tally)).unwrap();
    let (logs, traces) = (logs.partial_success.unwrap(), traces.partial_success.unwrap());
    assert_eq!((logs.rejected_log_records, traces.rejected_spans), (11, 11));
    assert_eq!((logs.error_message, traces.error_message), (tally.message(), tally.message()));
}

// ── OTLP that is damaged or hostile ──

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn call(id: &str) -> LogRecord {
    let attributes = vec![text("gen_ai.request.model", "m"), text("gen_ai.response.id", id)];
    LogRecord { time_unix_nano: 1, attributes, ..LogRecord::default() }
}

fn export(log_records: Vec<LogRecord>, resource: Vec<KeyValue>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }] }
}

fn nested(depth: usize) -> AnyValue {
    (0..depth).fold(AnyValue::default(), |inner, _| {
        let values = vec![inner];
        AnyValue {
            value: Some(any_value::Value::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue { values })),
        }
    })
}

#[test]
fn a_damaged_record_is_rejected_alone() {
    let protobuf = at(Signal::Logs, "application/x-protobuf");
    let mut records = vec![call("a"), call("b"), call("c"), call("d"), call("e")];
    records[1].attributes.push(text("gen_ai.request.model", "n"));
    records[2].attributes.push(text("x", &"y".repeat(EVENT_BYTES_MAX)));
    records[3].attributes.push(KeyValue { key: "deep".into(), value: Some(nested(80)), ..KeyValue::default() });
    let found = read(&export(records, vec![]).encode_to_vec(), protobuf);
    let words: Vec<_> = found.iter().map(|e| e.event.as_ref().map_or_else(|r| r.reason.word(), |e| e.id())).collect();
    assert_eq!(words, ["a", "duplicate_key", "too_long", "syntax", "e"]);
    // A text that is not UTF-8.
    let mut bytes = export(vec![call("a"), call("QQQQ"), call("c")], vec![]).encode_to_vec();
    let place = bytes.windows(4).position(|w| w == b"QQQQ").unwrap();
    bytes[place] = 0xff;
    let found = read(&bytes, protobuf);
    let words: Vec<_> = found.iter().map(|e| e.event.as_ref().map_or_else(|r| r.reason.word(), |e| e.id())).collect();
    assert_eq!(words, ["a", "syntax", "c"]);
    // A resource that is too long to be repeated by each of its records.
    let found = read(
        &export(vec![call("a"), call("b")], vec![text("r", &"x".repeat(RESOURCE_BYTES_MAX))]).encode_to_vec(),
        protobuf,
    );
    assert!(found.iter().all(|e| e.event.as_ref().unwrap_err().reason == RejectReason::TooLong), "{found:?}");
    let json = at(Signal::Logs, "application/json");
    let record = |rest: &str| {
        format!(
            r#"{{"timeUnixNano":"1","attributes":[{{"key":"gen_ai.request.model","value":{{"stringValue":"m"}}}}]{rest}}}"#
        )
    };
    let body = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{},{},{},5]}}]}}]}}"#,
        record(""),
        record(r#","traceId":"secret words""#),
        record(r#","severityNumber":"secret words""#)
    );
    let found = read(body.as_bytes(), json);
    let words: Vec<_> = found.iter().map(|e| e.event.as_ref().map_or_else(|r| r.reason.word(), |_| "taken")).collect();
    assert_eq!(words, ["taken", "wrong_type", "wrong_type", "wrong_type"]);
    assert!(
        found.iter().filter_map(|e| e.event.as_ref().err()).all(|r| !r.to_string().contains("secret")),
        "{found:?}"
    );
}

#[test]
fn a_damaged_request_is_refused_as_a_whole() {
    let bytes = export(vec![call("a"), call("b")], vec![text("r", "x")]).encode_to_vec();
    for cut in 1..bytes.len() {
        let error = entries(&bytes[..cut], at(Signal::Logs, "application/x-protobuf")).map(|_| ()).unwrap_err();
        assert_eq!(error.status(), 400, "{cut}: {error}");
    }
    let logs = at(Signal::Logs, "application/json");
    for (body, options, expected) in [
        ("{", logs, "expected a key in quotes"),
        ("[]", logs, "expected `{`"),
        ("{\"resourceLogs\":{}}", logs, "expected `[`"),
        ("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{},{]}]}]}", logs, "expected a key in quotes"),
        ("{\"resourceLogs\":[],\"resourceLogs\":[]}", logs, "stands twice"),
        ("{\"resourceSpans\":[]}", logs, "spans are read at /v1/traces"),
        ("{\"resourceLogs\":[]}", at(Signal::Traces, "application/json"), "logs are read at /v1/logs"),
        ("{\"resourceMetrics\":[]}", logs, "metrics"),
        ("\u{7f}", at(Signal::Logs, "application/x-protobuf"), "no OTLP request"),
    ] {
        let error = entries(body.as_bytes(), options).map(|_| ()).unwrap_err();
        assert_eq!(error.status(), 400);
        assert!(error.to_string().contains(expected), "{body}: {error}");
    }
    assert_eq!(entries(b"{}", logs).unwrap().count(), 0);
    assert_eq!(entries(b"", at(Signal::Logs, "application/x-protobuf")).unwrap().count(), 0);
}

#[test]
fn a_request_holds_a_bounded_number_of_records() {
    let full = export(vec![LogRecord::default(); BATCH_RECORDS_MAX], vec![]).encode_to_vec();
    let protobuf = at(Signal::Logs, "application/x-protobuf");
    assert_eq!(entries(&full, protobuf).unwrap().count(), BATCH_RECORDS_MAX);
    let more = export(vec![LogRecord::default(); BATCH_RECORDS_MAX + 1], vec![]).encode_to_vec();
    assert_eq!(entries(&more, protobuf).map(|_| ()).unwrap_err(), BodyError::TooMany);
    let list =
        |n: usize| format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}{{}}]}}]}}]}}"#, "{},".repeat(n));
    assert_eq!(entries(list(9).as_bytes(), at(Signal::Logs, "application/json")).unwrap().count(), 10);
    let error =
        entries(list(BATCH_RECORDS_MAX).as_bytes(), at(Signal::Logs, "application/json")).map(|_| ()).unwrap_err();
    assert_eq!(error.status(), 400, "{error}");
    let records = format!("{{\"records\":[{}{{}}]}}", "{},".repeat(BATCH_RECORDS_MAX));
    assert_eq!(words(records.as_bytes()), ["syntax"]);
}

// ── the language of mappings ──

#[test]
fn mappings_unpack_choose_and_pass_over() {
    let mapping = Mapping::parse(
        concat!(
            "name: t\n",
            "missing: ['-', none]\n",
            "unpack: [outer, outer.inner, twice, broken]\n",
            "only: [outer.kind, {from: sort, is: [call, '7']}]\n",
            "except: [{from: outer.kind, is: [agent]}]\n",
            "fields:\n",
            "  id: {from: i, derive: true}\n",
            "  ts: {from: t, time: micros}\n",
            "  type: {value: completion}\n",
            "  account: ['people[role=owner].name', 'people[0].name']\n",
            "  user: 'people[last role=user].name'\n",
            "  org: outer.inner.org\n",
            "  plan: twice.plan\n",
            "  session: outer.dash\n",
            "  ip: {from: ip, as: ip}\n",
            "  latency_ms: {from: took, unit: micros}\n",
            "  api_key_id: {from: key, hash: keyed}\n",
            "  prompt: {from: [broken.text, broken], messages: {role: user, which: last}}\n",
            "  tools: {from: tools, items: count, map: {'2': 9}}\n",
        ),
        "t",
    )
    .unwrap();
    let decode = |record: &str| mapping.decode(record.as_bytes()).map(UsageEvent::into_owned);
    let people = r#""people":[{"role":"user","name":"u1"},{"role":"owner","name":"o"},{"role":"user","name":"u2"}]"#;
    let record = format!(
        r#"{{"i":"x","t":1000001,{people},"outer":"{{\"kind\":\"chat\",\"dash\":\"-\",\"inner\":\"{{\\\"org\\\":\\\"q\\\"}}\"}}","twice":"\"{{\\\"plan\\\":\\\"pro\\\"}}\"","broken":"{{\"text\":","ip":"203.0.113.7:80","took":1500,"key":"sk","tools":[1,2]}}"#
    );
    let event = decode(&record).unwrap();
    assert_eq!((event.id(), event.ts().0), ("x", 1_000_001_000));
    let texts = ["account", "user", "org", "plan", "prompt"].map(|key| get(&event, key));
    assert_eq!(texts, ["o", "u2", "q", "pro", "{\"text\":"].map(Value::Text));
    assert_eq!((get(&event, "session"), get(&event, "tools")), (Value::Unknown, Value::Num(9)));
    assert_eq!(
        (get(&event, "ip"), get(&event, "latency_ms")),
        (Value::Ip("203.0.113.7".parse().unwrap()), Value::Num(1_500_000))
    );
    let keyed = |key| match mapping.clone().with_key(key).decode(record.as_bytes()).unwrap().get(FieldId::KEY) {
        Value::Text(text) => text.to_owned(),
        other => panic!("{other:?}"),
    };
    assert!(mapping.needs_key());
    let (public, own) = (keyed(FingerprintKey::PUBLIC), keyed(FingerprintKey::new([7; 16], 1)));
    assert_eq!((public.len(), own.len()), (16, 16));
    assert_ne!(public, own);
    for ip in ["[2001:db8::7]:80", "2001:db8::7", "[2001:db8::7]"] {
        let event = decode(&record.replace("203.0.113.7:80", ip)).unwrap();
        assert_eq!(get(&event, "ip"), Value::Ip("2001:db8::7".parse().unwrap()), "{ip}");
    }
    for ip in ["203.0.113.*", "20.51.x.x", "host.example", "/tmp/socket", "-", "", "999.1.1.1"] {
        assert_eq!(get(&decode(&record.replace("203.0.113.7:80", ip)).unwrap(), "ip"), Value::Unknown, "{ip}");
    }
    for (outside, reason) in [
        (r#"{"i":"x","t":1,"sort":"other"}"#, RejectReason::NotUsage),
        (r#"{"i":"x","t":1,"sort":"-"}"#, RejectReason::NotUsage),
        (r#"{"i":"x","t":1,"outer":{"kind":"agent"},"sort":"call"}"#, RejectReason::NotUsage),
        (r#"{"i":"x","t":1}"#, RejectReason::NotUsage),
        (r#"{"i":"x","sort":7}"#, RejectReason::MissingField),
    ] {
        assert_eq!(decode(outside).unwrap_err().reason, reason, "{outside}");
    }
}

#[test]
fn wrong_mappings_say_what_to_write() {
    let whole = |rest: &str| format!("name: t\nfields: {{id: i, ts: t, type: k}}\n{rest}");
    let fields = |rest: &str| format!("name: t\nfields:\n  ts: t\n  type: k\n{rest}");
    let paths = (0..=UNPACK_PATHS_MAX).map(|n| format!("p{n}")).collect::<Vec<_>>().join(", ");
    for (text, expected) in [
        (whole("only: category"), "at `only`: expected a list of paths, or of objects such as"),
        (whole("only: [{is: [a]}]"), "at `only`: expected `from`"),
        (whole("except: [{from: a, was: b}]"), "at `except`: unknown key `was`; allowed are from, is"),
        (whole("missing: '-'"), "at `missing`: expected a list of texts"),
        (whole("unpack: [a..b]"), "at `unpack`: `a..b` is no path"),
        (whole(&format!("unpack: [{paths}]")), "at `unpack`: there are more than 16 paths"),
        (whole("envelope: cloudevents"), "at `envelope`: what is in the envelope is read by a mapping of its own"),
        ("name: t\nenvelope: mail".into(), "at `envelope`: expected one of `cloudevents`"),
        (fields("  id: {from: i, derive: maybe}"), "at `fields.id.derive`: expected `true` or `false`"),
        (fields("  id: i\n  org: {from: o, derive: true}"), "at `fields.org`: unknown key `derive`"),
        (fields("  id: i\n  org: {from: o, hash: salted}"), "expected `true`, `false` or `keyed`"),
        (fields("  id: i\n  ip: {from: o, as: address}"), "expected one of `number`, `bool`, `text`, `ip`"),
        (fields("  id: i\n  org: 'a[=x]'"), "is no path"),
        (fields("  id: i\n  org: 'a[last x]'"), "is no path"),
    ] {
        let error = Mapping::parse(&text, "t.yaml").expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
    let reject = Mapping::parse("name: t\nfields: {id: i, ts: t, type: k, asn: 'l[last a=b].c'}", "t").unwrap();
    let reject =
        reject.decode(br#"{"i":"x","t":"2026-03-02T00:00:07Z","k":"request","l":[{"a":"b","c":"d"}]}"#).unwrap_err();
    assert!(reject.to_string().ends_with("(from `l[last a=b].c`)"), "{reject}");
}

/// What a caller writes is no reason to refuse a record, or a wrong type would hide the call.
#[test]
fn a_parameter_of_a_wrong_type_is_unknown_and_marked_and_hides_no_call() {
    let mapping = Mapping::shipped("litellm").unwrap();
    let record = |parameters: &str, tokens: &str| {
        format!(
            r#"{{"id":"a","litellm_call_id":"c","call_type":"acompletion","startTime":1.5,"model_group":"m",
                "metadata":{{"user_api_key_user_id":"u"}},"model_parameters":{parameters},"prompt_tokens":{tokens}}}"#
        )
    };
    let fine = record(r#"{"temperature":0.5,"n":2}"#, "7");
    let event = mapping.decode(fine.as_bytes()).unwrap();
    assert_eq!((event.unknown_keys(), event.has(FieldId::HEADER_FLAGS)), (0, false));
    for (parameters, wrong) in [
        (r#"{"temperature":"hot","n":2}"#, 1),
        (r#"{"temperature":{"a":1},"n":[1],"seed":"x","max_tokens":1.5}"#, 4),
        (r#"{"stream":"perhaps","logprobs":7}"#, 2),
    ] {
        let bytes = record(parameters, "7");
        let event = mapping.decode(bytes.as_bytes()).unwrap_or_else(|e| panic!("{parameters}: {e}"));
        assert_eq!(event.unknown_keys(), wrong, "{parameters}");
        assert!(
            matches!(event.get(FieldId::HEADER_FLAGS), Value::Texts([one]) if one == UNREADABLE_FIELD),
            "{parameters}"
        );
        assert!(!event.has(FieldId::TEMPERATURE));
        assert_eq!(event.get(FieldId::INPUT_TOKENS), Value::Num(7), "the rest is there");
    }
    // What the gateway writes is still a reason.
    assert!(mapping.decode(record("{}", r#""many""#).as_bytes()).is_err());
}
