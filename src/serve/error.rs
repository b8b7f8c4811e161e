//! What a caller is told where there is no answer: one JSON shape for every route, and never a text of an event.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::event::decode::Reject;
use crate::gateway::Unready;
use crate::time::{Duration, SECOND_NS};

/// Seconds after which to come again where nothing better is known.
pub(crate) const RETRY_AFTER_S: u64 = 1;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// A stable word for machines.
    #[schema(example = "missing_field")]
    pub(crate) code: String,
    /// What is wrong, and where.
    #[schema(example = "`ts` is missing: give the time as RFC 3339 text, such as \"2026-03-02T00:00:07Z\"")]
    pub(crate) message: String,
    /// What to write or do instead.
    pub(crate) help: String,
}

/// The shape of every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody {
    /// Why.
    pub(crate) error: Fault,
}

/// A request that is refused, with its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) fault: Box<Fault>,
    /// When to come again, in seconds.
    pub(crate) retry_after_s: Option<u64>,
    /// The connection is not used again: something of this request may still be on its way.
    pub(crate) closes: bool,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let fault = Box::new(Fault { code: code.into(), message: message.into(), help: help.into() });
        Refusal { status, fault, retry_after_s: None, closes: false }
    }

    /// 400: what was sent cannot be understood.
    pub(crate) fn malformed(code: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, code, message, help)
    }

    /// 503, with when to come again.
    pub(crate) fn unavailable(code: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, message, help);
        Refusal { retry_after_s: Some(RETRY_AFTER_S), ..refusal }
    }

    pub(crate) fn retry_after(self, span: Duration) -> Self {
        Refusal { retry_after_s: Some(seconds(span)), ..self }
    }

    pub(crate) fn closing(self) -> Self {
        Refusal { closes: true, ..self }
    }

    /// 404 for a thing that is not there.
    pub(crate) fn absent(what: impl Into<String>, help: impl Into<String>) -> Self {
        Refusal::new(StatusCode::NOT_FOUND, "not_found", what, help)
    }

    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody { error: (*self.fault).clone() }
    }
}

/// Whole seconds, rounded up, at least one.
pub(crate) fn seconds(span: Duration) -> u64 {
    u64::try_from(span.0).unwrap_or(0).div_ceil(SECOND_NS.unsigned_abs()).max(1)
}

impl From<&Reject> for Refusal {
    fn from(reject: &Reject) -> Self {
        Refusal::malformed(
            reject.reason.word(),
            reject.detail.clone(),
            "`fineprint fields` lists the keys of an event and their types",
        )
    }
}

impl From<Unready> for Refusal {
    fn from(why: Unready) -> Self {
        match why {
            Unready::Starting => Refusal::unavailable(
                "starting",
                "the state is still being restored",
                "come again after `Retry-After`; `/readyz` says when it is done",
            ),
            Unready::Draining => Refusal::unavailable(
                "draining",
                "the server is about to end",
                "ask another instance, or come again once it has been started anew",
            )
            .closing(),
            Unready::Overloaded { retry_after } => Refusal::unavailable(
                "overloaded",
                "more comes than can be taken in",
                "come again after `Retry-After`; `limits` and `stream.queue_events` say how much is taken in",
            )
            .retry_after(retry_after),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(json(&self.body())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A value as JSON. What the server answers with holds no map whose keys are not texts, so this cannot fail.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// 200 with a JSON body.
pub(crate) fn answer(value: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(json(value)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
