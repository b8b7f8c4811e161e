//! An event that borrows nothing: its texts lie one behind the other in one buffer, so that a copy costs one allocation, or
//! none where the memory of an event that is no longer needed is filled again.

use super::{Holds, NOWHERE, Place, UsageEvent};
use crate::time::Timestamp;

/// The texts of an event in one buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    buffer: String,
    ranges: Vec<(u32, u32)>,
}

impl Texts {
    pub(super) fn get(&self, at: usize) -> Option<&str> {
        let (from, to) = *self.ranges.get(at)?;
        self.buffer.get(from as usize..to as usize)
    }

    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.ranges.clear();
    }

    /// Where the text lies; `None` where it does not fit any more.
    fn push(&mut self, text: &str) -> Option<u8> {
        let from = u32::try_from(self.buffer.len()).ok()?;
        let to = u32::try_from(self.buffer.len() + text.len()).ok()?;
        let at = u8::try_from(self.ranges.len()).ok()?;
        self.buffer.push_str(text);
        self.ranges.push((from, to));
        Some(at)
    }
}

impl UsageEvent<'_> {
    /// A copy that borrows nothing.
    pub fn into_owned(self) -> UsageEvent<'static> {
        let mut owned = UsageEvent::default();
        self.copy_to(&mut owned);
        owned
    }

    /// Makes `copy` the same event, in the memory that it has.
    pub fn copy_to(&self, copy: &mut UsageEvent<'static>) {
        copy.borrowed.clear();
        copy.owned.clear();
        copy.texts.clear();
        (copy.kind, copy.ts, copy.content, copy.unknown_keys) = (self.kind, self.ts, self.content, self.unknown_keys);
        copy.numbers.clone_from(&self.numbers);
        copy.ips.clone_from(&self.ips);
        copy.lists.clone_from(&self.lists);
        (copy.index, copy.set) = (self.index, self.set);
        for place in &mut copy.index {
            let at = usize::from(place.at);
            let text = match place.kind {
                Holds::Borrowed => self.borrowed.get(at).copied(),
                Holds::Owned => self.owned.get(at).map(String::as_str),
                Holds::Packed => self.texts.get(at),
                Holds::Nothing | Holds::Bool | Holds::Num | Holds::Ip | Holds::Texts => continue,
            };
            // An event holds fewer texts than a place can name, and is shorter than a buffer can be.
            let at = text.and_then(|text| copy.texts.push(text));
            *place = at.map_or(NOWHERE, |at| Place { kind: Holds::Packed, at });
        }
    }
}

impl UsageEvent<'static> {
    /// Bytes of its texts, and bytes of the buffer in which they lie.
    pub fn text_bytes(&self) -> (usize, usize) {
        (self.texts.buffer.len(), self.texts.buffer.capacity())
    }
}

impl Default for UsageEvent<'_> {
    /// An event without id, of the year 1970: memory to be filled by [`UsageEvent::copy_to`].
    fn default() -> Self {
        UsageEvent { ts: Timestamp(0), ..UsageEvent::blank() }
    }
}
