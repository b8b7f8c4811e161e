//! Table `decisions_given`: what gateways were told, with what was known then. What is written together has one entry: the root
//! of a tree over it, in the order of the numbers.

mod batch;

pub use batch::GivenProof;
pub(super) use batch::{erase, forget, insert, leaves, numbers, prove, unsealed};

use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

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
    /// At least this strict.
    pub decision_min: Option<Verdict>,
    /// Given at this moment or later.
    pub from: Option<Timestamp>,
    /// Given before this moment.
    pub until: Option<Timestamp>,
    /// With a higher number.
    pub after: Option<u64>,
}

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

/// In the order in which they were given, at most `limit`.
pub(super) async fn list(
    conn: &mut SqliteConnection,
    filter: &GivenFilter,
    limit: u64,
) -> Result<Vec<Given>, sqlx::Error> {
    question(filter, limit).build().fetch_all(conn).await?.iter().map(given).collect()
}

fn question(filter: &GivenFilter, limit: u64) -> QueryBuilder<Sqlite> {
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut q = QueryBuilder::new(COLUMNS);
    if let Some(event) = &filter.event {
        q.push(" INDEXED BY decisions_given_by_event WHERE event = ").push_bind(event.clone());
    } else if let Some(account) = &filter.account {
        q.push(" INDEXED BY decisions_given_by_account WHERE account = ").push_bind(account.clone());
    } else {
        q.push(" WHERE true");
    }
    q.push(" AND number > ").push_bind(filter.after.map_or(0, int));
    if let (Some(account), Some(_)) = (&filter.account, &filter.event) {
        q.push(" AND +account = ").push_bind(account.clone());
    }
    if let Some(from) = filter.from {
        q.push(" AND +at >= ").push_bind(from.0);
    }
    if let Some(until) = filter.until {
        q.push(" AND +at < ").push_bind(until.0);
    }
    if let Some(least) = filter.decision_min {
        let words: Vec<&str> = Verdict::ALL.into_iter().filter(|v| *v >= least).map(Verdict::word).collect();
        q.push(" AND decision IN (SELECT value FROM json_each(").push_bind(json_texts(words.into_iter())).push("))");
    }
    q.push(" ORDER BY number LIMIT ").push_bind(int(limit));
    q
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
