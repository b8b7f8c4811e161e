//! F11. People paste the long prompts that they found on web pages, and small companies run an agent framework with its
//! default prompt. Nobody has to do with anybody.

use crate::simulate::actor::{Actor, Call, LARGE};
use crate::simulate::builder::{Builder, asks, chat_call, text};
use crate::simulate::client::library;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::any_cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    cx.lists().publish("public.persona");
    cx.lists().publish("public.agent");
    for i in 0..70 {
        let account = cx.person(None);
        let tongue = account.country.tongue;
        let account = cx.add(account);
        let ask = asks(move |draw, moment| {
            if moment.turn > 0 || draw.chance(0.35) {
                return chat_call(tongue, draw, moment);
            }
            let prompt = format!("{} {}", text("public.persona", draw), text("topic", draw));
            let output = draw.skewed([40.0, 260.0, 620.0, 1_500.0]);
            Call::of(LARGE, prompt, output)
        });
        let mut draw = cx.draw("person", i);
        let actor = Actor { per_day: draw.skewed([0.4, 2.4, 6.0, 14.0]), chats: true, ..cx.actor(account, ask) };
        cx.act(actor);
    }
    for i in 0..26 {
        let mut draw = cx.draw("agent", i);
        let account = cx.company(None);
        let offset = account.country.utc_offset;
        let account = cx.add(account);
        let ask = asks(|draw, _| {
            let prompt = format!("{}\n\nGoal: {}", text("public.agent", draw), text("ask", draw));
            let output = draw.skewed([20.0, 110.0, 240.0, 700.0]);
            Call { tools: 6, ..Call::from_program(LARGE, &"".into(), prompt, output) }
        });
        let actor = Actor {
            rhythm: Rhythm::Service(offset),
            per_day: draw.skewed([2.0, 7.0, 16.0, 40.0]),
            clients: vec![library(&mut draw)],
            places: vec![any_cloud(&mut draw)],
            ..cx.actor(account, ask)
        };
        cx.act(actor);
    }
}
