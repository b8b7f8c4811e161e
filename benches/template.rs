//! How many prompts a second are fingerprinted, one thread, by length and script; and by how much a longer prompt costs
//! more. Rounds of all cases are interleaved.
//!
//! `cargo bench --bench template`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark"
)]

mod common;

use std::hint::black_box;
use std::time::Instant;

use common::{Random, WORDS};
use fineprint::template::{Fingerprinter, Scratch, Strictness};

const PROMPTS: usize = 2_000;
const ROUNDS: usize = 15;

/// Prompts of about so many bytes.
fn prompts(bytes: usize, word: &mut dyn FnMut() -> String) -> Vec<String> {
    let prompt = |word: &mut dyn FnMut() -> String| {
        let mut text = String::new();
        while text.len() < bytes {
            text.push_str(&word());
        }
        text
    };
    (0..PROMPTS).map(|_| prompt(word)).collect()
}

fn main() {
    let mut random = Random(7);
    let mut latin = || {
        let word = WORDS[random.zipf(120) as usize];
        let end = if random.below(9) == 0 { ". " } else { " " };
        format!("{word}{end}")
    };
    let mut cases: Vec<(String, Vec<String>)> = [256, 1_024, 4_096, 8_192, 65_536]
        .map(|bytes| (format!("English, {bytes} bytes"), prompts(bytes, &mut latin)))
        .into();
    let mut random = Random(9);
    let mut letters = |from: u32, n: u64, len: u64| {
        let mut word: String =
            (0..=random.below(len)).filter_map(|_| char::from_u32(from + random.below(n) as u32)).collect();
        word.push(' ');
        word
    };
    cases.push(("Russian, 1024 bytes".into(), prompts(1_024, &mut || letters(0x430, 32, 9))));
    cases.push(("Hindi, 1024 bytes".into(), prompts(1_024, &mut || letters(0x904, 70, 9))));
    cases.push(("Chinese, 1024 bytes".into(), prompts(1_024, &mut || letters(0x4e00, 3_000, 20))));
    let fingerprinter = Fingerprinter::default();
    let mut scratch = Scratch::default();
    let n_strict = Strictness::ALL.len();
    let mut times = vec![Vec::new(); cases.len() * n_strict];
    let mut shown = vec![0usize; cases.len() * n_strict];
    for _ in 0..ROUNDS {
        for (i, (_, prompts)) in cases.iter().enumerate() {
            for (j, strictness) in Strictness::ALL.into_iter().enumerate() {
                let start = Instant::now();
                let mut n = 0;
                for prompt in prompts {
                    n += black_box(fingerprinter.fingerprints(strictness, prompt, &mut scratch)).as_slice().len();
                }
                times[i * n_strict + j].push(start.elapsed().as_secs_f64());
                shown[i * n_strict + j] = n;
            }
        }
    }
    println!("{:<26} {:>8} {:>14} {:>10} {:>8} {:>8}", "", "words", "prompts/s", "us each", "MB/s", "each");
    for (i, (name, prompts)) in cases.iter().enumerate() {
        let bytes: usize = prompts.iter().map(String::len).sum();
        for (j, strictness) in Strictness::ALL.into_iter().enumerate() {
            let all = &mut times[i * n_strict + j];
            all.sort_by(f64::total_cmp);
            let time = all[all.len() / 2];
            println!(
                "{name:<26} {:>8} {:>14.0} {:>10.2} {:>8.0} {:>8.1}",
                strictness.words(),
                prompts.len() as f64 / time,
                time / prompts.len() as f64 * 1e6,
                bytes as f64 / time / 1e6,
                shown[i * n_strict + j] as f64 / prompts.len() as f64,
            );
        }
    }
}
