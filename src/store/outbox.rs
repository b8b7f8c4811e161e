//! Table `alert_deliveries`: which alerts of the log wait for which target, and what became of the others. A row is written in the
//! transaction of the entry that alerts, so whatever ends the process, an alert that is in the log is delivered.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Arguments, Row as _, SqliteConnection};

use super::Store;
use super::error::{At, StoreError};
use super::rows::{Insertion, insert_all};
use crate::enforce::Entry;
use crate::time::Timestamp;

/// Names of targets by channel.
pub type AlertRoutes = BTreeMap<String, Vec<String>>;

/// An alert that is due to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueAlert {
    /// Number of the entry.
    pub seq: u64,
    /// Id of the violation.
    pub violation: String,
    /// How many accounts it named when the entry was written.
    pub n_accounts: u64,
}

/// What became of an alert at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertOutcome {
    /// The target has taken it.
    Delivered,
    /// Given up, and in the file of dead letters.
    Dead,
    /// The target is not configured any more.
    Unrouted,
    /// The violation was taken back, exempted or merged before it was told.
    Withdrawn,
}

impl AlertOutcome {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            AlertOutcome::Delivered => "delivered",
            AlertOutcome::Dead => "dead",
            AlertOutcome::Unrouted => "unrouted",
            AlertOutcome::Withdrawn => "withdrawn",
        }
    }
}

/// An alert and a target, settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledAlert {
    /// Number of the entry.
    pub seq: u64,
    /// The target, by its name within its channel.
    pub target: String,
    /// What became of it.
    pub outcome: AlertOutcome,
}

/// An alert on a violation at a target, for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertDelivery {
    /// The channel, as the rule names it.
    pub channel: String,
    /// The target, by its name within its channel.
    pub target: String,
    /// How many accounts the violation named then.
    pub n_accounts: u64,
    /// The word of its [`AlertOutcome`]; `None` while it waits.
    pub outcome: Option<String>,
    /// Since when.
    pub settled_at: Option<Timestamp>,
}

impl AlertDelivery {
    /// For machines.
    pub fn to_json(&self) -> Value {
        json!({
            "channel": self.channel,
            "target": self.target,
            "accounts": self.n_accounts,
            "outcome": self.outcome.as_deref().unwrap_or("waiting"),
            "at": self.settled_at.map(|at| at.to_string()),
        })
    }
}

const INSERT: Insertion = Insertion {
    head: "INSERT INTO alert_deliveries (seq, target, channel, violation, n_accounts, not_before) VALUES",
    tuple: "(?, ?, ?, ?, ?, ?)",
    tail: "ON CONFLICT (seq, target) DO NOTHING",
};

const DUE: &str = "SELECT seq, violation, n_accounts FROM alert_deliveries INDEXED BY alert_deliveries_waiting \
     WHERE channel = ?1 AND target = ?2 AND not_before <= ?3 AND outcome IS NULL ORDER BY not_before, seq LIMIT ?4";

const WAITING: &str = "SELECT channel, target, count(*) FROM alert_deliveries INDEXED BY alert_deliveries_waiting \
     WHERE outcome IS NULL GROUP BY channel, target";

const SETTLE: &str = "UPDATE alert_deliveries SET outcome = ?3, settled_at = ?4 \
     WHERE seq = ?1 AND target = ?2 AND outcome IS NULL";

const UNROUTED: &str = "UPDATE alert_deliveries SET outcome = 'unrouted', settled_at = ?3 \
     WHERE channel = ?1 AND target = ?2 AND outcome IS NULL";

const OF_VIOLATION: &str = "SELECT channel, target, n_accounts, outcome, settled_at FROM alert_deliveries \
     INDEXED BY alert_deliveries_by_violation WHERE violation = ?1 ORDER BY seq, target LIMIT ?2";

/// Deliveries of one violation that are told at most.
pub const DELIVERIES_TOLD_MAX: u64 = 1_000;

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Lets the alerts among entries that were just written wait for their targets.
pub(super) async fn insert(
    conn: &mut SqliteConnection,
    written: &[Entry],
    routes: &AlertRoutes,
) -> Result<(), sqlx::Error> {
    let mut rows = Vec::new();
    for entry in written {
        let Some(alert) = entry.alert() else { continue };
        let targets = routes.get(&alert.channel).into_iter().flatten();
        rows.extend(targets.map(|target| (entry.seq, target, alert)));
    }
    insert_all(conn, &INSERT, &rows, |a, (seq, target, alert)| {
        a.add(int(*seq))?;
        a.add(target.as_str())?;
        a.add(alert.channel.as_str())?;
        a.add(alert.violation.as_str())?;
        a.add(int(alert.n_accounts))?;
        a.add(alert.not_before.0)
    })
    .await?;
    Ok(())
}

fn due(r: &SqliteRow) -> Result<DueAlert, sqlx::Error> {
    Ok(DueAlert {
        seq: r.try_get::<i64, _>(0)?.unsigned_abs(),
        violation: r.try_get(1)?,
        n_accounts: r.try_get::<i64, _>(2)?.unsigned_abs(),
    })
}

impl Store {
    /// Alerts that wait for a target and are due at `now`, in their order, at most `limit`.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn alerts_due(
        &self,
        channel: &str,
        target: &str,
        now: Timestamp,
        limit: u64,
    ) -> Result<Vec<DueAlert>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        let query = sqlx::query(DUE).bind(channel).bind(target).bind(now.0).bind(int(limit));
        let rows = query.fetch_all(&mut *conn).await.at("read the alerts of", &self.path)?;
        rows.iter().map(due).collect::<Result<_, _>>().at("read the alerts of", &self.path)
    }

    /// How many alerts wait, by channel and target.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn alerts_waiting(&self) -> Result<Vec<(String, String, u64)>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as(WAITING).fetch_all(&mut *conn).await.at("count the alerts of", &self.path)?;
        Ok(rows.into_iter().map(|(channel, target, n)| (channel, target, n.unsigned_abs())).collect())
    }

    /// Notes what became of alerts, in one transaction; once it is on the disk.
    ///
    /// # Errors
    /// Nothing is noted: opened for reading, disk full, locked for too long.
    pub async fn settle_alerts(&mut self, settled: &[SettledAlert], at: Timestamp) -> Result<(), StoreError> {
        let noted = self.write_settled(settled, at).await;
        self.undo_where_failed(noted).await
    }

    async fn write_settled(&mut self, settled: &[SettledAlert], at: Timestamp) -> Result<(), StoreError> {
        let (path, writer) = self.begin().await?;
        for one in settled {
            let update = sqlx::query(SETTLE).bind(int(one.seq)).bind(&one.target).bind(one.outcome.word()).bind(at.0);
            update.execute(&mut *writer).await.at("note deliveries in", path)?;
        }
        self.complete().await
    }

    /// Notes that what waits for a target waits no more, because there is no such target; how many.
    ///
    /// # Errors
    /// As [`Store::settle_alerts`].
    pub async fn unroute_alerts(&mut self, channel: &str, target: &str, at: Timestamp) -> Result<u64, StoreError> {
        let noted = self.write_unrouted(channel, target, at).await;
        self.undo_where_failed(noted).await
    }

    async fn write_unrouted(&mut self, channel: &str, target: &str, at: Timestamp) -> Result<u64, StoreError> {
        let (path, writer) = self.begin().await?;
        let update = sqlx::query(UNROUTED).bind(channel).bind(target).bind(at.0);
        let n = update.execute(&mut *writer).await.at("note deliveries in", path)?.rows_affected();
        self.complete().await?;
        Ok(n)
    }

    /// What became of the alerts on a violation, the first [`DELIVERIES_TOLD_MAX`].
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn alerts_of(&self, violation: &str) -> Result<Vec<AlertDelivery>, StoreError> {
        let mut conn = self.readers.acquire().await.at("read", &self.path)?;
        let query = sqlx::query(OF_VIOLATION).bind(violation).bind(int(DELIVERIES_TOLD_MAX));
        let rows = query.fetch_all(&mut *conn).await.at("read the alerts of", &self.path)?;
        let of = |r: &SqliteRow| {
            Ok(AlertDelivery {
                channel: r.try_get(0)?,
                target: r.try_get(1)?,
                n_accounts: r.try_get::<i64, _>(2)?.unsigned_abs(),
                outcome: r.try_get(3)?,
                settled_at: r.try_get::<Option<i64>, _>(4)?.map(Timestamp),
            })
        };
        rows.iter().map(of).collect::<Result<_, sqlx::Error>>().at("read the alerts of", &self.path)
    }
}
