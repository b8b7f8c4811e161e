//! The rules in force.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::ModeWord;
use super::error::{Refusal, answer};
use super::openapi::{Conflict, Forbidden, Limited};
use super::state::App;
use crate::eval::Fate;
use crate::hir::rule_hash;

/// The rules in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rules {
    /// Over all rules, policies, lists and the registry: SHA-256, lower-case hex.
    hash: String,
    /// Since when, by the clock of the server.
    since: String,
    /// In the order of their files.
    rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rule {
    /// Its name.
    name: String,
    /// SHA-256 of its canonical text, which stands in its violations.
    hash: String,
    /// What it may do.
    #[schema(value_type = ModeWord)]
    mode: &'static str,
    /// How bad its violations are.
    severity: &'static str,
    /// The clauses that it enforces, `provider.document.clause`.
    clauses: Vec<String>,
}

/// The rules in force
#[utoipa::path(
    get,
    path = "/v1/rules",
    tag = "log",
    responses((status = 200, description = "All of them", body = Rules), Forbidden, Limited),
)]
pub(crate) async fn rules(State(app): State<App>) -> Result<Response, Refusal> {
    let in_force = app.engine()?.in_force.load();
    let program = in_force.rules.program();
    let rules = program
        .rules
        .iter()
        .map(|rule| Rule {
            name: rule.name.clone(),
            hash: rule_hash(program, rule),
            mode: rule.mode.word(),
            severity: rule.severity.word(),
            clauses: rule.enforces.iter().map(|c| format!("{}.{}", c.policy, c.clause)).collect(),
        })
        .collect();
    Ok(answer(&Rules { hash: in_force.rules.bundle_hash().to_string(), since: in_force.since.to_string(), rules }))
}

/// What came of a reload.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reloaded {
    /// Whether other rules, lists or accounts took effect; false where there was nothing new.
    changed: bool,
    /// Over all rules, policies, lists and the registry in force: SHA-256, lower-case hex.
    hash: String,
    /// What became of each rule that is not as it was, by name.
    rules: BTreeMap<String, FateWord>,
}

/// What became of a rule.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FateWord {
    /// It means the same as before.
    Unchanged,
    /// It finds the same, but is called, graded or worded otherwise.
    Renamed,
    /// It goes on with what it has counted, under the new condition.
    Kept,
    /// It counts what the journal still holds.
    Backfilled,
    /// It begins with nothing.
    Reset,
    /// It was not there before.
    New,
    /// It is not there any more.
    Removed,
}

impl From<Fate> for FateWord {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Unchanged => FateWord::Unchanged,
            Fate::Renamed => FateWord::Renamed,
            Fate::Kept => FateWord::Kept,
            Fate::Backfilled => FateWord::Backfilled,
            Fate::Reset => FateWord::Reset,
            Fate::New => FateWord::New,
            Fate::Removed => FateWord::Removed,
        }
    }
}

/// Reads rules, lists and registry again
///
/// What is wrong with them is told, and the rules before stay in force.
#[utoipa::path(
    post,
    path = "/v1/reload",
    tag = "log",
    responses((status = 200, description = "They can be used", body = Reloaded), Conflict, Forbidden, Limited),
)]
pub(crate) async fn reload(State(app): State<App>) -> Result<Response, Refusal> {
    let engine = app.engine()?;
    let outcome = match app.reloader() {
        Some(reloader) => reloader.ask().await,
        None => None,
    };
    let outcome = outcome.ok_or(crate::gateway::Unready::Starting)?;
    if let Some(why) = outcome.failed {
        let help = "correct the files; `fineprint check DIR` shows all that is wrong with them";
        return Err(Refusal::new(StatusCode::CONFLICT, "rules", why, help));
    }
    let rules = outcome.fates.into_iter().map(|(rule, fate)| (rule, fate.into())).collect();
    let hash = engine.in_force.load().rules.bundle_hash().to_string();
    Ok(answer(&Reloaded { changed: outcome.changed, hash, rules }))
}
