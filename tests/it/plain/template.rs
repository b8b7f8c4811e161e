//! Template fingerprints by plain recomputation, from what `fineprint::template` says: every word, shingle and window in a
//! vector of its own. Shares constants and the kinds of characters that the page names, no code.

#![allow(deprecated, reason = "the standard library's SipHash-2-4 is deprecated, not wrong")]

use std::collections::BTreeSet;
use std::hash::{Hasher, SipHasher};

use fineprint::template::*;

/// A key as the plain one holds it.
#[derive(Debug, Clone, Copy)]
pub struct PlainKey {
    pub secret: [u8; 16],
    pub epoch: u32,
}

pub const PUBLIC: PlainKey = PlainKey { secret: *b"fineprint public", epoch: 0 };

fn siphash(k0: u64, k1: u64, m: u64) -> u64 {
    let mut hasher = SipHasher::new_with_keys(k0, k1);
    hasher.write(&m.to_le_bytes());
    hasher.finish()
}

impl PlainKey {
    fn number(self, i: u64) -> u64 {
        let half = |at: usize| u64::from_le_bytes(self.secret[at..at + 8].try_into().unwrap());
        siphash(half(0), half(8), u64::from(self.epoch) * 4 + i)
    }
}

#[derive(Debug, PartialEq)]
enum Kind {
    Ignored,
    Lone,
    Letter,
    Between,
}

fn kind(c: char) -> Kind {
    let within = |ranges: &[(u32, u32)]| ranges.iter().any(|(a, b)| (*a..=*b).contains(&(c as u32)));
    let ignored = [
        (0xad, 0xad),
        (0x300, 0x36f),
        (0x200b, 0x200f),
        (0x202a, 0x202e),
        (0x2060, 0x2064),
        (0xfe00, 0xfe0f),
        (0xfeff, 0xfeff),
        (0xe0000, 0xe01ef),
    ];
    let unspaced = [
        (0xe00, 0xeff),
        (0x1000, 0x109f),
        (0x1780, 0x17ff),
        (0x3005, 0x3007),
        (0x3040, 0x30ff),
        (0x31f0, 0x31ff),
        (0x3400, 0x4dbf),
        (0x4e00, 0x9fff),
        (0xf900, 0xfaff),
        (0xff66, 0xff9d),
        (0x20000, 0x3ffff),
    ];
    if within(&ignored) {
        Kind::Ignored
    } else if c.is_alphanumeric() {
        if within(&unspaced) { Kind::Lone } else { Kind::Letter }
    } else if within(&[(0x900, 0xdff)]) && !['\u{964}', '\u{965}', '\u{970}'].contains(&c) {
        Kind::Ignored
    } else {
        Kind::Between
    }
}

/// The lower-cased words of a whole text.
pub fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in text.chars() {
        match kind(c) {
            Kind::Ignored => {}
            Kind::Letter => words.last_mut().unwrap().extend(c.to_lowercase()),
            Kind::Lone => words.extend([c.to_lowercase().collect(), String::new()]),
            Kind::Between => words.push(String::new()),
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

/// The words of a text between two places, without those that a border cuts.
fn words_between(text: &str, begin: usize, end: usize) -> Vec<String> {
    let border = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (begin, end) = (border(begin), border(end));
    let cuts = |at: usize| {
        let runs = |c: Option<char>| c.is_some_and(|c| [Kind::Letter, Kind::Ignored].contains(&kind(c)));
        runs(text[..at].chars().next_back()) && runs(text[at..].chars().next())
    };
    let runs_on = |c: char| [Kind::Letter, Kind::Ignored].contains(&kind(c));
    let mut piece = &text[begin..end];
    if cuts(begin) {
        piece = piece.trim_start_matches(runs_on);
    }
    if cuts(end) {
        piece = piece.trim_end_matches(runs_on);
    }
    words(piece)
}

/// As events and lists carry it.
pub fn hex(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

/// Every fingerprint that a quotation of a text could show, strict or loose.
pub fn quotable(key: PlainKey, text: &str) -> Vec<String> {
    let made = |shingle: u64| hex(siphash(key.number(1), key.number(2), shingle));
    Strictness::ALL.iter().flat_map(|s| shingles(key, *s, &words(text))).map(made).collect()
}

fn shingles(key: PlainKey, strictness: Strictness, words: &[String]) -> Vec<u64> {
    let seed = key.number(0);
    let number = |word: &String| mix(word.chars().fold(seed, |h, c| (h ^ c as u64).wrapping_mul(SPREAD)));
    let numbers: Vec<u64> = words.iter().map(number).collect();
    let shingle = |window: &[u64]| mix(window.iter().fold(0u64, |sum, w| sum.wrapping_mul(BASE).wrapping_add(*w)));
    numbers.windows(strictness.words()).map(shingle).collect()
}

/// (place, number) of the candidates of one piece; places begin at `first`.
fn candidates(shingles: &[u64], first: usize) -> BTreeSet<(usize, u64)> {
    let least = |(begin, window): (usize, &[u64])| {
        let least = *window.iter().min().unwrap();
        let at = window.iter().rposition(|s| *s == least).unwrap();
        (first + begin + at, least)
    };
    match shingles.len() {
        0 => BTreeSet::new(),
        n if n < WINDOW => [least((0, shingles))].into(),
        _ => shingles.windows(WINDOW).enumerate().map(least).collect(),
    }
}

/// The fingerprints of a text, ascending, and how many candidates there were.
pub fn fingerprints(key: PlainKey, strictness: Strictness, text: &str) -> (Vec<u64>, usize) {
    let mut pieces = vec![(0, text.len())];
    if text.len() > READ_BYTES_MAX {
        let middle = (1..=MIDDLE_PIECES).map(|i| text.len() / (MIDDLE_PIECES + 1) * i);
        pieces = vec![(0, END_BYTES)];
        pieces.extend(middle.map(|at| (at, at + MIDDLE_BYTES)));
        pieces.push((text.len() - END_BYTES, text.len()));
    }
    let mut all: Vec<(usize, u64)> = Vec::new();
    for (i, (begin, end)) in pieces.into_iter().enumerate() {
        let words = words_between(text, begin, end);
        all.extend(candidates(&shingles(key, strictness, &words), i * 1_000_000));
    }
    let mut distinct: Vec<u64> = Vec::new();
    for (_, number) in all {
        if !distinct.contains(&number) {
            distinct.push(number);
        }
    }
    let n = distinct.len();
    let mut kept = distinct;
    if n > FINGERPRINTS_MAX {
        let mut others: Vec<u64> = kept[END_KEPT..n - END_KEPT].to_vec();
        others.sort_unstable();
        others.truncate(FINGERPRINTS_MAX - 2 * END_KEPT);
        let (head, tail) = (&kept[..END_KEPT], &kept[n - END_KEPT..]);
        kept = [head, &others, tail].concat();
    }
    let mut made: Vec<u64> = kept.into_iter().map(|s| siphash(key.number(1), key.number(2), s)).collect();
    made.sort_unstable();
    (made, n)
}
