//! One record as a flat object.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use super::split::{Group, Leaf};
use super::{Encoding, RESOURCE_BYTES_MAX};
use crate::event::decode::{EVENT_BYTES_MAX, Read, Reject, RejectReason, shape};

type Object = Map<String, Value>;

/// What records stand under, decoded.
#[derive(Debug, Default)]
pub(super) struct Above {
    resource: Object,
    scope: Object,
    scope_name: String,
    scope_version: String,
}

impl Above {
    pub(super) fn decode(group: &Group<'_>) -> Read<Above> {
        let mut above = Above::default();
        if let Some(bytes) = group.resource {
            let resource: Resource = message(group.encoding, bytes, RESOURCE_BYTES_MAX, "resource")?;
            above.resource = attributes(resource.attributes)?;
        }
        if let Some(bytes) = group.scope {
            let scope: InstrumentationScope = message(group.encoding, bytes, RESOURCE_BYTES_MAX, "scope")?;
            above.scope = attributes(scope.attributes)?;
            (above.scope_name, above.scope_version) = (scope.name, scope.version);
        }
        Ok(above)
    }
}

fn message<M: Message + Default + DeserializeOwned>(
    encoding: Encoding,
    bytes: &[u8],
    bytes_max: usize,
    what: &str,
) -> Read<M> {
    if bytes.len() > bytes_max {
        let detail = format!("the {what} is longer than {bytes_max} bytes");
        return Err(Reject::plain(RejectReason::TooLong, detail));
    }
    match encoding {
        Encoding::Protobuf => M::decode(bytes)
            .map_err(|e| Reject::plain(RejectReason::Syntax, format!("the {what} cannot be read as protobuf: {e}"))),
        // What is found may be content: only the place is told.
        Encoding::Json => serde_json::from_slice(bytes).map_err(|e| {
            let detail =
                format!("the {what} is none by the JSON of OTLP, at line {}, column {} of it", e.line(), e.column());
            Reject::plain(RejectReason::WrongType, detail)
        }),
    }
}

pub(super) fn flat(leaf: &Leaf<'_>, above: &Above) -> Read<Value> {
    let encoding = leaf.group.encoding;
    let mut object = if leaf.is_span {
        span(message(encoding, leaf.bytes, EVENT_BYTES_MAX, "span")?)?
    } else {
        log(message(encoding, leaf.bytes, EVENT_BYTES_MAX, "log record")?)?
    };
    object.insert("resource".to_owned(), Value::Object(above.resource.clone()));
    object.insert("scope".to_owned(), Value::Object(above.scope.clone()));
    put_text(&mut object, "scope_name", above.scope_name.clone());
    put_text(&mut object, "scope_version", above.scope_version.clone());
    Ok(Value::Object(object))
}

fn span(span: Span) -> Read<Object> {
    let mut object = begin("span", &span.trace_id, &span.span_id);
    put_text(&mut object, "parent_span_id", hex(&span.parent_span_id));
    put_text(&mut object, "name", span.name);
    let kind = match SpanKind::try_from(span.kind).unwrap_or(SpanKind::Unspecified) {
        SpanKind::Unspecified => "",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    };
    put_text(&mut object, "kind", kind.to_owned());
    let Status { message, code } = span.status.unwrap_or_default();
    let status = match StatusCode::try_from(code).unwrap_or(StatusCode::Unset) {
        StatusCode::Unset => "unset",
        StatusCode::Ok => "ok",
        StatusCode::Error => "error",
    };
    put_text(&mut object, "status", status.to_owned());
    put_text(&mut object, "status_message", message);
    put_time(&mut object, "start_time_unix_nano", span.start_time_unix_nano);
    put_time(&mut object, "end_time_unix_nano", span.end_time_unix_nano);
    if let Some(took) =
        span.end_time_unix_nano.checked_sub(span.start_time_unix_nano).filter(|_| span.start_time_unix_nano > 0)
    {
        object.insert("duration_nano".to_owned(), took.into());
    }
    object.insert("attributes".to_owned(), Value::Object(attributes(span.attributes)?));
    if !span.events.is_empty() {
        let events = span.events.into_iter().map(|event| {
            let mut object = Object::new();
            put_text(&mut object, "name", event.name);
            put_time(&mut object, "time_unix_nano", event.time_unix_nano);
            object.insert("attributes".to_owned(), Value::Object(attributes(event.attributes)?));
            Ok(Value::Object(object))
        });
        object.insert("events".to_owned(), Value::Array(events.collect::<Read<_>>()?));
    }
    Ok(object)
}

fn log(log: LogRecord) -> Read<Object> {
    let mut object = begin("log", &log.trace_id, &log.span_id);
    put_time(&mut object, "time_unix_nano", log.time_unix_nano);
    put_time(&mut object, "observed_time_unix_nano", log.observed_time_unix_nano);
    if log.severity_number != 0 {
        object.insert("severity_number".to_owned(), log.severity_number.into());
    }
    put_text(&mut object, "severity_text", log.severity_text);
    put_text(&mut object, "event_name", log.event_name);
    if let Some(body) = log.body {
        object.insert("body".to_owned(), value(body)?);
    }
    object.insert("attributes".to_owned(), Value::Object(attributes(log.attributes)?));
    Ok(object)
}

fn begin(signal: &str, trace_id: &[u8], span_id: &[u8]) -> Object {
    let mut object = Object::new();
    object.insert("signal".to_owned(), signal.into());
    let (trace_id, span_id) = (hex(trace_id), hex(span_id));
    if !trace_id.is_empty() && !span_id.is_empty() {
        object.insert("id".to_owned(), format!("{trace_id}-{span_id}").into());
    }
    put_text(&mut object, "trace_id", trace_id);
    put_text(&mut object, "span_id", span_id);
    object
}

fn put_text(object: &mut Object, key: &str, text: String) {
    if !text.is_empty() {
        object.insert(key.to_owned(), text.into());
    }
}

/// Zero says that there is none.
fn put_time(object: &mut Object, key: &str, unix_nano: u64) {
    if unix_nano != 0 {
        object.insert(key.to_owned(), unix_nano.into());
    }
}

/// In hexadecimal; an id of zeros is none.
fn hex(id: &[u8]) -> String {
    if id.iter().all(|byte| *byte == 0) { String::new() } else { digits(id) }
}

fn digits(bytes: &[u8]) -> String {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves.filter_map(|half| char::from_digit(u32::from(half), 16)).collect()
}

/// What one key says twice could be read as either: it is refused.
fn attributes(list: Vec<KeyValue>) -> Read<Object> {
    let mut object = Object::new();
    for KeyValue { key, value: held, .. } in list {
        let held = held.map_or(Ok(Value::Null), value)?;
        if object.contains_key(&key) {
            let detail = format!("an attribute of the shape `{}` stands twice", shape(&key));
            return Err(Reject::plain(RejectReason::DuplicateKey, detail));
        }
        object.insert(key, held);
    }
    Ok(object)
}

/// Values are nested no deeper than the decoders allow.
fn value(any: AnyValue) -> Read<Value> {
    Ok(match any.value {
        None | Some(Any::StringValueStrindex(_)) => Value::Null,
        Some(Any::StringValue(text)) => Value::String(text),
        Some(Any::BoolValue(b)) => Value::Bool(b),
        Some(Any::IntValue(n)) => Value::Number(n.into()),
        Some(Any::DoubleValue(x)) => Number::from_f64(x).map_or_else(|| Value::String(x.to_string()), Value::Number),
        Some(Any::ArrayValue(array)) => Value::Array(array.values.into_iter().map(value).collect::<Read<_>>()?),
        Some(Any::KvlistValue(list)) => Value::Object(attributes(list.values)?),
        Some(Any::BytesValue(bytes)) => Value::String(digits(&bytes)),
    })
}
