//! The OpenAPI document, from the code: each route describes itself, and what all share stands here.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::response::{Response as Told, ResponseBuilder};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{IntoResponses, OpenApi, PartialSchema, ToSchema};

use crate::event::decode::{EVENT_BYTES_MAX, ID_BYTES_MAX, LIST_ITEMS_MAX};
use crate::event::fields::{FIELDS, Field};
use crate::event::{FieldId, Kind};
use crate::value;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Fineprint",
        description = "Decisions on calls of a model API, records of usage, and the violation log.",
    ),
    tags(
        (name = "decisions", description = "Asked at arrival, answered from memory"),
        (name = "records", description = "What happened, told afterwards"),
        (name = "log", description = "Violations, actions and rules"),
        (name = "health", description = "Whether it works"),
    ),
    components(schemas(UsageEventSchema)),
)]
pub(crate) struct Document;

/// The usage event, from the field table.
pub(crate) struct UsageEventSchema;

impl ToSchema for UsageEventSchema {
    fn name() -> std::borrow::Cow<'static, str> {
        "UsageEvent".into()
    }
}

impl PartialSchema for UsageEventSchema {
    fn schema() -> RefOr<Schema> {
        let kinds = Kind::ALL.map(|k| k.word());
        let kind = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(kinds));
        let mut event = ObjectBuilder::new()
            .description(Some(format!(
                "What happened, as one flat object of at most {EVENT_BYTES_MAX} bytes. Keys that are missing or null are \
                 unknown; unknown keys are passed over and counted."
            )))
            .property("type", kind)
            .required("type");
        for (number, field) in FIELDS.iter().enumerate() {
            event = event.property(field.json, of(number, field));
        }
        for needed in ["id", "ts"] {
            event = event.required(needed);
        }
        event.additional_properties(Some(AdditionalProperties::FreeForm(true))).into()
    }
}

fn of(number: usize, field: &Field) -> RefOr<Schema> {
    let always = [FieldId::ID, FieldId::TS].iter().any(|f| usize::from(f.0) == number);
    let ty = |t: Type| match always {
        true => SchemaType::Type(t),
        false => SchemaType::from_iter([t, Type::Null]),
    };
    let one = ObjectBuilder::new().description(Some(field.doc));
    let one = match &field.ty {
        value::Type::Bool => one.schema_type(ty(Type::Boolean)),
        value::Type::Integer | value::Type::Tokens => one.schema_type(ty(Type::Integer)),
        value::Type::Decimal | value::Type::Money | value::Type::Percentage | value::Type::Duration => {
            one.schema_type(ty(Type::Number))
        }
        value::Type::Timestamp => one
            .schema_type(ty(Type::String))
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime))),
        value::Type::Country => one.schema_type(ty(Type::String)).pattern(Some("^[A-Z]{2}$")),
        value::Type::List(_) => {
            let items = ObjectBuilder::new().schema_type(Type::String);
            return ArrayBuilder::new()
                .schema_type(ty(Type::Array))
                .items(items)
                .max_items(Some(LIST_ITEMS_MAX))
                .description(Some(field.doc))
                .into();
        }
        value::Type::String | value::Type::Cidr | value::Type::Fingerprint | value::Type::Ip => {
            let one = one.schema_type(ty(Type::String));
            if number == usize::from(FieldId::ID.0) {
                one.min_length(Some(1)).max_length(Some(ID_BYTES_MAX))
            } else {
                one
            }
        }
    };
    one.into()
}

/// One event, or several.
pub(crate) struct EventOrBatch;

impl ToSchema for EventOrBatch {
    fn name() -> std::borrow::Cow<'static, str> {
        "EventOrBatch".into()
    }
}

impl PartialSchema for EventOrBatch {
    fn schema() -> RefOr<Schema> {
        let event = Ref::from_schema_name("UsageEvent");
        let batch = ArrayBuilder::new().items(event.clone());
        OneOfBuilder::new().item(event).item(batch).into()
    }
}

fn told(description: &str) -> Told {
    let body = Content::new(Some(Ref::from_schema_name("Error")));
    ResponseBuilder::new().description(description).content("application/json", body).build()
}

fn all<const N: usize>(of: [(&str, &str); N]) -> BTreeMap<String, RefOr<Told>> {
    of.into_iter().map(|(status, what)| (status.to_string(), told(what).into())).collect()
}

/// Who may not.
pub(crate) struct Forbidden;

impl IntoResponses for Forbidden {
    fn responses() -> BTreeMap<String, RefOr<Told>> {
        all([("401", "No key or certificate, or one that is not known"), ("403", "The caller may not do this")])
    }
}

/// Who comes too often, or when too much is under way.
pub(crate) struct Limited;

impl IntoResponses for Limited {
    fn responses() -> BTreeMap<String, RefOr<Told>> {
        all([
            ("429", "The caller sends more requests a second than it may; see `Retry-After`"),
            ("503", "Starting, ending or overloaded; see `Retry-After`"),
        ])
    }
}

/// A query string that cannot be read.
pub(crate) struct BadQuery;

impl IntoResponses for BadQuery {
    fn responses() -> BTreeMap<String, RefOr<Told>> {
        all([("400", "What is asked for cannot be understood; the message says which part")])
    }
}

/// A thing that is not there.
pub(crate) struct Absent;

impl IntoResponses for Absent {
    fn responses() -> BTreeMap<String, RefOr<Told>> {
        all([("404", "There is none")])
    }
}

/// An act that cannot be done on a thing as it stands.
pub(crate) struct Conflict;

impl IntoResponses for Conflict {
    fn responses() -> BTreeMap<String, RefOr<Told>> {
        all([("409", "It cannot be done as things stand; the message says why")])
    }
}

/// A body that cannot be taken in.
pub(crate) struct BadBody;

impl IntoResponses for BadBody {
    fn responses() -> BTreeMap<String, RefOr<Told>> {
        all([
            ("400", "What was sent cannot be understood; the message says where"),
            ("408", "The body did not come in time"),
            ("413", "The body is too large"),
            ("415", "The body is of another form"),
        ])
    }
}

/// Why there is no decision.
pub(crate) struct Refused;

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<Told>> {
        let mut responses = Forbidden::responses();
        responses.extend(BadBody::responses());
        responses.extend(all([("503", "Starting, ending or overloaded; see `Retry-After`")]));
        responses
    }
}

/// This document, once for all requests.
#[derive(Debug, Clone)]
pub(crate) struct Written(pub(crate) std::sync::Arc<str>);

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "health",
    responses((status = 200, description = "The OpenAPI document", body = Object)),
)]
pub(crate) async fn openapi(axum::Extension(written): axum::Extension<Written>) -> Response {
    let form = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, form)], written.0.to_string()).into_response()
}
