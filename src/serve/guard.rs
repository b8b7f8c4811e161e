//! What stands before every route: who may, how much, how long. A body is read before a request takes one of the places at
//! which is worked, so that a slow client holds a connection and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use prometheus_client::metrics::gauge::Gauge;
use tonic::{Code, Status};

use super::clock;
use super::config::Right;
use super::error::Refusal;
use super::keys::{Bears, Peer};
use super::metrics::Route;
use super::state::App;

/// What stands before one route.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) app: App,
    /// `None` where everybody may.
    pub(crate) right: Option<Right>,
    pub(crate) route: Route,
}

/// The middleware.
pub(crate) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let begun = clock::elapsed();
    let response = pass(&guard, request, next).await.unwrap_or_else(Refusal::into_response);
    guard.route.answered(response.status().as_u16(), clock::elapsed().saturating_sub(begun));
    response
}

async fn pass(guard: &Guard, mut request: Request, next: Next) -> Result<Response, Refusal> {
    let app = &guard.app;
    if let Some(right) = guard.right {
        let peer = request.extensions().get::<Peer>();
        let caller = app.callers.admit(right, bears(&request), request.headers(), peer)?;
        request.extensions_mut().insert(caller);
    }
    let deadline = tokio::time::Instant::now() + app.config.limits.request_time.std();
    let mut held = Held { app, bytes: 0 };
    if !request.body().is_end_stream() {
        let (parts, body) = request.into_parts();
        let read = tokio::time::timeout_at(deadline, read(&mut held, &parts.headers, body));
        let body = read.await.map_err(|_| slow())??;
        request = Request::from_parts(parts, body);
    }
    // Whether it lives is told however much there is to do.
    let _place = if guard.right.is_some() { Some(Place::take(app)?) } else { None };
    match tokio::time::timeout_at(deadline, next.run(request)).await {
        Ok(response) => Ok(response),
        Err(_) => Err(Refusal::unavailable(
            "timeout",
            "the answer took longer than `limits.request_time`",
            "ask for less, or raise `limits.request_time` in the configuration",
        )),
    }
}

/// Gateways that ask below `/authz/` hand on the headers of who calls them.
fn bears(request: &Request) -> Bears {
    if request.uri().path().starts_with("/authz/") { Bears::Strangers } else { Bears::Own }
}

fn slow() -> Refusal {
    Refusal::new(
        StatusCode::REQUEST_TIMEOUT,
        "body_timeout",
        "the body did not come within `limits.request_time`",
        "send it at once, or in smaller batches",
    )
    .closing()
}

fn too_large(app: &App) -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("the body is longer than {} bytes", app.config.limits.body_bytes.0),
        "send it in several requests, or raise `limits.body_bytes` in the configuration",
    )
    .closing()
}

/// The middleware of gRPC: who may. Messages of a stream come and go as long as it lasts, each with its own bounds.
pub(crate) async fn door(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let begun = clock::elapsed();
    let admitted = match guard.right {
        Some(right) => {
            let peer = request.extensions().get::<Peer>();
            guard.app.callers.admit(right, bears(&request), request.headers(), peer).map(|_| ())
        }
        None => Ok(()),
    };
    let (status, response) = match admitted {
        Ok(()) => {
            let response = next.run(request).await;
            (response.status(), response)
        }
        Err(refusal) => (refusal.status, refused_to_grpc(&refusal)),
    };
    guard.route.answered(status.as_u16(), clock::elapsed().saturating_sub(begun));
    response
}

/// As gRPC has it: a status of its own in the head, and no body. JSON under another HTTP status is no message to its clients.
fn refused_to_grpc(refusal: &Refusal) -> Response {
    let code = match refusal.status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        _ => Code::Unavailable,
    };
    Status::new(code, format!("{}; {}", refusal.fault.message, refusal.fault.help)).into_http()
}

/// Reads a body as a whole. One that comes in one piece, as most do, is not copied.
async fn read(held: &mut Held<'_>, headers: &HeaderMap, body: Body) -> Result<Body, Refusal> {
    let app = held.app;
    let most = app.config.limits.body_bytes.size();
    let told = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|n| usize::try_from(n).map_or(true, |n| n > most)) {
        return Err(too_large(app));
    }
    let mut chunks = body.into_data_stream();
    let mut whole = axum::body::Bytes::new();
    let mut parts: Vec<u8> = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            Refusal::malformed("broken_body", "the body broke off", "send as many bytes as `Content-Length` says")
                .closing()
        })?;
        if held.bytes + chunk.len() > most {
            return Err(too_large(app));
        }
        held.add(chunk.len())?;
        if whole.is_empty() && parts.is_empty() {
            whole = chunk;
            continue;
        }
        if parts.is_empty() {
            parts.extend_from_slice(&whole);
            whole = axum::body::Bytes::new();
        }
        parts.extend_from_slice(&chunk);
    }
    Ok(if parts.is_empty() { Body::from(whole) } else { Body::from(parts) })
}

/// Bytes of bodies that this request holds.
struct Held<'a> {
    app: &'a App,
    bytes: usize,
}

impl Held<'_> {
    fn add(&mut self, bytes: usize) -> Result<(), Refusal> {
        let all = self.app.bodies_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.bytes += bytes;
        self.app.metrics.body_bytes.inc_by(i64::try_from(bytes).unwrap_or(i64::MAX));
        if all > self.app.config.limits.bodies_bytes.size() {
            return Err(overloaded("`limits.bodies_bytes` bytes of bodies are held already").closing());
        }
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.app.bodies_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.app.metrics.body_bytes.dec_by(i64::try_from(self.bytes).unwrap_or(i64::MAX));
    }
}

fn overloaded(what: &str) -> Refusal {
    Refusal::unavailable("overloaded", what, "come again after `Retry-After`, or raise the limit in the configuration")
}

/// One of the places at which requests are worked on.
struct Place<'a> {
    taken: &'a AtomicUsize,
    told: &'a Gauge,
}

impl<'a> Place<'a> {
    fn take(app: &'a App) -> Result<Place<'a>, Refusal> {
        let most = usize::try_from(app.config.limits.requests).unwrap_or(usize::MAX);
        let before = app.under_way.fetch_add(1, Ordering::Relaxed);
        app.metrics.requests_under_way.inc();
        let place = Place { taken: &app.under_way, told: &app.metrics.requests_under_way };
        if before >= most {
            return Err(overloaded("`limits.requests` requests are worked on already"));
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        self.told.dec();
    }
}

/// Refuses a request whose body is of another form than a route reads. A form that a web page could send without asking
/// is never among those that are read.
pub(crate) fn is_of(headers: &HeaderMap, forms: &[&str]) -> Result<(), Refusal> {
    let of = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let of = of.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let fits = |form: &&str| match form.strip_prefix('*') {
        Some(end) => of.ends_with(end),
        None => of == **form,
    };
    if forms.iter().any(fits) {
        return Ok(());
    }
    let is = if of.is_empty() { "is missing".to_string() } else { format!("is `{}`", of.escape_debug()) };
    Err(Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "media_type",
        format!("`Content-Type` {is}"),
        format!("send one of {}", forms.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ")),
    ))
}
