//! A deterministic generator of usage events: honest workloads that look like campaigns, campaigns of several kinds, and
//! ordinary customers. Text comes from grammars of our own alone, addresses are reserved ones, nobody in it exists.
//!
//! The same plan gives the same bytes on every machine: no clock is read, and all chance comes from the seed. What one
//! workload does never depends on which others are there. Knows events and lists as files hold them, and no rule.

mod account;
mod actor;
mod benign;
mod builder;
mod campaign;
mod client;
mod draw;
mod event;
mod grammar;
mod lists;
mod rhythm;
mod stream;
mod truth;
mod world;

pub use account::Label;
pub use stream::{Simulated, Stream};
pub use truth::Truth;

use account::Account;
use actor::Actor;
use builder::Builder;
use rhythm::DAY_MS;

use crate::time::Timestamp;

/// The most accounts of a plan, so that its registry fits into memory.
pub const ACCOUNTS_MAX: usize = 2_000_000;
/// The most days of a plan.
pub const DAYS_MAX: i64 = 3_650;

/// What can be simulated.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// How it is asked for.
    pub name: &'static str,
    /// One line for people.
    pub says: &'static str,
    /// Accounts where nothing is said; 0 where the class has its own number.
    pub accounts: usize,
    build: fn(&mut Builder<'_>),
}

/// The honest workloads that look like campaigns, F1 to F19.
pub fn benign() -> &'static [Workload] {
    &benign::ALL
}

/// The kinds of campaigns.
pub fn campaigns() -> &'static [Workload] {
    &campaign::ALL
}

/// How a campaign adapts. `None` leaves what its kind does by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Adaptation {
    /// Accounts of each campaign.
    pub accounts: Option<usize>,
    /// Calls of each account, times this.
    pub rate_factor: Option<f64>,
    /// How many templates are shared out among the accounts.
    pub templates: Option<usize>,
    /// In each prompt, the share of the template's words that are replaced, 0 to 1.
    pub substitute: Option<f64>,
    /// The share of calls that are ordinary chat to cover the rest, 0 to 1.
    pub cover: Option<f64>,
    /// Each account has its own card, network and client and changes network and client every day.
    pub rotate_links: bool,
}

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Honest workloads by name.
    pub benign: Vec<&'static Workload>,
    /// Campaigns by name.
    pub campaigns: Vec<&'static Workload>,
    /// Ordinary customers beside them.
    pub background: usize,
    /// How the campaigns adapt.
    pub adaptation: Adaptation,
    /// How many days.
    pub days: i64,
    /// The first day, at midnight UTC.
    pub start: Timestamp,
    /// Another seed gives another world.
    pub seed: u64,
}

/// Accounts, and who acts under them.
pub struct Simulation {
    accounts: Vec<Account>,
    actors: Vec<Actor>,
    campaigns: Vec<truth::Campaign>,
    lists: lists::Lists,
    days: i64,
    start_ms: i64,
    seed: u64,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Simulation of {} accounts and {} actors", self.accounts.len(), self.actors.len())
    }
}

impl Simulation {
    /// Makes the accounts and actors of a plan.
    pub fn new(plan: &Plan) -> Simulation {
        let mut simulation = Simulation {
            accounts: Vec::new(),
            actors: Vec::new(),
            campaigns: Vec::new(),
            lists: lists::Lists::default(),
            days: plan.days.clamp(0, DAYS_MAX),
            start_ms: plan.start.0 / 1_000_000,
            seed: plan.seed,
        };
        for workload in &plan.benign {
            let mut builder = Builder::new(&mut simulation, workload.name, Label::LookAlike, plan.adaptation);
            (workload.build)(&mut builder);
        }
        for workload in &plan.campaigns {
            let mut builder = Builder::campaign(&mut simulation, workload, plan.adaptation);
            (workload.build)(&mut builder);
            builder.finish();
        }
        let mut builder = Builder::new(&mut simulation, "background", Label::Benign, plan.adaptation);
        benign::background(&mut builder, plan.background);
        simulation
    }

    /// Its events in order of time.
    pub fn events(&self) -> Stream<'_> {
        Stream::new(self)
    }

    /// How many accounts it has.
    pub fn n_accounts(&self) -> usize {
        self.accounts.len()
    }

    /// The registry: a line of JSON for each account.
    ///
    /// # Errors
    /// Never; what writes JSON says it might.
    pub fn registry(&self) -> impl Iterator<Item = serde_json::Result<String>> {
        self.accounts.iter().map(Account::row)
    }

    /// The lists and tables that the shipped rules read: name of the file, and its text.
    pub fn lists(&self) -> Vec<(&'static str, String)> {
        self.lists.files()
    }

    fn end_ms(&self) -> i64 {
        self.start_ms + self.days * DAY_MS
    }
}

#[cfg(test)]
mod tests;
