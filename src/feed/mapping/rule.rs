//! What is done to get one field out of a record. Knows values, no YAML.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha256};

use super::path::FieldPath;
use crate::event::decode::{Read, Reject, kind_from, put_tree};
use crate::event::fields::{FIELDS, FieldId};
use crate::event::json::{Number, Tree};
use crate::event::{Kind, UsageEvent};
use crate::template::FingerprintKey;

/// What is done to get one field.
#[derive(Debug, Clone, Default)]
pub(super) struct Rule {
    pub(super) paths: Vec<FieldPath>,
    pub(super) value: Option<Constant>,
    pub(super) messages: Option<Messages>,
    pub(super) items: Option<Items>,
    /// A text ends before the first of this.
    pub(super) until: Option<String>,
    pub(super) map: BTreeMap<String, Constant>,
    pub(super) default: Option<Constant>,
    pub(super) cast: Option<Cast>,
    pub(super) hash: Option<Hash>,
    pub(super) time: Option<TimeForm>,
}

/// What a mapping says of all its fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common<'m> {
    /// Texts that say that there is nothing.
    pub(super) missing: &'m [String],
    /// The key of keyed hashes.
    pub(super) key: &'m FingerprintKey,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    Bool(bool),
    Number(String),
    Text(String),
}

#[derive(Debug, Clone)]
pub(super) struct Messages {
    pub(super) role: String,
    pub(super) all: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Items {
    First,
    Last,
    Count,
    Text,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Cast {
    Number,
    Bool,
    Text,
    Ip,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Hash {
    /// The first 16 bytes of SHA-256: whoever can guess the text can test it.
    Plain,
    /// 8 bytes under the fingerprint key: only who has the key can.
    Keyed,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum TimeForm {
    Rfc3339,
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl TimeForm {
    /// Decimal places from the unit to nanoseconds.
    fn places(self) -> u32 {
        match self {
            TimeForm::Seconds => 9,
            TimeForm::Millis => 6,
            TimeForm::Micros => 3,
            TimeForm::Nanos | TimeForm::Rfc3339 => 0,
        }
    }
}

/// Something that a record must (or must not) say to be a record of usage.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) path: FieldPath,
    /// One of these; any value where empty.
    pub(super) is: Vec<String>,
}

impl Condition {
    pub(super) fn holds(&self, record: &Tree<'_>, missing: &[String]) -> bool {
        let Some(found) = self.path.follow(record).filter(|found| !is_nothing(found, missing)) else { return false };
        self.is.is_empty() || word(found).is_some_and(|found| self.is.iter().any(|one| *one == found))
    }
}

impl Rule {
    pub(super) fn put<'a>(
        &'a self,
        record: &Tree<'a>,
        event: &mut UsageEvent<'a>,
        field: FieldId,
        common: Common<'_>,
    ) -> Read<()> {
        let Some(value) = self.value(record, common.missing) else { return Ok(()) };
        let value = match self.cast(value) {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(()),
            Err(found) => return Err(Reject::wrong_type(field, &found)),
        };
        let value = match self.hash {
            None => value,
            Some(hash) => hash.of(value, field, common.key),
        };
        let Some(form) = self.time else { return put_tree(event, field, value) };
        let number = match &value {
            Tree::Number(number) => Some(*number),
            Tree::Text(text) => Number::parse(text),
            _ => None,
        };
        match (form, number) {
            (TimeForm::Rfc3339, _) => put_tree(event, field, value),
            (_, Some(number)) => match number.scaled(form.places()) {
                Some(ns) => {
                    event.put_number(field, ns);
                    Ok(())
                }
                None => Err(Reject::bad_value(field, number.text)),
            },
            (_, None) => Err(Reject::wrong_type(field, &format!("{} where the mapping says a number", value.kind()))),
        }
    }

    pub(super) fn kind(&self, record: &Tree<'_>, missing: &[String]) -> Read<Option<Kind>> {
        match self.value(record, missing) {
            None => Ok(None),
            Some(Tree::Text(word)) => kind_from(&word).map(Some),
            Some(other) => Err(Reject::unknown_kind(other.kind())),
        }
    }

    /// What the record says, after `messages`, `items`, `map` and `default`.
    fn value<'a>(&'a self, record: &Tree<'a>, missing: &[String]) -> Option<Tree<'a>> {
        let found = match &self.value {
            Some(constant) => Some(constant.tree()),
            None => self.paths.iter().find_map(|path| self.select(path.follow(record)?, missing)),
        };
        let mapped = match (found, self.map.is_empty()) {
            (Some(found), false) => match word(&found).and_then(|word| self.map.get(word.as_ref())) {
                Some(constant) => Some(constant.tree()),
                None if self.default.is_some() => None,
                None => Some(found),
            },
            (found, _) => found,
        };
        mapped.or_else(|| self.default.as_ref().map(Constant::tree))
    }

    /// What is taken of the value at a path; `None` when that is nothing.
    fn select<'a>(&self, found: &Tree<'a>, missing: &[String]) -> Option<Tree<'a>> {
        let taken = match (&self.messages, self.items) {
            (Some(messages), _) => messages.text(found)?,
            (None, Some(items)) => items.of(found)?,
            (None, None) => found.clone(),
        };
        let taken = match (&self.until, taken) {
            (Some(end), Tree::Text(text)) => match text.split_once(end.as_str()) {
                Some((before, _)) => Tree::Text(Cow::Owned(before.to_owned())),
                None => Tree::Text(text),
            },
            (_, taken) => taken,
        };
        (!is_nothing(&taken, missing)).then_some(taken)
    }

    /// `None` where there is nothing to take; an error names what was found instead.
    fn cast<'a>(&self, value: Tree<'a>) -> Result<Option<Tree<'a>>, String> {
        let Some(cast) = self.cast else { return Ok(Some(value)) };
        let cast = match (cast, value) {
            (Cast::Number, Tree::Text(Cow::Borrowed(text))) => match Number::parse(text.trim()) {
                Some(number) => Tree::Number(number),
                None => return Err("text that is no number".to_owned()),
            },
            (Cast::Number, number @ Tree::Number(_)) => number,
            (Cast::Bool, b @ Tree::Bool(_)) => b,
            (Cast::Bool, value) => match word(&value).as_deref() {
                Some("true" | "1") => Tree::Bool(true),
                Some("false" | "0") => Tree::Bool(false),
                _ => return Err(format!("{} that is neither true nor false", value.kind())),
            },
            (Cast::Text, value) => match word(&value) {
                Some(text) => Tree::Text(Cow::Owned(text.into_owned())),
                None => return Err(value.kind().to_owned()),
            },
            (Cast::Ip, Tree::Text(text)) => return Ok(address(text.trim()).map(|ip| Tree::Text(Cow::Owned(ip)))),
            // Digits need no escapes: a text that had some is no number.
            (Cast::Number, other) => return Err(format!("{} that is no number", other.kind())),
            (Cast::Ip, other) => return Err(other.kind().to_owned()),
        };
        Ok(Some(cast))
    }

    /// " (from `a.b`)", for messages.
    pub(super) fn origin(&self) -> String {
        match self.paths.as_slice() {
            [] => String::new(),
            paths => {
                let paths: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
                format!(" (from {})", paths.join(", "))
            }
        }
    }
}

fn is_nothing(found: &Tree<'_>, missing: &[String]) -> bool {
    match found {
        Tree::Null => true,
        Tree::Text(text) => text.is_empty() || missing.iter().any(|word| word == text),
        _ => false,
    }
}

/// The address of a text with or without a port. What is none is missing: gateways mask addresses (`192.0.2.*`), and write
/// host names and the paths of sockets where there was none.
fn address(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    ip.ok().map(|ip| ip.to_string())
}

/// Scalars as the text by which a `map` finds them.
pub(super) fn word<'t>(tree: &'t Tree<'_>) -> Option<Cow<'t, str>> {
    match tree {
        Tree::Text(text) => Some(Cow::Borrowed(text)),
        // A count is a number that no record holds: it has no text of its own.
        Tree::Number(number) if number.text.is_empty() => number.as_u64().map(|n| Cow::Owned(n.to_string())),
        Tree::Number(number) => Some(Cow::Borrowed(number.text)),
        Tree::Bool(b) => Some(Cow::Borrowed(if *b { "true" } else { "false" })),
        _ => None,
    }
}

impl Hash {
    fn of<'a>(self, value: Tree<'a>, field: FieldId, key: &FingerprintKey) -> Tree<'a> {
        let hex = word(&value).map(|text| match self {
            Hash::Plain => digest(text.as_bytes()),
            Hash::Keyed => {
                let name = FIELDS.get(usize::from(field.0)).map_or("", |f| f.json);
                format!("{:016x}", key.seal(name, &text))
            }
        });
        hex.map_or(value, |hex| Tree::Text(Cow::Owned(hex)))
    }
}

/// The first 16 bytes of SHA-256, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

impl Constant {
    pub(super) fn word(&self) -> String {
        match self {
            Constant::Bool(b) => b.to_string(),
            Constant::Number(text) | Constant::Text(text) => text.clone(),
        }
    }

    fn tree(&self) -> Tree<'_> {
        match self {
            Constant::Bool(b) => Tree::Bool(*b),
            Constant::Number(text) => Number::parse(text).map_or(Tree::Null, Tree::Number),
            Constant::Text(text) => Tree::Text(Cow::Borrowed(text)),
        }
    }
}

impl Messages {
    /// The text of messages of the role; a value that is a text already is what the user said.
    fn text<'a>(&self, found: &Tree<'a>) -> Option<Tree<'a>> {
        let list = match found {
            Tree::List(list) => list,
            Tree::Text(_) if self.role == "user" => return Some(found.clone()),
            _ => return None,
        };
        let of_role = |message: &&Tree<'a>| matches!(message.get("role"), Some(Tree::Text(role)) if *role == self.role);
        let mut texts = list.iter().filter(of_role).filter_map(said);
        let text = if self.all {
            let all: Vec<String> = texts.map(Cow::into_owned).collect();
            (!all.is_empty()).then(|| Cow::Owned(all.join("\n")))?
        } else {
            texts.next_back()?
        };
        Some(Tree::Text(text))
    }
}

/// What a message says: its `content`, or its `parts`.
fn said<'a>(message: &Tree<'a>) -> Option<Cow<'a, str>> {
    message.get("content").and_then(content).or_else(|| message.get("parts").and_then(content))
}

/// The text of a part: of its key `text`, or `content` where it says that it is text.
fn part_text<'t>(part: &'t Tree<'_>) -> Option<&'t str> {
    let text = |key: &str| match part.get(key) {
        Some(Tree::Text(text)) => Some(text.as_ref()),
        _ => None,
    };
    text("text").or_else(|| text("content").filter(|_| text("type") == Some("text")))
}

/// The text of a message: itself, or its text parts with line breaks between.
fn content<'a>(content: &Tree<'a>) -> Option<Cow<'a, str>> {
    match content {
        Tree::Text(text) => Some(text.clone()),
        Tree::List(parts) => {
            let texts: Vec<&str> = parts
                .iter()
                .filter_map(|part| match part {
                    Tree::Text(text) => Some(text.as_ref()),
                    part => part_text(part),
                })
                .collect();
            (!texts.is_empty()).then(|| Cow::Owned(texts.join("\n")))
        }
        _ => None,
    }
}

impl Items {
    fn of<'a>(self, found: &Tree<'a>) -> Option<Tree<'a>> {
        match (self, found) {
            (Items::First, Tree::List(list)) => list.first().cloned(),
            (Items::Last, Tree::List(list)) => list.last().cloned(),
            (Items::First, Tree::Text(text)) => {
                let first = text.split(',').next().unwrap_or_default().trim();
                Some(Tree::Text(Cow::Owned(first.to_owned())))
            }
            (Items::Count, Tree::List(list)) => Some(count(list.len())),
            (Items::Count, Tree::Object(entries)) => Some(count(entries.len())),
            (Items::Count, Tree::Null) => None,
            (Items::Text, found) => content(found).map(Tree::Text),
            (_, other) => Some(other.clone()),
        }
    }
}

fn count<'a>(n: usize) -> Tree<'a> {
    Tree::Number(Number::from_count(n as u64))
}
