//! Turns rows into a table by key whose columns are asked at event time. The registry of accounts is one.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use std::net::IpAddr;

use crate::reference::list::hash_scalar;
use crate::reference::value::{Scalar, ValueError, canonical_network, parse};
use crate::reference::{LIST_ROWS_MAX, Validity};
use crate::time::Timestamp;
use crate::value::{Type, Value};

/// The columns of the registry of accounts, the table `account`.
pub fn account_columns() -> &'static [(&'static str, Type)] {
    static COLUMNS: std::sync::LazyLock<[(&str, Type); 13]> = std::sync::LazyLock::new(|| {
        [
            ("org", Type::String),
            ("plan", Type::String),
            ("created", Type::Timestamp),
            ("payment_fingerprint", Type::Fingerprint),
            ("billing_country", Type::Country),
            ("email_class", Type::String),
            ("verification", Type::String),
            ("org_verified", Type::Bool),
            ("reseller", Type::Bool),
            ("entitlements", Type::List(Box::new(Type::String))),
            ("status", Type::String),
            ("banned_at", Type::Timestamp),
            ("signup_cohort", Type::String),
        ]
    });
    &*COLUMNS
}

/// One value of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cell {
    /// Nothing is said.
    #[default]
    Missing,
    /// A truth value.
    Bool(bool),
    /// A number in the unit of the column's type.
    Num(i64),
    /// A text.
    Text(Box<str>),
    /// An address.
    Ip(IpAddr),
    /// A network.
    Net(IpNet),
    /// Several texts.
    Texts(Vec<String>),
}

impl Cell {
    /// Reads a text as a value of the column's type; an empty one is missing. Lists are separated by `|`.
    pub fn parse(ty: &Type, text: &str) -> Result<Cell, ValueError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Cell::Missing);
        }
        if let Type::List(of) = ty {
            let items = text.split('|').map(|item| match parse(of, item)? {
                Scalar::Text(text) => Ok(text.into_string()),
                _ => Ok(item.trim().to_owned()),
            });
            return items.collect::<Result<_, _>>().map(Cell::Texts);
        }
        Ok(match parse(ty, text)? {
            Scalar::Bool(b) => Cell::Bool(b),
            Scalar::Num(n) => Cell::Num(n),
            Scalar::Text(text) => Cell::Text(text),
            Scalar::Ip(ip) => Cell::Ip(ip),
            Scalar::Net(net) => Cell::Net(net),
        })
    }

    fn value(&self) -> Value<'_> {
        match self {
            Cell::Missing => Value::Unknown,
            Cell::Bool(b) => Value::Bool(*b),
            Cell::Num(n) => Value::Num(*n),
            Cell::Text(text) => Value::Text(text),
            Cell::Ip(ip) => Value::Ip(*ip),
            Cell::Net(net) => Value::Net(*net),
            Cell::Texts(texts) => Value::Texts(texts),
        }
    }

    fn hash(&self, sha: &mut Sha256) {
        let scalar = match self {
            Cell::Missing => return sha.update(b"-"),
            Cell::Texts(texts) => {
                sha.update(b"[");
                sha.update((texts.len() as u64).to_le_bytes());
                texts.iter().for_each(|text| hash_scalar(sha, &Scalar::Text(text.as_str().into())));
                return;
            }
            Cell::Bool(b) => Scalar::Bool(*b),
            Cell::Num(n) => Scalar::Num(*n),
            Cell::Text(text) => Scalar::Text(text.clone()),
            Cell::Ip(ip) => Scalar::Ip(*ip),
            Cell::Net(net) => Scalar::Net(*net),
        };
        hash_scalar(sha, &scalar);
    }
}

/// One row of a table as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableRow {
    /// The key.
    pub key: String,
    /// The first moment at which the row counts; `None` is "ever since".
    pub from: Option<Timestamp>,
    /// The first moment at which it no longer counts; `None` is "from then on".
    pub to: Option<Timestamp>,
    /// One cell for each column, in their order; missing ones at the end may be left out.
    pub cells: Vec<Cell>,
}

/// Why rows make no table. `row` counts from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A row has no key.
    #[error("the row has no key")]
    NoKey {
        /// Which row.
        row: usize,
    },
    /// A row has more cells than the table has columns.
    #[error("the row has more values than the table has columns")]
    TooWide {
        /// Which row.
        row: usize,
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
    /// Two rows of one key begin at the same moment, so that neither is the newer one.
    #[error("`{key}` stands in row {} already, valid from the same moment: give one of them a later start", first + 1)]
    Twice {
        /// The later row.
        row: usize,
        /// The earlier row.
        first: usize,
        /// Their key.
        key: String,
    },
    /// The key of a row in a table by addresses is no network.
    #[error("{error}")]
    Key {
        /// Which row.
        row: usize,
        /// What is wrong.
        error: ValueError,
    },
    /// More than [`LIST_ROWS_MAX`] rows.
    #[error("more than {LIST_ROWS_MAX} rows")]
    TooMany,
}

impl TableError {
    /// The row at fault, from 0.
    pub fn row(&self) -> Option<usize> {
        match self {
            TableError::NoKey { row }
            | TableError::TooWide { row }
            | TableError::Never { row, .. }
            | TableError::Key { row, .. }
            | TableError::Twice { row, .. } => Some(*row),
            TableError::TooMany => None,
        }
    }
}

/// Typed rows by key, some of them valid for a time only.
#[derive(Debug, Clone)]
pub struct TableData {
    columns: Vec<(Box<str>, Type)>,
    keys: Vec<Key>,
    index: HashTable<u32>,
    /// Keys that are networks, in a table by addresses.
    networks: Option<Networks>,
    spans: Vec<Validity>,
    /// Row by row, one cell for each column.
    cells: Vec<Cell>,
    hash: [u8; 32],
}

/// A key and its rows, which lie together, the latest start first.
#[derive(Debug, Clone)]
struct Key {
    text: Box<str>,
    first_row: u32,
    n_rows: u32,
}

/// Keys by their network, and how long their prefixes are, the longest first.
#[derive(Debug, Clone, Default)]
struct Networks {
    keys: HashMap<IpNet, u32, FixedState>,
    lengths: Vec<u8>,
}

const HASHER: FixedState = FixedState::with_seed(0);

impl TableData {
    /// A table of no rows.
    pub fn empty(columns: Vec<(Box<str>, Type)>) -> Self {
        TableData::collect(columns, Vec::new())
    }

    /// Builds a table whose key has this type. In a table by addresses or networks each row is for a network (or one
    /// address), and the row of the longest network that holds an address counts for it.
    pub fn build_by(key: &Type, columns: Vec<(Box<str>, Type)>, mut rows: Vec<TableRow>) -> Result<Self, TableError> {
        if !matches!(key, Type::Ip | Type::Cidr) {
            return TableData::build(columns, rows);
        }
        for (row, read) in rows.iter_mut().enumerate().filter(|(_, row)| !row.key.is_empty()) {
            match parse(&Type::Cidr, read.key.trim()) {
                Ok(Scalar::Net(net)) => read.key = net.to_string(),
                Ok(_) => {}
                Err(error) => return Err(TableError::Key { row, error }),
            }
        }
        let mut table = TableData::build(columns, rows)?;
        let mut networks = Networks::default();
        for (at, key) in table.keys.iter().enumerate() {
            if let Ok(net) = key.text.parse::<IpNet>() {
                networks.keys.insert(net, at as u32);
                networks.lengths.push(net.prefix_len());
            }
        }
        networks.lengths.sort_unstable_by(|a, b| b.cmp(a));
        networks.lengths.dedup();
        table.networks = Some(networks);
        Ok(table)
    }

    /// Builds the table; the order of rows does not matter. Where rows of one key overlap, the one that began last counts.
    pub fn build(columns: Vec<(Box<str>, Type)>, rows: Vec<TableRow>) -> Result<Self, TableError> {
        if rows.len() > LIST_ROWS_MAX {
            return Err(TableError::TooMany);
        }
        let mut read = Vec::with_capacity(rows.len());
        for (at, row) in rows.into_iter().enumerate() {
            if row.key.is_empty() {
                return Err(TableError::NoKey { row: at });
            }
            if row.cells.len() > columns.len() {
                return Err(TableError::TooWide { row: at });
            }
            let validity = Validity::new(row.from, row.to).ok_or_else(|| TableError::Never {
                row: at,
                from: row.from.unwrap_or(Timestamp::MIN),
                to: row.to.unwrap_or(Timestamp::MAX),
            })?;
            read.push((row.key.into_boxed_str(), validity, at, row.cells));
        }
        read.sort_unstable_by(|a, b| (&a.0, b.1.from, a.2).cmp(&(&b.0, a.1.from, b.2)));
        let twice = read.array_windows().find(|[a, b]| a.0 == b.0 && a.1.from == b.1.from);
        if let Some([a, b]) = twice {
            return Err(TableError::Twice { row: b.2, first: a.2, key: a.0.to_string() });
        }
        Ok(TableData::collect(columns, read))
    }

    /// `rows` are sorted by key, the latest start first.
    fn collect(columns: Vec<(Box<str>, Type)>, rows: Vec<(Box<str>, Validity, usize, Vec<Cell>)>) -> Self {
        let mut keys: Vec<Key> = Vec::new();
        let mut spans = Vec::with_capacity(rows.len());
        let mut cells = Vec::with_capacity(rows.len().saturating_mul(columns.len()));
        let mut sha = Sha256::new();
        sha.update(b"fineprint table 1\n");
        for (name, ty) in &columns {
            let ty = match ty {
                Type::List(of) => format!("list {}", of.keyword()),
                ty => ty.keyword().to_owned(),
            };
            sha.update(format!("{name}:{ty}\n"));
        }
        for (text, validity, _, row) in rows {
            sha.update((text.len() as u64).to_le_bytes());
            sha.update(text.as_bytes());
            sha.update(validity.from.0.to_le_bytes());
            sha.update(validity.to.0.to_le_bytes());
            let mut row = row.into_iter();
            for _ in &columns {
                let cell = row.next().unwrap_or_default();
                cell.hash(&mut sha);
                cells.push(cell);
            }
            let at = spans.len() as u32;
            spans.push(validity);
            match keys.last_mut() {
                Some(key) if key.text == text => key.n_rows += 1,
                _ => keys.push(Key { text, first_row: at, n_rows: 1 }),
            }
        }
        let hash = |at: &u32| keys.get(*at as usize).map_or(0, |key| HASHER.hash_one(&*key.text));
        let mut index = HashTable::with_capacity(keys.len());
        for at in 0..keys.len() as u32 {
            index.insert_unique(hash(&at), at, hash);
        }
        TableData { columns, index, networks: None, keys, spans, cells, hash: sha.finalize().into() }
    }

    /// Names and types of its columns; a column's number is its place here.
    pub fn columns(&self) -> &[(Box<str>, Type)] {
        &self.columns
    }

    /// The number of a column by its name.
    pub fn column_number(&self, name: &str) -> Option<u16> {
        self.columns.iter().position(|(column, _)| **column == *name).and_then(|at| u16::try_from(at).ok())
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &*key.text)
    }

    /// The row that counts for a key at a moment, for [`TableData::cell`]: one look-up for several columns.
    pub fn find(&self, key: &str, at: Timestamp) -> Option<usize> {
        let same = |i: &u32| self.keys.get(*i as usize).is_some_and(|found| *found.text == *key);
        self.holding(*self.index.find(HASHER.hash_one(key), same)?, at)
    }

    /// The row that counts for a network, or the network of one address, at a moment: that of the longest network around it
    /// that has one then.
    pub fn find_network(&self, net: IpNet, at: Timestamp) -> Option<usize> {
        let networks = self.networks.as_ref()?;
        let net = canonical_network(net);
        let around = networks.lengths.iter().filter(|length| **length <= net.prefix_len());
        let mut keys = around.filter_map(|length| {
            let wider = IpNet::new(net.addr(), *length).ok()?.trunc();
            networks.keys.get(&wider)
        });
        keys.find_map(|key| self.holding(*key, at))
    }

    /// The row of a key that counts at a moment.
    fn holding(&self, key: u32, at: Timestamp) -> Option<usize> {
        let found = self.keys.get(key as usize)?;
        let first = found.first_row as usize;
        let spans = self.spans.get(first..first + found.n_rows as usize)?;
        spans.iter().position(|span| span.holds(at)).map(|nth| first + nth)
    }

    /// A column of a row that [`TableData::find`] gave.
    pub fn cell(&self, row: usize, column: u16) -> Value<'_> {
        let column = usize::from(column);
        if column >= self.columns.len() {
            return Value::Unknown;
        }
        self.cells.get(row * self.columns.len() + column).map_or(Value::Unknown, Cell::value)
    }

    /// A column for a key at a moment; unknown when no row counts then, or when the row says nothing.
    pub fn column(&self, key: &str, column: u16, at: Timestamp) -> Value<'_> {
        self.find(key, at).map_or(Value::Unknown, |row| self.cell(row, column))
    }

    /// SHA-256 of columns and rows in canonical form: equal for files that say the same in another order.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }
}
