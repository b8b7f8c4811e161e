//! What all requests share, and who answers gateways.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::clock;
use super::config::Config;
use super::engine::Engine;
use super::keys::Callers;
use super::metrics::{Kind, Metrics};
use super::reload::{Outcome, Reloader};
use crate::decision::Decision;
use crate::event::UsageEvent;
use crate::gateway::{Decide, Unready};

/// What all requests share.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) callers: Callers,
    pub(crate) metrics: Metrics,
    /// Set once the state is restored.
    engine: OnceLock<Engine>,
    phase: AtomicU8,
    writes: AtomicBool,
    last_reload: Mutex<Option<Outcome>>,
    reloader: OnceLock<Reloader>,
    /// Bytes of bodies that are held.
    pub(crate) bodies_bytes: AtomicUsize,
    /// Requests that are worked on.
    pub(crate) under_way: AtomicUsize,
}

/// Where in its life the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The state is being restored.
    Starting,
    /// Decisions are given.
    Ready,
    /// It was asked to end: what has come is still answered.
    Ending,
    /// Nothing is taken in any more.
    Closed,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(crate) fn new(config: Config) -> App {
        App(Arc::new(Shared {
            callers: Callers::new(&config),
            config,
            metrics: Metrics::new(),
            engine: OnceLock::new(),
            phase: AtomicU8::new(Phase::Starting as u8),
            writes: AtomicBool::new(true),
            last_reload: Mutex::default(),
            reloader: OnceLock::new(),
            bodies_bytes: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
        }))
    }

    /// The state is restored: from here on there are decisions.
    pub(crate) fn begin(&self, engine: Engine) {
        // It is set once, by the one who starts the server.
        let _ = self.engine.set(engine);
        self.0.phase.store(Phase::Ready as u8, Ordering::Release);
        self.metrics.ready.set(1);
    }

    pub(crate) fn end(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Release);
        self.metrics.ready.set(0);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            2 => Phase::Ending,
            _ => Phase::Closed,
        }
    }

    /// What answers, once the state is restored and as long as something is taken in.
    pub(crate) fn engine(&self) -> Result<&Engine, Unready> {
        match self.phase() {
            Phase::Starting => Err(Unready::Starting),
            Phase::Closed => Err(Unready::Draining),
            Phase::Ready | Phase::Ending => self.engine.get().ok_or(Unready::Starting),
        }
    }

    /// The thread that writes actions is no more.
    pub(crate) fn stopped_writing(&self) {
        self.writes.store(false, Ordering::Release);
    }

    /// Whether actions and given decisions are still written.
    pub(crate) fn writes(&self) -> bool {
        self.writes.load(Ordering::Acquire)
    }

    /// What came of a reload.
    pub(crate) fn reloaded(&self, outcome: Outcome) {
        *self.last_reload.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    /// What came of the last reload.
    pub(crate) fn last_reload(&self) -> Option<Outcome> {
        self.last_reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who reads files again.
    pub(crate) fn reloader(&self) -> Option<&Reloader> {
        self.reloader.get()
    }

    pub(crate) fn set_reloader(&self, reloader: Reloader) {
        // It is set once, by the one who starts the server.
        let _ = self.0.reloader.set(reloader);
    }

    /// The same, also when nothing is taken in any more.
    pub(crate) fn engine_at_end(&self) -> Option<&Engine> {
        self.engine.get()
    }
}

impl App {
    /// Answers calls, in their order: all, or none.
    pub(crate) fn decide_all(&self, events: Vec<UsageEvent<'static>>) -> Result<Vec<Decision>, Unready> {
        let engine = self.engine()?;
        let (begun, n) = (clock::elapsed(), events.len());
        let decided = engine.decide(events, clock::now())?;
        let each = clock::elapsed().saturating_sub(begun).as_secs_f64() / n.max(1) as f64;
        self.metrics.records.get_or_create(&Kind { kind: "decide" }).inc_by(n as u64);
        Ok(decided
            .into_iter()
            .map(|d| {
                self.metrics.decide_seconds.observe(each);
                self.metrics.decided(&d.decision);
                if d.is_lost {
                    self.metrics.recorded.get_or_create(&Kind { kind: "lost" }).inc();
                }
                d.decision
            })
            .collect())
    }
}

impl Decide for App {
    fn decide(&self, event: UsageEvent<'static>) -> Result<Decision, Unready> {
        Ok(self.decide_all(vec![event])?.pop().unwrap_or_default())
    }

    fn standing(&self, event: &UsageEvent<'static>) -> Result<Decision, Unready> {
        Ok(self.engine()?.standing(event, clock::now()))
    }

    fn observe(&self, event: UsageEvent<'static>) -> Result<(), Unready> {
        // Gateways wait for nothing: the receipt is for those that could send a record again.
        let taken = self.engine()?.observe(vec![Ok(event)], "gateway", clock::now()).map(|_| ());
        let kind = if taken.is_ok() { "ingest" } else { "turned_away" };
        self.metrics.records.get_or_create(&Kind { kind }).inc();
        taken
    }
}
