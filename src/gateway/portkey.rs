//! Portkey, webhook guardrail (`default.webhook`). Before a call it sends the request, after it both; there is no client
//! address, no key, and no id that joins the two unless the client's metadata has one.
//!
//! Portkey lets calls pass when a webhook fails or is late, unless its configuration says `failOnError: true`.

use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::decision::Decision;
use crate::event::{FieldId, Kind, UsageEvent};
use crate::gateway::answer::{Answer, public_reason, retry_after};
use crate::gateway::caller::{put_metadata, put_short, text};
use crate::gateway::litellm::wrong;
use crate::gateway::options::Header;
use crate::gateway::{Arrival, Edge, body};

/// Where the webhook points.
pub const PATH: &str = "/hooks/portkey";

/// A question of Portkey.
#[derive(Debug)]
pub enum Asked {
    /// A call at arrival.
    Request(UsageEvent<'static>),
    /// A call that was answered.
    Response(UsageEvent<'static>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hooked {
    event_type: EventType,
    request: Option<Body>,
    response: Option<Body>,
    provider: Option<String>,
    request_type: Option<String>,
    metadata: Option<Map<String, Json>>,
}

#[derive(Deserialize)]
enum EventType {
    #[serde(rename = "beforeRequestHook")]
    Before,
    #[serde(rename = "afterRequestHook")]
    After,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    json: Option<Json>,
    status_code: Option<i64>,
    is_streaming_request: Option<bool>,
}

/// Reads a question. `headers` are those of the webhook, which Portkey's configuration sets.
///
/// # Errors
/// What is wrong with the body, without any of its values.
pub fn read(edge: &Edge, arrival: Arrival, headers: &HeaderMap, record: &[u8]) -> Result<Asked, String> {
    let hooked: Hooked = serde_json::from_slice(record).map_err(|e| wrong("a webhook of Portkey", record, &e))?;
    let kind = match hooked.event_type {
        EventType::Before => Kind::Request,
        EventType::After => Kind::Completion,
    };
    let at = arrival.at;
    let mut event = arrival.event(kind, "portkey", record);
    put_metadata(&mut event, &Json::Object(hooked.metadata.unwrap_or_default()), &edge.options.portkey);
    let caller = &edge.options.caller;
    let named: [(FieldId, &[Header]); 4] = [
        (FieldId::ORG, &caller.org),
        (FieldId::TENANT, &caller.tenant),
        (FieldId::KEY, &caller.key_id),
        (FieldId::ACCOUNT, &caller.account),
    ];
    for (field, names) in named {
        if let Some(found) = names.iter().find_map(|name| text(headers, name.name())) {
            put_short(&mut event, field, found);
        }
    }
    for (field, found) in [(FieldId::PROVIDER, &hooked.provider), (FieldId::ENDPOINT, &hooked.request_type)] {
        if let Some(found) = found {
            put_short(&mut event, field, found);
        }
    }
    if let Some(request) = &hooked.request {
        if let Some(call) = &request.json {
            body::put_call(&mut event, call, false, &edge.secret);
        }
        if let Some(stream) = request.is_streaming_request {
            event.set(FieldId::STREAM, crate::event::Slot::Bool(stream));
        }
    }
    Ok(match hooked.event_type {
        EventType::Before => Asked::Request(event),
        EventType::After => {
            if let Some(response) = hooked.response {
                if let Some(answer) = &response.json {
                    body::put_answer(&mut event, answer);
                }
                if let Some(status) = response.status_code {
                    body::put_status(&mut event, status, at, at);
                }
            }
            Asked::Response(event)
        }
    })
}

/// The answer in Portkey's words; `data` stands in the refusal that the caller gets.
pub fn answer(decision: &Decision) -> Answer {
    if decision.verdict.passes() {
        return Answer::json(&json!({"verdict": true}));
    }
    let mut data = json!({"decision": decision.verdict.word(), "reason": public_reason(decision)});
    if let (Some(secs), Some(data)) = (retry_after(decision), data.as_object_mut()) {
        data.insert("retry_after".to_owned(), Json::String(secs));
    }
    Answer::json(&json!({"verdict": false, "data": data}))
}
