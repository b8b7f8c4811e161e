//! F8. A company watches whether answers drift: the same dozen prompts every quarter of an hour, day and night, from five
//! accounts, one for each region that it serves.

use crate::simulate::actor::{Actor, Call, LARGE};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::library;
use crate::simulate::draw::Draw;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    let mut common = cx.draw("monitor", 0);
    let client = library(&mut common);
    let first = cx.company(None);
    for region in 0..5 {
        let mut account = cx.company(Some(first.country));
        account.org.clone_from(&first.org);
        account.card.clone_from(&first.card);
        account.bin_class = "corporate";
        account.org_verified = true;
        let account = cx.add(account);
        let ask = asks(|_, moment| {
            let prompt = text("exam", &mut Draw::of(8, "canary", &[moment.n % 12]));
            Call { temperature: 0.0, n: 1, max_tokens: 256, ..Call::from_program(LARGE, &"".into(), prompt, 120.0) }
        });
        let actor = Actor {
            rhythm: Rhythm::Even,
            per_day: 96.0,
            clients: vec![client],
            places: vec![cloud(4, region, &mut common)],
            ..cx.actor(account, ask)
        };
        cx.act(actor);
    }
}
