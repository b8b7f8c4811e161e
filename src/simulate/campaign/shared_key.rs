//! One key and a dozen people in as many places, each with a program of his own.

use super::{Member, join};
use crate::simulate::actor::{Actor, Roam};
use crate::simulate::builder::{Builder, chat};
use crate::simulate::client::{RELAYS, browser};
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::{home, mobile, somewhere};

pub(super) fn build(cx: &mut Builder<'_>) {
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let mut places = Vec::new();
        for _ in 0..12 {
            let country = somewhere(&mut draw);
            places.push(if draw.chance(0.3) { mobile(country, &mut draw) } else { home(country, &mut draw) });
        }
        let mut clients: Vec<_> = (0..6).map(|_| browser(&mut draw)).collect();
        clients.extend(RELAYS.iter().take(4).copied());
        let member = Member { account: cx.person(None), clients, places, roam: Roam::Call, per_day: 60.0 };
        let actor = Actor { rhythm: Rhythm::Flat, chats: true, ..join(cx, i, member, 0.0, chat("")) };
        cx.act(actor);
    }
}
