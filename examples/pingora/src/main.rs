//! A gateway on pingora: it asks before it sends a call on, reports what became of it, and hands every record to a thread that
//! finds violations. `gateway-on-pingora 127.0.0.1:9000 [127.0.0.1:8000]`: the model, and where it listens.

use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use fineprint::compile::compile;
use fineprint::decision::Decision;
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::gate::Gate;
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::source::SourceMap;
use fineprint::time::Timestamp;
use pingora_core::Result;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::ResponseHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use serde_json::{Value, json};

const RULES: &str = include_str!("gateway.tos");
/// Longest body of a call: pingora keeps so much of what was read ahead, to send it on.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest beginning of an answer that is looked at for its tokens.
const ANSWER_BYTES_MAX: usize = 1 << 20;

struct Gateway {
    gate: Gate,
    records: SyncSender<UsageEvent<'static>>,
    upstream: String,
}

/// One call: what was asked for, and what came back.
#[derive(Default)]
struct Call {
    id: String,
    account: String,
    asked: Option<Value>,
    answer: Vec<u8>,
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Call;

    fn new_ctx(&self) -> Call {
        Call { id: format!("call-{}", nanos()), ..Call::default() }
    }

    /// Reads the call and asks; `true` where it was answered here.
    async fn request_filter(&self, session: &mut Session, call: &mut Call) -> Result<bool> {
        session.enable_retry_buffering();
        let mut body = Vec::new();
        while let Some(part) = session.read_request_body().await? {
            body.extend_from_slice(&part);
            if body.len() > BODY_BYTES_MAX {
                return answered(session, 413, None, "The call is too long.", "too_large").await;
            }
        }
        let Ok(asked) = serde_json::from_slice::<Value>(&body) else {
            return answered(session, 400, None, "The call is no JSON.", "bad_request").await;
        };
        // Who calls is known before: here a header of the layer that checked the key.
        let account = session.req_header().headers.get("x-account").and_then(|a| a.to_str().ok());
        call.account = account.unwrap_or("nobody").to_string();
        let request = record(Kind::Request, call, &asked);
        let decision = self.gate.decide(&request);
        let _ = self.records.try_send(request);
        if !decision.verdict.passes() {
            return refused(session, &decision).await;
        }
        call.asked = Some(asked);
        Ok(false)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Call) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&self.upstream, false, String::new())))
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _: bool,
        call: &mut Call,
    ) -> Result<Option<std::time::Duration>> {
        let room = ANSWER_BYTES_MAX.saturating_sub(call.answer.len());
        call.answer.extend(body.iter().flatten().take(room));
        Ok(None)
    }

    /// Whatever came of a call that passed is reported, a caller that left too: what it holds of limits is settled.
    async fn logging(&self, session: &mut Session, _: Option<&pingora_core::Error>, call: &mut Call) {
        let Some(asked) = call.asked.take() else { return };
        let mut done = record(Kind::Completion, call, &asked);
        let status = session.response_written().map_or(502, |response| response.status.as_u16());
        done.set(FieldId::STATUS, Slot::Num(status.into()));
        let told: Value = serde_json::from_slice(&call.answer).unwrap_or_default();
        if let Some(tokens) = told.pointer("/usage/completion_tokens").and_then(Value::as_i64) {
            done.set(FieldId::OUTPUT_TOKENS, Slot::Num(tokens));
        }
        self.gate.observe(&done);
        let _ = self.records.try_send(done);
    }
}

fn nanos() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    i64::try_from(now).unwrap_or(i64::MAX)
}

/// A call as a usage event; both records of it have the same `call`, and ids of their own.
fn record(kind: Kind, call: &Call, asked: &Value) -> UsageEvent<'static> {
    let mut event = UsageEvent::new(kind, format!("{}-{}", kind.word(), call.id), Timestamp(nanos()));
    event.set(FieldId::CALL, Slot::Text(call.id.clone().into()));
    event.set(FieldId::ACCOUNT, Slot::Text(call.account.clone().into()));
    if let Some(model) = asked.get("model").and_then(Value::as_str) {
        event.set(FieldId::MODEL, Slot::Text(model.to_string().into()));
    }
    if let Some(tokens) = asked.get("max_tokens").and_then(Value::as_i64) {
        event.set(FieldId::MAX_TOKENS, Slot::Num(tokens));
    }
    event
}

/// A refusal in the form that callers of the API know.
async fn refused(session: &mut Session, decision: &Decision) -> Result<bool> {
    let later = decision.retry_after.map(|later| later.0 / 1_000_000_000 + 1);
    answered(session, decision.verdict.status(), later, &decision.reason, decision.verdict.word()).await
}

async fn answered(session: &mut Session, status: u16, later: Option<i64>, message: &str, kind: &str) -> Result<bool> {
    let body = json!({ "error": { "message": message, "type": kind } }).to_string();
    let mut head = ResponseHeader::build(status, None)?;
    head.insert_header("content-type", "application/json")?;
    head.insert_header("content-length", body.len().to_string())?;
    if let Some(later) = later {
        head.insert_header("retry-after", later.to_string())?;
    }
    session.write_response_header(Box::new(head), false).await?;
    session.write_response_body(Some(Bytes::from(body)), true).await?;
    Ok(true)
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let upstream = arguments.next().unwrap_or("127.0.0.1:9000".to_string());
    let listen = arguments.next().unwrap_or("127.0.0.1:8000".to_string());
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
    let mut server = Server::new_with_opt_and_conf(None, ServerConf::default());
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Gateway { gate: Gate::new(rules), records, upstream });
    service.add_tcp(&listen);
    server.add_service(service);
    println!("a gateway on http://{listen}");
    server.run_forever()
}
