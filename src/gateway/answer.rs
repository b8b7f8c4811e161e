//! From a decision to HTTP. The caller of a model sees what many gateways pass on word by word, so a refusal holds the public
//! reason and nothing of the engine unless the gateway's configuration asked for it.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::decision::{Decision, Verdict};
use crate::gateway::Unready;
use crate::time::{Duration, SECOND_NS};

/// The verdict, in one word.
pub const DECISION: &str = "x-tos-decision";
/// Violations that bear on the call, by id, with commas between.
pub const VIOLATION: &str = "x-tos-violation";
/// Rules that bear on the call, with commas between.
pub const RULES: &str = "x-tos-rules";
/// What the verdict would be if the rules in shadow mode acted too, where that differs.
pub const WOULD: &str = "x-tos-would";
/// The status that the refusal means, for gateways that take 403 only.
pub const STATUS: &str = "x-tos-status";
/// Most names in one header; how many more there are stands behind them as `+3`.
pub const HEADER_NAMES_MAX: usize = 16;
/// When to come again where nothing says when, in seconds.
const RETRY_SECS: i64 = 1;

/// A status, headers and a JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP.
    pub status: u16,
    /// In lower case.
    pub headers: Vec<(&'static str, String)>,
    /// JSON, or empty.
    pub body: String,
}

/// How a refusal is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusing {
    /// The status instead of the verdict's own.
    pub deny_as: Option<u16>,
    /// Whether rules and violations stand in headers.
    pub tells_rules: bool,
}

impl Answer {
    /// The answer to a gateway that reads status and headers.
    pub fn of(decision: &Decision, refusing: Refusing) -> Self {
        let passes = decision.verdict.passes();
        let mut headers = vec![(DECISION, decision.verdict.word().to_owned())];
        if passes || refusing.tells_rules {
            headers.extend(internals(decision));
        }
        if passes {
            return Answer { status: 200, headers, body: String::new() };
        }
        headers.push((STATUS, decision.verdict.status().to_string()));
        headers.extend(retry_after(decision).map(|secs| ("retry-after", secs)));
        let status = refusing.deny_as.unwrap_or(decision.verdict.status());
        Answer { status, headers, body: refusal(decision) }
    }

    /// There is no answer now.
    pub fn unready(unready: Unready) -> Self {
        let (secs, why) = unready_words(unready);
        let body = json!({"error": {"message": why, "type": "unavailable", "param": null, "code": "unavailable"}});
        Answer { status: 503, headers: vec![("retry-after", secs.to_string())], body: body.to_string() }
    }

    /// What came does not follow the contract.
    pub fn bad(what: &str) -> Self {
        let body = json!({"error": {"message": what, "type": "bad_request", "param": null, "code": "bad_request"}});
        Answer { status: 400, headers: Vec::new(), body: body.to_string() }
    }

    /// JSON with status 200.
    pub(crate) fn json(body: &serde_json::Value) -> Self {
        Answer { status: 200, headers: Vec::new(), body: body.to_string() }
    }
}

/// Seconds, rounded up, and a sentence.
pub(crate) fn unready_words(unready: Unready) -> (i64, &'static str) {
    match unready {
        Unready::Starting => (RETRY_SECS, "starting: the state is being restored"),
        Unready::Overloaded { retry_after } => (seconds(retry_after), "overloaded: come again later"),
        Unready::Draining => (RETRY_SECS, "draining: this server is about to end"),
    }
}

/// What the engine knows and callers are not told.
pub(crate) fn internals(decision: &Decision) -> impl Iterator<Item = (&'static str, String)> {
    let listed = |name, names: &[String]| (!names.is_empty()).then(|| (name, joined(names)));
    let would = (decision.would != decision.verdict).then(|| (WOULD, decision.would.word().to_owned()));
    [listed(RULES, &decision.rules), listed(VIOLATION, &decision.violations), would].into_iter().flatten()
}

fn joined(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(HEADER_NAMES_MAX).map(String::as_str).collect();
    let more = names.len() - shown.len();
    if more == 0 { shown.join(",") } else { format!("{},+{more}", shown.join(",")) }
}

/// Whole seconds until the caller may come again.
pub(crate) fn retry_after(decision: &Decision) -> Option<String> {
    match (decision.retry_after, decision.verdict) {
        (Some(after), _) => Some(seconds(after).to_string()),
        (None, Verdict::Throttle) => Some(RETRY_SECS.to_string()),
        (None, _) => None,
    }
}

fn seconds(after: Duration) -> i64 {
    let whole = after.0 / SECOND_NS;
    (if after.0 % SECOND_NS > 0 { whole + 1 } else { whole }).max(1)
}

/// For the caller: never empty on a refusal.
pub(crate) fn public_reason(decision: &Decision) -> &str {
    match (decision.reason.as_str(), decision.verdict) {
        ("", Verdict::Throttle) => "Too many calls for now. Try again later.",
        ("", Verdict::Challenge) => "Further proof of identity is needed.",
        ("", Verdict::Block) => "This call is refused under the terms of service.",
        (reason, _) => reason,
    }
}

/// A refusal in the shape of OpenAI's errors, which clients of model APIs read.
pub(crate) fn refusal(decision: &Decision) -> String {
    let code = decision.verdict.word();
    let error = json!({"message": public_reason(decision), "type": "policy_violation", "param": null, "code": code});
    json!({"error": error}).to_string()
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let has_body = !self.body.is_empty();
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let headers = response.headers_mut();
        if has_body {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        for (name, value) in self.headers {
            let value: String = value.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
