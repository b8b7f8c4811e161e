//! Records as files: turns the JSON form of violations into lines of JSON or CSV on any writer. Knows no store, so a run
//! without a database writes the same bytes.

mod csv;
mod jsonl;

pub use csv::CsvWriter;
pub use jsonl::JsonlWriter;
