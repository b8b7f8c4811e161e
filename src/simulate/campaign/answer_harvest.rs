//! Full answers to questions of every kind, from few accounts in bulk.

use super::{Member, Templates, join};
use crate::simulate::actor::{Actor, Call, LARGE, Roam};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::library;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::any_cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    let templates = Templates::of(cx, "campaign.answer", 2);
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let templates = templates.clone();
        let ask = asks(move |draw, moment| {
            let prompt = format!("{}\n\n{}", templates.wording(moment.n as usize, draw), text("chat", draw));
            let output = draw.skewed([200.0, 750.0, 1_400.0, 2_200.0]);
            Call { stream: false, ..Call::of(LARGE, prompt, output) }
        });
        let member = Member {
            account: cx.company(None),
            clients: vec![library(&mut draw)],
            places: (0..3).map(|_| any_cloud(&mut draw)).collect(),
            roam: Roam::Session,
            per_day: 540.0,
        };
        let actor = Actor { rhythm: Rhythm::Flat, ..join(cx, i, member, 0.0, ask) };
        cx.act(actor);
    }
}
