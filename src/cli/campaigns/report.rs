//! What is reported of cases, and as JSON; as a table in `list.rs`, in full in `full.rs`. What is not known is said to be not known, never shown as nought.

mod full;
mod list;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::View;
use crate::campaign::{Case, Finding, Member, Volume, counts, families};
use crate::cli::terminal::{grouped, printable};
use crate::hir::{Confidence, Severity};
use crate::time::Timestamp;

/// Values of a family that are named in text.
const VALUES_SHOWN: usize = 3;

/// What a rule says in a case.
struct RuleSays<'a> {
    rule: &'a str,
    severity: Severity,
    confidence: Confidence,
    n_violations: u64,
    accounts: BTreeSet<u32>,
}

/// Whole units and hundredths of an amount in millionths of millionths.
fn amount(value: i128) -> String {
    const HUNDREDTH: i128 = 10_000_000_000;
    let hundredths = value.saturating_add(HUNDREDTH / 2) / HUNDREDTH;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn amount_text(value: i128) -> String {
    let plain = amount(value);
    match plain.split_once('.') {
        Some((whole, part)) => format!("{}.{part}", whole.parse().map_or(whole.to_string(), grouped)),
        None => plain,
    }
}

/// `2026-03-02 12:00`: a table needs no more.
fn to_the_minute(at: Timestamp) -> String {
    at.to_string().chars().take(16).collect::<String>().replace('T', " ")
}

/// The first digits of an id, as lists show them.
fn digits(id: &str) -> String {
    printable(&id.chars().take(12).collect::<String>()).into_owned()
}

fn plural(n: usize, one: &str, more: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {more}", grouped(n as u64)) }
}

fn percent(part: usize, of: usize) -> u64 {
    (part as u64 * 100).checked_div(of as u64).unwrap_or(0)
}

impl View<'_> {
    fn case(&self, case: usize) -> Option<&Case> {
        self.cases.cases.get(case)
    }

    fn finding(&self, i: usize) -> Option<&Finding> {
        self.findings.all().get(i)
    }

    fn evidence<'a>(&'a self, case: &'a Case) -> impl Iterator<Item = &'a Finding> {
        case.findings.iter().filter_map(|i| self.finding(*i))
    }

    /// What is known of its calls: nothing without a journal, and nothing of a case whose violations name no account.
    fn volume(&self, case: usize) -> Option<&Volume> {
        self.journal?;
        self.case(case).filter(|c| !c.accounts.is_empty())?;
        self.tally.volume(case)
    }

    fn member(&self, case: usize, place: usize) -> Option<&Member> {
        self.journal.and_then(|_| self.tally.members(case).get(place))
    }

    /// The rules of a case, the strongest first: by severity, confidence, and how many accounts they name.
    fn rules<'a>(&'a self, case: &'a Case) -> Vec<RuleSays<'a>> {
        let mut rules: BTreeMap<&str, RuleSays<'_>> = BTreeMap::new();
        for f in self.evidence(case) {
            let says = rules.entry(&f.rule).or_insert_with(|| RuleSays {
                rule: &f.rule,
                severity: f.severity,
                confidence: f.confidence,
                n_violations: 0,
                accounts: BTreeSet::new(),
            });
            (says.severity, says.confidence) = (says.severity, says.confidence).max((f.severity, f.confidence));
            says.n_violations += 1;
            says.accounts.extend(&f.accounts);
        }
        let mut rules: Vec<RuleSays<'_>> = rules.into_values().collect();
        rules.sort_by(|a, b| {
            let strength = |r: &RuleSays<'_>| (r.severity, r.confidence, r.accounts.len());
            strength(b).cmp(&strength(a)).then(a.rule.cmp(b.rule))
        });
        rules
    }

    /// How many organisations there are, and how many accounts have none that is known.
    fn orgs(&self, case: &Case) -> Option<(usize, usize)> {
        let (orgs, unknown) = self.tally.orgs(case);
        let is_known = self.journal.is_some() && !orgs.is_empty();
        is_known.then_some((orgs.len(), unknown))
    }

    /// Cases, and what they rest on.
    pub(super) fn list_json(&self, shown: &[usize]) -> Value {
        json!({
            "campaigns": shown.iter().map(|c| self.case_json(*c, false)).collect::<Vec<_>>(),
            "outside": self.cases.outside.iter().filter_map(|i| self.finding(*i)).map(|f| json!({
                "id": f.id, "rule": f.rule, "severity": f.severity.word(), "status": f.status.word(),
            })).collect::<Vec<_>>(),
            "journal": self.journal.map(|j| json!({
                "events": j.n_events, "complete_since": j.since.map(|t| t.to_string()),
            })),
            "prices": self.prices.map(|p| json!({ "currency": p.currency, "about": p.about })),
        })
    }

    /// One case; in full with its members.
    pub(super) fn case_json(&self, case: usize, in_full: bool) -> Value {
        let Some(c) = self.case(case) else { return Value::Null };
        let strongest = self.evidence(c).next();
        let orgs = self.orgs(c);
        let name = |a: &u32| self.findings.name(*a);
        let violation = |f: &Finding| {
            json!({
                "id": f.id,
                "rule": f.rule,
                "severity": f.severity.word(),
                "confidence": f.confidence.word(),
                "status": f.status.word(),
                "opened_at": f.opened_at.to_string(),
                "first_event": f.first.to_string(),
                "last_event": f.last.to_string(),
                "accounts": f.accounts.len(),
                "accounts_in_campaign": f.accounts.iter().filter(|a| c.accounts.binary_search(a).is_ok()).count(),
                "events": f.n_events,
                "because": f.because,
            })
        };
        let volume = self.volume(case);
        let mut out = json!({
            "id": c.id,
            "severity": strongest.map(|f| f.severity.word()),
            "confidence": strongest.map(|f| f.confidence.word()),
            "rules": self.rules(c).iter().map(|r| json!({
                "rule": r.rule,
                "severity": r.severity.word(),
                "confidence": r.confidence.word(),
                "violations": r.n_violations,
                "accounts": r.accounts.len(),
            })).collect::<Vec<_>>(),
            "accounts": c.accounts.len(),
            "organisations": orgs.map(|(n, _)| n),
            "accounts_without_known_organisation": orgs.map(|(_, unknown)| unknown),
            "first_event": c.first.to_string(),
            "last_event": c.last.to_string(),
            "accounts_first_seen": volume.and_then(|v| v.seen).map(|(first, _)| first.to_string()),
            "accounts_last_seen": volume.and_then(|v| v.seen).map(|(_, last)| last.to_string()),
            "tied_by": families(self.findings, c).iter().map(|f| json!({
                "family": f.name,
                "accounts": f.n_accounts,
                "share_percent": percent(f.n_accounts, c.accounts.len()),
                "complete": f.complete,
                "values": f.values.iter().map(|v| json!({ "value": v.value, "accounts": v.n_accounts })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "counts": counts(self.findings, c).iter().map(|n| json!({
                "name": n.name, "peak": n.peak, "rule": n.rule,
            })).collect::<Vec<_>>(),
            "events_of_the_strongest_violation": strongest.map(|f| f.n_events),
            "volume": volume.map(|v| self.volume_json(c, v)),
            "violations": self.evidence(c).map(violation).collect::<Vec<_>>(),
            "beside": c.beside.iter().filter_map(|i| self.finding(*i)).map(violation).collect::<Vec<_>>(),
        });
        let members = || -> Value {
            let of = |(place, account): (usize, &u32)| {
                let member = self.member(case, place);
                json!({
                    "account": name(account),
                    "organisation": self.journal.and_then(|_| self.tally.org(*account)),
                    "named_by": self.naming(c, *account).map(|f| &f.id).collect::<Vec<_>>(),
                    "calls": member.map(|m| m.calls),
                    "input_tokens": member.map(|m| m.input_tokens),
                    "output_tokens": member.map(|m| m.output_tokens),
                })
            };
            c.accounts.iter().enumerate().map(of).collect()
        };
        if let Value::Object(out) = &mut out {
            match in_full {
                true => out.insert("members".to_string(), members()),
                false => out.insert("members".to_string(), c.accounts.iter().map(name).collect()),
            };
        }
        out
    }

    fn volume_json(&self, case: &Case, v: &Volume) -> Value {
        let unpriced: Vec<Value> = v
            .models
            .iter()
            .filter(|(_, m)| m.calls_without_price > 0)
            .map(|(name, m)| json!({ "model": name, "calls": m.calls_without_price }))
            .collect();
        json!({
            "complete": self.reaches(case),
            "calls": v.calls,
            "other_events": v.others,
            "input_tokens": (v.calls_without_tokens < v.calls || v.input_tokens > 0).then_some(v.input_tokens),
            "output_tokens": (v.calls_without_tokens < v.calls || v.output_tokens > 0).then_some(v.output_tokens),
            "calls_without_tokens": v.calls_without_tokens,
            "calls_without_model": v.calls_without_model,
            "calls_of_more_models": v.calls_of_more_models,
            "models": v.models.iter().map(|(name, m)| json!({
                "model": name,
                "calls": m.calls,
                "input_tokens": m.input_tokens,
                "output_tokens": m.output_tokens,
                "value": self.prices.filter(|_| m.calls_priced > 0).map(|_| amount(m.value)),
            })).collect::<Vec<_>>(),
            "value": self.prices.filter(|_| v.calls_priced() > 0).map(|p| json!({
                "amount": amount(v.value()),
                "currency": p.currency,
                "calls_priced": v.calls_priced(),
            })),
            "calls_without_price": self.prices.map(|_| unpriced),
        })
    }

    /// The violations of a case that name an account, the strongest first.
    fn naming<'a>(&'a self, case: &'a Case, account: u32) -> impl Iterator<Item = &'a Finding> {
        self.evidence(case).filter(move |f| f.accounts.binary_search(&account).is_ok())
    }
}
