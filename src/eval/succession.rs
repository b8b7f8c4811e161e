//! Rules that take over from others at an event time, while events come.
//!
//! Events before that time are the old rules' and events from it on the new ones', in whatever order they come: so what is
//! found stays a function of the set of events. The time is one that no event has reached when the new rules are handed in.
//! Once the watermark has passed it, the old rules have judged every step that ends by then, no event of theirs waits any
//! more, and the new ones take over:
//!
//! - what a definition has counted goes on where the new rules have the same definition ([`canonical_definition`]), exactly;
//! - what a rule has counted goes on where it is said that it keeps it, and its windows, keys and aggregates are the same;
//! - what a rule counts in the journal goes on where it is said that it is backfilled;
//! - every other rule begins with nothing;
//! - violations under way of a rule that is not there any more as it was (by name and hash) close at that time;
//! - memories, links and series belong to what they ask, not to a rule: they go on where anybody asks the same;
//! - budgets go on by the name of their rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::link::Link;
use super::outcome::{Budget, Outcomes};
use super::recall::{Recalled, TestNames};
use super::room::Room;
use super::route::Router;
use super::sequence::Sequences;
use super::series::Series;
use super::window::{LinkedEpisodes, Windows};
use super::{Applying, EvalOptions, Evaluator, Memories, Origin};
use crate::event::FIELDS;
use crate::hir::{
    Changed, Program, Rule, Shape, canonical_definition, canonical_link, canonical_rule, canonical_series,
};
use crate::plan::RuleSet;
use crate::plan::rule::RulePlan;
use crate::time::{SECOND_NS, Timestamp};
use crate::violation::{Status, Violation};

/// Most rule sets that wait for their time at once.
pub const SUCCESSORS_MAX: usize = 64;

/// What becomes of what a changed rule has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Carry {
    /// It begins with nothing.
    #[default]
    Reset,
    /// It goes on, under the new condition.
    Keep,
    /// It counts what the journal still holds, as if it had been there.
    Backfill,
}

impl Carry {
    /// The word in settings and answers.
    pub fn word(self) -> &'static str {
        match self {
            Carry::Reset => "reset",
            Carry::Keep => "keep",
            Carry::Backfill => "backfill",
        }
    }

    /// What a word says.
    pub fn from_word(word: &str) -> Option<Carry> {
        [Carry::Reset, Carry::Keep, Carry::Backfill].into_iter().find(|c| c.word() == word)
    }
}

/// What becomes of changed rules: by name, and of all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carries {
    /// Rules of which it is said by name.
    pub rules: BTreeMap<String, Carry>,
    /// All other changed rules.
    pub otherwise: Carry,
}

impl Carries {
    /// The same where rules say it themselves, which goes before what is said of them.
    pub fn as_said(&self, program: &Program) -> Carries {
        let said = |rule: &Rule| {
            let carry = match rule.changed? {
                Changed::Reset => Carry::Reset,
                Changed::Keep => Carry::Keep,
                Changed::Backfill => Carry::Backfill,
            };
            Some((rule.name.clone(), carry))
        };
        let mut carries = self.clone();
        carries.rules.extend(program.rules.iter().filter_map(said));
        carries
    }
}

/// Why rules cannot take over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// What a rule has counted means something else under the new one.
    #[error(
        "`{rule}` cannot keep what it has counted: {why}. Write `reset` for it, and it begins with nothing; or give the rule \
         as it is now another name, and keep the old one beside it until its window is over"
    )]
    CannotKeep {
        /// The rule.
        rule: String,
        /// What differs.
        why: String,
    },
    /// The journal does not hold what a rule looks at.
    #[error(
        "`{rule}` cannot be backfilled: {why}. Write `reset` for it, and it begins with nothing; what comes from then on is \
         journaled as it needs it"
    )]
    CannotBackfill {
        /// The rule.
        rule: String,
        /// What is missing.
        why: String,
    },
    /// Too many wait already.
    #[error("{SUCCESSORS_MAX} changes of rules wait for their time already, which comes with events; try again later")]
    TooMany,
}

/// What becomes of each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It means the same as before: nothing shows.
    Unchanged,
    /// It finds the same, but is called, graded or worded otherwise: its violations under way close, and go on under another
    /// id.
    Renamed,
    /// It goes on with what it has counted.
    Kept,
    /// It counts what the journal still holds.
    Backfilled,
    /// It begins with nothing.
    Reset,
    /// It was not there before.
    New,
    /// It is not there any more.
    Removed,
}

impl Fate {
    /// The word in answers and logs.
    pub fn word(self) -> &'static str {
        match self {
            Fate::Unchanged => "unchanged",
            Fate::Renamed => "renamed",
            Fate::Kept => "kept",
            Fate::Backfilled => "backfilled",
            Fate::Reset => "reset",
            Fate::New => "new",
            Fate::Removed => "removed",
        }
    }
}

/// Rules that wait for their time.
#[derive(Debug)]
pub(super) struct Successor {
    /// From this event time on; a whole second.
    pub(super) at: i64,
    pub(super) rules: Arc<RuleSet>,
    pub(super) router: Router,
    pub(super) undecided: Vec<u64>,
    /// Names of the changed rules that keep what they have counted.
    pub(super) keeps: BTreeSet<String>,
    /// Names of the rules that count what the journal holds, and what came of it.
    pub(super) backfills: BTreeSet<String>,
    pub(super) backfilled: Option<Box<Backfill>>,
}

/// What is saved of a successor; its rules are found by their hash.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedSuccessor {
    pub(super) at: i64,
    pub(super) bundle: String,
    pub(super) undecided: Vec<u64>,
    pub(super) keeps: BTreeSet<String>,
    pub(super) backfills: BTreeSet<String>,
}

impl Successor {
    pub(super) fn saved(&self) -> SavedSuccessor {
        SavedSuccessor {
            at: self.at,
            bundle: self.rules.bundle_hash().to_string(),
            undecided: self.undecided.clone(),
            keeps: self.keeps.clone(),
            backfills: self.backfills.clone(),
        }
    }
}

/// What of a rule must be the same for another to go on with what it has counted: all but the bound that it is held against,
/// what is said about it and what is done.
fn shape(program: &Program, rule: &Rule) -> Result<String, String> {
    if !matches!(rule.shape, Shape::Windowed(_)) {
        return Err("it does not count over windows".to_string());
    }
    let told = [
        "name ",
        "enforces ",
        "severity ",
        "confidence ",
        "mode ",
        "action ",
        "budget ",
        "rollout ",
        "when ",
        "value ",
        "because",
        "cooldown_ns ",
    ];
    let text = canonical_rule(program, rule);
    Ok(text.lines().filter(|line| !told.iter().any(|t| line.starts_with(t))).map(|line| format!("{line}\n")).collect())
}

/// What differs between two shapes, in a few words.
fn difference(old: &str, new: &str) -> &'static str {
    let part = |text: &str, heads: &[&str]| -> Vec<String> {
        text.lines().filter(|line| heads.iter().any(|h| line.starts_with(h))).map(str::to_string).collect()
    };
    let parts: [(&[&str], &'static str); 5] = [
        (&["on ", "where "], "it looks at other events"),
        (&["per ", "only ", "linked ", "tied "], "its groups are others"),
        (&["length_ns ", "step_ns ", "session_gap_ns "], "its window is another"),
        (&["aggregate "], "it counts something else"),
        (&["except "], "its exceptions are others"),
    ];
    let differs = parts.into_iter().find(|(heads, _)| part(old, heads) != part(new, heads));
    differs.map_or("it counts something else", |(_, what)| what)
}

/// What becomes of the rules of one set when another takes over, by name.
///
/// # Errors
/// Where a rule cannot keep what it is said to.
pub fn fates(old: &RuleSet, new: &RuleSet, carries: &Carries) -> Result<BTreeMap<String, Fate>, SuccessionError> {
    let sets = (old, new);
    let (old, new) = (old.program(), new.program());
    let known: HashMap<&str, &Rule> = old.rules.iter().map(|r| (r.name.as_str(), r)).collect();
    let definitions: BTreeSet<String> = old.rules.iter().map(|r| canonical_definition(old, r)).collect();
    let mut fates: BTreeMap<String, Fate> = old.rules.iter().map(|r| (r.name.clone(), Fate::Removed)).collect();
    for rule in &new.rules {
        let before = known.get(rule.name.as_str()).copied();
        let fate = match before {
            Some(before) if canonical_rule(old, before) == canonical_rule(new, rule) => Fate::Unchanged,
            _ if definitions.contains(&canonical_definition(new, rule)) => Fate::Renamed,
            None if carries.rules.get(&rule.name) == Some(&Carry::Backfill) => backfill(sets, rule)?,
            None => Fate::New,
            Some(before) => match carries.rules.get(&rule.name).copied().unwrap_or(carries.otherwise) {
                Carry::Reset => Fate::Reset,
                Carry::Backfill => match backfill(sets, rule) {
                    // What is said of all rules holds where it can.
                    Err(_) if !carries.rules.contains_key(&rule.name) => Fate::Reset,
                    fate => fate?,
                },
                Carry::Keep => {
                    let cannot = |why: String| SuccessionError::CannotKeep { rule: rule.name.clone(), why };
                    if sets
                        .1
                        .rules
                        .iter()
                        .zip(&new.rules)
                        .any(|(p, r)| r.name == rule.name && p.window().is_some_and(|w| w.many.is_some()))
                    {
                        return Err(cannot("an event has several of its keys".to_string()));
                    }
                    let (was, is) = (shape(old, before).map_err(cannot)?, shape(new, rule).map_err(cannot)?);
                    if was != is {
                        return Err(cannot(difference(&was, &is).to_string()));
                    }
                    Fate::Kept
                }
            },
        };
        fates.insert(rule.name.clone(), fate);
    }
    Ok(fates)
}

impl Evaluator {
    /// The rules in force for events of a time.
    pub fn rules_at(&self, ts: Timestamp) -> &Arc<RuleSet> {
        match self.generation(ts.0).checked_sub(1).and_then(|at| self.next.get(at)) {
            Some(successor) => &successor.rules,
            None => &self.rules,
        }
    }

    /// The rules that were handed in last.
    pub fn latest_rules(&self) -> &Arc<RuleSet> {
        self.next.back().map_or(&self.rules, |s| &s.rules)
    }

    /// The rules in force and those that wait for their time, by their bundle hashes, each with the event time from which it is.
    pub fn generations(&self) -> Vec<(Timestamp, String)> {
        let waiting = self.next.iter().map(|s| (Timestamp(s.at), s.rules.bundle_hash().to_string()));
        [(Timestamp::MIN, self.rules.bundle_hash().to_string())].into_iter().chain(waiting).collect()
    }

    /// How it reads the stream.
    pub fn options(&self) -> &EvalOptions {
        &self.options
    }

    /// Whether rules are in force, or wait for their time.
    pub fn knows(&self, rules: &Arc<RuleSet>) -> bool {
        Arc::ptr_eq(&self.rules, rules) || self.next.iter().any(|s| Arc::ptr_eq(&s.rules, rules))
    }

    /// How many rule sets wait for their time.
    pub fn successors(&self) -> usize {
        self.next.len()
    }

    /// Hands in rules that take over from those handed in last: from the returned event time on, which no event has reached.
    ///
    /// # Errors
    /// Where a rule cannot keep what it is said to, or too many rule sets wait already; nothing has changed then.
    pub fn succeed(
        &mut self,
        rules: Arc<RuleSet>,
        carries: &Carries,
    ) -> Result<(Timestamp, BTreeMap<String, Fate>), SuccessionError> {
        let fates = fates(self.latest_rules(), &rules, carries)?;
        if self.next.len() >= SUCCESSORS_MAX {
            return Err(SuccessionError::TooMany);
        }
        let reached = self.max_ts.map_or(self.watermark, |max| max.max(self.watermark));
        let at =
            if reached == i64::MIN { i64::MIN } else { (reached.div_euclid(SECOND_NS) + 1).saturating_mul(SECOND_NS) };
        let at = self.next.back().map_or(at, |s| s.at.max(at));
        let of = |wanted: Fate| fates.iter().filter(move |(_, fate)| **fate == wanted).map(|(name, _)| name.clone());
        let (keeps, backfills) = (of(Fate::Kept).collect(), of(Fate::Backfilled).collect());
        let undecided = vec![0; rules.rules.len()];
        let (router, backfilled) = (Router::default(), None);
        self.next.push_back(Successor { at, rules, router, undecided, keeps, backfills, backfilled });
        Ok((Timestamp(at), fates))
    }

    /// Whose an event of a time is: 0 for the rules in force, else the place of the successor and one.
    pub(super) fn generation(&self, ts: i64) -> usize {
        // Late events are the business of the rules that the watermark has reached.
        let at = ts.max(self.watermark);
        self.next.iter().take_while(|s| s.at <= at).count()
    }

    pub(super) fn rules_of(&self, generation: usize) -> &Arc<RuleSet> {
        generation.checked_sub(1).and_then(|at| self.next.get(at)).map_or(&self.rules, |s| &s.rules)
    }

    pub(super) fn router_at(&self, generation: usize) -> &Router {
        generation.checked_sub(1).and_then(|at| self.next.get(at)).map_or(&self.router, |s| &s.router)
    }

    pub(super) fn router_of(&mut self, generation: usize) -> &mut Router {
        match generation.checked_sub(1).and_then(|at| self.next.get_mut(at)) {
            Some(successor) => &mut successor.router,
            None => &mut self.router,
        }
    }

    /// Puts a router back whose rules may have taken over meanwhile.
    pub(super) fn return_router(&mut self, rules: &Arc<RuleSet>, router: Router) {
        if Arc::ptr_eq(&self.rules, rules) {
            self.router = router;
        } else if let Some(s) = self.next.iter_mut().rev().find(|s| Arc::ptr_eq(&s.rules, rules)) {
            s.router = router;
        }
    }

    /// Up to where the rules in force judge.
    pub(super) fn succession(&self) -> Option<i64> {
        self.next.front().map(|s| s.at)
    }

    /// Whether the next rules wait for what the journal holds.
    pub(super) fn lacks_backfill(&self) -> bool {
        self.next.front().is_some_and(|s| !s.backfills.is_empty() && s.backfilled.is_none())
    }

    /// The time at which rules take over that wait for what the journal holds: everything before it is applied. Nothing goes
    /// on until they have it ([`Evaluator::begin_backfill`]).
    pub fn awaits_backfill(&self) -> Option<Timestamp> {
        let front = self.next.front().filter(|s| s.at <= self.settled)?;
        (self.applying != Applying::Frozen && self.lacks_backfill()).then_some(Timestamp(front.at))
    }

    /// Whether the next rules are to count what the journal holds, and have not yet.
    pub fn wants_backfill(&self) -> bool {
        self.lacks_backfill()
    }

    /// While the next rules wait for what the journal holds, lets events wait as behind a snapshot, instead of whoever hands
    /// them in: [`Evaluator::catch_up`] applies them once the rules have it.
    pub fn defer(&mut self) {
        if self.applying == Applying::AtOnce && self.awaits_backfill().is_some() {
            self.applying = Applying::InParts;
        }
    }

    /// Begins to count what the journal holds for the rules that take over next. It may be begun as soon as they were handed
    /// in, and be gone on with in between events ([`Evaluator::count_in`]), until their time has come and the journal was read
    /// up to there ([`Evaluator::end_backfill`]).
    pub fn begin_backfill(&mut self) -> Option<Box<Backfill>> {
        let front = self.next.front()?;
        let options = EvalOptions { as_of: None, ..self.options.clone() };
        let evaluator = Evaluator::new(Arc::clone(&front.rules), options);
        // Texts have the same numbers in both, for as long as none is forgotten.
        self.interner.hold(true);
        Some(Box::new(Backfill { evaluator, until: front.at, found: Vec::new() }))
    }

    /// Counts in a backfill that this evaluator began.
    pub fn count_in<R>(&mut self, backfill: &mut Backfill, count: impl FnOnce(&mut Backfill) -> R) -> R {
        std::mem::swap(&mut self.interner, &mut backfill.evaluator.interner);
        let counted = count(backfill);
        std::mem::swap(&mut self.interner, &mut backfill.evaluator.interner);
        counted
    }

    /// Ends it: the rules take over with what was counted.
    pub fn end_backfill(&mut self, mut backfill: Box<Backfill>) {
        self.count_in(&mut backfill, |backfill| {
            backfill.evaluator.advance(Timestamp(backfill.until));
            backfill.found = backfill.evaluator.take_violations();
        });
        if let Some(front) = self.next.front_mut() {
            front.backfilled = Some(backfill);
        }
        let until = self.passed();
        if self.applying == Applying::AtOnce {
            self.settle(until);
        }
    }

    /// Gives the rules of a backfill what they counted, in place of nothing.
    fn take_backfill(&mut self, backfill: Backfill, rules: &RuleSet, names: &BTreeSet<String>, taken: &mut Taking<'_>) {
        let Backfill { evaluator: mut x, found, .. } = backfill;
        self.handed.extend(found.into_iter().filter(|v| names.contains(&v.rule)));
        let (own, others) = {
            let (ours, theirs) = (std::mem::take(&mut self.events), std::mem::take(&mut x.events));
            let (all, own, others) = ours.merge(theirs, self.options.events_held);
            self.events = all;
            (own, others)
        };
        for windows in taken.windows.iter_mut() {
            windows.renumber(own.first, &|n| own.of(n));
        }
        for episodes in taken.linked.iter_mut() {
            episodes.each(|_, e, _| e.renumber(&|n| own.of(n)));
        }
        for (number, rule) in (0u32..).zip(&rules.program().rules) {
            let leads = rules.members(number).any(|(rule, _)| names.contains(&rule.name));
            let Some(plan) = rules.rules.get(number as usize).filter(|_| leads && !taken.carried.contains(&number))
            else {
                continue;
            };
            let (windows, sequences) = (plan.windows_number(), plan.sequence_number());
            if let Some(state) = windows.and_then(|n| x.windows.get_mut(n as usize)) {
                state.renumber(others.first, &|n| others.of(n));
            }
            if let Some(state) = windows.and_then(|n| x.linked.get_mut(n as usize)) {
                state.each(|_, e, _| e.renumber(&|n| others.of(n)));
            }
            hand_over(&mut x.windows, windows, taken.windows, windows);
            hand_over(&mut x.linked, windows, taken.linked, windows);
            hand_over(&mut x.sequences, sequences, taken.sequences, sequences);
            let budget = x.outcomes.budget(number);
            if rule.budget.is_some() {
                taken.budgets.push((number, budget));
            }
        }
        (taken.links, taken.series, taken.memories) = (x.links, x.series, x.memories);
    }

    /// The next rules take over. Every event before their time is applied, every step that ends by it is judged.
    pub(super) fn take_over(&mut self) {
        let Some(successor) = self.next.pop_front() else { return };
        let Successor { at, rules, router, mut undecided, keeps, backfills, backfilled } = successor;
        let old = Arc::clone(&self.rules);
        let ended = self.end_of_rules(&old, &rules, at);
        self.handed.extend(ended);
        let known = |set: &RuleSet| -> HashMap<String, u32> {
            let (program, mut known) = (set.program(), HashMap::new());
            for (number, rule) in (0u32..).zip(&program.rules) {
                if set.members(number).next().is_some() {
                    known.entry(canonical_definition(program, rule)).or_insert(number);
                }
            }
            known
        };
        let (definitions, named) = (known(&old), leaders_by_name(&old));
        let fresh = Evaluator::with(
            Arc::clone(&rules),
            self.options.clone(),
            Outcomes::new(&rules),
            Room::new(self.options.state_bytes),
        );
        let (mut windows, mut linked, mut sequences) = (fresh.windows, fresh.linked, fresh.sequences);
        // A state may go on twice: as it was, and under a rule that keeps it. Copies come first.
        for (number, _, w) in rules.leaders() {
            let Some(from) = keeper(&rules, number, &keeps).and_then(|name| named.get(name)) else { continue };
            let before = old.rules.get(*from as usize).and_then(RulePlan::windows_number);
            let state = before.and_then(|n| self.windows.get(n as usize)).and_then(Windows::copy);
            if let (Some(place), Some(mut state)) = (windows.get_mut(w.number as usize), state) {
                state.begin_anew(at.div_euclid(w.step) + 1);
                *place = state;
            }
        }
        let mut carried = BTreeSet::new();
        for (number, rule) in (0u32..).zip(&rules.program().rules) {
            if rules.members(number).next().is_none() {
                continue;
            }
            let Some(from) = definitions.get(&canonical_definition(rules.program(), rule)).copied() else { continue };
            if let (Some(place), Some(n)) = (undecided.get_mut(number as usize), self.undecided.get(from as usize)) {
                *place += n;
            }
            let (Some(is), Some(was)) = (rules.rules.get(number as usize), old.rules.get(from as usize)) else {
                continue;
            };
            carried.insert(number);
            hand_over(&mut self.windows, was.windows_number(), &mut windows, is.windows_number());
            hand_over(&mut self.linked, was.windows_number(), &mut linked, is.windows_number());
            hand_over(&mut self.sequences, was.sequence_number(), &mut sequences, is.sequence_number());
        }
        let mut taking = Taking {
            windows: &mut windows,
            linked: &mut linked,
            sequences: &mut sequences,
            carried: &carried,
            links: fresh.links,
            series: fresh.series,
            memories: Memories::new(rules.questions.len()),
            budgets: Vec::new(),
        };
        if let Some(backfill) = backfilled {
            self.take_backfill(*backfill, &rules, &backfills, &mut taking);
            // From here on those who are asked at a sweep have all numbers.
            self.interner.hold(false);
        }
        // What others asked before goes before what was asked of the journal.
        let Taking { links, series, memories, budgets, .. } = taking;
        self.carry_links(&old, &rules, links);
        self.carry_series(&old, &rules, series);
        self.carry_memories(&old, &rules, memories);
        self.outcomes = std::mem::take(&mut self.outcomes).carried(&old, &rules);
        for (number, budget) in budgets {
            self.outcomes = std::mem::take(&mut self.outcomes).with_budget(number, budget);
        }
        (self.windows, self.linked, self.sequences) = (windows, linked, sequences);
        self.undecided = undecided;
        self.reach = fresh.reach;
        self.room = fresh.room;
        self.router = router;
        let (all, each) = rules.reaches();
        self.events.change_reaches(all);
        self.reaches = each;
        self.rules = rules;
        self.account_all();
        // Each tells anew when it is due.
        self.next_due = at;
        // What goes on under another name is told under it.
        self.tell_again();
    }

    /// Everything found so far, settled under the rules that found it; violations under way of rules that are not there any
    /// more as they were are closed.
    fn end_of_rules(&mut self, old: &RuleSet, new: &RuleSet, at: i64) -> Vec<Violation> {
        let hashes = |set: &RuleSet| -> BTreeSet<(String, String)> {
            set.program().rules.iter().zip(&set.rules).map(|(r, p)| (r.name.clone(), p.hash.clone())).collect()
        };
        let stays = hashes(new);
        if hashes(old).is_subset(&stays) {
            return self.take_violations_settled();
        }
        let mut found = self.take_violations_settled();
        self.tell_again();
        let mut last = self.take_violations_settled();
        last.retain(|v| !stays.contains(&(v.rule.clone(), v.rule_hash.clone())));
        for v in &mut last {
            v.closed_at.get_or_insert(Timestamp(at.max(v.updated_at.0)));
            if v.status == Status::Open {
                v.status = Status::Closed;
            }
        }
        found.extend(last);
        found
    }

    /// Every violation under way is news.
    fn tell_again(&mut self) {
        self.windows.iter_mut().for_each(Windows::tell_again);
        self.linked.iter_mut().for_each(|episodes| episodes.each(|_, e, _| e.episode.handed_out = None));
        self.sequences.iter_mut().for_each(Sequences::tell_again);
    }

    fn carry_links(&mut self, old: &RuleSet, new: &RuleSet, fresh: Vec<Link>) {
        let names = |set: &RuleSet| -> Vec<Option<(String, i64)>> {
            let view = |v: &crate::plan::link::ViewPlan| {
                let id = set.links.all.get(v.link as usize)?.id;
                let link = set.program().links.get(id.0 as usize)?;
                Some((canonical_link(set.program(), link), v.step))
            };
            set.links.views.iter().map(view).collect()
        };
        let before = names(old);
        let mut links = fresh;
        for (name, place) in names(new).iter().zip(&mut links) {
            let from = before.iter().position(|known| known.is_some() && known == name);
            if let Some(state) = from.and_then(|from| self.links.get_mut(from)) {
                *place = std::mem::take(state);
            }
        }
        self.links = links;
    }

    fn carry_series(&mut self, old: &RuleSet, new: &RuleSet, fresh: Vec<Series>) {
        let names = |set: &RuleSet| -> Vec<String> {
            let ids = (0u32..).zip(&set.program().series).map(|(n, _)| crate::hir::SeriesId(n));
            ids.map(|id| canonical_series(set.program(), id)).collect()
        };
        let before = names(old);
        let mut series = fresh;
        for (name, place) in names(new).iter().zip(&mut series) {
            let from = before.iter().position(|known| known == name);
            if let Some(state) = from.and_then(|from| self.series.get_mut(from)) {
                *place = std::mem::take(state);
            }
        }
        self.series = series;
    }

    fn carry_memories(&mut self, old: &RuleSet, new: &RuleSet, fresh: Memories) {
        let mut memories = fresh;
        for (to, name) in (0u16..).zip(&new.question_names) {
            let from = old.question_names.iter().position(|known| known == name);
            if let Some(store) = from.and_then(|from| self.memories.take(from)) {
                memories.put(to, store);
            }
        }
        self.memories = memories;
    }
}

/// What rules count in a journal while others wait for it.
#[derive(Debug)]
pub struct Backfill {
    evaluator: Evaluator,
    until: i64,
    /// What was found, told while its texts were here.
    found: Vec<Violation>,
}

impl Backfill {
    /// Takes in an event that the journal gives back, of any time: what is too late to count is none of it.
    pub fn observe(&mut self, recalled: &Recalled, names: &TestNames, origin: Origin) {
        let ts = recalled.event.ts();
        if ts.0 < self.until {
            self.evaluator.observe_recalled(recalled, names, origin);
        } else {
            self.evaluator.heed(&recalled.event);
            self.advance(ts.saturating_sub(self.evaluator.options.lateness));
        }
    }

    /// Declares that no event before a time will come any more.
    pub fn advance(&mut self, watermark: Timestamp) {
        self.evaluator.advance(Timestamp(watermark.0.min(self.until)));
    }

    /// Whether the time has come at which the rules take over.
    pub fn is_over(&self) -> bool {
        self.evaluator.watermark >= self.until
    }

    /// The rules that count.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.evaluator.rules
    }
}

/// What goes over to rules that take over, as it is put together.
struct Taking<'t> {
    windows: &'t mut Vec<Windows>,
    linked: &'t mut Vec<LinkedEpisodes>,
    sequences: &'t mut Vec<Sequences>,
    /// Leaders that go on with a state of before.
    carried: &'t BTreeSet<u32>,
    links: Vec<Link>,
    series: Vec<Series>,
    memories: Memories,
    budgets: Vec<(u32, Budget)>,
}

/// Whether the journal that the rules of one set write holds all that a rule of another looks at.
fn backfill((old, new): (&RuleSet, &RuleSet), rule: &Rule) -> Result<Fate, SuccessionError> {
    let cannot = |why: String| Err(SuccessionError::CannotBackfill { rule: rule.name.clone(), why });
    let program = Program { rules: vec![rule.clone()], ..new.program().clone() };
    let Ok(alone) = RuleSet::new(program, new.data().clone()) else {
        return cannot("it cannot be run alone".to_string());
    };
    let missing = alone.fields_read.iter().find(|field| !old.fields_read.contains(field));
    if let Some(name) = missing.and_then(|field| FIELDS.get(usize::from(field.0))).map(|f| f.name) {
        return cannot(format!("it looks at `{name}`, which no rule did before, so that the journal does not hold it"));
    }
    if alone.wordings.iter().any(|wording| !old.wordings.contains(wording)) {
        return cannot(
            "it asks for fingerprints that no rule asked for before, so that the journal does not hold them"
                .to_string(),
        );
    }
    if !TestNames::between(old, &alone).are_complete() {
        return cannot("it tests a text as no rule did before, and the journal holds no texts".to_string());
    }
    Ok(Fate::Backfilled)
}

/// Moves a state to its place among others, where there are both.
fn hand_over<T: Default>(from: &mut [T], at: Option<u32>, to: &mut [T], place: Option<u32>) {
    let from = at.and_then(|at| from.get_mut(at as usize));
    if let (Some(from), Some(to)) = (from, place.and_then(|place| to.get_mut(place as usize))) {
        *to = std::mem::take(from);
    }
}

/// The rule of a definition that keeps what it has counted.
fn keeper<'r>(rules: &'r RuleSet, leader: u32, keeps: &BTreeSet<String>) -> Option<&'r str> {
    rules.members(leader).map(|(rule, _)| rule.name.as_str()).find(|name| keeps.contains(*name))
}

/// The leader of each rule, by name.
fn leaders_by_name(set: &RuleSet) -> HashMap<String, u32> {
    let leaders = (0u32..).take(set.program().rules.len());
    leaders.flat_map(|leader| set.members(leader).map(move |(rule, _)| (rule.name.clone(), leader))).collect()
}
