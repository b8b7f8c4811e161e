//! What is kept at arrival for each windowed rule that answers, and what each rule may come to.

use sha2::{Digest, Sha256};

use super::answers::{Form, Silent, form};
use crate::decision::Verdict;
use crate::event::Kind;
use crate::hir::{Action, Compare, Const, Expr, ExprKind, Function, Mode, Rule, Verb, Windowed, canonical_definition};
use crate::plan::RuleSet;
use crate::plan::rule::WindowPlan;
use crate::time::Duration;
use crate::value::{MICROS, Type};

/// Most different values that a rule may have to tell apart in a group to answer at arrival.
pub const DISTINCT_MAX: usize = 1 << 16;

/// What is kept for an aggregate that a condition needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Events behind a filter, at a word of a row.
    Count(usize),
    /// A sum, in two words of a row from here on, the low one first.
    Sum(usize),
    /// The greatest, at a word of a row.
    Max(usize),
    /// Different values: the number of its sightings, and how many the condition needs.
    Distinct(usize, usize),
    /// Every event of the group.
    Events,
}

/// An aggregate of a condition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    /// Its number in the rule.
    pub(super) aggregate: u16,
    pub(super) kept: Kept,
    /// Which of the rule's filters and inputs; as in [`WindowPlan`].
    pub(super) filter: Option<u8>,
    pub(super) input: u8,
}

/// A windowed rule that answers.
#[derive(Debug)]
pub(crate) struct WindowAnswer {
    /// By which its groups are known, also after rules have changed.
    pub(super) identity: u128,
    pub(super) slots: Vec<Slot>,
    /// Words of a row behind the step: events, then what each slot keeps.
    pub(super) words: usize,
    /// Lists of sightings.
    pub(super) n_distinct: usize,
    /// Length of a step, nanoseconds.
    pub(super) step: i64,
    /// Steps in a window.
    pub(super) panes: i64,
    /// Steps by which an event may lie behind the newest of its group.
    pub(super) late: i64,
}

/// What a rule does at arrival.
#[derive(Debug)]
pub(crate) struct Acts {
    pub(crate) mode: Mode,
    /// Throttles apart.
    pub(crate) verdict: Verdict,
    /// Whom it throttles, to how many, in each span.
    pub(crate) throttles: Vec<(&'static str, u64, Duration)>,
    /// What a limit says that has no room.
    pub(crate) beyond: Verdict,
    /// Whether it answers by itself or by its window.
    pub(crate) answers: bool,
}

/// All that answers of a rule set, by the numbers of its rules.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    windows: Vec<Option<WindowAnswer>>,
    acts: Vec<Acts>,
    takes_requests: Vec<bool>,
    /// Whether any rule that answers looks at completions and not at requests.
    pub(crate) any_ahead: bool,
}

impl Plans {
    pub(crate) fn new(rules: &RuleSet, lateness: Duration) -> Plans {
        let mut plans = Plans::default();
        for ((rule, plan), number) in rules.program().rules.iter().zip(&rules.rules).zip(0u32..) {
            let found = form(rule, plan.memory.is_some());
            let leads = rules.members(number).next().is_some();
            // What its members do may differ in having a budget: windows are kept where any of them answers.
            let by_panes = |form: Result<Form, Silent>| matches!(form, Ok(Form::Single | Form::Window));
            let any = rules.members(number).any(|(rule, plan)| by_panes(form(rule, plan.memory.is_some())));
            let window = match (&rule.shape, plan.window()) {
                (crate::hir::Shape::Windowed(w), Some(p)) if leads && any => {
                    WindowAnswer::new(rules, rule, w, p, lateness)
                }
                _ => None,
            };
            let takes_requests = rule.kinds.contains(&Kind::Request);
            plans.any_ahead |= any && !takes_requests && rule.kinds.contains(&Kind::Completion);
            plans.windows.push(window);
            plans.takes_requests.push(takes_requests);
            plans.acts.push(Acts::new(rule, found));
        }
        plans
    }

    pub(crate) fn window(&self, leader: u32) -> Option<&WindowAnswer> {
        self.windows.get(leader as usize).and_then(Option::as_ref)
    }

    pub(crate) fn acts(&self, rule: u32) -> Option<&Acts> {
        self.acts.get(rule as usize)
    }

    pub(crate) fn takes_requests(&self, leader: u32) -> bool {
        self.takes_requests.get(leader as usize).copied().unwrap_or(false)
    }
}

impl WindowAnswer {
    fn new(rules: &RuleSet, rule: &Rule, w: &Windowed, p: &WindowPlan, lateness: Duration) -> Option<WindowAnswer> {
        let (mut slots, mut words, mut n_distinct) = (slots(w).ok()?, 1, 0);
        for slot in &mut slots {
            let plan = p.aggregates.get(usize::from(slot.aggregate))?;
            (slot.filter, slot.input) = (plan.filter, plan.input);
            match &mut slot.kept {
                Kept::Events => {}
                Kept::Count(at) | Kept::Max(at) => {
                    *at = words;
                    words += 1;
                }
                Kept::Sum(at) => {
                    *at = words;
                    words += 2;
                }
                Kept::Distinct(number, _) => {
                    *number = n_distinct;
                    n_distinct += 1;
                }
            }
        }
        let hash = Sha256::digest(canonical_definition(rules.program(), rule).as_bytes());
        let identity = hash.iter().take(16).fold(0u128, |n, byte| n << 8 | u128::from(*byte));
        let late = (lateness.0.max(0) + p.step - 1).div_euclid(p.step);
        Some(WindowAnswer { identity, slots, words, n_distinct, step: p.step, panes: p.panes, late })
    }

    /// The step of a time.
    pub(crate) fn step_of(&self, ts: i64) -> i64 {
        ts.div_euclid(self.step)
    }

    /// The end of a step.
    pub(crate) fn end_of(&self, step: i64) -> i64 {
        step.saturating_add(1).saturating_mul(self.step)
    }
}

impl Acts {
    fn new(rule: &Rule, form: Result<Form, Silent>) -> Acts {
        let inline = || rule.actions.iter().filter(|a| is_inline(a));
        let throttles = inline().filter_map(|a| match a.verb {
            Verb::Throttle(n, per) => Some((a.scope, n, per)),
            _ => None,
        });
        Acts {
            mode: rule.mode,
            verdict: inline().map(|a| at_once(&a.verb)).max().unwrap_or_default(),
            throttles: throttles.collect(),
            beyond: strictest(rule),
            answers: matches!(form, Ok(Form::Single | Form::Window)),
        }
    }

    /// What a verdict comes to in the rule's mode.
    pub(crate) fn effective(&self, verdict: Verdict) -> Verdict {
        in_mode(self.mode, verdict)
    }
}

fn in_mode(mode: Mode, verdict: Verdict) -> Verdict {
    match mode {
        Mode::Shadow => Verdict::Allow,
        Mode::Flag => verdict.min(Verdict::Flag),
        Mode::Enforce => verdict,
    }
}

/// Whether an action may be taken at arrival: nobody looks at it first, and it does not wait.
fn is_inline(action: &Action) -> bool {
    !action.after_review && action.delayed.is_none()
}

/// What an action comes to by itself; a throttle only where its rate is used up.
fn at_once(verb: &Verb) -> Verdict {
    match verb {
        Verb::Alert(_) | Verb::Throttle(..) => Verdict::Allow,
        Verb::Flag => Verdict::Flag,
        Verb::Challenge => Verdict::Challenge,
        Verb::Block => Verdict::Block,
    }
}

/// The strictest verdict of a rule in its mode, and in mode `enforce`.
pub(super) fn inline_verdict(rule: &Rule) -> (Verdict, Verdict) {
    let would = strictest(rule);
    (in_mode(rule.mode, would), would)
}

/// The strictest that a rule may do at arrival. A limit without any such action throttles: what has no room has to come again.
fn strictest(rule: &Rule) -> Verdict {
    let inline = rule.actions.iter().filter(|a| is_inline(a)).map(|a| match a.verb {
        Verb::Throttle(..) => Verdict::Throttle,
        _ => at_once(&a.verb),
    });
    match inline.max().unwrap_or_default() {
        Verdict::Allow if rule.limit.is_some() => Verdict::Throttle,
        strictest => strictest,
    }
}

/// The aggregates that a condition needs; places are given later.
pub(super) fn slots(w: &Windowed) -> Result<Vec<Slot>, Silent> {
    let mut needed = Vec::new();
    w.when.walk(&mut |e| {
        if let ExprKind::Aggregate(i) = e.kind {
            needed.push(i);
        }
    });
    needed.sort_unstable();
    needed.dedup();
    needed
        .into_iter()
        .map(|aggregate| {
            let plan = w.aggregates.get(usize::from(aggregate)).ok_or(Silent::NotGrowing)?;
            let kept = match &plan.function {
                Function::Count if plan.filter.is_none() => Kept::Events,
                Function::Count => Kept::Count(0),
                Function::Sum(_) => Kept::Sum(0),
                Function::Max(_) => Kept::Max(0),
                // Of several values at once only the evaluator tells.
                Function::Distinct { of, .. } if of.iter().any(|e| matches!(e.ty, Type::List(_))) => {
                    return Err(Silent::NotGrowing);
                }
                Function::Distinct { .. } => match values_needed(&w.when, aggregate) {
                    needed if needed > DISTINCT_MAX => return Err(Silent::TooManyValues),
                    needed => Kept::Distinct(0, needed),
                },
                _ => return Err(Silent::NotGrowing),
            };
            Ok(Slot { aggregate, kept, filter: None, input: 0 })
        })
        .collect()
}

/// How many different values must be told apart to know whether a condition holds.
fn values_needed(when: &Expr, aggregate: u16) -> usize {
    let (mut all, mut held, mut most) = (0usize, 0usize, 1usize);
    when.walk(&mut |e| match &e.kind {
        ExprKind::Aggregate(i) if *i == aggregate => all += 1,
        ExprKind::Compare(op, a, b) => {
            let sides = match op {
                Compare::Greater => Some((a, b, 1)),
                Compare::GreaterEqual => Some((a, b, 0)),
                Compare::Less => Some((b, a, 1)),
                Compare::LessEqual => Some((b, a, 0)),
                _ => None,
            };
            let needed = sides.and_then(|(value, bound, more)| Some((values_of(value, aggregate)?, bound, more)));
            if let Some((scale, bound, more)) = needed
                && let ExprKind::Const(Const::Num(n)) = bound.kind
            {
                held += 1;
                let needed = n.div_euclid(scale).saturating_add(i64::from(n.rem_euclid(scale) > 0).max(more));
                most = most.max(usize::try_from(needed.max(1)).unwrap_or(usize::MAX));
            }
        }
        _ => {}
    });
    if all == held { most } else { DISTINCT_MAX }
}

/// In which scale a value is just the aggregate.
fn values_of(e: &Expr, aggregate: u16) -> Option<i64> {
    match &e.kind {
        ExprKind::Aggregate(i) if *i == aggregate => Some(1),
        ExprKind::ToMicros(a) => values_of(a, aggregate)?.checked_mul(MICROS),
        _ => None,
    }
}
