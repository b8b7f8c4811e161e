//! Many small accounts that act as one: opened within two hours by one program, seven to a card, in three networks of one
//! cloud, each no busier than an ordinary customer.

use super::{Member, Templates, join};
use crate::simulate::actor::{Actor, Call, LARGE, Roam};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::CUSTOM;
use crate::simulate::rhythm::{HOUR_MS, Rhythm};
use crate::simulate::world::cloud;

/// Accounts that share a card.
const ACCOUNTS_A_CARD: usize = 7;

pub(super) fn build(cx: &mut Builder<'_>) {
    let templates = Templates::of(cx, "campaign.answer", 2);
    let mut common = cx.draw("common", 0);
    let which = common.below(7);
    let networks: Vec<u32> = (0..3).map(|_| common.below(64) as u32).collect();
    let opened_ms = cx.start_ms() + common.between(1, 8) * HOUR_MS;
    let mut card = String::new();
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let templates = templates.clone();
        let ask = asks(move |draw, moment| {
            let prompt = format!("{}\n\n{}", templates.wording(i + moment.n as usize, draw), text("chat", draw));
            let output = draw.skewed([180.0, 640.0, 1_200.0, 2_000.0]);
            Call { stream: false, ..Call::of(LARGE, prompt, output) }
        });
        let mut account = cx.company(None);
        if i % ACCOUNTS_A_CARD == 0 {
            card = draw.name("card_", 12);
        }
        let places: Vec<_> = (0..2).map(|_| cloud(which, draw.pick(&networks), &mut draw)).collect();
        account.card = Some(card.clone());
        account.bin_class = "virtual";
        account.email_class = draw.pick(&["freemail", "disposable"]);
        account.verification = "mail";
        account.org_verified = false;
        account.plan = "pay_as_you_go";
        account.created_ms = opened_ms + draw.between(0, 2 * HOUR_MS);
        account.signup = places.first().map(|place| (CUSTOM, place.clone()));
        let member = Member { account, clients: vec![CUSTOM], places, roam: Roam::Session, per_day: 24.0 };
        let actor = Actor { rhythm: Rhythm::Even, ..join(cx, i, member, 0.1, ask) };
        cx.act(actor);
    }
}
