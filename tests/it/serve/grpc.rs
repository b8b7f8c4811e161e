//! gRPC over TLS, with a real client: certificates of clients, both services of Envoy.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use fineprint::gateway::proto::{
    AttributeContext, AttributeRequest, CheckRequest, CheckResponse, HeaderMap, HeaderValue, HttpBody, HttpHeaders,
    HttpRequest, Part, ProcessingRequest, ProcessingResponse, ProtocolConfiguration, Reply,
};
use fineprint::gateway::{envoy_grpc, ext_proc};
use prost::Message;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::log::AT_ONCE;
use super::server::{Options, Server};
use super::tls::{client_config, digest, section};

struct Proto<E, D>(PhantomData<fn() -> (E, D)>);

impl<E: Message + 'static, D: Message + Default + 'static> Codec for Proto<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Proto<E, D>;
    type Decoder = Proto<E, D>;

    fn encoder(&mut self) -> Self::Encoder {
        Proto(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        Proto(PhantomData)
    }
}

impl<E: Message, D> Encoder for Proto<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(into).map_err(|e| Status::internal(e.to_string()))
    }
}

impl<E, D: Message + Default> Decoder for Proto<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(from).map(Some).map_err(|e| Status::internal(e.to_string()))
    }
}

/// A channel over TLS with HTTP/2 by ALPN, with a certificate or without; an error where there is no talking.
async fn channel(address: SocketAddr, shown: Option<&'static str>) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let connect = tower::service_fn(move |_| async move {
        let mut config = client_config(shown);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = tokio::net::TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        std::io::Result::Ok(hyper_util::rt::TokioIo::new(stream))
    });
    endpoint.connect_with_connector(connect).await
}

async fn check(channel: Channel, agent: &str, body: &str) -> Result<CheckResponse, Status> {
    let headers = [(":path", "/v1/chat/completions"), ("authorization", "Bearer k"), ("user-agent", agent)];
    let http = HttpRequest {
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        path: "/v1/chat/completions".to_owned(),
        body: body.to_owned(),
        ..HttpRequest::default()
    };
    let request = AttributeRequest { http: Some(http) };
    let asked = CheckRequest { attributes: Some(AttributeContext { request: Some(request), ..Default::default() }) };
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
    let path = axum::http::uri::PathAndQuery::from_static(envoy_grpc::PATH);
    let codec = Proto::<CheckRequest, CheckResponse>(PhantomData);
    client.unary(tonic::Request::new(asked), path, codec).await.map(tonic::Response::into_inner)
}

/// One exchange of ext_proc up to its decision.
async fn process(channel: Channel, body: &str) -> Result<Vec<Reply>, Status> {
    let header = |(name, value): (&str, &str)| HeaderValue {
        key: name.to_owned(),
        value: String::new(),
        raw_value: value.as_bytes().to_vec(),
    };
    let headers = [(":method", "POST"), (":path", "/v1/chat/completions"), ("authorization", "Bearer k2")];
    let head = HttpHeaders { headers: Some(HeaderMap { headers: headers.map(header).into() }), end_of_stream: false };
    let modes = ProtocolConfiguration { request_body_mode: 2, response_body_mode: 1 };
    let first = ProcessingRequest {
        part: Some(Part::RequestHeaders(head)),
        protocol_config: Some(modes),
        ..ProcessingRequest::default()
    };
    let body = HttpBody { body: body.as_bytes().to_vec(), end_of_stream: true };
    let second = ProcessingRequest { part: Some(Part::RequestBody(body)), ..ProcessingRequest::default() };
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
    let path = axum::http::uri::PathAndQuery::from_static(ext_proc::PATH);
    let codec = Proto::<ProcessingRequest, ProcessingResponse>(PhantomData);
    let asked = tonic::Request::new(tokio_stream::iter([first, second]));
    let mut answers = client.streaming(asked, path, codec).await?.into_inner();
    let mut replies = Vec::new();
    while let Some(answer) = answers.message().await? {
        replies.extend(answer.reply);
    }
    Ok(replies)
}

const BAD: &str = r#"{"model":"m","max_tokens":0}"#;
const FINE: &str = r#"{"model":"m","max_tokens":9}"#;

#[tokio::test]
async fn both_services_of_envoy_answer_over_tls_to_clients_that_are_known() {
    let exact = format!("{{name: envoy, sha256: {}, may: [decide]}}", digest("client"));
    let config = format!("{AT_ONCE}grpc_listen: 127.0.0.1:0\n{}", section(&exact));
    let server = Server::start(&Options { config: &config, ..Options::default() });
    let address = server.grpc.unwrap();

    let known = channel(address, Some("client")).await.unwrap();
    let passed = check(known.clone(), "curl", FINE).await.unwrap();
    assert_eq!(passed.status.unwrap().code, 0);
    let refused = check(known.clone(), "curl", BAD).await.unwrap();
    assert_ne!(refused.status.unwrap().code, 0, "refused");
    let passed = process(known.clone(), FINE).await.unwrap();
    assert!(matches!(&passed[..], [Reply::RequestHeaders(_), Reply::RequestBody(_)]), "{passed:?}");
    let refused = process(known, BAD).await.unwrap();
    let Some(Reply::Immediate(told)) = refused.last() else { panic!("{refused:?}") };
    assert_eq!(told.status.as_ref().unwrap().code, 403);

    // The handshake of TLS 1.3 is over for a client before the server has looked at its certificate: the first call tells.
    for shown in [None, Some("stranger")] {
        let answered = match channel(address, shown).await {
            Ok(channel) => check(channel, "curl", FINE).await.is_ok(),
            Err(_) => false,
        };
        assert!(!answered, "{shown:?}");
    }
    let plain = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let answered = match plain.connect().await {
        Ok(channel) => check(channel, "curl", FINE).await.is_ok(),
        Err(_) => false,
    };
    assert!(!answered, "no plain text on this port");
}

#[tokio::test]
async fn a_client_that_may_not_decide_is_told_so() {
    let other = format!("{{name: reader, sha256: {}, may: [read]}}", digest("client"));
    let config = format!("grpc_listen: 127.0.0.1:0\n{}", section(&other));
    let server = Server::start(&Options { config: &config, ..Options::default() });
    let channel = channel(server.grpc.unwrap(), Some("client")).await.unwrap();
    let told = check(channel, "curl", FINE).await.unwrap_err();
    assert_eq!(told.code(), Code::PermissionDenied, "{told}");
}

/// Without `client_ca` TLS alone says nothing of who calls: keys do.
#[tokio::test]
async fn tls_without_certificates_of_clients_goes_by_keys() {
    let tls = section("").split(", client_ca").next().unwrap().to_owned() + "}";
    let config =
        format!("grpc_listen: 127.0.0.1:0\n{tls}\nkeys: [{{name: k, sha256: '{}', may: [decide]}}]", "1".repeat(64));
    let server = Server::start(&Options { config: &config, ..Options::default() });
    let channel = channel(server.grpc.unwrap(), None).await.unwrap();
    let told = check(channel, "curl", FINE).await.unwrap_err();
    assert_eq!(told.code(), Code::Unauthenticated, "{told}");
}
