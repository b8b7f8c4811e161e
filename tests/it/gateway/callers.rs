//! Who calls: addresses behind proxies, keys as keyed hashes, and which headers are believed.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use fineprint::gateway::caller::{client_ip, key_id};
use fineprint::gateway::options::ClientIp;
use fineprint::gateway::{GatewayOptions, Secret, forward};

use super::{arrival, edge_with, options, said};

pub(super) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

#[test]
fn the_client_stands_as_many_places_from_the_right_as_there_are_proxies() {
    let cases: [(usize, &[&str], Option<&str>, Option<&str>); 14] = [
        (1, &["203.0.113.9"], None, Some("203.0.113.9")),
        // What the client wrote itself stands further left, and is not believed.
        (1, &["198.51.100.1, 203.0.113.9"], None, Some("203.0.113.9")),
        (2, &["198.51.100.1, 203.0.113.9, 10.0.0.1"], None, Some("203.0.113.9")),
        (2, &["198.51.100.1", "203.0.113.9, 10.0.0.1"], None, Some("203.0.113.9")),
        (2, &["10.0.0.1"], None, None),
        (0, &["203.0.113.9"], None, None),
        (1, &[], None, None),
        (1, &["203.0.113.9:4711"], None, Some("203.0.113.9")),
        (1, &["[2001:db8::7]:4711"], None, Some("2001:db8::7")),
        (1, &["2001:db8::7"], None, Some("2001:db8::7")),
        (1, &["unknown"], None, None),
        // A gateway that names its peer itself has noted it in the header, or not.
        (1, &["198.51.100.1, 203.0.113.9"], Some("203.0.113.9"), Some("203.0.113.9")),
        (1, &["198.51.100.1"], Some("203.0.113.9"), Some("203.0.113.9")),
        (2, &["203.0.113.9"], Some("10.0.0.1"), Some("203.0.113.9")),
    ];
    for (hops, lines, peer, expected) in cases {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let from = ClientIp { hops, ..ClientIp::default() };
        let found = client_ip(&headers(&lines), peer.map(|p| p.parse().unwrap()), &from);
        assert_eq!(found, expected.map(|e| e.parse().unwrap()), "{hops} {lines:?} {peer:?}");
    }
}

#[test]
fn a_key_is_one_id_in_every_header_and_another_with_another_secret() {
    let (secret, other) = (Secret::new("one"), Secret::new("two"));
    let id = key_id("sk-1", &secret);
    assert_eq!(id.len(), 32);
    assert!(!id.contains("sk-1"));
    assert_eq!(id, key_id("Bearer sk-1", &secret));
    assert_eq!(id, key_id("bearer  sk-1", &secret));
    assert_ne!(id, key_id("sk-2", &secret));
    assert_ne!(id, key_id("sk-1", &other));
    assert!(!format!("{secret:?}").contains("one"));
}

/// Nothing but the key is believed unless it is configured; several headers of one name count from behind.
#[test]
fn headers_that_a_client_can_set_are_not_believed_by_default() {
    let sent = headers(&[
        ("authorization", "Bearer sk-1"),
        ("x-tos-account", "victim"),
        ("x-tos-account", "u-7"),
        ("x-tos-org", ""),
        ("x-org", "o-1"),
    ]);
    let key = key_id("sk-1", &Secret::new("test"));
    let by_default = said(&forward::read(&edge_with(GatewayOptions::default()), arrival(), &sent, b""));
    assert_eq!(by_default, ["source=forward".to_owned(), format!("account={key}"), format!("api_key_id={key}")]);

    let yaml = "caller: {account: [X-Tos-Account], org: [x-tos-org, x-org], key_id: [x-key-id]}";
    let configured = said(&forward::read(&edge_with(options(yaml)), arrival(), &sent, b""));
    assert_eq!(
        configured,
        ["source=forward".to_owned(), "org=o-1".to_owned(), "account=u-7".to_owned(), format!("api_key_id={key}")]
    );
}

#[test]
fn unknown_keys_and_names_that_are_no_header_are_refused() {
    for (yaml, expected) in [
        ("caler: {}", "unknown field `caler`"),
        ("caller: {acount: [a]}", "unknown field `acount`"),
        ("caller: {client_ip: {hop: 1}}", "unknown field `hop`"),
        ("caller: {account: ['x tos']}", "`x tos` is no name of a header: write letters, digits and hyphens"),
        ("litellm: {ip: [a]}", "unknown field `ip`"),
        ("body_bytes_max: -1", "body_bytes_max"),
    ] {
        let error = serde_yaml::from_str::<GatewayOptions>(yaml).unwrap_err().to_string();
        assert!(error.contains(expected), "{yaml}: {error}");
    }
}

/// The guardrail and the log of one call must name one account, or its two halves never meet.
#[test]
fn litellm_is_read_as_its_log_is() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/mappings/litellm.yaml")).unwrap();
    let mapping: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let names = |field: &str, kept: fn(&str) -> bool| -> Vec<String> {
        let rule = &mapping["fields"][field];
        let paths = rule.get("from").unwrap_or(rule);
        let paths = paths.as_array().cloned().unwrap_or_else(|| vec![paths.clone()]);
        let paths = paths.iter().filter_map(|p| p.as_str()?.strip_prefix("metadata."));
        paths.filter(|p| kept(p)).map(str::to_owned).collect()
    };
    let read = GatewayOptions::default().litellm;
    let all = |_: &str| true;
    assert_eq!(read.account, names("account", all));
    assert_eq!(read.org, names("org", all));
    assert_eq!(read.tenant, names("tenant", all));
    assert_eq!(read.key_id, names("api_key_id", all));
    assert_eq!(read.user, names("user", all));
}
