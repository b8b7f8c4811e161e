//! A customer's key is taken in the middle: somebody learns whether it lives and which models it opens, and hands it round.
//! The account is the victim and goes on as before.

use crate::simulate::account::Label;
use crate::simulate::actor::{Actor, Call, LARGE, NEXT, OLD, Roam, SMALL};
use crate::simulate::builder::{Builder, asks, chat_call, house, text};
use crate::simulate::client::{CUSTOM, RELAYS, library};
use crate::simulate::rhythm::{HOUR_MS, MINUTE_MS, Rhythm};
use crate::simulate::world::{any_cloud, home, somewhere, vpn};

pub(super) fn build(cx: &mut Builder<'_>) {
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let mut account = cx.company(None);
        account.label = Label::Victim;
        let offset = account.country.utc_offset;
        let system = house("house.support", &mut draw);
        let ordinary = asks(move |draw, _| {
            let output = draw.skewed([20.0, 110.0, 260.0, 600.0]);
            Call::from_program(SMALL, &system, text("support", draw), output)
        });
        let account = cx.add(account);
        let own = Actor {
            rhythm: Rhythm::Service(offset),
            per_day: 110.0,
            clients: vec![library(&mut draw)],
            places: vec![any_cloud(&mut draw)],
            attacks: false,
            ..cx.actor(account, ordinary)
        };
        cx.act(own);
        let taken_ms = cx.middle_ms() + draw.between(1, 20) * HOUR_MS;
        let factor = cx.adaptation.rate_factor.unwrap_or(1.0);
        let probes = asks(|draw, moment| {
            if moment.n < 3 {
                return Call {
                    max_tokens: -1,
                    status: Some(400),
                    ..Call::of(SMALL, text("campaign.probe", draw), 0.0)
                };
            }
            let model = draw.pick(&[LARGE, SMALL, OLD, NEXT, "meridian-4-vision", "meridian-5-preview", "claro-7"]);
            let open = [LARGE, SMALL, OLD].contains(&model);
            Call { status: Some(if open { 200 } else { 404 }), ..Call::of(model, text("campaign.probe", draw), 4.0) }
        });
        let prober = Actor {
            rhythm: Rhythm::Once { from_ms: taken_ms, until_ms: taken_ms + 20 * MINUTE_MS },
            per_day: 40.0,
            from_ms: taken_ms,
            clients: vec![CUSTOM],
            places: vec![vpn(&mut draw)],
            ..cx.actor(account, probes)
        };
        cx.act(prober);
        let mut places: Vec<_> = (0..7).map(|_| vpn(&mut draw)).collect();
        places.extend((0..5).map(|_| home(somewhere(&mut draw), &mut draw)));
        let strangers = Actor {
            rhythm: Rhythm::Flat,
            per_day: 150.0 * factor,
            chats: true,
            from_ms: taken_ms + HOUR_MS,
            clients: RELAYS.to_vec(),
            places,
            roam: Roam::Call,
            ..cx.actor(account, asks(|draw, moment| chat_call("", draw, moment)))
        };
        cx.act(strangers);
    }
}
