//! F2. A company makes training data with the provider's written permission: in bulk, from a few templates, with long
//! answers. Registry and list of permissions both say so.

use crate::simulate::actor::{Actor, Call, LARGE};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::library;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::any_cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    let mut first = cx.company(None);
    first.plan = "enterprise";
    first.org_verified = true;
    first.entitlements = vec!["synthetic_data"];
    cx.lists().permitted.insert((first.org.clone(), "synthetic_data"));
    let mut draw = cx.draw("templates", 0);
    let templates = [
        "Write ten training examples for a classifier of messages about this. One a line, label first.\n\n".to_string(),
        "Write a dialogue between a customer and a clerk as training data for our own model. What happened:\n\n"
            .to_string(),
        format!("Say this in seven other ways, for the training set of {}.\n\n", text("brand", &mut draw)),
    ];
    for i in 0..2 {
        let mut account = cx.company(Some(first.country));
        account.org.clone_from(&first.org);
        account.card.clone_from(&first.card);
        account.bin_class = "corporate";
        account.plan = first.plan;
        account.org_verified = true;
        account.entitlements = first.entitlements.clone();
        let account = cx.add(account);
        let templates = templates.clone();
        let ask = asks(move |draw, _| {
            let prompt = draw.pick(&templates) + &text("note", draw);
            let output = draw.skewed([200.0, 520.0, 900.0, 1_800.0]);
            Call { temperature: 1.0, ..Call::from_program(LARGE, &"".into(), prompt, output) }
        });
        let mut draw = cx.draw("place", i);
        let actor = Actor {
            rhythm: Rhythm::Flat,
            per_day: 290.0,
            clients: vec![library(&mut draw)],
            places: vec![any_cloud(&mut draw)],
            ..cx.actor(account, ask)
        };
        cx.act(actor);
    }
}
