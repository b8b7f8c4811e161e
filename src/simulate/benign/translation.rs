//! F13. A vendor translates for its customers between fourteen languages, by one program and in bulk, and its staff checks
//! the wording.

use crate::simulate::actor::{Actor, Call, SMALL};
use crate::simulate::builder::{Builder, asks, house, text};
use crate::simulate::client::library;
use crate::simulate::grammar::GRAMMAR;
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::any_cloud;

/// Rule of the grammar, name of the language, header.
const TONGUES: [(&str, &str, &str); 14] = [
    ("de", "German", "de-DE"),
    ("fr", "French", "fr-FR"),
    ("es", "Spanish", "es-ES"),
    ("pt", "Portuguese", "pt-PT"),
    ("it", "Italian", "it-IT"),
    ("pl", "Polish", "pl-PL"),
    ("tr", "Turkish", "tr-TR"),
    ("nl", "Dutch", "nl-NL"),
    ("sv", "Swedish", "sv-SE"),
    ("id", "Indonesian", "id-ID"),
    ("ja", "Japanese", "ja-JP"),
    ("hi", "Hindi", "hi-IN"),
    ("vi", "Vietnamese", "vi-VN"),
    ("uk", "Ukrainian", "uk-UA"),
];

pub(super) fn build(cx: &mut Builder<'_>) {
    for (i, per_day) in [(0, 430.0), (1, 110.0)] {
        let mut draw = cx.draw("vendor", i);
        let account = cx.company(None);
        let offset = account.country.utc_offset;
        let account = cx.add(account);
        let system = house("house.translate", &mut draw);
        let ask = asks(move |draw, _| {
            let (rule, _, _) = draw.pick(&TONGUES);
            let (_, target, _) = draw.pick(&TONGUES);
            let source = match draw.chance(0.4) {
                true => text("paragraph", draw),
                false => GRAMMAR.texts(rule, 2 + draw.below(5), " ", draw),
            };
            let prompt = format!("The answer must be in {target}.\n\n{source}");
            let output = prompt.chars().count() as f64 / 3.4;
            Call { temperature: 0.0, ..Call::from_program(SMALL, &system, prompt, output) }
        });
        let actor = Actor {
            rhythm: Rhythm::Office(offset),
            per_day,
            clients: vec![library(&mut draw)],
            places: vec![any_cloud(&mut draw)],
            users: 60,
            languages: TONGUES.iter().map(|(_, _, header)| *header).collect(),
            ..cx.actor(account, ask)
        };
        cx.act(actor);
    }
}
