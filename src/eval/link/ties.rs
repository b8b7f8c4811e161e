//! Which accounts are tied to each other: those that have values of enough families in common.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::Link;
use super::family::Shared;

/// What became of ties at a step.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Ties that were not there before, from either end, ascending.
    won: Vec<(u32, u32)>,
    /// Accounts that lost a tie, at either end.
    pub(super) lost: BTreeSet<u32>,
}

impl Moved {
    /// The accounts to which one was newly tied.
    pub(super) fn won(&self, account: u32) -> impl Iterator<Item = u32> {
        let start = self.won.partition_point(|(a, _)| *a < account);
        self.won.iter().skip(start).take_while(move |(a, _)| *a == account).map(|(_, other)| *other)
    }

    /// All accounts of which any tie became another.
    pub(super) fn accounts(&self) -> BTreeSet<u32> {
        self.won.iter().map(|(a, _)| *a).chain(self.lost.iter().copied()).collect()
    }
}

impl Link {
    /// Finds the ties of accounts anew; what became of them.
    pub(super) fn tie(&mut self, changed: &[u32], needs: u32) -> Moved {
        let mut moved = Moved::default();
        let mut scratch: HashMap<u32, u8, foldhash::fast::FixedState> = HashMap::default();
        for account in changed {
            let now = self.neighbours(*account, needs, &mut scratch);
            let Some(a) = self.accounts.get_mut(*account as usize) else { continue };
            let before = std::mem::replace(&mut a.ties, now);
            let now = a.ties.clone();
            let lost = before.iter().filter(|b| now.binary_search(b).is_err()).map(|b| (*b, false));
            let won = now.iter().filter(|n| before.binary_search(n).is_err()).map(|n| (*n, true));
            for (other, is_won) in lost.chain(won) {
                if is_won {
                    moved.won.extend([(*account, other), (other, *account)]);
                } else {
                    moved.lost.extend([*account, other]);
                }
                let Some(other) = self.accounts.get_mut(other as usize) else { continue };
                match other.ties.binary_search(account) {
                    Ok(at) if !is_won => {
                        other.ties.remove(at);
                    }
                    Err(at) if is_won => other.ties.insert(at, *account),
                    _ => {}
                }
            }
        }
        moved.won.sort_unstable();
        moved
    }

    /// The accounts with which an account shares values of enough families.
    fn neighbours(
        &self,
        account: u32,
        needs: u32,
        scratch: &mut HashMap<u32, u8, foldhash::fast::FixedState>,
    ) -> Vec<u32> {
        let Some(a) = self.accounts.get(account as usize) else { return Vec::new() };
        let own = a.counted.iter().fold(0u8, |all, (f, _)| all | bit(*f));
        if own.count_ones() < needs {
            return Vec::new();
        }
        scratch.clear();
        for (f, edge) in &a.counted {
            let Some(edges) = self.families.get(usize::from(*f)) else { continue };
            let value: Option<&Shared> = edges.edge(*edge).and_then(|e| edges.value(e.value));
            for other in value.into_iter().flat_map(|v| &v.holders).filter_map(|holder| edges.edge(*holder)) {
                *scratch.entry(other.account).or_insert(0) |= bit(*f);
            }
        }
        scratch.remove(&account);
        let tied = scratch.iter().filter(|(_, families)| families.count_ones() >= needs).map(|(other, _)| *other);
        let mut tied: Vec<u32> = tied.collect();
        tied.sort_unstable();
        tied
    }
}

/// The bit that stands for a family.
pub(super) fn bit(family: u8) -> u8 {
    1u8.checked_shl(u32::from(family)).unwrap_or(0)
}
