//! The saved state as compressed pieces: it never lies in memory as a whole, the log stores it piece by piece.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use super::sink::{Sink, SinkError};
use crate::store::PieceId;

/// Bytes of state in a piece before it is compressed: a piece stays below what a log takes even if nothing is gained.
const PIECE_RAW_BYTES: usize = 1_000_000;

/// The fastest level: the state changes with every commit.
const LEVEL: i32 = 1;

/// Raw pieces that wait to be compressed.
const QUEUE_PIECES_MAX: usize = 2;

/// Bytes on their way into pieces, which go into the log as they are full. A thread compresses them, while the caller writes
/// down the next and the log takes those before.
pub(super) struct Pieces<'a> {
    raw: Vec<u8>,
    sink: &'a mut dyn Sink,
    put: Vec<PieceId>,
    handed_over: usize,
    failed: Option<SinkError>,
    /// None once everything is handed over.
    jobs: Option<SyncSender<Vec<u8>>>,
    packed: Receiver<(io::Result<Vec<u8>>, Vec<u8>)>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink) -> Result<Self, SinkError> {
        let (jobs, todo) = sync_channel::<Vec<u8>>(QUEUE_PIECES_MAX);
        let (done, packed) = channel();
        let pack = move || {
            while let Ok(raw) = todo.recv() {
                let piece = zstd::bulk::compress(&raw, LEVEL);
                if done.send((piece, raw)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("fineprint-pack".to_owned()).spawn(pack).map_err(SinkError::new)?;
        let raw = Vec::with_capacity(PIECE_RAW_BYTES);
        Ok(Pieces { raw, sink, put: Vec::new(), handed_over: 0, failed: None, jobs: Some(jobs), packed })
    }

    pub(super) fn extend(&mut self, mut bytes: &[u8]) {
        while let Some((now, later)) = bytes.split_at_checked(PIECE_RAW_BYTES - self.raw.len()) {
            self.raw.extend_from_slice(now);
            self.hand_over();
            bytes = later;
        }
        self.raw.extend_from_slice(bytes);
    }

    fn hand_over(&mut self) {
        let raw = std::mem::take(&mut self.raw);
        self.handed_over += 1;
        if self.jobs.as_ref().is_none_or(|jobs| jobs.send(raw).is_err()) {
            self.fail(stopped());
        }
        while let Ok(packed) = self.packed.try_recv() {
            self.put(packed);
        }
        if self.raw.capacity() == 0 {
            self.raw.reserve_exact(PIECE_RAW_BYTES);
        }
    }

    fn put(&mut self, (piece, mut raw): (io::Result<Vec<u8>>, Vec<u8>)) {
        raw.clear();
        if self.raw.is_empty() {
            self.raw = raw;
        }
        if self.failed.is_none() {
            match piece.map_err(SinkError::new).and_then(|piece| self.sink.put_piece(&piece)) {
                Ok(id) => self.put.push(id),
                Err(e) => self.fail(e),
            }
        }
    }

    fn fail(&mut self, error: SinkError) {
        self.failed.get_or_insert(error);
    }

    /// The names of all pieces in order.
    pub(super) fn finish(mut self) -> Result<Vec<PieceId>, SinkError> {
        if !self.raw.is_empty() {
            self.hand_over();
        }
        self.jobs = None;
        while let Ok(packed) = self.packed.recv() {
            self.put(packed);
        }
        if self.put.len() != self.handed_over {
            self.fail(stopped());
        }
        self.failed.map_or(Ok(self.put), Err)
    }
}

fn stopped() -> SinkError {
    SinkError::new(io::Error::other("the thread that compresses the state has stopped"))
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
