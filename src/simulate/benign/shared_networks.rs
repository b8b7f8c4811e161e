//! F17. Many strangers behind few addresses: customers of a mobile carrier, and people who use VPNs for their privacy and
//! leave them in another country every day.

use crate::simulate::actor::{Actor, Roam};
use crate::simulate::builder::{Builder, chat};
use crate::simulate::client::{APP, browser};
use crate::simulate::world::{home, mobile, named, vpn};

pub(super) fn build(cx: &mut Builder<'_>) {
    for i in 0..54 {
        let mut draw = cx.draw("carrier", i);
        let country = named(draw.pick(&["IN", "ID", "NG"]));
        let account = cx.person(Some(country));
        let account = cx.add(account);
        let actor = Actor {
            per_day: draw.skewed([0.5, 2.6, 6.0, 16.0]),
            chats: true,
            clients: vec![browser(&mut draw), APP],
            places: vec![mobile(country, &mut draw), home(country, &mut draw)],
            ..cx.actor(account, chat(country.tongue))
        };
        cx.act(actor);
    }
    for i in 0..32 {
        let mut draw = cx.draw("vpn", i);
        let account = cx.person(None);
        let tongue = account.country.tongue;
        let account = cx.add(account);
        let actor = Actor {
            per_day: draw.skewed([0.5, 2.6, 7.0, 18.0]),
            chats: true,
            clients: vec![browser(&mut draw)],
            places: (0..8).map(|_| vpn(&mut draw)).collect(),
            roam: if draw.chance(0.5) { Roam::Day } else { Roam::Session },
            ..cx.actor(account, chat(tongue))
        };
        cx.act(actor);
    }
}
