//! The records of a request as slices of it, with the resource and scope that they stand under.

use std::borrow::Cow;
use std::sync::Arc;

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::super::body::{BATCH_RECORDS_MAX, BodyError, Signal};
use super::super::slices::{items, members};
use super::Encoding;
use crate::event::decode::Reject;

/// What records stand under, not decoded yet.
#[derive(Debug)]
pub(super) struct Group<'b> {
    pub(super) encoding: Encoding,
    pub(super) resource: Option<&'b [u8]>,
    pub(super) scope: Option<&'b [u8]>,
}

/// A record, not decoded yet.
#[derive(Debug)]
pub(super) struct Leaf<'b> {
    pub(super) group: Arc<Group<'b>>,
    pub(super) is_span: bool,
    pub(super) bytes: &'b [u8],
}

fn push<'b>(leaves: &mut Vec<Leaf<'b>>, leaf: Leaf<'b>) -> Result<(), BodyError> {
    if leaves.len() == BATCH_RECORDS_MAX {
        return Err(BodyError::TooMany);
    }
    leaves.push(leaf);
    Ok(())
}

// Logs and spans agree on their numbers down to the record: of a request 1 is a group by resource; of that 1 is the
// resource and 2 a group by scope; of that 1 is the scope and 2 a record.
const FIRST: u32 = 1;
const SECOND: u32 = 2;

pub(super) fn protobuf<'b>(bytes: &'b [u8], is_span: bool, leaves: &mut Vec<Leaf<'b>>) -> Result<(), BodyError> {
    for (tag, by_resource) in fields(bytes)? {
        if tag != FIRST {
            continue;
        }
        let within = fields(by_resource)?;
        let resource = within.iter().rfind(|(tag, _)| *tag == FIRST).map(|(_, resource)| *resource);
        for (_, by_scope) in within.iter().filter(|(tag, _)| *tag == SECOND) {
            let within = fields(by_scope)?;
            let scope = within.iter().rfind(|(tag, _)| *tag == FIRST).map(|(_, scope)| *scope);
            let group = Arc::new(Group { encoding: Encoding::Protobuf, resource, scope });
            for (_, bytes) in within.into_iter().filter(|(tag, _)| *tag == SECOND) {
                push(leaves, Leaf { group: Arc::clone(&group), is_span, bytes })?;
            }
        }
    }
    Ok(())
}

/// The messages and texts in a message, by number; no more than a request may hold records.
fn fields(mut rest: &[u8]) -> Result<Vec<(u32, &[u8])>, BodyError> {
    let wrong = |error: DecodeError| BodyError::Otlp(error.to_string());
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (tag, wire) = decode_key(&mut rest).map_err(wrong)?;
        if wire != WireType::LengthDelimited {
            skip_field(wire, tag, &mut rest, DecodeContext::default()).map_err(wrong)?;
            continue;
        }
        let len = decode_varint(&mut rest).map_err(wrong)?;
        let field = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
        let Some((field, after)) = field else {
            return Err(BodyError::Otlp(format!(
                "field {tag} breaks off: {len} bytes were announced, {} are there",
                rest.len()
            )));
        };
        if found.len() > BATCH_RECORDS_MAX {
            return Err(BodyError::TooMany);
        }
        found.push((tag, field));
        rest = after;
    }
    Ok(found)
}

pub(super) fn json<'b>(text: &'b str, signal: Option<Signal>, leaves: &mut Vec<Leaf<'b>>) -> Result<(), BodyError> {
    for (key, list) in objects(text)? {
        let is_span = match &*key {
            "resourceLogs" if signal != Some(Signal::Traces) => false,
            "resourceSpans" if signal != Some(Signal::Logs) => true,
            "resourceLogs" => return Err(BodyError::Otlp("logs are read at /v1/logs, spans at /v1/traces".to_owned())),
            "resourceSpans" => {
                return Err(BodyError::Otlp("spans are read at /v1/traces, logs at /v1/logs".to_owned()));
            }
            "resourceMetrics" => {
                return Err(BodyError::Otlp("it holds metrics, which are no usage records".to_owned()));
            }
            _ => continue,
        };
        let (scopes, records) = if is_span { ("scopeSpans", "spans") } else { ("scopeLogs", "logRecords") };
        for by_resource in list_of(list)? {
            let within = objects(by_resource)?;
            let member = |members: &[(Cow<'_, str>, &'b str)], wanted: &str| {
                members.iter().find(|(key, value)| key == wanted && *value != "null").map(|(_, value)| *value)
            };
            let resource = member(&within, "resource").map(str::as_bytes);
            for by_scope in member(&within, scopes).map_or(Ok(Vec::new()), list_of)? {
                let within = objects(by_scope)?;
                let scope = member(&within, "scope").map(str::as_bytes);
                let group = Arc::new(Group { encoding: Encoding::Json, resource, scope });
                for record in member(&within, records).map_or(Ok(Vec::new()), list_of)? {
                    push(leaves, Leaf { group: Arc::clone(&group), is_span, bytes: record.as_bytes() })?;
                }
            }
        }
    }
    Ok(())
}

fn objects(text: &str) -> Result<Vec<(Cow<'_, str>, &str)>, BodyError> {
    members(text).map_err(|reject| refused(*reject))
}

fn list_of(text: &str) -> Result<Vec<&str>, BodyError> {
    if text == "null" {
        return Ok(Vec::new());
    }
    items(text, BATCH_RECORDS_MAX).map_err(|reject| refused(*reject))
}

fn refused(reject: Reject) -> BodyError {
    BodyError::Otlp(reject.detail)
}
