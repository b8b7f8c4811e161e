//! Whether the server lives, and whether it answers.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{RETRY_AFTER_S, answer};
use super::keys::Peer;
use super::openapi::{Forbidden, Limited};
use super::state::{App, Phase};

/// The process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `live`.
    #[schema(example = "live")]
    status: &'static str,
}

/// Whether decisions are given.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether decisions are given.
    ready: bool,
    /// `starting`, `ready`, `ending`.
    #[schema(example = "ready")]
    status: &'static str,
    /// What stands behind it, for callers that may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// What stands behind readiness.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Details {
    /// The rules in force.
    rules: RulesDetail,
}

/// The rules in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RulesDetail {
    /// How many.
    count: usize,
    /// Over all rules, policies, lists and the registry: SHA-256, lower-case hex.
    hash: String,
    /// Since when, by the clock of the server.
    since: String,
}

/// Whether the process lives
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    responses((status = 200, description = "It lives", body = Health)),
)]
pub(crate) async fn healthz() -> Response {
    answer(&Health { status: "live" })
}

/// Whether decisions are given
///
/// Callers that may read are told details.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "Decisions are given", body = Readiness),
        (status = 503, description = "Not now; `Retry-After` says when to ask again", body = Readiness),
    ),
)]
pub(crate) async fn readyz(State(app): State<App>, peer: Option<Extension<Peer>>, headers: HeaderMap) -> Response {
    let phase = app.phase();
    let status = match phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Ending | Phase::Closed => "ending",
    };
    let details = app.callers.may_read(&headers, peer.as_deref()).then(|| details(&app)).flatten();
    let mut response = answer(&Readiness { ready: phase == Phase::Ready, status, details });
    if phase != Phase::Ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    response
}

fn details(app: &App) -> Option<Details> {
    let engine = app.engine_at_end()?;
    let in_force = engine.in_force.load();
    Some(Details {
        rules: RulesDetail {
            count: in_force.rules.program().rules.len(),
            hash: in_force.rules.bundle_hash().to_string(),
            since: in_force.since.to_string(),
        },
    })
}

/// Metrics, in the text form of OpenMetrics
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses(
        (status = 200, description = "Metrics", body = String, content_type = "application/openmetrics-text"),
        Forbidden, Limited,
    ),
)]
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let form = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, form)], app.metrics.text()).into_response()
}
