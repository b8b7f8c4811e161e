//! Who may call, and what.

use std::process::Stdio;

use super::client::Connection;
use super::server::{Options, Server, command, directory, event};

/// SHA-256 of `gateway-key`, `reader-key` and `boss-key`.
fn config() -> String {
    let key = |name: &str, may: &str| {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(format!("{name}-key")).iter().map(|b| format!("{b:02x}")).collect::<String>();
        format!("  - {{name: {name}, sha256: {digest}, may: [{may}]}}\n")
    };
    format!("keys:\n{}{}{}", key("gateway", "decide, ingest"), key("reader", "read"), key("boss", "act, read"))
}

#[test]
fn each_key_may_do_what_it_is_for_and_nothing_else() {
    let server = Server::start(&Options { config: &config(), ..Options::default() });
    let body = event("e", "a", "");
    let decide = ("POST", "/v1/decide", body.as_str());
    let read = ("GET", "/v1/rules", "");
    let metrics = ("GET", "/metrics", "");
    let forward = ("GET", "/authz/forward", "");
    let bearer = |key: &str| vec![("authorization".to_string(), format!("Bearer {key}"))];
    let other = |name: &str, key: &str| vec![(name.to_string(), key.to_string())];
    let cases = [
        (decide, vec![], 401),
        (decide, bearer("wrong"), 401),
        (decide, bearer(""), 401),
        (decide, other("authorization", "Basic gateway-key"), 401),
        (decide, bearer("gateway-key"), 200),
        (decide, other("x-api-key", "gateway-key"), 200),
        (decide, other("x-tos-key", "gateway-key"), 200),
        (decide, bearer("reader-key"), 403),
        (read, bearer("gateway-key"), 403),
        (read, bearer("reader-key"), 200),
        (read, bearer("boss-key"), 200),
        (metrics, vec![], 401),
        (metrics, bearer("reader-key"), 200),
        // Behind a gateway `Authorization` is its caller's.
        (forward, bearer("gateway-key"), 401),
        (forward, other("x-api-key", "gateway-key"), 401),
        (forward, other("x-tos-key", "gateway-key"), 200),
        (("GET", "/healthz", ""), vec![], 200),
        (("GET", "/openapi.json", ""), vec![], 200),
    ];
    for ((method, path, body), headers, status) in cases {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let answer = server.connect().call(method, path, &all, body.as_bytes());
        assert_eq!(answer.status, status, "{method} {path} {headers:?}: {}", answer.body);
        if status == 401 {
            assert_eq!((answer.code().as_str(), answer.header("www-authenticate")), ("unauthorised", Some("Bearer")));
        }
    }
    let ready = |headers: &[(&str, &str)]| server.connect().call("GET", "/readyz", headers, b"").json();
    assert!(ready(&[]).get("details").is_none(), "details are for those who may read");
    assert!(ready(&[("authorization", "Bearer reader-key")])["details"]["rules"]["count"].is_number());
}

#[test]
fn listening_to_other_machines_needs_keys() {
    let directory = directory(&Options::default());
    let refused = command(directory.path()).args(["--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(3));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("anybody may call") && said.contains("keys"), "{said}");
    std::fs::write(directory.path().join("serve.yaml"), config()).unwrap();
    let checked = command(directory.path()).args(["--listen", "0.0.0.0:0", "--check-only"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert!(!directory.path().join("log.db").exists(), "a check opens nothing");
}

#[test]
fn a_new_key_is_printed_once_with_what_to_write() {
    let made = command(tempfile::tempdir().unwrap().path()).args(["--new-key", "gw"]).stdin(Stdio::null()).output();
    let made: serde_json::Value = serde_json::from_slice(&made.unwrap().stdout).unwrap();
    let (key, sha256) = (made["key"].as_str().unwrap(), made["sha256"].as_str().unwrap());
    let config = format!("keys: [{{name: gw, sha256: {sha256}, may: [read]}}]");
    let server = Server::start(&Options { config: &config, ..Options::default() });
    let bearer = format!("Bearer {key}");
    let mut connection: Connection = server.connect();
    assert_eq!(connection.call("GET", "/v1/rules", &[("authorization", &bearer)], b"").status, 200);
    assert_eq!(connection.call("GET", "/v1/rules", &[], b"").status, 401);
}
