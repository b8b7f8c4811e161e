//! How fast one thread decodes usage events, beside a typed borrowed decode of 16 fields by sonic-rs in the same run.
//!
//! `cargo bench --bench decode -- events.jsonl`; without a file, 50,000 generated lines. Read the ratios: the rounds of
//! all cases are interleaved, so that a busy machine slows them alike.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program that measures and prints")]

use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

use fineprint::event::decode::{Decoder, decode};

/// The fields that a small detector would ask for.
#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "decoded, not used")]
struct Sixteen<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    ts: Cow<'a, str>,
    #[serde(borrow, default)]
    account: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    org: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    api_key_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    ip: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    country: Option<Cow<'a, str>>,
    #[serde(default)]
    asn: Option<i64>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    prompt: Option<Cow<'a, str>>,
    #[serde(default)]
    input_tokens: Option<i64>,
    #[serde(default)]
    output_tokens: Option<i64>,
    #[serde(default)]
    max_tokens: Option<i64>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    status: Option<i64>,
}

fn main() {
    let path = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let text = path.map_or_else(generated, |path| std::fs::read_to_string(path).unwrap_or_default());
    let lines: Vec<&[u8]> = text.lines().take(100_000).map(str::as_bytes).collect();
    let n_bytes: usize = lines.iter().map(|line| line.len()).sum();
    println!("{} lines, {} bytes a line", lines.len(), n_bytes / lines.len().max(1));
    let mut decoder = Decoder::new();
    type Case<'a> = (&'a str, &'a mut dyn FnMut(&[u8]) -> bool);
    let mut cases: [Case<'_>; 5] = [
        ("sonic-rs, 16 fields", &mut |line| black_box(sonic_rs::from_slice::<Sixteen<'_>>(line)).is_ok()),
        ("decode", &mut |line| black_box(decode(line)).is_ok()),
        ("Decoder::decode", &mut |line| black_box(decoder.decode(line)).is_ok()),
        ("  of it: UTF-8", &mut |line| black_box(std::str::from_utf8(line)).is_ok()),
        ("  of it: content hash", &mut |line| black_box(xxhash_rust::xxh3::xxh3_128(line)) != 0),
    ];
    let mut times = [const { Vec::<Duration>::new() }; 5];
    for _ in 0..9 {
        for ((_, run), times) in cases.iter_mut().zip(&mut times) {
            let start = Instant::now();
            let n_good = lines.iter().filter(|line| run(line)).count();
            times.push(start.elapsed());
            assert_eq!(n_good, lines.len(), "every line decodes");
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64()
    };
    let medians = times.each_mut().map(median);
    let [base, ..] = medians;
    for ((name, _), time) in cases.iter().zip(medians) {
        let rate = lines.len() as f64 / time;
        println!("{name:24} {:6.2} M/s {:6.2} GB/s {:6.2}x", rate / 1e6, n_bytes as f64 / time / 1e9, base / time);
    }
}

fn generated() -> String {
    (0..50_000).fold(String::new(), |text, i: u32| {
        let words = "rewrite the task below and make it harder ".repeat(4 + (i % 13) as usize);
        text + &format!(
            concat!(
                r#"{{"id":"ev_{:012}","ts":"2026-03-02T00:{:02}:{:02}.377Z","type":"completion","account":"acct_{}","#,
                r#""org":"org_{}","api_key_id":"key_{}","user":null,"ip":"198.18.{}.{}","country":"GB","asn":63949,"#,
                r#""user_agent":"cli-agent/0.3.1","tls_fp":"t13d9a5bafe5f4","model":"atlas-2-large","#,
                r#""prompt":"{}","prompt_chars":{},"input_tokens":{},"output_tokens":7,"max_tokens":1024,"#,
                r#""temperature":0.3,"n":1,"logprobs":false,"stream":false,"status":200,"latency_ms":957}}"#,
                "\n"
            ),
            i,
            i / 60 % 60,
            i % 60,
            i % 977,
            i % 211,
            i % 1201,
            i % 250,
            i % 251,
            words,
            words.len(),
            words.len() / 4
        )
    })
}
