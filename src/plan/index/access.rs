//! Conditions as rows of single tests: which alternatives a filter has, and which of their tests the index understands.

use crate::event::FieldId;
use crate::hir::{Compare, Const};
use crate::plan::node::{Node, NodeId, Nodes, as_field};
use crate::plan::scalar::{Cond, Scalar};

/// Most rows of one rule; a filter with more alternatives is one row, tested by what all alternatives share.
const ROWS_MAX: usize = 16;

/// A test of a row that the index understands.
#[derive(Debug, Clone)]
pub(super) enum Access {
    OneOf(FieldId, Vec<Const>),
    NoneOf(FieldId, Vec<Const>),
    AtLeast(FieldId, i64),
    AtMost(FieldId, i64),
    Text(FieldId, NodeId),
}

impl Access {
    /// The field and the kind of test.
    pub(super) fn slot(&self) -> (FieldId, u8) {
        match self {
            Access::OneOf(f, _) => (*f, 0),
            Access::NoneOf(f, _) => (*f, 1),
            Access::AtLeast(f, _) => (*f, 2),
            Access::AtMost(f, _) => (*f, 3),
            Access::Text(f, _) => (*f, 4),
        }
    }
}

pub(super) type Literals = Vec<(NodeId, bool)>;

/// The alternatives of a filter, each a conjunction of possibly negated nodes; `None` where there are too many. Kleene's
/// connectives distribute, so the truth value is the same.
pub(super) fn rows(nodes: &Nodes, id: NodeId, negated: bool) -> Option<Vec<Literals>> {
    match (nodes.get(id)?, negated) {
        (Node::Not(a), _) => rows(nodes, *a, !negated),
        (Node::And(all), false) | (Node::Or(all), true) => {
            let mut product: Vec<Literals> = vec![Vec::new()];
            for part in all {
                let options = rows(nodes, *part, negated)?;
                if product.len() * options.len() > ROWS_MAX {
                    return None;
                }
                product = product.iter().flat_map(|p| options.iter().map(|o| [p.as_slice(), o].concat())).collect();
            }
            Some(product)
        }
        (Node::Or(all), false) | (Node::And(all), true) => {
            let mut sum = Vec::new();
            for part in all {
                sum.extend(rows(nodes, *part, negated)?);
            }
            (sum.len() <= ROWS_MAX).then_some(sum)
        }
        _ => Some(vec![vec![(id, negated)]]),
    }
}

/// What all alternatives share: the parts of a conjunction that are single tests.
pub(super) fn shared(nodes: &Nodes, id: NodeId) -> Literals {
    match nodes.get(id) {
        Some(Node::And(all)) => {
            let mut literals: Literals = all.iter().map(|n| (*n, false)).collect();
            // The node itself is never understood, so that the row gets its last look.
            literals.push((id, false));
            literals
        }
        _ => vec![(id, false)],
    }
}

/// A test that the index understands, and whether it decides the node.
pub(super) fn access(nodes: &Nodes, id: NodeId, negated: bool) -> Option<(Access, bool)> {
    match nodes.get(id)? {
        Node::Text { field, matcher } if !negated && matcher.is_filtered() => Some((Access::Text(*field, id), false)),
        Node::Leaf(Cond::Value(Scalar::Field(f))) => Some((Access::OneOf(*f, vec![Const::Bool(!negated)]), true)),
        Node::Leaf(Cond::Compare(op, Scalar::Field(f), Scalar::Const(c))) => {
            let op = if negated { op.negated() } else { *op };
            match (op, c) {
                (Compare::Equal, c) => Some((Access::OneOf(*f, vec![c.clone()]), true)),
                (Compare::NotEqual, c) => Some((Access::NoneOf(*f, vec![c.clone()]), true)),
                (Compare::GreaterEqual, Const::Num(n)) => Some((Access::AtLeast(*f, *n), true)),
                (Compare::Greater, Const::Num(n)) => n.checked_add(1).map(|n| (Access::AtLeast(*f, n), true)),
                (Compare::LessEqual, Const::Num(n)) => Some((Access::AtMost(*f, *n), true)),
                (Compare::Less, Const::Num(n)) => n.checked_sub(1).map(|n| (Access::AtMost(*f, n), true)),
                _ => None,
            }
        }
        Node::Leaf(Cond::InSet(operand, set)) => {
            let f = as_field(operand)?;
            let texts = set.texts.iter().map(|t| Const::Text(t.to_string()));
            let numbers = set.numbers.iter().map(|n| Const::Num(*n));
            let networks = set.networks.iter().map(|n| Const::Net(*n));
            let values: Vec<Const> = texts.chain(numbers).chain(networks).collect();
            // Sets of truth values are not worth a place here.
            (!values.is_empty())
                .then_some((if negated { Access::NoneOf(f, values) } else { Access::OneOf(f, values) }, true))
        }
        _ => None,
    }
}
