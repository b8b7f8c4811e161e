//! Envoy's gRPC services: messages as bytes, exchanges as Envoy has them.

use fineprint::decision::{Decision, Verdict};
use fineprint::gateway::body::{Chunks, STREAM_LINE_BYTES_MAX};
use fineprint::gateway::ext_proc::{Exchange, Stopped};
use fineprint::gateway::proto::{
    AttributeContext, AttributeRequest, CheckRequest, HeaderMap, HeaderValue, HttpBody, HttpHeaders, HttpRequest,
    HttpTrailers, Part, Peer, ProcessingRequest, ProtocolConfiguration, Reply, SocketAddress,
};
use fineprint::gateway::{GatewayOptions, Unready, envoy_grpc};
use prost::Message;

use super::answers::decided;
use super::{Scripted, arrival, edge_with, options, said};

pub(super) fn check() -> CheckRequest {
    let headers = [("x-forwarded-for", "203.0.113.9"), (":path", "/x"), ("x-api-key", "sk-1"), ("user-agent", "ua")];
    let http = HttpRequest {
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        path: "/v1/messages?beta=true".to_owned(),
        body: r#"{"model":"m"}"#.to_owned(),
        ..HttpRequest::default()
    };
    let address = SocketAddress { address: "10.0.0.1".to_owned() };
    let source = Peer { address: Some(fineprint::gateway::proto::Address { socket_address: Some(address) }) };
    let request = AttributeRequest { http: Some(http) };
    CheckRequest { attributes: Some(AttributeContext { source: Some(source), request: Some(request) }) }
}

#[test]
fn a_check_is_a_call() {
    let edge = edge_with(options("caller: {client_ip: {hops: 2}, account: [x-api-key]}"));
    // As it lies on the wire, with a field that is unknown here behind it.
    let mut bytes = check().encode_to_vec();
    bytes.extend([0xfa, 0x07, 0x01, b'x']);
    let event = envoy_grpc::read(&edge, arrival(), &CheckRequest::decode(&bytes[..]).unwrap()).unwrap();
    let key = fineprint::gateway::caller::key_id("sk-1", &edge.secret);
    let key = format!("api_key_id={key}");
    let expected =
        ["source=envoy", "model=m", "endpoint=/v1/messages", "account=sk-1", &key, "ip=203.0.113.9", "user_agent=ua"];
    assert_eq!(said(&event), expected);
    let error = envoy_grpc::read(&edge, arrival(), &CheckRequest::default()).unwrap_err();
    assert!(error.contains("`attributes.request.http` is missing"), "{error}");
}

fn head(pairs: &[(&str, &str)], end_of_stream: bool) -> HttpHeaders {
    let header = |(name, value): &(&str, &str)| HeaderValue {
        key: (*name).to_owned(),
        value: String::new(),
        raw_value: value.as_bytes().to_vec(),
    };
    HttpHeaders { headers: Some(HeaderMap { headers: pairs.iter().map(header).collect() }), end_of_stream }
}

fn part(part: Part, modes: Option<(i32, i32)>) -> ProcessingRequest {
    let config =
        |(request_body_mode, response_body_mode)| ProtocolConfiguration { request_body_mode, response_body_mode };
    ProcessingRequest { part: Some(part), protocol_config: modes.map(config), ..ProcessingRequest::default() }
}

fn body(bytes: &[u8], end_of_stream: bool) -> HttpBody {
    HttpBody { body: bytes.to_vec(), end_of_stream }
}

const ASKED: &[(&str, &str)] = &[(":method", "POST"), (":path", "/v1/chat/completions"), ("x-request-id", "r-1")];

#[test]
fn a_streamed_answer_is_one_completion_with_its_tokens() {
    let edge = edge_with(GatewayOptions::default());
    let decide = Scripted::new(Ok(Decision::default()));
    let mut exchange = Exchange::default();
    let mut take = |message| exchange.take(&edge, &decide, message).unwrap().reply.unwrap();
    assert!(matches!(take(part(Part::RequestHeaders(head(ASKED, false)), Some((2, 1)))), Reply::RequestHeaders(_)));
    assert_eq!(decide.asked(), [], "the body is yet to come");
    let asked = body(br#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#, true);
    assert!(matches!(take(part(Part::RequestBody(asked), None)), Reply::RequestBody(_)));
    assert_eq!(decide.asked().len(), 1);
    take(part(Part::ResponseHeaders(head(&[(":status", "200")], false)), None));
    let stream = "data: {\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\
        \"completion_tokens\":9,\"completion_tokens_details\":{\"reasoning_tokens\":2}}}\n\ndata: [DONE]\n\n";
    // Cut in the middle of words.
    for (at, chunk) in stream.as_bytes().chunks(7).enumerate() {
        let end = (at + 1) * 7 >= stream.len();
        take(part(Part::ResponseBody(body(chunk, end)), None));
    }
    exchange.finish(&edge, &decide);
    let asked = decide.asked();
    let call = ["source=envoy", "call=r-1", "model=m", "endpoint=/v1/chat/completions", "stream=true", "prompt=hi"];
    let answered = [
        "source=envoy",
        "call=r-1",
        "model=m",
        "model_version=m-1",
        "endpoint=/v1/chat/completions",
        "stream=true",
        "input_tokens=5",
        "output_tokens=7",
        "reasoning_tokens=2",
        "status=200",
        "finish_reason=stop",
        "rate_limited=false",
        "latency_ms=0",
        "prompt=hi",
    ];
    let expected = [("decide", call.map(str::to_owned).to_vec()), ("observe", answered.map(str::to_owned).to_vec())];
    assert_eq!(asked, expected);
}

/// Without bodies, at once; a caller that leaves in the middle settles what it has reserved.
#[test]
fn an_exchange_that_breaks_off_is_observed_once() {
    let edge = edge_with(GatewayOptions::default());
    let decide = Scripted::new(Ok(Decision::default()));
    let mut exchange = Exchange::default();
    exchange.take(&edge, &decide, part(Part::RequestHeaders(head(&[(":path", "/x")], false)), None)).unwrap();
    exchange.finish(&edge, &decide);
    exchange.finish(&edge, &decide);
    let asked = decide.asked();
    // The event's own id joins both where nothing else does.
    assert_eq!(asked[0].1, ["source=envoy", "call=t-0", "endpoint=/x"]);
    assert_eq!(asked[1], ("observe", asked[0].1.clone()));
    assert_eq!(asked.len(), 2);
}

#[test]
fn a_refused_exchange_is_answered_at_once_and_never_observed() {
    let edge = edge_with(GatewayOptions::default());
    let decide = Scripted::new(Ok(decided(Verdict::Throttle)));
    let mut exchange = Exchange::default();
    let told = exchange.take(&edge, &decide, part(Part::RequestHeaders(head(ASKED, true)), Some((2, 2)))).unwrap();
    let Some(Reply::Immediate(told)) = told.reply else { panic!("passes") };
    assert_eq!(told.status.unwrap().code, 429);
    let body = String::from_utf8(told.body).unwrap();
    assert!(body.contains("Refused under section 3.1.") && !body.contains("probing"), "{body}");
    exchange.finish(&edge, &decide);
    assert_eq!(decide.asked().len(), 1);
}

/// With a streamed call the end of its body may come after the answer, as trailers, or never.
#[test]
fn no_answer_reaches_a_caller_undecided() {
    let edge = edge_with(GatewayOptions::default());
    for (last, refused) in [(Verdict::Block, true), (Verdict::Allow, false)] {
        for end in
            [Part::ResponseHeaders(head(&[(":status", "200")], false)), Part::RequestTrailers(HttpTrailers::default())]
        {
            let decide = Scripted::new(Ok(decided(last)));
            let mut exchange = Exchange::default();
            exchange.take(&edge, &decide, part(Part::RequestHeaders(head(ASKED, false)), Some((1, 0)))).unwrap();
            exchange.take(&edge, &decide, part(Part::RequestBody(body(b"{\"n\":1}", false)), None)).unwrap();
            assert_eq!(decide.asked(), []);
            let told = exchange.take(&edge, &decide, part(end, None)).unwrap();
            assert_eq!(matches!(told.reply, Some(Reply::Immediate(_))), refused);
            assert_eq!(decide.asked()[0].1[2], "endpoint=/v1/chat/completions");
        }
    }
}

#[test]
fn what_stops_an_exchange() {
    let edge = edge_with(options("body_bytes_max: 10"));
    let full = part(Part::RequestHeaders(head(ASKED, false)), Some((4, 0)));
    let decide = Scripted::new(Err(Unready::Draining));
    let stopped = |exchange: &mut Exchange, message| exchange.take(&edge, &decide, message).unwrap_err();
    assert!(matches!(stopped(&mut Exchange::default(), full), Stopped::Bad(_)));
    assert!(matches!(stopped(&mut Exchange::default(), ProcessingRequest::default()), Stopped::Bad(_)));
    let at_once = part(Part::RequestHeaders(head(ASKED, true)), None);
    assert_eq!(stopped(&mut Exchange::default(), at_once), Stopped::Unready(Unready::Draining));
    let mut exchange = Exchange::default();
    exchange.take(&edge, &decide, part(Part::RequestHeaders(head(ASKED, false)), Some((1, 0)))).unwrap();
    exchange.take(&edge, &decide, part(Part::RequestBody(body(b"0123456789", false)), None)).unwrap();
    let over = stopped(&mut exchange, part(Part::RequestBody(body(b"0", true)), None));
    assert_eq!(over, Stopped::Bad("the body is longer than `body_bytes_max`"));
}

#[test]
fn tokens_in_every_kind_of_answer() {
    let anthropic = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"c\",\"usage\":{\"input_tokens\":11,\
        \"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\
        \"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":20}}\n\n";
    let responses = "event: response.completed\ndata: {\"response\":{\"model\":\"r\",\"usage\":{\"input_tokens\":2,\
        \"input_tokens_details\":{\"cached_tokens\":1},\"output_tokens\":6,\"output_tokens_details\":{\"reasoning_tokens\":6}}}}\n\n";
    let whole = "{\n \"model\": \"w\",\n \"usage\": {\n \"prompt_tokens\": 1,\n \"completion_tokens\": 2\n }\n}\n";
    let long = format!(
        "data: {{\"x\":\"{}\"}}\ndata: {{\"usage\":{{\"output_tokens\":4}}}}\n",
        "y".repeat(STREAM_LINE_BYTES_MAX)
    );
    let wrong = "data: {\"usage\":{\"output_tokens\":-5,\"input_tokens\":\"7\"}}\n\n";
    let cases: [(&str, &[&str]); 6] = [
        (
            anthropic,
            &["model_version=c", "input_tokens=11", "cached_tokens=3", "output_tokens=20", "finish_reason=end_turn"],
        ),
        (responses, &["model_version=r", "input_tokens=2", "cached_tokens=1", "output_tokens=0", "reasoning_tokens=6"]),
        (whole, &["model_version=w", "input_tokens=1", "output_tokens=2"]),
        (&long, &["output_tokens=4"]),
        (wrong, &["output_tokens=0"]),
        ("", &[]),
    ];
    for (answer, expected) in cases {
        for size in [1, 13, answer.len().max(1)] {
            let mut chunks = Chunks::default();
            // One byte at a time would take long for the long one.
            let size = if answer.len() > 10_000 { size.max(997) } else { size };
            answer.as_bytes().chunks(size).for_each(|chunk| chunks.take(chunk));
            let mut event = fineprint::event::UsageEvent::new(fineprint::event::Kind::Completion, "t-0", super::now());
            chunks.end().put(&mut event);
            assert_eq!(said(&event), expected, "{size} {answer:.60}");
        }
    }
}
