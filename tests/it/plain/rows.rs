//! Reference data as bare rows, searched from the top each time. Shares nothing with `fineprint::reference`.

use std::net::IpAddr;
use std::sync::Arc;

use fineprint::hir::{Const, ListId, TableId};
use fineprint::reference::{self, Cell, ListData, Row, TableData};
use fineprint::time::Timestamp;

use super::expr::Val;
use super::template;

/// One value of a list, and when it is on it.
#[derive(Debug, Clone)]
pub struct ListRow {
    pub value: Const,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// One row of a table. Rows of one key do not overlap in time.
#[derive(Debug, Clone)]
pub struct TableRow {
    pub key: String,
    pub cells: Vec<Option<Const>>,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// Lists and tables in the order of the program.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub lists: Vec<Vec<ListRow>>,
    pub tables: Vec<Vec<TableRow>>,
}

/// `[from, until)`; an absent bound is no bound.
pub fn in_force(from: Option<Timestamp>, until: Option<Timestamp>, at: Timestamp) -> bool {
    from.is_none_or(|from| from <= at) && until.is_none_or(|until| at < until)
}

/// Whether a constant of a set is or holds the value: networks hold addresses and smaller networks, everything else must be
/// equal.
pub fn holds(constant: &Const, value: &Val) -> bool {
    match (constant, value) {
        (Const::Net(net), Val::Ip(ip)) => net_holds(net, *ip),
        (Const::Net(net), Val::Net(inner)) => net.prefix_len() <= inner.prefix_len() && net_holds(net, inner.network()),
        _ => Val::from(constant) == *value,
    }
}

fn net_holds(net: &ipnet::IpNet, ip: IpAddr) -> bool {
    ipnet::IpNet::new(ip, net.prefix_len())
        .is_ok_and(|of_ip| of_ip.network() == net.network() && of_ip.max_prefix_len() == net.max_prefix_len())
}

impl Rows {
    /// Whether the list holds the value at a time. A value of several items is on it when any item is.
    pub fn contains(&self, list: ListId, value: &Val, at: Timestamp) -> bool {
        // A text of many words among fingerprints stands for each that a quotation of it could show.
        let quoted = |row: &Const, value: &Val| match (row, value) {
            (Const::Text(row), Val::Text(value)) if value.len() == 16 => {
                template::quotable(template::PUBLIC, row).contains(value)
            }
            _ => false,
        };
        let on_it = |value: &Val| {
            let rows = self.lists[list.0 as usize].iter().filter(|row| in_force(row.from, row.until, at));
            rows.into_iter().any(|row| holds(&row.value, value) || quoted(&row.value, value))
        };
        match value {
            Val::Texts(items) => items.iter().any(|item| on_it(&Val::Text(item.clone()))),
            one => on_it(one),
        }
    }

    /// The texts on a list at a time.
    pub fn phrases(&self, list: ListId, at: Timestamp) -> Vec<String> {
        let valid = self.lists[list.0 as usize].iter().filter(|row| in_force(row.from, row.until, at));
        valid.filter_map(|row| if let Const::Text(text) = &row.value { Some(text.clone()) } else { None }).collect()
    }

    /// A cell of the row that a key has at a time; unknown where there is no row or nothing in the cell.
    pub fn column(&self, table: TableId, key: &Val, column: u16, at: Timestamp) -> Val {
        let rows = self.tables[table.0 as usize].iter().filter(|row| in_force(row.from, row.until, at));
        let net = |row: &TableRow| row.key.parse::<ipnet::IpNet>().unwrap();
        let row = match key {
            Val::Text(key) => rows.into_iter().find(|row| row.key == *key),
            Val::Num(key) => rows.into_iter().find(|row| row.key == key.to_string()),
            // The longest network around it.
            Val::Ip(ip) => rows.filter(|row| net_holds(&net(row), *ip)).max_by_key(|row| net(row).prefix_len()),
            _ => None,
        };
        row.and_then(|row| row.cells[usize::from(column)].as_ref()).map_or(Val::Unknown, Val::from)
    }
}

impl Rows {
    /// The same rows as the engine holds them.
    pub fn data(&self, program: &fineprint::hir::Program) -> fineprint::plan::ReferenceData {
        let text = |c: &Const| match c {
            Const::Bool(b) => b.to_string(),
            Const::Num(n) => n.to_string(),
            Const::Text(t) => t.clone(),
            Const::Ip(ip) => ip.to_string(),
            Const::Net(net) => net.to_string(),
        };
        let lists = program.lists.iter().zip(&self.lists).map(|(list, rows)| {
            let rows = rows.iter().map(|r| Row { value: text(&r.value), from: r.from, to: r.until }).collect();
            Arc::new(ListData::build(list.ty.clone(), rows).unwrap())
        });
        let tables = program.tables.iter().zip(&self.tables).map(|(table, rows)| {
            let columns = table.columns.iter().map(|(n, t)| (n.as_str().into(), t.clone())).collect();
            let cell = |c: &Option<Const>| match c {
                None => Cell::Missing,
                Some(Const::Bool(b)) => Cell::Bool(*b),
                Some(Const::Num(n)) => Cell::Num(*n),
                Some(Const::Text(t)) => Cell::Text(t.as_str().into()),
                Some(Const::Ip(ip)) => Cell::Ip(*ip),
                Some(Const::Net(net)) => Cell::Net(*net),
            };
            let rows = rows.iter().map(|r| reference::TableRow {
                key: r.key.clone(),
                from: r.from,
                to: r.until,
                cells: r.cells.iter().map(cell).collect(),
            });
            Arc::new(TableData::build_by(&table.key.ty, columns, rows.collect()).unwrap())
        });
        fineprint::plan::ReferenceData { lists: lists.collect(), tables: tables.collect(), ..Default::default() }
    }
}
