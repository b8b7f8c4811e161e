//! Table `decisions_given`: what gateways were told, with what was known then. What is written together has one entry: the root
//! of a tree over it, in the order of the numbers.

mod batch;

pub use batch::GivenProof;
pub(super) use batch::{erase, forget, insert, leaves, numbers, prove, unsealed};

use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::filter::LOOKED_AT_MAX;
use super::rows::json_texts;
use super::violations::worded;
use crate::decision::{Decision, Verdict};
use crate::hir::Mode;
use crate::time::{Duration, Timestamp};

/// A decision as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its number in this log; 0 where no log has numbered it.
    pub number: u64,
    /// When, by the clock of the server.
    pub at: Timestamp,
    /// Calls that were told this; more than one only where they passed.
    pub calls: u64,
    /// Id of the (first) event.
    pub event: String,
    /// Its call.
    pub call: Option<String>,
    /// Its account.
    pub account: Option<String>,
    /// Its API key.
    pub api_key: Option<String>,
    /// Its organisation.
    pub org: Option<String>,
    /// What was said.
    pub decision: Decision,
    /// Hash of the rules that were in force.
    pub bundle: String,
}

/// Which of them; every part that is given must hold. The default is all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GivenFilter {
    /// Of this account.
    pub account: Option<String>,
    /// On this event.
    pub event: Option<String>,
    /// On this call.
    pub call: Option<String>,
    /// At least this strict.
    pub decision_min: Option<Verdict>,
    /// Given at this moment or later.
    pub from: Option<Timestamp>,
    /// Given before this moment.
    pub until: Option<Timestamp>,
    /// Behind this place, in the order of (moment, number).
    pub after: Option<GivenPlace>,
}

/// A place among decisions: when one was given, and its number.
pub type GivenPlace = (Timestamp, u64);

impl Given {
    /// For machines.
    pub fn to_json(&self) -> Value {
        let d = &self.decision;
        json!({
            "number": self.number,
            "at": self.at.to_string(),
            "calls": self.calls,
            "event": self.event,
            "call": self.call,
            "account": self.account,
            "api_key_id": self.api_key,
            "org": self.org,
            "decision": d.verdict.word(),
            "would": d.would.word(),
            "mode": d.mode.word(),
            "reason": d.reason,
            "rules": d.rules,
            "violations": d.violations,
            "actions": d.actions,
            "retry_after": d.retry_after.map(|r| r.to_string()),
            "bundle": self.bundle,
        })
    }
}

const COLUMNS: &str = "SELECT number, at, calls, event, call, account, api_key, org, decision, would, mode, \
     retry_after, reason, rules, violations, actions, bundle FROM decisions_given";

/// The one with this number.
pub(super) async fn one(conn: &mut SqliteConnection, number: u64) -> Result<Option<Given>, sqlx::Error> {
    let mut q = QueryBuilder::new(COLUMNS);
    q.push(" WHERE number = ").push_bind(int(number));
    q.build().fetch_optional(conn).await?.as_ref().map(given).transpose()
}

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// In order of (moment, number), at most `limit`, and where the next page begins; `None` at the end. Looks at
/// [`LOOKED_AT_MAX`] rows at most, so a page may hold fewer rows, or none, and not be the last.
pub(super) async fn page(
    conn: &mut SqliteConnection,
    filter: &GivenFilter,
    limit: u64,
) -> Result<(Vec<Given>, Option<GivenPlace>), sqlx::Error> {
    let mut q = QueryBuilder::new(COLUMNS);
    q.push(" WHERE number IN (SELECT number FROM (");
    walk(&mut q, filter, LOOKED_AT_MAX, 0);
    q.push("))");
    for (column, value) in [("account", &filter.account), ("call", &filter.call)] {
        if let Some(value) = value {
            q.push(" AND +").push(column).push(" = ").push_bind(value.clone());
        }
    }
    if let Some(least) = filter.decision_min {
        let words: Vec<&str> = Verdict::ALL.into_iter().filter(|v| *v >= least).map(Verdict::word).collect();
        q.push(" AND decision IN (SELECT value FROM json_each(").push_bind(json_texts(words.into_iter())).push("))");
    }
    q.push(" ORDER BY at, number LIMIT ").push_bind(int(limit));
    let rows: Vec<Given> = q.build().fetch_all(&mut *conn).await?.iter().map(given).collect::<Result<_, _>>()?;
    if rows.len() as u64 == limit {
        let last = rows.last().map(|row| (row.at, row.number));
        return Ok((rows, last));
    }
    let mut q = QueryBuilder::new("");
    walk(&mut q, filter, 1, LOOKED_AT_MAX - 1);
    let last = q.build().fetch_optional(conn).await?;
    let place = |r: SqliteRow| -> Result<GivenPlace, sqlx::Error> {
        Ok((Timestamp(r.try_get(1)?), r.try_get::<i64, _>(0)?.unsigned_abs()))
    };
    Ok((rows, last.map(place).transpose()?))
}

/// Numbers and moments in order, by the part of the filter that tells most.
fn walk(q: &mut QueryBuilder<Sqlite>, filter: &GivenFilter, limit: u64, offset: u64) {
    q.push("SELECT number, at FROM decisions_given INDEXED BY ");
    let parts = [
        ("decisions_given_by_event", "event", &filter.event),
        ("decisions_given_by_call", "call", &filter.call),
        ("decisions_given_by_account", "account", &filter.account),
    ];
    match parts.into_iter().find_map(|(index, column, value)| Some((index, column, value.clone()?))) {
        Some((index, column, value)) => {
            q.push(index).push(" WHERE ").push(column).push(" = ").push_bind(value).push(" AND ");
        }
        None => {
            q.push("decisions_given_by_time WHERE ");
        }
    }
    match filter.after {
        Some((at, number)) => {
            q.push("(at, number) > (").push_bind(at.0).push(", ").push_bind(int(number)).push(")");
        }
        // Without a beginning too, so that every walk is a search.
        None => {
            q.push("at >= ").push_bind(filter.from.unwrap_or(Timestamp::MIN).0);
        }
    }
    if let (Some(from), Some(_)) = (filter.from, filter.after) {
        q.push(" AND +at >= ").push_bind(from.0);
    }
    if let Some(until) = filter.until {
        q.push(" AND at < ").push_bind(until.0);
    }
    q.push(" ORDER BY at, number LIMIT ").push_bind(int(limit)).push(" OFFSET ").push_bind(int(offset));
}

fn given(r: &SqliteRow) -> Result<Given, sqlx::Error> {
    let verdict = |word: &str| Verdict::ALL.into_iter().find(|v| v.word() == word);
    let names = |column: usize| -> Result<Vec<String>, sqlx::Error> {
        let text: String = r.try_get(column)?;
        serde_json::from_str(&text).map_err(|e| sqlx::Error::Decode(e.into()))
    };
    Ok(Given {
        number: r.try_get::<i64, _>(0)?.unsigned_abs(),
        at: Timestamp(r.try_get(1)?),
        calls: r.try_get::<i64, _>(2)?.unsigned_abs(),
        event: r.try_get(3)?,
        call: r.try_get(4)?,
        account: r.try_get(5)?,
        api_key: r.try_get(6)?,
        org: r.try_get(7)?,
        decision: Decision {
            verdict: worded(verdict, r, 8)?,
            would: worded(verdict, r, 9)?,
            mode: worded(Mode::from_word, r, 10)?,
            retry_after: r.try_get::<Option<i64>, _>(11)?.map(Duration),
            reason: r.try_get(12)?,
            rules: names(13)?,
            violations: names(14)?,
            actions: names(15)?,
        },
        bundle: r.try_get(16)?,
    })
}
