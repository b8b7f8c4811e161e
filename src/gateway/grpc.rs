//! The two gRPC services of Envoy, as routes. There is no generated code: a method is a path, a codec and a function.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::Response;
use axum::routing::post;
use futures_util::stream::unfold;
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Status, Streaming};

use crate::gateway::answer::unready_words;
use crate::gateway::ext_proc::{self, Exchange, Stopped};
use crate::gateway::http::Front;
use crate::gateway::proto::{CheckRequest, CheckResponse, ProcessingRequest, ProcessingResponse};
use crate::gateway::{Decide, Edge, Unready, envoy_grpc};

/// What a message may be longer than the body in it, in bytes: headers and attributes.
const AROUND_BODY_BYTES_MAX: usize = 1 << 20;

/// `envoy.service.auth.v3.Authorization/Check` and `envoy.service.ext_proc.v3.ExternalProcessor/Process`. The listener must
/// speak HTTP/2 without TLS or by ALPN.
pub fn grpc<D: Decide>(edge: Arc<Edge>, decide: D) -> Router {
    Router::new()
        .route(envoy_grpc::PATH, post(check::<D>))
        .route(ext_proc::PATH, post(process::<D>))
        .layer(DefaultBodyLimit::disable())
        .with_state(Front { edge, decide })
}

async fn check<D: Decide>(State(front): State<Front<D>>, request: Request) -> Response {
    let largest = front.edge.options.body_bytes_max.saturating_add(AROUND_BODY_BYTES_MAX);
    let answer = tower::service_fn(move |asked: tonic::Request<CheckRequest>| {
        let front = front.clone();
        async move {
            let event = envoy_grpc::read(&front.edge, front.edge.arrival(), asked.get_ref())
                .map_err(Status::invalid_argument)?;
            let decision = front.decide.decide(event).map_err(unready)?;
            Ok(tonic::Response::new(envoy_grpc::answer(&decision)))
        }
    });
    let codec = Protobuf::<CheckResponse, CheckRequest>::default();
    let mut method = tonic::server::Grpc::new(codec).max_decoding_message_size(largest);
    method.unary(answer, request).await.map(Body::new)
}

async fn process<D: Decide>(State(front): State<Front<D>>, request: Request) -> Response {
    let largest = front.edge.options.body_bytes_max.saturating_add(AROUND_BODY_BYTES_MAX);
    let answer = tower::service_fn(move |asked: tonic::Request<Streaming<ProcessingRequest>>| {
        let talk = Talk { front: front.clone(), asked: asked.into_inner(), exchange: Exchange::default(), over: false };
        async move { Ok(tonic::Response::new(Box::pin(unfold(talk, Talk::next)))) }
    });
    let codec = Protobuf::<ProcessingResponse, ProcessingRequest>::default();
    let mut method = tonic::server::Grpc::new(codec).max_decoding_message_size(largest);
    method.streaming(answer, request).await.map(Body::new)
}

/// One exchange under way. Dropping it, as when a caller leaves, ends it like its last message does.
struct Talk<D: Decide> {
    front: Front<D>,
    asked: Streaming<ProcessingRequest>,
    exchange: Exchange,
    over: bool,
}

impl<D: Decide> Talk<D> {
    async fn next(mut self) -> Option<(Result<ProcessingResponse, Status>, Self)> {
        if self.over {
            return None;
        }
        let message = match self.asked.message().await {
            Ok(message) => message?,
            // The caller's side broke off: there is nobody to tell.
            Err(_) => return None,
        };
        let answered =
            self.exchange.take(&self.front.edge, &self.front.decide, message).map_err(|stopped| match stopped {
                Stopped::Unready(why) => unready(why),
                Stopped::Bad(what) => Status::invalid_argument(what),
            });
        self.over = answered.is_err();
        Some((answered, self))
    }
}

impl<D: Decide> Drop for Talk<D> {
    fn drop(&mut self) {
        self.exchange.finish(&self.front.edge, &self.front.decide);
    }
}

fn unready(why: Unready) -> Status {
    let (secs, words) = unready_words(why);
    let mut status = Status::unavailable(words);
    status.metadata_mut().insert("retry-after", secs.into());
    status
}

/// Messages `E` out and `D` in, as protobuf.
struct Protobuf<E, D>(PhantomData<fn() -> (E, D)>);

impl<E, D> Default for Protobuf<E, D> {
    fn default() -> Self {
        Protobuf(PhantomData)
    }
}

impl<E: Message + 'static, D: Message + Default + 'static> Codec for Protobuf<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Protobuf<E, D>;
    type Decoder = Protobuf<E, D>;

    fn encoder(&mut self) -> Self::Encoder {
        Protobuf::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Protobuf::default()
    }
}

impl<E: Message, D> Encoder for Protobuf<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(into).map_err(|e| Status::internal(e.to_string()))
    }
}

impl<E, D: Message + Default> Decoder for Protobuf<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(from).map(Some).map_err(|_| Status::invalid_argument("the message is no protobuf of this method"))
    }
}
