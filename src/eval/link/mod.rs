//! Which accounts belong together: the edges of a link (an account with a value), which of them tie accounts to each other,
//! and the groups that come of it. Fed with events in order of (time, id), told at step ends.
//!
//! Nothing is rebuilt that did not change. What an event or the passing of time touches is the value, then the accounts
//! whose tying values became others, then their ties, then the groups of those whose ties became others. A popular value
//! ties nobody, so none of these is larger than the cap of its family.

mod drive;
mod family;
mod group;
mod record;
mod ties;
mod values;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

pub(crate) use self::group::{Changes, EdgeSeen, LinkGroup};
pub(crate) use self::values::{of_link, renumber_ties};

use self::family::{Edges, NONE, Taken};
use super::footprint::HeapBytes;
use super::intern::Interner;
use crate::hir::LINK_CAP_MAX;
use crate::plan::link::{LinkPlan, ViewPlan};

/// Bounds on what a link holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Edges of each family.
    pub(crate) edges: usize,
    /// Pairs of accounts over all values.
    pub(crate) pairs: u64,
}

/// An account that was seen with any value.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Account {
    symbol: u64,
    /// Its edges.
    edges: u32,
    /// Family and edge of each value that ties it to others.
    counted: Vec<(u8, u32)>,
    /// The accounts to which it is tied by enough families, ascending.
    ties: Vec<u32>,
    /// The group it is in.
    group: Option<u32>,
    live: bool,
}

/// The state of one link, told at the steps of one length.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Link {
    families: Vec<Edges>,
    accounts: Vec<Account>,
    free_accounts: Vec<u32>,
    #[serde(skip)]
    by_symbol: HashMap<u64, u32, foldhash::fast::FixedState>,
    groups: std::collections::BTreeMap<u32, LinkGroup>,
    next_group: u32,
    /// How many values may tie so many accounts, by that number.
    by_size: Vec<u32>,
    /// Values of more accounts are ignored for want of room.
    largest: u32,
    /// The step of the events since the last one that was told.
    pending: Option<i64>,
    /// Accounts whose tying values became others since the last step, and those that lost their last edge.
    changed: Vec<u32>,
    emptied: Vec<u32>,
    /// Edges that were forgotten or never taken in for want of room, values that were ignored for it at most at one step,
    /// and the first moment of either.
    lost_edges: u64,
    ignored: u64,
    lost_since: Option<i64>,
}

impl Link {
    pub(crate) fn new(plan: &LinkPlan) -> Link {
        Link {
            families: plan.families.iter().map(|_| Edges::default()).collect(),
            by_size: vec![0; LINK_CAP_MAX as usize + 1],
            largest: LINK_CAP_MAX,
            ..Link::default()
        }
    }

    /// Takes in the values of an event, by family: how many, then the words.
    pub(crate) fn see(&mut self, view: &ViewPlan, symbol: u64, ts: i64, words: &[u64], room: Room) {
        let pane = ts.div_euclid(view.step);
        let lost_before = self.lost_edges;
        let mut rest = words.iter();
        for f in 0..self.families.len() {
            let n = rest.next().copied().unwrap_or(0);
            for _ in 0..n {
                if let Some(word) = rest.next() {
                    self.see_value(f, *word, symbol, pane, ts, room);
                }
            }
        }
        if self.lost_edges > lost_before {
            // From the end of the step on.
            self.lost_since.get_or_insert(pane.saturating_add(1).saturating_mul(view.step));
        }
    }

    fn see_value(&mut self, f: usize, word: u64, symbol: u64, pane: i64, ts: i64, room: Room) {
        let account = self.account(symbol);
        self.pending = Some(pane);
        loop {
            let Some(edges) = self.families.get_mut(f) else { return };
            let has_room = edges.len() < room.edges;
            match edges.see(word, account, pane, ts, has_room) {
                Taken::Again => return,
                Taken::New => {
                    if let Some(a) = self.accounts.get_mut(account as usize) {
                        a.edges += 1;
                    }
                    return;
                }
                Taken::Lost => {}
            }
            let oldest = self.families.get(f).and_then(Edges::first_pane).filter(|oldest| *oldest < pane);
            match oldest {
                Some(oldest) => self.lost_edges += self.drop_before(f, oldest.saturating_add(1)),
                None => {
                    self.lost_edges += 1;
                    self.emptied.push(account);
                    return;
                }
            }
        }
    }

    fn account(&mut self, symbol: u64) -> u32 {
        if let Some(account) = self.by_symbol.get(&symbol) {
            return *account;
        }
        let fresh = Account { symbol, live: true, ..Account::default() };
        let account = match self.free_accounts.pop() {
            Some(account) => {
                if let Some(place) = self.accounts.get_mut(account as usize) {
                    *place = fresh;
                }
                account
            }
            None => {
                self.accounts.push(fresh);
                (self.accounts.len() - 1) as u32
            }
        };
        self.by_symbol.insert(symbol, account);
        account
    }

    /// Drops the steps of a family before one; how many edges went with them.
    fn drop_before(&mut self, f: usize, pane: i64) -> u64 {
        let mut gone = 0;
        while let Some((edge, is_gone)) = self.families.get_mut(f).and_then(|edges| edges.drop_before(pane)) {
            if !is_gone {
                continue;
            }
            gone += 1;
            self.uncount(f, edge);
            let Some(edges) = self.families.get_mut(f) else { break };
            let account = edges.edge(edge).map_or(NONE, |e| e.account);
            edges.remove(edge);
            if let Some(a) = self.accounts.get_mut(account as usize) {
                a.edges = a.edges.saturating_sub(1);
                if a.edges == 0 {
                    self.emptied.push(account);
                }
            }
        }
        gone
    }

    /// An edge ties its account to others no more.
    fn uncount(&mut self, f: usize, edge: u32) {
        let Some(e) = self.families.get_mut(f).and_then(|edges| edges.edge_mut(edge)) else { return };
        let (account, at) = (e.account, e.counted);
        if at == NONE {
            return;
        }
        e.counted = NONE;
        self.changed.push(account);
        let Some(a) = self.accounts.get_mut(account as usize) else { return };
        if (at as usize) < a.counted.len() {
            a.counted.swap_remove(at as usize);
        }
        if let Some((f, moved)) = a.counted.get(at as usize).copied()
            && let Some(moved) = self.families.get_mut(usize::from(f)).and_then(|edges| edges.edge_mut(moved))
        {
            moved.counted = at;
        }
    }

    /// An edge ties its account to others.
    fn count(&mut self, f: usize, edge: u32) {
        let Some(e) = self.families.get_mut(f).and_then(|edges| edges.edge_mut(edge)) else { return };
        if e.counted != NONE {
            return;
        }
        let Some(a) = self.accounts.get_mut(e.account as usize) else { return };
        e.counted = a.counted.len() as u32;
        a.counted.push((f as u8, edge));
        self.changed.push(e.account);
    }

    /// The next step at which anything can change, if no event comes.
    pub(crate) fn next_due(&self, plan: &LinkPlan, view: &ViewPlan) -> Option<i64> {
        let leaves = self.families.iter().zip(&plan.families).filter_map(|(edges, family)| {
            edges.first_pane().map(|pane| pane.saturating_add(family.within / view.step).saturating_add(1))
        });
        leaves.chain(self.pending.map(|pane| pane.saturating_add(1))).min()
    }

    /// Tells the groups at the end of a step; what became of those before.
    pub(crate) fn step(
        &mut self,
        step: i64,
        plan: &LinkPlan,
        view: &ViewPlan,
        room: Room,
        interner: &Interner,
    ) -> Changes {
        self.pending = None;
        for (f, family) in plan.families.iter().enumerate() {
            self.drop_before(f, step - family.within / view.step);
        }
        let end = step.saturating_mul(view.step);
        for (f, value) in self.judge_sizes(plan, room, end) {
            self.judge_value(f, value);
        }
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let moved = self.tie(&changed, plan.needs);
        let changes = self.regroup(&changed, &moved, end, interner);
        let mut emptied = std::mem::take(&mut self.emptied);
        emptied.sort_unstable();
        emptied.dedup();
        for account in emptied {
            self.forget_if_unused(account);
        }
        changes
    }

    /// Judges how many accounts each touched value may tie; the values of which that, or the room for it, became another.
    fn judge_sizes(&mut self, plan: &LinkPlan, room: Room, end: i64) -> Vec<(usize, u32)> {
        let mut judged = Vec::new();
        for (f, (edges, family)) in self.families.iter_mut().zip(&plan.families).enumerate() {
            if !edges.is_touched() {
                continue;
            }
            for value in edges.take_touched() {
                let Some(shared) = edges.value_mut(value) else { continue };
                let n = u32::try_from(shared.holders.len()).unwrap_or(u32::MAX);
                let may = (2..=family.cap).contains(&n) && shared.uses >= family.used;
                let size = if may { n } else { 0 };
                for (size, by) in [(shared.size, -1), (size, 1)] {
                    if let Some(count) = self.by_size.get_mut(size as usize).filter(|_| size > 0) {
                        *count = count.saturating_add_signed(by);
                    }
                }
                shared.size = size;
                judged.push((f, value));
            }
        }
        let (largest, ignored) = self.largest_with_room(room.pairs);
        if ignored > 0 {
            self.ignored = self.ignored.max(ignored);
            self.lost_since.get_or_insert(end);
        }
        if largest != self.largest {
            let between = largest.min(self.largest) + 1..=largest.max(self.largest);
            for (f, edges) in self.families.iter().enumerate() {
                let others = edges.sizes().filter(|(_, size)| between.contains(size));
                judged.extend(others.map(|(value, _)| (f, value)));
            }
            self.largest = largest;
        }
        judged
    }

    /// Up to how many accounts of one value there is room for all pairs, and how many values have more.
    fn largest_with_room(&self, pairs: u64) -> (u32, u64) {
        let mut left = pairs;
        let mut largest = LINK_CAP_MAX;
        let mut ignored = 0u64;
        for (size, count) in (0u32..).zip(&self.by_size) {
            let size_pairs = u64::from(size) * u64::from(size.saturating_sub(1)) / 2;
            let needed = u64::from(*count).saturating_mul(size_pairs);
            if ignored == 0 && needed <= left {
                left -= needed;
                continue;
            }
            if ignored == 0 {
                largest = size.saturating_sub(1);
            }
            ignored += u64::from(*count);
        }
        (largest, ignored)
    }

    /// Ties the accounts of a value, or no more.
    fn judge_value(&mut self, f: usize, value: u32) {
        let largest = self.largest;
        let Some(shared) = self.families.get_mut(f).and_then(|edges| edges.value_mut(value)) else { return };
        let ties = shared.size > 0 && shared.size <= largest;
        let had = std::mem::replace(&mut shared.ties, ties);
        if ties || had {
            let holders: smallvec::SmallVec<[u32; 32]> = shared.holders.iter().copied().collect();
            for edge in holders {
                if ties { self.count(f, edge) } else { self.uncount(f, edge) }
            }
        }
        if let Some(edges) = self.families.get_mut(f) {
            edges.forget_if_unused(value);
        }
    }

    fn forget_if_unused(&mut self, account: u32) {
        let Some(a) = self.accounts.get_mut(account as usize) else { return };
        if !a.live || a.edges > 0 || !a.ties.is_empty() || a.group.is_some() {
            return;
        }
        self.by_symbol.remove(&a.symbol);
        *a = Account::default();
        self.free_accounts.push(account);
    }

    /// What was lost for want of room: edges, values at most at one step.
    pub(crate) fn lost(&self) -> (u64, u64) {
        (self.lost_edges, self.ignored)
    }

    /// The first moment at which anything was lost for want of room.
    pub(crate) fn lost_since(&self) -> Option<i64> {
        self.lost_since
    }

    /// Marks every symbol in use.
    pub(crate) fn mark(&self, plan: &LinkPlan, mark: &mut impl FnMut(u64)) {
        self.accounts.iter().filter(|a| a.live).for_each(|a| mark(a.symbol));
        for (edges, family) in self.families.iter().zip(&plan.families) {
            if family.keeps_symbols() {
                edges.words().for_each(&mut *mark);
            }
        }
        self.groups.values().for_each(|g| mark(g.founder));
    }

    /// Call after reading a snapshot.
    pub(crate) fn rebuild(&mut self) {
        self.families.iter_mut().for_each(Edges::rebuild);
        let live = self.accounts.iter().enumerate().filter(|(_, a)| a.live);
        self.by_symbol = live.map(|(n, a)| (a.symbol, n as u32)).collect();
    }

    /// How many accounts and groups it holds.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.by_symbol.len(), self.groups.len())
    }
}

impl HeapBytes for Link {
    fn heap_bytes(&self) -> usize {
        let own = |a: &Account| a.counted.capacity() * size_of::<(u8, u32)>() + a.ties.heap_bytes();
        self.families.iter().map(HeapBytes::heap_bytes).sum::<usize>()
            + self.accounts.heap_bytes()
            + self.accounts.iter().map(own).sum::<usize>()
            + self.by_symbol.allocation_size()
            + self.groups.values().map(HeapBytes::heap_bytes).sum::<usize>()
    }
}
