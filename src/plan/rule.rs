//! One rule, ready to run: what is taken from an event, what is counted, when it is a violation, and how it is told.

use smallvec::SmallVec;

use super::baseline::Baselines;
use super::limit::LimitPlan;
use super::lower::{Lower, WordId, WordPlan, is_symbol};
use super::many::ManyPlan;
use super::memory::RuleMemory;
use super::node::NodeId;
use super::room::RoomPlan;
use super::scalar::{Cond, Scalar};
use super::sequence::{SLOTS_MAX, SequencePlan};
use super::series::SeriesPlan;
use crate::diagnostic::{Code, Diagnostic};
use crate::event::Kind;
pub(crate) use crate::hir::PROMPTS_MAX;
use crate::hir::{self, Compare, ExprKind, Function, Piece, Shape, canonical_expr, describe, rule_hash};
use crate::time::{Duration, Timestamp};
use crate::value::Type;
use crate::violation::Scalar as Recorded;

/// Most exceptions of a rule.
pub(crate) const EXCEPTIONS_MAX: usize = 32;
/// Most different conditions behind `where` in a rule.
pub(crate) const FILTERS_MAX: usize = 64;
/// Most different values that a rule takes from an event.
pub(crate) const INPUTS_MAX: usize = 64;
/// Different values of one window that `distinct` tells apart exactly; above it, it estimates.
pub(crate) const DISTINCT_EXACT_MAX: usize = 1 << 17;

#[derive(Debug)]
pub(crate) struct RulePlan {
    pub(crate) hash: String,
    pub(crate) filter: Option<NodeId>,
    pub(crate) exceptions: Vec<ExceptionPlan>,
    pub(crate) shape: ShapePlan,
    /// What it asks memory; `None` for nothing.
    pub(crate) memory: Option<RuleMemory>,
    /// What checks at arrival need, where it is a limit.
    pub(crate) limit: Option<LimitPlan>,
    pub(crate) because: Vec<(String, Option<(Type, Scalar)>)>,
}

#[derive(Debug)]
pub(crate) struct ExceptionPlan {
    pub(crate) node: NodeId,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

#[derive(Debug)]
pub(crate) enum ShapePlan {
    Single {
        values: Vec<ValuePlan>,
    },
    Windowed(Box<WindowPlan>),
    Sequence(Box<SequencePlan>),
    /// No rule: what rules ask.
    Series(Box<SeriesPlan>),
}

#[derive(Debug)]
pub(crate) struct WindowPlan {
    /// Index among the windowed rules.
    pub(crate) number: u32,
    pub(crate) per: Vec<PartPlan>,
    /// The part of which an event has several values, if there is one.
    pub(crate) many: Option<ManyPlan>,
    pub(crate) length: Duration,
    pub(crate) step: i64,
    /// For sessions, the longest silence within one.
    pub(crate) gap: Option<i64>,
    /// Steps in a window; of a session, at most.
    pub(crate) panes: i64,
    /// Whether what an aggregate comes to changes as time goes by, without events.
    pub(crate) clocked: bool,
    pub(crate) filters: Vec<NodeId>,
    pub(crate) inputs: Vec<InputPlan>,
    pub(crate) aggregates: Vec<AggregatePlan>,
    pub(crate) baselines: Baselines,
    /// Words of a row of one step.
    pub(crate) row: usize,
    /// Column of the number of events that any aggregate counts; `None` where every event is counted.
    pub(crate) contributed: Option<u16>,
    pub(crate) when: Cond,
    /// What its groups are accounted at.
    pub(crate) room: RoomPlan,
    /// With fewer events in the window `when` cannot hold; at least 1.
    pub(crate) events_needed: u64,
    pub(crate) values: Vec<ValuePlan>,
    pub(crate) cooldown: i64,
    /// The groups of a link by which it counts together what it counts per account.
    pub(crate) view: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct PartPlan {
    pub(crate) name: String,
    /// Of one value, where an event has several.
    pub(crate) ty: Type,
    /// `None` for a part of which an event has several values.
    pub(crate) word: Option<WordId>,
    /// Whether its word is a template fingerprint as it is: there are far too many to keep each as a text.
    pub(crate) fingerprint: bool,
}

impl PartPlan {
    /// Whether its word stands for a text that the engine holds.
    pub(crate) fn is_symbol(&self) -> bool {
        !self.fingerprint && is_symbol(&self.ty)
    }
}

/// What is taken from an event, as one word of 64 bits and whether it is known.
#[derive(Debug)]
pub(crate) enum InputPlan {
    /// A value: a number as it is, or a symbol by which it is told apart.
    Word(WordId),
    /// A condition as 0 or 1.
    Truth(NodeId),
    /// Several values as one symbol.
    Tuple(Vec<(Scalar, Type)>),
    /// `one per`: as a value, or the collapsing key where the condition is true.
    OnePer { of: Vec<(Scalar, Type)>, key: (Scalar, Type), condition: Option<NodeId> },
}

impl InputPlan {
    /// Whether its word is the number of a text.
    pub(crate) fn is_symbol(&self, words: &[WordPlan]) -> bool {
        match self {
            InputPlan::Word(id) => words.get(id.0 as usize).is_some_and(|word| is_symbol(&word.ty)),
            InputPlan::Truth(_) => false,
            InputPlan::Tuple(_) | InputPlan::OnePer { .. } => true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fold {
    Count,
    Sum,
    Min,
    Max,
    Average {
        micros: bool,
    },
    Distinct {
        symbols: bool,
    },
    Share,
    /// In millionths.
    Quantile {
        share: i64,
    },
    Spread,
    TopShare {
        symbols: bool,
        /// Of how many values.
        of: u32,
    },
    Entropy {
        symbols: bool,
    },
    First {
        symbols: bool,
    },
    Last {
        symbols: bool,
    },
    /// Over at least so many nanoseconds.
    Rate {
        least: i64,
    },
    LongestIdle,
    TopSpeed,
    /// By its number among the rule's baselines.
    Baseline {
        number: u16,
    },
    /// Of templates.
    Wordings(WordingFold),
}

/// What is asked of the wordings of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum WordingFold {
    Distinct,
    /// Of how many wordings.
    TopShare(u32),
    Entropy,
}

impl Fold {
    /// Words of 32 bits that it keeps per step in the rows of a lane; `None` where it keeps its steps itself.
    pub(crate) fn columns(self) -> Option<usize> {
        match self {
            Fold::Count => Some(1),
            Fold::Share => Some(2),
            Fold::Sum | Fold::Average { .. } => Some(3),
            _ => None,
        }
    }

    /// Whether the words that it keeps are symbols.
    pub(crate) fn keeps_symbols(self) -> bool {
        match self {
            Fold::Distinct { symbols }
            | Fold::TopShare { symbols, .. }
            | Fold::Entropy { symbols }
            | Fold::First { symbols }
            | Fold::Last { symbols } => symbols,
            Fold::Wordings(_) => true,
            _ => false,
        }
    }
}

/// Words of a row before its columns: the step, as distance from the lane's base, and how many events it holds.
pub(crate) const ROW_HEADER: usize = 2;

#[derive(Debug)]
pub(crate) struct AggregatePlan {
    pub(crate) fold: Fold,
    /// Type of the result.
    pub(crate) ty: Type,
    /// The word of the language for it.
    pub(crate) word: &'static str,
    pub(crate) input: u8,
    pub(crate) filter: Option<u8>,
    pub(crate) column: Column,
    /// Whether the events that it takes in contribute to a finding.
    pub(crate) counts: bool,
    /// Whether the word of an event stands for several values, each of which is counted.
    pub(crate) items: bool,
}

/// Where an aggregate keeps the numbers of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// It is the number of events of the row.
    Events,
    /// From this word of the row on.
    At(u16),
    /// In its own state.
    Own,
}

/// A value that the record shows.
#[derive(Debug)]
pub(crate) struct ValuePlan {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) scalar: Scalar,
    pub(crate) threshold: Option<(Compare, Recorded)>,
    /// The aggregates in it that may come to an estimate.
    pub(crate) estimated: Vec<u16>,
}

impl ValuePlan {
    /// Whether the value is held against an upper limit, so that its peak is its least.
    pub(crate) fn peaks_low(&self) -> bool {
        matches!(self.threshold, Some((Compare::Less | Compare::LessEqual, _)))
    }
}

impl RulePlan {
    /// The number of its windows, if it has any.
    pub(crate) fn windows_number(&self) -> Option<u32> {
        match &self.shape {
            ShapePlan::Windowed(w) => Some(w.number),
            ShapePlan::Single { .. } | ShapePlan::Sequence(_) | ShapePlan::Series(_) => None,
        }
    }

    /// What it counts over windows, of a series over its steps.
    pub(crate) fn window(&self) -> Option<&WindowPlan> {
        match &self.shape {
            ShapePlan::Windowed(w) => Some(w),
            ShapePlan::Series(s) => Some(&s.w),
            ShapePlan::Single { .. } | ShapePlan::Sequence(_) => None,
        }
    }

    /// The number of its partial matches, if it is on sequences.
    pub(crate) fn sequence_number(&self) -> Option<u32> {
        match &self.shape {
            ShapePlan::Sequence(s) => Some(s.number),
            ShapePlan::Single { .. } | ShapePlan::Windowed(_) | ShapePlan::Series(_) => None,
        }
    }

    /// What an event of a kind must fulfil for the rule to look at it.
    pub(crate) fn filter_of(&self, kind: Kind) -> Option<NodeId> {
        match &self.shape {
            ShapePlan::Sequence(s) => s.covers.get(kind as usize).copied().flatten(),
            ShapePlan::Single { .. } | ShapePlan::Windowed(_) | ShapePlan::Series(_) => self.filter,
        }
    }

    /// The plan of a rule; `number` is that of its windows or partial matches, if it has any.
    pub(crate) fn new(cx: &mut Lower<'_>, rule: &hir::Rule, number: u32) -> RulePlan {
        cx.questions.begin(&rule.kinds);
        let filter = rule.filter.as_ref().map(|f| cx.node(f));
        let exceptions = rule
            .exceptions
            .iter()
            .take(EXCEPTIONS_MAX)
            .map(|e| ExceptionPlan {
                node: cx.node(&e.filter),
                from: e.from.unwrap_or(Timestamp::MIN),
                until: e.until.unwrap_or(Timestamp::MAX),
            })
            .collect();
        let because = rule
            .because
            .iter()
            .map(|p| match p {
                Piece::Text(t) => (t.clone(), None),
                Piece::Value(name, e) => (name.clone(), Some((e.ty.clone(), cx.scalar(e)))),
            })
            .collect();
        let shape = match &rule.shape {
            Shape::Single => ShapePlan::Single {
                values: rule
                    .lets
                    .iter()
                    .map(|(name, e)| ValuePlan {
                        name: name.clone(),
                        ty: e.ty.clone(),
                        scalar: cx.scalar(e),
                        threshold: None,
                        estimated: Vec::new(),
                    })
                    .collect(),
            },
            Shape::Windowed(w) => ShapePlan::Windowed(Box::new(window(cx, rule, w, number))),
            Shape::Sequence(s) => ShapePlan::Sequence(Box::new(SequencePlan::new(cx, rule, s, number))),
        };
        let mut bound = |what: &str, n: usize, max: usize| {
            if n > max {
                let message = format!("rule `{}` has {n} {what}, the limit is {max}", rule.name);
                cx.diagnostics.push(Diagnostic::new(Code::TOO_MANY, rule.span, message));
            }
        };
        bound("exceptions", rule.exceptions.len(), EXCEPTIONS_MAX);
        if let ShapePlan::Windowed(w) = &shape {
            bound("different conditions behind `where`", w.filters.len(), FILTERS_MAX);
            bound("different values to count", w.inputs.len(), INPUTS_MAX);
        }
        if let ShapePlan::Sequence(s) = &shape {
            bound("different values that steps hold against each other", s.slots.len(), SLOTS_MAX);
        }
        let steps = match &rule.shape {
            Shape::Sequence(s) => s.steps.as_slice(),
            Shape::Single | Shape::Windowed(_) => &[],
        };
        let memory = cx.questions.end(rule.filter.iter().chain(steps.iter().filter_map(|step| step.filter.as_ref())));
        let questions = memory.as_ref().map_or(0, |m| m.questions.len());
        if questions > hir::QUESTIONS_PER_RULE_MAX {
            let message = format!("rule `{}` asks memory {questions} questions", rule.name);
            cx.diagnostics.push(Diagnostic::new(Code::TOO_MANY, rule.span, message));
        }
        let limit = rule.limit.as_ref().map(|limit| LimitPlan::new(cx, rule, limit));
        RulePlan { hash: rule_hash(cx.program, rule), filter, exceptions, shape, memory, limit, because }
    }
}

/// The parts of a key, under different names.
pub(super) fn parts(cx: &mut Lower<'_>, per: &[hir::Expr]) -> Vec<PartPlan> {
    let mut names: Vec<String> = Vec::new();
    per.iter()
        .map(|e| {
            let name = unique(&mut names, describe(cx.program, e));
            let several = matches!(e.ty, Type::List(_));
            PartPlan {
                name,
                ty: hir::key_type(e).clone(),
                word: (!several).then(|| cx.word(e)),
                fingerprint: matches!(e.kind, ExprKind::Template(..)),
            }
        })
        .collect()
}

fn window(cx: &mut Lower<'_>, rule: &hir::Rule, w: &hir::Windowed, number: u32) -> WindowPlan {
    let per = parts(cx, &w.per);
    let many = ManyPlan::new(cx, w);
    let mut filters: Vec<NodeId> = Vec::new();
    let mut inputs: Vec<InputPlan> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    let mut aggregates = Vec::new();
    let (mut baselines, mut more) = (Baselines::default(), Vec::new());
    let mut row = ROW_HEADER;
    let step = w.step.0.max(1);
    for aggregate in &w.aggregates {
        let filter = aggregate.filter.as_ref().map(|f| {
            let node = cx.node(f);
            position_or_push(&mut filters, node).min(FILTERS_MAX) as u8
        });
        let mut input = |cx: &mut Lower<'_>,
                         kind: &str,
                         parts: &[&hir::Expr],
                         make: &mut dyn FnMut(&mut Lower<'_>) -> InputPlan| {
            let name =
                format!("{kind}{}", parts.iter().map(|e| canonical_expr(cx.program, e)).collect::<Vec<_>>().join(" "));
            match known.iter().position(|k| *k == name) {
                Some(at) => at as u8,
                None => {
                    known.push(name);
                    let made = make(cx);
                    inputs.push(made);
                    (inputs.len() - 1) as u8
                }
            }
        };
        let several = aggregate.function.arguments().iter().find(|e| matches!(e.ty, Type::List(_)));
        let items = several.is_some_and(|e| !e.is_template());
        let (fold, at) = match &aggregate.function {
            function if several.is_some_and(hir::Expr::is_template) => {
                let of = match function {
                    Function::TopShare(_, of) => WordingFold::TopShare(*of),
                    Function::Entropy(_) => WordingFold::Entropy,
                    _ => WordingFold::Distinct,
                };
                let at = several.map_or(0, |e| input(cx, "v", &[e], &mut |cx| InputPlan::Word(cx.told_apart(e))));
                (Fold::Wordings(of), at)
            }
            Function::Count => (Fold::Count, 0),
            Function::Sum(e) => (Fold::Sum, input(cx, "n", &[e], &mut |cx| InputPlan::Word(cx.word(e)))),
            Function::Min(e) => (Fold::Min, input(cx, "n", &[e], &mut |cx| InputPlan::Word(cx.word(e)))),
            Function::Max(e) => (Fold::Max, input(cx, "n", &[e], &mut |cx| InputPlan::Word(cx.word(e)))),
            Function::Average(e) => {
                let micros = matches!(e.ty, Type::Integer | Type::Tokens);
                (Fold::Average { micros }, input(cx, "n", &[e], &mut |cx| InputPlan::Word(cx.word(e))))
            }
            Function::Share(e) => (Fold::Share, input(cx, "t", &[e], &mut |cx| InputPlan::Truth(cx.node(e)))),
            Function::Quantile(e, share) => {
                (Fold::Quantile { share: *share }, input(cx, "n", &[e], &mut |cx| InputPlan::Word(cx.word(e))))
            }
            Function::Spread(e) => (Fold::Spread, input(cx, "n", &[e], &mut |cx| InputPlan::Word(cx.word(e)))),
            Function::TopShare(e, _) | Function::Entropy(e) | Function::First(e) | Function::Last(e) => {
                // Of several values each goes by its hash.
                let symbols = is_symbol(&e.ty) && !items;
                let fold = match &aggregate.function {
                    Function::TopShare(_, of) => Fold::TopShare { symbols, of: *of },
                    Function::Entropy(_) => Fold::Entropy { symbols },
                    Function::First(_) => Fold::First { symbols },
                    _ => Fold::Last { symbols },
                };
                // What is shown is kept as it is.
                let shown = matches!(fold, Fold::First { .. } | Fold::Last { .. });
                let kind = if shown { "shown" } else { "v" };
                let word = |cx: &mut Lower<'_>| if shown { cx.word(e) } else { cx.told_apart(e) };
                (fold, input(cx, kind, &[e], &mut |cx| InputPlan::Word(word(cx))))
            }
            Function::Rate => (Fold::Rate { least: step }, 0),
            Function::LongestIdle => (Fold::LongestIdle, 0),
            Function::TopSpeed(e) => (Fold::TopSpeed, input(cx, "v", &[e], &mut |cx| InputPlan::Word(cx.word(e)))),
            Function::Distinct { of, one_per } => {
                let mut parts: Vec<&hir::Expr> = of.iter().collect();
                let mut kind = "v".to_string();
                if let Some((key, condition)) = one_per {
                    kind = format!("one-per{}", of.len());
                    parts.push(key);
                    parts.extend(condition.iter());
                }
                let symbols =
                    !items && (one_per.is_some() || of.len() != 1 || of.first().is_some_and(|e| is_symbol(&e.ty)));
                let at = input(cx, &kind, &parts, &mut |cx| {
                    if let ([single], None) = (of.as_slice(), one_per) {
                        return InputPlan::Word(cx.told_apart(single));
                    }
                    let of: Vec<(Scalar, Type)> = of.iter().map(|e| (cx.scalar(e), e.ty.clone())).collect();
                    match one_per {
                        None => InputPlan::Tuple(of),
                        Some((key, condition)) => InputPlan::OnePer {
                            of,
                            key: (cx.scalar(key), key.ty.clone()),
                            condition: condition.as_ref().map(|c| cx.node(c)),
                        },
                    }
                });
                (Fold::Distinct { symbols }, at)
            }
            Function::Baseline(b) => {
                let mut last =
                    |cx: &mut Lower<'_>, e: &hir::Expr| input(cx, "shown", &[e], &mut |cx| InputPlan::Word(cx.word(e)));
                (baselines.add(cx, b, w.aggregates.len(), &mut last, &mut more), 0)
            }
        };
        let column = match fold.columns() {
            _ if fold == Fold::Count && filter.is_none() => Column::Events,
            None => Column::Own,
            Some(columns) => {
                row += columns;
                Column::At((row - columns) as u16)
            }
        };
        let (ty, word) = (aggregate.ty.clone(), aggregate.function.word());
        let counts = aggregate.function.baseline().is_none();
        aggregates.push(AggregatePlan { fold, ty, word, input: at, filter, column, counts, items });
    }
    aggregates.extend(more);
    let every_counts = aggregates.iter().any(|a: &AggregatePlan| a.counts && a.filter.is_none());
    let contributed = (!every_counts).then_some(row as u16);
    row += usize::from(!every_counts);
    let when = cx.cond(&w.when);
    let values = values(cx, rule, w);
    let view = w.link.map(|id| super::link::view(cx, id, step));
    let events_needed = events_needed(&when, &aggregates).max(1);
    // A session may begin anywhere in a step, and it is over when its last event is further back than the gap.
    let panes = w.gap.map_or(w.length.0 / step, |gap| w.length.0.saturating_add(gap.0) / step + 2).max(1);
    WindowPlan {
        number,
        room: RoomPlan::new(&aggregates, row, panes, u64::try_from(baselines.reach()).unwrap_or(0)),
        per,
        many,
        length: w.length,
        step,
        gap: w.gap.map(|gap| gap.0),
        panes,
        clocked: w.aggregates.iter().any(|a| match a.function {
            Function::LongestIdle => true,
            Function::Rate => w.gap.is_some(),
            _ => false,
        }) || asks_for_outages(rule, w),
        filters,
        inputs,
        aggregates,
        baselines,
        row,
        contributed,
        when,
        events_needed,
        values,
        cooldown: rule.cooldown.map_or(0, |d| d.0).max(w.step.0),
        view,
    }
}

/// Whether it asks for outages within the window: they come and go without events of the group.
fn asks_for_outages(rule: &hir::Rule, w: &hir::Windowed) -> bool {
    let said = rule.because.iter().filter_map(|piece| match piece {
        Piece::Value(_, e) => Some(e),
        Piece::Text(_) => None,
    });
    rule.lets.iter().map(|(_, e)| e).chain(said).chain([&w.when]).any(hir::Expr::is_of_outages)
}

/// How many events a window must hold at least for a condition to be true: a count or a number of different values is at
/// most the number of events.
fn events_needed(when: &Cond, aggregates: &[AggregatePlan]) -> u64 {
    let counts = |s: &Scalar| match s {
        Scalar::Aggregate(i) => match aggregates.get(usize::from(*i)).filter(|a| !a.items).map(|a| a.fold) {
            Some(Fold::Count) => Some(u64::MAX),
            // An estimate may be above it; but there is one only above the bound.
            Some(Fold::Distinct { .. }) => Some(DISTINCT_EXACT_MAX as u64),
            Some(Fold::Wordings(WordingFold::Distinct)) => Some(PROMPTS_MAX as u64),
            _ => None,
        },
        _ => None,
    };
    let number = |s: &Scalar| match s {
        Scalar::Const(hir::Const::Num(n)) => u64::try_from(*n).ok(),
        _ => None,
    };
    match when {
        Cond::And(all) => all.iter().map(|c| events_needed(c, aggregates)).max().unwrap_or(0),
        Cond::Or(all) => all.iter().map(|c| events_needed(c, aggregates)).min().unwrap_or(0),
        Cond::AtLeast(n, all) => {
            let mut each: Vec<u64> = all.iter().map(|c| events_needed(c, aggregates)).collect();
            each.sort_unstable();
            (*n as usize).checked_sub(1).and_then(|at| each.get(at)).copied().unwrap_or(0)
        }
        Cond::Compare(op, a, b) => {
            let (op, bound) = match (counts(a), counts(b)) {
                (Some(most), None) => (*op, number(b).map(|n| n.min(most))),
                (None, Some(most)) => (mirrored(*op), number(a).map(|n| n.min(most))),
                _ => return 0,
            };
            match (op, bound) {
                (Compare::GreaterEqual | Compare::Equal, Some(n)) => n,
                (Compare::Greater, Some(n)) => n.saturating_add(1),
                _ => 0,
            }
        }
        _ => 0,
    }
}

/// The comparison with its sides exchanged.
fn mirrored(op: Compare) -> Compare {
    match op {
        Compare::Less => Compare::Greater,
        Compare::LessEqual => Compare::GreaterEqual,
        Compare::Greater => Compare::Less,
        Compare::GreaterEqual => Compare::LessEqual,
        same => same,
    }
}

/// The rule's named values, then the aggregates, and values of a link group, that `when` uses without a name, and the
/// baselines; last, how many values each baseline rests on.
fn values(cx: &mut Lower<'_>, rule: &hir::Rule, w: &hir::Windowed) -> Vec<ValuePlan> {
    let mut shown: Vec<(String, hir::Expr)> = rule.lets.clone();
    let mut names: Vec<String> = shown.iter().map(|(n, _)| n.clone()).collect();
    let mut nameless = Vec::new();
    find_nameless(cx, &w.when, &rule.lets, &mut nameless);
    // Baselines are shown wherever they stand: what is held against them is nothing without them.
    rule.lets.iter().for_each(|(_, e)| find_baselines(w, e, &mut nameless));
    find_baselines(w, &w.when, &mut nameless);
    for e in nameless {
        let text = canonical_expr(cx.program, e);
        let named = shown.iter().any(|(_, known)| canonical_expr(cx.program, known) == text);
        let word = match e.kind {
            ExprKind::Aggregate(i) => w.aggregates.get(usize::from(i)).map(|a| a.function.word()),
            ExprKind::Link(value) => Some(value.word()),
            _ => None,
        };
        if let (false, Some(word)) = (named, word) {
            shown.push((unique(&mut names, word.to_string()), e.clone()));
        }
    }
    let mut out = Vec::new();
    for (name, e) in shown {
        let threshold = threshold(cx, &w.when, &canonical_expr(cx.program, &e));
        let mut estimated = Vec::new();
        e.walk(&mut |e| {
            if let ExprKind::Aggregate(i) = e.kind
                && w.aggregates.get(usize::from(i)).is_some_and(|a| may_be_estimated(&a.function))
            {
                estimated.push(i);
            }
        });
        estimated.sort_unstable();
        estimated.dedup();
        out.push(ValuePlan { name, ty: e.ty.clone(), scalar: cx.scalar(&e), threshold, estimated });
    }
    for (number, b) in w.aggregates.iter().filter_map(|a| a.function.baseline()).enumerate() {
        let name = unique(&mut names, format!("{}_values", b.word()));
        let scalar = Scalar::ValuesOfBaseline(number as u16);
        out.push(ValuePlan { name, ty: Type::Integer, scalar, threshold: None, estimated: Vec::new() });
    }
    out
}

/// The baselines of an expression.
fn find_baselines<'e>(w: &hir::Windowed, e: &'e hir::Expr, found: &mut Vec<&'e hir::Expr>) {
    e.walk(&mut |e| {
        if let ExprKind::Aggregate(i) = e.kind
            && w.aggregates.get(usize::from(i)).is_some_and(|a| a.function.baseline().is_some())
        {
            found.push(e);
        }
    });
}

fn may_be_estimated(function: &Function) -> bool {
    matches!(
        function,
        Function::Distinct { .. }
            | Function::Quantile(..)
            | Function::TopShare(..)
            | Function::Entropy(_)
            | Function::Baseline(_)
    )
}

/// Aggregates, and values of a link group, of a condition that stand in no `let` of the rule.
fn find_nameless<'e>(cx: &Lower<'_>, e: &'e hir::Expr, lets: &[(String, hir::Expr)], found: &mut Vec<&'e hir::Expr>) {
    let text = canonical_expr(cx.program, e);
    if lets.iter().any(|(_, known)| canonical_expr(cx.program, known) == text) {
        return;
    }
    if matches!(e.kind, ExprKind::Aggregate(_) | ExprKind::Link(_)) {
        found.push(e);
    }
    e.children().for_each(|child| find_nameless(cx, child, lets, found));
}

/// The first comparison in `when` of just this value with a constant. Not under `not`, which would turn its meaning.
fn threshold(cx: &Lower<'_>, when: &hir::Expr, value: &str) -> Option<(Compare, Recorded)> {
    let mut comparisons = Vec::new();
    find_comparisons(when, &mut comparisons);
    let mut found = None;
    for e in comparisons {
        let ExprKind::Compare(op, a, b) = &e.kind else { continue };
        let flipped = mirrored(*op);
        for (op, left, right) in [(*op, a, b), (flipped, b, a)] {
            if let (None, ExprKind::Const(c)) = (&found, &right.kind)
                && canonical_expr(cx.program, left) == value
            {
                found = Some((op, recorded(c)));
            }
        }
    }
    found
}

fn find_comparisons<'e>(e: &'e hir::Expr, found: &mut Vec<&'e hir::Expr>) {
    match &e.kind {
        ExprKind::Not(_) => {}
        ExprKind::Compare(..) => {
            found.push(e);
            e.children().for_each(|child| find_comparisons(child, found));
        }
        _ => e.children().for_each(|child| find_comparisons(child, found)),
    }
}

fn recorded(c: &hir::Const) -> Recorded {
    match c {
        hir::Const::Bool(b) => Recorded::Bool(*b),
        hir::Const::Num(n) => Recorded::Num(*n),
        hir::Const::Text(t) => Recorded::Text(t.clone()),
        hir::Const::Ip(ip) => Recorded::Text(ip.to_string()),
        hir::Const::Net(net) => Recorded::Text(net.to_string()),
    }
}

fn unique(names: &mut Vec<String>, name: String) -> String {
    let mut candidate = name.clone();
    let mut n = 1;
    while names.contains(&candidate) {
        n += 1;
        candidate = format!("{name}_{n}");
    }
    names.push(candidate.clone());
    candidate
}

fn position_or_push(list: &mut Vec<NodeId>, node: NodeId) -> usize {
    list.iter().position(|n| *n == node).unwrap_or_else(|| {
        list.push(node);
        list.len() - 1
    })
}

/// Words of a routed record besides its header: the key, then the inputs. In place of a part of which the event has several
/// values stands how many; the values follow behind.
pub(crate) fn words(w: &WindowPlan) -> usize {
    w.per.len() + w.inputs.len()
}

pub(crate) type Key = SmallVec<[u64; 2]>;
