//! Reading a journal back: every length and checksum is tested, every segment held against the one before it.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::At;
use super::format::{
    FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader, segment_number, segment_path, take_record,
};
use super::{JournalError, Position};
use crate::time::Timestamp;

/// A record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    /// Segment that holds it.
    pub segment: u64,
    /// The event time it was appended with.
    pub ts: Timestamp,
    /// Its bytes.
    pub record: Vec<u8>,
}

/// The records of a journal in the order they were appended. Ends after the first error.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    /// Segments to come, the next one last.
    segments: Vec<u64>,
    until: Option<Position>,
    /// Hash and record count of the segment before, to hold the next header against.
    before: Option<([u8; 32], u64)>,
    open: Option<OpenSegment>,
    frame: Vec<u8>,
    /// What of `frame` has been handed out.
    taken: usize,
    done: bool,
}

/// Opens a journal for reading: up to a position, which is then held against what was read, or as far as it goes.
///
/// # Errors
/// The directory cannot be read, a segment is missing, or it ends before `until`.
pub fn read(dir: &Path, until: Option<&Position>) -> Result<Reader, JournalError> {
    let mut segments = list(dir)?;
    if let Some(until) = until {
        segments.retain(|s| *s <= until.segment);
        if segments.last().copied().unwrap_or(0) != until.segment {
            let (segment, offset) = (until.segment, until.offset_bytes);
            return Err(JournalError::Lost { dir: dir.to_owned(), segment, offset });
        }
    }
    segments.reverse();
    Ok(Reader {
        dir: dir.to_owned(),
        segments,
        until: until.copied(),
        before: None,
        open: None,
        frame: Vec::new(),
        taken: 0,
        done: false,
    })
}

/// The segments of a directory in order; an error if one between others is missing.
pub(super) fn list(dir: &Path) -> Result<Vec<u64>, JournalError> {
    let mut segments = Vec::new();
    for file in std::fs::read_dir(dir).at("read", dir)? {
        segments.extend(segment_number(&file.at("read", dir)?.file_name()));
    }
    segments.sort_unstable();
    for pair in segments.windows(2) {
        if let [a, b] = pair
            && a + 1 != *b
        {
            let what = format!("it follows segment {a}; those between are missing");
            return Err(JournalError::Damaged { path: segment_path(dir, *b), offset: 0, what });
        }
    }
    Ok(segments)
}

impl Iterator for Reader {
    type Item = Result<Projection, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Reader {
    fn advance(&mut self) -> Result<Option<Projection>, JournalError> {
        loop {
            if let Some(open) = &self.open
                && let Some(projection) = open.take(&self.frame, &mut self.taken)?
            {
                return Ok(Some(projection));
            }
            self.frame.clear();
            self.taken = 0;
            match &mut self.open {
                Some(open) => {
                    if !open.next_frame(&mut self.frame)? {
                        open.check_end(self.until.as_ref())?;
                        self.before = Some((open.hash(), open.n_records()));
                        self.open = None;
                    }
                }
                None => match self.segments.pop() {
                    Some(segment) => self.open = Some(self.open(segment)?),
                    None => return Ok(None),
                },
            }
        }
    }

    fn open(&self, segment: u64) -> Result<OpenSegment, JournalError> {
        let limit = self.until.filter(|u| u.segment == segment).map(|u| u.offset_bytes);
        let open = OpenSegment::begin(&self.dir, segment, limit)?;
        match self.before {
            Some((hash, _)) if open.header.previous != hash => {
                Err(open.damaged_at(0, "it does not follow the segment before it: one of the two was altered"))
            }
            Some((_, n)) if open.header.n_records_before != n => {
                Err(open.damaged_at(0, "it counts other records before it than there are"))
            }
            _ => Ok(open),
        }
    }
}

/// A segment that is being read.
#[derive(Debug)]
pub(super) struct OpenSegment {
    path: PathBuf,
    file: std::io::Take<BufReader<File>>,
    hash: Sha256,
    pub(super) header: SegmentHeader,
    /// Where the frame in hand begins.
    at_bytes: u64,
    /// Where the next one begins.
    end_bytes: u64,
    n_records: u64,
    compressed: Vec<u8>,
}

impl OpenSegment {
    /// The next record of a frame of this segment, of which so many bytes are taken; `None` at its end.
    pub(super) fn take(&self, frame: &[u8], taken: &mut usize) -> Result<Option<Projection>, JournalError> {
        let mut rest = frame.get(*taken..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let (ts, record) = take_record(&mut rest).ok_or_else(|| self.damaged("a record of the frame is cut off"))?;
        *taken = frame.len() - rest.len();
        Ok(Some(Projection { segment: self.header.segment, ts, record: record.to_vec() }))
    }

    /// Opens a segment and reads its header; nothing beyond `limit` bytes is read.
    pub(super) fn begin(dir: &Path, segment: u64, limit: Option<u64>) -> Result<Self, JournalError> {
        let path = segment_path(dir, segment);
        let file = File::open(&path).at("open", &path)?;
        let mut file = BufReader::new(file).take(limit.unwrap_or(u64::MAX));
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let damaged = |what: &str| JournalError::Damaged { path: path.clone(), offset: 0, what: what.to_owned() };
        match file.read_exact(&mut bytes) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Err(damaged("its header is cut off")),
            other => other.at("read", &path)?,
        }
        let header = SegmentHeader::decode(&bytes).map_err(damaged)?;
        if header.segment != segment {
            return Err(damaged(&format!("its header says that it is segment {}", header.segment)));
        }
        let mut hash = Sha256::new();
        hash.update(bytes);
        let at = SEGMENT_HEADER_BYTES as u64;
        let compressed = Vec::new();
        Ok(OpenSegment { path, file, hash, header, at_bytes: at, end_bytes: at, n_records: 0, compressed })
    }

    /// Reads and tests the next frame without decompressing it; `None` at the end.
    pub(super) fn next_header(&mut self) -> Result<Option<FrameHeader>, JournalError> {
        self.at_bytes = self.end_bytes;
        let mut bytes = [0; FRAME_HEADER_BYTES];
        let n = fill(&mut self.file, &mut bytes).at("read", &self.path)?;
        if n == 0 {
            return Ok(None);
        }
        if n < bytes.len() {
            return Err(self.damaged("a frame's header is cut off"));
        }
        let header = FrameHeader::decode(&bytes).map_err(|what| self.damaged(what))?;
        self.compressed.resize(header.n_compressed, 0);
        if fill(&mut self.file, &mut self.compressed).at("read", &self.path)? < header.n_compressed {
            return Err(self.damaged("the frame is cut off"));
        }
        if !header.matches(&bytes, &self.compressed) {
            return Err(self.damaged("the frame does not match its checksum"));
        }
        self.hash.update(bytes);
        self.hash.update(&self.compressed);
        self.end_bytes += (FRAME_HEADER_BYTES + header.n_compressed) as u64;
        self.n_records += u64::from(header.n_records);
        Ok(Some(header))
    }

    pub(super) fn next_frame(&mut self, raw: &mut Vec<u8>) -> Result<bool, JournalError> {
        let Some(header) = self.next_header()? else { return Ok(false) };
        *raw = zstd::bulk::decompress(&self.compressed, header.n_raw)
            .map_err(|e| self.damaged(&format!("the frame cannot be decompressed: {e}")))?;
        let (mut rest, mut n) = (raw.as_slice(), 0);
        while take_record(&mut rest).is_some() {
            n += 1;
        }
        if raw.len() != header.n_raw || !rest.is_empty() || n != header.n_records {
            return Err(self.damaged("the frame holds other records than its header says"));
        }
        Ok(true)
    }

    /// Holds the end of the segment against the position that was asked for.
    fn check_end(&self, until: Option<&Position>) -> Result<(), JournalError> {
        match until.filter(|u| u.segment == self.header.segment) {
            Some(until) if self.position() != *until => {
                Err(self.damaged("what comes before it is not what the position was taken of"))
            }
            _ => Ok(()),
        }
    }

    /// Where the next frame begins.
    pub(super) fn position_bytes(&self) -> u64 {
        self.end_bytes
    }

    /// The position after the last frame that was read.
    pub(super) fn position(&self) -> Position {
        Position {
            segment: self.header.segment,
            offset_bytes: self.end_bytes,
            n_records: self.n_records(),
            hash: self.hash(),
        }
    }

    /// The state of the hash after the last frame, to go on with.
    pub(super) fn into_hash(self) -> Sha256 {
        self.hash
    }

    fn hash(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    fn n_records(&self) -> u64 {
        self.header.n_records_before.saturating_add(self.n_records)
    }

    pub(super) fn damaged(&self, what: &str) -> JournalError {
        self.damaged_at(self.at_bytes, what)
    }

    pub(super) fn damaged_at(&self, offset: u64, what: &str) -> JournalError {
        JournalError::Damaged { path: self.path.clone(), offset, what: what.to_owned() }
    }
}

/// Reads until the buffer is full or the file ends; returns how much.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while let Some(rest) = buffer.get_mut(n..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(got) => n += got,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}
