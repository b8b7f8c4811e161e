//! The events of the longest window by number, so that evidence can name them: id, time, content hash and account, each
//! kept once however many rules counted the event. Kept by column in chunks, for there are millions of them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::footprint::HeapBytes;

/// Most events held. Above it the oldest are forgotten: counts stay exact, evidence then names fewer events and says so.
pub const EVENTS_HELD_MAX: usize = 8_000_000;

/// Events of a chunk: forgotten together.
const CHUNK: usize = 1024;

/// No account is known.
pub(crate) const NO_ACCOUNT: u64 = u32::MAX as u64;

/// What evidence needs of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held<'a> {
    pub(crate) ts: i64,
    pub(crate) content: u128,
    pub(crate) account: u64,
    pub(crate) id: &'a str,
}

/// Events that follow each other, by column.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Chunk {
    ts: Vec<i64>,
    content: Vec<u128>,
    account: Vec<u32>,
    /// Where each id ends in `ids`.
    ends: Vec<u32>,
    ids: String,
}

impl Chunk {
    fn new() -> Chunk {
        Chunk {
            ts: Vec::with_capacity(CHUNK),
            content: Vec::with_capacity(CHUNK),
            account: Vec::with_capacity(CHUNK),
            ends: Vec::with_capacity(CHUNK),
            ids: String::new(),
        }
    }

    fn get(&self, at: usize) -> Option<Held<'_>> {
        let start = match at.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        Some(Held {
            ts: *self.ts.get(at)?,
            content: *self.content.get(at)?,
            account: u64::from(*self.account.get(at)?),
            id: self.ids.get(start as usize..*self.ends.get(at)? as usize)?,
        })
    }
}

/// Events in order of (time, id), numbered without gaps.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Events {
    /// Number of the first event of the first chunk.
    first: u64,
    next: u64,
    chunks: VecDeque<Chunk>,
}

impl Events {
    /// No events, of which the next has a number.
    pub(crate) fn from_number(first: u64) -> Events {
        Events { first, next: first, chunks: VecDeque::new() }
    }

    /// The events of both, each once, in order; what the numbers of each become. At most `max` are held.
    pub(crate) fn merge(self, other: Events, max: usize) -> (Events, Renumbered, Renumbered) {
        let mut all = Events::from_number(0);
        let (mut own, mut others) = (Vec::with_capacity(self.len()), Vec::with_capacity(other.len()));
        let key = |e: &Held<'_>| (e.ts, e.id.to_string());
        let (mut a, mut b) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let order = match (a.peek(), b.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => key(a).cmp(&key(b)),
            };
            let from_a = if order.is_le() { a.next() } else { None };
            let from_b = if order.is_ge() { b.next() } else { None };
            let Some(event) = from_a.or(from_b) else { break };
            // Behind one number for what is held no more.
            let number = all.push(event, max) + 1;
            if order.is_le() {
                own.push(number);
            }
            if order.is_ge() {
                others.push(number);
            }
        }
        let (own, others) =
            (Renumbered { first: self.first, numbers: own }, Renumbered { first: other.first, numbers: others });
        let shifted = Events { first: all.first + 1, next: all.next + 1, chunks: all.chunks };
        (shifted, own, others)
    }

    /// All events held, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Held<'_>> {
        self.chunks.iter().flat_map(|c| (0..c.ts.len()).filter_map(|at| c.get(at)))
    }

    /// Forgets the events before a number, once they are a quarter of all.
    pub(crate) fn forget_numbers(&mut self, before: u64) {
        let gone = usize::try_from(before.saturating_sub(self.first)).unwrap_or(usize::MAX);
        if gone == 0 || gone < self.len() / 4 {
            return;
        }
        let all = std::mem::replace(self, Events::from_number(before.min(self.next)));
        all.iter().skip(gone).for_each(|held| {
            self.push(held, usize::MAX);
        });
    }

    /// Takes in the next event; its number. At most `max` are held.
    pub(crate) fn push(&mut self, event: Held<'_>, max: usize) -> u64 {
        if self.len() >= max {
            self.forget_chunk();
        }
        if self.chunks.back().is_none_or(|c| c.ts.len() >= CHUNK) {
            if let Some(full) = self.chunks.back_mut() {
                full.ids.shrink_to_fit();
            }
            self.chunks.push_back(Chunk::new());
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.ts.push(event.ts);
            chunk.content.push(event.content);
            chunk.account.push(u32::try_from(event.account).unwrap_or(u32::MAX));
            chunk.ids.push_str(event.id);
            chunk.ends.push(chunk.ids.len() as u32);
        }
        self.next += 1;
        self.next - 1
    }

    fn len(&self) -> usize {
        (self.next - self.first) as usize
    }

    /// Number of the first event held.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn get(&self, number: u64) -> Option<Held<'_>> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// Number of the first event at or after a time.
    pub(crate) fn number_at(&self, ts: i64) -> u64 {
        let chunk = self.chunks.partition_point(|c| c.ts.last().is_some_and(|last| *last < ts));
        let within = self.chunks.get(chunk).map_or(0, |c| c.ts.partition_point(|t| *t < ts));
        self.first + (chunk * CHUNK + within) as u64
    }

    /// Forgets events before a time that no window reaches any more.
    pub(crate) fn forget_before(&mut self, ts: i64) {
        while self.chunks.front().is_some_and(|c| c.ts.len() >= CHUNK && c.ts.last().is_some_and(|last| *last < ts)) {
            self.forget_chunk();
        }
    }

    fn forget_chunk(&mut self) {
        if let Some(chunk) = self.chunks.pop_front() {
            self.first += chunk.ts.len() as u64;
        }
    }

    /// The accounts of all events held.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = u64> {
        self.chunks.iter().flat_map(|c| &c.account).map(|a| u64::from(*a)).filter(|a| *a != NO_ACCOUNT)
    }
}

/// What the numbers of events become.
pub(crate) struct Renumbered {
    pub(crate) first: u64,
    numbers: Vec<u64>,
}

impl Renumbered {
    /// The new number of an event; 0, which none has, for one that was held no more.
    pub(crate) fn of(&self, number: u64) -> u64 {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.numbers.get(at)).copied().unwrap_or(0)
    }
}

impl HeapBytes for Events {
    fn heap_bytes(&self) -> usize {
        let chunk = |c: &Chunk| {
            c.ts.heap_bytes() + c.content.heap_bytes() + c.account.heap_bytes() + c.ends.heap_bytes() + c.ids.capacity()
        };
        self.chunks.heap_bytes() + self.chunks.iter().map(chunk).sum::<usize>()
    }
}
