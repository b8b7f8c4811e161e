//! Every verdict in the words of every contract. What callers are shown holds the public reason and nothing of the engine.

use fineprint::decision::{Decision, Verdict};
use fineprint::gateway::answer::{Answer, Refusing};
use fineprint::gateway::{Unready, envoy_grpc, litellm, portkey};
use fineprint::hir::Mode;
use fineprint::time::{Duration, SECOND_NS};

pub(super) fn decided(verdict: Verdict) -> Decision {
    let reason = if verdict.passes() { String::new() } else { "Refused under section 3.1.".to_owned() };
    Decision {
        verdict,
        would: Verdict::Block,
        retry_after: (verdict == Verdict::Throttle).then_some(Duration(SECOND_NS * 30 + 1)),
        reason,
        rules: vec!["probing".to_owned(), "sharing".to_owned()],
        violations: vec!["v-1".to_owned()],
        actions: vec!["a-1".to_owned()],
        mode: Mode::Enforce,
    }
}

fn line(answer: &Answer) -> String {
    let headers: Vec<String> = answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{} {} {}", answer.status, headers.join("; "), answer.body)
}

#[test]
fn over_http() {
    let told = |verdict, refusing| line(&Answer::of(&decided(verdict), refusing));
    let plain = Refusing::default();
    let error = |code: &str| {
        format!(
            r#"{{"error":{{"message":"Refused under section 3.1.","type":"policy_violation","param":null,"code":"{code}"}}}}"#
        )
    };
    let internals = "x-tos-rules: probing,sharing; x-tos-violation: v-1";
    let cases = [
        (told(Verdict::Allow, plain), format!("200 x-tos-decision: allow; {internals}; x-tos-would: block ")),
        (told(Verdict::Flag, plain), format!("200 x-tos-decision: flag; {internals}; x-tos-would: block ")),
        (told(Verdict::Challenge, plain), format!("401 x-tos-decision: challenge; x-tos-status: 401 {}", error("challenge"))),
        (
            told(Verdict::Throttle, plain),
            format!("429 x-tos-decision: throttle; x-tos-status: 429; retry-after: 31 {}", error("throttle")),
        ),
        (told(Verdict::Block, plain), format!("403 x-tos-decision: block; x-tos-status: 403 {}", error("block"))),
        (
            told(Verdict::Throttle, Refusing { deny_as: Some(403), tells_rules: true }),
            format!(
                "403 x-tos-decision: throttle; {internals}; x-tos-would: block; x-tos-status: 429; retry-after: 31 {}",
                error("throttle")
            ),
        ),
        (line(&Answer::unready(Unready::Starting)), r#"503 retry-after: 1 {"error":{"message":"starting: the state is being restored","type":"unavailable","param":null,"code":"unavailable"}}"#.to_owned()),
        (line(&Answer::unready(Unready::Overloaded { retry_after: Duration(1) })), r#"503 retry-after: 1 {"error":{"message":"overloaded: come again later","type":"unavailable","param":null,"code":"unavailable"}}"#.to_owned()),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

#[test]
fn a_refusal_always_has_a_reason_for_the_caller() {
    for verdict in [Verdict::Challenge, Verdict::Throttle, Verdict::Block] {
        let silent = Decision { reason: String::new(), ..decided(verdict) };
        let body: serde_json::Value = serde_json::from_str(&Answer::of(&silent, Refusing::default()).body).unwrap();
        assert!(body["error"]["message"].as_str().unwrap().len() > 20, "{body}");
    }
}

/// Names past the bound are counted, not listed.
#[test]
fn a_header_lists_sixteen_names() {
    let many = Decision { rules: (0..19).map(|n| format!("r{n}")).collect(), ..decided(Verdict::Flag) };
    let answer = Answer::of(&many, Refusing::default());
    let rules = &answer.headers.iter().find(|(name, _)| *name == "x-tos-rules").unwrap().1;
    assert!(rules.ends_with("r14,r15,+3"), "{rules}");
}

#[test]
fn in_the_words_of_litellm_and_portkey() {
    let cases = [
        (Verdict::Allow, r#"{"action":"NONE"}"#, r#"{"verdict":true}"#),
        (Verdict::Flag, r#"{"action":"NONE"}"#, r#"{"verdict":true}"#),
        (
            Verdict::Challenge,
            r#"{"action":"BLOCKED","blocked_reason":"Refused under section 3.1."}"#,
            r#"{"verdict":false,"data":{"decision":"challenge","reason":"Refused under section 3.1."}}"#,
        ),
        (
            Verdict::Throttle,
            r#"{"action":"BLOCKED","blocked_reason":"Refused under section 3.1."}"#,
            r#"{"verdict":false,"data":{"decision":"throttle","reason":"Refused under section 3.1.","retry_after":"31"}}"#,
        ),
        (
            Verdict::Block,
            r#"{"action":"BLOCKED","blocked_reason":"Refused under section 3.1."}"#,
            r#"{"verdict":false,"data":{"decision":"block","reason":"Refused under section 3.1."}}"#,
        ),
    ];
    for (verdict, at_litellm, at_portkey) in cases {
        assert_eq!(line(&litellm::answer(&decided(verdict))), format!("200  {at_litellm}"));
        assert_eq!(line(&portkey::answer(&decided(verdict))), format!("200  {at_portkey}"));
    }
}

/// Envoy keeps dynamic metadata to itself; everything else of a refusal goes to the caller.
#[test]
fn in_the_words_of_envoy() {
    use fineprint::gateway::proto::CheckAnswer;
    let told = envoy_grpc::answer(&decided(Verdict::Throttle));
    assert_eq!(told.status.unwrap().code, 7);
    let metadata = told.dynamic_metadata.unwrap();
    assert_eq!(metadata.fields["rules"].text.as_deref(), Some("probing,sharing"));
    assert_eq!(metadata.fields["decision"].text.as_deref(), Some("throttle"));
    let Some(CheckAnswer::Denied(denied)) = told.answer else { panic!("passes") };
    assert_eq!(denied.status.unwrap().code, 429);
    let shown: Vec<_> = denied.headers.iter().map(|h| h.header.as_ref().unwrap().key.as_str()).collect();
    assert_eq!(shown, ["x-tos-decision", "x-tos-status", "retry-after", "content-type"]);

    let told = envoy_grpc::answer(&decided(Verdict::Flag));
    assert_eq!(told.status.unwrap().code, 0);
    assert!(matches!(told.answer, Some(CheckAnswer::Ok(ok)) if ok.headers.len() == 4));
}
