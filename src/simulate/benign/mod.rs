//! Honest workloads that look like campaigns, and ordinary customers. Each class of the false-positive suite is one file.

mod batch;
mod bots;
mod classroom;
mod corporate_cards;
mod drift_monitor;
mod enterprise_gateway;
mod evaluation;
mod fallback;
mod incident;
mod integration;
mod model_rush;
mod public_templates;
mod reasoning_audit;
mod red_team;
mod retrieval;
mod roaming;
mod shared_networks;
mod synthetic_data;
mod translation;

use super::Workload;
use super::actor::{Actor, Call, LARGE, SMALL};
use super::builder::{Builder, asks, chat, house, text};
use super::client::{APP, browser, library};
use super::rhythm::Rhythm;
use super::world::{any_cloud, home, mobile};

const fn class(name: &'static str, says: &'static str, build: fn(&mut Builder<'_>)) -> Workload {
    Workload { name, says, accounts: 0, build }
}

/// In the order of their numbers.
pub(super) const ALL: [Workload; 19] = [
    class(
        "F1",
        "evaluation by night: a public benchmark, a judge of answers, a calibration with leave",
        evaluation::build,
    ),
    class("F2", "a licensed producer of synthetic data", synthetic_data::build),
    class("F3", "batch back-ends by night: texts for shops, papers, letters", batch::build),
    class("F4", "retrieval with one framework's default prompt, and the backfill of an index", retrieval::build),
    class("F5", "continuous integration: one key on many runners, fixtures replayed", integration::build),
    class("F6", "the gateway of one enterprise: many programs and sites behind one account", enterprise_gateway::build),
    class("F7", "a router that falls back to a second account within seconds", fallback::build),
    class("F8", "a drift monitor: the same prompts day and night over several accounts", drift_monitor::build),
    class("F9", "the rush to a new model with riddles that everybody tries", model_rush::build),
    class("F10", "reasoning kept for audits, by contract", reasoning_audit::build),
    class("F11", "public prompt templates and default prompts of frameworks", public_templates::build),
    class("F12", "a class: sign-ups in one hour, one campus address, one assignment", classroom::build),
    class("F13", "a translation vendor with many languages", translation::build),
    class("F14", "a red team with leave", red_team::build),
    class("F15", "an incident of the service, with its storm of retries", incident::build),
    class("F16", "corporate cards: one card, many accounts", corporate_cards::build),
    class("F17", "carriers and VPNs: many strangers behind few addresses", shared_networks::build),
    class("F18", "people under way, over borders every day", roaming::build),
    class("F19", "bots of customer service, day and night", bots::build),
];

/// Ordinary customers: people who chat, and back-ends of small and large companies.
pub(super) fn background(cx: &mut Builder<'_>, n: usize) {
    for i in 0..n as u64 {
        let mut draw = cx.draw("kind", i);
        let actor = if draw.chance(0.82) { person(cx, i) } else { company(cx, i) };
        cx.act(actor);
    }
}

fn person(cx: &mut Builder<'_>, i: u64) -> Actor {
    let mut draw = cx.draw("person", i);
    let account = cx.person(None);
    let country = account.country;
    let account = cx.add(account);
    let mut places = vec![home(country, &mut draw)];
    if draw.chance(0.5) {
        places.push(mobile(country, &mut draw));
    }
    let client = browser(&mut draw);
    Actor {
        // Half of all people ask less than once a day, a few a great deal.
        per_day: draw.skewed([0.1, 0.9, 4.0, 16.0]),
        chats: true,
        places,
        clients: if draw.chance(0.3) { vec![client, APP] } else { vec![client] },
        ..cx.actor(account, chat(country.tongue))
    }
}

fn company(cx: &mut Builder<'_>, i: u64) -> Actor {
    let mut draw = cx.draw("company", i);
    let account = cx.company(None);
    let offset = account.country.utc_offset;
    let account = cx.add(account);
    // The purpose, the rule of what comes in, and the tokens that go out.
    let (purpose, input, out) = draw.pick(&[
        ("house.support", "support", [20.0, 120.0, 260.0, 700.0]),
        ("house.extract", "invoice", [30.0, 80.0, 150.0, 300.0]),
        ("house.classify", "ticket", [1.0, 3.0, 6.0, 20.0]),
        ("house.shop", "product", [60.0, 180.0, 300.0, 600.0]),
        ("house.legal", "clause", [80.0, 260.0, 500.0, 1_200.0]),
        ("house.assistant", "meeting", [40.0, 160.0, 320.0, 900.0]),
    ]);
    let system = house(purpose, &mut draw);
    let model = draw.pick(&[LARGE, SMALL, SMALL]);
    let ask = asks(move |draw, _| {
        let output = draw.skewed(out);
        Call::from_program(model, &system, text(input, draw), output)
    });
    Actor {
        per_day: draw.skewed([2.0, 18.0, 120.0, 900.0]),
        rhythm: draw
            .pick(&[Rhythm::Service(offset), Rhythm::Office(offset), Rhythm::Flat].map(Some))
            .unwrap_or(Rhythm::Flat),
        clients: vec![library(&mut draw)],
        places: vec![any_cloud(&mut draw), any_cloud(&mut draw)],
        users: draw.pick(&[0, 0, 60, 900]),
        ..cx.actor(account, ask)
    }
}
