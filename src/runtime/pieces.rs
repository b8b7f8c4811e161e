//! The saved state as compressed pieces: it never lies in memory as a whole, and a log can store it piece by piece.

/// Bytes of state in a piece before it is compressed: a piece stays below what a log takes even if nothing is gained.
const PIECE_RAW_BYTES: usize = 1_000_000;

/// The fastest level: the state changes with every commit.
const LEVEL: i32 = 1;

/// Bytes on their way into pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    raw: Vec<u8>,
    done: Vec<Vec<u8>>,
    failed: Option<std::io::Error>,
}

impl Pieces {
    pub(super) fn extend(&mut self, mut bytes: &[u8]) {
        while let Some((now, later)) = bytes.split_at_checked(PIECE_RAW_BYTES - self.raw.len()) {
            self.raw.extend_from_slice(now);
            self.pack();
            bytes = later;
        }
        self.raw.extend_from_slice(bytes);
    }

    fn pack(&mut self) {
        match zstd::bulk::compress(&self.raw, LEVEL) {
            Ok(piece) => self.done.push(piece),
            Err(e) => self.failed = Some(e),
        }
        self.raw.clear();
    }

    pub(super) fn finish(mut self) -> Result<Vec<Vec<u8>>, String> {
        if !self.raw.is_empty() {
            self.pack();
        }
        match self.failed {
            None => Ok(self.done),
            Some(e) => Err(format!("the state cannot be compressed: {e}")),
        }
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
