//! The journal of projections: turns what the rules read of each event into append-only compressed segments in a
//! directory, and reads them back for re-deriving. Knows bytes and their event times; no events, no rules, no store.
//!
//! A position says what is durable. Whoever keeps the state commits the position with it, and opening at a position drops
//! whatever came after: then journal and state are of one moment, at whatever instant the run was killed.
//! Each segment's header holds the SHA-256 of the segment before it, and a position that of its segment so far, so one
//! position pins every byte of the journal before it.

mod check;
mod error;
mod format;
mod reader;
pub mod rewrite;
mod salt;
mod segments;
mod tail;
mod writer;

use std::fmt;
use std::str::FromStr;

pub use check::{Checked, check};
pub use error::JournalError;
pub use reader::{Projection, Reader, read};
pub use tail::{Tail, tail};
pub use writer::{Journal, JournalOptions, Segment, Synced, Syncing};

use crate::time::Timestamp;

/// Most bytes of a record.
pub const RECORD_BYTES_MAX: usize = 64 << 10;
/// Most bytes of a frame before compression: what is compressed, checked and read at once.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Most bytes of a segment: what retention drops at once.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Frames that wait for compression; a caller who is faster waits.
pub const QUEUE_FRAMES_MAX: usize = 4;

/// A place in the journal before which everything is durable. As text: `segment:byte:records:hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Position {
    /// Number of the segment, from 1; 0 before the first.
    pub segment: u64,
    /// Byte in the segment.
    pub offset_bytes: u64,
    /// Records before it, from the journal's beginning, those of dropped segments too.
    pub n_records: u64,
    /// SHA-256 of the segment up to `offset_bytes`.
    pub hash: [u8; 32],
}

impl Position {
    /// Before the first record.
    pub const START: Position = Position { segment: 0, offset_bytes: 0, n_records: 0, hash: [0; 32] };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:", self.segment, self.offset_bytes, self.n_records)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a journal position")]
pub struct NotAPosition(String);

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| NotAPosition(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Position> {
    let mut parts = text.splitn(4, ':');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (segment, offset_bytes, n_records) = (number()?, number()?, number()?);
    let hash = hash_from_hex(parts.next()?)?;
    Some(Position { segment, offset_bytes, n_records, hash })
}

/// 32 bytes from 64 hexadecimal digits.
fn hash_from_hex(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (i, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// Where a run puts its projections.
pub trait ProjectionSink {
    /// Takes in a record with the event time by which retention goes. It is durable after the next sync.
    ///
    /// # Errors
    /// A record above [`RECORD_BYTES_MAX`], which alone is refused; or an earlier write failed, and nothing more is taken.
    fn append(&mut self, ts: Timestamp, record: &[u8]) -> Result<(), JournalError>;

    /// Makes everything appended so far durable; returns up to where, `None` for a sink that keeps nothing.
    ///
    /// # Errors
    /// What the file system says.
    fn sync(&mut self) -> Result<Option<Position>, JournalError>;
}

/// A run without a journal: its findings can be held against their records, but not derived again.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullJournal;

impl ProjectionSink for NullJournal {
    fn append(&mut self, _: Timestamp, _: &[u8]) -> Result<(), JournalError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<Option<Position>, JournalError> {
        Ok(None)
    }
}
