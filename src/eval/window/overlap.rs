//! Which sets are of one kind: those that share so much that the square of what they share is at least a quarter of the
//! product of their sizes. Of two sets of one size that is half of either; of a set within another, a quarter of the larger.

use std::collections::BTreeMap;

use smallvec::SmallVec;

/// Things that are in one class, and those that are not.
#[derive(Debug)]
pub(super) struct Classes(Vec<usize>);

impl Classes {
    /// So many things, each in a class of its own.
    pub(super) fn new(things: usize) -> Classes {
        Classes((0..things).collect())
    }

    /// The class of a thing: its least member.
    pub(super) fn of(&self, thing: usize) -> usize {
        let mut at = thing;
        while let Some(above) = self.0.get(at).copied().filter(|above| *above != at) {
            at = above;
        }
        at
    }

    /// Puts two things into one class.
    pub(super) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        if let Some(place) = self.0.get_mut(a.max(b)) {
            *place = a.min(b);
        }
    }
}

/// Joins the sets, by their places, that share enough and at least `least`. A set is ascending, without doubles.
pub(super) fn join(sets: &[Vec<u64>], least: u64, classes: &mut Classes) {
    let mut members: Vec<(u64, u32)> = Vec::with_capacity(sets.iter().map(Vec::len).sum());
    for (at, set) in sets.iter().enumerate() {
        members.extend(set.iter().map(|member| (*member, at as u32)));
    }
    members.sort_unstable();
    // Most members are in the same sets as many others.
    let mut together: BTreeMap<SmallVec<[u32; 32]>, u64> = BTreeMap::new();
    for of_one in members.chunk_by(|a, b| a.0 == b.0).filter(|all| all.len() > 1) {
        *together.entry(of_one.iter().map(|(_, at)| *at).collect()).or_default() += 1;
    }
    let mut shared: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for (which, n) in &together {
        for (i, a) in which.iter().enumerate() {
            for b in which.iter().skip(i + 1) {
                if classes.of(*a as usize) != classes.of(*b as usize) {
                    *shared.entry((*a, *b)).or_default() += n;
                }
            }
        }
    }
    let size = |at: u32| sets.get(at as usize).map_or(0, |set| set.len() as u128);
    for ((a, b), n) in shared {
        if n >= least && 4 * u128::from(n) * u128::from(n) >= size(a) * size(b) {
            classes.join(a as usize, b as usize);
        }
    }
}
