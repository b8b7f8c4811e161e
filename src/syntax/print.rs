//! Placeholder.
use super::ast;
/// Prints.
pub fn print(_file: &ast::File, text: &str) -> String {
    text.to_string()
}
