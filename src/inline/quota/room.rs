//! Which keys are forgotten where there are more than are kept.

use super::{At, Key, Name, Quotas};

/// A key and what it is worth to know: whether calls of it are under way, and how much of its limit it has used, in
/// millionths.
type Worth = ((bool, i64), At);

impl Quotas {
    /// Makes room for a key, if it is a new one and there is none: first those go whose windows are over, then a quarter of
    /// the others, those that used the least of their limit.
    pub(super) fn make_room(&mut self, at: At) {
        let most = self.bounds.keys.max(1);
        if self.keys.len() < most || self.keys.contains_key(&at) {
            return;
        }
        let numbers: Vec<i64> = (0u32..).zip(&self.limits).map(|(limit, _)| self.number(limit, self.clock)).collect();
        let present = |at: &At| numbers.get(at.0 as usize).copied().unwrap_or(i64::MAX);
        self.keys.retain(|at, key| !key.open.is_empty() || key.windows.iter().any(|w| w.number >= present(at)));
        let keep = most - most.div_ceil(4);
        if self.keys.len() <= keep {
            return;
        }
        let worth = |at: &At, key: &Key| (!key.open.is_empty(), share(key, present(at)));
        let mut all: Vec<Worth> = self.keys.iter().map(|(at, key)| (worth(at, key), *at)).collect();
        all.sort_unstable();
        let gone = self.keys.len() - keep;
        for ((_, used), at) in all.into_iter().take(gone) {
            let open: Vec<Name> = self.keys.get(&at).map(|k| k.open.keys().copied().collect()).unwrap_or_default();
            self.told.dropped += open.len() as u64;
            for call in open {
                self.take(at, call);
            }
            self.keys.remove(&at);
            self.told.keys_forgotten += u64::from(used > 0);
        }
    }
}

/// How much of its limit a key has used in a window, in millionths; at least 1 where it has used any.
fn share(key: &Key, number: i64) -> i64 {
    let settled = i128::from(key.settled(number));
    let share = settled.saturating_mul(1_000_000) / i128::from(key.most.max(1));
    i64::try_from(share).unwrap_or(i64::MAX).max(i64::from(settled > 0))
}
