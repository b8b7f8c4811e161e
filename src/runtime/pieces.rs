//! The saved state as compressed pieces: it never lies in memory as a whole, the log stores it piece by piece.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle, scope};

use super::run::RunError;
use super::sink::{Sink, SinkError};
use crate::store::PieceId;

/// Bytes of state in a piece before it is compressed: a piece stays below what a log takes even if nothing is gained.
const PIECE_RAW_BYTES: usize = 1_000_000;

/// The fastest level: the state changes with every commit.
const LEVEL: i32 = 1;

/// Pieces that wait to be compressed, and to be stored.
const QUEUE_PIECES_MAX: usize = 2;

/// Stores what `write` hands out, in pieces; their names in order. One thread writes down, one compresses, and the caller's
/// stores, all at once.
///
/// # Errors
/// Where the state cannot be written down or stored; the pieces that were stored before are of no use then.
pub(super) fn put<W>(sink: &mut dyn Sink, write: W) -> Result<Vec<PieceId>, RunError>
where
    W: FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), String> + Send,
{
    let (full, raw) = sync_channel::<Vec<u8>>(QUEUE_PIECES_MAX);
    let (spare, empty) = channel::<Vec<u8>>();
    let (packed, pieces) = sync_channel::<io::Result<Vec<u8>>>(QUEUE_PIECES_MAX);
    scope(|scope| {
        let mut cut = Cut { raw: Vec::with_capacity(PIECE_RAW_BYTES), full, empty, stopped: false };
        let writing = spawn(scope, "fineprint-state", move || {
            write(&mut |part| cut.extend(part))?;
            cut.finish()
        })?;
        spawn(scope, "fineprint-pack", move || {
            for mut raw in raw {
                let piece = zstd::bulk::compress(&raw, LEVEL);
                raw.clear();
                // The last ones are not needed any more.
                let _ = spare.send(raw);
                if packed.send(piece).is_err() {
                    return;
                }
            }
        })?;
        let put = |piece: io::Result<Vec<u8>>| sink.put_piece(&piece.map_err(SinkError::new)?);
        let names: Result<Vec<PieceId>, SinkError> = pieces.into_iter().map(put).collect();
        let written = writing.join().unwrap_or_else(|_| Err(STOPPED.to_string()));
        // A log that fails stops the threads, so its own words come first.
        let names = names?;
        written.map_err(RunError::State)?;
        Ok(names)
    })
}

const STOPPED: &str = "the state cannot be written down: a thread has stopped";

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, RunError> {
    let started = Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    started.map_err(|e| RunError::Thread(format!("cannot start a thread: {e}")))
}

/// Cuts bytes into pieces.
struct Cut {
    raw: Vec<u8>,
    full: SyncSender<Vec<u8>>,
    /// Pieces that are compressed: their memory is used again.
    empty: Receiver<Vec<u8>>,
    stopped: bool,
}

impl Cut {
    fn extend(&mut self, mut bytes: &[u8]) {
        while let Some((now, later)) = bytes.split_at_checked(PIECE_RAW_BYTES.saturating_sub(self.raw.len())) {
            self.raw.extend_from_slice(now);
            let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE_RAW_BYTES));
            self.hand_over(next);
            bytes = later;
        }
        self.raw.extend_from_slice(bytes);
    }

    fn hand_over(&mut self, next: Vec<u8>) {
        let raw = std::mem::replace(&mut self.raw, next);
        self.stopped |= self.full.send(raw).is_err();
    }

    fn finish(mut self) -> Result<(), String> {
        if !self.raw.is_empty() {
            self.hand_over(Vec::new());
        }
        if self.stopped { Err(STOPPED.to_string()) } else { Ok(()) }
    }
}

/// Bytes as compressed pieces.
///
/// # Errors
/// A text, where they cannot be compressed.
pub(super) fn pack(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let compress = |raw: &[u8]| zstd::bulk::compress(raw, LEVEL);
    let pieces = bytes.chunks(PIECE_RAW_BYTES).map(compress).collect::<io::Result<Vec<_>>>();
    pieces.map_err(|e| format!("the state cannot be compressed: {e}"))
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
