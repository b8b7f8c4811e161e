//! What the server tells of itself, in the text form of OpenMetrics. Every label has a fixed set of values: routes, statuses,
//! verdicts, reasons. No text of an event is ever one.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::decision::Decision;

/// Bounds of the latency buckets in seconds: 10 us to 10 s, three a decade.
const LATENCY_S: [f64; 19] = [
    0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0,
    5.0, 10.0,
];

/// Labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Answered {
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Routed {
    route: &'static str,
}

/// Labels of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Decided {
    decision: &'static str,
    would: &'static str,
}

/// Labels of the books: `rejected.` with a reason is one of a few dozen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Book {
    pub(crate) account: String,
}

/// One label that says how something went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Kind {
    pub(crate) kind: &'static str,
}

/// All metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    latency: Family<Routed, Histogram, fn() -> Histogram>,
    decisions: Family<Decided, Counter>,
    pub(crate) decide_seconds: Histogram,
    pub(crate) records: Family<Kind, Counter>,
    pub(crate) rejected: Family<Kind, Counter>,
    pub(crate) panics: Counter,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    pub(crate) requests_under_way: Gauge,
    pub(crate) body_bytes: Gauge,
    pub(crate) ready: Gauge,
    pub(crate) rules: Gauge,
    pub(crate) reloads: Family<Kind, Counter>,
    pub(crate) rules_changed: Family<Kind, Counter>,
    pub(crate) backfill: Family<Kind, Gauge>,
    pub(crate) backfill_pause: Gauge<f64, AtomicU64>,
    pub(crate) books: Family<Book, Gauge>,
    pub(crate) queue_events: Gauge,
    pub(crate) commits: Gauge,
    pub(crate) commits_failed: Gauge,
    pub(crate) gate: Family<Kind, Gauge>,
    pub(crate) limits: Family<Kind, Gauge>,
    pub(crate) alerts: Family<Kind, Gauge>,
    pub(crate) recorded: Family<Kind, Counter>,
    pub(crate) gaps: Family<Kind, Gauge>,
    pub(crate) actions: Family<Kind, Gauge>,
}

fn histogram() -> Histogram {
    Histogram::new(LATENCY_S)
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let m = Metrics {
            registry: Registry::with_prefix("fineprint"),
            requests: Family::default(),
            latency: Family::new_with_constructor(histogram),
            decisions: Family::default(),
            decide_seconds: histogram(),
            records: Family::default(),
            rejected: Family::default(),
            panics: Counter::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            requests_under_way: Gauge::default(),
            body_bytes: Gauge::default(),
            ready: Gauge::default(),
            rules: Gauge::default(),
            reloads: Family::default(),
            rules_changed: Family::default(),
            backfill: Family::default(),
            backfill_pause: Gauge::default(),
            books: Family::default(),
            queue_events: Gauge::default(),
            commits: Gauge::default(),
            commits_failed: Gauge::default(),
            gate: Family::default(),
            limits: Family::default(),
            alerts: Family::default(),
            recorded: Family::default(),
            gaps: Family::default(),
            actions: Family::default(),
        };
        m.registered()
    }

    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        r.register("requests", "Requests by route and status", self.requests.clone());
        r.register_with_unit("request", "Time from head to answer, by route", Unit::Seconds, self.latency.clone());
        r.register("decisions", "Decisions by what took effect and what would have", self.decisions.clone());
        let decide = self.decide_seconds.clone();
        r.register_with_unit("decide", "Time of one decision in memory", Unit::Seconds, decide);
        r.register("records", "Records by how they came: decide or ingest", self.records.clone());
        r.register("rejected", "Records that were refused, by reason", self.rejected.clone());
        r.register("panics", "Requests that ended in a panic, which is a bug", self.panics.clone());
        r.register("connections", "Open connections", self.connections.clone());
        let refused = self.connections_refused.clone();
        r.register("connections_refused", "Connections closed because there were too many", refused);
        r.register("requests_under_way", "Requests that are worked on", self.requests_under_way.clone());
        r.register_with_unit("bodies", "Bytes of bodies that are held", Unit::Bytes, self.body_bytes.clone());
        r.register("ready", "1 where decisions are given", self.ready.clone());
        r.register("rules", "Rules in force", self.rules.clone());
        r.register("reloads", "Reloads by how they went: good or bad", self.reloads.clone());
        r.register("rules_changed", "Rules that changed by what became of them", self.rules_changed.clone());
        let backfill = self.backfill.clone();
        r.register(
            "backfill",
            "Backfills under way and done, and records of the journal counted in the last",
            backfill,
        );
        let pause = self.backfill_pause.clone();
        r.register_with_unit(
            "backfill_pause",
            "Longest time without events taken in, of the last",
            Unit::Seconds,
            pause,
        );
        r.register("books", "What became of the records, by account", self.books.clone());
        r.register("queue_events", "Events that wait for the evaluator", self.queue_events.clone());
        r.register("commits", "Commits since the server started", self.commits.clone());
        let failed = self.commits_failed.clone();
        r.register("commits_failed", "Commits that could not be made since the last one that was", failed);
        r.register("gate", "What the memory of decisions holds, and what it lost for want of room", self.gate.clone());
        r.register("limits", "What of limits went otherwise than it should", self.limits.clone());
        r.register("alerts", "Alerts by what became of them", self.alerts.clone());
        let recorded = self.recorded.clone();
        r.register("decisions_recorded", "Decisions other than allow: recorded, or lost for want of room", recorded);
        r.register("gaps", "Calls of which a record is missing, by what is missing", self.gaps.clone());
        r.register("actions", "Actions by where they stand", self.actions.clone());
        self
    }

    /// What counts the requests of one route.
    pub(crate) fn route(&self, route: &'static str) -> Route {
        let latency = self.latency.get_or_create(&Routed { route }).clone();
        let fine = self.requests.get_or_create(&Answered { route, status: 200 }).clone();
        Route { route, latency, fine, requests: self.requests.clone() }
    }

    pub(crate) fn decided(&self, decision: &Decision) {
        let labels = Decided { decision: decision.verdict.word(), would: decision.would.word() };
        self.decisions.get_or_create(&labels).inc();
    }

    /// How many decisions of each kind there were: what took effect, what would have, how often.
    pub(crate) fn decisions(&self) -> Vec<(&'static str, &'static str, u64)> {
        let mut counts = Vec::new();
        for decision in crate::decision::Verdict::ALL.map(|v| v.word()) {
            for would in crate::decision::Verdict::ALL.map(|v| v.word()) {
                if let Some(n) = self.decisions.get(&Decided { decision, would }) {
                    counts.push((decision, would, n.get()));
                }
            }
        }
        counts
    }

    /// Decisions that were recorded, or lost.
    pub(crate) fn recorded_of(&self, kind: &'static str) -> u64 {
        self.recorded.get(&Kind { kind }).map_or(0, |n| n.get())
    }

    /// The text form.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a text cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Counts the requests of one route.
#[derive(Debug)]
pub(crate) struct Route {
    route: &'static str,
    latency: Histogram,
    fine: Counter,
    requests: Family<Answered, Counter>,
}

impl Route {
    pub(crate) fn answered(&self, status: u16, took: std::time::Duration) {
        self.latency.observe(took.as_secs_f64());
        if status == 200 {
            self.fine.inc();
        } else {
            self.requests.get_or_create(&Answered { route: self.route, status }).inc();
        }
    }
}
