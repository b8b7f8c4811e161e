//! From words to fingerprints: shingles by a rolling polynomial, the candidates of each window, and what is kept of them.

use smallvec::SmallVec;

use super::key::siphash;
use super::{
    BASE, END_BYTES, END_KEPT, FINGERPRINTS_MAX, FingerprintKey, MIDDLE_BYTES, MIDDLE_PIECES, READ_BYTES_MAX,
    Strictness, WINDOW, mix, words,
};

/// The most words in a shingle.
const WORDS_MAX: usize = Strictness::Strict.words();
const _: () = assert!(WORDS_MAX.is_power_of_two() && WINDOW.is_power_of_two());
const _: () = assert!(END_KEPT * 2 <= FINGERPRINTS_MAX, "the ends must not overlap");

/// Makes fingerprints under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprinter {
    key: FingerprintKey,
    seed: u64,
    k0: u64,
    k1: u64,
}

impl Default for Fingerprinter {
    fn default() -> Self {
        Fingerprinter::new(FingerprintKey::PUBLIC)
    }
}

/// Buffers, reused from text to text.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Number and place of each candidate.
    candidates: Vec<(u64, u32)>,
    places: Vec<u32>,
    n_words: usize,
}

impl Scratch {
    /// How many words were read of the last text: what the work grew with.
    pub fn n_words(&self) -> usize {
        self.n_words
    }
}

/// The fingerprints of one text: different from each other, ascending, at most [`FINGERPRINTS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprints {
    values: [u64; FINGERPRINTS_MAX],
    len: u8,
    complete: bool,
}

impl Default for Fingerprints {
    fn default() -> Self {
        Fingerprints { values: [0; FINGERPRINTS_MAX], len: 0, complete: true }
    }
}

impl Fingerprints {
    /// From fingerprints made elsewhere, in any order; of more than [`FINGERPRINTS_MAX`] the smallest.
    pub fn collect(made: impl IntoIterator<Item = u64>) -> Self {
        let mut made: SmallVec<[u64; 2 * FINGERPRINTS_MAX]> = made.into_iter().collect();
        made.sort_unstable();
        made.dedup();
        let mut all = Fingerprints::default();
        made.into_iter().for_each(|fingerprint| all.push(fingerprint));
        all
    }

    /// Ascending.
    pub fn as_slice(&self) -> &[u64] {
        self.values.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Whether the whole text was read and every candidate kept: then what is promised about shared runs holds.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    fn push(&mut self, fingerprint: u64) {
        match self.values.get_mut(usize::from(self.len)) {
            Some(place) => {
                *place = fingerprint;
                self.len += 1;
            }
            None => self.complete = false,
        }
    }

    fn sort(&mut self) {
        if let Some(values) = self.values.get_mut(..usize::from(self.len)) {
            values.sort_unstable();
        }
    }
}

impl Fingerprinter {
    /// Under a key.
    pub fn new(key: FingerprintKey) -> Self {
        let [seed, k0, k1] = key.derive();
        Fingerprinter { key, seed, k0, k1 }
    }

    /// The key.
    pub fn key(&self) -> &FingerprintKey {
        &self.key
    }

    /// The fingerprints of a text, as [`crate::template`] defines them. Allocates nothing once `scratch` has grown.
    pub fn fingerprints(&self, strictness: Strictness, text: &str, scratch: &mut Scratch) -> Fingerprints {
        scratch.candidates.clear();
        scratch.n_words = 0;
        let whole = text.len() <= READ_BYTES_MAX;
        if whole {
            self.candidates(strictness, (text, false, false), scratch);
        } else {
            let middle = (1..=MIDDLE_PIECES).map(|i| text.len() / (MIDDLE_PIECES + 1) * i);
            let middle = middle.map(|begin| (begin, begin + MIDDLE_BYTES));
            let ends = [(0, END_BYTES), (text.len() - END_BYTES, text.len())];
            let [head, tail] = ends;
            for (begin, end) in [head].into_iter().chain(middle).chain([tail]) {
                let (begin, end) = (text.floor_char_boundary(begin), text.floor_char_boundary(end));
                let (cut_before, cut_after) = (words::inside_word(text, begin), words::inside_word(text, end));
                if let Some(piece) = text.get(begin..end) {
                    self.candidates(strictness, (piece, cut_before, cut_after), scratch);
                }
            }
        }
        let mut kept = self.keep(scratch);
        kept.complete &= whole;
        kept
    }

    /// The fingerprint of every shingle of a text, however long, ascending: what any text that quotes it can show. For
    /// lists of known templates.
    pub fn every_shingle(&self, strictness: Strictness, text: &str) -> Vec<u64> {
        let mut all = Vec::new();
        let mut shingles = Shingles::new(strictness);
        words::numbers(text, self.seed, false, false, |word| {
            if let Some(shingle) = shingles.push(word) {
                all.push(siphash(self.k0, self.k1, shingle));
            }
        });
        all.sort_unstable();
        all.dedup();
        all
    }

    fn candidates(
        &self,
        strictness: Strictness,
        (piece, cut_before, cut_after): (&str, bool, bool),
        scratch: &mut Scratch,
    ) {
        let mut shingles = Shingles::new(strictness);
        let mut window = Window::default();
        let base = scratch.n_words;
        let mut n_words = 0;
        words::numbers(piece, self.seed, cut_before, cut_after, |word| {
            n_words += 1;
            if let Some(shingle) = shingles.push(word)
                && let Some((number, place)) = window.push(shingle)
            {
                scratch.candidates.push((number, (base + place) as u32));
            }
        });
        if let Some((number, place)) = window.short() {
            scratch.candidates.push((number, (base + place) as u32));
        }
        scratch.n_words += n_words;
    }

    /// Chooses among the candidates.
    fn keep(&self, scratch: &mut Scratch) -> Fingerprints {
        let Scratch { candidates, places, .. } = scratch;
        candidates.sort_unstable();
        candidates.dedup_by_key(|(number, _)| *number);
        let mut kept = Fingerprints::default();
        let n = candidates.len();
        let mut keep = |number: u64| kept.push(siphash(self.k0, self.k1, number));
        if n <= FINGERPRINTS_MAX {
            candidates.iter().for_each(|(number, _)| keep(*number));
        } else {
            places.clear();
            places.extend(candidates.iter().map(|(_, place)| *place));
            places.sort_unstable();
            let bound = |at: usize| places.get(at).copied().unwrap_or(u32::MAX);
            let (head_until, tail_from) = (bound(END_KEPT), bound(n - END_KEPT));
            let mut others = FINGERPRINTS_MAX - 2 * END_KEPT;
            for (number, place) in candidates.iter() {
                let at_an_end = *place < head_until || *place >= tail_from;
                if !at_an_end {
                    if others == 0 {
                        continue;
                    }
                    others -= 1;
                }
                keep(*number);
            }
            kept.complete = false;
        }
        kept.sort();
        kept
    }
}

/// Numbers of shingles from numbers of words.
#[derive(Debug)]
struct Shingles {
    k: usize,
    /// BASE to the power of k.
    out: u64,
    rolling: u64,
    recent: [u64; WORDS_MAX],
    n: usize,
}

impl Shingles {
    fn new(strictness: Strictness) -> Self {
        let k = strictness.words();
        let out = (0..k).fold(1u64, |power, _| power.wrapping_mul(BASE));
        Shingles { k, out, rolling: 0, recent: [0; WORDS_MAX], n: 0 }
    }

    /// The shingle that ends with this word.
    #[inline]
    fn push(&mut self, word: u64) -> Option<u64> {
        // The word that leaves; zero while there are fewer than k.
        let left = self.recent.get(self.n.wrapping_sub(self.k) & (WORDS_MAX - 1)).copied().unwrap_or(0);
        let left = if self.n >= self.k { left } else { 0 };
        self.rolling = self.rolling.wrapping_mul(BASE).wrapping_add(word).wrapping_sub(left.wrapping_mul(self.out));
        if let Some(place) = self.recent.get_mut(self.n & (WORDS_MAX - 1)) {
            *place = word;
        }
        self.n += 1;
        (self.n >= self.k).then(|| mix(self.rolling))
    }
}

/// The last shingles, and the smallest of them.
#[derive(Debug, Default)]
struct Window {
    recent: [u64; WINDOW],
    n: usize,
    /// Number and place of the smallest, the rightmost of equals.
    least: Option<(u64, usize)>,
}

impl Window {
    /// Takes in a shingle; the smallest of the window that ends with it, where it has not been told before.
    #[inline]
    fn push(&mut self, shingle: u64) -> Option<(u64, usize)> {
        let at = self.n;
        if let Some(place) = self.recent.get_mut(at & (WINDOW - 1)) {
            *place = shingle;
        }
        self.n += 1;
        let first = self.n.saturating_sub(WINDOW);
        let before = self.least;
        match before {
            Some((number, place)) if number < shingle && place >= first => {}
            Some((number, _)) if number < shingle => {
                let in_window = (first..self.n).filter_map(|at| Some((*self.recent.get(at & (WINDOW - 1))?, at)));
                self.least = in_window.reduce(|least, next| if next.0 <= least.0 { next } else { least });
            }
            _ => self.least = Some((shingle, at)),
        }
        // The first full window tells its smallest whenever that came.
        (self.n == WINDOW || (self.n > WINDOW && self.least != before)).then_some(self.least).flatten()
    }

    /// The smallest of fewer shingles than fill a window.
    fn short(&self) -> Option<(u64, usize)> {
        if self.n < WINDOW { self.least } else { None }
    }
}
