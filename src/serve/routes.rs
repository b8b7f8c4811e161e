//! All routes, and what stands before each.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::config::Right;
use super::error::{Refusal, json};
use super::guard::{Guard, door, guard};
use super::openapi::{Document, Written};
use super::state::App;
use super::{actions, decide, given, health, ingest, openapi, rules, violations};
use crate::gateway::{self, Edge};

/// The router of the HTTP port.
pub(crate) fn router(app: &App, edge: &Arc<Edge>) -> Router {
    let open = |route, own| guarded(app, None, route, own);
    let of = |right, route, own| guarded(app, Some(right), route, own);
    let api = OpenApiRouter::with_openapi(Document::openapi())
        .merge(of(Right::Decide, "/v1/decide", routes!(decide::decide)))
        .merge(open("/healthz", routes!(health::healthz)))
        .merge(open("/readyz", routes!(health::readyz)))
        .merge(of(Right::Ingest, "/v1/events", routes!(ingest::events)))
        .merge(of(Right::Ingest, "/v1/logs", routes!(ingest::logs)))
        .merge(of(Right::Ingest, "/v1/traces", routes!(ingest::traces)))
        .merge(of(Right::Read, "/v1/violations", routes!(violations::list)))
        .merge(of(Right::Read, "/v1/violations/{id}", routes!(violations::one)))
        .merge(of(Right::Read, "/v1/decisions", routes!(given::list)))
        .merge(of(Right::Read, "/v1/decisions/{id}", routes!(given::one)))
        .merge(of(Right::Read, "/v1/actions", routes!(actions::list)))
        .merge(of(Right::Read, "/v1/actions/{id}", routes!(actions::one)))
        .merge(of(Right::Act, "/v1/actions/{id}/release", routes!(actions::release)))
        .merge(of(Right::Act, "/v1/actions/{id}/extend", routes!(actions::extend)))
        .merge(of(Right::Act, "/v1/actions/{id}/approve", routes!(actions::approve)))
        .merge(of(Right::Act, "/v1/actions/{id}/refuse", routes!(actions::refuse)))
        .merge(of(Right::Act, "/v1/reload", routes!(rules::reload)))
        .merge(of(Right::Read, "/v1/gaps", routes!(health::gaps)))
        .merge(of(Right::Read, "/v1/rules", routes!(rules::rules)))
        .merge(of(Right::Read, "/metrics", routes!(health::metrics)))
        .merge(open("/openapi.json", routes!(openapi::openapi)));
    let (router, document) = api.split_for_parts();
    let written = Written(String::from_utf8_lossy(&json(&document)).into());
    let app_of_panics = app.clone();
    router
        .with_state(app.clone())
        // The guard has bounded the body already.
        .layer(DefaultBodyLimit::disable())
        .merge(gateways(app, edge))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown)
        .layer(Extension(written))
        .layer(CatchPanicLayer::custom(move |_| panicked(&app_of_panics)))
        .layer(middleware::map_response(as_it_says))
}

/// An answer is what its content type says, whatever a browser makes of its bytes.
async fn as_it_says(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// The routes of gateways.
fn gateways(app: &App, edge: &Arc<Edge>) -> Router {
    let (right, route) = (Some(Right::Decide), app.metrics.route("gateways"));
    let before = Guard { app: app.clone(), right, route };
    gateway::router(Arc::clone(edge), app.clone()).route_layer(middleware::from_fn_with_state(Arc::new(before), guard))
}

/// The router of the gRPC port.
pub(crate) fn grpc(app: &App, edge: &Arc<Edge>) -> Router {
    let (right, route) = (Some(Right::Decide), app.metrics.route("grpc"));
    let before = Guard { app: app.clone(), right, route };
    let app_of_panics = app.clone();
    gateway::grpc(Arc::clone(edge), app.clone())
        .route_layer(middleware::from_fn_with_state(Arc::new(before), door))
        .layer(CatchPanicLayer::custom(move |_| panicked(&app_of_panics)))
}

fn guarded(app: &App, right: Option<Right>, route: &'static str, own: UtoipaMethodRouter<App>) -> OpenApiRouter<App> {
    let before = Guard { app: app.clone(), right, route: app.metrics.route(route) };
    OpenApiRouter::new().routes(own).route_layer(middleware::from_fn_with_state(Arc::new(before), guard))
}

async fn unknown(request: Request) -> Refusal {
    let path: String = request.uri().path().chars().take(80).collect();
    Refusal::absent(format!("there is no route `{}`", path.escape_debug()), "`/openapi.json` lists all routes")
}

async fn wrong_method(request: Request) -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("this route has no `{}`", request.method().as_str().escape_debug()),
        "`Allow` names what it has; `/openapi.json` lists all routes",
    )
}

/// A panic is a bug. The caller is told to come again, as of any other failure, and the bug is counted.
fn panicked(app: &App) -> Response {
    app.metrics.panics.inc();
    tracing::error!("a request ended in a panic, which is a bug; please report it");
    Refusal::unavailable(
        "internal",
        "the request ended in a mistake of the server",
        "send it again; if it stays so, report it",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use axum::{Router, routing};
    use tower::ServiceExt;

    use super::{CatchPanicLayer, panicked};
    use crate::serve::Config;
    use crate::serve::state::App;

    #[test]
    fn a_panic_is_counted_and_told_as_something_to_come_again_for() {
        let app = App::new(Config::default());
        let of_panics = app.clone();
        let bug = routing::get(|| async {
            let nothing: Option<String> = Vec::new().pop();
            nothing.unwrap()
        });
        let router: Router =
            Router::new().route("/", bug).layer(CatchPanicLayer::custom(move |_| panicked(&of_panics)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(router.oneshot(Request::get("/").body(Body::empty()).unwrap())).unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "1"));
        assert_eq!(app.metrics.panics.get(), 1);
    }
}
