//! The evaluator: usage events in, violations out. A plain state machine: time comes in with the events, nothing here
//! reads a clock, a file or a random number, so the same events give the same violations, byte for byte.
//!
//! Events wait in the stage until nothing earlier can come, and are then applied in order of (time, id): all that follows
//! sees one canonical sequence, whatever the order of arrival was. Conditions on single events are evaluated at arrival,
//! once, and only their results wait; text does not.

mod accumulate;
mod ask;
mod back;
mod books;
mod cohort;
mod commitment;
mod episode;
mod erased;
pub mod events;
pub(crate) mod finding;
pub mod footprint;
mod history;
pub(crate) mod intern;
mod items;
pub mod keyed;
mod lane;
mod link;
pub mod memory;
mod merkle;
pub(crate) mod outcome;
mod project;
mod room;
mod recall;
pub(crate) mod route;
mod routed;
mod sequence;
mod series;
mod session;
mod snapshot;
mod stage;
mod succession;
mod trail;
mod watch;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;

pub use books::{Books, Refusal};
pub use commitment::{COMMITMENT_BYTES, Salt, commitment};
pub use erased::{Erased, erased_name};
pub use finding::action_text;
pub use outcome::{SECRET_BYTES_MIN, Secret};
pub use recall::{Recalled, TestNames};
pub use room::{STATE_BYTES_MAX, STATE_SHARDS};
pub use routed::{EventRouter, RoutedEvents};
pub use snapshot::{Frozen, bundle_of, erase_from_snapshot};
pub use succession::{Backfill, Carries, Carry, Fate, SUCCESSORS_MAX, SuccessionError, fates};
pub use watch::{Look, Part};

use self::ask::{Answering, Asking, Pending};
use self::events::{EVENTS_HELD_MAX, Events, Held, NO_ACCOUNT};
use self::finding::{Subject, Told};
use self::intern::{Interner, Symbols};
use self::link::Link;
use self::memory::{MEMORY_SIGHTINGS_MAX, Memories};
use self::outcome::Outcomes;
use self::room::{Change, Room};
use self::route::{Router, records};
use self::sequence::{Applied, Sequences};
use self::series::Series;
use self::stage::{Arrival, Seen, Stage};
use self::succession::Successor;
use self::watch::Watch;
use self::window::{Bench, Ended, LinkedEpisodes, Windows};
use smallvec::SmallVec;

use crate::event::{FieldId, UsageEvent};
use crate::hir::{LINK_EDGES_MAX, LINK_PAIRS_MAX};
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
    /// Most events held for evidence; above it the oldest are forgotten: counts stay exact, evidence names fewer and says so.
    pub events_held: usize,
    /// Most edges (an account with a value) that each family of a link holds.
    pub link_edges: usize,
    /// Most pairs of accounts that a link ties, over all values.
    pub link_pairs: u64,
    /// Most bytes that the groups of all windowed rules are accounted at; above it the least promising go.
    pub state_bytes: u64,
    /// What random delays of actions are drawn from; without it, delayed actions are withheld.
    pub delay_secret: Option<Secret>,
}

/// Bytes of a state budget for each event that is kept for evidence.
const BUDGET_BYTES_PER_EVENT: u64 = 128;

impl EvalOptions {
    /// The usual options, with so many accounted bytes for groups and, for each 128 of them, one event kept for evidence.
    pub fn within(state_bytes: u64) -> Self {
        let events = usize::try_from(state_bytes / BUDGET_BYTES_PER_EVENT).unwrap_or(usize::MAX);
        EvalOptions { state_bytes, events_held: events.min(EVENTS_HELD_MAX), ..EvalOptions::default() }
    }
}

impl Default for EvalOptions {
    fn default() -> Self {
        EvalOptions {
            lateness: Duration(5 * MINUTE_NS),
            future: Duration(5 * MINUTE_NS),
            as_of: None,
            memory_sightings: MEMORY_SIGHTINGS_MAX,
            events_held: EVENTS_HELD_MAX,
            state_bytes: STATE_BYTES_MAX,
            link_edges: LINK_EDGES_MAX,
            link_pairs: LINK_PAIRS_MAX,
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

/// What decides whether an event is taken in, and when it is its turn.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// Hash of its id.
    key: u128,
    ts: i64,
    content: u128,
    ingest: Option<i64>,
}

impl Head {
    fn of(event: &UsageEvent<'_>) -> Self {
        let ingest = match event.get(FieldId::INGEST_TS) {
            Value::Num(n) => Some(n),
            _ => None,
        };
        Head { key: stage::key_of(event.id()), ts: event.ts().0, content: event.content(), ingest }
    }

    /// Whether it lies further after what is known of the present than allowed.
    fn is_future(&self, options: &EvalOptions) -> bool {
        let known_until = self.ingest.or(options.as_of.map(|t| t.0));
        known_until.is_some_and(|n| self.ts > n.saturating_add(options.future.0))
    }
}

/// What was taken from an event that waits.
struct Taken<'a> {
    account: u64,
    words: &'a [u64],
    /// What ties its account to others.
    tied: &'a [u64],
    singles: Vec<Violation>,
    pending: Option<Box<Pending>>,
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

/// When events behind the watermark are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Applying {
    /// As soon as the watermark has passed them.
    #[default]
    AtOnce,
    /// Not now: what they are applied to is being written down.
    Frozen,
    /// Part by part: many wait since a snapshot.
    InParts,
}

/// The in-process driver of routing and stepping.
#[derive(Debug)]
pub struct Evaluator {
    rules: Arc<RuleSet>,
    options: EvalOptions,
    books: Books,
    /// Per rule, how often its filter or key was unknown.
    undecided: Vec<u64>,
    router: Router,
    interner: Interner,
    stage: Stage,
    memories: Memories,
    events: Events,
    /// Per windowed rule.
    windows: Vec<Windows>,
    /// Per windowed rule, the episodes of link groups; of most rules none.
    linked: Vec<LinkedEpisodes>,
    /// Per view of a link.
    links: Vec<Link>,
    room: Room,
    /// Per rule on sequences.
    sequences: Vec<Sequences>,
    series: Vec<Series>,
    /// Largest event time.
    max_ts: Option<i64>,
    /// Everything before this is final: no event is taken in, every step that ends by it is judged.
    watermark: i64,
    /// Every event before this is applied, every step that ends by it is judged; trails the watermark by under a second, by
    /// more during and after a snapshot.
    settled: i64,
    applying: Applying,
    /// Earliest due step end of any windowed rule, or moment at which a sequence is due.
    next_due: i64,
    /// How far back evidence can reach: the longest window and, since it is judged at step ends, a step.
    reach: i64,
    /// Per windowed rule, the number of its reach among those by which events are kept.
    reaches: Vec<u8>,
    ended: Vec<Ended>,
    finished: Vec<Violation>,
    /// Violations of late events that came while others waited for a snapshot, and up to where all is to be applied before
    /// them: of two with one id the later counts.
    late: VecDeque<(i64, Vec<Violation>)>,
    outcomes: Outcomes,
    refused: Vec<Refused>,
    /// Rules that take over, by their time.
    next: VecDeque<Successor>,
    /// Found and settled under rules that are not in force any more.
    handed: Vec<Violation>,
    /// Every judgement of a window, while somebody looks on.
    watch: Option<Watch>,
    /// Where events go that wait no more, in an evaluator that only keeps them waiting.
    outlet: Option<Vec<keyed::Released>>,
}

impl Evaluator {
    /// An evaluator that has seen nothing.
    pub fn new(rules: Arc<RuleSet>, options: EvalOptions) -> Self {
        let (outcomes, room) = (Outcomes::new(&rules), Room::new(options.state_bytes));
        let mut evaluator = Evaluator::with(rules, options, outcomes, room);
        let (all, each) = evaluator.rules.reaches();
        evaluator.events.reach(all);
        evaluator.reaches = each;
        evaluator
    }

    fn with(rules: Arc<RuleSet>, options: EvalOptions, outcomes: Outcomes, room: Room) -> Self {
        let windows = (0..rules.n_windowed).map(|_| Windows::default()).collect();
        let linked = (0..rules.n_windowed).map(|_| LinkedEpisodes::default()).collect();
        let plans = rules.links.views.iter().filter_map(|view| rules.links.all.get(view.link as usize));
        let links = plans.map(Link::new).collect();
        let sequences = (0..rules.n_sequences).map(|_| Sequences::default()).collect();
        Evaluator {
            outcomes,
            memories: Memories::new(rules.questions.len()),
            undecided: vec![0; rules.rules.len()],
            room,
            series: rules.series().map(|_| Series::default()).collect(),
            reach: rules.longest_window().0.saturating_add(rules.longest_step().0),
            reaches: Vec::new(),
            rules,
            options,
            books: Books::default(),
            router: Router::default(),
            interner: Interner::default(),
            stage: Stage::default(),
            events: Events::default(),
            windows,
            linked,
            links,
            sequences,
            max_ts: None,
            watermark: i64::MIN,
            settled: i64::MIN,
            applying: Applying::default(),
            next_due: i64::MAX,
            ended: Vec::new(),
            finished: Vec::new(),
            late: VecDeque::new(),
            refused: Vec::new(),
            next: VecDeque::new(),
            handed: Vec::new(),
            watch: None,
            outlet: None,
        }
    }

    /// Takes in one event.
    pub fn observe(&mut self, event: &UsageEvent<'_>, origin: Origin) -> Outcome {
        let head = Head::of(event);
        let late = match self.admit(&head, event.id()) {
            Ok(late) => late,
            Err(outcome) => return outcome,
        };
        let generation = self.generation(head.ts);
        let rules = Arc::clone(self.rules_of(generation));
        let mut router = std::mem::take(self.router_of(generation));
        let singles = router.route(&rules, event, late, &mut self.interner);
        let outcome = if late {
            self.count_undecided(generation, &router.undecided);
            self.take_late(&rules, singles)
        } else {
            let pending = Pending::of(&rules, &mut router, event, &mut self.interner);
            self.count_undecided(generation, &router.undecided);
            router.take_ties(&rules, event, &mut self.interner);
            let account = match router.account(event, pending.is_some()) {
                Some(account) => self.interner.intern(account.as_bytes()),
                None => NO_ACCOUNT,
            };
            let taken = Taken { account, words: &router.words, tied: &router.tied, singles, pending };
            self.take_in(&head, event.id(), origin, taken)
        };
        self.return_router(&rules, router);
        outcome
    }

    /// Whether a record is taken in: whether it is late, or what became of it instead.
    fn admit(&mut self, head: &Head, id: &str) -> Result<bool, Outcome> {
        self.books.received += 1;
        if head.is_future(&self.options) {
            self.books.rejected_future += 1;
            return Err(Outcome::Rejected(Refusal::Future));
        }
        match self.stage.seen(head.key, head.content, self.watermark) {
            Seen::New => {}
            Seen::Copy => {
                self.books.duplicate += 1;
                return Err(Outcome::Duplicate);
            }
            Seen::Larger { ts: waiting } if head.ts >= self.watermark => {
                if let Some(origin) = self.stage.displace(id, waiting) {
                    self.refuse_waiting(origin, id);
                }
            }
            Seen::Smaller | Seen::Larger { .. } => {
                self.books.rejected_conflicting += 1;
                return Err(Outcome::Rejected(Refusal::Conflicting));
            }
        }
        Ok(head.ts < self.watermark)
    }

    /// Looks at a record that is not to be taken in: it may replace one of its id that waits.
    fn heed(&mut self, event: &UsageEvent<'_>) {
        let head = Head::of(event);
        let seen = self.stage.seen(head.key, head.content, self.watermark);
        if let Seen::Larger { ts: waiting } = seen
            && head.ts >= self.watermark
        {
            if let Some(origin) = self.stage.displace(event.id(), waiting) {
                self.refuse_waiting(origin, event.id());
            }
            self.stage.note(head.key, head.ts, head.content);
        }
    }

    /// Counts a waiting event as refused: another record of its id has taken its place.
    fn refuse_waiting(&mut self, origin: Origin, id: &str) {
        self.books.evaluated -= 1;
        self.books.rejected_conflicting += 1;
        self.refused.push(Refused { origin, id: id.to_string(), refusal: Refusal::Conflicting });
    }

    /// Takes in an event behind the watermark.
    fn take_late(&mut self, rules: &RuleSet, singles: Vec<Violation>) -> Outcome {
        self.books.late += 1;
        self.finish_late(rules, singles);
        Outcome::Late
    }

    /// Makes an event wait for its turn.
    fn take_in(&mut self, head: &Head, id: &str, origin: Origin, taken: Taken<'_>) -> Outcome {
        self.books.evaluated += 1;
        let Taken { account, words, tied, singles, pending } = taken;
        let Head { key, ts, content, .. } = *head;
        self.stage.push(Arrival { key, id, ts, content, account, origin, words, tied, singles, pending });
        if self.max_ts.is_none_or(|max| ts > max) {
            self.max_ts = Some(ts);
            self.advance(Timestamp(ts.saturating_sub(self.options.lateness.0)));
        }
        Outcome::Evaluated
    }

    fn count_undecided(&mut self, generation: usize, rules: &[u32]) {
        let counts = match generation.checked_sub(1).and_then(|at| self.next.get_mut(at)) {
            Some(successor) => &mut successor.undecided,
            None => &mut self.undecided,
        };
        for rule in rules {
            if let Some(n) = counts.get_mut(*rule as usize) {
                *n += 1;
            }
        }
    }

    /// Violations of an event behind the watermark: what a budget of its day had to give is given away.
    fn finish_late(&mut self, rules: &RuleSet, mut singles: Vec<Violation>) {
        let rule = |v: &Violation| rules.program().rules.iter().find(|rule| rule.name == v.rule);
        let budgeted = |v: &Violation| rule(v).is_some_and(|rule| rule.budget.is_some());
        for v in singles.iter_mut().filter(|v| budgeted(v)) {
            v.actions.iter_mut().for_each(|p| p.withheld = Some(Withheld::Late));
        }
        if self.applying == Applying::AtOnce {
            self.finished.append(&mut singles);
        } else if !singles.is_empty() {
            self.late.push_back((self.passed(), singles));
        }
    }

    fn look(&mut self, event: &UsageEvent<'_>) {
        self.router.matches(&self.rules, event);
        let undecided = std::mem::take(&mut self.router.undecided);
        self.count_undecided(0, &undecided);
        self.router.undecided = undecided;
    }

    /// Names of the rules whose filter holds for an event, without taking the event in: what a rule would look at.
    pub fn matching(&mut self, event: &UsageEvent<'_>) -> impl Iterator<Item = &str> {
        self.look(event);
        let rules = &self.rules;
        self.router.matched.iter().flat_map(|n| rules.members(*n)).map(|(rule, _)| rule.name.as_str())
    }

    /// How many rules' filters hold for an event, without taking it in.
    pub fn count_matching(&mut self, event: &UsageEvent<'_>) -> usize {
        self.look(event);
        self.router.matched.iter().map(|n| self.rules.members(*n).count()).sum()
    }

    /// Declares that no event before `watermark` will come any more: judges every step that ends at or before it.
    pub fn advance(&mut self, watermark: Timestamp) {
        if watermark.0 <= self.watermark {
            return;
        }
        self.watermark = watermark.0;
        let until = self.passed();
        if until > self.settled && self.applying == Applying::AtOnce {
            self.settle(until);
        }
    }

    /// Up to where the watermark lets events be applied. Whole seconds: steps end on them, so nothing is judged late, and the
    /// work is done once a second of event time.
    fn passed(&self) -> i64 {
        self.watermark.div_euclid(SECOND_NS).saturating_mul(SECOND_NS)
    }

    /// After a snapshot ([`Evaluator::thaw`]): applies about so many of the events that have waited for it; whether there are
    /// more. What is found does not depend on how often this is called, only when.
    pub fn catch_up(&mut self, events: usize) -> bool {
        if self.applying != Applying::InParts {
            return false;
        }
        let until = self.passed();
        if (until > self.settled || !self.late.is_empty()) && !self.settle_part(until, events) {
            return true;
        }
        self.applying = Applying::AtOnce;
        false
    }

    /// The input has ended as a file does: judges every step that ends at or before the largest event time. Later events
    /// may still follow (an appended file).
    ///
    /// Not between [`Evaluator::freeze`] and [`Evaluator::thaw`].
    pub fn finish(&mut self) {
        debug_assert!(self.applying != Applying::Frozen, "the state is being written down");
        let Some(max) = self.max_ts.filter(|_| self.applying != Applying::Frozen) else { return };
        self.applying = Applying::AtOnce;
        self.watermark = self.watermark.max(max);
        self.settle(self.watermark);
        // No step that has been judged holds the events of the last moment; they wait on, should more of that time follow.
        self.advance_series(self.watermark);
        let Evaluator { rules, memories, series, undecided, interner, options, stage, finished, .. } = self;
        let sightings_max = options.memory_sightings;
        let mut answering = Answering { rules, memories, series, sightings_max, undecided };
        stage.answer(|id, e, pending| answering.answer(asking(id, e, interner), pending, finished));
        self.follow_last_moment();
        let told = self.stage.tell();
        self.finished.extend(told);
    }

    /// Applies every event before `until` and judges every step that ends at or before it.
    fn settle(&mut self, until: i64) {
        self.settle_part(until, usize::MAX);
    }

    /// Does so for about so many events; whether those were all. Where rules take over on the way, they do.
    fn settle_part(&mut self, until: i64, most: usize) -> bool {
        while let Some(at) = self.succession().filter(|at| *at <= until) {
            if !self.settle_stretch(at, most) || self.lacks_backfill() {
                return false;
            }
            self.take_over();
        }
        self.settle_stretch(until, most)
    }

    /// Does so under the rules in force.
    fn settle_stretch(&mut self, until: i64, most: usize) -> bool {
        loop {
            let before_late = self.late.front().map_or(until, |(passed, _)| until.min(*passed));
            if !self.apply_until(before_late, most) {
                return false;
            }
            match self.late.pop_front_if(|(passed, _)| *passed <= before_late) {
                Some((_, mut found)) => self.finished.append(&mut found),
                None => return true,
            }
        }
    }

    /// Applies and judges about so many events, never parting two of one time; whether those were all.
    fn apply_until(&mut self, until: i64, most: usize) -> bool {
        let (mut reached, mut left, mut last) = (until, most, i64::MIN);
        while self.stage.first_second().is_some_and(|s| s.saturating_mul(SECOND_NS) < reached) {
            let Some((second, mut bucket)) = self.stage.take_first() else { break };
            let mut events = bucket.take_sorted().into_iter();
            let mut rest = Vec::new();
            for e in events.by_ref() {
                if left == 0 && e.ts > last {
                    reached = reached.min(e.ts);
                }
                if e.ts >= reached {
                    rest.push(e);
                    break;
                }
                (left, last) = (left.saturating_sub(1), e.ts);
                if e.displaced {
                    continue;
                }
                if self.next_due <= e.ts {
                    self.judge(e.ts);
                }
                self.stage.release(e.key, e.ts, e.content);
                self.apply(&bucket, e);
            }
            rest.extend(events);
            if !rest.is_empty() {
                bucket.put_back(rest);
                self.stage.put_back(second, bucket);
                break;
            }
        }
        self.judge(reached);
        self.settled = self.settled.max(reached);
        self.events.settle(self.settled);
        self.events.forget_before(self.settled.saturating_sub(self.reach));
        if self.interner.wants_sweep() {
            self.sweep();
        }
        reached >= until
    }

    fn apply(&mut self, bucket: &stage::Bucket, e: stage::Waiting) {
        let (words, id) = (bucket.words(&e), bucket.id(&e));
        let mut e = e;
        self.finished.append(&mut e.singles);
        if let Some(outlet) = &mut self.outlet {
            let (words, tied, pending) = (words.to_vec(), bucket.tied(&e).to_vec(), e.pending.take());
            if !words.is_empty() || !tied.is_empty() || pending.is_some() {
                let (id, ts, content, account) = (id.to_string(), e.ts, e.content, e.account);
                outlet.push(keyed::Released { id, ts, content, account, words, tied, pending });
            }
            return;
        }
        self.advance_series(e.ts);
        let mut pending = e.pending.take();
        if let Some(pending) = &mut pending {
            let mut answering = Answering {
                rules: &self.rules,
                memories: &mut self.memories,
                series: &self.series,
                sightings_max: self.options.memory_sightings,
                undecided: &mut self.undecided,
            };
            answering.answer(asking(id, &e, &self.interner), pending, &mut self.finished);
        }
        let tied = bucket.tied(&e);
        if !tied.is_empty() && e.account != NO_ACCOUNT {
            self.apply_ties(e.account, e.ts, tied);
        }
        let answered = pending.as_ref().map_or(&[][..], |p| p.words());
        if words.is_empty() && answered.is_empty() {
            return;
        }
        let mut number = None;
        let mut changes = SmallVec::<[(u32, Change); 16]>::new();
        for (rule, record) in records(&self.rules, words).chain(records(&self.rules, answered)) {
            let Some(plan) = self.rules.rules.get(rule as usize) else { continue };
            match &plan.shape {
                ShapePlan::Windowed(w) => {
                    let Some(windows) = self.windows.get_mut(w.number as usize) else { continue };
                    let held = Held { ts: e.ts, content: e.content, account: e.account, id };
                    let number = *number.get_or_insert_with(|| self.events.push(held, self.options.events_held));
                    let change = windows.apply(w, plan.exceptions.len(), record, (e.ts, number), &self.interner);
                    // Of several keys an event, each may come to count it later.
                    if change.as_ref().is_none_or(|change| change.counted) {
                        self.events.keep(self.reaches.get(w.number as usize).copied().unwrap_or(u8::MAX));
                    }
                    changes.extend(change.map(|change| (w.number, change)));
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
                ShapePlan::Series(s) => {
                    if let Some(series) = self.series.get_mut(s.w.number as usize) {
                        series.apply(s, record, e.ts, &self.interner);
                    }
                }
                ShapePlan::Sequence(_) | ShapePlan::Single { .. } => {}
            }
        }
        self.account(&changes, e.ts);
    }

    /// Brings the series to a moment: all events before it are applied.
    fn advance_series(&mut self, ts: i64) {
        for (series, plan) in self.series.iter_mut().zip(self.rules.series()) {
            series.advance(plan, ts, &self.interner);
        }
    }

    /// Judges every due step that ends at or before `until`.
    fn judge(&mut self, until: i64) {
        // Series remember the steps of the longest window that asks, up to the moment that is judged: one moment at a time.
        while !self.series.is_empty() && self.next_due <= until {
            let moment = self.next_due;
            self.advance_series(moment);
            self.judge_due(moment);
        }
        if self.next_due <= until {
            self.judge_due(until);
        }
    }

    fn judge_due(&mut self, until: i64) {
        let rules = Arc::clone(&self.rules);
        let mut next = i64::MAX;
        for (leader, plan, w) in rules.leaders().filter(|(_, _, w)| w.view.is_none()) {
            let Some(windows) = self.windows.get_mut(w.number as usize) else { continue };
            let bench = Bench {
                events: &self.events,
                interner: &self.interner,
                series: &self.series,
                watch: self.watch.as_ref(),
            };
            while let Some(end) = windows.next_due().map(|step| step.saturating_mul(w.step)) {
                if end > until {
                    next = next.min(end);
                    break;
                }
                windows.judge_next(plan, w, &bench, &mut self.ended);
            }
            for e in self.ended.drain(..) {
                let evidence = e.episode.gathered.evidence();
                for (rule, plan) in rules.members(leader) {
                    let subject = Subject { program: rules.program(), rule, plan };
                    let (told, interner) = (Told::ended(&e, &evidence), &self.interner);
                    let mut v = match &e.merge {
                        Some(merge) => subject.merged(w, (&e.key, merge), told, interner),
                        None => subject.episode(w, &e.key, told, interner),
                    };
                    v.cut_since(windows.lost_since());
                    self.finished.push(v);
                }
            }
        }
        next = next.min(self.judge_links(&rules, until));
        self.account_freed();
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
        for (link, view) in self.links.iter().zip(&self.rules.links.views) {
            if let Some(plan) = self.rules.links.all.get(view.link as usize) {
                link.mark(plan, &mut mark);
            }
        }
        self.linked.iter().for_each(|episodes| episodes.mark(&mut mark));
        for (series, plan) in self.series.iter().zip(self.rules.series()) {
            series.mark(plan, &mut mark);
        }
        self.events.accounts().for_each(&mut mark);
        self.outlet.iter().flatten().for_each(|released| released.mark(&mut mark));
        for (e, words, tied) in self.stage.iter() {
            tied.iter().for_each(|word| mark(*word));
            mark(e.account);
            e.pending.iter().for_each(|p| p.mark(&mut mark));
            for (_, record) in records(self.rules_of(self.generation(e.ts)), words) {
                // Numbers among them mark symbols that they happen to equal; those then live until the next sweep.
                record.iter().skip(route::HEADER).for_each(|word| mark(*word));
            }
        }
        self.interner.sweep(&marked);
    }

    /// Violations that were opened, updated or closed since the last call, each once, in its present state, sorted by
    /// (opened_at, id). None between [`Evaluator::freeze`] and [`Evaluator::thaw`].
    pub fn take_violations(&mut self) -> Vec<Violation> {
        if self.applying == Applying::Frozen {
            return Vec::new();
        }
        let mut out = std::mem::take(&mut self.handed);
        out.append(&mut self.take_violations_settled());
        in_order(out)
    }

    /// Violations since the last call, settled under the rules in force, in no order.
    fn take_violations_settled(&mut self) -> Vec<Violation> {
        let mut out = self.hand_out();
        let rules = Arc::clone(&self.rules);
        self.outcomes.settle(&rules, &self.memories, self.options.delay_secret.as_ref(), &mut out);
        out
    }

    /// Violations since the last call, not settled, in no order.
    fn hand_out(&mut self) -> Vec<Violation> {
        let mut out = std::mem::take(&mut self.finished);
        let rules = Arc::clone(&self.rules);
        for (leader, _, w) in rules.leaders() {
            let Some(windows) = self.windows.get_mut(w.number as usize).filter(|w| w.has_episodes()) else { continue };
            let judged = self.settled.div_euclid(w.step);
            let (interner, lost_since) = (&self.interner, windows.lost_since());
            windows.clusters().each(|cluster, exempted| {
                let e = &mut cluster.episode;
                if e.is_news(judged) {
                    let evidence = e.gathered.evidence();
                    for (rule, plan) in rules.members(leader) {
                        let subject = Subject { program: rules.program(), rule, plan };
                        let told = Told::open(e, &evidence, exempted);
                        let mut v = subject.merged(w, (&cluster.key, &cluster.merge), told, interner);
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
                        let evidence = e.gathered.evidence();
                        for (rule, plan) in rules.members(leader) {
                            let subject = Subject { program: rules.program(), rule, plan };
                            let mut v = subject.episode(w, key, Told::open(e, &evidence, exempted), interner);
                            v.cut_since(lost_since);
                            out.push(v);
                        }
                    }
                }
            });
        }
        self.hand_out_linked(&rules, &mut out);
        self.hand_out_sequences(&rules, &mut out);
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
        let mut counts = self.undecided.clone();
        self.undecided_steps(&mut counts);
        let counted = counts.iter().enumerate().filter(|(_, n)| **n > 0);
        let series = |at: usize| self.rules.program().series.get(at.checked_sub(self.rules.program().rules.len())?);
        let named = counted.flat_map(|(leader, n)| {
            let rules = self.rules.members(leader as u32).map(|(rule, _)| (rule.name.clone(), *n));
            rules.chain(series(leader).map(|s| (s.name.clone(), *n)))
        });
        named.collect()
    }

    /// Per rule with cohorts, how many values, and per series, how many events were left out because there were too many
    /// cohorts or keys; those that lost none are left out.
    pub fn baselines_lost(&self) -> Vec<(String, u64)> {
        let mut lost = Vec::new();
        for (leader, _, w) in self.rules.leaders() {
            let n = self.windows.get(w.number as usize).map_or(0, Windows::cohorts_dropped);
            lost.extend(self.rules.members(leader).map(|(rule, _)| (rule.name.clone(), n)));
        }
        let series = self.series.iter().zip(&self.rules.program().series);
        lost.extend(series.map(|(state, s)| (s.name.clone(), state.dropped())));
        lost.retain(|(_, n)| *n > 0);
        lost
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

/// Findings sorted by (opened_at, id), each once: an event that comes again after it was forgotten is found again, and its
/// violation stands as told last.
fn in_order(mut found: Vec<Violation>) -> Vec<Violation> {
    let mut told = std::collections::HashSet::with_capacity(found.len());
    found.reverse();
    found.retain(|v| told.insert(v.id.clone()));
    found.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
    found
}

/// A waiting event as memory is asked by it.
fn asking<'a>(id: &'a str, e: &stage::Waiting, interner: &'a Interner) -> Asking<'a> {
    let account = (e.account != NO_ACCOUNT).then(|| std::str::from_utf8(interner.get(e.account)).unwrap_or(""));
    Asking { id, ts: e.ts, content: e.content, account }
}
