//! The usage event: what a gateway reports about one call, sign-up or change of an account. Knows no rule.

pub mod decode;
pub mod fields;
pub mod json;

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

const ABSENT: u8 = u8::MAX;

/// One usage event, decoded. Fields that the record lacks (or that are `null`) are unknown. `id` and `ts` are always there.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageEvent<'a> {
    kind: Kind,
    ts: Timestamp,
    content: u128,
    unknown_keys: u32,
    index: [u8; FIELD_COUNT],
    slots: Vec<Slot<'a>>,
}

impl<'a> UsageEvent<'a> {
    /// An event with the three things that every event has.
    pub fn new(kind: Kind, id: impl Into<Cow<'a, str>>, ts: Timestamp) -> Self {
        let mut event = UsageEvent { kind, ..UsageEvent::blank() };
        event.set(FieldId::ID, Slot::Text(id.into()));
        event.set(FieldId::TS, Slot::Num(ts.0));
        event
    }

    /// An event that a reader is about to fill.
    pub(crate) fn blank() -> Self {
        UsageEvent {
            kind: Kind::Completion,
            ts: Timestamp(0),
            content: 0,
            unknown_keys: 0,
            index: [ABSENT; FIELD_COUNT],
            slots: Vec::with_capacity(48),
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
        let at = self.index.get(usize::from(field.0)).copied().unwrap_or(ABSENT);
        match self.slots.get(usize::from(at)) {
            None => Value::Unknown,
            Some(Slot::Bool(b)) => Value::Bool(*b),
            Some(Slot::Num(n)) => Value::Num(*n),
            Some(Slot::Text(t)) => Value::Text(t),
            Some(Slot::Ip(ip)) => Value::Ip(*ip),
            Some(Slot::Texts(t)) => Value::Texts(t),
        }
    }

    /// Sets a field; a second value replaces the first. Setting `ts` also moves the event.
    pub fn set(&mut self, field: FieldId, slot: Slot<'a>) {
        if let (FieldId::TS, Slot::Num(ns)) = (field, &slot) {
            self.ts = Timestamp(*ns);
        }
        let Some(at) = self.index.get_mut(usize::from(field.0)) else { return };
        match self.slots.get_mut(usize::from(*at)) {
            Some(old) => *old = slot,
            None => {
                *at = u8::try_from(self.slots.len()).unwrap_or(ABSENT);
                self.slots.push(slot);
            }
        }
    }

    /// Sets a field that is known to be missing still: what a reader does, which has told duplicate keys apart already.
    #[inline]
    pub(crate) fn put(&mut self, field: FieldId, slot: Slot<'a>) {
        if let (FieldId::TS, Slot::Num(ns)) = (field, &slot) {
            self.ts = Timestamp(*ns);
        }
        if let Some(at) = self.index.get_mut(usize::from(field.0)) {
            *at = self.slots.len() as u8;
            self.slots.push(slot);
        }
    }

    /// Whether the record has the field.
    pub fn has(&self, field: FieldId) -> bool {
        self.index.get(usize::from(field.0)).is_some_and(|at| *at != ABSENT)
    }

    /// The fields the record has, in the order of the field table.
    pub fn fields(&self) -> impl Iterator<Item = (FieldId, Value<'_>)> {
        (0..FIELD_COUNT).map(|i| FieldId(i as u8)).filter(|f| self.has(*f)).map(|f| (f, self.get(f)))
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> UsageEvent<'static> {
        let slots = self.slots.into_iter().map(|slot| match slot {
            Slot::Bool(b) => Slot::Bool(b),
            Slot::Num(n) => Slot::Num(n),
            Slot::Text(t) => Slot::Text(Cow::Owned(t.into_owned())),
            Slot::Ip(ip) => Slot::Ip(ip),
            Slot::Texts(t) => Slot::Texts(t),
        });
        UsageEvent {
            kind: self.kind,
            ts: self.ts,
            content: self.content,
            unknown_keys: self.unknown_keys,
            index: self.index,
            slots: slots.collect(),
        }
    }
}
