//! The evaluator: usage events in, violations out. A plain state machine: time comes in with the events, nothing here
//! reads a clock, a file or a random number, so the same events give the same violations, byte for byte.
//!
//! Events wait in the stage until nothing earlier can come, and are then applied in order of (time, id): all that follows
//! sees one canonical sequence, whatever the order of arrival was. Conditions on single events are evaluated at arrival,
//! once, and only their results wait; text does not.

mod accumulate;
mod ask;
mod books;
mod commitment;
mod episode;
pub mod events;
mod finding;
pub mod footprint;
mod intern;
mod lane;
pub mod memory;
mod merkle;
mod outcome;
mod project;
mod recall;
mod route;
mod sequence;
mod session;
mod snapshot;
mod stage;
mod trail;
mod watch;
mod window;

use std::sync::Arc;

pub use books::{Books, Refusal};
pub use commitment::{COMMITMENT_BYTES, Salt, commitment};
pub use finding::action_text;
pub use outcome::{SECRET_BYTES_MIN, Secret};
pub use recall::{Recalled, TestNames};
pub use watch::{Look, Part};

use self::ask::{Answering, Asking, Pending};
use self::events::{Events, Held, NO_ACCOUNT};
use self::finding::{Single, Subject};
use self::intern::Interner;
use self::memory::{MEMORY_SIGHTINGS_MAX, Memories};
use self::outcome::Outcomes;
use self::route::{EventEnv, Router, records};
use self::sequence::{Applied, Sequences};
use self::stage::{Arrival, Seen, Stage};
use self::watch::Watch;
use self::window::{Bench, Ended, Windows};
use crate::event::{FieldId, UsageEvent};
use crate::plan::RuleSet;
use crate::plan::rule::ShapePlan;
use crate::time::{Duration, MINUTE_NS, SECOND_NS, Timestamp};
use crate::value::Value;
use crate::violation::{Violation, Withheld};

/// How a stream is read. Part of the configuration hash: two runs with other options may find other violations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalOptions {
    /// How far events may come out of order. A step is judged when the largest event time minus this has passed its end.
    pub lateness: Duration,
    /// How far an event may lie after its own ingest time, or after `as_of` where it has none.
    pub future: Duration,
    /// The latest moment the stream can know of, for files without ingest times.
    pub as_of: Option<Timestamp>,
    /// Most sightings that each question to memory remembers.
    pub memory_sightings: usize,
    /// What random delays of actions are drawn from; without it, delayed actions are withheld.
    pub delay_secret: Option<Secret>,
}

impl Default for EvalOptions {
    fn default() -> Self {
        EvalOptions {
            lateness: Duration(5 * MINUTE_NS),
            future: Duration(5 * MINUTE_NS),
            as_of: None,
            memory_sightings: MEMORY_SIGHTINGS_MAX,
            delay_secret: None,
        }
    }
}

/// Where a record came from, to name it when it is refused later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// Which input.
    pub input: u32,
    /// Line of the input, from 1.
    pub line: u64,
}

/// What became of an event when it was observed. An accepted event may still be refused later, when another record of the
/// same id and a smaller content hash comes within the lateness; see [`Evaluator::take_refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Taken in.
    Evaluated,
    /// Behind the watermark: only rules on single events saw it.
    Late,
    /// A copy of an event already taken in.
    Duplicate,
    /// Refused, and why.
    Rejected(Refusal),
}

/// A record that was refused after it had been taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where it came from.
    pub origin: Origin,
    /// Its id.
    pub id: String,
    /// Why.
    pub refusal: Refusal,
}

/// The in-process driver of routing and stepping.
#[derive(Debug)]
pub struct Evaluator {
    rules: Arc<RuleSet>,
    options: EvalOptions,
    books: Books,
    router: Router,
    interner: Interner,
    stage: Stage,
    memories: Memories,
    events: Events,
    /// Per windowed rule.
    windows: Vec<Windows>,
    /// Per rule on sequences.
    sequences: Vec<Sequences>,
    /// Largest event time.
    max_ts: Option<i64>,
    /// Everything before this is final: no event is taken in, every step that ends by it is judged.
    watermark: i64,
    /// Every event before this is applied, every step that ends by it is judged; trails the watermark by under a second.
    settled: i64,
    /// Earliest due step end of any windowed rule, or moment at which a sequence is due.
    next_due: i64,
    /// How far back evidence can reach: the longest window and, since it is judged at step ends, a step.
    reach: i64,
    ended: Vec<Ended>,
    finished: Vec<Violation>,
    outcomes: Outcomes,
    refused: Vec<Refused>,
    /// Every judgement of a window, while somebody looks on.
    watch: Option<Watch>,
}

impl Evaluator {
    /// An evaluator that has seen nothing.
    pub fn new(rules: Arc<RuleSet>, options: EvalOptions) -> Self {
        let windows = (0..rules.n_windowed).map(|_| Windows::default()).collect();
        let sequences = (0..rules.n_sequences).map(|_| Sequences::default()).collect();
        Evaluator {
            outcomes: Outcomes::new(&rules),
            memories: Memories::new(rules.questions.len()),
            reach: rules.longest_window().0.saturating_add(rules.longest_step().0),
            rules,
            options,
            books: Books::default(),
            router: Router::default(),
            interner: Interner::default(),
            stage: Stage::default(),
            events: Events::default(),
            windows,
            sequences,
            max_ts: None,
            watermark: i64::MIN,
            settled: i64::MIN,
            next_due: i64::MAX,
            ended: Vec::new(),
            finished: Vec::new(),
            refused: Vec::new(),
            watch: None,
        }
    }

    /// Takes in one event.
    pub fn observe(&mut self, event: &UsageEvent<'_>, origin: Origin) -> Outcome {
        self.books.received += 1;
        let ts = event.ts().0;
        let known_until = match event.get(FieldId::INGEST_TS) {
            Value::Num(n) => Some(n),
            _ => self.options.as_of.map(|t| t.0),
        };
        if known_until.is_some_and(|n| ts > n.saturating_add(self.options.future.0)) {
            self.books.rejected_future += 1;
            return Outcome::Rejected(Refusal::Future);
        }
        match self.stage.seen(event.id(), event.content(), self.watermark) {
            Seen::New => {}
            Seen::Copy => {
                self.books.duplicate += 1;
                return Outcome::Duplicate;
            }
            Seen::Larger { ts: waiting } if ts >= self.watermark => {
                if let Some(origin) = self.stage.displace(event.id(), waiting) {
                    self.books.evaluated -= 1;
                    self.books.rejected_conflicting += 1;
                    self.refused.push(Refused { origin, id: event.id().to_string(), refusal: Refusal::Conflicting });
                }
            }
            Seen::Smaller | Seen::Larger { .. } => {
                self.books.rejected_conflicting += 1;
                return Outcome::Rejected(Refusal::Conflicting);
            }
        }
        let late = ts < self.watermark;
        let singles = self.route(event, late);
        if late {
            self.books.late += 1;
            self.finish_late(singles);
            return Outcome::Late;
        }
        self.books.evaluated += 1;
        let pending = Pending::of(&self.rules, &mut self.router, event, &mut self.interner);
        let account = match event.get(FieldId::ACCOUNT) {
            Value::Text(a) if !self.router.words.is_empty() || pending.is_some() => self.interner.intern(a.as_bytes()),
            _ => NO_ACCOUNT,
        };
        self.stage.push(Arrival {
            id: event.id(),
            ts,
            content: event.content(),
            account,
            origin,
            words: &self.router.words,
            singles,
            pending,
        });
        if self.max_ts.is_none_or(|max| ts > max) {
            self.max_ts = Some(ts);
            self.advance(Timestamp(ts.saturating_sub(self.options.lateness.0)));
        }
        Outcome::Evaluated
    }

    /// Conditions on the event itself: fills the router's records, and returns the violations of rules on single events.
    fn route(&mut self, event: &UsageEvent<'_>, late: bool) -> Vec<Violation> {
        let rules = &self.rules;
        self.router.words.clear();
        self.router.matches(rules, event);
        let mut singles = Vec::new();
        let matched = std::mem::take(&mut self.router.matched);
        for number in &matched {
            let Some(plan) = rules.rules.get(*number as usize) else { continue };
            match &plan.shape {
                // Judged behind the watermark, where a late event is never seen.
                _ if plan.memory.is_some() => self.router.asking.push(*number),
                ShapePlan::Single { values } => {
                    let exceptions = self.router.exceptions(rules, plan, event);
                    let env = EventEnv { wordings: Some((rules, &self.router.wordings)), ..EventEnv::new(event) };
                    let single = Single::new(plan, values, &env, exceptions);
                    let account = match event.get(FieldId::ACCOUNT) {
                        Value::Text(account) => Some(account),
                        _ => None,
                    };
                    let seen = Asking { id: event.id(), ts: event.ts().0, content: event.content(), account };
                    let each =
                        rules.members(*number).map(|(rule, plan)| Subject { program: rules.program(), rule, plan });
                    singles.extend(each.map(|subject| subject.single(&single, seen)));
                }
                ShapePlan::Windowed(_) | ShapePlan::Sequence(_) if late => {}
                ShapePlan::Sequence(s) => {
                    self.router.sequence_record(rules, *number, plan, s, event, &mut self.interner);
                }
                ShapePlan::Windowed(w) => {
                    self.router.record(rules, *number, plan, w, event, &mut self.interner);
                }
            }
        }
        self.router.matched = matched;
        singles
    }

    /// Violations of an event behind the watermark: what a budget of its day had to give is given away.
    fn finish_late(&mut self, singles: Vec<Violation>) {
        let budgeted = |v: &Violation| self.outcomes.rule(&self.rules, v).is_some_and(|rule| rule.budget.is_some());
        for mut v in singles {
            if budgeted(&v) {
                v.actions.iter_mut().for_each(|p| p.withheld = Some(Withheld::Late));
            }
            self.finished.push(v);
        }
    }

    /// Names of the rules whose filter holds for an event, without taking the event in: what a rule would look at.
    pub fn matching(&mut self, event: &UsageEvent<'_>) -> impl Iterator<Item = &str> {
        self.router.matches(&self.rules, event);
        let rules = &self.rules;
        self.router.matched.iter().flat_map(|n| rules.members(*n)).map(|(rule, _)| rule.name.as_str())
    }

    /// How many rules' filters hold for an event, without taking it in.
    pub fn count_matching(&mut self, event: &UsageEvent<'_>) -> usize {
        self.router.matches(&self.rules, event);
        self.router.matched.iter().map(|n| self.rules.members(*n).count()).sum()
    }

    /// Declares that no event before `watermark` will come any more: judges every step that ends at or before it.
    pub fn advance(&mut self, watermark: Timestamp) {
        if watermark.0 <= self.watermark {
            return;
        }
        self.watermark = watermark.0;
        // Whole seconds: steps end on them, so nothing is judged late, and the work is done once a second of event time.
        let until = watermark.0.div_euclid(SECOND_NS).saturating_mul(SECOND_NS);
        if until > self.settled {
            self.settle(until);
        }
    }

    /// The input has ended as a file does: judges every step that ends at or before the largest event time. Later events
    /// may still follow (an appended file).
    pub fn finish(&mut self) {
        let Some(max) = self.max_ts else { return };
        self.watermark = self.watermark.max(max);
        self.settle(self.watermark);
        self.follow_last_moment();
        // No step that has been judged holds the events of the last moment; they wait on, should more of that time follow.
        let Evaluator { rules, memories, router, interner, options, stage, .. } = self;
        let mut answering =
            Answering { rules, memories, sightings_max: options.memory_sightings, undecided: &mut router.undecided };
        let told = stage.tell(|id, e, pending, found| answering.answer(asking(id, e, interner), pending, found));
        self.finished.extend(told);
    }

    /// Applies every event before `until` and judges every step that ends at or before it.
    fn settle(&mut self, until: i64) {
        while self.stage.first_second().is_some_and(|s| s.saturating_mul(SECOND_NS) < until) {
            let Some((second, mut bucket)) = self.stage.take_first() else { break };
            let mut events = bucket.take_sorted().into_iter();
            let mut rest = Vec::new();
            for e in events.by_ref() {
                if e.ts >= until {
                    rest.push(e);
                    break;
                }
                if e.displaced {
                    continue;
                }
                if self.next_due <= e.ts {
                    self.judge(e.ts);
                }
                self.stage.release(bucket.id(&e), e.ts, e.content);
                self.apply(&bucket, e);
            }
            rest.extend(events);
            if !rest.is_empty() {
                bucket.put_back(rest);
                self.stage.put_back(second, bucket);
                break;
            }
        }
        self.judge(until);
        self.settled = self.settled.max(until);
        self.events.forget_before(self.settled.saturating_sub(self.reach));
        if self.interner.wants_sweep() {
            self.sweep();
        }
    }

    fn apply(&mut self, bucket: &stage::Bucket, e: stage::Waiting) {
        let (words, id) = (bucket.words(&e), bucket.id(&e));
        let mut e = e;
        self.finished.append(&mut e.singles);
        let mut pending = e.pending.take();
        if let Some(pending) = &mut pending {
            let mut answering = Answering {
                rules: &self.rules,
                memories: &mut self.memories,
                sightings_max: self.options.memory_sightings,
                undecided: &mut self.router.undecided,
            };
            answering.answer(asking(id, &e, &self.interner), pending, &mut self.finished);
        }
        let answered = pending.as_ref().map_or(&[][..], |p| p.words());
        if words.is_empty() && answered.is_empty() {
            return;
        }
        let mut number = None;
        for (rule, record) in records(&self.rules, words).chain(records(&self.rules, answered)) {
            let Some(plan) = self.rules.rules.get(rule as usize) else { continue };
            match &plan.shape {
                ShapePlan::Windowed(w) => {
                    let Some(windows) = self.windows.get_mut(w.number as usize) else { continue };
                    let held = Held { ts: e.ts, content: e.content, account: e.account, id };
                    let number = *number.get_or_insert_with(|| self.events.push(held));
                    windows.apply(w, plan.exceptions.len(), record, (e.ts, number), &self.interner);
                    if let Some(step) = windows.next_due() {
                        self.next_due = self.next_due.min(step.saturating_mul(w.step));
                    }
                }
                // What was told at the end of a file, sequences have taken in then.
                ShapePlan::Sequence(s) if !e.told => {
                    let Some(sequences) = self.sequences.get_mut(s.number as usize) else { continue };
                    let applied = Applied { ts: e.ts, id, content: e.content, account: e.account, record };
                    sequences.apply(plan, s, &applied, &self.interner);
                    self.next_due = self.next_due.min(sequences.next_due().unwrap_or(i64::MAX));
                }
                ShapePlan::Sequence(_) | ShapePlan::Single { .. } => {}
            }
        }
    }

    /// Judges every due step that ends at or before `until`.
    fn judge(&mut self, until: i64) {
        if self.next_due > until {
            return;
        }
        let rules = Arc::clone(&self.rules);
        let mut next = i64::MAX;
        for (leader, plan, w) in rules.leaders() {
            let Some(windows) = self.windows.get_mut(w.number as usize) else { continue };
            let bench = Bench { events: &self.events, interner: &self.interner, watch: self.watch.as_ref() };
            while let Some(end) = windows.next_due().map(|step| step.saturating_mul(w.step)) {
                if end > until {
                    next = next.min(end);
                    break;
                }
                windows.judge_next(plan, w, &bench, &mut self.ended);
            }
            for e in self.ended.drain(..) {
                for (rule, plan) in rules.members(leader) {
                    let subject = Subject { program: rules.program(), rule, plan };
                    let (closed, interner) = (Some(e.closed), &self.interner);
                    let mut v = match &e.merge {
                        Some(merge) => subject.merged(w, (&e.key, merge), &e.episode, e.exempted, closed, interner),
                        None => subject.episode(w, &e.key, &e.episode, e.exempted, closed, interner),
                    };
                    v.cut_since(windows.lost_since());
                    self.finished.push(v);
                }
            }
        }
        self.next_due = next.min(self.judge_sequences(&rules, until));
    }

    fn sweep(&mut self) {
        let mut marked = vec![false; self.interner.len()];
        let mut mark = |n: u64| {
            if let Some(m) = usize::try_from(n).ok().and_then(|n| marked.get_mut(n)) {
                *m = true;
            }
        };
        for (_, _, w) in self.rules.leaders() {
            if let Some(windows) = self.windows.get(w.number as usize) {
                windows.mark(w, &mut mark);
            }
        }
        for (_, _, s) in self.rules.sequences() {
            if let Some(sequences) = self.sequences.get(s.number as usize) {
                sequences.mark(s, &mut mark);
            }
        }
        self.events.accounts().for_each(&mut mark);
        for (e, words) in self.stage.iter() {
            mark(e.account);
            e.pending.iter().for_each(|p| p.mark(&mut mark));
            for (_, record) in records(&self.rules, words) {
                // Numbers among them mark symbols that they happen to equal; those then live until the next sweep.
                record.iter().skip(route::HEADER).for_each(|word| mark(*word));
            }
        }
        self.interner.sweep(&marked);
    }

    /// Violations that were opened, updated or closed since the last call, each once, in its present state, sorted by
    /// (opened_at, id).
    pub fn take_violations(&mut self) -> Vec<Violation> {
        let mut out = std::mem::take(&mut self.finished);
        let rules = Arc::clone(&self.rules);
        for (leader, _, w) in rules.leaders() {
            let Some(windows) = self.windows.get_mut(w.number as usize).filter(|w| w.has_episodes()) else { continue };
            let judged = self.settled.div_euclid(w.step);
            let (interner, lost_since) = (&self.interner, windows.lost_since());
            windows.clusters().each(|cluster, exempted| {
                let e = &mut cluster.episode;
                if e.is_news(judged) {
                    for (rule, plan) in rules.members(leader) {
                        let subject = Subject { program: rules.program(), rule, plan };
                        let mut v = subject.merged(w, (&cluster.key, &cluster.merge), e, exempted, None, interner);
                        v.cut_since(lost_since);
                        out.push(v);
                    }
                }
            });
            windows.with_episodes(|group| {
                let key = &group.key;
                let Some(more) = &mut group.more else { return };
                for (episode, exempted) in [(&mut more.open, false), (&mut more.exempted, true)] {
                    let Some(e) = episode else { continue };
                    if e.is_news(judged) {
                        for (rule, plan) in rules.members(leader) {
                            let subject = Subject { program: rules.program(), rule, plan };
                            let mut v = subject.episode(w, key, e, exempted, None, interner);
                            v.cut_since(lost_since);
                            out.push(v);
                        }
                    }
                }
            });
        }
        self.hand_out_sequences(&rules, &mut out);
        self.outcomes.settle(&rules, &self.memories, self.options.delay_secret.as_ref(), &mut out);
        // An event that comes again after it was forgotten is found again: its violation stands once, as told last.
        let mut told = std::collections::HashSet::with_capacity(out.len());
        out.reverse();
        out.retain(|v| told.insert(v.id.clone()));
        out.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
        out
    }

    /// Records that were refused after they had been taken in, since the last call, sorted by origin.
    pub fn take_refused(&mut self) -> Vec<Refused> {
        let mut out = std::mem::take(&mut self.refused);
        out.sort_by(|a, b| (a.origin, &a.id).cmp(&(b.origin, &b.id)));
        out
    }

    /// What became of all events so far.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Everything before it is final; `None` before the first event.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.max_ts.map(|_| Timestamp(self.watermark))
    }

    /// Per rule, how many events could not be decided because a field was missing; rules without any are left out.
    pub fn undecided(&self) -> Vec<(String, u64)> {
        let mut counts = self.router.undecided.clone();
        self.undecided_steps(&mut counts);
        let counted = counts.iter().enumerate().filter(|(_, n)| **n > 0);
        let named =
            counted.flat_map(|(leader, n)| self.rules.members(leader as u32).map(|(rule, _)| (rule.name.clone(), *n)));
        named.collect()
    }

    /// Per rule, how many sightings its questions to memory have forgotten for want of room, and how many values of its keys;
    /// rules that lost none are left out.
    pub fn memory_lost(&self) -> Vec<(String, u64)> {
        let rules = self.rules.rules.iter().zip(&self.rules.program().rules);
        let lost = rules.filter_map(|(plan, rule)| {
            let asked = plan.memory.as_ref().map_or(0, |m| self.memories.lost(&m.questions));
            let windows = plan.windows_number().and_then(|n| self.windows.get(n as usize));
            let lost = asked + windows.map_or(0, Windows::lost);
            (lost > 0).then(|| (rule.name.clone(), lost))
        });
        lost.collect()
    }

    /// Live groups over all rules.
    pub fn live_groups(&self) -> usize {
        self.windows.iter().map(Windows::len).chain(self.sequences.iter().map(Sequences::len)).sum()
    }
}

/// A waiting event as memory is asked by it.
fn asking<'a>(id: &'a str, e: &stage::Waiting, interner: &'a Interner) -> Asking<'a> {
    let account = (e.account != NO_ACCOUNT).then(|| std::str::from_utf8(interner.get(e.account)).unwrap_or(""));
    Asking { id, ts: e.ts, content: e.content, account }
}
