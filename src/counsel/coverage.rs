//! Which clauses have a rule and which rules have a clause, for a day or as the documents are written.

use std::collections::{BTreeMap, BTreeSet};

use super::provider;
use crate::hir::{Clause, Policy, Program, Rule};
use crate::source::SourceId;
use crate::time::Timestamp;

/// A clause of one version of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClauseRow {
    /// `provider.document`.
    pub policy: String,
    /// Date of the document.
    pub version: String,
    /// Name of the clause.
    pub clause: String,
    /// Its section; may be empty.
    pub section: String,
    /// What it says.
    pub says: String,
    /// First moment at which it is in force.
    pub from: Timestamp,
    /// First moment at which it is no longer in force.
    pub until: Option<Timestamp>,
    /// It allows something instead of forbidding it.
    pub permits: bool,
    /// In force on the day; as documents are written, always.
    pub in_force: bool,
    /// Names of the rules that enforce it.
    pub rules: Vec<String>,
}

/// How much of a provider's documents has a rule, by the files in which definitions of rules stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThemeRow {
    /// The provider.
    pub provider: String,
    /// Per theme of [`Coverage::themes`], how many clauses in force a rule of it enforces.
    pub clauses: Vec<usize>,
    /// Clauses in force that no rule enforces.
    pub without_rule: usize,
    /// Permissions in force.
    pub permits: usize,
}

/// Clauses and rules held against each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The day; `None` is as the documents are written.
    pub at: Option<Timestamp>,
    /// Every clause and permission, in order of declaration.
    pub clauses: Vec<ClauseRow>,
    /// Rules without a clause that is in force on the day, with each clause they enforce and why it is not.
    pub rules_without_clause: Vec<(String, Vec<String>)>,
    /// How many rules there are.
    pub rules: usize,
    /// Names of the files in which definitions stand.
    pub themes: Vec<String>,
    /// One per provider, by name.
    pub matrix: Vec<ThemeRow>,
}

impl Coverage {
    /// Clauses in force that no rule enforces.
    pub fn without_rule(&self) -> impl Iterator<Item = &ClauseRow> {
        self.clauses.iter().filter(|c| c.in_force && !c.permits && c.rules.is_empty())
    }

    /// Permissions in force.
    pub fn permissions(&self) -> impl Iterator<Item = &ClauseRow> {
        self.clauses.iter().filter(|c| c.in_force && c.permits)
    }

    /// Clauses and permissions that are not in force on the day.
    pub fn out_of_force(&self) -> impl Iterator<Item = &ClauseRow> {
        self.clauses.iter().filter(|c| !c.in_force)
    }
}

/// Holds clauses and rules against each other. `theme` names the file in which a definition stands.
pub fn coverage(program: &Program, at: Option<Timestamp>, theme: &dyn Fn(SourceId) -> String) -> Coverage {
    let mut enforced: BTreeMap<(u32, u32), Vec<&Rule>> = BTreeMap::new();
    for rule in &program.rules {
        for version in rule.enforces.iter().flat_map(|c| &c.versions) {
            enforced.entry(*version).or_default().push(rule);
        }
    }
    let themes: BTreeSet<String> = program.rules.iter().map(|r| theme(r.definition.source)).collect();
    let themes: Vec<String> = themes.into_iter().collect();
    let mut matrix: BTreeMap<&str, ThemeRow> = BTreeMap::new();
    let mut clauses = Vec::new();
    for (p, policy) in program.policies.iter().enumerate() {
        let row = matrix.entry(provider(&policy.name)).or_insert_with(|| ThemeRow {
            provider: provider(&policy.name).to_string(),
            clauses: vec![0; themes.len()],
            without_rule: 0,
            permits: 0,
        });
        for (c, clause) in policy.clauses.iter().enumerate() {
            let rules = enforced.get(&(p as u32, c as u32)).map_or(&[][..], Vec::as_slice);
            let in_force = at.is_none_or(|at| is_in_force(clause, at));
            if in_force {
                count(row, clause, rules, &themes, theme);
            }
            clauses.push(row_of(policy, clause, rules, in_force));
        }
    }
    let lacking = program.rules.iter().filter_map(|rule| lacks(program, rule, at));
    Coverage {
        at,
        rules_without_clause: lacking.collect(),
        clauses,
        rules: program.rules.len(),
        themes,
        matrix: matrix.into_values().collect(),
    }
}

fn is_in_force(clause: &Clause, at: Timestamp) -> bool {
    clause.from <= at && clause.until.is_none_or(|until| at < until)
}

fn count(row: &mut ThemeRow, clause: &Clause, rules: &[&Rule], themes: &[String], theme: &dyn Fn(SourceId) -> String) {
    if clause.permits {
        row.permits += 1;
    } else if rules.is_empty() {
        row.without_rule += 1;
    }
    let of: BTreeSet<String> = rules.iter().map(|r| theme(r.definition.source)).collect();
    for (name, n) in themes.iter().zip(&mut row.clauses) {
        *n += usize::from(of.contains(name));
    }
}

fn row_of(policy: &Policy, clause: &Clause, rules: &[&Rule], in_force: bool) -> ClauseRow {
    ClauseRow {
        policy: policy.name.clone(),
        version: policy.version.clone(),
        clause: clause.name.clone(),
        section: clause.section.clone(),
        says: clause.says.clone(),
        from: clause.from,
        until: clause.until,
        permits: clause.permits,
        in_force,
        rules: rules.iter().map(|r| r.name.clone()).collect(),
    }
}

/// Of a rule without a clause in force on the day, why each of its clauses is not.
fn lacks(program: &Program, rule: &Rule, at: Option<Timestamp>) -> Option<(String, Vec<String>)> {
    let at = at?;
    let versions = rule.enforces.iter().flat_map(|c| c.versions.iter().map(move |v| (c, v)));
    let mut why = Vec::new();
    for (named, (p, c)) in versions {
        let policy = program.policies.get(*p as usize)?;
        let clause = policy.clauses.get(*c as usize)?;
        if is_in_force(clause, at) {
            return None;
        }
        let told = match clause.until {
            Some(until) if until <= at => format!("ended on {}", super::date(until)),
            _ => format!("begins on {}", super::date(clause.from)),
        };
        why.push(format!("{}.{} of {} {told}", named.policy, named.clause, policy.version));
    }
    Some((rule.name.clone(), why))
}
