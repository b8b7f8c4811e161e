//! Fineprint turns the terms of service of a model API into rules, runs them over usage events, and keeps a violation log.

pub mod diagnostic;
pub mod eval;
pub mod event;
pub mod fixture;
pub mod hir;
pub mod plan;
pub mod reference;
pub mod source;
pub mod syntax;
pub mod time;
pub mod value;
pub mod violation;
