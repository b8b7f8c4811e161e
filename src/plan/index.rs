//! Which rules an event can reach. Each rule gives up a cover: tests of which at least one holds whenever its filter does.
//! Tests of a cover are looked up by the event's own values, so that rules that cannot match cost nothing.

use hashbrown::HashMap;
use ipnet::IpNet;

use super::node::{Node, NodeId, Nodes, as_field};
use super::scalar::{Cond, Scalar};
use crate::event::FieldId;
use crate::hir::{Compare, Const};
use crate::value::Value;

type Fast = foldhash::fast::FixedState;

/// The index of one kind of event.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Rules without a cover: looked at for every event.
    pub(crate) always: Vec<u32>,
    texts: Vec<(FieldId, HashMap<Box<str>, Vec<u32>, Fast>)>,
    numbers: Vec<(FieldId, HashMap<i64, Vec<u32>, Fast>)>,
    /// Rules by lower bound, ascending; all whose bound is at most the value are reached.
    at_least: Vec<(FieldId, Vec<(i64, u32)>)>,
    /// Rules by upper bound, descending.
    at_most: Vec<(FieldId, Vec<(i64, u32)>)>,
    networks: Vec<(FieldId, Networks)>,
    /// Rules by text node.
    pub(crate) text_nodes: HashMap<NodeId, Vec<u32>, Fast>,
    /// Fields with text nodes in a cover: their pass runs for every event.
    pub(crate) text_fields: Vec<FieldId>,
    /// Rules whose cover rests on a field: where it is missing, their filter may be unknown, which is counted.
    missing: Vec<(FieldId, Vec<u32>)>,
    /// Rules that look at any text of a field without a literal.
    present: Vec<(FieldId, Vec<u32>)>,
}

/// Networks by their first 16 bits (IPv4) or all in a row (IPv6): lists in rules are short.
#[derive(Debug, Default)]
struct Networks {
    v4: HashMap<u16, Vec<(IpNet, u32)>, Fast>,
    wide: Vec<(IpNet, u32)>,
}

/// One test of a cover.
#[derive(Debug, Clone)]
enum Access {
    Text(FieldId, Box<str>),
    Number(FieldId, i64),
    AtLeast(FieldId, i64),
    AtMost(FieldId, i64),
    Network(FieldId, IpNet),
    Node(FieldId, NodeId),
    Present(FieldId),
}

/// Rough odds that the test holds, in parts of a million: the cover with the least sum is taken.
fn odds(a: &Access) -> u64 {
    match a {
        Access::Text(..) => 2_000,
        Access::Number(..) => 20_000,
        Access::Network(_, net) => 1_000_000u64.checked_shr(u32::from(net.prefix_len().min(16))).unwrap_or(0).max(200),
        Access::Node(..) => 5_000,
        Access::AtLeast(..) | Access::AtMost(..) => 200_000,
        Access::Present(_) => 700_000,
    }
}

/// A rule with a cover of more tests than this is looked at for every event.
const COVER_MAX: usize = 4_096;

impl Index {
    /// Enters a rule by its filter.
    pub(crate) fn add(&mut self, rule: u32, filter: Option<NodeId>, nodes: &Nodes) {
        let cover = filter.and_then(|f| cover(nodes, f)).filter(|c| c.len() <= COVER_MAX);
        let Some(cover) = cover else {
            self.always.push(rule);
            return;
        };
        for access in cover {
            let field = match &access {
                Access::Text(f, _)
                | Access::Number(f, _)
                | Access::AtLeast(f, _)
                | Access::AtMost(f, _)
                | Access::Network(f, _)
                | Access::Node(f, _)
                | Access::Present(f) => *f,
            };
            push_unique(slot(&mut self.missing, field), rule);
            match access {
                Access::Text(f, t) => push_unique(slot(&mut self.texts, f).entry(t).or_default(), rule),
                Access::Number(f, n) => push_unique(slot(&mut self.numbers, f).entry(n).or_default(), rule),
                Access::AtLeast(f, n) => slot(&mut self.at_least, f).push((n, rule)),
                Access::AtMost(f, n) => slot(&mut self.at_most, f).push((n, rule)),
                Access::Network(f, net) => slot(&mut self.networks, f).add(net, rule),
                Access::Node(f, id) => {
                    push_unique(self.text_nodes.entry(id).or_default(), rule);
                    if !self.text_fields.contains(&f) {
                        self.text_fields.push(f);
                    }
                }
                Access::Present(f) => push_unique(slot(&mut self.present, f), rule),
            }
        }
    }

    /// Call once after the last rule.
    pub(crate) fn finish(&mut self) {
        self.at_least.iter_mut().for_each(|(_, bounds)| bounds.sort_unstable());
        self.at_most.iter_mut().for_each(|(_, bounds)| bounds.sort_unstable_by_key(|b| std::cmp::Reverse(*b)));
    }

    /// Calls `reach` with each rule that the event's values reach; a rule may be named several times. Text nodes are the
    /// caller's part.
    pub(crate) fn probe<'e>(&self, get: impl Fn(FieldId) -> Value<'e>, mut reach: impl FnMut(u32)) {
        self.always.iter().for_each(|r| reach(*r));
        for (field, map) in &self.texts {
            match get(*field) {
                Value::Text(t) => map.get(t).into_iter().flatten().for_each(|r| reach(*r)),
                Value::Texts(items) => {
                    items.iter().filter_map(|t| map.get(t.as_str())).flatten().for_each(|r| reach(*r));
                }
                _ => {}
            }
        }
        for (field, map) in &self.numbers {
            if let Value::Num(n) = get(*field) {
                map.get(&n).into_iter().flatten().for_each(|r| reach(*r));
            }
        }
        for (field, bounds) in &self.at_least {
            if let Value::Num(n) = get(*field) {
                bounds.iter().take_while(|(bound, _)| *bound <= n).for_each(|(_, r)| reach(*r));
            }
        }
        for (field, bounds) in &self.at_most {
            if let Value::Num(n) = get(*field) {
                bounds.iter().take_while(|(bound, _)| *bound >= n).for_each(|(_, r)| reach(*r));
            }
        }
        for (field, networks) in &self.networks {
            if let Value::Ip(ip) = get(*field) {
                networks.probe(ip, &mut reach);
            }
        }
        for (field, rules) in &self.present {
            if get(*field) != Value::Unknown {
                rules.iter().for_each(|r| reach(*r));
            }
        }
        for (field, rules) in &self.missing {
            if get(*field) == Value::Unknown {
                rules.iter().for_each(|r| reach(*r));
            }
        }
    }
}

impl Networks {
    fn add(&mut self, net: IpNet, rule: u32) {
        match net {
            IpNet::V4(v4) if v4.prefix_len() >= 16 => {
                let [a, b, ..] = v4.network().octets();
                self.v4.entry(u16::from_be_bytes([a, b])).or_default().push((net, rule));
            }
            _ => self.wide.push((net, rule)),
        }
    }

    fn probe(&self, ip: std::net::IpAddr, reach: &mut impl FnMut(u32)) {
        let ip = ip.to_canonical();
        if let std::net::IpAddr::V4(v4) = ip {
            let [a, b, ..] = v4.octets();
            for (net, rule) in self.v4.get(&u16::from_be_bytes([a, b])).into_iter().flatten() {
                if net.contains(&ip) {
                    reach(*rule);
                }
            }
        }
        self.wide.iter().filter(|(net, _)| net.contains(&ip)).for_each(|(_, rule)| reach(*rule));
    }
}

fn slot<T: Default>(list: &mut Vec<(FieldId, T)>, field: FieldId) -> &mut T {
    let at = match list.iter().position(|(f, _)| *f == field) {
        Some(at) => at,
        None => {
            list.push((field, T::default()));
            list.len() - 1
        }
    };
    #[expect(clippy::indexing_slicing, reason = "`at` was found or pushed just above")]
    &mut list[at].1
}

fn push_unique(list: &mut Vec<u32>, rule: u32) {
    if list.last() != Some(&rule) {
        list.push(rule);
    }
}

/// Tests of which at least one holds whenever the node does; `None` where there is no such set.
fn cover(nodes: &Nodes, id: NodeId) -> Option<Vec<Access>> {
    match nodes.get(id)? {
        Node::And(all) => all.iter().filter_map(|a| cover(nodes, *a)).min_by_key(|c| c.iter().map(odds).sum::<u64>()),
        Node::Or(all) => {
            let parts: Option<Vec<_>> = all.iter().map(|a| cover(nodes, *a)).collect();
            parts.map(|p| p.into_iter().flatten().collect())
        }
        // Of n parts of which k must hold, any n - k + 1 hold one.
        Node::AtLeast(k, all) => {
            let need = all.len().checked_sub((*k as usize).saturating_sub(1))?;
            let mut covers: Vec<_> = all.iter().filter_map(|a| cover(nodes, *a)).collect();
            covers.sort_by_key(|c| c.iter().map(odds).sum::<u64>());
            (covers.len() >= need && need > 0 && *k > 0).then(|| covers.into_iter().take(need).flatten().collect())
        }
        Node::Not(_) => None,
        Node::Text { field, matcher } => {
            Some(vec![if matcher.is_filtered() { Access::Node(*field, id) } else { Access::Present(*field) }])
        }
        Node::Leaf(Cond::Compare(op, Scalar::Field(f), Scalar::Const(c))) => match (op, c) {
            (Compare::Equal, Const::Text(t)) => Some(vec![Access::Text(*f, t.as_str().into())]),
            (Compare::Equal, Const::Num(n)) => Some(vec![Access::Number(*f, *n)]),
            (Compare::GreaterEqual, Const::Num(n)) => Some(vec![Access::AtLeast(*f, *n)]),
            (Compare::Greater, Const::Num(n)) => Some(vec![Access::AtLeast(*f, n.saturating_add(1))]),
            (Compare::LessEqual, Const::Num(n)) => Some(vec![Access::AtMost(*f, *n)]),
            (Compare::Less, Const::Num(n)) => Some(vec![Access::AtMost(*f, n.saturating_sub(1))]),
            (_, _) => Some(vec![Access::Present(*f)]),
        },
        Node::Leaf(Cond::InSet(operand, set)) => {
            let f = as_field(operand)?;
            let mut all: Vec<Access> = set.texts.iter().map(|t| Access::Text(f, t.clone())).collect();
            all.extend(set.numbers.iter().map(|n| Access::Number(f, *n)));
            all.extend(set.networks.iter().map(|n| Access::Network(f, *n)));
            if all.is_empty() { Some(vec![Access::Present(f)]) } else { Some(all) }
        }
        Node::Leaf(Cond::InList(operand, _)) => as_field(operand).map(|f| vec![Access::Present(f)]),
        Node::Leaf(Cond::Value(Scalar::Field(f)) | Cond::Exists(Scalar::Field(f))) => Some(vec![Access::Present(*f)]),
        Node::Leaf(_) => None,
    }
}
