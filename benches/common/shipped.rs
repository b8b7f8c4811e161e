//! What the benchmarks of events and of whole runs share: decoding alone, and the shipped rules that are measured.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "each benchmark uses a part, and takes time"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fineprint::pack::{PackOptions, load};
use fineprint::plan::RuleSet;
use fineprint::template::FingerprintKey;

/// What "decode only" reads.
#[derive(serde::Deserialize)]
#[allow(dead_code, reason = "decoded, not used: that is the point")]
pub struct Typed<'a> {
    pub id: &'a str,
    pub ts: &'a str,
    pub account: Option<&'a str>,
    pub org: Option<&'a str>,
    pub api_key_id: Option<&'a str>,
    pub ip: Option<&'a str>,
    pub country: Option<&'a str>,
    pub asn: Option<u32>,
    pub plan: Option<&'a str>,
    pub model: Option<&'a str>,
    #[serde(borrow)]
    pub prompt: Option<std::borrow::Cow<'a, str>>,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub max_tokens: Option<i64>,
    pub temperature: Option<f64>,
    pub status: Option<u16>,
}

pub fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Shipped rules that are measured; `rules/` has more.
pub const SHIPPED: [&str; 12] = [
    "one-card-many-organisations",
    "sign-ups-from-one-server-network",
    "scripted-sign-ups",
    "server-network-with-few-cards",
    "reasoning-drawn-out",
    "grading-farm-on-one-card",
    "answers-harvested",
    "token-odds-swept",
    "key-in-many-countries",
    "key-passed-around",
    "key-validity-probed",
    "keys-guessed",
];

/// Rules of `rules/` by their names, with the lists and the registry of a directory of traffic.
pub fn shipped(traffic: &Path, names: &[&str]) -> Arc<RuleSet> {
    let all = all_shipped(traffic);
    let mut program = all.program().clone();
    program.rules.retain(|rule| names.contains(&rule.name.as_str()));
    assert_eq!(program.rules.len(), names.len(), "rules of `rules/` have other names now");
    // None of the measured rules asks a series; those of the others would be counted all the same.
    program.series.clear();
    Arc::new(RuleSet::new(program, all.data().clone()).unwrap())
}

/// All rules of `rules/`, likewise.
pub fn all_shipped(traffic: &Path) -> Arc<RuleSet> {
    let pack = load(&PackOptions {
        rules: &Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"),
        lists: Some(&traffic.join("lists")),
        accounts: Some(&traffic.join("accounts.jsonl")),
        as_of: None,
        fingerprint_key: FingerprintKey::default(),
    })
    .unwrap();
    pack.rules.unwrap()
}

/// Seconds that sonic-rs takes to decode all lines into [`Typed`], and no more.
pub fn decode_only(lines: &[&[u8]]) -> f64 {
    let start = Instant::now();
    let mut sum = 0usize;
    for line in lines {
        let t: Typed<'_> = sonic_rs::from_slice(line).unwrap();
        sum += t.id.len() + t.prompt.as_deref().map_or(0, str::len);
    }
    std::hint::black_box(sum);
    start.elapsed().as_secs_f64()
}
