//! What calls have used of the limits, and what is held for calls under way.
//!
//! A call *reserves* when it arrives and *settles* when it is over. Of each key of a limit there is one number for each
//! window, what was settled in it, and one for all calls under way, what is held for them. A call passes where both and its
//! own amount together are no more than the limit, so that calls at the same time never pass it together.
//!
//! - A call settles in the window in which it *completed*, as it does in findings, whatever the window it was reserved in.
//!   What is held counts in whichever window is under way: a call that is reserved before the end of one and settles after
//!   it has its room in both.
//! - What is settled counts, reserved or not: a call that was never asked about, one whose reservation has expired, one that
//!   used more than it reserved. Only this can lift a key above its limit; it is told ([`Settled::beyond`]).
//! - A reservation that is never settled expires. A call that is settled twice counts once.
//! - A call that does not say what it may use is held at what a call of its key settles on average, in the window under way
//!   or the one before, and at nothing where it has settled none yet. The sum of many such calls is then about right; the
//!   greatest would lock a key out after one large call, and nothing would let calls at the same time pass together. Who
//!   wants it strict says so in the rule: `reserve max_tokens or default 4_000`.
//!
//! Time is an argument, and never runs back: an earlier one counts as the latest that was told. It is the time of the
//! gateway, not one that callers choose.

mod bytes;
mod room;

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use bytes::{QUOTA_VERSION, QuotaError};

use crate::time::{Duration, MINUTE_NS, SECOND_NS, Timestamp};

/// How long a reservation holds where it is not settled.
pub const RESERVATION_LIFE: Duration = Duration(15 * MINUTE_NS);
/// How long it is known that a call was settled.
pub const SETTLED_KNOWN: Duration = Duration(15 * MINUTE_NS);
/// When to come again where only calls under way stand in the way: any of them may settle at any moment.
pub const RETRY_HELD: Duration = Duration(SECOND_NS);

/// What is kept at most, of all limits together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Keys. Above it those without a call under way that used the least of their limit are forgotten.
    pub keys: usize,
    /// Calls under way. Above it the oldest hold nothing any more.
    pub reservations: usize,
    /// Calls under way of one key. Above it its calls are refused.
    pub reservations_per_key: usize,
    /// Settled calls that are known. Above it the oldest are forgotten.
    pub settled: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { keys: 1_000_000, reservations: 1_000_000, reservations_per_key: 10_000, settled: 1_000_000 }
    }
}

/// A key of a limit, or a call: the first 16 bytes of the SHA-256 of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name([u8; 16]);

impl Name {
    /// The name of a text.
    pub fn of(text: &[u8]) -> Name {
        let digest = Sha256::digest(text);
        Name(digest.first_chunk().copied().unwrap_or_default())
    }

    /// Which of so many shards it belongs to.
    pub fn shard(self, of: usize) -> usize {
        let bytes = self.0.first_chunk().copied().unwrap_or_default();
        (u64::from_le_bytes(bytes) % of.max(1) as u64) as usize
    }
}

/// A limit whose state is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What its state belongs to: its name and what its amounts mean.
    pub identity: String,
    /// Length of its windows.
    pub window: Duration,
}

/// What a call asks to be held at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// So much.
    Amount(i64),
    /// It does not say: at what calls of its key settle on average.
    Unknown,
    /// Nothing: the limit reserves nothing, and refuses calls once it is used up.
    Nothing,
}

/// The answer to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The call may go on.
    Reserved {
        /// What is held for it.
        held: i64,
    },
    /// It would pass the limit.
    Refused {
        /// When to come again; `None` where no waiting helps: it asks for more than the limit.
        retry_after: Option<Duration>,
        /// Why.
        why: Why,
    },
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// What was settled leaves no room until the window ends.
    UsedUp,
    /// What is held for calls under way leaves no room.
    Held,
    /// It asks for more than the limit.
    TooMuch,
    /// Its key has more calls under way than are kept.
    TooMany,
}

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Whether it counted: not a second time, and not in a window that is long over.
    pub counted: bool,
    /// How much of it was not held before: what can lift a key above its limit.
    pub beyond: i64,
}

/// What went otherwise than it should; all since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Told {
    /// Reservations that expired.
    pub expired: u64,
    /// Calls that settled more than was held for them.
    pub beyond: u64,
    /// Calls settled once more, which did not count.
    pub twice: u64,
    /// Calls settled without a known amount: they hold nothing any more and count nothing.
    pub unknown: u64,
    /// Calls that completed in a window before the last, or after the next: they count nowhere.
    pub out_of_time: u64,
    /// Reservations dropped for want of room.
    pub dropped: u64,
    /// Keys forgotten in a window in which they had settled something.
    pub keys_forgotten: u64,
    /// Settled calls forgotten before their time.
    pub calls_forgotten: u64,
}

/// What calls have used of the limits.
#[derive(Debug, Clone)]
pub struct Quotas {
    limits: Vec<Kept>,
    bounds: Bounds,
    clock: Timestamp,
    keys: HashMap<At, Key>,
    /// Calls under way, by when their reservation expires; the number tells those of one moment apart.
    due: BTreeMap<(Timestamp, u64), (At, Name)>,
    next: u64,
    /// Settled calls, and when.
    settled: HashMap<(At, Name), Timestamp>,
    /// The same in order of time.
    order: VecDeque<(Timestamp, At, Name)>,
    told: Told,
}

/// A key of a limit.
type At = (u32, Name);

#[derive(Debug, Clone, Default)]
struct Key {
    /// What was settled, by the number of the window since 1970; ascending.
    windows: Vec<Window>,
    /// What is held for each call under way.
    open: HashMap<Name, Held>,
    /// All of it together.
    held: i64,
    /// The limit that was last asked for.
    most: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Window {
    number: i64,
    settled: i64,
    calls: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    amount: i64,
    /// Window in which it was reserved.
    window: i64,
    /// Its place among those that expire.
    due: (Timestamp, u64),
}

impl Key {
    fn settled(&self, number: i64) -> i64 {
        self.windows.iter().find(|w| w.number == number).map_or(0, |w| w.settled)
    }

    /// What a call settled on average in a window or the one before, rounded up.
    fn average(&self, number: i64) -> i64 {
        let known = |n: i64| self.windows.iter().find(|w| w.number == n && w.calls > 0);
        let Some(w) = known(number).or_else(|| known(number - 1)) else { return 0 };
        let calls = i64::try_from(w.calls).unwrap_or(i64::MAX);
        w.settled / calls + i64::from(w.settled % calls > 0)
    }

    fn window(&mut self, number: i64) -> Option<&mut Window> {
        let at = match self.windows.binary_search_by_key(&number, |w| w.number) {
            Ok(at) => at,
            Err(at) => {
                self.windows.insert(at, Window { number, ..Window::default() });
                at
            }
        };
        self.windows.get_mut(at)
    }
}

impl Quotas {
    /// Of these limits; a limit's number is its place among them.
    pub fn new(limits: Vec<Kept>, bounds: Bounds) -> Quotas {
        Quotas {
            limits,
            bounds,
            clock: Timestamp::MIN,
            keys: HashMap::new(),
            due: BTreeMap::new(),
            next: 0,
            settled: HashMap::new(),
            order: VecDeque::new(),
            told: Told::default(),
        }
    }

    /// What went otherwise than it should.
    pub fn told(&self) -> Told {
        self.told
    }

    /// Keys of which something is kept, and calls under way.
    pub fn size(&self) -> (usize, usize) {
        (self.keys.len(), self.due.len())
    }

    /// What a key settled in the window at a time, and what is held for its calls under way.
    pub fn used(&self, limit: u32, key: Name, at: Timestamp) -> (i64, i64) {
        let number = self.number(limit, at);
        self.keys.get(&(limit, key)).map_or((0, 0), |k| (k.settled(number), k.held))
    }

    /// The window of a limit at a time, counted since 1970.
    fn number(&self, limit: u32, at: Timestamp) -> i64 {
        let length = self.limits.get(limit as usize).map_or(1, |l| l.window.0).max(1);
        at.0.div_euclid(length)
    }

    fn until_next(&self, limit: u32) -> Duration {
        let length = self.limits.get(limit as usize).map_or(1, |l| l.window.0).max(1);
        Duration(length - self.clock.0.rem_euclid(length))
    }

    /// Whether a call may go on that arrives `now`, of a key that may settle `most` in a window; if so, what it wants is
    /// held for it until it settles. A call that is under way already is asked anew: it holds the greater of both amounts.
    pub fn reserve(&mut self, limit: u32, key: Name, call: Name, want: Want, most: i64, now: Timestamp) -> Answer {
        self.expire(now);
        let (at, number) = ((limit, key), self.number(limit, self.clock));
        let until_next = self.until_next(limit);
        let known = self.keys.get(&at);
        let settled = known.map_or(0, |k| k.settled(number));
        let open = known.and_then(|k| k.open.get(&call)).copied();
        let others = known.map_or(0, |k| k.held).saturating_sub(open.map_or(0, |h| h.amount));
        let wanted = match want {
            Want::Amount(n) => n.max(0),
            Want::Unknown => known.map_or(0, |k| k.average(number)).min(most),
            Want::Nothing => 0,
        };
        let wanted = wanted.max(open.map_or(0, |h| h.amount));
        let refused = |retry_after, why| Answer::Refused { retry_after, why };
        let room = most.saturating_sub(settled);
        if wanted > most || most <= 0 {
            return refused(None, Why::TooMuch);
        }
        if room <= 0 || wanted > room {
            return refused(Some(until_next), Why::UsedUp);
        }
        if others >= room || wanted > room.saturating_sub(others) {
            return refused(Some(RETRY_HELD), Why::Held);
        }
        if open.is_some_and(|h| h.amount == wanted) {
            return Answer::Reserved { held: wanted };
        }
        let full = known.is_some_and(|k| k.open.len() >= self.bounds.reservations_per_key);
        if open.is_none() && full && wanted > 0 {
            return refused(Some(RETRY_HELD), Why::TooMany);
        }
        // A call of the same name that was settled is another one.
        self.settled.remove(&(at, call));
        self.release(limit, key, call);
        if wanted > 0 {
            self.hold(at, call, wanted, number, most);
        }
        Answer::Reserved { held: wanted }
    }

    fn hold(&mut self, at: At, call: Name, amount: i64, window: i64, most: i64) {
        while self.due.len() >= self.bounds.reservations.max(1) && self.drop_oldest() {
            self.told.dropped += 1;
        }
        self.make_room(at);
        let due = (self.clock.saturating_add(RESERVATION_LIFE), self.next);
        self.next += 1;
        let key = self.keys.entry(at).or_default();
        key.most = most;
        key.held = key.held.saturating_add(amount);
        key.open.insert(call, Held { amount, window, due });
        self.due.insert(due, (at, call));
    }

    /// Takes a reservation back: the call does not take place. Gives what was held.
    pub fn release(&mut self, limit: u32, key: Name, call: Name) -> i64 {
        self.take((limit, key), call).map_or(0, |h| h.amount)
    }

    fn take(&mut self, at: At, call: Name) -> Option<Held> {
        let key = self.keys.get_mut(&at)?;
        let held = key.open.remove(&call)?;
        key.held = key.held.saturating_sub(held.amount);
        if key.open.is_empty() && key.windows.is_empty() {
            self.keys.remove(&at);
        }
        self.due.remove(&held.due);
        Some(held)
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, (at, call))) = self.due.first_key_value().map(|(k, v)| (*k, *v)) else { return false };
        self.take(at, call);
        true
    }

    /// A call is over that completed at `at` and used `amount`; `None` where that is unknown, as in findings, which count
    /// nothing then.
    pub fn settle(
        &mut self,
        limit: u32,
        key: Name,
        call: Name,
        amount: Option<i64>,
        at: Timestamp,
        now: Timestamp,
    ) -> Settled {
        self.expire(now);
        let place = (limit, key);
        if self.settled.contains_key(&(place, call)) {
            self.told.twice += 1;
            return Settled::default();
        }
        let held = self.take(place, call);
        self.remember(place, call);
        let Some(amount) = amount.map(|n| n.max(0)) else {
            self.told.unknown += 1;
            return Settled::default();
        };
        let (number, present) = (self.number(limit, at), self.number(limit, self.clock));
        if number < present.saturating_sub(1) || number > present.saturating_add(1) {
            self.told.out_of_time += 1;
            return Settled::default();
        }
        // What was held after that window was not held in it, nor is it held in one that is to come.
        let was_held = held.filter(|h| (h.window..=present).contains(&number)).map_or(0, |h| h.amount);
        let beyond = amount.saturating_sub(was_held).max(0);
        self.told.beyond += u64::from(beyond > 0);
        self.make_room(place);
        let known = self.keys.entry(place).or_default();
        known.windows.retain(|w| w.number >= present.saturating_sub(1));
        if let Some(w) = known.window(number) {
            w.settled = w.settled.saturating_add(amount);
            w.calls += 1;
        }
        Settled { counted: true, beyond }
    }

    fn remember(&mut self, at: At, call: Name) {
        if self.settled.len() >= self.bounds.settled.max(1) {
            self.told.calls_forgotten += u64::from(self.forget_oldest());
        }
        self.settled.insert((at, call), self.clock);
        self.order.push_back((self.clock, at, call));
    }

    /// Forgets the settled call that is known longest; an entry of one that was reserved again since is passed over.
    fn forget_oldest(&mut self) -> bool {
        while let Some((when, at, call)) = self.order.pop_front() {
            if self.settled.get(&(at, call)) == Some(&when) {
                self.settled.remove(&(at, call));
                return true;
            }
        }
        false
    }

    /// Time passes: reservations expire, settled calls are forgotten. Gives how many reservations expired.
    pub fn expire(&mut self, now: Timestamp) -> u64 {
        self.clock = self.clock.max(now);
        let mut expired = 0;
        while self.due.first_key_value().is_some_and(|((when, _), _)| *when <= self.clock) && self.drop_oldest() {
            expired += 1;
        }
        self.told.expired += expired;
        let known = self.clock.saturating_sub(SETTLED_KNOWN);
        while self.order.front().is_some_and(|(when, ..)| *when <= known) {
            if let Some((when, at, call)) = self.order.pop_front()
                && self.settled.get(&(at, call)) == Some(&when)
            {
                self.settled.remove(&(at, call));
            }
        }
        expired
    }
}
