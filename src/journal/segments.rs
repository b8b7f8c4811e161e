//! The thread behind a journal: frames in, segments out.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};

use sha2::{Digest, Sha256};

use super::error::At;
use super::format::{FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader, segment_path};
use super::reader::OpenSegment;
use super::writer::{Job, JournalOptions, Segment, Synced, append_to};
use super::{JournalError, Position, SEGMENT_BYTES_MAX};
use crate::time::Timestamp;

/// Owns the segment that is being written.
pub(super) struct Worker {
    dir: PathBuf,
    segment_bytes: u64,
    compressor: zstd::bulk::Compressor<'static>,
    compressed: Vec<u8>,
    current: Option<Current>,
    /// Records of all segments so far.
    n_records: u64,
    /// Segments that were sealed since the last sync.
    sealed: Vec<Segment>,
    /// A file was created since the last sync: its name is durable once the directory is.
    created: bool,
}

struct Current {
    path: PathBuf,
    file: File,
    hash: Sha256,
    line: Segment,
}

impl Worker {
    pub(super) fn new(
        dir: &Path,
        options: JournalOptions,
        resumed: Option<OpenSegment>,
        at: Position,
        line: Option<Segment>,
    ) -> Result<Self, JournalError> {
        let current = match (resumed, line) {
            (Some(open), Some(line)) => {
                let path = segment_path(dir, line.segment);
                Some(Current { file: append_to(&path)?, path, hash: open.into_hash(), line })
            }
            _ => None,
        };
        Ok(Worker {
            dir: dir.to_owned(),
            segment_bytes: options.segment_bytes.min(SEGMENT_BYTES_MAX),
            compressor: zstd::bulk::Compressor::new(options.level.clamp(1, 3)).at("compress for", dir)?,
            compressed: Vec::new(),
            current,
            n_records: at.n_records,
            sealed: Vec::new(),
            created: false,
        })
    }

    /// Works until the journal is dropped or something fails.
    pub(super) fn run(mut self, jobs: &Receiver<Job>, give_back: &SyncSender<Vec<u8>>) -> Result<(), JournalError> {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Frame { mut raw, n_records, times } => {
                    self.write(&raw, n_records, times)?;
                    raw.clear();
                    // A full channel has frames enough; this one is let go.
                    let _ = give_back.try_send(raw);
                }
                Job::Sync { reply } => {
                    let synced = self.sync()?;
                    // Nobody waits any more: the journal is being dropped.
                    let _ = reply.send(synced);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, raw: &[u8], n_records: u32, times: (Timestamp, Timestamp)) -> Result<(), JournalError> {
        self.compressed.clear();
        self.compressed.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        self.compressor.compress_to_buffer(raw, &mut self.compressed).at("compress for", &self.dir)?;
        let header = FrameHeader::encode(raw.len() as u32, n_records, times, &self.compressed);
        let n_bytes = (header.len() + self.compressed.len()) as u64;
        let full = |c: &Current| c.line.n_records > 0 && c.line.n_bytes + n_bytes > self.segment_bytes;
        let current = match self.current.take() {
            Some(current) if !full(&current) => self.current.insert(current),
            before => {
                let next = self.roll_over(before)?;
                self.current.insert(next)
            }
        };
        current.file.write_all(&header).at("write to", &current.path)?;
        current.file.write_all(&self.compressed).at("write to", &current.path)?;
        current.hash.update(&header);
        current.hash.update(&self.compressed);
        let line = &mut current.line;
        line.n_bytes += n_bytes;
        line.n_records += u64::from(n_records);
        (line.ts_min, line.ts_max) = (line.ts_min.min(times.0), line.ts_max.max(times.1));
        self.n_records += u64::from(n_records);
        Ok(())
    }

    /// Seals a segment and begins the next, which names its hash. A sealed segment is durable before its successor exists.
    fn roll_over(&mut self, before: Option<Current>) -> Result<Current, JournalError> {
        let (mut segment, mut previous) = (1, [0; 32]);
        if let Some(Current { path, file, hash, mut line }) = before {
            file.sync_all().at("sync", &path)?;
            if std::mem::take(&mut self.created) {
                sync_dir(&self.dir)?;
            }
            (segment, previous) = (line.segment + 1, hash.finalize().into());
            line.hash = Some(previous);
            self.sealed.push(line);
        }
        let header = SegmentHeader { segment, n_records_before: self.n_records, previous }.encode();
        let path = segment_path(&self.dir, segment);
        let mut file = OpenOptions::new().create_new(true).append(true).open(&path).at("create", &path)?;
        file.write_all(&header).at("write to", &path)?;
        self.created = true;
        let mut hash = Sha256::new();
        hash.update(&header);
        let n_bytes = header.len() as u64;
        let (ts_min, ts_max) = (Timestamp::MAX, Timestamp::MIN);
        Ok(Current { path, file, hash, line: Segment { segment, ts_min, ts_max, n_records: 0, n_bytes, hash: None } })
    }

    fn sync(&mut self) -> Result<Synced, JournalError> {
        let mut segments = std::mem::take(&mut self.sealed);
        let position = match &self.current {
            None => Position::START,
            Some(current) => {
                current.file.sync_data().at("sync", &current.path)?;
                segments.push(current.line);
                Position {
                    segment: current.line.segment,
                    offset_bytes: current.line.n_bytes,
                    n_records: self.n_records,
                    hash: current.hash.clone().finalize().into(),
                }
            }
        };
        if std::mem::take(&mut self.created) {
            sync_dir(&self.dir)?;
        }
        Ok(Synced { position, segments })
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    // Other systems do not open directories; their file systems keep names in order.
    if cfg!(unix) { File::open(dir).and_then(|d| d.sync_all()).at("sync", dir) } else { Ok(()) }
}

/// A segment's line of the index and the hash it names, from the headers of its frames alone: opening a journal of a
/// hundred segments must not read them whole.
pub(super) fn skim(dir: &Path, segment: u64) -> Result<(Segment, [u8; 32]), JournalError> {
    let path = segment_path(dir, segment);
    let file = File::open(&path).at("open", &path)?;
    let n_bytes = file.metadata().at("look at", &path)?.len();
    let mut file = BufReader::with_capacity(4 << 10, file);
    let damaged = |offset: u64, what: &str| JournalError::Damaged { path: path.clone(), offset, what: what.to_owned() };
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    if n_bytes < bytes.len() as u64 {
        return Err(damaged(0, "its header is cut off"));
    }
    file.read_exact(&mut bytes).at("read", &path)?;
    let header = SegmentHeader::decode(&bytes).map_err(|what| damaged(0, what))?;
    let (ts_min, ts_max) = (Timestamp::MAX, Timestamp::MIN);
    let mut line = Segment { segment, ts_min, ts_max, n_records: 0, n_bytes, hash: None };
    let mut at = bytes.len() as u64;
    while at < n_bytes {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        if n_bytes - at < bytes.len() as u64 {
            return Err(damaged(at, "a frame's header is cut off"));
        }
        file.read_exact(&mut bytes).at("read", &path)?;
        let frame = FrameHeader::decode(&bytes).map_err(|what| damaged(at, what))?;
        let end = at + (bytes.len() + frame.n_compressed) as u64;
        if end > n_bytes {
            return Err(damaged(at, "the frame is cut off"));
        }
        file.seek_relative(frame.n_compressed as i64).at("read", &path)?;
        line.n_records += u64::from(frame.n_records);
        (line.ts_min, line.ts_max) = (line.ts_min.min(frame.ts_min), line.ts_max.max(frame.ts_max));
        at = end;
    }
    Ok((line, header.previous))
}
