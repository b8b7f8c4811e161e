//! The saved state as compressed pieces: it never lies in memory as a whole, the log stores it piece by piece.

use super::sink::{Sink, SinkError};
use crate::store::PieceId;

/// Bytes of state in a piece before it is compressed: a piece stays below what a log takes even if nothing is gained.
const PIECE_RAW_BYTES: usize = 1_000_000;

/// The fastest level: the state changes with every commit.
const LEVEL: i32 = 1;

/// Bytes on their way into pieces, which go into the log as they are full.
pub(super) struct Pieces<'a> {
    raw: Vec<u8>,
    sink: &'a mut dyn Sink,
    put: Vec<PieceId>,
    failed: Option<SinkError>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink) -> Self {
        Pieces { raw: Vec::with_capacity(PIECE_RAW_BYTES), sink, put: Vec::new(), failed: None }
    }

    pub(super) fn extend(&mut self, mut bytes: &[u8]) {
        while let Some((now, later)) = bytes.split_at_checked(PIECE_RAW_BYTES - self.raw.len()) {
            self.raw.extend_from_slice(now);
            self.pack();
            bytes = later;
        }
        self.raw.extend_from_slice(bytes);
    }

    fn pack(&mut self) {
        if self.failed.is_none() {
            let packed = zstd::bulk::compress(&self.raw, LEVEL).map_err(SinkError::new);
            match packed.and_then(|piece| self.sink.put_piece(&piece)) {
                Ok(id) => self.put.push(id),
                Err(e) => self.failed = Some(e),
            }
        }
        self.raw.clear();
    }

    /// The names of all pieces in order.
    pub(super) fn finish(mut self) -> Result<Vec<PieceId>, SinkError> {
        if !self.raw.is_empty() {
            self.pack();
        }
        self.failed.map_or(Ok(self.put), Err)
    }
}

/// The bytes of pieces.
///
/// # Errors
/// A text, where a piece is damaged.
pub(super) fn unpack(pieces: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for piece in pieces {
        let raw = zstd::bulk::decompress(piece, PIECE_RAW_BYTES);
        bytes.extend_from_slice(&raw.map_err(|e| format!("the saved state is damaged: {e}"))?);
    }
    Ok(bytes)
}
