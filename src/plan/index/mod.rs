//! Which rules an event can match, told from its values alone. Each filter is a few rows, of which one must hold; each row
//! is a set of tests on single fields. A field's value says at once which rows it leaves standing, as a set of bits; the
//! sets of all fields are intersected. Rows whose every test is indexed need no further look.

mod access;
mod rows;

use std::collections::BTreeMap;

use hashbrown::HashMap;

use self::access::{Access, access};
use self::rows::{Bits, Rows, Values, clear, has, intersect, set, unite};
use super::node::{NodeId, Nodes};
use crate::event::FieldId;
use crate::value::Value;

/// Distance of the stored sets of a threshold; between them rows are looked at one by one.
const CHECKPOINT: usize = 64;
/// Most stored sets of a threshold.
const CHECKPOINTS_MAX: usize = 512;

/// The index of one kind of event.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Rule of each row. Rows that test the same fields stand together, so that a field concerns few words.
    rows: Vec<u32>,
    /// Rows that hold when they are left standing: every test is indexed.
    exact: Bits,
    dimensions: Vec<Dimension>,
    /// Rows by the text node that must hold.
    text_nodes: HashMap<NodeId, Vec<u32>, foldhash::fast::FixedState>,
    /// Rows without a text node.
    text_free: Bits,
    /// Fields with text nodes, whose literal pass runs for every event, and their rows.
    text_fields: Vec<(FieldId, Bits)>,
}

/// One field under one kind of test. Its rows are counted from the first of word `from`.
#[derive(Debug)]
struct Dimension {
    field: FieldId,
    from: usize,
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

/// Buffers of a probe, reused from event to event.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    standing: Bits,
    missing: Bits,
    union: Bits,
    kept: Vec<u32>,
}

/// A row in the making: its rule, its tests by field and kind, and whether they are all there is to it.
struct Row {
    rule: u32,
    tests: BTreeMap<(FieldId, u8), Access>,
    whole: bool,
}

impl Index {
    /// The index over rules with their filters.
    pub(crate) fn new(rules: &[(u32, Option<NodeId>)], nodes: &Nodes) -> Index {
        let mut rows = Vec::new();
        for (rule, filter) in rules {
            let alternatives = match filter {
                None => vec![Vec::new()],
                Some(node) => access::rows(nodes, *node, false).unwrap_or_else(|| vec![access::shared(nodes, *node)]),
            };
            for literals in alternatives {
                let mut row = Row { rule: *rule, tests: BTreeMap::new(), whole: true };
                for (node, negated) in literals {
                    match access(nodes, node, negated) {
                        // A second test of its kind on the field must wait for the last look.
                        Some((a, decides)) if !row.tests.contains_key(&a.slot()) => {
                            row.whole &= decides;
                            row.tests.insert(a.slot(), a);
                        }
                        _ => row.whole = false,
                    }
                }
                rows.push(row);
            }
        }
        rows.sort_by(|a, b| a.tests.keys().cmp(b.tests.keys()));
        let words = rows.len().div_ceil(64);
        let mut index = Index { exact: vec![0; words], text_free: vec![0; words], ..Index::default() };
        let mut dimensions: BTreeMap<(FieldId, u8), Vec<(u32, Access)>> = BTreeMap::new();
        for (number, row) in rows.into_iter().enumerate() {
            let number = number as u32;
            index.rows.push(row.rule);
            set(&mut index.text_free, number);
            if row.whole {
                set(&mut index.exact, number);
            }
            for (slot, access) in row.tests {
                match access {
                    Access::Text(field, node) => index.enter_text(field, node, number),
                    _ => dimensions.entry(slot).or_default().push((number, access)),
                }
            }
        }
        index.dimensions =
            dimensions.into_iter().map(|((field, kind), tests)| Dimension::new(field, kind, &tests)).collect();
        index
    }

    fn enter_text(&mut self, field: FieldId, node: NodeId, row: u32) {
        self.text_nodes.entry(node).or_default().push(row);
        clear(&mut self.text_free, row);
        let words = self.text_free.len();
        if !self.text_fields.iter().any(|(f, _)| *f == field) {
            self.text_fields.push((field, vec![0; words]));
        }
        if let Some((_, rows)) = self.text_fields.iter_mut().find(|(f, _)| *f == field) {
            set(rows, row);
        }
    }

    /// Fields with text nodes: their literal pass runs for every event.
    pub(crate) fn text_fields(&self) -> impl Iterator<Item = FieldId> {
        self.text_fields.iter().map(|(f, _)| *f)
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
        let Probe { standing, missing, union, kept } = probe;
        standing.clear();
        standing.extend_from_slice(&self.text_free);
        missing.clear();
        missing.resize(self.text_free.len(), 0);
        for (field, rows) in &self.text_fields {
            if get(*field) == Value::Unknown {
                // Without the text any of its tests is unknown.
                unite(standing, rows);
            }
        }
        for node in texts {
            self.text_nodes.get(node).into_iter().flatten().for_each(|r| set(standing, *r));
        }
        for d in &self.dimensions {
            let span = d.from..d.from + d.free.len();
            let value = get(d.field);
            if value == Value::Unknown {
                let missing = missing.get_mut(span).unwrap_or_default();
                missing.iter_mut().zip(&d.free).for_each(|(m, free)| *m |= !free);
                continue;
            }
            d.narrow(&value, standing.get_mut(span).unwrap_or_default(), union, kept);
        }
        for (at, ((word, exact), missing)) in standing.iter().zip(&self.exact).zip(missing.iter()).enumerate() {
            let (mut word, certain) = (*word, exact & !missing);
            while word != 0 {
                let bit = word.trailing_zeros();
                word &= word - 1;
                if let Some(rule) = self.rows.get(at * 64 + bit as usize) {
                    found(*rule, certain & (1 << bit) != 0);
                }
            }
        }
    }
}

impl Dimension {
    /// A field under one kind of test, with its rows in ascending order.
    fn new(field: FieldId, kind: u8, tests: &[(u32, Access)]) -> Dimension {
        let word = |row: &(u32, Access)| row.0 as usize / 64;
        let (from, until) = (tests.first().map_or(0, word), tests.last().map_or(0, |row| word(row) + 1));
        let words = until - from;
        let mut free = vec![u64::MAX; words];
        let mut values = Values::default();
        let mut sorted = Vec::new();
        for (row, access) in tests {
            let row = row - from as u32 * 64;
            clear(&mut free, row);
            match access {
                Access::OneOf(_, named) | Access::NoneOf(_, named) => named.iter().for_each(|c| values.add(c, row)),
                Access::AtLeast(_, bound) | Access::AtMost(_, bound) => sorted.push((*bound, row)),
                Access::Text(..) => {}
            }
        }
        let test = match kind {
            0 => {
                values.finish(
                    |rows| {
                        let mut left = free.clone();
                        rows.iter().for_each(|r| set(&mut left, *r));
                        left
                    },
                    words,
                );
                Test::OneOf(values)
            }
            1 => {
                values.finish(
                    |rows| {
                        let mut left = vec![u64::MAX; words];
                        rows.iter().for_each(|r| clear(&mut left, *r));
                        left
                    },
                    words,
                );
                Test::NoneOf(values)
            }
            kind => {
                let at_most = kind == 3;
                let ascending = |bound: i64| if at_most { -i128::from(bound) } else { i128::from(bound) };
                sorted.sort_unstable_by_key(|(bound, row)| (ascending(*bound), *row));
                let every = CHECKPOINT.max(sorted.len().div_ceil(CHECKPOINTS_MAX));
                let mut bits = free.clone();
                let mut checkpoints = vec![bits.clone()];
                for chunk in sorted.chunks(every) {
                    chunk.iter().for_each(|(_, r)| set(&mut bits, *r));
                    checkpoints.push(bits.clone());
                }
                Test::Bound { at_most, sorted, every, checkpoints }
            }
        };
        Dimension { field, from, free, test }
    }

    /// Takes out of the standing rows those that a known value rules out.
    fn narrow(&self, value: &Value<'_>, standing: &mut [u64], union: &mut Bits, kept: &mut Vec<u32>) {
        kept.clear();
        match &self.test {
            Test::OneOf(values) => {
                let mut many: Option<&Bits> = None;
                let mut united = false;
                values.of(value, |rows| match (rows, many) {
                    (Rows::Few(list), _) => kept.extend(list.iter().filter(|r| has(standing, **r))),
                    (Rows::Many(left), None) => many = Some(left),
                    (Rows::Many(left), Some(first)) => {
                        if !united {
                            union.clone_from(first);
                            united = true;
                        }
                        unite(union, left);
                    }
                });
                intersect(standing, if united { union } else { many.unwrap_or(&self.free) });
                kept.iter().for_each(|r| set(standing, *r));
            }
            Test::NoneOf(values) => values.of(value, |rows| match rows {
                Rows::Few(list) => list.iter().for_each(|r| clear(standing, *r)),
                Rows::Many(left) => intersect(standing, left),
            }),
            Test::Bound { at_most, sorted, every, checkpoints } => {
                let Value::Num(n) = value else { return };
                let within = sorted.partition_point(|(bound, _)| if *at_most { bound >= n } else { bound <= n });
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
}
