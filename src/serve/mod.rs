//! The server: decisions, ingest and the log over HTTP and gRPC.
//!
//! A request passes `listen` (connections), `guard` (who, how much, how long) and its route; [`state::App`] answers decisions
//! from memory. Reads the clock and passes time down. Knows no terminal.

mod answer;
mod clock;
mod config;
mod decide;
mod engine;
mod error;
mod guard;
mod health;
mod keys;
mod listen;
mod metrics;
mod openapi;
mod patient;
mod quantity;
mod query;
mod routes;
mod rules;
mod secret;
mod server;
mod state;
mod tls;
mod violations;

pub use config::{ChangedRules, Client, Config, ConfigError, Gaps, KEYS_MAX, Key, Limits, Reload, Right, Stream, Tls};
pub use quantity::{Bytes, Digest, Span};
pub use secret::SecretError;
pub use server::{ServeError, Start, Summary, Told, serve};
