//! A front for gateways with many threads: decisions at arrival from memory, while rules change. Knows no clock and starts no
//! thread; its locks are the only thing of the world in it.
//!
//! [`Gate::decide`] answers a call, [`Gate::observe`] takes in a record that nobody waits for. The strictest of what bears on a
//! call is the answer: rules that can be judged at arrival ([`crate::inline`]), limits, and actions in force
//! ([`crate::enforce`]). Events of one group count in the order in which they come; threads that ask about different groups
//! do not meet, but for the moment in which they look into one part of the memory.

mod bear;
mod decide;
mod known;
mod limit;
mod saved;

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use self::known::Known;
use self::limit::{Quota, bounds};
use crate::decision::Decision;
use crate::enforce::Table;
use crate::eval::{Recalled, TestNames};
use crate::event::{FieldId, UsageEvent};
use crate::inline::limits::{Ask, LimitReader, Use, kept};
use crate::inline::quota::{Quotas, Told};
use crate::inline::{Asker, Calls, Heard, Panes, Plans, Throttles};
use crate::plan::RuleSet;
use crate::time::{Duration, MINUTE_NS};
use crate::value::Value;

pub use decide::Decided;
pub use known::FINDINGS_MAX;
pub use saved::GateError;

/// Parts of the memory, each behind a lock of its own.
const SHARDS: usize = 64;
/// Places from which threads take what they route with.
const POOLS: usize = 16;

/// Most groups of all rules, see [`GateOptions::groups_max`].
pub const GROUPS_MAX: usize = 1 << 22;
/// Most events that are remembered by their ids, see [`GateOptions::ids_max`].
pub const IDS_MAX: usize = 1 << 22;
/// Most calls under way, see [`GateOptions::calls_max`].
pub const CALLS_MAX: usize = 1 << 19;
/// Most targets of throttles, see [`GateOptions::targets_max`].
pub const TARGETS_MAX: usize = 1 << 20;

/// How a gate keeps its memory. Bounds are shared out evenly over its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateOptions {
    /// From which texts are hashed; a secret keeps callers from choosing names that fall together. A restored gate keeps
    /// the one that it had.
    pub seed: u64,
    /// How far an event may lie behind the newest of its group and still count, rounded up to whole steps.
    pub lateness: Duration,
    /// How far an event may lie after its own ingest time, where it has one; beyond, it neither counts nor is judged.
    pub future: Duration,
    /// For how long events are remembered by their ids, and calls under way; at most twice that.
    pub remember: Duration,
    /// How long a group stays of which nothing counts any more, by the events of others: threads and sources whose clocks are
    /// no further apart never see each other in an answer.
    pub idle: Duration,
    /// Most groups; above it the least promising of a few go first.
    pub groups_max: usize,
    /// Most events remembered by their ids; above it the oldest are forgotten earlier.
    pub ids_max: usize,
    /// Most calls under way that count ahead in groups which their completions may not reach.
    pub calls_max: usize,
    /// Most targets of throttles in their present span; above it all are forgotten.
    pub targets_max: usize,
}

impl Default for GateOptions {
    fn default() -> Self {
        GateOptions {
            seed: 0,
            lateness: Duration(5 * MINUTE_NS),
            future: Duration(5 * MINUTE_NS),
            remember: Duration(10 * MINUTE_NS),
            idle: Duration(10 * MINUTE_NS),
            groups_max: GROUPS_MAX,
            ids_max: IDS_MAX,
            calls_max: CALLS_MAX,
            targets_max: TARGETS_MAX,
        }
    }
}

/// What became of what a gate was told, and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GateCounts {
    /// Calls that were decided.
    pub decided: u64,
    /// Records that were observed.
    pub observed: u64,
    /// Of both, those whose id was known: they do not count again.
    pub duplicate: u64,
    /// Of both, those too far in the future: they do not count, and are let pass.
    pub future: u64,
    /// Records of groups that came too late to count.
    pub late: u64,
    /// Groups held.
    pub groups: u64,
    /// Groups that went for want of room.
    pub groups_lost: u64,
    /// Events whose ids were forgotten early, for want of room.
    pub ids_lost: u64,
    /// Calls that no longer count ahead, for want of room.
    pub ahead_lost: u64,
    /// Calls under way that were forgotten early, for want of room.
    pub calls_lost: u64,
    /// Targets of throttles that were forgotten within their span, for want of room.
    pub targets_lost: u64,
    /// Findings under way that decisions do not name, for want of room.
    pub findings_lost: u64,
}

/// Rules as they answer.
#[derive(Debug)]
struct Active {
    /// How often rules were changed before.
    epoch: u64,
    rules: Arc<RuleSet>,
    plans: Plans,
    /// How many limits there are.
    kept: usize,
}

/// What one thread routes with.
#[derive(Debug)]
struct Worker {
    epoch: u64,
    asker: Asker,
    limits: LimitReader,
    asks: Vec<Ask>,
    uses: Vec<Use>,
}

/// One part of the memory.
#[derive(Debug)]
struct Shard {
    panes: Panes,
    heard: Heard,
    calls: Calls,
    throttles: Throttles,
    decided: u64,
    observed: u64,
    duplicate: u64,
    future: u64,
}

/// Answers calls; shared by all threads of a gateway.
#[derive(Debug)]
pub struct Gate {
    active: RwLock<Arc<Active>>,
    table: RwLock<Table>,
    known: RwLock<Known>,
    shards: Box<[Mutex<Shard>; SHARDS]>,
    quotas: Box<[Mutex<Quota>; SHARDS]>,
    pools: Box<[Mutex<Vec<Worker>>]>,
    options: GateOptions,
}

/// A lock whose holder panicked is taken all the same: nothing is left half done that a later event could not bear.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// A gate for these rules, with the usual options.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        Gate::with(rules, GateOptions::default())
    }

    /// A gate for these rules.
    pub fn with(rules: Arc<RuleSet>, options: GateOptions) -> Self {
        let kept = kept(&rules);
        let quota = |_| Mutex::new(Quota { epoch: 0, all: Quotas::new(kept.clone(), bounds()) });
        let quotas = Box::new(std::array::from_fn(quota));
        Gate {
            active: RwLock::new(Arc::new(Active::new(0, rules, options.lateness))),
            quotas,
            table: RwLock::new(Table::default()),
            known: RwLock::default(),
            shards: Box::new(std::array::from_fn(|_| Mutex::new(Shard::new(&options)))),
            pools: (0..POOLS).map(|_| Mutex::new(Vec::new())).collect(),
            options,
        }
    }

    /// Answers a call at arrival, and takes it in. An event whose id was heard of within [`GateOptions::remember`] is
    /// answered again and does not count again.
    ///
    /// A gateway asks with an event of kind `request` and later reports one of kind `completion`, both with the same `call`
    /// and ids of their own. The request is judged as the completion that it will become; see [`crate::inline`].
    pub fn decide(&self, event: &UsageEvent<'_>) -> Decision {
        self.decide_and_act(event).decision
    }

    /// As [`Gate::decide`], with what is to begin: rules whose actions outlast the call.
    pub fn decide_and_act(&self, event: &UsageEvent<'_>) -> Decided {
        self.routed(|active, worker| self.answer(active, worker, event))
    }

    /// Takes in a record that nobody waits for: what a log tells, a call that has ended. A completion takes the place of what its
    /// call counted ahead.
    pub fn observe(&self, event: &UsageEvent<'_>) {
        self.routed(|active, worker| self.take_in(active, worker, event));
    }

    /// Takes in an event that a journal gives back: as it was observed, or `asked` about. What was asked about is answered again
    /// as far as the journal tells, so that what passed holds its part of throttles and limits, and counts ahead. What is known
    /// by its id changes nothing. `names` are those of the rules that wrote the journal.
    pub fn recall(&self, recalled: &Recalled, names: &TestNames, asked: bool) {
        self.routed(|active, worker| {
            worker.asker.tell(recalled, names);
            match asked {
                true => self.answer_again(active, worker, &recalled.event),
                false => self.take_in(active, worker, &recalled.event),
            }
            worker.asker.untell();
        });
    }

    /// Looks at the actions; calls are answered meanwhile.
    pub fn table<R>(&self, look: impl FnOnce(&Table) -> R) -> R {
        look(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes which actions are in force.
    pub fn enforce<R>(&self, change: impl FnOnce(&mut Table) -> R) -> R {
        change(&mut self.table.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes other rules from now on; calls that are being answered are answered by those before. What was counted stays
    /// for rules that find the same as before, whatever they are called and do; others begin with nothing.
    pub fn reload(&self, rules: Arc<RuleSet>) {
        let mut next = Active::new(0, rules, self.options.lateness);
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        next.epoch = active.epoch + 1;
        *active = Arc::new(next);
    }

    /// The rules that answer.
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.active().rules)
    }

    /// What became of what it was told.
    pub fn counts(&self) -> GateCounts {
        let mut sum = GateCounts::default();
        for shard in self.shards.iter() {
            let shard = held(shard);
            sum.decided += shard.decided;
            sum.observed += shard.observed;
            sum.duplicate += shard.duplicate;
            sum.future += shard.future;
            sum.late += shard.panes.lost.late;
            sum.groups += shard.panes.len() as u64;
            sum.groups_lost += shard.panes.lost.groups;
            sum.ids_lost += shard.heard.lost;
            sum.ahead_lost += shard.panes.lost.ahead;
            sum.calls_lost += shard.calls.lost;
            sum.targets_lost += shard.throttles.lost;
        }
        sum.findings_lost = self.known.read().unwrap_or_else(PoisonError::into_inner).lost;
        sum
    }

    /// What went otherwise than it should with limits.
    pub fn limits_told(&self) -> Told {
        self.quotas.iter().fold(Told::default(), |sum, quota| sum.plus(held(quota).all.told()))
    }

    /// Bytes that the groups take. Goes through all of them.
    pub fn group_bytes(&self) -> usize {
        self.shards.iter().map(|shard| held(shard).panes.heap_bytes()).sum()
    }

    fn active(&self) -> Arc<Active> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The low bits tell places in the tables of a shard apart.
        let [first, others @ ..] = &*self.shards;
        let at = (hash >> 32) as usize % SHARDS;
        held(at.checked_sub(1).and_then(|at| others.get(at)).unwrap_or(first))
    }

    /// Runs `f` with what a thread routes with.
    fn routed<R>(&self, f: impl FnOnce(&Active, &mut Worker) -> R) -> R {
        let active = self.active();
        let thread = foldhash::fast::FixedState::default().hash_one(std::thread::current().id());
        let pool = self.pools.get(thread as usize % POOLS);
        let spare = pool.and_then(|pool| held(pool).pop()).filter(|worker| worker.epoch == active.epoch);
        let fresh = || Worker::new(active.epoch, self.options.seed);
        let mut worker = spare.unwrap_or_else(fresh);
        let result = f(&active, &mut worker);
        if let Some(pool) = pool {
            held(pool).push(worker);
        }
        result
    }

    /// Whether an event lies too far after the time at which it was taken in.
    fn is_future(&self, event: &UsageEvent<'_>) -> bool {
        match event.get(FieldId::INGEST_TS) {
            Value::Num(taken_in) => event.ts().0 > taken_in.saturating_add(self.options.future.0),
            _ => false,
        }
    }
}

impl Active {
    fn new(epoch: u64, rules: Arc<RuleSet>, lateness: Duration) -> Active {
        let plans = Plans::new(&rules, lateness);
        Active { epoch, plans, kept: rules.limits().count(), rules }
    }
}

impl Worker {
    fn new(epoch: u64, seed: u64) -> Worker {
        let limits = LimitReader::default();
        Worker { epoch, asker: Asker::new(seed), limits, asks: Vec::new(), uses: Vec::new() }
    }
}

impl Shard {
    fn new(options: &GateOptions) -> Shard {
        let of = |all: usize| (all / SHARDS).max(1);
        let remember = options.remember.0.max(0);
        Shard {
            panes: Panes::new(of(options.groups_max), options.idle.0.max(0)),
            heard: Heard::new(remember, of(options.ids_max)),
            calls: Calls::new(remember, of(options.calls_max)),
            throttles: Throttles::new(of(options.targets_max)),
            decided: 0,
            observed: 0,
            duplicate: 0,
            future: 0,
        }
    }
}
