//! Contracts of gateways: what each sends becomes which event, and a decision becomes which answer. The real gateways are run
//! by `.ci/gateways`.

mod answers;
mod callers;
mod contracts;
mod docs;
mod envoy;
mod hostile;
mod routes;

use std::sync::{Arc, Mutex};

use fineprint::decision::Decision;
use fineprint::event::{FIELDS, UsageEvent};
use fineprint::gateway::{Arrival, Decide, Edge, GatewayOptions, Secret, Unready};
use fineprint::time::Timestamp;
use fineprint::value::Value;

const NOW: &str = "2026-03-02T00:00:07Z";

fn now() -> Timestamp {
    Timestamp::parse_rfc3339(NOW).unwrap()
}

fn edge_with(options: GatewayOptions) -> Edge {
    Edge::new(options, Secret::new("test"), "t", now)
}

fn options(yaml: &str) -> GatewayOptions {
    serde_yaml::from_str(yaml).unwrap()
}

fn arrival() -> Arrival {
    Arrival { id: "t-0".to_owned(), at: now() }
}

/// What an event says, one `key=value` each, in the order of the field table; without what every event has.
fn said(event: &UsageEvent<'_>) -> Vec<String> {
    assert_eq!((event.ts(), event.id().is_empty()), (now(), false));
    event
        .fields()
        .map(|(field, value)| (FIELDS[usize::from(field.0)].json, value))
        .filter(|(key, _)| !["id", "ts", "ingest_ts"].contains(key))
        .map(|(key, value)| match value {
            Value::Bool(b) => format!("{key}={b}"),
            Value::Num(n) => format!("{key}={n}"),
            Value::Text(text) => format!("{key}={text}"),
            Value::Ip(ip) => format!("{key}={ip}"),
            Value::Texts(texts) => format!("{key}=[{}]", texts.join(" ")),
            other => panic!("{key}: {other:?}"),
        })
        .collect()
}

/// Answers what it was told to, and keeps what it was asked, by the name of the call.
#[derive(Clone)]
struct Scripted {
    answer: Result<Decision, Unready>,
    asked: Arc<Mutex<Vec<(&'static str, UsageEvent<'static>)>>>,
}

impl Scripted {
    fn new(answer: Result<Decision, Unready>) -> Self {
        Scripted { answer, asked: Arc::default() }
    }

    fn asked(&self) -> Vec<(&'static str, Vec<String>)> {
        self.asked.lock().unwrap().iter().map(|(how, event)| (*how, said(event))).collect()
    }

    fn note(&self, how: &'static str, event: UsageEvent<'static>) {
        self.asked.lock().unwrap().push((how, event));
    }
}

impl Decide for Scripted {
    fn decide(&self, event: UsageEvent<'static>) -> Result<Decision, Unready> {
        self.note("decide", event);
        self.answer.clone()
    }

    fn standing(&self, event: &UsageEvent<'static>) -> Result<Decision, Unready> {
        self.note("standing", event.clone());
        self.answer.clone()
    }

    fn observe(&self, event: UsageEvent<'static>) -> Result<(), Unready> {
        self.note("observe", event);
        Ok(())
    }
}
