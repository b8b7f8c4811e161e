//! The rules in force.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::ModeWord;
use super::error::{Refusal, answer};
use super::openapi::{Forbidden, Limited};
use super::state::App;
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
