//! Tables of actions: their entries, which are added and never changed, and what follows from them, to be asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sqlx::sqlite::SqliteRow;
use sqlx::{Arguments, QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::error::{At, StoreError};
use super::filter::LOOKED_AT_MAX;
use super::rows::{Insertion, insert_all, json_texts};
use super::sealed::{NewEntry, Sealed};
use crate::enforce::{Act, Action, ActionId, Actor, Entry, Options, State, Table};
use crate::time::Timestamp;

/// Entries that are read at once.
pub const ENTRIES_PAGE: u64 = 10_000;

/// Which of the states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionsIn {
    /// Those of which something may come: waiting for review, delayed, in force.
    Alive,
    /// Those in the state of this word, of [`State::WORDS`].
    State(&'static str),
}

/// Which actions; every part that is given must hold. The default is all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionFilter {
    /// Where they stand.
    pub state: Option<ActionsIn>,
    /// An account, key or organisation that they bear on or did.
    pub target: Option<String>,
    /// Name of the rule.
    pub rule: Option<String>,
    /// The violation that they rest on.
    pub violation: Option<String>,
    /// At most so many; `None` is all.
    pub limit: Option<u64>,
}

const INSERT: &str = "INSERT INTO action_entries (at, actor, name, action, act, once, reason, details) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (action, once) DO NOTHING RETURNING seq";

const ENTRIES: &str = "SELECT seq, at, actor, name, action, reason, details FROM action_entries ";

/// By action, for few actions; sorted afterwards.
const OF_SEVERAL: &str = "INDEXED BY action_entries_once WHERE action IN (SELECT value FROM json_each(?1))";

const SINCE: &str = "WHERE seq > ?1 ORDER BY seq LIMIT ?2";

/// `g` follows the last hex digit, so the range holds every id that begins so.
const BY_PREFIX: &str = "SELECT id FROM actions WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id LIMIT 2";

const STANDS: Insertion = Insertion {
    head: "INSERT INTO actions (id, proposed_at, state, is_alive, rule, violation) VALUES",
    tuple: "(?, ?, ?, ?, ?, ?)",
    tail: "ON CONFLICT (id) DO UPDATE SET state = excluded.state, is_alive = excluded.is_alive",
};

const MEMBER: Insertion = Insertion {
    head: "INSERT INTO action_members (member, proposed_at, action) VALUES",
    tuple: "(?, ?, ?)",
    tail: "ON CONFLICT DO NOTHING",
};

/// Writes entries in their order; those that were written, with their numbers. One that is there already is passed over.
pub(super) async fn append(
    path: &Path,
    conn: &mut SqliteConnection,
    entries: &[Entry],
) -> Result<Vec<Entry>, StoreError> {
    let doing = "write actions to";
    let mut written = Vec::new();
    for e in entries {
        let details = serde_json::to_string(&e.act).map_err(|e| sqlx::Error::Encode(e.into())).at(doing, path)?;
        let insert = sqlx::query_scalar::<_, i64>(INSERT)
            .bind(e.at.0)
            .bind(e.actor.kind())
            .bind(e.actor.name())
            .bind(e.action.to_string())
            .bind(e.act.word())
            .bind(e.once())
            .bind(&e.reason)
            .bind(details);
        if let Some(seq) = insert.fetch_optional(&mut *conn).await.at(doing, path)? {
            written.push(Entry { seq: seq.unsigned_abs(), ..e.clone() });
        }
    }
    follow(conn, &written).await.at(doing, path)?;
    Ok(written)
}

/// Rows as they are sealed.
const SEALED: &str = "SELECT seq, at, actor, name, action, act, once, reason, details FROM action_entries ";
const BY_NUMBER: &str = "WHERE seq IN (SELECT value FROM json_each(?1)) ORDER BY seq";

/// What of entries is sealed: the whole row.
pub(super) async fn seals(conn: &mut SqliteConnection, of: &[Entry]) -> Result<Vec<NewEntry>, sqlx::Error> {
    if of.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = serde_json::Value::from_iter(of.iter().map(|e| e.seq)).to_string();
    let sql = sqlx::AssertSqlSafe(format!("{SEALED}{BY_NUMBER}"));
    sqlx::query(sql).bind(numbers).fetch_all(conn).await?.iter().map(seal).collect()
}

/// What of all entries is sealed, in order.
pub(super) async fn all_seals(conn: &mut SqliteConnection) -> Result<Vec<NewEntry>, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("{SEALED}ORDER BY seq"));
    sqlx::query(sql).fetch_all(conn).await?.iter().map(seal).collect()
}

/// Acts of the actions that rest on violations.
const OF_VIOLATIONS: &str = "WHERE action IN (SELECT id FROM actions WHERE violation IN \
     (SELECT value FROM json_each(?1))) ORDER BY seq";

/// As they are sealed, the acts of all actions that rest on violations, in order.
pub(super) async fn sealed_of(
    conn: &mut SqliteConnection,
    violations: &str,
) -> Result<Vec<serde_json::Value>, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("{SEALED}{OF_VIOLATIONS}"));
    sqlx::query(sql).bind(violations).fetch_all(conn).await?.iter().map(sealed).collect()
}

fn seal(r: &SqliteRow) -> Result<NewEntry, sqlx::Error> {
    let seq: i64 = r.try_get(0)?;
    Ok(NewEntry::of_json(Sealed::Action, seq.to_string(), &sealed(r)?))
}

fn sealed(r: &SqliteRow) -> Result<serde_json::Value, sqlx::Error> {
    let text = |column: usize| r.try_get::<String, _>(column);
    Ok(serde_json::json!({
        "seq": r.try_get::<i64, _>(0)?, "at": r.try_get::<i64, _>(1)?, "actor": text(2)?, "name": text(3)?, "action": text(4)?,
        "act": text(5)?, "once": text(6)?, "reason": text(7)?, "details": text(8)?,
    }))
}

/// Brings what follows from the entries up to date.
async fn follow(conn: &mut SqliteConnection, written: &[Entry]) -> Result<(), sqlx::Error> {
    let acts = written.iter().filter(|e| !matches!(e.act, Act::Alerted(_)));
    let touched: BTreeSet<ActionId> = acts.map(|e| e.action).collect();
    if touched.is_empty() {
        return Ok(());
    }
    let table = folded(&of_several(conn, &touched).await?);
    let actions = table.actions();
    insert_all(conn, &STANDS, &actions, |a, action| {
        a.add(action.id.to_string())?;
        a.add(action.proposed_at.0)?;
        a.add(action.state.word())?;
        a.add(i64::from(is_alive(action.state)))?;
        a.add(action.terms.rule.as_str())?;
        a.add(&*action.violation)
    })
    .await?;
    let mut members = Vec::new();
    for e in written {
        let new = match &e.act {
            Act::Proposed(p) => &p.members,
            Act::MembersAdded { members } => members,
            _ => continue,
        };
        let Some(action) = table.get(e.action) else { continue };
        members.extend(new.iter().map(|m| (m, action.proposed_at, e.action.to_string())));
    }
    insert_all(conn, &MEMBER, &members, |a, (member, at, id)| {
        a.add(member.as_str())?;
        a.add(at.0)?;
        a.add(id.as_str())
    })
    .await?;
    Ok(())
}

fn is_alive(state: State) -> bool {
    !state.is_over() && !matches!(state, State::Shadow(_))
}

/// What follows from entries in order, nothing forgotten.
fn folded(entries: &[Entry]) -> Table {
    let all = Options { ended_max: usize::MAX, shadow_max: usize::MAX, ..Options::default() };
    let mut table = Table::new(all);
    for e in entries {
        table.apply(e);
    }
    table
}

async fn of_several(conn: &mut SqliteConnection, ids: &BTreeSet<ActionId>) -> Result<Vec<Entry>, sqlx::Error> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let sql = sqlx::AssertSqlSafe(format!("{ENTRIES}{OF_SEVERAL}"));
    let rows = sqlx::query(sql).bind(json_texts(ids.iter().map(String::as_str))).fetch_all(conn).await?;
    let mut entries = rows.iter().map(entry).collect::<Result<Vec<Entry>, sqlx::Error>>()?;
    entries.sort_by_key(|e| e.seq);
    Ok(entries)
}

/// Entries with higher numbers than `seq`, in order, at most `limit`.
pub(super) async fn since(conn: &mut SqliteConnection, seq: u64, limit: u64) -> Result<Vec<Entry>, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("{ENTRIES}{SINCE}"));
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let rows = sqlx::query(sql).bind(int(seq)).bind(int(limit)).fetch_all(conn).await?;
    rows.iter().map(entry).collect()
}

/// The id of the only action whose id begins so.
pub(super) async fn find(
    path: &Path,
    conn: &mut SqliteConnection,
    prefix: &str,
) -> Result<Option<ActionId>, StoreError> {
    let prefix = prefix.to_ascii_lowercase();
    if !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let found: Vec<String> = sqlx::query_scalar(BY_PREFIX).bind(&prefix).fetch_all(conn).await.at("look into", path)?;
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(ActionId::parse(one)),
        _ => Err(StoreError::AmbiguousAction { path: path.to_owned(), prefix }),
    }
}

/// An action and its entries.
pub(super) async fn one(conn: &mut SqliteConnection, id: ActionId) -> Result<Option<(Table, Vec<Entry>)>, sqlx::Error> {
    let entries = of_several(conn, &BTreeSet::from([id])).await?;
    let table = folded(&entries);
    Ok(table.get(id).is_some().then_some((table, entries)))
}

/// Where a page of actions ended: the moment of a proposal, and the id.
pub type ActionPlace = (Timestamp, String);

/// Actions by the moment of their proposal and their id.
pub(super) async fn list(conn: &mut SqliteConnection, filter: &ActionFilter) -> Result<Vec<Action>, sqlx::Error> {
    let found: Vec<String> = question("", filter).build_query_scalar().fetch_all(&mut *conn).await?;
    of_ids(conn, &found).await
}

/// A page that looks at [`LOOKED_AT_MAX`] actions at most, and where the next one begins; `None` at the end.
pub(super) async fn page(
    conn: &mut SqliteConnection,
    filter: &ActionFilter,
    after: Option<&ActionPlace>,
    limit: u64,
) -> Result<(Vec<Action>, Option<ActionPlace>), sqlx::Error> {
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut q = QueryBuilder::new("SELECT a.proposed_at, a.id FROM actions AS a WHERE a.id IN (SELECT id FROM (");
    walk(&mut q, filter, after, LOOKED_AT_MAX, 0);
    q.push("))");
    remaining(&mut q, filter);
    q.push(" ORDER BY a.proposed_at, a.id LIMIT ").push_bind(int(limit));
    let found: Vec<(i64, String)> = q.build_query_as().fetch_all(&mut *conn).await?;
    let ids: Vec<String> = found.iter().map(|(_, id)| id.clone()).collect();
    let next = if found.len() as u64 == limit {
        found.into_iter().last()
    } else {
        let mut q = QueryBuilder::new("");
        walk(&mut q, filter, after, 1, LOOKED_AT_MAX - 1);
        q.build_query_as().fetch_optional(&mut *conn).await?
    };
    Ok((of_ids(conn, &ids).await?, next.map(|(at, id)| (Timestamp(at), id))))
}

/// Moments and ids in order, by the part of the filter that tells most.
fn walk(q: &mut QueryBuilder<Sqlite>, filter: &ActionFilter, after: Option<&ActionPlace>, limit: u64, offset: u64) {
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let (at, id) = match filter.target {
        Some(_) => ("m.proposed_at", "m.action"),
        None => ("a.proposed_at", "a.id"),
    };
    q.push("SELECT ").push(at).push(", ").push(id).push(" AS id FROM ");
    match (&filter.target, &filter.violation, &filter.rule, filter.state) {
        (Some(target), ..) => q.push("action_members AS m WHERE m.member = ").push_bind(target.clone()),
        (_, Some(violation), ..) => {
            q.push("actions AS a INDEXED BY actions_by_violation WHERE a.violation = ").push_bind(violation.clone())
        }
        (_, _, Some(rule), _) => {
            q.push("actions AS a INDEXED BY actions_by_rule WHERE a.rule = ").push_bind(rule.clone())
        }
        (.., Some(ActionsIn::Alive)) => q.push("actions AS a INDEXED BY actions_by_life WHERE a.is_alive = 1"),
        (.., Some(ActionsIn::State(word))) => {
            q.push("actions AS a INDEXED BY actions_by_state WHERE a.state = ").push_bind(word)
        }
        (.., None) => q.push("actions AS a INDEXED BY actions_by_proposal WHERE true"),
    };
    if let Some((moment, last)) = after {
        q.push(" AND (").push(at).push(", ").push(id).push(") > (").push_bind(moment.0).push(", ");
        q.push_bind(last.clone()).push(")");
    }
    q.push(" ORDER BY ").push(at).push(", ").push(id);
    q.push(" LIMIT ").push_bind(int(limit)).push(" OFFSET ").push_bind(int(offset));
}

async fn of_ids(conn: &mut SqliteConnection, found: &[String]) -> Result<Vec<Action>, sqlx::Error> {
    let mut actions = Vec::new();
    // As many at a time as an export holds of records.
    for page in found.chunks(500) {
        let ids: BTreeSet<ActionId> = page.iter().filter_map(|id| ActionId::parse(id)).collect();
        let table = folded(&of_several(conn, &ids).await?);
        let by_id: BTreeMap<ActionId, &Action> = table.actions().into_iter().map(|a| (a.id, a)).collect();
        actions.extend(page.iter().filter_map(|id| by_id.get(&ActionId::parse(id)?).map(|a| Action::clone(a))));
    }
    Ok(actions)
}

pub(super) async fn plan(conn: &mut SqliteConnection, filter: &ActionFilter) -> Result<Vec<String>, sqlx::Error> {
    let rows = question("EXPLAIN QUERY PLAN ", filter).build().fetch_all(conn).await?;
    rows.iter().map(|r| r.try_get(3)).collect()
}

/// The part of the filter that tells most is walked by, in the order that is asked for; the others are tested on each row.
fn question(prefix: &str, filter: &ActionFilter) -> QueryBuilder<Sqlite> {
    let mut q = QueryBuilder::new(prefix);
    let by = |q: &mut QueryBuilder<Sqlite>, index: &str, column: &str| {
        q.push("SELECT a.id FROM actions AS a INDEXED BY ").push(index).push(" WHERE a.").push(column).push(" = ");
    };
    if let Some(target) = &filter.target {
        q.push("SELECT a.id FROM action_members AS m CROSS JOIN actions AS a ON a.id = m.action WHERE m.member = ");
        q.push_bind(target.as_str());
    } else if let Some(violation) = &filter.violation {
        by(&mut q, "actions_by_violation", "violation");
        q.push_bind(violation.as_str());
    } else if let Some(rule) = &filter.rule {
        by(&mut q, "actions_by_rule", "rule");
        q.push_bind(rule.as_str());
    } else if let Some(state) = filter.state {
        match state {
            ActionsIn::Alive => by(&mut q, "actions_by_life", "is_alive"),
            ActionsIn::State(_) => by(&mut q, "actions_by_state", "state"),
        }
        match state {
            ActionsIn::Alive => q.push("1"),
            ActionsIn::State(word) => q.push_bind(word),
        };
    } else {
        q.push("SELECT a.id FROM actions AS a INDEXED BY actions_by_proposal WHERE true");
    }
    remaining(&mut q, filter);
    match filter.target {
        Some(_) => q.push(" ORDER BY m.proposed_at, m.action"),
        None => q.push(" ORDER BY a.proposed_at, a.id"),
    };
    let limit = filter.limit.and_then(|n| i64::try_from(n).ok()).unwrap_or(i64::MAX);
    q.push(" LIMIT ").push_bind(limit);
    q
}

/// All parts of the filter, tested on each row of the walk.
fn remaining(q: &mut QueryBuilder<Sqlite>, filter: &ActionFilter) {
    for (column, value) in [("violation", &filter.violation), ("rule", &filter.rule)] {
        if let Some(value) = value {
            q.push(" AND +a.").push(column).push(" = ").push_bind(value.as_str());
        }
    }
    match filter.state {
        Some(ActionsIn::Alive) => q.push(" AND +a.is_alive = 1"),
        Some(ActionsIn::State(word)) => q.push(" AND +a.state = ").push_bind(word),
        None => q,
    };
}

fn entry(r: &SqliteRow) -> Result<Entry, sqlx::Error> {
    let damaged = |what: String| sqlx::Error::Decode(what.into());
    let (kind, name, id): (String, String, String) = (r.try_get(2)?, r.try_get(3)?, r.try_get(4)?);
    let details: String = r.try_get(6)?;
    Ok(Entry {
        seq: r.try_get::<i64, _>(0)?.unsigned_abs(),
        at: Timestamp(r.try_get(1)?),
        actor: Actor::from_words(&kind, &name).ok_or_else(|| damaged(format!("actor `{kind}`")))?,
        action: ActionId::parse(&id).ok_or_else(|| damaged(format!("action `{id}`")))?,
        act: serde_json::from_str(&details).map_err(|e| damaged(format!("an entry of an action: {e}")))?,
        reason: r.try_get(5)?,
    })
}
