//! The projection of an event for the journal: what the rules read of it, and nothing they did not.
//!
//! Bytes: version 3, kind, then varints and length-prefixed texts: time (zigzag), id, content hash (16 bytes), number of
//! fields, per field its number, a tag and the value; number of texts that are kept back, per text its field and its length in
//! characters; number of wordings whose fingerprints were made of such a text, per wording its field, its words in a shingle,
//! how many fingerprints, each as text; number of true text tests, their canonical numbers; the commitment to the whole event
//! (32 bytes).

use super::Evaluator;
use super::commitment::{Salt, commit_in};
use super::route::Router;
use crate::event::fields::Privacy;
use crate::event::{FIELDS, FieldId, UsageEvent};
use crate::plan::RuleSet;
use crate::plan::node::Node;
use crate::template::to_text;
use crate::value::Value;

/// Version of the form.
pub(crate) const PROJECTION_VERSION: u8 = 3;

impl Evaluator {
    /// Appends the projection of an event to `out`: the fields that the rules read and which text tests held. Content
    /// fields (prompt text) are never part of it; template fingerprints of the prompt are, where a rule asks for them. Call
    /// it directly after [`Evaluator::observe`] of the same event, whose evaluation it reports. What is left out is covered
    /// by the commitment under `salt`.
    pub fn project(&self, event: &UsageEvent<'_>, salt: &Salt, out: &mut Vec<u8>) {
        let generation = self.generation(event.ts().0);
        project(self.rules_of(generation), self.router_at(generation), event, salt, out);
    }
}

/// Appends the projection of the event that was routed last.
pub(super) fn project(rules: &RuleSet, router: &Router, event: &UsageEvent<'_>, salt: &Salt, out: &mut Vec<u8>) {
    out.push(PROJECTION_VERSION);
    out.push(event.kind() as u8);
    varint(out, zigzag(event.ts().0));
    text(out, event.id());
    out.extend(event.content().to_be_bytes());
    let count_at = out.len();
    out.push(0);
    let mut count = 0u8;
    let mut kept_back: smallvec::SmallVec<[(u8, u64); 4]> = smallvec::SmallVec::new();
    for field in &rules.fields_read {
        match event.get(*field) {
            Value::Unknown => {}
            Value::Text(said) if is_content(*field) => kept_back.push((field.0, said.chars().count() as u64)),
            known => {
                count += 1;
                out.push(field.0);
                value(out, &known);
            }
        }
    }
    if let Some(place) = out.get_mut(count_at) {
        *place = count;
    }
    varint(out, kept_back.len() as u64);
    for (field, chars) in kept_back {
        out.push(field);
        varint(out, chars);
    }
    let made = (0u16..).zip(&rules.wordings).filter_map(|(number, wording)| {
        let made = router.wordings.made(&rules.wordings, number, &rules.fingerprinter, event)?;
        Some((wording, made))
    });
    let made: smallvec::SmallVec<[_; 2]> = made.collect();
    varint(out, made.len() as u64);
    for (wording, all) in made {
        out.extend([wording.field.0, wording.strictness.words() as u8]);
        varint(out, all.len() as u64);
        all.iter().for_each(|f| text(out, &to_text(*f)));
    }
    let is_text = |id: &crate::plan::node::NodeId| matches!(rules.nodes.get(*id), Some(Node::Text { .. }));
    let mut tests: smallvec::SmallVec<[u32; 16]> = router.memo.found_true().filter(is_text).map(|id| id.0).collect();
    tests.sort_unstable();
    varint(out, tests.len() as u64);
    tests.iter().for_each(|t| varint(out, u64::from(*t)));
    let commitment = commit_in(out, &salt.of(event), event);
    out.extend(commitment);
}

/// Whether a field holds what was said.
pub(super) fn is_content(field: FieldId) -> bool {
    FIELDS.get(usize::from(field.0)).is_some_and(|f| f.privacy == Privacy::Content)
}

/// A tag for the kind of value, and the value.
pub(super) fn value(out: &mut Vec<u8>, v: &Value<'_>) {
    match v {
        Value::Unknown | Value::Net(_) => out.push(0),
        Value::Bool(b) => out.extend([1, u8::from(*b)]),
        Value::Num(n) => {
            out.push(2);
            varint(out, zigzag(*n));
        }
        Value::Text(t) => {
            out.push(3);
            text(out, t);
        }
        Value::Ip(std::net::IpAddr::V4(ip)) => {
            out.push(4);
            out.extend(ip.octets());
        }
        Value::Ip(std::net::IpAddr::V6(ip)) => {
            out.push(5);
            out.extend(ip.octets());
        }
        Value::Texts(items) => {
            out.push(6);
            varint(out, items.len() as u64);
            items.iter().for_each(|t| text(out, t));
        }
    }
}

pub(super) fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

pub(super) fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(super) fn text(out: &mut Vec<u8>, t: &str) {
    varint(out, t.len() as u64);
    out.extend(t.as_bytes());
}
