//! The bytes of one partition: a head of fixed length, a body that is read only when time passes, and the records that came
//! since, one after the other, so that taking one in is appending it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Keyed, KeyedError, Partition};
use crate::eval::snapshot::SNAPSHOT_VERSION;
use crate::time::Timestamp;

/// Version of the state of a partition: it is made of the parts of a snapshot and changes with them. Another is refused, here
/// and nowhere else; a program that is to read an older one reads it here.
pub const STATE_VERSION: u16 = SNAPSHOT_VERSION;

/// Of the sums of states: bytes of a record are no state.
const STATE_SEED: u64 = 1;

const WHAT: &str = "the state of a partition";

/// What stands before the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// When it is to be called next; `i64::MAX` for never.
    pub(super) timer: i64,
    /// Every event before this is applied, every step that ends by it is judged.
    pub(super) settled: i64,
    /// Length of the body.
    pub(super) body: u32,
}

/// Bytes of version, signature, sum and head.
pub(super) const HEAD: usize = 2 + 8 + 8 + 8 + 8 + 4;

/// A state, taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) head: Head,
    pub(super) body: &'a [u8],
    /// Records that wait, each behind its length.
    pub(super) waiting: &'a [u8],
}

impl Parts<'_> {
    /// Of a partition that was never stepped.
    pub(super) const EMPTY: Parts<'static> =
        Parts { head: Head { timer: i64::MAX, settled: i64::MIN, body: 0 }, body: &[], waiting: &[] };
}

/// The first `N` bytes, and the rest.
fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    bytes.split_first_chunk::<N>().map(|(taken, rest)| (*taken, rest))
}

impl Keyed {
    /// Takes a state apart.
    pub(super) fn parts<'a>(&self, state: Option<&'a [u8]>) -> Result<Parts<'a>, KeyedError> {
        let Some(state) = state else { return Ok(Parts::EMPTY) };
        let short = || KeyedError::Damaged(WHAT, "it is too short".to_string());
        let (version, rest) = take::<2>(state).ok_or_else(short)?;
        let found = u16::from_le_bytes(version);
        if found != STATE_VERSION {
            return Err(KeyedError::Version { what: WHAT, found, reads: STATE_VERSION });
        }
        let (signature, rest) = take::<8>(rest).ok_or_else(short)?;
        if u64::from_le_bytes(signature) != self.signature {
            return Err(KeyedError::OtherRules(WHAT));
        }
        let (sum, rest) = take::<8>(rest).ok_or_else(short)?;
        if u64::from_le_bytes(sum) != xxh3_64_with_seed(rest, STATE_SEED) {
            return Err(KeyedError::Damaged(WHAT, "its sum is not that of its bytes".to_string()));
        }
        let (timer, rest) = take::<8>(rest).ok_or_else(short)?;
        let (settled, rest) = take::<8>(rest).ok_or_else(short)?;
        let (body, rest) = take::<4>(rest).ok_or_else(short)?;
        let body = u32::from_le_bytes(body);
        let head = Head { timer: i64::from_le_bytes(timer), settled: i64::from_le_bytes(settled), body };
        let (body, waiting) = rest.split_at_checked(body as usize).ok_or_else(short)?;
        Ok(Parts { head, body, waiting })
    }

    /// A state of these parts.
    pub(super) fn state(&self, timer: i64, settled: i64, body: &[u8], waiting: &[&[u8]]) -> Vec<u8> {
        let waits: usize = waiting.iter().map(|part| part.len()).sum();
        let mut rest = Vec::with_capacity(HEAD + body.len() + waits);
        rest.extend(STATE_VERSION.to_le_bytes());
        rest.extend(self.signature.to_le_bytes());
        rest.extend([0; 8]);
        let summed = rest.len();
        rest.extend(timer.to_le_bytes());
        rest.extend(settled.to_le_bytes());
        rest.extend((body.len() as u32).to_le_bytes());
        rest.extend(body);
        waiting.iter().for_each(|part| rest.extend(*part));
        if let Some((before, after)) = rest.split_at_mut_checked(summed)
            && let Some(place) = before.last_chunk_mut::<8>()
        {
            *place = xxh3_64_with_seed(after, STATE_SEED).to_le_bytes();
        }
        rest
    }

    /// A state with one more record that waits until the watermark is at `due`.
    pub(super) fn append(
        &self,
        partition: Partition,
        parts: Parts<'_>,
        at: i64,
        due: i64,
        record: &[u8],
    ) -> Result<(Vec<u8>, i64), KeyedError> {
        let Head { timer, settled, .. } = parts.head;
        if at < settled {
            return Err(KeyedError::Behind { partition, at: Timestamp(at), judged: Timestamp(settled) });
        }
        let timer = timer.min(due);
        let length = (record.len() as u32).to_le_bytes();
        Ok((self.state(timer, settled, parts.body, &[parts.waiting, &length, record]), timer))
    }
}

/// Appends a record behind its length.
pub(super) fn push(to: &mut Vec<u8>, record: &[u8]) {
    to.extend((record.len() as u32).to_le_bytes());
    to.extend(record);
}

/// The records that wait.
pub(super) fn waiting(mut bytes: &[u8]) -> Result<Vec<&[u8]>, KeyedError> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let cut = || KeyedError::Damaged(WHAT, "a waiting record is cut".to_string());
        let (length, rest) = take::<4>(bytes).ok_or_else(cut)?;
        let (record, rest) = rest.split_at_checked(u32::from_le_bytes(length) as usize).ok_or_else(cut)?;
        records.push(record);
        bytes = rest;
    }
    Ok(records)
}

/// A timer as it is told.
pub(super) fn told(timer: i64) -> Option<Timestamp> {
    (timer != i64::MAX).then_some(Timestamp(timer))
}

/// Reads a body.
pub(super) fn read<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, KeyedError> {
    postcard::from_bytes(bytes).map_err(|e| KeyedError::Damaged(WHAT, e.to_string()))
}

/// Writes a body.
pub(super) fn write<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, KeyedError> {
    postcard::to_stdvec(value).map_err(|e| KeyedError::Damaged(WHAT, e.to_string()))
}
