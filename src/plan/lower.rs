//! Typed expressions to lowered ones: regexes compiled, sets hashed, lists and tables in place, conditions on single
//! events shared as nodes.

use std::sync::Arc;

use super::ReferenceData;
use super::node::{Node, NodeId, Nodes};
use super::scalar::{Cond, Scalar};
use super::set::ValueSet;
use super::text::TextMatcher;
use super::wording::Wording;
use crate::diagnostic::{Code, Diagnostic};
use crate::hir::{Expr, ExprKind, Program, TextTest, canonical_expr};
use crate::reference::{ListData, TableData};
use crate::value::Type;

pub(crate) struct Lower<'a> {
    pub(crate) program: &'a Program,
    pub(crate) data: &'a ReferenceData,
    pub(crate) nodes: Nodes,
    pub(crate) wordings: Vec<Wording>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Lower<'_> {
    fn list(&self, id: crate::hir::ListId) -> Arc<ListData> {
        self.data.lists.get(id.0 as usize).cloned().unwrap_or_else(|| Arc::new(ListData::empty(Type::String)))
    }

    fn table(&self, id: crate::hir::TableId) -> Arc<TableData> {
        self.data.tables.get(id.0 as usize).cloned().unwrap_or_else(|| Arc::new(TableData::empty(Vec::new())))
    }

    /// The node of a condition on single events.
    pub(crate) fn node(&mut self, e: &Expr) -> NodeId {
        let name = canonical_expr(self.program, e);
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
                _ => Node::Leaf(self.cond(e)),
            },
            _ => Node::Leaf(self.cond(e)),
        };
        self.nodes.add(&name, node)
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
        let listed = match test {
            TextTest::ContainsAnyOf(list) => self.list(*list).texts().map(str::to_string).collect(),
            _ => Vec::new(),
        };
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
            _ => Cond::Value(self.scalar(e)),
        }
    }

    pub(crate) fn scalar(&mut self, e: &Expr) -> Scalar {
        let boxed = |s| Box::new(s);
        match &e.kind {
            ExprKind::Const(c) => Scalar::Const(c.clone()),
            ExprKind::Field(f) => Scalar::Field(*f),
            ExprKind::Column(t, c) => {
                let key = self.program.tables.get(t.0 as usize).map(|t| t.key.clone());
                let key = key.map_or(Scalar::Const(crate::hir::Const::Bool(false)), |k| self.scalar(&k));
                Scalar::Column { table: self.table(*t), column: *c, key: boxed(key) }
            }
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
            ExprKind::Not(_)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::AtLeast(..)
            | ExprKind::Compare(..)
            | ExprKind::InSet(..)
            | ExprKind::InList(..)
            | ExprKind::Text { .. }
            | ExprKind::Exists(_) => Scalar::Truth(Box::new(self.cond(e))),
        }
    }
}

/// Whether values of a type are told apart by their text, which the engine holds as a symbol.
pub(crate) fn is_symbol(ty: &Type) -> bool {
    ty.is_text() || matches!(ty, Type::Ip | Type::Cidr)
}
