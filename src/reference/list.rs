//! Turns rows into a set of one type that is asked at event time. Networks are kept as sorted ranges, texts hashed,
//! numbers sorted; rows with dates are kept apart, so that lists without dates pay nothing for them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use std::hash::BuildHasher;

use crate::reference::value::{Scalar, ValueError, canonical_network, parse};
use crate::reference::{LIST_ROWS_MAX, Validity};
use crate::template::{FingerprintKey, Fingerprinter, Strictness, to_text};
use crate::time::Timestamp;
use crate::value::{Type, Value};

/// One row of a list as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// The value's text.
    pub value: String,
    /// The first moment at which it counts; `None` is "ever since".
    pub from: Option<Timestamp>,
    /// The first moment at which it no longer counts; `None` is "from then on".
    pub to: Option<Timestamp>,
}

/// Why rows make no list. `row` counts from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// A value does not fit the type.
    #[error("{error}")]
    Value {
        /// Which row.
        row: usize,
        /// What is wrong.
        error: ValueError,
    },
    /// A row ends before it begins.
    #[error("the row is valid from {from} to {to}, which is never: the second must be later")]
    Never {
        /// Which row.
        row: usize,
        /// Its first moment.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
    /// More than [`LIST_ROWS_MAX`] rows.
    #[error("more than {LIST_ROWS_MAX} rows")]
    TooMany,
    /// Lists of lists are no type of list.
    #[error("a list cannot hold {0}")]
    Type(Type),
}

impl ListError {
    /// The row at fault, from 0.
    pub fn row(&self) -> Option<usize> {
        match self {
            ListError::Value { row, .. } | ListError::Never { row, .. } => Some(*row),
            ListError::TooMany | ListError::Type(_) => None,
        }
    }
}

/// A typed set of values, some of them valid for a time only.
#[derive(Debug, Clone)]
pub struct ListData {
    ty: Type,
    texts: Texts,
    /// Sorted.
    numbers: Vec<i64>,
    networks: Networks,
    dated: Dated,
    n_rows: usize,
    hash: [u8; 32],
}

impl ListData {
    /// A list of no values.
    pub fn empty(ty: Type) -> Self {
        ListData::collect(ty, Vec::new())
    }

    /// Builds the list; the order of rows does not matter, rows that stand twice count once. In a list of fingerprints a row
    /// of several words stands for the fingerprints of that text, strict and loose, under the public key; see
    /// [`ListData::build_under`].
    pub fn build(ty: Type, rows: Vec<Row>) -> Result<Self, ListError> {
        ListData::build_under(ty, rows, &FingerprintKey::PUBLIC)
    }

    /// As [`ListData::build`], with texts fingerprinted under a key of one's own. Every shingle of a text counts, not only
    /// those that the text itself would show: whoever quotes a part of it, longer than a shingle, shows one of them.
    pub fn build_under(ty: Type, rows: Vec<Row>, key: &FingerprintKey) -> Result<Self, ListError> {
        if matches!(ty, Type::List(_)) {
            return Err(ListError::Type(ty));
        }
        if rows.len() > LIST_ROWS_MAX {
            return Err(ListError::TooMany);
        }
        let fingerprinter = Fingerprinter::new(*key);
        let mut read = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            let value = parse(&ty, &row.value).map_err(|error| ListError::Value { row: at, error })?;
            let validity = Validity::new(row.from, row.to).ok_or_else(|| ListError::Never {
                row: at,
                from: row.from.unwrap_or(Timestamp::MIN),
                to: row.to.unwrap_or(Timestamp::MAX),
            })?;
            match value {
                Scalar::Text(text) if ty == Type::Fingerprint && is_wording(&text) => {
                    let strict = fingerprinter.every_shingle(Strictness::Strict, &text);
                    if strict.is_empty() {
                        return Err(ListError::Value { row: at, error: ValueError::short(&ty, &text) });
                    }
                    let loose = fingerprinter.every_shingle(Strictness::Loose, &text);
                    let all = strict.into_iter().chain(loose).map(|f| Scalar::Text(to_text(f).into()));
                    read.extend(all.map(|value| (value, validity)));
                }
                value => read.push((value, validity)),
            }
        }
        Ok(ListData::collect(ty, read))
    }

    fn collect(ty: Type, mut rows: Vec<(Scalar, Validity)>) -> Self {
        rows.sort_unstable();
        rows.dedup();
        let hash = hash_rows(&ty, &rows);
        let n_rows = rows.len();
        let (mut texts, mut numbers, mut networks) = (Vec::new(), Vec::new(), Vec::new());
        let mut dated = Dated::default();
        for (value, validity) in rows {
            if !validity.always() {
                dated.add(value, validity);
                continue;
            }
            match value {
                Scalar::Text(text) => texts.push(text),
                Scalar::Num(n) => numbers.push(n),
                Scalar::Bool(b) => numbers.push(i64::from(b)),
                Scalar::Ip(ip) => networks.push(IpNet::from(ip)),
                Scalar::Net(net) => networks.push(net),
            }
        }
        ListData { ty, texts: Texts::new(texts), numbers, networks: Networks::new(networks), dated, n_rows, hash }
    }

    /// The type of its values.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// How many different rows it has.
    pub fn len(&self) -> usize {
        self.n_rows
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Whether the list holds the value at a moment. An address is in a list of networks when one of them holds it, a
    /// network when it lies wholly inside; several texts are in when one of them is. An unknown value is in no list: the
    /// caller asks for that first, where it matters.
    pub fn contains(&self, value: &Value<'_>, at: Timestamp) -> bool {
        match value {
            Value::Unknown => false,
            Value::Bool(b) => self.has_number(i64::from(*b), at),
            Value::Num(n) => self.has_number(*n, at),
            Value::Text(text) => self.has_text(text, at),
            Value::Texts(texts) => texts.iter().any(|text| self.has_text(text, at)),
            Value::Ip(ip) => self.has_network(IpNet::from(ip.to_canonical()), at),
            Value::Net(net) => self.has_network(canonical_network(net.trunc()), at),
        }
    }

    /// Whether the list holds a template fingerprint at a moment.
    pub(crate) fn contains_fingerprint(&self, fingerprint: u64, at: Timestamp) -> bool {
        let mut digits = [0u8; 16];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            let nibble = (fingerprint >> (4 * place) & 0xf) as u8;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        std::str::from_utf8(&digits).is_ok_and(|text| self.has_text(text, at))
    }

    fn has_text(&self, text: &str, at: Timestamp) -> bool {
        self.texts.contains(text) || self.dated.texts.get(text).is_some_and(|spans| holds(spans, at))
    }

    fn has_number(&self, n: i64, at: Timestamp) -> bool {
        self.numbers.binary_search(&n).is_ok() || self.dated.numbers.get(&n).is_some_and(|spans| holds(spans, at))
    }

    fn has_network(&self, net: IpNet, at: Timestamp) -> bool {
        self.networks.contains(net) || self.dated.holds_network(net, at)
    }

    /// Whether some rows are valid for a time only. An index over [`ListData::texts`] and [`ListData::networks`] must
    /// then be followed by [`ListData::contains`] on a miss.
    pub fn has_validity(&self) -> bool {
        !self.dated.is_empty()
    }

    /// The texts that always count, sorted.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.sorted.iter().map(|text| &**text)
    }

    /// All texts, each with the spans in which it counts; none where it always does. Sorted, each once.
    pub(crate) fn texts_with_spans(&self) -> Vec<(&str, &[Validity])> {
        let dated = self.dated.texts.iter().map(|(text, spans)| (&**text, spans.as_slice()));
        let mut all: Vec<(&str, &[Validity])> = dated
            .filter(|(text, _)| !self.texts.contains(text))
            .chain(self.texts().map(|text| (text, &[][..])))
            .collect();
        all.sort_unstable_by_key(|(text, _)| *text);
        all
    }

    /// The numbers that always count, sorted.
    pub fn numbers(&self) -> impl Iterator<Item = i64> {
        self.numbers.iter().copied()
    }

    /// The networks (addresses as networks of one) that always count, sorted; some may lie inside others.
    pub fn networks(&self) -> impl Iterator<Item = IpNet> {
        self.networks.all.iter().copied()
    }

    /// SHA-256 of type and rows in canonical form: equal for files that say the same in another order or spelling.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

/// Whether a moment lies in one of the spans.
pub(crate) fn holds(spans: &[Validity], at: Timestamp) -> bool {
    spans.iter().any(|span| span.holds(at))
}

/// Each part with its length before it, so that no two lists of rows give the same bytes.
fn hash_rows(ty: &Type, rows: &[(Scalar, Validity)]) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(b"fineprint list 1\n");
    sha.update(format!("{}\n", ty.keyword()));
    for (value, validity) in rows {
        hash_scalar(&mut sha, value);
        sha.update(validity.from.0.to_le_bytes());
        sha.update(validity.to.0.to_le_bytes());
    }
    sha.finalize().into()
}

pub(super) fn hash_scalar(sha: &mut Sha256, value: &Scalar) {
    let mut part = |kind: u8, bytes: &[u8]| {
        sha.update([kind]);
        sha.update((bytes.len() as u64).to_le_bytes());
        sha.update(bytes);
    };
    match value {
        Scalar::Bool(b) => part(b'b', &[u8::from(*b)]),
        Scalar::Num(n) => part(b'n', &n.to_le_bytes()),
        Scalar::Text(text) => part(b't', text.as_bytes()),
        Scalar::Ip(ip) => part(b'i', ip.to_string().as_bytes()),
        Scalar::Net(net) => part(b'c', net.to_string().as_bytes()),
    }
}

/// Whether a row of a list of fingerprints is a text to be fingerprinted; fingerprints hold no white space.
fn is_wording(text: &str) -> bool {
    text.contains(char::is_whitespace)
}

/// Texts in order, and a hash index into them. The hash has a fixed seed and never leaves memory.
#[derive(Debug, Clone)]
struct Texts {
    sorted: Vec<Box<str>>,
    index: HashTable<u32>,
}

const HASHER: FixedState = FixedState::with_seed(0);

impl Texts {
    /// `sorted` is sorted and holds nothing twice.
    fn new(sorted: Vec<Box<str>>) -> Self {
        let hash = |at: &u32| sorted.get(*at as usize).map_or(0, |text| HASHER.hash_one(&**text));
        let mut index = HashTable::with_capacity(sorted.len());
        for at in 0..u32::try_from(sorted.len()).unwrap_or(u32::MAX) {
            index.insert_unique(hash(&at), at, hash);
        }
        Texts { index, sorted }
    }

    fn contains(&self, text: &str) -> bool {
        let same = |at: &u32| self.sorted.get(*at as usize).is_some_and(|found| **found == *text);
        self.index.find(HASHER.hash_one(text), same).is_some()
    }
}

/// Networks, and the sorted, disjoint ranges of addresses that they cover together.
#[derive(Debug, Clone)]
struct Networks {
    all: Vec<IpNet>,
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    fn new(all: Vec<IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in &all {
            match net {
                IpNet::V4(n) => v4.push((u32::from(n.network()), u32::from(n.broadcast()))),
                IpNet::V6(n) => v6.push((u128::from(n.network()), u128::from(n.broadcast()))),
            }
        }
        Networks { v4: disjoint(v4, |n| n.saturating_add(1)), v6: disjoint(v6, |n| n.saturating_add(1)), all }
    }

    fn contains(&self, net: IpNet) -> bool {
        match net {
            IpNet::V4(n) => covers(&self.v4, u32::from(n.network()), u32::from(n.broadcast())),
            IpNet::V6(n) => covers(&self.v6, u128::from(n.network()), u128::from(n.broadcast())),
        }
    }
}

fn disjoint<T: Ord + Copy>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> T) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(open) if first <= next(open.1) => open.1 = open.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn covers<T: Ord + Copy>(ranges: &[(T, T)], first: T, last: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= first);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| last <= range.1)
}

/// Rows that are valid for a time, by value.
#[derive(Debug, Clone, Default)]
struct Dated {
    texts: HashMap<Box<str>, Vec<Validity>, FixedState>,
    numbers: HashMap<i64, Vec<Validity>, FixedState>,
    /// By length of the prefix, then by network: a look-up asks once for each length that occurs.
    networks: BTreeMap<(bool, u8), HashMap<IpAddr, Vec<Validity>, FixedState>>,
}

impl Dated {
    fn add(&mut self, value: Scalar, validity: Validity) {
        let spans = match value {
            Scalar::Text(text) => self.texts.entry(text).or_default(),
            Scalar::Num(n) => self.numbers.entry(n).or_default(),
            Scalar::Bool(b) => self.numbers.entry(i64::from(b)).or_default(),
            Scalar::Ip(ip) => self.network(IpNet::from(ip)),
            Scalar::Net(net) => self.network(net),
        };
        spans.push(validity);
    }

    fn network(&mut self, net: IpNet) -> &mut Vec<Validity> {
        self.networks.entry((is_v4(net), net.prefix_len())).or_default().entry(net.network()).or_default()
    }

    fn holds_network(&self, net: IpNet, at: Timestamp) -> bool {
        let v4 = is_v4(net);
        self.networks.range((v4, 0)..=(v4, net.prefix_len())).any(|((_, prefix_len), spans_by_network)| {
            IpNet::new(net.addr(), *prefix_len)
                .ok()
                .and_then(|wider| spans_by_network.get(&wider.network()))
                .is_some_and(|spans| holds(spans, at))
        })
    }

    fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.numbers.is_empty() && self.networks.is_empty()
    }
}

fn is_v4(net: IpNet) -> bool {
    matches!(net, IpNet::V4(_))
}
