//! Text to syntax tree and back: lexer, parser with recovery, formatter. Knows no field, list or type.

pub mod ast;
