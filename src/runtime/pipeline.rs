//! Reading and routing ahead of the evaluator, each on threads of their own. What is found does not show it: batches are taken
//! in the order in which they were read.
//!
//! One thread reads, a few decode and route in turns, and the caller takes batch after batch. Records of several inputs are
//! decoded where they are read, for their times decide which comes first. Nothing runs further ahead than a few batches, and a batch ends where the next record may have to be waited for, so that a slow pipe delays nothing.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use super::input::{InputError, Merged, ReadSoFar};
use crate::eval::{EventRouter, Origin, RoutedEvents, Salt};
use crate::event::UsageEvent;
use crate::event::decode::{Decoder, Reject};
use crate::feed::Format;
use crate::plan::RuleSet;

/// Most records of a batch.
const BATCH_RECORDS_MAX: usize = 512;
/// A batch is handed on once its events have so many bytes of text: few enough that they stay in the cache of the core that reads them.
const BATCH_BYTES: usize = 128 << 10;
/// Batches that wait before each thread.
const QUEUE_BATCHES_MAX: usize = 2;
/// Most threads that route.
const ROUTERS_MAX: usize = 4;

/// Records in the order in which they were read.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    pub(super) routed: RoutedEvents,
    /// How far the inputs were read when its last record was.
    pub(super) read: ReadSoFar,
    /// Keys that no field has, that the router met first in this batch.
    pub(super) unknown_names: Vec<String>,
    /// Records that are not decoded yet, and how they are to be.
    raw: Vec<u8>,
    spans: Vec<(Origin, Range<usize>)>,
    format: Option<Arc<Format>>,
    /// Events before they are routed; more than are in use.
    events: Vec<UsageEvent<'static>>,
    used: usize,
    /// Bytes of all that are in use.
    bytes: usize,
}

/// A record that was read.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) origin: Origin,
    /// Which of the routed events it is, or why it is none.
    pub(super) event: Result<usize, Reject>,
}

impl Batch {
    fn clear(&mut self) {
        self.records.clear();
        self.routed.clear();
        self.unknown_names.clear();
        self.spans.clear();
        self.raw.clear();
        self.raw.shrink_to(4 * BATCH_BYTES);
        self.used = 0;
        self.bytes = 0;
        // After long prompts: their memory is not kept for short ones.
        if self.events.iter().map(|e| e.text_bytes().1).sum::<usize>() > 4 * BATCH_BYTES {
            self.events.clear();
        }
    }

    fn take(&mut self, origin: Origin, read: Result<UsageEvent<'_>, Reject>) {
        let event = read.map(|event| {
            if self.used == self.events.len() {
                self.events.push(UsageEvent::default());
            }
            if let Some(place) = self.events.get_mut(self.used) {
                event.copy_to(place);
                self.bytes += place.text_bytes().0;
            }
            self.used += 1;
            self.used - 1
        });
        self.records.push(Record { origin, event });
    }

    fn take_raw(&mut self, origin: Origin, record: &[u8], format: &Arc<Format>) {
        let from = self.raw.len();
        self.raw.extend_from_slice(record);
        self.spans.push((origin, from..self.raw.len()));
        self.bytes = self.raw.len();
        if self.spans.len() == 1 {
            self.format = Some(Arc::clone(format));
        }
    }

    /// How many records it has, decoded or not.
    fn len(&self) -> usize {
        self.records.len() + self.spans.len()
    }

    fn route(&mut self, router: &mut EventRouter, decoder: &mut Decoder, salt: Option<&Salt>) {
        for event in self.events.iter().take(self.used) {
            router.route(event, salt, &mut self.routed);
        }
        let Some(format) = self.format.take() else { return };
        let known = decoder.unknown_names().count();
        for (origin, span) in self.spans.drain(..) {
            let decoded = format.decode(decoder, self.raw.get(span).unwrap_or_default());
            let event = decoded.map(|event| {
                router.route(&event, salt, &mut self.routed);
                decoder.recycle(event);
                self.routed.len() - 1
            });
            self.records.push(Record { origin, event });
        }
        if decoder.unknown_names().count() > known {
            self.unknown_names.extend(decoder.unknown_names().map(str::to_string));
        }
    }
}

/// What goes from thread to thread.
enum Message {
    Batch(Box<Batch>),
    End(Box<ReadSoFar>),
    Failed(InputError),
}

/// What [`Pipeline::next`] found.
pub(super) enum Next {
    /// Records.
    Batch(Box<Batch>),
    /// Nothing so far.
    Waiting,
    /// The inputs have ended.
    End(Box<ReadSoFar>),
}

/// Why nothing more comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum PipelineError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    #[error("a thread that reads ahead has stopped")]
    Stopped,
}

/// Threads that read and route ahead. They end when it is dropped; one that waits for a pipe ends with the process.
pub(super) struct Pipeline {
    routed: Vec<Receiver<Message>>,
    turn: usize,
    spare: Sender<Box<Batch>>,
}

impl Pipeline {
    /// Starts. A batch has at most `records_max` records; with a salt, events are projected for the journal.
    pub(super) fn start(
        rules: &Arc<RuleSet>,
        merged: Merged,
        records_max: u64,
        salt: Option<Salt>,
    ) -> Result<Pipeline, PipelineError> {
        let n = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, ROUTERS_MAX);
        let (spare, empty) = channel();
        let (mut to_routers, mut routed) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let (to_router, read) = sync_channel(QUEUE_BATCHES_MAX);
            let (done, out) = sync_channel(QUEUE_BATCHES_MAX);
            to_routers.push(to_router);
            routed.push(out);
            let router = EventRouter::new(Arc::clone(rules));
            spawn("fineprint-route", move || route(router, salt.as_ref(), &read, &done))?;
        }
        let records_max = usize::try_from(records_max).unwrap_or(usize::MAX).clamp(1, BATCH_RECORDS_MAX);
        spawn("fineprint-read", move || read(merged, records_max, &empty, &to_routers))?;
        Ok(Pipeline { routed, turn: 0, spare })
    }

    /// The next batch, if there is one within `patience`.
    pub(super) fn next(&mut self, patience: Duration) -> Result<Next, PipelineError> {
        let Some(routed) = self.routed.get(self.turn) else { return Err(PipelineError::Stopped) };
        let message = match routed.recv_timeout(patience) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => return Ok(Next::Waiting),
            Err(RecvTimeoutError::Disconnected) => return Err(PipelineError::Stopped),
        };
        self.turn = (self.turn + 1) % self.routed.len();
        match message {
            Message::Batch(batch) => Ok(Next::Batch(batch)),
            Message::End(read) => Ok(Next::End(read)),
            Message::Failed(error) => Err(error.into()),
        }
    }

    /// Gives a batch back, to be filled again.
    pub(super) fn give_back(&self, batch: Box<Batch>) {
        // Nobody takes it any more once everything is read.
        let _ = self.spare.send(batch);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), PipelineError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(PipelineError::Thread)
}

/// Reads everything, and hands the batches to the routers in turns. Ends early when nobody takes them any more.
fn read(mut merged: Merged, records_max: usize, empty: &Receiver<Box<Batch>>, routers: &[SyncSender<Message>]) {
    let mut turns = routers.iter().cycle();
    let mut send = |message| turns.next().is_some_and(|router| router.send(message).is_ok());
    loop {
        let mut batch = empty.try_recv().unwrap_or_default();
        batch.clear();
        let filled = fill(&mut merged, records_max, &mut batch);
        batch.read = merged.so_far();
        let read = batch.read.clone();
        if batch.len() > 0 && !send(Message::Batch(batch)) {
            return;
        }
        match filled {
            Ok(true) => {}
            Ok(false) => {
                send(Message::End(Box::new(read)));
                return;
            }
            Err(error) => {
                send(Message::Failed(error));
                return;
            }
        }
    }
}

/// Fills a batch; whether there may be more.
fn fill(merged: &mut Merged, records_max: usize, batch: &mut Batch) -> Result<bool, InputError> {
    while batch.len() < records_max && batch.bytes < BATCH_BYTES {
        if merged.is_single() {
            let Some((origin, record, format)) = merged.next_record()? else { return Ok(false) };
            batch.take_raw(origin, record.bytes, format);
        } else {
            let n = merged.next(|input, line, read| {
                batch.take(Origin { input, line }, read);
                Ok::<(), InputError>(())
            })?;
            if n == 0 {
                return Ok(false);
            }
        }
        if merged.may_wait() {
            break;
        }
    }
    Ok(true)
}

fn route(mut router: EventRouter, salt: Option<&Salt>, read: &Receiver<Message>, done: &SyncSender<Message>) {
    let mut decoder = Decoder::new();
    while let Ok(mut message) = read.recv() {
        if let Message::Batch(batch) = &mut message {
            batch.route(&mut router, &mut decoder, salt);
        }
        if done.send(message).is_err() {
            return;
        }
    }
}
