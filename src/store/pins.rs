//! Table `pins`: under which rules, lists, registry, configuration and engine the log was written. A finding is a function
//! of these and the events; a log that mixes them without saying so could not be derived again.

use std::path::Path;

use sqlx::{Executor, SqliteConnection};

use super::error::{At, StoreError};
use super::sealed::{NewEntry, Sealed};
use super::verify::InForce;

/// What a log is written under, each as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins {
    /// The rule set.
    pub rules: String,
    /// All lists.
    pub lists: String,
    /// The registry of accounts.
    pub registry: String,
    /// Whatever else may change findings: options, seeds.
    pub config: String,
    /// Version of the engine.
    pub engine: String,
}

/// What to do when the pins differ from those in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RulesChanged {
    /// Refuse.
    #[default]
    Refuse,
    /// Go on from the state there is.
    Keep,
    /// Forget what was read, so that the inputs are read again.
    Reset,
}

/// What became of the pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinned {
    /// The log was new.
    First,
    /// They are those in force.
    Same,
    /// They differ; the state stays.
    Kept,
    /// They differ; inputs, books, rejects and snapshot are gone.
    Reset,
}

impl Pins {
    /// Which parts differ, by name.
    pub fn differences(&self, other: &Pins) -> Vec<&'static str> {
        let parts = [
            ("rules", &self.rules, &other.rules),
            ("lists", &self.lists, &other.lists),
            ("registry", &self.registry, &other.registry),
            ("configuration", &self.config, &other.config),
            ("engine", &self.engine, &other.engine),
        ];
        parts.into_iter().filter(|(_, a, b)| a != b).map(|(name, _, _)| name).collect()
    }
}

/// Those in force: the last generation.
const CURRENT: &str = "SELECT rules, lists, registry, config, engine FROM pins ORDER BY generation DESC LIMIT 1";

const ALL: &str = "SELECT generation, change, rules, lists, registry, config, engine FROM pins ORDER BY generation";

/// Generations under other rules since the inputs were first read, or were to be read again.
const OTHERS: &str = "SELECT count(*) FROM pins \
     WHERE generation >= (SELECT max(generation) FROM pins WHERE change <> 'keep') \
     AND rules <> (SELECT rules FROM pins ORDER BY generation DESC LIMIT 1)";

/// The next generation. Earlier ones stay as the log's history.
const INSERT: &str = "INSERT INTO pins (generation, change, rules, lists, registry, config, engine) \
     SELECT coalesce(max(generation), 0) + 1, ?1, ?2, ?3, ?4, ?5, ?6 FROM pins";

/// Everything that says what was read. Violations are not among it.
const FORGET: [&str; 6] = [
    "DELETE FROM inputs",
    "DELETE FROM books",
    "DELETE FROM rejects",
    "DELETE FROM snapshot",
    "DELETE FROM piece",
    "DELETE FROM checkpoint",
];

pub(super) async fn current(conn: &mut SqliteConnection) -> Result<Option<Pins>, sqlx::Error> {
    let row: Option<(String, String, String, String, String)> = sqlx::query_as(CURRENT).fetch_optional(conn).await?;
    Ok(row.map(|(rules, lists, registry, config, engine)| Pins { rules, lists, registry, config, engine }))
}

/// What of each generation is sealed, in order.
pub(super) async fn history(conn: &mut SqliteConnection) -> Result<Vec<NewEntry>, sqlx::Error> {
    let all = sealed(conn).await?.into_iter();
    Ok(all.map(|(n, json)| NewEntry::of_json(Sealed::Rules, n.to_string(), &json)).collect())
}

/// Each generation as it is sealed, with its number, in order.
pub(super) async fn sealed(conn: &mut SqliteConnection) -> Result<Vec<(i64, serde_json::Value)>, sqlx::Error> {
    type Generation = (i64, String, String, String, String, String, String);
    let all: Vec<Generation> = sqlx::query_as(ALL).fetch_all(conn).await?;
    let json = |(generation, change, rules, lists, registry, config, engine): Generation| {
        let json = serde_json::json!({
            "generation": generation, "change": change, "rules": rules, "lists": lists,
            "registry": registry, "config": config, "engine": engine,
        });
        (generation, json)
    };
    Ok(all.into_iter().map(json).collect())
}

/// Each generation, in order; which entries seal them is not known here.
pub(super) async fn all(conn: &mut SqliteConnection) -> Result<Vec<InForce>, sqlx::Error> {
    type Generation = (i64, String, String, String, String, String, String);
    let all: Vec<Generation> = sqlx::query_as(ALL).fetch_all(conn).await?;
    let one = |(_, change, rules, lists, registry, config, engine): Generation| InForce {
        pins: Pins { rules, lists, registry, config, engine },
        is_reset: change == "reset",
        entry: None,
    };
    Ok(all.into_iter().map(one).collect())
}

pub(super) async fn others(conn: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(OTHERS).fetch_one(conn).await
}

pub(super) async fn pin(
    path: &Path,
    conn: &mut SqliteConnection,
    pins: &Pins,
    changed: RulesChanged,
    seals: &mut Vec<NewEntry>,
) -> Result<Pinned, StoreError> {
    let in_force = current(conn).await.at("read the pins of", path)?;
    let (pinned, change) = match in_force {
        None => (Pinned::First, "first"),
        Some(in_force) => {
            let differences = in_force.differences(pins);
            match changed {
                _ if differences.is_empty() => return Ok(Pinned::Same),
                RulesChanged::Refuse => {
                    return Err(StoreError::PinsChanged { path: path.to_owned(), what: differences.join(", ") });
                }
                RulesChanged::Keep => (Pinned::Kept, "keep"),
                RulesChanged::Reset => (Pinned::Reset, "reset"),
            }
        }
    };
    if pinned == Pinned::Reset {
        for statement in FORGET {
            conn.execute(statement).await.at("reset", path)?;
        }
    }
    let insert = sqlx::query(INSERT).bind(change).bind(&pins.rules).bind(&pins.lists);
    let insert = insert.bind(&pins.registry).bind(&pins.config).bind(&pins.engine);
    insert.execute(&mut *conn).await.at("pin", path)?;
    seals.extend(history(conn).await.at("pin", path)?.pop());
    Ok(pinned)
}
