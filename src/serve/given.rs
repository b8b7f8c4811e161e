//! Decisions that were given, to be found later with what was known then.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::error::{Refusal, answer};
use super::openapi::{BadQuery, Forbidden, Limited};
use super::query;
use super::state::App;
use super::violations::unreadable;
use crate::store::{Given, GivenFilter, GivenPlace};
use crate::time::Timestamp;

/// Rows of a page where nothing else is asked for, and at most.
const PAGE_ROWS: u64 = 100;
const PAGE_ROWS_MAX: u64 = 1_000;

/// Which decisions; every part that is given must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only of this account.
    account: Option<String>,
    /// Only on this event, by its id.
    event: Option<String>,
    /// Only those as strict as this or stricter: flag, challenge, throttle, block.
    decision: Option<String>,
    /// Only those given at this time or later: 2026-03-02 or 2026-03-02T12:00:00Z.
    since: Option<String>,
    /// Only those given before this time.
    until: Option<String>,
    /// Rows of the page, at most 1,000; 100 where it is missing.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// Where the last page ended: its `next`.
    cursor: Option<String>,
}

/// A page of decisions, in the order in which they were given.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Decisions {
    /// Each with what was known then.
    #[schema(value_type = Vec<Object>)]
    decisions: Vec<Value>,
    /// The `cursor` of the next page; null where there is none.
    next: Option<String>,
}

/// Decisions that were given, other than plain `allow`
///
/// Each call that was refused stands by itself. Calls that passed, marked or because a rule is in shadow mode, may share a row:
/// `calls` says how many. They are written a moment after they were given, and stand in the order of when that was. A page looks
/// at 10,000 decisions at most: where a filter fits few of them it may hold fewer than `limit`, even none, and have a `next` all the
/// same.
#[utoipa::path(
    get,
    path = "/v1/decisions",
    tag = "log",
    params(Which),
    responses((status = 200, description = "A page", body = Decisions), BadQuery, Forbidden, Limited),
)]
pub(crate) async fn list(State(app): State<App>, uri: Uri) -> Result<Response, Refusal> {
    let which = query::parts::<Which>(&uri)?;
    let cursor = "give back `next` of the last page as it is";
    let after = which.cursor.as_deref().map(|c| read_cursor(c).ok_or_else(|| query::wrong("`cursor` is none", cursor)));
    let filter = GivenFilter {
        decision_min: query::verdict(which.decision.as_deref())?,
        from: query::time("since", which.since.as_deref())?,
        until: query::time("until", which.until.as_deref())?,
        account: which.account,
        event: which.event,
        after: after.transpose()?,
    };
    let limit = query::limit(which.limit.as_deref(), PAGE_ROWS, PAGE_ROWS_MAX)?;
    let (rows, next) = app.engine()?.log().given(&filter, limit).await.map_err(unreadable)?;
    let next = next.map(|(at, number)| format!("{}.{number}", at.0));
    Ok(answer(&Decisions { decisions: rows.iter().map(Given::to_json).collect(), next }))
}

/// A cursor is the moment and the number of the last row that was looked at.
fn read_cursor(text: &str) -> Option<GivenPlace> {
    let (at, number) = text.split_once('.')?;
    Some((Timestamp(at.parse().ok()?), number.parse().ok()?))
}
