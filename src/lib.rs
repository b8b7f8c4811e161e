//! Fineprint turns the terms of service of a model API into rules, runs them over usage events, and keeps a violation log.

// ── the pure core: no input or output, no clock, no threads, no randomness; each module uses only those above it ──
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
pub mod fixture;

// ── the edge ──
#[cfg(feature = "feed")]
pub mod export;
#[cfg(feature = "feed")]
pub mod feed;
#[cfg(feature = "sqlite")]
pub mod store;
#[cfg(feature = "runtime")]
pub mod journal;
#[cfg(feature = "feed")]
pub mod pack;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(feature = "cli")]
pub mod cli;
