//! What all requests share, and who answers gateways.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::clock;
use super::config::Config;
use super::engine::Engine;
use super::keys::Callers;
use super::metrics::{Kind, Metrics};
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

    /// The same, also when nothing is taken in any more.
    pub(crate) fn engine_at_end(&self) -> Option<&Engine> {
        self.engine.get()
    }
}

impl Decide for App {
    fn decide(&self, event: UsageEvent<'static>) -> Result<Decision, Unready> {
        let engine = self.engine()?;
        let begun = clock::elapsed();
        let decision = engine.decide(event, clock::now())?;
        self.metrics.decide_seconds.observe(clock::elapsed().saturating_sub(begun).as_secs_f64());
        self.metrics.decided(&decision);
        self.metrics.records.get_or_create(&Kind { kind: "decide" }).inc();
        Ok(decision)
    }

    fn standing(&self, event: &UsageEvent<'static>) -> Result<Decision, Unready> {
        Ok(self.engine()?.standing(event, clock::now()))
    }

    fn observe(&self, event: UsageEvent<'static>) -> Result<(), Unready> {
        self.engine()?.observe(event, clock::now())?;
        self.metrics.records.get_or_create(&Kind { kind: "ingest" }).inc();
        Ok(())
    }
}
