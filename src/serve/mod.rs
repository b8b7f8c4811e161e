//! The server: decisions, ingest and the log over HTTP and gRPC.
//!
//! A request passes `listen` (connections), `guard` (who, how much, how long) and its route; `App` answers decisions
//! from memory. Reads the clock and passes time down. Knows no terminal.

mod actions;
mod answer;
mod clock;
mod config;
mod decide;
mod engine;
mod error;
mod gaps;
mod given;
mod guard;
mod health;
mod inbox;
mod ingest;
mod keys;
mod listen;
mod metrics;
mod openapi;
mod opening;
mod outbox;
mod patient;
mod quantity;
mod query;
mod recover;
mod reload;
mod routes;
mod rules;
mod saved;
mod scribe;
mod secret;
mod server;
mod state;
mod summary;
mod timer;
mod tls;
mod violations;

pub use config::{ChangedRule, Client, Config, ConfigError, Gaps, KEYS_MAX, Key, Limits, Reload, Right, Stream, Tls};
pub use quantity::{Bytes, Digest, Span};
pub use reload::Files;
pub use secret::SecretError;
pub use server::{ServeError, Start, Told, serve};
pub use summary::Summary;
