//! The thread that writes actions, given decisions and notes of what happens to the server into the log. The store numbers the entries; the table of the gate
//! follows them in their order, its own as well as those that the command line wrote. A log that cannot be written is tried
//! again: what is to be written waits, bounded, and no action takes effect that is not recorded. Findings that found no room,
//! and those that a kill came before, are asked about again from the log.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::clock;
use super::engine::Engine;
use super::inbox::{ActOf, FINDINGS_WAITING_MAX, NOTES_WAITING_MAX, NoteOf, STRIKES_WAITING_MAX, Taken, Until, What};
use super::metrics::Kind;
use super::outbox::Outbox;
use super::recover;
use super::state::App;
use crate::alert::Alerts;
use crate::enforce::{Action, ActionId, Entry, Strike, Table};
use crate::store::{Filter, Given, Store, StoreError};
use crate::time::{Duration as Span, SECOND_NS, Timestamp};
use crate::violation::Violation;

/// How often is looked what others wrote, what has become due, and which decisions were given.
const TURN: Duration = Duration::from_millis(200);
/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often old decisions are removed.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// Decisions that are written at once.
const GIVEN_ROWS: usize = 4_096;

/// How long alerts are still tried at the end.
const ALERTS_TIME: Span = Span(5 * SECOND_NS);
/// Findings whose actions are written before others have their turn: each is a commit.
const PROPOSED_AT_ONCE: usize = 64;
/// Findings that are asked about again from the log at once.
const AGAIN_ROWS: u64 = 500;

/// Where asking again about findings of the log stands.
struct Again {
    filter: Filter,
    after: Option<(Timestamp, String)>,
}

impl Again {
    /// From as far back as any window reaches.
    fn begin() -> Again {
        let from = clock::now().saturating_sub(recover::RECENT);
        Again { filter: Filter { opened_from: Some(from), ..Filter::default() }, after: None }
    }
}

/// What decisions agree in that share a row: account, key, rules, actions.
type Alike = (Option<String>, Option<String>, Vec<String>, Vec<String>);

/// Writes until the inbox is closed and worked off.
pub(crate) struct Scribe {
    app: App,
    log: Store,
    runtime: Runtime,
    /// What could not be written yet.
    findings: VecDeque<Violation>,
    strikes: VecDeque<Strike>,
    given: Vec<Given>,
    notes: VecDeque<NoteOf>,
    /// Findings of the log that may ask for more than was done.
    again: Option<Again>,
    outbox: Outbox,
    retry_at: Option<Duration>,
    /// When old decisions were last removed.
    forgot_at: Option<Duration>,
}

impl Scribe {
    pub(crate) fn new(app: App, mut log: Store, runtime: Runtime, alerts: Alerts) -> Result<Scribe, StoreError> {
        let outbox = Outbox::new(alerts);
        outbox.begin(&runtime, &mut log)?;
        Ok(Scribe {
            app,
            log,
            runtime,
            findings: VecDeque::new(),
            strikes: VecDeque::new(),
            given: Vec::new(),
            notes: VecDeque::new(),
            // The process before may have ended between a finding and what it asks for.
            again: Some(Again::begin()),
            outbox,
            retry_at: None,
            forgot_at: None,
        })
    }

    pub(crate) fn work(mut self) {
        let app = self.app.clone();
        let Some(engine) = app.engine_at_end() else { return };
        loop {
            let has_more = self.again.is_some() || !self.findings.is_empty();
            let patience = if has_more && self.retry_at.is_none() { Duration::ZERO } else { TURN };
            let Taken { given, findings, strikes, acts, notes, missed, closed } = engine.inbox.take(patience);
            let room = FINDINGS_WAITING_MAX.saturating_sub(self.findings.len());
            if missed || findings.len() > room {
                tracing::warn!("more findings came than wait at a time; they are asked about again from the log");
                self.again = Some(Again::begin());
            }
            self.findings.extend(findings.into_iter().take(room));
            self.keep(given);
            let room = NOTES_WAITING_MAX.saturating_sub(self.notes.len());
            self.lost("note", notes.len().saturating_sub(room));
            self.notes.extend(notes.into_iter().take(room));
            let room = STRIKES_WAITING_MAX.saturating_sub(self.strikes.len());
            self.strikes.extend(strikes.into_iter().take(room));
            for act in acts {
                self.act(engine, act);
            }
            let waits = self.retry_at.is_some_and(|at| clock::elapsed() < at);
            if !waits || closed {
                match self.turn(engine) {
                    Ok(()) => self.retry_at = None,
                    Err(e) => {
                        tracing::error!(error = %e, "actions and decisions cannot be written; they wait");
                        self.retry_at = Some(clock::elapsed() + RETRY);
                    }
                }
            }
            if closed && self.retry_at.is_none() && !self.findings.is_empty() {
                continue;
            }
            if closed {
                // What could not be written at the end is told by its number.
                self.lost("decision", self.given.iter().map(|g| usize::try_from(g.calls).unwrap_or(1)).sum());
                self.lost("note", self.notes.len());
                // Findings are asked about again at the next start.
                let Scribe { mut log, runtime, outbox, .. } = self;
                if let Err(e) = outbox.end(&runtime, &mut log, ALERTS_TIME) {
                    tracing::error!(error = %e, "alerts that were delivered are not noted; they come again after the next start");
                }
                let _ = runtime.block_on(log.close());
                return;
            }
        }
    }

    fn lost(&self, kind: &'static str, n: usize) {
        if n > 0 {
            tracing::error!(kind, n, "lost for want of room or of a log that can be written");
            let kind = match kind {
                "decision" => "lost",
                "note" => "notes_lost",
                kind => kind,
            };
            self.app.metrics.recorded.get_or_create(&Kind { kind }).inc_by(n as u64);
        }
    }

    fn turn(&mut self, engine: &Engine) -> Result<(), StoreError> {
        self.strike(engine)?;
        self.propose(engine)?;
        self.ask_again()?;
        self.outbox.turn(&self.runtime, &mut self.log, &self.app.metrics)?;
        self.follow(engine)?;
        let due = engine.gate.table(|table| table.due(clock::now()));
        self.append(engine, &due)?;
        self.write_given()?;
        self.write_notes()?;
        self.forget()
    }

    /// What begins with answers that were given.
    fn strike(&mut self, engine: &Engine) -> Result<(), StoreError> {
        while let Some(strike) = self.strikes.front() {
            let entries = engine.gate.enforce(|table| table.strike(strike, clock::now()));
            self.append(engine, &entries)?;
            self.strikes.pop_front();
        }
        Ok(())
    }

    /// A page of the findings of the log, where some of them may ask for more than was done; what was said is not said twice.
    fn ask_again(&mut self) -> Result<(), StoreError> {
        let Some(Again { filter, after }) = self.again.as_ref().filter(|_| self.findings.is_empty()) else {
            return Ok(());
        };
        let (page, next) = self.runtime.block_on(self.log.page(filter, after.as_ref(), AGAIN_ROWS))?;
        self.findings.extend(page.iter().filter_map(|(row, _)| recover::finding(row)));
        self.again = next.map(|last| Again { filter: filter.clone(), after: Some(last) });
        Ok(())
    }

    /// What findings ask for. A finding is let go of once its entries are in the log.
    fn propose(&mut self, engine: &Engine) -> Result<(), StoreError> {
        let in_force = engine.in_force.load_full();
        let rules: HashMap<&str, &[crate::hir::Action]> =
            in_force.rules.program().rules.iter().map(|r| (r.name.as_str(), r.actions.as_slice())).collect();
        for _ in 0..PROPOSED_AT_ONCE {
            let Some(finding) = self.findings.front() else { return Ok(()) };
            engine.gate.found(finding);
            // The table is asked anew for each: what one finding asks for may cover the next.
            if let Some(actions) = rules.get(finding.rule.as_str()) {
                let entries = engine.gate.table(|table| table.propose(finding, actions, clock::now()));
                let written = match entries.is_empty() {
                    true => Vec::new(),
                    false => self.runtime.block_on(self.log.append_actions_telling(&entries, self.outbox.routes()))?,
                };
                for alert in written.iter().filter_map(Entry::alert) {
                    self.outbox.written(&alert.channel);
                }
                if !written.is_empty() {
                    self.follow(engine)?;
                }
            }
            self.findings.pop_front();
        }
        Ok(())
    }

    /// Writes entries, and does what the log then says.
    fn append(&mut self, engine: &Engine, entries: &[Entry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.runtime.block_on(self.log.append_actions(entries))?;
        self.follow(engine)
    }

    /// Does what the log says beyond what the table knows, in the order of the log.
    fn follow(&mut self, engine: &Engine) -> Result<(), StoreError> {
        loop {
            let seq = engine.gate.table(Table::seq);
            let entries = self.runtime.block_on(self.log.action_entries(seq))?;
            if entries.is_empty() {
                return Ok(());
            }
            engine.gate.enforce(|table| {
                for entry in &entries {
                    table.apply(entry);
                }
            });
        }
    }

    fn act(&mut self, engine: &Engine, act: ActOf) {
        let ActOf { id, what, by, reason, reply } = act;
        let now = clock::now();
        let does = |table: &Table, id: ActionId| match &what {
            What::Approve => table.approve(id, &by, &reason, now),
            What::Refuse => table.refuse(id, &by, &reason, now),
            What::Release { member: None } => table.release(id, &by, &reason, now),
            What::Release { member: Some(member) } => table.release_member(id, member, &by, &reason, now),
            What::Extend { to } => table.extend(id, end(table.get(id), *to, now), &by, &reason, now),
        };
        let done = self.runtime.block_on(self.log.act(&[&id], does)).and_then(|acted| {
            let none = || StoreError::NoAction { path: self.log.path().to_owned(), id: id.clone() };
            acted.into_iter().next().map(|(action, _)| action).ok_or_else(none)
        });
        if done.is_ok()
            && let Err(e) = self.follow(engine)
        {
            tracing::error!(error = %e, "an act is in the log and not in force yet");
        }
        // Whoever asked may have gone.
        let _ = reply.send(done);
    }

    /// Takes given decisions in: those that let pass share a row.
    fn keep(&mut self, given: Vec<Given>) {
        let mut alike: HashMap<Alike, usize> = HashMap::new();
        let mut lost = 0;
        for g in given {
            if g.decision.verdict.passes() {
                let key = (g.account.clone(), g.api_key.clone(), g.decision.rules.clone(), g.decision.actions.clone());
                if let Some(first) = alike.get(&key).and_then(|at| self.given.get_mut(*at))
                    && (first.decision.verdict, first.decision.would) == (g.decision.verdict, g.decision.would)
                {
                    first.calls += g.calls;
                    continue;
                }
                alike.insert(key, self.given.len());
            }
            if self.given.len() >= usize::try_from(self.app.config.stream.queue_decisions).unwrap_or(usize::MAX) {
                lost += 1;
                continue;
            }
            self.given.push(g);
        }
        self.lost("decision", lost);
    }

    fn write_given(&mut self) -> Result<(), StoreError> {
        while !self.given.is_empty() {
            let rows = self.given.len().min(GIVEN_ROWS);
            let page = self.given.get(..rows).unwrap_or_default();
            self.runtime.block_on(self.log.give(page))?;
            let calls = page.iter().map(|g| g.calls).sum();
            self.app.metrics.recorded.get_or_create(&Kind { kind: "recorded" }).inc_by(calls);
            self.given.drain(..rows);
        }
        Ok(())
    }

    fn write_notes(&mut self) -> Result<(), StoreError> {
        while let Some(NoteOf { kind, at, details }) = self.notes.front() {
            self.runtime.block_on(self.log.note(*kind, *at, details))?;
            self.notes.pop_front();
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<(), StoreError> {
        if self.forgot_at.is_some_and(|at| clock::elapsed().saturating_sub(at) < FORGET_EVERY) {
            return Ok(());
        }
        self.forgot_at = Some(clock::elapsed());
        let before = clock::now().saturating_sub(self.app.config.stream.keep_decisions.0);
        let mut forgotten = 0;
        loop {
            match self.runtime.block_on(self.log.forget_given(before))? {
                0 => break,
                n => forgotten += n,
            }
        }
        self.app.metrics.recorded.get_or_create(&Kind { kind: "removed" }).inc_by(forgotten);
        Ok(())
    }
}

/// A new end; a span is counted from the present end, or from now where that has passed.
fn end(action: Option<&Action>, to: Until, now: Timestamp) -> Option<Timestamp> {
    match to {
        Until::At(at) => Some(at),
        Until::In(span) => Some(action.and_then(|a| a.until).unwrap_or(now).max(now).saturating_add(span)),
        Until::Released => None,
    }
}

/// Starts the thread.
pub(crate) fn start(scribe: Scribe) -> std::io::Result<std::thread::JoinHandle<()>> {
    let app = scribe.app.clone();
    let work = move || {
        // What is shared is either behind locks that bear it or counted up.
        if catch_unwind(AssertUnwindSafe(|| scribe.work())).is_err() {
            app.metrics.panics.inc();
            tracing::error!("actions and decisions are not written any more, which is a bug; start the server anew");
            app.stopped_writing();
        }
    };
    std::thread::Builder::new().name("scribe".to_string()).spawn(work)
}

/// What was said to a call, with what was known, where it is more than a plain `allow`.
pub(crate) fn given(
    event: &crate::event::UsageEvent<'_>,
    decision: &crate::decision::Decision,
    now: Timestamp,
    bundle: &str,
) -> Option<Given> {
    use crate::event::FieldId;
    if decision.would == crate::decision::Verdict::Allow {
        return None;
    }
    let text = |field| super::engine::text(event, field).map(str::to_string);
    Some(Given {
        number: 0,
        at: now,
        calls: 1,
        event: event.id().to_string(),
        call: text(FieldId::CALL),
        account: text(FieldId::ACCOUNT),
        api_key: text(FieldId::KEY),
        org: text(FieldId::ORG),
        decision: decision.clone(),
        bundle: bundle.to_string(),
    })
}
