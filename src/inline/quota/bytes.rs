//! Quotas as bytes of a versioned form, and back; split over shards, put together, and carried over to other rules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{At, Bounds, Held, Kept, Key, Name, Quotas, Told, Window};
use crate::time::Timestamp;

/// Version of the form. Another is refused.
pub const QUOTA_VERSION: u16 = 1;

/// Why bytes are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// Another version.
    #[error("quotas of version {found}, this program reads {QUOTA_VERSION}; limits begin anew")]
    Version {
        /// The version of the bytes.
        found: u16,
    },
    /// Bytes that were not written so.
    #[error("quotas are damaged: {0}")]
    Damaged(&'static str),
}

/// What is kept of a key: its windows, its calls under way, the limit that was last asked for.
type Saved = (At, Vec<Window>, Vec<(Name, Held)>, i64);

#[derive(Serialize, Deserialize)]
struct State {
    limits: Vec<Kept>,
    clock: Timestamp,
    next: u64,
    keys: Vec<Saved>,
    settled: Vec<(Timestamp, At, Name)>,
    told: Told,
}

impl Quotas {
    /// All of it as bytes; the same state gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut keys: Vec<Saved> =
            self.keys.iter().map(|(at, key)| (*at, key.windows.clone(), open(key), key.most)).collect();
        keys.sort_unstable_by_key(|(at, ..)| *at);
        let known = |(when, at, call): &&(Timestamp, At, Name)| self.settled.get(&(*at, *call)) == Some(when);
        let mut settled: Vec<_> = self.order.iter().filter(known).copied().collect();
        settled.sort_unstable();
        let state =
            State { limits: self.limits.clone(), clock: self.clock, next: self.next, keys, settled, told: self.told };
        // Writing to memory cannot fail; were it to, the empty body is refused when it is read.
        let body = postcard::to_stdvec(&state).unwrap_or_default();
        let mut bytes = Vec::with_capacity(body.len() + 10);
        bytes.extend(QUOTA_VERSION.to_le_bytes());
        bytes.extend(xxh3_64(&body).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    /// What [`Quotas::to_bytes`] wrote, for these limits: as [`Quotas::for_limits`] carries it over.
    ///
    /// # Errors
    /// Bytes of another version, or damaged ones.
    pub fn from_bytes(bytes: &[u8], limits: Vec<Kept>, bounds: Bounds) -> Result<Quotas, QuotaError> {
        let damaged = QuotaError::Damaged;
        let (version, rest) = bytes.split_first_chunk::<2>().ok_or(damaged("they are too short"))?;
        let found = u16::from_le_bytes(*version);
        if found != QUOTA_VERSION {
            return Err(QuotaError::Version { found });
        }
        let (sum, body) = rest.split_first_chunk::<8>().ok_or(damaged("they are too short"))?;
        if u64::from_le_bytes(*sum) != xxh3_64(body) {
            return Err(damaged("their sum is another"));
        }
        let state: State = postcard::from_bytes(body).map_err(|_| damaged("they cannot be read"))?;
        let mut quotas = Quotas::new(state.limits, bounds);
        quotas.clock = state.clock;
        quotas.next = state.next;
        quotas.told = state.told;
        for (at, windows, held, most) in state.keys {
            quotas.enter(at, windows, held, most);
        }
        for (when, at, call) in state.settled {
            quotas.settled.insert((at, call), when);
            quotas.order.push_back((when, at, call));
        }
        Ok(quotas.for_limits(limits))
    }

    fn enter(&mut self, at: At, windows: Vec<Window>, held: Vec<(Name, Held)>, most: i64) {
        for (call, h) in &held {
            self.due.insert(h.due, (at, *call));
        }
        let sum = held.iter().fold(0i64, |sum, (_, h)| sum.saturating_add(h.amount));
        self.keys.insert(at, Key { windows, open: held.into_iter().collect(), held: sum, most });
    }

    /// The same for other limits, in their order: a limit of the same identity keeps what was settled and held, the state
    /// of one that is gone is dropped.
    pub fn for_limits(self, limits: Vec<Kept>) -> Quotas {
        if self.limits == limits {
            return self;
        }
        let places: BTreeMap<&str, u32> = limits.iter().zip(0u32..).map(|(l, n)| (l.identity.as_str(), n)).collect();
        let now: Vec<Option<u32>> = self
            .limits
            .iter()
            .map(|old| {
                let place = places.get(old.identity.as_str()).copied()?;
                (limits.get(place as usize)?.window == old.window).then_some(place)
            })
            .collect();
        let moved = |(limit, key): At| now.get(limit as usize).copied().flatten().map(|n| (n, key));
        let parts = self.scattered(1, |at| moved(at).map(|at| (0, at)));
        parts.into_iter().next().map_or_else(|| Quotas::new(Vec::new(), Bounds::default()), |q| Quotas { limits, ..q })
    }

    /// Cut into so many shards, each key where [`Name::shard`] puts it. What was told stays with the first.
    pub fn split(self, shards: usize) -> Vec<Quotas> {
        let shards = shards.max(1);
        self.scattered(shards, |at| Some((at.1.shard(shards), at)))
    }

    /// Put together with another of the same limits that has none of its keys.
    pub fn merge(&mut self, other: Quotas) {
        self.clock = self.clock.max(other.clock);
        let told = other.told;
        for (key, mine) in other.keys {
            let mut held: Vec<(Name, Held)> = mine.open.into_iter().collect();
            held.sort_unstable_by_key(|(_, h)| h.due);
            for (_, h) in &mut held {
                h.due.1 = self.next;
                self.next += 1;
            }
            self.enter(key, mine.windows, held, mine.most);
        }
        self.settled.extend(other.settled);
        self.order.extend(other.order);
        self.order.make_contiguous().sort_by_key(|(when, ..)| *when);
        self.told = self.told.plus(told);
    }

    fn scattered(self, shards: usize, place: impl Fn(At) -> Option<(usize, At)>) -> Vec<Quotas> {
        let empty = Quotas { clock: self.clock, next: self.next, ..Quotas::new(self.limits.clone(), self.bounds) };
        let mut parts: Vec<Quotas> = vec![empty; shards];
        if let Some(first) = parts.first_mut() {
            first.told = self.told;
        }
        for (at, key) in self.keys {
            if let Some((shard, at)) = place(at)
                && let Some(part) = parts.get_mut(shard)
            {
                part.enter(at, key.windows, key.open.into_iter().collect(), key.most);
            }
        }
        for (when, at, call) in self.order {
            if self.settled.get(&(at, call)) == Some(&when)
                && let Some((shard, at)) = place(at)
                && let Some(part) = parts.get_mut(shard)
            {
                part.settled.insert((at, call), when);
                part.order.push_back((when, at, call));
            }
        }
        parts
    }
}

fn open(key: &Key) -> Vec<(Name, Held)> {
    let mut all: Vec<(Name, Held)> = key.open.iter().map(|(call, held)| (*call, *held)).collect();
    all.sort_unstable_by_key(|(call, _)| *call);
    all
}

impl Told {
    /// Both together.
    pub fn plus(self, other: Told) -> Told {
        Told {
            expired: self.expired + other.expired,
            beyond: self.beyond + other.beyond,
            twice: self.twice + other.twice,
            unknown: self.unknown + other.unknown,
            out_of_time: self.out_of_time + other.out_of_time,
            dropped: self.dropped + other.dropped,
            keys_forgotten: self.keys_forgotten + other.keys_forgotten,
            calls_forgotten: self.calls_forgotten + other.calls_forgotten,
        }
    }
}
