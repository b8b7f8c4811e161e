//! Ties violations into cases: one campaign is one case. Pure, and a function of the violations alone: in what order they come
//! never shows, and a violation that shares no accounts with a case changes nothing of it.
//!
//! **What ties.** Two violations belong together when they share at least half of the accounts of the smaller one, and at
//! least two; of a smaller one that names one account alone, that one. What they enforce, and by which rule, does not matter.
//!
//! **What is tied.** Each violation joins *one* other at most: of those it belongs together with that name more accounts than
//! it (or as many, and opened earlier) the closest, which is the one with the greatest `shared² / (accounts of the other)`; then
//! the one with which it shares more, then the earlier. A case is a tree of such ties. So a small violation that lies between
//! two campaigns, or an innocent account that two campaigns name, comes to one of them and never makes them one; campaigns
//! become one only where a violation that is larger than both holds half of each. Cards of six accounts come to the wording
//! of twelve. Violations of the same accounts are one from the beginning.
//!
//! **What does not tie.** What accuses nobody (exempted, merged, or of severity info) joins the case of the violation that it
//! is closest to and belongs together with (a merged one that into which it merged), and neither makes a case nor adds
//! accounts or time to it. Where it finds none it stays outside, and is counted there. Violations that name no account, such
//! as keys guessed from a network, are tied where their groups are the same.
//!
//! **Its name** is `c-` and the first twelve digits of the id of its earliest violation that accuses: it stays when later ones
//! join, and where two cases grow together that of the earlier goes on.
//!
//! The losers: ties of all to all whose shares suffice (violations of four accounts, two of each campaign, would make one
//! case of everything), and the share of both sides as in `per template` (cards of two accounts would be cases of their own).

mod evidence;
mod finding;
mod prices;
mod volume;

use std::collections::BTreeMap;

pub use evidence::{Count, Family, Tied, counts, families};
pub use finding::{Edge, Finding, Findings, NotARecord};
pub use prices::{Price, PriceError, Prices};
pub use volume::{Call, MODELS_MAX, Member, ModelVolume, Tally, Volume};

use crate::time::Timestamp;

/// Digits of the id of the earliest violation in the name of a case.
const ID_DIGITS: usize = 12;

/// Violations that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// `c-` and the first digits of the id of its earliest violation.
    pub id: String,
    /// Its violations that accuse, as indexes: the strongest first.
    pub findings: Vec<usize>,
    /// Those that joined and accuse nobody: exempted, merged, info; in order of opening.
    pub beside: Vec<usize>,
    /// Its accounts, as numbers, sorted.
    pub accounts: Vec<u32>,
    /// The first event that one of its violations rests on.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
}

/// All cases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cases {
    /// The strongest first.
    pub cases: Vec<Case>,
    /// Violations that accuse nobody and belong to no case, in order of opening.
    pub outside: Vec<usize>,
}

/// Whether two violations belong together that name so many accounts, and share so many.
pub fn belong_together(shared: usize, one: usize, other: usize) -> bool {
    let smaller = one.min(other);
    shared.saturating_mul(2) >= smaller && (shared >= 2 || (smaller == 1 && shared == 1))
}

/// Violations of the same accounts, or of the same group where they name none.
struct Node<'a> {
    accounts: &'a [u32],
    findings: Vec<usize>,
    /// When it opened, and the id of the earliest.
    since: (Timestamp, &'a str),
}

/// What makes violations the same node.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Same<'a> {
    Accounts(&'a [u32]),
    Group(&'a [(String, String)]),
}

impl<'a> Same<'a> {
    fn of(finding: &'a Finding) -> Same<'a> {
        match finding.accounts.is_empty() {
            true => Same::Group(&finding.group),
            false => Same::Accounts(&finding.accounts),
        }
    }
}

/// Ties violations into cases.
pub fn cases(findings: &Findings) -> Cases {
    let all = findings.all();
    let mut same: BTreeMap<Same<'_>, Vec<usize>> = BTreeMap::new();
    for (i, finding) in all.iter().enumerate().filter(|(_, f)| f.accuses()) {
        same.entry(Same::of(finding)).or_default().push(i);
    }
    let since = |i: &usize| all.get(*i).map(Finding::since);
    let node = |(key, findings): (&Same<'_>, &Vec<usize>)| {
        let accounts = match key {
            Same::Accounts(_) => findings.first().and_then(|i| all.get(*i)).map_or(&[][..], |f| &f.accounts),
            Same::Group(_) => &[],
        };
        Some(Node { accounts, findings: findings.clone(), since: findings.iter().filter_map(since).min()? })
    };
    let mut nodes: Vec<Node<'_>> = same.iter().filter_map(node).collect();
    nodes.sort_by(|a, b| b.accounts.len().cmp(&a.accounts.len()).then(a.since.cmp(&b.since)));

    // Only those before a node are entered when it looks for the one to join.
    let mut near = Near::new(findings.n_accounts(), nodes.len());
    let mut root: Vec<usize> = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let joined = near.closest(node.accounts, &nodes).and_then(|parent| root.get(parent).copied());
        root.push(joined.unwrap_or(at));
        near.enter(at, node.accounts);
    }

    let mut trees: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, tree) in root.iter().enumerate() {
        let of = nodes.get(at).map(|n| n.findings.as_slice()).unwrap_or_default();
        trees.entry(*tree).or_default().extend(of);
    }
    let by_id: BTreeMap<&str, usize> = nodes
        .iter()
        .zip(&root)
        .flat_map(|(n, tree)| n.findings.iter().map(|i| (*i, *tree)))
        .filter_map(|(i, tree)| Some((all.get(i)?.id.as_str(), tree)))
        .collect();
    let groups: BTreeMap<&[(String, String)], usize> = nodes
        .iter()
        .zip(&root)
        .filter(|(n, _)| n.accounts.is_empty())
        .filter_map(|(n, tree)| Some((all.get(*n.findings.first()?)?.group.as_slice(), *tree)))
        .collect();
    let (mut beside, mut outside) = (BTreeMap::<usize, Vec<usize>>::new(), Vec::new());
    for (i, finding) in all.iter().enumerate().filter(|(_, f)| !f.accuses()) {
        let into = finding.merged_into.as_deref().and_then(|id| by_id.get(id)).copied();
        let joined = into.or_else(|| match finding.accounts.is_empty() {
            true => groups.get(finding.group.as_slice()).copied(),
            false => near.closest(&finding.accounts, &nodes).and_then(|node| root.get(node).copied()),
        });
        match joined {
            Some(tree) => beside.entry(tree).or_default().push(i),
            None => outside.push(i),
        }
    }
    let made = trees.into_iter().filter_map(|(tree, of)| case(all, of, beside.remove(&tree).unwrap_or_default()));
    let mut cases: Vec<Case> = made.collect();
    let rank = |case: &Case| case.findings.first().and_then(|i| all.get(*i)).map(Finding::strength);
    cases.sort_by(|a, b| {
        let strength = rank(b).map(|s| (s.0, s.1)).cmp(&rank(a).map(|s| (s.0, s.1)));
        strength.then(b.accounts.len().cmp(&a.accounts.len())).then(a.first.cmp(&b.first)).then(a.id.cmp(&b.id))
    });
    in_order(all, &mut outside);
    Cases { cases, outside }
}

/// A case of violations that accuse, and others beside them.
fn case(all: &[Finding], mut findings: Vec<usize>, mut beside: Vec<usize>) -> Option<Case> {
    let of = |i: &usize| all.get(*i);
    let earliest = findings.iter().filter_map(of).min_by_key(|f| f.since())?;
    let id = format!("c-{}", earliest.id.chars().take(ID_DIGITS).collect::<String>());
    let mut accounts: Vec<u32> = findings.iter().filter_map(of).flat_map(|f| f.accounts.iter().copied()).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let first = findings.iter().filter_map(of).map(|f| f.first).min()?;
    let last = findings.iter().filter_map(of).map(|f| f.last).max()?;
    findings.sort_by(|a, b| {
        let strength = of(b).map(Finding::strength).cmp(&of(a).map(Finding::strength));
        strength.then(of(a).map(Finding::since).cmp(&of(b).map(Finding::since)))
    });
    in_order(all, &mut beside);
    Some(Case { id, findings, beside, accounts, first, last })
}

fn in_order(all: &[Finding], findings: &mut [usize]) {
    let since = |i: &usize| all.get(*i).map(Finding::since);
    findings.sort_by(|a, b| since(a).cmp(&since(b)));
}

/// Which nodes name an account.
struct Near {
    /// By number of the account.
    naming: Vec<Vec<usize>>,
    /// By node: accounts in common with those at hand; nought between questions.
    shared: Vec<usize>,
}

impl Near {
    fn new(n_accounts: usize, n_nodes: usize) -> Near {
        Near { naming: vec![Vec::new(); n_accounts], shared: vec![0; n_nodes] }
    }

    fn enter(&mut self, node: usize, accounts: &[u32]) {
        for account in accounts {
            if let Some(naming) = self.naming.get_mut(*account as usize) {
                naming.push(node);
            }
        }
    }

    /// The node among those entered that is closest to these accounts and belongs together with them.
    fn closest(&mut self, accounts: &[u32], nodes: &[Node<'_>]) -> Option<usize> {
        let mut near: Vec<usize> = Vec::new();
        for node in accounts.iter().filter_map(|a| self.naming.get(*a as usize)).flatten() {
            if let Some(shared) = self.shared.get_mut(*node) {
                if *shared == 0 {
                    near.push(*node);
                }
                *shared += 1;
            }
        }
        // In the order of the nodes, the larger and earlier first: of equals the first stays.
        near.sort_unstable();
        let mut best: Option<(usize, u128, u128)> = None;
        for node in near {
            let shared = self.shared.get_mut(node).map_or(0, std::mem::take);
            let Some(size) = nodes.get(node).map(|n| n.accounts.len()) else { continue };
            if !belong_together(shared, accounts.len(), size) {
                continue;
            }
            let (shared, size) = (shared as u128, size as u128);
            let closer = best.is_none_or(|(_, s, z)| (shared * shared * z, shared) > (s * s * size, s));
            if closer {
                best = Some((node, shared, size));
            }
        }
        best.map(|(node, ..)| node)
    }
}
