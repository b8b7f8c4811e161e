//! The thread that owns the evaluator: takes records in, journals them, syncs the journal in groups, commits.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::backfill::{Backfilling, Source};
use super::entry::{Entry, TOO_LARGE};
use super::queue::{Intake, Popped, Queue};
use super::replay::{Replay, Sources, recover};
use super::status::{Phase, Recovered};
use super::{ActivateError, Activated, Job, LiveError, LiveOptions, OnCommit, Shared};
use crate::derive::not_derivable;
use crate::eval::{
    Carries, Carry, Evaluator, EventRouter, Fate, Origin, Outcome, RoutedEvents, SUCCESSORS_MAX, Salt, SuccessionError,
    fates,
};
use crate::event::UsageEvent;
use crate::event::decode::Reject;
use crate::journal::{Journal, JournalError, Position, ProjectionSink, RECORD_BYTES_MAX, Synced, Syncing};
use crate::pack::PackPins;
use crate::plan::RuleSet;
use crate::runtime::checkpoint::{Checkpoints, now};
use crate::runtime::reading::Reading;
use crate::runtime::rejects::Rejected;
use crate::runtime::session::Session;
use crate::runtime::sink::{Consumed, Sink, Standing};
use crate::runtime::under_way::{Due, UnderWay, Written};
use crate::store::Pins;
use crate::time::{Duration as Span, SECOND_NS, Timestamp};
use crate::violation::Violation;

/// How long nothing may come before what is due anyway is looked after.
const PATIENCE: Duration = Duration::from_millis(20);

/// The same while events wait for rules that take over.
const AWAITED: Duration = Duration::from_millis(1);

/// Records that are taken in before what else is due is looked after.
const TURN_RECORDS: usize = 4_096;

/// How long records wait for events that are made up for after a commit.
const CATCH_UP: Duration = Duration::from_millis(25);
/// Events applied at a time then.
const CATCH_UP_EVENTS: usize = 512;

/// Bytes of events that wait while the state is written down, beyond which one turn takes [`TRICKLE`].
const HELD_BACK_BYTES_MAX: usize = 4 << 20;
const TRICKLE: Duration = Duration::from_millis(60);

/// What stands in place of the hash of an input's content, for a source that is no file.
pub(super) const LIVE_SOURCE: &str = "live";

/// Works until the queue is closed and worked off. Whatever fails is tried again, but what fails at the very beginning.
pub(super) fn work(
    shared: &Shared,
    mut sink: Box<dyn Sink>,
    options: &LiveOptions,
    rules: &Arc<RuleSet>,
    on_commit: OnCommit,
    opened: &SyncSender<()>,
) -> Result<(), LiveError> {
    let mut outputs = Some(Outputs { sink: &mut *sink, on_commit });
    let ended = std::thread::scope(|scope| {
        let mut first = true;
        loop {
            let Some(held) = outputs.take() else {
                return Err(LiveError::Thread("the thread that commits has stopped".to_string()));
            };
            let (back, result) = match Keeper::begin(scope, shared, options, rules, held) {
                Err((_, error)) if first => return Err(error),
                Err((held, error)) => (held, Err(error)),
                Ok(mut keeper) => {
                    if take(&mut first) {
                        // Nobody waits for it where the caller has gone.
                        let _ = opened.send(());
                    }
                    shared.queue.take_in(Intake::All);
                    let result = keeper.work();
                    (keeper.end(), result)
                }
            };
            outputs = back;
            let Err(error) = result else { return Ok(()) };
            tracing::error!(%error, "the session goes on from its journal");
            shared.queue.take_in(Intake::Unwaited);
            shared.status(|s| {
                s.phase = Phase::Failed;
                s.last_error = Some(error.to_string());
            });
            if shared.queue.is_closed() {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(options.retry_ms));
        }
    });
    shared.queue.close();
    shared.status(|s| {
        s.phase = Phase::Ended;
        s.last_error = ended.as_ref().err().map(ToString::to_string);
    });
    ended
}

/// Where findings go.
pub(super) struct Outputs<'a> {
    sink: &'a mut dyn Sink,
    on_commit: OnCommit,
}

/// Who waits for a sync.
pub(super) enum Ack {
    Records(oneshot::Sender<()>),
    /// Records that nobody waits for, with their room in the queue.
    Unwaited(Vec<Result<UsageEvent<'static>, Reject>>, Arc<str>, usize),
    Activated(oneshot::Sender<Result<Activated, ActivateError>>, Activated),
}

impl Ack {
    /// Tells that it is safe. Whoever does not wait does not mind.
    fn tell(self, queue: &Queue<Job>) {
        match self {
            Ack::Records(tell) => {
                let _ = tell.send(());
            }
            Ack::Unwaited(records, _, bytes) => queue.release(records.len(), bytes),
            Ack::Activated(tell, activated) => {
                let _ = tell.send(Ok(activated));
            }
        }
    }

    /// It is not safe: what nobody waits for is handed in again, all others are told by what is dropped.
    fn give_back(self, queue: &Queue<Job>) {
        if let Ack::Unwaited(records, source, bytes) = self {
            let n = records.len();
            queue.put_back(Job::Records { records, source, ack: None }, n, bytes);
        }
    }
}

/// Those that wait for one sync together.
type Acks = Vec<Ack>;

/// A session under way.
pub(super) struct Keeper<'scope, 'env, 'a, 's> {
    scope: &'scope Scope<'scope, 'env>,
    shared: &'s Shared,
    options: &'s LiveOptions,
    on_commit: OnCommit,
    session: Session,
    sources: Sources,
    /// The log; `None` while a commit is under way, which has it.
    sink: Option<&'a mut dyn Sink>,
    under_way: Option<UnderWay<'scope, 'a>>,
    journal: Journal,
    salt: Salt,
    /// Whose record the journal expects next.
    told: Option<(Arc<str>, u64)>,
    /// The rules that the session was opened with.
    given: Arc<RuleSet>,
    /// Per rule set in force or waiting.
    routers: Vec<EventRouter>,
    routed: RoutedEvents,
    /// What the log's rules are from the next commit on.
    pins: Vec<Pins>,
    checkpoints: Checkpoints,
    /// After a commit that could not be made: not before.
    retry_at: Option<Instant>,
    /// Violations since the last commit that has begun, or that could not be made.
    pending: BTreeMap<String, Violation>,
    refused: Vec<Rejected>,
    journal_keep: Span,
    /// Records since the last turn, and those that wait for a sync.
    taken: u64,
    unsynced: bool,
    acks: Acks,
    syncs: Sender<(Syncing, Acks)>,
    synced: Receiver<Result<Synced, JournalError>>,
    syncing: bool,
    /// Whose record comes next behind the sync under way.
    sync_source: Option<String>,
    /// Syncs of this kind that were begun, and that have come to an end.
    syncs_begun: u64,
    syncs_ended: u64,
    sync_began: Instant,
    /// What the journal holds, on its way to the rules that take over next.
    backfilling: Option<Backfilling>,
    /// The last moment that was told.
    clock: i64,
}

impl<'scope, 'a: 'scope, 's> Keeper<'scope, '_, 'a, 's>
where
    's: 'scope,
{
    /// Restores the state of the last commit, and takes in again what the journal holds behind it.
    pub(super) fn begin<'env>(
        scope: &'scope Scope<'scope, 'env>,
        shared: &'s Shared,
        options: &'s LiveOptions,
        rules: &Arc<RuleSet>,
        outputs: Outputs<'a>,
    ) -> Result<Keeper<'scope, 'env, 'a, 's>, (Option<Outputs<'a>>, LiveError)> {
        shared.status(|s| s.phase = Phase::Recovering);
        let restored = match restore(outputs.sink, options, rules) {
            Ok(restored) => restored,
            Err(error) => return Err((Some(outputs), error)),
        };
        let Restored { session, sources, journal, recovered, changes } = restored;
        let (syncs, to_sync) = channel::<(Syncing, Acks)>();
        let (tell, synced) = channel();
        let acknowledge = move || acknowledge(&shared.queue, &to_sync, &tell);
        if let Err(e) = Builder::new().name("fineprint-synced".to_owned()).spawn_scoped(scope, acknowledge) {
            return Err((Some(outputs), LiveError::Thread(format!("cannot start a thread: {e}"))));
        }
        let mut checkpoints = Checkpoints::new(options.checkpoint);
        checkpoints.due(recovered.records);
        let generations = session.evaluator().generations().into_iter().map(|(at, bundle)| (at.0, bundle)).collect();
        shared.status(|s| {
            s.phase = Phase::Running;
            s.recovered = recovered;
            s.last_error = None;
            s.changes += changes.len() as u64;
            s.written.rules = generations;
            s.books = session.books();
            s.watermark = session.watermark();
        });
        let pins = unsealed(options, &changes);
        let Outputs { sink, on_commit } = outputs;
        let mut keeper = Keeper {
            scope,
            shared,
            options,
            on_commit,
            session,
            sources,
            sink: Some(sink),
            under_way: None,
            salt: Salt(*journal.salt()),
            journal,
            told: None,
            given: Arc::clone(rules),
            routers: Vec::new(),
            routed: RoutedEvents::default(),
            pins,
            checkpoints,
            retry_at: None,
            pending: BTreeMap::new(),
            refused: Vec::new(),
            journal_keep: Span(0),
            taken: 0,
            unsynced: false,
            acks: Vec::new(),
            syncs,
            synced,
            syncing: false,
            sync_source: None,
            syncs_begun: 0,
            syncs_ended: 0,
            sync_began: now(),
            backfilling: None,
            clock: i64::MIN,
        };
        match keeper.begin_under(rules) {
            Ok(()) => Ok(keeper),
            Err(error) => Err((keeper.end(), error)),
        }
    }

    /// Says in the journal which rules are in force, and lets those take over that the session was opened with.
    fn begin_under(&mut self, rules: &Arc<RuleSet>) -> Result<(), LiveError> {
        self.tell_rules()?;
        let carries = self.options.carries.clone();
        self.activate(Arc::clone(rules), None, &carries)?.map_err(|error| match error {
            ActivateError::Succession(error) => LiveError::Succession(error),
            other => LiveError::Rules(other.to_string()),
        })?;
        self.look_at_rules();
        Ok(())
    }

    /// Lets rules take over; the inner error leaves all as it was.
    fn activate(
        &mut self,
        rules: Arc<RuleSet>,
        pins: Option<Pins>,
        carries: &Carries,
    ) -> Result<Result<Activated, ActivateError>, LiveError> {
        let latest = Arc::clone(self.session.evaluator().latest_rules());
        if latest.bundle_hash() == rules.bundle_hash() {
            let fates = latest.program().rules.iter().map(|r| (r.name.clone(), Fate::Unchanged)).collect();
            let at = self.session.watermark().unwrap_or(Timestamp::MIN);
            return Ok(Ok(Activated { at, fates, same: true }));
        }
        // The journal will name them, so they must be there when it is read again.
        if let Err(why) = self.options.library.find(rules.bundle_hash()) {
            return Ok(Err(ActivateError::NotKept(why)));
        }
        let carries = match derivable(&latest, &rules, carries.as_said(rules.program())) {
            Ok(carries) => carries,
            Err(error) => return Ok(Err(error.into())),
        };
        let bundle = rules.bundle_hash().to_string();
        let (at, fates) = match self.session.succeed(rules, &carries) {
            Ok(succession) => succession,
            Err(error) => return Ok(Err(error.into())),
        };
        let entry = Entry::rules(&bundle, Some(at.0), &carries);
        self.write(&entry)?;
        self.pins.extend(pins);
        (self.unsynced, self.taken) = (true, self.taken + 1);
        self.look_at_rules();
        for (rule, fate) in fates.iter().filter(|(_, fate)| **fate != Fate::Unchanged) {
            tracing::info!(rule, becomes = fate.word(), "a rule changes");
        }
        tracing::info!(at_ns = at.0, "rules take over");
        let activated = Activated { at, fates, same: false };
        self.shared.status(|s| {
            (s.changes, s.last_change) = (s.changes + 1, Some(activated.clone()));
            s.written.rules.push((at.0, bundle));
            let old = s.written.rules.len().saturating_sub(SUCCESSORS_MAX + 1);
            s.written.rules.drain(..old);
        });
        Ok(Ok(activated))
    }

    /// Says in the journal which rules were handed in last: a run over it may begin here.
    fn tell_rules(&mut self) -> Result<(), LiveError> {
        self.write(&Entry::Reading(Reading::from(&self.options.eval)))?;
        let entry = Entry::rules(self.session.evaluator().latest_rules().bundle_hash(), None, &Carries::default());
        self.write(&entry)
    }

    /// What follows from the rules for the journal, and for those who ask how it stands.
    fn look_at_rules(&mut self) {
        let rules = Arc::clone(self.session.evaluator().latest_rules());
        let keep = rules.longest_reach().0.saturating_add(rules.longest_memory().0).saturating_mul(2);
        self.journal_keep = Span(self.journal_keep.0.max(keep));
        let blind = |rule: &&crate::hir::Rule| not_derivable(rules.program(), rule).is_some();
        let blind = rules.program().rules.iter().filter(blind).map(|rule| rule.name.clone()).collect();
        let waiting = self.session.evaluator().successors();
        self.shared.status(|s| {
            s.bundle = rules.bundle_hash().to_string();
            s.changes_waiting = waiting;
            s.not_derivable = blind;
        });
    }

    /// Works until the queue is closed, and commits all.
    pub(super) fn work(&mut self) -> Result<(), LiveError> {
        let mut behind = false;
        loop {
            // Nothing is to be made up for until rules that take over have what they wait for.
            let waits = self.session.evaluator().awaits_backfill().is_some();
            let patience = self.patience().min(if waits { AWAITED } else { PATIENCE });
            let closed = self.take_turn(if behind && !waits { Duration::ZERO } else { patience })?;
            self.sync_group()?;
            self.note_synced()?;
            behind = self.commit_where_due()?;
            self.backfill()?;
            self.publish();
            if closed {
                return self.finish();
            }
        }
    }

    /// Gives the log back. What was not synced is lost, and its receipts say so.
    pub(super) fn end(mut self) -> Option<Outputs<'a>> {
        take(&mut self.acks).into_iter().rev().for_each(|ack| ack.give_back(&self.shared.queue));
        if let Some(mut under_way) = self.under_way.take() {
            if let Some(frozen) = under_way.state(Duration::MAX) {
                self.session.thaw(frozen);
            }
            self.sink = under_way.end().ok().map(|written| written.sink);
        }
        Some(Outputs { sink: self.sink.take()?, on_commit: self.on_commit })
    }

    fn patience(&self) -> Duration {
        match &self.backfilling {
            Some(backfilling) if backfilling.is_busy() => return Duration::ZERO,
            _ => {}
        }
        if self.unsynced && !self.syncing { self.sync_wait() } else { PATIENCE }
    }

    /// How long until what waits is to be synced.
    fn sync_wait(&self) -> Duration {
        Duration::from_millis(self.options.sync_interval_ms).saturating_sub(self.sync_began.elapsed())
    }

    /// Takes in what waits, up to a bound; whether nothing more will come.
    fn take_turn(&mut self, patience: Duration) -> Result<bool, LiveError> {
        let mut patience = patience;
        let mut n = 0;
        while n < TURN_RECORDS {
            match self.shared.queue.pop(patience) {
                Popped::Job(Job::Records { records, source, ack }, held, bytes) => {
                    n += records.len();
                    self.taken += records.len() as u64;
                    self.unsynced = true;
                    let mut taken = Ok(());
                    for record in &records {
                        taken = self.take_record(record, &source);
                        if taken.is_err() {
                            break;
                        }
                        self.session.defer();
                    }
                    self.acks.push(match ack {
                        Some(ack) => {
                            self.shared.queue.release(held, bytes);
                            Ack::Records(ack)
                        }
                        // Room is held by what waits to be safe, so that it is bounded with what waits to be taken in.
                        None => Ack::Unwaited(records, Arc::clone(&source), bytes),
                    });
                    taken?;
                }
                Popped::Job(Job::Advance(now), ..) => {
                    self.advance(now)?;
                    self.session.defer();
                }
                Popped::Job(Job::Activate { rules, pins, carries, tell }, ..) => {
                    match self.activate(rules, pins, &carries)? {
                        Ok(activated) => {
                            self.acks.push(Ack::Activated(tell, activated));
                            self.unsynced = true;
                        }
                        Err(error) => {
                            // Nobody waits for it where the caller has gone.
                            let _ = tell.send(Err(error));
                        }
                    }
                }
                Popped::Nothing => break,
                Popped::Closed => return Ok(true),
            }
            patience = Duration::ZERO;
        }
        Ok(false)
    }

    fn take_record(
        &mut self,
        record: &Result<UsageEvent<'static>, Reject>,
        source: &Arc<str>,
    ) -> Result<(), LiveError> {
        let origin = self.sources.next(&mut self.session, source);
        self.tell_origin(source, origin)?;
        let event = match record {
            Ok(event) => event,
            Err(reject) => return self.refuse(Rejected::unread(source, origin.line, reject)),
        };
        self.routed.clear();
        route(&mut self.routers, self.session.evaluator(), event, &self.salt, &mut self.routed);
        let bytes = self.routed.projection(0).len();
        if bytes > RECORD_BYTES_MAX {
            let detail = format!(
                "what the rules read of it are {bytes} bytes, a record of the journal has at most {RECORD_BYTES_MAX}"
            );
            let (input, line) = (source.to_string(), origin.line);
            return self.refuse(Rejected { input, line, reason: TOO_LARGE, field: None, detail });
        }
        let unknown_keys = self.routed.unknown_keys(0);
        if unknown_keys > 0 {
            self.write(&Entry::UnknownKeys { n: unknown_keys })?;
        }
        match self.session.observe(&mut self.routed, 0, origin) {
            Outcome::Evaluated | Outcome::Late => self.journal.append(self.routed.ts(0), self.routed.projection(0))?,
            Outcome::Duplicate => self.write(&Entry::Copy)?,
            Outcome::Rejected(refusal) => {
                let (reason, field, detail) = (refusal.word().to_string(), None, String::new());
                self.write(&Entry::Refused { reason, field, detail })?;
            }
        }
        Ok(())
    }

    /// Goes on with what the journal holds for the rules that take over next.
    fn backfill(&mut self) -> Result<(), LiveError> {
        if self.backfilling.is_none() && self.session.evaluator().wants_backfill() {
            let (dir, library) = (self.options.journal.clone(), &*self.options.library);
            let source = Source { dir, library, given: Arc::clone(&self.given) };
            let sync = self.next_sync();
            self.backfilling = Backfilling::begin(self.scope, &mut self.session, source, sync)?;
        }
        let is_awaited = self.session.evaluator().awaits_backfill().is_some();
        let Some(mut backfilling) = self.backfilling.take() else { return Ok(()) };
        if is_awaited && backfilling.await_it() || backfilling.follows() {
            backfilling.sync = Some(self.next_sync());
        }
        if backfilling.count(&mut self.session, false)? {
            self.end_backfill(backfilling);
        } else {
            self.backfilling = Some(backfilling);
        }
        Ok(())
    }

    /// The number of the next sync, which begins as soon as it may.
    fn next_sync(&mut self) -> u64 {
        self.unsynced = true;
        self.syncs_begun + 1
    }

    /// Counts all that is left for rules whose time has come.
    fn backfill_at_once(&mut self) -> Result<(), LiveError> {
        while self.session.evaluator().awaits_backfill().is_some() {
            self.backfill()?;
            let Some(mut backfilling) = self.backfilling.take() else { continue };
            let synced = match self.journal.begin_sync()?.wait() {
                Ok(synced) => synced,
                Err(error) => return Err(self.with_cause(error).into()),
            };
            let position = synced.position();
            self.told = None;
            self.note_position(synced);
            backfilling.tell(&position);
            backfilling.count(&mut self.session, true)?;
            self.end_backfill(backfilling);
        }
        Ok(())
    }

    fn end_backfill(&mut self, backfilling: Backfilling) {
        let done = backfilling.end(&mut self.session);
        tracing::info!(
            records = done.records,
            took_ms = done.took.as_millis() as u64,
            waited_ms = done.waited.as_millis() as u64,
            pause_ms = done.pause_max.as_millis() as u64,
            "backfilled"
        );
        self.shared.status(|s| (s.backfills, s.backfilled) = (s.backfills + 1, done));
    }

    fn refuse(&mut self, rejected: Rejected) -> Result<(), LiveError> {
        self.write(&Entry::refused(&rejected))?;
        self.session.count_refused(rejected);
        Ok(())
    }

    /// Says in the journal whose record comes next, where that does not follow.
    fn tell_origin(&mut self, source: &Arc<str>, origin: Origin) -> Result<(), LiveError> {
        let follows = self.told.as_ref().is_some_and(|(told, line)| told == source && *line == origin.line);
        if !follows {
            self.write(&Entry::From { source: source.to_string(), record: origin.line })?;
        }
        self.told = Some((Arc::clone(source), origin.line + 1));
        Ok(())
    }

    fn write(&mut self, entry: &Entry) -> Result<(), LiveError> {
        let bytes = entry.to_bytes().map_err(LiveError::State)?;
        // Retention goes by event time: an entry lies with the events around it.
        let at = self.session.watermark().unwrap_or(Timestamp(0));
        Ok(self.journal.append(at, &bytes)?)
    }

    fn advance(&mut self, now: Timestamp) -> Result<(), LiveError> {
        let watermark = now.0.saturating_sub(self.options.eval.lateness.0);
        let known = self.session.watermark();
        if watermark < self.clock.saturating_add(SECOND_NS) || known.is_none_or(|known| watermark <= known.0) {
            return Ok(());
        }
        self.clock = watermark;
        self.write(&Entry::Advance { watermark })?;
        self.session.advance(Timestamp(watermark));
        self.unsynced = true;
        self.taken += 1;
        Ok(())
    }

    /// Begins to sync what was taken in, one sync at a time.
    fn sync_group(&mut self) -> Result<(), LiveError> {
        if !self.unsynced || self.syncing || !self.sync_wait().is_zero() {
            return Ok(());
        }
        let syncing = self.journal.begin_sync()?;
        self.sync_began = now();
        self.sync_source = self.told.as_ref().map(|(source, _)| source.to_string());
        self.syncs_begun += 1;
        (self.unsynced, self.syncing) = (false, true);
        let stopped = || LiveError::Thread("the thread that syncs has stopped".to_string());
        self.syncs.send((syncing, take(&mut self.acks))).map_err(|_| stopped())
    }

    fn note_synced(&mut self) -> Result<(), LiveError> {
        while let Ok(synced) = self.synced.try_recv() {
            self.syncing = false;
            self.syncs_ended += 1;
            match synced {
                Ok(synced) => {
                    let position = synced.position();
                    let source = self.sync_source.take();
                    self.note_position_of(synced, source);
                    if let Some(backfilling) = &mut self.backfilling {
                        backfilling.note_synced(self.syncs_ended, &position);
                    }
                }
                Err(error) => return Err(self.with_cause(error).into()),
            }
        }
        Ok(())
    }

    /// Notes how far the journal is safe. Behind it the journal says whose records they are.
    fn note_position(&mut self, synced: Synced) {
        self.note_position_of(synced, None);
    }

    fn note_position_of(&mut self, synced: Synced, source: Option<String>) {
        let position = synced.position();
        self.journal.end_sync(synced);
        self.shared.status(|s| {
            s.syncs += 1;
            s.synced_at = Some(now());
            if position.n_records >= s.journal.n_records {
                s.journal = position;
                s.written.source = source;
            }
        });
    }

    /// Of a journal that has stopped, the journal itself says why.
    fn with_cause(&mut self, error: JournalError) -> JournalError {
        match error {
            JournalError::Stopped => self.journal.sync().err().unwrap_or(JournalError::Stopped),
            error => error,
        }
    }

    /// Goes on with the commit under way, makes up for what waited for it, and begins the next where one is due. Whether more
    /// is to be made up for.
    fn commit_where_due(&mut self) -> Result<bool, LiveError> {
        let held_back = self.session.held_back();
        if let Some(under_way) = self.under_way.as_mut() {
            let patience = if held_back > HELD_BACK_BYTES_MAX { TRICKLE } else { Duration::ZERO };
            if let Some(frozen) = under_way.state(patience) {
                self.session.thaw(frozen);
            }
            if under_way.is_over() {
                self.wait()?;
            }
        }
        let (started, mut behind) = (now(), true);
        while behind && started.elapsed() < CATCH_UP {
            behind = self.session.catch_up(CATCH_UP_EVENTS);
            if self.session.evaluator().awaits_backfill().is_some() {
                break;
            }
        }
        let due = self.checkpoints.due(take(&mut self.taken)) || self.retry_at.is_some();
        let may = self.under_way.is_none() && !behind && self.retry_at.is_none_or(|at| at <= now());
        if due && may {
            self.checkpoint()?;
        }
        Ok(behind)
    }

    /// Begins to commit everything up to the last record.
    fn checkpoint(&mut self) -> Result<(), LiveError> {
        for v in self.session.take_violations() {
            self.pending.insert(v.id.clone(), v);
        }
        self.refused.extend(self.session.take_rejected());
        self.checkpoints.begun();
        let syncing = self.journal.begin_sync()?;
        // Behind the position of the commit nothing is known of what stood before it.
        self.told = None;
        self.tell_rules()?;
        let inputs = self.sources.0.iter().map(|(name, n)| Consumed {
            name: name.clone(),
            content_hash: LIVE_SOURCE.to_string(),
            offset_bytes: 0,
            n_lines: *n,
            finished: false,
        });
        let standing = Standing {
            inputs: inputs.collect(),
            books: self.session.books().by_name(),
            snapshot: Vec::new(),
            journal: None,
        };
        let due = Due {
            violations: take(&mut self.pending).into_values().collect(),
            retracted: Vec::new(),
            rejects: take(&mut self.refused),
            standing,
            evaluator: Vec::new(),
            syncing: Some(syncing),
            synced: None,
            watermark: self.session.watermark(),
            pins: take(&mut self.pins),
        };
        let (saved, frozen) = (self.session.saved(), self.session.freeze()?);
        if let Some(sink) = self.sink.take() {
            self.under_way = Some(UnderWay::begin(self.scope, sink, due, saved, frozen)?);
        }
        Ok(())
    }

    /// Waits until the commit under way has come to its end, and the state is back.
    fn wait(&mut self) -> Result<(), LiveError> {
        let Some(mut under_way) = self.under_way.take() else { return Ok(()) };
        if let Some(frozen) = under_way.state(Duration::MAX) {
            self.session.thaw(frozen);
        }
        let Written { sink, mut due, result, cost } = under_way.end()?;
        self.sink = Some(sink);
        self.checkpoints.done(cost);
        match result.map_err(LiveError::from) {
            Ok(()) => self.committed(due, cost),
            Err(LiveError::Sink(error)) => {
                // The state is here as it was, and the journal holds all: the next commit has what this one had.
                let error = error.to_string();
                tracing::error!(%error, "the log cannot be written; it is tried again");
                for v in take(&mut due.violations) {
                    self.pending.entry(v.id.clone()).or_insert(v);
                }
                self.refused.splice(0..0, take(&mut due.rejects));
                self.pins.splice(0..0, take(&mut due.pins));
                if let Some(synced) = due.synced.take() {
                    self.note_position(synced);
                }
                self.retry_at = Some(now() + Duration::from_millis(self.options.retry_ms));
                self.shared.status(|s| {
                    s.commits_failed += 1;
                    s.last_error = Some(error);
                });
                Ok(())
            }
            Err(LiveError::Journal(error)) => Err(self.with_cause(error).into()),
            Err(error) => Err(error),
        }
    }

    fn committed(&mut self, mut due: Due, cost: Duration) -> Result<(), LiveError> {
        self.retry_at = None;
        due.violations.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
        if !due.violations.is_empty() {
            (self.on_commit)(&due.violations);
        }
        self.shared.status(|s| {
            (s.commits, s.commits_failed) = (s.commits + 1, 0);
            (s.committed_at, s.commit_took) = (Some(now()), cost);
            s.last_error = None;
        });
        let Some(synced) = due.synced.take() else { return Ok(()) };
        let committed = synced.position();
        self.note_position(synced);
        // What is being read is not dropped.
        if let Some(watermark) = due.watermark.filter(|_| self.backfilling.is_none()) {
            self.journal.drop_before(watermark, self.journal_keep, &committed)?;
        }
        Ok(())
    }

    fn publish(&mut self) {
        let held_back = self.session.held_back();
        let waiting = self.pending.len();
        // While the log cannot be written, findings wait; beyond the bound nothing more is taken in.
        let too_many = waiting > self.options.findings_waiting;
        self.shared.queue.take_in(if too_many { Intake::Nothing } else { Intake::All });
        let (books, watermark) = (self.session.books(), self.session.watermark());
        let changes_waiting = self.session.evaluator().successors();
        self.shared.status(|s| {
            s.held_back_bytes = held_back;
            s.findings_waiting = waiting;
            s.backfilling = self.backfilling.is_some();
            s.changes_waiting = changes_waiting;
            s.books = books;
            s.watermark = watermark;
        });
    }

    /// The last sync and the last commit.
    fn finish(&mut self) -> Result<(), LiveError> {
        self.wait()?;
        self.session.defer();
        while self.session.catch_up(usize::MAX) {
            self.backfill_at_once()?;
        }
        if !self.acks.is_empty() || self.unsynced {
            let synced = match self.journal.begin_sync()?.wait() {
                Ok(synced) => synced,
                Err(error) => return Err(self.with_cause(error).into()),
            };
            self.note_position(synced);
            self.unsynced = false;
            take(&mut self.acks).into_iter().for_each(|ack| ack.tell(&self.shared.queue));
        }
        if !self.checkpoints.hold_all() || self.taken > 0 || self.retry_at.is_some() {
            self.checkpoint()?;
            self.wait()?;
        }
        self.publish();
        let failed = self.retry_at.is_some();
        let mut why = String::new();
        self.shared.status(|s| why = s.last_error.clone().unwrap_or_default());
        if failed { Err(LiveError::NotCommitted(why)) } else { Ok(()) }
    }
}

/// What becomes of changed rules, where those are not to be backfilled of which all are said to be and which use a text itself: the
/// journal keeps none.
///
/// # Errors
/// Where that is said of one by name.
fn derivable(old: &RuleSet, new: &RuleSet, mut carries: Carries) -> Result<Carries, SuccessionError> {
    let fates = fates(old, new, &carries)?;
    for rule in new.program().rules.iter().filter(|rule| fates.get(&rule.name) == Some(&Fate::Backfilled)) {
        let Some(field) = not_derivable(new.program(), rule) else { continue };
        let (rule, why) =
            (rule.name.clone(), format!("it uses the text of `{field}` itself, which the journal does not keep"));
        if carries.rules.contains_key(&rule) {
            return Err(SuccessionError::CannotBackfill { rule, why });
        }
        tracing::info!(rule, why, "cannot be backfilled");
        carries.rules.insert(rule, Carry::Reset);
    }
    Ok(carries)
}

/// What a session begins with.
struct Restored {
    session: Session,
    sources: Sources,
    journal: Journal,
    recovered: Recovered,
    /// Bundle hashes of rules that took over behind the last commit.
    changes: Vec<String>,
}

fn restore(sink: &mut dyn Sink, options: &LiveOptions, rules: &Arc<RuleSet>) -> Result<Restored, LiveError> {
    if !sink.keeps_state() {
        return Err(LiveError::NoState);
    }
    let resumed = sink.resume()?;
    let (rules_, eval) = (Arc::clone(rules), options.eval.clone());
    let (mut session, mut sources, mut position) = (None, Sources::default(), Position::START);
    if let Some(resumed) = resumed {
        for input in &resumed.standing.inputs {
            if input.content_hash != LIVE_SOURCE {
                return Err(LiveError::NotLive(input.name.clone()));
            }
            sources.0.push((input.name.clone(), input.n_lines));
        }
        if let Some(text) = &resumed.standing.journal {
            position = text.parse().map_err(|e: crate::journal::NotAPosition| LiveError::State(e.to_string()))?;
        }
        let mut missing = None;
        let mut rules_of = |bundle: &str| match (bundle == rules.bundle_hash()).then(|| Arc::clone(rules)) {
            Some(rules) => Some(rules),
            None => options.library.find(bundle).map_err(|why| missing = Some(why)).ok(),
        };
        let restored = Session::restore_among(&mut rules_of, options.eval.clone(), &resumed.pieces);
        session = Some(restored.map_err(|error| missing.map_or(LiveError::State(error), LiveError::Rules))?);
    }
    let mut session = session.unwrap_or_else(|| Session::new(rules_, eval));
    let mut replay = Replay::new(&options.journal, &*options.library, vec![Arc::clone(rules)]);
    let (end, recovered) = recover(&options.journal, &position, &mut replay, &mut session, &mut sources)?;
    let changes = replay.changes;
    let journal = Journal::open(&options.journal, options.journal_options, &end)?;
    if recovered != Recovered::default() {
        let Recovered { records, cut_bytes } = recovered;
        tracing::info!(records, cut_bytes, "taken in again from the journal");
    }
    Ok(Restored { session, sources, journal, recovered, changes })
}

/// What the log does not say yet of rules that took over: the process ended before the commit that was to say it. Last come
/// those that the session is opened with, which the log says are in force.
fn unsealed(options: &LiveOptions, changes: &[String]) -> Vec<Pins> {
    let Some(given) = &options.pins else { return Vec::new() };
    let of = |bundle: &String| options.library.hashes(bundle);
    let pins = |of: PackPins| Pins { rules: of.rules, lists: of.lists, registry: of.registry, ..given.clone() };
    let mut unsealed: Vec<Pins> = changes.iter().filter_map(of).map(pins).collect();
    if !unsealed.is_empty() {
        unsealed.push(given.clone());
    }
    unsealed
}

/// Routes an event under the rules of its time.
fn route(
    routers: &mut Vec<EventRouter>,
    evaluator: &Evaluator,
    event: &UsageEvent<'_>,
    salt: &Salt,
    into: &mut RoutedEvents,
) {
    let rules = evaluator.rules_at(event.ts());
    let known = routers.iter().position(|router| Arc::ptr_eq(router.rules(), rules));
    let at = known.unwrap_or_else(|| {
        // Those that were in force before are of no use any more.
        routers.retain(|router| evaluator.knows(router.rules()));
        routers.push(EventRouter::new(Arc::clone(rules)));
        routers.len() - 1
    });
    if let Some(router) = routers.get_mut(at) {
        router.route(event, Some(salt), into);
    }
}

/// Waits for syncs one after the other, and tells who waits for them.
fn acknowledge(queue: &Queue<Job>, syncs: &Receiver<(Syncing, Acks)>, tell: &Sender<Result<Synced, JournalError>>) {
    while let Ok((syncing, acks)) = syncs.recv() {
        let synced = syncing.wait();
        if synced.is_ok() {
            acks.into_iter().for_each(|ack| ack.tell(queue));
        } else {
            acks.into_iter().rev().for_each(|ack| ack.give_back(queue));
        }
        if tell.send(synced).is_err() {
            return;
        }
        queue.wake();
    }
}
