//! F4. Thirty companies answer from their own documents with the default prompt of one framework, so that strangers share a
//! template; one of them reads its whole index anew on one day.

use crate::simulate::actor::{Actor, Call, LARGE, SMALL};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::library;
use crate::simulate::rhythm::{HOUR_MS, Rhythm};
use crate::simulate::world::any_cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    cx.lists().publish("public.rag");
    for i in 0..30 {
        let mut draw = cx.draw("company", i);
        let account = cx.company(None);
        let offset = account.country.utc_offset;
        let account = cx.add(account);
        let model = draw.pick(&[LARGE, SMALL]);
        let ask = asks(move |draw, _| {
            let (default, notes) = (text("public.rag", draw), text("notes", draw));
            let prompt = format!("{default}\n\n{notes}\n\nQuestion: {}", text("support", draw));
            let output = draw.skewed([15.0, 90.0, 190.0, 400.0]);
            Call::from_program(model, &"".into(), prompt, output)
        });
        let actor = Actor {
            rhythm: Rhythm::Service(offset),
            per_day: draw.skewed([4.0, 12.0, 28.0, 60.0]),
            clients: vec![library(&mut draw)],
            places: vec![any_cloud(&mut draw)],
            users: 40,
            ..cx.actor(account, ask.clone())
        };
        cx.act(actor);
        if i == 0 {
            let from_ms = cx.middle_ms() + 9 * HOUR_MS;
            let backfill = Actor {
                rhythm: Rhythm::Once { from_ms, until_ms: from_ms + 6 * HOUR_MS },
                per_day: 1_300.0,
                clients: vec![library(&mut draw)],
                places: vec![any_cloud(&mut draw)],
                ..cx.actor(account, ask)
            };
            cx.act(backfill);
        }
    }
}
