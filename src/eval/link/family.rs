//! One family of a link: which account was seen with which value, how often, and since when without a break. Steps are
//! dropped as they leave the family's window.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::eval::footprint::HeapBytes;

/// No place in a list.
pub(super) const NONE: u32 = u32::MAX;

/// An account with a value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Edge {
    pub(super) value: u32,
    pub(super) account: u32,
    /// How often within the window.
    pub(super) uses: u64,
    /// First sighting since the edge was last absent at a step, and the latest, in nanoseconds.
    pub(super) first: i64,
    pub(super) last: i64,
    /// Number of its latest row.
    row: u64,
    /// Its place among the holders of the value.
    place: u32,
    /// Its place among what ties its account; [`NONE`] where its value ties nobody.
    pub(super) counted: u32,
}

/// A value of the window.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Shared {
    pub(super) word: u64,
    /// Edges of the accounts that have it.
    pub(super) holders: SmallVec<[u32; 4]>,
    /// How often it was seen within the window.
    pub(super) uses: u64,
    /// Number of its accounts where it may tie them, else 0: as last judged.
    pub(super) size: u32,
    /// Whether it ties, as last judged.
    pub(super) ties: bool,
    /// Something changed since.
    touched: bool,
}

/// How often an edge was seen in a step.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Row {
    pane: i64,
    edge: u32,
    n: u32,
}

/// The edges of one family.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Edges {
    values: Vec<Shared>,
    free_values: Vec<u32>,
    edges: Vec<Edge>,
    free_edges: Vec<u32>,
    rows: VecDeque<Row>,
    /// Number of the first row.
    first_row: u64,
    /// Values to be judged again.
    touched: Vec<u32>,
    #[serde(skip)]
    by_word: HashTable<u32>,
    #[serde(skip)]
    by_ends: HashTable<u32>,
    #[serde(skip)]
    hasher: foldhash::fast::FixedState,
}

/// What became of a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The account has a value that it did not have.
    New,
    /// Seen again.
    Again,
    /// There was no room.
    Lost,
}

impl Edges {
    pub(super) fn value(&self, value: u32) -> Option<&Shared> {
        self.values.get(value as usize)
    }

    pub(super) fn value_mut(&mut self, value: u32) -> Option<&mut Shared> {
        self.values.get_mut(value as usize)
    }

    pub(super) fn edge(&self, edge: u32) -> Option<&Edge> {
        self.edges.get(edge as usize)
    }

    pub(super) fn edge_mut(&mut self, edge: u32) -> Option<&mut Edge> {
        self.edges.get_mut(edge as usize)
    }

    /// Edges that are held.
    pub(super) fn len(&self) -> usize {
        self.edges.len().saturating_sub(self.free_edges.len())
    }

    /// The first step that is held.
    pub(super) fn first_pane(&self) -> Option<i64> {
        self.rows.front().map(|row| row.pane)
    }

    pub(super) fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The values to be judged again, each once.
    pub(super) fn take_touched(&mut self) -> Vec<u32> {
        let mut taken = std::mem::take(&mut self.touched);
        taken.retain(|value| match self.values.get_mut(*value as usize) {
            Some(shared) => {
                shared.touched = false;
                true
            }
            None => false,
        });
        taken
    }

    /// Values that may tie, with their numbers of accounts.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (u32, u32)> {
        self.values.iter().enumerate().filter(|(_, v)| v.size > 0).map(|(n, v)| (n as u32, v.size))
    }

    /// The words of all values.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        self.values.iter().filter(|v| !v.holders.is_empty()).map(|v| v.word)
    }

    fn touch(&mut self, value: u32) {
        if let Some(shared) = self.values.get_mut(value as usize)
            && !shared.touched
        {
            shared.touched = true;
            self.touched.push(value);
        }
    }

    /// Takes in that an account was seen with a value.
    pub(super) fn see(&mut self, word: u64, account: u32, pane: i64, ts: i64, room: bool) -> Taken {
        let known = self.find(word);
        let edge = known.and_then(|value| self.find_edge(value, account));
        let (edge, taken) = match (edge, known) {
            (Some(edge), _) => (edge, Taken::Again),
            (None, _) if !room => return Taken::Lost,
            (None, Some(value)) => (self.add_edge(value, account, ts), Taken::New),
            (None, None) => {
                let value = self.add_value(word);
                (self.add_edge(value, account, ts), Taken::New)
            }
        };
        let next_row = self.first_row.saturating_add(self.rows.len() as u64);
        let Some(e) = self.edges.get_mut(edge as usize) else { return Taken::Lost };
        let value = e.value;
        e.uses = e.uses.saturating_add(1);
        e.last = e.last.max(ts);
        let at = e.row.checked_sub(self.first_row).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| self.rows.get_mut(at)) {
            Some(row) if row.pane == pane && row.edge == edge && row.n < u32::MAX => row.n += 1,
            _ => {
                e.row = next_row;
                self.rows.push_back(Row { pane, edge, n: 1 });
            }
        }
        if let Some(shared) = self.values.get_mut(value as usize) {
            shared.uses = shared.uses.saturating_add(1);
        }
        self.touch(value);
        taken
    }

    /// Drops the first row if it lies before a step; the edge that it was of, and whether that is gone with it.
    pub(super) fn drop_before(&mut self, pane: i64) -> Option<(u32, bool)> {
        let row = self.rows.pop_front_if(|row| row.pane < pane)?;
        self.first_row = self.first_row.saturating_add(1);
        let edge = self.edges.get_mut(row.edge as usize)?;
        edge.uses = edge.uses.saturating_sub(u64::from(row.n));
        let (value, gone) = (edge.value, edge.uses == 0);
        if let Some(shared) = self.values.get_mut(value as usize) {
            shared.uses = shared.uses.saturating_sub(u64::from(row.n));
        }
        self.touch(value);
        Some((row.edge, gone))
    }

    /// Takes an edge out that is gone.
    pub(super) fn remove(&mut self, edge: u32) {
        let Some(e) = self.edges.get(edge as usize) else { return };
        let (value, place) = (e.value, e.place);
        let hash = self.hasher.hash_one(ends(value, e.account));
        if let Ok(entry) = self.by_ends.find_entry(hash, |n| *n == edge) {
            entry.remove();
        }
        self.free_edges.push(edge);
        let Some(shared) = self.values.get_mut(value as usize) else { return };
        if (place as usize) < shared.holders.len() {
            shared.holders.swap_remove(place as usize);
        }
        if let Some(moved) = shared.holders.get(place as usize).copied()
            && let Some(moved) = self.edges.get_mut(moved as usize)
        {
            moved.place = place;
        }
    }

    /// Forgets a value that no account has any more and that ties nobody.
    pub(super) fn forget_if_unused(&mut self, value: u32) {
        let Some(shared) = self.values.get(value as usize) else { return };
        if !shared.holders.is_empty() || shared.touched || self.find(shared.word) != Some(value) {
            return;
        }
        let hash = self.hasher.hash_one(shared.word);
        if let Ok(entry) = self.by_word.find_entry(hash, |n| *n == value) {
            entry.remove();
        }
        if let Some(shared) = self.values.get_mut(value as usize) {
            *shared = Shared::default();
        }
        self.free_values.push(value);
    }

    fn find(&self, word: u64) -> Option<u32> {
        let same = |n: &u32| self.values.get(*n as usize).is_some_and(|v| v.word == word);
        self.by_word.find(self.hasher.hash_one(word), same).copied()
    }

    fn find_edge(&self, value: u32, account: u32) -> Option<u32> {
        let same = |n: &u32| self.edges.get(*n as usize).is_some_and(|e| (e.value, e.account) == (value, account));
        self.by_ends.find(self.hasher.hash_one(ends(value, account)), same).copied()
    }

    fn add_value(&mut self, word: u64) -> u32 {
        let fresh = Shared { word, ..Shared::default() };
        let value = match self.free_values.pop() {
            Some(value) => {
                if let Some(place) = self.values.get_mut(value as usize) {
                    *place = fresh;
                }
                value
            }
            None => {
                grow(&mut self.values);
                self.values.push(fresh);
                (self.values.len() - 1) as u32
            }
        };
        let (values, hasher) = (&self.values, &self.hasher);
        let rehash = |n: &u32| hasher.hash_one(values.get(*n as usize).map_or(0, |v| v.word));
        self.by_word.insert_unique(hasher.hash_one(word), value, rehash);
        value
    }

    fn add_edge(&mut self, value: u32, account: u32, ts: i64) -> u32 {
        let place = self.values.get(value as usize).map_or(0, |v| v.holders.len() as u32);
        let fresh = Edge { value, account, uses: 0, first: ts, last: ts, row: u64::MAX, place, counted: NONE };
        let edge = match self.free_edges.pop() {
            Some(edge) => {
                if let Some(place) = self.edges.get_mut(edge as usize) {
                    *place = fresh;
                }
                edge
            }
            None => {
                grow(&mut self.edges);
                self.edges.push(fresh);
                (self.edges.len() - 1) as u32
            }
        };
        if let Some(shared) = self.values.get_mut(value as usize) {
            shared.holders.push(edge);
        }
        let (edges, hasher) = (&self.edges, &self.hasher);
        self.by_ends.insert_unique(hasher.hash_one(ends(value, account)), edge, |n| hash_of(edges, hasher, *n));
        edge
    }

    /// Call after reading a snapshot.
    pub(super) fn rebuild(&mut self) {
        let (values, edges, hasher) = (&self.values, &self.edges, &self.hasher);
        let rehash = |n: &u32| hasher.hash_one(values.get(*n as usize).map_or(0, |v| v.word));
        let free: std::collections::BTreeSet<u32> = self.free_values.iter().copied().collect();
        let mut by_word = HashTable::with_capacity(values.len());
        for (n, v) in values.iter().enumerate().filter(|(n, _)| !free.contains(&(*n as u32))) {
            by_word.insert_unique(hasher.hash_one(v.word), n as u32, rehash);
        }
        let free: std::collections::BTreeSet<u32> = self.free_edges.iter().copied().collect();
        let mut by_ends = HashTable::with_capacity(edges.len());
        for n in (0..edges.len() as u32).filter(|n| !free.contains(n)) {
            by_ends.insert_unique(hash_of(edges, hasher, n), n, |n| hash_of(edges, hasher, *n));
        }
        (self.by_word, self.by_ends) = (by_word, by_ends);
    }
}

fn ends(value: u32, account: u32) -> u64 {
    u64::from(value) << 32 | u64::from(account)
}

fn hash_of(edges: &[Edge], hasher: &foldhash::fast::FixedState, edge: u32) -> u64 {
    edges.get(edge as usize).map_or(0, |e| hasher.hash_one(ends(e.value, e.account)))
}

/// Makes room by an eighth: doubling would hold room for as many again.
fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(64.max(list.len() / 8));
    }
}

impl HeapBytes for Edges {
    fn heap_bytes(&self) -> usize {
        let spilled = self.values.iter().filter(|v| v.holders.spilled()).map(|v| v.holders.capacity() * 4);
        self.values.heap_bytes()
            + spilled.sum::<usize>()
            + self.edges.heap_bytes()
            + self.rows.heap_bytes()
            + self.free_values.heap_bytes()
            + self.free_edges.heap_bytes()
            + self.by_word.allocation_size()
            + self.by_ends.allocation_size()
    }
}
