//! Fineprint turns the terms of service of a model API into rules, runs them over usage events, and keeps a violation log.

// ── the pure core: no input or output, no clock, no threads ──
pub mod check;
pub mod compile;
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

// ── the edge ──
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "feed")]
pub mod export;
#[cfg(feature = "feed")]
pub mod feed;
#[cfg(feature = "feed")]
pub mod pack;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(feature = "sqlite")]
pub mod store;
