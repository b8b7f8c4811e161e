//! F19. Bots of customer service: day and night, for end users in many languages, with one standing instruction.

use crate::simulate::actor::{Actor, Call, SMALL};
use crate::simulate::builder::{Builder, asks, house, text};
use crate::simulate::client::library;
use crate::simulate::grammar::GRAMMAR;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::{COUNTRIES, any_cloud};

pub(super) fn build(cx: &mut Builder<'_>) {
    for i in 0..3 {
        let mut draw = cx.draw("bot", i);
        let account = cx.company(None);
        let account = cx.add(account);
        let system = house("house.assistant", &mut draw);
        let ask = asks(move |draw, moment| {
            let country =
                COUNTRIES.get(moment.user.unwrap_or(0) as usize % COUNTRIES.len()).copied().unwrap_or_default();
            let prompt = match () {
                () if moment.turn > 0 && draw.chance(0.5) => text("follow", draw),
                () if country.tongue.is_empty() || draw.chance(0.3) => text("support", draw),
                () => GRAMMAR.texts(country.tongue, 1 + draw.below(3), " ", draw),
            };
            let output = draw.skewed([15.0, 90.0, 200.0, 500.0]);
            Call { ai_disclosure: Some(true), ..Call::from_program(SMALL, &system, prompt, output) }
        });
        let actor = Actor {
            rhythm: if i == 0 { Rhythm::Flat } else { Rhythm::Service(1) },
            per_day: 85.0,
            chats: true,
            clients: vec![library(&mut draw)],
            places: vec![any_cloud(&mut draw), any_cloud(&mut draw)],
            users: 3_000,
            languages: COUNTRIES.iter().map(|c| c.language).collect(),
            ..cx.actor(account, ask)
        };
        cx.act(actor);
    }
}
