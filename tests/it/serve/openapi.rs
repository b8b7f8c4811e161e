//! The document says what the server does.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::client::{Answer, PATIENCE, request};
use super::log::{AT_ONCE, action_of, decide, violation_of};
use super::server::{Options, Server, event};

const JSON: (&str, &str) = ("content-type", "application/json");

fn document(server: &Server) -> Value {
    server.get("/openapi.json").json()
}

fn operations(document: &Value) -> Vec<(String, String, BTreeSet<u16>)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let statuses = operation["responses"].as_object().unwrap().keys().map(|s| s.parse().unwrap()).collect();
            all.push((method.to_uppercase(), path.clone(), statuses));
        }
    }
    all
}

#[test]
fn every_reference_leads_somewhere_and_every_route_is_there() {
    let server = Server::start(&Options::default());
    let document = document(&server);
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "`{name}` is nowhere");
    }
    let event = &document["components"]["schemas"]["UsageEvent"];
    assert_eq!(event["properties"]["max_tokens"]["type"], serde_json::json!(["integer", "null"]));
    assert_eq!(event["required"], serde_json::json!(["type", "id", "ts"]));
    for (method, path, _) in operations(&document) {
        let path = path.replace("{id}", "00");
        let found = server.connect().call(&method, &path, &[], b"");
        assert_ne!(found.status, 405, "{method} {path}");
        assert!(found.status != 404 || !found.body.contains("no route"), "{method} {path}");
        let other = server.connect().call("DELETE", &path, &[], b"");
        assert_eq!((other.status, other.code().as_str()), (405, "method_not_allowed"), "{path}");
    }
    // Each route of the source is told by the document; those of gateways are described in docs/gateways.md.
    let source = include_str!("../../../src/serve/routes.rs").split("#[cfg(test)]").next().unwrap();
    let named: BTreeSet<&str> = source.split("\"/").skip(1).map(|s| s.split('"').next().unwrap()).collect();
    let told: BTreeSet<String> = operations(&document).into_iter().map(|(_, p, _)| p[1..].to_string()).collect();
    for path in named {
        assert!(told.contains(path), "`/{path}` is in src/serve/routes.rs, not in the document");
    }
}

/// Keys for each right and for none of them, and one that may come once a second.
fn keys() -> String {
    let key = |name: &str, may: &str, more: &str| {
        let digest = Sha256::digest(name).iter().map(|b| format!("{b:02x}")).collect::<String>();
        format!("  - {{name: {name}, sha256: {digest}, may: [{may}]{more}}}\n")
    };
    let slow = ", requests_per_second: 1";
    let all = "decide, ingest, read, act";
    format!(
        "{AT_ONCE}limits: {{request_time: 1s, requests: 1}}\nreload: {{watch: false}}\nkeys:\n{}{}{}{}{}",
        key("all", all, ""),
        key("slow", all, slow),
        key("reader", "read", ""),
        key("actor", "act", ""),
        key("load", "decide", ""),
    )
}

/// What of the server a status hangs on.
struct World<'a> {
    server: &'a Server,
    violation: String,
    released: String,
    waiting: Vec<String>,
    in_force: Vec<String>,
}

impl World<'_> {
    fn call(&self, method: &str, path: &str, key: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut headers = vec![("x-tos-key", key)];
        headers.extend(more);
        self.server.connect().call(method, path, &headers, body)
    }

    /// Makes a route answer so; `None` where this test knows no way.
    fn produce(&mut self, method: &str, path: &str, status: u16) -> Option<Answer> {
        let real = match path {
            "/v1/violations/{id}" => path.replace("{id}", &self.violation),
            // Its number; the first refusals of this log.
            "/v1/decisions/{id}" => path.replace("{id}", "1"),
            _ => path.replace("{id}", &self.released),
        };
        let act = "{\"reason\":\"a test\"}";
        let body = match path {
            "/v1/decide" | "/v1/events" => event("documented", "a", ""),
            "/v1/logs" => r#"{"resourceLogs":[]}"#.to_string(),
            "/v1/traces" => r#"{"resourceSpans":[]}"#.to_string(),
            "/v1/actions/{id}/extend" => r#"{"reason":"a test","for":"1h"}"#.to_string(),
            _ if method == "POST" && path != "/v1/reload" => act.to_string(),
            _ => String::new(),
        };
        let body = body.as_bytes();
        Some(match status {
            200 => {
                let real = match path {
                    "/v1/actions/{id}/approve" | "/v1/actions/{id}/refuse" => {
                        path.replace("{id}", &self.waiting.pop()?)
                    }
                    "/v1/actions/{id}/release" | "/v1/actions/{id}/extend" => {
                        path.replace("{id}", &self.in_force.pop()?)
                    }
                    _ => real,
                };
                self.call(method, &real, "all", &[JSON], body)
            }
            400 if path.ends_with("{id}") => self.call(method, &path.replace("{id}", "zz"), "all", &[], b""),
            400 if method == "GET" => self.call(method, &format!("{real}?limit=0"), "all", &[], b""),
            400 => self.call(method, &real, "all", &[JSON], b"{"),
            401 => self.call(method, &real, "nobody", &[JSON], body),
            403 => {
                let reads = method == "GET";
                self.call(method, &real, if reads { "actor" } else { "reader" }, &[JSON], body)
            }
            404 => self.call(method, &path.replace("{id}", "00000000"), "all", &[JSON], body),
            408 => {
                let mut connection = self.server.connect();
                let whole = request(method, &real, &[("x-tos-key", "all"), JSON], body);
                connection.send(&whole[..whole.len() - 1]);
                connection.answer()?
            }
            409 if path == "/v1/reload" => {
                let rules = self.server.path("rules/acme.tos");
                let kept = std::fs::read(&rules).unwrap();
                std::fs::write(&rules, "rule a {").unwrap();
                let answer = self.call(method, &real, "all", &[], b"");
                std::fs::write(&rules, kept).unwrap();
                answer
            }
            409 => self.call(method, &real, "all", &[JSON], body),
            413 => {
                let mut connection = self.server.connect();
                let head = format!("{method} {real} HTTP/1.1\r\nhost: localhost\r\nx-tos-key: all\r\n");
                connection.send(
                    format!("{head}content-type: application/json\r\ncontent-length: 99999999\r\n\r\n").as_bytes(),
                );
                connection.answer()?
            }
            415 => self.call(method, &real, "all", &[("content-type", "text/plain")], body),
            429 => {
                std::thread::sleep(Duration::from_millis(1_100));
                // Two within a second; a machine that is busy may take longer for one.
                (0..20).map(|_| self.call(method, &real, "slow", &[JSON], b"{")).find(|answer| answer.status == 429)?
            }
            503 if path == "/readyz" => return None,
            503 => return self.overloaded(method, &real, body),
            _ => return None,
        })
    }

    /// One place to work, and somebody who takes it again and again.
    fn overloaded(&self, method: &str, path: &str, body: &[u8]) -> Option<Answer> {
        let batch: Vec<String> = (0..400).map(|n| event(&format!("load{n}"), "load", "")).collect();
        let batch = format!("[{}]", batch.join(","));
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    self.call("POST", "/v1/decide", "load", &[JSON], batch.as_bytes());
                }
            });
            let until = Instant::now() + PATIENCE;
            let found = loop {
                // A body that is refused changes nothing where there is room after all.
                let body = if body.is_empty() { body } else { b"{" };
                let answer = self.call(method, path, "all", &[JSON], body);
                if answer.status == 503 || Instant::now() > until {
                    break Some(answer);
                }
            };
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            found
        })
    }
}

/// A rule whose block waits for a person, and one that acts at once.
const REVIEWED: &str = r#"
rule reviewed {
  enforces acme.terms.volume
  severity low
  mode     enforce

  on       request where max_tokens >= 1000
  action   after review: block account for 1h
  because  "{max_tokens} tokens"
}
"#;

#[test]
fn every_status_that_is_told_can_be_had_in_the_shape_that_is_told() {
    let rules = format!("{}{REVIEWED}", super::server::RULES);
    let directory = super::server::directory(&Options { config: AT_ONCE, rules: &rules });
    let before = Server::over(directory);
    for (n, more) in [(0, "-1"), (1, "-1"), (2, "-1"), (3, "5000"), (4, "5000")] {
        decide(&before, &format!("e{n}"), &format!("acc{n}"), &format!(r#""max_tokens":{more}"#));
    }
    let id = |target: &str, state: &str| action_of(&before, target, state)["id"].as_str().unwrap().to_string();
    let released = id("acc0", "in_force");
    let (in_force, waiting) = (
        vec![id("acc1", "in_force"), id("acc2", "in_force")],
        vec![id("acc3", "awaiting_review"), id("acc4", "awaiting_review")],
    );
    let violation = violation_of(&before, "acc0")["id"].as_str().unwrap().to_string();
    before.post(&format!("/v1/actions/{released}/release"), r#"{"reason":"a test"}"#);
    let (_, directory) = before.stop();
    std::fs::write(directory.path().join("serve.yaml"), keys()).unwrap();
    let server = Server::over(directory);
    let document = document(&server);
    let mut world = World { server: &server, violation, released, waiting, in_force };
    let mut missing = Vec::new();
    for (method, path, statuses) in operations(&document) {
        for status in statuses {
            if (path.as_str(), status) == ("/readyz", 503) {
                // While it ends: `life::a_second_signal_ends_it_at_once`.
                continue;
            }
            let Some(answer) = world.produce(&method, &path, status) else {
                missing.push(format!("{method} {path} {status}: no way known"));
                continue;
            };
            if answer.status != status {
                missing.push(format!("{method} {path} {status}: {} {}", answer.status, answer.body));
            } else if status >= 400 && !path.starts_with("/readyz") {
                answer.code();
                if [429, 503].contains(&status) {
                    assert!(answer.header("retry-after").is_some(), "{method} {path} {status}");
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
