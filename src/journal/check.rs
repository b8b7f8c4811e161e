//! A journal held against the position that a log seals, without decompressing it.

use std::path::Path;

use super::reader::{OpenSegment, list};
use super::{JournalError, Position};

/// What was held against a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// The first segment that is there; later than 1 where older ones have been dropped.
    pub first_segment: u64,
    /// Records in what is there.
    pub records: u64,
    /// Records before it.
    pub records_before: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Reads every byte before a position once: checksums, the hash of each segment in the header of the next, and the position.
/// `progress` hears how many bytes were read.
///
/// # Errors
/// What is not what was written: which segment, and from which byte on.
pub fn check(dir: &Path, until: &Position, progress: &mut dyn FnMut(u64)) -> Result<Checked, JournalError> {
    let lost = || JournalError::Lost { dir: dir.to_owned(), segment: until.segment, offset: until.offset_bytes };
    let mut checked = Checked::default();
    if until.segment == 0 {
        return Ok(checked);
    }
    let segments: Vec<u64> = list(dir)?.into_iter().filter(|s| *s <= until.segment).collect();
    if segments.last() != Some(&until.segment) {
        return Err(lost());
    }
    let mut before: Option<Position> = None;
    for segment in segments {
        let limit = (segment == until.segment).then_some(until.offset_bytes);
        let mut open = OpenSegment::begin(dir, segment, limit)?;
        match before {
            Some(before) if open.header.previous != before.hash => {
                let what = format!("it does not follow segment {}: one of the two was altered", before.segment);
                return Err(open.damaged(&what));
            }
            Some(before) if open.header.n_records_before != before.n_records => {
                return Err(open.damaged("it counts other records before it than there are"));
            }
            Some(_) => {}
            None => (checked.first_segment, checked.records_before) = (segment, open.header.n_records_before),
        }
        while open.next_header()?.is_some() {
            progress(checked.bytes + open.position_bytes());
        }
        let position = open.position();
        if segment == until.segment && position != *until {
            return Err(open.damaged_at(0, "it is not what the log seals, up to there"));
        }
        checked.bytes += position.offset_bytes;
        checked.records = position.n_records.saturating_sub(checked.records_before);
        before = Some(position);
    }
    Ok(checked)
}
