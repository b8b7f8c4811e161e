//! `POST /v1/decide`: one call or several, asked at arrival.

use std::cell::RefCell;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;

use super::answer::{Answer, Answers, Each};
use super::error::{Refusal, answer};
use super::guard::is_of;
use super::metrics::Kind;
use super::openapi::{EventOrBatch, Refused};
use super::state::App;
use crate::event::UsageEvent;
use crate::event::decode::{Decoder, Reject};
use crate::gateway::Decide;

/// Events of a batch after which other requests have their turn.
const TURN_EVENTS: usize = 32;

thread_local! {
    /// What a thread learnt about the order of keys; it makes decoding faster and never shows in a result.
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new());
}

/// Decodes a native record.
pub(crate) fn decode(record: &[u8]) -> Result<UsageEvent<'_>, Reject> {
    DECODER.with(|decoder| match decoder.try_borrow_mut() {
        Ok(mut decoder) => decoder.decode(record),
        Err(_) => Decoder::new().decode(record),
    })
}

/// Asks what to do with a call, or with several
///
/// The event is of type `request` where the call is asked about before it is sent on; its `completion` comes later to
/// `/v1/events` with the same `call`. Answers of a batch stand in the order of its events; a bad event is refused in its place.
#[utoipa::path(
    post,
    path = "/v1/decide",
    tag = "decisions",
    request_body(content = EventOrBatch, content_type = "application/json"),
    responses((status = 200, description = "What to do", body = Answers), Refused),
)]
pub(crate) async fn decide(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    is_of(&headers, &["application/json", "*+json"])?;
    if headers.get(header::CONTENT_ENCODING).is_some_and(|v| v.as_bytes() != b"identity") {
        return Err(Refusal::new(
            axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_encoding",
            "the body is compressed",
            "send it as it is; `/v1/events` takes gzip and zstd",
        ));
    }
    if body.trim_ascii_start().first() == Some(&b'[') {
        return batch(&app, &body).await;
    }
    let event = decode(&body).map_err(|reject| refused(&app, &reject))?;
    let decision = app.decide(event.into_owned())?;
    Ok(answer(&Answer::from(decision)))
}

async fn batch(app: &App, body: &[u8]) -> Result<Response, Refusal> {
    let most = usize::try_from(app.config.limits.batch_events).unwrap_or(usize::MAX);
    let mut records = Vec::new();
    for record in sonic_rs::to_array_iter(body) {
        let record = record.map_err(|e| {
            let place = format!("the array is malformed at byte {}", e.offset());
            Refusal::malformed("syntax", place, "send one event as an object, or several as an array of objects")
        })?;
        if records.len() == most {
            return Err(Refusal::malformed(
                "too_many_events",
                format!("the batch holds more than {most} events"),
                "send several batches, or raise `limits.batch_events` in the configuration",
            ));
        }
        records.push(record);
    }
    let mut answers = Vec::with_capacity(records.len());
    for turn in records.chunks(TURN_EVENTS) {
        let mut events = Vec::with_capacity(turn.len());
        let mut places = Vec::with_capacity(turn.len());
        for record in turn {
            match decode(record.as_raw_str().as_bytes()) {
                Ok(event) => {
                    events.push(event.into_owned());
                    places.push(None);
                }
                Err(reject) => places.push(Some(Each::Refused(refused(app, &reject).body()))),
            }
        }
        // A batch that is turned away half-way comes again as a whole: what was answered is known by its ids.
        let mut decisions = app.decide_all(events)?.into_iter();
        answers.extend(
            places.into_iter().filter_map(|refused| {
                refused.or_else(|| decisions.next().map(|decision| Each::Answer(decision.into())))
            }),
        );
        tokio::task::yield_now().await;
    }
    Ok(answer(&Answers::Batch(answers)))
}

fn refused(app: &App, reject: &Reject) -> Refusal {
    app.metrics.rejected.get_or_create(&Kind { kind: reject.reason.word() }).inc();
    Refusal::from(reject)
}
