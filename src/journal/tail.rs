//! What lies behind a position: records that were synced, or only written, after the commit that named it. Where writing was
//! cut off, the tail ends.

use std::path::{Path, PathBuf};

use super::format::segment_path;
use super::reader::{OpenSegment, list};
use super::{JournalError, Position, Projection};

/// The records behind a position, in the order they were appended, up to the last whole frame.
///
/// Nothing in the journal says how far it was synced after the last commit, so a frame that is cut off or damaged ends the
/// tail if it stands in the last segment: a kill or a power cut leaves such frames. In an earlier segment, which was synced
/// before its successor began, it is damage and an error.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    /// Segments to come, the next one last.
    segments: Vec<u64>,
    from: Position,
    open: Option<OpenSegment>,
    frame: Vec<u8>,
    /// What of `frame` has been handed out.
    taken: usize,
    end: Position,
    cut_bytes: u64,
}

/// Opens what lies behind a position. A directory that is not there has nothing.
///
/// # Errors
/// [`JournalError::Lost`] where the journal ends before the position, [`JournalError::Damaged`] where what lies before it in
/// its segment is not what the position was taken of.
pub fn tail(dir: &Path, from: &Position) -> Result<Tail, JournalError> {
    let mut segments = if dir.is_dir() { list(dir)? } else { Vec::new() };
    let first = from.segment.max(1);
    let known = segments.contains(&first);
    if !known && (from.segment > 0 || !segments.is_empty()) {
        return Err(JournalError::Lost { dir: dir.to_owned(), segment: from.segment, offset: from.offset_bytes });
    }
    segments.retain(|s| *s >= first);
    segments.reverse();
    let (open, frame) = (None, Vec::new());
    Ok(Tail { dir: dir.to_owned(), segments, from: *from, open, frame, taken: 0, end: *from, cut_bytes: 0 })
}

impl Tail {
    /// The next record, `None` at the end.
    ///
    /// # Errors
    /// Damage before the end, and what the file system says.
    pub fn next_record(&mut self) -> Result<Option<Projection>, JournalError> {
        loop {
            if let Some(open) = &self.open
                && let Some(projection) = open.take(&self.frame, &mut self.taken)?
            {
                return Ok(Some(projection));
            }
            self.frame.clear();
            self.taken = 0;
            match self.open.as_mut().map(|open| open.next_frame(&mut self.frame)) {
                Some(Ok(true)) => self.end = self.open.as_ref().map_or(self.end, OpenSegment::position),
                Some(Ok(false)) => self.open = None,
                Some(Err(error)) => self.cut(error)?,
                None => match self.segments.pop() {
                    None => return Ok(None),
                    Some(segment) => match self.begin(segment) {
                        Ok(open) => self.open = Some(open),
                        Err(error) => self.cut(error)?,
                    },
                },
            }
        }
    }

    /// Up to where the records that were handed out reach.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Bytes behind the end that are no whole frame.
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    fn begin(&self, segment: u64) -> Result<OpenSegment, JournalError> {
        let mut open = OpenSegment::begin(&self.dir, segment, None)?;
        if segment != self.from.segment {
            if open.header.n_records_before != self.end.n_records {
                return Err(open.damaged("it counts other records before it than there are"));
            }
            if self.end.segment > 0 && open.header.previous != self.end.hash {
                return Err(open.damaged("it does not follow the segment before it: one of the two was altered"));
            }
            return Ok(open);
        }
        let lost =
            || JournalError::Lost { dir: self.dir.clone(), segment: self.from.segment, offset: self.from.offset_bytes };
        // What is committed was synced: that it is not there, or is something else, is no accident of the end.
        while open.position().offset_bytes < self.from.offset_bytes {
            open.next_header()?.ok_or_else(lost)?;
        }
        if open.position() != self.from {
            return Err(open.damaged("what comes before it is not what the position was taken of"));
        }
        Ok(open)
    }

    /// Ends the tail at damage, where that is what a sudden end leaves.
    fn cut(&mut self, error: JournalError) -> Result<(), JournalError> {
        let JournalError::Damaged { path, .. } = &error else { return Err(error) };
        let size = path.metadata().map_or(0, |m| m.len());
        let in_committed = self.open.is_none() && *path == segment_path(&self.dir, self.from.segment);
        if !self.segments.is_empty() || in_committed {
            return Err(error);
        }
        let whole = if self.open.is_some() { self.end_in_segment(path) } else { 0 };
        self.cut_bytes = size.saturating_sub(whole);
        self.open = None;
        Ok(())
    }

    /// How many bytes of a segment are whole.
    fn end_in_segment(&self, path: &Path) -> u64 {
        if *path == segment_path(&self.dir, self.end.segment) { self.end.offset_bytes } else { 0 }
    }
}
