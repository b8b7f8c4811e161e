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

/// The body of a request, as JSON.
fn read(stream: &mut std::net::TcpStream) -> serde_json::Value {
    use std::io::Read;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut chunk).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&chunk[..n]);
        let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        if let Ok(body) = serde_json::from_slice(&bytes[head + 4..]) {
            return body;
        }
    }
}
