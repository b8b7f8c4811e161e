//! What a gateway asks, and what it is told.

use serde_json::{Value, json};

use super::server::{Options, Server, event};

#[test]
fn a_rule_on_a_single_event_refuses_and_tells_no_threshold() {
    let server = Server::start(&Options::default());
    let fine = server.post("/v1/decide", &event("e1", "a", r#""max_tokens":10"#));
    assert_eq!(fine.status, 200);
    assert_eq!(
        fine.json(),
        json!({"decision": "allow", "would": "allow", "mode": "shadow", "status": 200, "reason": "", "rules": [],
               "violations": [], "actions": [], "retry_after_s": null})
    );
    let refused = server.post("/v1/decide", &event("e2", "a", r#""max_tokens":-1"#)).json();
    assert_eq!(
        (&refused["decision"], &refused["status"], &refused["mode"]),
        (&json!("block"), &json!(403), &json!("enforce"))
    );
    assert_eq!(refused["rules"], json!(["probe"]));
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("3.1") && !reason.contains("-1"), "{reason}");
}

#[test]
fn a_rule_that_grows_answers_with_the_call_that_crosses_it_and_in_shadow_mode_lets_it_pass() {
    let server = Server::start(&Options::default());
    let mut connection = server.connect();
    let mut would = Vec::new();
    for n in 0..6 {
        let body = event(&format!("e{n}"), "grows", "");
        let answer = connection.call("POST", "/v1/decide", &[("content-type", "application/json")], body.as_bytes());
        let answer = answer.json();
        assert_eq!(answer["decision"], "allow");
        would.push(answer["would"].as_str().unwrap().to_string());
    }
    assert_eq!(would[..4], ["allow"; 4].map(String::from));
    assert_eq!(would[5], "throttle", "{would:?}");
}

#[test]
fn answers_of_a_batch_stand_in_order_and_a_bad_event_is_refused_in_its_place() {
    let server = Server::start(&Options::default());
    let (one, three) = (event("b1", "a", ""), event("b3", "a", r#""max_tokens":0"#));
    let batch = format!(r#" [ {one} , {{"id":7}}, {three}]"#);
    let answers = server.post("/v1/decide", &batch);
    assert_eq!(answers.status, 200);
    let answers = answers.json();
    assert_eq!(answers.as_array().unwrap().len(), 3);
    assert_eq!(answers[0]["decision"], "allow");
    assert_eq!(answers[1]["error"]["code"], "wrong_type");
    assert_eq!(answers[2]["decision"], "block");
    assert_eq!(server.post("/v1/decide", "[]").json(), json!([]));
    assert_eq!(server.metric(r#"fineprint_rejected_total{kind="wrong_type"}"#), 1.0);
    assert_eq!(server.metric(r#"fineprint_decisions_total{decision="block",would="block"}"#), 1.0);
}

#[test]
fn the_same_event_again_gets_the_same_answer_and_does_not_count_again() {
    let server = Server::start(&Options::default());
    let same = event("same", "again", "");
    let answers: Vec<Value> = (0..8).map(|_| server.post("/v1/decide", &same).json()).collect();
    assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
}
