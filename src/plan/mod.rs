//! How rules run: a checked program and its reference data, made ready for the evaluator.

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::hir::Program;
use crate::reference::{ListData, TableData};

/// The contents of lists and tables, in the order of [`Program::lists`] and [`Program::tables`].
#[derive(Debug, Clone, Default)]
pub struct ReferenceData {
    /// One per list, inline lists included.
    pub lists: Vec<Arc<ListData>>,
    /// One per table; the account registry first.
    pub tables: Vec<Arc<TableData>>,
}

/// Rules ready to run. Immutable; share it by `Arc`.
#[derive(Debug)]
pub struct RuleSet {
    program: Program,
    data: ReferenceData,
}

impl RuleSet {
    /// Makes a program ready to run.
    ///
    /// # Errors
    /// Diagnostics, where a rule or a regular expression is over its budget.
    pub fn new(program: Program, data: ReferenceData) -> Result<RuleSet, Vec<Diagnostic>> {
        Ok(RuleSet { program, data })
    }

    /// What the rules mean.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The contents of lists and tables.
    pub fn data(&self) -> &ReferenceData {
        &self.data
    }

    /// SHA-256 over all rule hashes and reference data: what a run is pinned to; lower-case hex.
    pub fn bundle_hash(&self) -> String {
        String::new()
    }
}
