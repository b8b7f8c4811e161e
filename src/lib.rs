//! Fineprint turns the terms of service of a model API into rules, runs them over usage events, and keeps a violation log.

pub mod source;
pub mod time;
pub mod diagnostic;
pub mod value;
pub mod event;
pub mod syntax;
pub mod reference;
pub mod hir;
pub mod check;
pub mod compile;
pub mod plan;
pub mod violation;
pub mod eval;
#[cfg(feature = "feed")]
pub mod feed;
#[cfg(feature = "feed")]
pub mod export;
#[cfg(feature = "runtime")]
pub mod journal;
#[cfg(feature = "sqlite")]
pub mod store;
