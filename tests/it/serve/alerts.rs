//! A finding reaches the channel that its rule names.

use std::io::Write;
use std::net::TcpListener;

use super::log::{AT_ONCE, decide};
use super::server::{Options, Server};

const RULES: &str = r#"
policy acme.terms version 2025-09-15 {
  title "Acme Terms"
  url   "https://example.com/terms"
  clause probes at "3.1"
    "Keys are not to be probed."
}

rule probe {
  enforces acme.terms.probes
  severity high
  mode     flag

  on       request where max_tokens <= 0
  action   alert "trust"
  because  "a call asked for {max_tokens} tokens"
}
"#;

#[test]
fn an_alert_is_delivered_to_its_channel_and_not_again_after_a_restart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = format!("{AT_ONCE}alerts: alerts.yaml");
    let directory = super::server::directory(&Options { config: &config, rules: RULES });
    std::fs::write(directory.path().join("secret.txt"), "0123456789abcdef0123456789abcdef").unwrap();
    std::fs::write(
        directory.path().join("alerts.yaml"),
        format!(
            "dead_letters: dead.jsonl\nremember: told\nchannels:\n  trust:\n    - webhook:\n        url: http://127.0.0.1:{port}/hook\n        secret: {{file: secret.txt}}\n"
        ),
    )
    .unwrap();
    let server = Server::over(directory);
    let first = decide(&server, "p1", "mallory", r#""max_tokens":-1"#);
    assert_eq!(first["decision"], "allow", "an alert refuses nobody");
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(super::client::PATIENCE)).unwrap();
    let said = read(&mut stream);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    assert_eq!((&said["rule"], &said["channel"]), (&"probe".into(), &"trust".into()), "{said}");
    let violation = said["violation"].as_str().unwrap().to_string();
    super::server::wait_for("delivered", || {
        (server.metric(r#"fineprint_alerts{kind="delivered"}"#) == 1.0).then_some(())
    });
    assert_eq!(server.get(&format!("/v1/violations/{violation}")).status, 200);
    let (_, directory) = server.stop();
    let server = Server::over(directory);
    decide(&server, "p2", "someone-else", r#""max_tokens":-1"#);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(super::client::PATIENCE)).unwrap();
    let next = read(&mut stream);
    assert_ne!(next["violation"].as_str().unwrap(), violation, "the first was told already");
}

/// Takes requests in and answers none of them.
fn hang(listener: TcpListener) -> std::sync::mpsc::Receiver<serde_json::Value> {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = tell.send(read(&mut stream));
            held.push(stream);
        }
    });
    told
}

/// Answers each request with 200, and tells what came: delivery id of the head, and body.
fn receive(listener: TcpListener) -> std::sync::mpsc::Receiver<(String, serde_json::Value)> {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let tell = tell.clone();
            std::thread::spawn(move || {
                while let Some((head, body)) = request(&mut stream) {
                    let delivery = head.lines().find_map(|l| l.strip_prefix("fineprint-delivery: ")).unwrap();
                    let _ = tell.send((delivery.to_string(), body));
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    told
}

fn over(port: u16, rules: &str, more: &str) -> tempfile::TempDir {
    let config = format!("{AT_ONCE}alerts: alerts.yaml");
    let directory = super::server::directory(&Options { config: &config, rules });
    std::fs::write(directory.path().join("secret.txt"), "0123456789abcdef0123456789abcdef").unwrap();
    route(directory.path(), port, more);
    directory
}

fn route(directory: &std::path::Path, port: u16, more: &str) {
    let webhook = format!("webhook: {{url: 'http://127.0.0.1:{port}/hook', secret: {{file: secret.txt}}{more}}}");
    let text = format!("dead_letters: dead.jsonl\nchannels:\n  trust:\n    - {webhook}\n");
    std::fs::write(directory.join("alerts.yaml"), text).unwrap();
}

fn waiting(server: &Server) -> f64 {
    server.metric(r#"fineprint_alerts{kind="waiting"}"#)
}

/// The alert is in the log, its target has it and has not said so, and the process is killed: the next one delivers it, under the
/// same id, once; the one after that delivers nothing.
#[test]
fn an_alert_that_a_kill_came_before_is_delivered_by_the_next_start_and_then_never_again() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = over(silent.local_addr().unwrap().port(), RULES, "");
    let tried = hang(silent);
    let server = Server::over(directory);
    for n in 0..3 {
        decide(&server, &format!("p{n}"), &format!("mallory-{n}"), r#""max_tokens":-1"#);
    }
    let first = tried.recv_timeout(super::client::PATIENCE).unwrap();
    super::server::wait_for("all three are in the log", || (waiting(&server) == 3.0).then_some(()));
    let id = first["violation"].as_str().unwrap();
    let told = server.get(&format!("/v1/violations/{id}")).json()["alerts"].clone();
    assert_eq!((&told[0]["target"], &told[0]["outcome"]), (&"webhook".into(), &"waiting".into()), "{told}");
    let directory = server.kill();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    route(directory.path(), listener.local_addr().unwrap().port(), "");
    let got = receive(listener);
    let server = Server::over(directory);
    let all: Vec<(String, serde_json::Value)> =
        (0..3).map(|_| got.recv_timeout(super::client::PATIENCE).unwrap()).collect();
    let again = all.iter().find(|(_, body)| body["violation"] == first["violation"]).unwrap();
    assert_eq!((&again.0, &again.1), (&first["delivery"].as_str().unwrap().to_string(), &first), "the same alert");
    let mut ids: Vec<&String> = all.iter().map(|(id, _)| id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    super::server::wait_for("all are noted", || (waiting(&server) == 0.0).then_some(()));
    let told = server.get(&format!("/v1/violations/{id}")).json()["alerts"].clone();
    assert_eq!(told[0]["outcome"], "delivered", "{told}");
    assert_eq!(server.metric(r#"fineprint_alerts{kind="delivered"}"#), 3.0);

    let server = Server::over(server.kill());
    decide(&server, "last", "somebody-else", r#""max_tokens":-1"#);
    let (_, next) = got.recv_timeout(super::client::PATIENCE).unwrap();
    assert!(all.iter().all(|(_, body)| body["violation"] != next["violation"]), "the first three were told already");
    super::server::wait_for("it is noted", || (waiting(&server) == 0.0).then_some(()));
    server.stop();
    assert!(got.try_recv().is_err(), "each once");
}

/// More than the queue of a target holds wait in the log, and none is lost.
#[test]
fn a_flood_of_alerts_waits_in_the_log_for_its_target() {
    const CALLS: usize = 1_300;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = over(listener.local_addr().unwrap().port(), RULES, "");
    let server = Server::over(directory);
    for half in 0..2 {
        let event =
            |n: usize| super::server::event(&format!("e{half}-{n}"), &format!("a{half}-{n}"), r#""max_tokens":0"#);
        let batch: Vec<String> = (0..CALLS / 2).map(event).collect();
        assert_eq!(server.post("/v1/decide", &format!("[{}]", batch.join(","))).status, 200);
    }
    let got = receive(listener);
    let mut ids = std::collections::BTreeSet::new();
    while ids.len() < CALLS {
        let (id, _) = got.recv_timeout(super::client::PATIENCE).unwrap();
        assert!(ids.insert(id), "once each");
    }
    super::server::wait_for("all are noted", || (waiting(&server) == 0.0).then_some(()));
    assert_eq!(server.metric(r#"fineprint_alerts{kind="lost"}"#), 0.0);
    assert_eq!(server.metric(r#"fineprint_alerts{kind="dead"}"#), 0.0);
}

/// What cannot be delivered at the end is no dead letter: it waits for the next start. A target that is gone by then is told.
#[test]
fn what_waits_at_the_end_waits_for_the_next_start() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let server = Server::over(over(port, RULES, ", backoff: 1m"));
    decide(&server, "p1", "mallory", r#""max_tokens":-1"#);
    super::server::wait_for("it waits", || (waiting(&server) == 1.0).then_some(()));
    let (_, directory) = server.stop();
    assert_eq!(std::fs::read_to_string(directory.path().join("dead.jsonl")).unwrap(), "");
    let server = Server::over(directory);
    super::server::wait_for("it waits still", || (waiting(&server) == 1.0).then_some(()));
    let (_, directory) = server.stop();
    std::fs::write(directory.path().join("alerts.yaml"), "channels:\n  trust:\n    - log: {}\n").unwrap();
    let server = Server::over(directory);
    super::server::wait_for("there is no such target", || {
        (server.metric(r#"fineprint_alerts{kind="unrouted"}"#) == 1.0).then_some(())
    });
    assert_eq!(waiting(&server), 0.0);
}

/// The body of a request, as JSON.
fn read(stream: &mut std::net::TcpStream) -> serde_json::Value {
    request(stream).expect("a request").1
}

/// Head and body of a request; `None` where the connection has ended.
fn request(stream: &mut std::net::TcpStream) -> Option<(String, serde_json::Value)> {
    use std::io::Read;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut chunk).unwrap_or(0);
        if n == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..n]);
        let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        if let Ok(body) = serde_json::from_slice(&bytes[head + 4..]) {
            return Some((String::from_utf8(bytes[..head].to_vec()).unwrap().to_ascii_lowercase(), body));
        }
    }
}
