//! The commitment to a whole event: lets whoever has event and salt show that the journal speaks of this event and no other,
//! and tells nobody else anything about it.
//!
//! `SHA-256("fineprint event 1\\n" || s || event)`, where `s = SHA-256("fineprint salt 1\\n" || salt || id || time)` is the
//! event's own salt: opening one event gives away nothing about another, and two equal prompts do not look alike. `event`
//! is kind, time, id, and each field as JSON key and value in order of the table. Texts have their length before them, so
//! that no two events give the same bytes. Keys that no field has are no part of it.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::project::{text, value, varint, zigzag};
use crate::event::{FIELDS, FieldId, UsageEvent};

/// Bytes of a commitment.
pub const COMMITMENT_BYTES: usize = 32;

/// The secret of a journal, from which the salts of its events follow. Not part of anything that is handed on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(…)")
    }
}

impl Salt {
    /// The salt of one event, by which its commitment can be opened.
    pub fn of(&self, event: &UsageEvent<'_>) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"fineprint salt 1\n");
        hash.update(self.0);
        hash.update((event.id().len() as u64).to_be_bytes());
        hash.update(event.id());
        hash.update(event.ts().0.to_be_bytes());
        hash.finalize().into()
    }
}

/// Most bytes of a name with its length that are copied at once, whatever its length: that is faster.
const NAME_BYTES: usize = 24;

/// The key of each field as it stands in the form, and how many bytes of it count.
static NAMES: LazyLock<Vec<([u8; NAME_BYTES], usize)>> = LazyLock::new(|| {
    let name = |json: &str| {
        let (mut form, mut bytes) = (Vec::new(), [0; NAME_BYTES]);
        text(&mut form, json);
        bytes.iter_mut().zip(&form).for_each(|(to, from)| *to = *from);
        (bytes, form.len())
    };
    FIELDS.iter().map(|field| name(field.json)).collect()
});

/// Appends the key of a field.
fn name(buffer: &mut Vec<u8>, field: FieldId) {
    match NAMES.get(usize::from(field.0)) {
        Some((bytes, n)) if *n <= NAME_BYTES => {
            let end = buffer.len() + n;
            buffer.extend_from_slice(bytes);
            buffer.truncate(end);
        }
        _ => text(buffer, FIELDS.get(usize::from(field.0)).map_or("", |f| f.json)),
    }
}

/// The commitment to an event under its own salt, [`Salt::of`].
pub fn commitment(salt: &[u8; 32], event: &UsageEvent<'_>) -> [u8; COMMITMENT_BYTES] {
    commit_in(&mut Vec::new(), salt, event)
}

/// The same, with room behind the end of a buffer, which is left as it was.
pub(super) fn commit_in(buffer: &mut Vec<u8>, salt: &[u8; 32], event: &UsageEvent<'_>) -> [u8; COMMITMENT_BYTES] {
    let start = buffer.len();
    buffer.push(event.kind() as u8);
    varint(buffer, zigzag(event.ts().0));
    text(buffer, event.id());
    for (field, v) in event.fields() {
        name(buffer, field);
        value(buffer, &v);
    }
    let mut hash = Sha256::new();
    hash.update(b"fineprint event 1\n");
    hash.update(salt);
    hash.update(buffer.get(start..).unwrap_or_default());
    buffer.truncate(start);
    hash.finalize().into()
}
