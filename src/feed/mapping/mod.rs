//! Turns records of other programs into usage events, as a mapping file in YAML says. Knows shapes, no provider: what is
//! particular to a gateway stands in `mappings/*.yaml`.
//!
//! A mapping file has the keys
//!
//! | key | what it says |
//! |---|---|
//! | `name`, `about` | what it is called, and what it reads |
//! | `detect` | keys that a record has, all of them, where the mapping is to be chosen without being named |
//! | `ignore` | keys (at any depth) whose values are not kept |
//! | `missing` | texts that say that there is nothing, such as `"-"`; `null` and the empty text always do |
//! | `unpack` | paths whose texts are JSON: they are read before the fields are, one after the other |
//! | `only` | records that meet none of these conditions are no records of usage: counted as `not_usage` |
//! | `except` | and those that meet one of these are none either |
//! | `envelope` | `cloudevents`, instead of `fields`: records are CloudEvents; what they carry is native, or of a shipped mapping |
//! | `fields` | how each field is found |
//!
//! A condition is a path (the record has something there) or `{from: path, is: [values]}`. Under `fields`, each field of the
//! event (by its JSON key) has a path, a list of paths, or an object of:
//!
//! | key | what it does |
//! |---|---|
//! | `from` | a path, or several: the first that is there, not `null` and not empty, counts |
//! | `value` | a constant |
//! | `messages` | `{role: user, which: last}`: the text of chat messages of a role; `last` or `all` of them |
//! | `items` | of a list: `first`, `last`, `count`, or `text`: its text parts; `first` of a text ends at a comma |
//! | `until` | a text ends before the first of this: `"?"` takes the query off a path |
//! | `map` | values by what was found; others stay as they are, unless there is a `default` |
//! | `default` | the value where nothing was found, or nothing that `map` knows |
//! | `as` | `number`, `bool`, `text` or `ip`: what the value is turned into; `ip` takes the port off, and what is no address (masked as `192.0.2.*`, a host name) is missing |
//! | `hash` | `true`: the first 16 bytes of SHA-256 in hexadecimal instead of the text; `keyed`: 8 bytes of a hash under the fingerprint key, which nobody can test without the key |
//! | `time` | `rfc3339`, `seconds`, `millis`, `micros`, `nanos`: how a point in time is written (seconds with decimals are exact) |
//! | `unit` | `seconds`, `millis`, `micros`, `nanos`: how a span of time is written |
//! | `derive` | of `id` alone: `true` gives a record without an id one made of its bytes (the first 16 bytes of SHA-256): the same bytes are one event |
//!
//! A path is keys with points between: `metadata.user_id`, `choices[0].message`, `choices[last]`; a key that has a point
//! in it stands in quotes: `attributes."gen_ai.system"`. `messages[role=user]` is the first element of a list that says so,
//! `messages[last role=user]` the last. (Within `[…]` and `{…}` YAML wants quotes around a path that has brackets or quotes
//! of its own.) Records are read as strictly as native ones; a text that `unpack` cannot read stays a text. A record that
//! comes as a CloudEvent is read by what it carries, whatever the mapping; `id` and `ts` then fall back on the envelope's.

mod parse;
mod path;
mod rule;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use serde_yaml::Value as Yaml;
use xxhash_rust::xxh3::xxh3_128;

use self::parse::Parser;
use self::path::FieldPath;
use self::rule::{Common, Condition, Constant, Hash, Rule, digest};
use super::cloudevents::{self, Envelope};
use crate::event::decode::{EVENT_BYTES_MAX, Read, Reject, finish, trim};
use crate::event::fields::{FIELD_COUNT, FieldId};
use crate::event::json::Tree;
use crate::event::{Kind, Slot, UsageEvent};
use crate::template::FingerprintKey;
use crate::value::Value;

/// The most paths that a mapping unpacks.
pub const UNPACK_PATHS_MAX: usize = 16;
/// How often a text that holds a text that holds JSON is opened.
const UNPACK_LAYERS_MAX: usize = 2;

/// The mappings that come with the program, by name.
const SHIPPED: [(&str, &str); 7] = [
    ("litellm", include_str!("../../../mappings/litellm.yaml")),
    ("bedrock", include_str!("../../../mappings/bedrock.yaml")),
    ("azure", include_str!("../../../mappings/azure.yaml")),
    ("envoy", include_str!("../../../mappings/envoy.yaml")),
    ("otel", include_str!("../../../mappings/otel.yaml")),
    ("cloudevents", include_str!("../../../mappings/cloudevents.yaml")),
    ("traffic", include_str!("../../../mappings/traffic.yaml")),
];

/// They are read once; a test reads all of them.
static READ: LazyLock<Vec<Mapping>> =
    LazyLock::new(|| SHIPPED.iter().filter_map(|(name, text)| Mapping::parse(text, name).ok()).collect());

/// The names of the mappings that come with the program.
pub fn shipped_mappings() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// Why a text is no mapping.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Missing {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not YAML.
    #[error("{origin} is not read as YAML: {error}")]
    Yaml {
        /// The file.
        origin: String,
        /// Where and why.
        error: String,
    },
    /// It is YAML, but not a mapping.
    #[error("{origin}: at `{at}`: {what}")]
    Shape {
        /// The file.
        origin: String,
        /// The keys that lead to the place, with points between.
        at: String,
        /// What is wrong and what to write instead.
        what: String,
    },
}

/// How records of another program become events.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    name: String,
    detect: Vec<String>,
    ignore: Vec<String>,
    missing: Vec<String>,
    unpack: Vec<FieldPath>,
    only: Vec<Condition>,
    except: Vec<Condition>,
    envelope: bool,
    derive_id: bool,
    key: FingerprintKey,
    kind: Rule,
    fields: Vec<(FieldId, Rule)>,
}

/// A mark in `header_flags`: a field that the caller writes was of a type or form that it cannot have, and stayed unknown.
pub const UNREADABLE_FIELD: &str = "unreadable-field";

/// Fields that callers write themselves. One of a wrong type is unknown and marked: refusing the record would hide the call, which
/// is what its caller may want.
const CALLERS_OWN: [FieldId; 22] = [
    FieldId::MODEL,
    FieldId::USER,
    FieldId::SESSION,
    FieldId::CONVERSATION,
    FieldId::USER_AGENT,
    FieldId::ACCEPT_LANGUAGE,
    FieldId::N,
    FieldId::TEMPERATURE,
    FieldId::TOP_P,
    FieldId::MAX_TOKENS,
    FieldId::LOGPROBS,
    FieldId::TOP_LOGPROBS,
    FieldId::LOGIT_BIAS_COUNT,
    FieldId::LOGIT_BIAS_HASH,
    FieldId::SEED,
    FieldId::RESPONSE_FORMAT,
    FieldId::TOOLS,
    FieldId::TOOLS_HASH,
    FieldId::STREAM,
    FieldId::BATCH,
    FieldId::PROMPT,
    FieldId::SYSTEM_PROMPT,
];

/// Marks an event of which so many fields could not be read, and counts them with its unknown keys.
fn mark(event: &mut UsageEvent<'_>, unreadable: u32) {
    let mut flags = match event.get(FieldId::HEADER_FLAGS) {
        Value::Texts(flags) => flags.to_vec(),
        _ => Vec::new(),
    };
    if !flags.iter().any(|flag| flag == UNREADABLE_FIELD) {
        flags.push(UNREADABLE_FIELD.to_owned());
    }
    event.set(FieldId::HEADER_FLAGS, Slot::Texts(flags));
    event.set_unknown_keys(event.unknown_keys().saturating_add(unreadable));
}

/// The bytes of a record, and what is known of it beside them.
#[derive(Clone, Copy)]
struct Source<'s> {
    bytes: &'s [u8],
    envelope: Option<&'s Envelope>,
}

impl Mapping {
    /// A mapping that comes with the program.
    pub fn shipped(name: &str) -> Option<Mapping> {
        Mapping::shipped_ref(name).cloned()
    }

    /// See [`Mapping::shipped`].
    pub(super) fn shipped_ref(name: &str) -> Option<&'static Mapping> {
        READ.iter().find(|mapping| mapping.name == name)
    }

    /// Reads a mapping file.
    pub fn open(path: &Path) -> Result<Mapping, MappingError> {
        let origin = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Mapping::parse(&text, &origin),
            Err(source) => Err(MappingError::Missing { path: origin, source }),
        }
    }

    /// Reads the text of a mapping file; `origin` stands in messages.
    pub fn parse(text: &str, origin: &str) -> Result<Mapping, MappingError> {
        let yaml: Yaml = serde_yaml::from_str(text)
            .map_err(|error| MappingError::Yaml { origin: origin.to_owned(), error: error.to_string() })?;
        Parser { origin }.mapping(&yaml)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it makes keyed hashes: without a key of one's own ([`Mapping::with_key`]) everybody can test them.
    pub fn needs_key(&self) -> bool {
        self.fields.iter().any(|(_, rule)| rule.hash == Some(Hash::Keyed))
    }

    /// The same with the key of its keyed hashes; without it they are made under the public one.
    #[must_use]
    pub fn with_key(mut self, key: FingerprintKey) -> Self {
        self.key = key;
        self
    }

    /// The fields that it can fill, `type` aside; all of them where what records carry decides.
    pub fn fields(&self) -> impl Iterator<Item = FieldId> {
        let all = if self.envelope { FIELD_COUNT } else { 0 };
        self.fields.iter().map(|(field, _)| *field).chain((0..all).map(|at| FieldId(at as u8)))
    }

    /// Of these, those that have one value in every event, with it as text.
    pub fn constants(&self) -> impl Iterator<Item = (FieldId, String)> {
        self.fields.iter().filter_map(|(field, rule)| {
            let text = rule
                .value
                .as_ref()
                .filter(|_| rule.map.is_empty() && rule.hash.is_none() && rule.time.is_none())?
                .word();
            (!text.is_empty()).then_some((*field, text))
        })
    }

    /// The kinds of its events; `None` where records say them in words of their own.
    pub fn kinds(&self) -> Option<Vec<Kind>> {
        let rule = &self.kind;
        let words = match (&rule.value, &rule.default) {
            (Some(value), _) if rule.map.is_empty() => vec![value.word()],
            // What is not in the map takes the default; without one it stays as it is, which may be any kind.
            (None, Some(default)) if !rule.map.is_empty() => {
                rule.map.values().chain([default]).map(Constant::word).collect()
            }
            _ => return None,
        };
        let kinds: BTreeSet<Kind> = words.iter().filter_map(|word| Kind::from_word(word)).collect();
        Some(kinds.into_iter().collect())
    }

    /// Turns one record into an event. Empty texts count as missing: gateways write them where they know nothing.
    pub fn decode<'a>(&'a self, line: &'a [u8]) -> Result<UsageEvent<'a>, Reject> {
        match self.opened(line) {
            Ok(event) => Ok(event),
            Err(reject) => Err(*reject),
        }
    }

    fn opened<'a>(&'a self, line: &'a [u8]) -> Read<UsageEvent<'a>> {
        let envelope = if cloudevents::may_be(line) { Envelope::open(line)? } else { None };
        match (&envelope, self.envelope) {
            (Some(envelope), true) => cloudevents::decode(envelope),
            (None, true) => Err(cloudevents::none()),
            (Some(envelope), false) => {
                let source = Source { bytes: envelope.data.as_bytes(), envelope: Some(envelope) };
                self.read(source).map(UsageEvent::into_owned)
            }
            (None, false) => self.read(Source { bytes: line, envelope: None }),
        }
    }

    /// Reads what an envelope carries.
    pub(super) fn carried(&self, envelope: &Envelope) -> Read<UsageEvent<'static>> {
        self.read(Source { bytes: envelope.data.as_bytes(), envelope: Some(envelope) }).map(UsageEvent::into_owned)
    }

    fn read<'a>(&'a self, source: Source<'a>) -> Read<UsageEvent<'a>> {
        let record = read_object(source.bytes, &|key| self.ignore.iter().any(|ignored| ignored == key))?;
        if self.unpack.is_empty() {
            return self.event(&record, source);
        }
        // Texts that are unpacked do not outlive this: neither may what is borrowed from them.
        let mut event = None;
        unpacked(record, &self.unpack, &mut |record| {
            event = Some(self.event(record, source)?.into_owned());
            Ok(())
        })?;
        event.ok_or_else(Reject::not_an_object)
    }

    fn event<'a>(&'a self, record: &Tree<'a>, source: Source<'a>) -> Read<UsageEvent<'a>> {
        let holds = |condition: &Condition| condition.holds(record, &self.missing);
        if (!self.only.is_empty() && !self.only.iter().any(holds)) || self.except.iter().any(holds) {
            return Err(Reject::not_usage());
        }
        let mut event = UsageEvent::blank();
        let common = Common { missing: &self.missing, key: &self.key };
        let mut unreadable = 0;
        for (field, rule) in &self.fields {
            match rule.put(record, &mut event, *field, common) {
                Ok(()) => {}
                Err(_) if CALLERS_OWN.contains(field) => unreadable += 1,
                Err(mut reject) => {
                    reject.detail.push_str(&rule.origin());
                    return Err(reject);
                }
            }
        }
        if unreadable > 0 {
            mark(&mut event, unreadable);
        }
        let kind = self.kind.kind(record, &self.missing).map_err(|mut reject| {
            reject.detail.push_str(&self.kind.origin());
            reject
        })?;
        let bytes = trim(source.bytes);
        if let Some(envelope) = source.envelope {
            envelope.complete(&mut event)?;
        }
        if self.derive_id && !event.has(FieldId::ID) {
            event.set(FieldId::ID, Slot::Text(digest(bytes).into()));
        }
        finish(&mut event, kind)?;
        event.set_content(xxh3_128(bytes));
        Ok(event)
    }
}

/// Calls `then` with the record in which the texts at the paths are what they hold.
fn unpacked(record: Tree<'_>, paths: &[FieldPath], then: &mut dyn FnMut(&Tree<'_>) -> Read<()>) -> Read<()> {
    let Some((path, rest)) = paths.split_first() else { return then(&record) };
    let Some(text) = packed(&record, path) else { return unpacked(record, rest, then) };
    let mut record = record;
    // What a customer wrote as no JSON stays a text: refusing the record would hide the call.
    if let (Ok(tree @ (Tree::Object(_) | Tree::List(_))), Some(place)) =
        (Tree::parse(&text, &|_| false), path.follow_mut(&mut record))
    {
        *place = tree;
    }
    unpacked(record, rest, then)
}

/// The JSON text at a path, out of the texts it is wrapped in.
fn packed(record: &Tree<'_>, path: &FieldPath) -> Option<String> {
    let Some(Tree::Text(text)) = path.follow(record) else { return None };
    let mut text = text.clone().into_owned();
    for _ in 1..UNPACK_LAYERS_MAX {
        match Tree::parse(&text, &|_| false) {
            Ok(Tree::Text(inner)) => text = inner.into_owned(),
            _ => break,
        }
    }
    Some(text)
}

/// The name of the shipped mapping that fits a record, by the keys it has; `None` for native records and unknown ones.
pub fn detect(record: &[u8]) -> Option<&'static str> {
    let record = read_object(record, &|_| false).ok()?;
    if ["id", "ts", "type"].iter().all(|key| record.get(key).is_some()) {
        return None;
    }
    let fits =
        |mapping: &&Mapping| !mapping.detect.is_empty() && mapping.detect.iter().all(|key| record.get(key).is_some());
    let found = READ.iter().find(fits)?;
    shipped_mappings().find(|name| *name == found.name)
}

fn read_object<'a>(line: &'a [u8], skip: &dyn Fn(&str) -> bool) -> Read<Tree<'a>> {
    let line = trim(line);
    if line.len() > EVENT_BYTES_MAX {
        return Err(Reject::too_long());
    }
    let text = std::str::from_utf8(line).map_err(|e| Reject::invalid_utf8(e.valid_up_to()))?;
    match Tree::parse(text, skip)? {
        object @ Tree::Object(_) => Ok(object),
        _ => Err(Reject::not_an_object()),
    }
}
