//! Questions to memory, ready to be asked. Rules that ask the same about the same kinds of events share one memory.

use smallvec::SmallVec;

use super::lower::Lower;
use super::node::NodeId;
use super::scalar::Scalar;
use crate::event::Kind;
use crate::hir::{self, canonical_expr};
use crate::time::{DAY_NS, Duration};
use crate::value::Type;

/// How long a value that was not seen again is remembered for `first seen`: "ever" means as long as no pause between two
/// sightings was longer than this.
pub const FIRST_SEEN_KEEP: Duration = Duration(90 * DAY_NS);

/// A question with its memory.
#[derive(Debug)]
pub(crate) struct QuestionPlan {
    pub(crate) ask: AskPlan,
    /// The value, or the parts of a key.
    pub(crate) of: Vec<(Scalar, Type)>,
    /// The second operand of those that have one.
    pub(crate) by: Option<(Scalar, Type)>,
    pub(crate) within: i64,
    /// How long a sighting is kept.
    pub(crate) keep: i64,
    kinds: SmallVec<[Kind; 2]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskPlan {
    SeenBefore,
    SeenBeforeBy,
    FirstSeen,
    NewFor,
    /// Of a series, by its number: asked there, not of a memory.
    Outage(usize),
}

impl QuestionPlan {
    /// Whether events of a kind are remembered.
    pub(crate) fn looks_at(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }
}

/// What a rule asks.
#[derive(Debug)]
pub(crate) struct RuleMemory {
    /// Numbers of its questions, ascending.
    pub(crate) questions: SmallVec<[u16; hir::QUESTIONS_PER_RULE_MAX]>,
    /// Conditions that depend on the answers.
    pub(crate) nodes: Vec<NodeId>,
    /// Whether its filter may hold although it is false while no answer is known: `or default` and `exists` look at whether
    /// one is.
    pub(crate) turns: bool,
}

/// All questions of a rule set, and what the rule that is being lowered has asked so far.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    pub(crate) all: Vec<QuestionPlan>,
    names: Vec<String>,
    kinds: SmallVec<[Kind; 2]>,
    asked: Vec<u16>,
    nodes: Vec<NodeId>,
}

impl Questions {
    /// All questions, and what each is called: those that ask the same of the same kinds of events have one name.
    pub(crate) fn into_parts(self) -> (Vec<QuestionPlan>, Vec<String>) {
        (self.all, self.names)
    }

    /// Begins a rule that looks at events of these kinds.
    pub(crate) fn begin(&mut self, kinds: &[Kind]) {
        self.kinds = kinds.into();
        self.asked.clear();
        self.nodes.clear();
    }

    /// What the rule asks; `None` for nothing.
    pub(crate) fn end(&mut self, filter: Option<&hir::Expr>) -> Option<RuleMemory> {
        self.asked.sort_unstable();
        self.asked.dedup();
        self.nodes.sort_unstable();
        self.nodes.dedup();
        let (questions, nodes) = (self.asked.as_slice().into(), std::mem::take(&mut self.nodes));
        let mut turns = false;
        if let Some(filter) = filter {
            filter.walk(&mut |e| {
                let looks = matches!(e.kind, hir::ExprKind::OrDefault(..) | hir::ExprKind::Exists(_));
                turns |= looks && e.asks_memory();
            });
        }
        (!self.asked.is_empty()).then_some(RuleMemory { questions, nodes, turns })
    }

    /// The name of a condition: where it asks memory, of the kinds of events that are remembered too.
    pub(crate) fn name(&self, canonical: String) -> String {
        format!("of {:?} {canonical}", self.kinds)
    }

    /// Notes a condition that depends on an answer.
    pub(crate) fn depends(&mut self, node: NodeId) {
        self.nodes.push(node);
    }
}

impl Lower<'_> {
    /// The number of a question to a series.
    pub(crate) fn outage(&mut self, e: &hir::Expr, id: hir::SeriesId) -> u16 {
        let name = self.questions.name(canonical_expr(self.program, e));
        let known = self.questions.names.iter().position(|n| *n == name);
        let number = known.unwrap_or_else(|| {
            let per = self.program.series.get(id.0 as usize).map_or(&[][..], |s| &s.per);
            let of = per.iter().map(|e| (self.scalar(e), e.ty.clone())).collect();
            let kinds = self.questions.kinds.clone();
            let ask = AskPlan::Outage(id.0 as usize);
            self.questions.all.push(QuestionPlan { ask, of, by: None, within: 0, keep: 0, kinds });
            self.questions.names.push(name);
            self.questions.all.len() - 1
        });
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        self.questions.asked.push(number);
        number
    }

    /// The number of a question.
    pub(crate) fn question(&mut self, e: &hir::Expr, m: &hir::Memory) -> u16 {
        let name = self.questions.name(canonical_expr(self.program, e));
        let known = self.questions.names.iter().position(|n| *n == name);
        let number = known.unwrap_or_else(|| {
            let operand = |cx: &mut Self, e: &hir::Expr| (cx.scalar(e), e.ty.clone());
            let of = vec![operand(self, &m.of)];
            let by = m.ask.by().map(|e| operand(self, e));
            let ask = match m.ask {
                hir::Ask::SeenBefore => AskPlan::SeenBefore,
                hir::Ask::SeenBeforeBy(_) => AskPlan::SeenBeforeBy,
                hir::Ask::FirstSeen => AskPlan::FirstSeen,
                hir::Ask::NewFor(_) => AskPlan::NewFor,
            };
            let within = m.within.0;
            let keep = if ask == AskPlan::FirstSeen { within.max(FIRST_SEEN_KEEP.0) } else { within };
            let kinds = self.questions.kinds.clone();
            self.questions.all.push(QuestionPlan { ask, of, by, within, keep, kinds });
            self.questions.names.push(name);
            self.questions.all.len() - 1
        });
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        self.questions.asked.push(number);
        number
    }
}
