//! A thousand secrets through all that takes text in, and none of them in what was written or answered.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::privacy::Canaries;

use super::log::AT_ONCE;
use super::server::{Options, Server, ago, wait_for};

const RULES: &str = r#"
policy acme.terms version 2025-09-15 {
  title "Acme Terms"
  url   "https://example.com/terms"
  clause probes at "3.1"
    "Keys are not to be probed."
}

rule said {
  enforces acme.terms.probes
  severity high
  mode     enforce
  on       request where prompt contains "e" or system_prompt contains "a" or max_tokens <= 0
  action   throttle account to 1000 per 1h
  action   alert "trust"
  because  "a call of {account}"
}

rule answered {
  enforces acme.terms.probes
  severity low
  mode     shadow
  on       completion where length(prompt) > 3 or length(completion) > 3
  action   alert "quiet"
  because  "a call of {account}"
}

rule one-template {
  enforces acme.terms.probes
  severity low
  mode     shadow
  on       request
  per      template(prompt)
  over     10m every 1m
  when     count() >= 5
  because  "used again"
}
"#;

/// A target of alerts that takes none, and keeps what it was told.
fn refusing() -> (u16, std::sync::Arc<std::sync::Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = std::sync::Arc::clone(&told);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let keep = std::sync::Arc::clone(&keep);
            std::thread::spawn(move || {
                let mut chunk = [0; 8192];
                while let Ok(n) = stream.read(&mut chunk) {
                    if n == 0 {
                        return;
                    }
                    keep.lock().unwrap().extend_from_slice(&chunk[..n]);
                    if chunk[..n].ends_with(b"}") {
                        let _ = stream.write_all(b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n");
                    }
                }
            });
        }
    });
    (port, told)
}

/// Method, path, headers and body of a call that holds a secret.
fn asked(i: usize, secret: &str) -> (&'static str, String, Vec<(&'static str, String)>, String) {
    let json = || ("content-type", "application/json".to_string());
    let event = |kind: &str, more: &str| {
        format!(r#"{{"id":"q{i}","ts":"{}","type":"{kind}","account":"acct_{}","call":"c{i}",{more}}}"#, ago(0), i % 9)
    };
    let messages = serde_json::json!([{"role": "system", "content": secret}, {"role": "user", "content": [{"type": "text", "text": secret}]}]);
    let body = serde_json::json!({"model": "m", "max_tokens": 0, "messages": messages, "metadata": {"note": secret}})
        .to_string();
    let decide =
        |body: String| ("POST", "/v1/decide".to_string(), vec![json(), ("user-agent", secret.to_string())], body);
    let take = |body: String| ("POST", "/v1/events".to_string(), vec![json()], body);
    let otlp = |attribute: &str| {
        serde_json::json!({
            "traceId": format!("{i:032x}"), "spanId": format!("{i:016x}"), "name": "chat m", "kind": 3,
            "startTimeUnixNano": "1772438400000000000", "endTimeUnixNano": "1772438401000000000",
            "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                {"key": attribute, "value": {"stringValue": secret}},
                {"key": "gen_ai.input.messages", "value": {"stringValue": messages.to_string()}},
            ],
            "events": [{"name": "gen_ai.content.prompt", "attributes": [{"key": "gen_ai.prompt", "value": {"stringValue": secret}}]}],
        })
    };
    match i % 20 {
        0 => decide(event("request", &format!(r#""prompt":"{secret}""#))),
        1 => decide(event("request", &format!(r#""system_prompt":"{secret}","unheard":"{secret}","x":{{"{secret}":"{secret}"}}"#))),
        2 => decide(format!(r#"{{"id":"q{i}","prompt":"{secret}"#)),
        3 => decide(event("request", &format!(r#""status":"{secret}","prompt":["{secret}"]"#))),
        4 => decide(format!(r#"{{"id":"q{i}","ts":"{secret}","type":"{secret}"}}"#)),
        5 => take(event("completion", &format!(r#""prompt":"{secret}","completion":"{secret}""#))),
        6 => take(format!("{}\n{}\n", event("completion", &format!(r#""{secret}":1,"{secret}":2"#)), event("completion", &format!(r#""country":"{secret}""#)))),
        7 => take(format!("{secret}\n{{\"prompt\":\"{secret}\"\n")),
        8 => ("POST", fineprint::gateway::litellm::PATH.to_string(), vec![json()], serde_json::json!({
            "input_type": "request", "litellm_call_id": format!("l{i}"), "texts": [secret], "structured_messages": messages,
            "model": "m", "request_data": {"user_api_key_hash": "k1", "user_api_key_user_id": "u", "metadata": {"x": secret}},
        }).to_string()),
        9 => ("POST", fineprint::gateway::litellm::PATH.to_string(), vec![json()], format!(r#"{{"input_type":"{secret}","texts":"{secret}"}}"#)),
        10 => ("POST", "/hooks/portkey".to_string(), vec![json()], serde_json::json!({
            "request": {"json": serde_json::from_str::<serde_json::Value>(&body).unwrap(), "text": secret}, "response": {"json": {}, "text": ""},
            "eventType": "beforeRequestHook", "metadata": {"_user": "u", "note": secret},
        }).to_string()),
        11 => ("POST", "/hooks/portkey".to_string(), vec![json()], format!(r#"{{"request":"{secret}","eventType":"{secret}""#)),
        12 => ("POST", "/authz/forward".to_string(), vec![json(), ("authorization", format!("Bearer {secret}"))], body),
        13 => ("POST", "/authz/envoy/v1/chat/completions".to_string(), vec![json(), ("x-api-key", secret.to_string()), ("cookie", secret.to_string())], body),
        14 => ("POST", "/authz/envoy/v1/chat/completions".to_string(), vec![json()], body.replace(']', secret)),
        15 => ("POST", "/v1/traces".to_string(), vec![json()], serde_json::json!({"resourceSpans": [{"resource": {"attributes": []},
            "scopeSpans": [{"spans": [otlp("gen_ai.prompt")]}]}]}).to_string()),
        16 => ("POST", "/v1/traces".to_string(), vec![json()], serde_json::json!({"resourceSpans": [{"resource": {"attributes": [
            {"key": secret, "value": {"stringValue": secret}}, {"key": secret, "value": {"stringValue": secret}}]},
            "scopeSpans": [{"spans": [otlp(secret)]}]}]}).to_string()),
        17 => ("POST", "/v1/logs".to_string(), vec![json()], serde_json::json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{
            "timeUnixNano": "1772438400000000000", "body": {"stringValue": secret}, "eventName": "gen_ai.client.inference.operation.details",
            "attributes": [{"key": "gen_ai.input.messages", "value": {"stringValue": secret}}]}]}]}]}).to_string()),
        18 => ("POST", "/v1/logs".to_string(), vec![json()], format!(r#"{{"resourceLogs":[{{"scopeLogs":"{secret}"}}]}}"#)),
        _ => ("GET", "/v1/violations".to_string(), vec![("authorization", format!("Bearer {secret}")), ("referer", secret.to_string())], String::new()),
    }
}

#[test]
fn a_thousand_secrets_in_calls_are_nowhere_afterwards() {
    let canaries = Canaries::new(1_000, 0xCA11);
    let (port, told) = refusing();
    let config = format!("{AT_ONCE}alerts: alerts.yaml\n");
    let directory = super::server::directory(&Options { config: &config, rules: RULES });
    std::fs::write(directory.path().join("secret.txt"), "0123456789abcdef0123456789abcdef").unwrap();
    std::fs::write(
        directory.path().join("alerts.yaml"),
        format!(
            "dead_letters: dead.out\nremember: told\nchannels:\n  trust:\n    - webhook:\n        url: http://127.0.0.1:{port}/hook\n        secret: {{file: secret.txt}}\n  quiet:\n    - log: {{}}\n"
        ),
    )
    .unwrap();
    let log = std::fs::File::create(directory.path().join("trace.out")).unwrap();
    let server = Server::with(directory, |command| {
        command.env("FINEPRINT_LOG", "trace").stderr(log);
    });
    let mut leaks = BTreeSet::new();
    let (mut good, mut bad) = (0, 0);
    for (i, secret) in canaries.secrets.iter().enumerate() {
        let (method, path, headers, body) = asked(i, secret);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = server.connect().call(method, &path, &headers, body.as_bytes());
        assert!(answer.status < 500, "{path} {}: {}", answer.status, answer.body);
        if answer.status < 300 {
            good += 1
        } else {
            bad += 1
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(answer.body.is_empty() || answer.header("content-type").is_some(), "{path}");
        let headers = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
        canaries.look(
            &format!("the answer of {path} ({})", i % 20),
            format!("{headers}\n{}", answer.body).as_bytes(),
            &mut leaks,
        );
    }
    assert!(good > 500 && bad > 150, "{good} {bad}");
    wait_for("dead letters", || std::fs::metadata(server.path("dead.out")).ok().filter(|m| m.len() > 500));
    wait_for("alerts in the log", || {
        std::fs::read_to_string(server.path("trace.out")).unwrap().contains("fineprint::alert").then_some(())
    });
    wait_for("findings", || {
        (server.get("/v1/violations").json()["violations"].as_array().unwrap().len() > 20).then_some(())
    });
    for path in [
        "/metrics",
        "/v1/violations?limit=100",
        "/v1/decisions?limit=500",
        "/v1/actions",
        "/v1/gaps",
        "/readyz",
        "/v1/rules",
        "/openapi.json",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        canaries.look(path, answer.body.as_bytes(), &mut leaks);
    }
    wait_for("a saved gate", || server.path("log.db.gate").is_file().then_some(()));
    let trace = std::fs::metadata(server.path("trace.out")).unwrap().len();
    assert!(trace > 10_000, "{trace}");
    // A kill leaves the tail of the journal; the next start reads it again.
    let directory = server.kill();
    let n = canaries.look_in(directory.path(), &|_| false, &mut leaks);
    assert!(n >= 8, "{n} files");
    let (said, directory) = Server::over(directory).stop();
    canaries.look("summary", said.to_string().as_bytes(), &mut leaks);
    canaries.look_in(directory.path(), &|_| false, &mut leaks);
    canaries.look("alerts", &told.lock().unwrap(), &mut leaks);
    assert!(!told.lock().unwrap().is_empty());
    let first: Vec<_> = leaks.iter().take(20).collect();
    assert!(leaks.is_empty(), "{} secrets came back: {first:#?}", leaks.len());
}

/// An account of which a server has heard, and that is erased after the server was killed: what was acknowledged and not
/// committed is erased too, and the server goes on, also with a registry that has lost the row.
#[test]
fn an_account_is_erased_from_what_a_killed_server_left() {
    const ACCOUNT: &str = "mallory_5e1f0a";
    let directory = super::server::directory(&Options {
        config: &format!("{AT_ONCE}accounts: accounts.jsonl\n"),
        ..Options::default()
    });
    let rows = |names: &[&str]| {
        names.iter().map(|n| format!("{{\"account\":\"{n}\",\"plan\":\"free\"}}\n")).collect::<String>()
    };
    std::fs::write(directory.path().join("accounts.jsonl"), rows(&[ACCOUNT, "other"])).unwrap();
    let server = Server::over(directory);
    // In a step that is over with the next call.
    let ts = super::server::ago(180);
    let mut batch = Vec::new();
    for n in 0..8 {
        for account in [ACCOUNT, "other"] {
            batch.push(format!(
                r#"{{"id":"{account}-{n}","ts":"{ts}","type":"request","account":"{account}","max_tokens":9}}"#
            ));
        }
    }
    // Together, so that none is late.
    assert_eq!(server.post("/v1/decide", &format!("[{}]", batch.join(","))).status, 200);
    super::log::decide(&server, "tick", "somebody-else", r#""max_tokens":9"#);
    super::log::violation_of(&server, ACCOUNT);
    super::log::decide(&server, "last", ACCOUNT, r#""max_tokens":9"#);
    let directory = server.kill();
    let call = |words: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fineprint"));
        let called = command.args(words.split_whitespace()).current_dir(directory.path()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (called.status.code().unwrap(), text(&called.stdout), text(&called.stderr))
    };
    let erased = call(&format!("erase --db log.db --account {ACCOUNT} --by DPO --reason request --format json"));
    assert_eq!(erased.0, 0, "{erased:?}");
    let told: serde_json::Value = serde_json::from_str(&erased.1).unwrap();
    assert!(told["events"].as_u64().unwrap() >= 8 && told["rows"] == 1, "{told}");
    let canaries = Canaries::of(vec![ACCOUNT.to_string()]);
    let is_input = |name: &std::path::Path| name.ends_with("accounts.jsonl") && name.components().count() == 1;
    let nowhere = |directory: &std::path::Path| {
        let mut leaks = BTreeSet::new();
        assert!(canaries.look_in(directory, &is_input, &mut leaks) > 5);
        assert!(leaks.is_empty(), "{leaks:#?}");
    };
    nowhere(directory.path());
    let verified = call("verify --db log.db");
    assert!(verified.0 == 0 && verified.1.contains("erasure 1 on"), "{verified:?}");
    let kept = rows(&["other"]);
    std::fs::write(directory.path().join("accounts.jsonl"), kept).unwrap();
    let server = Server::over(directory);
    super::log::decide(&server, "after", "other", r#""max_tokens":9"#);
    assert!(!server.get("/v1/violations?account=other").json()["violations"].as_array().unwrap().is_empty());
    let (_, directory) = server.stop();
    nowhere(directory.path());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fineprint"));
    let verified = command.args(["verify", "--db", "log.db"]).current_dir(directory.path()).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
