//! CloudEvents 1.0 in structured JSON: what the envelope says, and the record that it carries. Knows the envelope alone.
//!
//! What is carried is an object (`data`), a text that holds one (`data` of another content type, or double-encoded), or
//! base64 of one (`data_base64`). `id` and `source` together name the event, `time` says when: both count where the record
//! itself has none.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::mapping::{Mapping, detect};
use super::slices::members;
use crate::event::decode::{Decoder, EVENT_BYTES_MAX, Read, Reject, RejectReason, shape, trim};
use crate::event::fields::FieldId;
use crate::event::json::Tree;
use crate::event::{Slot, UsageEvent};
use crate::time::Timestamp;

/// An envelope, opened.
#[derive(Debug)]
pub(super) struct Envelope {
    /// `source` and `id`, which together are unique.
    id: String,
    time: Option<String>,
    /// What it carries, as JSON.
    pub(super) data: String,
}

/// Whether a record may be one: the key must be spelt so.
pub(super) fn may_be(line: &[u8]) -> bool {
    memchr::memmem::find(line, b"\"specversion\"").is_some()
}

/// The refusal of a record that should be an envelope.
pub(super) fn none() -> Box<Reject> {
    let detail = "the record is no CloudEvent: it should have `specversion`, `id`, `source`, `type` and `data`";
    Reject::plain(RejectReason::MissingField, detail.to_owned())
}

impl Envelope {
    /// Opens the envelope; `None` where the record is something else. An envelope that carries no JSON is an error.
    pub(super) fn open(line: &[u8]) -> Read<Option<Envelope>> {
        let line = trim(line);
        if line.len() > EVENT_BYTES_MAX {
            return Err(Reject::too_long());
        }
        let text = std::str::from_utf8(line).map_err(|e| Reject::invalid_utf8(e.valid_up_to()))?;
        if !text.starts_with('{') {
            return Ok(None);
        }
        let members = members(text)?;
        let value = |wanted: &str| members.iter().find(|(key, _)| key == wanted).map(|(_, value)| *value);
        let attribute = |key: &str| value(key).and_then(text_of).filter(|text| !text.is_empty());
        let Some(version) = attribute("specversion") else { return Ok(None) };
        let (Some(id), Some(source), Some(_)) = (attribute("id"), attribute("source"), attribute("type")) else {
            return Ok(None);
        };
        if !version.starts_with("1.") {
            let detail = format!("`specversion` should be \"1.0\", but has the shape `{}`", shape(&version));
            return Err(Reject::plain(RejectReason::BadValue, detail));
        }
        let data = match (value("data"), value("data_base64").and_then(text_of)) {
            (Some(data), _) if data != "null" => match text_of(data) {
                Some(inner) => inner.into_owned(),
                None => data.to_owned(),
            },
            (_, Some(packed)) => base64_text(&packed)?,
            _ => {
                let detail = "the CloudEvent carries nothing: `data` should be a usage record";
                return Err(Reject::plain(RejectReason::MissingField, detail.to_owned()));
            }
        };
        let time = attribute("time").map(Cow::into_owned);
        Ok(Some(Envelope { id: format!("{source}#{id}"), time, data }))
    }

    /// Gives an event what its record does not say.
    pub(super) fn complete(&self, event: &mut UsageEvent<'_>) -> Read<()> {
        if !event.has(FieldId::ID) {
            event.set(FieldId::ID, Slot::Text(Cow::Owned(self.id.clone())));
        }
        if !event.has(FieldId::TS)
            && let Some(time) = &self.time
        {
            let ts = Timestamp::parse_rfc3339(time).ok_or_else(|| Reject::bad_value(FieldId::TS, time))?;
            event.put_number(FieldId::TS, ts.0);
        }
        Ok(())
    }

    /// The native record: with `id` and `ts` of the envelope where it has none.
    fn native(&self) -> Read<String> {
        let data = self.data.trim();
        let known = if data.starts_with('{') { members(data)? } else { return Err(Reject::not_an_object()) };
        let lacks = |key: &str| !known.iter().any(|(k, _)| k == key);
        let mut head = String::new();
        let said = [("id", Some(self.id.as_str())), ("ts", self.time.as_deref())];
        for (key, value) in said.into_iter().filter(|(key, _)| lacks(key)) {
            if let Some(value) = value.and_then(|value| serde_json::to_string(value).ok()) {
                head.push_str(&format!("\"{key}\":{value},"));
            }
        }
        if known.is_empty() {
            head.pop();
        }
        let rest = data.strip_prefix('{').unwrap_or_default();
        Ok(format!("{{{head}{rest}"))
    }
}

/// What an envelope carries as an event: native, or of a shipped mapping that its keys tell.
pub(super) fn decode(envelope: &Envelope) -> Read<UsageEvent<'static>> {
    if let Some(mapping) = detect(envelope.data.as_bytes()).and_then(Mapping::shipped_ref) {
        return mapping.carried(envelope);
    }
    let native = envelope.native()?;
    match Decoder::new().decode(native.as_bytes()) {
        Ok(event) => Ok(event.into_owned()),
        Err(reject) => Err(Box::new(reject)),
    }
}

/// The text of a JSON text.
fn text_of(json: &str) -> Option<Cow<'_, str>> {
    match Tree::parse(json, &|_| false) {
        Ok(Tree::Text(text)) => Some(text),
        _ => None,
    }
}

fn base64_text(packed: &str) -> Read<String> {
    let wrong = |what: &str| Reject::plain(RejectReason::BadValue, format!("`data_base64` {what}"));
    let bytes = STANDARD.decode(packed).map_err(|_| wrong("is no base64"))?;
    String::from_utf8(bytes).map_err(|_| wrong("holds bytes that are not UTF-8, so no JSON"))
}
