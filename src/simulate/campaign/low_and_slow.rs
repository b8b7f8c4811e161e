//! One subject after the other, a few long answers a day from each account, with nothing in common but the wording.

use super::{Member, Templates, join};
use crate::simulate::actor::{Actor, Call, LARGE, Roam};
use crate::simulate::builder::{Builder, asks, text};
use crate::simulate::client::{browser, library};
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::home;

pub(super) fn build(cx: &mut Builder<'_>) {
    let templates = Templates::of(cx, "campaign.lesson", 2);
    for i in 0..cx.accounts {
        let mut draw = cx.draw("place", i as u64);
        let templates = templates.clone();
        let ask = asks(move |draw, moment| {
            let subject = format!("{} ({} {})", text("topic", draw), text("verb", draw), text("thing", draw));
            let prompt = format!("{} Subject: {subject}.", templates.wording(i + moment.n as usize, draw));
            let output = draw.skewed([600.0, 1_300.0, 2_000.0, 2_800.0]);
            Call::of(LARGE, prompt, output)
        });
        let account = cx.person(None);
        let country = account.country;
        let member = Member {
            clients: vec![if draw.chance(0.5) { browser(&mut draw) } else { library(&mut draw) }],
            places: vec![home(country, &mut draw)],
            roam: Roam::Session,
            per_day: 11.0,
            account,
        };
        let actor = Actor { rhythm: Rhythm::People(country.utc_offset), ..join(cx, i, member, 0.0, ask) };
        cx.act(actor);
    }
}
