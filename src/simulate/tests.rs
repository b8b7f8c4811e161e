use super::{Adaptation, Plan, Simulation, Truth, benign, campaigns};
use crate::event::decode::Decoder;
use crate::time::Timestamp;

fn plan(seed: u64, days: i64) -> Plan {
    Plan {
        benign: benign().iter().collect(),
        campaigns: campaigns().iter().collect(),
        background: 12,
        adaptation: Adaptation { accounts: Some(1), ..Adaptation::default() },
        days,
        start: Timestamp::parse_date("2026-06-01").unwrap(),
        seed,
    }
}

fn lines(plan: &Plan) -> Vec<String> {
    Simulation::new(plan).events().map(|e| e.line).collect()
}

#[test]
fn the_same_plan_gives_the_same_lines_and_another_seed_gives_others() {
    let first_of = |seed| Simulation::new(&plan(seed, 1)).events().take(4_000).map(|e| e.line).collect::<Vec<_>>();
    let (first, again, other) = (first_of(1), first_of(1), first_of(2));
    assert!(first == again);
    assert!(first.len() > 2_000 && first.iter().zip(&other).all(|(a, b)| a != b));
}

#[test]
fn events_are_whole_sorted_and_within_the_days() {
    let plan = plan(3, 2);
    let simulation = Simulation::new(&plan);
    let mut decoder = Decoder::new();
    let mut ids = std::collections::BTreeSet::new();
    let mut last = i64::MIN;
    for event in simulation.events() {
        decoder.decode(event.line.as_bytes()).unwrap_or_else(|e| panic!("{e}: {}", event.line));
        assert!(event.line.starts_with(&format!("{{\"id\":\"{}\",\"ts\":\"2026-06-0", event.id)));
        assert!(event.at_ms >= last && ids.insert(event.id.clone()), "{}", event.line);
        last = event.at_ms;
    }
}

#[test]
fn what_one_workload_does_hangs_on_no_other() {
    let all = plan(5, 1);
    let alone = Plan { benign: vec![&benign()[4]], campaigns: Vec::new(), background: 0, ..all.clone() };
    let without_id = |line: &str| line.split_once("\"ts\"").unwrap().1.to_string();
    let all: std::collections::BTreeSet<String> = lines(&all).iter().map(|l| without_id(l)).collect();
    let alone = lines(&alone);
    assert!(alone.len() > 100 && alone.iter().all(|line| all.contains(&without_id(line))));
}

#[test]
fn the_truth_knows_every_event_and_account() {
    let plan = plan(7, 1);
    let simulation = Simulation::new(&plan);
    let mut truth = Truth::new(&simulation);
    let told: Vec<String> = simulation.events().filter_map(|e| truth.count(&e)).collect();
    assert!(told.iter().all(|row| row.split(',').count() == Truth::EVENTS.split(',').count()));
    let events: u64 = truth.families().iter().map(|(.., events)| events).sum();
    assert_eq!(events, truth.n_events());
    let written = truth.campaigns(&plan).unwrap();
    for campaign in campaigns() {
        assert!(written.contains(&format!("\"family\": \"{}\"", campaign.name)), "{}", campaign.name);
        assert!(told.iter().any(|row| row.contains(&format!(",{},attack", campaign.name))), "{}", campaign.name);
    }
}

/// The calls of one kind of campaign that serve its purpose, as JSON, under an adaptation.
fn attacks(name: &str, adaptation: Adaptation) -> Vec<serde_json::Value> {
    let campaign = campaigns().iter().find(|c| c.name == name).unwrap();
    let plan = Plan { benign: Vec::new(), campaigns: vec![campaign], background: 0, adaptation, ..plan(11, 3) };
    let simulation = Simulation::new(&plan);
    let of_purpose = simulation.events().filter(|e| matches!(e.campaign, Some((_, "attack"))));
    of_purpose.map(|e| serde_json::from_str(&e.line).unwrap()).collect()
}

fn distinct(events: &[serde_json::Value], key: &str) -> usize {
    events.iter().map(|e| e[key].to_string()).collect::<std::collections::BTreeSet<_>>().len()
}

#[test]
fn campaigns_adapt_as_they_are_told() {
    let as_they_are = Adaptation { accounts: Some(28), cover: Some(0.0), ..Adaptation::default() };
    let before = attacks("hydra", as_they_are);
    assert_eq!((distinct(&before, "account"), distinct(&before, "payment_fingerprint")), (28, 4));
    assert_eq!(distinct(&before, "tls_fp"), 1);

    let rotated = attacks("hydra", Adaptation { rotate_links: true, ..as_they_are });
    assert_eq!((distinct(&rotated, "account"), distinct(&rotated, "payment_fingerprint")), (28, 28));
    assert!(distinct(&rotated, "tls_fp") > 4 && distinct(&rotated, "ip") > 60);

    // A shared key stays in many places: that is what it is.
    let shared = attacks("shared-key", Adaptation { rotate_links: true, ..Adaptation::default() });
    assert!(distinct(&shared, "account") == 2 && distinct(&shared, "country") > 8);

    let slower = attacks("hydra", Adaptation { rate_factor: Some(0.25), ..as_they_are });
    assert!((3..=5).contains(&(before.len() / slower.len())), "{} {}", before.len(), slower.len());

    let covered = attacks("hydra", Adaptation { cover: Some(0.6), ..as_they_are });
    let share = covered.len() as f64 / before.len() as f64;
    assert!((0.35..0.45).contains(&share), "{share}");
}

/// The words of a prompt before its payload.
fn template(event: &serde_json::Value) -> Vec<String> {
    let prompt = event["prompt"].as_str().unwrap();
    prompt.split("\n\n").next().unwrap().split_whitespace().map(str::to_string).collect()
}

#[test]
fn templates_are_as_many_and_as_changed_as_told() {
    let adaptation = Adaptation { accounts: Some(6), cover: Some(0.0), templates: Some(5), ..Adaptation::default() };
    let plain = attacks("hydra", adaptation);
    let wordings: std::collections::BTreeSet<Vec<String>> = plain.iter().map(template).collect();
    assert_eq!(wordings.len(), 5);
    let changed = attacks("hydra", Adaptation { substitute: Some(0.2), ..adaptation });
    assert_eq!(plain.len(), changed.len());
    // Names of things may have two words, so that only wordings of the same length can be laid side by side.
    let pairs = plain.iter().map(template).zip(changed.iter().map(template)).filter(|(a, b)| a.len() == b.len());
    let (mut n_words, mut n_changed) = (0, 0);
    for (a, b) in pairs {
        n_words += a.len();
        n_changed += a.iter().zip(&b).filter(|(a, b)| a != b).count();
    }
    let share = n_changed as f64 / n_words as f64;
    assert!(n_words > 5_000 && (0.17..0.23).contains(&share), "{n_words} {share}");
}

/// A plan of one day each: what stands in the middle or at the end of a stream must not fall out of it silently.
#[test]
fn every_workload_acts_on_a_single_day_too() {
    for workload in benign() {
        let plan = Plan { benign: vec![workload], campaigns: Vec::new(), background: 0, ..plan(1, 1) };
        assert!(Simulation::new(&plan).events().count() > 20, "{}", workload.name);
    }
}

/// What strangers ask must not look alike for want of words: else every rule about templates would accuse them, or would
/// be tuned to spare them.
#[test]
fn ordinary_customers_share_no_template() {
    use crate::event::FieldId;
    use crate::template::{FingerprintKey, Fingerprinter, PublicTemplates, Scratch, Strictness};
    use crate::value::Value;
    let plan = Plan { benign: Vec::new(), campaigns: Vec::new(), background: 300, ..plan(13, 1) };
    let simulation = Simulation::new(&plan);
    let fingerprinter = Fingerprinter::new(FingerprintKey::PUBLIC);
    let (mut sample, mut scratch, mut decoder) = (PublicTemplates::new(6), Scratch::default(), Decoder::new());
    for event in simulation.events() {
        let event = decoder.decode(event.line.as_bytes()).unwrap();
        let (Value::Text(account), Value::Text(prompt)) = (event.get(FieldId::ACCOUNT), event.get(FieldId::PROMPT))
        else {
            continue;
        };
        let shown = fingerprinter.fingerprints(Strictness::Strict, prompt, &mut scratch);
        sample.add(account, Strictness::Strict.words() as u8, shown.as_slice()).unwrap();
    }
    assert!(sample.n_accounts() > 100);
    assert!(sample.public().is_empty(), "{:?}", sample.public());
}
