//! Template fingerprints of the event at hand: made when first asked for, at most once an event and kind, into memory that
//! is reused.

use std::cell::{OnceCell, RefCell};

use crate::event::{FieldId, UsageEvent};
use crate::template::{Fingerprinter, Fingerprints, Scratch, Strictness, from_text};
use crate::value::Value;

/// Fingerprints that some rule asks for: of which field, how strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wording {
    pub(crate) field: FieldId,
    pub(crate) strictness: Strictness,
}

impl Wording {
    /// The field in which a gateway tells these fingerprints, where there is one.
    pub(crate) fn told_in(self) -> Option<FieldId> {
        match (self.field, self.strictness) {
            (FieldId::PROMPT, Strictness::Strict) => Some(FieldId::PROMPT_FPS),
            (FieldId::PROMPT, Strictness::Loose) => Some(FieldId::LOOSE_FPS),
            _ => None,
        }
    }

    /// What the gateway told, if it is of the key's epoch. An event that tells no epoch means 0.
    fn told(self, fingerprinter: &Fingerprinter, event: &UsageEvent<'_>) -> Option<Fingerprints> {
        let epoch = match event.get(FieldId::FINGERPRINT_EPOCH) {
            Value::Num(epoch) => epoch,
            _ => 0,
        };
        match self.told_in().map(|field| event.get(field)) {
            Some(Value::Texts(texts)) if epoch == i64::from(fingerprinter.key().epoch()) => {
                // One that is no fingerprint of ours: none of them is taken for one.
                let all: Option<smallvec::SmallVec<[u64; 32]>> = texts.iter().map(|t| from_text(t)).collect();
                all.map(Fingerprints::collect)
            }
            _ => None,
        }
    }
}

/// Fingerprints of one event, by the number of the wording in the rule set.
#[derive(Debug, Default)]
pub(crate) struct Wordings {
    known: Vec<OnceCell<Option<Fingerprints>>>,
    /// Of an event that comes back from a journal, the texts that are kept back, with their lengths in characters.
    pub(crate) kept_back: Vec<(FieldId, i64)>,
    scratch: RefCell<Scratch>,
}

impl Wordings {
    pub(crate) fn fit(&mut self, wordings: usize) {
        if self.known.len() != wordings {
            self.known = vec![OnceCell::new(); wordings];
        }
    }

    /// Before the next event.
    pub(crate) fn forget(&mut self) {
        self.known.iter_mut().for_each(|known| {
            known.take();
        });
    }

    /// Says what the fingerprints of a wording are, for an event whose text is kept back.
    pub(crate) fn tell(&mut self, all: &[Wording], wording: Wording, fingerprints: &[u64]) {
        let number = all.iter().position(|w| *w == wording);
        if let Some(known) = number.and_then(|n| self.known.get_mut(n)) {
            known.take();
            let _ = known.set(Some(Fingerprints::collect(fingerprints.iter().copied())));
        }
    }

    /// The fingerprints of an event where they are made from the text, and not told by the gateway.
    pub(crate) fn made(
        &self,
        all: &[Wording],
        number: u16,
        fingerprinter: &Fingerprinter,
        event: &UsageEvent<'_>,
    ) -> Option<&[u64]> {
        let wording = all.get(usize::from(number))?;
        let told = wording.told(fingerprinter, event).is_some();
        if told { None } else { self.of(all, number, fingerprinter, event) }
    }

    /// The fingerprints of an event, ascending: as the gateway told them, else made from the text; `None` where the event
    /// has neither.
    pub(crate) fn of(
        &self,
        all: &[Wording],
        number: u16,
        fingerprinter: &Fingerprinter,
        event: &UsageEvent<'_>,
    ) -> Option<&[u64]> {
        let (wording, known) = (all.get(usize::from(number))?, self.known.get(usize::from(number))?);
        let found = known.get_or_init(|| {
            wording.told(fingerprinter, event).or_else(|| match event.get(wording.field) {
                Value::Text(text) => {
                    Some(fingerprinter.fingerprints(wording.strictness, text, &mut self.scratch.borrow_mut()))
                }
                _ => None,
            })
        });
        found.as_ref().map(Fingerprints::as_slice)
    }
}
