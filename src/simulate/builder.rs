//! What workloads are built with: accounts, actors, and chance that depends on the workload alone.

use std::sync::Arc;

use super::account::{Account, Label};
use super::actor::{Actor, Asks, Call, Moment, Roam};
use super::client::browser;
use super::draw::Draw;
use super::grammar::GRAMMAR;
use super::lists::Lists;
use super::rhythm::{DAY_MS, Rhythm};
use super::truth::Campaign;
use super::world::{Country, home, somewhere};
use super::{Adaptation, Simulation, Workload};

/// Builds one workload.
pub(super) struct Builder<'a> {
    of: &'a mut Simulation,
    name: &'static str,
    label: Label,
    /// How campaigns adapt.
    pub(super) adaptation: Adaptation,
    /// How many accounts a campaign has.
    pub(super) accounts: usize,
    campaign: Option<String>,
    n_accounts: u64,
    n_actors: u64,
    first_account: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(of: &'a mut Simulation, name: &'static str, label: Label, adaptation: Adaptation) -> Self {
        let first_account = of.accounts.len();
        Builder { of, name, label, adaptation, accounts: 0, campaign: None, n_accounts: 0, n_actors: 0, first_account }
    }

    pub(super) fn campaign(of: &'a mut Simulation, workload: &Workload, adaptation: Adaptation) -> Self {
        let id = Draw::of(of.seed, workload.name, &[]).name("", 6);
        let mut builder = Builder::new(of, workload.name, Label::Adversary, adaptation);
        builder.accounts = adaptation.accounts.unwrap_or(workload.accounts).max(1);
        builder.campaign = Some(format!("c_{}_{id}", workload.name));
        builder
    }

    /// Notes the campaign and its accounts.
    pub(super) fn finish(self) {
        let ids = self.of.accounts.iter().skip(self.first_account);
        let ids: Vec<String> = ids.filter(|a| a.label != Label::LookAlike).map(|a| a.id.clone()).collect();
        let Some(campaign) = self.campaign else { return };
        self.of.campaigns.push(Campaign {
            campaign,
            label: "adversary",
            family: self.name,
            accounts: ids.len(),
            account_ids: ids,
            ..Campaign::default()
        });
    }

    /// Chance for a purpose of this workload.
    pub(super) fn draw(&self, purpose: &str, n: u64) -> Draw {
        Draw::of(self.of.seed, &format!("{}/{purpose}", self.name), &[n])
    }

    pub(super) fn days(&self) -> i64 {
        self.of.days
    }

    pub(super) fn start_ms(&self) -> i64 {
        self.of.start_ms
    }

    pub(super) fn end_ms(&self) -> i64 {
        self.of.end_ms()
    }

    /// The day in the middle, on which things happen once.
    pub(super) fn middle_ms(&self) -> i64 {
        self.start_ms() + self.days() / 2 * DAY_MS
    }

    pub(super) fn lists(&mut self) -> &mut Lists {
        &mut self.of.lists
    }

    /// A person somewhere, or in the given country.
    pub(super) fn person(&mut self, country: Option<Country>) -> Account {
        let mut draw = self.next_account();
        let country = country.unwrap_or_else(|| somewhere(&mut draw));
        Account::person(&mut draw, country, self.of.start_ms)
    }

    /// A company somewhere, or in the given country.
    pub(super) fn company(&mut self, country: Option<Country>) -> Account {
        let mut draw = self.next_account();
        let country = country.unwrap_or_else(|| somewhere(&mut draw));
        Account::company(&mut draw, country, self.of.start_ms)
    }

    fn next_account(&mut self) -> Draw {
        self.n_accounts += 1;
        self.draw("account", self.n_accounts)
    }

    /// Adds the account; it has the label of the workload unless it brings one.
    pub(super) fn add(&mut self, mut account: Account) -> usize {
        if account.label == Label::Benign {
            account.label = self.label;
        }
        account.family = self.name;
        account.campaign = self.campaign.clone();
        self.of.accounts.push(account);
        self.of.accounts.len() - 1
    }

    /// Somebody under an account: a person at home with a browser, ten calls a day, until more is said.
    pub(super) fn actor(&mut self, account: usize, asks: Asks) -> Actor {
        self.n_actors += 1;
        let mut draw = self.draw("actor", self.n_actors);
        let (country, created_ms) =
            self.of.accounts.get(account).map_or_else(Default::default, |a| (a.country, a.created_ms));
        Actor {
            account,
            key: None,
            name: format!("{}/{}", self.name, self.n_actors),
            rhythm: Rhythm::People(country.utc_offset),
            per_day: 10.0,
            chats: false,
            from_ms: self.of.start_ms.max(created_ms),
            until_ms: self.of.end_ms(),
            clients: vec![browser(&mut draw)],
            places: vec![home(country, &mut draw)],
            roam: Roam::Session,
            users: 0,
            languages: Vec::new(),
            attacks: self.campaign.is_some() && self.label == Label::Adversary,
            repeats: None,
            asks,
        }
    }

    /// Lets it act.
    pub(super) fn act(&mut self, actor: Actor) {
        self.of.actors.push(actor);
    }
}

/// Asks by a function.
pub(super) fn asks(f: impl Fn(&mut Draw, &Moment) -> Call + Send + Sync + 'static) -> Asks {
    Arc::new(f)
}

/// A text of the grammar.
pub(super) fn text(rule: &str, draw: &mut Draw) -> String {
    GRAMMAR.text(rule, draw)
}

/// Standing instructions, made once and shared by all calls.
pub(super) fn house(rule: &str, draw: &mut Draw) -> Arc<str> {
    Arc::from(GRAMMAR.text(rule, draw))
}

/// Ordinary chat of a person: questions, and what is said behind them; some of it is code or another language.
pub(super) fn chat(tongue: &'static str) -> Asks {
    asks(move |draw, moment| chat_call(tongue, draw, moment))
}

pub(super) fn chat_call(tongue: &'static str, draw: &mut Draw, moment: &Moment) -> Call {
    use super::actor::{LARGE, SMALL, THINKING};
    let prompt = if moment.turn > 0 && draw.chance(0.6) {
        text("follow", draw)
    } else if !tongue.is_empty() && draw.chance(0.65) {
        GRAMMAR.texts(tongue, 1 + draw.below(3), " ", draw)
    } else if draw.chance(0.14) {
        text("program", draw)
    } else {
        let asked = text("chat", draw);
        if draw.chance(0.3) { asked + &text("tail", draw) } else { asked }
    };
    let model = draw.pick(&[LARGE, LARGE, SMALL, SMALL, SMALL, THINKING]);
    Call::of(model, prompt, draw.skewed([4.0, 190.0, 620.0, 2_400.0]))
}
