//! Reference data that rules look up at event time. (Stub until the module lands.)
#![allow(missing_docs, reason = "stub")]
use crate::time::Timestamp;
use crate::value::Value;

/// A set of values.
#[derive(Debug, Clone, Default)]
pub struct ListData {}
impl ListData {
    pub fn contains(&self, _v: &Value<'_>, _at: Timestamp) -> bool {
        false
    }
    pub fn hash(&self) -> String {
        String::new()
    }
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}

/// Rows by key.
#[derive(Debug, Clone, Default)]
pub struct TableData {}
impl TableData {
    pub fn column(&self, _key: &str, _column: u16, _at: Timestamp) -> Value<'_> {
        Value::Unknown
    }
    pub fn hash(&self) -> String {
        String::new()
    }
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}
