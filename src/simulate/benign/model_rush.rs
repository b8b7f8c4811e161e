//! F9. A model is released in the middle, and within a day everybody tries it with the riddles that everybody knows, beside
//! what they asked before.

use crate::simulate::actor::{Actor, Call, NEXT};
use crate::simulate::builder::{Builder, asks, chat, text};
use crate::simulate::client::library;
use crate::simulate::rhythm::{DAY_MS, HOUR_MS, Rhythm};
use crate::simulate::world::{any_cloud, home};

pub(super) fn build(cx: &mut Builder<'_>) {
    cx.lists().publish("public.riddle");
    let released_ms = cx.middle_ms() + 15 * HOUR_MS;
    for i in 0..48 {
        let mut draw = cx.draw("customer", i);
        let account = if i % 3 == 0 { cx.company(None) } else { cx.person(None) };
        let country = account.country;
        let account = cx.add(account);
        let before = Actor { per_day: 3.0, chats: true, ..cx.actor(account, chat(country.tongue)) };
        cx.act(before);
        let program = i % 3 == 0;
        let ask = asks(move |draw, _| {
            let prompt = match draw.chance(0.6) {
                true => text("public.riddle", draw),
                false => text("exam", draw),
            };
            let output = draw.skewed([60.0, 320.0, 900.0, 2_500.0]);
            Call { released_ms: Some(released_ms), stream: !program, ..Call::of(NEXT, prompt, output) }
        });
        let rush = Actor {
            // The evening of the release and the day after it, each with its share.
            rhythm: Rhythm::Once { from_ms: released_ms, until_ms: released_ms + DAY_MS / 3 },
            per_day: draw.skewed([8.0, 34.0, 90.0, 170.0]),
            from_ms: released_ms,
            clients: if program { vec![library(&mut draw)] } else { before_client(&mut draw) },
            places: if program { vec![any_cloud(&mut draw)] } else { vec![home(country, &mut draw)] },
            ..cx.actor(account, ask)
        };
        cx.act(rush);
    }
}

fn before_client(draw: &mut crate::simulate::draw::Draw) -> Vec<crate::simulate::client::Client> {
    vec![crate::simulate::client::browser(draw)]
}
