//! F12. A course of sixty signs up in one hour from one campus address on the same kind of machines, and works on one
//! assignment, on campus and at home. The accounts are their own: nothing says that they belong together.

use crate::simulate::actor::{Actor, Call, SMALL};
use crate::simulate::builder::{Builder, asks, chat_call, text};
use crate::simulate::client::{BROWSERS, browser};
use crate::simulate::rhythm::{HOUR_MS, MINUTE_MS, Rhythm};
use crate::simulate::world::{home, named, office};

pub(super) fn build(cx: &mut Builder<'_>) {
    let mut campus = cx.draw("campus", 0);
    let country = named("NL");
    let gate = office(country, &mut campus);
    let lab = BROWSERS.first().map(|(client, _)| *client).unwrap_or_default();
    let lesson_ms = cx.start_ms() + 13 * HOUR_MS;
    let (first_ms, end_ms) = (cx.start_ms(), cx.end_ms());
    for i in 0..60 {
        let mut draw = cx.draw("student", i);
        let mut account = cx.person(Some(country));
        account.plan = "free";
        account.card = None;
        account.email_class = "edu";
        account.created_ms = lesson_ms + draw.between(0, 50 * MINUTE_MS);
        account.signup = Some((lab, gate.clone()));
        let account = cx.add(account);
        let ask = asks(move |draw, moment| {
            if moment.turn > 0 || draw.chance(0.25) {
                return chat_call("", draw, moment);
            }
            let prompt = format!("{}\n\n{}", text("public.assignment", draw), text("mine", draw));
            let output = draw.skewed([60.0, 240.0, 460.0, 900.0]);
            Call::of(SMALL, prompt, output)
        });
        for (day, per_day) in [(0, 3.0), (2, 3.5), (6, 3.5)] {
            let from_ms = first_ms + day * 24 * HOUR_MS + 13 * HOUR_MS;
            let lesson = Actor {
                rhythm: Rhythm::Once { from_ms, until_ms: (from_ms + 2 * HOUR_MS).min(end_ms) },
                per_day,
                clients: vec![lab],
                places: vec![gate.clone()],
                ..cx.actor(account, ask.clone())
            };
            cx.act(lesson);
        }
        let at_home = Actor {
            per_day: 2.1,
            chats: true,
            clients: vec![browser(&mut draw)],
            places: vec![home(country, &mut draw)],
            ..cx.actor(account, ask)
        };
        cx.act(at_home);
    }
}
