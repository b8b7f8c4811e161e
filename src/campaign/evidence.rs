//! What the violations of a case say of its accounts: the families that tie them, and what was counted.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Finding, Findings};

/// A family whose values accounts of a case have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Name, as the rule wrote the part of its group or the family of its link.
    pub name: String,
    /// How many accounts of the case have a value of it in common with another.
    pub n_accounts: usize,
    /// The values, those of the most accounts first.
    pub values: Vec<Tied>,
    /// Whether records list all edges of it; otherwise there may be more accounts and values.
    pub complete: bool,
}

/// A value and how many accounts it ties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tied {
    /// The value as records show it.
    pub value: String,
    /// How many accounts of the case.
    pub n_accounts: usize,
}

/// A number that a rule counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Its name in the rule.
    pub name: String,
    /// The greatest over the true steps.
    pub peak: i64,
    /// The rule: of those that have the name, that of the strongest violation.
    pub rule: String,
}

fn of<'a>(findings: &'a Findings, case: &'a Case) -> impl Iterator<Item = &'a Finding> {
    case.findings.iter().filter_map(|i| findings.all().get(*i))
}

/// What ties the accounts of a case: parts of the groups of violations with several accounts, and the edges of links. The
/// family that ties the most accounts comes first.
pub fn families(findings: &Findings, case: &Case) -> Vec<Family> {
    let mut tied: BTreeMap<&str, BTreeMap<&str, BTreeSet<u32>>> = BTreeMap::new();
    let mut cut: BTreeSet<&str> = BTreeSet::new();
    for finding in of(findings, case).filter(|f| f.accounts.len() > 1) {
        // The group of a link has a name of its own, which is no value of anything.
        let parts = finding.group.iter().filter(|(name, _)| name != "account" && finding.link.as_ref() != Some(name));
        for (name, value) in parts {
            tied.entry(name).or_default().entry(value).or_default().extend(&finding.accounts);
        }
        for edge in &finding.edges {
            tied.entry(&edge.family).or_default().entry(&edge.value).or_default().insert(edge.account);
            if !finding.edges_complete {
                cut.insert(&edge.family);
            }
        }
    }
    let family = |(name, values): (&str, BTreeMap<&str, BTreeSet<u32>>)| {
        let in_case = |accounts: &BTreeSet<u32>| -> BTreeSet<u32> {
            accounts.iter().copied().filter(|a| case.accounts.binary_search(a).is_ok()).collect()
        };
        let values: Vec<(&str, BTreeSet<u32>)> = values.into_iter().map(|(v, a)| (v, in_case(&a))).collect();
        // An edge whose other accounts are of another case ties nothing here.
        let values: Vec<_> = values.into_iter().filter(|(_, a)| a.len() > 1).collect();
        let all: BTreeSet<u32> = values.iter().flat_map(|(_, a)| a.iter().copied()).collect();
        let each = values.into_iter().map(|(v, a)| Tied { value: v.to_string(), n_accounts: a.len() });
        let mut values: Vec<Tied> = each.collect();
        values.sort_by(|a, b| b.n_accounts.cmp(&a.n_accounts).then(a.value.cmp(&b.value)));
        Family { name: name.to_string(), n_accounts: all.len(), values, complete: !cut.contains(name) }
    };
    let mut families: Vec<Family> = tied.into_iter().map(family).filter(|f| f.n_accounts > 0).collect();
    families.sort_by(|a, b| {
        b.n_accounts.cmp(&a.n_accounts).then(a.values.len().cmp(&b.values.len())).then(a.name.cmp(&b.name))
    });
    families
}

/// What was counted of the accounts together, such as cards, programs and networks: whole numbers of violations with several
/// accounts, each name once.
pub fn counts(findings: &Findings, case: &Case) -> Vec<Count> {
    let mut known: BTreeMap<&str, Count> = BTreeMap::new();
    for finding in of(findings, case).filter(|f| f.accounts.len() > 1) {
        for (name, peak) in &finding.counts {
            let count = || Count { name: name.clone(), peak: *peak, rule: finding.rule.clone() };
            known.entry(name).or_insert_with(count);
        }
    }
    known.into_values().collect()
}
