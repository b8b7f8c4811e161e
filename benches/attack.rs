//! Ten million accounts and as many cards within one window, against a budget of state: does the memory stay bounded, is the
//! loss told, and is a campaign in the same stream still found?
//!
//! `cargo bench --bench attack [-- ACCOUNTS [STATE_MIB]]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark"
)]

use std::sync::Arc;
use std::time::Instant;

use fineprint::compile::compile;
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::reference::TableData;
use fineprint::source::SourceMap;
use fineprint::time::{SECOND_NS, Timestamp};

const RULES: &str = "policy example.terms version 2026-01-01 { clause limits \"Limits may not be evaded.\" }\n\
    rule busy-account { enforces example.terms.limits on completion per account over 24h every 15m\n\
      let calls = count() when calls >= 1_000 because \"x\" }\n\
    rule card-of-many { enforces example.terms.limits on completion per payment_fingerprint over 24h every 15m\n\
      let accounts = distinct(account) when accounts >= 40 because \"{accounts} accounts\" }\n";

/// Accounts of the campaign, all on one card, and how often each calls.
const CAMPAIGN: (u64, u64) = (50, 20);
const START: i64 = 1_767_312_000 * SECOND_NS;
const DAY: i64 = 86_400 * SECOND_NS;

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (accounts, state) = (args.first().copied().unwrap_or(10_000_000), args.get(1).copied().unwrap_or(128));
    let mut sources = SourceMap::default();
    sources.add("attack.tos", RULES);
    let program = compile(&sources).program;
    let columns = program.tables[0].columns.iter().map(|(n, ty)| (n.as_str().into(), ty.clone())).collect();
    let tables = vec![Arc::new(TableData::empty(columns))];
    let rules = Arc::new(RuleSet::new(program, ReferenceData { tables, ..ReferenceData::default() }).unwrap());
    let options = EvalOptions::within(state << 20);
    let mut evaluator = Evaluator::new(rules, options);
    let (each, calls) = (accounts / (CAMPAIGN.0 * CAMPAIGN.1), CAMPAIGN.0 * CAMPAIGN.1);
    let start = Instant::now();
    let (mut most, mut found) = (0, Vec::new());
    for i in 0..accounts {
        let ts = Timestamp(START + (i as i128 * DAY as i128 / accounts as i128) as i64);
        let (account, card) = if i % each == each - 1 && i / each < calls {
            (format!("acct_c{:04}", i / each % CAMPAIGN.0), "pf_campaign".to_string())
        } else {
            (format!("acct_{i:08x}"), format!("pf_{i:08x}"))
        };
        let mut event = UsageEvent::new(Kind::Completion, format!("ev_{i:08x}"), ts);
        event.set_content(u128::from(i));
        event.set(FieldId::ACCOUNT, Slot::Text(account.into()));
        event.set(FieldId::PAYMENT_FINGERPRINT, Slot::Text(card.into()));
        evaluator.observe(&event, Origin::default());
        if i % 100_000 == 0 {
            most = most.max(evaluator.state_bytes());
            found.extend(evaluator.take_violations());
        }
    }
    evaluator.advance(Timestamp(START + DAY));
    found.extend(evaluator.take_violations());
    let seconds = start.elapsed().as_secs_f64();
    println!("{accounts} accounts and cards within 24 h, state budget {state} MiB");
    println!(
        "{:.0} events/s, at most {} MiB accounted, peak of the process {} MiB",
        accounts as f64 / seconds,
        most >> 20,
        peak_mib()
    );
    for (rule, groups, events) in evaluator.groups_lost() {
        println!("{rule}: {groups} groups of {events} events went");
    }
    let mut campaign: Vec<_> = found.iter().filter(|v| v.group.iter().any(|(_, key)| key == "pf_campaign")).collect();
    campaign.dedup_by(|a, b| a.id == b.id);
    println!(
        "the campaign: {} violation(s), {}",
        campaign.len(),
        campaign.last().map_or("not found", |v| v.because.as_str())
    );
    assert_eq!(campaign.len(), 1, "the campaign was not found");
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
}
