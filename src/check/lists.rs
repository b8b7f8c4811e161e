//! Lists and tables as declared: their types, their written values, their columns. Files are read elsewhere.

use super::names;
use super::scope::{Place, Scope};
use super::{Checker, expr, membership};
use crate::diagnostic::{Code, Diagnostic};
use crate::event::FieldId;
use crate::hir::{self, Column, Const, ExprKind, ListColumns, TableId};
use crate::reference::account_columns;
use crate::source::Span;
use crate::syntax::ast::{self, ColumnRef, ListValues};
use crate::value::Type;

/// Types that a value of a list or a column may have.
const TYPES: &[&str] = &[
    "string",
    "country",
    "fingerprint",
    "ip",
    "cidr",
    "integer",
    "decimal",
    "tokens",
    "duration",
    "timestamp",
    "percentage",
    "money",
    "bool",
];

/// Declares the registry, all lists and all tables. Keys of tables follow when the `let`s are known.
pub(super) fn declare(cx: &mut Checker<'_>, items: &[&ast::Item]) {
    let nowhere = items.first().map(|i| i.span()).unwrap_or_default();
    cx.program.tables.push(hir::Table {
        name: "account".to_string(),
        key: expr::node(Type::String, ExprKind::Field(FieldId::ACCOUNT), nowhere),
        path: None,
        valid: None,
        columns: account_columns().iter().map(|(name, ty)| ((*name).to_string(), ty.clone())).collect(),
        span: nowhere,
    });
    for item in cx.names.lists.clone() {
        let list = list(cx, item);
        cx.program.lists.push(list);
    }
    for item in cx.names.tables.clone() {
        let table = table(cx, item);
        cx.program.tables.push(table);
    }
}

fn list(cx: &mut Checker<'_>, item: &ast::List) -> hir::List {
    let ty = ty(cx, &item.ty);
    let known = ty.clone().unwrap_or(Type::String);
    let (mut inline, mut path, mut columns) = (None, None, ListColumns::default());
    match &item.values {
        ListValues::Inline(values) => {
            let constants = ty.as_ref().and_then(|ty| inline_values(cx, values, ty));
            inline = Some(constants.unwrap_or_default());
        }
        ListValues::File { path: file, column, valid } => {
            path = file_path(cx, file);
            columns = ListColumns {
                value: column.as_ref().and_then(|c| self::column(cx, c)),
                valid: validity(cx, valid.as_ref()),
            };
        }
    }
    hir::List { name: item.name.text.clone(), ty: known, inline, path, columns, span: item.span }
}

/// Values as they stand in the file. Among fingerprints may stand whole texts, to be fingerprinted when the list is built.
fn inline_values(cx: &mut Checker<'_>, values: &[ast::Expr], ty: &Type) -> Option<Vec<Const>> {
    if *ty != Type::Fingerprint {
        return membership::constants(cx, values, ty);
    }
    let (wordings, fingerprints): (Vec<ast::Expr>, Vec<ast::Expr>) = values.iter().cloned().partition(is_wording);
    let wordings = membership::constants(cx, &wordings, &Type::String);
    let fingerprints = membership::constants(cx, &fingerprints, ty);
    Some([wordings?, fingerprints?].concat())
}

/// Whether a value is a text and not a fingerprint, which holds no white space.
pub(super) fn is_wording(value: &ast::Expr) -> bool {
    matches!(&value.kind, ast::ExprKind::Literal(ast::Literal::Text(text)) if text.contains(char::is_whitespace))
}

fn file_path(cx: &mut Checker<'_>, file: &ast::Text) -> Option<String> {
    if file.value.trim().is_empty() {
        let message = "a file without a name";
        return cx
            .fail(Diagnostic::new(Code::TYPE_MISMATCH, file.span, message).help("write `from \"lists/values.csv\"`"));
    }
    Some(file.value.clone())
}

fn table(cx: &mut Checker<'_>, item: &ast::Table) -> hir::Table {
    let mut columns: Vec<(String, Type)> = Vec::new();
    let mut places: Vec<(&ast::Name, Span)> = Vec::new();
    for (name, type_name) in &item.columns {
        if let Some((_, first)) = places.iter().find(|(n, _)| n.text == name.text) {
            let duplicate = names::duplicate(name, *first);
            cx.report(duplicate);
            continue;
        }
        places.push((name, name.span));
        if let Some(ty) = ty(cx, type_name) {
            columns.push((name.text.clone(), ty));
        }
    }
    hir::Table {
        name: item.name.text.clone(),
        key: expr::node(Type::String, ExprKind::Field(FieldId::ACCOUNT), item.key.span),
        path: file_path(cx, &item.path),
        valid: validity(cx, item.valid.as_ref()),
        columns,
        span: item.span,
    }
}

/// Lowers the keys of tables: values of single events.
pub(super) fn lower_keys(cx: &mut Checker<'_>, _items: &[&ast::Item]) {
    for (i, item) in cx.names.tables.clone().into_iter().enumerate() {
        let mut scope = Scope::new(Place::Event);
        let Some(key) = expr::value(cx, &mut scope, &item.key).and_then(|k| super::call::single(cx, k)) else {
            continue;
        };
        let mut joined = false;
        key.walk(&mut |e| joined |= matches!(e.kind, ExprKind::Column(t, _) if t != TableId::ACCOUNTS));
        if joined {
            let message = format!("the table `{}` is keyed by a column of another table", item.name.text);
            cx.report(
                Diagnostic::new(Code::TYPE_MISMATCH, item.key.span, message)
                    .help("key it by a field of the event or a column of `account`"),
            );
            continue;
        }
        if !key.ty.is_text() && !matches!(key.ty, Type::Integer | Type::Ip | Type::Cidr) {
            let message = format!("the table `{}` is keyed by {}", item.name.text, key.ty);
            cx.report(
                Diagnostic::new(Code::TYPE_MISMATCH, item.key.span, message)
                    .help("key it by a text, a whole number, an address or a network"),
            );
            continue;
        }
        if let Some(table) = cx.program.tables.get_mut(i + 1) {
            table.key = key;
        }
    }
}

fn ty(cx: &mut Checker<'_>, name: &ast::Name) -> Option<Type> {
    if let Some(ty) = Type::from_keyword(&name.text) {
        return Some(ty);
    }
    let unknown = Diagnostic::new(Code::UNKNOWN_WORD, name.span, format!("`{}` is not a type of values", name.text))
        .label("unknown type");
    let unknown = names::suggest(unknown, name, TYPES);
    cx.fail(unknown)
}

fn column(cx: &mut Checker<'_>, c: &ColumnRef) -> Option<Column> {
    match c {
        ColumnRef::Number(n) if n.value == 0 => {
            cx.fail(Diagnostic::new(Code::TYPE_MISMATCH, n.span, "columns are counted from 1").help("write `column 1`"))
        }
        ColumnRef::Number(n) => Some(Column::Number(n.value)),
        ColumnRef::Heading(t) => Some(Column::Heading(t.value.clone())),
    }
}

fn validity(cx: &mut Checker<'_>, valid: Option<&(ColumnRef, ColumnRef)>) -> Option<(Column, Column)> {
    let (from, until) = valid?;
    let (from, until) = (column(cx, from), column(cx, until));
    Some((from?, until?))
}
