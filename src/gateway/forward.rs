//! `/authz/forward`: gateways that ask by a request of their own, mostly without a body. nginx (`auth_request`), Caddy
//! (`forward_auth`), Traefik (`forwardAuth`), APISIX (`forward-auth`), HAProxy by Lua. 200 lets the call pass; every other
//! answer goes to the caller as it is, except at nginx, which knows 401 and 403 only.
//!
//! Method and path of the call stand in `X-Forwarded-Method` and `-Uri`, or in `X-Original-Method` and `-URI`; where a gateway
//! sets the one pair, a client may have sent the other, so the gateway's configuration strips it.
//!
//! Settings of the question itself: `?deny_as=403` answers every refusal with that status (its own is in `X-Tos-Status`);
//! `?tell=rules` names rules and violations in the headers of a refusal, for gateways that do not pass these on.

use axum::http::{HeaderMap, HeaderName};

use crate::event::{FieldId, Kind, UsageEvent};
use crate::gateway::answer::Refusing;
use crate::gateway::caller::{put_headers, put_short, text};
use crate::gateway::{Arrival, Edge, body};

/// Where gateways ask.
pub const PATH: &str = "/authz/forward";

/// Reads the settings of a question.
///
/// # Errors
/// A setting that there is not, or a value that it cannot have.
pub fn refusing(query: Option<&str>) -> Result<Refusing, String> {
    let mut refusing = Refusing::default();
    for setting in query.unwrap_or_default().split('&').filter(|s| !s.is_empty()) {
        match setting.split_once('=').unwrap_or((setting, "")) {
            ("deny_as", status) => match status.parse::<u16>() {
                Ok(status @ 400..=499) => refusing.deny_as = Some(status),
                _ => return Err("`deny_as` is a status from 400 to 499, as in `?deny_as=403`".to_owned()),
            },
            ("tell", "rules") => refusing.tells_rules = true,
            ("tell", _) => return Err("`tell` can be `rules` only, as in `?tell=rules`".to_owned()),
            _ => return Err("unknown setting; there are `deny_as` and `tell`".to_owned()),
        }
    }
    Ok(refusing)
}

/// The call that is asked about.
pub fn read(edge: &Edge, arrival: Arrival, headers: &HeaderMap, record: &[u8]) -> UsageEvent<'static> {
    let mut event = arrival.event(Kind::Request, "forward", record);
    put_headers(&mut event, headers, None, &edge.options.caller, &edge.secret);
    let original = ["x-forwarded-uri", "x-original-uri", "x-original-url"];
    let uri = original.iter().find_map(|name| text(headers, &HeaderName::from_static(name)));
    body::put_request(&mut event, headers, record, &edge.secret);
    put_path(&mut event, uri.unwrap_or_default());
    let method = ["x-forwarded-method", "x-original-method"];
    let method = method.iter().find_map(|name| text(headers, &HeaderName::from_static(name)));
    if method.is_some_and(|method| method != "POST") {
        event.unset(FieldId::CALL);
    }
    event
}

/// The path of a URI, without its query, which may hold secrets. Without a `call` where the path is that of something else than
/// a completion: a call that never becomes one would count ahead of the answer that never comes, and be told as a gap.
pub(crate) fn put_path(event: &mut UsageEvent<'static>, uri: &str) {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    put_short(event, FieldId::ENDPOINT, path);
    body::put_model_of_path(event, path);
    if is_something_else(path) {
        event.unset(FieldId::CALL);
    }
}

/// What paths of model APIs end in, or behind a colon, that answer with no completion.
const SOMETHING_ELSE: [&str; 18] = [
    "batches",
    "batchEmbedContents",
    "countTokens",
    "count_tokens",
    "edits",
    "embed",
    "embedContent",
    "embeddings",
    "files",
    "generations",
    "models",
    "moderations",
    "rerank",
    "speech",
    "tokenize",
    "transcriptions",
    "translations",
    "variations",
];
/// What stands before the name of a thing that is looked at.
const THINGS: [&str; 3] = ["batches", "files", "models"];

fn is_something_else(path: &str) -> bool {
    let mut parts = path.trim_end_matches('/').rsplit('/');
    let (last, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match last.rsplit_once(':') {
        Some((_, verb)) => SOMETHING_ELSE.contains(&verb),
        None => SOMETHING_ELSE.contains(&last) || THINGS.contains(&before),
    }
}
