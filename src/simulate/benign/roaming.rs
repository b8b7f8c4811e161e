//! F18. People under way: journeys over several countries, trains over a border twice a day, a business trip to a country in
//! which the service is not offered, phone and laptop on different networks.

use crate::simulate::actor::{Actor, Roam};
use crate::simulate::builder::{Builder, chat};
use crate::simulate::client::{APP, browser};
use crate::simulate::world::{Country, home, mobile, named, office, somewhere, vpn};

pub(super) fn build(cx: &mut Builder<'_>) {
    for i in 0..44 {
        let mut draw = cx.draw("traveller", i);
        let commuter = i % 4 == 1;
        let country: Option<Country> = commuter.then(|| named(draw.pick(&["DE", "FR", "CH", "NL"])));
        let account = cx.person(country);
        let country = account.country;
        let account = cx.add(account);
        let mut places = vec![home(country, &mut draw), mobile(country, &mut draw)];
        let roam = match i % 4 {
            // A journey: hotels and carriers of three countries, and back.
            0 => {
                for _ in 0..3 {
                    let there = somewhere(&mut draw);
                    places.extend([office(there, &mut draw), mobile(there, &mut draw)]);
                }
                places.push(home(country, &mut draw));
                Roam::Journey
            }
            // Over the border in the train: two carriers within the hour.
            1 => {
                let there = named(if country.code == "DE" { "FR" } else { "DE" });
                places.extend([mobile(there, &mut draw), office(there, &mut draw)]);
                Roam::Quarter
            }
            // A business trip to where the service is not offered, and that is under no embargo; the bill goes home.
            2 => {
                let there = named(draw.pick(&["CN", "HK", "BY"]));
                places.extend([
                    office(there, &mut draw),
                    vpn(&mut draw),
                    mobile(there, &mut draw),
                    home(country, &mut draw),
                ]);
                Roam::Journey
            }
            _ => Roam::Call,
        };
        let actor = Actor {
            per_day: draw.skewed([1.0, 4.0, 8.0, 16.0]),
            chats: true,
            clients: vec![browser(&mut draw), APP],
            places,
            roam,
            ..cx.actor(account, chat(country.tongue))
        };
        cx.act(actor);
    }
}
