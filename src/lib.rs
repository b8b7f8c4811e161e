//! Fineprint turns the terms of service of a model API into rules, runs them over usage events, and keeps a violation log.


pub mod source;
pub mod time;
pub mod diagnostic;
pub mod value;
pub mod event;
pub mod syntax;
pub mod hir;
pub mod violation;
pub mod reference;
pub mod plan;
pub mod eval;

// ── the edge ──
#[cfg(feature = "feed")]
pub mod export;
#[cfg(feature = "sqlite")]
pub mod store;
#[cfg(feature = "runtime")]
pub mod journal;
