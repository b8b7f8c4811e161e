//! What must lie in one state, and what may be cut by key. A *unit* is what is bound together: a rule with the memory, the
//! series or the link that it asks, and all others that ask the same. A unit of one rule whose groups know nothing of each
//! other is cut by its key; every other is one partition.

use super::{Whole, after};
use crate::eval::intern::Symbols;
use crate::hir::{Expr, ExprKind, Piece, Rule, Shape};
use crate::plan::RuleSet;
use crate::plan::memory::AskPlan;
use crate::plan::rule::{PartPlan, RulePlan, ShapePlan};

/// Bytes of records that may wait for the end of a step; above it they are counted as soon as the watermark has passed them.
const WAITING_BYTES_MAX: usize = 16 << 10;

/// What lies in one state.
#[derive(Debug, Clone, Default)]
pub(super) struct Unit {
    /// Its first rule, or the link or series that no rule uses.
    pub(super) name: String,
    /// Leaders of definitions, ascending.
    pub(super) rules: Vec<u32>,
    /// Questions to memory.
    pub(super) questions: Vec<u16>,
    /// Series, by their number.
    pub(super) series: Vec<usize>,
    /// Links, as numbers of plans.
    pub(super) links: Vec<u32>,
    /// Why it is one partition; `None` where it is cut by key.
    pub(super) whole: Option<Whole>,
    /// How far back its evidence reaches, in nanoseconds.
    pub(super) reach: i64,
    /// Lengths of the steps at which its windows are judged, in nanoseconds; empty where every event may show at once.
    steps: Vec<i64>,
}

/// All units of a rule set.
#[derive(Debug)]
pub(super) struct Units {
    pub(super) all: Vec<Unit>,
    /// Those that take more from an event than records of rules: links, and memory.
    pub(super) beside: Vec<u32>,
    /// Of each rule and series by its number among the plans; `None` for those that need no state.
    of_rule: Vec<Option<u32>>,
}

/// Sets that are joined one by one.
struct Sets(Vec<usize>);

impl Sets {
    fn root(&self, mut of: usize) -> usize {
        while let Some(parent) = self.0.get(of).copied().filter(|parent| *parent != of) {
            of = parent;
        }
        of
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(parent) = self.0.get_mut(a.max(b)) {
            *parent = a.min(b);
        }
    }
}

impl Units {
    pub(super) fn new(rules: &RuleSet) -> Units {
        let (n_plans, n_questions, n_links) = (rules.rules.len(), rules.questions.len(), rules.links.all.len());
        let n_rules = rules.program().rules.len();
        let (question_at, link_at) = (n_plans, n_plans + n_questions);
        let mut sets = Sets((0..link_at + n_links).collect());
        for (number, question) in rules.questions.iter().enumerate() {
            if let AskPlan::Outage(series) = question.ask {
                sets.join(question_at + number, n_rules + series);
            }
        }
        for (number, plan) in leading(rules) {
            let asked = plan.memory.iter().flat_map(|m| &m.questions);
            asked.for_each(|question| sets.join(number, question_at + usize::from(*question)));
            for (rule, _) in rules.members(number as u32) {
                outages(rule, &mut |series| sets.join(number, n_rules + series));
            }
            let view = plan.window().and_then(|w| w.view).and_then(|view| rules.links.views.get(view as usize));
            view.into_iter().for_each(|view| sets.join(number, link_at + view.link as usize));
        }
        let mut all: Vec<Unit> = Vec::new();
        let mut of_root: Vec<Option<u32>> = vec![None; link_at + n_links];
        let mut of_rule = vec![None; n_plans];
        let mut unit_of = |all: &mut Vec<Unit>, item: usize| {
            let place = of_root.get_mut(sets.root(item))?;
            let unit = *place.get_or_insert_with(|| {
                all.push(Unit::default());
                (all.len() - 1) as u32
            });
            Some(unit)
        };
        for (number, plan) in leading(rules) {
            if matches!(plan.shape, ShapePlan::Single { .. }) && plan.memory.is_none() {
                continue;
            }
            let unit = unit_of(&mut all, number);
            of_rule.iter_mut().skip(number).take(1).for_each(|place| *place = unit);
            if let Some(unit) = unit.and_then(|unit| all.get_mut(unit as usize)) {
                unit.rules.push(number as u32);
            }
        }
        for (number, series) in rules.program().series.iter().enumerate() {
            let unit = unit_of(&mut all, n_rules + number);
            of_rule.iter_mut().skip(n_rules + number).take(1).for_each(|place| *place = unit);
            if let Some(unit) = unit.and_then(|unit| all.get_mut(unit as usize)) {
                unit.series.push(number);
                if unit.rules.is_empty() {
                    unit.name.clone_from(&series.name);
                }
            }
        }
        for number in 0..n_questions {
            if let Some(unit) = unit_of(&mut all, question_at + number).and_then(|u| all.get_mut(u as usize)) {
                unit.questions.push(number as u16);
            }
        }
        for (number, link) in rules.links.all.iter().enumerate() {
            if let Some(unit) = unit_of(&mut all, link_at + number).and_then(|u| all.get_mut(u as usize)) {
                unit.links.push(number as u32);
                if unit.rules.is_empty() {
                    unit.name.clone_from(&link.name);
                }
            }
        }
        all.iter_mut().for_each(|unit| unit.complete(rules));
        let takes_more = |unit: &Unit| !unit.links.is_empty() || !unit.questions.is_empty();
        let beside = (0..).zip(&all).filter(|(_, unit)| takes_more(unit)).map(|(number, _)| number).collect();
        Units { all, beside, of_rule }
    }

    pub(super) fn get(&self, unit: u32) -> Option<&Unit> {
        self.all.get(unit as usize)
    }

    /// The unit of a rule or series, by its number among the plans.
    pub(super) fn of_rule(&self, number: u32) -> Option<u32> {
        self.of_rule.get(number as usize).copied().flatten()
    }
}

impl Unit {
    fn complete(&mut self, rules: &RuleSet) {
        if let Some(rule) = self.rules.first().and_then(|rule| rules.program().rules.get(*rule as usize)) {
            self.name.clone_from(&rule.name);
        }
        let plans = || self.rules.iter().filter_map(|rule| rules.rules.get(*rule as usize));
        let windows = plans().filter_map(RulePlan::window).map(|w| w.panes.saturating_add(1).saturating_mul(w.step));
        self.reach = windows.max().unwrap_or(0);
        let mut steps: Vec<i64> = plans().filter_map(RulePlan::window).map(|w| w.step).collect();
        let at_once = !self.questions.is_empty() || plans().any(|plan| plan.window().is_none());
        steps.sort_unstable();
        steps.dedup();
        self.steps = if at_once { Vec::new() } else { steps };
        let mut of_windows = plans().filter_map(RulePlan::window);
        self.whole = if !self.links.is_empty() {
            Some(Whole::Link)
        } else if !self.series.is_empty() {
            Some(Whole::Series)
        } else if !self.questions.is_empty() {
            Some(Whole::Memory)
        } else if of_windows.any(|w| w.baselines.cohorts > 0) {
            Some(Whole::Cohort)
        } else if plans().filter_map(RulePlan::window).any(|w| w.many.is_some()) {
            Some(Whole::Several)
        } else {
            None
        };
    }
}

impl Unit {
    /// When an event of a time can show: with the first step that ends behind it. Until then it may wait, however many join
    /// it, up to `bytes` that do.
    pub(super) fn due(&self, ts: i64, bytes: usize) -> i64 {
        let ends = self.steps.iter().map(|step| (ts.div_euclid(*step) + 1).saturating_mul(*step));
        if bytes > WAITING_BYTES_MAX { after(ts) } else { ends.min().unwrap_or(after(ts)) }
    }
}

/// The rules that lead their definition, with their numbers.
fn leading(rules: &RuleSet) -> impl Iterator<Item = (usize, &RulePlan)> {
    let numbered = rules.rules.iter().zip(&rules.members).enumerate();
    numbered.filter(|(_, (_, members))| !members.is_empty()).map(|(number, (plan, _))| (number, plan))
}

/// Calls `see` with each series whose outages a rule asks for over its window.
fn outages(rule: &Rule, see: &mut impl FnMut(usize)) {
    let mut look = |e: &Expr| {
        e.walk(&mut |e| {
            if let ExprKind::WindowOutage(o) = &e.kind {
                see(o.series.0 as usize);
            }
        });
    };
    rule.lets.iter().for_each(|(_, e)| look(e));
    for piece in &rule.because {
        if let Piece::Value(_, e) = piece {
            look(e);
        }
    }
    if let Shape::Windowed(w) = &rule.shape {
        look(&w.when);
        w.aggregates.iter().for_each(|a| {
            if let crate::hir::Function::Baseline(b) = &a.function {
                look(&b.of);
            }
        });
    }
}

/// Hash of a key by its texts, the same in every run and under every numbering of texts.
pub(super) fn key_hash(per: &[PartPlan], key: &[u64], symbols: &impl Symbols) -> u64 {
    let mut bytes = smallvec::SmallVec::<[u8; 64]>::new();
    for (part, word) in per.iter().zip(key) {
        if part.is_symbol() {
            let text = symbols.text(*word);
            bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
            bytes.extend_from_slice(text);
        } else {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
    }
    xxhash_rust::xxh3::xxh3_64(&bytes)
}
