use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use fineprint::event::decode::{Decoder, EVENT_BYTES_MAX, RejectReason};
use fineprint::event::{FieldId, Kind, UsageEvent, fields};
use fineprint::feed::{
    ColumnRef, EventReader, Feed, FileError, Format, Input, ListFile, Mapping, MappingError, Position, Resume,
    TableFile, detect, inputs, read_accounts, read_list, read_table, shipped_mappings,
};
use fineprint::reference::{Cell, ListData, Row, TableData, TableError, TableRow, account_columns};
use fineprint::template::FingerprintKey;
use fineprint::time::Timestamp;
use fineprint::value::{Type, Value};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::golden::data;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).or_else(|| Timestamp::parse_date(text)).unwrap()
}

fn file(dir: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn column(name: &str) -> ColumnRef {
    ColumnRef::Heading(name.to_owned())
}

fn list_file(path: PathBuf, ty: Type) -> ListFile {
    ListFile { path, ty, column: None, valid: None, key: FingerprintKey::PUBLIC }
}

fn list(ty: Type, values: &[&str]) -> ListData {
    let rows = values.iter().map(|value| Row { value: (*value).to_owned(), from: None, to: None });
    ListData::build(ty, rows.collect()).unwrap()
}

fn ip(text: &str) -> Value<'static> {
    Value::Ip(text.parse().unwrap())
}

// ── reference ──

#[test]
fn lists_hold_values_of_their_type() {
    let now = Timestamp(0);
    let cases: &[(Type, &[&str], &[Value<'_>], &[Value<'_>])] = &[
        (
            Type::Country,
            &["de", " FR "],
            &[Value::Text("DE"), Value::Text("FR")],
            &[Value::Text("de"), Value::Text("IT")],
        ),
        (Type::String, &["a b"], &[Value::Text("a b")], &[Value::Text("a"), Value::Unknown, Value::Num(0)]),
        (Type::Integer, &["5", "-7"], &[Value::Num(5), Value::Num(-7)], &[Value::Num(7)]),
        (Type::Percentage, &["12.5%", "0.5"], &[Value::Num(125_000), Value::Num(500_000)], &[Value::Num(12)]),
        (Type::Money, &["$1.5", "2"], &[Value::Num(1_500_000), Value::Num(2_000_000)], &[]),
        (Type::Duration, &["24h"], &[Value::Num(86_400_000_000_000)], &[]),
        (Type::Timestamp, &["1970-01-02"], &[Value::Num(86_400_000_000_000)], &[]),
        (Type::Bool, &["true"], &[Value::Bool(true)], &[Value::Bool(false)]),
        (
            Type::Ip,
            &["192.0.2.1", "2001:db8::1"],
            &[ip("192.0.2.1"), ip("::ffff:192.0.2.1"), ip("2001:db8::1")],
            &[ip("192.0.2.2"), ip("::1")],
        ),
        (
            Type::Cidr,
            &[
                "192.0.2.0/25",
                "192.0.2.128/25",
                "10.1.2.3/8",
                "2001:db8::/32",
                "203.0.113.9",
                "::ffff:198.51.100.0/120",
            ],
            &[
                ip("192.0.2.0"),
                ip("192.0.2.255"),
                ip("10.255.0.1"),
                ip("2001:db8:ffff::1"),
                ip("203.0.113.9"),
                ip("198.51.100.77"),
                Value::Net("192.0.2.0/24".parse().unwrap()),
            ],
            &[
                ip("192.0.3.0"),
                ip("192.0.1.255"),
                ip("203.0.113.8"),
                ip("2001:db9::"),
                Value::Net("192.0.2.0/23".parse().unwrap()),
                Value::Text("10.0.0.1"),
            ],
        ),
    ];
    for (ty, rows, inside, outside) in cases {
        let list = list(ty.clone(), rows);
        inside.iter().for_each(|value| assert!(list.contains(value, now), "{value:?} in {rows:?}"));
        outside.iter().for_each(|value| assert!(!list.contains(value, now), "{value:?} not in {rows:?}"));
        assert!(!list.has_validity());
    }
    let texts = list(Type::String, &["b", "a"]);
    assert_eq!(texts.texts().collect::<Vec<_>>(), ["a", "b"]);
    assert!(texts.contains(&Value::Texts(&["x".into(), "a".into()]), now));
    assert_eq!(list(Type::Cidr, &["10.0.0.0/8"]).networks().map(|n| n.to_string()).collect::<Vec<_>>(), ["10.0.0.0/8"]);
    assert!(ListData::empty(Type::Cidr).is_empty());
}

#[test]
fn rows_with_dates_count_from_their_first_moment_up_to_their_last() {
    for (ty, value, found) in [
        (Type::Country, "RU", Value::Text("RU")),
        (Type::Integer, "7", Value::Num(7)),
        (Type::Cidr, "192.0.2.0/24", ip("192.0.2.9")),
        (Type::Cidr, "2001:db8::/48", ip("2001:db8::9")),
    ] {
        let row =
            |from: Option<&str>, to: Option<&str>| Row { value: value.into(), from: from.map(at), to: to.map(at) };
        let list =
            ListData::build(ty, vec![row(Some("2026-01-01"), Some("2026-02-01")), row(Some("2026-03-01"), None)])
                .unwrap();
        assert!(list.has_validity());
        for (moment, expected) in [
            ("2025-12-31T23:59:59.999999999Z", false),
            ("2026-01-01", true),
            ("2026-01-31T23:59:59.999999999Z", true),
            ("2026-02-01", false),
            ("2026-03-01", true),
            ("2200-01-01", true),
        ] {
            assert_eq!(list.contains(&found, at(moment)), expected, "{value} at {moment}");
        }
    }
    let never = Row { value: "x".into(), from: Some(at("2026-02-01")), to: Some(at("2026-02-01")) };
    let error = ListData::build(Type::String, vec![never]).unwrap_err();
    assert!(error.to_string().contains("which is never"), "{error}");
}

#[test]
fn hashes_follow_content_not_order() {
    let a = list(Type::Country, &["DE", "fr"]);
    assert_eq!(a.hash(), list(Type::Country, &["FR", "DE", "de"]).hash());
    assert_ne!(a.hash(), list(Type::Country, &["FR"]).hash());
    assert_ne!(a.hash(), list(Type::String, &["DE", "FR"]).hash());
    assert_eq!(list(Type::Cidr, &["10.0.0.1/8"]).hash(), list(Type::Cidr, &["10.0.0.0/8"]).hash());
    let columns = || vec![(Box::from("plan"), Type::String)];
    let row = |key: &str, plan: &str| TableRow {
        key: key.into(),
        cells: vec![Cell::Text(plan.into())],
        ..TableRow::default()
    };
    let table = |rows: Vec<TableRow>| TableData::build(columns(), rows).unwrap().hash();
    assert_eq!(table(vec![row("a", "x"), row("b", "y")]), table(vec![row("b", "y"), row("a", "x")]));
    assert_ne!(table(vec![row("a", "x"), row("b", "y")]), table(vec![row("a", "y"), row("b", "x")]));
}

#[test]
fn tables_give_the_row_that_began_last() {
    let columns = vec![(Box::from("share"), Type::Percentage), (Box::from("note"), Type::String)];
    let row = |from: Option<&str>, share: &str| TableRow {
        key: "acme".into(),
        from: from.map(at),
        to: None,
        cells: vec![Cell::parse(&Type::Percentage, share).unwrap()],
    };
    let table = TableData::build(columns.clone(), vec![row(Some("2026-01-01"), "60%"), row(None, "10%")]).unwrap();
    assert_eq!(table.column("acme", 0, at("2025-06-01")), Value::Num(100_000));
    assert_eq!(table.column("acme", 0, at("2026-01-01")), Value::Num(600_000));
    assert_eq!(table.column("acme", 1, at("2026-01-01")), Value::Unknown);
    assert_eq!(table.column("acme", 9, at("2026-01-01")), Value::Unknown);
    assert_eq!(table.column("other", 0, at("2026-01-01")), Value::Unknown);
    assert_eq!((table.column_number("note"), table.column_number("x"), table.len()), (Some(1), None, 2));
    let twice = TableData::build(columns, vec![row(None, "1%"), row(None, "2%")]).unwrap_err();
    assert_eq!(twice, TableError::Twice { row: 1, first: 0, key: "acme".into() });
}

// ── lists from files ──

#[test]
fn list_files_of_every_kind_say_the_same() {
    let dir = TempDir::new().unwrap();
    let plain = |name: &str, content: &str| list_file(file(&dir, name, content), Type::Country);
    let heading = |name: &str, content: &str, c: ColumnRef| ListFile { column: Some(c), ..plain(name, content) };
    let expected = list(Type::Country, &["DE", "FR"]).hash();
    let cases = [
        plain("a.txt", "# who\nDE\n\n  fr  \r\n"),
        plain("bom.txt", "\u{feff}DE\nFR"),
        plain("a.csv", "DE\nFR\n"),
        plain("headed.csv", "country,name\nDE,Germany\nFR,France\n"),
        plain("comment.csv", "# source: us\nDE,Germany\n\n\"FR\",\"France, the\"\n"),
        heading("second.csv", "1,DE\n2,FR\n", ColumnRef::Number(2)),
        heading("second_headed.csv", "n,country\n1,DE\n2,FR\n", ColumnRef::Number(2)),
        heading("named.csv", "n,where\r\n1,DE\r\n2,FR\r\n", column("where")),
        plain("a.jsonl", "\"DE\"\n\n\"FR\"\n"),
        plain("only.jsonl", "{\"c\":\"DE\"}\n{\"c\":\"FR\"}\n"),
        plain("value.jsonl", "{\"value\":\"DE\",\"n\":1}\n{\"value\":\"FR\",\"n\":2}\n"),
        heading("key.jsonl", "{\"c\":\"DE\",\"n\":1}\n{\"n\":2,\"c\":\"FR\"}\n", column("c")),
    ];
    for case in cases {
        let list = read_list(&case).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(list.hash(), expected, "{}", case.path.display());
    }
}

#[test]
fn columns_of_validity_are_read_from_csv_and_json_lines() {
    let dir = TempDir::new().unwrap();
    let number = |n| ColumnRef::Number(n);
    let csv = file(&dir, "a.csv", "country,from,to\nRU,2022-03-01,\nHK,,2026-01-01T00:00:00Z\nDE\n");
    let jsonl = file(
        &dir,
        "a.jsonl",
        "{\"country\":\"RU\",\"from\":\"2022-03-01\"}\n{\"country\":\"HK\",\"to\":\"2026-01-01\"}\n{\"country\":\"DE\",\"from\":null}\n",
    );
    let by_name = Some((column("from"), column("to")));
    let lists = [
        ListFile { valid: Some((number(2), number(3))), ..list_file(csv.clone(), Type::Country) },
        ListFile { column: Some(column("country")), valid: by_name.clone(), ..list_file(csv, Type::Country) },
        ListFile { column: Some(column("country")), valid: by_name, ..list_file(jsonl, Type::Country) },
    ];
    for case in lists {
        let list = read_list(&case).unwrap_or_else(|error| panic!("{error}"));
        let holds = |country: &'static str, moment: &str| list.contains(&Value::Text(country), at(moment));
        assert!(
            !holds("RU", "2022-02-28")
                && holds("RU", "2022-03-01")
                && holds("HK", "2025-12-31")
                && !holds("HK", "2026-01-01")
        );
        assert!(holds("DE", "1999-01-01"));
    }
}

#[test]
fn wrong_list_files_name_the_line_and_what_to_write() {
    let dir = TempDir::new().unwrap();
    let plain = |name: &str, content: &[u8], ty: Type| list_file(file(&dir, name, content), ty);
    let cases: Vec<(ListFile, Option<u64>, &str)> = vec![
        (list_file(dir.path().join("none.txt"), Type::Country), None, "cannot open"),
        (plain("a.xlsx", b"", Type::Country), None, "a list ends in .txt"),
        (
            plain("a.txt", b"DE\n\nGermany\n", Type::Country),
            Some(3),
            "expected a country, found `Germany`: write two letters, such as `DE`",
        ),
        (plain("b.txt", b"10.0.0.0/8\n10.0.0.0/33\n", Type::Cidr), Some(2), "expected a network, found `10.0.0.0/33`"),
        (plain("c.txt", b"12.34567%\n", Type::Percentage), Some(1), "expected a percentage"),
        (plain("d.txt", b"a\n\xff\n", Type::String), Some(2), "not UTF-8"),
        (
            ListFile { column: Some(ColumnRef::Number(1)), ..plain("e.txt", b"a\n", Type::String) },
            Some(1),
            "a .txt list has no column 1",
        ),
        (
            ListFile { column: Some(ColumnRef::Number(3)), ..plain("f.csv", b"a,b\n", Type::String) },
            Some(1),
            "there is no column 3; the first line has 2",
        ),
        (
            ListFile { column: Some(column("z")), ..plain("g.csv", b"a,b\n", Type::String) },
            Some(1),
            "there is no column \"z\"",
        ),
        (
            ListFile { column: Some(ColumnRef::Number(2)), ..plain("h.csv", b"a,b\nc\n", Type::String) },
            Some(2),
            "expected at least 2 columns",
        ),
        (
            ListFile {
                valid: Some((ColumnRef::Number(2), ColumnRef::Number(3))),
                ..plain("i.csv", b"DE,,\nFR,soon,\n", Type::Country)
            },
            Some(2),
            "expected a date such as `2026-01-31`",
        ),
        (
            ListFile {
                valid: Some((ColumnRef::Number(2), ColumnRef::Number(3))),
                ..plain("j.csv", b"DE,2026-02-01,2026-01-01\n", Type::Country)
            },
            Some(1),
            "which is never",
        ),
        (plain("k.jsonl", b"\"DE\"\n{\"a\":1,\"a\":2}\n", Type::Country), Some(2), "stands twice"),
        (
            plain("l.jsonl", b"{\"a\":1,\"b\":2}\n", Type::Country),
            Some(1),
            "expected an object with a value in \"value\"",
        ),
        (
            ListFile { column: Some(ColumnRef::Number(1)), ..plain("m.jsonl", b"{\"a\":1}\n", Type::Country) },
            Some(1),
            "means nothing in JSON Lines",
        ),
    ];
    for (case, line, text) in cases {
        let error = read_list(&case).expect_err(text);
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.line(), line, "{error}");
    }
    assert!(matches!(read_list(&list_file(dir.path().join("x.txt"), Type::Ip)), Err(FileError::Missing { .. })));
}

#[test]
fn a_list_file_past_its_limit_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "a.txt", "");
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len((256 << 20) + 1).unwrap();
    assert!(matches!(read_list(&list_file(path, Type::String)), Err(FileError::TooLarge { .. })));
}

#[test]
fn tables_are_read_by_heading_or_key() {
    let dir = TempDir::new().unwrap();
    let csv = file(&dir, "a.csv", "org,share,since,tags\nacme,60%,2026-01-01,a|b\nzeta,,,\n");
    let jsonl = file(
        &dir,
        "a.jsonl",
        "{\"org\":\"acme\",\"share\":\"60%\",\"since\":\"2026-01-01\",\"tags\":[\"a\",\"b\"]}\n{\"org\":\"zeta\"}\n",
    );
    let columns = vec![(Box::from("share"), Type::Percentage), (Box::from("tags"), Type::List(Box::new(Type::String)))];
    let table = |path: PathBuf, key| {
        let valid = Some((column("since"), column("since_end")));
        let valid = if path.extension().unwrap() == "csv" { None } else { valid };
        read_table(&TableFile { path, key, key_type: Type::String, columns: columns.clone(), valid })
            .unwrap_or_else(|error| panic!("{error}"))
    };
    for table in [table(csv.clone(), None), table(jsonl, Some(column("org")))] {
        assert_eq!(table.column("acme", 0, at("2026-06-01")), Value::Num(600_000));
        assert_eq!(table.column("acme", 1, at("2026-06-01")), Value::Texts(&["a".into(), "b".into()]));
        assert_eq!(table.column("zeta", 0, at("2026-06-01")), Value::Unknown);
    }
    let wrong = TableFile {
        path: csv,
        key: None,
        key_type: Type::String,
        columns: vec![(Box::from("plan"), Type::String)],
        valid: None,
    };
    let error = read_table(&wrong).unwrap_err().to_string();
    assert!(error.contains("there is no column \"plan\""), "{error}");
}

/// The longest network around an address counts, of those whose row is valid then.
#[test]
fn tables_by_address_are_read() {
    let dir = TempDir::new().unwrap();
    let rows = "net,class,from,to\n10.0.0.0/8,wide,,\n10.1.0.0/16,narrow,,2026-03-01\n10.1.2.3,one,,\n\
                ::ffff:192.0.2.0/120,mapped,,\n2001:DB8::/32,six,,\n";
    let table = |rows: &str, key_type| {
        let columns = vec![(Box::from("class"), Type::String)];
        let valid = Some((column("from"), column("to")));
        read_table(&TableFile { path: file(&dir, "nets.csv", rows), key: None, key_type, columns, valid })
    };
    let found = table(rows, Type::Ip).unwrap();
    let class = |net: &str, moment: &str| {
        let net = net.parse().or_else(|_| net.parse().map(|ip: std::net::IpAddr| ip.into())).unwrap();
        found.find_network(net, at(moment)).map_or(Value::Unknown, |row| found.cell(row, 0))
    };
    for (net, moment, wanted) in [
        ("10.9.9.9", "2026-01-01", Some("wide")),
        ("10.1.9.9", "2026-01-01", Some("narrow")),
        ("10.1.9.9", "2026-03-01", Some("wide")),
        ("10.1.2.3", "2026-01-01", Some("one")),
        ("10.1.2.0/24", "2026-01-01", Some("narrow")),
        ("10.0.0.0/7", "2026-01-01", None),
        ("::ffff:10.1.2.3", "2026-01-01", Some("one")),
        ("192.0.2.9", "2026-01-01", Some("mapped")),
        ("2001:db8::1", "2026-01-01", Some("six")),
        ("2001:db9::1", "2026-01-01", None),
    ] {
        assert_eq!(class(net, moment), wanted.map_or(Value::Unknown, Value::Text), "{net} on {moment}");
    }
    let wrong = table("net,class,from,to\n10.0.0.0/8,a,,\nacme,b,,\n", Type::Cidr).unwrap_err();
    assert_eq!((wrong.line(), wrong.to_string().contains("`acme`")), (Some(3), true), "{wrong}");
    let twice = table("net,class,from,to\n10.0.0.0/8,a,,\n10.0.0.1/8,b,,\n", Type::Ip).unwrap_err();
    assert!(twice.to_string().contains("stands in line 2 already"), "{twice}");
}

#[test]
fn the_registry_of_accounts_is_read() {
    let dir = TempDir::new().unwrap();
    let path = file(
        &dir,
        "accounts.jsonl",
        concat!(
            r#"{"account":"a","org":"o","plan":"api","created":"2026-02-15T23:51:25.000Z","billing_country":"tr","entitlements":["x"],"org_verified":true,"colour":"red"}"#,
            "\n",
            r#"{"account":"a","plan":"pro","valid_from":"2026-03-01"}"#,
            "\n",
            r#"{"account":"b","plan":null,"entitlements":[]}"#,
            "\n"
        ),
    );
    let accounts = read_accounts(&path).unwrap();
    let table = &accounts.table;
    let get = |key: &str, name: &str, moment: &str| table.column(key, table.column_number(name).unwrap(), at(moment));
    assert_eq!(accounts.n_ignored, 1);
    assert_eq!(get("a", "plan", "2026-02-28"), Value::Text("api"));
    assert_eq!(get("a", "plan", "2026-03-01"), Value::Text("pro"));
    assert_eq!(get("a", "created", "2026-02-28"), Value::Num(at("2026-02-15T23:51:25Z").0));
    assert_eq!(get("a", "billing_country", "2026-02-28"), Value::Text("TR"));
    assert_eq!(get("a", "org_verified", "2026-02-28"), Value::Bool(true));
    assert_eq!(get("a", "entitlements", "2026-02-28"), Value::Texts(&["x".into()]));
    assert_eq!(get("b", "plan", "2026-02-28"), Value::Unknown);
    assert_eq!(get("b", "entitlements", "2026-02-28"), Value::Texts(&[]));
    assert_eq!(table.columns().len(), account_columns().len());
    for (content, text) in [
        ("{\"account\":\"a\"}\n\n{\"account\":\"a\"}\n", ":3: `a` stands in line 1 already"),
        ("{\"org\":\"a\"}\n", "expected an object with its key as text in \"account\""),
        ("{\"account\":\"a\",\"created\":5}\n", "expected a point in time, found `5`"),
        ("{\"account\":\"a\",\"org_verified\":\"yes\"}\n", "\"org_verified\" should be a truth value, but is text"),
        ("{\"account\":\"a\",\"entitlements\":\"x\"}\n", "\"entitlements\" should be a list"),
    ] {
        let error = read_accounts(&file(&dir, "wrong.jsonl", content)).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

// ── readers ──

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

type Found = Vec<(String, u64, u64)>;

fn records(reader: &mut EventReader) -> std::io::Result<Found> {
    let mut found = Vec::new();
    while let Some(record) = reader.next_record()? {
        assert_eq!(record.n_bytes, record.bytes.len() as u64);
        found.push((String::from_utf8_lossy(record.bytes).into_owned(), record.line, record.offset));
    }
    Ok(found)
}

/// Gives its bytes a few at a time, as a slow pipe does.
struct Dribble {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl Read for Dribble {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let n = self.step.min(room.len()).min(self.bytes.len() - self.at);
        room[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

fn reader(bytes: impl Into<Vec<u8>>, step: usize) -> EventReader {
    EventReader::new(Dribble { bytes: bytes.into(), at: 0, step }, None, "test".into()).unwrap()
}

#[test]
fn records_are_found_however_they_are_written() {
    let lines = "{\"a\":1}\n\n  {\"b\":\"x]\"}\r\n{\"c\":[1]}";
    let array = "\n[ {\"a\":1},\n\n{\"b\":\"x]\"}\n, {\"c\":[1]}\n]\n";
    let pretty = "[\n  {\n    \"a\": \"\\\"}\"\n  },\n  5,\"x\",[2]\n]";
    let cases: Vec<(&str, Vec<(&str, u64)>)> = vec![
        ("", vec![]),
        (" \n\n", vec![]),
        ("[]", vec![]),
        ("\u{feff}{}\n", vec![("{}", 1)]),
        ("\u{feff}[{}]\n", vec![("{}", 1)]),
        (lines, vec![("{\"a\":1}", 1), ("  {\"b\":\"x]\"}", 3), ("{\"c\":[1]}", 4)]),
        (array, vec![("{\"a\":1}", 2), ("{\"b\":\"x]\"}", 4), ("{\"c\":[1]}", 5)]),
        (pretty, vec![("{\n    \"a\": \"\\\"}\"\n  }", 2), ("5", 5), ("\"x\"", 5), ("[2]", 5)]),
    ];
    for (text, expected) in &cases {
        let members: Vec<u8> = text.as_bytes().chunks(7).flat_map(gzip).collect();
        let frames: Vec<u8> = text.as_bytes().chunks(7).flat_map(|part| zstd::encode_all(part, 1).unwrap()).collect();
        for bytes in [text.as_bytes().to_vec(), members, frames] {
            for step in [1, 5, 1 << 20] {
                let found = records(&mut reader(bytes.clone(), step)).unwrap();
                let shown: Vec<(&str, u64)> = found.iter().map(|(text, line, _)| (text.as_str(), *line)).collect();
                assert_eq!(&shown, expected, "{text:?} {step}");
                for (record, _, offset) in &found {
                    assert!(text[*offset as usize..].starts_with(record.as_str()), "{text:?} at {offset}");
                }
            }
        }
    }
}

#[test]
fn broken_arrays_and_compression_are_errors() {
    for (text, message) in [
        ("[{}", "line 1: expected `]`: the array is not closed"),
        ("[{}\n{}]", "line 2: expected `,` or `]`"),
        ("[{},]", "expected an item of the array"),
        ("[,{}]", "expected an item of the array"),
        ("[{}]\n\n{}", "line 3: expected nothing after the array's `]`"),
    ] {
        let error = records(&mut reader(text, 3)).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
    let mut cut = gzip(b"{\"a\":1}\n{\"b\":2}\n");
    cut.truncate(cut.len() - 9);
    assert!(records(&mut reader(cut, 100)).is_err());
}

#[test]
fn a_record_that_is_too_long_is_passed_over_with_its_line() {
    let long = format!("{{\"a\":\"{}\"}}", "x\n".repeat(2 * EVENT_BYTES_MAX).replace('\n', " "));
    let many_lines = format!("{{\"a\":\"{}\"}}", "x\n".repeat(2 * EVENT_BYTES_MAX));
    let n_lines = 2 * EVENT_BYTES_MAX as u64;
    for (text, lines) in [
        (format!("{{}}\n{long}\n{{}}\n"), [1, 2, 3]),
        (format!("[{{}},\n{long},\n{{}}]"), [1, 2, 3]),
        (format!("[{{}},\n{many_lines},\n{{}}]"), [1, 2, 3 + n_lines]),
    ] {
        let mut reader = reader(text.as_bytes(), 1 << 18);
        let mut found = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            let reason = Decoder::new().decode(record.bytes).unwrap_err().reason;
            assert!(text.as_bytes()[record.offset as usize..].starts_with(record.bytes));
            found.push((record.line, record.n_bytes, record.bytes.len(), reason));
        }
        let small = |line| (line, 2, 2, RejectReason::MissingField);
        let big = (lines[1], long.len() as u64, EVENT_BYTES_MAX + 1, RejectReason::TooLong);
        assert_eq!(found, [small(lines[0]), big, small(lines[2])]);
    }
}

#[test]
fn a_directory_is_its_event_files_by_name() {
    let dir = TempDir::new().unwrap();
    for name in ["b.jsonl.gz", "a.ndjson", "c.json.zst", "d.json", "notes.txt", ".jsonl", "a.csv"] {
        file(&dir, name, "");
    }
    std::fs::create_dir(dir.path().join("e.jsonl")).unwrap();
    let found: Vec<String> = inputs(dir.path()).unwrap().iter().map(ToString::to_string).collect();
    let names: Vec<&str> = found.iter().map(|path| Path::new(path).file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.ndjson", "b.jsonl.gz", "c.json.zst", "d.json"]);
    assert_eq!(inputs(Path::new("-")).unwrap(), [Input::Stdin]);
    let missing = Input::File(dir.path().join("none.jsonl"));
    assert!(EventReader::open(&missing).unwrap_err().to_string().contains("none.jsonl"));
}

#[test]
fn progress_counts_bytes_of_the_file() {
    let dir = TempDir::new().unwrap();
    let packed = gzip("{\"a\":1}\n".repeat(10_000).as_bytes());
    let mut reader = EventReader::open(&Input::File(file(&dir, "a.jsonl.gz", &packed))).unwrap();
    assert_eq!(reader.progress().n_total, Some(packed.len() as u64));
    assert_eq!(records(&mut reader).unwrap().len(), 10_000);
    assert_eq!(reader.progress().n_read, packed.len() as u64);
}

#[test]
fn a_rerun_continues_only_on_the_same_bytes() {
    let first = "{\"a\":1}\n\n{\"a\":2}\n";
    let position = |text: &str, n: usize| {
        let mut reader = reader(text, 4);
        for _ in 0..n {
            reader.next_record().unwrap().unwrap();
        }
        reader.position()
    };
    let resumed = |text: &str, position: &Position| {
        let mut reader = reader(text, 4);
        match reader.resume(position).unwrap() {
            Resume::Continued => Ok(records(&mut reader).unwrap()),
            other => Err(other),
        }
    };
    let done = position(first, 2);
    assert_eq!((done.offset, done.line), (first.len() as u64, 3));
    assert_eq!(resumed(first, &done), Ok(vec![]));
    let longer = format!("{first}{{\"a\":3}}\n");
    assert_eq!(resumed(&longer, &done), Ok(vec![("{\"a\":3}".into(), 4, 17)]));
    assert_eq!(resumed(&longer.replace('1', "7"), &done), Err(Resume::Changed));
    assert_eq!(resumed("{\"a\":1}\n", &done), Err(Resume::Shorter));
    let half = position(first, 1);
    assert_eq!(resumed(first, &half), Ok(vec![("{\"a\":2}".into(), 3, 9)]));
    assert_eq!(resumed(first, &position(first, 0)).unwrap().len(), 2);
    let array = "[{\"a\":1},\n{\"a\":2}]";
    assert_eq!(resumed(array, &position(array, 1)), Ok(vec![("{\"a\":2}".into(), 2, 10)]));
    assert_eq!(resumed(array, &position(array, 2)), Ok(vec![]));
    let json = serde_json::to_string(&half).unwrap();
    assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), half);
}

proptest! {
    #[test]
    fn resuming_anywhere_gives_what_one_run_gives(
        n in 0usize..8, stop in 0usize..9, sizes in prop::collection::vec(0usize..40, 8), array: bool, step in 1usize..30, gap in "[ \n\r]{0,3}",
    ) {
        let items: Vec<String> = sizes.iter().take(n).map(|size| format!("{{\"a\":\"{}\"}}", "x".repeat(*size))).collect();
        let text = if array { format!("{gap}[{gap}{}{gap}]{gap}", items.join(&format!("{gap},{gap}"))) } else { items.join(&format!("\n{gap}")) };
        let whole = records(&mut reader(text.as_bytes(), step)).unwrap();
        prop_assert_eq!(whole.len(), n);
        let mut first = reader(text.as_bytes(), step);
        let stop = stop.min(n);
        for _ in 0..stop {
            first.next_record().unwrap();
        }
        let mut second = reader(text.as_bytes(), step + 1);
        prop_assert_eq!(second.resume(&first.position()).unwrap(), Resume::Continued);
        prop_assert_eq!(records(&mut second).unwrap(), &whole[stop..]);
    }
}

// ── mappings ──

fn entries(bytes: &[u8], format: Format) -> Vec<Result<UsageEvent<'static>, String>> {
    let mut feed = Feed::new(reader(bytes, 1 << 16), format);
    let mut all = Vec::new();
    while let Some(entry) = feed.next_entry().unwrap() {
        all.push(entry.event.map(UsageEvent::into_owned).map_err(|reject| reject.to_string()));
    }
    all
}

#[test]
fn shipped_mappings_are_read() {
    for name in shipped_mappings() {
        let mapping = Mapping::shipped(name).unwrap_or_else(|| panic!("{name} is no mapping"));
        assert_eq!(mapping.name(), name);
    }
    assert!(Mapping::shipped("other").is_none());
}

#[test]
fn the_traffic_mapping_says_what_native_reading_says() {
    let text = std::fs::read(data("feed/traffic.jsonl")).unwrap();
    let mapping = Mapping::shipped("traffic").unwrap();
    let mapped = entries(&text, Format::Mapped(Box::new(mapping.clone())));
    let native = entries(&text, Format::Native);
    assert_eq!(mapped, native);
    assert!(native.iter().all(|event| event.as_ref().is_ok_and(|event| event.unknown_keys() == 0)));
    assert_eq!(entries(&text, Format::Auto), native);
    let read: Vec<FieldId> = native.iter().flatten().flat_map(|e| e.fields().map(|(f, _)| f)).collect();
    assert!(mapping.fields().all(|field| read.contains(&field)), "the sample shows every field");
}

#[test]
fn litellm_records_become_events() {
    let text = std::fs::read(data("feed/litellm.json")).unwrap();
    let events: Vec<_> = entries(&text, Format::Auto).into_iter().map(|event| event.unwrap()).collect();
    let [answered, limited, bare] = events.as_slice() else { panic!("{events:?}") };
    let text = |event: &UsageEvent<'_>, key: &str| match event.get(fields::by_json(key).unwrap()) {
        Value::Text(text) => text.to_owned(),
        Value::Unknown => "?".to_owned(),
        other => format!("{other:?}"),
    };
    let cases = [
        ("id", ["chatcmpl-a1", "f-2", "f-3"]),
        ("call", ["c0ffee00-1", "c0ffee00-2", "c0ffee00-3"]),
        ("ts", ["Num(1772409607377123000)", "Num(1772409700500000000)", "Num(1772409800000000000)"]),
        ("account", ["acct_1", "team_1", "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"]),
        ("user", ["?", "eu_8", "?"]),
        ("org", ["?", "?", "?"]),
        ("session", ["sess-9", "sess-9", "sess-9"]),
        ("ip", ["Ip(203.0.113.7)", "Ip(2001:db8::7)", "?"]),
        ("model", ["atlas-large", "atlas-large", "openai/atlas-2-large"]),
        ("provider", ["openai", "openai", "openai"]),
        ("endpoint", ["/v1/chat/completions", "/v1/chat/completions", "/v1/chat/completions"]),
        ("status", ["Num(200)", "Num(429)", "Num(500)"]),
        ("error_code", ["?", "RateLimitError", "?"]),
        ("prompt", ["Rewrite the task\nbelow, harder.", "Just text", "?"]),
        ("system_prompt", ["You are the support assistant of Quill & Co.", "?", "?"]),
        ("completion", ["Here is a harder task.", "?", "?"]),
        ("stream", ["Bool(true)", "Bool(false)", "Bool(true)"]),
        ("cost", ["Num(1234)", "Num(1234)", "Num(1234)"]),
        ("latency_ms", ["Num(957000000)", "Num(957000000)", "Num(957000000)"]),
        ("tools", ["Num(2)", "Num(2)", "Num(2)"]),
        ("cached_tokens", ["Num(64)", "?", "?"]),
        ("reasoning_tokens", ["Num(5)", "?", "?"]),
    ];
    for (key, expected) in cases {
        assert_eq!([answered, limited, bare].map(|event| text(event, key)), expected.map(str::to_owned), "{key}");
    }
    assert_eq!([answered, limited, bare].map(UsageEvent::kind), [Kind::Completion, Kind::Completion, Kind::Request]);
}

#[test]
fn formats_are_told_by_the_first_record() {
    let litellm = r#"{"litellm_call_id":1,"call_type":"x","startTime":1,"model_group":null}"#;
    let native =
        r#"{"id":"a","ts":"x","type":"x","litellm_call_id":1,"call_type":"x","startTime":1,"model_group":null}"#;
    for (record, expected) in [(litellm, Some("litellm")), (native, None), ("{}", None), ("nonsense", None)] {
        assert_eq!(detect(record.as_bytes()), expected, "{record}");
    }
}

fn mapping(fields: &str) -> Mapping {
    let text = format!("name: t\nfields:\n  type: {{value: completion}}\n{fields}");
    Mapping::parse(&text, "t.yaml").unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn rules_of_a_mapping_turn_values() {
    let mapping = mapping(concat!(
        "  id: i\n",
        "  ts: {from: [t.s, t.r], time: seconds}\n",
        "  ingest_ts: {from: n, time: nanos}\n",
        "  account: ['a.\"b.c\"', 'a.list[1].x', 'a.list[last].x']\n",
        "  api_key_id: {from: key, hash: true}\n",
        "  asn: {from: asn, as: number}\n",
        "  stream: {from: s, as: bool}\n",
        "  plan: {from: p, map: {\"1\": free, gold: enterprise}, default: other}\n",
        "  modality: {from: m, map: {t: text}}\n",
        "  latency_ms: {from: l, unit: seconds}\n",
        "  tools: {from: tools, items: count}\n",
        "  n: {value: 3}\n",
        "  user: {from: u, as: text}\n",
        "  capabilities: caps\n",
        "  system_prompt: {from: msgs, messages: {role: system, which: all}}\n",
    ));
    let record = concat!(
        r#"{"i":"x","t":{"s":null,"r":"1772409607.000000001"},"n":5,"a":{"b.c":"","list":[{"x":"p"},{},{"x":"q"}]},"key":"sk","#,
        r#""asn":"63949","s":0,"p":1,"m":"audio","l":0.0000000005,"tools":{"a":1,"b":2},"u":12,"caps":["c"],"#,
        r#""msgs":[{"role":"system","content":"A"},{"role":"user"},{"role":"system","content":["B"]}]}"#
    );
    let event = mapping.decode(record.as_bytes()).unwrap();
    let get = |key: &str| event.get(fields::by_json(key).unwrap());
    assert_eq!(get("ts"), Value::Num(1_772_409_607_000_000_001));
    assert_eq!(get("ingest_ts"), Value::Num(5));
    assert_eq!(get("account"), Value::Text("q"));
    assert_eq!(get("api_key_id"), Value::Text("32b56ed53348a8587f30c90e5c6406df"));
    assert_eq!((get("asn"), get("stream"), get("latency_ms")), (Value::Num(63949), Value::Bool(false), Value::Num(0)));
    assert_eq!(
        (get("plan"), get("modality"), get("user")),
        (Value::Text("free"), Value::Text("audio"), Value::Text("12"))
    );
    assert_eq!((get("tools"), get("n")), (Value::Num(2), Value::Num(3)));
    assert_eq!((get("capabilities"), get("system_prompt")), (Value::Texts(&["c".into()]), Value::Text("A\nB")));
}

#[test]
fn mapped_records_are_read_as_strictly_as_native_ones() {
    let mapping = Mapping::parse(
        "name: t\nignore: [bulk]\nfields: {id: i, ts: {from: t, time: millis}, type: k, asn: {from: asn, as: number}, org: o}",
        "t",
    )
    .unwrap();
    for (record, expected) in [
        (r#"{"i":"a","t":1,"k":"signup","i":"a"}"#, "duplicate_key: the key of the shape `a` stands twice"),
        (
            r#"{"i":"a","t":1,"k":"signup","bulk":{"z":1,"z":2}}"#,
            "duplicate_key: the key of the shape `a` stands twice",
        ),
        (r#"{"i":"a","t":1,"k":"signup","zzz":99999999999999999999}"#, "number_range: "),
        (r#"{"i":"a","t":1,"k":"signup"} x"#, "trailing_data: "),
        (r#"{"t":1,"k":"signup"}"#, "missing_field: `id` is missing"),
        (r#"{"i":"a","k":"signup"}"#, "missing_field: `ts` is missing"),
        (r#"{"i":"a","t":1}"#, "missing_field: `type` is missing"),
        (r#"{"i":"a","t":1,"k":"chat"}"#, "is a word of the shape \"aaaa\" (from `k`)"),
        (r#"{"i":"a","t":"soon","k":"signup"}"#, "is text where the mapping says a number (from `t`)"),
        (r#"{"i":"a","t":1e30,"k":"signup"}"#, "bad_value: `ts`"),
        (
            r#"{"i":"a","t":1,"k":"signup","asn":"x"}"#,
            "wrong_type: `asn` should be a whole number, without point or exponent, but is text that is no number (from `asn`)",
        ),
        (r#"{"i":"a","t":1,"k":"signup","o":{}}"#, "wrong_type: `org` should be text, but is an object (from `o`)"),
        ("[]", "not_an_object: "),
    ] {
        let reject = mapping.decode(record.as_bytes()).unwrap_err().to_string();
        assert!(reject.contains(expected), "{record}: {reject}");
    }
    assert_eq!(mapping.decode(b"\xff").unwrap_err().reason, RejectReason::InvalidUtf8);
    assert_eq!(mapping.decode(&vec![b'x'; EVENT_BYTES_MAX + 1]).unwrap_err().reason, RejectReason::TooLong);
}

#[test]
fn wrong_mappings_name_the_place_and_what_is_allowed() {
    let whole = |fields: &str| format!("name: t\nfields:\n  id: i\n  ts: t\n  type: k\n{fields}");
    let cases = [
        ("a: [".to_owned(), "is not read as YAML"),
        ("- a".to_owned(), "at `the file`: expected keys with values"),
        ("name: t\ncolour: red".to_owned(), "unknown key `colour`; allowed are name, about, detect, ignore, missing"),
        ("fields: {}".to_owned(), "`name` is missing"),
        ("name: t".to_owned(), "at `fields`: `id` is missing"),
        ("name: t\nfields: {id: i, ts: t}".to_owned(), "`type` is missing: write `type: {value: completion}`"),
        (whole("  colour: c"), "at `fields.colour`: there is no such field; the fields are type, id, ts"),
        (whole("  latency: c\n  latency_ms: d"), "at `fields.latency_ms`: the field is mapped already"),
        (whole("  org: {from: a, tme: seconds}"), "at `fields.org`: unknown key `tme`; allowed are from, value"),
        (
            whole("  org: {from: a, time: seconds}"),
            "at `fields.org.time`: `time` is for fields that hold a point in time",
        ),
        (
            whole("  ingest_ts: {from: a, time: hours}"),
            "expected one of `seconds`, `millis`, `micros`, `nanos`, `rfc3339`",
        ),
        (whole("  latency_ms: {from: a, unit: rfc3339}"), "expected one of `seconds`, `millis`, `micros`, `nanos`"),
        (whole("  org: {as: text}"), "at `fields.org`: expected either `from`"),
        (whole("  org: {from: a, value: b}"), "expected either `from`"),
        (whole("  org: a..b"), "`a..b` is no path"),
        (whole("  org: a[x]"), "`a[x]` is no path"),
        (whole("  org: 5"), "expected a text"),
        (whole("  org: {from: a, hash: yes please}"), "expected `true`, `false` or `keyed`"),
        (
            whole("  org: {from: a, messages: {who: user}}"),
            "at `fields.org.messages`: unknown key `who`; allowed are role, which",
        ),
        (whole("  org: {from: a, map: {x: [1]}}"), "at `fields.org.map.x`: expected a text, a number"),
    ];
    for (text, expected) in cases {
        let error = Mapping::parse(&text, "t.yaml").expect_err(expected).to_string();
        assert!(error.contains(expected) && error.contains("t.yaml"), "{error}");
    }
    assert!(matches!(Mapping::open(Path::new("/none.yaml")), Err(MappingError::Missing { .. })));
}
