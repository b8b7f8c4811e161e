//! Bodies that mean harm. What breaks the contract of a gateway is refused with what is wrong and none of its values; what a
//! client put into a call leaves a mark and is still decided upon: nobody gets past by being unreadable.

use fineprint::gateway::options::SHORT_TEXT_BYTES_MAX;
use fineprint::gateway::{GatewayOptions, envoy_http, litellm, portkey};

use super::callers::headers;
use super::{arrival, edge_with, said};

#[test]
fn what_breaks_a_contract_is_refused_with_what_is_wrong() {
    let edge = edge_with(GatewayOptions::default());
    let deep = format!("{{\"input_type\":\"request\",\"structured_messages\":{}", "[".repeat(100_000));
    let at_litellm: [(&[u8], &str); 10] = [
        (b"", "ends too early"),
        (b"[1]", "not a guardrail request of LiteLLM"),
        (b"{", "ends too early"),
        (b"{}", "missing field `input_type`"),
        (br#"{"input_type":"secret-value"}"#, "expected `request` or `response`"),
        (br#"{"input_type":7,"model":"secret-value"}"#, "a value of the wrong type at line 1"),
        (br#"{"input_type":"request","texts":"secret-value"}"#, "expected a sequence"),
        (br#"{"input_type":"request","model":{"a":"secret-value"}}"#, "expected a string"),
        (b"{\"input_type\":\"request\",\"model\":\"\xff\xfe\"}", "no JSON at line 1"),
        (deep.as_bytes(), "no JSON at line 1"),
    ];
    for (body, expected) in at_litellm {
        let error = litellm::read(&edge, arrival(), body).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("secret-value"), "{error}");
    }
    let at_portkey: [(&[u8], &str); 4] = [
        (b"null", "not a webhook of Portkey"),
        (b"{}", "missing field `eventType`"),
        (br#"{"eventType":"other"}"#, "expected `beforeRequestHook` or `afterRequestHook`"),
        (br#"{"eventType":"beforeRequestHook","request":[]}"#, "expected"),
    ];
    for (body, expected) in at_portkey {
        let error = portkey::read(&edge, arrival(), &headers(&[]), body).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_a_client_sends_is_marked_and_decided_upon() {
    let edge = edge_with(GatewayOptions::default());
    let deep = format!("{{\"model\":{}", "[".repeat(100_000));
    let long = format!(r#"{{"model":"{}","n":1}}"#, "m".repeat(SHORT_TEXT_BYTES_MAX + 1));
    let cases: [(&[u8], &[&str]); 8] = [
        (b"no JSON", &["header_flags=[unreadable-body]"]),
        (b"\xff\xfe", &["header_flags=[unreadable-body]"]),
        (b"[]", &["header_flags=[unreadable-body]"]),
        (br#"{"model":"\ud800"}"#, &["header_flags=[unreadable-body]"]),
        (deep.as_bytes(), &["header_flags=[unreadable-body]"]),
        (long.as_bytes(), &["header_flags=[oversized-field]", "n=1"]),
        (
            br#"{"n":99999999999999999999,"seed":-9223372036854775808,"temperature":1e400}"#,
            &["header_flags=[unreadable-body]"],
        ),
        (br#"{"max_tokens":18446744073709551615,"top_p":1e300}"#, &[]),
    ];
    for (body, expected) in cases {
        let event = envoy_http::read(&edge, arrival(), "", &headers(&[]), body);
        assert_eq!(said(&event), [&["source=envoy"], expected].concat());
    }
    let encoded = envoy_http::read(&edge, arrival(), "", &headers(&[("content-encoding", "gzip")]), b"{}");
    assert_eq!(said(&encoded), ["source=envoy", "header_flags=[unreadable-body]"]);
}

#[test]
fn a_text_of_a_megabyte_is_read() {
    let edge = edge_with(GatewayOptions::default());
    let prompt = "é".repeat(1 << 19);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
    let event = envoy_http::read(&edge, arrival(), &"/long".repeat(1000), &headers(&[]), body.as_bytes());
    let said = said(&event);
    assert_eq!(said[1], "header_flags=[oversized-field]");
    assert_eq!(said[2].len(), "prompt=".len() + (1 << 20));
}
