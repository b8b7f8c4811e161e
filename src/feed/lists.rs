//! Turns list, table and registry files (`.txt`, `.csv`, `.jsonl`) into reference data. Knows lines and columns; what a
//! text means as a value is decided in [`crate::reference`].

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::event::fields::by_name;
use crate::event::json::Tree;
use crate::reference::{
    Cell, LIST_FILE_BYTES_MAX, LIST_ROWS_MAX, ListData, ListError, Row, TableData, TableError, TableRow, ValueError,
    account_columns,
};
use crate::template::{FingerprintKey, NAMED};
use crate::time::Timestamp;
use crate::value::Type;

/// How a rule names a column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnRef {
    /// `column 2`: counted from 1. In CSV only.
    Number(u32),
    /// `column "country"`: by the heading in CSV, by the key in JSON Lines.
    Heading(String),
}

impl std::fmt::Display for ColumnRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ColumnRef::Number(n) => write!(f, "column {n}"),
            ColumnRef::Heading(name) => write!(f, "column \"{name}\""),
        }
    }
}

/// A list in a file.
#[derive(Debug, Clone)]
pub struct ListFile {
    /// Where it is; the extension says what it is.
    pub path: PathBuf,
    /// The type of its values.
    pub ty: Type,
    /// The column of the value; the first where nothing is said.
    pub column: Option<ColumnRef>,
    /// The columns of the first moment and the end of validity; dates or RFC 3339, empty is open.
    pub valid: Option<(ColumnRef, ColumnRef)>,
    /// The key under which texts in a list of fingerprints are fingerprinted, and which its file must name if it names one.
    pub key: FingerprintKey,
}

/// A table in a file: CSV with a heading, or JSON Lines.
#[derive(Debug, Clone)]
pub struct TableFile {
    /// Where it is.
    pub path: PathBuf,
    /// The column of the key; the first of a CSV file where nothing is said.
    pub key: Option<ColumnRef>,
    /// Type of the value that is looked up: addresses are, in networks.
    pub key_type: Type,
    /// The columns that rules read, by heading or key.
    pub columns: Vec<(Box<str>, Type)>,
    /// As in [`ListFile::valid`].
    pub valid: Option<(ColumnRef, ColumnRef)>,
}

/// The registry of accounts as read from a file.
#[derive(Debug, Clone)]
pub struct AccountsFile {
    /// The table `account`, with the columns of [`account_columns`].
    pub table: TableData,
    /// How many values stood under keys that are no column, over all lines; they were ignored.
    pub n_ignored: u64,
}

/// Why a file gives no list or table. Lines count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is not there or cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is larger than [`LIST_FILE_BYTES_MAX`] or has more rows than [`LIST_ROWS_MAX`].
    #[error("{} is too large: at most {LIST_FILE_BYTES_MAX} bytes and {LIST_ROWS_MAX} rows are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Its extension is none that is read.
    #[error("{} is of no kind that is read: {allowed}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What the name may end in.
        allowed: &'static str,
    },
    /// A line is not what the format says.
    #[error("{}:{line}: {what}, found `{content}`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The line's text, cut to 80 characters.
        content: String,
        /// What is wrong and what to write instead.
        what: String,
    },
    /// A value does not fit the type of the list or column.
    #[error("{}:{line}: {error}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The value and what was expected.
        error: ValueError,
    },
}

impl FileError {
    /// The line at fault, where it is one.
    pub fn line(&self) -> Option<u64> {
        match self {
            FileError::Malformed { line, .. } | FileError::Value { line, .. } => Some(*line),
            _ => None,
        }
    }

    fn malformed(path: &Path, line: u64, content: &str, what: impl Into<String>) -> Self {
        let content = content.trim_end().chars().take(80).collect();
        FileError::Malformed { path: path.to_owned(), line, content, what: what.into() }
    }
}

/// Reads a list.
pub fn read_list(file: &ListFile) -> Result<ListData, FileError> {
    let path = &file.path;
    let allowed = "a list ends in .txt (one value a line), .csv or .jsonl";
    let kind = Kind::of(path, allowed)?;
    let text = read_text(path)?;
    if file.ty == Type::Fingerprint && kind != Kind::JsonLines {
        check_key(path, &text, &file.key)?;
    }
    let mut lines = Vec::new();
    let mut rows = Vec::new();
    let mut take = |line: u64, value: &str, valid: (Option<Timestamp>, Option<Timestamp>)| {
        lines.push(line);
        rows.push(Row { value: value.to_owned(), from: valid.0, to: valid.1 });
        if rows.len() > LIST_ROWS_MAX { Err(FileError::TooLarge { path: path.clone() }) } else { Ok(()) }
    };
    match kind {
        Kind::Text => {
            if let Some(column) = file.column.as_ref().or(file.valid.as_ref().map(|(from, _)| from)) {
                return Err(FileError::malformed(
                    path,
                    1,
                    "",
                    format!("a .txt list has no {column}: use .csv or .jsonl"),
                ));
            }
            for (line, value) in numbered_lines(&text).filter(|(_, l)| !l.starts_with('#')) {
                take(line, value, (None, None))?;
            }
        }
        Kind::Csv => {
            let csv = Csv::read(path, &text)?;
            let value = file.column.clone().unwrap_or(ColumnRef::Number(1));
            let named = |c: &ColumnRef| matches!(c, ColumnRef::Heading(_));
            let has_names = named(&value) || file.valid.as_ref().is_some_and(|(a, b)| named(a) || named(b));
            let with_heading = has_names || csv.first_is_heading(&value, file);
            let find = |column: &ColumnRef| csv.column(path, column, with_heading);
            let value = find(&value)?;
            let valid = file.valid.as_ref().map(|(from, to)| Ok((find(from)?, find(to)?))).transpose()?;
            for (line, record) in csv.rows.iter().skip(usize::from(with_heading)) {
                let cell = |at: usize| record.get(at).unwrap_or_default();
                let moment = |at: usize| moment(path, *line, cell(at));
                let valid = valid.map_or(Ok((None, None)), |(from, to)| Ok((moment(from)?, moment(to)?)))?;
                if record.get(value).is_none() {
                    let what = format!("expected at least {} columns", value + 1);
                    return Err(FileError::malformed(path, *line, &record.iter().collect::<Vec<_>>().join(","), what));
                }
                take(*line, cell(value), valid)?;
            }
        }
        Kind::JsonLines => {
            for (line, text) in numbered_lines(&text) {
                let tree = json(path, line, text)?;
                let value = match (&tree, &file.column) {
                    (Tree::Object(entries), None) => match entries.as_slice() {
                        [(_, only)] => Some(only),
                        _ => tree.get("value"),
                    },
                    (Tree::Object(_), Some(column)) => tree.get(key_of(path, line, text, column)?),
                    (_, None) => Some(&tree),
                    (_, Some(_)) => None,
                };
                let value = value.and_then(plain_text).ok_or_else(|| {
                    let key = file.column.as_ref().map_or("\"value\"".to_owned(), ColumnRef::to_string);
                    FileError::malformed(path, line, text, format!("expected an object with a value in {key}"))
                })?;
                let valid = json_validity(path, line, text, &tree, file.valid.as_ref())?;
                take(line, &value, valid)?;
            }
        }
    }
    let line_of = |row: Option<usize>| row.and_then(|row| lines.get(row).copied()).unwrap_or(1);
    ListData::build_under(file.ty.clone(), rows, &file.key).map_err(|error| match error {
        ListError::Value { row, error } => FileError::Value { path: path.clone(), line: line_of(Some(row)), error },
        ListError::TooMany => FileError::TooLarge { path: path.clone() },
        error => malformed_line(path, &text, line_of(error.row()), error.to_string()),
    })
}

/// In the message about a list of fingerprints whose key is not ours.
pub(crate) const OTHER_KEY: &str = "the fingerprints were made under another key than ours";

/// A list of fingerprints that names its key ([`FingerprintKey::named`]) must name ours: under another none would ever agree.
fn check_key(path: &Path, text: &str, key: &FingerprintKey) -> Result<(), FileError> {
    let comments = (1u64..).zip(text.lines().map(str::trim)).take_while(|(_, l)| l.is_empty() || l.starts_with('#'));
    for (line, comment) in comments.filter(|(_, l)| l.starts_with(NAMED)) {
        if comment != key.named() {
            let what = format!(
                "{OTHER_KEY}, which is {} epoch {}: make the list anew with \
                 `fineprint templates`, or name its key with `--fingerprint-key`",
                key.id(),
                key.epoch()
            );
            return Err(FileError::malformed(path, line, comment, what));
        }
    }
    Ok(())
}

/// Reads a table.
pub fn read_table(file: &TableFile) -> Result<TableData, FileError> {
    let path = &file.path;
    let mut rows = Rows::new(path, &file.columns, &file.key_type);
    let text = match Kind::of(path, "a table ends in .csv (with a heading) or .jsonl")? {
        Kind::Text => {
            let allowed = "a table ends in .csv (with a heading) or .jsonl";
            return Err(FileError::Kind { path: path.clone(), allowed });
        }
        Kind::Csv => {
            let text = read_text(path)?;
            let csv = Csv::read(path, &text)?;
            let find = |column: &ColumnRef| csv.column(path, column, true);
            let key = file.key.as_ref().map_or(Ok(0), &find)?;
            let valid = file.valid.as_ref().map(|(from, to)| Ok((find(from)?, find(to)?))).transpose()?;
            let columns = file.columns.iter().map(|(name, _)| find(&ColumnRef::Heading(name.to_string())));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            for (line, record) in csv.rows.iter().skip(1) {
                let cell = |at: usize| record.get(at).unwrap_or_default();
                let moment = |at: usize| moment(path, *line, cell(at));
                let (from, to) = valid.map_or(Ok((None, None)), |(from, to)| Ok((moment(from)?, moment(to)?)))?;
                let cells = columns.iter().zip(&file.columns).map(|(at, (_, ty))| {
                    Cell::parse(ty, cell(*at)).map_err(|error| FileError::Value {
                        path: path.clone(),
                        line: *line,
                        error,
                    })
                });
                let cells = cells.collect::<Result<_, _>>()?;
                rows.push(*line, TableRow { key: cell(key).to_owned(), from, to, cells })?;
            }
            text
        }
        Kind::JsonLines => {
            let text = read_text(path)?;
            let key = file.key.clone().unwrap_or(ColumnRef::Heading("key".to_owned()));
            for (line, record) in numbered_lines(&text) {
                let tree = json(path, line, record)?;
                let key = key_of(path, line, record, &key)?;
                rows.push_json(line, record, &tree, key, file.valid.as_ref())?;
            }
            text
        }
    };
    rows.build(&text)
}

/// Reads the registry of accounts: JSON Lines with the key `account`, the columns of [`account_columns`], and, where a
/// row counts for a time only, `valid_from` and `valid_to`.
pub fn read_accounts(path: &Path) -> Result<AccountsFile, FileError> {
    let columns: Vec<(Box<str>, Type)> =
        account_columns().iter().map(|(name, ty)| (Box::from(*name), ty.clone())).collect();
    let text = read_text(path)?;
    let heading = |name: &str| ColumnRef::Heading(name.to_owned());
    let valid = (heading("valid_from"), heading("valid_to"));
    let known = |key: &str| {
        matches!(key, "account" | "valid_from" | "valid_to") || columns.iter().any(|(name, _)| **name == *key)
    };
    let mut rows = Rows::new(path, &columns, &Type::String);
    let mut n_ignored = 0u64;
    for (line, record) in numbered_lines(&text) {
        let tree = json(path, line, record)?;
        if let Tree::Object(entries) = &tree {
            n_ignored += entries.iter().filter(|(key, _)| !known(key)).count() as u64;
        }
        rows.push_json(line, record, &tree, "account", Some(&valid))?;
    }
    Ok(AccountsFile { table: rows.build(&text)?, n_ignored })
}

/// Rows of a table with the lines they came from.
struct Rows<'p> {
    path: &'p Path,
    key: &'p Type,
    columns: &'p [(Box<str>, Type)],
    lines: Vec<u64>,
    rows: Vec<TableRow>,
}

impl<'p> Rows<'p> {
    fn new(path: &'p Path, columns: &'p [(Box<str>, Type)], key: &'p Type) -> Self {
        Rows { path, key, columns, lines: Vec::new(), rows: Vec::new() }
    }

    fn push(&mut self, line: u64, row: TableRow) -> Result<(), FileError> {
        if self.rows.len() == LIST_ROWS_MAX {
            return Err(FileError::TooLarge { path: self.path.to_owned() });
        }
        self.lines.push(line);
        self.rows.push(row);
        Ok(())
    }

    fn push_json(
        &mut self,
        line: u64,
        text: &str,
        tree: &Tree<'_>,
        key: &str,
        valid: Option<&(ColumnRef, ColumnRef)>,
    ) -> Result<(), FileError> {
        let Some(found) = tree.get(key).and_then(plain_text) else {
            let what = format!("expected an object with its key as text in \"{key}\"");
            return Err(FileError::malformed(self.path, line, text, what));
        };
        let (from, to) = json_validity(self.path, line, text, tree, valid)?;
        let cells = self.columns.iter().map(|(name, ty)| self.json_cell(line, text, name, ty, tree.get(name)));
        let cells = cells.collect::<Result<_, _>>()?;
        self.push(line, TableRow { key: found, from, to, cells })
    }

    fn json_cell(
        &self,
        line: u64,
        text: &str,
        name: &str,
        ty: &Type,
        value: Option<&Tree<'_>>,
    ) -> Result<Cell, FileError> {
        let wrong = |found: &Tree<'_>| {
            let what = format!("\"{name}\" should be {ty}, but is {}", found.kind());
            FileError::malformed(self.path, line, text, what)
        };
        match (value, ty) {
            (None | Some(Tree::Null), _) => Ok(Cell::Missing),
            (Some(Tree::List(items)), Type::List(_)) => {
                let texts = items.iter().map(|item| plain_text(item).ok_or_else(|| wrong(item)));
                texts.collect::<Result<_, _>>().map(Cell::Texts)
            }
            (Some(found), Type::List(_)) => Err(wrong(found)),
            (Some(Tree::Bool(b)), Type::Bool) => Ok(Cell::Bool(*b)),
            (Some(found @ (Tree::Text(_) | Tree::Number(_))), ty) if *ty != Type::Bool => {
                let value = plain_text(found).unwrap_or_default();
                let path = self.path.to_owned();
                Cell::parse(ty, &value).map_err(|error| FileError::Value { path, line, error })
            }
            (Some(found), _) => Err(wrong(found)),
        }
    }

    fn build(self, text: &str) -> Result<TableData, FileError> {
        let Rows { path, key, columns, lines, rows } = self;
        let line_of = |row: Option<usize>| row.and_then(|row| lines.get(row).copied()).unwrap_or(1);
        TableData::build_by(key, columns.to_vec(), rows).map_err(|error| match error {
            TableError::TooMany => FileError::TooLarge { path: path.to_owned() },
            TableError::Key { row, error } => {
                FileError::Value { path: path.to_owned(), line: line_of(Some(row)), error }
            }
            TableError::Twice { row, first, key } => {
                let first = line_of(Some(first));
                let what = format!(
                    "`{key}` stands in line {first} already, valid from the same moment: give one a later start"
                );
                malformed_line(path, text, line_of(Some(row)), what)
            }
            error => malformed_line(path, text, line_of(error.row()), error.to_string()),
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Csv,
    JsonLines,
}

impl Kind {
    fn of(path: &Path, allowed: &'static str) -> Result<Kind, FileError> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("txt") => Ok(Kind::Text),
            Some("csv") => Ok(Kind::Csv),
            Some("jsonl" | "ndjson") => Ok(Kind::JsonLines),
            _ => Err(FileError::Kind { path: path.to_owned(), allowed }),
        }
    }
}

/// The whole file as text, without a byte-order mark.
fn read_text(path: &Path) -> Result<String, FileError> {
    let missing = |source| FileError::Missing { path: path.to_owned(), source };
    let file = File::open(path).map_err(missing)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large, also when its size is not known beforehand.
    file.take(LIST_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(missing)?;
    if bytes.len() as u64 > LIST_FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(good).filter(|b| **b == b'\n').count() as u64;
        FileError::malformed(path, line, "", format!("byte {good} of the file is not UTF-8: save it as UTF-8"))
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// Lines that are not blank, trimmed, with their numbers from 1.
fn numbered_lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    (1u64..).zip(text.lines()).map(|(n, line)| (n, line.trim())).filter(|(_, line)| !line.is_empty())
}

fn malformed_line(path: &Path, text: &str, line: u64, what: String) -> FileError {
    let content = usize::try_from(line).ok().and_then(|n| text.lines().nth(n.saturating_sub(1))).unwrap_or_default();
    FileError::malformed(path, line, content, what)
}

fn json<'a>(path: &Path, line: u64, text: &'a str) -> Result<Tree<'a>, FileError> {
    Tree::parse(text, &|_| false).map_err(|error| {
        let what = crate::event::decode::Reject::from(*error).detail;
        FileError::malformed(path, line, text, format!("not read as JSON: {what}"))
    })
}

fn plain_text(tree: &Tree<'_>) -> Option<String> {
    match tree {
        Tree::Text(text) => Some(text.to_string()),
        Tree::Number(number) => Some(number.text.to_owned()),
        Tree::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

fn key_of<'c>(path: &Path, line: u64, text: &str, column: &'c ColumnRef) -> Result<&'c str, FileError> {
    match column {
        ColumnRef::Heading(name) => Ok(name),
        ColumnRef::Number(_) => {
            let what = format!("{column} means nothing in JSON Lines: name the key, as in column \"country\"");
            Err(FileError::malformed(path, line, text, what))
        }
    }
}

type Span = (Option<Timestamp>, Option<Timestamp>);

fn json_validity(
    path: &Path,
    line: u64,
    text: &str,
    tree: &Tree<'_>,
    valid: Option<&(ColumnRef, ColumnRef)>,
) -> Result<Span, FileError> {
    let Some((from, to)) = valid else { return Ok((None, None)) };
    let read = |column: &ColumnRef| match tree.get(key_of(path, line, text, column)?) {
        None | Some(Tree::Null) => Ok(None),
        Some(Tree::Text(value)) => moment(path, line, value),
        Some(other) => {
            let what = format!("{column} should be a date or RFC 3339 text, but is {}", other.kind());
            Err(FileError::malformed(path, line, text, what))
        }
    };
    Ok((read(from)?, read(to)?))
}

/// A moment of validity; empty is open.
fn moment(path: &Path, line: u64, text: &str) -> Result<Option<Timestamp>, FileError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    match Timestamp::parse_date(text).or_else(|| Timestamp::parse_rfc3339(text)) {
        Some(at) => Ok(Some(at)),
        None => {
            let what = "expected a date such as `2026-01-31`, RFC 3339, or nothing for an open end";
            Err(FileError::malformed(path, line, text, what))
        }
    }
}

/// A CSV file, row by row, without blank lines and comments.
struct Csv {
    rows: Vec<(u64, csv::StringRecord)>,
}

impl Csv {
    fn read(path: &Path, text: &str) -> Result<Self, FileError> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| {
                let line = error.position().map_or(1, csv::Position::line);
                malformed_line(path, text, line, format!("not read as CSV: {error}"))
            })?;
            if record.iter().all(str::is_empty) {
                continue;
            }
            if rows.len() > LIST_ROWS_MAX {
                return Err(FileError::TooLarge { path: path.to_owned() });
            }
            rows.push((record.position().map_or(1, csv::Position::line), record));
        }
        Ok(Csv { rows })
    }

    /// Whether the first row is a heading, where no column was named: when its value does not read as the type, when its
    /// dates do not read as dates, or when a text is the name of a field or type. Else it is a value: one value too many
    /// is seen sooner than one that is missing.
    fn first_is_heading(&self, value: &ColumnRef, file: &ListFile) -> bool {
        let Some((_, first)) = self.rows.first() else { return false };
        let cell = |column: &ColumnRef| match column {
            ColumnRef::Number(n) => first.get((*n as usize).wrapping_sub(1)).unwrap_or_default(),
            ColumnRef::Heading(_) => "",
        };
        let is_moment = |text: &str| {
            text.is_empty() || Timestamp::parse_date(text).or_else(|| Timestamp::parse_rfc3339(text)).is_some()
        };
        let value = cell(value);
        let named = file.ty.is_text() && {
            let word = value.to_ascii_lowercase();
            word == "value" || Type::from_keyword(&word).is_some() || by_name(&word).is_some()
        };
        named
            || Cell::parse(&file.ty, value).is_err()
            || file.valid.as_ref().is_some_and(|(from, to)| !is_moment(cell(from)) || !is_moment(cell(to)))
    }

    /// The place of a column, from 0.
    fn column(&self, path: &Path, column: &ColumnRef, with_heading: bool) -> Result<usize, FileError> {
        let empty = csv::StringRecord::new();
        let (line, first) = self.rows.first().map_or((1, &empty), |(line, record)| (*line, record));
        let content = first.iter().collect::<Vec<_>>().join(",");
        let found = match column {
            ColumnRef::Number(n) if self.rows.is_empty() || (1..=first.len()).contains(&(*n as usize)) => {
                Some((*n as usize).saturating_sub(1))
            }
            ColumnRef::Number(_) => None,
            ColumnRef::Heading(name) if with_heading => first.iter().position(|heading| heading == name),
            ColumnRef::Heading(_) => None,
        };
        found.ok_or_else(|| {
            let what = match column {
                ColumnRef::Number(_) => format!("there is no {column}; the first line has {}", first.len()),
                ColumnRef::Heading(_) => {
                    format!("there is no {column}; the first line should be a heading that has it")
                }
            };
            FileError::malformed(path, line, &content, what)
        })
    }
}
