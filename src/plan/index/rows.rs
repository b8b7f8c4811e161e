//! Sets of rows, and which rows name a value of a field.

use hashbrown::HashMap;
use ipnet::IpNet;

use crate::hir::Const;
use crate::value::Value;

type Fast = foldhash::fast::FixedState;

/// A set of rows, one bit each.
pub(super) type Bits = Vec<u64>;

pub(super) fn set(bits: &mut [u64], row: u32) {
    if let Some(word) = bits.get_mut(row as usize / 64) {
        *word |= 1 << (row % 64);
    }
}

pub(super) fn clear(bits: &mut [u64], row: u32) {
    if let Some(word) = bits.get_mut(row as usize / 64) {
        *word &= !(1 << (row % 64));
    }
}

pub(super) fn has(bits: &[u64], row: u32) -> bool {
    bits.get(row as usize / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
}

pub(super) fn intersect(bits: &mut [u64], with: &[u64]) {
    bits.iter_mut().zip(with).for_each(|(a, b)| *a &= b);
}

pub(super) fn unite(bits: &mut [u64], with: &[u64]) {
    bits.iter_mut().zip(with).for_each(|(a, b)| *a |= b);
}

/// The rows that name one value.
#[derive(Debug)]
pub(super) enum Rows {
    /// One by one.
    Few(Vec<u32>),
    /// What the value leaves standing, so that one pass over the words does: cheaper than a walk over a long list.
    Many(Bits),
}

impl Default for Rows {
    fn default() -> Self {
        Rows::Few(Vec::new())
    }
}

impl Rows {
    fn push(&mut self, row: u32) {
        if let Rows::Few(list) = self {
            list.push(row);
        }
    }

    /// Looking at a row costs about as much as intersecting two words; and a set is at most four times as large as the list.
    fn finish(&mut self, left: &impl Fn(&[u32]) -> Bits, words: usize) {
        if let Rows::Few(list) = self
            && list.len().saturating_mul(2) >= words
        {
            *self = Rows::Many(left(list));
        }
    }
}

/// The rows of each value that a row names.
#[derive(Debug, Default)]
pub(super) struct Values {
    texts: HashMap<Box<str>, Rows, Fast>,
    numbers: HashMap<i64, Rows, Fast>,
    /// Networks by their first address, one map for each length of prefix.
    v4: Vec<(u8, HashMap<u32, Rows, Fast>)>,
    v6: Vec<(u8, HashMap<u128, Rows, Fast>)>,
}

impl Values {
    pub(super) fn add(&mut self, value: &Const, row: u32) {
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
            IpNet::V4(net) => {
                if let Some(map) = of_length(&mut self.v4, net.prefix_len()) {
                    map.entry(u32::from(net.network())).or_default().push(row);
                }
            }
            IpNet::V6(net) => {
                if let Some(map) = of_length(&mut self.v6, net.prefix_len()) {
                    map.entry(u128::from(net.network())).or_default().push(row);
                }
            }
        }
    }

    /// Call when all rows are in. `left` are the rows that a value leaves standing when the given ones name it, in `words`.
    pub(super) fn finish(&mut self, left: impl Fn(&[u32]) -> Bits, words: usize) {
        self.texts.values_mut().for_each(|r| r.finish(&left, words));
        self.numbers.values_mut().for_each(|r| r.finish(&left, words));
        self.v4.iter_mut().flat_map(|(_, map)| map.values_mut()).for_each(|r| r.finish(&left, words));
        self.v6.iter_mut().flat_map(|(_, map)| map.values_mut()).for_each(|r| r.finish(&left, words));
    }

    /// Calls `found` with the rows of each named value that `value` is, has as an item, or lies in.
    pub(super) fn of<'v>(&'v self, value: &Value<'_>, mut found: impl FnMut(&'v Rows)) {
        match value {
            Value::Text(t) => self.texts.get(*t).into_iter().for_each(found),
            Value::Texts(items) => items.iter().filter_map(|t| self.texts.get(t.as_str())).for_each(found),
            Value::Num(n) => self.numbers.get(n).into_iter().for_each(found),
            Value::Bool(b) => self.numbers.get(&i64::from(*b)).into_iter().for_each(found),
            Value::Ip(ip) => match ip.to_canonical() {
                std::net::IpAddr::V4(ip) => self.v4.iter().for_each(|(length, map)| {
                    let first = u32::from(ip) & u32::MAX.checked_shl(32 - u32::from(*length)).unwrap_or(0);
                    map.get(&first).into_iter().for_each(&mut found);
                }),
                std::net::IpAddr::V6(ip) => self.v6.iter().for_each(|(length, map)| {
                    let first = u128::from(ip) & u128::MAX.checked_shl(128 - u32::from(*length)).unwrap_or(0);
                    map.get(&first).into_iter().for_each(&mut found);
                }),
            },
            Value::Unknown | Value::Net(_) => {}
        }
    }
}

fn of_length<K>(maps: &mut Vec<(u8, HashMap<K, Rows, Fast>)>, length: u8) -> Option<&mut HashMap<K, Rows, Fast>> {
    let at = maps.partition_point(|(l, _)| *l < length);
    if maps.get(at).is_none_or(|(l, _)| *l != length) {
        maps.insert(at, (length, HashMap::default()));
    }
    maps.get_mut(at).map(|(_, map)| map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &Values, ip: &str) -> Vec<u32> {
        let mut found = Vec::new();
        values.of(&Value::Ip(ip.parse().unwrap()), |rows| match rows {
            Rows::Few(list) => found.extend(list),
            Rows::Many(_) => {}
        });
        found.sort_unstable();
        found
    }

    #[test]
    fn an_address_is_found_in_networks_of_every_length() {
        let mut values = Values::default();
        let networks =
            ["0.0.0.0/0", "10.0.0.0/8", "10.1.2.0/24", "10.1.2.3/32", "::/0", "2001:db8::/32", "2001:db8::1/128"];
        for (row, net) in networks.iter().enumerate() {
            values.add(&Const::Net(net.parse().unwrap()), row as u32);
        }
        // Written with bits behind the prefix.
        values.add(&Const::Net("10.1.2.77/24".parse().unwrap()), 7);
        values.add(&Const::Ip("10.1.2.3".parse().unwrap()), 8);
        let cases: [(&str, &[u32]); 6] = [
            ("10.1.2.3", &[0, 1, 2, 3, 7, 8]),
            ("10.1.3.3", &[0, 1]),
            ("11.0.0.0", &[0]),
            ("::ffff:10.1.2.4", &[0, 1, 2, 7]),
            ("2001:db8::1", &[4, 5, 6]),
            ("2001:db9::1", &[4]),
        ];
        for (ip, expected) in cases {
            assert_eq!(rows(&values, ip), expected, "{ip}");
        }
    }
}
