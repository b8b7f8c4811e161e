//! F3. Back-ends that work through what the day left, by night and in bulk, through the batch interface, and name no end
//! users: texts for a shop, papers of an office, letters of a clinic, bedtime stories for an app.

use crate::simulate::actor::{Actor, Call, LARGE, SMALL};
use crate::simulate::builder::{Builder, asks, house, text};
use crate::simulate::client::library;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::any_cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    // Purpose, what comes in, tokens out, calls a day, model.
    let kinds = [
        ("house.shop", "product", [60.0, 190.0, 320.0, 520.0], 170.0, SMALL),
        ("house.extract", "invoice", [30.0, 80.0, 160.0, 320.0], 170.0, SMALL),
        ("house.clinic", "letter", [120.0, 260.0, 420.0, 800.0], 90.0, LARGE),
        ("house.assistant", "story", [300.0, 900.0, 1_300.0, 1_900.0], 60.0, LARGE),
    ];
    for (i, (purpose, input, out, per_day, model)) in kinds.into_iter().enumerate() {
        let mut draw = cx.draw("back-end", i as u64);
        let mut account = cx.company(None);
        if purpose == "house.clinic" {
            account.entitlements = vec!["healthcare_addendum"];
        }
        let account = cx.add(account);
        let system = house(purpose, &mut draw);
        let clinic = purpose == "house.clinic";
        let ask = asks(move |draw, _| {
            let output = draw.skewed(out);
            Call {
                batch: true,
                phi: clinic.then_some(true),
                use_case: clinic.then_some("healthcare"),
                human_review: clinic.then_some(true),
                ..Call::from_program(model, &system, text(input, draw), output)
            }
        });
        let actor = Actor {
            rhythm: Rhythm::Batch { minute: 21 * 60 + draw.between(0, 120), minutes: 50 },
            per_day,
            clients: vec![library(&mut draw)],
            places: vec![any_cloud(&mut draw), any_cloud(&mut draw)],
            ..cx.actor(account, ask)
        };
        cx.act(actor);
    }
}
