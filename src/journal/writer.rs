//! Writing: the caller copies records into a frame; a thread compresses frames, writes them and rolls segments over.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::error::At;
use super::format::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, push_record, segment_path};
use super::reader::{self, OpenSegment};
use super::salt;
use super::segments::{Worker, skim, sync_dir};
use super::{
    FRAME_BYTES_MAX, JournalError, Position, ProjectionSink, QUEUE_FRAMES_MAX, RECORD_BYTES_MAX, SEGMENT_BYTES_MAX,
};
use crate::time::{Duration, Timestamp};

/// How a journal is written. Does not change what is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalOptions {
    /// Effort of compression, 1 to 3; others are taken as the nearest.
    pub level: i32,
    /// A segment is rolled over before it grows beyond this, at most [`SEGMENT_BYTES_MAX`]. One frame always fits.
    pub segment_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions { level: 1, segment_bytes: SEGMENT_BYTES_MAX }
    }
}

/// A line of the journal's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its number, from 1.
    pub segment: u64,
    /// Least event time in it.
    pub ts_min: Timestamp,
    /// Greatest event time in it.
    pub ts_max: Timestamp,
    /// Records in it.
    pub n_records: u64,
    /// Its size.
    pub n_bytes: u64,
    /// SHA-256 of its bytes, which the next segment's header repeats; `None` for the last segment.
    pub hash: Option<[u8; 32]>,
}

/// A frame on its way to the thread, or a question to it.
pub(super) enum Job {
    Frame { raw: Vec<u8>, n_records: u32, times: (Timestamp, Timestamp) },
    Sync { reply: SyncSender<Synced> },
}

/// The answer to a sync: the position, and the segments that are new or have changed since the last one.
#[derive(Debug)]
pub struct Synced {
    pub(super) position: Position,
    pub(super) segments: Vec<Segment>,
}

impl Synced {
    /// What is safe.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// A sync under way. It may be waited for on any thread, while records are appended.
#[derive(Debug)]
pub struct Syncing(Receiver<Synced>);

impl Syncing {
    /// Waits until what was appended before is safe.
    ///
    /// # Errors
    /// [`JournalError::Stopped`]; the next call of the journal says why.
    pub fn wait(self) -> Result<Synced, JournalError> {
        self.0.recv().map_err(|_| JournalError::Stopped)
    }
}

/// A journal that is written. Dropping it keeps what was synced; of the rest nothing is promised.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    frame: Vec<u8>,
    n_records: u32,
    times: (Timestamp, Timestamp),
    jobs: Option<SyncSender<Job>>,
    /// Emptied frames, to be filled again.
    spare: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<Result<(), JournalError>>>,
    segments: Vec<Segment>,
    salt: [u8; 32],
}

impl Journal {
    /// Opens a journal at a position, [`Position::START`] for a new one, and drops whatever lies behind it: it was written
    /// by a run that was killed before it committed. The directory is created, its parent is not.
    ///
    /// # Errors
    /// [`JournalError::Lost`] where the journal ends before the position, [`JournalError::Damaged`] where what lies before
    /// it in its segment is not what the position was taken of, [`JournalError::Salt`] where its secret is not there any more.
    /// Nothing is dropped then.
    pub fn open(dir: &Path, options: JournalOptions, at: &Position) -> Result<Journal, JournalError> {
        if !dir.is_dir() {
            std::fs::create_dir(dir).at("create", dir)?;
            sync_dir(dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        }
        let salt = salt::open(dir, at)?;
        let resumed = truncate_to(dir, at)?;
        let mut segments = Vec::new();
        for segment in reader::list(dir)? {
            segments.push(skim(dir, segment)?);
        }
        // Only a segment's successor and the position know its hash; the last one is still open.
        for i in 1..segments.len() {
            if let Some([before, (_, previous)]) = segments.get_mut(i - 1..=i) {
                before.0.hash = Some(*previous);
            }
        }
        let segments: Vec<Segment> = segments.into_iter().map(|(segment, _)| segment).collect();
        let (jobs, queue) = sync_channel(QUEUE_FRAMES_MAX);
        let (give_back, spare) = sync_channel(QUEUE_FRAMES_MAX + 2);
        let worker = Worker::new(dir, options, resumed, *at, segments.last().copied())?;
        let thread = std::thread::Builder::new()
            .name("fineprint-journal".to_owned())
            .spawn(move || worker.run(&queue, &give_back))
            .at("start the thread of", dir)?;
        Ok(Journal {
            dir: dir.to_owned(),
            frame: Vec::with_capacity(FRAME_BYTES_MAX),
            n_records: 0,
            times: (Timestamp::MAX, Timestamp::MIN),
            jobs: Some(jobs),
            spare,
            thread: Some(thread),
            segments,
            salt,
        })
    }

    /// The secret under which commitments of this journal are made. Lies beside the directory, in `DIR.salt`.
    pub fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    /// The index as of the last sync or opening, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Drops the oldest segments of which every record is older than `watermark − keep`, where `keep` is at least the
    /// longest window of any rule. `committed` is the position that the log holds: its segment and later ones stay, since
    /// a kill would lead back to it. Returns how many were dropped.
    ///
    /// # Errors
    /// What the file system says; those dropped before stay dropped.
    pub fn drop_before(
        &mut self,
        watermark: Timestamp,
        keep: Duration,
        committed: &Position,
    ) -> Result<usize, JournalError> {
        let before = watermark.saturating_sub(keep);
        let old = |s: &&Segment| s.ts_max < before && s.segment < committed.segment;
        let n = self.segments.iter().take_while(old).count();
        // From the oldest on, so that what a kill leaves has no gap.
        for segment in self.segments.drain(..n) {
            let path = segment_path(&self.dir, segment.segment);
            std::fs::remove_file(&path).at("remove", &path)?;
        }
        if n > 0 {
            sync_dir(&self.dir)?;
        }
        Ok(n)
    }

    /// Begins to make safe what was appended so far, as [`ProjectionSink::sync`] does, without waiting for it.
    ///
    /// # Errors
    /// What the thread that writes says.
    pub fn begin_sync(&mut self) -> Result<Syncing, JournalError> {
        self.hand_over()?;
        let (reply, answer) = sync_channel(1);
        self.send(Job::Sync { reply })?;
        Ok(Syncing(answer))
    }

    /// Takes note of what a sync has found; to be called once for each that was begun, in any order.
    pub fn end_sync(&mut self, synced: Synced) {
        for segment in synced.segments {
            match self.segments.binary_search_by_key(&segment.segment, |s| s.segment) {
                Ok(at) => {
                    let known = self.segments.get_mut(at);
                    // A sync that began later may be told earlier: it knows more.
                    if let Some(known) = known.filter(|known| known.hash.is_none() && known.n_bytes <= segment.n_bytes)
                    {
                        *known = segment;
                    }
                }
                Err(at) => self.segments.insert(at, segment),
            }
        }
    }

    fn hand_over(&mut self) -> Result<(), JournalError> {
        if self.n_records == 0 {
            return Ok(());
        }
        let empty = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(FRAME_BYTES_MAX));
        let raw = std::mem::replace(&mut self.frame, empty);
        let job = Job::Frame { raw, n_records: self.n_records, times: self.times };
        (self.n_records, self.times) = (0, (Timestamp::MAX, Timestamp::MIN));
        self.send(job)
    }

    fn send(&mut self, job: Job) -> Result<(), JournalError> {
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(self.failure()) }
    }

    /// Why the thread has stopped. Only the first to ask hears it.
    fn failure(&mut self) -> JournalError {
        self.jobs = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => error,
            _ => JournalError::Stopped,
        }
    }
}

impl ProjectionSink for Journal {
    fn append(&mut self, ts: Timestamp, record: &[u8]) -> Result<(), JournalError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(JournalError::RecordTooLarge { bytes: record.len() });
        }
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(self.failure());
        }
        if self.frame.len() + RECORD_HEADER_BYTES + record.len() > FRAME_BYTES_MAX {
            self.hand_over()?;
        }
        push_record(&mut self.frame, ts, record);
        self.n_records += 1;
        self.times = (self.times.0.min(ts), self.times.1.max(ts));
        Ok(())
    }

    fn sync(&mut self) -> Result<Option<Position>, JournalError> {
        let syncing = self.begin_sync()?;
        let Ok(synced) = syncing.wait() else { return Err(self.failure()) };
        let position = synced.position;
        self.end_sync(synced);
        Ok(Some(position))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Its error was about records that nobody has synced.
            let _ = thread.join();
        }
    }
}

/// Drops everything behind a position, from the end on, so that what a kill leaves has no gap. Returns the segment in which
/// to go on; `None` before the first.
fn truncate_to(dir: &Path, at: &Position) -> Result<Option<OpenSegment>, JournalError> {
    let mut segments = reader::list(dir)?;
    let lost = || JournalError::Lost { dir: dir.to_owned(), segment: at.segment, offset: at.offset_bytes };
    let mut resumed = None;
    if at.segment > 0 {
        let path = segment_path(dir, at.segment);
        let n_bytes = if segments.contains(&at.segment) { path.metadata().at("look at", &path)?.len() } else { 0 };
        if n_bytes < at.offset_bytes || at.offset_bytes < SEGMENT_HEADER_BYTES as u64 {
            return Err(lost());
        }
        let mut open = OpenSegment::begin(dir, at.segment, Some(at.offset_bytes))?;
        while open.next_header()?.is_some() {}
        if open.position() != *at {
            return Err(open.damaged("what comes before it is not what the position was taken of"));
        }
        resumed = Some(open);
    }
    while let Some(segment) = segments.pop().filter(|s| *s > at.segment) {
        let path = segment_path(dir, segment);
        std::fs::remove_file(&path).at("remove", &path)?;
    }
    if at.segment > 0 {
        let path = segment_path(dir, at.segment);
        let file = OpenOptions::new().write(true).open(&path).at("open", &path)?;
        file.set_len(at.offset_bytes).at("truncate", &path)?;
        file.sync_all().at("sync", &path)?;
    }
    sync_dir(dir)?;
    Ok(resumed)
}

/// Opens a segment to append to it.
pub(super) fn append_to(path: &Path) -> Result<File, JournalError> {
    OpenOptions::new().append(true).open(path).at("open", path)
}
