//! Words of a text as numbers, one pass, without memory of its own.
//!
//! Why not Unicode's word boundaries (UAX #29): their tables cost several times the rest, and the borders that matter here
//! need only be the same in two texts of one template. What counts is told in [`kind`].

use std::sync::LazyLock;

use super::{SPREAD, mix};

/// What a character is to words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As if it were not there.
    Ignored,
    /// Part of a word.
    Letter,
    /// A word by itself.
    Lone,
    /// Between words.
    Between,
}

/// The lower-cased ASCII letter or digit, 0 for what stands between words.
const ASCII: [u8; 128] = {
    let mut table = [0u8; 128];
    let mut c = 0u8;
    while c < 128 {
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
        if c.is_ascii_alphanumeric() {
            table[c as usize] = c.to_ascii_lowercase();
        }
        c += 1;
    }
    table
};

/// What a character is: ignored are soft hyphens, zero-width and direction marks, variation selectors and tags (they
/// would let a template be cut up unseen), and combining marks, general and of the Indic scripts; lone are Han
/// ideographs, kana, and letters of Thai, Lao, Burmese and Khmer; the rest as `char::is_alphanumeric` says.
pub(super) fn kind(c: char) -> Kind {
    let lone = matches!(c,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}' | '\u{20000}'..='\u{3ffff}');
    let indic = matches!(c, '\u{0900}'..='\u{0dff}') && !matches!(c, '\u{0964}' | '\u{0965}' | '\u{0970}');
    match c {
        '\u{00ad}'
        | '\u{0300}'..='\u{036f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e01ef}' => Kind::Ignored,
        c if c.is_alphanumeric() => {
            if lone {
                Kind::Lone
            } else {
                Kind::Letter
            }
        }
        _ if indic => Kind::Ignored,
        _ => Kind::Between,
    }
}

/// The kinds of all characters below this are looked up in a table: most scripts that have case.
const TABLE_END: usize = 0x3000;
const BETWEEN: u32 = 0;
const IGNORED: u32 = 1;
const LONE: u32 = 2;
/// A letter whose lower case is several characters.
const SEVERAL: u32 = 3;

/// One of the above, or the lower-cased letter. Three times as fast as asking the tables of the standard library.
static TABLE: LazyLock<Box<[u32]>> = LazyLock::new(|| {
    let entry = |c: u32| match char::from_u32(c).map(|c| (kind(c), c.to_lowercase())) {
        None | Some((Kind::Between, _)) => BETWEEN,
        Some((Kind::Ignored, _)) => IGNORED,
        Some((Kind::Lone, _)) => LONE,
        Some((Kind::Letter, mut lower)) => match (lower.next(), lower.next()) {
            (Some(one), None) => u32::from(one),
            _ => SEVERAL,
        },
    };
    (0..TABLE_END as u32).map(entry).collect()
});

/// Whether a word runs across the border before a character of a text.
pub(super) fn inside_word(text: &str, at: usize) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| matches!(kind(c), Kind::Letter | Kind::Ignored));
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    letter(before.chars().next_back()) && letter(after.chars().next())
}

/// Calls `word` with the number of each word of a piece of text. `cut_before` and `cut_after` say that a word runs across
/// the border: that word is left out.
#[inline]
pub(super) fn numbers(piece: &str, seed: u64, cut_before: bool, cut_after: bool, mut word: impl FnMut(u64)) {
    let (mut h, mut within, mut cut) = (seed, false, cut_before);
    for c in piece.chars() {
        let plain = match ASCII.get(c as usize) {
            Some(0) => {
                if within {
                    word(mix(h));
                }
                (h, within, cut) = (seed, false, false);
                continue;
            }
            Some(lower) => Some(u64::from(*lower)),
            None => None,
        };
        if let Some(lower) = plain {
            if !cut {
                h = step(h, lower);
                within = true;
            }
            continue;
        }
        let entry = match TABLE.get(c as usize) {
            Some(entry) => *entry,
            None => match c {
                // Nearly all that is left.
                '\u{4e00}'..='\u{9fff}' => LONE,
                c => match kind(c) {
                    Kind::Ignored => IGNORED,
                    Kind::Lone => LONE,
                    Kind::Letter => SEVERAL,
                    Kind::Between => BETWEEN,
                },
            },
        };
        match entry {
            IGNORED => {}
            BETWEEN | LONE => {
                if within {
                    word(mix(h));
                }
                // These scripts have no case.
                if entry == LONE {
                    word(mix(step(seed, u64::from(c))));
                }
                (h, within, cut) = (seed, false, false);
            }
            _ if cut => {}
            SEVERAL => {
                h = c.to_lowercase().fold(h, |h, c| step(h, u64::from(c)));
                within = true;
            }
            lower => {
                h = step(h, u64::from(lower));
                within = true;
            }
        }
    }
    if within && !cut_after {
        word(mix(h));
    }
}

#[inline]
fn step(h: u64, c: u64) -> u64 {
    (h ^ c).wrapping_mul(SPREAD)
}
