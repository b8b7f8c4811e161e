//! Bodies of model APIs: what a call asks for, and what an answer used. OpenAI chat completions, responses and embeddings, and
//! Anthropic messages; all by their keys, so that a body of another make gives what it has.
//!
//! A body comes from a stranger: what is of the wrong type stays unknown, of a key that stands twice the last counts (as with
//! most servers of models), and a body that cannot be read at all leaves a mark in `header_flags`, never an error.

use axum::http::{HeaderMap, HeaderName};
use serde_json::Value as Json;

use crate::event::json::Number;
use crate::event::{FieldId, Slot, UsageEvent};
use crate::gateway::Secret;
use crate::gateway::caller::{PARTIAL_BODY, UNREADABLE_BODY, mark, put_short, text, user_id};
use crate::time::Timestamp;

/// Longest line of a streamed answer, and longest answer that comes whole, of which tokens are read, in bytes: 1 MiB. Longer
/// ones are passed over.
pub const STREAM_LINE_BYTES_MAX: usize = 1 << 20;

/// Puts what a call asks for into its event. Envoy says in a header whether it cut the body off.
pub fn put_request(event: &mut UsageEvent<'static>, headers: &HeaderMap, body: &[u8], secret: &Secret) {
    if body.is_empty() {
        return;
    }
    let says = |name, word: &str| text(headers, &HeaderName::from_static(name)).is_some_and(|found| found == word);
    if headers.contains_key("content-encoding") && !says("content-encoding", "identity") {
        return mark(event, UNREADABLE_BODY);
    }
    let partial = says("x-envoy-auth-partial-body", "true");
    if partial {
        mark(event, PARTIAL_BODY);
    }
    let read = if partial {
        serde_json::from_str(&closed(&String::from_utf8_lossy(body)))
    } else {
        serde_json::from_slice(body)
    };
    match read {
        Ok(json @ Json::Object(_)) => put_call(event, &json, partial, secret),
        _ => mark(event, UNREADABLE_BODY),
    }
}

/// Puts a call that was read already. Of a cut one, lists are left out: their ends are missing.
pub(crate) fn put_call(event: &mut UsageEvent<'static>, call: &Json, partial: bool, secret: &Secret) {
    if let Some(Json::String(model)) = call.get("model") {
        put_short(event, FieldId::MODEL, model);
    }
    for key in ["max_tokens", "max_completion_tokens", "max_output_tokens"] {
        put_whole(event, FieldId::MAX_TOKENS, call.get(key));
    }
    put_whole(event, FieldId::N, call.get("n"));
    put_whole(event, FieldId::SEED, call.get("seed"));
    put_whole(event, FieldId::TOP_LOGPROBS, call.get("top_logprobs"));
    put_micros(event, FieldId::TEMPERATURE, call.get("temperature"));
    put_micros(event, FieldId::TOP_P, call.get("top_p"));
    put_bool(event, FieldId::STREAM, call.get("stream"));
    match call.get("logprobs") {
        // The old completions API takes a number: that many alternatives.
        Some(Json::Number(n)) => event.set(FieldId::LOGPROBS, Slot::Bool(n.as_u64() != Some(0))),
        other => put_bool(event, FieldId::LOGPROBS, other),
    }
    let format = call.get("response_format").or_else(|| call.get("text")?.get("format"));
    if let Some(Json::String(format)) = format.and_then(|f| f.get("type")) {
        put_short(event, FieldId::RESPONSE_FORMAT, format);
    }
    if let Some(Json::Object(bias)) = call.get("logit_bias") {
        event.set(FieldId::LOGIT_BIAS_COUNT, Slot::Num(count(bias.len())));
    }
    let user =
        call.get("safety_identifier").or_else(|| call.get("user")).or_else(|| call.get("metadata")?.get("user_id"));
    if let Some(Json::String(user)) = user.filter(|_| !event.has(FieldId::USER)) {
        event.set(FieldId::USER, Slot::Text(user_id(user, secret).into()));
    }
    if partial {
        return;
    }
    if let Some(Json::Array(tools)) = call.get("tools") {
        event.set(FieldId::TOOLS, Slot::Num(count(tools.len())));
    }
    put_messages(event, call.get("messages").or_else(|| call.get("input")).or_else(|| call.get("prompt")));
    for key in ["system", "instructions"] {
        if let Some(system) = call.get(key).and_then(content) {
            put_text(event, FieldId::SYSTEM_PROMPT, system);
        }
    }
}

/// The last turn of the user and the standing instructions, of a list of messages, of texts, or of one text.
pub(crate) fn put_messages(event: &mut UsageEvent<'static>, messages: Option<&Json>) {
    let prompt = match messages {
        Some(Json::String(text)) => Some(text.clone()),
        Some(Json::Array(list)) if list.iter().all(Json::is_string) => {
            Some(list.iter().filter_map(Json::as_str).collect::<Vec<_>>().join("\n"))
        }
        Some(Json::Array(list)) => {
            let of = |roles: &'static [&str]| {
                list.iter()
                    .filter(move |m| m.get("role").and_then(Json::as_str).is_some_and(|role| roles.contains(&role)))
                    .filter_map(|m| content(m.get("content")?))
            };
            let system: Vec<String> = of(&["system", "developer"]).collect();
            if !system.is_empty() {
                put_text(event, FieldId::SYSTEM_PROMPT, system.join("\n"));
            }
            of(&["user"]).next_back()
        }
        _ => None,
    };
    if let Some(prompt) = prompt {
        put_text(event, FieldId::PROMPT, prompt);
    }
}

/// Puts what an answer that came whole used and said.
pub fn put_response(event: &mut UsageEvent<'static>, body: &[u8]) {
    match serde_json::from_slice::<Json>(body) {
        Ok(json) => put_answer(event, &json),
        Err(_) if body.is_empty() => {}
        Err(_) => mark(event, UNREADABLE_BODY),
    }
}

/// Puts an answer that was read already.
pub(crate) fn put_answer(event: &mut UsageEvent<'static>, answer: &Json) {
    let mut usage = Usage::default();
    usage.take(answer);
    usage.put(event);
    let choice = answer.get("choices").and_then(|c| c.get(0));
    let said = choice
        .and_then(|c| c.get("message")?.get("content").or_else(|| c.get("text")))
        .or_else(|| answer.get("content"))
        .and_then(content);
    if let Some(said) = said {
        put_text(event, FieldId::COMPLETION, said);
    }
    let error = answer.get("error").and_then(|e| e.get("code").filter(|c| c.is_string()).or_else(|| e.get("type")));
    if let Some(Json::String(code)) = error {
        put_short(event, FieldId::ERROR_CODE, code);
    }
}

/// What an answer used, gathered from a whole answer or from the pieces of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    input: Option<i64>,
    cached: Option<i64>,
    output: Option<i64>,
    reasoning: Option<i64>,
    model: Option<String>,
    finish: Option<String>,
}

impl Usage {
    /// Takes what one object says: an answer, or a piece of one.
    pub fn take(&mut self, piece: &Json) {
        // A piece of a stream wraps the answer: `message` at Anthropic's start, `response` at the end of OpenAI's responses.
        for piece in [Some(piece), piece.get("message"), piece.get("response")].into_iter().flatten() {
            if let Some(usage) = piece.get("usage") {
                self.counts(usage);
            }
            if let Some(Json::String(model)) = piece.get("model") {
                self.model = Some(model.clone());
            }
            let delta = piece.get("delta").and_then(|d| d.get("stop_reason"));
            let choice = piece.get("choices").and_then(|c| c.get(0)?.get("finish_reason"));
            if let Some(Json::String(finish)) = choice.or(delta).or_else(|| piece.get("stop_reason")) {
                self.finish = Some(finish.clone());
            }
        }
    }

    fn counts(&mut self, usage: &Json) {
        let of = |keys: &[&str]| keys.iter().find_map(|key| usage.get(key)?.as_i64());
        let part = |whole: &[&str], key: &str| whole.iter().find_map(|w| usage.get(w)?.get(key)?.as_i64());
        let most = |old: &mut Option<i64>, new: Option<i64>| *old = (*old).max(new.map(|n| n.max(0)));
        most(&mut self.input, of(&["prompt_tokens", "input_tokens"]));
        most(&mut self.output, of(&["completion_tokens", "output_tokens"]));
        let cached = part(&["prompt_tokens_details", "input_tokens_details"], "cached_tokens");
        most(&mut self.cached, cached.or_else(|| of(&["cache_read_input_tokens"])));
        most(&mut self.reasoning, part(&["completion_tokens_details", "output_tokens_details"], "reasoning_tokens"));
    }

    /// Whether any count of tokens was seen.
    pub fn is_known(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    /// Puts what is known. Output is without reasoning, which providers count in.
    pub fn put(&self, event: &mut UsageEvent<'static>) {
        let output = self.output.map(|n| n.saturating_sub(self.reasoning.unwrap_or(0)).max(0));
        let counts = [
            (FieldId::INPUT_TOKENS, self.input),
            (FieldId::CACHED_TOKENS, self.cached),
            (FieldId::OUTPUT_TOKENS, output),
            (FieldId::REASONING_TOKENS, self.reasoning),
        ];
        for (field, n) in counts {
            if let Some(n) = n {
                event.set(field, Slot::Num(n));
            }
        }
        for (field, text) in [(FieldId::MODEL_VERSION, &self.model), (FieldId::FINISH_REASON, &self.finish)] {
            if let Some(text) = text {
                put_short(event, field, text);
            }
        }
    }
}

/// Token counts of an answer that comes in chunks: server-sent events (`data: {…}`) or one JSON text.
#[derive(Debug, Clone, Default)]
pub struct Chunks {
    usage: Usage,
    line: Vec<u8>,
    passed_over: bool,
    is_stream: bool,
}

impl Chunks {
    /// The next bytes, cut anywhere.
    pub fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            if self.line.len() + part.len() > STREAM_LINE_BYTES_MAX {
                self.passed_over = true;
                self.line.clear();
            }
            if !self.passed_over {
                self.line.extend_from_slice(part);
            }
            // An answer that came whole may be printed over several lines: only an event's line ends anything.
            if part.ends_with(b"\n") && (self.is_stream || is_event(&self.line)) {
                self.is_stream = true;
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = self.line.trim_ascii();
        let data = line.strip_prefix(b"data:").unwrap_or(line);
        if let Ok(piece) = serde_json::from_slice::<Json>(data) {
            self.usage.take(&piece);
        }
        self.line.clear();
        self.passed_over = false;
    }

    /// The answer has ended.
    pub fn end(mut self) -> Usage {
        self.end_line();
        self.usage
    }
}

fn is_event(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    line.is_empty() || [&b"data:"[..], b"event:", b"id:", b"retry:", b":"].iter().any(|word| line.starts_with(word))
}

/// The text of a message: itself, or its text parts with line breaks between.
pub(crate) fn content(content: &Json) -> Option<String> {
    match content {
        Json::String(text) => Some(text.clone()),
        Json::Array(parts) => {
            let texts: Vec<&str> =
                parts.iter().filter_map(|p| p.as_str().or_else(|| p.get("text")?.as_str())).collect();
            (!texts.is_empty()).then(|| texts.join("\n"))
        }
        _ => None,
    }
}

/// The model that a path names where no body does: `/openai/deployments/NAME/…`, `/v1/models/NAME:generate`.
pub(crate) fn put_model_of_path(event: &mut UsageEvent<'static>, path: &str) {
    let mut steps = path.split('/').skip_while(|step| !["deployments", "models"].contains(step));
    if let Some(name) = steps.nth(1)
        && !event.has(FieldId::MODEL)
    {
        put_short(event, FieldId::MODEL, name.split(':').next().unwrap_or(name));
    }
}

/// A JSON text that was cut off, closed behind its last whole member or item.
fn closed(text: &str) -> String {
    let mut open: Vec<u8> = Vec::new();
    let (mut in_text, mut escaped) = (false, false);
    let (mut keep, mut kept_open) = (0, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' => open.push(b'}'),
            b'[' => open.push(b']'),
            b'}' | b']' => {
                open.pop();
                (keep, kept_open) = (at + 1, open.len());
            }
            b',' => (keep, kept_open) = (at, open.len()),
            _ => {}
        }
    }
    let mut closed = text.get(..keep).unwrap_or_default().to_owned();
    closed.extend(open.iter().take(kept_open).rev().map(|b| char::from(*b)));
    closed
}

fn put_text(event: &mut UsageEvent<'static>, field: FieldId, text: String) {
    if !text.is_empty() {
        event.set(field, Slot::Text(text.into()));
    }
}

fn put_bool(event: &mut UsageEvent<'static>, field: FieldId, value: Option<&Json>) {
    if let Some(Json::Bool(b)) = value {
        event.set(field, Slot::Bool(*b));
    }
}

fn put_whole(event: &mut UsageEvent<'static>, field: FieldId, value: Option<&Json>) {
    if let Some(n) = value.and_then(Json::as_i64) {
        event.set(field, Slot::Num(n));
    }
}

/// Decimals are held in millionths.
fn put_micros(event: &mut UsageEvent<'static>, field: FieldId, value: Option<&Json>) {
    if let Some(Json::Number(number)) = value
        && let Some(micros) = Number::parse(&number.to_string()).and_then(|n| n.scaled(6))
    {
        event.set(field, Slot::Num(micros));
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// An HTTP status, as a field.
pub(crate) fn put_status(event: &mut UsageEvent<'static>, status: i64, since: Timestamp, now: Timestamp) {
    event.set(FieldId::STATUS, Slot::Num(status));
    event.set(FieldId::RATE_LIMITED, Slot::Bool(status == 429));
    event.set(FieldId::LATENCY, Slot::Num(now.since(since).0));
}
