//! Turns records of other programs into usage events, as a mapping file in YAML says. Knows shapes, no provider: what is
//! particular to a gateway stands in `mappings/*.yaml`.
//!
//! A mapping file has the keys `name`, `about`, `detect`, `ignore` and `fields`. Under `fields`, each field of the event
//! (by its JSON key) has a path, a list of paths, or an object of:
//!
//! | key | what it does |
//! |---|---|
//! | `from` | a path, or several: the first that is there, not `null` and not empty, counts |
//! | `value` | a constant |
//! | `messages` | `{role: user, which: last}`: the text of chat messages of a role; `last` or `all` of them |
//! | `items` | of a list: `first`, `last`, `count`, or `text`: its text parts; `first` of a text ends at a comma |
//! | `map` | values by what was found; others stay as they are, unless there is a `default` |
//! | `default` | the value where nothing was found, or nothing that `map` knows |
//! | `as` | `number`, `bool` or `text`: what the value is turned into |
//! | `hash` | `true`: the first 16 bytes of SHA-256 in hexadecimal instead of the text |
//! | `time` | `rfc3339`, `seconds`, `millis`, `nanos`: how a point in time is written (seconds with decimals are exact) |
//! | `unit` | `seconds`, `millis`, `nanos`: how a span of time is written |
//!
//! A path is keys with points between: `metadata.user_id`, `choices[0].message`, `choices[last]`; a key that has a point
//! in it stands in quotes: `attributes."gen_ai.system"`. (Within `[…]` and `{…}` YAML wants quotes around a path that has
//! brackets or quotes of its own.) Records are read as strictly as native ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde_yaml::Value as Yaml;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_128;

use crate::event::decode::{EVENT_BYTES_MAX, Read, Reject, finish, kind_from, put_tree, trim};
use crate::event::fields::{FIELDS, FieldId, by_json, by_name};
use crate::event::json::{Number, Tree};
use crate::event::{Kind, UsageEvent};
use crate::value::Type;

/// The mappings that come with the program, by name.
const SHIPPED: [(&str, &str); 2] = [
    ("litellm", include_str!("../../mappings/litellm.yaml")),
    ("traffic", include_str!("../../mappings/traffic.yaml")),
];

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
#[derive(Debug, Clone)]
pub struct Mapping {
    name: String,
    detect: Vec<String>,
    ignore: Vec<String>,
    kind: Rule,
    fields: Vec<(FieldId, Rule)>,
}

/// What is done to get one field.
#[derive(Debug, Clone, Default)]
struct Rule {
    paths: Vec<FieldPath>,
    value: Option<Constant>,
    messages: Option<Messages>,
    items: Option<Items>,
    map: BTreeMap<String, Constant>,
    default: Option<Constant>,
    cast: Option<Cast>,
    hash: bool,
    time: Option<TimeForm>,
}

#[derive(Debug, Clone, PartialEq)]
enum Constant {
    Bool(bool),
    Number(String),
    Text(String),
}

#[derive(Debug, Clone)]
struct Messages {
    role: String,
    all: bool,
}

#[derive(Debug, Clone, Copy)]
enum Items {
    First,
    Last,
    Count,
    Text,
}

#[derive(Debug, Clone, Copy)]
enum Cast {
    Number,
    Bool,
    Text,
}

#[derive(Debug, Clone, Copy)]
enum TimeForm {
    Rfc3339,
    Seconds,
    Millis,
    Nanos,
}

impl TimeForm {
    /// Decimal places from the unit to nanoseconds.
    fn places(self) -> u32 {
        match self {
            TimeForm::Seconds => 9,
            TimeForm::Millis => 6,
            TimeForm::Nanos | TimeForm::Rfc3339 => 0,
        }
    }
}

/// Keys and indexes that lead into a record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    Last,
}

impl Mapping {
    /// A mapping that comes with the program.
    pub fn shipped(name: &str) -> Option<Mapping> {
        let (_, text) = SHIPPED.iter().find(|(shipped, _)| *shipped == name)?;
        // A test parses all of them.
        Mapping::parse(text, name).ok()
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

    /// The fields that it can fill, `type` aside.
    pub fn fields(&self) -> impl Iterator<Item = FieldId> {
        self.fields.iter().map(|(field, _)| *field)
    }

    /// Of these, those that have one value in every event, with it as text.
    pub fn constants(&self) -> impl Iterator<Item = (FieldId, String)> {
        self.fields.iter().filter_map(|(field, rule)| {
            let text = rule.value.as_ref().filter(|_| rule.map.is_empty() && !rule.hash && rule.time.is_none())?.word();
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
        let mut event = UsageEvent::blank();
        match self.fill(line, &mut event) {
            Ok(()) => Ok(event),
            Err(reject) => Err(*reject),
        }
    }

    fn fill<'a>(&'a self, line: &'a [u8], event: &mut UsageEvent<'a>) -> Read<()> {
        let record = read_object(line, &|key| self.ignore.iter().any(|ignored| ignored == key))?;
        for (field, rule) in &self.fields {
            rule.put(&record, event, *field).map_err(|mut reject| {
                reject.detail.push_str(&rule.origin());
                reject
            })?;
        }
        let kind = self.kind.kind(&record).map_err(|mut reject| {
            reject.detail.push_str(&self.kind.origin());
            reject
        })?;
        finish(event, kind)?;
        event.set_content(xxh3_128(trim(line)));
        Ok(())
    }
}

/// The name of the shipped mapping that fits a record, by the keys it has; `None` for native records and unknown ones.
pub fn detect(record: &[u8]) -> Option<&'static str> {
    let record = read_object(record, &|_| false).ok()?;
    if ["id", "ts", "type"].iter().all(|key| record.get(key).is_some()) {
        return None;
    }
    shipped_mappings().find(|name| {
        Mapping::shipped(name).is_some_and(|mapping| {
            !mapping.detect.is_empty() && mapping.detect.iter().all(|key| record.get(key).is_some())
        })
    })
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

impl Rule {
    fn put<'a>(&'a self, record: &Tree<'a>, event: &mut UsageEvent<'a>, field: FieldId) -> Read<()> {
        let Some(value) = self.value(record) else { return Ok(()) };
        let value = self.cast(value).map_err(|found| Reject::wrong_type(field, &found))?;
        let value = if self.hash { hashed(value) } else { value };
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

    fn kind(&self, record: &Tree<'_>) -> Read<Option<Kind>> {
        match self.value(record) {
            None => Ok(None),
            Some(Tree::Text(word)) => kind_from(&word).map(Some),
            Some(other) => Err(Reject::unknown_kind(other.kind())),
        }
    }

    /// What the record says, after `messages`, `items`, `map` and `default`.
    fn value<'a>(&'a self, record: &Tree<'a>) -> Option<Tree<'a>> {
        let found = match &self.value {
            Some(constant) => Some(constant.tree()),
            None => self.paths.iter().find_map(|path| self.select(path.follow(record)?)),
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
    fn select<'a>(&self, found: &Tree<'a>) -> Option<Tree<'a>> {
        let taken = match (&self.messages, self.items) {
            (Some(messages), _) => messages.text(found)?,
            (None, Some(items)) => items.of(found)?,
            (None, None) => found.clone(),
        };
        let nothing = match &taken {
            Tree::Null => true,
            Tree::Text(text) => text.is_empty(),
            _ => false,
        };
        (!nothing).then_some(taken)
    }

    /// An error names what was found instead.
    fn cast<'a>(&self, value: Tree<'a>) -> Result<Tree<'a>, String> {
        let Some(cast) = self.cast else { return Ok(value) };
        match (cast, value) {
            (Cast::Number, Tree::Text(Cow::Borrowed(text))) => match Number::parse(text.trim()) {
                Some(number) => Ok(Tree::Number(number)),
                None => Err("text that is no number".to_owned()),
            },
            (Cast::Number, number @ Tree::Number(_)) => Ok(number),
            (Cast::Bool, b @ Tree::Bool(_)) => Ok(b),
            (Cast::Bool, value) => match word(&value).as_deref() {
                Some("true" | "1") => Ok(Tree::Bool(true)),
                Some("false" | "0") => Ok(Tree::Bool(false)),
                _ => Err(format!("{} that is neither true nor false", value.kind())),
            },
            (Cast::Text, value) => match word(&value) {
                Some(text) => Ok(Tree::Text(Cow::Owned(text.into_owned()))),
                None => Err(value.kind().to_owned()),
            },
            // Digits need no escapes: a text that had some is no number.
            (Cast::Number, other) => Err(format!("{} that is no number", other.kind())),
        }
    }

    /// " (from `a.b`)", for messages.
    fn origin(&self) -> String {
        match self.paths.as_slice() {
            [] => String::new(),
            paths => {
                let paths: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
                format!(" (from {})", paths.join(", "))
            }
        }
    }
}

/// Scalars as the text by which a `map` finds them.
fn word<'t>(tree: &'t Tree<'_>) -> Option<Cow<'t, str>> {
    match tree {
        Tree::Text(text) => Some(Cow::Borrowed(text)),
        Tree::Number(number) => Some(Cow::Borrowed(number.text)),
        Tree::Bool(b) => Some(Cow::Borrowed(if *b { "true" } else { "false" })),
        _ => None,
    }
}

fn hashed(value: Tree<'_>) -> Tree<'_> {
    let hex = word(&value).map(|text| {
        let digest = Sha256::digest(text.as_bytes());
        digest.iter().take(16).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    });
    hex.map_or(value, |hex| Tree::Text(Cow::Owned(hex)))
}

impl Constant {
    fn word(&self) -> String {
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
        let mut texts = list.iter().filter(of_role).filter_map(|message| content(message.get("content")?));
        let text = if self.all {
            let all: Vec<String> = texts.map(Cow::into_owned).collect();
            (!all.is_empty()).then(|| Cow::Owned(all.join("\n")))?
        } else {
            texts.next_back()?
        };
        Some(Tree::Text(text))
    }
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
                    part => match part.get("text") {
                        Some(Tree::Text(text)) => Some(text.as_ref()),
                        _ => None,
                    },
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

impl FieldPath {
    fn follow<'t, 'a>(&self, record: &'t Tree<'a>) -> Option<&'t Tree<'a>> {
        self.steps.iter().try_fold(record, |tree, step| match (step, tree) {
            (Step::Key(key), tree) => tree.get(key),
            (Step::Index(at), Tree::List(list)) => list.get(*at),
            (Step::Last, Tree::List(list)) => list.last(),
            _ => None,
        })
    }

    fn parse(text: &str) -> Option<FieldPath> {
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let key;
            (key, rest) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
            };
            if key.is_empty() {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            while let Some(inside) = rest.strip_prefix('[') {
                let index;
                (index, rest) = inside.split_once(']')?;
                steps.push(if index == "last" { Step::Last } else { Step::Index(index.parse().ok()?) });
            }
            if rest.is_empty() {
                return Some(FieldPath { steps });
            }
            rest = rest.strip_prefix('.')?;
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Key(key) if key.contains(['.', '[']) => write!(f, "{}\"{key}\"", if at > 0 { "." } else { "" })?,
                Step::Key(key) => write!(f, "{}{key}", if at > 0 { "." } else { "" })?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Last => f.write_str("[last]")?,
            }
        }
        Ok(())
    }
}

/// Reads the YAML of a mapping file; every mistake names its place and what is allowed there.
struct Parser<'o> {
    origin: &'o str,
}

impl Parser<'_> {
    fn wrong<T>(&self, at: &str, what: impl Into<String>) -> Result<T, MappingError> {
        Err(MappingError::Shape { origin: self.origin.to_owned(), at: at.to_owned(), what: what.into() })
    }

    fn mapping(&self, yaml: &Yaml) -> Result<Mapping, MappingError> {
        let allowed = ["name", "about", "detect", "ignore", "fields"];
        let mut mapping = Mapping {
            name: String::new(),
            detect: Vec::new(),
            ignore: Vec::new(),
            kind: Rule::default(),
            fields: Vec::new(),
        };
        for (key, value) in self.entries("the file", yaml, &allowed)? {
            match key {
                "name" => mapping.name = self.text(key, value)?,
                "about" => drop(self.text(key, value)?),
                "detect" => mapping.detect = self.texts(key, value)?,
                "ignore" => mapping.ignore = self.texts(key, value)?,
                _ => self.fields(value, &mut mapping)?,
            }
        }
        if mapping.name.is_empty() {
            return self.wrong("the file", "`name` is missing");
        }
        for key in ["id", "ts"] {
            if !mapping.fields.iter().any(|(field, _)| Some(*field) == by_json(key)) {
                return self.wrong("fields", format!("`{key}` is missing: every event has one"));
            }
        }
        if mapping.kind.paths.is_empty() && mapping.kind.value.is_none() {
            return self
                .wrong("fields", "`type` is missing: write `type: {value: completion}` if all records are calls");
        }
        Ok(mapping)
    }

    fn fields(&self, yaml: &Yaml, mapping: &mut Mapping) -> Result<(), MappingError> {
        for (key, value) in self.any_entries("fields", yaml)? {
            let at = format!("fields.{key}");
            if key == "type" {
                mapping.kind = self.rule(&at, value, None)?;
                continue;
            }
            let Some(field) = by_json(key).or_else(|| by_name(key)) else {
                let known: Vec<&str> = FIELDS.iter().map(|f| f.json).collect();
                return self.wrong(&at, format!("there is no such field; the fields are type, {}", known.join(", ")));
            };
            if mapping.fields.iter().any(|(other, _)| *other == field) {
                return self.wrong(&at, "the field is mapped already");
            }
            let ty = FIELDS.get(usize::from(field.0)).map(|f| &f.ty);
            mapping.fields.push((field, self.rule(&at, value, ty)?));
        }
        Ok(())
    }

    fn rule(&self, at: &str, yaml: &Yaml, ty: Option<&Type>) -> Result<Rule, MappingError> {
        let mut rule = Rule::default();
        if !yaml.is_mapping() {
            rule.paths = self.paths(at, yaml)?;
            return Ok(rule);
        }
        let allowed = ["from", "value", "messages", "items", "map", "default", "as", "hash", "time", "unit"];
        for (key, value) in self.entries(at, yaml, &allowed)? {
            let here = format!("{at}.{key}");
            match key {
                "from" => rule.paths = self.paths(&here, value)?,
                "value" => rule.value = Some(self.constant(&here, value)?),
                "messages" => rule.messages = Some(self.messages(&here, value)?),
                "items" => {
                    let words = [
                        ("first", Items::First),
                        ("last", Items::Last),
                        ("count", Items::Count),
                        ("text", Items::Text),
                    ];
                    rule.items = Some(self.choice(&here, value, &words)?);
                }
                "map" => {
                    for (from, to) in self.any_entries(&here, value)? {
                        rule.map.insert(from.to_owned(), self.constant(&format!("{here}.{from}"), to)?);
                    }
                }
                "default" => rule.default = Some(self.constant(&here, value)?),
                "as" => {
                    let words = [("number", Cast::Number), ("bool", Cast::Bool), ("text", Cast::Text)];
                    rule.cast = Some(self.choice(&here, value, &words)?);
                }
                "hash" => match value {
                    Yaml::Bool(b) => rule.hash = *b,
                    _ => return self.wrong(&here, "expected `true` or `false`"),
                },
                "time" | "unit" => {
                    let wanted = if key == "time" { Type::Timestamp } else { Type::Duration };
                    if ty != Some(&wanted) {
                        return self.wrong(&here, format!("`{key}` is for fields that hold {wanted}"));
                    }
                    let all = [
                        ("seconds", TimeForm::Seconds),
                        ("millis", TimeForm::Millis),
                        ("nanos", TimeForm::Nanos),
                        ("rfc3339", TimeForm::Rfc3339),
                    ];
                    let words = if key == "time" { &all[..] } else { all.get(..3).unwrap_or_default() };
                    rule.time = Some(self.choice(&here, value, words)?);
                }
                _ => {}
            }
        }
        if rule.paths.is_empty() == rule.value.is_none() {
            return self.wrong(at, "expected either `from` (a path into the record) or `value` (a constant)");
        }
        Ok(rule)
    }

    fn messages(&self, at: &str, yaml: &Yaml) -> Result<Messages, MappingError> {
        let mut messages = Messages { role: "user".to_owned(), all: false };
        for (key, value) in self.entries(at, yaml, &["role", "which"])? {
            let here = format!("{at}.{key}");
            match key {
                "role" => messages.role = self.text(&here, value)?,
                _ => messages.all = self.choice(&here, value, &[("last", false), ("all", true)])?,
            }
        }
        Ok(messages)
    }

    fn paths(&self, at: &str, yaml: &Yaml) -> Result<Vec<FieldPath>, MappingError> {
        let texts = match yaml {
            Yaml::Sequence(_) => self.texts(at, yaml)?,
            _ => vec![self.text(at, yaml)?],
        };
        let paths = texts.iter().map(|text| match FieldPath::parse(text) {
            Some(path) => Ok(path),
            None => self
                .wrong(at, format!("`{text}` is no path: write keys with points, as in `choices[0].message.content`")),
        });
        paths.collect()
    }

    fn constant(&self, at: &str, yaml: &Yaml) -> Result<Constant, MappingError> {
        match yaml {
            Yaml::Bool(b) => Ok(Constant::Bool(*b)),
            Yaml::String(text) => Ok(Constant::Text(text.clone())),
            Yaml::Number(number) if Number::parse(&number.to_string()).is_some() => {
                Ok(Constant::Number(number.to_string()))
            }
            _ => self.wrong(at, "expected a text, a number, `true` or `false`"),
        }
    }

    fn choice<T: Copy>(&self, at: &str, yaml: &Yaml, words: &[(&str, T)]) -> Result<T, MappingError> {
        let found = yaml.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        match found {
            Some((_, chosen)) => Ok(*chosen),
            None => {
                let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                self.wrong(at, format!("expected one of {}", words.join(", ")))
            }
        }
    }

    fn text(&self, at: &str, yaml: &Yaml) -> Result<String, MappingError> {
        match yaml.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => self.wrong(at, "expected a text"),
        }
    }

    fn texts(&self, at: &str, yaml: &Yaml) -> Result<Vec<String>, MappingError> {
        match yaml.as_sequence() {
            Some(items) => items.iter().map(|item| self.text(at, item)).collect(),
            None => self.wrong(at, "expected a list of texts"),
        }
    }

    fn any_entries<'y>(&self, at: &str, yaml: &'y Yaml) -> Result<Vec<(&'y str, &'y Yaml)>, MappingError> {
        let Some(entries) = yaml.as_mapping() else { return self.wrong(at, "expected keys with values") };
        let entries = entries.iter().map(|(key, value)| match key.as_str() {
            Some(key) => Ok((key, value)),
            None => self.wrong(at, "keys are texts: put quotes around numbers and `true`"),
        });
        entries.collect()
    }

    fn entries<'y>(
        &self,
        at: &str,
        yaml: &'y Yaml,
        allowed: &[&str],
    ) -> Result<Vec<(&'y str, &'y Yaml)>, MappingError> {
        let entries = self.any_entries(at, yaml)?;
        match entries.iter().find(|(key, _)| !allowed.contains(key)) {
            None => Ok(entries),
            Some((key, _)) => self.wrong(at, format!("unknown key `{key}`; allowed are {}", allowed.join(", "))),
        }
    }
}
