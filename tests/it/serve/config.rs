//! A configuration that is wrong says what, where, and what to write instead.

use super::server::{Options, command, directory};

#[test]
fn a_wrong_key_or_value_is_told_with_what_to_write_instead() {
    let digest = "0".repeat(64);
    let twice =
        format!("keys: [{{name: a, sha256: {digest}, may: [read]}}, {{name: a, sha256: {digest}, may: [read]}}]");
    let nothing = format!("keys: [{{name: a, sha256: {digest}, may: []}}]");
    let cases = [
        ("lisen: 127.0.0.1:1", "unknown field `lisen`", "did you mean `listen`?"),
        ("limits: {body_byte: 1}", "unknown field `body_byte`", "did you mean `body_bytes`?"),
        ("limits: {body_bytes: many}", "a number of bytes, such as 8MiB or 65536", "docs/serve.md"),
        ("limits: {request_time: 10}", "a span of time with its unit", "docs/serve.md"),
        ("limits: {connections: 0}", "`limits.connections` is 0", "at least 1"),
        ("limits: {bodies_bytes: 1KiB}", "less than `limits.body_bytes`", "at least as much"),
        ("listen: here", "invalid socket address", "docs/serve.md"),
        ("keys: [{name: a, sha256: abc, may: [read]}]", "a SHA-256 of 64 hexadecimal digits", "docs/serve.md"),
        ("keys: [{name: a, may: [read]}]", "missing field `sha256`", "add `sha256"),
        ("keys: [{name: a, sha256: '', may: [reed]}]", "SHA-256", "docs/serve.md"),
        (&twice, "two keys or clients are called `a`", "its own name"),
        (&nothing, "`a` may do nothing", "may: ["),
        ("reload: {changed_rules: forget}", "unknown variant `forget`", "reset, keep"),
        ("gateways: {caler: {}}", "unknown field `caler`", "did you mean `caller`?"),
        ("tls: {certificate: no.pem, key: no.pem}", "`tls.certificate` cannot be read", "check the path"),
    ];
    for (config, what, instead) in cases {
        let directory = directory(&Options { config, ..Options::default() });
        let refused = command(directory.path()).arg("--check-only").output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(3), "{config}: {said}");
        assert!(said.contains(what), "{config}: {said}");
        assert!(said.contains("help: ") && said.contains(instead), "{config}: {said}");
    }
}

#[test]
fn rules_that_cannot_be_used_open_nothing() {
    let directory = directory(&Options { rules: "rule a {", ..Options::default() });
    let refused = command(directory.path()).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stdout.is_empty(), "no port was told");
    assert!(!directory.path().join("log.db").exists());
}
