//! Questions to the log: which violations, in order of (opened_at, id), page by page.

use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::decisions::Outcome;
use super::violations::{COLUMNS, Row, row};
use crate::hir::{Mode, Severity};
use crate::time::Timestamp;
use crate::violation::Status;

/// How a violation was reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Nobody decided on it yet.
    Undecided,
    /// The decision that counts is this.
    Decided(Outcome),
}

/// Which violations; every part that is given must hold. The default is all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Name of the rule.
    pub rule: Option<String>,
    /// `provider.document` of the first clause.
    pub policy: Option<String>,
    /// Name of the first clause.
    pub clause: Option<String>,
    /// At least this bad.
    pub severity_min: Option<Severity>,
    /// Where they stand.
    pub status: Option<Status>,
    /// What the rule may do.
    pub mode: Option<Mode>,
    /// What reviewers decided.
    pub decision: Option<Disposition>,
    /// An account that contributed.
    pub account: Option<String>,
    /// Opened at this moment or later.
    pub opened_from: Option<Timestamp>,
    /// Opened before this moment.
    pub opened_until: Option<Timestamp>,
    /// At most so many; `None` is all.
    pub limit: Option<u64>,
    /// After passing over so many.
    pub offset: u64,
}

/// Rows that an export holds in memory at once.
pub(super) const PAGE_ROWS: u64 = 500;

/// Rows that one page of a reader who waits looks at, at most: beyond it the page ends, and the next one goes on there.
pub const LOOKED_AT_MAX: u64 = 10_000;

/// Where a page ended.
pub(super) type After = (Timestamp, String);

pub(super) async fn page(
    conn: &mut SqliteConnection,
    filter: &Filter,
    after: Option<&After>,
    limit: u64,
    offset: u64,
) -> Result<Vec<Row>, sqlx::Error> {
    let mut query = question("", filter, after, limit, offset);
    query.build().fetch_all(conn).await?.iter().map(row).collect()
}

/// A page that looks at [`LOOKED_AT_MAX`] rows at most, and where the next one begins.
pub(super) async fn bounded(
    conn: &mut SqliteConnection,
    filter: &Filter,
    after: Option<&After>,
    limit: u64,
) -> Result<(Vec<Row>, Option<After>), sqlx::Error> {
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut q = QueryBuilder::new("SELECT ");
    q.push(COLUMNS).push(" FROM violations AS v WHERE v.id IN (SELECT id FROM (");
    walk(&mut q, filter, after, LOOKED_AT_MAX, 0);
    q.push("))");
    remaining(&mut q, filter);
    q.push(" ORDER BY v.opened_at, v.id LIMIT ").push_bind(int(limit));
    let rows: Vec<Row> = q.build().fetch_all(&mut *conn).await?.iter().map(row).collect::<Result<_, _>>()?;
    if rows.len() as u64 == limit {
        let last = rows.last().map(|row| (row.opened_at, row.id.clone()));
        return Ok((rows, last));
    }
    let mut q = QueryBuilder::new("");
    walk(&mut q, filter, after, 1, LOOKED_AT_MAX - 1);
    let last = q.build().fetch_optional(conn).await?;
    let place =
        |r: sqlx::sqlite::SqliteRow| -> Result<After, sqlx::Error> { Ok((Timestamp(r.try_get(1)?), r.try_get(0)?)) };
    Ok((rows, last.map(place).transpose()?))
}

/// Ids and moments in order, by the part of the filter that tells most.
fn walk(q: &mut QueryBuilder<Sqlite>, filter: &Filter, after: Option<&After>, limit: u64, offset: u64) {
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    if let Some(account) = &filter.account {
        q.push("SELECT a.violation AS id, a.opened_at FROM violation_accounts AS a WHERE a.account = ");
        q.push_bind(account.clone());
        bounds(q, filter, after, "a.opened_at", "a.violation");
        q.push(" ORDER BY a.opened_at, a.violation");
    } else if let Some(Disposition::Decided(outcome)) = filter.decision {
        q.push(
            "SELECT c.violation AS id, c.opened_at FROM decided AS c INDEXED BY decided_by_outcome WHERE c.outcome = ",
        );
        q.push_bind(outcome.word());
        bounds(q, filter, after, "c.opened_at", "c.violation");
        q.push(" ORDER BY c.opened_at, c.violation");
    } else {
        q.push("SELECT v.id AS id, v.opened_at FROM violations AS v INDEXED BY ");
        match equality(filter) {
            Some((index, column, value)) => {
                q.push(index).push(" WHERE ").push(column).push(" = ").push_bind(value.to_owned());
            }
            None => {
                q.push("violations_by_opened WHERE true");
            }
        }
        bounds(q, filter, after, "v.opened_at", "v.id");
        q.push(" ORDER BY v.opened_at, v.id");
    }
    q.push(" LIMIT ").push_bind(int(limit)).push(" OFFSET ").push_bind(int(offset));
}

pub(super) async fn plan(
    conn: &mut SqliteConnection,
    filter: &Filter,
    second_page: bool,
) -> Result<Vec<String>, sqlx::Error> {
    let after = second_page.then(|| (Timestamp(0), String::new()));
    let mut query = question("EXPLAIN QUERY PLAN ", filter, after.as_ref(), PAGE_ROWS, filter.offset);
    query.build().fetch_all(conn).await?.iter().map(|r| r.try_get(3)).collect()
}

/// The statement of a page. Each part of the filter has an index that holds the export order. The one that tells most is
/// named with INDEXED BY rather than left to the planner, which has no statistics here: the plan is then the same on every
/// log, and a plan that would sort or scan the table is an error instead of a slow answer.
fn question(prefix: &str, filter: &Filter, after: Option<&After>, limit: u64, offset: u64) -> QueryBuilder<Sqlite> {
    let mut q = QueryBuilder::new(prefix);
    if let Some(account) = &filter.account {
        // An account has few violations: its own index is walked in order and each violation looked up.
        q.push("SELECT ")
            .push(COLUMNS)
            .push(" FROM violation_accounts AS a CROSS JOIN violations AS v ON v.id = a.violation WHERE a.account = ");
        q.push_bind(account.as_str());
        bounds(&mut q, filter, after, "a.opened_at", "a.violation");
        remaining(&mut q, filter);
        q.push(" ORDER BY a.opened_at, a.violation");
    } else if let Some(Disposition::Decided(outcome)) = filter.decision {
        // People have decided on few: theirs are walked.
        q.push("SELECT ").push(COLUMNS).push(
            " FROM decided AS c INDEXED BY decided_by_outcome CROSS JOIN violations AS v ON v.id = c.violation \
             WHERE c.outcome = ",
        );
        q.push_bind(outcome.word());
        bounds(&mut q, filter, after, "c.opened_at", "c.violation");
        remaining(&mut q, filter);
        q.push(" ORDER BY c.opened_at, c.violation");
    } else if let Some((index, column, value)) = equality(filter) {
        branch(&mut q, index);
        q.push(column).push(" = ").push_bind(value.to_owned());
        bounds(&mut q, filter, after, "v.opened_at", "v.id");
        remaining(&mut q, filter);
        q.push(" ORDER BY v.opened_at, v.id");
    } else {
        branch(&mut q, "violations_by_opened");
        q.push("true");
        bounds(&mut q, filter, after, "v.opened_at", "v.id");
        remaining(&mut q, filter);
        q.push(" ORDER BY v.opened_at, v.id");
    }
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    q.push(" LIMIT ").push_bind(int(limit)).push(" OFFSET ").push_bind(int(offset));
    q
}

fn branch(q: &mut QueryBuilder<Sqlite>, index: &str) {
    q.push("SELECT ").push(COLUMNS).push(" FROM violations AS v INDEXED BY ").push(index).push(" WHERE ");
}

/// The part of the filter to walk by: a rule has fewer violations than its clause, a clause fewer than its document.
fn equality(filter: &Filter) -> Option<(&'static str, &'static str, &str)> {
    if let Some(rule) = &filter.rule {
        return Some(("violations_by_rule", "v.rule", rule));
    }
    if let Some(clause) = &filter.clause {
        return Some(("violations_by_clause", "v.clause", clause));
    }
    filter.policy.as_deref().map(|policy| ("violations_by_policy", "v.policy", policy))
}

/// Where the walk begins and ends.
fn bounds(q: &mut QueryBuilder<Sqlite>, filter: &Filter, after: Option<&After>, opened_at: &str, id: &str) {
    match after {
        Some((at, last)) => {
            q.push(" AND (").push(opened_at).push(", ").push(id).push(") > (").push_bind(at.0).push(", ");
            q.push_bind(last.as_str()).push(")");
        }
        // Without a beginning too, so that every walk is a search and one shape of plan serves.
        None => {
            let from = filter.opened_from.unwrap_or(Timestamp::MIN);
            q.push(" AND ").push(opened_at).push(" >= ").push_bind(from.0);
        }
    }
    if let Some(until) = filter.opened_until {
        q.push(" AND ").push(opened_at).push(" < ").push_bind(until.0);
    }
}

/// All other parts, tested on each row of the walk. The part walked by is tested again, which costs nothing worth a case.
fn remaining(q: &mut QueryBuilder<Sqlite>, filter: &Filter) {
    let texts = [
        ("rule", filter.rule.as_deref()),
        ("policy", filter.policy.as_deref()),
        ("clause", filter.clause.as_deref()),
        ("status", filter.status.map(Status::word)),
        ("mode", filter.mode.map(Mode::word)),
    ];
    for (column, value) in texts {
        if let Some(value) = value {
            q.push(" AND +v.").push(column).push(" = ").push_bind(value.to_owned());
        }
    }
    if let Some(standing) = filter.decision {
        // Read from the decisions' index alone, a search for each row of the walk.
        q.push(
            " AND (SELECT d.outcome FROM decisions AS d INDEXED BY decisions_by_violation WHERE d.violation = v.id ",
        );
        q.push("ORDER BY d.number DESC LIMIT 1)");
        match standing {
            Disposition::Undecided => q.push(" IS NULL"),
            Disposition::Decided(outcome) => q.push(" = ").push_bind(outcome.word()),
        };
    }
    if let Some(least) = filter.severity_min {
        q.push(" AND +v.severity >= ").push_bind(least as i64);
    }
}
