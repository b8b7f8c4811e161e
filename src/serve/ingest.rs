//! Records of what happened, whatever they are written as. What was taken in is answered once it is safe in the journal; a
//! sender that is told 503 sends the same again, and what was taken in already is known by its id.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::clock;
use super::error::{Refusal, answer};
use super::guard::is_of;
use super::metrics::Kind;
use super::openapi::{BadBody, EventOrBatch, Forbidden, Limited};
use super::state::App;
use crate::event::UsageEvent;
use crate::event::decode::{Reject, RejectReason};
use crate::feed::body::{self, BodyError, BodyOptions, Signal, Tally};
use crate::feed::otlp::{Encoding, response};

/// Records that are handed on at a time.
const TURN_RECORDS: usize = 4_096;
/// Bytes of a body beyond which other requests are served beside it.
const LONG_BODY_BYTES: usize = 64 * 1024;

/// What became of the records of a body: `accepted + passed_over + rejected` is all of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ingested {
    /// Taken in, and safe.
    accepted: u64,
    /// Records of something else than usage; nothing is wrong with them.
    passed_over: u64,
    /// Not taken in; they are counted, and kept with place and reason.
    rejected: u64,
    /// How many for which reason.
    #[schema(value_type = Object)]
    reasons: serde_json::Value,
    /// The first of those that were not taken in: line, number in the body, and what was expected.
    #[schema(value_type = Vec<Object>)]
    samples: serde_json::Value,
}

/// Takes in records
///
/// Native events, LiteLLM's payloads, CloudEvents, records of Bedrock, Azure and Envoy: one object, an array, or lines of objects,
/// plain or compressed (gzip, zstd). Each record is told by its keys. A record that cannot be read does not hold up the others.
#[utoipa::path(
    post,
    path = "/v1/events",
    tag = "records",
    request_body(content(
        (EventOrBatch = "application/json"),
        (String = "application/x-ndjson"),
        (Object = "application/cloudevents+json"),
        (Vec<serde_json::Value> = "application/cloudevents-batch+json"),
    )),
    responses((status = 200, description = "What became of them", body = Ingested), BadBody, Forbidden, Limited),
)]
pub(crate) async fn events(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    is_of(
        &headers,
        &["application/json", "application/x-ndjson", "application/ndjson", "application/jsonl", "*+json"],
    )?;
    let tally = take_in(&app, &headers, &body, Signal::Events, "events").await?;
    if tally.accepted + tally.passed_over == 0
        && let Some(first) = tally.samples.first()
    {
        let code = tally.reasons.keys().next().copied().unwrap_or("syntax");
        let place = format!("line {}, record {}: {}", first.line, first.index, first.reason);
        return Err(Refusal::malformed(code, place, "`fineprint fields` lists the keys of an event and their types"));
    }
    Ok(answer(&Ingested {
        accepted: tally.accepted,
        passed_over: tally.passed_over,
        rejected: tally.rejected(),
        reasons: json!(tally.reasons),
        samples: json!(tally.samples),
    }))
}

/// Takes in logs as OTLP writes them
#[utoipa::path(
    post,
    path = "/v1/logs",
    tag = "records",
    request_body(content(
        (Object = "application/json"),
        (Vec<u8> = "application/x-protobuf"),
    )),
    responses(
        (status = 200, description = "ExportLogsServiceResponse, in the form of the request", content(
            (Object = "application/json"),
            (Vec<u8> = "application/x-protobuf"),
        )),
        BadBody, Forbidden, Limited,
    ),
)]
pub(crate) async fn logs(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    otlp(&app, &headers, &body, Signal::Logs, "logs").await
}

/// Takes in traces as OTLP writes them
#[utoipa::path(
    post,
    path = "/v1/traces",
    tag = "records",
    request_body(content(
        (Object = "application/json"),
        (Vec<u8> = "application/x-protobuf"),
    )),
    responses(
        (status = 200, description = "ExportTraceServiceResponse, in the form of the request", content(
            (Object = "application/json"),
            (Vec<u8> = "application/x-protobuf"),
        )),
        BadBody, Forbidden, Limited,
    ),
)]
pub(crate) async fn traces(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    otlp(&app, &headers, &body, Signal::Traces, "traces").await
}

/// Takes in an export; the answer is in the form of the request.
async fn otlp(
    app: &App,
    headers: &HeaderMap,
    body: &[u8],
    signal: Signal,
    source: &'static str,
) -> Result<Response, Refusal> {
    is_of(headers, &["application/x-protobuf", "application/protobuf", "application/json"])?;
    let (form, encoding) = match is_of(headers, &["application/json"]) {
        Ok(()) => ("application/json", Encoding::Json),
        Err(_) => ("application/x-protobuf", Encoding::Protobuf),
    };
    let tally = take_in(app, headers, body, signal, source).await?;
    let mut response = Response::new(Body::from(response(signal, encoding, &tally)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form));
    Ok(response)
}

type Records = Vec<Result<UsageEvent<'static>, Reject>>;

async fn take_in(
    app: &App,
    headers: &HeaderMap,
    body: &[u8],
    signal: Signal,
    source: &'static str,
) -> Result<Tally, Refusal> {
    let engine = app.engine()?;
    let read = || read(app, headers, body, signal);
    let (tally, records) = if body.len() > LONG_BODY_BYTES { tokio::task::block_in_place(read)? } else { read()? };
    let mut receipts = Vec::new();
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        let turn: Records = records.by_ref().take(TURN_RECORDS).collect();
        receipts.push(engine.observe(turn, source, clock::now())?);
        tokio::task::yield_now().await;
    }
    for receipt in receipts {
        receipt.kept().await.map_err(|_| {
            Refusal::unavailable(
                "journal_unavailable",
                "the records are not safe yet",
                "send the same again after `Retry-After`",
            )
        })?;
    }
    app.metrics.records.get_or_create(&Kind { kind: "ingest" }).inc_by(tally.accepted);
    for (reason, n) in &tally.reasons {
        app.metrics.rejected.get_or_create(&Kind { kind: reason }).inc_by(*n);
    }
    Ok(tally)
}

/// Reads a body: what became of its records, and those that are handed on. The books know those that could not be read.
fn read(app: &App, headers: &HeaderMap, body: &[u8], signal: Signal) -> Result<(Tally, Records), Refusal> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let most = app.config.limits.body_bytes.size();
    let plain = body::inflate(body, text(header::CONTENT_ENCODING), most).map_err(|e| refused(&e))?;
    let options = BodyOptions { signal, content_type: text(header::CONTENT_TYPE), mapping: None };
    let (mut tally, mut records) = (Tally::default(), Vec::new());
    for entry in body::entries(&plain, options).map_err(|e| refused(&e))? {
        tally.add(&entry);
        match entry.event {
            Err(reject) if reject.reason == RejectReason::NotUsage => {}
            record => records.push(record),
        }
    }
    Ok((tally, records))
}

fn refused(e: &BodyError) -> Refusal {
    let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let (code, help) = match e {
        BodyError::Encoding(_) => ("content_encoding", "send it plain, or with gzip or zstd"),
        BodyError::Form(_) => ("media_type", "`/openapi.json` lists the forms that are read"),
        BodyError::TooLarge { .. } | BodyError::TooMany => {
            ("too_large", "send it in several requests, or raise `limits.body_bytes` in the configuration")
        }
        BodyError::Compression(_) => ("broken_body", "compress it again"),
        _ => ("malformed", "`/openapi.json` lists the forms that are read"),
    };
    Refusal::new(status, code, e.to_string(), help)
}
