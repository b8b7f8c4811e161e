//! Conditions on single events as a shared graph: equal conditions of all rules are one node, evaluated at most once an event.

use std::sync::Arc;

use hashbrown::HashMap;

use super::scalar::{Cond, Env, Scalar, at_least};
use super::text::TextMatcher;
use crate::event::FieldId;
use crate::value::Truth;

/// Index of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

#[derive(Debug)]
pub(crate) enum Node {
    Not(NodeId),
    And(Box<[NodeId]>),
    Or(Box<[NodeId]>),
    AtLeast(u32, Box<[NodeId]>),
    /// A test on the text of a field.
    Text {
        field: FieldId,
        matcher: Arc<TextMatcher>,
    },
    /// Any other leaf.
    Leaf(Cond),
}

/// All nodes of a rule set.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    known: HashMap<String, NodeId>,
    cost: Vec<u32>,
}

impl Nodes {
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, n)| (NodeId(i as u32), n))
    }

    /// All nodes by the canonical text of their condition, in no particular order.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, NodeId)> {
        self.known.iter().map(|(name, id)| (name.as_str(), *id))
    }

    /// The node of a canonical text.
    pub(crate) fn by_name(&self, name: &str) -> Option<NodeId> {
        self.known.get(name).copied()
    }

    /// The node of a condition; `name` is its canonical text, by which equal conditions are known.
    pub(crate) fn add(&mut self, name: &str, node: Node) -> NodeId {
        if let Some(id) = self.known.get(name) {
            return *id;
        }
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.cost.push(self.cost_of(&node));
        self.nodes.push(node);
        self.known.insert(name.to_string(), id);
        id
    }

    pub(crate) fn cost(&self, id: NodeId) -> u32 {
        self.cost.get(id.0 as usize).copied().unwrap_or(0)
    }

    fn cost_of(&self, node: &Node) -> u32 {
        let sum = |all: &[NodeId]| all.iter().map(|n| self.cost(*n)).fold(1u32, u32::saturating_add);
        match node {
            Node::Not(a) => self.cost(*a).saturating_add(1),
            Node::And(all) | Node::Or(all) | Node::AtLeast(_, all) => sum(all),
            Node::Text { .. } => 400,
            // Fingerprinting a prompt is the dearest thing that a condition can ask for.
            Node::Leaf(
                Cond::InList(Scalar::Template(_), _)
                | Cond::InSet(Scalar::Template(_), _)
                | Cond::Exists(Scalar::Template(_)),
            ) => 2_000,
            Node::Leaf(Cond::Compare(..) | Cond::Value(_) | Cond::Exists(_) | Cond::Memory(_)) => 2,
            Node::Leaf(Cond::InSet(..)) => 5,
            Node::Leaf(Cond::InList(..)) => 10,
            Node::Leaf(_) => 500,
        }
    }
}

const NOT_YET: u8 = 3;
/// The literal pass found one of the test's literals; the test itself has not run.
const WORTH: u8 = 4;

/// What is known of the nodes for one event. Reused from event to event; forgetting costs what was touched.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    truth: Vec<u8>,
    touched: Vec<u32>,
    /// Passes (by their number) that were run for this event.
    scanned: u64,
    /// Room for a text whose letters are folded.
    pub(crate) folded: Vec<u8>,
}

impl Memo {
    pub(crate) fn fit(&mut self, nodes: usize) {
        if self.truth.len() != nodes {
            self.truth = vec![NOT_YET; nodes];
            self.touched.clear();
        }
    }

    pub(crate) fn forget(&mut self) {
        for t in self.touched.drain(..) {
            if let Some(slot) = self.truth.get_mut(t as usize) {
                *slot = NOT_YET;
            }
        }
        self.scanned = 0;
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<Truth> {
        match self.truth.get(id.0 as usize) {
            Some(0) => Some(Truth::False),
            Some(1) => Some(Truth::Unknown),
            Some(2) => Some(Truth::True),
            _ => None,
        }
    }

    pub(crate) fn set(&mut self, id: NodeId, truth: Truth) {
        if let Some(slot) = self.truth.get_mut(id.0 as usize) {
            if *slot == NOT_YET {
                self.touched.push(id.0);
            }
            *slot = truth as u8;
        }
    }

    /// Notes that a pass runs now; whether it had run before.
    pub(crate) fn scanned(&mut self, pass: usize) -> bool {
        let bit = 1u64 << (pass & 63);
        let before = self.scanned & bit != 0;
        self.scanned |= bit;
        before
    }

    /// Notes that a test is worth running.
    pub(crate) fn worth(&mut self, id: NodeId) {
        if let Some(slot) = self.truth.get_mut(id.0 as usize)
            && *slot == NOT_YET
        {
            self.touched.push(id.0);
            *slot = WORTH;
        }
    }

    /// Forgets what was found of some nodes.
    pub(crate) fn forget_nodes(&mut self, nodes: &[NodeId]) {
        for id in nodes {
            if let Some(slot) = self.truth.get_mut(id.0 as usize) {
                *slot = NOT_YET;
            }
        }
    }

    fn is_worth(&self, id: NodeId) -> bool {
        self.truth.get(id.0 as usize) == Some(&WORTH)
    }

    /// The nodes that were found true, in no particular order.
    pub(crate) fn found_true(&self) -> impl Iterator<Item = NodeId> {
        self.touched.iter().map(|t| NodeId(*t)).filter(|id| self.get(*id) == Some(Truth::True))
    }
}

/// Truth of a node for the event of `env`. Text nodes whose field's pass has not run yet are settled by `scan`, which runs
/// it and enters what it found.
pub(crate) fn eval<E: Env>(
    nodes: &Nodes,
    memo: &mut Memo,
    env: &E,
    id: NodeId,
    scan: &mut impl FnMut(&mut Memo, FieldId),
) -> Truth {
    if let Some(truth) = memo.get(id) {
        return truth;
    }
    let truth = match nodes.get(id) {
        None => Truth::Unknown,
        Some(Node::Not(a)) => eval(nodes, memo, env, *a, scan).not(),
        Some(Node::And(all)) => {
            let mut result = Truth::True;
            for a in all {
                result = result.and(eval(nodes, memo, env, *a, scan));
                if result == Truth::False {
                    break;
                }
            }
            result
        }
        Some(Node::Or(all)) => {
            let mut result = Truth::False;
            for a in all {
                result = result.or(eval(nodes, memo, env, *a, scan));
                if result == Truth::True {
                    break;
                }
            }
            result
        }
        Some(Node::AtLeast(n, all)) => {
            let truths: smallvec::SmallVec<[Truth; 8]> = all.iter().map(|a| eval(nodes, memo, env, *a, scan)).collect();
            at_least(*n, truths.into_iter())
        }
        Some(Node::Text { field, matcher }) => {
            if matcher.is_filtered() {
                scan(memo, *field);
                if let Some(truth) = memo.get(id) {
                    return truth;
                }
            }
            match env.field(*field) {
                crate::value::Value::Text(_) if matcher.is_filtered() && !memo.is_worth(id) => Truth::False,
                crate::value::Value::Text(t) => Truth::from(matcher.matches(t, env.at())),
                _ => Truth::Unknown,
            }
        }
        Some(Node::Leaf(cond)) => cond.eval(env),
    };
    memo.set(id, truth);
    truth
}

/// Whether a scalar is just a field.
pub(crate) fn as_field(s: &Scalar) -> Option<FieldId> {
    match s {
        Scalar::Field(f) => Some(*f),
        _ => None,
    }
}
