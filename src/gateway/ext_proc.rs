//! Envoy, external processing: `envoy.service.ext_proc.v3.ExternalProcessor/Process`. One exchange of messages for each call:
//! headers, perhaps the body, then those of the answer. The call is decided upon when all of it that will come is there; when
//! the exchange ends, the completion is observed with the tokens that the answer names.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue as Text};

use crate::decision::Decision;
use crate::event::{FieldId, Kind, Slot, UsageEvent};
use crate::gateway::answer::{Answer, DECISION, Refusing};
use crate::gateway::body::{self, Chunks};
use crate::gateway::caller::{address, put_headers};
use crate::gateway::envoy_grpc::metadata;
use crate::gateway::forward::put_path;
use crate::gateway::proto::{
    self, BODY_BUFFERED_PARTIAL, BODY_FULL_DUPLEX, BODY_NONE, Common, CommonResponse, HeaderMutation, HeaderValue,
    HeaderValueOption, HttpBody, HttpHeaders, HttpStatus, ImmediateResponse, OVERWRITE, Part, ProcessingRequest,
    ProcessingResponse, Reply, Struct, TrailersResponse,
};
use crate::gateway::{Decide, Edge, Unready};
use crate::value::Value;

/// The method of the service.
pub const PATH: &str = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

/// Why an exchange cannot go on; Envoy's `failure_mode_allow` decides then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// No decision now.
    Unready(Unready),
    /// What came does not follow the contract, or asks for a mode that is not spoken here.
    Bad(&'static str),
}

/// The state of one exchange.
#[derive(Debug)]
pub struct Exchange {
    modes: (i32, i32),
    headers: HeaderMap,
    path: String,
    peer: Option<IpAddr>,
    body: Vec<u8>,
    is_decided: bool,
    /// The call as it was let pass, which its completion repeats; `None` once it was observed.
    call: Option<UsageEvent<'static>>,
    status: Option<i64>,
    chunks: Chunks,
}

impl Default for Exchange {
    fn default() -> Self {
        Exchange {
            modes: (BODY_NONE, BODY_NONE),
            headers: HeaderMap::new(),
            path: String::new(),
            peer: None,
            body: Vec::new(),
            is_decided: false,
            call: None,
            status: None,
            chunks: Chunks::default(),
        }
    }
}

impl Exchange {
    /// Takes the next message, and answers it.
    ///
    /// # Errors
    /// See [`Stopped`].
    pub fn take<D: Decide>(
        &mut self,
        edge: &Edge,
        decide: &D,
        message: ProcessingRequest,
    ) -> Result<ProcessingResponse, Stopped> {
        if let Some(modes) = &message.protocol_config {
            self.modes = (modes.request_body_mode, modes.response_body_mode);
            if self.modes.0 >= BODY_FULL_DUPLEX || self.modes.1 >= BODY_FULL_DUPLEX {
                return Err(Stopped::Bad("body modes are NONE, STREAMED, BUFFERED and BUFFERED_PARTIAL"));
            }
        }
        if self.peer.is_none() {
            self.peer = peer(&message);
        }
        match message.part {
            Some(Part::RequestHeaders(part)) => self.request_headers(edge, decide, &part),
            Some(Part::RequestBody(part)) => self.request_body(edge, decide, &part),
            // A call with trailers ends with these, not with its body.
            Some(Part::RequestTrailers(_)) => Ok(self
                .refused_at_last(edge, decide)?
                .unwrap_or_else(|| plain(Reply::RequestTrailers(TrailersResponse { header_mutation: None })))),
            Some(Part::ResponseHeaders(part)) => {
                // A model may answer before a streamed call has ended.
                if let Some(refused) = self.refused_at_last(edge, decide)? {
                    return Ok(refused);
                }
                let status = part.headers.as_ref().and_then(|h| h.value(":status")?.parse().ok());
                self.status = status;
                if part.end_of_stream || self.modes.1 == BODY_NONE {
                    self.finish(edge, decide);
                }
                Ok(plain(Reply::ResponseHeaders(Common::default())))
            }
            Some(Part::ResponseBody(part)) => {
                self.chunks.take(&part.body);
                if part.end_of_stream {
                    self.finish(edge, decide);
                }
                Ok(plain(Reply::ResponseBody(Common::default())))
            }
            Some(Part::ResponseTrailers(_)) => {
                self.finish(edge, decide);
                Ok(plain(Reply::ResponseTrailers(TrailersResponse { header_mutation: None })))
            }
            None => Err(Stopped::Bad("a message without a part that is known here")),
        }
    }

    fn request_headers<D: Decide>(
        &mut self,
        edge: &Edge,
        decide: &D,
        part: &HttpHeaders,
    ) -> Result<ProcessingResponse, Stopped> {
        if let Some(headers) = &part.headers {
            self.headers = proto::headers(headers.pairs());
            self.path = headers.value(":path").unwrap_or_default().to_owned();
        }
        if !part.end_of_stream && self.modes.0 != BODY_NONE {
            return Ok(plain(Reply::RequestHeaders(Common::default())));
        }
        let decision = self.decide(edge, decide)?;
        Ok(reply(&decision, Reply::RequestHeaders))
    }

    fn request_body<D: Decide>(
        &mut self,
        edge: &Edge,
        decide: &D,
        part: &HttpBody,
    ) -> Result<ProcessingResponse, Stopped> {
        let room = edge.options.body_bytes_max.saturating_sub(self.body.len());
        if part.body.len() > room {
            return Err(Stopped::Bad("the body is longer than `body_bytes_max`"));
        }
        self.body.extend_from_slice(&part.body);
        // A buffered part may be all there is to come, without being the end of the body.
        if self.is_decided || (!part.end_of_stream && self.modes.0 != BODY_BUFFERED_PARTIAL) {
            return Ok(plain(Reply::RequestBody(Common::default())));
        }
        if !part.end_of_stream {
            self.headers.insert("x-envoy-auth-partial-body", Text::from_static("true"));
        }
        let decision = self.decide(edge, decide)?;
        Ok(reply(&decision, Reply::RequestBody))
    }

    /// What is said where the end of a call was never told: nothing if it was decided upon before, or passes now.
    fn refused_at_last<D: Decide>(&mut self, edge: &Edge, decide: &D) -> Result<Option<ProcessingResponse>, Stopped> {
        if self.is_decided {
            return Ok(None);
        }
        let decision = self.decide(edge, decide)?;
        Ok((!decision.verdict.passes()).then(|| immediate(&decision)))
    }

    fn decide<D: Decide>(&mut self, edge: &Edge, decide: &D) -> Result<Decision, Stopped> {
        let mut event = self.event(edge, Kind::Request);
        body::put_request(&mut event, &self.headers, &self.body, &edge.secret);
        put_path(&mut event, &self.path);
        // The id of the event is the call id where nothing else is: the exchange itself joins both ends.
        if !event.has(FieldId::CALL) {
            let id = event.id().to_owned();
            event.set(FieldId::CALL, Slot::Text(id.into()));
        }
        self.body = Vec::new();
        let decision = decide.decide(event.clone()).map_err(Stopped::Unready)?;
        self.is_decided = true;
        if decision.verdict.passes() {
            self.call = Some(event);
        }
        Ok(decision)
    }

    fn event(&self, edge: &Edge, kind: Kind) -> UsageEvent<'static> {
        let mut event = edge.arrival().event(kind, "envoy", &self.body);
        put_headers(&mut event, &self.headers, self.peer, &edge.options.caller, &edge.secret);
        event
    }

    /// The exchange has ended, perhaps because the caller left: what passed is observed, once.
    pub fn finish<D: Decide>(&mut self, edge: &Edge, decide: &D) {
        let Some(call) = self.call.take() else { return };
        let mut event = self.event(edge, Kind::Completion);
        let repeated = [
            FieldId::CALL,
            FieldId::MODEL,
            FieldId::ENDPOINT,
            FieldId::USER,
            FieldId::MAX_TOKENS,
            FieldId::N,
            FieldId::TEMPERATURE,
            FieldId::TOP_P,
            FieldId::LOGPROBS,
            FieldId::TOP_LOGPROBS,
            FieldId::SEED,
            FieldId::TOOLS,
            FieldId::STREAM,
            FieldId::RESPONSE_FORMAT,
            FieldId::LOGIT_BIAS_COUNT,
            FieldId::PROMPT,
            FieldId::SYSTEM_PROMPT,
        ];
        for field in repeated {
            copy(&call, &mut event, field);
        }
        if let Some(status) = self.status {
            let now = event.ts();
            body::put_status(&mut event, status, call.ts(), now);
        }
        std::mem::take(&mut self.chunks).end().put(&mut event);
        // What could not be taken in is counted by who refused it; the caller has its answer already.
        let _ = decide.observe(event);
    }
}

fn copy(from: &UsageEvent<'static>, to: &mut UsageEvent<'static>, field: FieldId) {
    match from.get(field) {
        Value::Text(text) => to.set(field, Slot::Text(text.to_owned().into())),
        Value::Num(n) => to.set(field, Slot::Num(n)),
        Value::Bool(b) => to.set(field, Slot::Bool(b)),
        _ => {}
    }
}

/// `source.address` among the attributes that Envoy was told to send.
fn peer(message: &ProcessingRequest) -> Option<IpAddr> {
    let of = |s: &Struct| s.fields.get("source.address").and_then(|v| v.text.clone());
    message.attributes.values().find_map(of).and_then(|text| address(&text))
}

fn plain(reply: Reply) -> ProcessingResponse {
    ProcessingResponse { reply: Some(reply), dynamic_metadata: None }
}

fn reply(decision: &Decision, passes: fn(Common) -> Reply) -> ProcessingResponse {
    if !decision.verdict.passes() {
        return immediate(decision);
    }
    let told = vec![header(DECISION, decision.verdict.word())];
    let header_mutation = Some(HeaderMutation { set_headers: told, remove_headers: Vec::new() });
    let common = Common { response: Some(CommonResponse { header_mutation }) };
    ProcessingResponse { reply: Some(passes(common)), dynamic_metadata: None }
}

fn immediate(decision: &Decision) -> ProcessingResponse {
    let told = Answer::of(decision, Refusing::default());
    let mut headers: Vec<HeaderValueOption> = told.headers.iter().map(|(name, value)| header(name, value)).collect();
    headers.push(header("content-type", "application/json"));
    let reply = Reply::Immediate(ImmediateResponse {
        status: Some(HttpStatus { code: i32::from(told.status) }),
        headers: Some(HeaderMutation { set_headers: headers, remove_headers: Vec::new() }),
        body: told.body.into_bytes(),
        details: format!("fineprint_{}", decision.verdict.word()),
    });
    ProcessingResponse { reply: Some(reply), dynamic_metadata: Some(metadata(decision)) }
}

/// External processing reads `raw_value` alone.
fn header(name: &str, value: &str) -> HeaderValueOption {
    let header = HeaderValue { key: name.to_owned(), value: String::new(), raw_value: value.as_bytes().to_vec() };
    HeaderValueOption { header: Some(header), append_action: OVERWRITE }
}
