//! Lists, tables and the account registry of a program, from their files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Pack, PackError, PackOptions};
use crate::diagnostic::{Code, Diagnostic};
use crate::feed::{ColumnRef, FileError, ListFile, TableFile, read_accounts, read_list, read_table};
use crate::hir::{Column, List, Program, Table};
use crate::plan::{ReferenceData, list_of};
use crate::reference::{ListData, TableData, account_columns};
use crate::source::Span;
use crate::template::FingerprintKey;
use crate::value::Type;

/// Loads everything that a program refers to. A file that cannot be used is a diagnostic at its declaration, and its list
/// or table is empty.
pub(super) fn load(
    program: &Program,
    paths: &[PathBuf],
    options: &PackOptions<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<ReferenceData, PackError> {
    let files = Files { paths, lists: options.lists, key: options.fingerprint_key };
    let mut data = ReferenceData { fingerprint_key: options.fingerprint_key, ..ReferenceData::default() };
    for list in &program.lists {
        let loaded = files.list(list).unwrap_or_else(|d| {
            diagnostics.push(*d);
            ListData::empty(list.ty.clone())
        });
        data.lists.push(Arc::new(loaded));
    }
    for (number, table) in program.tables.iter().enumerate() {
        let loaded = if number == 0 {
            registry(options.accounts)?
        } else {
            files.table(table).unwrap_or_else(|d| {
                diagnostics.push(*d);
                TableData::empty(columns(table))
            })
        };
        data.tables.push(Arc::new(loaded));
    }
    Ok(data)
}

/// The files of all lists and tables of a pack: as each is written, the rule file that declares it, and where it was found.
/// What is not there is left out: it has been said when the pack was read.
pub(super) fn found<'p>(pack: &'p Pack, options: &PackOptions<'_>) -> Vec<(String, Option<&'p Path>, PathBuf)> {
    let Some(rules) = &pack.rules else { return Vec::new() };
    let files = Files { paths: &pack.paths, lists: options.lists, key: options.fingerprint_key };
    let program = rules.program();
    let lists = program.lists.iter().map(|l| (&l.path, l.span));
    let tables = program.tables.iter().skip(1).map(|t| (&t.path, t.span));
    let mut found = Vec::new();
    for (written, span) in lists.chain(tables) {
        let Some(written) = written else { continue };
        let rule_file = pack.paths.get(span.source.0 as usize).map(PathBuf::as_path);
        found.extend(files.find(written, span).ok().map(|path| (written.clone(), rule_file, path)));
    }
    found
}

fn registry(path: Option<&Path>) -> Result<TableData, PackError> {
    let Some(path) = path else {
        let columns = account_columns().iter().map(|(name, ty)| (Box::from(*name), ty.clone())).collect();
        return Ok(TableData::empty(columns));
    };
    read_accounts(path)
        .map(|file| file.table)
        .map_err(|e| PackError::Registry { path: path.to_owned(), why: e.to_string() })
}

struct Files<'a> {
    paths: &'a [PathBuf],
    lists: Option<&'a Path>,
    key: FingerprintKey,
}

impl Files<'_> {
    fn list(&self, list: &List) -> Result<ListData, Box<Diagnostic>> {
        let Some(written) = &list.path else { return inline(list, &self.key) };
        let file = ListFile {
            path: self.find(written, list.span)?,
            ty: list.ty.clone(),
            column: list.columns.value.as_ref().map(column),
            valid: list.columns.valid.as_ref().map(|(from, to)| (column(from), column(to))),
            key: self.key,
        };
        read_list(&file).map_err(|e| diagnostic(&e, list.span))
    }

    fn table(&self, table: &Table) -> Result<TableData, Box<Diagnostic>> {
        let Some(written) = &table.path else { return Ok(TableData::empty(columns(table))) };
        let file = TableFile {
            path: self.find(written, table.span)?,
            key: None,
            key_type: table.key.ty.clone(),
            columns: columns(table),
            valid: table.valid.as_ref().map(|(from, to)| (column(from), column(to))),
        };
        read_table(&file).map_err(|e| diagnostic(&e, table.span))
    }

    /// First in the directory of lists, by its path or its bare name, then beside the rule file.
    fn find(&self, written: &str, span: Span) -> Result<PathBuf, Box<Diagnostic>> {
        let mut places = Vec::new();
        if let Some(lists) = self.lists {
            places.push(lists.join(written));
            places.extend(Path::new(written).file_name().map(|name| lists.join(name)));
        }
        let rule_file = self.paths.get(span.source.0 as usize).and_then(|p| p.parent());
        places.extend(rule_file.map(|directory| directory.join(written)));
        places.dedup();
        if let Some(found) = places.iter().find(|p| p.is_file()) {
            return Ok(found.clone());
        }
        let looked = places.iter().map(|p| format!("`{}`", p.display())).collect::<Vec<_>>().join(", ");
        let help = format!("put the file at one of {looked}, or name its directory with `--lists DIR`");
        let message = format!("the file `{written}` is not there");
        Err(Box::new(Diagnostic::new(Code::LIST_FILE_MISSING, span, message).label("declared here").help(help)))
    }
}

fn inline(list: &List, key: &FingerprintKey) -> Result<ListData, Box<Diagnostic>> {
    list_of(&list.ty, list.inline.iter().flatten(), key)
        .map_err(|why| Box::new(Diagnostic::new(Code::LIST_VALUE, list.span, why).label("declared here")))
}

fn columns(table: &Table) -> Vec<(Box<str>, Type)> {
    table.columns.iter().map(|(name, ty)| (Box::from(name.as_str()), ty.clone())).collect()
}

fn column(column: &Column) -> ColumnRef {
    match column {
        Column::Number(n) => ColumnRef::Number(*n),
        Column::Heading(h) => ColumnRef::Heading(h.clone()),
    }
}

fn diagnostic(error: &FileError, span: Span) -> Box<Diagnostic> {
    let (code, help) = match error {
        FileError::Missing { .. } => (Code::LIST_FILE_MISSING, "check the path and who may read the file"),
        FileError::TooLarge { .. } => (Code::LIST_FILE_TOO_LARGE, "split the list, or keep only the rows that matter"),
        FileError::Value { .. } => (Code::LIST_VALUE, "correct the value in the file, or the type in the declaration"),
        _ => (Code::LIST_FILE_MALFORMED, "correct the file; `fineprint explain TOS0502` shows the forms that are read"),
    };
    Box::new(Diagnostic::new(code, span, error.to_string()).label("declared here").help(help))
}
