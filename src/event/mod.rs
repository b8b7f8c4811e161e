//! The usage event: what a gateway reports about one call, sign-up or change of an account. Knows no rule.

pub mod decode;
pub mod fields;
pub mod json;
mod packed;

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use fields::{FIELD_COUNT, FIELDS, Field, FieldId};

use crate::time::Timestamp;
use crate::value::Value;

/// What kind of record an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A call of a model that was answered or refused.
    Completion,
    /// A call as it arrives, before it is answered; and calls of other endpoints.
    Request,
    /// An account is being opened.
    Signup,
    /// An account changed: verified, banned, another plan.
    Account,
    /// Something the gateway did to an account, key or call.
    Action,
}

impl Kind {
    /// All kinds, in the order they are documented.
    pub const ALL: [Kind; 5] = [Kind::Completion, Kind::Request, Kind::Signup, Kind::Account, Kind::Action];

    /// The word in rules and in the JSON key `type`.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Completion => "completion",
            Kind::Request => "request",
            Kind::Signup => "signup",
            Kind::Account => "account",
            Kind::Action => "action",
        }
    }

    /// The kind with this word.
    pub fn from_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.word() == word)
    }
}

/// What a field holds in an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Slot<'a> {
    /// A truth value.
    Bool(bool),
    /// A number in the unit of the field's type.
    Num(i64),
    /// A text, borrowed from the input line where it holds no escapes.
    Text(Cow<'a, str>),
    /// An address.
    Ip(IpAddr),
    /// Several texts.
    Texts(Vec<String>),
}

/// Where the value of a field lies: which of the vectors of [`UsageEvent`], and the place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    kind: Holds,
    at: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Nothing,
    Bool,
    Num,
    Borrowed,
    Owned,
    Packed,
    Ip,
    Texts,
}

/// The fields that are set stand as bits of one word.
const _: () = assert!(FIELD_COUNT <= u128::BITS as usize);

const NOWHERE: Place = Place { kind: Holds::Nothing, at: 0 };

/// One usage event, decoded. Fields that the record lacks (or that are `null`) are unknown. `id` and `ts` are always there.
///
/// Values lie in one vector for each kind: numbers and borrowed texts then go from register to memory, where a vector of
/// [`Slot`]s costs a third of the time of decoding in stalled copies.
#[derive(Debug, Clone)]
pub struct UsageEvent<'a> {
    kind: Kind,
    ts: Timestamp,
    content: u128,
    unknown_keys: u32,
    index: [Place; FIELD_COUNT],
    /// The fields that were set, as bits.
    set: u128,
    numbers: Vec<i64>,
    borrowed: Vec<&'a str>,
    owned: Vec<String>,
    texts: packed::Texts,
    ips: Vec<IpAddr>,
    lists: Vec<Vec<String>>,
}

/// Two events are equal when they say the same; the order in which fields were set does not matter.
impl PartialEq for UsageEvent<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, self.ts, self.content, self.unknown_keys)
            == (other.kind, other.ts, other.content, other.unknown_keys)
            && self.fields().eq(other.fields())
    }
}

impl<'a> UsageEvent<'a> {
    /// An event with the three things that every event has.
    pub fn new(kind: Kind, id: impl Into<Cow<'a, str>>, ts: Timestamp) -> Self {
        let mut event = UsageEvent { kind, ..UsageEvent::blank() };
        event.set(FieldId::ID, Slot::Text(id.into()));
        event.set(FieldId::TS, Slot::Num(ts.0));
        event
    }

    /// An event that a reader is about to fill, in the memory of an event that is no longer needed.
    pub(crate) fn blank_in(spare: UsageEvent<'static>) -> Self {
        UsageEvent {
            kind: Kind::Completion,
            ts: Timestamp(0),
            content: 0,
            unknown_keys: 0,
            index: [NOWHERE; FIELD_COUNT],
            set: 0,
            ..spare
        }
    }

    /// The emptied memory of this event.
    pub(crate) fn into_spare(mut self) -> UsageEvent<'static> {
        self.numbers.clear();
        self.borrowed.clear();
        self.owned.clear();
        self.texts.clear();
        self.ips.clear();
        self.lists.clear();
        UsageEvent {
            kind: self.kind,
            ts: self.ts,
            content: 0,
            unknown_keys: 0,
            index: self.index,
            set: 0,
            numbers: self.numbers,
            // An empty vector collected from itself keeps its memory and loses its lifetime.
            borrowed: self.borrowed.into_iter().map(|_| "").collect(),
            owned: self.owned,
            texts: self.texts,
            ips: self.ips,
            lists: self.lists,
        }
    }

    /// An event that a reader is about to fill.
    pub(crate) fn blank() -> Self {
        UsageEvent {
            kind: Kind::Completion,
            ts: Timestamp(0),
            content: 0,
            unknown_keys: 0,
            index: [NOWHERE; FIELD_COUNT],
            set: 0,
            numbers: Vec::with_capacity(24),
            borrowed: Vec::with_capacity(24),
            owned: Vec::new(),
            texts: packed::Texts::default(),
            ips: Vec::new(),
            lists: Vec::new(),
        }
    }

    pub(crate) fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// What kind of record it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its id.
    pub fn id(&self) -> &str {
        match self.get(FieldId::ID) {
            Value::Text(id) => id,
            _ => "",
        }
    }

    /// When it happened.
    pub fn ts(&self) -> Timestamp {
        self.ts
    }

    /// A 128-bit hash of what the record says, by which two records of one id are told to be the same. Set by the reader.
    pub fn content(&self) -> u128 {
        self.content
    }

    /// Sets the content hash.
    pub fn set_content(&mut self, hash: u128) {
        self.content = hash;
    }

    /// How many keys the record had that no field of the table has; they were ignored.
    pub fn unknown_keys(&self) -> u32 {
        self.unknown_keys
    }

    /// Sets the number of ignored keys.
    pub fn set_unknown_keys(&mut self, n_keys: u32) {
        self.unknown_keys = n_keys;
    }

    /// The value of a field, [`Value::Unknown`] where the record lacks it.
    #[inline]
    pub fn get(&self, field: FieldId) -> Value<'_> {
        let place = self.place(field);
        let at = usize::from(place.at);
        let found = match place.kind {
            Holds::Nothing => None,
            Holds::Bool => self.numbers.get(at).map(|n| Value::Bool(*n != 0)),
            Holds::Num => self.numbers.get(at).map(|n| Value::Num(*n)),
            Holds::Borrowed => self.borrowed.get(at).map(|text| Value::Text(text)),
            Holds::Owned => self.owned.get(at).map(|text| Value::Text(text)),
            Holds::Packed => self.texts.get(at).map(Value::Text),
            Holds::Ip => self.ips.get(at).map(|ip| Value::Ip(*ip)),
            Holds::Texts => self.lists.get(at).map(|texts| Value::Texts(texts)),
        };
        found.unwrap_or_default()
    }

    #[inline]
    fn place(&self, field: FieldId) -> Place {
        self.index.get(usize::from(field.0)).copied().unwrap_or(NOWHERE)
    }

    /// Sets a field; a second value replaces the first. Setting `ts` also moves the event.
    pub fn set(&mut self, field: FieldId, slot: Slot<'a>) {
        let place = self.place(field);
        let at = usize::from(place.at);
        match (place.kind, slot) {
            (Holds::Bool, Slot::Bool(b)) => replace(&mut self.numbers, at, i64::from(b)),
            (Holds::Num, Slot::Num(n)) => {
                replace(&mut self.numbers, at, n);
                if field == FieldId::TS {
                    self.ts = Timestamp(n);
                }
            }
            (Holds::Borrowed, Slot::Text(Cow::Borrowed(text))) => replace(&mut self.borrowed, at, text),
            (Holds::Owned, Slot::Text(Cow::Owned(text))) => replace(&mut self.owned, at, text),
            (Holds::Ip, Slot::Ip(ip)) => replace(&mut self.ips, at, ip),
            (Holds::Texts, Slot::Texts(texts)) => replace(&mut self.lists, at, texts),
            // A value of another kind leaves the old one unused where it is: readers never do this, tests may.
            (_, Slot::Bool(b)) => self.put_bool(field, b),
            (_, Slot::Num(n)) => self.put_number(field, n),
            (_, Slot::Text(text)) => self.put_text(field, text),
            (_, Slot::Ip(ip)) => self.put_ip(field, ip),
            (_, Slot::Texts(texts)) => self.put_texts(field, texts),
        }
    }

    /// The `put_…` set fields that are missing still: what a reader does, which has told duplicate keys apart already.
    #[inline]
    pub(crate) fn put_bool(&mut self, field: FieldId, b: bool) {
        self.point(field, Holds::Bool, self.numbers.len());
        self.numbers.push(i64::from(b));
    }

    /// See [`UsageEvent::put_bool`].
    #[inline]
    pub(crate) fn put_number(&mut self, field: FieldId, n: i64) {
        if field == FieldId::TS {
            self.ts = Timestamp(n);
        }
        self.point(field, Holds::Num, self.numbers.len());
        self.numbers.push(n);
    }

    /// See [`UsageEvent::put_bool`].
    #[inline]
    pub(crate) fn put_text(&mut self, field: FieldId, text: Cow<'a, str>) {
        match text {
            Cow::Borrowed(text) => self.put_borrowed(field, text),
            Cow::Owned(text) => {
                self.point(field, Holds::Owned, self.owned.len());
                self.owned.push(text);
            }
        }
    }

    /// See [`UsageEvent::put_bool`].
    #[inline]
    pub(crate) fn put_borrowed(&mut self, field: FieldId, text: &'a str) {
        self.point(field, Holds::Borrowed, self.borrowed.len());
        self.borrowed.push(text);
    }

    /// See [`UsageEvent::put_bool`].
    #[inline]
    pub(crate) fn put_ip(&mut self, field: FieldId, ip: IpAddr) {
        self.point(field, Holds::Ip, self.ips.len());
        self.ips.push(ip);
    }

    /// See [`UsageEvent::put_bool`].
    pub(crate) fn put_texts(&mut self, field: FieldId, texts: Vec<String>) {
        self.point(field, Holds::Texts, self.lists.len());
        self.lists.push(texts);
    }

    #[inline]
    fn point(&mut self, field: FieldId, kind: Holds, at: usize) {
        if let (Some(place), Ok(at)) = (self.index.get_mut(usize::from(field.0)), u8::try_from(at)) {
            *place = Place { kind, at };
            self.set |= 1 << field.0;
        }
    }

    /// Takes a field out: it is unknown then. What it held stays where it is, unused. `id` and `ts` are always there.
    pub fn unset(&mut self, field: FieldId) {
        if let Some(place) =
            self.index.get_mut(usize::from(field.0)).filter(|_| ![FieldId::ID, FieldId::TS].contains(&field))
        {
            *place = NOWHERE;
            self.set &= !(1 << field.0);
        }
    }

    /// Whether the record has the field.
    pub fn has(&self, field: FieldId) -> bool {
        self.place(field).kind != Holds::Nothing
    }

    /// The fields the record has, in the order of the field table.
    pub fn fields(&self) -> impl Iterator<Item = (FieldId, Value<'_>)> {
        let mut left = self.set;
        let set = std::iter::from_fn(move || {
            let first = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (first < u128::BITS).then_some(FieldId(first as u8))
        });
        set.filter(|f| self.has(*f)).map(|f| (f, self.get(f)))
    }
}

fn replace<T>(values: &mut [T], at: usize, value: T) {
    if let Some(old) = values.get_mut(at) {
        *old = value;
    }
}
