//! Whether the server lives, and whether it answers.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::clock;
use super::error::{RETRY_AFTER_S, Refusal, answer};
use super::gaps::{Counts, Line};
use super::keys::Peer;
use super::openapi::{Forbidden, Limited};
use super::rules::FateWord;
use super::state::{App, Phase};
use super::timer::measure;
use crate::eval::Fate;
use crate::runtime::live::Phase as Session;

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
    /// `starting`, `ready`, `failing` (the journal cannot be written), `ending`.
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
    /// What came of the last reload; null before the first.
    last_reload: Option<ReloadDetail>,
    /// The last change of rules since the start, a restart under other rules included; null where there was none.
    last_change: Option<ChangeDetail>,
    /// What becomes of events behind the answers.
    session: SessionDetail,
    /// Calls of which a record is missing; null until both decisions and records have been seen.
    gaps: Option<GapsDetail>,
}

/// What came of a reload.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReloadDetail {
    /// When.
    at: String,
    /// Whether other rules, lists or accounts took effect.
    changed: bool,
    /// Why it changed nothing, where something is wrong; the rules before stay in force.
    failed: Option<String>,
}

/// A change of rules.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeDetail {
    /// From this event time on findings are those of the rules handed in last.
    from: String,
    /// Rule sets that wait for their time, which comes with events.
    waiting: usize,
    /// What became of each rule that is not as it was, by name.
    rules: BTreeMap<String, FateWord>,
    /// Whether the journal is being counted for rules that are backfilled.
    backfilling: bool,
    /// Backfills since the start.
    backfills: u64,
    /// What the last of them took; zero before the first.
    last_backfill: BackfillDetail,
}

/// What a backfill took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackfillDetail {
    /// Records of the journal that were counted.
    records: u64,
    /// From when the rules were read until they took over, in seconds.
    took_s: f64,
    /// How long events waited inside for it, in seconds.
    waited_s: f64,
    /// The longest time at a stretch in which no events were taken in because of it, in seconds.
    pause_s: f64,
}

/// What becomes of events behind the answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionDetail {
    /// `running`; `failed` where journal or log cannot be written, which is tried again.
    status: &'static str,
    /// Events that wait.
    queue: usize,
    /// Commits since the start.
    commits: u64,
    /// Commits that could not be made since the last one that was.
    commits_failed: u64,
    /// Everything before it is judged; null before the first event.
    watermark: Option<String>,
    /// What went wrong last, and has not gone right since.
    last_error: Option<String>,
}

/// Calls of which a record is missing, since the start.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GapsDetail {
    #[serde(flatten)]
    counts: Counts,
    /// Calls that were told apart no more, for want of room.
    forgotten: u64,
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
    let session = app.engine_at_end().map(|e| e.live.status().phase);
    let status = match app.phase() {
        Phase::Starting => "starting",
        // Nothing is taken in while the journal cannot be written; without a writer no action takes effect.
        Phase::Ready if session == Some(Session::Failed) || !app.writes() => "failing",
        Phase::Ready => "ready",
        Phase::Ending | Phase::Closed => "ending",
    };
    let ready = status == "ready";
    let details = app.callers.may_read(&headers, peer.as_deref()).then(|| details(&app)).flatten();
    let mut response = answer(&Readiness { ready, status, details });
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    response
}

fn details(app: &App) -> Option<Details> {
    let engine = app.engine_at_end()?;
    let in_force = engine.in_force.load();
    let status = engine.live.status();
    Some(Details {
        last_reload: app.last_reload().map(|r| ReloadDetail {
            at: r.at.to_string(),
            changed: r.changed,
            failed: r.failed,
        }),
        last_change: status.last_change.map(|change| ChangeDetail {
            from: change.at.to_string(),
            waiting: status.changes_waiting,
            rules: change
                .fates
                .into_iter()
                .filter(|(_, f)| *f != Fate::Unchanged)
                .map(|(r, f)| (r, f.into()))
                .collect(),
            backfilling: status.backfilling,
            backfills: status.backfills,
            last_backfill: BackfillDetail {
                records: status.backfilled.records,
                took_s: status.backfilled.took.as_secs_f64(),
                waited_s: status.backfilled.waited.as_secs_f64(),
                pause_s: status.backfilled.pause_max.as_secs_f64(),
            },
        }),
        session: SessionDetail {
            status: status.phase.word(),
            queue: status.queue_records,
            commits: status.commits,
            commits_failed: status.commits_failed,
            watermark: status.watermark.map(|w| w.to_string()),
            last_error: status.last_error,
        },
        gaps: engine.gaps.total(clock::now()).map(|(counts, forgotten)| GapsDetail { counts, forgotten }),
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
    measure(&app);
    let form = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, form)], app.metrics.text()).into_response()
}

/// Gaps of the last hour.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Gaps {
    /// By minute and source; empty until both decisions and records have been seen.
    minutes: Vec<Line>,
}

/// Calls of which a record is missing, minute by minute
///
/// A call that passed and of which no record came within `gaps.within`, a record of a call that nobody asked about, a call that
/// was refused and answered all the same. Counted in the minute in which the first of the two came.
#[utoipa::path(
    get,
    path = "/v1/gaps",
    tag = "health",
    responses((status = 200, description = "The last hour", body = Gaps), Forbidden, Limited),
)]
pub(crate) async fn gaps(State(app): State<App>) -> Result<Response, Refusal> {
    Ok(answer(&Gaps { minutes: app.engine()?.gaps.minutes(clock::now()) }))
}
