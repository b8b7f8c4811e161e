//! What stands in the journal of a live session beside projections: all that a run over the journal needs to come to the
//! same findings and the same books.
//!
//! A projection begins with its version, a small number; every other record begins with [`TAG`], then the entry as postcard
//! writes it.

use serde::{Deserialize, Serialize};

use crate::eval::{Carries, Carry, Erased, Recalled, Refusal};
use crate::event::FIELDS;
use crate::event::decode::RejectReason;
use crate::runtime::Rejected;
use crate::runtime::reading::Reading;

/// First byte of what is no projection: the form of entries, from 0xf0.
const TAG: u8 = 0xf0;

/// Reason of an event of which the rules read more than a record of the journal holds.
pub const TOO_LARGE: &str = "projection_too_large";

/// Reason of an event that was erased before a run over the journal came to it.
pub(super) const ERASED: &str = "erased";

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runtime) enum Entry {
    /// The records that follow come from a source, the next as so-manieth of it.
    From { source: String, record: u64 },
    /// A copy of an event that waited.
    Copy,
    /// The next event had so many keys that no field has.
    UnknownKeys { n: u32 },
    /// A record that was refused at once.
    Refused { reason: String, field: Option<u8>, detail: String },
    /// No event before this time (nanoseconds since 1970) will come any more, as the clock says.
    Advance { watermark: i64 },
    /// Rules take over from those that were handed in last; where they are the same, this says only which they are.
    /// `at` is the event time from which they are in force, none where it is only said.
    Rules { bundle: String, at: Option<i64>, carries: Vec<(String, Carry)>, otherwise: Carry },
    /// How the stream is read from here on. A run over the journal may begin here.
    Reading(Reading),
    /// A run over files goes on from here under these rules; `anew` where it begins with no state, so that nothing before it
    /// counts any more. Stands before the first event of a run, and of each commit.
    Run { bundle: String, anew: bool },
    /// The files have ended: what follows from that was found, and the state stayed as it was before.
    End,
}

/// A record of the journal.
#[derive(Debug)]
pub(in crate::runtime) enum Read {
    Event(Box<Recalled>),
    Entry(Entry),
    /// In place of an event.
    Erased,
}

impl Entry {
    /// As a record.
    pub(in crate::runtime) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        postcard::to_extend(self, vec![TAG]).map_err(|e| format!("an entry of the journal cannot be written down: {e}"))
    }

    /// Rules that take over.
    pub(super) fn rules(bundle: &str, at: Option<i64>, carries: &Carries) -> Entry {
        Entry::Rules {
            bundle: bundle.to_string(),
            at,
            carries: carries.rules.iter().map(|(name, carry)| (name.clone(), *carry)).collect(),
            otherwise: carries.otherwise,
        }
    }

    /// A refused record, as it is journaled.
    pub(super) fn refused(rejected: &Rejected) -> Entry {
        let field = rejected.field.and_then(|name| FIELDS.iter().position(|f| f.json == name));
        Entry::Refused {
            reason: rejected.reason.to_string(),
            field: field.and_then(|at| u8::try_from(at).ok()),
            detail: rejected.detail.clone(),
        }
    }
}

/// An entry without an account that its message names; `None` where it names none.
pub(in crate::runtime) fn erase_from_entry(
    record: &[u8],
    account: &str,
    token: &str,
) -> Result<Option<Vec<u8>>, String> {
    let Ok(Read::Entry(Entry::Refused { reason, field, detail })) = read(record) else { return Ok(None) };
    match crate::violation::renamed(&detail, account, token) {
        Some(detail) => Entry::Refused { reason, field, detail }.to_bytes().map(Some),
        None => Ok(None),
    }
}

/// Whether a record of a journal is something else than an event: an entry, or what stands for an event that was erased.
pub fn is_entry(record: &[u8]) -> bool {
    record.first().is_some_and(|first| *first >= TAG)
}

/// Reads a record.
pub(in crate::runtime) fn read(record: &[u8]) -> Result<Read, String> {
    if Erased::read(record).is_some() {
        return Ok(Read::Erased);
    }
    match record.split_first() {
        Some((&TAG, entry)) => {
            let entry = postcard::from_bytes(entry);
            entry
                .map(Read::Entry)
                .map_err(|e| format!("an entry of the journal is damaged, or of a later release: {e}"))
        }
        _ => Recalled::read(record).map(|event| Read::Event(Box::new(event))),
    }
}

/// The word of a reason as the program has it.
pub(super) fn reason(word: &str) -> &'static str {
    let decoding = RejectReason::ALL.into_iter().map(RejectReason::word);
    let known = decoding.chain([Refusal::Future.word(), Refusal::Conflicting.word(), TOO_LARGE, ERASED]);
    known.into_iter().find(|known| *known == word).unwrap_or("other")
}

/// The field of a number as rejects name it.
pub(super) fn field(number: Option<u8>) -> Option<&'static str> {
    FIELDS.get(usize::from(number?)).map(|f| f.json)
}
