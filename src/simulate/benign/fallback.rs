//! F7. A product keeps two accounts, and its router takes the second within seconds whenever the first is told to slow down:
//! one company, one card, one program, the same prompts.

use crate::simulate::actor::{Actor, Call, Moment, SMALL};
use crate::simulate::builder::{Builder, asks, house, text};
use crate::simulate::client::GATEWAY;
use crate::simulate::draw::Draw;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::cloud;

/// Each so many-th call is told to slow down.
const REFUSED_EACH: u64 = 9;

pub(super) fn build(cx: &mut Builder<'_>) {
    let mut draw = cx.draw("router", 0);
    let mut first = cx.company(None);
    first.bin_class = "corporate";
    let offset = first.country.utc_offset;
    let mut second = cx.company(Some(first.country));
    second.org.clone_from(&first.org);
    second.card.clone_from(&first.card);
    second.bin_class = first.bin_class;
    let (first, second) = (cx.add(first), cx.add(second));
    let system = house("house.support", &mut draw);
    let places = vec![cloud(2, 8, &mut draw), cloud(2, 12, &mut draw)];
    for (account, is_first) in [(first, true), (second, false)] {
        let system = system.clone();
        let ask = asks(move |draw: &mut Draw, moment: &Moment| {
            let refused = moment.n.is_multiple_of(REFUSED_EACH);
            let output = draw.skewed([20.0, 110.0, 260.0, 600.0]);
            let call = Call::from_program(SMALL, &system, text("support", draw), output);
            Call { status: (refused && is_first).then_some(429), ..call }
        });
        let mut actor = Actor {
            rhythm: Rhythm::Service(offset),
            per_day: 430.0,
            repeats: (!is_first).then_some((REFUSED_EACH, 1_800)),
            clients: vec![GATEWAY],
            places: places.clone(),
            users: 500,
            ..cx.actor(account, ask)
        };
        // One name, so that the second sends what the first was refused.
        actor.name = "F7/router".to_string();
        cx.act(actor);
    }
}
