//! The violation log over HTTP: the same records as `fineprint violations` shows, page by page.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::error::{Refusal, answer};
use super::openapi::{Absent, BadQuery, Forbidden, Limited};
use super::query::{self, Id};
use super::state::App;
use crate::store::{AlertDelivery, Decision, Filter, Row, StoreError};
use crate::time::Timestamp;

/// Rows of a page where nothing else is asked for.
const PAGE_ROWS: u64 = 100;
/// Most rows of a page.
const PAGE_ROWS_MAX: u64 = 1_000;

/// Which violations; every part that is given must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only of this rule.
    rule: Option<String>,
    /// Only of this policy, `provider.document`.
    policy: Option<String>,
    /// Only of this clause.
    clause: Option<String>,
    /// Only of this severity or worse: info, low, medium, high, critical.
    severity: Option<String>,
    /// Only of this status: open, closed, exempted, merged.
    status: Option<String>,
    /// Only of rules in this mode: shadow, flag, enforce.
    mode: Option<String>,
    /// Only those of which the last decision of a reviewer is this; `none` for those without one.
    decision: Option<String>,
    /// Only those that name this account.
    account: Option<String>,
    /// Only those opened at this time or later: 2026-03-02 or 2026-03-02T12:00:00Z.
    since: Option<String>,
    /// Only those opened before this time.
    until: Option<String>,
    /// Rows of the page, at most 1,000; 100 where it is missing.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// Where the last page ended: its `next`.
    cursor: Option<String>,
}

/// A place in the log: when a violation was opened, and its id.
pub(crate) type Place = (Timestamp, String);

/// A page of violations, by when they were opened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Violations {
    /// Records as `fineprint violations export` writes them, each with the `decision` that counts.
    #[schema(value_type = Vec<Object>)]
    violations: Vec<Value>,
    /// The `cursor` of the next page; null where there is none.
    next: Option<String>,
}

impl Which {
    fn filter(self) -> Result<(Filter, u64, Option<Place>), Refusal> {
        let filter = Filter {
            severity_min: query::severity(self.severity.as_deref())?,
            status: query::status(self.status.as_deref())?,
            mode: query::mode(self.mode.as_deref())?,
            decision: query::disposition(self.decision.as_deref())?,
            opened_from: query::time("since", self.since.as_deref())?,
            opened_until: query::time("until", self.until.as_deref())?,
            rule: self.rule,
            policy: self.policy,
            clause: self.clause,
            account: self.account,
            limit: None,
            offset: 0,
        };
        let limit = query::limit(self.limit.as_deref(), PAGE_ROWS, PAGE_ROWS_MAX)?;
        let after = self.cursor.as_deref().map(|text| {
            read_cursor(text)
                .ok_or_else(|| query::wrong("`cursor` is none", "give back `next` of the last page as it is"))
        });
        Ok((filter, limit, after.transpose()?))
    }
}

/// A cursor is the moment and the id of the last row that was looked at.
pub(crate) fn cursor((at, id): &Place) -> String {
    format!("{}.{id}", at.0)
}

pub(crate) fn read_cursor(text: &str) -> Option<(Timestamp, String)> {
    let (at, id) = text.split_once('.')?;
    let fits = !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| Some((Timestamp(at.parse().ok()?), id.to_string())))?
}

/// Violations, page by page
///
/// A page looks at 10,000 violations at most: where a filter fits few of them it may hold fewer than `limit`, even none, and have a
/// `next` all the same.
#[utoipa::path(
    get,
    path = "/v1/violations",
    tag = "log",
    params(Which),
    responses((status = 200, description = "A page", body = Violations), BadQuery, Forbidden, Limited),
)]
pub(crate) async fn list(State(app): State<App>, uri: Uri) -> Result<Response, Refusal> {
    let (filter, limit, after) = query::parts::<Which>(&uri)?.filter()?;
    let log = app.engine()?.log();
    let (rows, next) = log.page(&filter, after.as_ref(), limit).await.map_err(unreadable)?;
    let next = next.as_ref().map(cursor);
    let violations: Result<Vec<Value>, Refusal> = rows
        .iter()
        .map(|(row, decision)| with(row, "decision", decision.as_ref().map_or(Value::Null, Decision::to_json)))
        .collect();
    Ok(answer(&Violations { violations: violations?, next }))
}

/// One violation, with all decisions of reviewers on it, and who was told of it
///
/// The id may be cut short, as long as one violation alone begins so.
#[utoipa::path(
    get,
    path = "/v1/violations/{id}",
    tag = "log",
    params(("id" = String, Path, description = "Its id, or the beginning of it: hexadecimal digits")),
    responses((status = 200, description = "The record, with `decisions` and `alerts`", body = Object), BadQuery, Absent, Forbidden, Limited),
)]
pub(crate) async fn one(State(app): State<App>, Id(id): Id) -> Result<Response, Refusal> {
    let help = "`/v1/violations` lists the ids";
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(query::wrong("the id of a violation is made of hexadecimal digits", help));
    }
    let log = app.engine()?.log();
    let id = id.to_ascii_lowercase();
    let row = match log.get(&id).await {
        Ok(row) => row.ok_or_else(|| Refusal::absent(format!("the log holds no violation `{id}`"), help))?,
        Err(e @ StoreError::Ambiguous { .. }) => return Err(query::wrong(e.to_string(), "write more of its digits")),
        Err(e) => return Err(unreadable(e)),
    };
    let decisions = log.decisions(&row.id).await.map_err(unreadable)?;
    let all = decisions.iter().map(Decision::to_json).collect();
    let mut record = with(&row, "decisions", all)?;
    let alerts = log.alerts_of(&row.id).await.map_err(unreadable)?;
    if let Value::Object(parts) = &mut record {
        parts.insert("alerts".to_string(), alerts.iter().map(AlertDelivery::to_json).collect());
    }
    Ok(answer(&record))
}

/// A record with something beside it.
fn with(row: &Row, key: &str, value: Value) -> Result<Value, Refusal> {
    let mut record: Value = serde_json::from_str(&row.record).map_err(|e| {
        tracing::error!(violation = %row.id, error = %e, "a record of the log is damaged");
        store_fails()
    })?;
    if let Value::Object(parts) = &mut record {
        parts.insert(key.to_string(), value);
    }
    Ok(record)
}

/// The log cannot be read; what SQLite says goes into our log alone.
pub(crate) fn unreadable(e: StoreError) -> Refusal {
    tracing::error!(error = %e, "the violation log cannot be read");
    store_fails()
}

fn store_fails() -> Refusal {
    Refusal::unavailable(
        "log_unavailable",
        "the violation log cannot be read or written just now",
        "come again after `Retry-After`; the log of the server says why",
    )
}
