//! Putting other records in the place of some, for the right to be forgotten. Frames stay where they are in the order, with as
//! many records; only their bytes change, and with them the hashes that the segments behind them name.
//!
//! In two steps, so that the log's transaction can stand between them. [`prepare`] writes each segment that changes beside the
//! one it replaces and touches nothing; [`finish`] puts them in place, as often as it is called. Whoever is killed between
//! the two either forgets what was prepared ([`discard`]) or finishes.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::At;
use super::format::{
    FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader, push_record, segment_path, take_record,
};
use super::segments::sync_dir;
use super::{JournalError, Position, reader};

/// A segment that becomes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// Its number.
    pub segment: u64,
    /// SHA-256 of it as it was.
    pub before: [u8; 32],
    /// SHA-256 of it as it becomes.
    pub after: [u8; 32],
    /// Records that become others. Where there are none, only its header changes: it names the segment before it.
    pub n_records: u64,
}

/// What was prepared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewriting {
    /// The segments that become others, in order without gaps, to the last of the journal.
    pub segments: Vec<Rewritten>,
    /// The position that was asked for, as it will be.
    pub position: Position,
}

/// What becomes of a record: others in its place, `None` where it stays. An error text ends the rewriting.
pub type Replace<'a> = dyn FnMut(&[u8]) -> Result<Option<Vec<u8>>, String> + 'a;

/// Reads the whole journal, also behind the position, and writes the segments that change beside those they replace. Bytes
/// at the end that are no whole frame are left out of a segment that is written: nobody was told that they are safe.
///
/// # Errors
/// Damage anywhere else, and what the file system says; nothing is in place then.
pub fn prepare(dir: &Path, at: &Position, replace: &mut Replace<'_>) -> Result<Rewriting, JournalError> {
    discard(dir)?;
    let segments = reader::list(dir)?;
    let last = segments.last().copied().unwrap_or(0);
    let mut rewriting = Rewriting { segments: Vec::new(), position: *at };
    let mut previous = None;
    for segment in segments {
        let one = One::read(dir, segment, previous, segment == last, at, replace)?;
        if let Some(position) = one.position {
            rewriting.position = position;
        }
        previous = (one.before != one.after).then_some(one.after);
        if previous.is_some() {
            rewriting.segments.push(Rewritten {
                segment,
                before: one.before,
                after: one.after,
                n_records: one.n_replaced,
            });
        }
    }
    sync_dir(dir)?;
    Ok(rewriting)
}

/// Puts in place what was prepared. Harmless where a part of it, or all, is in place already.
///
/// # Errors
/// What the file system says; to be called again then.
pub fn finish(dir: &Path, segments: &[Rewritten]) -> Result<(), JournalError> {
    let mut previous: Option<[u8; 32]> = None;
    for of in segments {
        let path = segment_path(dir, of.segment);
        let prepared = prepared_path(dir, of.segment);
        if prepared.is_file() {
            fs::rename(&prepared, &path).at("put in place", &path)?;
        } else if let (0, Some(previous)) = (of.n_records, previous)
            && path.is_file()
        {
            let mut file = OpenOptions::new().read(true).write(true).open(&path).at("open", &path)?;
            let mut bytes = [0; SEGMENT_HEADER_BYTES];
            file.read_exact(&mut bytes).at("read", &path)?;
            let header = SegmentHeader::decode(&bytes).map_err(|what| damaged(&path, 0, what))?;
            // One write within one sector: it is there or not.
            file.seek(SeekFrom::Start(0)).at("write to", &path)?;
            file.write_all(&SegmentHeader { previous, ..header }.encode()).at("write to", &path)?;
            file.sync_all().at("sync", &path)?;
        }
        previous = Some(of.after);
    }
    sync_dir(dir)
}

/// Forgets what was prepared and not put in place.
///
/// # Errors
/// What the file system says.
pub fn discard(dir: &Path) -> Result<(), JournalError> {
    for file in fs::read_dir(dir).at("read", dir)? {
        let path = file.at("read", dir)?.path();
        if path.extension().is_some_and(|e| e == PREPARED) {
            fs::remove_file(&path).at("remove", &path)?;
        }
    }
    Ok(())
}

/// Behind the name of a segment, while it is prepared. No reader of a journal takes it for a segment.
const PREPARED: &str = "erased";

fn prepared_path(dir: &Path, segment: u64) -> PathBuf {
    let mut name = segment_path(dir, segment).into_os_string();
    name.push(".");
    name.push(PREPARED);
    PathBuf::from(name)
}

fn damaged(path: &Path, offset: u64, what: &str) -> JournalError {
    JournalError::Damaged { path: path.to_owned(), offset, what: what.to_owned() }
}

/// One segment.
struct One {
    before: [u8; 32],
    after: [u8; 32],
    n_replaced: u64,
    position: Option<Position>,
}

impl One {
    fn read(
        dir: &Path,
        segment: u64,
        previous: Option<[u8; 32]>,
        is_last: bool,
        at: &Position,
        replace: &mut Replace<'_>,
    ) -> Result<One, JournalError> {
        let path = segment_path(dir, segment);
        let file = File::open(&path).at("open", &path)?;
        let size = file.metadata().at("look at", &path)?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        if size < bytes.len() as u64 {
            return Err(damaged(&path, 0, "its header is cut off"));
        }
        file.read_exact(&mut bytes).at("read", &path)?;
        let header = SegmentHeader::decode(&bytes).map_err(|what| damaged(&path, 0, what))?;
        let renewed = SegmentHeader { previous: previous.unwrap_or(header.previous), ..header }.encode();
        let mut own = Copying::new(dir, segment, &renewed)?;
        let mut before = Sha256::new();
        before.update(bytes);
        let (mut offset, mut n_records, mut position) = (bytes.len() as u64, header.n_records_before, None);
        let mut note = |offset: u64, n_records: u64, own: &Copying| {
            if segment == at.segment && offset == at.offset_bytes {
                let hash = own.after.clone().finalize().into();
                position = Some(Position { segment, offset_bytes: own.n_bytes, n_records, hash });
            }
        };
        note(offset, n_records, &own);
        while offset < size {
            match frame(&path, &mut file, offset, size)? {
                Some((frame_header, header_bytes, compressed)) => {
                    before.update(header_bytes);
                    before.update(&compressed);
                    offset += (FRAME_HEADER_BYTES + compressed.len()) as u64;
                    n_records += u64::from(frame_header.n_records);
                    let frame = Frame { header: frame_header, header_bytes: &header_bytes, compressed: &compressed };
                    own.copy(&path, offset, &frame, replace)?;
                    note(offset, n_records, &own);
                }
                None if is_last => break,
                None => return Err(damaged(&path, offset, "the frame is cut off")),
            }
        }
        if segment == at.segment && position.is_none() {
            return Err(damaged(&path, at.offset_bytes, "what comes before it is not what the position was taken of"));
        }
        let (after, n_replaced) = own.end()?;
        Ok(One { before: before.finalize().into(), after, n_replaced, position })
    }
}

type Read3 = (FrameHeader, [u8; FRAME_HEADER_BYTES], Vec<u8>);

/// The next frame; `None` where it is not whole.
fn frame(path: &Path, file: &mut impl Read, offset: u64, size: u64) -> Result<Option<Read3>, JournalError> {
    let mut bytes = [0; FRAME_HEADER_BYTES];
    if size - offset < bytes.len() as u64 {
        return Ok(None);
    }
    file.read_exact(&mut bytes).at("read", path)?;
    let Ok(header) = FrameHeader::decode(&bytes) else { return Ok(None) };
    if size - offset < (bytes.len() + header.n_compressed) as u64 {
        return Ok(None);
    }
    let mut compressed = vec![0; header.n_compressed];
    file.read_exact(&mut compressed).at("read", path)?;
    Ok(header.matches(&bytes, &compressed).then_some((header, bytes, compressed)))
}

struct Frame<'a> {
    header: FrameHeader,
    header_bytes: &'a [u8],
    compressed: &'a [u8],
}

/// A segment as it becomes. A file is made of it once a record of it changes.
struct Copying {
    dir: PathBuf,
    segment: u64,
    /// The bytes before the first frame that changes, by their count; they are copied when there is one.
    renewed: Vec<u8>,
    out: Option<BufWriter<File>>,
    after: Sha256,
    n_bytes: u64,
    n_replaced: u64,
}

impl Copying {
    fn new(dir: &Path, segment: u64, renewed: &[u8]) -> Result<Copying, JournalError> {
        let mut after = Sha256::new();
        after.update(renewed);
        let n_bytes = renewed.len() as u64;
        let renewed = renewed.to_vec();
        Ok(Copying { dir: dir.to_owned(), segment, renewed, out: None, after, n_bytes, n_replaced: 0 })
    }

    /// Takes over a frame that ends at an offset of the segment as it is.
    fn copy(
        &mut self,
        path: &Path,
        end: u64,
        frame: &Frame<'_>,
        replace: &mut Replace<'_>,
    ) -> Result<(), JournalError> {
        let at = end - (FRAME_HEADER_BYTES + frame.compressed.len()) as u64;
        let wrong = |what: String| damaged(path, at, &what);
        let raw = zstd::bulk::decompress(frame.compressed, frame.header.n_raw)
            .map_err(|e| wrong(format!("the frame cannot be decompressed: {e}")))?;
        let (mut rest, mut renewed, mut n_replaced) = (raw.as_slice(), Vec::new(), 0u64);
        let mut n = 0u32;
        while let Some((ts, record)) = take_record(&mut rest) {
            n += 1;
            match replace(record).map_err(wrong)? {
                Some(other) => {
                    n_replaced += 1;
                    push_record(&mut renewed, ts, &other);
                }
                None => push_record(&mut renewed, ts, record),
            }
        }
        if !rest.is_empty() || n != frame.header.n_records {
            return Err(wrong("the frame holds other records than its header says".to_owned()));
        }
        if n_replaced == 0 {
            return self.write(&[frame.header_bytes, frame.compressed]);
        }
        if self.out.is_none() {
            self.begin(path, at)?;
        }
        self.n_replaced += n_replaced;
        let compressed = zstd::bulk::compress(&renewed, 1).at("compress for", path)?;
        // A marker is shorter than any record that it stands for, so the frame stays within its bound.
        let n_raw = u32::try_from(renewed.len()).map_err(|e| wrong(e.to_string()))?;
        let times = (frame.header.ts_min, frame.header.ts_max);
        let header = FrameHeader::encode(n_raw, n, times, &compressed);
        self.write(&[&header, &compressed])
    }

    /// Makes the file, with what came before the first frame that changes.
    fn begin(&mut self, path: &Path, before: u64) -> Result<(), JournalError> {
        let prepared = prepared_path(&self.dir, self.segment);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&prepared);
        let mut out = BufWriter::new(file.at("create", &prepared)?);
        out.write_all(&self.renewed).at("write to", &prepared)?;
        let mut from = File::open(path).at("open", path)?;
        let mut head = [0; SEGMENT_HEADER_BYTES];
        from.read_exact(&mut head).at("read", path)?;
        let mut rest = from.take(before.saturating_sub(head.len() as u64));
        std::io::copy(&mut rest, &mut out).at("write to", &prepared)?;
        self.out = Some(out);
        Ok(())
    }

    fn write(&mut self, parts: &[&[u8]]) -> Result<(), JournalError> {
        for part in parts {
            self.after.update(part);
            self.n_bytes += part.len() as u64;
            if let Some(out) = &mut self.out {
                out.write_all(part).at("write to", &prepared_path(&self.dir, self.segment))?;
            }
        }
        Ok(())
    }

    fn end(self) -> Result<([u8; 32], u64), JournalError> {
        if let Some(out) = self.out {
            let prepared = prepared_path(&self.dir, self.segment);
            let file = out.into_inner().map_err(|e| e.into_error()).at("write to", &prepared)?;
            file.sync_all().at("sync", &prepared)?;
        }
        Ok((self.after.finalize().into(), self.n_replaced))
    }
}
