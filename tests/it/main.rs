//! All tests of the library and the command, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    unreachable_pub,
    clippy::type_complexity,
    clippy::large_enum_variant,
    reason = "tests fail by panicking"
)]

/// Alerts over real sockets: webhooks, chat, mail, and what cannot be delivered.
mod alert;
/// Bounds that no other test hits.
mod bounds;
/// Which violations are one case, and what a case comes to.
mod campaign;
/// The command line, as its user would call it.
mod cli;
/// Rules in plain English, what changes mean, coverage, and what a feed can never show.
mod counsel;
/// Two rule sets over the same events.
mod compare;
/// Messages about wrong rule files: one golden file a case.
mod diagnostics;
/// The 51 candidate rules of the domain: that each can be said.
mod domain;
/// Actions that take effect: the table as a function of its entries.
mod enforce;
/// Cases and properties of the evaluator, run on both evaluators.
mod eval;
/// Decoding of usage events and the field table.
mod events;
/// The examples, run.
mod examples;
/// Hostile bytes to every reader, and mutations of them.
mod fuzz;
/// Contracts of gateways: events from what they send, answers in their words.
mod gateway;
/// Records of other systems, and bodies of requests, as events.
mod feeds;
/// Readers, mappings, registries, lists and tables from files.
mod feed;
/// Decisions at arrival: the memory of a gate against a plain recount.
mod gate;
/// Compares output with a file; `UPDATE_GOLDEN=1` rewrites it.
mod golden;
/// The borders between modules, and what each feature brings.
mod layers;
/// The evaluator behind a server: queue, journal, kills, rules that change.
mod live;
/// The false-positive suite: simulated honest work that no shipped rule accuses.
mod negative;
/// Packs from disk: what is wrong with rule, list, table and registry files.
mod pack_files;
/// The shipped rules, and the documents' examples.
mod packs;
/// Secrets that must not come back, and where they are looked for.
mod privacy;
/// The plain evaluator: keeps every event and recomputes every window; the judge of the fast one.
mod plain;
/// The Merkle tree, its proofs and signed checkpoints.
mod seal;
/// The server, over real sockets.
mod serve;
/// Limits at arrival: what is reserved and settled, and what findings say of the same calls.
mod quota;
/// The violation log: schema, batches, resume, export.
mod store;
/// Lexer, parser and formatter: trees, round trips, hostile input.
mod syntax;
/// Template fingerprints: what two texts of one template share, and the borders of the work.
mod template;
