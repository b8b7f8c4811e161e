//! What was heard of within a horizon: events by their ids, and calls that count ahead. Two generations, the older of which
//! goes when the younger is as long as the horizon, or full.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

type Map<V> = HashMap<u64, V, foldhash::fast::FixedState>;

/// Values by key, of at least the last horizon of event time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lately<V> {
    young: Map<(i64, V)>,
    old: Map<(i64, V)>,
    /// Event time at which the younger generation began.
    began: i64,
    #[serde(skip)]
    horizon: i64,
    #[serde(skip)]
    entries_max: usize,
    /// Entries that went before their horizon was over.
    pub(crate) lost: u64,
}

/// Events by the hashes of their ids, and whether they passed.
pub(crate) type Heard = Lately<bool>;
/// The groups in which calls count ahead, by the hashes of their ids.
pub(crate) type Calls = Lately<SmallVec<[u128; 2]>>;

impl<V> Lately<V> {
    pub(crate) fn new(horizon: i64, entries_max: usize) -> Lately<V> {
        let (young, old) = (Map::default(), Map::default());
        Lately { young, old, began: i64::MIN, horizon, entries_max, lost: 0 }
    }

    /// As it was written down, with bounds of this process.
    pub(crate) fn within(mut self, horizon: i64, entries_max: usize) -> Lately<V> {
        (self.horizon, self.entries_max) = (horizon, entries_max);
        self
    }

    fn turn(&mut self, ts: i64) {
        if ts > self.began.saturating_add(self.horizon) {
            self.old = std::mem::take(&mut self.young);
            self.began = ts;
        } else if self.young.len() >= (self.entries_max / 2).max(1) {
            self.lost += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
            self.began = ts;
        }
    }

    /// What is known under a key, if it is not further away than the horizon.
    pub(crate) fn get(&mut self, key: u64, ts: i64) -> Option<&mut V> {
        let horizon = self.horizon;
        let near = |entry: &&mut (i64, V)| entry.0.abs_diff(ts) <= horizon.unsigned_abs();
        match self.young.get_mut(&key).filter(near) {
            Some((_, value)) => Some(value),
            None => self.old.get_mut(&key).filter(near).map(|(_, value)| value),
        }
    }

    pub(crate) fn put(&mut self, key: u64, ts: i64, value: V) {
        self.turn(ts);
        self.young.insert(key, (ts, value));
    }

    pub(crate) fn take(&mut self, key: u64) -> Option<V> {
        self.young.remove(&key).or_else(|| self.old.remove(&key)).map(|(_, value)| value)
    }
}
