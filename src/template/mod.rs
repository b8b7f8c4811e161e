//! Turns the wording of a text into fingerprints: texts that share a run of words share fingerprints, whatever else they
//! hold. Winnowing (Schleimer, Wilkerson, Aiken 2003) over words, keyed. Knows no event, list or rule. This page is the
//! definition; the tests hold a second, slow implementation written from it.
//!
//! **Words.** Each character of the text is one of four kinds (`words.rs`): *ignored* characters are as if they were not
//! there; a *lone* letter (of a script written without spaces) is a word by itself; other letters and digits
//! (`char::is_alphanumeric`) that follow each other form a word; anything else ends a word. Characters are lower-cased
//! (`char::to_lowercase`); digits stay as they are.
//!
//! **Numbers.** All arithmetic is modulo 2^64. The 128-bit key and its epoch give three numbers *seed*, *k0*, *k1*:
//! SipHash-2-4 under the key of the 8 bytes (little-endian) of `epoch * 4 + i` for i = 0, 1, 2. A word of the characters
//! c1 c2 … has the number `mix(h)`, where h begins as *seed* and each character makes it `(h xor c) * `[`SPREAD`]; `mix` is
//! the finaliser of MurmurHash3 ([`mix`]). The shingle of the words w1 … wk has the number
//! `mix(w1 * B^(k-1) + w2 * B^(k-2) + … + wk)` with B = [`BASE`].
//!
//! **Candidates.** In each run of [`WINDOW`] shingles that follow each other the smallest number is one, of several
//! smallest the rightmost; where there are fewer shingles, the smallest of all. So two texts that share
//! `WINDOW + k - 1` words in a row share a candidate: 15 for strict, 12 for loose. A text of fewer than k words has none.
//!
//! **Long texts.** Of a text of more than [`READ_BYTES_MAX`] bytes only pieces are read, each by itself, no shingle
//! reaching across: the first and the last [`END_BYTES`], and [`MIDDLE_PIECES`] pieces of [`MIDDLE_BYTES`] between them,
//! the i-th (from 1) beginning at byte `length / (MIDDLE_PIECES + 1) * i`. A border that falls inside a character moves
//! down to its beginning. Where the characters on both sides of a border are letters or ignored, it cuts a word, and what
//! stands of that word in the piece is left out.
//!
//! **What is kept.** Equal candidates count once, where they stand first. Of at most [`FINGERPRINTS_MAX`] all are kept. Of
//! more, the first [`END_KEPT`] in the text and the last as many are kept, because a template stands before or after what
//! it is filled with; and of the others the smallest, because that choice depends on the number alone: two texts of one
//! template choose the same ones of it. (Measured in `benches/campaign.rs`; `docs/decisions.md` tells what lost.)
//!
//! **Fingerprints.** Each number that is kept goes through SipHash-2-4 (of its 8 bytes, little-endian) under *k0*, *k1*.
//! Without the key a fingerprint can be compared, and nothing else.

mod key;
mod public;
mod winnow;
mod words;

pub use key::{FingerprintKey, KeyError, NAMED};
pub use public::{FingerprintsFull, PUBLIC_FINGERPRINTS_MAX, PublicTemplate, PublicTemplates};
pub use winnow::{Fingerprinter, Fingerprints, Scratch};

use serde::{Deserialize, Serialize};

/// Shingles that follow each other, of which at least one is a candidate.
pub const WINDOW: usize = 8;
/// The most fingerprints of one text.
pub const FINGERPRINTS_MAX: usize = 32;
/// The longest text that is read as a whole, in bytes.
pub const READ_BYTES_MAX: usize = 8 << 10;
/// How much of each end of a longer text is read, in bytes.
pub const END_BYTES: usize = 3 << 10;
/// Pieces read from the middle of a longer text.
pub const MIDDLE_PIECES: usize = 4;
/// Length of each, in bytes.
pub const MIDDLE_BYTES: usize = 512;
/// Candidates at each end of the text that are kept whatever their number.
pub const END_KEPT: usize = 10;
/// Multiplier between two characters of a word.
pub const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Base of the polynomial over the words of a shingle.
pub const BASE: u64 = 0xd134_2543_de82_ef95;

/// How many words in a row must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Strictness {
    /// Eight: hardly ever by chance.
    Strict,
    /// Five: also where every sixth word was replaced; common phrases agree too.
    Loose,
}

impl Strictness {
    /// Both.
    pub const ALL: [Strictness; 2] = [Strictness::Strict, Strictness::Loose];

    /// The one of a word of the language.
    pub fn from_word(word: &str) -> Option<Strictness> {
        match word {
            "strict" => Some(Strictness::Strict),
            "loose" => Some(Strictness::Loose),
            _ => None,
        }
    }

    /// Words in a shingle.
    pub const fn words(self) -> usize {
        match self {
            Strictness::Strict => 8,
            Strictness::Loose => 5,
        }
    }
}

/// The finaliser of MurmurHash3: every bit of the argument reaches every bit of the result, and no two arguments collide.
pub const fn mix(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// A fingerprint as events, lists and records carry it: 16 hexadecimal digits, lower case.
pub fn to_text(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

/// Reads what [`to_text`] writes, in either case; `None` for anything else.
pub fn from_text(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if digits { u64::from_str_radix(text, 16).ok() } else { None }
}
