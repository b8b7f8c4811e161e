//! Text to syntax tree and back: lexer, parser with recovery, formatter. Knows no field, list or type.
//!
//! Two entry points: [`parse`] turns the text of a rule file into a tree and all mistakes of the file; [`print`] turns a
//! tree back into text in the one canonical layout, comments included. [`decode`] comes before both where the file is
//! still bytes.

pub mod ast;
pub mod lexer;
mod number;
pub mod parser;
pub mod print;

pub use lexer::decode;
pub use parser::parse;
pub use print::print;
