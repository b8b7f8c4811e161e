//! F1. Teams measure models by night: the public benchmark that everybody runs, with its few-shot prefix; a company that has
//! the answers of its own product judged; and one that calibrates by the odds of single tokens, for which it has leave.

use crate::simulate::actor::{Actor, Call, LARGE, SMALL};
use crate::simulate::builder::{Builder, asks, house, text};
use crate::simulate::client::{HARNESS, library};
use crate::simulate::draw::Draw;
use crate::simulate::rhythm::{HOUR_MS, Rhythm};
use crate::simulate::world::any_cloud;

pub(super) fn build(cx: &mut Builder<'_>) {
    cx.lists().publish("public.shots");
    cx.lists().publish("public.choice");
    for i in 0..4 {
        benchmark(cx, i);
    }
    judge(cx);
    calibration(cx);
}

/// The same questions every night, of which each has its number; other companies run the same benchmark.
fn benchmark(cx: &mut Builder<'_>, i: u64) {
    let mut draw = cx.draw("benchmark", i);
    let company = cx.company(None);
    let account = cx.add(company);
    let ask = asks(|draw, moment| {
        let question = text("exam", &mut Draw::of(114, "benchmark question", &[moment.n]));
        let prompt = format!("{} {question}\nAnswer: let us go step by step.", text("public.shots", draw));
        let output = draw.skewed([40.0, 160.0, 300.0, 500.0]);
        Call {
            max_tokens: 512,
            temperature: 0.0,
            top_logprobs: 5,
            ..Call::from_program(LARGE, &"".into(), prompt, output)
        }
    });
    let minute = 60 + draw.between(0, 180);
    let actor = Actor {
        rhythm: Rhythm::Batch { minute, minutes: 45 },
        per_day: if i == 0 { 240.0 } else { 70.0 },
        clients: vec![HARNESS],
        places: vec![any_cloud(&mut draw)],
        ..cx.actor(account, ask)
    };
    cx.act(actor);
}

/// The judge of one company's own chat product: grades, but of one product and one organisation.
fn judge(cx: &mut Builder<'_>) {
    let mut draw = cx.draw("judge", 0);
    let company = cx.company(None);
    let account = cx.add(company);
    let product = text("brand", &mut draw);
    let system = std::sync::Arc::from(format!(
        "You check answers of the assistant of {product}. Use the rubric: correct, polite, complete."
    ));
    let ask = asks(move |draw, _| {
        let prompt = format!(
            "Customer: {}\nAssistant: {}\nGive each point of the rubric 1 to 5 and a reason in one sentence.",
            text("support", draw),
            text("note", draw)
        );
        let output = draw.skewed([30.0, 70.0, 110.0, 200.0]);
        Call { json: true, temperature: 0.0, ..Call::from_program(SMALL, &system, prompt, output) }
    });
    let actor = Actor {
        rhythm: Rhythm::Batch { minute: 200, minutes: 60 },
        per_day: 130.0,
        clients: vec![library(&mut draw)],
        places: vec![any_cloud(&mut draw)],
        ..cx.actor(account, ask)
    };
    cx.act(actor);
}

/// The odds of the letters of a multiple choice, on one night, with an agreement in the registry.
fn calibration(cx: &mut Builder<'_>) {
    let mut draw = cx.draw("calibration", 0);
    let mut account = cx.company(None);
    account.entitlements = vec!["evaluation"];
    let account = cx.add(account);
    let head = house("public.choice", &mut draw);
    let ask = asks(move |draw, _| {
        let prompt = format!("{head}\n\n{}\nAnswer:", text("choice", draw));
        Call { max_tokens: 1, temperature: 0.0, top_logprobs: 20, ..Call::from_program(SMALL, &"".into(), prompt, 1.0) }
    });
    let from_ms = cx.middle_ms() + HOUR_MS;
    let actor = Actor {
        rhythm: Rhythm::Once { from_ms, until_ms: from_ms + 5 * HOUR_MS },
        per_day: 1_250.0,
        clients: vec![HARNESS],
        places: vec![any_cloud(&mut draw)],
        ..cx.actor(account, ask)
    };
    cx.act(actor);
}
