//! A rule on sequences, ready to run. A step's filter is split in two: what looks at the event alone is found at arrival,
//! what holds it against earlier events waits. Values that earlier or later events need are *slots*: each is taken from the
//! event once, as a word.

use hashbrown::HashMap;

use super::lower::{Lower, WordId};
use super::node::NodeId;
use super::rule::{PartPlan, ValuePlan, parts};
use super::scalar::{Cond, Scalar};
use crate::event::Kind;
use crate::hir::{self, Expr, ExprKind, PARTIALS_PER_KEY_MAX, PARTIALS_PER_RULE_MAX, canonical_expr};
use crate::value::Type;

/// The number of the event at hand, in the place of that of a step.
pub(crate) const OWN: u16 = u16::MAX;
/// Most slots: which are known is told by the bits of a word.
pub(crate) const SLOTS_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct SequencePlan {
    /// Index among the rules on sequences.
    pub(crate) number: u32,
    pub(crate) per: Vec<PartPlan>,
    /// From the first event to the last, nanoseconds.
    pub(crate) within: i64,
    /// From the first event until it has happened or not.
    pub(crate) life: i64,
    /// Between two matches of one violation.
    pub(crate) silence: i64,
    pub(crate) steps: Vec<StepPlan>,
    pub(crate) slots: Vec<SlotPlan>,
    /// How many values a partial match keeps.
    pub(crate) n_kept: usize,
    pub(crate) values: Vec<ValuePlan>,
    /// Per kind, a condition on the event alone that is not false where any step's filter is not; `None`: always true.
    pub(crate) covers: [Option<NodeId>; 5],
    pub(crate) per_key_max: usize,
    pub(crate) per_rule_max: usize,
}

#[derive(Debug)]
pub(crate) struct StepPlan {
    pub(crate) absent: bool,
    pub(crate) kinds: Vec<Kind>,
    /// What looks at the event alone.
    pub(crate) alone: Option<NodeId>,
    /// What looks at earlier events too.
    pub(crate) across: Option<Cond>,
    pub(crate) within: Option<i64>,
    pub(crate) times: u32,
    /// Slots of its event that are kept, and the place of the first.
    pub(crate) kept: Vec<u16>,
    pub(crate) offset: usize,
}

#[derive(Debug)]
pub(crate) enum SlotPlan {
    Word(WordId, Type),
    Truth(NodeId),
}

impl SlotPlan {
    pub(crate) fn ty(&self) -> &Type {
        match self {
            SlotPlan::Word(_, ty) => ty,
            SlotPlan::Truth(_) => &Type::Bool,
        }
    }
}

/// The slots of the rule that is being lowered.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    by_name: HashMap<String, u16>,
    all: Vec<SlotPlan>,
    /// (step, slot) that are named somewhere.
    kept: Vec<(u16, u16)>,
    /// Whether values of the event at hand become slots: within a condition across steps.
    pub(crate) across: bool,
}

impl Lower<'_> {
    /// A value of single events as a slot, of the event of a step or of the one at hand.
    pub(crate) fn slot(&mut self, step: u16, e: &Expr) -> Scalar {
        let across = std::mem::replace(&mut self.slots.across, false);
        let name = canonical_expr(self.program, e);
        let slot = match self.slots.by_name.get(&name) {
            Some(slot) => *slot,
            None => {
                let plan = match e.ty {
                    Type::Bool => SlotPlan::Truth(self.node(e)),
                    _ => SlotPlan::Word(self.word(e), e.ty.clone()),
                };
                let slot = self.slots.all.len() as u16;
                self.slots.all.push(plan);
                self.slots.by_name.insert(name, slot);
                slot
            }
        };
        if step != OWN && !self.slots.kept.contains(&(step, slot)) {
            self.slots.kept.push((step, slot));
        }
        self.slots.across = across;
        Scalar::Slot(step, slot)
    }
}

impl SequencePlan {
    /// The plan of a rule whose other parts are lowered already, so that all slots are known.
    pub(crate) fn new(cx: &mut Lower<'_>, rule: &hir::Rule, s: &hir::Sequence, number: u32) -> SequencePlan {
        let mut steps: Vec<StepPlan> = s.steps.iter().map(|step| plan(cx, step)).collect();
        let values = rule.lets.iter().map(|(name, e)| ValuePlan {
            estimated: Vec::new(),
            name: name.clone(),
            ty: e.ty.clone(),
            scalar: cx.scalar(e),
            threshold: None,
        });
        let values = values.collect();
        let Slots { all, mut kept, .. } = std::mem::take(&mut cx.slots);
        kept.sort_unstable();
        for (place, (number, slot)) in kept.iter().enumerate() {
            if let Some(step) = steps.get_mut(usize::from(*number)) {
                if step.kept.is_empty() {
                    step.offset = place;
                }
                step.kept.push(*slot);
            }
        }
        let covers = Kind::ALL.map(|kind| cover(cx, s, kind));
        SequencePlan {
            number,
            per: parts(cx, &s.per),
            within: s.within.0,
            life: s.life().0,
            silence: s.silence(rule.cooldown).0,
            steps,
            slots: all,
            n_kept: kept.len(),
            values,
            covers,
            per_key_max: PARTIALS_PER_KEY_MAX,
            per_rule_max: PARTIALS_PER_RULE_MAX,
        }
    }

    /// Words of a routed record besides its header: the key, then the slots.
    pub(crate) fn words(&self) -> usize {
        self.per.len() + self.slots.len()
    }

    /// The slots of kept values, in their order.
    pub(crate) fn kept(&self) -> impl Iterator<Item = Option<&SlotPlan>> {
        self.steps.iter().flat_map(|s| &s.kept).map(|slot| self.slots.get(usize::from(*slot)))
    }
}

/// The parts of a conjunction that look at the event alone, and those that do not.
fn split(filter: &Expr) -> (Vec<&Expr>, Vec<&Expr>) {
    match &filter.kind {
        ExprKind::And(all) => all.iter().partition(|e| !e.is_of_step()),
        _ => [filter].into_iter().partition(|e| !e.is_of_step()),
    }
}

fn conjunction(parts: &[&Expr]) -> Option<Expr> {
    match parts {
        [] => None,
        [one] => Some((*one).clone()),
        [first, ..] => {
            let all = parts.iter().map(|e| (*e).clone()).collect();
            Some(Expr { ty: Type::Bool, kind: ExprKind::And(all), span: first.span })
        }
    }
}

fn plan(cx: &mut Lower<'_>, step: &hir::Step) -> StepPlan {
    let (alone, across) = step.filter.as_ref().map(split).unwrap_or_default();
    let alone = conjunction(&alone).map(|e| cx.node(&e));
    cx.slots.across = true;
    let across = conjunction(&across).map(|e| cx.cond(&e));
    cx.slots.across = false;
    StepPlan {
        absent: step.absent,
        kinds: step.kinds.clone(),
        alone,
        across,
        within: step.within.map(|d| d.0),
        times: step.times,
        kept: Vec::new(),
        offset: 0,
    }
}

/// What of an event of a kind can be told without earlier ones: `None` where any such event may be a step, or where no
/// step is of the kind.
fn cover(cx: &mut Lower<'_>, s: &hir::Sequence, kind: Kind) -> Option<NodeId> {
    let mut alternatives = Vec::new();
    for step in s.steps.iter().filter(|step| step.kinds.contains(&kind)) {
        let (alone, _) = step.filter.as_ref().map(split).unwrap_or_default();
        alternatives.push(conjunction(&alone)?);
    }
    let first = alternatives.first()?;
    if alternatives.len() == 1 {
        let first = first.clone();
        return Some(cx.node(&first));
    }
    let span = first.span;
    Some(cx.node(&Expr { ty: Type::Bool, kind: ExprKind::Or(alternatives), span }))
}
