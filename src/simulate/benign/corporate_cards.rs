//! F16. One card and many accounts: an enterprise gives each of its people one, a holding pays for its four companies, an
//! agency pays for its six customers.

use crate::simulate::actor::Actor;
use crate::simulate::builder::{Builder, chat};
use crate::simulate::client::{EDITORS, browser};
use crate::simulate::rhythm::Rhythm;
use crate::simulate::world::{home, office};

pub(super) fn build(cx: &mut Builder<'_>) {
    // How many organisations, and accounts of each.
    for (group, (n_orgs, n_accounts)) in [(1, 30), (4, 5), (6, 2)].into_iter().enumerate() {
        let payer = cx.company(None);
        let country = payer.country;
        let mut draw = cx.draw("group", group as u64);
        for org in 0..n_orgs {
            let name = draw.name("org_", 10);
            let gate = office(country, &mut draw);
            for i in 0..n_accounts {
                let mut draw = cx.draw("seat", (group * 1_000 + org * 100 + i) as u64);
                let mut account = cx.company(Some(country));
                account.org.clone_from(&name);
                account.card.clone_from(&payer.card);
                account.bin_class = "corporate";
                account.plan = "team";
                account.org_verified = true;
                let account = cx.add(account);
                let client = browser(&mut draw);
                let actor = Actor {
                    rhythm: Rhythm::Office(country.utc_offset),
                    per_day: draw.skewed([1.0, 4.0, 9.0, 20.0]),
                    chats: true,
                    clients: if draw.chance(0.4) { vec![client, draw.pick(&EDITORS)] } else { vec![client] },
                    places: vec![gate.clone(), home(country, &mut draw)],
                    ..cx.actor(account, chat(country.tongue))
                };
                cx.act(actor);
            }
        }
    }
}
