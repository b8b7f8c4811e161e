//! People from where the service is not offered, behind VPNs; now and then the VPN is off.

use super::{Member, join};
use crate::simulate::actor::{Actor, Roam};
use crate::simulate::builder::{Builder, chat};
use crate::simulate::client::browser;
use crate::simulate::world::{home, nowhere, vpn};

pub(super) fn build(cx: &mut Builder<'_>) {
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let country = nowhere(&mut draw);
        let mut account = cx.person(Some(country));
        account.billing = draw.chance(0.7).then_some(country.code);
        let mut places: Vec<_> = (0..6).map(|_| vpn(&mut draw)).collect();
        places.push(home(country, &mut draw));
        let member = Member { account, clients: vec![browser(&mut draw)], places, roam: Roam::Session, per_day: 12.0 };
        let actor = Actor { chats: true, ..join(cx, i, member, 0.0, chat(country.tongue)) };
        cx.act(actor);
    }
}
