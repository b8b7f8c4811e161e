//! Text to syntax tree and back: lexer, parser with recovery, formatter. Knows no field, list or type.
//!
//! Two entry points: [`parse`] turns the text of a rule file into a tree and all mistakes of the file; [`print()`] turns a
//! tree back into text in the one canonical layout, comments included. [`decode`] comes before both where the file is
//! still bytes.

pub mod ast;
mod lexer;
mod number;
mod parser;
mod print;

pub use lexer::{FILE_BYTES_MAX, LINE_BYTES_MAX, decode};
pub use parser::{EXPRESSION_HEIGHT_MAX, MISTAKES_REPORTED_MAX, NESTING_DEPTH_MAX, parse};
pub use print::print;
