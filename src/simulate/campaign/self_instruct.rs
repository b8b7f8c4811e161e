//! Sets of tasks with their answers, a dozen to each call, each led in by a few samples.

use super::{Member, Templates, join};
use crate::simulate::actor::{Actor, Call, LARGE, Roam};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::library;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::any_cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    let templates = Templates::of(cx, "campaign.tasks", 2);
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let templates = templates.clone();
        let ask = asks(move |draw, moment| {
            let samples: Vec<String> = (0..3).map(|_| text("ask", draw)).collect();
            let prompt = format!("{}\n{}", templates.wording(moment.n as usize, draw), samples.join("\n"));
            let output = draw.skewed([700.0, 1_600.0, 2_300.0, 3_000.0]);
            Call { temperature: 1.0, stream: false, ..Call::of(LARGE, prompt, output) }
        });
        let member = Member {
            account: cx.company(None),
            clients: vec![library(&mut draw)],
            places: vec![any_cloud(&mut draw), any_cloud(&mut draw)],
            roam: Roam::Session,
            per_day: 620.0,
        };
        let actor = Actor { rhythm: Rhythm::Flat, ..join(cx, i, member, 0.0, ask) };
        cx.act(actor);
    }
}
