//! Campaigns. Each kind has its own purpose, ties and pace; how it adapts is the same for all. Templates are made anew for
//! each seed, so that a rule fitted to one wording does not find the next.

mod answer_harvest;
mod astroturf;
mod hydra;
mod hydra_residential;
mod leaked_key;
mod logit_extraction;
mod low_and_slow;
mod reasoning;
mod region_evasion;
mod reseller;
mod rubric_grading;
mod self_instruct;
mod shared_key;

use super::Workload;
use super::account::Account;
use super::actor::{Actor, Asks, Roam};
use super::builder::{Builder, asks, chat_call, text};
use super::client::{Client, browser, library};
use super::draw::Draw;
use super::world::{Place, home, somewhere};

const fn kind(name: &'static str, accounts: usize, says: &'static str, build: fn(&mut Builder<'_>)) -> Workload {
    Workload { name, says, accounts, build }
}

/// In the order of the domain's families.
pub(super) const ALL: [Workload; 13] = [
    kind("self-instruct", 3, "sets of tasks with their answers, in bulk", self_instruct::build),
    kind("answer-harvest", 4, "full answers to many questions, in bulk", answer_harvest::build),
    kind("hydra", 60, "many small accounts with shared cards and server networks", hydra::build),
    kind(
        "hydra-residential",
        80,
        "many small accounts, each its own card, behind residential proxies",
        hydra_residential::build,
    ),
    kind("reasoning", 12, "how the model came to its answers", reasoning::build),
    kind("rubric-grading", 6, "grades for pairs of answers", rubric_grading::build),
    kind("logit-extraction", 2, "the odds of single tokens, swept", logit_extraction::build),
    kind("low-and-slow", 40, "one subject after the other, a few a day", low_and_slow::build),
    kind("region-evasion", 24, "people from where the service is not offered, behind VPNs", region_evasion::build),
    kind("shared-key", 2, "one key, a dozen people in as many places", shared_key::build),
    kind("reseller", 4, "access sold on to strangers in many languages", reseller::build),
    kind("leaked-key", 2, "a customer's key, taken, tried and handed round", leaked_key::build),
    kind("astroturf", 5, "voices of people who do not exist, in bulk", astroturf::build),
];

/// The wordings that a campaign uses, as words.
#[derive(Debug, Clone)]
struct Templates {
    words: Vec<Vec<String>>,
    substitute: f64,
}

impl Templates {
    /// So many texts of a rule; another number where the campaign adapts.
    fn of(cx: &Builder<'_>, rule: &str, n: usize) -> Templates {
        let n = cx.adaptation.templates.unwrap_or(n).max(1);
        let made = (0..n as u64).map(|i| text(rule, &mut cx.draw("template", i)));
        let words = made.map(|text| text.split_inclusive([' ', '\n']).map(str::to_string).collect());
        Templates { words: words.collect(), substitute: cx.adaptation.substitute.unwrap_or(0.0) }
    }

    /// The template of an account, or of a call, with some words replaced.
    fn wording(&self, which: usize, draw: &mut Draw) -> String {
        let Some(words) = self.words.get(which % self.words.len().max(1)) else { return String::new() };
        if self.substitute <= 0.0 {
            return words.concat();
        }
        let replaced = words.iter().map(|word| match draw.chance(self.substitute) {
            true => {
                let rule = draw.pick(&["noun", "verb", "adj", "verbed"]);
                let end = word.get(word.trim_end().len()..).unwrap_or("");
                text(rule, draw) + end
            }
            false => word.clone(),
        });
        replaced.collect()
    }
}

/// A member of a campaign as it stands before it adapts.
struct Member {
    account: Account,
    clients: Vec<Client>,
    places: Vec<Place>,
    roam: Roam,
    per_day: f64,
}

/// Adds a member, adapted as the plan has it. What it asks besides ordinary chat is given.
fn join(cx: &mut Builder<'_>, i: usize, mut member: Member, cover: f64, purpose: Asks) -> Actor {
    let mut draw = cx.draw("member", i as u64);
    if cx.adaptation.rotate_links {
        member.account.card = Some(draw.name("card_", 12));
        member.account.org = draw.name("org_", 10);
        member.account.bin_class = draw.pick(&["consumer", "consumer", "prepaid", "virtual"]);
        member.account.created_ms = cx.start_ms() - draw.between(2, 90) * 86_400_000 - draw.between(0, 86_399_999);
        member.account.signup = None;
        // Who calls from many places at once goes on so: that is what the campaign is.
        if member.roam != Roam::Call {
            let n = cx.days().clamp(1, 60);
            member.places = (0..n).map(|_| home(somewhere(&mut draw), &mut draw)).collect();
            member.clients =
                (0..n).map(|_| if draw.chance(0.5) { browser(&mut draw) } else { library(&mut draw) }).collect();
            member.roam = Roam::Day;
        }
    }
    let tongue = member.account.country.tongue;
    let account = cx.add(member.account);
    let cover = cx.adaptation.cover.unwrap_or(cover);
    let asks = asks(move |draw, moment| {
        if draw.chance(cover) {
            let mut call = chat_call(tongue, draw, moment);
            call.cover = true;
            return call;
        }
        purpose(draw, moment)
    });
    Actor {
        per_day: member.per_day * cx.adaptation.rate_factor.unwrap_or(1.0),
        clients: member.clients,
        places: member.places,
        roam: member.roam,
        ..cx.actor(account, asks)
    }
}
