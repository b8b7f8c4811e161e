//! All actions: what follows from the entries, and who is borne on by what.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use super::action::{Action, State, position};
use super::entry::{Act, ActionId, Actor, Entry, Proposed};
use super::target::{Scope, Terms};
use crate::time::{DAY_NS, Duration, Timestamp};

/// Most entries that one call of [`Table::due`] returns; the rest comes with the next.
pub const DUE_MAX: usize = 10_000;

/// Terms that are kept at least, in use or not, before those that are not are let go of.
const TERMS_SWEEP: usize = 1_024;

/// How a table works. Each bound is one of memory: what goes stays in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How many people have to approve an action that waits for review.
    pub approvals: u8,
    /// A finding that was last true longer ago than this acts only after review, beyond a flag: nobody is to be blocked today
    /// for what a backlog tells of last month.
    pub stale_after: Duration,
    /// Most ended actions that are kept with all they say.
    pub ended_max: usize,
    /// Most ids of ended actions beyond those that are remembered, so that they are not proposed again.
    pub settled_max: usize,
    /// Most actions of rules in shadow mode that are kept; the oldest go.
    pub shadow_max: usize,
    /// Most alerts that are remembered; the oldest go.
    pub alerts_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            approvals: 1,
            stale_after: Duration(DAY_NS),
            ended_max: 10_000,
            settled_max: 1_000_000,
            shadow_max: 100_000,
            alerts_max: 1_000_000,
        }
    }
}

pub(super) type Fast<K, V> = HashMap<K, V, FixedState>;
pub(super) type Index = Fast<Arc<str>, SmallVec<[ActionId; 1]>>;

/// By rule: accounts (of groups too), keys and organisations.
pub(super) type Spared = BTreeMap<String, BTreeSet<(Scope, String)>>;

/// Things in the order in which they came, of which the oldest go.
pub(super) type Queue = VecDeque<ActionId>;

/// All actions. Two tables are equal where their actions are and what they remember of others.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub(super) options: Options,
    pub(super) seq: u64,
    pub(super) actions: Fast<ActionId, Action>,
    pub(super) accounts: Index,
    pub(super) keys: Index,
    pub(super) orgs: Index,
    clock: BTreeSet<(Timestamp, ActionId)>,
    terms: HashSet<Arc<Terms>, FixedState>,
    /// Ended actions that are still told, and those of which only the id is known.
    pub(super) ended: Queue,
    pub(super) settled: Queue,
    is_settled: HashSet<ActionId, FixedState>,
    pub(super) shadows: Queue,
    /// Whom each rule's actions bear on no more.
    pub(super) spared: Spared,
    /// How many accounts each alert named last.
    pub(super) alerted: Fast<ActionId, u64>,
    pub(super) alerts: Queue,
}

impl PartialEq for Table {
    fn eq(&self, other: &Table) -> bool {
        self.seq == other.seq
            && self.actions == other.actions
            && self.spared == other.spared
            && self.alerted == other.alerted
            && self.ended == other.ended
            && self.settled == other.settled
            && self.shadows == other.shadows
            && self.alerts == other.alerts
    }
}

impl Table {
    /// A table without actions.
    pub fn new(options: Options) -> Self {
        Table { options, ..Table::default() }
    }

    /// The highest number of an entry that was applied; 0 where none had one.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// How many actions it knows, ended ones among them.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// The action with this id, as long as it is kept.
    pub fn get(&self, id: ActionId) -> Option<&Action> {
        self.actions.get(&id)
    }

    /// All that are kept, by the moment of their proposal and their id.
    pub fn actions(&self) -> Vec<&Action> {
        let mut all: Vec<&Action> = self.actions.values().collect();
        all.sort_unstable_by_key(|a| (a.proposed_at, a.id));
        all
    }

    /// How many stand in each state, in the order of [`State::WORDS`].
    pub fn tally(&self) -> Vec<(&'static str, u64)> {
        let mut n: BTreeMap<&str, u64> = BTreeMap::new();
        for action in self.actions.values() {
            *n.entry(action.state.word()).or_default() += 1;
        }
        State::WORDS.iter().map(|word| (*word, n.get(word).copied().unwrap_or(0))).collect()
    }

    /// Applies an entry; whether anything changed. One that was applied already changes nothing.
    pub fn apply(&mut self, e: &Entry) -> bool {
        if e.seq != 0 {
            if e.seq <= self.seq {
                return false;
            }
            self.seq = e.seq;
        }
        match &e.act {
            Act::Proposed(p) => self.add(e, p),
            Act::Alerted(alert) => self.note_alert(e.action, alert.n_accounts),
            Act::MembersAdded { members } => self.add_members(e.action, members),
            Act::MemberReleased { member } => self.release_one(e, member),
            _ => self.step(e),
        }
    }

    fn add(&mut self, e: &Entry, p: &Proposed) -> bool {
        if self.actions.contains_key(&e.action) || self.is_settled.contains(&e.action) {
            return false;
        }
        let terms = match self.terms.get(&p.terms) {
            Some(known) => Arc::clone(known),
            None => {
                let terms = Arc::new(p.terms.clone());
                self.terms.insert(Arc::clone(&terms));
                terms
            }
        };
        let action = Action::new(e, p, terms);
        match action.state {
            State::Shadow(_) => self.shadows.push_back(e.action),
            state if state.is_over() => self.ended.push_back(e.action),
            _ => {}
        }
        self.insert(action);
        self.trim();
        true
    }

    /// Takes in an action that is not there.
    pub(super) fn insert(&mut self, mut action: Action) {
        let id = action.id;
        if let Some(known) = self.terms.get(&action.terms) {
            action.terms = Arc::clone(known);
        } else {
            self.terms.insert(Arc::clone(&action.terms));
        }
        let next = action.next();
        if !action.state.is_over() {
            let index = self.index(action.terms.scope);
            for member in &action.members {
                note(index, member, id);
            }
        }
        if let Some(next) = next {
            self.clock.insert((next, id));
        }
        self.actions.insert(id, action);
        if self.terms.len() >= TERMS_SWEEP.max(2 * self.actions.len()) {
            self.terms.retain(|t| Arc::strong_count(t) > 1);
        }
    }

    fn index(&mut self, scope: Scope) -> &mut Index {
        match scope {
            Scope::Account | Scope::Group => &mut self.accounts,
            Scope::Key => &mut self.keys,
            Scope::Org => &mut self.orgs,
        }
    }

    /// Lets go of the oldest where there are too many: of what has ended and of shadows the ids are kept for a while.
    pub(super) fn trim(&mut self) {
        while self.ended.len() > self.options.ended_max {
            let Some(oldest) = self.ended.pop_front() else { break };
            self.actions.remove(&oldest);
            self.settle(oldest);
        }
        while self.shadows.len() > self.options.shadow_max {
            let Some(oldest) = self.shadows.pop_front() else { break };
            // One that has ended meanwhile is among the ended.
            if self.actions.get(&oldest).is_none_or(|a| a.state.is_over()) {
                continue;
            }
            let Some(action) = self.actions.remove(&oldest) else { continue };
            self.unindex(&action);
            self.settle(oldest);
        }
        while self.alerts.len() > self.options.alerts_max {
            let Some(oldest) = self.alerts.pop_front() else { break };
            self.alerted.remove(&oldest);
        }
    }

    pub(super) fn settle(&mut self, id: ActionId) {
        self.is_settled.insert(id);
        self.settled.push_back(id);
        while self.settled.len() > self.options.settled_max {
            let Some(oldest) = self.settled.pop_front() else { break };
            self.is_settled.remove(&oldest);
        }
    }

    fn unindex(&mut self, action: &Action) {
        if let Some(next) = action.next() {
            self.clock.remove(&(next, action.id));
        }
        let index = self.index(action.terms.scope);
        for member in &action.members {
            forget(index, member, action.id);
        }
    }

    fn step(&mut self, e: &Entry) -> bool {
        let Some(action) = self.actions.get_mut(&e.action) else { return false };
        let (was_over, before) = (action.state.is_over(), action.next());
        if !action.step(e) {
            return false;
        }
        let (is_over, next) = (action.state.is_over(), action.next());
        if before != next {
            before.map(|at| self.clock.remove(&(at, e.action)));
            next.map(|at| self.clock.insert((at, e.action)));
        }
        if is_over && !was_over {
            self.close(e.action);
        }
        true
    }

    /// An action has ended.
    fn close(&mut self, id: ActionId) {
        // Taken out for a moment, so that its members need not be copied.
        if let Some(action) = self.actions.remove(&id) {
            self.unindex(&action);
            self.actions.insert(id, action);
        }
        self.ended.push_back(id);
        self.trim();
    }

    fn add_members(&mut self, id: ActionId, members: &[String]) -> bool {
        let Some(action) = self.actions.get_mut(&id).filter(|a| !a.state.is_over()) else { return false };
        let index = match action.terms.scope {
            Scope::Account | Scope::Group => &mut self.accounts,
            Scope::Key => &mut self.keys,
            Scope::Org => &mut self.orgs,
        };
        let mut changed = false;
        for member in members {
            if action.is_released(member) || action.bears_on(member) {
                continue;
            }
            let member: Arc<str> = Arc::from(member.as_str());
            note(index, &member, id);
            action.members.push(member);
            changed = true;
        }
        action.members.sort_unstable();
        changed
    }

    fn release_one(&mut self, e: &Entry, member: &str) -> bool {
        let Some(action) = self.actions.get_mut(&e.action).filter(|a| !a.state.is_over()) else { return false };
        let Ok(at) = position(&action.members, member) else { return false };
        let member = action.members.remove(at);
        if let Err(at) = position(&action.released, &member) {
            action.released.insert(at, Arc::clone(&member));
        }
        let (scope, is_last) = (action.terms.scope, action.members.is_empty());
        let spared = self.spared.entry(action.terms.rule.clone()).or_default();
        spared.insert((scope.of_members(), member.to_string()));
        let before = action.next();
        if is_last {
            action.end(State::Released, e);
        }
        forget(self.index(scope), &member, e.action);
        if is_last {
            before.map(|at| self.clock.remove(&(at, e.action)));
            self.close(e.action);
        }
        true
    }

    fn note_alert(&mut self, id: ActionId, n_accounts: u64) -> bool {
        match self.alerted.get_mut(&id) {
            Some(known) if *known >= n_accounts => return false,
            Some(known) => *known = n_accounts,
            None => {
                self.alerted.insert(id, n_accounts);
                self.alerts.push_back(id);
                self.trim();
            }
        }
        true
    }

    /// Whether an action of this id was proposed once.
    pub(super) fn knows(&self, id: ActionId) -> bool {
        self.actions.contains_key(&id) || self.is_settled.contains(&id)
    }

    /// What has become due, the earliest first, at most [`DUE_MAX`] entries: delays that have passed and ends that were
    /// reached. The same again until the entries are applied.
    pub fn due(&self, now: Timestamp) -> Vec<Entry> {
        let past = self.clock.iter().take_while(|(at, _)| *at <= now).take(DUE_MAX);
        let actions = past.filter_map(|(_, id)| self.actions.get(id));
        actions.filter_map(|action| due_of(action, now)).collect()
    }

    /// When [`Table::due`] will have something to say.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.clock.first().map(|(at, _)| *at)
    }
}

/// What has become due of one action.
pub(super) fn due_of(action: &Action, now: Timestamp) -> Option<Entry> {
    let entry = |act, reason: &str| Entry {
        seq: 0,
        at: now,
        actor: Actor::Fineprint,
        action: action.id,
        act,
        reason: reason.to_string(),
    };
    let due = action.next().filter(|at| *at <= now)?;
    match action.state {
        State::Delayed(_) => {
            let until = action.terms.duration.map(|d| now.saturating_add(d));
            let waited = action.delay.is_some();
            Some(entry(Act::Taken { until }, if waited { "its delay has passed" } else { "" }))
        }
        _ => Some(entry(Act::Expired { until: due }, "its time was over")),
    }
}

fn note(index: &mut Index, member: &Arc<str>, id: ActionId) {
    let ids = index.entry(Arc::clone(member)).or_default();
    if !ids.contains(&id) {
        ids.push(id);
    }
}

fn forget(index: &mut Index, member: &str, id: ActionId) {
    let Some(ids) = index.get_mut(member) else { return };
    ids.retain(|known| *known != id);
    if ids.is_empty() {
        index.remove(member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Verdict;
    use crate::enforce::Held;
    use crate::hir::{Mode, Severity};

    /// Rules that are changed again and again leave no terms behind.
    #[test]
    fn terms_that_no_action_has_any_more_are_let_go_of() {
        let mut table = Table::new(Options { ended_max: 3, ..Options::default() });
        for n in 0..3 * TERMS_SWEEP as u64 {
            let terms = Terms {
                rule: "changed".into(),
                rule_hash: n.to_string(),
                clause: String::new(),
                severity: Severity::Low,
                mode: Mode::Enforce,
                number: 0,
                written: "flag".into(),
                asked: Verdict::Flag,
                rate: None,
                scope: Scope::Account,
                duration: None,
                approvals: 1,
                reason: String::new(),
            };
            let (violation, held) = (n.to_string(), Some(Held::NoTarget));
            let action = ActionId::new(&violation, 0);
            let proposed = Proposed { violation, terms, members: vec![], review: false, delay: None, held };
            let (act, actor, at) = (Act::Proposed(Box::new(proposed)), Actor::Fineprint, Timestamp(0));
            table.apply(&Entry { seq: n + 1, at, actor, action, act, reason: String::new() });
            assert!(table.terms.len() <= TERMS_SWEEP, "{n}");
        }
        assert_eq!(table.len(), 3);
    }
}
