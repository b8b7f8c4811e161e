//! The same behind residential proxies: every account has a card and addresses of its own, in any country. What ties them is
//! one TLS stack of their own, the hour of their sign-ups, and what they ask; a third of it is ordinary chat.

use super::{Member, Templates, join};
use crate::simulate::actor::{Actor, Call, LARGE, Roam};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::CUSTOM;
use crate::simulate::rhythm::{HOUR_MS, Rhythm};
use crate::simulate::world::{home, somewhere};

pub(super) fn build(cx: &mut Builder<'_>) {
    let templates = Templates::of(cx, "campaign.engineer", 3);
    let opened_ms = cx.start_ms() + cx.draw("common", 0).between(1, 8) * HOUR_MS;
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let templates = templates.clone();
        let ask = asks(move |draw, moment| {
            let prompt = format!("{}\n\n{}", templates.wording(i + moment.n as usize, draw), text("program", draw));
            let output = draw.skewed([300.0, 900.0, 1_700.0, 2_800.0]);
            Call { tools: 4, ..Call::of(LARGE, prompt, output) }
        });
        let mut account = cx.person(None);
        account.card = Some(draw.name("card_", 12));
        account.bin_class = draw.pick(&["virtual", "prepaid", "consumer"]);
        account.email_class = draw.pick(&["freemail", "freemail", "disposable"]);
        account.plan = "plus";
        account.created_ms = opened_ms + draw.between(0, 5 * HOUR_MS);
        let places: Vec<_> = (0..6).map(|_| home(somewhere(&mut draw), &mut draw)).collect();
        account.signup = places.first().map(|place| (CUSTOM, place.clone()));
        let member = Member { account, clients: vec![CUSTOM], places, roam: Roam::Day, per_day: 19.0 };
        let actor = Actor { rhythm: Rhythm::Service(0), ..join(cx, i, member, 0.35, ask) };
        cx.act(actor);
    }
}
