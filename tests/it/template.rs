//! Template fingerprints: equal to the plain ones, bounded, and what two texts that share words share.

use fineprint::template::{
    FINGERPRINTS_MAX, FingerprintKey, Fingerprinter, Fingerprints, KeyError, PublicTemplates, READ_BYTES_MAX, Scratch,
    Strictness, WINDOW, from_text, to_text,
};
use proptest::prelude::*;

use crate::plain::template::{self as plain, PUBLIC, PlainKey};

fn of(strictness: Strictness, text: &str) -> Fingerprints {
    Fingerprinter::default().fingerprints(strictness, text, &mut Scratch::default())
}

fn strict(text: &str) -> Vec<u64> {
    of(Strictness::Strict, text).as_slice().to_vec()
}

fn share(a: &[u64], b: &[u64]) -> bool {
    a.iter().any(|f| b.contains(f))
}

/// Words of several scripts and kinds, with what stands between them.
fn piece() -> impl Strategy<Value = String> {
    let words =
        ["the", "Task", "STEP", "naïve", "Größe", "Σίσυφος", "привет", "नमस्ते", "v2", "17", "İ", "日本語", "คำ", "a"];
    let between = [" ", ", ", "-", "\u{200b}", "\u{ad}", "\n\n", "。", "'", "🙂", " \u{301}", ""];
    (prop::sample::select(words.to_vec()), prop::sample::select(between.to_vec())).prop_map(|(w, b)| format!("{w}{b}"))
}

fn text(most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..most).prop_map(|pieces| pieces.concat())
}

/// Words that hardly ever come twice.
fn rare_words(seed: u64, n: usize) -> Vec<String> {
    (0..n)
        .map(|i| format!("w{:x}", fineprint::template::mix(seed.wrapping_mul(10_007).wrapping_add(i as u64))))
        .collect()
}

fn strictness() -> impl Strategy<Value = Strictness> {
    prop::sample::select(Strictness::ALL.to_vec())
}

proptest! {
    #![proptest_config(crate::eval::cases(500))]

    /// Also over pieces of long texts, borders inside characters and words, and any key.
    #[test]
    fn fast_equals_plain(text in text(120), times in prop::sample::select(vec![1usize, 1, 3, 40]), more in any::<String>(),
            strictness in strictness(), secret in any::<[u8; 16]>(), epoch in 0u32..3) {
        let text = format!("{}{more}", text.repeat(times));
        let mut scratch = Scratch::default();
        let fast = Fingerprinter::new(FingerprintKey::new(secret, epoch)).fingerprints(strictness, &text, &mut scratch);
        let (slow, n) = plain::fingerprints(PlainKey { secret, epoch }, strictness, &text);
        prop_assert_eq!(fast.as_slice(), &slow[..]);
        prop_assert_eq!(fast.is_complete(), text.len() <= READ_BYTES_MAX && n <= FINGERPRINTS_MAX);
    }

    /// Long texts of words that differ, where candidates are chosen among.
    #[test]
    fn fast_equals_plain_on_long_texts(seed in any::<u64>(), n in 0usize..4_000, strictness in strictness()) {
        let text = rare_words(seed, n).join(" ");
        prop_assert_eq!(of(strictness, &text).as_slice().to_vec(), plain::fingerprints(PUBLIC, strictness, &text).0);
    }

    /// Ascending, different, at most 32, the same each time whatever was read before, and words read do not grow beyond
    /// what fits into the pieces.
    #[test]
    fn bounded_and_deterministic(one in text(400), other in text(400), strictness in strictness()) {
        let (fingerprinter, mut scratch) = (Fingerprinter::default(), Scratch::default());
        let first = fingerprinter.fingerprints(strictness, &one, &mut scratch);
        fingerprinter.fingerprints(strictness, &other, &mut scratch);
        prop_assert_eq!(first, fingerprinter.fingerprints(strictness, &one, &mut scratch));
        prop_assert!(first.as_slice().len() <= FINGERPRINTS_MAX && first.as_slice().windows(2).all(|w| w[0] < w[1]));
        prop_assert!(scratch.n_words() <= one.len().min(READ_BYTES_MAX));
    }

    /// The promise of winnowing: w + k - 1 words in a row, wherever they stand, share a fingerprint, as long as nothing is
    /// left out.
    #[test]
    fn shared_words_share_a_fingerprint(seed in any::<u64>(), before in 0usize..60, after in 0usize..60,
            other in (0usize..60, 0usize..60), more in 0usize..10, strictness in strictness()) {
        let shared = rare_words(seed, WINDOW + strictness.words() - 1 + more);
        let around = |salt: u64, n: usize| rare_words(seed ^ salt, n);
        let one = [around(1, before), shared.clone(), around(2, after)].concat().join(" ");
        let two = [around(3, other.0), shared, around(4, other.1)].concat().join("\n");
        let (one, two) = (of(strictness, &one), of(strictness, &two));
        prop_assume!(one.is_complete() && two.is_complete());
        prop_assert!(share(one.as_slice(), two.as_slice()));
    }

    /// Longer texts: a template of 60 words before or after anything shares a fingerprint.
    #[test]
    fn templates_at_either_end_are_found(seed in any::<u64>(), one in 0usize..3_000, two in 0usize..3_000, first in any::<bool>()) {
        let template = rare_words(seed, 60);
        let filled = |salt: u64, n: usize| {
            let payload = rare_words(seed ^ salt, n);
            let parts = if first { [template.clone(), payload] } else { [payload, template.clone()] };
            strict(&parts.concat().join(" "))
        };
        prop_assert!(share(&filled(1, one), &filled(2, two)));
    }

    /// A list of a whole text holds what any quotation of it can show.
    #[test]
    fn every_shingle_holds_what_is_shown(seed in any::<u64>(), n in 0usize..2_000, from in 0usize..2_000, strictness in strictness()) {
        let words = rare_words(seed, n);
        let all = Fingerprinter::default().every_shingle(strictness, &words.join(" "));
        let quoted = words[from.min(n)..].join(", ");
        prop_assert!(of(strictness, &quoted).as_slice().iter().all(|f| all.binary_search(f).is_ok()));
        prop_assert_eq!(all.len(), (n + 1).saturating_sub(strictness.words()));
    }

    #[test]
    fn keys_and_epochs_do_not_agree(seed in any::<u64>(), secret in any::<[u8; 16]>(), epoch in 0u32..10) {
        let text = rare_words(seed, 40).join(" ");
        let under = |secret, epoch| {
            let made = Fingerprinter::new(FingerprintKey::new(secret, epoch));
            made.fingerprints(Strictness::Strict, &text, &mut Scratch::default()).as_slice().to_vec()
        };
        let mut other = secret;
        other[7] ^= 1;
        prop_assert!(!share(&under(secret, epoch), &under(other, epoch)));
        prop_assert!(!share(&under(secret, epoch), &under(secret, epoch + 1)));
    }
}

const SENTENCE: &str = "Rewrite the task below so that it is harder but keeps its answer and its form";

/// What two writings of one text have in common, and what they have not.
#[test]
fn words_are_what_readers_take_them_for() {
    let same = [
        SENTENCE.to_uppercase(),
        SENTENCE.replace(' ', ",\n  "),
        SENTENCE.replace("task", "ta\u{200b}s\u{ad}k"),
        format!("  {SENTENCE}!  "),
    ];
    for other in same {
        assert_eq!(strict(SENTENCE), strict(&other), "{other}");
    }
    let different = [SENTENCE.replace(' ', ""), SENTENCE.split(' ').rev().collect::<Vec<_>>().join(" ")];
    for other in different {
        assert!(!share(&strict(SENTENCE), &strict(&other)), "{other}");
    }
    // Numbers are words like others: rows of a table are not all one template.
    let table = |n: usize| (n..n + 30).map(|i| (i * 7919).to_string()).collect::<Vec<_>>().join(" ");
    assert!(!share(&strict(&table(100)), &strict(&table(5_000))));
}

/// Scripts without spaces: each letter is a word.
#[test]
fn text_without_spaces_has_words() {
    let prompt = "请把下面的任务改写得更难一些，但是保持答案不变。";
    assert!(!strict(prompt).is_empty());
    let filled = format!("你好！{prompt}今天的天气怎么样？");
    assert!(share(&strict(prompt), &strict(&filled)));
    assert_eq!(plain::words("日本語 text 7"), ["日", "本", "語", "text", "7"]);
}

/// Fewer words than a shingle say nothing about a template.
#[test]
fn short_texts_have_none() {
    let words = rare_words(1, 8);
    for n in 0..8 {
        assert!(strict(&words[..n].join(" ")).is_empty());
    }
    assert_eq!(strict(&words.join(" ")).len(), 1);
    assert_eq!(of(Strictness::Loose, &words[..5].join(" ")).as_slice().len(), 1);
    assert!(of(Strictness::Loose, &words[..4].join(" ")).as_slice().is_empty());
}

#[test]
fn one_word_over_and_over_is_one_fingerprint() {
    assert_eq!(strict(&"no ".repeat(1_000)).len(), 1);
    assert_eq!(strict(&"x".repeat(1 << 20)).len(), 0);
}

#[test]
fn fingerprints_are_written_as_sixteen_digits() {
    assert_eq!(to_text(0xff), "00000000000000ff");
    assert_eq!(from_text("00000000000000FF"), Some(0xff));
    for wrong in ["", "ff", "00000000000000fg", "+0000000000000ff", "000000000000000ff"] {
        assert_eq!(from_text(wrong), None, "{wrong}");
    }
}

/// The values of the public key stand in lists that people keep: they must not change from version to version.
#[test]
fn fingerprints_of_the_public_key_are_kept() {
    let texts: Vec<String> = strict(SENTENCE).iter().map(|f| to_text(*f)).collect();
    assert_eq!(texts, PINNED);
    assert_eq!(FingerprintKey::PUBLIC.id(), PINNED_ID);
}

const PINNED: &[&str] = &["26b4263490b02624", "853b8166e940e3c9"];
const PINNED_ID: &str = "f270368af5087507";

#[test]
fn a_key_file_says_key_and_epoch() {
    let key = FingerprintKey::parse("# ours\nepoch 3\n\nkey 000102030405060708090a0b0c0d0e0f\n").unwrap();
    assert_eq!(key, FingerprintKey::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 3));
    assert_ne!(key.id(), FingerprintKey::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 4).id());
    let shown = format!("{key:?} {}", key.named());
    assert!(shown.contains(&key.id()) && !shown.contains("00010203"), "{shown}");
    let cases = [
        ("epoch 1\nkey 00\n", KeyError::Line { line: 2 }),
        ("epoch one\n", KeyError::Line { line: 1 }),
        ("secret\n", KeyError::Line { line: 1 }),
        ("epoch 1\n", KeyError::Count("key")),
        ("key 000102030405060708090a0b0c0d0e0f\n", KeyError::Count("epoch")),
        ("epoch 1\nepoch 2\nkey 000102030405060708090a0b0c0d0e0f\n", KeyError::Count("epoch")),
    ];
    for (text, error) in cases {
        assert_eq!(FingerprintKey::parse(text), Err(error), "{text}");
    }
}

#[test]
fn public_is_what_enough_accounts_show() {
    let mut sample = PublicTemplates::new(3);
    for account in ["a", "b", "c", "a"] {
        sample.add(account, 8, &[1]).unwrap();
    }
    for account in ["a", "b", "a", "b"] {
        sample.add(account, 8, &[2]).unwrap();
    }
    let found: Vec<(u64, u64)> = sample.public().iter().map(|t| (t.fingerprint, t.n_texts)).collect();
    assert_eq!(found, [(1, 4)]);
    assert_eq!(sample.n_accounts(), 3);
}

#[test]
fn a_sample_is_bounded() {
    let mut sample = PublicTemplates::new(2).holding_at_most(2);
    sample.add("a", 8, &[1, 2]).unwrap();
    sample.add("b", 8, &[2, 1]).unwrap();
    let full = sample.add("b", 8, &[3]).unwrap_err();
    assert!(full.to_string().contains("more than 2"), "{full}");
    assert_eq!(sample.public().len(), 2);
}
