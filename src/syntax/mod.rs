//! Text to syntax tree and back: lexer, parser with recovery, formatter. Knows no field, list or type.

pub mod ast;
mod lexer;
mod parser;
mod print;
mod token;

pub use lexer::{FILE_BYTES_MAX, LINE_BYTES_MAX, decode};
pub use parser::{MISTAKES_MAX, NESTING_MAX, OPERATORS_MAX, parse};
pub use print::print;
