//! Decisions that were given, to be found later with what was known then.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::error::{Refusal, answer};
use super::openapi::{Absent, BadQuery, Forbidden, Limited};
use super::query::{self, Id};
use super::recover::RECENT;
use super::state::App;
use super::violations::unreadable;
use crate::store::{Filter, Given, GivenFilter, GivenPlace, Row};
use crate::time::{DAY_NS, Duration, Timestamp};

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
    /// Only on this call, by its `call` id.
    call: Option<String>,
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
        call: which.call,
        after: after.transpose()?,
    };
    let limit = query::limit(which.limit.as_deref(), PAGE_ROWS, PAGE_ROWS_MAX)?;
    let (rows, next) = app.engine()?.log().given(&filter, limit).await.map_err(unreadable)?;
    let next = next.map(|(at, number)| format!("{}.{number}", at.0));
    Ok(answer(&Decisions { decisions: rows.iter().map(Given::to_json).collect(), next }))
}

/// A finding that a decision points to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Finding {
    /// Its id.
    id: String,
    /// The rule.
    rule: String,
    /// Where it stands.
    status: &'static str,
    /// When it began, in event time.
    opened_at: String,
    /// When it ended; null while it is under way.
    closed_at: Option<String>,
    /// Why it is told here: `known` (the decision named it), `event` (the event is among its evidence), `group` (it is of a rule
    /// that the decision names, names the account, and was under way then).
    by: &'static str,
}

/// One decision that was given, with the findings that followed
///
/// The id of a windowed finding is known when its step closes, after the decision. Here are the violations that the decision named,
/// and those of its rules on its account whose time holds that of the decision, at most 100. There may be none: a call that
/// is refused is no event of a finding, and where every call is refused there may never be one.
#[utoipa::path(
    get,
    path = "/v1/decisions/{id}",
    tag = "log",
    params(("id" = u64, Path, description = "Its `number` in `/v1/decisions`")),
    responses((status = 200, description = "The decision, with `findings`", body = Object), BadQuery, Absent, Forbidden, Limited),
)]
pub(crate) async fn one(State(app): State<App>, Id(number): Id) -> Result<Response, Refusal> {
    let help = "`/v1/decisions` lists the numbers";
    let number = number.parse::<u64>().map_err(|_| query::wrong("the number of a decision is a whole number", help))?;
    let log = app.engine()?.log();
    let given = log.given_one(number).await.map_err(unreadable)?;
    let given = given.ok_or_else(|| Refusal::absent(format!("the log holds no decision {number}"), help))?;
    let mut findings = Vec::new();
    for id in &given.decision.violations {
        findings.extend(log.get(id).await.map_err(unreadable)?.map(|row| told(&row, "known")));
    }
    for rule in given.account.iter().flat_map(|_| &given.decision.rules) {
        let filter = Filter {
            rule: Some(rule.clone()),
            account: given.account.clone(),
            opened_from: Some(given.at.saturating_sub(RECENT)),
            opened_until: Some(given.at.saturating_add(SOON)),
            ..Filter::default()
        };
        let (page, _) = log.page(&filter, None, FINDINGS_TOLD_MAX as u64).await.map_err(unreadable)?;
        for row in page.iter().map(|(row, _)| row) {
            if !findings.iter().any(|known| known.id == row.id) {
                findings.extend(by(row, &given).map(|by| told(row, by)));
            }
        }
    }
    findings.truncate(FINDINGS_TOLD_MAX);
    let mut json = given.to_json();
    if let (Value::Object(parts), Ok(findings)) = (&mut json, serde_json::to_value(findings)) {
        parts.insert("findings".to_string(), findings);
    }
    Ok(answer(&json))
}

/// Findings of a decision that are told at most.
const FINDINGS_TOLD_MAX: usize = 100;
/// How long after a decision a finding may begin that it points to: steps, the lateness, and calls that take their time.
const SOON: Duration = Duration(DAY_NS);

/// Why a finding is one that a decision points to; `None` where it is not.
fn by(row: &Row, given: &Given) -> Option<&'static str> {
    let record: Value = serde_json::from_str(&row.record).ok()?;
    let events = record.get("evidence").and_then(|e| e.get("events")).and_then(Value::as_array);
    let named = |event: &Value| event.get("id").and_then(Value::as_str) == Some(given.event.as_str());
    if events.is_some_and(|events| events.iter().any(named)) {
        return Some("event");
    }
    let start = record.get("window")?.get("start")?.as_str().and_then(Timestamp::parse_rfc3339)?;
    let holds = start <= given.at && row.closed_at.is_none_or(|closed| given.at < closed);
    holds.then_some("group")
}

fn told(row: &Row, by: &'static str) -> Finding {
    Finding {
        id: row.id.clone(),
        rule: row.rule.clone(),
        status: row.status.word(),
        opened_at: row.opened_at.to_string(),
        closed_at: row.closed_at.map(|at| at.to_string()),
        by,
    }
}

/// A cursor is the moment and the number of the last row that was looked at.
fn read_cursor(text: &str) -> Option<GivenPlace> {
    let (at, number) = text.split_once('.')?;
    Some((Timestamp(at.parse().ok()?), number.parse().ok()?))
}
