//! Voices of people who do not exist: praise for offers and anger at plans, in bulk, from accounts on one card behind VPNs.

use super::{Member, Templates, join};
use crate::simulate::actor::{Actor, Call, Roam, SMALL};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::library;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::vpn;

pub(super) fn build(cx: &mut Builder<'_>) {
    let templates = Templates::of(cx, "campaign.voice", 4);
    let card = cx.draw("common", 0).name("card_", 12);
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let templates = templates.clone();
        let ask = asks(move |draw, moment| {
            let prompt =
                format!("{} It is about: {}", templates.wording(moment.n as usize, draw), text("product", draw));
            let output = draw.skewed([30.0, 70.0, 130.0, 240.0]);
            Call { temperature: 1.0, max_tokens: 300, stream: false, ..Call::of(SMALL, prompt, output) }
        });
        let mut account = cx.person(None);
        account.card = Some(card.clone());
        account.plan = "pay_as_you_go";
        let member = Member {
            account,
            clients: vec![library(&mut draw)],
            places: (0..2).map(|_| vpn(&mut draw)).collect(),
            roam: Roam::Session,
            per_day: 190.0,
        };
        let actor = Actor { rhythm: Rhythm::Office(3), ..join(cx, i, member, 0.0, ask) };
        cx.act(actor);
    }
}
