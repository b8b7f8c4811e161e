//! F5. One company, one key, and a runner for every change: the fixtures of the tests are sent again and again, from several
//! regions of a cloud, from a second cloud, and from a machine in the office. Developers have keys of their own. The library
//! was updated in the middle.

use crate::simulate::actor::{Actor, Call, LARGE, SMALL};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::LIBRARIES;
use crate::simulate::draw::Draw;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::{cloud, home, office};

/// How many prompts the tests hold.
const FIXTURES: usize = 40;

pub(super) fn build(cx: &mut Builder<'_>) {
    let mut draw = cx.draw("runners", 0);
    let mut account = cx.company(None);
    account.bin_class = "corporate";
    let (offset, country) = (account.country.utc_offset, account.country);
    let account = cx.add(account);
    let ask = asks(|draw, _| {
        let mut fixture = Draw::of(5, "fixture", &[draw.below(FIXTURES) as u64]);
        let prompt = text("program", &mut fixture);
        let output = draw.skewed([10.0, 90.0, 240.0, 900.0]);
        Call { temperature: 0.0, tools: 3, ..Call::from_program(SMALL, &"".into(), prompt, output) }
    });
    let mut places: Vec<_> = (0..24).map(|n| cloud(1, n, &mut draw)).collect();
    places.extend((0..6).map(|n| cloud(5, n * 4, &mut draw)));
    places.push(office(country, &mut draw));
    let middle_ms = cx.middle_ms();
    for (from_ms, until_ms, at) in [(cx.start_ms(), middle_ms, 1), (middle_ms, cx.end_ms(), 0)] {
        let runners = Actor {
            rhythm: Rhythm::Bursts { utc_offset: offset, n: 14, minutes: 6 },
            per_day: 480.0,
            from_ms,
            until_ms,
            clients: LIBRARIES.get(at).map(|(client, _)| *client).into_iter().collect(),
            places: places.clone(),
            roam: crate::simulate::actor::Roam::Call,
            ..cx.actor(account, ask.clone())
        };
        cx.act(runners);
    }
    for i in 0..6 {
        let mut draw = cx.draw("laptop", i);
        let developer = asks(|draw, _| {
            let output = draw.skewed([40.0, 240.0, 700.0, 1_900.0]);
            Call::of(LARGE, text("program", draw), output)
        });
        let laptop = Actor {
            key: Some(draw.name("key_", 12)),
            rhythm: Rhythm::Office(offset),
            per_day: 9.0,
            clients: LIBRARIES.first().map(|(client, _)| *client).into_iter().collect(),
            places: vec![home(country, &mut draw)],
            ..cx.actor(account, developer)
        };
        cx.act(laptop);
    }
}
