//! Synthetic events and rule sets for the benchmarks. Deterministic: a number in, the same bytes out.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each benchmark uses a part")]

use std::fmt::Write;

/// A small generator of pseudo-random numbers (splitmix64).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Small numbers far more often than large ones, as accounts are busy.
    pub fn zipf(&mut self, n: u64) -> u64 {
        let u = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((n as f64).powf(u) - 1.0) as u64
    }

    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

pub const WORDS: [&str; 120] = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "for",
    "on",
    "with",
    "as",
    "by",
    "from",
    "at",
    "this",
    "is",
    "are",
    "was",
    "be",
    "model",
    "answer",
    "question",
    "write",
    "report",
    "table",
    "please",
    "summary",
    "context",
    "customer",
    "order",
    "refund",
    "invoice",
    "policy",
    "system",
    "error",
    "server",
    "deploy",
    "function",
    "class",
    "return",
    "value",
    "string",
    "number",
    "list",
    "report",
    "meeting",
    "agenda",
    "email",
    "draft",
    "polite",
    "formal",
    "translate",
    "german",
    "french",
    "spanish",
    "text",
    "document",
    "legal",
    "contract",
    "clause",
    "section",
    "date",
    "price",
    "cost",
    "budget",
    "plan",
    "trip",
    "hotel",
    "flight",
    "city",
    "weather",
    "recipe",
    "cook",
    "garden",
    "soil",
    "plant",
    "water",
    "energy",
    "battery",
    "solar",
    "panel",
    "engine",
    "car",
    "train",
    "bus",
    "school",
    "student",
    "teacher",
    "lesson",
    "exam",
    "grade",
    "essay",
    "history",
    "science",
    "biology",
    "physics",
    "chemistry",
    "math",
    "equation",
    "solve",
    "proof",
    "theorem",
    "graph",
    "node",
    "edge",
    "tree",
    "sort",
    "search",
    "query",
    "index",
    "database",
    "row",
    "column",
    "join",
    "select",
    "where",
    "group",
    "limit",
    "cache",
    "memory",
    "disk",
];

const MODELS: [&str; 3] = ["atlas-2-large", "atlas-2-mini", "atlas-2-reason"];
const COUNTRIES: [&str; 12] = ["US", "GB", "DE", "FR", "JP", "IN", "TR", "BR", "KR", "CN", "RU", "NG"];
const PLANS: [&str; 4] = ["api", "pro", "free", "enterprise"];
const AGENTS: [&str; 6] = [
    "atlas-python/1.58.1",
    "Go-http-client/2.0",
    "litellm/1.57.0",
    "node-fetch/3",
    "curl/8.5.0",
    "Mozilla/5.0 (X11; Linux x86_64)",
];

/// Usage events as JSON lines of about 958 bytes with about 400 characters of prompt, by 20,000 accounts, 20 a second.
pub fn events(n: usize, seed: u64) -> Vec<u8> {
    let mut r = Random(seed);
    let mut out = String::with_capacity(n * 1000);
    for i in 0..n {
        let account = r.zipf(20_000);
        let ms = i as u64 * 50 + r.below(50);
        let (s, ms) = (ms / 1000, ms % 1000);
        let _ = write!(
            out,
            r#"{{"id":"ev_{i:016x}","ts":"2026-03-{:02}T{:02}:{:02}:{:02}.{ms:03}Z","type":"completion","account":"acct_{:012x}","org":"org_{:010x}","api_key_id":"key_{:010x}","user":null,"session":null,"ip":"198.{}.{}.{}","country":"{}","asn":{},"payment_fingerprint":"pf_{:012x}","billing_country":"{}","plan":"{}","account_created":"2025-12-04T10:54:49Z","user_agent":"{}","tls_fp":"t13d{:010x}","accept_language":"en-US","model":"{}","endpoint":"/v1/chat/completions","prompt":""#,
            1 + s / 86_400,
            s / 3_600 % 24,
            s / 60 % 60,
            s % 60,
            account * 7_919,
            account * 104_729 / 3,
            account * 31,
            18 + account % 2,
            account / 256 % 256,
            account % 256,
            COUNTRIES[(account % 997 % 12) as usize],
            1_000 + account % 100,
            account * 17,
            COUNTRIES[(account % 89 % 12) as usize],
            PLANS[(account % 13 % 4) as usize],
            AGENTS[(account % 31 % 6) as usize],
            account % 41,
            r.pick(&MODELS),
        );
        let start = out.len();
        while out.len() - start < 380 {
            out.push_str(r.pick(&WORDS));
            out.push(' ');
        }
        // One prompt in fifty asks for what the rules look for.
        if r.below(50) == 0 {
            let _ = write!(out, "needle-{} show your reasoning", r.below(2_000));
        }
        let (input, output) = (r.below(4_000), r.below(1_500));
        let status = if r.below(60) == 0 { 429 } else { 200 };
        let _ = writeln!(
            out,
            r#"","prompt_chars":{},"input_tokens":{input},"output_tokens":{output},"reasoning_tokens":{},"max_tokens":{},"temperature":0.7,"n":1,"logprobs":false,"top_logprobs":0,"tools":0,"stream":false,"finish_reason":"stop","status":{status},"latency_ms":{}}}"#,
            out.len() - start,
            r.below(800),
            512 << r.below(4),
            200 + r.below(9_000),
        );
    }
    out.into_bytes()
}

/// A rule file of `n` rules on single events, of the kind that terms of service need: field tests, sets, networks, and
/// one in five with a regular expression on the prompt.
pub fn rules(n: usize, text: bool, seed: u64) -> String {
    let mut r = Random(seed);
    let mut out = String::from(
        "policy acme.terms version 2026-01-01 {\n  url \"https://acme.example/terms\"\n  clause fair at \"1\" \"Fair use.\"\n}\n\n",
    );
    for i in 0..n {
        let condition = match (i % 5, text) {
            (0, true) => format!(
                "prompt matches regex \"needle-{i}\\b.*(reasoning|thinking)\" ignoring case and output_tokens >= {}",
                r.below(1_000)
            ),
            (0 | 1, _) => format!(
                "plan = \"{}\" and output_tokens >= {} and country in [\"{}\", \"{}\", \"{}\"]",
                r.pick(&PLANS),
                1_300 + r.below(200),
                r.pick(&COUNTRIES),
                r.pick(&COUNTRIES),
                r.pick(&COUNTRIES)
            ),
            (2, _) => format!(
                "ip in \"198.{}.{}.0/24\" and not (status = 200 and input_tokens < {})",
                18 + r.below(2),
                r.below(256),
                3_000 + r.below(900)
            ),
            (3, _) => format!(
                "asn in [{}, {}, {}] and (max_tokens >= 4_096 or temperature > 1.5) and model = \"{}\"",
                1_000 + r.below(100),
                1_000 + r.below(100),
                1_000 + r.below(100),
                r.pick(&MODELS)
            ),
            _ => format!(
                "payment_fingerprint in [\"pf_{:012x}\", \"pf_{:012x}\"] and status != 200",
                r.zipf(20_000) * 17,
                r.below(20_000) * 17
            ),
        };
        let _ = write!(
            out,
            "rule r{i} {{\n  enforces acme.terms.fair\n  on       completion where {condition}\n  because  \"rule {i}\"\n}}\n\n"
        );
    }
    out
}
