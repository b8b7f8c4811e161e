//! Bytes of a segment. A header, then frames; a frame is a header and a zstd frame of records. All numbers little-endian.
//!
//! ```text
//! segment  magic 8 · number u64 · records before it u64 · SHA-256 of the segment before it 32 · checksum u64
//! frame    compressed u32 · raw u32 · records u32 · least time i64 · greatest time i64 · checksum u64 · zstd
//! record   time i64 · length u32 · bytes
//! ```
//! Checksums are XXH3 over the header before them (and, of a frame, the compressed bytes): they find accidents and say
//! where. The chain of SHA-256 finds intent.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::{FRAME_BYTES_MAX, RECORD_BYTES_MAX};
use crate::time::Timestamp;

const MAGIC: [u8; 8] = *b"FNPTJRN1";
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;
pub(super) const FRAME_HEADER_BYTES: usize = 36;
/// What a record costs beside its bytes.
pub(super) const RECORD_HEADER_BYTES: usize = 12;

/// The file of a segment. Ten digits: names sort as numbers do.
pub(super) fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("segment-{segment:010}.fpj"))
}

/// The number of a segment's file; `None` for any other file.
pub(super) fn segment_number(name: &OsStr) -> Option<u64> {
    let number = name.to_str()?.strip_prefix("segment-")?.strip_suffix(".fpj")?;
    number.parse().ok().filter(|n| *n > 0)
}

/// What a segment says of itself before its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) segment: u64,
    pub(super) n_records_before: u64,
    pub(super) previous: [u8; 32],
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.n_records_before.to_le_bytes());
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&checksum(&out, &[]).to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, &'static str> {
        let mut rest = Fields(bytes);
        let parts = (rest.take(), rest.take(), rest.take(), rest.take(), rest.take());
        let (Some(magic), Some(segment), Some(before), Some(previous), Some(sum)) = parts else {
            return Err("its header is cut off");
        };
        if magic != MAGIC {
            return Err("it does not begin as a journal segment does");
        }
        let covered = bytes.get(..SEGMENT_HEADER_BYTES - 8).unwrap_or_default();
        if u64::from_le_bytes(sum) != checksum(covered, &[]) {
            return Err("its header does not match its checksum");
        }
        let (segment, n_records_before) = (u64::from_le_bytes(segment), u64::from_le_bytes(before));
        Ok(SegmentHeader { segment, n_records_before, previous })
    }
}

/// What a frame says of itself before its compressed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) n_compressed: usize,
    pub(super) n_raw: usize,
    pub(super) n_records: u32,
    pub(super) ts_min: Timestamp,
    pub(super) ts_max: Timestamp,
    sum: u64,
}

impl FrameHeader {
    /// The header of a frame with these compressed bytes. Both lengths are below 2^32 by [`FRAME_BYTES_MAX`].
    pub(super) fn encode(n_raw: u32, n_records: u32, times: (Timestamp, Timestamp), compressed: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME_HEADER_BYTES);
        out.extend_from_slice(&(compressed.len() as u32).to_le_bytes());
        out.extend_from_slice(&n_raw.to_le_bytes());
        out.extend_from_slice(&n_records.to_le_bytes());
        out.extend_from_slice(&times.0.0.to_le_bytes());
        out.extend_from_slice(&times.1.0.to_le_bytes());
        out.extend_from_slice(&checksum(&out, compressed).to_le_bytes());
        out
    }

    /// Reads a header and holds its lengths against the bounds, so that a damaged one allocates nothing.
    pub(super) fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Result<Self, &'static str> {
        let mut rest = Fields(bytes);
        let parts = (rest.take(), rest.take(), rest.take(), rest.take(), rest.take(), rest.take());
        let (Some(compressed), Some(raw), Some(records), Some(least), Some(greatest), Some(sum)) = parts else {
            return Err("a frame's header is cut off");
        };
        let header = FrameHeader {
            n_compressed: u32::from_le_bytes(compressed) as usize,
            n_raw: u32::from_le_bytes(raw) as usize,
            n_records: u32::from_le_bytes(records),
            ts_min: Timestamp(i64::from_le_bytes(least)),
            ts_max: Timestamp(i64::from_le_bytes(greatest)),
            sum: u64::from_le_bytes(sum),
        };
        if header.n_raw > FRAME_BYTES_MAX || header.n_compressed > zstd::zstd_safe::compress_bound(FRAME_BYTES_MAX) {
            return Err("a frame's header gives a length above the bound");
        }
        Ok(header)
    }

    /// Whether header and compressed bytes are those that were written.
    pub(super) fn matches(&self, header: &[u8; FRAME_HEADER_BYTES], compressed: &[u8]) -> bool {
        checksum(header.get(..FRAME_HEADER_BYTES - 8).unwrap_or_default(), compressed) == self.sum
    }
}

/// Appends a record to a frame's raw bytes. The length is below 2^32 by [`RECORD_BYTES_MAX`].
pub(super) fn push_record(frame: &mut Vec<u8>, ts: Timestamp, record: &[u8]) {
    frame.extend_from_slice(&ts.0.to_le_bytes());
    frame.extend_from_slice(&(record.len() as u32).to_le_bytes());
    frame.extend_from_slice(record);
}

/// Takes the record at the front of a frame's raw bytes; `None` if there is no whole one.
pub(super) fn take_record<'a>(rest: &mut &'a [u8]) -> Option<(Timestamp, &'a [u8])> {
    let mut fields = Fields(rest);
    let (ts, len) = (i64::from_le_bytes(fields.take()?), u32::from_le_bytes(fields.take()?) as usize);
    let (record, after) = fields.0.split_at_checked(len).filter(|_| len <= RECORD_BYTES_MAX)?;
    *rest = after;
    Some((Timestamp(ts), record))
}

fn checksum(header: &[u8], body: &[u8]) -> u64 {
    let mut sum = Xxh3::new();
    sum.update(header);
    sum.update(body);
    sum.digest()
}

/// Bytes from which fields of fixed length are taken in order.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}
