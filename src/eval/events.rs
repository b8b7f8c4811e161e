//! The events of all windows by number, so that evidence can name them: id, time, content hash and account, each kept once
//! however many rules counted the event, and for as long as the longest window that counted it reaches. Kept by column in
//! chunks, for there are millions of them.

#[cfg(test)]
mod tests;

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
    /// Which of the events that it had are left, by place; empty where all are.
    left: Vec<u16>,
    /// Time of the last event that it had.
    last: i64,
    /// How long each is kept, as number of a reach.
    reach: Vec<u8>,
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
            left: Vec::new(),
            last: i64::MIN,
            reach: Vec::with_capacity(CHUNK),
            ts: Vec::with_capacity(CHUNK),
            content: Vec::with_capacity(CHUNK),
            account: Vec::with_capacity(CHUNK),
            ends: Vec::with_capacity(CHUNK),
            ids: String::new(),
        }
    }

    /// The event of a place that it had, if it is left.
    fn at(&self, place: usize) -> Option<Held<'_>> {
        if self.left.is_empty() {
            return self.get(place);
        }
        let place = u16::try_from(place).ok()?;
        self.get(self.left.binary_search(&place).ok()?)
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

    /// The place of the first event that is left at or after a time; behind the last place where there is none.
    fn place_at(&self, ts: i64) -> usize {
        let at = self.ts.partition_point(|t| *t < ts);
        if self.left.is_empty() { at } else { self.left.get(at).map_or(CHUNK, |place| usize::from(*place)) }
    }

    /// Drops the events that are kept no longer than a reach.
    fn drop_reach(&mut self, reach: u8) {
        let n = self.reach.iter().filter(|r| **r > reach).count();
        if n == self.reach.len() {
            return;
        }
        let mut rest = Chunk {
            left: Vec::with_capacity(n),
            last: self.last,
            reach: Vec::with_capacity(n),
            ts: Vec::with_capacity(n),
            content: Vec::with_capacity(n),
            account: Vec::with_capacity(n),
            ends: Vec::with_capacity(n),
            ids: String::new(),
        };
        for (at, own) in self.reach.iter().enumerate().filter(|(_, own)| **own > reach) {
            let Some(held) = self.get(at) else { continue };
            let place = if self.left.is_empty() { at as u16 } else { self.left.get(at).copied().unwrap_or(0) };
            rest.left.push(place);
            rest.reach.push(*own);
            rest.push(held);
        }
        if n == 0 {
            // Where no place is left, none may look as if all were.
            rest.left = vec![CHUNK as u16];
        }
        rest.ids.shrink_to_fit();
        *self = rest;
    }

    /// Gives events other ids.
    fn rename(&mut self, other: &dyn Fn(&str) -> Option<String>) {
        let (mut ids, mut ends) = (String::with_capacity(self.ids.len()), Vec::with_capacity(self.ends.len()));
        for at in 0..self.ts.len() {
            let id = self.get(at).map_or("", |held| held.id);
            match other(id) {
                Some(other) => ids.push_str(&other),
                None => ids.push_str(id),
            }
            ends.push(ids.len() as u32);
        }
        (self.ids, self.ends) = (ids, ends);
    }

    fn push(&mut self, event: Held<'_>) {
        self.ts.push(event.ts);
        self.content.push(event.content);
        self.account.push(u32::try_from(event.account).unwrap_or(u32::MAX));
        self.ids.push_str(event.id);
        self.ends.push(self.ids.len() as u32);
    }
}

/// Events in order of (time, id), numbered without gaps. Those that only short windows counted are dropped from among the
/// others once these have passed; their numbers stay theirs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Events {
    /// Number of the first event of the first chunk.
    first: u64,
    next: u64,
    chunks: VecDeque<Chunk>,
    /// How far windows reach back, ascending; without any, all events are kept alike. Follows from the rules.
    #[serde(skip)]
    reaches: Vec<i64>,
    /// Per reach, how many chunks from the first on hold nothing that is only kept so long.
    #[serde(skip)]
    passed: Vec<usize>,
}

impl Events {
    /// No events, of which the next has a number.
    pub(crate) fn from_number(first: u64) -> Events {
        Events { first, next: first, ..Events::default() }
    }

    /// Events are kept for these times, ascending, and by [`Events::keep`] each for one of them.
    pub(crate) fn reach(&mut self, reaches: Vec<i64>) {
        self.passed = vec![0; reaches.len()];
        self.reaches = reaches;
    }

    /// The same for events that are held already, when rules take over: each is kept for at least as long as it was to be.
    pub(crate) fn change_reaches(&mut self, reaches: Vec<i64>) {
        let next = |own: &u8| {
            let span = self.reaches.get(usize::from(*own)).copied().unwrap_or(i64::MAX);
            let at = reaches.partition_point(|reach| *reach < span);
            if at < reaches.len() { at as u8 } else { u8::MAX }
        };
        for chunk in &mut self.chunks {
            chunk.reach.iter_mut().for_each(|own| *own = next(own));
        }
        self.reach(reaches);
    }

    /// Gives events other ids, where there is one.
    pub(crate) fn rename(&mut self, other: &dyn Fn(&str) -> Option<String>) {
        self.chunks.iter_mut().for_each(|chunk| chunk.rename(other));
    }

    /// Says that the last event is to be kept for at least the reach of a number.
    pub(crate) fn keep(&mut self, reach: u8) {
        if let Some(last) = self.chunks.back_mut().and_then(|c| c.reach.last_mut()) {
            *last = reach.max(*last);
        }
    }

    /// The events of both, each once, in order; what the numbers of each become. At most `max` are held.
    pub(crate) fn merge(mut self, other: Events, max: usize) -> (Events, Renumbered, Renumbered) {
        self.change_reaches(other.reaches.clone());
        let mut all = Events::from_number(0);
        // 0 for those that were dropped from among the others.
        let (mut own, mut others) = (vec![0; self.len()], vec![0; other.len()]);
        let key = |(_, _, e): &(usize, u8, Held<'_>)| (e.ts, e.id.to_string());
        let (mut a, mut b) = (self.placed().peekable(), other.placed().peekable());
        loop {
            let order = match (a.peek(), b.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => key(a).cmp(&key(b)),
            };
            let from_a = if order.is_le() { a.next() } else { None };
            let from_b = if order.is_ge() { b.next() } else { None };
            let Some((_, _, event)) = from_a.or(from_b) else { break };
            // Behind one number for what is held no more.
            let number = all.push(event, max) + 1;
            for (from, numbers) in [(from_a, &mut own), (from_b, &mut others)] {
                let Some((place, reach, _)) = from else { continue };
                all.keep(reach);
                if let Some(own) = numbers.get_mut(place) {
                    *own = number;
                }
            }
        }
        let (own, others) =
            (Renumbered { first: self.first, numbers: own }, Renumbered { first: other.first, numbers: others });
        let mut shifted = Events { first: all.first + 1, next: all.next + 1, chunks: all.chunks, ..Events::default() };
        shifted.reach(self.reaches.clone());
        (shifted, own, others)
    }

    /// All events held, in order: how many numbers behind the first, which reach, and the event.
    fn placed(&self) -> impl Iterator<Item = (usize, u8, Held<'_>)> {
        self.chunks.iter().enumerate().flat_map(|(chunk, c)| {
            (0..c.ts.len()).filter_map(move |at| {
                let place = if c.left.is_empty() { at } else { usize::from(*c.left.get(at)?) };
                Some((chunk * CHUNK + place, *c.reach.get(at)?, c.get(at)?))
            })
        })
    }

    /// All events held, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Held<'_>> {
        self.placed().map(|(_, _, held)| held)
    }

    /// Forgets the events before a number, once they are a quarter of all.
    pub(crate) fn forget_numbers(&mut self, before: u64) {
        let gone = usize::try_from(before.saturating_sub(self.first)).unwrap_or(usize::MAX);
        if gone == 0 || gone < self.len() / 4 {
            return;
        }
        // States by key keep all events alike: none is dropped from among the others.
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
            chunk.last = event.ts;
            chunk.reach.push(0);
            chunk.push(event);
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
        self.chunks.get(at / CHUNK)?.at(at % CHUNK)
    }

    /// A number that parts the events that are held: those before it are before a time, the others at or after it.
    pub(crate) fn number_at(&self, ts: i64) -> u64 {
        let chunk = self.chunks.partition_point(|c| c.last < ts);
        let within = self.chunks.get(chunk).map_or(0, |c| c.place_at(ts));
        self.first + (chunk * CHUNK + within) as u64
    }

    /// Forgets what no window reaches any more that ends after a time; every step that ends by it is judged.
    pub(crate) fn settle(&mut self, ts: i64) {
        // The last chunk is not full yet.
        let full = self.chunks.len().saturating_sub(1);
        for ((number, reach), passed) in (0u8..).zip(&self.reaches).zip(&mut self.passed) {
            let before = ts.saturating_sub(*reach);
            while let Some(chunk) = self.chunks.get_mut(*passed).filter(|c| *passed < full && c.last < before) {
                chunk.drop_reach(number);
                *passed += 1;
            }
        }
    }

    /// Forgets events before a time that no window reaches any more.
    pub(crate) fn forget_before(&mut self, ts: i64) {
        while self.chunks.len() > 1 && self.chunks.front().is_some_and(|c| c.last < ts) {
            self.forget_chunk();
        }
    }

    fn forget_chunk(&mut self) {
        if let Some(chunk) = self.chunks.pop_front() {
            // Only the last one may have fewer places.
            let places = if self.chunks.is_empty() { chunk.ts.len() } else { CHUNK };
            self.first += places as u64;
            self.passed.iter_mut().for_each(|passed| *passed = passed.saturating_sub(1));
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
            c.left.heap_bytes()
                + c.reach.heap_bytes()
                + c.ts.heap_bytes()
                + c.content.heap_bytes()
                + c.account.heap_bytes()
                + c.ends.heap_bytes()
                + c.ids.capacity()
        };
        self.chunks.heap_bytes() + self.chunks.iter().map(chunk).sum::<usize>()
    }
}
