//! Records that nobody waits for, in the forms in which they come.

use std::io::Write;

use super::log::AT_ONCE;
use super::server::{Options, Server, event};

const JSON: (&str, &str) = ("content-type", "application/json");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn records_are_taken_in_whatever_they_are_written_as() {
    let server = Server::start(&Options { config: AT_ONCE, ..Options::default() });
    let one = |id: &str| event(id, "a", "");
    let lines = format!("{}\n{}\n", one("l1"), one("l2"));
    let array = format!("[{},{}]", one("a1"), one("a2"));
    let cloud = format!(
        r#"{{"specversion":"1.0","id":"ce1","source":"/gw","type":"usage","datacontenttype":"application/json","data":{}}}"#,
        one("ce1")
    );
    let zipped = gzip(lines.replace("l1", "z1").replace("l2", "z2").as_bytes());
    let ndjson = ("content-type", "application/x-ndjson");
    let cases: Vec<(Vec<(&str, &str)>, Vec<u8>, u64)> = vec![
        (vec![JSON], one("o1").into_bytes(), 1),
        (vec![JSON], array.into_bytes(), 2),
        (vec![JSON], lines.clone().into_bytes(), 2),
        (vec![ndjson], lines.replace("\"l", "\"n").into_bytes(), 2),
        (vec![("content-type", "application/cloudevents+json")], cloud.into_bytes(), 1),
        (vec![ndjson, ("content-encoding", "gzip")], zipped, 2),
    ];
    let mut all = 0;
    for (headers, body, accepted) in cases {
        let answer = server.connect().call("POST", "/v1/events", &headers, &body);
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.body);
        let told = answer.json();
        assert_eq!((&told["accepted"], &told["rejected"]), (&accepted.into(), &0.into()), "{headers:?}: {told}");
        all += accepted;
    }
    let (summary, _directory) = server.stop();
    assert_eq!(summary["books"]["received"], all);
    assert_eq!(summary["balanced"], true);
}

#[test]
fn a_record_that_cannot_be_read_does_not_hold_up_the_others_and_stays_in_the_books() {
    let server = Server::start(&Options { config: AT_ONCE, ..Options::default() });
    let lines = format!("{}\n{{\"id\":3}}\n{}\n", event("g1", "a", ""), event("g2", "a", ""));
    let told = server.post("/v1/events", &lines);
    assert_eq!(told.status, 200, "{}", told.body);
    let told = told.json();
    assert_eq!((&told["accepted"], &told["rejected"]), (&2.into(), &1.into()));
    assert_eq!((&told["reasons"]["wrong_type"], &told["samples"][0]["line"]), (&1.into(), &2.into()));
    let none = server.post("/v1/events", "{\"id\":3}");
    assert_eq!((none.status, none.code().as_str()), (400, "wrong_type"));
    let (summary, _directory) = server.stop();
    assert_eq!((&summary["books"]["received"], &summary["books"]["evaluated"]), (&4.into(), &2.into()));
    assert_eq!((&summary["books"]["rejected.wrong_type"], &summary["balanced"]), (&2.into(), &true.into()));
}

#[test]
fn an_export_of_logs_is_answered_in_the_form_in_which_it_came() {
    let server = Server::start(&Options::default());
    let json = server.post("/v1/logs", r#"{"resourceLogs":[]}"#);
    assert_eq!((json.status, json.body.as_str(), json.header("content-type")), (200, "{}", Some("application/json")));
    let protobuf = server.connect().call("POST", "/v1/traces", &[("content-type", "application/x-protobuf")], b"");
    assert_eq!((protobuf.status, protobuf.header("content-type")), (200, Some("application/x-protobuf")));
    let broken = server.connect().call("POST", "/v1/logs", &[("content-type", "application/x-protobuf")], b"\xff\xff");
    assert_eq!(broken.status, 400);
    broken.code();
}

#[test]
fn a_long_field_and_a_long_body_are_taken_in() {
    let server = Server::start(&Options { config: AT_ONCE, ..Options::default() });
    let long = |id: &str| event(id, "a", &format!(r#""prompt":"{}""#, "x".repeat(1_000_000)));
    assert_eq!(server.post("/v1/decide", &long("d1")).status, 200);
    let body: Vec<String> = (0..5).map(|n| long(&format!("i{n}"))).collect();
    let told = server.post("/v1/events", &body.join("\n"));
    assert_eq!((told.status, &told.json()["accepted"]), (200, &5.into()), "{}", told.body);
}

#[test]
fn what_unpacks_to_more_than_is_allowed_is_refused() {
    let server = Server::start(&Options { config: "limits: {body_bytes: 64KiB}", ..Options::default() });
    let bomb = gzip(&vec![b' '; 10 << 20]);
    assert!(bomb.len() < 64 * 1024, "{}", bomb.len());
    let answer = server.connect().call("POST", "/v1/events", &[JSON, ("content-encoding", "gzip")], &bomb);
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));
    let odd = server.connect().call("POST", "/v1/events", &[JSON, ("content-encoding", "br")], b"x");
    assert_eq!((odd.status, odd.code().as_str()), (415, "content_encoding"));
}
