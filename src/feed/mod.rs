//! Turns files and standard input into usage events, lists, tables and the registry of accounts. Knows formats and
//! compression, no rule; nothing below it touches the disk.

mod lists;
mod reader;

pub use lists::{AccountsFile, ColumnRef, FileError, ListFile, TableFile, read_accounts, read_list, read_table};
pub use reader::{EventReader, Input, Position, PrefixHash, Progress, Record, Resume, inputs};
