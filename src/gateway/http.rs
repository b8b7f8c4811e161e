//! The routes of gateways that speak HTTP. Nothing is decided here: bytes to the adapters, answers back.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, OriginalUri, State};
use axum::http::{HeaderMap, Uri};
use axum::routing::{any, post};

use crate::gateway::answer::{Answer, Refusing};
use crate::gateway::{Decide, Edge, Unready, envoy_http, forward, litellm, portkey};

/// What a route needs.
#[derive(Debug)]
pub(crate) struct Front<D> {
    pub(crate) edge: Arc<Edge>,
    pub(crate) decide: D,
}

impl<D: Clone> Clone for Front<D> {
    fn clone(&self) -> Self {
        Front { edge: Arc::clone(&self.edge), decide: self.decide.clone() }
    }
}

/// All routes over HTTP. The gRPC services of Envoy are [`grpc`](crate::gateway::grpc()); both may share a listener that
/// speaks HTTP/1.1 and HTTP/2 without TLS.
pub fn router<D: Decide>(edge: Arc<Edge>, decide: D) -> Router {
    let body_bytes_max = edge.options.body_bytes_max;
    Router::new()
        .route(litellm::PATH, post(guard::<D>))
        .route(portkey::PATH, post(hook::<D>))
        .route(forward::PATH, any(ask::<D>))
        .route(envoy_http::PREFIX, any(authorise::<D>))
        .route(&format!("{}/", envoy_http::PREFIX), any(authorise::<D>))
        .route(&format!("{}/{{*path}}", envoy_http::PREFIX), any(authorise::<D>))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .with_state(Front { edge, decide })
}

async fn guard<D: Decide>(State(front): State<Front<D>>, body: Bytes) -> Answer {
    let answered = match litellm::read(&front.edge, front.edge.arrival(), &body) {
        Ok(litellm::Asked::Request(event)) => front.decide.decide(event),
        Ok(litellm::Asked::Response(event)) => front.decide.standing(&event),
        Err(what) => return Answer::bad(&what),
    };
    answered.map_or_else(Answer::unready, |decision| litellm::answer(&decision))
}

async fn hook<D: Decide>(State(front): State<Front<D>>, headers: HeaderMap, body: Bytes) -> Answer {
    let answered = match portkey::read(&front.edge, front.edge.arrival(), &headers, &body) {
        Ok(portkey::Asked::Request(event)) => front.decide.decide(event),
        Ok(portkey::Asked::Response(event)) => {
            let standing = front.decide.standing(&event);
            front.decide.observe(event).and(standing)
        }
        Err(what) => return Answer::bad(&what),
    };
    answered.map_or_else(Answer::unready, |decision| portkey::answer(&decision))
}

async fn ask<D: Decide>(State(front): State<Front<D>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    match forward::refusing(uri.query()) {
        Ok(refusing) => {
            let event = forward::read(&front.edge, front.edge.arrival(), &headers, &body);
            told(front.decide.decide(event), refusing)
        }
        Err(what) => Answer::bad(&what),
    }
}

async fn authorise<D: Decide>(
    State(front): State<Front<D>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let path = uri.path().strip_prefix(envoy_http::PREFIX).unwrap_or_default();
    let event = envoy_http::read(&front.edge, front.edge.arrival(), path, &headers, &body);
    told(front.decide.decide(event), envoy_http::refusing(&front.edge))
}

fn told(answered: Result<crate::decision::Decision, Unready>, refusing: Refusing) -> Answer {
    answered.map_or_else(Answer::unready, |decision| Answer::of(&decision, refusing))
}
