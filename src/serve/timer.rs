//! What is due by the clock: the session is told the time, the gate is written down, metrics follow.

use std::time::Duration;

use super::clock;
use super::engine::Engine;
use super::gaps::Counts;
use super::metrics::{Book, Kind};
use super::opening::save_gate;
use super::state::App;
use crate::enforce::Table;

/// How often is looked.
const TURN: Duration = Duration::from_secs(1);

/// How often gaps are told in the log.
const GAPS_EVERY: Duration = Duration::from_secs(60);

/// Tells gaps that were found since the last time.
fn warn_of_gaps(engine: &Engine, seen: Counts) -> Counts {
    let Some((now, _)) = engine.gaps.total(clock::now()) else { return seen };
    let without_record = now.without_record.saturating_sub(seen.without_record);
    let without_decision = now.without_decision.saturating_sub(seen.without_decision);
    let answered = now.answered_though_refused.saturating_sub(seen.answered_though_refused);
    if without_record + without_decision + answered > 0 {
        tracing::warn!(
            without_record,
            without_decision,
            answered_though_refused = answered,
            "records of calls are missing; `/v1/gaps` tells minute and source"
        );
    }
    now
}

/// Until it is dropped.
pub(crate) async fn run(app: App) {
    let mut saved = clock::elapsed();
    let (mut looked, mut seen) = (clock::elapsed(), Counts::default());
    let mut turn = tokio::time::interval(TURN);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        let Ok(engine) = app.engine() else { continue };
        engine.live.advance(clock::now());
        if clock::elapsed().saturating_sub(looked) >= GAPS_EVERY {
            looked = clock::elapsed();
            seen = warn_of_gaps(engine, seen);
        }
        if clock::elapsed().saturating_sub(saved) >= app.config.stream.save_gate.std() {
            saved = clock::elapsed();
            let saving = app.clone();
            let done = tokio::task::spawn_blocking(move || saving.engine_at_end().map(save_gate));
            let _ = done.await;
        }
    }
}

/// Brings those metrics up to date that follow from how things stand.
pub(crate) fn measure(app: &App) {
    let Some(engine) = app.engine_at_end() else { return };
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let m = &app.metrics;
    let status = engine.live.status();
    m.queue_events.set(int(status.queue_records as u64));
    m.commits.set(int(status.commits));
    m.commits_failed.set(int(status.commits_failed));
    for (kind, n) in [
        ("under_way", u64::from(status.backfilling)),
        ("done", status.backfills),
        ("records", status.backfilled.records),
    ] {
        m.backfill.get_or_create(&Kind { kind }).set(int(n));
    }
    m.backfill_pause.set(status.backfilled.pause_max.as_secs_f64());
    for (name, n) in status.books.by_name() {
        m.books.get_or_create(&Book { account: name }).set(int(n));
    }
    let counts = engine.gate.counts();
    for (kind, n) in [
        ("groups", counts.groups),
        ("groups_lost", counts.groups_lost),
        ("ids_lost", counts.ids_lost),
        ("ahead_lost", counts.ahead_lost),
        ("calls_lost", counts.calls_lost),
        ("targets_lost", counts.targets_lost),
        ("findings_lost", counts.findings_lost),
        ("late", counts.late),
        ("future", counts.future),
        ("duplicate", counts.duplicate),
    ] {
        m.gate.get_or_create(&Kind { kind }).set(int(n));
    }
    let sent = engine.publisher.counts();
    for (kind, n) in [("made", sent.made), ("sent", sent.sent), ("retried", sent.retried), ("lost", sent.lost)] {
        m.checkpoints.get_or_create(&Kind { kind }).set(int(n));
    }
    let alerts = engine.alerts.counts();
    for (kind, n) in [
        ("queued", alerts.queued),
        ("delivered", alerts.delivered),
        ("retried", alerts.retried),
        ("dead", alerts.dead),
        ("lost", alerts.lost),
        ("repeated", alerts.repeated),
        ("unrouted", alerts.unrouted),
    ] {
        m.alerts.get_or_create(&Kind { kind }).set(int(n));
    }
    let told = engine.gate.limits_told();
    for (kind, n) in [
        ("expired", told.expired),
        ("beyond", told.beyond),
        ("twice", told.twice),
        ("unknown", told.unknown),
        ("out_of_time", told.out_of_time),
        ("dropped", told.dropped),
        ("keys_forgotten", told.keys_forgotten),
        ("calls_forgotten", told.calls_forgotten),
    ] {
        m.limits.get_or_create(&Kind { kind }).set(int(n));
    }
    if let Some((gaps, forgotten)) = engine.gaps.total(clock::now()) {
        for (kind, n) in [
            ("calls", gaps.calls),
            ("records", gaps.records),
            ("without_record", gaps.without_record),
            ("without_decision", gaps.without_decision),
            ("answered_though_refused", gaps.answered_though_refused),
            ("forgotten", forgotten),
        ] {
            m.gaps.get_or_create(&Kind { kind }).set(int(n));
        }
    }
    let (mut watched, mut asks_only, mut logs_only) = (0, 0, 0);
    for source in engine.gaps.sources() {
        watched += i64::from(source.watched);
        asks_only += i64::from(source.asks && !source.logs);
        logs_only += i64::from(source.logs && !source.asks);
    }
    for (kind, n) in [("watched", watched), ("asks_only", asks_only), ("logs_only", logs_only)] {
        m.gap_sources.get_or_create(&Kind { kind }).set(n);
    }
    for (state, n) in engine.gate.table(Table::tally) {
        m.actions.get_or_create(&Kind { kind: state }).set(int(n));
    }
}
