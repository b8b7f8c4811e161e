//! A hundred thousand accounts and what they innocently share: an office, a carrier's NAT, a block of virtual cards, a public
//! template, a household. None of it may glue strangers together, and the campaign among them must be found whole.

use std::net::{IpAddr, Ipv4Addr};

use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::time::{SECOND_NS, Timestamp};
use fineprint::violation::Violation;

use super::link_cases::rules;
use crate::plain::build::{sealed, word};

const LINK: &str = "link operator of account {
  tied by payment_fingerprint       within 30d, ignoring values shared by more than 25 accounts
  tied by network(ip, v4 24, v6 48) within 7d, ignoring values in offices or shared by more than 25 accounts
  tied by prompt_hash               within 7d, used at least 20 times, ignoring values shared by more than 60 accounts
  needs at least 2 of these
}";

/// Any group of three or more is told.
const LARGE: &str = "on completion per operator over 24h every 15m let calls = count() when link.members >= 3";

const CAMPAIGN: usize = 40;
const DAY: i64 = 86_400;

fn event(n: usize, seconds: i64, account: &str, card: &str, ip: [u8; 4], prompt: &str) -> UsageEvent<'static> {
    let start = Timestamp::parse_date("2026-01-01").unwrap();
    let ts = Timestamp(start.0 + seconds * SECOND_NS);
    let mut event = UsageEvent::new(Kind::Completion, format!("e{n}"), ts);
    event.set(FieldId::ACCOUNT, word(account));
    event.set(FieldId::PAYMENT_FINGERPRINT, word(card));
    event.set(FieldId::IP, Slot::Ip(IpAddr::V4(Ipv4Addr::from(ip))));
    event.set(FieldId::PROMPT_HASH, word(prompt));
    sealed(event)
}

/// The call of one innocent account, at some time of the day.
fn innocent(n: usize, all: usize) -> UsageEvent<'static> {
    let seconds = (n as i64 * 7_919) % DAY;
    let card = if n.is_multiple_of(33) { "virtual".to_string() } else { format!("card{}", n / 2) };
    let ip = match n % 50 {
        0 => [198, 51, 100, 7],
        1..=10 => [100, 64, 0, (n % 200) as u8],
        // Three neighbours each.
        _ => [20 + (n / 3 / 65_536) as u8, (n / 3 / 256) as u8, (n / 3) as u8, 1],
    };
    let prompt = if n.is_multiple_of(3) { "public".to_string() } else { format!("prompt{}", n % (all / 2)) };
    event(n, seconds, &format!("a{n:06}"), &card, ip, &prompt)
}

fn played(link: &str, innocents: usize) -> Vec<Violation> {
    let mut events: Vec<UsageEvent<'static>> = (0..innocents).map(|n| innocent(n, innocents)).collect();
    for i in 0..CAMPAIGN {
        // Some in the crowd of the NAT, for they hide there too.
        let ip = if i % 8 == 0 { [100, 64, 0, 9] } else { [203, 0, (i % 4) as u8, i as u8] };
        for call in 0..3 {
            let n = innocents + i * 3 + call;
            let seconds = 6 * 3600 + (i * 60 + call * 1_000) as i64;
            events.push(event(n, seconds, &format!("x{i:02}"), &format!("ring{}", i / 8), ip, "campaign"));
        }
    }
    events.sort_by_key(|e| e.ts());
    let mut evaluator = Evaluator::new(rules(link, LARGE), EvalOptions::default());
    for event in &events {
        evaluator.observe(event, Origin::default());
    }
    evaluator.finish();
    evaluator.take_violations()
}

#[test]
fn what_a_hundred_thousand_accounts_share_glues_no_strangers() {
    let found = played(LINK, 100_000);
    let told: Vec<(usize, String)> = found.iter().map(|v| (v.accounts.len(), v.because.clone())).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(found[0].accounts.iter().all(|a| a.starts_with('x')), "{:?}", found[0].accounts);
    assert_eq!(found[0].accounts.len(), CAMPAIGN);
    assert!(found[0].because.ends_with("by payment_fingerprint, network(ip, v4 24, v6 48), prompt_hash"), "{told:?}");
    let link = found[0].link.as_ref().unwrap();
    assert!(link.edges.iter().all(|e| e.popularity <= 60) && link.cut_since.is_none());
}

/// The scene is one that glues: with one family of two, and caps as wide as they go, a crowd hangs together.
#[test]
fn with_one_family_and_wide_caps_the_same_scene_is_one_crowd() {
    let wide = LINK
        .replace("at least 2 of", "at least 1 of")
        .replace("25 accounts", "1_000 accounts")
        .replace("60 accounts", "1_000 accounts");
    let largest = played(&wide, 2_000).iter().map(|v| v.accounts.len()).max();
    assert!(largest.is_some_and(|n| n > 1_000), "{largest:?}");
}
