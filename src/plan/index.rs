//! Which rules an event can match, told from its values alone. Each filter is a few rows, of which one must hold; each row
//! is a set of tests on single fields. A field's value says at once which rows it leaves standing, as a set of bits; the
//! sets of all fields are intersected. Rows whose every test is indexed need no further look.

use hashbrown::HashMap;
use ipnet::IpNet;

use super::node::{Node, NodeId, Nodes, as_field};
use super::scalar::{Cond, Scalar};
use crate::event::FieldId;
use crate::hir::{Compare, Const};
use crate::value::Value;

type Fast = foldhash::fast::FixedState;

/// Most rows of one rule; a filter with more alternatives is one row, tested by what all alternatives share.
const ROWS_MAX: usize = 16;
/// Distance of the stored sets of a threshold; between them rows are looked at one by one.
const CHECKPOINT: usize = 64;
/// Most stored sets of a threshold.
const CHECKPOINTS_MAX: usize = 512;

/// A set of rows.
type Bits = Vec<u64>;

fn set(bits: &mut [u64], row: u32) {
    if let Some(word) = bits.get_mut(row as usize / 64) {
        *word |= 1 << (row % 64);
    }
}

fn has(bits: &[u64], row: u32) -> bool {
    bits.get(row as usize / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
}

fn intersect(bits: &mut [u64], with: &[u64]) {
    bits.iter_mut().zip(with).for_each(|(a, b)| *a &= b);
}

/// The index of one kind of event.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Rule of each row.
    rows: Vec<u32>,
    /// Rows that hold when they are left standing: every test is indexed.
    exact: Bits,
    dimensions: Vec<Dimension>,
    /// Rows by the text node that must hold.
    text_nodes: HashMap<NodeId, Vec<u32>, Fast>,
    /// Rows without a text node.
    text_free: Bits,
    /// Fields with text nodes: their literal pass runs for every event.
    pub(crate) text_fields: Vec<FieldId>,
}

/// One field under one kind of test.
#[derive(Debug)]
struct Dimension {
    field: FieldId,
    /// Rows without such a test on the field.
    free: Bits,
    test: Test,
}

#[derive(Debug)]
enum Test {
    /// One of the row's values.
    OneOf(Values),
    /// None of the row's values.
    NoneOf(Values),
    /// At least, or at most, the row's bound.
    Bound { at_most: bool, sorted: Vec<(i64, u32)>, every: usize, checkpoints: Vec<Bits> },
}

#[derive(Debug, Default)]
struct Values {
    texts: HashMap<Box<str>, Vec<u32>, Fast>,
    numbers: HashMap<i64, Vec<u32>, Fast>,
    /// IPv4 networks by their first 16 bits.
    v4: HashMap<u16, Vec<(IpNet, u32)>, Fast>,
    wide: Vec<(IpNet, u32)>,
}

impl Values {
    fn add(&mut self, value: &Const, row: u32) {
        match value {
            Const::Text(t) => self.texts.entry(t.as_str().into()).or_default().push(row),
            Const::Num(n) => self.numbers.entry(*n).or_default().push(row),
            Const::Bool(b) => self.numbers.entry(i64::from(*b)).or_default().push(row),
            Const::Ip(ip) => self.add_net(IpNet::from(*ip), row),
            Const::Net(net) => self.add_net(*net, row),
        }
    }

    fn add_net(&mut self, net: IpNet, row: u32) {
        match net {
            IpNet::V4(v4) if v4.prefix_len() >= 16 => {
                let [a, b, ..] = v4.network().octets();
                self.v4.entry(u16::from_be_bytes([a, b])).or_default().push((net, row));
            }
            _ => self.wide.push((net, row)),
        }
    }

    fn rows(&self, value: &Value<'_>, mut found: impl FnMut(u32)) {
        match value {
            Value::Text(t) => self.texts.get(*t).into_iter().flatten().for_each(|r| found(*r)),
            Value::Texts(items) => {
                items.iter().filter_map(|t| self.texts.get(t.as_str())).flatten().for_each(|r| found(*r))
            }
            Value::Num(n) => self.numbers.get(n).into_iter().flatten().for_each(|r| found(*r)),
            Value::Bool(b) => self.numbers.get(&i64::from(*b)).into_iter().flatten().for_each(|r| found(*r)),
            Value::Ip(ip) => {
                let ip = ip.to_canonical();
                if let std::net::IpAddr::V4(v4) = ip {
                    let [a, b, ..] = v4.octets();
                    let near = self.v4.get(&u16::from_be_bytes([a, b])).into_iter().flatten();
                    near.filter(|(net, _)| net.contains(&ip)).for_each(|(_, r)| found(*r));
                }
                self.wide.iter().filter(|(net, _)| net.contains(&ip)).for_each(|(_, r)| found(*r));
            }
            Value::Unknown | Value::Net(_) => {}
        }
    }
}

/// A test of a row that the index understands.
#[derive(Debug, Clone)]
enum Access {
    OneOf(FieldId, Vec<Const>),
    NoneOf(FieldId, Vec<Const>),
    AtLeast(FieldId, i64),
    AtMost(FieldId, i64),
    Text(FieldId, NodeId),
}

/// Buffers of a probe, reused from event to event.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    standing: Bits,
    missing: Bits,
    kept: Vec<u32>,
}

impl Index {
    /// The index over rules with their filters.
    pub(crate) fn new(rules: &[(u32, Option<NodeId>)], nodes: &Nodes) -> Index {
        let mut index = Index::default();
        let mut accesses: Vec<(u32, Access)> = Vec::new();
        let mut exact = Vec::new();
        for (rule, filter) in rules {
            let rows = match filter {
                None => vec![Vec::new()],
                Some(node) => rows(nodes, *node, false).unwrap_or_else(|| vec![shared(nodes, *node)]),
            };
            for literals in rows {
                let row = index.rows.len() as u32;
                index.rows.push(*rule);
                let mut whole = true;
                let mut used: Vec<(FieldId, u8)> = Vec::new();
                for (node, negated) in literals {
                    match access(nodes, node, negated) {
                        // A second test of its kind on the field must wait for the last look.
                        Some((a, decides)) if !used.contains(&a.slot()) => {
                            used.push(a.slot());
                            whole &= decides;
                            accesses.push((row, a));
                        }
                        _ => whole = false,
                    }
                }
                exact.push(whole);
            }
        }
        let words = index.rows.len().div_ceil(64);
        index.exact = vec![0; words];
        exact.iter().enumerate().filter(|(_, whole)| **whole).for_each(|(row, _)| set(&mut index.exact, row as u32));
        let mut all = vec![0u64; words];
        (0..index.rows.len()).for_each(|row| set(&mut all, row as u32));
        index.text_free = all.clone();
        for (row, access) in accesses {
            index.enter(row, access, &all);
        }
        index.dimensions.iter_mut().for_each(|d| d.finish(words));
        index
    }

    fn enter(&mut self, row: u32, access: Access, all: &Bits) {
        let clear = |bits: &mut Bits| {
            if let Some(word) = bits.get_mut(row as usize / 64) {
                *word &= !(1 << (row % 64));
            }
        };
        let (field, slot) = access.slot();
        if let Access::Text(_, node) = access {
            self.text_nodes.entry(node).or_default().push(row);
            clear(&mut self.text_free);
            if !self.text_fields.contains(&field) {
                self.text_fields.push(field);
            }
            return;
        }
        let found = self.dimensions.iter_mut().find(|d| d.field == field && d.test.slot() == slot);
        let dimension = match found {
            Some(d) => d,
            None => {
                self.dimensions.push(Dimension { field, free: all.clone(), test: Test::new(slot) });
                match self.dimensions.last_mut() {
                    Some(d) => d,
                    None => return,
                }
            }
        };
        clear(&mut dimension.free);
        match (&mut dimension.test, access) {
            (Test::OneOf(v) | Test::NoneOf(v), Access::OneOf(_, values) | Access::NoneOf(_, values)) => {
                values.iter().for_each(|c| v.add(c, row));
            }
            (Test::Bound { sorted, .. }, Access::AtLeast(_, n) | Access::AtMost(_, n)) => sorted.push((n, row)),
            _ => {}
        }
    }

    /// Calls `found` with each rule that the event may match, and whether it is certain that it does; a rule may be named
    /// more than once. Where a field that a row tests is missing, the row is left standing and never certain: its filter
    /// may be unknown, which is counted. `texts` are the text nodes that the literal pass found.
    pub(crate) fn probe<'e>(
        &self,
        probe: &mut Probe,
        texts: &[NodeId],
        get: impl Fn(FieldId) -> Value<'e>,
        mut found: impl FnMut(u32, bool),
    ) {
        let Probe { standing, missing, kept } = probe;
        standing.clear();
        standing.extend_from_slice(&self.text_free);
        missing.clear();
        missing.resize(self.text_free.len(), 0);
        for field in &self.text_fields {
            if get(*field) == Value::Unknown {
                // Without the text any of its tests is unknown; which rows those are matters less than that none is lost.
                self.text_nodes.values().flatten().for_each(|r| set(standing, *r));
            }
        }
        for node in texts {
            self.text_nodes.get(node).into_iter().flatten().for_each(|r| set(standing, *r));
        }
        for d in &self.dimensions {
            let value = get(d.field);
            if value == Value::Unknown {
                missing.iter_mut().zip(&d.free).for_each(|(m, free)| *m |= !free);
                continue;
            }
            kept.clear();
            match &d.test {
                Test::OneOf(values) => {
                    values.rows(&value, |r| {
                        if has(standing, r) {
                            kept.push(r);
                        }
                    });
                    intersect(standing, &d.free);
                    kept.iter().for_each(|r| set(standing, *r));
                }
                Test::NoneOf(values) => values.rows(&value, |r| {
                    if let Some(word) = standing.get_mut(r as usize / 64) {
                        *word &= !(1 << (r % 64));
                    }
                }),
                Test::Bound { at_most, sorted, every, checkpoints } => {
                    let Value::Num(n) = value else { continue };
                    let within = sorted.partition_point(|(bound, _)| if *at_most { *bound >= n } else { *bound <= n });
                    let at = within / every;
                    let rest = sorted.get(at * every..within).unwrap_or(&[]);
                    kept.extend(rest.iter().map(|(_, r)| *r).filter(|r| has(standing, *r)));
                    if let Some(bits) = checkpoints.get(at) {
                        intersect(standing, bits);
                    }
                    kept.iter().for_each(|r| set(standing, *r));
                }
            }
        }
        for (at, word) in standing.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                let row = at as u32 * 64 + word.trailing_zeros();
                word &= word - 1;
                if let Some(rule) = self.rows.get(row as usize) {
                    found(*rule, has(&self.exact, row) && !has(missing, row));
                }
            }
        }
    }
}

impl Dimension {
    fn finish(&mut self, words: usize) {
        let Test::Bound { at_most, sorted, every, checkpoints } = &mut self.test else { return };
        sorted.sort_unstable_by_key(|(bound, row)| {
            (if *at_most { -i128::from(*bound) } else { i128::from(*bound) }, *row)
        });
        *every = CHECKPOINT.max(sorted.len().div_ceil(CHECKPOINTS_MAX));
        let mut bits = self.free.clone();
        bits.resize(words, 0);
        checkpoints.push(bits.clone());
        for chunk in sorted.chunks(*every) {
            chunk.iter().for_each(|(_, r)| set(&mut bits, *r));
            checkpoints.push(bits.clone());
        }
    }
}

impl Test {
    fn new(slot: u8) -> Test {
        match slot {
            0 => Test::OneOf(Values::default()),
            1 => Test::NoneOf(Values::default()),
            slot => Test::Bound { at_most: slot == 3, sorted: Vec::new(), every: CHECKPOINT, checkpoints: Vec::new() },
        }
    }

    fn slot(&self) -> u8 {
        match self {
            Test::OneOf(_) => 0,
            Test::NoneOf(_) => 1,
            Test::Bound { at_most: false, .. } => 2,
            Test::Bound { at_most: true, .. } => 3,
        }
    }
}

impl Access {
    /// The field and the kind of test.
    fn slot(&self) -> (FieldId, u8) {
        match self {
            Access::OneOf(f, _) => (*f, 0),
            Access::NoneOf(f, _) => (*f, 1),
            Access::AtLeast(f, _) => (*f, 2),
            Access::AtMost(f, _) => (*f, 3),
            Access::Text(f, _) => (*f, 4),
        }
    }
}

type Literals = Vec<(NodeId, bool)>;

/// The alternatives of a filter, each a conjunction of possibly negated nodes; `None` where there are too many. Kleene's
/// connectives distribute, so the truth value is the same.
fn rows(nodes: &Nodes, id: NodeId, negated: bool) -> Option<Vec<Literals>> {
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
fn shared(nodes: &Nodes, id: NodeId) -> Literals {
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
fn access(nodes: &Nodes, id: NodeId, negated: bool) -> Option<(Access, bool)> {
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
