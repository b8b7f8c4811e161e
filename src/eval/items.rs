//! Several values of one event as one text, so that an event takes one word of state however many it has.

use super::accumulate::hash;

/// Fingerprints follow, eight bytes each.
const FINGERPRINTS: u8 = 1;
/// Texts follow, each behind its length.
const TEXTS: u8 = 0;

/// Writes fingerprints, ascending and each once.
pub(crate) fn write_fingerprints(all: &[u64], out: &mut Vec<u8>) {
    out.push(FINGERPRINTS);
    all.iter().for_each(|f| out.extend(f.to_be_bytes()));
}

/// Writes texts, each once.
pub(crate) fn write_texts(all: &[String], out: &mut Vec<u8>) {
    out.push(TEXTS);
    for (at, text) in all.iter().enumerate() {
        if !all.iter().take(at).any(|before| before == text) {
            out.extend((text.len() as u32).to_be_bytes());
            out.extend(text.as_bytes());
        }
    }
}

/// Whether there are none.
pub(crate) fn is_empty(set: &[u8]) -> bool {
    set.len() <= 1
}

/// Each as a number: fingerprints as they are, texts by their hash.
pub(crate) fn words(set: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (kind, mut rest) = set.split_first().map_or((TEXTS, set), |(kind, rest)| (*kind, rest));
    std::iter::from_fn(move || {
        if kind == FINGERPRINTS {
            let (word, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            return Some(u64::from_be_bytes(*word));
        }
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (text, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = after;
        Some(hash(text))
    })
}
