//! A gateway with the decision in its own process: it asks before it sends a call on, reports what became of it, and hands
//! every record to a thread that finds violations. `cargo run --example gateway -- http://127.0.0.1:8000/v1/chat/completions`
#![allow(clippy::print_stdout, clippy::disallowed_methods, unreachable_pub, missing_docs, reason = "an example")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use fineprint::compile::compile;
use fineprint::decision::Decision;
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::gate::Gate;
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::source::SourceMap;
use fineprint::time::Timestamp;
use serde_json::{Value, json};

const RULES: &str = r#"
policy acme.terms version 2026-01-01 {
  title  "Acme Terms of Service"
  clause fair-use at "3.1" "Keys are not probed, and not used beyond the agreed rate."
}

rule probe {
  enforces acme.terms.fair-use
  mode     enforce
  on       completion where max_tokens <= 0
  action   block account
  because  "a call asked for {max_tokens} tokens"
}

rule busy {
  enforces acme.terms.fair-use
  mode     enforce
  on       completion
  per      account
  over     1m
  let      calls = count()
  when     calls > 5
  action   throttle account to 1 per 10s
  because  "{calls} calls within a minute"
}
"#;

/// What calls share.
#[derive(Clone)]
struct App {
    gate: Arc<Gate>,
    records: SyncSender<UsageEvent<'static>>,
    upstream: String,
    client: reqwest::Client,
    calls: Arc<AtomicU64>,
}

/// Where a gateway stands that sends calls on to a model.
pub fn app(upstream: &str) -> Result<Router, Box<dyn Error + Send + Sync>> {
    let mut sources = SourceMap::default();
    sources.add("gateway.tos", RULES);
    let program = compile(&sources).program;
    let rules = Arc::new(RuleSet::new(program, ReferenceData::default()).map_err(|d| format!("{d:?}"))?);
    let (records, taken) = sync_channel::<UsageEvent<'static>>(10_000);
    let mut evaluator = Evaluator::new(Arc::clone(&rules), EvalOptions::default());
    std::thread::spawn(move || {
        for event in taken {
            evaluator.observe(&event, Origin::default());
            evaluator.take_violations().iter().for_each(|v| println!("{} {}", v.rule, v.because));
        }
    });
    let app = App {
        gate: Arc::new(Gate::new(rules)),
        records,
        upstream: upstream.to_string(),
        client: reqwest::Client::new(),
        calls: Arc::default(),
    };
    Ok(Router::new().route("/v1/chat/completions", post(complete)).with_state(app))
}

async fn complete(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(asked) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let call = format!("call-{}", app.calls.fetch_add(1, Ordering::Relaxed));
    // Who calls is known before: here a header of the layer that checked the key.
    let account = headers.get("x-account").and_then(|a| a.to_str().ok()).unwrap_or("nobody");
    let request = record(Kind::Request, &call, account, &asked);
    let decision = app.gate.decide(&request);
    let _ = app.records.try_send(request);
    if !decision.verdict.passes() {
        return refusal(&decision);
    }
    let sent = app.client.post(&app.upstream).header(header::CONTENT_TYPE, "application/json").body(body).send().await;
    let Ok(answer) = sent else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = answer.status();
    let told: Value = answer.json().await.unwrap_or_default();
    let mut done = record(Kind::Completion, &call, account, &asked);
    done.set(FieldId::STATUS, Slot::Num(status.as_u16().into()));
    if let Some(tokens) = told.pointer("/usage/completion_tokens").and_then(Value::as_i64) {
        done.set(FieldId::OUTPUT_TOKENS, Slot::Num(tokens));
    }
    app.gate.observe(&done);
    let _ = app.records.try_send(done);
    (status, Json(told)).into_response()
}

/// A call as a usage event; both records of it have the same `call`, and ids of their own.
fn record(kind: Kind, call: &str, account: &str, asked: &Value) -> UsageEvent<'static> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let id = format!("{}-{call}", kind.word());
    let mut event = UsageEvent::new(kind, id, Timestamp(i64::try_from(now).unwrap_or(i64::MAX)));
    event.set(FieldId::CALL, Slot::Text(call.to_string().into()));
    event.set(FieldId::ACCOUNT, Slot::Text(account.to_string().into()));
    if let Some(model) = asked.get("model").and_then(Value::as_str) {
        event.set(FieldId::MODEL, Slot::Text(model.to_string().into()));
    }
    if let Some(tokens) = asked.get("max_tokens").and_then(Value::as_i64) {
        event.set(FieldId::MAX_TOKENS, Slot::Num(tokens));
    }
    event
}

/// A refusal in the form that callers of the API know.
fn refusal(decision: &Decision) -> Response {
    let status = StatusCode::from_u16(decision.verdict.status()).unwrap_or(StatusCode::FORBIDDEN);
    let error = json!({ "error": { "message": decision.reason, "type": decision.verdict.word() } });
    let mut response = (status, Json(error)).into_response();
    if let Some(later) = decision.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, (later.0 / 1_000_000_000 + 1).into());
    }
    response
}

#[tokio::main]
#[allow(dead_code, reason = "a test runs the example without it")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let upstream = std::env::args().nth(1).unwrap_or("http://127.0.0.1:8000/v1/chat/completions".to_string());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("a gateway to {upstream} on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app(&upstream)?).await?)
}
