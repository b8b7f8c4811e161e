//! What stands in a journal in place of an event that was erased, and which events speak of an account.
//!
//! ```text
//! record   0xf1 · form 1 · number of the erasure u64 · SHA-256 of the record it stands for, 32 bytes
//! ```
//! Numbers little-endian. The digest says nothing of the event: a projection ends with a commitment that nobody can guess.

use sha2::{Digest, Sha256};

use super::recall::Recalled;
use crate::event::FIELDS;
use crate::event::fields::Privacy;
use crate::value::Value;

/// First byte of the record. A projection begins with its version, a small number.
const TAG: u8 = 0xf1;
/// The form of what follows.
const FORM: u8 = 1;

/// What stands in place of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// The number of the erasure, which the log explains.
    pub erasure: u64,
    /// SHA-256 of the record that was there.
    pub digest: [u8; 32],
}

impl Erased {
    /// In place of a record.
    pub fn of(record: &[u8], erasure: u64) -> Erased {
        Erased { erasure, digest: Sha256::digest(record).into() }
    }

    /// As a record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![TAG, FORM];
        bytes.extend(self.erasure.to_le_bytes());
        bytes.extend(self.digest);
        bytes
    }

    /// Reads a record; `None` where it is something else.
    pub fn read(record: &[u8]) -> Option<Erased> {
        let rest = record.strip_prefix(&[TAG, FORM])?;
        let (erasure, digest) = rest.split_first_chunk::<8>()?;
        Some(Erased { erasure: u64::from_le_bytes(*erasure), digest: digest.try_into().ok()? })
    }
}

/// By what an account is called in records once it is erased.
pub fn erased_name(erasure: u64) -> String {
    format!("erased:{erasure}")
}

impl Recalled {
    /// Whether an event speaks of an account: a field that tells customers apart says exactly this.
    pub fn names(&self, account: &str) -> bool {
        self.event.fields().any(|(field, value)| {
            let privacy = FIELDS.get(usize::from(field.0)).map(|f| f.privacy);
            let tells = matches!(privacy, Some(Privacy::Pseudonymous | Privacy::Personal));
            tells
                && match value {
                    Value::Text(text) => text == account,
                    Value::Texts(texts) => texts.iter().any(|text| &**text == account),
                    _ => false,
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Erased;

    #[test]
    fn a_marker_reads_as_it_was_written() {
        let marker = Erased::of(b"a projection", 7);
        assert_eq!(Erased::read(&marker.to_bytes()), Some(marker));
        assert_eq!(marker.to_bytes().len(), 42);
        assert_eq!(Erased::read(&[3, 1, 0]), None);
        assert_eq!(Erased::read(&marker.to_bytes()[..41]), None);
    }
}
