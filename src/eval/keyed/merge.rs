//! Two states of one partition as one: what was split off a hot key to gather records elsewhere, or what two machines took
//! in for the same key before they knew of each other.
//!
//! Records that wait are put together, which is exact for every construct. What was judged on events of its own is not: a
//! step that did not hold on either half may hold on both, and evidence names every event, so that half a judgement can
//! neither be made good nor be smaller than its events. At most one of the two may have been judged.

use super::bytes::{Parts, push, told, waiting};
use super::record::{Envelope, said};
use super::{Keyed, KeyedError, Partition, PartitionKind};
use crate::eval::{Refusal, Refused};
use crate::time::Timestamp;

/// Two states as one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The bytes to keep.
    pub state: Option<Vec<u8>>,
    /// When the partition is to be called next.
    pub timer: Option<Timestamp>,
    /// Of partitions of ids: how many records were in both.
    pub duplicates: u64,
    /// Of partitions of ids: records that had been taken in and are refused now.
    pub refused: Vec<Refused>,
}

impl Keyed {
    /// Two states of one partition as one, whichever is named first.
    ///
    /// # Errors
    /// Bytes that [`Keyed::step`] would refuse; two states that both were judged.
    pub fn merge(
        &self,
        partition: Partition,
        a: Option<&[u8]>,
        b: Option<&[u8]>,
        watermark: Timestamp,
    ) -> Result<Merged, KeyedError> {
        let (a, b) = (self.parts(a)?, self.parts(b)?);
        let judged = |parts: &Parts<'_>| !parts.body.is_empty() || parts.head.settled != i64::MIN;
        if judged(&a) && judged(&b) {
            return Err(KeyedError::Judged(partition));
        }
        let first = if judged(&b) { b } else { a };
        let settled = first.head.settled;
        let mut merged = Merged::default();
        let mut records = [waiting(a.waiting)?, waiting(b.waiting)?].concat();
        let mut timed = Vec::with_capacity(records.len());
        for record in records.drain(..) {
            let (ts, _) = self.opened(record)?;
            if ts < settled {
                return Err(KeyedError::Behind { partition, at: Timestamp(ts), judged: Timestamp(settled) });
            }
            timed.push((ts, record));
        }
        timed.sort_unstable();
        let before = timed.len();
        timed.dedup();
        if partition.kind == PartitionKind::Ids {
            merged.duplicates = (before - timed.len()) as u64;
            self.decide_conflicts(&mut timed, watermark.0, &mut merged)?;
        }
        // That of what is gone is early at worst.
        let (mut rest, timer) = (Vec::new(), a.head.timer.min(b.head.timer));
        timed.iter().for_each(|(_, record)| push(&mut rest, record));
        if !rest.is_empty() || judged(&first) {
            merged.state = Some(self.state(timer, settled, first.body, &[&rest]));
            merged.timer = told(timer);
        }
        Ok(merged)
    }

    /// Of several records of an id at or after the watermark, the one with the smallest content hash stays.
    fn decide_conflicts(
        &self,
        timed: &mut Vec<(i64, &[u8])>,
        watermark: i64,
        merged: &mut Merged,
    ) -> Result<(), KeyedError> {
        let mut least: std::collections::BTreeMap<String, [u8; 16]> = std::collections::BTreeMap::new();
        let mut read = Vec::with_capacity(timed.len());
        for (ts, record) in timed.drain(..) {
            let event: Envelope<'_> = said(self.opened(record)?.1)?;
            if ts >= watermark {
                let known = least.entry(event.id.to_string()).or_insert(event.content);
                *known = (*known).min(event.content);
            }
            read.push((ts, record, event.id, event.content, event.origin));
        }
        let mut told = std::collections::BTreeSet::new();
        for (ts, record, id, content, origin) in read {
            let stays = ts < watermark || least.get(id).is_none_or(|known| *known == content);
            if ts >= watermark && stays && !told.insert(id) {
                merged.duplicates += 1;
            } else if stays {
                timed.push((ts, record));
            } else {
                merged.refused.push(Refused { origin, id: id.to_string(), refusal: Refusal::Conflicting });
            }
        }
        Ok(())
    }
}
