//! The groups of a link from step to step: accounts that hang together by ties, and which group of the step before each
//! goes on as.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::Link;
use super::ties::{Moved, bit};
use crate::eval::footprint::HeapBytes;
use crate::eval::intern::Interner;
use crate::eval::route::word_text;
use crate::plan::link::{FamilyPlan, LinkPlan};
use crate::template::{FingerprintKey, to_text};
use crate::time::Timestamp;

/// Accounts that belong together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LinkGroup {
    /// Symbol of the account of its earliest edge when it was formed: with `formed` its name.
    pub(crate) founder: u64,
    /// End of the step at which it was formed.
    pub(crate) formed: i64,
    /// Time of the earliest edge that it ever had.
    pub(crate) earliest: i64,
    /// Its accounts, ascending.
    members: Vec<u32>,
    /// Per family, how many of them have a value in common with another of them.
    pub(crate) tied: Vec<u32>,
}

impl LinkGroup {
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// By what the group is known: an account, and since when.
    pub(crate) fn name(&self, interner: &Interner) -> String {
        format!("{} since {}", String::from_utf8_lossy(interner.get(self.founder)), Timestamp(self.formed))
    }
}

/// What became of groups at a step.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Groups that were formed, or whose accounts or edges became others.
    pub(crate) changed: BTreeSet<u32>,
    /// Groups that became part of another: which, and of which.
    pub(crate) merged: BTreeMap<u32, u32>,
    /// Groups whose accounts belong together no more.
    pub(crate) gone: BTreeSet<u32>,
}

/// An edge as evidence shows it.
#[derive(Debug, Clone)]
pub(crate) struct EdgeSeen {
    pub(crate) family: u8,
    pub(crate) value: String,
    pub(crate) account: u64,
    pub(crate) popularity: u64,
    pub(crate) uses: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// Edges of a group that any other of its accounts has in common, by family and value.
struct Common {
    /// (family, value) and how many accounts of the group have it.
    shared: HashMap<(u8, u32), u32, foldhash::fast::FixedState>,
}

impl Link {
    pub(crate) fn group(&self, id: u32) -> Option<&LinkGroup> {
        self.groups.get(&id)
    }

    /// The group of an account.
    pub(crate) fn group_of(&self, symbol: u64) -> Option<u32> {
        self.by_symbol.get(&symbol).and_then(|a| self.accounts.get(*a as usize)).and_then(|a| a.group)
    }

    /// Symbols of the accounts of a group.
    pub(crate) fn members(&self, id: u32) -> impl Iterator<Item = u64> {
        let members = self.groups.get(&id).map_or(&[][..], |g| &g.members);
        members.iter().filter_map(|m| self.accounts.get(*m as usize)).map(|a| a.symbol)
    }

    /// The edges of a group by which two of its accounts or more are tied: each account with each value in common, by
    /// family, value and account.
    pub(crate) fn edges(&self, id: u32, plan: &LinkPlan, key: &FingerprintKey, interner: &Interner) -> Vec<EdgeSeen> {
        let Some(group) = self.groups.get(&id) else { return Vec::new() };
        let common = self.common(&group.members);
        let mut found = Vec::new();
        self.each_edge(&group.members, |f, e, symbol| {
            let (Some(edges), Some(family)) = (self.families.get(usize::from(f)), plan.families.get(usize::from(f)))
            else {
                return;
            };
            if common.is_shared(f, e.value)
                && let Some(value) = edges.value(e.value)
            {
                found.push(EdgeSeen {
                    family: f,
                    value: shown(family, value.word, key, interner),
                    account: symbol,
                    popularity: value.holders.len() as u64,
                    uses: e.uses,
                    first: e.first,
                    last: e.last,
                });
            }
        });
        found.sort_by(|a, b| {
            let order = (a.family, &a.value).cmp(&(b.family, &b.value));
            order.then_with(|| interner.get(a.account).cmp(interner.get(b.account)))
        });
        found
    }

    /// Calls `f` with the family, the edge and the account's symbol of every tying edge of accounts.
    fn each_edge<'l>(&'l self, members: &[u32], mut f: impl FnMut(u8, &'l super::family::Edge, u64)) {
        for a in members.iter().filter_map(|m| self.accounts.get(*m as usize)) {
            for (family, edge) in &a.counted {
                if let Some(e) = self.families.get(usize::from(*family)).and_then(|edges| edges.edge(*edge)) {
                    f(*family, e, a.symbol);
                }
            }
        }
    }

    fn common(&self, members: &[u32]) -> Common {
        let mut shared: HashMap<(u8, u32), u32, foldhash::fast::FixedState> = HashMap::default();
        self.each_edge(members, |f, e, _| *shared.entry((f, e.value)).or_insert(0) += 1);
        Common { shared }
    }

    /// Finds the groups of all accounts whose ties became others, and notes which groups hold accounts whose tying values
    /// did.
    pub(super) fn regroup(&mut self, changed: &[u32], moved: &Moved, end: i64, interner: &Interner) -> Changes {
        let mut changes = Changes::default();
        let (components, before) = self.components(moved);
        let of_account: HashMap<u32, usize, foldhash::fast::FixedState> =
            components.iter().enumerate().flat_map(|(n, c)| c.iter().map(move |a| (*a, n))).collect();
        let mut claims: Vec<Vec<u32>> = vec![Vec::new(); components.len()];
        for id in &before {
            match self.goes_on_in(*id, &components, &of_account, interner) {
                Some(n) => claims.get_mut(n).into_iter().for_each(|c| c.push(*id)),
                None => {
                    changes.gone.insert(*id);
                }
            }
        }
        for account in
            before.iter().filter_map(|id| self.groups.get(id)).flat_map(|g| g.members.clone()).collect::<Vec<_>>()
        {
            if let Some(a) = self.accounts.get_mut(account as usize) {
                a.group = None;
                if a.edges == 0 {
                    self.emptied.push(account);
                }
            }
        }
        for (members, claims) in components.into_iter().zip(claims) {
            let mut claims: Vec<(u32, LinkGroup)> =
                claims.into_iter().filter_map(|id| self.groups.remove(&id).map(|g| (id, g))).collect();
            claims.sort_by(|(_, a), (_, b)| {
                (a.earliest, a.formed, interner.get(a.founder)).cmp(&(b.earliest, b.formed, interner.get(b.founder)))
            });
            let earliest = claims.iter().map(|(_, g)| g.earliest).min();
            let mut claims = claims.into_iter();
            let (id, group) = match claims.next() {
                Some((id, group)) => (id, LinkGroup { earliest: earliest.unwrap_or(end), ..group }),
                None => {
                    let (earliest, founder) =
                        self.earliest(&members, &self.common(&members), interner).unwrap_or((end, 0));
                    self.next_group += 1;
                    let formed = end;
                    (self.next_group, LinkGroup { founder, formed, earliest, members: Vec::new(), tied: Vec::new() })
                }
            };
            changes.merged.extend(claims.map(|(merged, _)| (merged, id)));
            changes.changed.insert(id);
            for member in &members {
                if let Some(a) = self.accounts.get_mut(*member as usize) {
                    a.group = Some(id);
                }
            }
            self.groups.insert(id, LinkGroup { members, ..group });
        }
        changes.gone.iter().for_each(|id| {
            self.groups.remove(id);
        });
        let touched = changed.iter().filter_map(|a| self.accounts.get(*a as usize)).filter_map(|a| a.group);
        changes.changed.extend(touched.collect::<Vec<_>>());
        for id in &changes.changed {
            self.describe(*id, interner);
        }
        changes
    }

    /// Counts by which families the accounts of a group are tied.
    fn describe(&mut self, id: u32, interner: &Interner) {
        let Some(members) = self.groups.get(&id).map(|g| g.members.clone()) else { return };
        let common = self.common(&members);
        let mut tied = vec![0u32; self.families.len()];
        for a in members.iter().filter_map(|m| self.accounts.get(*m as usize)) {
            let mut families = 0u8;
            for (f, edge) in &a.counted {
                let edge = self.families.get(usize::from(*f)).and_then(|edges| edges.edge(*edge));
                if edge.is_some_and(|e| common.is_shared(*f, e.value)) {
                    families |= bit(*f);
                }
            }
            for (f, n) in (0u8..).zip(&mut tied) {
                *n += u32::from(families & bit(f) != 0);
            }
        }
        let earliest = self.earliest(&members, &common, interner);
        if let Some(group) = self.groups.get_mut(&id) {
            group.tied = tied;
            group.earliest = earliest.map_or(group.earliest, |(first, _)| first.min(group.earliest));
        }
    }

    /// The earliest edge that two of these accounts have in common: its time and account.
    fn earliest(&self, members: &[u32], common: &Common, interner: &Interner) -> Option<(i64, u64)> {
        let mut best: Option<(i64, u64)> = None;
        self.each_edge(members, |f, e, symbol| {
            let earlier =
                |(first, founder): (i64, u64)| (e.first, interner.get(symbol)) < (first, interner.get(founder));
            if common.is_shared(f, e.value) && best.is_none_or(earlier) {
                best = Some((e.first, symbol));
            }
        });
        best
    }

    /// What hangs together around accounts whose ties became others, each of at least two, and the groups that any of them
    /// was in; with them all accounts of those groups. A group that lost no tie still hangs together: only its new ties are
    /// looked at.
    fn components(&self, moved: &Moved) -> (Vec<Vec<u32>>, BTreeSet<u32>) {
        let group = |account: &u32| self.accounts.get(*account as usize).and_then(|a| a.group);
        let broken: BTreeSet<u32> = moved.lost.iter().filter_map(group).collect();
        let mut open: Vec<u32> = moved.accounts().into_iter().rev().collect();
        let mut seen: BTreeSet<u32> = BTreeSet::new();
        let mut groups: BTreeSet<u32> = BTreeSet::new();
        let mut components = Vec::new();
        while let Some(start) = open.pop() {
            if !seen.insert(start) {
                continue;
            }
            let mut members = vec![start];
            let mut at = 0;
            while let Some(account) = members.get(at).copied() {
                at += 1;
                let Some(a) = self.accounts.get(account as usize) else { continue };
                let is_broken = a.group.is_some_and(|id| broken.contains(&id));
                if let Some(id) = a.group.filter(|id| groups.insert(*id)) {
                    let all = self.groups.get(&id).into_iter().flat_map(|g| &g.members);
                    if is_broken {
                        open.extend(all);
                    } else {
                        members.extend(all.filter(|other| seen.insert(**other)));
                    }
                }
                if is_broken {
                    members.extend(a.ties.iter().filter(|other| seen.insert(**other)));
                } else {
                    members.extend(moved.won(account).filter(|other| seen.insert(*other)));
                }
            }
            if members.len() > 1 {
                members.sort_unstable();
                components.push(members);
            }
        }
        (components, groups)
    }

    /// The component that a group goes on in: that which holds most of its accounts, of several the one with the least name
    /// of an account.
    fn goes_on_in(
        &self,
        id: u32,
        components: &[Vec<u32>],
        of_account: &HashMap<u32, usize, foldhash::fast::FixedState>,
        interner: &Interner,
    ) -> Option<usize> {
        let mut held: BTreeMap<usize, usize> = BTreeMap::new();
        for member in &self.groups.get(&id)?.members {
            if let Some(n) = of_account.get(member) {
                *held.entry(*n).or_insert(0) += 1;
            }
        }
        let most = held.values().max().copied()?;
        let best: Vec<usize> = held.into_iter().filter(|(_, n)| *n == most).map(|(n, _)| n).collect();
        if let [one] = best.as_slice() {
            return Some(*one);
        }
        let least = |n: &usize| {
            let members = components.get(*n).into_iter().flatten().filter_map(|m| self.accounts.get(*m as usize));
            members.map(|a| interner.get(a.symbol)).min()
        };
        best.into_iter().min_by_key(least)
    }
}

impl Common {
    fn is_shared(&self, family: u8, value: u32) -> bool {
        self.shared.get(&(family, value)).is_some_and(|n| *n > 1)
    }
}

/// A value as records show it: keyed hashes and what is public as they are, what comes from personal data as a keyed hash.
fn shown(family: &FamilyPlan, word: u64, key: &FingerprintKey, interner: &Interner) -> String {
    if family.is_template() {
        return to_text(word);
    }
    let text = word_text(word, &family.ty, interner);
    if family.sealed { to_text(key.seal(&family.name, &text)) } else { text }
}

impl HeapBytes for LinkGroup {
    fn heap_bytes(&self) -> usize {
        self.members.heap_bytes() + self.tied.heap_bytes()
    }
}
