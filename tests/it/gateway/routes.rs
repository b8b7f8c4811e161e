//! The routes as a gateway calls them, over real sockets.

use std::sync::Arc;

use fineprint::decision::{Decision, Verdict};
use fineprint::gateway::proto::{CheckRequest, CheckResponse};
use fineprint::gateway::{GatewayOptions, Unready, grpc, litellm, router};
use fineprint::time::{Duration, SECOND_NS};
use prost::Message;
use tower::{Service, ServiceExt};

use super::answers::decided;
use super::contracts::{GUARDED, HOOKED};
use super::{Scripted, edge_with, options};

/// Serves the routes on a free port until the runtime ends.
async fn serve(options: GatewayOptions, decide: &Scripted) -> String {
    let edge = Arc::new(edge_with(options));
    let app = router(Arc::clone(&edge), decide.clone()).merge(grpc(edge, decide.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    base
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn every_route_answers_in_its_own_words() {
    run(async {
        let overloaded = Unready::Overloaded { retry_after: Duration(2 * SECOND_NS) };
        let asks: [(&str, &str, &str); 6] = [
            ("POST", litellm::PATH, GUARDED),
            ("POST", "/hooks/portkey", HOOKED),
            ("GET", "/authz/forward", ""),
            ("POST", "/authz/forward?deny_as=403", "{}"),
            ("PUT", "/authz/envoy/v1/files/9?x=1", "{}"),
            ("GET", "/authz/envoy", ""),
        ];
        let cases: [(Result<Decision, Unready>, [u16; 6], Option<&str>); 5] = [
            (Ok(decided(Verdict::Allow)), [200; 6], None),
            (Ok(decided(Verdict::Flag)), [200; 6], None),
            (Ok(decided(Verdict::Block)), [200, 200, 403, 403, 403, 403], None),
            (Ok(decided(Verdict::Throttle)), [200, 200, 429, 403, 429, 429], Some("31")),
            (Err(overloaded), [503; 6], Some("2")),
        ];
        for (answer, expected, retry_after) in cases {
            let decide = Scripted::new(answer);
            let base = serve(GatewayOptions::default(), &decide).await;
            for ((method, path, body), status) in asks.into_iter().zip(expected) {
                let client = reqwest::Client::new();
                let method: reqwest::Method = method.parse().unwrap();
                let answer = client.request(method, format!("{base}{path}")).body(body).send().await.unwrap();
                assert_eq!(answer.status().as_u16(), status, "{path} {:?}", decide.answer);
                let told = answer.headers().get("retry-after").map(|v| v.to_str().unwrap().to_owned());
                if status != 200 {
                    assert_eq!(told.as_deref(), retry_after, "{path}");
                    let text = answer.text().await.unwrap();
                    assert!(!text.contains("probing") && !text.contains("v-1"), "{path}: {text}");
                }
            }
            assert_eq!(decide.asked().len(), 6);
            assert!(decide.asked().iter().all(|(how, _)| *how == "decide"));
            assert_eq!(decide.asked()[4].1[1], "endpoint=/v1/files/9");
        }
    });
}

/// LiteLLM asks again and again while an answer streams; only the request is a call.
#[test]
fn samples_of_a_streamed_answer_are_not_counted() {
    run(async {
        let decide = Scripted::new(Ok(decided(Verdict::Block)));
        let base = serve(GatewayOptions::default(), &decide).await;
        let response = GUARDED.replacen("request", "response", 1);
        for body in [GUARDED, &response, &response] {
            let client = reqwest::Client::new();
            let answer = client.post(format!("{base}{}", litellm::PATH)).body(body.to_owned()).send().await.unwrap();
            assert!(answer.text().await.unwrap().contains("BLOCKED"));
        }
        let how: Vec<_> = decide.asked().iter().map(|(how, _)| *how).collect();
        assert_eq!(how, ["decide", "standing", "standing"]);
    });
}

#[test]
fn a_call_after_the_fact_is_observed() {
    run(async {
        let decide = Scripted::new(Ok(Decision::default()));
        let base = serve(GatewayOptions::default(), &decide).await;
        let body = HOOKED.replace("beforeRequestHook", "afterRequestHook");
        reqwest::Client::new().post(format!("{base}/hooks/portkey")).body(body).send().await.unwrap();
        let how: Vec<_> = decide.asked().iter().map(|(how, _)| *how).collect();
        assert_eq!(how, ["standing", "observe"]);
    });
}

#[test]
fn what_is_no_question_is_refused_and_counts_as_no_call() {
    run(async {
        let decide = Scripted::new(Ok(Decision::default()));
        let base = serve(options("body_bytes_max: 100"), &decide).await;
        let cases = [
            ("POST", litellm::PATH, "{}".to_owned(), 400),
            ("POST", litellm::PATH, "x".repeat(101), 413),
            ("GET", litellm::PATH, String::new(), 405),
            ("POST", "/hooks/portkey", "[".repeat(99), 400),
            ("POST", "/authz/forward", "x".repeat(101), 413),
            ("POST", "/authz/envoy/x", "x".repeat(101), 413),
            ("GET", "/authz/forward?nonsense", String::new(), 400),
        ];
        for (method, path, body, status) in cases {
            let method: reqwest::Method = method.parse().unwrap();
            let asked = reqwest::Client::new().request(method, format!("{base}{path}")).body(body);
            assert_eq!(asked.send().await.unwrap().status().as_u16(), status, "{path}");
        }
        assert_eq!(decide.asked(), []);
    });
}

/// One gRPC call without a client library: a frame is a byte, a length and a message.
#[test]
fn a_check_over_http_2() {
    run(async {
        let decide = Scripted::new(Ok(decided(Verdict::Block)));
        let base = serve(GatewayOptions::default(), &decide).await;
        let mut channel = tonic::transport::Endpoint::from_shared(base).unwrap().connect().await.unwrap();
        let cases = [
            (super::envoy::check().encode_to_vec(), None),
            (CheckRequest::default().encode_to_vec(), Some("3")),
            (vec![0xff], Some("3")),
        ];
        for (message, code) in cases {
            let mut frame = vec![0];
            frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            frame.extend(message);
            let asked = axum::http::Request::post(fineprint::gateway::envoy_grpc::PATH)
                .header("content-type", "application/grpc")
                .body(tonic::body::Body::new(axum::body::Body::from(frame)))
                .unwrap();
            let answer = channel.ready().await.unwrap().call(asked).await.unwrap();
            assert_eq!(answer.status().as_u16(), 200);
            assert_eq!(answer.headers().get("grpc-status").map(|v| v.to_str().unwrap()), code);
            if code.is_none() {
                let bytes = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 1 << 20).await.unwrap();
                let told = CheckResponse::decode(&bytes[5..]).unwrap();
                assert_eq!(told.status.unwrap().code, 7);
            }
        }
        assert_eq!(decide.asked().len(), 1);
    });
}
