//! The examples do what they say: their code runs here, against real sockets.

use std::net::SocketAddr;

use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

#[path = "../../examples/embed.rs"]
mod embed;
#[path = "../../examples/gateway.rs"]
mod gateway;

#[test]
fn an_embedded_evaluator_finds_a_shared_key() {
    let told = embed::run().unwrap();
    let expected = "2026-01-05T10:10:00.000Z shared-key open: one key came from 3 countries within an hour";
    let closed = "2026-01-05T10:10:00.000Z shared-key closed: one key came from 3 countries within an hour";
    assert!(told == [expected] || told == [closed], "{told:?}");
}

async fn listening(app: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A model behind the gateway: calls pass, probes are refused, and who is too busy is told when to come again.
#[tokio::test]
async fn a_gateway_asks_before_it_sends_a_call_on() {
    let answer = json!({ "choices": [], "usage": { "completion_tokens": 7 } });
    let model = listening(Router::new().route("/v1/chat/completions", post(move || async move { Json(answer) }))).await;
    let app = gateway::app(&format!("http://{model}/v1/chat/completions")).unwrap();
    let url = format!("http://{}/v1/chat/completions", listening(app).await);
    let client = reqwest::Client::new();
    let call = async |account: &str, tokens: i64| {
        let body = json!({ "model": "m", "max_tokens": tokens });
        client.post(&url).header("x-account", account).json(&body).send().await.unwrap()
    };
    let passed = call("ann", 100).await;
    assert_eq!(passed.status(), 200);
    assert_eq!(passed.json::<Value>().await.unwrap()["usage"]["completion_tokens"], 7);

    let probe = call("bob", 0).await;
    assert_eq!(probe.status(), 403);
    let told: Value = probe.json().await.unwrap();
    let message = told["error"]["message"].as_str().unwrap();
    assert_eq!(message, "acme.terms, section 3.1: Keys are not probed, and not used beyond the agreed rate.");

    let mut refused = None;
    for _ in 0..10 {
        let answer = call("cat", 100).await;
        if answer.status() == 429 {
            refused = answer.headers().get("retry-after").map(|later| later.to_str().unwrap().parse::<u64>().unwrap());
        }
    }
    assert!(refused.is_some_and(|later| (1..=10).contains(&later)), "{refused:?}");
    assert_eq!(call("ann", 100).await.status(), 200);
}
