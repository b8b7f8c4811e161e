//! Envoy, ext_authz over gRPC: `envoy.service.auth.v3.Authorization/Check`. A refusal carries status, headers and body for the
//! caller; rules and violations go to Envoy alone, as dynamic metadata that its access log can write.

use crate::decision::Decision;
use crate::event::UsageEvent;
use crate::gateway::answer::{Answer, DECISION, Refusing, internals};
use crate::gateway::caller::address;
use crate::gateway::proto::{
    self, CheckAnswer, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValue, HeaderValueOption, HttpStatus,
    OVERWRITE, OkHttpResponse, RpcStatus, Struct,
};
use crate::gateway::{Arrival, Edge, envoy_http};

/// The method of the service.
pub const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;

/// The call that is asked about.
///
/// # Errors
/// The question lacks the attributes of an HTTP request.
pub fn read(edge: &Edge, arrival: Arrival, asked: &CheckRequest) -> Result<UsageEvent<'static>, String> {
    let attributes = asked.attributes.as_ref();
    let http = attributes
        .and_then(|a| a.request.as_ref()?.http.as_ref())
        .ok_or("`attributes.request.http` is missing: only HTTP calls can be checked, not connections")?;
    let mapped = http.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let listed = http.header_map.iter().flat_map(|map| map.pairs());
    let headers = proto::headers(mapped.chain(listed));
    let source = attributes.and_then(|a| a.source.as_ref()?.address.as_ref()?.socket_address.as_ref());
    let peer = source.and_then(|s| address(&s.address));
    let body = if http.raw_body.is_empty() { http.body.as_bytes() } else { &http.raw_body };
    Ok(envoy_http::call(edge, arrival, &http.path, &headers, peer, body))
}

/// The answer in Envoy's words.
pub fn answer(decision: &Decision) -> CheckResponse {
    let dynamic_metadata = Some(metadata(decision));
    let told = Answer::of(decision, Refusing::default());
    let headers = told.headers.iter().map(|(name, value)| header(name, value)).collect();
    if decision.verdict.passes() {
        return CheckResponse {
            status: Some(RpcStatus { code: OK, message: String::new() }),
            answer: Some(CheckAnswer::Ok(OkHttpResponse { headers, headers_to_remove: Vec::new() })),
            dynamic_metadata,
        };
    }
    let mut headers: Vec<HeaderValueOption> = headers;
    headers.push(header("content-type", "application/json"));
    CheckResponse {
        status: Some(RpcStatus { code: PERMISSION_DENIED, message: decision.verdict.word().to_owned() }),
        answer: Some(CheckAnswer::Denied(DeniedHttpResponse {
            status: Some(HttpStatus { code: i32::from(told.status) }),
            headers,
            body: told.body,
        })),
        dynamic_metadata,
    }
}

/// The decision with all that the engine knows, for Envoy's own log.
pub(crate) fn metadata(decision: &Decision) -> Struct {
    let all = [(DECISION, decision.verdict.word().to_owned())].into_iter().chain(internals(decision));
    Struct::of(all.map(|(name, value)| (name.trim_start_matches("x-tos-"), value)))
}

fn header(name: &str, value: &str) -> HeaderValueOption {
    let header = HeaderValue { key: name.to_owned(), value: value.to_owned(), raw_value: Vec::new() };
    HeaderValueOption { header: Some(header), append_action: OVERWRITE }
}
