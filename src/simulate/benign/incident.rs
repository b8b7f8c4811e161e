//! F15. For seventy minutes the service fails for everybody. Programs try again and again with the same prompt, all at the
//! same time, are told to slow down, and come back in the same minute.

use crate::simulate::actor::{Actor, Call, LARGE, SMALL};
use crate::simulate::builder::{Builder, asks, house, text};
use crate::simulate::client::library;
use crate::simulate::draw::Draw;
use crate::simulate::rhythm::{HOUR_MS, MINUTE_MS, Rhythm};
use crate::simulate::world::any_cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    let from_ms = cx.middle_ms() + 14 * HOUR_MS;
    let until_ms = from_ms + 70 * MINUTE_MS;
    for i in 0..26 {
        let mut draw = cx.draw("customer", i);
        let account = cx.company(None);
        let offset = account.country.utc_offset;
        let account = cx.add(account);
        let system = house("house.support", &mut draw);
        let common = system.clone();
        let ask = asks(move |draw, moment| {
            let output = draw.skewed([20.0, 110.0, 260.0, 600.0]);
            let call = Call::from_program(SMALL, &common, text("support", draw), output);
            let failing = (from_ms..until_ms).contains(&moment.at_ms);
            Call { status: failing.then(|| draw.pick(&[500, 503, 503, 504])), ..call }
        });
        let places = vec![any_cloud(&mut draw)];
        let clients = vec![library(&mut draw)];
        let ordinary = Actor {
            rhythm: Rhythm::Service(offset),
            per_day: draw.skewed([3.0, 11.0, 22.0, 40.0]),
            places: places.clone(),
            clients: clients.clone(),
            users: 80,
            ..cx.actor(account, ask)
        };
        cx.act(ordinary);
        let retried = asks(move |draw, moment| {
            // Some ten requests are under way, and each is sent many times.
            let waiting = moment.n % 10;
            let prompt = text("support", &mut Draw::of(15, "waiting", &[i, waiting]));
            let back = moment.at_ms >= until_ms;
            let status = if back { draw.pick(&[200, 200, 429]) } else { draw.pick(&[500, 503, 503, 504, 429]) };
            let model = draw.pick(&[SMALL, SMALL, LARGE]);
            Call { status: Some(status), ..Call::from_program(model, &system, prompt, 120.0) }
        });
        let storm = Actor {
            rhythm: Rhythm::Once { from_ms, until_ms: until_ms + 12 * MINUTE_MS },
            per_day: draw.skewed([10.0, 60.0, 170.0, 330.0]),
            from_ms,
            until_ms: until_ms + 12 * MINUTE_MS,
            places,
            clients,
            ..cx.actor(account, retried)
        };
        cx.act(storm);
    }
}
