//! How the model came to its answers: exercises, and everything that it considered on the way.

use super::{Member, Templates, join};
use crate::simulate::actor::{Actor, Call, Roam, THINKING};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::library;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::any_cloud;

/// Accounts that share a card.
const ACCOUNTS_A_CARD: usize = 4;

pub(super) fn build(cx: &mut Builder<'_>) {
    let templates = Templates::of(cx, "campaign.reasoning", 3);
    let mut card = None;
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let templates = templates.clone();
        let ask = asks(move |draw, moment| {
            let prompt = format!("{}\n\n{}", text("exam", draw), templates.wording(moment.n as usize, draw));
            let output = draw.skewed([500.0, 1_500.0, 2_600.0, 4_000.0]);
            Call { n: 2, stream: false, ..Call::of(THINKING, prompt, output) }
        });
        let mut account = cx.company(None);
        if i % ACCOUNTS_A_CARD == 0 {
            card = account.card.clone();
        }
        account.card.clone_from(&card);
        account.bin_class = "virtual";
        let member = Member {
            account,
            clients: vec![library(&mut draw)],
            places: vec![any_cloud(&mut draw)],
            roam: Roam::Session,
            per_day: 125.0,
        };
        let actor = Actor { rhythm: Rhythm::Flat, ..join(cx, i, member, 0.0, ask) };
        cx.act(actor);
    }
}
