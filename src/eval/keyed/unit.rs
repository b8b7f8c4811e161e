//! One unit, stepped: the evaluator of one key, or of what cannot be cut, made of its bytes and written back to them. Only
//! what the unit has is written: its windows, not those of other rules.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bytes::{HEAD, Parts, push, read, told, waiting, write};
use super::record::{Part, said};
use super::units::Unit;
use super::{KEYED_EVENTS_HELD_MAX, Keyed, KeyedError, Partition, Step, ceil, floor};
use crate::eval::Evaluator;
use crate::eval::events::{Events, Held, NO_ACCOUNT};
use crate::eval::intern::{Interner, Texts};
use crate::eval::link::Link;
use crate::eval::memory::Store;
use crate::eval::outcome::Outcomes;
use crate::eval::room::Room;
use crate::eval::sequence::Sequences;
use crate::eval::series::Series;
use crate::eval::stage::{self, Arrival, Stage};
use crate::eval::window::{LinkedEpisodes, Windows};
use crate::eval::{Origin, in_order};
use crate::plan::rule::RulePlan;
use crate::time::Timestamp;

/// An event that evidence may name.
#[derive(Debug, Serialize, Deserialize)]
struct Kept<'a> {
    /// Nanoseconds since the one before.
    after: i64,
    content: [u8; 16],
    account: u32,
    id: &'a str,
}

#[derive(Serialize)]
struct Saved<'a> {
    next_due: i64,
    /// Number of the first event.
    first: u64,
    held: Vec<Kept<'a>>,
    texts: &'a Texts,
    windows: Vec<&'a Windows>,
    linked: Vec<&'a LinkedEpisodes>,
    links: Vec<&'a Link>,
    stores: Vec<&'a Store>,
    sequences: Vec<&'a Sequences>,
    series: Vec<&'a Series>,
}

#[derive(Deserialize)]
struct Loaded<'a> {
    next_due: i64,
    first: u64,
    #[serde(borrow)]
    held: Vec<Kept<'a>>,
    texts: Texts,
    windows: Vec<Windows>,
    linked: Vec<LinkedEpisodes>,
    links: Vec<Link>,
    stores: Vec<Store>,
    sequences: Vec<Sequences>,
    series: Vec<Series>,
}

/// The places of a unit's parts in an evaluator.
struct Places {
    windows: Vec<usize>,
    linked: Vec<usize>,
    sequences: Vec<usize>,
    views: Vec<usize>,
}

impl Keyed {
    /// Takes in a record: it waits for the watermark.
    pub(super) fn take_record(
        &self,
        (partition, unit): (Partition, &Unit),
        state: Option<&[u8]>,
        record: &[u8],
    ) -> Result<Step, KeyedError> {
        let (ts, _) = self.opened(record)?;
        let parts = self.parts(state)?;
        let due = unit.due(ts, parts.waiting.len());
        let (state, timer) = self.append(partition, parts, ts, due, record)?;
        Ok(Step { state: Some(state), timer: told(timer), ..Step::default() })
    }

    /// Brings a unit to the watermark.
    pub(super) fn advance_unit(
        &self,
        room: &mut Option<Evaluator>,
        unit: &Unit,
        state: Option<&[u8]>,
        watermark: i64,
    ) -> Result<Step, KeyedError> {
        let parts = self.parts(state)?;
        let until = floor(watermark);
        if parts.head.timer > watermark || until <= parts.head.settled {
            return Ok(Step { state: state.map(<[u8]>::to_vec), timer: told(parts.head.timer), ..Step::default() });
        }
        // Where a step is refused, what it was made in is gone with it.
        let mut live = room.take().unwrap_or_else(|| self.blank());
        self.load(unit, parts, &mut live)?;
        let before = self.undecided(unit, &live);
        let (mut rest, mut timer) = (Vec::new(), i64::MAX);
        // A record that was delivered once more changes nothing.
        let mut records = waiting(parts.waiting)?;
        records.sort_unstable();
        records.dedup();
        for record in records {
            let (ts, bytes) = self.opened(record)?;
            if ts < until {
                self.arrive(&mut live, ts, said(bytes)?);
            } else {
                timer = timer.min(unit.due(ts, rest.len()));
                push(&mut rest, record);
            }
        }
        live.advance(Timestamp(watermark));
        let mut step = Step::default();
        let found = live.hand_out();
        self.settle(&live.memories, found, &mut step)?;
        step.violations = in_order(step.violations);
        let after = self.undecided(unit, &live);
        let grew = before.into_iter().zip(after).filter(|((_, was), (_, is))| is > was);
        step.undecided = grew.map(|((name, was), (_, is))| (name.to_string(), is - was)).collect();
        let timer = timer.min(self.next_call(unit, &live));
        step.timer = told(timer);
        let forgotten = unit.whole.is_none() && rest.is_empty() && live.live_groups() == 0;
        step.state = if forgotten { None } else { Some(self.save(unit, &mut live, timer, &rest)?) };
        if forgotten {
            step.timer = None;
        }
        self.clear(unit, &mut live);
        *room = Some(live);
        Ok(step)
    }

    /// Per rule of a unit, how many events could not be decided so far.
    fn undecided(&self, unit: &Unit, live: &Evaluator) -> Vec<(&str, u64)> {
        let mut all = Vec::new();
        for leader in &unit.rules {
            let number = self.rules.rules.get(*leader as usize).and_then(RulePlan::sequence_number);
            let steps = number.and_then(|n| live.sequences.get(n as usize)).map_or(0, Sequences::undecided);
            let n = live.undecided.get(*leader as usize).copied().unwrap_or(0) + steps;
            all.extend(self.rules.members(*leader).map(|(rule, _)| (rule.name.as_str(), n)));
        }
        all
    }

    fn places(&self, unit: &Unit) -> Places {
        let plans = unit.rules.iter().filter_map(|rule| self.rules.rules.get(*rule as usize));
        let number = |n: u32| n as usize;
        let views = self.rules.links.views.iter().enumerate();
        Places {
            windows: plans.clone().filter_map(RulePlan::windows_number).map(number).collect(),
            linked: (plans.clone().filter_map(RulePlan::window).filter(|w| w.view.is_some()))
                .map(|w| w.number as usize)
                .collect(),
            sequences: plans.filter_map(RulePlan::sequence_number).map(number).collect(),
            views: views.filter(|(_, view)| unit.links.contains(&view.link)).map(|(at, _)| at).collect(),
        }
    }

    /// An evaluator that has seen nothing.
    fn blank(&self) -> Evaluator {
        let (rules, outcomes) = (Arc::clone(&self.rules), Outcomes::sharing(&self.names));
        Evaluator::with(rules, self.options.clone(), outcomes, Room::unaccounted())
    }

    /// Makes an evaluator that a unit was in one that has seen nothing.
    fn clear(&self, unit: &Unit, live: &mut Evaluator) {
        let places = self.places(unit);
        put(&mut live.windows, &places.windows, places.windows.iter().map(|_| Windows::default()).collect(), |_| {});
        put(
            &mut live.linked,
            &places.linked,
            places.linked.iter().map(|_| LinkedEpisodes::default()).collect(),
            |_| {},
        );
        put(
            &mut live.sequences,
            &places.sequences,
            places.sequences.iter().map(|_| Sequences::default()).collect(),
            |_| {},
        );
        put(&mut live.series, &unit.series, unit.series.iter().map(|_| Series::default()).collect(), |_| {});
        for at in &places.views {
            let plan = self.rules.links.views.get(*at).and_then(|view| self.rules.links.all.get(view.link as usize));
            if let (Some(plan), Some(place)) = (plan, live.links.get_mut(*at)) {
                *place = Link::new(plan);
            }
        }
        unit.questions.iter().for_each(|question| live.memories.forget(*question));
        for rule in &unit.rules {
            live.undecided.iter_mut().skip(*rule as usize).take(1).for_each(|n| *n = 0);
        }
        (live.interner, live.events, live.stage) = (Interner::default(), Events::default(), Stage::default());
        (live.max_ts, live.next_due) = (None, i64::MAX);
        live.room = Room::unaccounted();
    }

    /// Makes the evaluator of a state, without what waits, of one that has seen nothing.
    fn load(&self, unit: &Unit, parts: Parts<'_>, live: &mut Evaluator) -> Result<(), KeyedError> {
        live.reach = unit.reach;
        live.options.events_held = self.options.events_held;
        if unit.whole.is_some() {
            live.room = Room::new(self.options.state_bytes);
        } else {
            // How many keys there are is the host's.
            live.options.events_held = self.options.events_held.min(KEYED_EVENTS_HELD_MAX);
        }
        (live.watermark, live.settled) = (parts.head.settled, parts.head.settled);
        if parts.body.is_empty() {
            return Ok(());
        }
        let loaded: Loaded<'_> = read(parts.body)?;
        let places = self.places(unit);
        live.next_due = loaded.next_due;
        live.events = Events::from_number(loaded.first);
        let mut ts = 0i64;
        for kept in loaded.held {
            ts = ts.saturating_add(kept.after);
            let (content, account) = (u128::from_be_bytes(kept.content), u64::from(kept.account));
            live.events.push(Held { ts, content, account, id: kept.id }, usize::MAX);
        }
        live.interner = Interner::of(loaded.texts);
        put(&mut live.windows, &places.windows, loaded.windows, Windows::rebuild);
        put(&mut live.linked, &places.linked, loaded.linked, |_| {});
        put(&mut live.links, &places.views, loaded.links, Link::rebuild);
        put(&mut live.sequences, &places.sequences, loaded.sequences, |_| {});
        put(&mut live.series, &unit.series, loaded.series, |_| {});
        for (question, store) in unit.questions.iter().zip(loaded.stores) {
            live.memories.put(*question, store);
        }
        if unit.whole.is_some() {
            live.account_all();
        }
        Ok(())
    }

    /// The bytes of an evaluator.
    fn save(&self, unit: &Unit, live: &mut Evaluator, timer: i64, rest: &[u8]) -> Result<Vec<u8>, KeyedError> {
        let places = self.places(unit);
        let first = live.events.number_at(live.settled.saturating_sub(unit.reach)).max(live.events.first());
        live.events.forget_numbers(first);
        for at in &places.windows {
            if let Some(windows) = live.windows.get_mut(*at) {
                windows.forget_before(live.events.first());
            }
        }
        live.sweep();
        let mut before = 0;
        let held = live.events.iter().map(|held| {
            let after = held.ts.saturating_sub(std::mem::replace(&mut before, held.ts));
            let account = u32::try_from(held.account).unwrap_or(u32::MAX);
            Kept { after, content: held.content.to_be_bytes(), account, id: held.id }
        });
        let saved = Saved {
            next_due: live.next_due,
            first: live.events.first(),
            held: held.collect(),
            texts: live.interner.texts(),
            windows: at(&live.windows, &places.windows),
            linked: at(&live.linked, &places.linked),
            links: at(&live.links, &places.views),
            stores: unit.questions.iter().filter_map(|q| live.memories.get(*q)).collect(),
            sequences: at(&live.sequences, &places.sequences),
            series: at(&live.series, &unit.series),
        };
        let body = write(&saved)?;
        debug_assert!(body.len() + HEAD < u32::MAX as usize, "a body of four gigabytes");
        Ok(self.state(timer, live.settled, &body, &[rest]))
    }

    /// Takes in what one event is to the unit.
    fn arrive(&self, live: &mut Evaluator, ts: i64, part: Part) {
        let part = part.into_state(&self.rules, &mut live.interner);
        live.stage.push(Arrival {
            key: stage::key_of(&part.id),
            id: &part.id,
            ts,
            content: u128::from_be_bytes(part.content),
            account: part.account.unwrap_or(NO_ACCOUNT),
            origin: Origin::default(),
            words: &part.words,
            tied: &part.tied,
            singles: Vec::new(),
            pending: part.pending,
        });
    }

    /// When a unit has something to say or to do next, events apart: a violation under way is told anew at every step.
    fn next_call(&self, unit: &Unit, live: &Evaluator) -> i64 {
        let mut next = if live.next_due == i64::MAX { i64::MAX } else { ceil(live.next_due) };
        let plans = unit.rules.iter().filter_map(|rule| self.rules.rules.get(*rule as usize));
        for w in plans.filter_map(RulePlan::window) {
            let number = w.number as usize;
            let any = live.windows.get(number).is_some_and(Windows::has_episodes)
                || live.linked.get(number).is_some_and(LinkedEpisodes::any);
            if any {
                next = next.min((live.settled.div_euclid(w.step) + 1).saturating_mul(w.step));
            }
        }
        next
    }
}

/// Puts states in their places.
fn put<T>(all: &mut [T], places: &[usize], of: Vec<T>, mut rebuild: impl FnMut(&mut T)) {
    for (at, mut one) in places.iter().zip(of) {
        rebuild(&mut one);
        if let Some(place) = all.get_mut(*at) {
            *place = one;
        }
    }
}

/// The states at these places.
fn at<'a, T>(all: &'a [T], places: &[usize]) -> Vec<&'a T> {
    places.iter().filter_map(|at| all.get(*at)).collect()
}
