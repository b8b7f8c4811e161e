//! Turns one line of native JSON (one flat object) into a usage event, strictly, borrowing texts from the line. Knows no
//! file and no rule.
//!
//! **What is refused.** Everything that two readers could understand differently ([`crate::event::json`]), a known field of
//! another type, an event without `id`, `ts` or `type`. Unknown keys are passed over, but as strictly as known ones, and
//! counted ([`UsageEvent::unknown_keys`]): a misspelt key should not go unnoticed. `null` says that a field is missing.
//!
//! **Content.** [`UsageEvent::content`] is XXH3-128 of the line without surrounding white space. Two spellings of one
//! record (another key order, another escape) therefore count as different contents; a gateway that sends a record again
//! sends the same bytes.
//!
//! **Speed.** A [`Decoder`] remembers which key followed which, and compares the bytes at hand with that key before it
//! reads a key in general. A wrong guess costs one comparison; the result never depends on guesses.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_128;

use crate::event::fields::{FIELD_COUNT, FIELDS, FieldId, Privacy, QUOTED, by_json};
use crate::event::json::{DEPTH_MAX, Fault, JsonError, Number, Scanner, Tree};
use crate::event::{Kind, UsageEvent};
use crate::time::Timestamp;
use crate::value::Type;

/// The longest event that is read, in bytes of JSON.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// The longest `id`, in bytes.
pub const ID_BYTES_MAX: usize = 256;
/// The most items in a field that holds a list.
pub const LIST_ITEMS_MAX: usize = 64;
/// How many different unknown keys a [`Decoder`] remembers by name.
pub const UNKNOWN_NAMES_MAX: usize = 32;

/// Why a record was not taken in. The words are stable: they stand in the violation log and in counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// Longer than [`EVENT_BYTES_MAX`].
    TooLong,
    /// Not UTF-8.
    InvalidUtf8,
    /// Not JSON.
    Syntax,
    /// JSON, but no object.
    NotAnObject,
    /// Something after the object.
    TrailingData,
    /// One key twice in one object.
    DuplicateKey,
    /// `NaN`, `Infinity`.
    NotANumber,
    /// A whole number beyond 64 bits, or one that its field cannot hold.
    NumberRange,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// `id`, `ts` or `type` is missing, `null` or empty.
    MissingField,
    /// A field holds another type of value.
    WrongType,
    /// A field holds the right type of value, but not one that it can mean.
    BadValue,
    /// More than [`LIST_ITEMS_MAX`] items.
    TooManyItems,
    /// A record of something else than usage, which its mapping passes over.
    NotUsage,
}

impl RejectReason {
    /// All reasons, in the order of their words in the documentation.
    pub const ALL: [RejectReason; 15] = [
        RejectReason::TooLong,
        RejectReason::InvalidUtf8,
        RejectReason::Syntax,
        RejectReason::NotAnObject,
        RejectReason::TrailingData,
        RejectReason::DuplicateKey,
        RejectReason::NotANumber,
        RejectReason::NumberRange,
        RejectReason::LoneSurrogate,
        RejectReason::TooDeep,
        RejectReason::MissingField,
        RejectReason::WrongType,
        RejectReason::BadValue,
        RejectReason::TooManyItems,
        RejectReason::NotUsage,
    ];

    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            RejectReason::TooLong => "too_long",
            RejectReason::InvalidUtf8 => "invalid_utf8",
            RejectReason::Syntax => "syntax",
            RejectReason::NotAnObject => "not_an_object",
            RejectReason::TrailingData => "trailing_data",
            RejectReason::DuplicateKey => "duplicate_key",
            RejectReason::NotANumber => "not_a_number",
            RejectReason::NumberRange => "number_range",
            RejectReason::LoneSurrogate => "lone_surrogate",
            RejectReason::TooDeep => "too_deep",
            RejectReason::MissingField => "missing_field",
            RejectReason::WrongType => "wrong_type",
            RejectReason::BadValue => "bad_value",
            RejectReason::TooManyItems => "too_many_items",
            RejectReason::NotUsage => "not_usage",
        }
    }
}

/// A record that was not taken in, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The reason, for counting.
    pub reason: RejectReason,
    /// The field at fault, where it is a known one.
    pub field: Option<FieldId>,
    /// What was expected and what was found. Quotes nothing that was found: of values of public fields it shows the shape, so that
    /// it can be stored and told.
    pub detail: String,
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason.word(), self.detail)
    }
}

impl std::error::Error for Reject {}

impl Reject {
    fn new(reason: RejectReason, field: Option<FieldId>, detail: String) -> Box<Self> {
        Box::new(Reject { reason, field, detail })
    }

    /// A record that is wrong as a whole.
    #[cold]
    #[cfg_attr(not(feature = "feed"), expect(dead_code, reason = "foreign records are read by feed"))]
    pub(crate) fn plain(reason: RejectReason, detail: String) -> Box<Self> {
        Reject::new(reason, None, detail)
    }

    /// A record that is none of usage.
    #[cold]
    #[cfg_attr(not(feature = "feed"), expect(dead_code, reason = "foreign records are read by feed"))]
    pub(crate) fn not_usage() -> Box<Self> {
        Reject::new(RejectReason::NotUsage, None, "the record is no model call; its mapping passes it over".to_owned())
    }

    /// A field that holds another type of value than it should; `found` names a kind of value.
    #[cold]
    pub(crate) fn wrong_type(field: FieldId, found: &str) -> Box<Self> {
        let detail = format!("`{}` should be {}, but is {found}", json_name(field), Shape::of(field).expected());
        Reject::new(RejectReason::WrongType, Some(field), detail)
    }

    /// A field whose value means nothing.
    #[cold]
    pub(crate) fn bad_value(field: FieldId, value: &str) -> Box<Self> {
        let detail = format!("`{}` should be {}{}", json_name(field), Shape::of(field).expected(), shown(field, value));
        Reject::new(RejectReason::BadValue, Some(field), detail)
    }

    #[cold]
    fn out_of_range(field: FieldId, value: &str) -> Box<Self> {
        let detail =
            format!("`{}` is too large for {}{}", json_name(field), Shape::of(field).expected(), shown(field, value));
        Reject::new(RejectReason::NumberRange, Some(field), detail)
    }

    /// The event lacks one of the three things that every event has.
    #[cold]
    pub(crate) fn missing(key: &str) -> Box<Self> {
        let (field, help) = match key {
            "id" => (Some(FieldId::ID), "a text that no other event has".to_owned()),
            "ts" => (Some(FieldId::TS), "the time as RFC 3339 text, such as \"2026-03-02T00:00:07Z\"".to_owned()),
            _ => (None, format!("one of {}", kinds())),
        };
        Reject::new(RejectReason::MissingField, field, format!("`{key}` is missing: give {help}"))
    }

    #[cold]
    pub(crate) fn unknown_kind(found: &str) -> Box<Self> {
        let detail = format!("`type` should be one of {}, but is {found}", kinds());
        Reject::new(RejectReason::BadValue, None, detail)
    }

    #[cold]
    fn too_many_items(field: FieldId) -> Box<Self> {
        let detail = format!("`{}` holds more than {LIST_ITEMS_MAX} items", json_name(field));
        Reject::new(RejectReason::TooManyItems, Some(field), detail)
    }

    #[cold]
    pub(crate) fn invalid_utf8(at: usize) -> Box<Self> {
        Reject::new(RejectReason::InvalidUtf8, None, format!("byte {at} is not UTF-8"))
    }

    #[cold]
    pub(crate) fn too_long() -> Box<Self> {
        Reject::new(RejectReason::TooLong, None, format!("the record is longer than {EVENT_BYTES_MAX} bytes"))
    }

    #[cold]
    pub(crate) fn not_an_object() -> Box<Self> {
        Reject::new(RejectReason::NotAnObject, None, "the record is not a JSON object `{…}`".to_owned())
    }
}

/// Results inside are small, so that they travel in registers; what went wrong lies behind a pointer.
pub(crate) type Read<T> = Result<T, Box<Reject>>;

impl From<Box<JsonError>> for Box<Reject> {
    #[cold]
    fn from(error: Box<JsonError>) -> Self {
        Box::new(Reject::from(*error))
    }
}

impl From<JsonError> for Reject {
    #[cold]
    fn from(error: JsonError) -> Self {
        let at = error.at;
        let (reason, detail) = match error.fault {
            Fault::Expected(what) => (RejectReason::Syntax, format!("expected {what} at byte {at}")),
            Fault::NotANumber => {
                (RejectReason::NotANumber, format!("`NaN` or `Infinity` at byte {at} is no JSON number"))
            }
            Fault::NumberRange => (RejectReason::NumberRange, format!("the number at byte {at} does not fit 64 bits")),
            Fault::LoneSurrogate => (RejectReason::LoneSurrogate, format!("half of a surrogate pair at byte {at}")),
            Fault::TooDeep => (RejectReason::TooDeep, format!("nested deeper than {DEPTH_MAX} at byte {at}")),
            Fault::DuplicateKey(key) => {
                let is_known = &*key == "type" || by_json(&key).is_some();
                let key = if is_known { format!("`{key}`") } else { format!("of the shape `{}`", shape(&key)) };
                (RejectReason::DuplicateKey, format!("the key {key} stands twice in one object, again at byte {at}"))
            }
            Fault::Trailing => (RejectReason::TrailingData, format!("something follows the object at byte {at}")),
        };
        Reject { reason, field: None, detail }
    }
}

fn kinds() -> String {
    Kind::ALL.map(|kind| format!("\"{}\"", kind.word())).join(", ")
}

fn json_name(field: FieldId) -> &'static str {
    FIELDS.get(usize::from(field.0)).map_or("", |f| f.json)
}

/// Most bytes of the name of a key that no field has, to be told.
const NAME_BYTES_MAX: usize = 64;

/// Most characters of a shape.
const SHAPE_CHARS_MAX: usize = 40;

/// What a text looks like, without what it says: `a` for each letter, `9` for each digit, other signs as they are. Whatever stands
/// where something else should may be a prompt: a reject is stored and told, so it never quotes.
pub(crate) fn shape(text: &str) -> String {
    let sign = |c: char| match c {
        c if c.is_alphabetic() => 'a',
        c if c.is_numeric() => '9',
        ' '..='~' => c,
        _ => '?',
    };
    let mut shape: String = text.chars().take(SHAPE_CHARS_MAX).map(sign).collect();
    if text.chars().nth(SHAPE_CHARS_MAX).is_some() {
        shape.push('…');
    }
    shape
}

/// ", but has the shape `…`" for public fields.
fn shown(field: FieldId, value: &str) -> String {
    let public = FIELDS.get(usize::from(field.0)).is_some_and(|f| f.privacy == Privacy::Public);
    if !public {
        return String::new();
    }
    format!(", but has the shape `{}`", shape(value))
}

/// How the JSON value of a field is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Country,
    Fingerprint,
    Bool,
    Whole,
    Micros,
    Millis,
    Time,
    Ip,
    Texts,
    Fingerprints,
}

impl Shape {
    pub(crate) fn of(field: FieldId) -> Shape {
        KEYS.entries.get(usize::from(field.0)).map_or(Shape::Text, |entry| entry.shape)
    }

    fn of_type(ty: &Type) -> Shape {
        match ty {
            Type::String | Type::Cidr => Shape::Text,
            Type::Country => Shape::Country,
            Type::Fingerprint => Shape::Fingerprint,
            Type::Bool => Shape::Bool,
            Type::Integer | Type::Tokens => Shape::Whole,
            Type::Decimal | Type::Money | Type::Percentage => Shape::Micros,
            Type::Duration => Shape::Millis,
            Type::Timestamp => Shape::Time,
            Type::Ip => Shape::Ip,
            Type::List(of) if **of == Type::Fingerprint => Shape::Fingerprints,
            Type::List(_) => Shape::Texts,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Shape::Text => "text",
            Shape::Country => "a country of two letters, such as \"DE\"",
            Shape::Fingerprint => "a fingerprint: text, or a whole number of 64 bits",
            Shape::Bool => "`true` or `false`",
            Shape::Whole => "a whole number, without point or exponent",
            Shape::Micros => "a number",
            Shape::Millis => "a number of milliseconds",
            Shape::Time => "a time as RFC 3339 text, such as \"2026-03-02T00:00:07Z\"",
            Shape::Ip => "an IP address as text",
            Shape::Texts => "a list of texts",
            Shape::Fingerprints => "a list of fingerprints: texts, or whole numbers of 64 bits",
        }
    }
}

/// `type` is no field of the table, but a key like the others: it takes the number after the last field.
const KIND_KEY: u8 = FIELD_COUNT as u8;
/// The place before the first key.
const START: usize = FIELD_COUNT + 1;
const N_PLACES: usize = FIELD_COUNT + 2;
const NO_KEY: u8 = u8::MAX;
/// Numbers of keys fit a byte, with one to spare.
const _: () = assert!(N_PLACES < NO_KEY as usize);

/// What is known of all keys: how each is written, and a hash table without collisions from name to number.
struct Keys {
    entries: Vec<KeyEntry>,
    slots: Vec<u8>,
    seed: u64,
}

struct KeyEntry {
    name: &'static str,
    /// `"name":`
    quoted: &'static [u8],
    /// The same as little-endian words, and masks of the bytes that count.
    words: [u64; 4],
    masks: [u64; 4],
    shape: Shape,
}

impl KeyEntry {
    fn new(name: &'static str, quoted: &'static str, shape: Shape) -> Self {
        let quoted = quoted.as_bytes();
        let (mut words, mut masks) = ([0; 4], [0; 4]);
        for (at, byte) in quoted.iter().enumerate() {
            if let (Some(word), Some(mask)) = (words.get_mut(at / 8), masks.get_mut(at / 8)) {
                *word |= u64::from(*byte) << (at % 8 * 8);
                *mask |= 0xff << (at % 8 * 8);
            }
        }
        KeyEntry { name, quoted, words, masks, shape }
    }

    /// Whether the text goes on with this key and a colon. Masked words beat a comparison of unknown length.
    #[inline]
    fn is_next(&self, rest: &[u8]) -> bool {
        match rest.first_chunk::<32>().map(|chunk| chunk.as_chunks::<8>().0) {
            Some([a, b, c, d]) if self.quoted.len() <= 32 => {
                let ([w0, w1, w2, w3], [m0, m1, m2, m3]) = (self.words, self.masks);
                let differ = |bytes: &[u8; 8], word: u64, mask: u64| (u64::from_le_bytes(*bytes) & mask) ^ word;
                let first = differ(a, w0, m0) | differ(b, w1, m1);
                first == 0 && (self.quoted.len() <= 16 || differ(c, w2, m2) | differ(d, w3, m3) == 0)
            }
            _ => rest.starts_with(self.quoted),
        }
    }
}

const SLOT_BITS: u32 = 12;

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let mut entries: Vec<KeyEntry> = FIELDS
        .iter()
        .zip(QUOTED)
        .map(|(field, quoted)| KeyEntry::new(field.json, quoted, Shape::of_type(&field.ty)))
        .collect();
    entries.push(KeyEntry::new("type", "\"type\":", Shape::Text));
    // About one seed in five puts all keys into slots of their own.
    let mut seed = 1u64;
    loop {
        seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(2);
        if let Some(slots) = place(&entries, seed) {
            return Keys { entries, slots, seed };
        }
    }
});

fn place(entries: &[KeyEntry], seed: u64) -> Option<Vec<u8>> {
    let mut slots = vec![NO_KEY; 1 << SLOT_BITS];
    for (number, entry) in entries.iter().enumerate() {
        let slot = slots.get_mut(slot_of(entry.name, seed)).filter(|slot| **slot == NO_KEY)?;
        *slot = number as u8;
    }
    Some(slots)
}

fn slot_of(key: &str, seed: u64) -> usize {
    let bytes = key.as_bytes();
    let word = |chunk: &[u8]| chunk.iter().fold(0u64, |word, b| word << 8 | u64::from(*b));
    let head = word(bytes.get(..bytes.len().min(8)).unwrap_or_default());
    let tail = word(bytes.get(bytes.len().saturating_sub(8)..).unwrap_or_default());
    let mixed = (head ^ tail.rotate_left(29) ^ bytes.len() as u64).wrapping_mul(seed | 1);
    ((mixed ^ (mixed >> 31)).wrapping_mul(seed | 1) >> (64 - SLOT_BITS)) as usize
}

impl Keys {
    fn find(&self, key: &str) -> Option<u8> {
        let number = *self.slots.get(slot_of(key, self.seed))?;
        self.entries.get(usize::from(number)).filter(|entry| entry.name == key).map(|_| number)
    }
}

/// Decodes lines one after another; faster than [`decode`] when lines resemble each other, with the same results.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// For each key, the key that followed it last time.
    next: [u8; N_PLACES],
    unknown_names: BTreeSet<String>,
    spare: Option<UsageEvent<'static>>,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder that has seen nothing yet.
    pub fn new() -> Self {
        Decoder { next: [NO_KEY; N_PLACES], unknown_names: BTreeSet::new(), spare: None }
    }

    /// The names of unknown keys seen so far, at most [`UNKNOWN_NAMES_MAX`], sorted.
    pub fn unknown_names(&self) -> impl Iterator<Item = &str> {
        self.unknown_names.iter().map(String::as_str)
    }

    /// Decodes one line; see the module for what is refused.
    pub fn decode<'a>(&mut self, line: &'a [u8]) -> Result<UsageEvent<'a>, Reject> {
        let mut event = self.spare.take().map_or_else(UsageEvent::blank, UsageEvent::blank_in);
        match self.fill(line, &mut event) {
            Ok(()) => Ok(event),
            Err(reject) => Err(*reject),
        }
    }

    /// Gives back an event that is no longer needed; the next one is then built in its memory.
    pub fn recycle(&mut self, event: UsageEvent<'_>) {
        self.spare = Some(event.into_spare());
    }

    fn fill<'a>(&mut self, line: &'a [u8], event: &mut UsageEvent<'a>) -> Read<()> {
        let line = trim(line);
        if line.len() > EVENT_BYTES_MAX {
            return Err(Reject::too_long());
        }
        let text = simdutf8::compat::from_utf8(line).map_err(|e| Reject::invalid_utf8(e.valid_up_to()))?;
        let mut scanner = Scanner::new(text);
        if scanner.peek() != Some(b'{') {
            // Tells what is no JSON at all from what is JSON of another kind.
            scanner.skip_value(0)?;
            return Err(Reject::not_an_object());
        }
        scanner.advance(1);
        let kind = self.object(&mut scanner, event)?;
        scanner.end()?;
        finish(event, kind)?;
        event.set_content(xxh3_128(line));
        Ok(())
    }

    fn object<'a>(&mut self, scanner: &mut Scanner<'a>, event: &mut UsageEvent<'a>) -> Read<Option<Kind>> {
        let keys = &*KEYS;
        let mut kind = None;
        let mut seen = [false; N_PLACES];
        let mut unknown: Vec<Cow<'a, str>> = Vec::new();
        let mut before = START;
        scanner.skip_space();
        if scanner.peek() == Some(b'}') {
            scanner.advance(1);
            return Ok(None);
        }
        loop {
            let guess = self.next.get(before).and_then(|n| keys.entries.get(usize::from(*n)).map(|entry| (*n, entry)));
            let (number, entry) = match guess {
                Some((number, entry)) if entry.is_next(scanner.rest()) => {
                    scanner.advance(entry.quoted.len());
                    scanner.skip_space();
                    (number, entry)
                }
                _ => {
                    let key = scanner.key()?;
                    match keys.find(&key).and_then(|n| keys.entries.get(usize::from(n)).map(|entry| (n, entry))) {
                        Some((number, entry)) => {
                            if let Some(next) = self.next.get_mut(before) {
                                *next = number;
                            }
                            (number, entry)
                        }
                        None => {
                            scanner.skip_value(1)?;
                            self.remember(&key);
                            unknown.push(key);
                            if scanner.another(b'}', "`,` or `}`")? {
                                continue;
                            }
                            break;
                        }
                    }
                }
            };
            before = usize::from(number);
            if seen.get_mut(before).is_none_or(|seen| std::mem::replace(seen, true)) {
                return Err(scanner.fault(Fault::DuplicateKey(entry.name.to_owned())).into());
            }
            if number == KIND_KEY {
                kind = read_kind(scanner)?;
            } else {
                read(scanner, event, FieldId(number), entry.shape)?;
            }
            if !scanner.another(b'}', "`,` or `}`")? {
                break;
            }
        }
        if !unknown.is_empty() {
            event.set_unknown_keys(u32::try_from(unknown.len()).unwrap_or(u32::MAX));
            scanner.refuse_duplicates(unknown)?;
        }
        Ok(kind)
    }

    fn remember(&mut self, key: &str) {
        if self.unknown_names.len() < UNKNOWN_NAMES_MAX && !self.unknown_names.contains(key) {
            // What looks like no name of a key may be what somebody said.
            let is_sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '$' | '@' | ':');
            let is_name = key.len() <= NAME_BYTES_MAX && key.chars().all(is_sign);
            let name = if is_name { key.to_string() } else { format!("one of the shape `{}`", shape(key)) };
            self.unknown_names.insert(name);
        }
    }
}

/// Decodes one line of native JSON, without memory of other lines.
pub fn decode(line: &[u8]) -> Result<UsageEvent<'_>, Reject> {
    Decoder::new().decode(line)
}

/// The line without JSON's white space around it.
pub(crate) fn trim(line: &[u8]) -> &[u8] {
    let space = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().position(|b| !space(b)).unwrap_or(line.len());
    let end = line.iter().rposition(|b| !space(b)).map_or(start, |last| last + 1);
    line.get(start..end).unwrap_or_default()
}

/// Checks what every event needs, once all keys are read.
pub(crate) fn finish(event: &mut UsageEvent<'_>, kind: Option<Kind>) -> Read<()> {
    match event.id().len() {
        0 => return Err(Reject::missing("id")),
        1..=ID_BYTES_MAX => {}
        _ => {
            let detail = format!("`id` is longer than {ID_BYTES_MAX} bytes");
            return Err(Reject::new(RejectReason::BadValue, Some(FieldId::ID), detail));
        }
    }
    if !event.has(FieldId::TS) {
        return Err(Reject::missing("ts"));
    }
    event.set_kind(kind.ok_or_else(|| Reject::missing("type"))?);
    Ok(())
}

fn read_kind(scanner: &mut Scanner<'_>) -> Read<Option<Kind>> {
    if scanner.word("null") {
        return Ok(None);
    }
    if scanner.peek() != Some(b'"') {
        let found = kind_of_value(scanner)?;
        let detail = format!("`type` should be one of {}, but is {found}", kinds());
        return Err(Reject::new(RejectReason::WrongType, None, detail));
    }
    kind_from(&scanner.string()?).map(Some)
}

pub(crate) fn kind_from(word: &str) -> Read<Kind> {
    Kind::from_word(word).ok_or_else(|| Reject::unknown_kind(&format!("a word of the shape \"{}\"", shape(word))))
}

/// Reads the value here into a field of the event.
#[inline]
fn read<'a>(scanner: &mut Scanner<'a>, event: &mut UsageEvent<'a>, field: FieldId, shape: Shape) -> Read<()> {
    match scanner.peek() {
        Some(b'"') => match scanner.plain_string() {
            Some(text) => put_plain(event, field, shape, text),
            None => put_text(event, field, shape, scanner.string()?),
        },
        Some(b'0'..=b'9' | b'-') => {
            if shape == Shape::Whole
                && let Some(n) = scanner.short_whole()
            {
                event.put_number(field, n);
                return Ok(());
            }
            put_number(event, field, shape, scanner.number()?)
        }
        Some(b'n') if scanner.word("null") => Ok(()),
        Some(b't') if shape == Shape::Bool && scanner.word("true") => {
            event.put_bool(field, true);
            Ok(())
        }
        Some(b'f') if shape == Shape::Bool && scanner.word("false") => {
            event.put_bool(field, false);
            Ok(())
        }
        Some(b'[') if matches!(shape, Shape::Texts | Shape::Fingerprints) => {
            let items = read_list(scanner, field, shape)?;
            event.put_texts(field, items);
            Ok(())
        }
        _ => Err(Reject::wrong_type(field, kind_of_value(scanner)?)),
    }
}

fn read_list(scanner: &mut Scanner<'_>, field: FieldId, shape: Shape) -> Read<Vec<String>> {
    scanner.advance(1);
    scanner.skip_space();
    let mut items = Vec::new();
    if scanner.peek() == Some(b']') {
        scanner.advance(1);
        return Ok(items);
    }
    loop {
        let item = match scanner.peek() {
            Some(b'"') => scanner.string()?.into_owned(),
            Some(b'0'..=b'9' | b'-') if shape == Shape::Fingerprints => fingerprint(field, scanner.number()?)?,
            _ => return Err(wrong_item(field, kind_of_value(scanner)?)),
        };
        push_item(&mut items, field, item)?;
        if !scanner.another(b']', "`,` or `]`")? {
            return Ok(items);
        }
    }
}

fn push_item(items: &mut Vec<String>, field: FieldId, item: String) -> Read<()> {
    if items.len() == LIST_ITEMS_MAX {
        return Err(Reject::too_many_items(field));
    }
    items.push(item);
    Ok(())
}

#[cold]
fn wrong_item(field: FieldId, found: &str) -> Box<Reject> {
    Reject::wrong_type(field, &format!("a list with {found} in it"))
}

/// The kind of value here, for messages; a fault when there is none.
#[cold]
fn kind_of_value(scanner: &Scanner<'_>) -> Read<&'static str> {
    let mut ahead = scanner.clone();
    ahead.skip_value(1)?;
    Ok(match scanner.peek() {
        Some(b'"') => "text",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a truth value",
        Some(b'n') => "`null`",
        _ => "a number",
    })
}

/// Sets a field from a JSON text.
pub(crate) fn put_text<'a>(event: &mut UsageEvent<'a>, field: FieldId, shape: Shape, text: Cow<'a, str>) -> Read<()> {
    match (shape, text) {
        (_, Cow::Borrowed(text)) => put_plain(event, field, shape, text)?,
        (Shape::Text | Shape::Fingerprint, owned) => event.put_text(field, owned),
        (Shape::Country, owned) => event.put_text(field, Cow::Owned(country(field, &owned)?)),
        (_, owned) => put_parsed(event, field, shape, &owned)?,
    }
    Ok(())
}

/// Sets a field from a JSON text without escapes.
#[inline]
fn put_plain<'a>(event: &mut UsageEvent<'a>, field: FieldId, shape: Shape, text: &'a str) -> Read<()> {
    match shape {
        Shape::Text | Shape::Fingerprint => event.put_borrowed(field, text),
        Shape::Country => match *text.as_bytes() {
            [b'A'..=b'Z', b'A'..=b'Z'] => event.put_borrowed(field, text),
            _ => event.put_text(field, Cow::Owned(country(field, text)?)),
        },
        _ => put_parsed(event, field, shape, text)?,
    }
    Ok(())
}

/// Sets a field that does not keep its text.
fn put_parsed(event: &mut UsageEvent<'_>, field: FieldId, shape: Shape, text: &str) -> Read<()> {
    match shape {
        Shape::Time => match Timestamp::parse_rfc3339(text) {
            Some(ts) => event.put_number(field, ts.0),
            None => return Err(Reject::bad_value(field, text)),
        },
        Shape::Ip => match text.parse::<IpAddr>() {
            // An IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`) is the IPv4 address: one client, one value.
            Ok(ip) => event.put_ip(field, ip.to_canonical()),
            Err(_) => return Err(Reject::bad_value(field, text)),
        },
        _ => return Err(Reject::wrong_type(field, "text")),
    }
    Ok(())
}

fn country(field: FieldId, text: &str) -> Read<String> {
    match *text.as_bytes() {
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => Ok(text.to_ascii_uppercase()),
        _ => Err(Reject::bad_value(field, text)),
    }
}

/// Sets a field from a JSON number.
#[inline]
pub(crate) fn put_number(event: &mut UsageEvent<'_>, field: FieldId, shape: Shape, number: Number<'_>) -> Read<()> {
    let n = match shape {
        Shape::Whole if number.is_whole() => number.as_i64(),
        // Without point or exponent only: `5.0` may be a rounded 5.2.
        Shape::Whole => return Err(Reject::wrong_type(field, "a number with a point or an exponent")),
        Shape::Micros | Shape::Millis => number.scaled(6),
        Shape::Fingerprint => {
            event.put_text(field, Cow::Owned(fingerprint(field, number)?));
            return Ok(());
        }
        _ => return Err(Reject::wrong_type(field, "a number")),
    };
    match n {
        Some(n) => event.put_number(field, n),
        None => return Err(Reject::out_of_range(field, number.text)),
    }
    Ok(())
}

/// A number as a fingerprint: 16 hexadecimal digits.
fn fingerprint(field: FieldId, number: Number<'_>) -> Read<String> {
    match number.as_u64() {
        Some(n) => Ok(format!("{n:016x}")),
        None => Err(Reject::wrong_type(field, "a number below zero or with a fraction")),
    }
}

/// Sets a field from a value of a foreign record; `null` leaves it missing.
#[cfg_attr(not(feature = "feed"), expect(dead_code, reason = "foreign records are read by feed"))]
pub(crate) fn put_tree<'a>(event: &mut UsageEvent<'a>, field: FieldId, tree: Tree<'a>) -> Read<()> {
    let shape = Shape::of(field);
    match (tree, shape) {
        (Tree::Null, _) => {}
        (Tree::Text(text), _) => put_text(event, field, shape, text)?,
        (Tree::Number(number), _) => put_number(event, field, shape, number)?,
        (Tree::Bool(b), Shape::Bool) => event.put_bool(field, b),
        (Tree::List(list), Shape::Texts | Shape::Fingerprints) => {
            let mut items = Vec::new();
            for item in list {
                let item = match item {
                    Tree::Text(text) => text.into_owned(),
                    Tree::Number(number) if shape == Shape::Fingerprints => fingerprint(field, number)?,
                    other => return Err(wrong_item(field, other.kind())),
                };
                push_item(&mut items, field, item)?;
            }
            event.put_texts(field, items);
        }
        (other, _) => return Err(Reject::wrong_type(field, other.kind())),
    }
    Ok(())
}
