//! Reads the YAML of a mapping file; every mistake names its place and what is allowed there.

use serde_yaml::Value as Yaml;

use super::path::FieldPath;
use super::rule::{Cast, Condition, Constant, Hash, Items, Messages, Rule, TimeForm};
use super::{Mapping, MappingError, UNPACK_PATHS_MAX};
use crate::event::fields::{FIELDS, by_json, by_name};
use crate::event::json::Number;
use crate::value::Type;

pub(super) struct Parser<'o> {
    pub(super) origin: &'o str,
}

impl Parser<'_> {
    fn wrong<T>(&self, at: &str, what: impl Into<String>) -> Result<T, MappingError> {
        Err(MappingError::Shape { origin: self.origin.to_owned(), at: at.to_owned(), what: what.into() })
    }

    pub(super) fn mapping(&self, yaml: &Yaml) -> Result<Mapping, MappingError> {
        let allowed =
            ["name", "about", "detect", "ignore", "missing", "unpack", "only", "except", "envelope", "fields"];
        let mut mapping = Mapping::default();
        for (key, value) in self.entries("the file", yaml, &allowed)? {
            match key {
                "name" => mapping.name = self.text(key, value)?,
                "about" => drop(self.text(key, value)?),
                "detect" => mapping.detect = self.texts(key, value)?,
                "ignore" => mapping.ignore = self.texts(key, value)?,
                "missing" => mapping.missing = self.texts(key, value)?,
                "unpack" => mapping.unpack = self.paths(key, value)?,
                "only" => mapping.only = self.conditions(key, value)?,
                "except" => mapping.except = self.conditions(key, value)?,
                "envelope" => mapping.envelope = self.choice(key, value, &[("cloudevents", true)])?,
                _ => self.fields(value, &mut mapping)?,
            }
        }
        if mapping.name.is_empty() {
            return self.wrong("the file", "`name` is missing");
        }
        if mapping.unpack.len() > UNPACK_PATHS_MAX {
            return self.wrong("unpack", format!("there are more than {UNPACK_PATHS_MAX} paths"));
        }
        if mapping.envelope {
            let bare = mapping.fields.is_empty() && mapping.kind.paths.is_empty() && mapping.kind.value.is_none();
            let bare = bare && mapping.unpack.is_empty() && mapping.only.is_empty() && mapping.except.is_empty();
            return if bare {
                Ok(mapping)
            } else {
                self.wrong("envelope", "what is in the envelope is read by a mapping of its own: leave `envelope` out, any mapping reads records in their envelopes too")
            };
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
            if key == "id" {
                mapping.derive_id = self.derives(&at, value)?;
            }
            mapping.fields.push((field, self.rule(&at, value, ty)?));
        }
        Ok(())
    }

    /// Whether records without an id take one from their bytes.
    fn derives(&self, at: &str, yaml: &Yaml) -> Result<bool, MappingError> {
        match yaml.as_mapping().and_then(|entries| entries.get("derive")) {
            None => Ok(false),
            Some(Yaml::Bool(b)) => Ok(*b),
            Some(_) => self.wrong(&format!("{at}.derive"), "expected `true` or `false`"),
        }
    }

    fn conditions(&self, at: &str, yaml: &Yaml) -> Result<Vec<Condition>, MappingError> {
        let Some(items) = yaml.as_sequence() else {
            return self.wrong(
                at,
                "expected a list of paths, or of objects such as `{from: category, is: [RequestResponse]}`",
            );
        };
        let mut conditions = Vec::new();
        for item in items {
            let mut is = Vec::new();
            let mut paths = Vec::new();
            if item.is_mapping() {
                for (key, value) in self.entries(at, item, &["from", "is"])? {
                    match key {
                        "from" => paths = self.paths(&format!("{at}.from"), value)?,
                        _ => is = self.texts(&format!("{at}.is"), value)?,
                    }
                }
            } else {
                paths = self.paths(at, item)?;
            }
            if paths.is_empty() {
                return self.wrong(at, "expected `from`, the path of what is compared");
            }
            conditions.extend(paths.into_iter().map(|path| Condition { path, is: is.clone() }));
        }
        Ok(conditions)
    }

    fn rule(&self, at: &str, yaml: &Yaml, ty: Option<&Type>) -> Result<Rule, MappingError> {
        let mut rule = Rule::default();
        if !yaml.is_mapping() {
            rule.paths = self.paths(at, yaml)?;
            return Ok(rule);
        }
        let all =
            ["from", "value", "messages", "items", "until", "map", "default", "as", "hash", "time", "unit", "derive"];
        // Only `id` can be derived.
        let allowed = if at == "fields.id" { &all[..] } else { all.get(..11).unwrap_or_default() };
        for (key, value) in self.entries(at, yaml, allowed)? {
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
                "until" => rule.until = Some(self.text(&here, value)?),
                "map" => {
                    for (from, to) in self.any_entries(&here, value)? {
                        rule.map.insert(from.to_owned(), self.constant(&format!("{here}.{from}"), to)?);
                    }
                }
                "default" => rule.default = Some(self.constant(&here, value)?),
                "as" => {
                    let words =
                        [("number", Cast::Number), ("bool", Cast::Bool), ("text", Cast::Text), ("ip", Cast::Ip)];
                    rule.cast = Some(self.choice(&here, value, &words)?);
                }
                "hash" => match value {
                    Yaml::Bool(b) => rule.hash = b.then_some(Hash::Plain),
                    Yaml::String(word) if word == "keyed" => rule.hash = Some(Hash::Keyed),
                    _ => return self.wrong(&here, "expected `true`, `false` or `keyed`"),
                },
                "time" | "unit" => {
                    let wanted = if key == "time" { Type::Timestamp } else { Type::Duration };
                    if ty != Some(&wanted) {
                        return self.wrong(&here, format!("`{key}` is for fields that hold {wanted}"));
                    }
                    let all = [
                        ("seconds", TimeForm::Seconds),
                        ("millis", TimeForm::Millis),
                        ("micros", TimeForm::Micros),
                        ("nanos", TimeForm::Nanos),
                        ("rfc3339", TimeForm::Rfc3339),
                    ];
                    let words = if key == "time" { &all[..] } else { all.get(..4).unwrap_or_default() };
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
