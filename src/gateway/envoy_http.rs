//! Envoy, ext_authz over HTTP: the call's own method, path behind `path_prefix: /authz/envoy`, chosen headers, and the start
//! of its body where `with_request_body` says so. 200 lets it pass; 5xx is an error, for which `failure_mode_allow` decides;
//! any other answer goes to the caller as it is.

use std::net::IpAddr;

use axum::http::HeaderMap;

use crate::event::{Kind, UsageEvent};
use crate::gateway::answer::Refusing;
use crate::gateway::caller::put_headers;
use crate::gateway::forward::put_path;
use crate::gateway::{Arrival, Edge, body};

/// What stands before the call's own path.
pub const PREFIX: &str = "/authz/envoy";

/// How a refusal is told.
pub fn refusing(edge: &Edge) -> Refusing {
    Refusing { deny_as: None, tells_rules: edge.options.envoy_tells_rules }
}

/// The call that is asked about. `path` is its own, with the query.
pub fn read(edge: &Edge, arrival: Arrival, path: &str, headers: &HeaderMap, record: &[u8]) -> UsageEvent<'static> {
    call(edge, arrival, path, headers, None, record)
}

/// A call as Envoy tells of it, over HTTP or gRPC.
pub(crate) fn call(
    edge: &Edge,
    arrival: Arrival,
    path: &str,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    record: &[u8],
) -> UsageEvent<'static> {
    let mut event = arrival.event(Kind::Request, "envoy", record);
    put_headers(&mut event, headers, peer, &edge.options.caller, &edge.secret);
    body::put_request(&mut event, headers, record, &edge.secret);
    put_path(&mut event, path);
    event
}
