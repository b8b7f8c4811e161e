//! How much of a campaign do template fingerprints find, and which honest prompts do they touch? Not a question of speed: it
//! stands here because it takes a release build and some seconds.
//!
//! A campaign is 1,500 prompts over 100 accounts: one template, in which a share of the words is replaced at random in each
//! prompt, and 200 words of payload. A prompt counts as found when it holds a fingerprint that at least 20 accounts show.
//! Texts are made up by [`Author`]: words by Zipf's law, and stock phrases, so that five words in a row also agree by
//! chance. Honest prompts are 1,451, one account each; 42 of them hold the same 60 words of boilerplate.
//!
//! `cargo bench --bench campaign`; `-- merged` ends behind the first table, which says how many violations a rule by template
//! makes of one campaign.
#![allow(clippy::print_stdout, clippy::indexing_slicing, clippy::unwrap_used, missing_docs, reason = "a benchmark")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::Random;
use fineprint::compile::compile;
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::source::SourceMap;
use fineprint::template::{Fingerprinter, Scratch, Strictness};
use fineprint::time::{SECOND_NS, Timestamp};

const CAMPAIGNS: u64 = 8;
const ACCOUNTS: usize = 100;
const PROMPTS: usize = 1_500;
const PAYLOAD_WORDS: usize = 200;
const ENOUGH: usize = 20;
const HONEST: usize = 1_451;
const BOILERPLATE: usize = 42;

/// Makes texts of one language.
#[derive(Clone)]
struct Author {
    random: Random,
    vocabulary: Vec<String>,
    phrases: Vec<Vec<usize>>,
}

impl Author {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let syllables = ["ka", "lo", "mi", "ten", "sur", "ve", "ra", "don", "ist", "pe", "qua", "el", "no", "bri"];
        let mut words = BTreeSet::new();
        while words.len() < 8_000 {
            words.insert((0..1 + random.below(4)).map(|_| random.pick(&syllables)).collect::<String>());
        }
        let mut vocabulary: Vec<String> = words.into_iter().collect();
        // Frequent words are any, not the first of the alphabet.
        for at in (1..vocabulary.len()).rev() {
            vocabulary.swap(at, random.below(at as u64 + 1) as usize);
        }
        let phrases = (0..3_000).map(|_| (0..2 + random.below(5)).map(|_| random.zipf(8_000) as usize).collect());
        Author { phrases: phrases.collect(), vocabulary, random }
    }

    fn words(&mut self, n: usize) -> Vec<String> {
        let mut out: Vec<usize> = Vec::new();
        while out.len() < n {
            if self.random.below(10) == 0 {
                let phrase = self.random.below(3_000) as usize;
                out.extend(&self.phrases[phrase]);
            } else {
                out.push(self.random.zipf(8_000) as usize);
            }
        }
        out.truncate(n);
        out.into_iter().map(|w| self.vocabulary[w].clone()).collect()
    }

    /// The words with so many per cent of them replaced.
    fn substituted(&mut self, words: &[String], percent: u64) -> Vec<String> {
        let replaced = |random: &mut Random, vocabulary: &[String], word: &String| {
            if random.below(100) < percent { vocabulary[random.below(8_000) as usize].clone() } else { word.clone() }
        };
        words.iter().map(|w| replaced(&mut self.random, &self.vocabulary, w)).collect()
    }
}

/// Fingerprints of each text, with its account.
fn shown(strictness: Strictness, texts: &[(usize, String)]) -> Vec<(usize, Vec<u64>)> {
    let fingerprinter = Fingerprinter::default();
    let mut scratch = Scratch::default();
    let of =
        |text: &str, scratch: &mut Scratch| fingerprinter.fingerprints(strictness, text, scratch).as_slice().to_vec();
    texts.iter().map(|(account, text)| (*account, of(text, &mut scratch))).collect()
}

/// How many texts hold a fingerprint that at least so many accounts show.
fn found(shown: &[(usize, Vec<u64>)], enough: usize) -> usize {
    let mut accounts: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
    for (account, fingerprints) in shown {
        fingerprints.iter().for_each(|f| {
            accounts.entry(*f).or_default().insert(*account);
        });
    }
    shown.iter().filter(|(_, all)| all.iter().any(|f| accounts[f].len() >= enough)).count()
}

/// Where the template stands.
#[derive(Clone, Copy)]
enum Place {
    Before,
    After,
    Between,
}

fn campaign(
    author: &mut Author,
    template: &[String],
    percent: u64,
    place: Place,
    payload: usize,
) -> Vec<(usize, String)> {
    let prompt = |author: &mut Author| {
        let said = author.substituted(template, percent);
        let mut words = author.words(payload);
        let at = match place {
            Place::Before => 0,
            Place::After => payload,
            Place::Between => payload / 2,
        };
        words.splice(at..at, said);
        words.join(" ")
    };
    (0..PROMPTS).map(|i| (i % ACCOUNTS, prompt(author))).collect()
}

fn row(author: &Author, strictness: Strictness, words: usize, place: Place, payload: usize) -> String {
    let cell = |percent: u64| {
        let shares: Vec<f64> = (0..CAMPAIGNS)
            .map(|seed| {
                let mut author = Author { random: Random(seed * 1_000 + 1), ..author.clone() };
                let template = author.words(words);
                let texts = campaign(&mut author, &template, percent, place, payload);
                found(&shown(strictness, &texts), ENOUGH) as f64 / PROMPTS as f64
            })
            .collect();
        let (least, most) = shares.iter().fold((1f64, 0f64), |(a, b), s| (a.min(*s), b.max(*s)));
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        format!("{mean:.2} ({least:.2}–{most:.2})")
    };
    [0, 10, 20, 30, 40].map(cell).join(" | ")
}

/// What a rule by template finds of a campaign in a day: violations, accounts of the largest, and bytes of its state a prompt.
fn merged(author: &Author, strictness: Strictness, words: usize, percent: u64) -> (usize, usize, usize) {
    let mut author = Author { random: Random(percent * 1_000 + 7), ..author.clone() };
    let template = author.words(words);
    let texts = campaign(&mut author, &template, percent, Place::Before, PAYLOAD_WORDS);
    let how = if strictness == Strictness::Loose { ", loose" } else { "" };
    let mut sources = SourceMap::default();
    let rule = format!(
        "policy a.b version 2026-01-01 {{ clause c \"No.\" }} rule r {{ enforces a.b.c on completion \
         per template(prompt{how}) over 24h every 15m when distinct(account) >= 20 and count() >= 200 because \"x\" }}"
    );
    sources.add("r.tos", rule);
    let rules = Arc::new(RuleSet::new(compile(&sources).program, ReferenceData::default()).unwrap());
    let mut evaluator = Evaluator::new(rules, EvalOptions::default());
    for (i, (account, text)) in texts.into_iter().enumerate() {
        let mut event = UsageEvent::new(Kind::Completion, format!("e{i}"), Timestamp(i as i64 * 57 * SECOND_NS));
        event.set(FieldId::ACCOUNT, Slot::Text(format!("a{account}").into()));
        event.set(FieldId::PROMPT, Slot::Text(text.into()));
        evaluator.observe(&event, Origin::default());
    }
    let bytes: usize = evaluator.footprint().into_iter().filter(|f| f.part == "r").map(|f| f.bytes).sum();
    evaluator.finish();
    let found = evaluator.take_violations();
    let real: Vec<_> = found.iter().filter(|v| v.merged_into.is_none()).collect();
    (real.len(), real.iter().map(|v| v.accounts.len()).max().unwrap_or(0), bytes / PROMPTS)
}

fn main() {
    let author = Author::new(77);
    println!("violations of one campaign, by a rule of 20 accounts and 200 uses in 24 hours (accounts of the largest)");
    println!(
        "| k, template words | 0 % | 10 % | 20 % | 30 % | 40 % substitution | bytes a prompt |\n|---|---|---|---|---|---|---|"
    );
    for strictness in Strictness::ALL {
        for words in [20, 60, 150] {
            let cells = [0, 10, 20, 30, 40].map(|percent| merged(&author, strictness, words, percent));
            let shown = cells.map(|(n, accounts, _)| format!("{n} ({accounts})")).join(" | ");
            let bytes = cells.map(|(.., bytes)| bytes).into_iter().max().unwrap_or(0);
            println!("| {}: {words} | {shown} | {bytes} |", strictness.words());
        }
    }
    // The rest takes a few minutes where it is not optimised.
    if std::env::args().any(|a| a == "merged") {
        return;
    }
    println!("share of prompts found, mean (least–most) of {CAMPAIGNS} campaigns, {PAYLOAD_WORDS} words of payload");
    println!("| k, template words | 0 % | 10 % | 20 % | 30 % | 40 % substitution |\n|---|---|---|---|---|---|");
    for strictness in Strictness::ALL {
        for words in [20, 60, 150] {
            println!(
                "| {}: {words} | {} |",
                strictness.words(),
                row(&author, strictness, words, Place::Before, PAYLOAD_WORDS)
            );
        }
    }
    println!("\nother places and payloads, strict, template of 60 words");
    println!("| | 0 % | 10 % | 20 % | 30 % | 40 % substitution |\n|---|---|---|---|---|---|");
    let cases = [("after the payload", Place::After, 200), ("within the payload", Place::Between, 200)];
    let middling = [("within 500 words", Place::Between, 500)];
    let long = [("before 1,000 words", Place::Before, 1_000), ("within 1,000 words", Place::Between, 1_000)];
    let longer = [("before 5,000 words", Place::Before, 5_000), ("after 5,000 words", Place::After, 5_000)];
    for (name, place, payload) in cases.into_iter().chain(middling).chain(long).chain(longer) {
        println!("| {name} | {} |", row(&author, Strictness::Strict, 60, place, payload));
    }

    let mut author = author;
    let boilerplate = author.words(60);
    let honest: Vec<(usize, String)> = (0..HONEST)
        .map(|i| {
            let n = 20 + author.random.below(380) as usize;
            let mut words = author.words(n);
            if i < BOILERPLATE {
                words.splice(0..0, boilerplate.clone());
            }
            (i, words.join(" "))
        })
        .collect();
    println!("\nhonest prompts touched, of {HONEST}, {BOILERPLATE} of them with boilerplate");
    println!("| | from 20 accounts | from 50 accounts | from 20, without the boilerplate |\n|---|---|---|---|");
    for strictness in Strictness::ALL {
        let all = shown(strictness, &honest);
        let own = shown(strictness, &honest[BOILERPLATE..]);
        println!("| k = {} | {} | {} | {} |", strictness.words(), found(&all, 20), found(&all, 50), found(&own, 20));
    }
}
