//! What was simulated in truth: labels of accounts and events, and the campaigns, in the form that scorers of labelled
//! traffic read. Rules never see it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::account::{Label, time};
use super::stream::is_told;
use super::{Plan, Simulated, Simulation};

/// One campaign, and what came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Campaign {
    pub(super) campaign: String,
    pub(super) label: &'static str,
    pub(super) family: &'static str,
    pub(super) accounts: usize,
    pub(super) planned_events: u64,
    pub(super) start: String,
    pub(super) end: String,
    pub(super) account_ids: Vec<String>,
}

/// What an account did.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    n_events: u64,
    n_attack: u64,
    first_ms: i64,
    last_ms: i64,
}

/// Counts what is written, and tells it.
#[derive(Debug)]
pub struct Truth<'a> {
    of: &'a Simulation,
    seen: Vec<Seen>,
    campaigns: BTreeMap<String, Seen>,
    n_events: u64,
}

impl<'a> Truth<'a> {
    /// Of a simulation of which nothing is written yet.
    pub fn new(of: &'a Simulation) -> Self {
        Truth { of, seen: vec![Seen::default(); of.accounts.len()], campaigns: BTreeMap::new(), n_events: 0 }
    }

    /// Counts an event. Gives its row of `labels_events.csv` where it belongs to a campaign.
    pub fn count(&mut self, event: &Simulated) -> Option<String> {
        self.n_events += 1;
        let role = event.campaign.as_ref();
        if let Some(seen) = self.seen.get_mut(event.account) {
            add(seen, event.at_ms, role.is_some_and(|(_, role)| *role == "attack"));
        }
        let (campaign, role) = role?;
        add(self.campaigns.entry(campaign.clone()).or_default(), event.at_ms, *role == "attack");
        let account = self.of.accounts.get(event.account)?;
        is_told(account.label).then(|| format!("{},{},{campaign},{},{role}", event.id, account.id, event.family))
    }

    /// How many events were counted.
    pub fn n_events(&self) -> u64 {
        self.n_events
    }

    /// The heading of `labels_events.csv`.
    pub const EVENTS: &'static str = "id,account,campaign,family,role";
    /// The heading of `labels_accounts.csv`.
    pub const ACCOUNTS: &'static str = "account,label,family,campaign,n_events,n_attack,first,last";

    /// The rows of `labels_accounts.csv`: accounts that did something.
    pub fn accounts(&self) -> impl Iterator<Item = String> {
        let acted = self.of.accounts.iter().zip(&self.seen).filter(|(_, seen)| seen.n_events > 0);
        acted.map(|(account, seen)| {
            format!(
                "{},{},{},{},{},{},{},{}",
                account.id,
                account.label.word(),
                account.family,
                account.campaign.as_deref().unwrap_or(""),
                seen.n_events,
                seen.n_attack,
                time(seen.first_ms),
                time(seen.last_ms)
            )
        })
    }

    /// Events and accounts of each family: label, family, accounts, events.
    pub fn families(&self) -> Vec<(Label, &'static str, u64, u64)> {
        let mut found: Vec<(Label, &'static str, u64, u64)> = Vec::new();
        for (account, seen) in self.of.accounts.iter().zip(&self.seen) {
            let at = found.iter().position(|(label, family, ..)| (*label, *family) == (account.label, account.family));
            match at.and_then(|at| found.get_mut(at)) {
                Some((_, _, accounts, events)) => {
                    *accounts += 1;
                    *events += seen.n_events;
                }
                None => found.push((account.label, account.family, 1, seen.n_events)),
            }
        }
        found
    }

    /// The text of `campaigns.json`.
    ///
    /// # Errors
    /// Never; what writes JSON says it might.
    pub fn campaigns(&self, plan: &Plan) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct File {
            seed: u64,
            events: u64,
            days: i64,
            start: String,
            prompts: &'static str,
            campaigns: Vec<Campaign>,
        }
        let (year, month, day) = plan.start.date();
        let campaigns = self.of.campaigns.iter().map(|campaign| {
            let seen = self.campaigns.get(&campaign.campaign).copied().unwrap_or_default();
            Campaign {
                planned_events: seen.n_events,
                start: time(seen.first_ms),
                end: time(seen.last_ms),
                ..campaign.clone()
            }
        });
        let file = File {
            seed: plan.seed,
            events: self.n_events,
            days: self.of.days,
            start: format!("{year:04}-{month:02}-{day:02}"),
            prompts: "synthetic",
            campaigns: campaigns.collect(),
        };
        serde_json::to_string_pretty(&file)
    }
}

fn add(seen: &mut Seen, at_ms: i64, attack: bool) {
    if seen.n_events == 0 {
        seen.first_ms = at_ms;
    }
    seen.n_events += 1;
    seen.n_attack += u64::from(attack);
    seen.last_ms = at_ms;
}
