//! The judge: an evaluator that keeps every event and computes each window of each group anew. No index, no sharing, no
//! state between steps but the episode. What it says is what the rules mean; see also `docs/decisions.md`.

mod actions;
pub mod aggregate;
mod baseline;
pub mod build;
pub mod expr;
pub mod generate;
pub mod link;
pub mod linked;
mod memory;
mod merge;
mod record;
pub mod rows;
pub mod sequence;
mod series;
pub mod steps;
pub mod template;
pub mod window;

use std::collections::BTreeMap;

use fineprint::eval::{Books, EvalOptions, Outcome, Refusal};
use fineprint::event::FieldId;
use fineprint::hir::{Program, Rule, Shape};
use fineprint::time::{SECOND_NS, Timestamp};
use fineprint::value::Value;
use fineprint::violation::Violation;

use expr::{Interpreter, Scope};
use rows::Rows;
use window::Event;

/// What comes in.
#[derive(Debug, Clone)]
pub enum Arrival {
    Event(Event),
    /// `Evaluator::advance`.
    Advance(Timestamp),
    /// `Evaluator::finish`.
    Finish,
}

/// What comes out.
#[derive(Debug, Clone, PartialEq)]
pub struct PlainResult {
    /// Each violation once, in its last state, sorted by (opened_at, id).
    pub violations: Vec<Violation>,
    pub books: Books,
    /// Of each event at its arrival.
    pub outcomes: Vec<Outcome>,
    /// Number (from 0, among the events) of each event that was taken in and displaced later.
    pub displaced: Vec<usize>,
    pub watermark: Option<Timestamp>,
}

/// The plain evaluator.
pub struct PlainEvaluator {
    pub program: Program,
    pub rows: Rows,
    pub options: EvalOptions,
}

/// An event that was taken in.
struct Accepted {
    event: Event,
    /// Its number among the events.
    number: usize,
    /// The arrival at which the watermark had passed it.
    applied: Option<usize>,
    /// How often the input had ended before it came: what comes after an end counts after what came before it.
    ends: usize,
}

impl PlainEvaluator {
    pub fn new(program: Program, rows: Rows, options: EvalOptions) -> Self {
        PlainEvaluator { program, rows, options }
    }

    /// A file: these events, then its end.
    pub fn violations(&self, events: &[Event]) -> PlainResult {
        let arrivals: Vec<Arrival> = events.iter().cloned().map(Arrival::Event).chain([Arrival::Finish]).collect();
        self.run(&arrivals)
    }

    /// Any course of events. Nothing is ended that `arrivals` does not end: steps past the last watermark are not judged.
    pub fn run(&self, arrivals: &[Arrival]) -> PlainResult {
        let mut books = Books::default();
        let mut outcomes = Vec::new();
        let mut displaced = Vec::new();
        let mut accepted: Vec<Accepted> = Vec::new();
        let mut late: Vec<(usize, &Event)> = Vec::new();
        let mut max_ts: Option<Timestamp> = None;
        let mut watermark: Option<Timestamp> = None;
        // Up to which moment time is over: the watermark in whole seconds, or the end of the input.
        let mut settled: Option<Timestamp> = None;
        let mut ends = 0;

        for (moment, arrival) in arrivals.iter().enumerate() {
            match arrival {
                Arrival::Advance(to) => watermark = watermark.max(Some(*to)),
                Arrival::Finish => {
                    watermark = watermark.max(max_ts);
                    settled = settled.max(watermark);
                    ends += 1;
                    accepted.iter_mut().for_each(|a| {
                        a.applied.get_or_insert(moment);
                    });
                }
                Arrival::Event(event) => {
                    let number = outcomes.len();
                    let behind = watermark.is_some_and(|watermark| event.ts() < watermark);
                    // An id is remembered until the watermark has passed its event.
                    let remembered = accepted
                        .iter()
                        .position(|a| a.event.id() == event.id() && watermark.is_none_or(|w| a.event.ts() >= w));
                    let outcome = if self.is_future(event) {
                        Outcome::Rejected(Refusal::Future)
                    } else if let Some(at) = remembered {
                        let known = &mut accepted[at];
                        if known.event.content() == event.content() {
                            Outcome::Duplicate
                        } else if known.event.content() < event.content() || behind || known.applied.is_some() {
                            // What has been applied (by `finish`) stays.
                            Outcome::Rejected(Refusal::Conflicting)
                        } else {
                            displaced.push(known.number);
                            *known = Accepted { event: event.clone(), number, applied: None, ends };
                            books.evaluated -= 1;
                            books.rejected_conflicting += 1;
                            Outcome::Evaluated
                        }
                    } else if behind {
                        late.push((moment, event));
                        Outcome::Late
                    } else {
                        accepted.push(Accepted { event: event.clone(), number, applied: None, ends });
                        Outcome::Evaluated
                    };
                    books.received += 1;
                    match outcome {
                        Outcome::Evaluated => {
                            books.evaluated += 1;
                            // A later displacement does not take the time back.
                            max_ts = max_ts.max(Some(event.ts()));
                            watermark = watermark.max(max_ts.map(|max| max.saturating_sub(self.options.lateness)));
                        }
                        Outcome::Late => books.late += 1,
                        Outcome::Duplicate => books.duplicate += 1,
                        Outcome::Rejected(Refusal::Future) => books.rejected_future += 1,
                        Outcome::Rejected(Refusal::Conflicting) => books.rejected_conflicting += 1,
                    }
                    outcomes.push(outcome);
                }
            }
            // Events are applied in whole seconds: when the last whole second of the watermark has passed them.
            let whole = |watermark: Timestamp| Timestamp(watermark.0.div_euclid(SECOND_NS) * SECOND_NS);
            settled = settled.max(watermark.map(whole));
            for a in accepted.iter_mut().filter(|a| settled.is_some_and(|settled| a.event.ts() < settled)) {
                a.applied.get_or_insert(moment);
            }
        }

        let mut in_turn: Vec<&Accepted> = accepted.iter().filter(|a| a.applied.is_some()).collect();
        in_turn.sort_by_key(|a| (a.event.ts(), a.ends, a.event.id()));
        let in_turn: Vec<&Event> = in_turn.into_iter().map(|a| &a.event).collect();
        let mut applied: Vec<(usize, &Event)> = accepted.iter().filter_map(|a| Some((a.applied?, &a.event))).collect();
        applied.sort_by_key(|(_, event)| (event.ts(), event.id()));
        displaced.sort_unstable();
        let over = (watermark.unwrap_or(Timestamp::MIN), settled.unwrap_or(Timestamp::MIN));
        let violations = self.find(&applied, &in_turn, &late, over);
        // Declared time alone is not yet a watermark to report.
        PlainResult { violations, books, outcomes, displaced, watermark: max_ts.and(watermark) }
    }

    /// By the event's own ingest time; for one without it, by what the stream can know of at all.
    fn is_future(&self, event: &Event) -> bool {
        let known = match event.get(FieldId::INGEST_TS) {
            Value::Num(ns) => Some(Timestamp(ns)),
            _ => self.options.as_of,
        };
        known.is_some_and(|known| event.ts() > known.saturating_add(self.options.future))
    }

    /// Events come with the moment at which they are seen, which only decides what is the last state of an id: an id that
    /// comes again after it was forgotten gives a single-event violation of the same id.
    fn find(
        &self,
        applied: &[(usize, &Event)],
        in_turn: &[&Event],
        late: &[(usize, &Event)],
        (horizon, settled): (Timestamp, Timestamp),
    ) -> Vec<Violation> {
        let events: Vec<&Event> = applied.iter().map(|(_, event)| *event).collect();
        let mut remembered: Vec<&(usize, &Event)> = applied.iter().collect();
        remembered.sort_by_key(|(moment, event)| (*moment, event.ts(), event.id()));
        let history = remembered.iter().map(|(_, event)| *event).collect();
        let calc = Interpreter::new(&self.program, &self.rows, history);
        let mut seen: Vec<&(usize, &Event)> = applied.iter().chain(late).collect();
        seen.sort_by_key(|(moment, event)| (*moment, event.ts(), event.id()));

        let mut found: BTreeMap<String, Violation> = BTreeMap::new();
        for rule in &self.program.rules {
            calc.kinds.replace(rule.kinds.clone());
            let asks = rule.asks_memory();
            let mut records: Vec<(Violation, bool)> = match &rule.shape {
                Shape::Single => seen
                    .iter()
                    // Memory is asked behind the watermark, where a late event does not come.
                    .filter(|(_, e)| !asks || events.iter().any(|applied| std::ptr::eq(*applied, *e)))
                    .filter(|(_, e)| concerns(&calc, rule, e))
                    .map(|seen| (record::single(&calc, rule, seen.1), late.iter().any(|l| std::ptr::eq(l.1, seen.1))))
                    .collect(),
                Shape::Sequence(s) => sequence::found(&calc, rule, s, in_turn, settled)
                    .iter()
                    .map(|found| (record::sequence(&calc, rule, s, found), false))
                    .collect(),
                Shape::Windowed(w) if w.link.is_some() => {
                    let found = link::found(&calc, rule, w, &events, horizon, &self.options);
                    found.into_iter().map(|v| (v, false)).collect()
                }
                Shape::Windowed(w) => window::groups(&calc, rule, w, &events, horizon)
                    .iter()
                    .flat_map(|group| {
                        group
                            .episodes
                            .iter()
                            .map(|episode| (record::windowed(&calc, rule, w, group, episode), false))
                            .collect::<Vec<_>>()
                    })
                    .collect(),
            };
            actions::decide(rule, &mut records, self.options.delay_secret.as_ref());
            found.extend(records.into_iter().map(|(v, _)| (v.id.clone(), v)));
        }
        let mut violations: Vec<Violation> = found.into_values().collect();
        violations.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
        violations
    }
}

fn concerns(calc: &Interpreter<'_>, rule: &Rule, event: &Event) -> bool {
    rule.kinds.contains(&event.kind()) && calc.is_true(rule.filter.as_ref(), Scope::Event(event))
}
