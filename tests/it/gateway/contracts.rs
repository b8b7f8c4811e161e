//! What gateways send, in the shapes that were captured from them, and the events it becomes.

use fineprint::event::Kind;
use fineprint::gateway::{GatewayOptions, envoy_http, forward, litellm, portkey};

use super::callers::headers;
use super::{arrival, edge_with, options, said};

pub(super) const GUARDED: &str = r#"{"input_type":"request","litellm_call_id":"c-1","litellm_trace_id":"sess-77",
 "structured_messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"first"},
   {"role":"assistant","content":"a"},{"role":"user","content":[{"type":"text","text":"second"},{"type":"image_url"}]}],
 "texts":["Be brief.","first","a","second"],"images":null,"tools":[{"type":"function","function":{"name":"f"}}],"tool_calls":null,
 "request_data":{"user_api_key_hash":"88dc","user_api_key_alias":"k","user_api_key_user_id":"u-1","user_api_key_user_email":null,
   "user_api_key_team_id":"t-1","user_api_key_team_alias":null,"user_api_key_end_user_id":"e-9","user_api_key_org_id":"o-1"},
 "request_headers":{"host":"localhost","user-agent":"OpenAI/Python 1.0","authorization":"[present]","accept-language":"[present]",
   "x-forwarded-for":"198.51.100.1, 203.0.113.9"},
 "litellm_version":"1.108.7","additional_provider_specific_params":{},"model":"gpt-mock"}"#;

#[test]
fn litellm_before_a_call() {
    let edge = edge_with(GatewayOptions::default());
    let Ok(litellm::Asked::Request(event)) = litellm::read(&edge, arrival(), GUARDED.as_bytes()) else { panic!() };
    assert_eq!(event.kind(), Kind::Request);
    let expected = [
        "source=litellm",
        "call=c-1",
        "model=gpt-mock",
        "tenant=t-1",
        "org=o-1",
        "account=u-1",
        "api_key_id=88dc",
        "user=e-9",
        "ip=203.0.113.9",
        "user_agent=OpenAI/Python 1.0",
        "session=sess-77",
        "tools=1",
        "prompt=second",
        "system_prompt=Be brief.",
    ];
    assert_eq!(said(&event), expected);
    // The call id may be a client's own, so it is never the event's id, by which duplicates are told.
    assert_eq!(event.id(), "t-0");
}

/// Embeddings have no messages, keys without a user are their own account.
#[test]
fn litellm_before_an_embedding_of_a_bare_key() {
    let body = r#"{"input_type":"request","litellm_call_id":"c-2","structured_messages":null,"texts":["one","two"],
        "request_data":{"user_api_key_hash":"88dc","user_api_key_user_id":""},"model":"embed","new_key":[1]}"#;
    let edge = edge_with(GatewayOptions::default());
    let Ok(litellm::Asked::Request(event)) = litellm::read(&edge, arrival(), body.as_bytes()) else { panic!() };
    let expected = ["source=litellm", "call=c-2", "model=embed", "account=88dc", "api_key_id=88dc", "prompt=one\ntwo"];
    assert_eq!(said(&event), expected);
}

#[test]
fn litellm_after_a_call_names_the_deployment() {
    let body = r#"{"input_type":"response","litellm_call_id":"c-1","structured_messages":null,"texts":["Hello wor"],
        "request_data":{"user_api_key_hash":"88dc","user_api_key_user_id":"u-1"},"request_headers":null,"model":"gpt-4o"}"#;
    let edge = edge_with(GatewayOptions::default());
    let Ok(litellm::Asked::Response(event)) = litellm::read(&edge, arrival(), body.as_bytes()) else { panic!() };
    let expected = [
        "source=litellm",
        "call=c-1",
        "model_version=gpt-4o",
        "account=u-1",
        "api_key_id=88dc",
        "completion=Hello wor",
    ];
    assert_eq!((event.kind(), said(&event)), (Kind::Completion, expected.map(str::to_owned).to_vec()));
}

pub(super) const HOOKED: &str = r#"{"request":{"json":{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]},
  "text":"hi","isStreamingRequest":false,"isTransformed":false},"response":{"json":{},"text":"","statusCode":null,"isTransformed":false},
  "provider":"openai","requestType":"chatComplete","metadata":{"_user":"u-1","trace":"c-1"},"eventType":"beforeRequestHook"}"#;

#[test]
fn portkey_before_and_after_a_call() {
    let edge = edge_with(options("portkey: {account: [_user], call: [trace]}\ncaller: {org: [x-tos-org]}"));
    let sent = headers(&[("x-tos-org", "o-1"), ("authorization", "Bearer ours")]);
    let Ok(portkey::Asked::Request(event)) = portkey::read(&edge, arrival(), &sent, HOOKED.as_bytes()) else {
        panic!()
    };
    let call = ["source=portkey", "call=c-1", "provider=openai", "model=m"];
    let who = ["endpoint=chatComplete", "org=o-1", "account=u-1"];
    let asked = ["max_tokens=5", "stream=false"];
    assert_eq!(said(&event), [&call[..], &who, &asked, &["prompt=hi"]].concat());

    let after = HOOKED.replace("beforeRequestHook", "afterRequestHook").replace(
        r#"{"json":{},"text":"","statusCode":null"#,
        r#"{"json":{"model":"m-1","choices":[{"finish_reason":"stop","message":{"content":"yes"}}],"usage":{"prompt_tokens":3,"completion_tokens":4}},"statusCode":200"#,
    );
    let Ok(portkey::Asked::Response(event)) = portkey::read(&edge, arrival(), &sent, after.as_bytes()) else {
        panic!()
    };
    let call = ["source=portkey", "call=c-1", "provider=openai", "model=m", "model_version=m-1"];
    let used =
        ["input_tokens=3", "output_tokens=4", "status=200", "finish_reason=stop", "rate_limited=false", "latency_ms=0"];
    assert_eq!(said(&event), [&call[..], &who, &asked, &used, &["prompt=hi", "completion=yes"]].concat());
}

#[test]
fn forwarded_questions_name_the_path_of_the_call() {
    let edge = edge_with(GatewayOptions::default());
    let cases: [(&[(&str, &str)], &[u8], &[&str]); 5] = [
        (
            &[("x-forwarded-method", "POST"), ("x-forwarded-uri", "/v1/chat/completions?key=secret")],
            b"",
            &["endpoint=/v1/chat/completions"],
        ),
        (&[("x-original-method", "POST"), ("x-original-uri", "/v1/messages")], b"", &["endpoint=/v1/messages"]),
        // A client may send the pair that its gateway does not set; the one that gateways are shown to set counts.
        (&[("x-original-uri", "/free"), ("x-forwarded-uri", "/v1/messages")], b"", &["endpoint=/v1/messages"]),
        (
            &[("x-forwarded-uri", "/v1beta/models/gem-1:generateContent")],
            b"",
            &["model=gem-1", "endpoint=/v1beta/models/gem-1:generateContent"],
        ),
        (&[("x-request-id", "r-1")], br#"{"model":"m","n":2}"#, &["call=r-1", "model=m", "n=2"]),
    ];
    for (sent, body, expected) in cases {
        let event = forward::read(&edge, arrival(), &headers(sent), body);
        assert_eq!(event.kind(), Kind::Request);
        assert_eq!(said(&event), [&["source=forward"], expected].concat());
    }
}

/// A call that never becomes a completion has no `call`: it would count ahead of an answer that never comes.
#[test]
fn only_what_becomes_a_completion_has_a_call() {
    let edge = edge_with(GatewayOptions::default());
    for (path, has_call) in [
        ("/v1/chat/completions", true),
        ("/v1/messages?beta=true", true),
        ("/v1beta/models/gem-1:generateContent", true),
        ("/v1beta/models/gem-1:streamGenerateContent?alt=sse", true),
        ("/model/m-1/invoke", true),
        ("/openai/deployments/d/chat/completions", true),
        ("", true),
        ("/v1/models", false),
        ("/v1/models/m-1", false),
        ("/v1/embeddings/", false),
        ("/v1/messages/count_tokens", false),
        ("/v1beta/models/gem-1:countTokens", false),
        ("/v1/audio/speech?x=chat/completions", false),
        ("/v1/images/generations", false),
        ("/v1/files/f-1", false),
    ] {
        let sent = headers(&[("x-request-id", "r-1"), ("x-forwarded-method", "POST"), ("x-forwarded-uri", path)]);
        let forwarded = forward::read(&edge, arrival(), &sent, b"");
        let asked = envoy_http::read(&edge, arrival(), path, &sent, b"");
        for event in [forwarded, asked] {
            assert_eq!(said(&event).contains(&"call=r-1".to_string()), has_call, "{path}");
        }
    }
    for (method, has_call) in [("POST", true), ("GET", false), ("DELETE", false)] {
        let sent = headers(&[("x-request-id", "r-1"), ("x-forwarded-method", method), ("x-forwarded-uri", "/x")]);
        let event = forward::read(&edge, arrival(), &sent, b"");
        assert_eq!(said(&event).contains(&"call=r-1".to_string()), has_call, "{method}");
    }
}

#[test]
fn settings_of_a_forwarded_question() {
    for (query, deny_as, tells_rules) in [
        (None, None, false),
        (Some("deny_as=403"), Some(403), false),
        (Some("deny_as=403&tell=rules"), Some(403), true),
    ] {
        let read = forward::refusing(query).unwrap();
        assert_eq!((read.deny_as, read.tells_rules), (deny_as, tells_rules));
    }
    for (query, expected) in [
        ("deny_as=200", "`deny_as` is a status from 400 to 499, as in `?deny_as=403`"),
        ("deny_as", "`deny_as` is a status from 400 to 499, as in `?deny_as=403`"),
        ("tell=all", "`tell` can be `rules` only, as in `?tell=rules`"),
        ("denyas=403", "unknown setting; there are `deny_as` and `tell`"),
    ] {
        assert_eq!(forward::refusing(Some(query)).unwrap_err(), expected);
    }
}

/// One body in each shape that models are called with.
#[test]
fn bodies_of_model_apis() {
    let edge = edge_with(GatewayOptions::default());
    let user = super::contracts::user("e-1");
    let cases: [(&str, Vec<&str>); 9] = [
        (
            r#"{"model":"m","messages":[{"role":"developer","content":"d"},{"role":"user","content":"u"}],"max_tokens":-1,
              "temperature":0.7,"top_p":1,"n":3,"stream":true,"logprobs":true,"top_logprobs":5,"logit_bias":{"1":2,"3":4},"seed":9,
              "tools":[{},{}],"response_format":{"type":"json_schema"},"user":"e-1"}"#,
            vec![
                "model=m",
                &user,
                "n=3",
                "temperature=700000",
                "top_p=1000000",
                "max_tokens=-1",
                "logprobs=true",
                "top_logprobs=5",
                "logit_bias_count=2",
                "seed=9",
                "response_format=json_schema",
                "tools=2",
                "stream=true",
                "prompt=u",
                "system_prompt=d",
            ],
        ),
        (r#"{"max_completion_tokens":7,"safety_identifier":"e-1"}"#, vec![&user, "max_tokens=7"]),
        (
            r#"{"input":"ask","instructions":"sys","max_output_tokens":8,"text":{"format":{"type":"text"}}}"#,
            vec!["max_tokens=8", "response_format=text", "prompt=ask", "system_prompt=sys"],
        ),
        (
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]}]}"#,
            vec!["prompt=a\nb"],
        ),
        (
            r#"{"system":[{"type":"text","text":"s1"},{"type":"text","text":"s2"}],"messages":[{"role":"user","content":"q"}],
              "metadata":{"user_id":"e-1"}}"#,
            vec![&user, "prompt=q", "system_prompt=s1\ns2"],
        ),
        (r#"{"prompt":["one","two"],"logprobs":0}"#, vec!["logprobs=false", "prompt=one\ntwo"]),
        // Of a key that stands twice the last counts, as with most servers of models.
        (r#"{"model":"a","model":"b"}"#, vec!["model=b"]),
        // Of the wrong type: unknown.
        (
            r#"{"model":1,"max_tokens":"9","n":1.5,"temperature":[],"messages":{},"tools":"x","user":4,"stream":"yes"}"#,
            vec![],
        ),
        ("", vec![]),
    ];
    for (body, expected) in cases {
        let event = envoy_http::read(&edge, arrival(), "", &headers(&[]), body.as_bytes());
        assert_eq!(said(&event), [vec!["source=envoy"], expected].concat(), "{body}");
    }
}

/// What Envoy cut off gives what stands before the cut, and no list, whose end is missing.
#[test]
fn a_cut_body_gives_what_stands_before_the_cut() {
    let edge = edge_with(GatewayOptions::default());
    let whole = r#"{"model":"m","max_tokens":9,"tools":[{"a":"\"]"}],"messages":[{"role":"user","content":"old"},{"role":"user","con"#;
    let marked = "header_flags=[partial-body]";
    for (length, expected) in [
        (whole.len(), vec![marked, "model=m", "max_tokens=9"]),
        (40, vec![marked, "model=m", "max_tokens=9"]),
        (14, vec![marked, "model=m"]),
        (11, vec![marked, "unreadable-body"]),
    ] {
        let sent = headers(&[("x-envoy-auth-partial-body", "true")]);
        let event = envoy_http::read(&edge, arrival(), "", &sent, &whole.as_bytes()[..length]);
        let mut said = said(&event);
        said.sort();
        let mut expected: Vec<String> =
            [vec!["source=envoy"], expected].concat().iter().map(|e| (*e).to_owned()).collect();
        if length == 11 {
            expected = vec!["source=envoy".to_owned(), "header_flags=[partial-body unreadable-body]".to_owned()];
        }
        expected.sort();
        assert_eq!(said, expected, "{length}");
    }
}

fn user(name: &str) -> String {
    let body = format!(r#"{{"user":"{name}"}}"#);
    let event = envoy_http::read(&edge_with(GatewayOptions::default()), arrival(), "", &headers(&[]), body.as_bytes());
    let said = said(&event).pop().unwrap();
    assert!(said.starts_with("user=") && !said.contains(name), "{said}");
    said
}
