//! Requests to other people's servers: what an answer means, and what is told of none.

use std::io;

use super::target::Failure;
use crate::time::{Duration, SECOND_NS};

/// A request that did not come to its end.
pub(crate) struct Unsent {
    pub(crate) why: String,
    /// Whether it may go well later.
    pub(crate) may_pass: bool,
}

/// Sends a request whose answer says nothing but whether it was taken.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Result<(), Unsent> {
    let answer = request.send().await.map_err(unanswered);
    match answer.and_then(|response| answered(&response)) {
        Ok(()) => Ok(()),
        Err(Failure::Now(why, _)) => Err(Unsent { why, may_pass: true }),
        Err(Failure::Always(why)) => Err(Unsent { why, may_pass: false }),
    }
}

/// What an HTTP answer means. Redirects are not followed: they would lead the alert, and with chat the secret in the path,
/// elsewhere.
pub(super) fn answered(response: &reqwest::Response) -> Result<(), Failure> {
    let status = response.status();
    let why = format!("HTTP {}", status.as_u16());
    if status.is_success() {
        return Ok(());
    }
    let again = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    if !again {
        return Err(Failure::Always(why));
    }
    let after = response.headers().get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| text.trim().parse::<i64>().ok()).filter(|seconds| *seconds > 0);
    Err(Failure::Now(why, after.map(|seconds| Duration(seconds.saturating_mul(SECOND_NS)))))
}

/// A request that got no answer; without the URL, which may be a secret.
pub(super) fn unanswered(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let mut why = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        why.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    Failure::Now(why, None)
}

pub(crate) fn client() -> io::Result<reqwest::Client> {
    let agent = concat!("fineprint/", env!("CARGO_PKG_VERSION"));
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().user_agent(agent);
    builder.build().map_err(|error| io::Error::other(error.to_string()))
}
