//! Access sold on: strangers in many languages, each with the program of his choice, on a plan that does not allow it.

use super::{Member, join};
use crate::simulate::actor::{Actor, Call, Roam};
use crate::simulate::builder::{Builder, asks, chat_call};
use crate::simulate::client::RELAYS;
use crate::simulate::grammar::GRAMMAR;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::{COUNTRIES, UNSUPPORTED, any_cloud};

pub(super) fn build(cx: &mut Builder<'_>) {
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let ask = asks(|draw, moment| {
            let country =
                COUNTRIES.get(moment.user.unwrap_or(0) as usize % COUNTRIES.len()).copied().unwrap_or_default();
            let call = chat_call(country.tongue, draw, moment);
            if draw.chance(0.5) {
                let system = GRAMMAR.text("public.persona", draw);
                return Call { system: Some(system.into()), ..call };
            }
            call
        });
        let mut account = cx.person(None);
        account.plan = "pay_as_you_go";
        account.card = Some(draw.name("card_", 12));
        let member = Member {
            account,
            clients: RELAYS.to_vec(),
            places: vec![any_cloud(&mut draw), any_cloud(&mut draw)],
            roam: Roam::Session,
            per_day: 260.0,
        };
        let actor = Actor {
            rhythm: Rhythm::Flat,
            chats: true,
            users: 1_200,
            languages: COUNTRIES.iter().chain(&UNSUPPORTED).map(|c| c.language).collect(),
            ..join(cx, i, member, 0.0, ask)
        };
        cx.act(actor);
    }
}
