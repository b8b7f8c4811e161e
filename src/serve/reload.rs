//! Rules, lists and registry that change while the server runs. Files are watched; once they are left alone for a while they are
//! read as a whole. What can be used takes effect, what cannot changes nothing and is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::oneshot;

use super::clock;
use super::engine::InForce;
use super::inbox::NoteOf;
use super::metrics::Kind;
use super::opening::{carries, pins};
use super::state::App;
use crate::diagnostic::{has_errors, to_text};
use crate::eval::Fate;
use crate::pack::{self, Pack, PackOptions};
use crate::store::Noted;
use crate::template::FingerprintKey;
use crate::time::Timestamp;

/// Most characters of what is told of rules that cannot be used.
const WHY_CHARS_MAX: usize = 2_000;

/// Where rules and what they refer to are read from.
#[derive(Debug, Clone)]
pub struct Files {
    /// Directory of rule files, or one file.
    pub rules: PathBuf,
    /// Where list and table files are looked up first.
    pub lists: Option<PathBuf>,
    /// The account registry.
    pub accounts: Option<PathBuf>,
    /// The key of template fingerprints.
    pub fingerprint_key: FingerprintKey,
}

impl Files {
    /// Reads them.
    ///
    /// # Errors
    /// Where they cannot be read at all; what is wrong inside is in the pack.
    pub fn load(&self, as_of: Timestamp) -> Result<Pack, pack::PackError> {
        pack::load(&self.options(as_of))
    }

    /// As a pack is read by.
    pub fn options(&self, as_of: Timestamp) -> PackOptions<'_> {
        PackOptions {
            rules: &self.rules,
            lists: self.lists.as_deref(),
            accounts: self.accounts.as_deref(),
            as_of: Some(as_of),
            fingerprint_key: self.fingerprint_key,
        }
    }

    fn watched(&self) -> impl Iterator<Item = (&PathBuf, RecursiveMode)> {
        let deep =
            [Some(&self.rules), self.lists.as_ref()].into_iter().flatten().map(|p| (p, RecursiveMode::Recursive));
        deep.chain(self.accounts.iter().map(|p| (p, RecursiveMode::NonRecursive)))
    }
}

/// What came of the last reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) at: Timestamp,
    /// Why it changed nothing; `None` where it took effect, or where there was nothing new.
    pub(crate) failed: Option<String>,
    /// Whether other rules, lists or accounts took effect.
    pub(crate) changed: bool,
    /// What became of each rule that is not as it was.
    pub(crate) fates: BTreeMap<String, Fate>,
}

/// Why files are read again.
enum Wake {
    /// Something was written.
    Changed,
    /// Somebody asks, and waits for what comes of it.
    Asked(oneshot::Sender<Outcome>),
}

/// Who may ask for a reload.
#[derive(Debug, Clone)]
pub(crate) struct Reloader(Sender<Wake>);

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Wake::Changed => "Changed",
            Wake::Asked(_) => "Asked",
        })
    }
}

impl Reloader {
    /// Reads files again now; what came of it.
    pub(crate) async fn ask(&self) -> Option<Outcome> {
        let (reply, outcome) = oneshot::channel();
        self.0.send(Wake::Asked(reply)).ok()?;
        outcome.await.ok()
    }
}

/// Starts the thread that reads. It ends with the process.
pub(crate) fn start(app: App, files: Files) -> std::io::Result<Reloader> {
    let (wake, woken) = channel();
    let reloader = Reloader(wake.clone());
    std::thread::Builder::new().name("reload".to_string()).spawn(move || {
        // The watcher lives as long as the thread.
        let _watcher = app.config.reload.watch.then(|| watch(&files, wake.clone()));
        if app.config.reload.watch {
            // What was written after the rules were read and before they were watched, nobody has told.
            let _ = wake.send(Wake::Changed);
        }
        drop(wake);
        work(&app, &files, &woken);
    })?;
    Ok(reloader)
}

fn watch(files: &Files, wake: Sender<Wake>) -> Option<RecommendedWatcher> {
    let told = move |event: notify::Result<notify::Event>| match event {
        Ok(event) if event.kind.is_access() => {}
        // Nobody reads on where the server ends.
        Ok(_) => drop(wake.send(Wake::Changed)),
        Err(e) => tracing::warn!(error = %e, "files may have changed unseen; `POST /v1/reload` reads them"),
    };
    let mut watcher = match notify::recommended_watcher(told) {
        Ok(watcher) => watcher,
        Err(e) => {
            tracing::warn!(error = %e, "files cannot be watched; `POST /v1/reload` reads them");
            return None;
        }
    };
    for (path, mode) in files.watched() {
        // An editor may replace a file; the directory sees that.
        let place = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(path) };
        let place = if place.as_os_str().is_empty() { std::path::Path::new(".") } else { place };
        if let Err(e) = watcher.watch(place, mode) {
            tracing::warn!(path = %place.display(), error = %e, "cannot be watched; `POST /v1/reload` reads it");
        }
    }
    Some(watcher)
}

fn work(app: &App, files: &Files, woken: &Receiver<Wake>) {
    let settle = app.config.reload.settle.std();
    while let Ok(first) = woken.recv() {
        let mut asked = Vec::new();
        let mut next = Some(first);
        loop {
            match next.take() {
                Some(Wake::Asked(reply)) => asked.push(reply),
                Some(Wake::Changed) | None => {}
            }
            // Who asks does not wait for files to be left alone.
            let patience = if asked.is_empty() { settle } else { Duration::ZERO };
            match woken.recv_timeout(patience) {
                Ok(wake) => next = Some(wake),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        let outcome = reload(app, files);
        let kind = match (&outcome.failed, outcome.changed) {
            (Some(_), _) => "bad",
            (None, true) => "good",
            (None, false) => "unchanged",
        };
        app.metrics.reloads.get_or_create(&Kind { kind }).inc();
        if let Some(why) = &outcome.failed {
            tracing::error!(why, "the files cannot be used; the rules before stay in force");
        }
        note(app, &outcome, !asked.is_empty());
        app.reloaded(outcome.clone());
        for reply in asked {
            // Whoever asked may have gone.
            let _ = reply.send(outcome.clone());
        }
    }
}

/// For the log: what took effect, and what was refused. That there was nothing new says nothing.
fn note(app: &App, outcome: &Outcome, was_asked: bool) {
    let (Ok(engine), true) = (app.engine(), outcome.changed || outcome.failed.is_some()) else { return };
    let details = serde_json::json!({
        "outcome": if outcome.changed { "accepted" } else { "refused" },
        "why": outcome.failed,
        "asked": was_asked,
        "in_force": engine.in_force.load().rules.bundle_hash(),
    });
    if engine.inbox.note(NoteOf { kind: Noted::Reload, at: outcome.at, details }).is_err() {
        tracing::error!("a reload is not in the log: too many wait for it");
        app.metrics.recorded.get_or_create(&Kind { kind: "notes_lost" }).inc();
    }
}

fn reload(app: &App, files: &Files) -> Outcome {
    let at = clock::now();
    let failed = |why: String| {
        let failed = Some(why.chars().take(WHY_CHARS_MAX).collect());
        Outcome { at, failed, changed: false, fates: BTreeMap::new() }
    };
    let Ok(engine) = app.engine() else { return failed("the server is about to end, or has not begun".to_string()) };
    let pack = match files.load(at) {
        Ok(pack) => pack,
        Err(e) => return failed(e.to_string()),
    };
    let Some(rules) = pack.rules.clone() else {
        let errors: Vec<_> = pack.diagnostics.into_iter().filter(|d| has_errors(std::slice::from_ref(d))).collect();
        return failed(to_text(&errors, &pack.sources, false));
    };
    if rules.bundle_hash() == engine.in_force.load().rules.bundle_hash() {
        return Outcome { at, failed: None, changed: false, fates: BTreeMap::new() };
    }
    let n_rules = rules.program().rules.len();
    // A session that is killed goes on under the rules that its journal names, so they are kept first.
    if let Err(e) = engine.kept.keep(&pack, &files.options(at)) {
        return failed(e.to_string());
    }
    let next = InForce { rules, pins: pins(&pack.pins, &engine.eval), since: at };
    let activated = match engine.activate(next, carries(&app.config.reload)) {
        Ok(activated) => activated,
        Err(why) => return failed(why),
    };
    let changed = activated.fates.into_iter().filter(|(_, fate)| *fate != Fate::Unchanged);
    let fates: BTreeMap<String, Fate> = changed.collect();
    for fate in fates.values() {
        app.metrics.rules_changed.get_or_create(&Kind { kind: fate.word() }).inc();
    }
    app.metrics.rules.set(i64::try_from(n_rules).unwrap_or(i64::MAX));
    tracing::info!(rules = n_rules, "other rules, lists or accounts are in force");
    Outcome { at, failed: None, changed: true, fates }
}
