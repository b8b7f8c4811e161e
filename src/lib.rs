//! Fineprint turns the terms of service of a model API into rules, runs them over the stream of usage events, and keeps a
//! violation log that a third party can check.
//!
//! A policy author writes `.tos` files; [`compile::compile`] turns them into a typed program or into diagnostics that say
//! what to write instead. [`plan::RuleSet`] makes the program ready to run, and an [`eval::Evaluator`] takes in events and
//! hands out [`violation::Violation`]s: a plain state machine that is given time with the events, so that the same events
//! give the same violations, whatever the order of arrival within the declared lateness.
//!
//! ```
//! use std::sync::Arc;
//! use fineprint::{compile::compile, eval::{EvalOptions, Evaluator, Origin}, event::decode::Decoder};
//! use fineprint::{plan::{ReferenceData, RuleSet}, source::SourceMap};
//!
//! let mut sources = SourceMap::default();
//! sources.add("probe.tos", r#"
//! policy acme.terms version 2026-01-01 {
//!   clause fair-use at "3.1" "Keys are not to be probed."
//! }
//!
//! rule probe {
//!   enforces acme.terms.fair-use
//!   on       completion where max_tokens <= 0
//!   because  "a call asked for {max_tokens} tokens"
//! }
//! "#);
//! let compiled = compile(&sources);
//! let rules = RuleSet::new(compiled.program, ReferenceData::default()).unwrap();
//! let mut evaluator = Evaluator::new(Arc::new(rules), EvalOptions::default());
//!
//! let line = br#"{"id":"e1","ts":"2026-01-01T00:00:00Z","type":"completion","account":"a","max_tokens":-1}"#;
//! let event = Decoder::new().decode(line).unwrap();
//! evaluator.observe(&event, Origin::default());
//! evaluator.finish();
//! let found = evaluator.take_violations();
//! assert_eq!(found[0].because, "a call asked for -1 tokens");
//! ```
//!
//! text → [`syntax::ast`] → [`hir`] → [`plan`] → [`eval`] → [`violation`]
//!
//! | feature | what it adds |
//! |---|---|
//! | none | everything above the line below: parser, checker, evaluator. Brings neither tokio nor sqlx. |
//! | `feed` | reading rule packs, events, lists, registries and mappings from files |
//! | `sqlite` | the violation log |
//! | `runtime` | the run loop with checkpoints and the journal |
//! | `seal` | Merkle tree, proofs, signed checkpoints |
//! | `otlp` | usage records as OTLP |
//! | `serve` | decisions over HTTP and gRPC |
//! | `cli` (default) | the `fineprint` command |
//!
//! Embedders take `default-features = false`.

// ── the pure core: no input or output, no clock, no threads, no randomness; each module uses only those above it ──
pub mod source;
pub mod time;
pub mod place;
pub mod diagnostic;
pub mod value;
pub mod event;
pub mod template;
pub mod syntax;
pub mod reference;
pub mod hir;
pub mod violation;
pub mod decision;
pub mod campaign;
pub mod compare;
pub mod check;
pub mod plan;
pub mod compile;
pub mod eval;
pub mod enforce;
pub mod inline;
pub mod fixture;
pub mod derive;
pub mod counsel;

// ── the edge: everything that touches the world ──
pub mod gate;
#[cfg(feature = "seal")]
pub mod seal;
#[cfg(feature = "feed")]
pub mod export;
#[cfg(feature = "feed")]
pub mod feed;
#[cfg(feature = "feed")]
pub mod pack;
#[cfg(feature = "sqlite")]
pub mod store;
#[cfg(feature = "runtime")]
pub mod journal;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(feature = "runtime")]
pub mod bundle;
#[cfg(feature = "serve")]
pub mod alert;
#[cfg(feature = "serve")]
pub mod publish;
#[cfg(feature = "serve")]
pub mod gateway;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "cli")]
pub mod simulate;
#[cfg(feature = "cli")]
pub mod cli;
