//! How much the accounts of cases called for: events in any order, one pass, for all cases at once. What is held grows with
//! the accounts of the cases, never with the events.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Cases, Findings, Prices};
use crate::time::Timestamp;

/// Models that a case tells apart. Names come from callers, who may try as many as they like.
pub const MODELS_MAX: usize = 100;

/// What is asked of an event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call<'a> {
    /// When.
    pub ts: Timestamp,
    /// Whether a model answered; otherwise a sign-up, or whatever else is recorded.
    pub is_completion: bool,
    /// Who.
    pub account: &'a str,
    /// Of which organisation.
    pub org: Option<&'a str>,
    /// Which model.
    pub model: Option<&'a str>,
    /// Tokens read.
    pub input_tokens: Option<u64>,
    /// Tokens written.
    pub output_tokens: Option<u64>,
    /// Tokens of hidden reasoning, which are written too.
    pub reasoning_tokens: Option<u64>,
}

/// What the accounts of a case called for between its first and its last event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// Calls that a model answered.
    pub calls: u64,
    /// Other events.
    pub others: u64,
    /// Tokens read, as far as calls say.
    pub input_tokens: u64,
    /// Tokens written, hidden reasoning included, as far as calls say.
    pub output_tokens: u64,
    /// Calls of which one of the two, or both, is not known.
    pub calls_without_tokens: u64,
    /// By model.
    pub models: BTreeMap<Box<str>, ModelVolume>,
    /// Calls of further models than [`MODELS_MAX`].
    pub calls_of_more_models: u64,
    /// Calls whose model is not known.
    pub calls_without_model: u64,
    /// The first and last event of its accounts at all, outside the time of the case too.
    pub seen: Option<(Timestamp, Timestamp)>,
}

/// The part of one model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelVolume {
    /// Calls.
    pub calls: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// What they would have cost, in millionths of millionths of the currency.
    pub value: i128,
    /// Calls that had a price and known tokens.
    pub calls_priced: u64,
    /// Calls at a time for which the table has no price of the model.
    pub calls_without_price: u64,
}

impl Volume {
    /// What all would have cost, in millionths of millionths of the currency.
    pub fn value(&self) -> i128 {
        self.models.values().fold(0, |sum, m| sum.saturating_add(m.value))
    }

    /// How many calls are in [`Volume::value`].
    pub fn calls_priced(&self) -> u64 {
        self.models.values().map(|m| m.calls_priced).sum()
    }

    fn model(&mut self, name: &str) -> Option<&mut ModelVolume> {
        if !self.models.contains_key(name) && self.models.len() >= MODELS_MAX {
            return None;
        }
        Some(self.models.entry(name.into()).or_default())
    }
}

/// The part of one account in a case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Member {
    /// Calls that a model answered.
    pub calls: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

/// Counts events for cases.
#[derive(Debug)]
pub struct Tally<'a> {
    findings: &'a Findings,
    cases: Vec<&'a Case>,
    prices: Option<&'a Prices>,
    /// By number of the account: in which cases it is, and as which of its accounts.
    of: Vec<Vec<(u32, u32)>>,
    /// By number of the account: its organisation, as it was last told.
    orgs: Vec<Option<(Timestamp, Box<str>)>>,
    volumes: Vec<Volume>,
    members: Vec<Vec<Member>>,
}

impl<'a> Tally<'a> {
    /// Nothing counted yet.
    pub fn new(findings: &'a Findings, cases: &'a Cases, prices: Option<&'a Prices>) -> Tally<'a> {
        let mut of = vec![Vec::new(); findings.n_accounts()];
        for (number, case) in (0u32..).zip(&cases.cases) {
            for (place, account) in (0u32..).zip(&case.accounts) {
                if let Some(list) = of.get_mut(*account as usize) {
                    list.push((number, place));
                }
            }
        }
        let cases: Vec<&Case> = cases.cases.iter().collect();
        Tally {
            findings,
            prices,
            of,
            orgs: vec![None; findings.n_accounts()],
            volumes: vec![Volume::default(); cases.len()],
            members: cases.iter().map(|c| vec![Member::default(); c.accounts.len()]).collect(),
            cases,
        }
    }

    /// Takes in an event.
    pub fn take(&mut self, call: &Call<'_>) {
        let Some(account) = self.findings.number(call.account).map(|n| n as usize) else { return };
        if let (Some(org), Some(known)) = (call.org, self.orgs.get_mut(account))
            && known.as_ref().is_none_or(|(at, before)| (*at, before.as_ref()) < (call.ts, org))
        {
            *known = Some((call.ts, org.into()));
        }
        for (number, place) in self.of.get(account).into_iter().flatten() {
            let number = *number as usize;
            let (Some(case), Some(volume)) = (self.cases.get(number), self.volumes.get_mut(number)) else { continue };
            let (first, last) = volume.seen.unwrap_or((call.ts, call.ts));
            volume.seen = Some((first.min(call.ts), last.max(call.ts)));
            if call.ts < case.first || call.ts > case.last {
                continue;
            }
            let member = self.members.get_mut(number).and_then(|m| m.get_mut(*place as usize));
            count(volume, member, call, self.prices);
        }
    }

    /// What was counted for a case, by its place among them.
    pub fn volume(&self, case: usize) -> Option<&Volume> {
        self.volumes.get(case)
    }

    /// What was counted for each account of a case, in the order of its accounts.
    pub fn members(&self, case: usize) -> &[Member] {
        self.members.get(case).map(Vec::as_slice).unwrap_or_default()
    }

    /// The organisation of an account, as far as events said.
    pub fn org(&self, account: u32) -> Option<&str> {
        self.orgs.get(account as usize)?.as_ref().map(|(_, org)| &**org)
    }

    /// The organisations of a case, as far as events said, and how many of its accounts have none that is known.
    pub fn orgs(&self, case: &Case) -> (BTreeSet<&str>, usize) {
        let known: Vec<Option<&str>> = case.accounts.iter().map(|a| self.org(*a)).collect();
        (known.iter().flatten().copied().collect(), known.iter().filter(|o| o.is_none()).count())
    }
}

fn count(volume: &mut Volume, member: Option<&mut Member>, call: &Call<'_>, prices: Option<&Prices>) {
    if !call.is_completion {
        volume.others += 1;
        return;
    }
    let input = call.input_tokens.unwrap_or(0);
    let output = call.output_tokens.unwrap_or(0).saturating_add(call.reasoning_tokens.unwrap_or(0));
    let is_known = call.input_tokens.is_some() && call.output_tokens.is_some();
    volume.calls += 1;
    volume.input_tokens = volume.input_tokens.saturating_add(input);
    volume.output_tokens = volume.output_tokens.saturating_add(output);
    volume.calls_without_tokens += u64::from(!is_known);
    if let Some(member) = member {
        member.calls += 1;
        member.input_tokens = member.input_tokens.saturating_add(input);
        member.output_tokens = member.output_tokens.saturating_add(output);
    }
    let Some(name) = call.model else {
        volume.calls_without_model += 1;
        return;
    };
    let Some(model) = volume.model(name) else {
        volume.calls_of_more_models += 1;
        return;
    };
    model.calls += 1;
    model.input_tokens = model.input_tokens.saturating_add(input);
    model.output_tokens = model.output_tokens.saturating_add(output);
    match prices.map(|p| p.find(name, call.ts)) {
        Some(Some(price)) if is_known => {
            model.value = model.value.saturating_add(price.of(input, output));
            model.calls_priced += 1;
        }
        Some(None) => model.calls_without_price += 1,
        Some(Some(_)) | None => {}
    }
}
