//! What the journal holds, counted for rules that are to take over as if they had been there. It is read, decompressed and
//! decoded on a thread of its own from the moment the rules are handed in, and counted in slices between the records that come
//! meanwhile, so that next to nothing is left to do when their time comes. If something is, events wait for it, and whoever
//! hands them in does not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use super::LiveError;
use super::entry::{Entry, Read, read};
use super::library::Library;
use super::status::Backfilled;
use crate::eval::{Backfill, Origin, Recalled, TestNames};
use crate::journal::{self, Position};
use crate::plan::RuleSet;
use crate::runtime::checkpoint::now;
use crate::runtime::session::Session;
use crate::time::{Duration as Span, Timestamp};

/// How long is counted before records are taken in again.
const SLICE: Duration = Duration::from_millis(5);
/// The same once the time of the rules has come, and events wait for them.
const SLICE_AWAITED: Duration = Duration::from_millis(50);
/// How often what has come meanwhile is read, before that time.
const FOLLOW: Duration = Duration::from_secs(5);
/// Records that are read ahead: so many batches of so many.
const AHEAD_BATCHES: usize = 4;
const BATCH_RECORDS: usize = 2_048;

/// What of a record of the journal rules count that were not there when it was written.
#[derive(Debug)]
pub(super) enum Counted {
    Event(Box<Recalled>, Arc<TestNames>),
    Advance(Timestamp),
}

impl Counted {
    pub(super) fn count(&self, backfill: &mut Backfill) {
        match self {
            Counted::Event(recalled, names) => backfill.observe(recalled, names, Origin::default()),
            Counted::Advance(watermark) => backfill.advance(*watermark),
        }
    }
}

/// Reads a journal for rules that did not write it.
#[derive(Debug)]
pub(super) struct Past {
    reading: Arc<RuleSet>,
    lateness: Span,
    /// What rule sets call their tests, by the time from which they wrote the journal.
    writers: Vec<(i64, Arc<TestNames>)>,
    watermark: i64,
}

impl Past {
    pub(super) fn new(reading: Arc<RuleSet>, lateness: Span) -> Past {
        Past { reading, lateness, writers: Vec::new(), watermark: i64::MIN }
    }

    /// What is to be counted of the next record. What stands in the journal before it says under which rules it goes on, after
    /// its beginning was dropped, is left out.
    pub(super) fn read(
        &mut self,
        record: &[u8],
        rules_of: &mut dyn FnMut(&str) -> Result<Arc<RuleSet>, LiveError>,
    ) -> Result<Option<Counted>, LiveError> {
        match read(record).map_err(LiveError::Replay)? {
            Read::Event(recalled) => {
                let ts = recalled.event.ts().0;
                let in_force = ts.max(self.watermark);
                let names =
                    self.writers.iter().rev().find(|(at, _)| *at <= in_force).map(|(_, names)| Arc::clone(names));
                self.watermark = self.watermark.max(ts.saturating_sub(self.lateness.0));
                Ok(names.map(|names| Counted::Event(recalled, names)))
            }
            Read::Entry(Entry::Advance { watermark }) => {
                self.watermark = self.watermark.max(watermark);
                Ok(Some(Counted::Advance(Timestamp(watermark))))
            }
            Read::Entry(Entry::Rules { bundle, at, .. }) => {
                if let Some(at) = at.or_else(|| self.writers.is_empty().then_some(i64::MIN)) {
                    let names = TestNames::between(&*rules_of(&bundle)?, &self.reading);
                    self.writers.push((at, Arc::new(names)));
                }
                Ok(None)
            }
            Read::Entry(_) => Ok(None),
        }
    }
}

/// Up to where the journal can be read, and whether nothing behind it is wanted.
#[derive(Debug, Clone, Copy)]
struct Reach {
    until: Position,
    is_last: bool,
}

type Batch = Result<Vec<Counted>, LiveError>;

/// A backfill under way.
#[derive(Debug)]
pub(super) struct Backfilling {
    backfill: Box<Backfill>,
    reach: Sender<Reach>,
    batches: Receiver<Batch>,
    /// Of the batch in hand.
    rest: std::vec::IntoIter<Counted>,
    /// The sync that is waited for to know how far the journal reaches.
    pub(super) sync: Option<u64>,
    told_at: Instant,
    told_last: bool,
    /// Since when events wait.
    awaited_at: Option<Instant>,
    began: Instant,
    done: Backfilled,
}

/// Where the journal lies, and under which rules it was written.
#[derive(Debug, Clone)]
pub(super) struct Source<'s> {
    pub(super) dir: PathBuf,
    pub(super) library: &'s dyn Library,
    /// Rules that are known beside the library.
    pub(super) given: Arc<RuleSet>,
}

impl Backfilling {
    /// Begins to read. `sync` is the first that tells how far the journal reaches.
    pub(super) fn begin<'scope>(
        scope: &'scope Scope<'scope, '_>,
        session: &mut Session,
        source: Source<'scope>,
        sync: u64,
    ) -> Result<Option<Backfilling>, LiveError> {
        let lateness = session.evaluator().options().lateness;
        let Some(backfill) = session.begin_backfill() else { return Ok(None) };
        let past = Past::new(Arc::clone(backfill.rules()), lateness);
        let (reach, reaches) = channel();
        let (tell, batches) = sync_channel(AHEAD_BATCHES);
        let work = move || {
            if let Err(Some(error)) = read_ahead(&source, past, &reaches, &tell) {
                // Whoever counts may have gone.
                let _ = tell.send(Err(error));
            }
        };
        let thread = Builder::new().name("fineprint-backfill".to_owned()).spawn_scoped(scope, work);
        thread.map_err(|e| LiveError::Thread(format!("cannot start a thread: {e}")))?;
        let (rest, began) = (Vec::new().into_iter(), now());
        let done = Backfilled::default();
        let (sync, told_at, awaited_at) = (Some(sync), began, None);
        Ok(Some(Backfilling {
            backfill,
            reach,
            batches,
            rest,
            sync,
            told_at,
            told_last: false,
            awaited_at,
            began,
            done,
        }))
    }

    /// Notes that events wait for it from now on; whether that was not so before.
    pub(super) fn await_it(&mut self) -> bool {
        let is_new = self.awaited_at.is_none();
        self.awaited_at.get_or_insert_with(now);
        is_new
    }

    /// Whether it is time to ask how far the journal reaches by now.
    pub(super) fn follows(&self) -> bool {
        self.sync.is_none() && !self.told_last && self.told_at.elapsed() >= FOLLOW
    }

    /// Notes that the journal is safe up to a position, where that is what was waited for: `synced` syncs have come to an end.
    pub(super) fn note_synced(&mut self, synced: u64, until: &Position) {
        if self.sync.is_none_or(|sync| synced < sync) {
            return;
        }
        self.sync = None;
        self.tell(until);
    }

    /// Tells the thread how far the journal reaches.
    pub(super) fn tell(&mut self, until: &Position) {
        (self.told_at, self.told_last) = (now(), self.awaited_at.is_some());
        // A thread that has gone says so by what it told last.
        let _ = self.reach.send(Reach { until: *until, is_last: self.told_last });
    }

    /// Counts what has been read, for a slice of time or, where `waits`, until all is counted. Whether it is: nothing is left
    /// up to the time of the rules.
    pub(super) fn count(&mut self, session: &mut Session, waits: bool) -> Result<bool, LiveError> {
        let started = now();
        let slice = if self.awaited_at.is_some() { SLICE_AWAITED } else { SLICE };
        let mut is_over = self.backfill.is_over();
        while !is_over && (waits || started.elapsed() < slice) {
            if self.rest.len() == 0 {
                let batch = match waits {
                    true => self.batches.recv().map_err(|_| TryRecvError::Disconnected),
                    false => self.batches.try_recv(),
                };
                match batch {
                    Ok(batch) => self.rest = batch?.into_iter(),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        is_over = true;
                        break;
                    }
                }
            }
            let (rest, backfill) = (&mut self.rest, &mut self.backfill);
            let n = session.count_in(backfill, |backfill| {
                let mut n = 0;
                for counted in rest.by_ref().take(64) {
                    counted.count(backfill);
                    n += 1;
                }
                n
            });
            self.done.records += n;
            is_over = self.backfill.is_over();
        }
        self.done.pause_max = self.done.pause_max.max(started.elapsed());
        Ok(is_over && self.awaited_at.is_some())
    }

    /// Whether there is something to count at once.
    pub(super) fn is_busy(&self) -> bool {
        self.rest.len() > 0
    }

    /// The rules take over; what it took.
    pub(super) fn end(self, session: &mut Session) -> Backfilled {
        let started = now();
        let Backfilling { backfill, mut done, began, awaited_at, .. } = self;
        session.end_backfill(backfill);
        session.catch_up(1);
        done.pause_max = done.pause_max.max(started.elapsed());
        (done.took, done.waited) = (began.elapsed(), awaited_at.map_or(Duration::ZERO, |at| at.elapsed()));
        done
    }
}

/// Reads the journal as far as it reaches, and what has come meanwhile whenever that is told. Ends with nothing where nobody
/// counts any more.
fn read_ahead(
    source: &Source<'_>,
    mut past: Past,
    reaches: &Receiver<Reach>,
    tell: &SyncSender<Batch>,
) -> Result<(), Option<LiveError>> {
    let mut rules_of = |bundle: &str| match source.given.bundle_hash() == bundle {
        true => Ok(Arc::clone(&source.given)),
        false => source.library.find(bundle).map_err(LiveError::Rules),
    };
    let (mut from, mut batch) = (None, Vec::with_capacity(BATCH_RECORDS));
    let mut take = |record: &[u8]| -> Result<(), Option<LiveError>> {
        batch.extend(past.read(record, &mut rules_of).map_err(Some)?);
        if batch.len() >= BATCH_RECORDS {
            tell.send(Ok(std::mem::replace(&mut batch, Vec::with_capacity(BATCH_RECORDS)))).map_err(|_| None)?;
        }
        Ok(())
    };
    loop {
        let Reach { until, is_last } = reaches.recv().map_err(|_| None)?;
        from = Some(match from {
            None => first(&source.dir, &until, &mut take)?,
            Some(from) => behind(&source.dir, &from, &mut take)?,
        });
        if is_last {
            break;
        }
    }
    if !batch.is_empty() {
        tell.send(Ok(batch)).map_err(|_| None)?;
    }
    Ok(())
}

type Take<'t> = &'t mut dyn FnMut(&[u8]) -> Result<(), Option<LiveError>>;

/// Reads a journal from its beginning.
fn first(dir: &Path, until: &Position, take: Take<'_>) -> Result<Position, Option<LiveError>> {
    for projection in journal::read(dir, Some(until)).map_err(|e| Some(e.into()))? {
        take(&projection.map_err(|e| Some(e.into()))?.record)?;
    }
    Ok(*until)
}

/// Reads what lies behind a position: at least what was safe when it was told to.
fn behind(dir: &Path, from: &Position, take: Take<'_>) -> Result<Position, Option<LiveError>> {
    let mut tail = journal::tail(dir, from).map_err(|e| Some(e.into()))?;
    while let Some(projection) = tail.next_record().map_err(|e| Some(e.into()))? {
        take(&projection.record)?;
    }
    Ok(tail.end())
}
