//! Memory, as `docs/language.md` says it: every earlier event is looked at each time.

use fineprint::event::Kind;
use fineprint::hir::{Ask, Memory};
use fineprint::plan::FIRST_SEEN_KEEP;
use fineprint::time::Timestamp;
use fineprint::value::Truth;

use super::expr::{Interpreter, Scope, Val};
use super::window::Event;

/// An earlier event, or the one that asks.
struct Sighting {
    ts: Timestamp,
    value: Val,
    by: Val,
}

fn sighting(calc: &Interpreter<'_>, m: &Memory, event: &Event) -> Option<Sighting> {
    let scope = Scope::Event(event);
    let value = calc.value(&m.of, scope);
    let by = m.ask.by().map_or(Val::Bool(true), |by| calc.value(by, scope));
    (value.is_known() && by.is_known()).then(|| Sighting { ts: event.ts(), value, by })
}

/// The answer for an event. `history` are all events in the order in which they were applied.
pub fn answer(calc: &Interpreter<'_>, m: &Memory, event: &Event, kinds: &[Kind], history: &[&Event]) -> Truth {
    let Some(now) = sighting(calc, m, event) else { return Truth::Unknown };
    let earlier: Vec<Sighting> = history
        .iter()
        .take_while(|e| !std::ptr::eq(**e, event))
        .filter(|e| kinds.contains(&e.kind()))
        .filter_map(|e| sighting(calc, m, e))
        .collect();
    let from = now.ts.saturating_sub(m.within);
    let since = |s: &&Sighting| s.ts >= from;
    let same = || earlier.iter().filter(|s| s.value == now.value);
    let reaches = earlier.first().is_some_and(|s| s.ts <= from);
    let is_new = if reaches { Truth::True } else { Truth::Unknown };
    match &m.ask {
        Ask::SeenBefore => Truth::from(same().any(|s| since(&s))),
        Ask::SeenBeforeBy(_) => Truth::from(same().any(|s| since(&s) && s.by != now.by)),
        Ask::FirstSeen => {
            let keep = m.within.max(FIRST_SEEN_KEEP);
            let mut times: Vec<Timestamp> = same().map(|s| s.ts).chain([now.ts]).collect();
            // After a pause longer than that it is as if it had never been seen.
            if let Some(pause) = times.windows(2).rposition(|w| w[0] < w[1].saturating_sub(keep)) {
                times.drain(..=pause);
            }
            if times[0] < from { Truth::False } else { is_new }
        }
        Ask::NewFor(_) => {
            let of_them = || earlier.iter().filter(|s| s.by == now.by).filter(since);
            match of_them().count() {
                0 => Truth::Unknown,
                _ if of_them().any(|s| s.value == now.value) => Truth::False,
                _ => is_new,
            }
        }
    }
}
