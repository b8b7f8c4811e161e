//! F6. An enterprise sends everything through a gateway of its own that passes on what its programs call themselves: one
//! account and key, nine programs, 600 people, sites in six countries. It declared the addresses of the gateway.

use crate::simulate::actor::{Actor, Call, Roam};
use crate::simulate::builder::{Builder, asks, chat_call, text};
use crate::simulate::client::{BROWSERS, EDITORS, GATEWAY, LIBRARIES};
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::{Kind, Place};

pub(super) fn build(cx: &mut Builder<'_>) {
    let mut account = cx.company(None);
    account.plan = "enterprise";
    account.bin_class = "corporate";
    account.org_verified = true;
    let offset = account.country.utc_offset;
    let account = cx.add(account);
    let sites = ["DE", "FR", "US", "IN", "BR", "JP"];
    let places = sites.iter().enumerate().map(|(i, country)| Place {
        ip: format!("203.0.113.{}", 10 + 4 * i),
        country,
        asn: 4_210_000_000 + i as i64,
        kind: Kind::Office,
    });
    cx.lists().gateways.insert("203.0.113.0/24".to_string());
    let mut clients: Vec<_> = EDITORS.to_vec();
    clients.extend(BROWSERS.iter().take(2).map(|(client, _)| *client));
    clients.extend(LIBRARIES.iter().take(2).map(|(client, _)| *client));
    clients.push(GATEWAY);
    let ask = asks(|draw, moment| {
        if draw.chance(0.5) {
            return chat_call("", draw, moment);
        }
        let output = draw.skewed([20.0, 160.0, 520.0, 1_600.0]);
        Call::of(crate::simulate::actor::LARGE, text("program", draw), output)
    });
    let actor = Actor {
        rhythm: Rhythm::Office(offset),
        per_day: 520.0,
        clients,
        places: places.collect(),
        roam: Roam::Session,
        users: 600,
        languages: vec!["de-DE", "fr-FR", "en-US", "en-IN", "pt-BR", "ja-JP", "es-ES", "it-IT"],
        ..cx.actor(account, ask)
    };
    cx.act(actor);
}
