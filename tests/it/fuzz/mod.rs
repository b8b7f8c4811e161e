//! Readers of bytes that nobody vouches for, on a committed set of inputs and on mutations of each. The same functions are
//! fuzzed without end by the targets in `fuzz/`; what that finds becomes an input here.

mod entries;

use std::path::PathBuf;

use entries::ENTRIES;

/// Mutations of each input. All inputs together take well under five seconds.
const MUTATIONS: u64 = 40;

fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = crate::golden::data("fuzz").join(target);
    let mut inputs: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

/// Small numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

/// Bytes that mean something to one of the readers.
const WORDS: [&str; 16] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\n",
    "\0",
    ",",
    "-9223372036854775808",
    "1e400",
    "\u{202e}",
    "\\u0000",
    "%",
    "10m",
    ":",
    "é",
];

fn mutated(bytes: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..1 + dice.roll(4) {
        let at = dice.roll(out.len() + 1);
        match dice.roll(7) {
            0 if at < out.len() => out[at] ^= 1 << dice.roll(8),
            1 if at < out.len() => out[at] = [0, 0xff, 0x7f, 0x80, b'0', b' '][dice.roll(6)],
            2 => out.truncate(at),
            3 => {
                let end = (at + dice.roll(16)).min(out.len());
                out.drain(at..end);
            }
            4 => {
                let word = WORDS[dice.roll(WORDS.len())].as_bytes();
                out.splice(at..at, word.iter().copied());
            }
            5 => {
                let from = dice.roll(out.len() + 1);
                let part: Vec<u8> = out[from..(from + dice.roll(64)).min(out.len())].to_vec();
                out.splice(at..at, part);
            }
            _ => {
                let from = dice.roll(other.len() + 1);
                out.truncate(at);
                out.extend_from_slice(&other[from..]);
            }
        }
    }
    out
}

/// Names the input at fault, which a panic by itself does not.
fn run(target: &str, entry: fn(&[u8]), name: &str, bytes: &[u8]) {
    if std::panic::catch_unwind(|| entry(bytes)).is_err() {
        let kept = std::env::temp_dir().join(format!("fineprint-fuzz-{target}"));
        let _ = std::fs::write(&kept, bytes);
        panic!("{target}: {name} panics; the input is in {}", kept.display());
    }
}

#[test]
fn no_input_of_a_reader_panics() {
    let mut n = 0;
    for (target, entry) in ENTRIES {
        let inputs = inputs(target);
        for (i, (path, bytes)) in inputs.iter().enumerate() {
            let name = path.display().to_string();
            run(target, entry, &name, bytes);
            for seed in 0..MUTATIONS {
                let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed * 7_919 + i as u64 + 1));
                let (_, other) = &inputs[dice.roll(inputs.len())];
                run(target, entry, &format!("mutation {seed} of {name}"), &mutated(bytes, other, &mut dice));
                n += 1;
            }
        }
    }
    assert!(n > 500, "only {n} mutations were tried");
}

/// Every target is a file of the fuzzer, and the other way round.
#[test]
fn every_entry_is_fuzzed() {
    let targets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    // The published package leaves the fuzzer out.
    let Ok(files) = std::fs::read_dir(targets) else { return };
    let mut found: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    let mut expected: Vec<String> = ENTRIES.iter().map(|(target, _)| format!("{target}.rs")).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
