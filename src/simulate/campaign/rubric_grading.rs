//! Grades for pairs of answers, as training by reward needs them: several organisations on one card.

use super::{Member, Templates, join};
use crate::simulate::actor::{Actor, Call, LARGE, Roam};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::library;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    let templates = Templates::of(cx, "campaign.grading", 2);
    let mut common = cx.draw("common", 0);
    let card = common.name("card_", 12);
    let (client, which) = (library(&mut common), common.below(7));
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let templates = templates.clone();
        let ask = asks(move |draw, moment| {
            let prompt = format!(
                "{}\n\nRequest: {}\n\nFirst text: {}\n\nSecond text: {}",
                templates.wording(moment.n as usize, draw),
                text("ask", draw),
                text("paragraph", draw),
                text("paragraph", draw)
            );
            let output = draw.skewed([8.0, 30.0, 80.0, 160.0]);
            Call { json: true, stream: false, temperature: 0.0, max_tokens: 300, ..Call::of(LARGE, prompt, output) }
        });
        let mut account = cx.company(None);
        account.card = Some(card.clone());
        account.bin_class = "virtual";
        let member = Member {
            account,
            clients: vec![client],
            places: vec![cloud(which, draw.below(64) as u32, &mut draw)],
            roam: Roam::Session,
            per_day: 240.0,
        };
        let actor = Actor { rhythm: Rhythm::Flat, ..join(cx, i, member, 0.0, ask) };
        cx.act(actor);
    }
}
