//! Reference data that rules look up at event time. (Stub until the module lands.)

/// A set of values.
#[derive(Debug, Clone, Default)]
pub struct ListData {}

/// Rows by key.
#[derive(Debug, Clone, Default)]
pub struct TableData {}
