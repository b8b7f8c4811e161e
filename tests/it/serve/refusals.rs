//! What is no answer: each in one shape, with a word for machines and what to do.

use std::io::Write;

use super::client::{Connection, request};
use super::server::{Options, Server, event, wait_for};

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn whatever_is_sent_is_told_what_is_wrong_with_it() {
    let server =
        Server::start(&Options { config: "limits: {body_bytes: 70KiB, batch_events: 2}", ..Options::default() });
    let fine = event("e", "a", "");
    let deep = format!(
        r#"{{"id":"e","ts":"2026-01-01T00:00:00Z","type":"request","x":{}1{}}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let long = format!(r#"{{"id":"e","prompt":"{}"}}"#, "x".repeat(80_000));
    let three = format!("[{fine},{fine},{fine}]");
    let cases: Vec<(&str, &str, &[(&str, &str)], &[u8], u16, &str)> = vec![
        ("POST", "/v1/decide", &[JSON], b"", 400, "syntax"),
        ("POST", "/v1/decide", &[JSON], b"{", 400, "syntax"),
        ("POST", "/v1/decide", &[JSON], b"null", 400, "not_an_object"),
        ("POST", "/v1/decide", &[JSON], b"{}", 400, "missing_field"),
        ("POST", "/v1/decide", &[JSON], b"[{}", 400, "syntax"),
        ("POST", "/v1/decide", &[JSON], b"{\"id\":\"\xff\"}", 400, "invalid_utf8"),
        ("POST", "/v1/decide", &[JSON], b"[\"\xff\"]", 400, "syntax"),
        ("POST", "/v1/decide", &[JSON], br#"{"id":"e","id":"f"}"#, 400, "duplicate_key"),
        ("POST", "/v1/decide", &[JSON], br#"{"id":"e","ts":"yesterday"}"#, 400, "bad_value"),
        ("POST", "/v1/decide", &[JSON], deep.as_bytes(), 400, "too_deep"),
        ("POST", "/v1/decide", &[JSON], long.as_bytes(), 413, "too_large"),
        ("POST", "/v1/decide", &[JSON], three.as_bytes(), 400, "too_many_events"),
        ("POST", "/v1/decide", &[], fine.as_bytes(), 415, "media_type"),
        ("POST", "/v1/decide", &[("content-type", "text/plain")], fine.as_bytes(), 415, "media_type"),
        ("POST", "/v1/decide", &[JSON, ("content-encoding", "gzip")], fine.as_bytes(), 415, "content_encoding"),
        ("GET", "/v1/decide", &[], b"", 405, "method_not_allowed"),
        ("GET", "/v1/nothing", &[], b"", 404, "not_found"),
        ("GET", "/v1/violations?severity=awful", &[], b"", 400, "bad_query"),
        ("GET", "/v1/violations?colour=red", &[], b"", 400, "bad_query"),
        ("GET", "/v1/violations?limit=0", &[], b"", 400, "bad_query"),
        ("GET", "/v1/violations?cursor=x", &[], b"", 400, "bad_query"),
        ("GET", "/v1/violations?since=soon", &[], b"", 400, "bad_query"),
        ("GET", "/v1/violations/zz", &[], b"", 400, "bad_query"),
        ("GET", "/v1/violations/abcd", &[], b"", 404, "not_found"),
        ("GET", "/v1/violations/%ff", &[], b"", 400, "bad_query"),
        ("GET", "/v1/actions/%ff%00", &[], b"", 400, "bad_query"),
        ("GET", "/v1/decisions?cursor=-1", &[], b"", 400, "bad_query"),
        ("GET", "/v1/decisions?decision=soft", &[], b"", 400, "bad_query"),
        ("GET", "/v1/actions?state=gone", &[], b"", 400, "bad_query"),
        ("POST", "/v1/actions/ab/extend", &[JSON], br#"{"reason":"x"}"#, 400, "bad_body"),
        ("POST", "/v1/actions/ab/extend", &[JSON], br#"{"reason":"x","until":"soon"}"#, 400, "bad_body"),
        ("POST", "/v1/actions/ab/extend", &[JSON], br#"{"reason":"x","for":"0s"}"#, 400, "bad_body"),
        ("POST", "/v1/actions/ab/release", &[JSON], br#"{"reason":"x"}"#, 404, "not_found"),
        ("POST", "/v1/actions/ab/release", &[JSON], b"[]", 400, "bad_body"),
        ("GET", "/v1/violations", &[("host", "evil.example")], b"", 403, "foreign_host"),
    ];
    for (method, path, headers, body, status, code) in cases {
        let answer = server.connect().call(method, path, headers, body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path}: {}", answer.body);
    }
    let allowed = server.connect().call("GET", "/v1/decide", &[], b"");
    assert_eq!(allowed.header("allow"), Some("POST"));
    assert_eq!(server.metric("fineprint_panics_total"), 0.0);
    // It still answers.
    assert_eq!(server.post("/v1/decide", &fine).status, 200);
}

#[test]
fn a_message_tells_the_place_and_never_a_text_of_the_event() {
    let server = Server::start(&Options::default());
    let secret = "my secret prompt";
    let body =
        format!(r#"{{"id":"e","ts":"2026-01-01T00:00:00Z","type":"request","prompt":"{secret}","stream":"{secret}"x"#);
    let answer = server.post("/v1/decide", &body);
    assert_eq!(answer.status, 400);
    assert!(!answer.body.contains("secret"), "{}", answer.body);
    let answer = server.post("/v1/decide", r#"{"id":"e" "ts":1}"#);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("at byte 10"), "{}", answer.body);
}

#[test]
fn slow_bodies_and_broken_heads_hold_nothing() {
    let config = "limits: {request_time: 300ms, header_time: 300ms, requests: 1}";
    let server = Server::start(&Options { config, ..Options::default() });
    let body = event("slow", "a", "");
    let whole = request("POST", "/v1/decide", &[JSON], body.as_bytes());
    let mut slow: Vec<Connection> = (0..5).map(|_| server.connect()).collect();
    for connection in &mut slow {
        connection.send(&whole[..whole.len() - 5]);
    }
    // One place to work, five that dawdle: others are answered meanwhile.
    assert_eq!(server.post("/v1/decide", &event("quick", "a", "")).status, 200);
    for connection in &mut slow {
        let answer = connection.answer().expect("told that it was slow");
        assert_eq!((answer.status, answer.code().as_str()), (408, "body_timeout"));
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let mut mute = server.connect();
    mute.0.write_all(b"GET /healthz HT").unwrap();
    assert!(mute.answer().is_none_or(|a| a.status == 408), "a head that never ends is cut off");
}

#[test]
fn more_connections_than_there_is_room_for_are_told_so() {
    let server = Server::start(&Options { config: "limits: {connections: 2}", ..Options::default() });
    let mut held: Vec<Connection> = (0..2).map(|_| server.connect()).collect();
    for connection in &mut held {
        assert_eq!(connection.call("GET", "/healthz", &[], b"").status, 200);
    }
    let mut third = server.connect();
    let answer = third.call("GET", "/healthz", &[], b"");
    assert_eq!((answer.status, answer.code().as_str(), answer.header("retry-after")), (503, "overloaded", Some("1")));
    drop(held);
    super::server::wait_for("room", || {
        let mut next = server.connect();
        next.send(&request("GET", "/healthz", &[], b""));
        next.answer().filter(|a| a.status == 200)
    });
}

#[test]
fn whoever_comes_too_often_is_told_when_to_come_again() {
    let server = Server::start(&Options { config: "limits: {requests_per_second: 1}", ..Options::default() });
    let mut connection = server.connect();
    let mut ask = |path: &str, body: &str| {
        let method = if body.is_empty() { "GET" } else { "POST" };
        connection.call(method, path, &[JSON], body.as_bytes())
    };
    assert_eq!(ask("/v1/decide", &event("e1", "a", "")).status, 200);
    let refused = ask("/v1/decide", &event("e2", "a", ""));
    assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_requests"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(ask("/v1/rules", "").status, 429, "who reads is told 429, a gateway never");
    assert_eq!(ask("/healthz", "").status, 200, "health is always told");
}

/// All bodies that are held at a time have a bound together; what is beyond it is refused, and what was held goes on.
#[test]
fn bodies_that_are_held_have_a_bound_together() {
    let config = "limits: {body_bytes: 64KiB, bodies_bytes: 64KiB}";
    let server = Server::start(&Options { config, ..Options::default() });
    let long = |id: &str, bytes: usize| event(id, "a", &format!(r#""prompt":"{}""#, "x".repeat(bytes)));
    let first = request("POST", "/v1/decide", &[JSON], long("held", 50_000).as_bytes());
    let (begun, rest) = first.split_at(45_000);
    let mut held = server.connect();
    held.send(begun);
    let is_held = || (server.metric("fineprint_bodies_bytes") > 40_000.0).then_some(());
    wait_for("most of the first body is held", is_held);
    let told = server.connect().call("POST", "/v1/decide", &[JSON], long("beyond", 30_000).as_bytes());
    assert_eq!((told.status, told.code().as_str()), (503, "overloaded"));
    assert!(told.json()["error"]["message"].as_str().unwrap().contains("limits.bodies_bytes"), "{}", told.body);
    assert!(told.header("retry-after").is_some());
    let small = server.connect().call("POST", "/v1/decide", &[JSON], long("small", 10).as_bytes());
    assert_eq!(small.status, 200, "what fits beside it is answered: {}", small.body);
    held.send(rest);
    assert_eq!(held.answer().unwrap().status, 200, "what was held is answered");
    wait_for("nothing is held", || (server.metric("fineprint_bodies_bytes") == 0.0).then_some(()));
    let again = server.connect().call("POST", "/v1/decide", &[JSON], long("beyond", 30_000).as_bytes());
    assert_eq!(again.status, 200, "{}", again.body);
}

/// A client that takes nothing in is let go; its connection holds no place for ever.
#[test]
fn a_client_that_takes_nothing_in_is_let_go() {
    let config = "limits: {write_time: 300ms, connections: 3}";
    let server = Server::start(&Options { config, ..Options::default() });
    let many = request("GET", "/openapi.json", &[], b"").repeat(600);
    let mut stalled: Vec<Connection> = (0..2).map(|_| server.connect()).collect();
    for connection in &mut stalled {
        connection.send(&many);
    }
    // This one is among those that are open.
    wait_for("both are let go", || (server.metric("fineprint_connections") == 1.0).then_some(()));
    for Connection(stream) in &mut stalled {
        let mut taken = Vec::new();
        // It ends, or is reset.
        let _ = std::io::Read::read_to_end(stream, &mut taken);
        let answers = taken.windows(12).filter(|bytes| bytes == b"HTTP/1.1 200").count();
        assert!(0 < answers && answers < 600, "{answers}: it was cut off");
    }
    assert_eq!(server.get("/healthz").status, 200);
}
