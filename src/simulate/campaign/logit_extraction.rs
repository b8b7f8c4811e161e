//! The odds of single tokens, swept over beginnings of texts with changing bias: the last layer of a model for a few dollars.

use super::{Member, join};
use crate::simulate::actor::{Actor, Call, Roam, SMALL};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::CUSTOM;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::any_cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let ask = asks(|draw, _| {
            let prompt: String = text("sentence", draw).chars().take(12 + draw.below(60)).collect();
            let biased = draw.chance(0.5);
            Call {
                max_tokens: 1,
                temperature: 1.0,
                top_logprobs: if biased { 5 } else { 20 },
                logit_bias: if biased { draw.between(60, 300) } else { 0 },
                stream: false,
                ..Call::of(SMALL, prompt, 1.0)
            }
        });
        let member = Member {
            account: cx.company(None),
            clients: vec![CUSTOM],
            places: vec![any_cloud(&mut draw)],
            roam: Roam::Session,
            per_day: 1_400.0,
        };
        let actor = Actor { rhythm: Rhythm::Flat, ..join(cx, i, member, 0.0, ask) };
        cx.act(actor);
    }
}
