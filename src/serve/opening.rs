//! From the log to decisions: restores session, table and gate, and closes them in order. Blocking.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use super::clock;
use super::config::{ChangedRule, Reload};
use super::engine::{Engine, InForce};
use super::gaps::Gaps;
use super::inbox::{Inbox, NoteOf};
use super::reload::Files;
use super::saved;
use super::scribe::{self, Scribe};
use super::secret::LogSecret;
use super::server::ServeError;
use super::state::App;
use crate::alert::{Alerts, Channels};
use crate::enforce::Options;
use crate::eval::{Carries, Carry, EvalOptions, Secret};
use crate::gate::GateOptions;
use crate::pack::{Pack, PackPins};
use crate::publish::Publisher;
use crate::runtime::live::{KeptPacks, Live, LiveOptions, OnCommit};
use crate::runtime::{CheckpointOptions, SqliteSink};
use crate::store::{Access, Noted, Pins, RulesChanged, Store};

/// What is to be opened.
pub(crate) struct Opening {
    pub(crate) app: App,
    pub(crate) pack: Pack,
    pub(crate) files: Files,
    pub(crate) channels: Channels,
    pub(crate) publisher: Publisher,
    pub(crate) db: PathBuf,
    pub(crate) secret: LogSecret,
}

/// What is to be closed.
pub(crate) struct Opened {
    pub(crate) scribe: JoinHandle<()>,
    pub(crate) publisher: Arc<Publisher>,
}

/// Restores everything; decisions are given from here on.
pub(crate) fn open(opening: Opening) -> Result<Opened, ServeError> {
    let Opening { app, pack, files, channels, publisher, db, secret } = opening;
    let Some(rules) = pack.rules.clone() else { return Err(std::io::Error::other("there are no rules").into()) };
    let stream = app.config.stream;
    let delays = delay_secret(&app, &secret)?;
    let eval = EvalOptions {
        lateness: stream.lateness.0,
        delay_secret: Some(delays),
        ..EvalOptions::within(stream.state_budget.0)
    };
    let kept = KeptPacks::new(beside(&db, ".rules"), files.fingerprint_key);
    let mut sink = SqliteSink::open(&db)?;
    sink.on_checkpoint(publisher.hears());
    kept.keep(&pack, &files.options(clock::now())).map_err(|e| std::io::Error::other(e.to_string()))?;
    let pins = pins(&pack.pins, &eval);
    sink.pin(&pins, RulesChanged::Keep)?;
    let journal = beside(&db, ".journal");
    let mut options = LiveOptions::new(journal.clone());
    options.checkpoint = CheckpointOptions {
        events: stream.commit_events,
        interval_ms: u64::try_from(stream.commit_time.std().as_millis()).unwrap_or(u64::MAX),
        ..CheckpointOptions::default()
    };
    options.eval = eval.clone();
    options.library = Arc::new(kept.clone());
    options.carries = carries(&app.config.reload);
    options.pins = Some(pins.clone());
    options.queue_records = usize::try_from(stream.queue_events).unwrap_or(usize::MAX);
    let inbox = Arc::new(Inbox::new(usize::try_from(stream.queue_decisions).unwrap_or(usize::MAX)));
    let live = Live::open(Arc::clone(&rules), Box::new(sink), options, on_commit(&inbox))?;
    let gate = GateOptions {
        seed: secret.of("hashes of the gate").first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b)),
        lateness: stream.lateness.0,
        remember: stream.remember.0,
        groups_max: usize::try_from(stream.gate_groups).unwrap_or(usize::MAX),
        ..GateOptions::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut writer = runtime.block_on(Store::open(&db, Access::Review))?;
    writer.on_checkpoint(publisher.hears());
    let table = runtime.block_on(writer.action_table(Options::default()))?;
    let gate = saved::read(&db, &rules, gate, saved::Sources { journal: &journal, library: &kept, table });
    let alerts = Alerts::start(channels, Arc::new(clock::now))?;
    let log = runtime.block_on(Store::open(&db, Access::ReadOnly))?;
    app.metrics.rules.set(i64::try_from(rules.program().rules.len()).unwrap_or(i64::MAX));
    let calls = usize::try_from(app.config.gaps.calls).unwrap_or(usize::MAX);
    let gaps = Gaps::new(app.config.gaps.within.0, calls);
    let in_force = ArcSwap::from_pointee(InForce { rules, pins, since: clock::now() });
    let publisher = Arc::new(publisher);
    let published = Arc::clone(&publisher);
    let engine = Engine {
        gate,
        live,
        in_force,
        inbox,
        log,
        db,
        gaps,
        kept,
        eval,
        alerts: alerts.handle(),
        publisher: published,
    };
    // From here on there is always one to begin from, however soon a kill comes.
    save_gate(&engine);
    let callers = NoteOf { kind: Noted::Callers, at: clock::now(), details: app.config.callers() };
    // It is the first, so there is room.
    let _ = engine.inbox.note(callers);
    app.begin(engine);
    let scribe = scribe::start(Scribe::new(app, writer, runtime, alerts)?)?;
    Ok(Opened { scribe, publisher })
}

fn on_commit(inbox: &Arc<Inbox>) -> OnCommit {
    let inbox = Arc::clone(inbox);
    Box::new(move |found| inbox.find(found))
}

/// Commits all, writes all that is to be written, and lets go of the log.
pub(crate) fn close(app: &App, opened: Opened) -> Result<(), ServeError> {
    let Opened { scribe, publisher } = opened;
    let Some(engine) = app.engine_at_end() else { return Ok(()) };
    let drained = engine.live.drain();
    engine.inbox.close();
    if scribe.join().is_err() {
        app.metrics.panics.inc();
    }
    publisher.end();
    save_gate(engine);
    drained.map_err(ServeError::from)
}

/// Writes down what decisions are given from; a failure is told, and costs what was counted since the last time.
pub(crate) fn save_gate(engine: &Engine) {
    let status = engine.live.status();
    if let Err(e) = saved::write(&engine.db, &engine.gate, &status.journal, &status.written) {
        tracing::warn!(error = %e, "what decisions are given from could not be written down");
    }
}

/// The secret of delays: that of the configuration, or one of the log's own.
fn delay_secret(app: &App, secret: &LogSecret) -> Result<Secret, ServeError> {
    let bytes = match &app.config.delay_secret {
        None => secret.of("random delays"),
        Some(path) => {
            let mut bytes = std::fs::read(path)?;
            while bytes.last().is_some_and(|b| b.is_ascii_whitespace()) {
                bytes.pop();
            }
            bytes
        }
    };
    Secret::new(&bytes).ok_or_else(|| std::io::Error::other("the secret of delays has too few bytes").into())
}

/// What becomes of rules that have changed.
pub(crate) fn carries(reload: &Reload) -> Carries {
    let of = |changed: ChangedRule| match changed {
        ChangedRule::Reset => Carry::Reset,
        ChangedRule::Keep => Carry::Keep,
        ChangedRule::Backfill => Carry::Backfill,
    };
    let rules = reload.rules.iter().map(|(name, changed)| (name.clone(), of(*changed))).collect();
    Carries { rules, otherwise: of(reload.changed_rules) }
}

/// What the log is written under.
pub(crate) fn pins(pack: &PackPins, eval: &EvalOptions) -> Pins {
    let delays = eval.delay_secret.as_ref().map(Secret::fingerprint).unwrap_or_default();
    let config = format!("serve lateness {} state {} delays {delays}", eval.lateness, eval.state_bytes);
    Pins {
        rules: pack.rules.clone(),
        lists: pack.lists.clone(),
        registry: pack.registry.clone(),
        config: hex::encode(Sha256::digest(config)),
        engine: env!("CARGO_PKG_VERSION").to_string(),
    }
}

fn beside(db: &Path, end: &str) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}
