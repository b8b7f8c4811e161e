//! Typed expressions to lowered ones: regexes compiled, sets hashed, lists and tables in place, conditions on single
//! events shared as nodes.

use std::sync::Arc;

use super::ReferenceData;
use super::link::Links;
use super::memory::Questions;
use super::node::{Node, NodeId, Nodes};
use super::scalar::{Cond, OutagePlan, Scalar};
use super::sequence::{OWN, Slots};
use super::set::ValueSet;
use super::text::TextMatcher;
use super::wording::Wording;
use crate::diagnostic::{Code, Diagnostic};
use crate::event::FIELDS;
use crate::event::fields::Privacy;
use crate::hir::{Const, Expr, ExprKind, Program, TextTest, canonical_expr};
use crate::reference::{ListData, TableData};
use crate::time::Timestamp;
use crate::value::Type;

/// Number of a value of single events that rules take as one word: a key, or something counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WordId(pub(crate) u32);

/// The values that rules take as words, each once however many rules take it.
#[derive(Debug, Default)]
pub(crate) struct Words {
    by_name: hashbrown::HashMap<String, WordId>,
    pub(crate) all: Vec<WordPlan>,
}

/// A value that rules take as a word.
#[derive(Debug)]
pub(crate) struct WordPlan {
    pub(crate) scalar: Scalar,
    pub(crate) ty: Type,
    /// Whether it depends on what memory answers, so that it has more than one value an event.
    pub(crate) asks: bool,
    /// Whether it is the text of what was said: it is then told apart by a hash, for the state is saved.
    pub(crate) content: bool,
}

pub(crate) struct Lower<'a> {
    pub(crate) program: &'a Program,
    pub(crate) data: &'a ReferenceData,
    pub(crate) nodes: Nodes,
    pub(crate) words: Words,
    pub(crate) questions: Questions,
    pub(crate) slots: Slots,
    pub(crate) wordings: Vec<Wording>,
    pub(crate) links: Links,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Lower<'_> {
    pub(crate) fn list(&self, id: crate::hir::ListId) -> Arc<ListData> {
        self.data.lists.get(id.0 as usize).cloned().unwrap_or_else(|| Arc::new(ListData::empty(Type::String)))
    }

    fn table(&self, id: crate::hir::TableId) -> Arc<TableData> {
        self.data.tables.get(id.0 as usize).cloned().unwrap_or_else(|| Arc::new(TableData::empty(Vec::new())))
    }

    /// The node of a condition on single events.
    pub(crate) fn node(&mut self, e: &Expr) -> NodeId {
        let asks = e.asks_memory();
        let name = canonical_expr(self.program, e);
        let name = if asks { self.questions.name(name) } else { name };
        let node = match &e.kind {
            ExprKind::Not(a) => Node::Not(self.node(a)),
            ExprKind::And(all) => Node::And(self.cheapest_first(all)),
            ExprKind::Or(all) => Node::Or(self.cheapest_first(all)),
            ExprKind::AtLeast(n, all) => Node::AtLeast(*n, all.iter().map(|a| self.node(a)).collect()),
            ExprKind::Text { operand, test, ignoring_case } => match &operand.kind {
                ExprKind::Field(field) => {
                    let Some(matcher) = self.matcher(e, test, *ignoring_case) else {
                        return self.nodes.add("broken", Node::Or(Box::new([])));
                    };
                    Node::Text { field: *field, matcher }
                }
                ExprKind::OrDefault(field, default) => match (&field.kind, &default.kind) {
                    (ExprKind::Field(_), ExprKind::Const(Const::Text(said)))
                        if !matches!(test, TextTest::ContainsAnyOf(_)) =>
                    {
                        let Some(matcher) = self.matcher(e, test, *ignoring_case) else {
                            return self.nodes.add("broken", Node::Or(Box::new([])));
                        };
                        self.text_or(e, field, matcher.matches(said, Timestamp(0)))
                    }
                    _ => Node::Leaf(self.cond(e)),
                },
                _ => Node::Leaf(self.cond(e)),
            },
            _ => Node::Leaf(self.cond(e)),
        };
        let id = self.nodes.add(&name, node);
        if asks {
            self.questions.depends(id);
        }
        id
    }

    /// A test on a field with a default, as a test on the field, which the pass over its literals may spare: `absent` is what
    /// it comes to where the field is unknown.
    fn text_or(&mut self, e: &Expr, field: &Expr, absent: bool) -> Node {
        let with = |kind: ExprKind| Expr { kind, ..e.clone() };
        let exists = with(ExprKind::Exists(Box::new(field.clone())));
        let mut on_field = e.clone();
        if let ExprKind::Text { operand, .. } = &mut on_field.kind {
            **operand = field.clone();
        }
        let on_field = self.node(&on_field);
        if absent {
            let missing = self.node(&with(ExprKind::Not(Box::new(exists))));
            Node::Or([missing, on_field].into())
        } else {
            Node::And([self.node(&exists), on_field].into())
        }
    }

    /// The word of a value of single events.
    pub(crate) fn word(&mut self, e: &Expr) -> WordId {
        self.word_of(e, false)
    }

    /// The word of a value that is only told apart from others, never shown.
    pub(crate) fn told_apart(&mut self, e: &Expr) -> WordId {
        self.word_of(e, is_content(e))
    }

    fn word_of(&mut self, e: &Expr, content: bool) -> WordId {
        let (mut name, asks) = (canonical_expr(self.program, e), e.asks_memory());
        if content {
            name.push_str(" by its hash");
        }
        if let Some(id) = self.words.by_name.get(&name).filter(|_| !asks) {
            return *id;
        }
        let scalar = self.scalar(e);
        let id = WordId(self.words.all.len() as u32);
        self.words.all.push(WordPlan { scalar, ty: e.ty.clone(), asks, content });
        self.words.by_name.insert(name, id);
        id
    }

    /// The number of a wording.
    fn wording(&mut self, wording: Wording) -> u16 {
        let known = self.wordings.iter().position(|w| *w == wording);
        let at = known.unwrap_or_else(|| {
            self.wordings.push(wording);
            self.wordings.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// Kleene's and/or do not depend on order, so the cheap parts go first.
    fn cheapest_first(&mut self, all: &[Expr]) -> Box<[NodeId]> {
        let mut ids: Vec<NodeId> = all.iter().map(|a| self.node(a)).collect();
        ids.sort_by_key(|id| self.nodes.cost(*id));
        ids.into()
    }

    fn matcher(&mut self, e: &Expr, test: &TextTest, ignoring_case: bool) -> Option<Arc<TextMatcher>> {
        let list = match test {
            TextTest::ContainsAnyOf(list) => Some(self.list(*list)),
            _ => None,
        };
        let listed = list.as_ref().map_or_else(Vec::new, |list| list.texts_with_spans());
        match TextMatcher::new(test, &listed, ignoring_case) {
            Ok(m) => Some(Arc::new(m)),
            Err(message) => {
                self.diagnostics.push(Diagnostic::new(
                    Code::REGEX_TOO_COSTLY,
                    e.span,
                    format!("this test cannot be compiled: {message}"),
                ));
                None
            }
        }
    }

    pub(crate) fn cond(&mut self, e: &Expr) -> Cond {
        if self.slots.across && e.is_of_event() {
            return Cond::Value(self.slot(OWN, e));
        }
        match &e.kind {
            ExprKind::Not(a) => Cond::Not(Box::new(self.cond(a))),
            ExprKind::And(all) => Cond::And(all.iter().map(|a| self.cond(a)).collect()),
            ExprKind::Or(all) => Cond::Or(all.iter().map(|a| self.cond(a)).collect()),
            ExprKind::AtLeast(n, all) => Cond::AtLeast(*n, all.iter().map(|a| self.cond(a)).collect()),
            ExprKind::Compare(op, a, b) => Cond::Compare(*op, self.scalar(a), self.scalar(b)),
            ExprKind::InSet(a, set) => Cond::InSet(self.scalar(a), Arc::new(ValueSet::new(set))),
            ExprKind::InList(a, list) => Cond::InList(self.scalar(a), self.list(*list)),
            ExprKind::Text { operand, test, ignoring_case } => {
                let operand = self.scalar(operand);
                match self.matcher(e, test, *ignoring_case) {
                    Some(matcher) => Cond::Text(operand, matcher),
                    None => Cond::Or(Vec::new()),
                }
            }
            ExprKind::Exists(a) => Cond::Exists(self.scalar(a)),
            ExprKind::Memory(m) => Cond::Memory(self.question(e, m)),
            ExprKind::Outage(series) => Cond::Memory(self.outage(e, *series)),
            ExprKind::WindowOutage(o) => {
                let every = self.program.series.get(o.series.0 as usize).map_or(1, |s| s.every.0);
                Cond::Outage(OutagePlan {
                    series: o.series.0 as usize,
                    keys: o.keys.clone(),
                    length: o.length.0,
                    every,
                })
            }
            _ => Cond::Value(self.scalar(e)),
        }
    }

    pub(crate) fn scalar(&mut self, e: &Expr) -> Scalar {
        if self.slots.across && e.is_of_event() {
            return self.slot(OWN, e);
        }
        let boxed = |s| Box::new(s);
        match &e.kind {
            ExprKind::Const(c) => Scalar::Const(c.clone()),
            ExprKind::Field(f) => Scalar::Field(*f),
            ExprKind::Column(t, c) => {
                let key = self.program.tables.get(t.0 as usize).map(|t| t.key.clone());
                let key = key.map_or(Scalar::Const(crate::hir::Const::Bool(false)), |k| self.scalar(&k));
                Scalar::Column { table: self.table(*t), column: *c, key: boxed(key) }
            }
            ExprKind::OfStep(step, a) => self.slot(*step, a),
            ExprKind::OrDefault(a, b) => Scalar::OrDefault(boxed(self.scalar(a)), boxed(self.scalar(b))),
            ExprKind::Arithmetic(op, a, b) => Scalar::Arithmetic(*op, boxed(self.scalar(a)), boxed(self.scalar(b))),
            ExprKind::ToMicros(a) => Scalar::ToMicros(boxed(self.scalar(a))),
            ExprKind::Network(a, v4, v6) => Scalar::Network(boxed(self.scalar(a)), *v4, *v6),
            ExprKind::Lower(a) => Scalar::Lower(boxed(self.scalar(a))),
            ExprKind::Length(a) => Scalar::Length(boxed(self.scalar(a))),
            ExprKind::Template(field, strictness) => {
                Scalar::Template(self.wording(Wording { field: *field, strictness: *strictness }))
            }
            ExprKind::Aggregate(i) => Scalar::Aggregate(*i),
            ExprKind::Key(i) => Scalar::Key(*i),
            ExprKind::Link(value) => Scalar::Link(*value),
            ExprKind::Not(_)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::AtLeast(..)
            | ExprKind::Compare(..)
            | ExprKind::InSet(..)
            | ExprKind::InList(..)
            | ExprKind::Text { .. }
            | ExprKind::Exists(_)
            | ExprKind::Outage(_)
            | ExprKind::WindowOutage(_)
            | ExprKind::Memory(_) => Scalar::Truth(Box::new(self.cond(e))),
        }
    }
}

/// Whether a text comes from a field that holds what was said.
fn is_content(e: &Expr) -> bool {
    let mut found = false;
    e.walk(&mut |x| {
        if let ExprKind::Field(f) = &x.kind {
            found |= FIELDS.get(usize::from(f.0)).is_some_and(|f| f.privacy == Privacy::Content);
        }
    });
    found && e.ty == Type::String
}

/// Whether values of a type are told apart by their text, which the engine holds as a symbol.
pub(crate) fn is_symbol(ty: &Type) -> bool {
    ty.is_text() || matches!(ty, Type::Ip | Type::Cidr | Type::List(_))
}
