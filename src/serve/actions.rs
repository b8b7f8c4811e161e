//! Actions over HTTP: which there are, and what people do to them. Every act is an entry of the log, under the name of the
//! key that was shown.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;
use utoipa::{IntoParams, ToSchema};

use super::error::{Refusal, answer};
use super::guard::is_of;
use super::inbox::{ActOf, Until, What};
use super::keys::Caller;
use super::openapi::{Absent, BadBody, BadQuery, Conflict, Forbidden, Limited};
use super::query::{self, Id};
use super::state::App;
use super::violations::{cursor, read_cursor, unreadable};
use crate::enforce::{State as Stands, action_json, entry_json};
use crate::store::{ActionFilter, ActionsIn, StoreError};
use crate::time::{Duration, Timestamp};

/// Actions that are told at once where nothing else is asked for, and at most.
const ROWS: u64 = 100;
const ROWS_MAX: u64 = 1_000;

/// Which actions; every part that is given must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only in this state; `alive` for those of which something may come. All where it is missing.
    state: Option<String>,
    /// Only those that bear on this account, key or organisation, or did.
    target: Option<String>,
    /// Only of this rule.
    rule: Option<String>,
    /// Only those that rest on this violation.
    violation: Option<String>,
    /// Most actions, at most 1,000; 100 where it is missing.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// Where the last page ended: its `next`.
    cursor: Option<String>,
}

/// Actions by when they were proposed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Actions {
    /// As `fineprint actions list --format json` writes them.
    #[schema(value_type = Vec<Object>)]
    actions: Vec<Value>,
    /// The `cursor` of the next page; null where there is none.
    next: Option<String>,
}

/// Actions, page by page
///
/// A page looks at 10,000 actions at most: where a filter fits few of them it may hold fewer than `limit`, even none, and have a
/// `next` all the same.
#[utoipa::path(
    get,
    path = "/v1/actions",
    tag = "log",
    params(Which),
    responses((status = 200, description = "By when they were proposed", body = Actions), BadQuery, Forbidden, Limited),
)]
pub(crate) async fn list(State(app): State<App>, uri: Uri) -> Result<Response, Refusal> {
    let which = query::parts::<Which>(&uri)?;
    let state = match which.state.as_deref() {
        None => None,
        Some("alive") => Some(ActionsIn::Alive),
        Some(word) => match Stands::WORDS.iter().copied().find(|w| *w == word) {
            Some(word) => Some(ActionsIn::State(word)),
            None => {
                return Err(query::wrong(
                    "there is no such `state`",
                    format!("write `alive` or one of {}", Stands::WORDS.join(", ")),
                ));
            }
        },
    };
    let filter =
        ActionFilter { state, target: which.target, rule: which.rule, violation: which.violation, limit: None };
    let limit = query::limit(which.limit.as_deref(), ROWS, ROWS_MAX)?;
    let after = which.cursor.as_deref().map(|c| {
        read_cursor(c).ok_or_else(|| query::wrong("`cursor` is none", "give back `next` of the last page as it is"))
    });
    let log = app.engine()?.log();
    let (actions, next) = log.action_page(&filter, after.transpose()?.as_ref(), limit).await.map_err(unreadable)?;
    Ok(answer(&Actions { actions: actions.iter().map(action_json).collect(), next: next.as_ref().map(cursor) }))
}

/// One action, with all its entries
///
/// The id may be cut short, as long as one action alone begins so.
#[utoipa::path(
    get,
    path = "/v1/actions/{id}",
    tag = "log",
    params(("id" = String, Path, description = "Its id, or the beginning of it: hexadecimal digits")),
    responses((status = 200, description = "The action, with `entries`", body = Object), BadQuery, Absent, Forbidden, Limited),
)]
pub(crate) async fn one(State(app): State<App>, Id(id): Id) -> Result<Response, Refusal> {
    let id = hexadecimal(&id)?;
    let found = app.engine()?.log().action(&id).await.map_err(refused)?;
    let (action, entries) = found.ok_or_else(|| absent(&id))?;
    let mut json = action_json(&action);
    if let Value::Object(parts) = &mut json {
        parts.insert("entries".to_string(), entries.iter().map(entry_json).collect());
    }
    Ok(answer(&json))
}

/// Why something is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    /// Why: 1 to 2,000 characters. Entries are never removed: no text of an event belongs here.
    reason: String,
    /// Who decides, where several people share a key; it is written behind the name of the key.
    #[serde(default)]
    by: Option<String>,
}

/// What is released.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    /// Why.
    reason: String,
    /// Who decides.
    #[serde(default)]
    by: Option<String>,
    /// This account, key or organisation alone, and for good; all where it is missing.
    #[serde(default)]
    member: Option<String>,
}

/// A new end: one of the three.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extend {
    /// Why.
    reason: String,
    /// Who decides.
    #[serde(default)]
    by: Option<String>,
    /// It ends then: 2026-03-02T12:00:00Z.
    #[serde(default)]
    until: Option<String>,
    /// It lasts so much longer: 24h.
    #[serde(default, rename = "for")]
    longer: Option<String>,
    /// It ends when somebody releases it.
    #[serde(default)]
    without_end: bool,
}

/// Ends an action, or releases one of those it bears on
#[utoipa::path(
    post,
    path = "/v1/actions/{id}/release",
    tag = "log",
    params(("id" = String, Path, description = "Its id, or the beginning of it")),
    request_body(content = Release, content_type = "application/json"),
    responses((status = 200, description = "The action as it stands now", body = Object), BadBody, Absent, Conflict, Forbidden, Limited),
)]
pub(crate) async fn release(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let Release { reason, by, member } = read(&headers, &body)?;
    act(&app, &caller, &id, What::Release { member }, Why { reason, by }).await
}

/// Moves the end of an action in force
#[utoipa::path(
    post,
    path = "/v1/actions/{id}/extend",
    tag = "log",
    params(("id" = String, Path, description = "Its id, or the beginning of it")),
    request_body(content = Extend, content_type = "application/json"),
    responses((status = 200, description = "The action as it stands now", body = Object), BadBody, Absent, Conflict, Forbidden, Limited),
)]
pub(crate) async fn extend(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let Extend { reason, by, until, longer, without_end } = read(&headers, &body)?;
    let help = "give one of `until` (a moment such as 2026-03-02T12:00:00Z), `for` (a span such as 24h) and `without_end: true`";
    let wrong = |what: &str| Refusal::malformed("bad_body", what, help);
    let to = match (until, longer, without_end) {
        (Some(until), None, false) => {
            Until::At(Timestamp::parse_rfc3339(&until).ok_or_else(|| wrong("`until` is no moment"))?)
        }
        (None, Some(span), false) => {
            let span = Duration::parse(&span).filter(|d| d.0 > 0);
            Until::In(span.ok_or_else(|| wrong("`for` is no span of time"))?)
        }
        (None, None, true) => Until::Released,
        _ => return Err(wrong("an extension needs one new end")),
    };
    act(&app, &caller, &id, What::Extend { to }, Why { reason, by }).await
}

/// Approves an action that waits for review
#[utoipa::path(
    post,
    path = "/v1/actions/{id}/approve",
    tag = "log",
    params(("id" = String, Path, description = "Its id, or the beginning of it")),
    request_body(content = Why, content_type = "application/json"),
    responses((status = 200, description = "The action as it stands now", body = Object), BadBody, Absent, Conflict, Forbidden, Limited),
)]
pub(crate) async fn approve(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    act(&app, &caller, &id, What::Approve, read(&headers, &body)?).await
}

/// Refuses an action that waits for review
#[utoipa::path(
    post,
    path = "/v1/actions/{id}/refuse",
    tag = "log",
    params(("id" = String, Path, description = "Its id, or the beginning of it")),
    request_body(content = Why, content_type = "application/json"),
    responses((status = 200, description = "The action as it stands now", body = Object), BadBody, Absent, Conflict, Forbidden, Limited),
)]
pub(crate) async fn refuse(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    act(&app, &caller, &id, What::Refuse, read(&headers, &body)?).await
}

fn read<T: serde::de::DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refusal> {
    is_of(headers, &["application/json"])?;
    serde_json::from_slice(body).map_err(|e| {
        Refusal::malformed(
            "bad_body",
            e.to_string().escape_debug().to_string(),
            "`/openapi.json` has the form of the body",
        )
    })
}

async fn act(app: &App, caller: &Caller, id: &str, what: What, why: Why) -> Result<Response, Refusal> {
    let id = hexadecimal(id)?;
    let by = match why.by.as_deref().map(str::trim).filter(|by| !by.is_empty()) {
        Some(by) => format!("{}: {by}", caller.0),
        None => caller.0.to_string(),
    };
    let (reply, done) = oneshot::channel();
    let act = ActOf { id: id.clone(), what, by, reason: why.reason, reply };
    app.engine()?.inbox.act(act).map_err(|_| {
        Refusal::unavailable("overloaded", "too many acts wait for the log", "come again after `Retry-After`")
    })?;
    match done.await {
        Ok(Ok(action)) => Ok(answer(&action_json(&action))),
        Ok(Err(e)) => Err(refused(e)),
        Err(_) => Err(crate::gateway::Unready::Draining.into()),
    }
}

fn hexadecimal(id: &str) -> Result<String, Refusal> {
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(query::wrong("the id of an action is made of hexadecimal digits", "`/v1/actions` lists the ids"));
    }
    Ok(id.to_ascii_lowercase())
}

fn absent(id: &str) -> Refusal {
    Refusal::absent(format!("the log holds no action `{id}`"), "`/v1/actions` lists the ids")
}

fn refused(e: StoreError) -> Refusal {
    match e {
        StoreError::NoAction { id, .. } => absent(&id),
        StoreError::AmbiguousAction { .. } => {
            query::wrong("more than one action begins so", "write more of its digits")
        }
        StoreError::Refused(crate::enforce::Refusal::Unfit { what, chars_max }) => Refusal::malformed(
            "bad_body",
            format!("the {what} is blank or too long"),
            format!("write 1 to {chars_max} characters"),
        ),
        StoreError::Refused(why) => {
            Refusal::new(StatusCode::CONFLICT, "conflict", why.to_string(), "`/v1/actions/{id}` tells how it stands")
        }
        e => unreadable(e),
    }
}
