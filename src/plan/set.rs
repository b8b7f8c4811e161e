//! Sets of constants, for `x in ["a", "b"]`.

use hashbrown::HashSet;
use ipnet::IpNet;

use super::scalar::Val;
use crate::hir::Const;
use crate::template::to_text;
use crate::value::Truth;

/// A set of constants of one type.
#[derive(Debug, Clone, Default)]
pub(crate) struct ValueSet {
    pub(crate) texts: HashSet<Box<str>, foldhash::fast::FixedState>,
    pub(crate) numbers: Vec<i64>,
    pub(crate) networks: Vec<IpNet>,
    bools: Vec<bool>,
}

impl ValueSet {
    pub(crate) fn new(items: &[Const]) -> Self {
        let mut set = ValueSet::default();
        for item in items {
            match item {
                Const::Text(t) => {
                    set.texts.insert(t.as_str().into());
                }
                Const::Num(n) => set.numbers.push(*n),
                Const::Ip(ip) => set.networks.push(IpNet::from(*ip)),
                Const::Net(net) => set.networks.push(net.trunc()),
                Const::Bool(b) => set.bools.push(*b),
            }
        }
        set.numbers.sort_unstable();
        set.numbers.dedup();
        set.networks.sort();
        set.networks.dedup();
        set
    }

    /// A list of texts is in the set when any item is; an address when a network contains it.
    pub(crate) fn contains(&self, v: &Val<'_>) -> Truth {
        match v {
            Val::Unknown => Truth::Unknown,
            Val::Text(t) => Truth::from(self.texts.contains(t.as_ref())),
            Val::Texts(items) => Truth::from(items.iter().any(|t| self.texts.contains(t.as_str()))),
            Val::Fingerprints(all) => Truth::from(all.iter().any(|f| self.texts.contains(to_text(*f).as_str()))),
            Val::Num(n) => Truth::from(self.numbers.binary_search(n).is_ok()),
            Val::Ip(ip) => {
                let ip = ip.to_canonical();
                Truth::from(self.networks.iter().any(|net| net.contains(&ip)))
            }
            Val::Net(net) => Truth::from(self.networks.iter().any(|n| n.contains(net))),
            Val::Bool(b) => Truth::from(self.bools.contains(b)),
        }
    }
}
