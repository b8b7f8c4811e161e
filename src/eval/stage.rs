//! Where events wait until nothing earlier can come: out of order in, in order of (time, id) out; copies recognised.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::Origin;
use super::ask::Pending;
use super::footprint::HeapBytes;
use crate::time::SECOND_NS;
use crate::violation::Violation;

/// An event that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// Hash of its id.
    #[serde(skip)]
    pub(crate) key: u128,
    pub(crate) ts: i64,
    pub(crate) content: u128,
    pub(crate) account: u64,
    pub(crate) origin: Origin,
    /// Range of the bucket's text.
    id: (u32, u32),
    /// Range of the bucket's words.
    words: (u32, u32),
    /// Range of the bucket's words: what ties its account.
    tied: (u32, u32),
    /// Violations of rules on single events.
    pub(crate) singles: Vec<Violation>,
    /// What it asks memory.
    pub(crate) pending: Option<Box<Pending>>,
    /// Replaced by another record of its id.
    pub(crate) displaced: bool,
    /// Its violations were told already, at the end of a file: nothing replaces it any more.
    pub(crate) told: bool,
}

/// The events of one second.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Bucket {
    events: Vec<Waiting>,
    text: String,
    words: Vec<u64>,
}

impl Bucket {
    pub(crate) fn id(&self, e: &Waiting) -> &str {
        self.text.get(e.id.0 as usize..e.id.1 as usize).unwrap_or("")
    }

    pub(crate) fn words(&self, e: &Waiting) -> &[u64] {
        self.words.get(e.words.0 as usize..e.words.1 as usize).unwrap_or(&[])
    }

    pub(crate) fn tied(&self, e: &Waiting) -> &[u64] {
        self.words.get(e.tied.0 as usize..e.tied.1 as usize).unwrap_or(&[])
    }

    /// Takes the events out in order of (time, id).
    pub(crate) fn take_sorted(&mut self) -> Vec<Waiting> {
        let mut events = std::mem::take(&mut self.events);
        let text = &self.text;
        let id = |e: &Waiting| text.get(e.id.0 as usize..e.id.1 as usize).unwrap_or("");
        if !events.is_sorted_by(|a, b| (a.ts, id(a)) <= (b.ts, id(b))) {
            events.sort_by(|a, b| (a.ts, id(a)).cmp(&(b.ts, id(b))));
        }
        events
    }

    /// Takes in the events of another.
    fn append(&mut self, mut other: Bucket) {
        if self.events.is_empty() {
            *self = other;
            return;
        }
        let (text, words) = (self.text.len() as u32, self.words.len() as u32);
        self.text.push_str(&other.text);
        self.words.append(&mut other.words);
        let moved = |(from, to): (u32, u32), by: u32| (from + by, to + by);
        self.events.extend(other.events.into_iter().map(|e| Waiting {
            id: moved(e.id, text),
            words: moved(e.words, words),
            tied: moved(e.tied, words),
            ..e
        }));
    }

    /// Puts back events that must wait longer.
    pub(crate) fn put_back(&mut self, events: Vec<Waiting>) {
        self.events = events;
    }
}

/// An event as it is handed in.
pub(crate) struct Arrival<'a> {
    /// [`key_of`] its id.
    pub(crate) key: u128,
    pub(crate) id: &'a str,
    pub(crate) ts: i64,
    pub(crate) content: u128,
    pub(crate) account: u64,
    pub(crate) origin: Origin,
    /// What the windowed rules took from it.
    pub(crate) words: &'a [u64],
    /// What ties its account to others.
    pub(crate) tied: &'a [u64],
    /// Violations of rules on single events.
    pub(crate) singles: Vec<Violation>,
    /// What it asks memory.
    pub(crate) pending: Option<Box<Pending>>,
}

/// What a new record is to those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No record of its id waits.
    New,
    /// The same record.
    Copy,
    /// Another record of the id that stays: it has the smaller content hash, or its violations were told.
    Smaller,
    /// Another record of the id, with the larger content hash, which the newcomer may replace.
    Larger { ts: i64 },
}

/// All waiting events.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stage {
    buckets: BTreeMap<i64, Bucket>,
    #[serde(skip)]
    known: HashMap<u128, Known, foldhash::fast::FixedState>,
    /// What came since the others were set aside; `None` while none are.
    #[serde(skip)]
    since: Option<Since>,
}

/// What happened since events were set aside for a snapshot.
#[derive(Debug, Default)]
struct Since {
    /// Those set aside that another record of their id replaces, once they are back: time and id.
    displaced: Vec<(i64, Box<str>)>,
    /// Bytes of the events that came, roughly.
    bytes: usize,
}

/// What an event takes while it waits, beside its id and words, and what its questions to memory do, roughly.
const WAITING_BYTES: usize = size_of::<Waiting>() + size_of::<(u128, Known)>();
const PENDING_BYTES: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    ts: i64,
    content: u128,
    told: bool,
}

/// By what an id is looked up.
pub(crate) fn key_of(id: &str) -> u128 {
    xxh3_128(id.as_bytes())
}

impl Stage {
    /// Compares a record with those that wait at or after the watermark.
    pub(crate) fn seen(&self, key: u128, content: u128, watermark: i64) -> Seen {
        match self.known.get(&key) {
            Some(known) if known.ts >= watermark => {
                if known.content == content {
                    Seen::Copy
                } else if known.content < content || known.told {
                    Seen::Smaller
                } else {
                    Seen::Larger { ts: known.ts }
                }
            }
            _ => Seen::New,
        }
    }

    /// Marks the waiting event of an id as replaced; where it came from. One that is set aside is told by
    /// [`Stage::take_back`].
    pub(crate) fn displace(&mut self, id: &str, ts: i64) -> Option<Origin> {
        let origin = self.displace_here(id, ts);
        if let (None, Some(since)) = (origin, &mut self.since) {
            since.displaced.push((ts, id.into()));
        }
        origin
    }

    fn displace_here(&mut self, id: &str, ts: i64) -> Option<Origin> {
        let bucket = self.buckets.get_mut(&ts.div_euclid(SECOND_NS))?;
        let text = &bucket.text;
        let same =
            |e: &&mut Waiting| e.ts == ts && !e.displaced && text.get(e.id.0 as usize..e.id.1 as usize) == Some(id);
        let event = bucket.events.iter_mut().find(same)?;
        event.displaced = true;
        event.singles.clear();
        event.pending = None;
        Some(event.origin)
    }

    /// Takes in an event.
    pub(crate) fn push(&mut self, arrival: Arrival<'_>) {
        let Arrival { key, id, ts, content, account, origin, words, tied, singles, pending } = arrival;
        self.known.insert(key, Known { ts, content, told: false });
        if let Some(since) = &mut self.since {
            let asks = if pending.is_some() { PENDING_BYTES } else { 0 };
            since.bytes += WAITING_BYTES + id.len() + size_of_val(words) + size_of_val(tied) + asks;
        }
        let bucket = self.buckets.entry(ts.div_euclid(SECOND_NS)).or_default();
        let (text_at, words_at) = (bucket.text.len() as u32, bucket.words.len() as u32);
        bucket.text.push_str(id);
        bucket.words.extend_from_slice(words);
        let tied_at = bucket.words.len() as u32;
        bucket.words.extend_from_slice(tied);
        bucket.events.push(Waiting {
            key,
            ts,
            content,
            account,
            origin,
            id: (text_at, bucket.text.len() as u32),
            words: (words_at, tied_at),
            tied: (tied_at, bucket.words.len() as u32),
            singles,
            pending,
            displaced: false,
            told: false,
        });
    }

    /// Answers what the waiting events ask memory, in order of (time, id); they go on waiting, and are not told.
    pub(crate) fn answer(&mut self, mut answer: impl FnMut(&str, &Waiting, &mut Pending)) {
        for bucket in self.buckets.values_mut() {
            bucket.events = bucket.take_sorted();
            let text = &bucket.text;
            for e in bucket.events.iter_mut().filter(|e| !e.displaced) {
                let id = text.get(e.id.0 as usize..e.id.1 as usize).unwrap_or("");
                if let Some(mut pending) = e.pending.take() {
                    answer(id, e, &mut pending);
                    e.pending = Some(pending);
                }
            }
        }
    }

    /// The waiting events that were not told yet, with id and words, in order of (time, id).
    pub(crate) fn untold(&self) -> Vec<(&Waiting, &str, &[u64])> {
        let all = self.buckets.values().flat_map(|b| b.events.iter().map(move |e| (e, b.id(e), b.words(e))));
        let mut untold: Vec<_> = all.filter(|(e, ..)| !e.told && !e.displaced).collect();
        untold.sort_by_key(|(e, id, _)| (e.ts, *id));
        untold
    }

    /// Hands out the violations of all waiting events, which go on waiting.
    pub(crate) fn tell(&mut self) -> Vec<Violation> {
        let mut out = Vec::new();
        for bucket in self.buckets.values_mut() {
            for e in bucket.events.iter_mut().filter(|e| !e.displaced) {
                e.told = true;
                if let Some(known) = self.known.get_mut(&e.key) {
                    known.told = true;
                }
                out.append(&mut e.singles);
            }
        }
        out
    }

    /// The second of the earliest waiting event.
    pub(crate) fn first_second(&self) -> Option<i64> {
        self.buckets.first_key_value().map(|(s, _)| *s)
    }

    pub(crate) fn take_first(&mut self) -> Option<(i64, Bucket)> {
        self.buckets.pop_first()
    }

    pub(crate) fn put_back(&mut self, second: i64, bucket: Bucket) {
        self.buckets.insert(second, bucket);
    }

    /// Sets all waiting events aside, so that they can be written down: copies of them are still known.
    pub(crate) fn set_aside(&mut self) -> Stage {
        self.since = Some(Since::default());
        Stage { buckets: std::mem::take(&mut self.buckets), ..Stage::default() }
    }

    /// Bytes of the events that came since others were set aside, roughly.
    pub(crate) fn held_back(&self) -> usize {
        self.since.as_ref().map_or(0, |since| since.bytes)
    }

    /// Takes events back that were set aside; origin and id of each that was replaced meanwhile.
    pub(crate) fn take_back(&mut self, aside: Stage) -> Vec<(Origin, Box<str>)> {
        let came = std::mem::replace(&mut self.buckets, aside.buckets);
        let mut replaced = Vec::new();
        for (ts, id) in self.since.take().unwrap_or_default().displaced {
            if let Some(origin) = self.displace_here(&id, ts) {
                replaced.push((origin, id));
            }
        }
        for (second, bucket) in came {
            self.buckets.entry(second).or_default().append(bucket);
        }
        replaced
    }

    /// Forgets the id of an event that waits no more.
    pub(crate) fn release(&mut self, key: u128, ts: i64, content: u128) {
        if let Entry::Occupied(entry) = self.known.entry(key)
            && (entry.get().ts, entry.get().content) == (ts, content)
        {
            entry.remove();
        }
    }

    /// Call after reading a snapshot.
    pub(crate) fn rebuild(&mut self) {
        self.known = HashMap::default();
        for Bucket { events, text, .. } in self.buckets.values_mut() {
            for e in events {
                e.key = key_of(text.get(e.id.0 as usize..e.id.1 as usize).unwrap_or(""));
                if !e.displaced {
                    self.known.insert(e.key, Known { ts: e.ts, content: e.content, told: e.told });
                }
            }
        }
    }

    /// Gives waiting events other ids, where there is one.
    pub(crate) fn rename(&mut self, other: &dyn Fn(&str) -> Option<String>) {
        for Bucket { events, text, .. } in self.buckets.values_mut() {
            let mut ids = String::with_capacity(text.len());
            for e in events {
                let id = text.get(e.id.0 as usize..e.id.1 as usize).unwrap_or("");
                let from = ids.len() as u32;
                match other(id) {
                    Some(other) => ids.push_str(&other),
                    None => ids.push_str(id),
                }
                e.id = (from, ids.len() as u32);
            }
            *text = ids;
        }
    }

    /// All waiting events with their words and what ties their accounts, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Waiting, &[u64], &[u64])> {
        self.buckets.values().flat_map(|b| b.events.iter().map(move |e| (e, b.words(e), b.tied(e))))
    }
}

impl HeapBytes for Stage {
    fn heap_bytes(&self) -> usize {
        let bucket =
            |b: &Bucket| size_of::<Bucket>() + b.events.heap_bytes() + b.text.capacity() + b.words.heap_bytes();
        let known = self.known.capacity() * (size_of::<(u128, Known)>() + 1);
        self.buckets.values().map(bucket).sum::<usize>() + known
    }
}
