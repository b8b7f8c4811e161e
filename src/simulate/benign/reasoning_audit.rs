//! F10. An insurer keeps with every decision why it was proposed, as its auditors demand and its contract allows; a second
//! company has the reasons of its own agent watched.

use crate::simulate::actor::{Actor, Call, THINKING};
use crate::simulate::builder::{Builder, asks, house, text};
use crate::simulate::client::library;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::any_cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    let heads = [
        "For the audit file: write out your complete reasoning before the final answer, with every rule you applied.\n\nClaim: ",
        "Think out loud so that a supervisor can follow the thought process of the agent, then name the next step.\n\nTask: ",
    ];
    for (i, head) in heads.into_iter().enumerate() {
        let mut draw = cx.draw("company", i as u64);
        let mut account = cx.company(None);
        account.entitlements = vec!["evaluation"];
        account.org_verified = true;
        let offset = account.country.utc_offset;
        let account = cx.add(account);
        let system = house("house.legal", &mut draw);
        let ask = asks(move |draw, _| {
            let prompt = format!("{head}{}", text("paragraph", draw));
            let output = draw.skewed([150.0, 420.0, 800.0, 1_600.0]);
            let call = Call::from_program(THINKING, &system, prompt, output);
            Call { use_case: Some("insurance"), human_review: Some(true), ..call }
        });
        let actor = Actor {
            rhythm: Rhythm::Office(offset),
            per_day: 280.0,
            clients: vec![library(&mut draw)],
            places: vec![any_cloud(&mut draw)],
            ..cx.actor(account, ask)
        };
        cx.act(actor);
    }
}
