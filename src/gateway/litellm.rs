//! LiteLLM, Generic Guardrail API. Before a call it sends what was asked (`input_type: request`), after it what was answered
//! (`response`), and while an answer streams every fifth chunk again with the whole text so far.
//!
//! So only a `request` is a call. A `response` asks what holds for the caller already and counts nothing: the completion, with
//! its tokens, comes from LiteLLM's log. LiteLLM shows `blocked_reason` to the end user word by word, always as status 400.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::decision::Decision;
use crate::event::{FieldId, Kind, Slot, UsageEvent};
use crate::gateway::answer::{Answer, public_reason};
use crate::gateway::caller::{put_client, put_metadata, put_short};
use crate::gateway::{Arrival, Edge, body};

/// Where LiteLLM calls: it puts this behind `api_base` itself.
pub const PATH: &str = "/beta/litellm_basic_guardrail_api";

/// What LiteLLM writes instead of the value of a header that it was not told to send.
const HIDDEN: &str = "[present]";

/// A question of LiteLLM.
#[derive(Debug)]
pub enum Asked {
    /// A call at arrival.
    Request(UsageEvent<'static>),
    /// An answer, or what there is of it so far.
    Response(UsageEvent<'static>),
}

#[derive(Deserialize)]
struct Guarded {
    input_type: InputType,
    litellm_call_id: Option<String>,
    litellm_trace_id: Option<String>,
    structured_messages: Option<Json>,
    texts: Option<Vec<String>>,
    tools: Option<Vec<Json>>,
    request_data: Option<Map<String, Json>>,
    request_headers: Option<Map<String, Json>>,
    model: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum InputType {
    Request,
    Response,
}

/// Reads a question.
///
/// # Errors
/// What is wrong with the body, without any of its values.
pub fn read(edge: &Edge, arrival: Arrival, record: &[u8]) -> Result<Asked, String> {
    let asked: Guarded =
        serde_json::from_slice(record).map_err(|e| wrong("a guardrail request of LiteLLM", record, &e))?;
    let kind = match asked.input_type {
        InputType::Request => Kind::Request,
        InputType::Response => Kind::Completion,
    };
    let mut event = arrival.event(kind, "litellm", record);
    for (field, text) in [(FieldId::CALL, &asked.litellm_call_id), (FieldId::SESSION, &asked.litellm_trace_id)] {
        if let Some(text) = text {
            put_short(&mut event, field, text);
        }
    }
    put_metadata(&mut event, &Json::Object(asked.request_data.unwrap_or_default()), &edge.options.litellm);
    let headers = headers(&asked.request_headers.unwrap_or_default());
    put_client(&mut event, &headers, None, &edge.options.caller.client_ip);
    if let Some(tools) = asked.tools {
        event.set(FieldId::TOOLS, Slot::Num(i64::try_from(tools.len()).unwrap_or(i64::MAX)));
    }
    let texts = asked.texts.unwrap_or_default();
    Ok(match asked.input_type {
        InputType::Request => {
            if let Some(model) = &asked.model {
                put_short(&mut event, FieldId::MODEL, model);
            }
            body::put_messages(&mut event, asked.structured_messages.as_ref());
            // Embeddings and the like have texts alone.
            if asked.structured_messages.is_none() && !texts.is_empty() {
                event.set(FieldId::PROMPT, Slot::Text(texts.join("\n").into()));
            }
            Asked::Request(event)
        }
        InputType::Response => {
            // Here `model` is the deployment that answered, not the name that was asked for.
            if let Some(model) = &asked.model {
                put_short(&mut event, FieldId::MODEL_VERSION, model);
            }
            if !texts.is_empty() {
                event.set(FieldId::COMPLETION, Slot::Text(texts.join("\n").into()));
            }
            Asked::Response(event)
        }
    })
}

fn headers(found: &Map<String, Json>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in found {
        let (Ok(name), Some(text)) = (HeaderName::from_bytes(name.as_bytes()), value.as_str()) else { continue };
        if let Ok(value) = HeaderValue::from_str(text)
            && text != HIDDEN
        {
            headers.append(name, value);
        }
    }
    headers
}

/// What is wrong with a body; the parser's own words would show values.
pub(crate) fn wrong(what: &str, record: &[u8], error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    let why = match error.classify() {
        serde_json::error::Category::Data => match said.split_once("expected ") {
            Some((_, expected)) => format!("expected {expected}"),
            // `missing field …` names a key of ours.
            None if said.starts_with("missing field") => said,
            None => format!("a value of the wrong type at line {line} column {column}"),
        },
        serde_json::error::Category::Eof => format!("the text ends too early, at line {line} column {column}"),
        // Of a number where a word is expected the parser says the same as of no JSON at all.
        _ if serde_json::from_slice::<serde_json::Value>(record).is_ok() => {
            format!("a value of the wrong type at line {line} column {column}")
        }
        _ => format!("no JSON at line {line} column {column}"),
    };
    format!("the body is not {what}: {why}")
}

/// The answer in LiteLLM's words. It knows no delay and no challenge: all that does not pass is blocked.
pub fn answer(decision: &Decision) -> Answer {
    if decision.verdict.passes() {
        return Answer::json(&json!({"action": "NONE"}));
    }
    Answer::json(&json!({"action": "BLOCKED", "blocked_reason": public_reason(decision)}))
}
